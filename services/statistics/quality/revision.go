package quality

import "math"

// Revision compares a figure with what it was, both not negative, in the unit of the figures.
type Revision struct {
	Absolute float64 // after − before
	Relative float64 // (after − before) / before; infinite where it was 0, 0 where nothing changed
	Factor   float64 // the larger of after/before and before/after, from 1; infinite where one of them is 0
}

// Revise returns the size of a revision. The factor is the one that does not mind the direction: figures that are doubled
// and figures that are halved are both wrong by 2.
func Revise(before, after float64) Revision {
	r := Revision{Absolute: after - before, Factor: 1}
	if before == after {
		return r
	}
	r.Relative = r.Absolute / before
	r.Factor = max(before, after) / min(before, after)
	if math.IsNaN(r.Factor) || r.Factor < 0 {
		r.Factor = math.Inf(1)
	}
	return r
}
