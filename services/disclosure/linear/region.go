package linear

import (
	"errors"
	"fmt"
	"math/big"
)

// Region is the points in which every equation of System holds and Lower ≤ point ≤ Upper: what a reader of a published
// table knows about its cells. Slices are of length System.Unknowns. Lower = Upper says that an unknown is known.
// Numbers are between ±2⁵⁰.
type Region struct {
	System       *System
	Lower, Upper []int64
	Inside       []int64 // one point of the region: the true values
}

// Interval is the least and the greatest value that an unknown takes in a region.
type Interval struct {
	Low, High *big.Rat
}

// ErrLimit is returned for an interval that was not settled within the limit of iterations.
var ErrLimit = errors.New("the limit of iterations came before the answer")

// ErrRegion is returned for a region whose inner point is not in it.
var ErrRegion = errors.New("the inner point is not in the region")

// Interval returns the exact interval of an unknown. Each end is attained by a point of the region and proved by
// multipliers of the equations, both checked in exact arithmetic. The interval is about real, not integer, points.
// Errors are ErrLimit, ErrRegion, and what [System.Check] returns.
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
	ranges, err := r.Ranges(unknowns, Effort{Steps: limit})
	if err != nil {
		return nil, err
	}
	intervals := make([]Interval, len(unknowns))
	for i, u := range unknowns {
		if !ranges[i].Exact() {
			return nil, fmt.Errorf("unknown %d: %w", u, ErrLimit)
		}
		intervals[i] = ranges[i].Interval
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
