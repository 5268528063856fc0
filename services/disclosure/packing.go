package disclosure

import (
	"math"
	"math/bits"
	"slices"
)

// packing finds the largest prices of cuts under which no member is paid more for than it costs, with the simplex method.
// No choice that meets all cuts costs less than their sum, and the duals are such a choice, of fractions of members. It
// goes on from there when cuts come, or lose members.
type packing struct {
	basic   []priced    // of each row
	level   []float64   // of each row: the price of the cut, or what is left of the cost
	inverse [][]float64 // of the columns of the basic ones
	cover   []float64   // of each member: how much of it is chosen
	sum     float64     // of the prices
	column  []float64
	touched []int32  // members of which the row of the pivot is not 0
	open    []choice // cuts that are not met, without the barred members
}

// priced is a cut, or a member that is not paid for whole.
type priced struct {
	cut    choice
	member int // −1: it is a cut
}

const (
	pivots = 500  // of the simplex method at a time
	nearly = 1e-6 // is taken for 0
)

func newPacking(cost []float64) *packing {
	n := len(cost)
	p := &packing{basic: make([]priced, n), level: slices.Clone(cost), cover: make([]float64, n), column: make([]float64, n)}
	p.inverse = square(n)
	for k := range n {
		p.basic[k].member = k
		p.inverse[k][k] = 1
	}
	return p
}

// square returns the rows of a square of zeros.
func square(n int) [][]float64 {
	rows, store := make([][]float64, n), make([]float64, n*n)
	for i := range rows {
		rows[i] = store[i*n : (i+1)*n : (i+1)*n]
	}
	return rows
}

// copyTo makes another packing of as many members the same.
func (p *packing) copyTo(q *packing) {
	copy(q.basic, p.basic)
	copy(q.level, p.level)
	copy(q.cover, p.cover)
	for i, r := range p.inverse {
		copy(q.inverse[i], r)
	}
	q.sum = p.sum
}

// solve raises the sum of the prices as far as it goes, where the chosen members are chosen and the barred ones not. It
// reports false where no choice meets all cuts then, and how much work it was.
func (p *packing) solve(cuts []choice, chosen, barred choice) (ok bool, work int) {
	p.open = p.open[:0]
	for _, cut := range cuts {
		if cut.meets(chosen) {
			continue
		}
		if cut = cut.without(barred); cut.empty() {
			return false, len(cuts)
		}
		p.open = append(p.open, cut)
	}
	for k := range chosen.members() {
		p.open = append(p.open, choice{}.with(k))
	}
	for range pivots {
		next, gain := p.entering()
		work += 6*len(p.open) + len(p.basic)*len(p.basic)/2
		if gain == nearly || !p.exchange(next, gain) {
			break
		}
	}
	return true, work
}

// entering returns what raises the sum most per unit, and by how much; nearly: nothing does.
func (p *packing) entering() (next priced, gain float64) {
	gain = nearly
	for k, x := range p.cover {
		if -x > gain {
			next, gain = priced{member: k}, -x
		}
	}
	for _, cut := range p.open {
		left := 1.0
		for n, word := range cut {
			for ; word != 0; word &= word - 1 {
				left -= p.cover[64*n+bits.TrailingZeros64(word)]
			}
		}
		if left > gain {
			next, gain = priced{cut, -1}, left
		}
	}
	return next, gain
}

// exchange brings a cut or a member into the basis, where it raises the sum by gain per unit.
func (p *packing) exchange(next priced, gain float64) bool {
	for i, r := range p.inverse {
		if next.member >= 0 {
			p.column[i] = r[next.member]
			continue
		}
		p.column[i] = 0
		for k := range next.cut.members() {
			p.column[i] += r[k]
		}
	}
	row, most := -1, math.Inf(1)
	for i, w := range p.column {
		if w < epsilon {
			continue
		}
		if ratio := p.level[i] / w; ratio < most || ratio == most && w > p.column[row] {
			row, most = i, ratio
		}
	}
	if row < 0 {
		return false
	}
	pivot := p.inverse[row]
	p.touched = p.touched[:0]
	for k, x := range pivot {
		if math.Abs(x) < epsilon {
			pivot[k] = 0
			continue
		}
		pivot[k] = x / p.column[row]
		p.cover[k] += gain * pivot[k]
		p.touched = append(p.touched, int32(k))
	}
	for i, w := range p.column {
		if i == row || w == 0 {
			continue
		}
		p.level[i] = max(0, p.level[i]-most*w)
		r := p.inverse[i]
		for _, k := range p.touched {
			r[k] -= w * pivot[k]
		}
	}
	p.sum += most * gain
	p.basic[row], p.level[row] = next, most
	return true
}
