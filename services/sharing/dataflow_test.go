package sharing_test

import (
	"math"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// The same figures under two dataflows would be told twice, and held against each other never.
func TestSecondDataflow(t *testing.T) {
	t.Parallel()
	const native = "TEST:NATIVE(1.0.0)"
	start := func(t *testing.T) *world {
		w := newWorld(t)
		w.aa.figures.others, w.bb.figures.others = []string{native}, []string{native}
		w.aa.figures.derivations = []sharing.Derivation{{Source: native, Target: dataflow}}
		ruling := sharing.Ruling{Allow: true, Detail: map[string]string{"FREQ": "M"}, Obligations: sharing.Obligations{MinimumFrequency: 3}}
		w.aa.rules.published = map[string]sharing.Ruling{"1A": ruling, "5": ruling}
		return w
	}
	terms := func(w *world, dataflow string, indicators ...string) sharing.Terms {
		terms := w.terms()
		terms.ID, terms.Dataflow, terms.Indicators = "aa-bb-2", dataflow, indicators
		return terms
	}
	publish := func(t *testing.T, w *world, dataflow string, indicators ...string) sharing.Publication {
		t.Helper()
		published, err := w.aa.Publish(t.Context(), sharing.PublicationRequest{Dataflow: dataflow, Indicators: indicators})
		if err != nil {
			t.Fatal(err)
		}
		return published
	}
	refused := func(t *testing.T, err error, why string) {
		t.Helper()
		if fault.Reason(err) != "DISCLOSED_TOGETHER" || !strings.Contains(err.Error(), why) {
			t.Errorf("got %v", err)
		}
	}
	t.Run("is not agreed beside another one", func(t *testing.T) {
		t.Parallel()
		ctx, w := t.Context(), start(t)
		w.agree(t, w.terms())
		_, err := w.aa.Draft(ctx, terms(w, native, "5"))
		refused(t, err, "TEST:CROSSINGS by agreement aa-bb-1a, which has figures in common with TEST:NATIVE")
		w.aa.figures.derivations = nil
		_, err = w.aa.Draft(ctx, terms(w, native, "1A"))
		refused(t, err, "told of 1A by TEST:CROSSINGS under agreement aa-bb-1a, and cannot be by TEST:NATIVE")
		document, err := terms(w, native, "1A").Document()
		if err != nil {
			t.Fatal(err)
		}
		refused(t, w.aa.ReceiveProposal(ctx, "bb", w.bb.Keys.Current().Sign(sharing.AgreementType, document)), "aa-bb-1a")
		must(t)(w.aa.Draft(ctx, terms(w, native, "5"))) // which nobody knows to be the same
		must(t)(w.aa.Sign(ctx, "aa-bb-2"))
	})
	t.Run("is not signed beside another one", func(t *testing.T) {
		t.Parallel()
		ctx, w := t.Context(), start(t)
		must(t)(w.aa.Draft(ctx, terms(w, native, "1A")))
		w.agree(t, w.terms())
		_, err := w.aa.Sign(ctx, "aa-bb-2")
		refused(t, err, "aa-bb-1a")
	})
	t.Run("is not agreed after another one was told, whatever became of that", func(t *testing.T) {
		t.Parallel()
		ctx, w := t.Context(), start(t)
		w.newFigures()
		w.agree(t, w.terms())
		must(t)(w.aa.Terminate(ctx, "aa-bb-1a", "for the test"))
		_, err := w.aa.Draft(ctx, terms(w, native, "5"))
		refused(t, err, "told of TEST:CROSSINGS before")
	})
	t.Run("is not published after another one went to a partner", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		w.newFigures()
		w.agree(t, w.terms())
		published := publish(t, w, native, "1A")
		if published.Released != 0 || len(published.Notes) != 1 || published.Notes[0].Detail != nil ||
			published.Notes[0].Reason != "who gets it was told of TEST:CROSSINGS before, which has figures in common with TEST:NATIVE" {
			t.Errorf("%+v", published)
		}
		if value := w.aa.figures.received["M,AA,1A,_T,_T,_T,2023-01"]; !math.IsNaN(value) {
			t.Errorf("its total is shown as %v", value)
		}
		if published := publish(t, w, dataflow, "1A"); published.Released != 1 || len(published.Notes) != 0 {
			t.Errorf("%+v", published)
		}
	})
	t.Run("is not agreed, nor does it go, after another one was published", func(t *testing.T) {
		t.Parallel()
		ctx, w := t.Context(), start(t)
		w.agree(t, terms(w, native, "1A"))
		w.newFigures()
		if published := publish(t, w, dataflow, "1A"); published.Released != 1 {
			t.Errorf("%+v", published)
		}
		w.run(t)
		releases, _, err := w.aa.Releases(ctx, sharing.Page{Limit: 1})
		if err != nil || len(releases) != 1 {
			t.Fatal(releases, err)
		}
		if r := releases[0]; r.Released != 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0].Reason, "told of TEST:CROSSINGS before") {
			t.Errorf("%+v", r)
		}
		other := terms(w, native, "5")
		other.ID = "aa-bb-3"
		_, err = w.aa.Draft(ctx, other)
		refused(t, err, "told of TEST:CROSSINGS before")
		w.aa.figures.derivations = nil
		other.Indicators = []string{"1A"}
		_, err = w.aa.Draft(ctx, other)
		refused(t, err, "told of 1A by another dataflow than TEST:NATIVE before")
	})
	t.Run("is not published beside another one", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		w.newFigures()
		w.aa.figures.set("M,AA,5,NORTH,SYR,_T,2023-01", 70)
		publish(t, w, native, "1A")
		if published := publish(t, w, dataflow, "1A", "5"); published.Released != 0 || len(published.Notes) != 2 {
			t.Errorf("%+v", published)
		}
		w.aa.figures.derivations = nil
		if published := publish(t, w, dataflow, "1A", "5"); published.Released != 1 || len(published.Notes) != 1 {
			t.Errorf("%+v", published)
		}
	})
	t.Run("does not go while nobody can say what it is made of", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		w.newFigures()
		w.agree(t, w.terms())
		w.aa.figures.unsure = fault.New(fault.Unavailable, "UNAVAILABLE", "down")
		if _, err := w.aa.Publish(t.Context(), sharing.PublicationRequest{Indicators: []string{"1A"}}); !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	})
}
