package linear

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
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
	duals        []float64 // by row
	row          []float64 // by row
	direction    []float64 // by slot
	events       []event
	tolerance    float64   // a gain below it is none
	idle         int       // steps since the point last moved
	weight       []float64 // variable → the square of how far the basis goes with it, about
	random       *rand.Rand
	iterations   int
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
		values: make([]float64, rows), duals: make([]float64, rows), row: make([]float64, rows), direction: make([]float64, rows),
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
	all := make([]int, len(movable))
	for i := range all {
		all[i] = i
	}
	for r := range w.basis {
		w.basis[r] = w.matrix.columns + r
	}
	for _, p := range eliminate(f, restricted.matrix(f, all), len(movable)).pivots {
		w.basis[equations[p.row]] = movable[p.column]
	}
}

// refactor factors the basis anew and computes what is in it from what is not.
func (w *simplex) refactor() {
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
	w.idle = 0
	for range limit {
		entering, sign := w.price()
		if entering < 0 {
			return optimal
		}
		w.iterations++
		if !w.move(entering, sign) {
			return unbounded
		}
		if len(w.factor.at) >= refactorAfter {
			w.refactor()
		}
	}
	return limited
}

// A basis that did not move the point for so many steps is left at random, which does not go round in circles.
const patience = 40

// price chooses the variable that promises most by a unit of it, and the sign of its change; −1 where none promises.
func (w *simplex) price() (entering int, sign float64) {
	scale := 1.0
	for slot, v := range w.basis {
		w.values[slot] = w.slope(v, w.piece[slot])
		scale = max(scale, math.Abs(w.values[slot]))
	}
	w.factor.multiply(w.values, w.duals)
	w.tolerance = 1e-9 * scale
	entering = -1
	var best float64
	for v := range w.matrix.columns {
		if w.slot[v] >= 0 || w.lower[v] == w.upper[v] {
			continue
		}
		worth := w.matrix.times(v, w.duals)
		gain, direction := 0.0, 1.0
		if w.x[v] < w.upper[v] {
			gain = worth - w.slope(v, w.pieceTowards(v, true))
		}
		if w.x[v] > w.lower[v] {
			if down := w.slope(v, w.pieceTowards(v, false)) - worth; down > gain {
				gain, direction = down, -1
			}
		}
		if gain <= w.tolerance {
			continue
		}
		gain *= gain / w.weight[v]
		if w.idle > patience {
			gain = w.random.Float64()
		}
		if gain > best {
			best, entering, sign = gain, v, direction
		}
	}
	return entering, sign
}

// event is where a variable meets a bound or a kink of its cost while the entering one changes.
type event struct {
	step  float64 // the change of the entering variable
	steep float64 // by how much the cost of a further change rises; +Inf at a bound
	speed float64 // the variable's own change per unit
	value float64 // the bound or kink
	slot  int     // −1: the entering variable itself
	piece int8    // beyond a kink
}

// move changes the entering variable as long as that makes the point cheaper (the long-step rule), and exchanges it with
// the variable that stops it. It returns false where nothing stops it.
func (w *simplex) move(entering int, sign float64) bool {
	right := w.factor.work
	rows, values := w.matrix.column(entering)
	for i, r := range rows {
		right[r] = values[i]
	}
	w.factor.solve(right, w.direction)
	piece := w.pieceTowards(entering, sign > 0)
	gain := w.matrix.times(entering, w.duals) - w.slope(entering, piece)
	if sign < 0 {
		gain = -gain
	}
	w.events = w.events[:0]
	limit := w.meet(-1, entering, piece, sign, math.Inf(1))
	for slot, d := range w.direction {
		if math.Abs(d) > 1e-9 {
			limit = w.meet(slot, w.basis[slot], w.piece[slot], -sign*d, limit)
		}
	}
	stop := w.stop(gain, limit)
	if stop < 0 {
		return false
	}
	e := w.events[stop]
	for _, passed := range w.events[:stop] {
		if passed.slot < 0 {
			piece = passed.piece
		} else if !math.IsInf(passed.steep, 1) {
			w.piece[passed.slot] = passed.piece
		}
	}
	if w.idle++; e.step > 1e-12 {
		w.idle = 0
	}
	w.x[entering] += sign * e.step
	for slot, d := range w.direction {
		if d != 0 {
			w.x[w.basis[slot]] -= sign * e.step * d
		}
	}
	if e.slot < 0 {
		w.x[entering] = e.value
		return true
	}
	leaving := w.basis[e.slot]
	w.reweigh(entering, leaving, e.slot)
	w.x[leaving] = e.value
	w.slot[leaving], w.slot[entering] = -1, e.slot
	w.basis[e.slot], w.piece[e.slot] = entering, piece
	w.factor.exchange(e.slot, w.direction)
	return true
}

// reweigh brings the weights of the variables out of the basis up to date with an exchange (Forrest and Goldfarb 1992,
// Devex reference weights).
func (w *simplex) reweigh(entering, leaving, slot int) {
	clear(w.values)
	w.values[slot] = 1
	w.factor.multiply(w.values, w.row)
	pivot := w.direction[slot]
	base := w.weight[entering] / (pivot * pivot)
	for v := range w.matrix.columns {
		if w.slot[v] < 0 && w.lower[v] < w.upper[v] {
			if a := w.matrix.times(v, w.row); a != 0 {
				w.weight[v] = max(w.weight[v], a*a*base)
			}
		}
	}
	w.weight[leaving] = max(base, 1)
	if w.weight[leaving] > 1e8 {
		for v := range w.weight {
			w.weight[v] = 1
		}
	}
}

// meet notes the events of a variable that changes at a speed, as far as the limit, and returns the limit, which is
// where the first variable meets its bound.
func (w *simplex) meet(slot, v int, piece int8, speed, limit float64) float64 {
	sign := int8(1)
	bound := w.upper[v]
	if speed < 0 {
		sign, bound = -1, w.lower[v]
	}
	if w.penalty[v] > 0 {
		for piece != sign {
			kink := w.high[v]
			if piece < 0 || piece == 0 && sign < 0 {
				kink = w.low[v]
			}
			if sign > 0 && kink >= bound || sign < 0 && kink <= bound {
				break
			}
			piece += sign
			step := max(0, (kink-w.x[v])/speed)
			if step > limit {
				return limit
			}
			w.events = append(w.events, event{step, w.penalty[v] * math.Abs(speed), speed, kink, slot, piece})
		}
	}
	if math.IsInf(bound, 0) {
		return limit
	}
	step := max(0, (bound-w.x[v])/speed)
	if step > limit+1e-9 {
		return limit
	}
	w.events = append(w.events, event{step, math.Inf(1), speed, bound, slot, piece})
	return min(limit, step)
}

// stop sorts the events and returns the one up to which the point becomes cheaper, or −1. Of events at the same place it
// prefers a fast variable, whose exchange loses least to rounding.
func (w *simplex) stop(gain, limit float64) int {
	w.events = slices.DeleteFunc(w.events, func(e event) bool { return e.step > limit+1e-9 })
	order := 0 // of variables at the same place
	if w.idle > patience {
		order = w.random.IntN(1 << 30)
	}
	slices.SortStableFunc(w.events, func(a, b event) int {
		return cmp.Or(cmp.Compare(a.step, b.step), cmp.Compare(order^a.slot, order^b.slot))
	})
	for i, e := range w.events {
		if gain -= e.steep; gain > w.tolerance {
			continue
		}
		best := i
		for k := i + 1; k < len(w.events) && w.events[k].step <= e.step+1e-10; k++ {
			if w.idle <= patience && math.Abs(w.events[k].speed) > 1.5*math.Abs(w.events[best].speed) && w.first(k) {
				best = k
			}
		}
		return best
	}
	return -1
}

// first reports whether no event before k is of the same variable at the same place.
func (w *simplex) first(k int) bool {
	for i := k - 1; i >= 0 && w.events[i].step >= w.events[k].step-1e-10; i-- {
		if w.events[i].slot == w.events[k].slot {
			return false
		}
	}
	return true
}
