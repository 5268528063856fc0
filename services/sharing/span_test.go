package sharing_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// periods returns the periods of which the receiver has figures.
func (f *figures) periods() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := map[string]bool{}
	for key := range f.received {
		seen[key[strings.LastIndexByte(key, ',')+1:]] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	agree := func(t *testing.T, w *world, version int, spans ...sharing.Span) {
		t.Helper()
		terms := w.terms()
		terms.Version, terms.Periods = version, spans
		w.agree(t, terms)
	}
	begin := func(t *testing.T) *world {
		w := newWorld(t)
		for _, month := range []string{"2023-11", "2023-12", "2024-01", "2024-02", "2024-03"} {
			w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,"+month, 40)
			w.aa.figures.set("M,AA,1A,SOUTH,AFG,_T,"+month, 50)
		}
		return w
	}
	t.Run("bound what goes, at both ends", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		agree(t, w, 1, sharing.Span{From: "2023-12", To: "2024-02"})
		if diff := cmp.Diff([]string{"2023-12", "2024-01", "2024-02"}, w.bb.figures.periods()); diff != "" {
			t.Error(diff)
		}
		releases, _, err := w.aa.Releases(t.Context(), sharing.Page{Limit: 1})
		if err != nil || len(releases) != 1 {
			t.Fatalf("%d releases, %v", len(releases), err)
		}
		notes := releases[0].Notes
		if len(notes) != 1 || !strings.HasPrefix(notes[0].Reason, "PERIOD_NOT_COVERED") || !cmp.Equal(notes[0].Periods, []string{"2023-11", "2024-03"}) {
			t.Errorf("%+v", notes)
		}
	})
	t.Run("may be open at an end, and several", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		agree(t, w, 1, sharing.Span{To: "2023-11"}, sharing.Span{From: "2024-02"})
		if diff := cmp.Diff([]string{"2023-11", "2024-02", "2024-03"}, w.bb.figures.periods()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("take out what a later version covers no more, and bring in what it covers more", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		agree(t, w, 1, sharing.Span{From: "2024"})
		agree(t, w, 2, sharing.Span{To: "2024-01"})
		if diff := cmp.Diff([]string{"2023-11", "2023-12", "2024-01"}, w.bb.figures.periods()); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("are explained", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		agree(t, w, 1, sharing.Span{From: "2024"})
		explained, err := w.aa.Explain(t.Context(), sharing.ExplainRequest{Partner: "bb", Indicator: "1A"})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(sharing.Spans{{From: "2024"}}, explained.Periods); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPeriods_are_refused_that_are_none(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, span := range map[string]sharing.Span{
		"empty":     {},
		"no period": {From: "spring"},
		"backwards": {From: "2024-02", To: "2024-01"},
	} {
		t.Run(name, func(t *testing.T) {
			terms := w.terms()
			terms.Periods = sharing.Spans{span}
			if _, err := w.aa.Draft(t.Context(), terms); !fault.Is(err, fault.Invalid) {
				t.Errorf("it is drafted: %v", err)
			}
		})
	}
}

func TestReceive_refuses_a_period_that_was_not_agreed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	terms := w.terms()
	terms.Periods = sharing.Spans{{From: "2030"}}
	w.agree(t, terms)
	w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2030-01", 40)
	for _, step := range w.aa.Steps() {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	out := w.next(t)
	if len(out) != 1 {
		t.Fatalf("%d envelopes wait", len(out))
	}
	forged := w.refill(t, out[0].Envelope, "M,AA,1A,NORTH,SYR,_T,2023-01", 40)
	if _, err := w.bb.Receive(t.Context(), "aa", forged); fault.Reason(err) != "RECEIVE_REFUSED" || !strings.Contains(err.Error(), "covers from 2030") {
		t.Errorf("%v", err)
	}
}
