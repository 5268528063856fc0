package linear

import (
	"math/rand/v2"
)

// simplex is the primal simplex method for bounded variables with convex piecewise linear costs (Fourer 1985). Variables
// are the unknowns and, after them, one fixed at 0 an equation, which only stand in where equations depend on each other.
// Those in the basis follow from the others, which rest at a bound, at a kink of their cost or where they started.
//
// Bounds, and kinks at 0, are moved a little and at random: in tables many would meet in one point, and the search would
// stand there. settled gives the vertex without that.
type simplex struct {
	matrix       matrix
	program      *Program
	lower, upper []float64
	cost         []float64
	penalty      []float64 // the cost of going below low or above high, beside cost
	low, high    []float64 // kinks
	x            []float64
	basis        []int  // slot → variable
	slot         []int  // variable → slot, or −1
	piece        []int8 // slot → the piece of its variable's cost: −1 below −free, 1 above free
	factor       factor
	values       []float64 // by slot, in use within a step
	worth        []float64 // variable out of the basis → what the basis saves with a unit of it
	stale        staleness // of worth
	row          []float64 // by row
	direction    []float64 // by slot
	events       []event
	tolerance    float64   // a gain below it is none
	idle         int       // steps since the point last moved
	weight       []float64 // variable → the square of how far the basis goes with it, about
	random       *rand.Rand
	iterations   int
	enough       <-chan struct{} // once it is closed, the search ends as if at its limit
}

// newSimplex starts at x, a point of the system within its bounds.
func newSimplex(p *Program) *simplex {
	s := p.System
	rows, columns := len(s.Equations), s.Unknowns
	all := rows + columns
	w := &simplex{
		matrix: newMatrix(s), program: p,
		lower: make([]float64, all), upper: make([]float64, all), cost: make([]float64, all),
		penalty: make([]float64, all), low: make([]float64, all), high: make([]float64, all), x: make([]float64, all),
		basis: make([]int, rows), slot: make([]int, all), piece: make([]int8, rows),
		values: make([]float64, rows), worth: make([]float64, all), row: make([]float64, rows), direction: make([]float64, rows),
		weight: make([]float64, all),
		random: rand.New(rand.NewPCG(1, 1)), //nolint:gosec // breaks ties; the same program must have the same solution
	}
	copy(w.cost, p.Cost)
	copy(w.penalty, p.Penalty)
	copy(w.high, p.Free)
	copy(w.x, p.Start)
	for u := range columns {
		w.lower[u], w.upper[u] = p.Lower[u], p.Upper[u]
		if p.Lower[u] < p.Upper[u] {
			w.lower[u] -= boundShift * (1 + w.random.Float64())
			w.upper[u] += boundShift * (1 + w.random.Float64())
		}
		if w.low[u] = -w.high[u]; w.high[u] == 0 {
			w.low[u] = kinkShift * (1 + w.random.Float64())
			w.high[u] = w.low[u]
		}
	}
	for v := range w.weight {
		w.weight[v] = 1
	}
	w.factor.matrix = &w.matrix
	w.crash(s)
	for v := range w.slot {
		w.slot[v] = -1
	}
	for slot, v := range w.basis {
		w.slot[v] = slot
	}
	for u := range columns {
		if w.slot[u] < 0 && w.x[u] == 0 && w.penalty[u] > 0 && w.low[u] == w.high[u] && w.lower[u] < w.upper[u] {
			w.x[u] = w.low[u]
		}
	}
	w.refactor()
	return w
}

// How far bounds and kinks are moved, and at most twice as far. Kinks move less, for the first point moves with them.
const (
	boundShift = 1e-6
	kinkShift  = 1e-8
)

// settled returns the point that follows where the variables out of the basis rest at their true bounds and kinks.
func (w *simplex) settled() []float64 {
	x := make([]float64, w.matrix.columns)
	right := w.factor.work
	for u := range x {
		if w.slot[u] >= 0 {
			continue
		}
		switch x[u] = w.x[u]; {
		case w.x[u] == w.lower[u]:
			x[u] = w.program.Lower[u]
		case w.x[u] == w.upper[u]:
			x[u] = w.program.Upper[u]
		case w.low[u] == w.high[u] && w.x[u] == w.low[u]:
			x[u] = 0
		}
		rows, values := w.matrix.column(u)
		for i, r := range rows {
			right[r] -= values[i] * x[u]
		}
	}
	w.factor.solve(right, w.values)
	for slot, v := range w.basis {
		if v < len(x) {
			x[v] = w.values[slot]
		}
	}
	return x
}

// crash chooses the first basis: the pivots of an elimination, and unit columns for equations that follow from others.
func (w *simplex) crash(s *System) {
	f := newField(mersenne)
	movable := make([]int, 0, s.Unknowns)
	for u := range s.Unknowns {
		if w.lower[u] < w.upper[u] {
			movable = append(movable, u)
		}
	}
	restricted, equations := s.Restrict(movable)
	for r := range w.basis {
		w.basis[r] = w.matrix.columns + r
	}
	for _, p := range eliminate(f, restricted.matrix(f, restricted.all()), len(movable)).pivots {
		w.basis[equations[p.row]] = movable[p.column]
	}
}

// refactor factors the basis anew and computes what is in it from what is not.
func (w *simplex) refactor() {
	w.stale = spoilt
	for _, e := range w.factor.set(w.basis) {
		w.piece[e.slot] = 0
	}
	for v := range w.slot {
		w.slot[v] = -1
	}
	for slot, v := range w.basis {
		w.slot[v] = slot
	}
	right := w.factor.work
	for v := range len(w.x) {
		if w.slot[v] >= 0 || w.x[v] == 0 {
			continue
		}
		rows, values := w.matrix.column(v)
		for i, r := range rows {
			right[r] -= values[i] * w.x[v]
		}
	}
	w.factor.solve(right, w.values)
	for slot, v := range w.basis {
		w.x[v] = w.values[slot]
		if w.iterations == 0 {
			w.piece[slot] = w.pieceAt(v)
		}
	}
}

// pieceAt returns the piece of a variable's cost at its value, the middle one at a kink.
func (w *simplex) pieceAt(v int) int8 {
	switch {
	case w.penalty[v] == 0:
		return 0
	case w.x[v] > w.high[v]:
		return 1
	case w.x[v] < w.low[v]:
		return -1
	}
	return 0
}

// pieceTowards returns the piece of a variable's cost that begins at its value and goes on upwards or downwards.
func (w *simplex) pieceTowards(v int, up bool) int8 {
	x := w.x[v]
	switch {
	case w.penalty[v] == 0:
		return 0
	case up && x >= w.high[v], !up && x > w.high[v]:
		return 1
	case up && x < w.low[v], !up && x <= w.low[v]:
		return -1
	}
	return 0
}

// slope returns what a variable costs in a piece.
func (w *simplex) slope(v int, piece int8) float64 {
	return w.cost[v] + w.penalty[v]*float64(piece)
}

// outcome is how a search ended.
type outcome int

const (
	optimal outcome = iota
	limited
	unbounded
)

// A basis is factored anew after so many exchanges.
const refactorAfter = 64

// minimise goes on to the cheapest point for at most limit iterations.
func (w *simplex) minimise(limit int) outcome {
	w.idle, w.stale = 0, spoilt // costs may have changed
	for range limit {
		entering, sign := w.price()
		if entering < 0 && w.stale != fresh { // what rounding left may promise nothing where there is more
			w.stale = spoilt
			entering, sign = w.price()
		}
		if entering < 0 {
			return optimal
		}
		if w.iterations++; w.iterations%64 == 0 && w.told() {
			return limited
		}
		if !w.move(entering, sign) {
			return unbounded
		}
		if len(w.factor.at) >= refactorAfter {
			w.refactor()
		}
	}
	return limited
}

// told reports whether it is to end.
func (w *simplex) told() bool {
	select {
	case <-w.enough:
		return true
	default:
		return false
	}
}
