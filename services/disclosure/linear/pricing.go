package linear

import "math"

// A basis that did not move the point for so many steps is left at random, which does not go round in circles.
const patience = 40

// staleness is how far worth can be relied on.
type staleness byte

const (
	fresh   staleness = iota
	updated           // and rounded each time
	spoilt
)

// value computes the worth of every variable out of the basis: c·B⁻¹·A, c being the costs of the basis.
func (w *simplex) value() {
	scale := 1.0
	for slot, v := range w.basis {
		w.values[slot] = w.slope(v, w.piece[slot])
		scale = max(scale, math.Abs(w.values[slot]))
	}
	w.tolerance = 1e-9 * scale
	w.factor.multiply(w.values, w.row)
	for v := range w.matrix.columns {
		if w.slot[v] < 0 && w.lower[v] < w.upper[v] {
			w.worth[v] = w.matrix.times(v, w.row)
		}
	}
	w.stale = fresh
}

// price chooses the variable that promises most by a unit of it, and the sign of its change; −1 where none promises.
func (w *simplex) price() (entering int, sign float64) {
	if w.stale == spoilt {
		w.value()
	}
	entering = -1
	var best float64
	for v := range w.matrix.columns {
		if w.slot[v] >= 0 || w.lower[v] == w.upper[v] {
			continue
		}
		worth := w.worth[v]
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

// update brings worth and weights up to date with an exchange of the variable in a slot for the entering one, which costs
// cost in the basis. The weights are those of Devex (Harris 1973).
func (w *simplex) update(entering, slot int, cost float64) {
	clear(w.values)
	w.values[slot] = 1
	w.factor.multiply(w.values, w.row)
	leaving, pivot := w.basis[slot], w.direction[slot]
	rise := (cost - w.worth[entering]) / pivot
	base := w.weight[entering] / (pivot * pivot)
	for v := range w.matrix.columns {
		if w.slot[v] < 0 && w.lower[v] < w.upper[v] {
			if a := w.matrix.times(v, w.row); a != 0 {
				w.worth[v] += rise * a
				w.weight[v] = max(w.weight[v], a*a*base)
			}
		}
	}
	w.worth[leaving] = w.slope(leaving, w.piece[slot]) + rise
	w.stale = max(w.stale, updated)
	if w.weight[leaving] = max(base, 1); w.weight[leaving] > 1e8 {
		for v := range w.weight {
			w.weight[v] = 1
		}
	}
}
