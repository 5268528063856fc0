package sharing_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// holds returns what bb holds of aa's figures under the one agreement.
func (w *world) holds(t *testing.T) sharing.Holding {
	t.Helper()
	holdings, err := w.aa.Holdings(t.Context(), "bb", false)
	if err != nil || len(holdings) != 1 {
		t.Fatalf("%+v, %v", holdings, err)
	}
	return holdings[0]
}

// stale returns how many holdings are stale, or have an open retraction.
func (w *world) stale(t *testing.T) int {
	t.Helper()
	holdings, err := w.aa.Holdings(t.Context(), "", true)
	if err != nil {
		t.Fatal(err)
	}
	return len(holdings)
}

func TestHoldings(t *testing.T) {
	t.Parallel()
	t.Run("says who holds stale figures after a correction, and since when, until they are acknowledged", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.newFigures()
		w.agree(t, w.terms())
		first := w.holds(t)
		if first.Stale || first.Held == nil || first.Held.ID != first.Newest.ID || first.Acknowledged.IsZero() || !first.InForce || w.stale(t) != 0 {
			t.Fatalf("%+v", first)
		}
		for _, value := range []float64{410, 400} {
			w.aa.figures.set("M,AA,1A,NORTH,SYR,_T,2023-01", value)
			for _, step := range w.aa.Steps()[:2] {
				if err := step(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
		}
		second := w.holds(t)
		if !second.Stale || second.Held.ID != first.Newest.ID || second.Newest.Revision <= first.Newest.Revision || second.Behind != 2 ||
			second.Since.IsZero() || second.Since.After(second.Newest.Created) || w.stale(t) != 1 {
			t.Errorf("%+v", second)
		}
		w.run(t)
		if third := w.holds(t); third.Stale || third.Held.ID != second.Newest.ID || !third.Since.IsZero() || w.stale(t) != 0 {
			t.Errorf("%+v", third)
		}
	})
	t.Run("says of a partner that has acknowledged nothing that it holds nothing", func(t *testing.T) {
		t.Parallel()
		w, _ := waiting(t, 1)
		// The table of before is acknowledged; that it is not any more is as if the receipts were lost.
		if _, err := w.aa.pool.Exec(t.Context(), `UPDATE outbox SET receipt = NULL, receipt_entry = NULL`); err != nil {
			t.Fatal(err)
		}
		if h := w.holds(t); !h.Stale || h.Held != nil || h.Behind != 2 || h.Since.IsZero() {
			t.Errorf("%+v", h)
		}
	})
	t.Run("does not take what a new epoch repeats for news", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.newFigures()
		w.agree(t, w.terms())
		if _, err := w.aa.pool.Exec(t.Context(), `UPDATE outbound SET epoch = gen_random_uuid(), sequence = 0, sha256 = NULL`); err != nil {
			t.Fatal(err)
		}
		for _, step := range w.aa.Steps()[:2] {
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if h := w.holds(t); h.Stale || h.Behind != 1 {
			t.Errorf("%+v", h)
		}
	})
	t.Run("knows no partner that is none", func(t *testing.T) {
		t.Parallel()
		if _, err := newWorld(t).aa.Holdings(t.Context(), "zz", false); !fault.Is(err, fault.NotFound) {
			t.Error(err)
		}
	})
}

func TestRetraction(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T, afterwards sharing.Afterwards) (*world, sharing.Terms) {
		w := newWorld(t)
		w.newFigures()
		terms := w.terms()
		terms.Indicators, terms.Afterwards = []string{"1A", "5A"}, afterwards
		w.agree(t, terms)
		return w, terms
	}
	t.Run("of an indicator taken out of an agreement stays open until the receiver has signed that it took it out", func(t *testing.T) {
		t.Parallel()
		w, terms := begin(t, sharing.Withdraw)
		if h := w.holds(t); len(h.Retractions) != 0 {
			t.Fatalf("%+v", h)
		}
		terms.Version, terms.Indicators = 2, []string{"1A"}
		must(t)(w.aa.Draft(t.Context(), terms))
		must(t)(w.aa.Sign(t.Context(), terms.ID))
		w.run(t)
		w.bb.figures.fall(errors.New("away"))
		must(t)(w.bb.Sign(t.Context(), terms.ID))
		for _, step := range []int{3, 2} {
			if err := w.bb.Steps()[step](t.Context()); (err == nil) != (step == 3) {
				t.Fatal(step, err)
			}
		}
		open := w.holds(t).Retractions
		if len(open) != 1 || open[0].Version != 1 || !slices.Equal(open[0].Indicators, []string{"5A"}) || !open[0].Acknowledged.IsZero() || w.stale(t) != 1 {
			t.Errorf("%+v", open)
		}
		w.bb.figures.fall(nil)
		w.run(t)
		w.run(t)
		done := w.holds(t).Retractions
		if len(done) != 1 || done[0].Acknowledged.IsZero() || w.stale(t) != 0 {
			t.Errorf("%+v", done)
		}
		versions, err := w.aa.Versions(t.Context(), terms.ID)
		if err != nil || len(versions[0].Withdrawn) != 1 || versions[0].Withdrawn[0].State != "bb" {
			t.Errorf("%+v, %v", versions, err)
		}
	})
	t.Run("after an agreement's end reaches a provider that was away, once, and is in both logs", func(t *testing.T) {
		t.Parallel()
		w, terms := begin(t, sharing.Withdraw)
		must(t)(w.aa.Terminate(t.Context(), terms.ID, "over"))
		if err := w.aa.Steps()[3](t.Context()); err != nil {
			t.Fatal(err)
		}
		w.bb.letters.down = errors.New("away")
		for _, step := range w.bb.Steps() {
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if h := w.holds(t); h.InForce || len(h.Retractions) != 1 || w.stale(t) != 1 {
			t.Errorf("%+v", h)
		}
		w.bb.letters.down = nil
		w.run(t)
		carried := w.bb.letters.carried
		w.run(t)
		if w.bb.letters.carried != carried {
			t.Error("it is said again")
		}
		if h := w.holds(t); len(h.Retractions) != 1 || h.Retractions[0].Acknowledged.IsZero() || w.stale(t) != 0 {
			t.Errorf("%+v", h)
		}
		for _, s := range []*state{w.aa, w.bb} {
			if n, err := s.verify(t.Context()); err != nil {
				t.Errorf("%s: after %d entries: %v", s.code, n, err)
			}
			flipEach(t, s, "withdrawal")
		}
	})
	t.Run("is not open where the receiver may keep the figures until their retention is over", func(t *testing.T) {
		t.Parallel()
		w, terms := begin(t, sharing.Keep)
		must(t)(w.aa.Terminate(t.Context(), terms.ID, "over"))
		w.run(t)
		if h := w.holds(t); len(h.Retractions) != 1 || !h.Retractions[0].Acknowledged.IsZero() || w.stale(t) != 0 {
			t.Errorf("%+v", h)
		}
	})
	t.Run("is taken from nobody but the receiver, for nothing but what was agreed", func(t *testing.T) {
		t.Parallel()
		w, terms := begin(t, sharing.Withdraw)
		said := sharing.Withdrawal{
			ID: "0197a3c2-5b1e-7d40-8f6a-2b9c4e1d7f03", Agreement: terms.ID, Version: 1, State: "bb", Indicators: []string{"5A"}, Created: w.now(),
		}
		for name, test := range map[string]struct {
			change func(*sharing.Withdrawal)
			by     *state
			want   string
		}{
			"by another key":               {nil, w.aa, "UNTRUSTED_SIGNER"},
			"for another state":            {func(s *sharing.Withdrawal) { s.State = "aa" }, w.bb, "ACCESS_DENIED"},
			"of what is not in it":         {func(s *sharing.Withdrawal) { s.Indicators = []string{"5B"} }, w.bb, "INVALID_REQUEST"},
			"of nothing":                   {func(s *sharing.Withdrawal) { s.Indicators = nil }, w.bb, "INVALID_REQUEST"},
			"without an id":                {func(s *sharing.Withdrawal) { s.ID = "x" }, w.bb, "INVALID_REQUEST"},
			"under a version that is none": {func(s *sharing.Withdrawal) { s.Version = 7 }, w.bb, "NOT_FOUND"},
		} {
			withdrawal := said
			if test.change != nil {
				test.change(&withdrawal)
			}
			payload, err := w.bb.Codec.EncodeWithdrawal(withdrawal)
			if err != nil {
				t.Fatal(err)
			}
			err = w.aa.ReceiveWithdrawal(t.Context(), "bb", test.by.Keys.Current().Sign(sharing.WithdrawalType, payload))
			if fault.Reason(err) != test.want {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
