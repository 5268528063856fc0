package linear

import (
	"math"
)

// Fractions further than closeness from the multiples that they are taken for are none. It may be wide, for what is
// rounded is checked.
const closeness = 1e-3

// Round returns the point that x, computed in floating point, stands for: numerators over a common denominator from 1 to
// most that satisfy every equation exactly. It returns false where it finds none. Bounds are the caller's to check.
func (s *System) Round(x []float64, most int64) (numerators []int64, denominator int64, ok bool) {
	numerators, denominator, ok = fractions(x, most)
	return numerators, denominator, ok && s.Holds(numerators)
}

// fractions returns numbers as numerators over a common denominator that is at most most.
func fractions(x []float64, most int64) (numerators []int64, denominator int64, ok bool) {
	denominator = 1
	for _, v := range x {
		d, ok := fraction(v*float64(denominator), most/denominator)
		if !ok {
			return nil, 0, false
		}
		denominator *= d
	}
	numerators = make([]int64, len(x))
	for i, v := range x {
		rounded := math.RoundToEven(v * float64(denominator))
		if !(math.Abs(rounded) < 1<<52) {
			return nil, 0, false
		}
		numerators[i] = int64(rounded)
	}
	return numerators, denominator, true
}

// fraction returns the least denominator, at most most, of a fraction close to x, by the continued fraction of x.
func fraction(x float64, most int64) (denominator int64, ok bool) {
	before, denominator := int64(0), int64(1)
	rest := x - math.Floor(x)
	for range 20 {
		off := x * float64(denominator)
		if math.Abs(off-math.RoundToEven(off)) < closeness {
			return denominator, denominator <= most
		}
		rest = 1 / rest
		whole := math.Floor(rest)
		rest -= whole
		if !(whole < 1e6) {
			return 0, false
		}
		before, denominator = denominator, int64(whole)*denominator+before
		if denominator > most {
			return 0, false
		}
	}
	return 0, false
}
