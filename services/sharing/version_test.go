package sharing_test

import (
	"slices"
	"testing"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// add has a node know another version of the dataflow.
func (s *state) add(version string) {
	name := "TEST:CROSSINGS(" + version + ")"
	s.figures.others = append(s.figures.others, name)
	s.registry.mu.Lock()
	defer s.registry.mu.Unlock()
	s.registry.kept[name] = []string{}
}

// greet has each state hear which dataflows the other one has, a while later.
func (w *world) greet(t *testing.T) {
	t.Helper()
	w.pass(10e9)
	for _, pair := range [][]*state{{w.aa, w.bb}, {w.bb, w.aa}} {
		dataflows, err := pair[1].SharedDataflows(t.Context())
		must(t)(dataflows, err)
		must(t)(nil, pair[0].Speaks(t.Context(), pair[1].code, dataflows))
	}
}

// TestVersions shows that nodes speak the version of a dataflow that both have.
func TestVersions(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newFigures()
	for _, s := range []*state{w.aa, w.bb} {
		s.registry.kept[dataflow] = []string{}
	}
	w.greet(t)
	terms := w.terms()
	terms.Dataflow = "TEST:CROSSINGS(1.0+.0)"
	w.agree(t, terms)
	last := func() string {
		releases, _, err := w.aa.Releases(t.Context(), sharing.Page{Limit: 1})
		if err != nil || len(releases) != 1 {
			t.Fatalf("%d releases, %v", len(releases), err)
		}
		return releases[0].Dataflow
	}
	expect := func(t *testing.T, name string) {
		t.Helper()
		w.greet(t)
		w.run(t)
		if got := last(); got != name || w.bb.figures.flow != name || w.bb.figures.count() == 0 {
			t.Errorf("%d figures go in %s and arrive in %s, not in %s", w.bb.figures.count(), got, w.bb.figures.flow, name)
		}
	}
	t.Run("they speak the one that there is", func(t *testing.T) { expect(t, dataflow) })
	t.Run("they go on as before while only one has the next", func(t *testing.T) {
		w.aa.add("1.1.0")
		expect(t, dataflow)
	})
	t.Run("they speak the next once both have it, and leave nothing in the one before", func(t *testing.T) {
		w.bb.add("1.1.0")
		expect(t, "TEST:CROSSINGS(1.1.0)")
		if !slices.Equal(w.bb.figures.emptied, []string{dataflow}) {
			t.Errorf("emptied is %v", w.bb.figures.emptied)
		}
	})
	t.Run("they speak none of another major number", func(t *testing.T) {
		w.aa.add("2.0.0")
		w.bb.add("2.0.0")
		expect(t, "TEST:CROSSINGS(1.1.0)")
	})
	t.Run("they let nothing go where none is common, and say what is missing", func(t *testing.T) {
		must(t)(nil, w.aa.Speaks(t.Context(), "bb", []string{"TEST:CROSSINGS(2.0.0)"}))
		err := w.aa.Steps()[0](t.Context())
		if fault.Reason(err) != "INCOMPATIBLE" {
			t.Errorf("%v", err)
		}
		if w.bb.figures.count() == 0 {
			t.Error("what was there is gone")
		}
	})
}

func TestRange(t *testing.T) {
	t.Parallel()
	for _, x := range []struct {
		dataflow, named string
		want            bool
	}{
		{"X:Y(1.0.0)", "X:Y(1.0.0)", true},
		{"X:Y(1.1.0)", "X:Y(1.0.0)", false},
		{"X:Y(1.0.0)", "X:Y(1.0+.0)", true},
		{"X:Y(1.12.3)", "X:Y(1.2+.5)", true},
		{"X:Y(1.2.4)", "X:Y(1.2+.5)", false},
		{"X:Y(2.0.0)", "X:Y(1.0+.0)", false},
		{"X:Z(1.0.0)", "X:Y(1.0+.0)", false},
		{"X:Y(1.1.0-draft)", "X:Y(1.0+.0)", false},
		{"X:Y(1.0+.0)", "X:Y(1.0+.0)", false},
	} {
		if got := sharing.InRange(x.dataflow, x.named); got != x.want {
			t.Errorf("%s in %s: %v", x.dataflow, x.named, got)
		}
	}
}
