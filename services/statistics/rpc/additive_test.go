package rpc_test

import (
	"fmt"
	"strings"
	"testing"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// TestAdditiveLoads sends what agencies send one after another, each its own part. With the default rules, none of it is
// anything that an officer had to let pass.
func TestAdditiveLoads(t *testing.T) {
	t.Parallel()
	months := func(pass func(month int) bool, figure func(month, nation int) float64, gate string, nations ...string) figures {
		rows := figures{}
		for month := range 24 {
			for i, nation := range nations {
				if pass == nil || pass(month) {
					rows[fmt.Sprintf("%s %s %d-%02d", gate, nation, 2022+month/12, month%12+1)] = figure(month, i)
				}
			}
		}
		return rows
	}
	all := []string{"Aland", "Bland", "Celand", "Others"}
	east := months(nil, func(month, i int) float64 { return float64(200 + 37*i + 11*(month%5)) }, "East", all...)
	// As many in each month as in the East, and of other nations: the sums are the same to 1 %.
	west := func(month, i int) float64 { return float64(200 + 37*(3-i) + 11*(month%5) + (month+i)%3) }
	for name, further := range map[string]figures{
		"of another section with a similar sum": months(nil, west, "West", all...),
		"of another section with one nation, and the sum of the others": months(nil, func(month, _ int) float64 {
			return float64(4*200 + 37*6 + 44*(month%5))
		}, "West", "Aland"),
		"of a section that has nothing in some months": months(func(month int) bool { return month%5 != 3 }, west, "West", all...),
		"of the same section and other nations":        months(nil, west, "East", "Deland", "Eland", "Feland"),
		"of one further month":                         {"East Aland 2024-01": 200, "East Bland 2024-01": 230, "East Celand 2024-01": 270, "East Others 2024-01": 310},
		"of one month of another section":              months(func(month int) bool { return month == 7 }, west, "West", all...),
		"of a month long before":                       {"East Aland 2019-01": 200, "West Aland 2019-01": 230},
	} {
		t.Run("it takes a file "+name, func(t *testing.T) {
			t.Parallel()
			n := newMadeUp(t)
			n.putGates(t, "first", merge, east)
			if s := n.putGates(t, "second", merge, further); s.GetState() != statisticspb.Submission_ACCEPTED {
				t.Error(blocking(s))
			} else if f := find(s, "COUNTED_TWICE_IN_PART"); f != nil {
				t.Error(f)
			}
		})
	}
	t.Run("it takes one month after another from three agencies that share no key", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		for month := range 5 {
			for agency, gate := range []string{"East", "West", "South"} {
				rows := months(func(m int) bool { return m == month }, func(m, i int) float64 { return float64(100 + 3*m + 50*(i+agency)%170) }, gate, all...)
				if s := n.putGates(t, fmt.Sprint(gate, month), merge, rows); s.GetState() != statisticspb.Submission_ACCEPTED {
					t.Errorf("%s in month %d: %v", gate, month, blocking(s))
				}
			}
		}
	})
	t.Run("it takes two halves of one cube that share every code and no key", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		half := func(want int) figures {
			rows := figures{}
			for row, value := range twoYears(nil) {
				if (strings.Count(row, "a")+strings.Count(row, "t")+len(row))%2 == want {
					rows[row] = value
				}
			}
			return rows
		}
		for i := range 2 {
			if s := n.putGates(t, fmt.Sprint(i), merge, half(i)); s.GetState() != statisticspb.Submission_ACCEPTED {
				t.Error(blocking(s))
			}
		}
	})
	t.Run("it still stops the same figures under other names, a few of them revised", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		n.putGates(t, "first", merge, east)
		renamed := figures{}
		for row, value := range east {
			if strings.HasSuffix(row, "-04") {
				value += 25
			}
			renamed["Eastern "+strings.TrimPrefix(row, "East ")] = value
		}
		if s := n.putGates(t, "second", merge, renamed); blocking(s)["COUNTED_TWICE"].GetColumn() != "GATE" {
			t.Errorf("%v %v", s.GetState(), s.GetFindings())
		}
	})
}
