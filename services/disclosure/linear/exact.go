package linear

import (
	"math/big"
)

// dictionary is a simplex dictionary in rational numbers: the basic variable of each row follows from the others by
//
//	basic + Σ row[v]·v = 0
//
// A row has nil for 0 and for the basic variables. It is what settles the ends of intervals that floating point, with
// fractions guessed and checked, did not.
type dictionary struct {
	rows         [][]*big.Rat
	basic        []int // row → variable
	place        []int // variable → row, or −1
	x            []*big.Rat
	lower, upper []*big.Rat
	work         int // products so far
}

// The most products that a dictionary may take, which is about a second.
const mostWork = 3_000_000

// exact returns the least deviation of sign·u in exact arithmetic, from the basis that the search ended in. It takes the
// variable with the lowest number wherever it has a choice, so it ends (Bland 1977). It is not ok where that is too much
// work.
func (s *search) exact(u int, sign int64, limit int) (least *big.Rat, ok bool) {
	d := s.dictionary()
	if d == nil {
		return nil, false
	}
	cost := make([]*big.Rat, len(d.x))
	for range limit {
		if d.work > mostWork {
			break
		}
		for v := range cost {
			cost[v] = nil
		}
		c := new(big.Rat).SetInt64(sign)
		if row := d.place[u]; row < 0 {
			cost[u] = c
		} else {
			for v, a := range d.rows[row] {
				if a != nil {
					cost[v] = new(big.Rat).Neg(new(big.Rat).Mul(c, a))
				}
			}
		}
		entering, up := d.price(cost)
		if entering < 0 {
			return c.Mul(c, d.x[u]), true
		}
		d.move(entering, up)
	}
	return nil, false
}

// dictionary brings the equations into the form for the basis of the search, as far as its columns go, at deviation 0. It
// returns nil where that is too much work.
func (s *search) dictionary() *dictionary {
	n := len(s.lower)
	d := &dictionary{place: make([]int, n), x: make([]*big.Rat, n), lower: make([]*big.Rat, n), upper: make([]*big.Rat, n)}
	for v := range n {
		d.place[v] = -1
		d.x[v] = new(big.Rat)
		d.lower[v] = new(big.Rat).SetInt64(s.lower[v])
		d.upper[v] = new(big.Rat).SetInt64(s.upper[v])
	}
	for _, equation := range s.system.Equations {
		row := make([]*big.Rat, n)
		for _, t := range equation {
			row[t.Unknown] = new(big.Rat).SetInt64(t.Coefficient)
		}
		d.add(row)
		if d.work > mostWork {
			return nil
		}
	}
	for _, v := range s.solver.basis {
		if d.work > mostWork {
			return nil
		}
		if v < n && d.place[v] < 0 {
			d.prefer(v, s.solver)
		}
	}
	return d
}

// add takes in an equation, unless it follows from those before.
func (d *dictionary) add(row []*big.Rat) {
	for r, b := range d.basic {
		if a := row[b]; a != nil {
			row[b] = nil
			d.addTo(row, d.rows[r], new(big.Rat).Neg(a))
		}
	}
	for v, a := range row {
		if a != nil {
			d.rows, d.basic = append(d.rows, row), append(d.basic, -1)
			d.pivot(len(d.rows)-1, v)
			return
		}
	}
}

// prefer brings a variable of the basis of a search into the basis for one that is not in it, where that can be.
func (d *dictionary) prefer(v int, w *simplex) {
	for r, b := range d.basic {
		if w.slot[b] < 0 && d.rows[r][v] != nil {
			d.exchange(r, v)
			return
		}
	}
}

// price returns the first variable that makes the point cheaper and whether it is to grow; −1 where none does.
func (d *dictionary) price(cost []*big.Rat) (entering int, up bool) {
	for v, c := range cost {
		switch {
		case c == nil || d.place[v] >= 0:
		case c.Sign() < 0 && d.x[v].Cmp(d.upper[v]) < 0:
			return v, true
		case c.Sign() > 0 && d.x[v].Cmp(d.lower[v]) > 0:
			return v, false
		}
	}
	return -1, false
}

// move changes a variable until one meets its bound, and exchanges the two.
func (d *dictionary) move(entering int, up bool) {
	room := d.room(entering, up)
	leaving := -1
	for r, row := range d.rows {
		a := row[entering]
		if a == nil {
			continue
		}
		reach := d.room(d.basic[r], (a.Sign() < 0) == up)
		reach.Quo(reach, new(big.Rat).Abs(a))
		if c := reach.Cmp(room); c < 0 || c == 0 && leaving >= 0 && d.basic[r] < d.basic[leaving] {
			room, leaving = reach, r
		}
	}
	if !up {
		room.Neg(room)
	}
	d.x[entering] = new(big.Rat).Add(d.x[entering], room)
	for r, row := range d.rows {
		if a := row[entering]; a != nil {
			b := d.basic[r]
			d.x[b] = new(big.Rat).Sub(d.x[b], new(big.Rat).Mul(a, room))
		}
	}
	if leaving >= 0 {
		d.exchange(leaving, entering)
	}
}

// room returns how far a variable may go.
func (d *dictionary) room(v int, up bool) *big.Rat {
	if up {
		return new(big.Rat).Sub(d.upper[v], d.x[v])
	}
	return new(big.Rat).Sub(d.x[v], d.lower[v])
}

// exchange makes a variable basic in a row, for the one that was.
func (d *dictionary) exchange(row, entering int) {
	leaving := d.basic[row]
	d.place[leaving] = -1
	d.rows[row][leaving] = new(big.Rat).SetInt64(1)
	d.pivot(row, entering)
}

// pivot solves a row for a variable and puts it into the others.
func (d *dictionary) pivot(row, v int) {
	pivot := d.rows[row]
	inverse := new(big.Rat).Inv(pivot[v])
	pivot[v] = nil
	for c, a := range pivot {
		if a != nil {
			pivot[c] = new(big.Rat).Mul(a, inverse)
		}
	}
	d.basic[row], d.place[v] = v, row
	for r, other := range d.rows {
		if a := other[v]; r != row && a != nil {
			other[v] = nil
			d.addTo(other, pivot, new(big.Rat).Neg(a))
		}
	}
}

// addTo adds factor times a row to another.
func (d *dictionary) addTo(row, other []*big.Rat, factor *big.Rat) {
	for c, a := range other {
		if a == nil {
			continue
		}
		d.work++
		product := new(big.Rat).Mul(a, factor)
		if row[c] != nil {
			product.Add(product, row[c])
		}
		if product.Sign() == 0 {
			product = nil
		}
		row[c] = product
	}
}
