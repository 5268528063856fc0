package sharing

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// none is a constraint that there are no figures of sections.
func none(sections ...string) Constraint {
	return Constraint{Exclude: []Region{{{Dimension: "SECTION", Codes: set(sections...)}}}}
}

func set(codes ...string) map[string]bool {
	made := map[string]bool{}
	for _, code := range codes {
		made[code] = true
	}
	return made
}

func TestMakeWhereThereCanBeNoFigures(t *testing.T) {
	t.Parallel()
	const secret = "W1,_T,_T,2024"
	// inWest has a restricted figure in W1, and the figure in W2, for which the constraints are.
	inWest := func(second float64, constraints ...Constraint) *archive {
		a := newArchive(map[string]float64{secret: 10, "W2,_T,_T,2024": second, "W3,_T,_T,2024": 20, "E1,_T,_T,2024": 30})
		a.stored[secret] = figure{value: 10, status: "A", conf: "C"}
		a.constraints = constraints
		return a
	}
	sections := map[string]string{freq: "A", "SECTION": "section"}
	guarded := "E = 30, E1 = 30, W = 30, W1 = Q, W2 = Q, W3 = 20, _T = 60"
	known := "E = 30, E1 = 30, W = 30, W1 = Q, W2 = 0, W3 = Q, _T = 60"
	before := Bound{Last: time.Date(2024, time.June, 30, 0, 0, 0, 0, time.UTC)}
	for name, c := range map[string]struct {
		of   *archive
		want string
	}{
		"protects by a zero that could be a figure":      {inWest(0), guarded},
		"protects by nothing that is excluded":           {inWest(0, none("W2")), known},
		"protects by nothing that is not included":       {inWest(0, Constraint{Include: []Region{{{Dimension: "SECTION", Codes: set("_T", "W", "E", "W1", "W3")}}}}), known},
		"protects by a zero that one region includes":    {inWest(0, Constraint{Include: []Region{{{Dimension: "SECTION", Codes: set("W1")}}, {}}}), guarded},
		"protects by a zero that a bound spares":         {inWest(0, Constraint{Exclude: []Region{{{Dimension: "SECTION", Codes: set("W2"), Negated: true}}}}), guarded},
		"protects by a zero of which parts are excluded": {inWest(0, Constraint{Exclude: []Region{{{Dimension: "SECTION", Codes: set("W2")}, {Dimension: "AGE", Codes: set("OLD")}}}}), guarded},
		"protects by a zero that a total excludes":       {inWest(0, none("W")), guarded},
		"protects by a zero of another time":             {inWest(0, Constraint{Exclude: []Region{{{Dimension: "SECTION", Codes: set("W2")}, before}}}), guarded},
		"protects by a figure that cannot be and is": {
			inWest(5, none("W2")), "E = 30, E1 = 30, W = 35, W1 = Q, W2 = Q, W3 = 20, _T = 65",
		},
	} {
		t.Run("it "+name, func(t *testing.T) {
			t.Parallel()
			made := c.of.make(t, sections)
			if got := strings.Join(made.show(inSections), ", "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	t.Run("it withholds one that may not be shown, without protecting anything by it", func(t *testing.T) {
		t.Parallel()
		a := inWest(0, none("W2"))
		a.stored["W2,_T,_T,2024"] = figure{status: "A", conf: "C"}
		made := a.make(t, sections)
		want := "E = 30, E1 = 30, W = 30, W1 = Q, W2 = Q, W3 = Q, _T = 60"
		if got := strings.Join(made.show(inSections), ", "); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		i := slices.IndexFunc(made.made[0].table.Cells, func(c disclosure.Cell) bool { return c.Key[0] == "W2" })
		if c := made.made[0].table.Cells[i]; c.Status != disclosure.Empty || !c.Absent {
			t.Errorf("it is %+v", c)
		}
	})
	t.Run("it lets a table go as it went before there was the constraint, and no other", func(t *testing.T) {
		t.Parallel()
		a, stack := inWest(0), ledger.NewMemory()
		give := func() (table, string) {
			decided := DecidedRequest{
				Question: Question{Indicator: "1A"}, Include: Condition{filter.True()},
				Ruling: Ruling{Detail: sections, Obligations: Obligations{MinimumFrequency: 3, RelativeWidth: 0.2}},
			}
			made, err := New(Config{State: "aa", Statistics: a}).tables(t.Context(), a.structures, []DecidedRequest{decided}, []string{"AA"}, nil, []audience{{Reader: stack}})
			if err != nil {
				t.Fatal(err)
			}
			if err := made.admit(t.Context(), []ledger.Stack{stack}, "test"); err != nil {
				t.Fatal(err)
			}
			made.settle()
			lines := made.show(inSections)
			slices.Sort(lines)
			return made, strings.Join(lines, ", ")
		}
		if _, got := give(); got != guarded {
			t.Fatalf("first  %s", got)
		}
		a.constraints = []Constraint{none("W2")}
		if made, got := give(); got != guarded || !made.made[0].known {
			t.Errorf("again  %s", got)
		}
		a.before = maps.Clone(a.stored)
		a.stored["E1,_T,_T,2024"] = figure{value: 31, status: "A", conf: free}
		if _, got := give(); got != "_T = Q" { // whoever knows W2 and W3 knows W1
			t.Errorf("then   %s", got)
		}
	})
	t.Run("it makes nothing where the constraints cannot be read", func(t *testing.T) {
		t.Parallel()
		a := &silentAboutConstraints{inWest(0)}
		decided := DecidedRequest{Question: Question{Indicator: "1A"}, Include: Condition{filter.True()}, Ruling: Ruling{Detail: sections}}
		made, err := New(Config{State: "aa", Statistics: a}).tables(t.Context(), a.structures, []DecidedRequest{decided}, []string{"AA"}, nil, nil)
		if err == nil || len(made.rows) > 0 {
			t.Errorf("%v, %v", made.rows, err)
		}
	})
}

// silentAboutConstraints is statistics that cannot say what constraints there are.
type silentAboutConstraints struct{ *archive }

func (silentAboutConstraints) Constraints(context.Context, string, StateCode) ([]Constraint, error) {
	return nil, context.DeadlineExceeded
}

func TestBoundsOfTime(t *testing.T) {
	t.Parallel()
	day := func(text string) (d time.Time) {
		if text != "" {
			d, _ = time.Parse(time.DateOnly, text)
		}
		return d
	}
	year := &sheet{first: day("2024-01-01"), last: day("2024-12-31")}
	got := map[string]bool{}
	for _, span := range []string{"", "2024-01-01 ", "2024-01-02 ", " 2024-12-31", " 2024-12-30", "2023-01-01 2025-12-31"} {
		first, last, _ := strings.Cut(span, " ")
		b := Bound{First: day(first), Last: day(last)}
		got[span] = b.holds(nil, nil, year)
		if b.Negated = true; b.holds(nil, nil, year) == got[span] {
			t.Errorf("%q holds as its opposite does", span)
		}
		if b.holds(nil, nil, &sheet{}) {
			t.Errorf("%q holds for a period that nobody knows", span)
		}
	}
	want := map[string]bool{"": true, "2024-01-01 ": true, "2024-01-02 ": false, " 2024-12-31": true, " 2024-12-30": false, "2023-01-01 2025-12-31": true}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
