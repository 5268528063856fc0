package sharing_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/sharing"
)

func TestContributors(t *testing.T) {
	t.Parallel()
	// The largest section has 90, 55 and 55 % of AFG, IRQ and SYR, the two largest have 100, 95 and 80 %.
	stored := map[string]float64{
		"NORTH,AFG": 90, "EAST,AFG": 10, "NORTH,IRQ": 55, "EAST,IRQ": 40, "SOUTH,IRQ": 5, "NORTH,SYR": 110, "EAST,SYR": 50, "SOUTH,SYR": 40,
	}
	dominance := func(n int, k float64, by string) *sharing.Dominance { return &sharing.Dominance{N: n, K: k, By: by} }
	byCitizenship := map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}
	bySection := map[string]string{"FREQ": "M", "SECTION": "section", "CITIZENSHIP": "country"}
	for name, test := range map[string]struct {
		change      map[string]float64 // of what is stored
		detail      map[string]string
		obligations sharing.Obligations
		rules       map[string]int // how many cells are withheld for which reason
		withheld    string         // some of them, and
		shown       string         // some that are not
	}{
		"withhold nothing without a rule": {
			nil, byCitizenship, sharing.Obligations{}, map[string]int{}, "", "_T,_T _T,AFG _T,IRQ _T,SYR",
		},
		"withhold a cell that one of them dominates": {
			nil, byCitizenship,
			sharing.Obligations{Dominance: dominance(1, 80, "SECTION")},
			map[string]int{"O": 1, "D": 1},
			"_T,AFG", "_T,_T",
		},
		"withhold a cell that two of them dominate": {
			nil, byCitizenship,
			sharing.Obligations{Dominance: dominance(2, 92, "SECTION")},
			map[string]int{"T": 2},
			"_T,AFG _T,IRQ", "_T,_T _T,SYR",
		},
		"withhold a cell in which one could tell another": {
			nil, byCitizenship,
			sharing.Obligations{PPercent: &sharing.PPercent{P: 15, By: "SECTION"}},
			map[string]int{"M": 2},
			"_T,AFG _T,IRQ", "_T,_T _T,SYR",
		},
		"withhold all cells of a single one": {
			nil, bySection,
			sharing.Obligations{Dominance: dominance(1, 95, "SECTION")},
			// Of two, each would know the other by the sum.
			map[string]int{"O": 11, "D": 2},
			"NORTH,_T NORTH,AFG SOUTH,SYR _T,AFG", "_T,_T _T,SYR",
		},
		"withhold a cell to which they do not add up": {
			map[string]float64{"_T,IRQ": 104},
			byCitizenship,
			sharing.Obligations{Dominance: dominance(1, 95, "SECTION")},
			map[string]int{"O": 2},
			"_T,IRQ _T,_T", "_T,AFG _T,SYR",
		},
		"withhold all where the rule is none": {
			nil, byCitizenship, sharing.Obligations{Dominance: dominance(0, 75, "SECTION")}, map[string]int{}, "_T,_T", "",
		},
		"withhold all where nobody knows them": {
			nil, byCitizenship,
			sharing.Obligations{Dominance: dominance(1, 95, "AGENCY")},
			map[string]int{"O": 4},
			"_T,_T _T,AFG _T,IRQ _T,SYR", "",
		},
		"withhold all that is not stored by them": {
			nil, byCitizenship,
			sharing.Obligations{PPercent: &sharing.PPercent{P: 10, By: "SEX"}},
			map[string]int{"M": 4},
			"_T,_T _T,AFG _T,IRQ _T,SYR", "",
		},
		"withhold what any of two rules withholds, each by its own": {
			nil, byCitizenship,
			sharing.Obligations{Dominance: dominance(1, 80, "SECTION"), PPercent: &sharing.PPercent{P: 1, By: "CITIZENSHIP"}},
			map[string]int{"O": 1, "M": 2},
			"_T,AFG _T,IRQ _T,SYR", "_T,_T",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for cell, value := range stored {
				w.aa.figures.set("M,AA,1A,"+cell+",_T,2023-01", value)
			}
			for cell, value := range test.change {
				w.aa.figures.set("M,AA,1A,"+cell+",_T,2023-01", value)
			}
			test.obligations.MinimumFrequency = 3
			w.aa.rules.published = map[string]sharing.Ruling{"1A": {Allow: true, Detail: test.detail, Obligations: test.obligations}}
			published, err := w.aa.Publish(t.Context(), sharing.PublicationRequest{Indicators: []string{"1A"}})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.rules, published.Rules); diff != "" {
				t.Errorf("%s\n%+v", diff, published.Notes)
			}
			at := func(cell string) float64 {
				value, there := w.aa.figures.received["M,AA,1A,"+cell+",_T,2023-01"]
				if !there {
					t.Errorf("%s is not there", cell)
				}
				return value
			}
			for _, cell := range strings.Fields(test.withheld) {
				if value := at(cell); !math.IsNaN(value) {
					t.Errorf("%s is %v", cell, value)
				}
			}
			for _, cell := range strings.Fields(test.shown) {
				if value := at(cell); math.IsNaN(value) {
					t.Errorf("%s is withheld", cell)
				}
			}
		})
	}
}
