package sharing_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

func TestSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newFigures()
	terms := w.terms()
	terms.Schedule = sharing.Schedule("R/" + w.now().UTC().Truncate(time.Minute).Format("2006-01-02T15:04Z") + "/PT30M")
	w.agree(t, terms)
	releases := func() int {
		t.Helper()
		all, _, err := w.aa.Releases(t.Context(), sharing.Page{})
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	if got := releases(); got != 1 {
		t.Fatalf("%d releases went when the agreement came into force, not one", got)
	}
	w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2023-02", 500)
	w.run(t)
	if got := releases(); got != 1 {
		t.Errorf("a change did not wait for its time")
	}
	if held := w.aa.Held(); len(held) != 1 || held[0].Reason != "SCHEDULE" || held[0].Partner != "bb" {
		t.Errorf("it is held: %+v", held)
	}
	w.pass(31 * time.Minute)
	w.run(t)
	if got := releases(); got != 2 || w.bb.figures.received["M,AA,1A,EAST,AFG,_T,2023-02"] != 500 {
		t.Errorf("%d releases went after its time", got)
	}
	if held := w.aa.Held(); len(held) != 1 { // until the next occurrence
		t.Errorf("it is held: %+v", held)
	}
	w.pass(30 * time.Minute)
	w.run(t)
	if got := releases(); got != 2 {
		t.Errorf("%d releases went though nothing had changed", got)
	}
}

func TestQuota(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newFigures() // 13 cells
	terms := w.terms()
	terms.Quota = &sharing.Quota{Observations: 14, Period: "P1D"}
	w.agree(t, terms)
	if len(w.bb.figures.received) != 13 {
		t.Fatalf("%d cells arrived", len(w.bb.figures.received))
	}
	w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 90)
	w.run(t)
	if w.bb.figures.received["M,AA,1A,_T,_T,_T,2023-01"] != 92 {
		t.Error("a release went that the quota has no room for")
	}
	if held := w.aa.Held(); len(held) != 1 || held[0].Reason != "QUOTA" || held[0].Until.Hour() != 0 {
		t.Errorf("it is held: %+v", held)
	}
	w.pass(24 * time.Hour)
	w.run(t)
	if w.bb.figures.received["M,AA,1A,_T,_T,_T,2023-01"] != 142 {
		t.Error("the release did not go in the next period")
	}
	if held := w.aa.Held(); len(held) != 0 {
		t.Errorf("it is still held: %+v", held)
	}
}

// forgetful is a store that does not know what has been put out.
type forgetful struct{ sharing.Store }

func (f forgetful) Write(ctx context.Context, do func(sharing.Tx) error) error {
	return f.Store.Write(ctx, func(tx sharing.Tx) error { return do(forgetfulTx{tx}) })
}

type forgetfulTx struct{ sharing.Tx }

func (forgetfulTx) SentSince(context.Context, sharing.AgreementID, time.Time) (sharing.Usage, error) {
	return sharing.Usage{}, nil
}

func TestQuotaAtTheReceiver(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	const total = "M,AA,1A,_T,_T,_T,2023-01"
	begin := func(t *testing.T) (w *world) {
		w = newWorld(t)
		w.newFigures() // 13 cells
		terms := w.terms()
		terms.Quota = &sharing.Quota{Observations: 14, Period: "P1D"}
		w.agree(t, terms)
		return w
	}
	steps := func(t *testing.T, s *state) {
		t.Helper()
		for _, step := range s.Steps() {
			if err := step(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	t.Run("it takes nothing beyond it, says until when, and goes on in the next period", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		config := w.aa.Config
		config.Store = forgetful{config.Store}
		w.aa.Service = sharing.New(config)
		w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", 90)
		steps(t, w.aa)
		before, err := w.bb.Cursor(ctx, "aa")
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			err := w.pull(ctx, w.bb, w.aa)
			over, ok := errors.AsType[*fault.Error](err)
			if !ok || over.Kind != fault.Exhausted || over.Reason != "LIMIT_EXCEEDED" || over.RetryAfter <= 0 || over.RetryAfter > 24*time.Hour {
				t.Fatalf("%v", err)
			}
		}
		if after, err := w.bb.Cursor(ctx, "aa"); err != nil || after != before || w.bb.figures.received[total] != 92 {
			t.Errorf("it moved from %v to %v, and has %v; %v", before, after, w.bb.figures.received[total], err)
		}
		w.pass(24 * time.Hour)
		w.run(t)
		if got := w.bb.figures.received[total]; got != 142 {
			t.Errorf("in the next period it has %v", got)
		}
	})
	t.Run("it takes at once what was put out within it in several periods", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		for day := range 3 {
			w.pass(24 * time.Hour)
			w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", float64(90+10*day))
			steps(t, w.aa)
		}
		w.run(t)
		if got := w.bb.figures.received[total]; got != 162 {
			t.Errorf("it has %v", got)
		}
	})
}
