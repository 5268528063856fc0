package sharing_test

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/sharing"
)

// withdrawals returns the indicators that bb took out under each version.
func (w *world) withdrawals(t *testing.T) map[int][]string {
	t.Helper()
	versions, err := w.bb.Versions(t.Context(), "aa-bb-1a")
	if err != nil {
		t.Fatal(err)
	}
	withdrawn := map[int][]string{}
	for _, v := range versions {
		for _, x := range v.Withdrawn {
			withdrawn[v.Terms.Version] = append(withdrawn[v.Terms.Version], x.Indicators...)
		}
	}
	return withdrawn
}

func TestWithdrawal(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, change func(*sharing.Terms)) (*world, sharing.Terms) {
		w := newWorld(t)
		w.newFigures()
		terms := w.terms()
		terms.Indicators, terms.Afterwards = []string{"1A", "5A"}, sharing.Withdraw
		if change != nil {
			change(&terms)
		}
		w.agree(t, terms)
		if w.bb.figures.count() == 0 {
			t.Fatal("nothing was received")
		}
		return w, terms
	}
	t.Run("takes an indicator out once the agreement does not cover it any more", func(t *testing.T) {
		t.Parallel()
		w, terms := begin(t, nil)
		terms.Version, terms.Indicators = 2, []string{"1A"}
		w.agree(t, terms)
		if got := w.withdrawals(t); len(got) != 1 || !slices.Equal(got[1], []string{"5A"}) {
			t.Errorf("%v", got)
		}
	})
	t.Run("takes all out when the agreement is ended, once", func(t *testing.T) {
		t.Parallel()
		w, _ := begin(t, nil)
		must(t)(w.aa.Terminate(t.Context(), "aa-bb-1a", "over"))
		w.run(t)
		submitted := maps.Clone(w.bb.figures.submitted)
		w.run(t)
		if got := w.withdrawals(t); len(got) != 1 || !slices.Equal(got[1], []string{"1A", "5A"}) {
			t.Errorf("%v", got)
		}
		if w.bb.figures.count() != 0 || !maps.Equal(submitted, w.bb.figures.submitted) {
			t.Errorf("%d figures are left; %v, then %v", w.bb.figures.count(), submitted, w.bb.figures.submitted)
		}
		entries, err := w.bb.LogEntries(t.Context(), 0, 100)
		if err != nil {
			t.Fatal(err)
		}
		logged := slices.ContainsFunc(entries, func(e sharing.LogEntry) bool {
			return strings.HasPrefix(e.Subject, "aa-bb-1a/1/withdrawal/bb/") && bytes.Contains(e.Content, []byte("5A"))
		})
		if !logged {
			t.Error("the log does not have it")
		}
		if _, err := w.bb.verify(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("takes all out after the last day, and a renewal brings it back", func(t *testing.T) {
		t.Parallel()
		w, _ := begin(t, func(terms *sharing.Terms) { terms.ValidTo = time.Now().AddDate(0, 0, 3).Format(time.DateOnly) })
		w.pass(3 * 24 * time.Hour)
		w.run(t)
		if w.bb.figures.count() == 0 {
			t.Error("they went before the last day was over")
		}
		w.pass(24 * time.Hour)
		w.run(t)
		if w.bb.figures.count() != 0 {
			t.Error("they are still there")
		}
		must(t)(w.aa.Renew(t.Context(), "aa-bb-1a", ""))
		w.run(t)
		must(t)(w.bb.Sign(t.Context(), "aa-bb-1a"))
		w.run(t)
		if w.bb.figures.count() == 0 {
			t.Error("they did not come back")
		}
	})
	t.Run("takes nothing out that another agreement covers", func(t *testing.T) {
		t.Parallel()
		w, terms := begin(t, nil)
		terms.ID = "aa-bb-other"
		w.agree(t, terms)
		must(t)(w.aa.Terminate(t.Context(), "aa-bb-1a", "over"))
		w.run(t)
		if got := w.withdrawals(t); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
	t.Run("leaves figures to their retention where the terms do not ask for it", func(t *testing.T) {
		t.Parallel()
		w, _ := begin(t, func(terms *sharing.Terms) { terms.Afterwards = sharing.Keep })
		must(t)(w.aa.Terminate(t.Context(), "aa-bb-1a", "over"))
		w.run(t)
		if w.bb.figures.count() == 0 || len(w.withdrawals(t)) != 0 {
			t.Error("they went")
		}
	})
	t.Run("is done when the statistics are back", func(t *testing.T) {
		t.Parallel()
		w, _ := begin(t, nil)
		must(t)(w.bb.Terminate(t.Context(), "aa-bb-1a", "over"))
		w.bb.figures.fall(errors.New("away"))
		if err := w.bb.Steps()[2](t.Context()); err == nil || len(w.withdrawals(t)) != 0 {
			t.Errorf("%v", err)
		}
		w.bb.figures.fall(nil)
		w.run(t)
		if w.bb.figures.count() != 0 {
			t.Error("they are still there")
		}
	})
	t.Run("is not undone by a release that was still waiting", func(t *testing.T) {
		t.Parallel()
		w, _ := begin(t, nil)
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2023-02", 500)
		w.bb.figures.fall(errors.New("away"))
		for _, step := range w.aa.Steps()[:2] {
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.pull(t.Context(), w.bb, w.aa); err != nil {
			t.Fatal(err)
		}
		must(t)(w.bb.Terminate(t.Context(), "aa-bb-1a", "over"))
		w.bb.figures.fall(nil)
		w.run(t)
		if w.bb.figures.count() != 0 {
			t.Error("it was stored")
		}
	})
}
