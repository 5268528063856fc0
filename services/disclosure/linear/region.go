package linear

import (
	"errors"
	"fmt"
	"math"
	"math/big"
)

// Region is the points in which every equation of System holds and Lower ≤ point ≤ Upper: what a reader of a published
// table knows about its cells. Slices are of length System.Unknowns. Lower = Upper says that an unknown is known;
// [NoLower] and [NoUpper] say that there is no bound. Numbers are between ±2⁵⁰.
type Region struct {
	System       *System
	Lower, Upper []int64
	Inside       []int64 // one point of the region: the true values
}

// Bounds that are none.
const (
	NoLower int64 = math.MinInt64
	NoUpper int64 = math.MaxInt64
)

// Interval is the least and the greatest value that an unknown takes in a region; nil where there is none.
type Interval struct {
	Low, High *big.Rat
}

// ErrLimit is returned for an interval that was not settled within the limit of iterations.
var ErrLimit = errors.New("the limit of iterations came before the answer")

// Interval returns the exact interval of an unknown. Each end is attained by a point of the region and proved by
// multipliers of the equations, both checked in exact arithmetic. The interval is about real, not integer, points.
// Errors are ErrLimit, ErrStart where Inside is not in the region, and what [System.Check] returns.
func (r *Region) Interval(unknown, limit int) (Interval, error) {
	intervals, err := r.Intervals([]int{unknown}, limit)
	if err != nil {
		return Interval{}, err
	}
	return intervals[0], nil
}

// Intervals returns the exact intervals of several unknowns, as Interval does but faster than one by one. The limit is
// for each end of each interval.
func (r *Region) Intervals(unknowns []int, limit int) ([]Interval, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	var open []int
	for u := range r.System.Unknowns {
		if r.Lower[u] < r.Upper[u] {
			open = append(open, u)
		}
	}
	parts := r.System.components(open)
	searches := make(map[int]*search, 1)
	intervals := make([]Interval, len(unknowns))
	for i, u := range unknowns {
		if r.Lower[u] == r.Upper[u] {
			value := new(big.Rat).SetInt64(r.Inside[u])
			intervals[i] = Interval{Low: value, High: value}
			continue
		}
		part := parts.of[u]
		if searches[part] == nil {
			searches[part] = r.search(parts.members[part])
		}
		var err error
		if intervals[i], err = searches[part].interval(u, limit); err != nil {
			return nil, fmt.Errorf("unknown %d: %w", u, err)
		}
	}
	return intervals, nil
}

func (r *Region) check() error {
	if err := r.System.Check(); err != nil {
		return err
	}
	n := r.System.Unknowns
	if len(r.Lower) != n || len(r.Upper) != n || len(r.Inside) != n {
		return fmt.Errorf("%d lower and %d upper bounds and %d values of %d unknowns", len(r.Lower), len(r.Upper), len(r.Inside), n)
	}
	const most = 1 << 50
	for u, x := range r.Inside {
		low, high := r.Lower[u], r.Upper[u]
		switch {
		case low > x || x > high:
			return fmt.Errorf("unknown %d is not within its bounds: %w", u, ErrStart)
		case x < -most || x > most || low < -most && low != NoLower || high > most && high != NoUpper:
			return fmt.Errorf("unknown %d or a bound of it is beyond 2⁵⁰: %w", u, ErrStart)
		}
	}
	if !r.System.Holds(r.Inside) {
		return fmt.Errorf("the values do not satisfy the equations: %w", ErrStart)
	}
	return nil
}

// components is how unknowns hang together by equations.
type components struct {
	of      []int // unknown → component
	members [][]int
}

// components splits the unknowns of open, the others being known.
func (s *System) components(open []int) components {
	parent := make([]int, s.Unknowns)
	for u := range parent {
		parent[u] = -1
	}
	for _, u := range open {
		parent[u] = u
	}
	root := func(u int) int {
		for parent[u] != u {
			parent[u] = parent[parent[u]]
			u = parent[u]
		}
		return u
	}
	for _, equation := range s.Equations {
		first := -1
		for _, t := range equation {
			if parent[t.Unknown] < 0 {
				continue
			}
			if first < 0 {
				first = root(t.Unknown)
			}
			parent[root(t.Unknown)] = first
		}
	}
	c := components{of: make([]int, s.Unknowns)}
	number := make(map[int]int)
	for _, u := range open {
		at, ok := number[root(u)]
		if !ok {
			at = len(c.members)
			number[root(u)] = at
			c.members = append(c.members, nil)
		}
		c.of[u] = at
		c.members[at] = append(c.members[at], u)
	}
	return c
}

// search looks for the ends of intervals in a part of a region, as deviations from the point inside.
type search struct {
	system       *System
	position     map[int]int // unknown of the region → unknown of the part
	inside       []int64
	lower, upper []int64 // of deviations; NoLower and NoUpper as in a region
	solver       *simplex
}

func (r *Region) search(members []int) *search {
	s := &search{position: make(map[int]int, len(members))}
	s.system, _ = r.System.Restrict(members)
	p := &Program{System: s.system, Cost: make([]float64, len(members))}
	for i, u := range members {
		s.position[u] = i
		s.inside = append(s.inside, r.Inside[u])
		low, high := NoLower, NoUpper
		lower, upper := math.Inf(-1), math.Inf(1)
		if r.Lower[u] != NoLower {
			low = r.Lower[u] - r.Inside[u]
			lower = float64(low)
		}
		if r.Upper[u] != NoUpper {
			high = r.Upper[u] - r.Inside[u]
			upper = float64(high)
		}
		s.lower, s.upper = append(s.lower, low), append(s.upper, high)
		p.Lower, p.Upper = append(p.Lower, lower), append(p.Upper, upper)
	}
	s.solver = newSimplex(p)
	return s
}

func (s *search) interval(unknown, limit int) (Interval, error) {
	u := s.position[unknown]
	low, err := s.end(u, 1, limit)
	if err != nil {
		return Interval{}, err
	}
	high, err := s.end(u, -1, limit)
	if err != nil {
		return Interval{}, err
	}
	inside := new(big.Rat).SetInt64(s.inside[u])
	if low != nil {
		low.Add(low, inside)
	}
	if high != nil {
		high.Neg(high).Add(high, inside)
	}
	return Interval{Low: low, High: high}, nil
}

// end returns the least deviation of sign·u, exact; nil where there is none.
func (s *search) end(u int, sign int64, limit int) (*big.Rat, error) {
	w := s.solver
	w.cost[u] = float64(sign)
	defer func() { w.cost[u] = 0 }()
	switch w.minimise(limit) {
	case limited:
		return nil, ErrLimit
	case optimal:
		if least, ok := s.proved(u, sign); ok {
			return least, nil
		}
	case unbounded: // so says the floating point
	}
	return s.exact(u, sign, limit)
}

// proved reads off the vertex and the multipliers that the search ended in, and returns the least deviation of sign·u if
// they prove it: the vertex is in the region, and no point of the region is below the bound that the multipliers give.
func (s *search) proved(u int, sign int64) (*big.Rat, bool) {
	s.solver.refactor()
	vertex, ok := s.vertex()
	if !ok {
		return nil, false
	}
	least := new(big.Rat).SetFrac(vertex.numerators[u], vertex.denominator)
	least.Mul(least, new(big.Rat).SetInt64(sign))
	bound, ok := s.bound(u, sign)
	return least, ok && bound.Cmp(least) == 0
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
		if s.lower[v] != NoLower && x.Cmp(product.Mul(big.NewInt(s.lower[v]), point.denominator)) < 0 ||
			s.upper[v] != NoUpper && x.Cmp(product.Mul(big.NewInt(s.upper[v]), point.denominator)) > 0 {
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
		bound := s.lower[v]
		switch d.Sign() {
		case 0:
			continue
		case -1:
			bound = s.upper[v]
		}
		if bound == NoLower || bound == NoUpper {
			return nil, false
		}
		addProduct(sum, product, bound, d)
	}
	return new(big.Rat).SetFrac(sum, y.denominator), true
}
