package linear_test

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		equation linear.Equation
		fails    bool
	}{
		"takes a sum":                           {linear.Equation{{0, 1}, {1, -1}, {2, -1}}, false},
		"takes an empty equation":               {nil, false},
		"refuses an unknown beyond the last":    {linear.Equation{{3, 1}}, true},
		"refuses an unknown before the first":   {linear.Equation{{-1, 1}}, true},
		"refuses an unknown that comes twice":   {linear.Equation{{1, 1}, {0, 1}, {1, -1}}, true},
		"refuses a coefficient of nothing":      {linear.Equation{{1, 0}}, true},
		"refuses a coefficient that overflows":  {linear.Equation{{1, math.MinInt64}}, true},
		"takes the largest of the coefficients": {linear.Equation{{1, math.MaxInt32}, {0, math.MinInt32}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := linear.System{Unknowns: 3, Equations: []linear.Equation{{{0, 1}, {1, 1}}, c.equation}}
			if err := s.Check(); (err != nil) != c.fails {
				t.Error(err)
			}
		})
	}
}

func TestHolds(t *testing.T) {
	sum := linear.System{Unknowns: 3, Equations: []linear.Equation{{{0, 1}, {1, -1}, {2, -1}}}}
	for name, c := range map[string]struct {
		values []int64
		holds  bool
	}{
		"sees that a total is its parts":           {[]int64{5, 2, 3}, true},
		"sees that a total is not its parts":       {[]int64{5, 2, 2}, false},
		"sees negative deviations":                 {[]int64{-1, 2, -3}, true},
		"does not take a sum that wraps for right": {[]int64{0, math.MinInt64, math.MinInt64}, false},
		"adds beyond 63 bits":                      {[]int64{-1, math.MaxInt64, math.MinInt64}, true},
	} {
		t.Run(name, func(t *testing.T) {
			if sum.Holds(c.values) != c.holds {
				t.Errorf("%v: holds is %v", c.values, !c.holds)
			}
		})
	}
	wide := linear.System{Unknowns: 2, Equations: []linear.Equation{{{0, math.MaxInt32}, {1, 1 - math.MaxInt32}}}}
	if !wide.Holds([]int64{1 - math.MaxInt32, -math.MaxInt32}) || wide.Holds([]int64{math.MaxInt64, math.MinInt64}) {
		t.Error("a product beyond 63 bits is wrong")
	}
}

func TestRestrict(t *testing.T) {
	s := linear.System{Unknowns: 4, Equations: []linear.Equation{{{0, 1}, {1, -1}}, {{3, 5}}, {{2, 2}, {1, 7}, {3, 1}}}}
	restricted, equations := s.Restrict([]int{2, 1})
	want := &linear.System{Unknowns: 2, Equations: []linear.Equation{{{1, -1}}, {{0, 2}, {1, 7}}}}
	if diff := cmp.Diff(want, restricted); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]int{0, 2}, equations); diff != "" {
		t.Error(diff)
	}
}
