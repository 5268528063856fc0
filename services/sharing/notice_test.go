package sharing_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// publishNow publishes indicators.
func (w *world) publishNow(t *testing.T, correction *sharing.Correction, indicators ...string) sharing.Publication {
	t.Helper()
	p, err := w.aa.Publish(t.Context(), sharing.PublicationRequest{Indicators: indicators, Correction: correction})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// told returns the notices.
func (w *world) told(t *testing.T) []sharing.Notice {
	t.Helper()
	notices, _, err := w.aa.Notices(t.Context(), "", sharing.Page{Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	return notices
}

func TestWithdraw(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newCalendar(t)
	w.aa.figures.set("M,AA,5,EAST,IRQ,_T,2023-01", 50)
	first := w.publishNow(t, nil, "1A", "5")
	second := w.publishNow(t, nil, "5")
	t.Run("takes back what is still seen, and tells everybody", func(t *testing.T) {
		notice, err := w.aa.Withdraw(ctx, first.ID, "A point was counted twice.")
		if err != nil || notice.Publication != first.ID || len(notice.Indicators) != 1 || notice.Indicators[0] != "1A" {
			t.Fatalf("%+v, %v", notice, err)
		}
		for key := range w.aa.figures.received {
			if strings.Contains(key, ",1A,") {
				t.Errorf("%s is still there", key)
			}
		}
		if w.aa.figures.count() == 0 {
			t.Error("what another publication shows is gone too")
		}
		if got, err := w.aa.Publication(ctx, first.ID); err != nil || got.State != sharing.PublicationWithdrawn || got.Withdrawn.IsZero() {
			t.Errorf("%+v, %v", got, err)
		}
		if told := w.told(t); len(told) != 1 || told[0].ID != notice.ID || told[0].Reason != "A point was counted twice." {
			t.Errorf("%+v", told)
		}
	})
	t.Run("leaves in the ledger what was shown", func(t *testing.T) {
		var releases int
		if err := w.aa.pool.QueryRow(ctx, `SELECT count(*) FROM ledger_release`).Scan(&releases); err != nil || releases == 0 {
			t.Errorf("%d releases, %v", releases, err)
		}
	})
	t.Run("takes nothing back twice", func(t *testing.T) {
		if _, err := w.aa.Withdraw(ctx, first.ID, "Again."); !fault.Is(err, fault.Precondition) {
			t.Errorf("%v", err)
		}
	})
	t.Run("lets the same be published again", func(t *testing.T) {
		if _, err := w.aa.Withdraw(ctx, second.ID, "It is wrong."); err != nil {
			t.Fatal(err)
		}
		again := w.publishNow(t, nil, "1A")
		if again.ID == first.ID || again.State != sharing.PublicationStored || w.aa.figures.received[total] != 30 {
			t.Errorf("%+v", again)
		}
	})
	t.Run("never shows what waits for the statistics and is taken back", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", 40)
		w.aa.figures.fall(errors.New("down"))
		waiting := w.publishNow(t, nil, "1A")
		if _, err := w.aa.Withdraw(ctx, waiting.ID, "It is wrong."); err != nil {
			t.Fatal(err)
		}
		w.aa.figures.fall(nil)
		if err := w.aa.PublishAll(ctx); err != nil {
			t.Fatal(err)
		}
		if w.aa.figures.submitted[string(waiting.ID)] != 0 || w.aa.figures.count() != 0 {
			t.Errorf("%v", w.aa.figures.received)
		}
	})
	t.Run("says why, to everybody, or does nothing", func(t *testing.T) {
		if _, err := w.aa.Withdraw(ctx, first.ID, " "); !fault.Is(err, fault.Invalid) {
			t.Errorf("%v", err)
		}
		if _, err := w.aa.Withdraw(ctx, "nothing", "It is wrong."); !fault.Is(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
	})
	t.Run("is in the log", func(t *testing.T) {
		w.run(t)
		if n, err := w.aa.verify(ctx); err != nil {
			t.Errorf("after %d entries: %v", n, err)
		}
	})
}

func TestCorrection(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newCalendar(t)
	correction := &sharing.Correction{Text: "January 2023 was too low.", Reason: "A point sent its figures late."}
	request := sharing.PublicationRequest{Indicators: []string{"1A"}, Correction: correction}
	t.Run("corrects nothing that is not published", func(t *testing.T) {
		if _, err := w.aa.Publish(ctx, request); !fault.Is(err, fault.Precondition) {
			t.Errorf("%v", err)
		}
	})
	wrong := w.publishNow(t, nil, "1A")
	t.Run("corrects nothing where nothing has changed", func(t *testing.T) {
		if _, err := w.aa.Publish(ctx, request); !fault.Is(err, fault.Precondition) || len(w.told(t)) != 0 {
			t.Errorf("%v, %+v", err, w.told(t))
		}
	})
	t.Run("is told once the right figures are there, not before", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,EAST,IRQ,_T,2023-01", 35)
		w.aa.figures.fall(errors.New("down"))
		right := w.publishNow(t, correction, "1A")
		if told := w.told(t); len(told) != 0 {
			t.Errorf("%+v", told)
		}
		w.aa.figures.fall(nil)
		if err := w.aa.PublishAll(ctx); err != nil {
			t.Fatal(err)
		}
		told := w.told(t)
		if len(told) != 1 || told[0].Publication != wrong.ID || told[0].Replacement != right.ID || told[0].Text != correction.Text ||
			told[0].Reason != correction.Reason || told[0].Created.IsZero() || w.aa.figures.received[total] != 35 {
			t.Errorf("%+v", told)
		}
	})
	t.Run("says what and why", func(t *testing.T) {
		_, err := w.aa.Publish(ctx, sharing.PublicationRequest{Correction: &sharing.Correction{Text: "x"}})
		if !fault.Is(err, fault.Invalid) {
			t.Errorf("%v", err)
		}
	})
}

func TestPreview(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newCalendar(t)
	a := w.announce(t)
	t.Run("shows what would be published, also under embargo, and publishes nothing", func(t *testing.T) {
		preview, rows, err := w.aa.Preview(ctx, a.Request)
		if err != nil || preview.ID != "" || preview.Released != 2 || rows.Rows != 2 {
			t.Fatalf("%+v, %+v, %v", preview, rows, err)
		}
		all, _, err := w.aa.Publications(ctx, sharing.Page{Limit: 1})
		if err != nil || len(all) != 0 || w.aa.figures.count() != 0 {
			t.Errorf("%+v, %v", all, err)
		}
		var releases int
		if err := w.aa.pool.QueryRow(ctx, `SELECT count(*) FROM ledger_release`).Scan(&releases); err != nil || releases != 0 {
			t.Errorf("the ledgers have %d releases, %v", releases, err)
		}
	})
	t.Run("says why nothing would be", func(t *testing.T) {
		delete(w.aa.rules.published, "1A")
		if _, _, err := w.aa.Preview(ctx, a.Request); fault.Reason(err) != "INDICATOR_NOT_COVERED" {
			t.Errorf("%v", err)
		}
	})
}
