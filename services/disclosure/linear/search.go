package linear

import (
	"math"
	"math/big"
	"slices"
)

// search looks for the ends of the ranges of a part of a region, as deviations from the inner point.
type search struct {
	*part
	effort Effort
	ends   []end
	solver *simplex
}

func newSearch(p *part, effort Effort) *search {
	s := &search{part: p, effort: effort, ends: slices.Clone(p.ends)}
	program := &Program{System: p.system, Cost: make([]float64, len(p.lower))}
	for u := range p.lower {
		program.Lower, program.Upper = append(program.Lower, float64(p.lower[u])), append(program.Upper, float64(p.upper[u]))
	}
	s.solver = newSimplex(program)
	s.solver.enough = effort.Stop
	return s
}

// wide reports whether the points that are known prove a width.
func (s *search) wide(u int, width int64) bool {
	sum := new(big.Rat).Add(s.ends[2*u].attained, s.ends[2*u+1].attained)
	return sum.Neg(sum).Cmp(new(big.Rat).SetInt64(width)) >= 0
}

// settle seeks an end, unless it is settled. What it does not settle it may still narrow down.
func (s *search) settle(n int) {
	e := &s.ends[n]
	if e.settled() {
		return
	}
	u, sign := n/2, int64(1-n%2*2)
	w := s.solver
	w.cost[u] = float64(sign)
	defer func() { w.cost[u] = 0 }()
	outcome := w.minimise(s.effort.Steps)
	w.refactor()
	if s.near(u, sign); e.settled() || outcome != optimal || s.proved(u, sign) {
		return
	}
	if least, ok := s.exact(u, sign, s.effort.Steps); ok {
		e.lower(least)
		e.raise(least)
	}
}

// The largest common denominator of points and multipliers that are taken from floating point at once.
const mostAtOnce = 2520

// near notes what the vertex and the multipliers say that the solver stands at, taken for fractions of small
// denominators. In tables they almost always are.
func (s *search) near(u int, sign int64) {
	w := s.solver
	if x, denominator, ok := s.system.Round(w.settled(), mostAtOnce); ok && s.within(x, denominator) {
		for v, numerator := range x {
			s.note(v, numerator, denominator)
		}
	}
	clear(w.values)
	if slot := w.slot[u]; slot >= 0 {
		w.values[slot] = float64(sign)
	}
	w.factor.multiply(w.values, w.row)
	y, denominator, ok := fractions(w.row, mostAtOnce)
	if !ok {
		return
	}
	d := make([]int64, len(s.lower))
	d[u] = sign * denominator
	for r, equation := range s.system.Equations {
		if y[r] != 0 {
			for _, t := range equation {
				d[t.Unknown] -= t.Coefficient * y[r]
			}
		}
	}
	var size float64
	sum := int64(0)
	for v, d := range d {
		bound := s.lower[v]
		if d < 0 {
			bound = s.upper[v]
		}
		size += math.Abs(float64(d)) * math.Abs(float64(bound))
		sum += d * bound
	}
	if size < 1<<62 {
		s.ends[numberOf(u, sign)].raise(big.NewRat(sum, denominator))
	}
}

// numberOf returns the number of the end of sign·u.
func numberOf(u int, sign int64) int {
	if sign < 0 {
		return 2*u + 1
	}
	return 2 * u
}

// within reports whether a point is within the bounds.
func (s *search) within(x []int64, denominator int64) bool {
	for v, numerator := range x {
		if numerator < s.lower[v]*denominator || numerator > s.upper[v]*denominator {
			return false
		}
	}
	return true
}

// note notes that a point has a deviation.
func (s *search) note(v int, numerator, denominator int64) {
	about := float64(numerator) / float64(denominator)
	if e := &s.ends[2*v]; about < e.about-1e-9 {
		e.lower(big.NewRat(numerator, denominator))
	}
	if e := &s.ends[2*v+1]; -about < e.about-1e-9 {
		e.lower(big.NewRat(-numerator, denominator))
	}
}

// proved reads the vertex and the multipliers that the search ended in off in as many digits as it takes, notes what they
// prove, and reports whether that settles the end of sign·u.
func (s *search) proved(u int, sign int64) bool {
	e := &s.ends[numberOf(u, sign)]
	if vertex, ok := s.vertex(); ok {
		least := new(big.Rat).SetFrac(vertex.numerators[u], vertex.denominator)
		e.lower(least.Mul(least, new(big.Rat).SetInt64(sign)))
	}
	if limit, ok := s.bound(u, sign); ok {
		e.raise(limit)
	}
	return e.settled()
}

// vertex returns the point of the basis in which the other unknowns rest at the true bounds, if it is in the region.
func (s *search) vertex() (vector, bool) {
	w := s.solver
	x := make([]int64, len(s.lower))
	right := make([]int64, len(w.basis))
	for v := range x {
		if w.slot[v] >= 0 {
			continue
		}
		switch w.x[v] {
		case w.lower[v]:
			x[v] = s.lower[v]
		case w.upper[v]:
			x[v] = s.upper[v]
		}
		rows, values := w.matrix.column(v)
		for i, r := range rows {
			right[r] -= int64(values[i]) * x[v]
		}
	}
	basic, ok := solveExactly(w.inBasis(), right)
	if !ok {
		return vector{}, false
	}
	vertex := vector{numerators: make([]*big.Int, len(x)), denominator: basic.denominator}
	for v := range x {
		if slot := w.slot[v]; slot >= 0 {
			vertex.numerators[v] = basic.numerators[slot]
		} else {
			vertex.numerators[v] = new(big.Int).Mul(big.NewInt(x[v]), basic.denominator)
		}
	}
	return vertex, s.contains(vertex)
}

// contains reports whether a point is within the bounds and satisfies the equations, exactly.
func (s *search) contains(point vector) bool {
	product := new(big.Int)
	for v, x := range point.numerators {
		if x.Cmp(product.Mul(big.NewInt(s.lower[v]), point.denominator)) < 0 ||
			x.Cmp(product.Mul(big.NewInt(s.upper[v]), point.denominator)) > 0 {
			return false
		}
	}
	sum := new(big.Int)
	for _, equation := range s.system.Equations {
		sum.SetInt64(0)
		for _, t := range equation {
			addProduct(sum, product, t.Coefficient, point.numerators[t.Unknown])
		}
		if sum.Sign() != 0 {
			return false
		}
	}
	return true
}

// addProduct adds a·b to sum; room is any number that may change.
func addProduct(sum, room *big.Int, a int64, b *big.Int) {
	switch a {
	case 1:
		sum.Add(sum, b)
	case -1:
		sum.Sub(sum, b)
	default:
		sum.Add(sum, room.Mul(room.SetInt64(a), b))
	}
}

// bound returns what the multipliers of the basis say that sign·u is at least: with d = c − y·A, c·x = d·x for every
// point x of the system, and d·x is at least what it is at the bounds that suit d.
func (s *search) bound(u int, sign int64) (*big.Rat, bool) {
	w := s.solver
	right := make([]int64, len(w.basis))
	if slot := w.slot[u]; slot >= 0 {
		right[slot] = sign
	}
	y, ok := solveExactly(w.ofBasis(), right)
	if !ok {
		return nil, false
	}
	reduced := make([]*big.Int, len(s.lower))
	for v := range reduced {
		reduced[v] = new(big.Int)
	}
	product := new(big.Int)
	reduced[u].Mul(big.NewInt(sign), y.denominator)
	for r, equation := range s.system.Equations {
		if y.numerators[r].Sign() != 0 {
			for _, t := range equation {
				addProduct(reduced[t.Unknown], product, -t.Coefficient, y.numerators[r])
			}
		}
	}
	sum := new(big.Int)
	for v, d := range reduced {
		switch d.Sign() {
		case 1:
			addProduct(sum, product, s.lower[v], d)
		case -1:
			addProduct(sum, product, s.upper[v], d)
		}
	}
	return new(big.Rat).SetFrac(sum, y.denominator), true
}
