package linear

import (
	"cmp"
	"math"
	"slices"
)

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
	gain := w.worth[entering] - w.slope(entering, piece)
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
			w.stale = spoilt
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
	w.update(entering, e.slot, w.slope(entering, piece))
	w.x[leaving] = e.value
	w.slot[leaving], w.slot[entering] = -1, e.slot
	w.basis[e.slot], w.piece[e.slot] = entering, piece
	w.factor.exchange(e.slot, w.direction)
	return true
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
