package sharing

import (
	"crypto/rand"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

func TestLineageOthers(t *testing.T) {
	t.Parallel()
	derivations := []Derivation{
		{"N:LAND(1.0.0)", "C:ALL(1.0.0)"},
		{"N:SEA(2.1.0)", "C:ALL"},
		{"C:ALL(2.0.0)", "C:SUM(1.0.0)"},
		{"N:SEA", "N:SHIPS(1.0.0)"},
		{"X:A(1.0.0)", "X:A(2.0.0)"},
		{"Y:A", "Y:B"},
		{"Y:B", "Y:A"},
	}
	for flow, want := range map[string]string{
		"N:LAND":  "C:ALL C:SUM",
		"N:SEA":   "C:ALL C:SUM N:SHIPS",
		"N:SHIPS": "C:ALL C:SUM N:SEA",
		"C:ALL":   "C:SUM N:LAND N:SEA N:SHIPS",
		"C:SUM":   "C:ALL N:LAND N:SEA N:SHIPS",
		"X:A":     "",
		"Y:A":     "Y:B",
		"Z:A":     "",
	} {
		if got := strings.Join(newLineage(named(flow), derivations).others, " "); got != want {
			t.Errorf("%s: %s", flow, got)
		}
	}
}

// named returns a structure under another name; a dimension that is to be without is called something else.
func named(dataflow string, without ...string) *Structures {
	s := coast()
	s.Dataflow = dataflow
	for i := range s.Dimensions {
		if slices.Contains(without, s.Dimensions[i].ID) {
			s.Dimensions[i].ID = "OTHER_" + s.Dimensions[i].ID
		}
	}
	return s
}

func TestElsewhere(t *testing.T) {
	t.Parallel()
	nested := named("U:U(1.0.0)")
	nested.Dimensions[1].Codes = map[string]Code{"AA": {}, "A1": {Parent: "AA"}, "A11": {Parent: "A1"}, "BB": {}}
	nested.Dimensions[2].Codes = map[string]Code{"1": {}, "1A": {Parent: "1"}, "2": {}}
	derived := []Derivation{{"T:T(1.0.0)", "U:U(1.0.0)"}}
	for name, c := range map[string]struct {
		told        *Structures
		area, code  string // that was told of
		asked       *Structures
		areas       string // that are asked for, and the indicator
		indicator   string
		derivations []Derivation
		refused     bool
	}{
		"the same indicator":                      {told: named("T:T(1.0.0)"), area: "AA", code: "1A", asked: nested, areas: "AA", indicator: "1A", refused: true},
		"another indicator":                       {told: named("T:T(1.0.0)"), area: "AA", code: "2", asked: nested, areas: "AA", indicator: "1A"},
		"an indicator that it is a part of":       {told: named("T:T(1.0.0)"), area: "AA", code: "1", asked: nested, areas: "AA", indicator: "1A", refused: true},
		"a part of the indicator":                 {told: named("T:T(1.0.0)"), area: "AA", code: "1A", asked: nested, areas: "AA", indicator: "1", refused: true},
		"another area":                            {told: named("T:T(1.0.0)"), area: "BB", code: "1A", asked: nested, areas: "AA", indicator: "1A"},
		"a part of the area":                      {told: named("T:T(1.0.0)"), area: "A11", code: "1A", asked: nested, areas: "AA", indicator: "1A", refused: true},
		"an area that it is a part of":            {told: named("T:T(1.0.0)"), area: "AA", code: "1A", asked: nested, areas: "A11", indicator: "1A", refused: true},
		"all areas":                               {told: named("T:T(1.0.0)", refArea), area: "", code: "1A", asked: nested, areas: "AA", indicator: "1A", refused: true},
		"one of all areas":                        {told: named("T:T(1.0.0)"), area: "BB", code: "1A", asked: named("U:U(1.0.0)", refArea), areas: "AA BB", indicator: "1A", refused: true},
		"another version":                         {told: named("U:U(2.1.0)"), area: "AA", code: "1A", asked: nested, areas: "AA", indicator: "1A"},
		"another version, of its source":          {told: named("T:T(3.0.0)"), area: "AA", code: "2", asked: nested, areas: "AA", indicator: "1A", derivations: derived, refused: true},
		"what is made of it":                      {told: nested, area: "AA", code: "2", asked: named("T:T(1.0.0)"), areas: "BB", indicator: "1A", derivations: derived, refused: true},
		"its source, without indicators":          {told: named("T:T(1.0.0)", indicator), area: "AA", code: "1A", asked: nested, areas: "AA", indicator: "1A", derivations: derived, refused: true},
		"figures without indicators":              {told: named("T:T(1.0.0)", indicator), area: "AA", code: "1A", asked: nested, areas: "AA", indicator: "1A"},
		"figures with indicators that it has not": {told: named("T:T(1.0.0)"), area: "AA", code: "1A", asked: named("U:U(1.0.0)", indicator), areas: "AA", indicator: "1A"},
	} {
		t.Run("tells of "+name, func(t *testing.T) {
			t.Parallel()
			ctx, stack := t.Context(), ledger.NewMemory()
			release := ledger.Release{ID: "told", Revision: 1}
			for _, mark := range newLineage(c.told, c.derivations).marks(c.area, c.code) {
				release.Cells = append(release.Cells, ledger.Cell{Key: mark, Status: disclosure.Published})
			}
			verdict, err := ledger.Remember(ctx, []ledger.Stack{stack}, release, ledger.Options{Random: rand.Reader})
			if err != nil {
				t.Fatal(err)
			}
			if err := verdict.Record(ctx, []ledger.Stack{stack}); err != nil {
				t.Fatal(err)
			}
			for _, audiences := range [][]ledger.Reader{{stack}, {ledger.NewMemory(), stack}, {stack, ledger.NewMemory()}} {
				l := newLineage(c.asked, c.derivations)
				problem, err := l.elsewhere(ctx, audiences, strings.Fields(c.areas), c.indicator)
				if err != nil || (problem != nil) != c.refused {
					t.Errorf("%v, %v", problem, err)
				}
			}
		})
	}
}

func TestLineage(t *testing.T) {
	t.Parallel()
	figures := func(structures *Structures, derivations ...Derivation) *months {
		f := newMonths(map[[3]string]float64{{"2024-01", "W1", "R1"}: 2, {"2024-01", "W2", "R1"}: 60, {"2024-01", "E1", "R1"}: 70})
		structures.Dimensions[0].Codes = f.structures.Dimensions[0].Codes
		f.structures, f.derivations = structures, derivations
		return f
	}
	derived := Derivation{"N:N(1.0.0)", "T:T(1.0.0)"}
	for name, c := range map[string]struct {
		first, second *months
		want          string
	}{
		"has nobody told of one indicator by two dataflows": {
			figures(named("N:N(1.0.0)")), figures(named("T:T(1.0.0)")), "2024-01 who gets it was told of 1A by another dataflow than T:T before",
		},
		"has nobody told by a dataflow who was told by its source": {
			figures(named("N:N(1.0.0)", indicator)), figures(named("T:T(1.0.0)"), derived), "2024-01 who gets it was told of N:N before, which has figures in common with T:T",
		},
		"has nobody told by a dataflow who was told by what is made of it": {
			figures(named("T:T(1.0.0)")), figures(named("N:N(1.0.0)", indicator), derived), "2024-01 who gets it was told of T:T before, which has figures in common with N:N",
		},
		"has nobody told by the source of what was told, also when nothing is made of it any more": {
			figures(named("T:T(1.0.0)"), derived), figures(named("N:N(1.0.0)", indicator)), "2024-01 who gets it was told of 1A by another dataflow than N:N before",
		},
		"lets versions of a dataflow go": {figures(named("T:T(1.0.0)")), figures(named("T:T(2.0.0)")), ""},
		"lets unrelated dataflows go":    {figures(named("N:N(1.0.0)", indicator)), figures(named("T:T(1.0.0)")), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			one, other := ledger.NewMemory(), ledger.NewMemory()
			if first := c.first.give(t, monthly, one); len(first.made) != 1 {
				t.Fatalf("%+v", first.Notes)
			}
			for _, stacks := range [][]ledger.Stack{{one}, {other, one}} {
				second := c.second.give(t, monthly, stacks...)
				if got := strings.Join(second.refusals(), "; "); got != c.want || (len(second.made) == 0) != (c.want != "") {
					t.Errorf("%d tables, %q", len(second.made), got)
				}
				for _, r := range second.rows {
					if c.want != "" && r.conf == free {
						t.Errorf("%v goes", r)
					}
				}
			}
			if again := c.first.give(t, monthly, one); len(again.refusals()) != 0 {
				t.Errorf("the first one is kept back: %q", again.refusals())
			}
			if alone := c.second.give(t, monthly, ledger.NewMemory()); len(alone.made) != 1 {
				t.Errorf("somebody else is not told either: %q", alone.refusals())
			}
		})
	}
}
