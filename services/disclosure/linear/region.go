package linear

import (
	"errors"
	"fmt"
)

// Region is the points in which every equation of System holds and Lower ≤ point ≤ Upper: what a reader of a published
// table knows about its cells. Slices are of length System.Unknowns. Lower = Upper says that an unknown is known.
// Numbers are between ±2⁵⁰.
type Region struct {
	System       *System
	Lower, Upper []int64
	Inside       []int64 // one point of the region: the true values
}

// ErrRegion is returned for a region whose inner point is not in it.
var ErrRegion = errors.New("the inner point is not in the region")

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
			return fmt.Errorf("unknown %d is not within its bounds: %w", u, ErrRegion)
		case low < -most || high > most:
			return fmt.Errorf("a bound of unknown %d is beyond 2⁵⁰: %w", u, ErrRegion)
		}
	}
	if !r.System.Holds(r.Inside) {
		return fmt.Errorf("the values do not satisfy the equations: %w", ErrRegion)
	}
	return nil
}
