package sharing_test

import (
	"testing"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

func TestProvenance(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newFigures()
	w.agree(t, w.terms())
	releases, _, err := w.aa.Releases(t.Context(), sharing.Page{})
	if err != nil || len(releases) != 1 {
		t.Fatal(releases, err)
	}
	w.bb.figures.origins = []sharing.Origin{
		{Revision: 9, Release: releases[0].ID, Figures: 7, KeepDays: 10, Stored: w.now()},
		{Revision: 7, Release: "0197a3c2-5b1e-7d40-8f6a-2b9c4e1d7f03", Figures: 2},
		{Revision: 5, Figures: 1},
	}
	ask := func(t *testing.T, page sharing.Page) ([]sharing.Provenance, string) {
		t.Helper()
		found, next, _, err := w.bb.Provenance(t.Context(), sharing.TraceQuery{Provider: "aa"}, page)
		if err != nil {
			t.Fatal(err)
		}
		return found, next
	}
	t.Run("says under which agreement, release and decision figures came", func(t *testing.T) {
		found, next := ask(t, sharing.Page{})
		first := found[0]
		if len(found) != 3 || next != "" || first.Agreement != "aa-bb-1a" || first.Version != 1 || first.Decision != releases[0].Decision ||
			len(first.Batches) != 1 || first.Expires.Sub(first.Stored).Hours() != 240 {
			t.Errorf("%+v, %q", found, next)
		}
		if w.bb.figures.traced.Dataflow != dataflow {
			t.Errorf("asked for %q", w.bb.figures.traced.Dataflow)
		}
	})
	t.Run("says what it can of figures whose envelopes are gone, or that came in none", func(t *testing.T) {
		found, _ := ask(t, sharing.Page{})
		for _, p := range found[1:] {
			if p.Agreement != "" || len(p.Batches) != 0 || p.Figures == 0 || !p.Expires.IsZero() || p.Provider != "aa" {
				t.Errorf("%+v", p)
			}
		}
	})
	t.Run("comes in pages", func(t *testing.T) {
		first, next := ask(t, sharing.Page{Limit: 2})
		second, end := ask(t, sharing.Page{Limit: 2, Token: next})
		if len(first) != 2 || len(second) != 1 || second[0].Revision != 5 || end != "" {
			t.Errorf("%+v, %q, %+v, %q", first, next, second, end)
		}
	})
	t.Run("is refused", func(t *testing.T) {
		for _, c := range []struct {
			provider sharing.StateCode
			token    string
			want     string
		}{{"zz", "", "NOT_FOUND"}, {"bb", "", "NOT_FOUND"}, {"aa", "x", "INVALID_REQUEST"}} {
			_, _, _, err := w.bb.Provenance(t.Context(), sharing.TraceQuery{Provider: c.provider}, sharing.Page{Token: c.token})
			if fault.Reason(err) != c.want {
				t.Errorf("%+v: %v", c, err)
			}
		}
	})
}
