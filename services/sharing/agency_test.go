package sharing_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// athome are the terms by which the statistics office of aa gives figures to its border agency.
func (w *world) athome() sharing.Terms {
	terms := w.terms()
	terms.ID, terms.Provider, terms.Receiver, terms.Tier = "at-home", "aa/statistics", "aa/border", "NATIONAL"
	return terms
}

// serve has aa release and hand over.
func (w *world) serve(t *testing.T) {
	t.Helper()
	for range 2 {
		for _, step := range w.aa.Steps() {
			must(t)(nil, step(t.Context()))
		}
		must(t)(nil, w.aa.ServeAgencies(t.Context()))
	}
}

func TestAgency(t *testing.T) {
	t.Parallel()
	begin := func(t *testing.T) *world {
		w := newWorld(t)
		w.newFigures()
		must(t)(w.aa.Draft(t.Context(), w.athome()))
		must(t)(w.aa.SignAs(t.Context(), "aa/statistics", "at-home", 0))
		return w
	}
	t.Run("gets nothing before both have signed, and then what was agreed, protected", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		w.serve(t)
		if n := len(w.aa.figures.submitted); n != 0 {
			t.Fatalf("%d submissions", n)
		}
		must(t)(w.aa.SignAs(t.Context(), "aa/border", "at-home", 1))
		w.serve(t)
		if w.aa.figures.provider != "aa/border" || w.aa.figures.count() == 0 {
			t.Fatalf("%d figures of %q", w.aa.figures.count(), w.aa.figures.provider)
		}
		if status := w.aa.figures.statuses["M,AA,1A,SOUTH,SYR,_T,2023-01"]; status != "Q C" {
			t.Errorf("a count of one goes as %q", status)
		}
		deliveries, _, err := w.aa.Deliveries(t.Context(), sharing.Page{Limit: 10})
		if err != nil || len(deliveries) != 1 || deliveries[0].State != sharing.Receipted || deliveries[0].Partner != "aa/border" {
			t.Errorf("%+v, %v", deliveries, err)
		}
		w.serve(t)
		must(t)(w.aa.verify(t.Context()))
		if n := len(w.aa.figures.submitted); n != 1 {
			t.Errorf("%d submissions", n)
		}
		if w.aa.letters.carried != 0 {
			t.Errorf("%d letters went out", w.aa.letters.carried)
		}
	})
	t.Run("loses what is agreed no more, at once", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		must(t)(w.aa.SignAs(t.Context(), "aa/border", "at-home", 1))
		w.serve(t)
		must(t)(w.aa.TerminateAs(t.Context(), "aa/border", "at-home", "over"))
		w.serve(t)
		if n := w.aa.figures.count(); n != 0 || w.aa.figures.provider != "aa/border" {
			t.Errorf("%d figures are left of %q", n, w.aa.figures.provider)
		}
		submitted := len(w.aa.figures.submitted)
		w.serve(t)
		if n := len(w.aa.figures.submitted); n != submitted {
			t.Errorf("%d submissions after %d", n, submitted)
		}
		must(t)(w.aa.verify(t.Context()))
	})
	t.Run("is told no more while the node is stopped for it", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		must(t)(w.aa.Throw(t.Context(), sharing.SwitchRequest{Mode: sharing.Kill, Partner: "aa/border", By: "ada", Reason: "a drill"}))
		must(t)(w.aa.SignAs(t.Context(), "aa/border", "at-home", 1))
		w.serve(t)
		if n := len(w.aa.figures.submitted); n != 0 {
			t.Errorf("%d submissions", n)
		}
	})
	t.Run("is bound by nobody's signature but its own", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		for _, party := range []sharing.StateCode{"aa", "bb", "aa/coast"} {
			if _, err := w.aa.SignAs(t.Context(), party, "at-home", 1); fault.Reason(err) != "ACCESS_DENIED" {
				t.Errorf("%s signs: %v", party, err)
			}
			if _, err := w.aa.TerminateAs(t.Context(), party, "at-home", "no"); fault.Reason(err) != "ACCESS_DENIED" {
				t.Errorf("%s terminates: %v", party, err)
			}
		}
		if _, err := w.aa.Sign(t.Context(), "at-home"); fault.Reason(err) != "WRONG_STATE" {
			t.Errorf("the state signs: %v", err)
		}
		a, err := w.aa.Agreement(t.Context(), "at-home")
		if err != nil || a.State != sharing.Proposed || len(a.Signatures) != 1 {
			t.Errorf("%+v, %v", a, err)
		}
	})
	t.Run("counters, renews and declines as a state does", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		ctx := t.Context()
		other := w.athome()
		other.Version, other.RetentionDays, other.ValidTo = 0, 30, "2027-12-31"
		if _, err := w.aa.CounterAs(ctx, "aa/statistics", other); fault.Reason(err) != "WRONG_STATE" {
			t.Errorf("it answers its own proposal: %v", err)
		}
		for _, party := range []sharing.StateCode{"aa", "bb", "aa/coast"} {
			if _, err := w.aa.CounterAs(ctx, party, other); fault.Reason(err) != "ACCESS_DENIED" {
				t.Errorf("%s counters: %v", party, err)
			}
			if _, err := w.aa.DeclineAs(ctx, party, "at-home", 1, "no"); fault.Reason(err) != "ACCESS_DENIED" {
				t.Errorf("%s declines: %v", party, err)
			}
		}
		if _, err := w.aa.Counter(ctx, other); fault.Reason(err) != "WRONG_STATE" {
			t.Errorf("the state counters: %v", err)
		}
		if a, err := w.aa.CounterAs(ctx, "aa/border", other); err != nil || a.Terms.Version != 2 || a.State != sharing.Proposed {
			t.Fatalf("%+v, %v", a, err)
		}
		if a, err := w.aa.SignAs(ctx, "aa/statistics", "at-home", 2); err != nil || a.State != sharing.Active || a.Terms.RetentionDays != 30 {
			t.Fatalf("%+v, %v", a, err)
		}
		for _, party := range []sharing.StateCode{"aa", "bb", "aa/coast"} {
			if _, err := w.aa.RenewAs(ctx, party, "at-home", "2028-12-31"); fault.Reason(err) != "ACCESS_DENIED" {
				t.Errorf("%s renews: %v", party, err)
			}
		}
		if _, err := w.aa.Renew(ctx, "at-home", "2028-12-31"); fault.Reason(err) != "WRONG_STATE" {
			t.Errorf("the state renews: %v", err)
		}
		if a, err := w.aa.RenewAs(ctx, "aa/border", "at-home", "2028-12-31"); err != nil || a.Terms.Version != 3 || a.Terms.ValidTo != "2028-12-31" {
			t.Fatalf("%+v, %v", a, err)
		}
		if a, err := w.aa.DeclineAs(ctx, "aa/statistics", "at-home", 3, "not yet"); err != nil || a.State != sharing.Terminated {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err := w.aa.Agreement(ctx, "at-home"); err != nil || a.Terms.Version != 2 || a.State != sharing.Active {
			t.Errorf("%+v, %v", a, err)
		}
		must(t)(nil, w.aa.Steps()[1](ctx))
		must(t)(w.aa.verify(ctx))
		if w.aa.letters.carried != 0 {
			t.Errorf("%d letters went out", w.aa.letters.carried)
		}
	})
	t.Run("is of one tier, whoever of the state provides", func(t *testing.T) {
		t.Parallel()
		w := begin(t)
		must(t)(w.aa.SignAs(t.Context(), "aa/border", "at-home", 1))
		other := w.athome()
		other.ID, other.Provider, other.Tier = "other", "aa", "OTHER"
		if _, err := w.aa.Draft(t.Context(), other); fault.Reason(err) != "WRONG_STATE" {
			t.Errorf("%v", err)
		}
	})
}

func TestAgency_agreements_are_refused_that_are_with(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, parties := range map[string][]sharing.StateCode{
		"another state's agency":   {"aa", "bb/border"},
		"a provider elsewhere":     {"bb", "aa/border"},
		"an agency and a state":    {"aa/border", "bb"},
		"itself":                   {"aa/border", "aa/border"},
		"an agency without a name": {"aa", "aa/"},
		"an agency of an agency":   {"aa", "aa/border/north"},
	} {
		t.Run(name, func(t *testing.T) {
			terms := w.athome()
			terms.Provider, terms.Receiver = parties[0], parties[1]
			if _, err := w.aa.Draft(t.Context(), terms); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "provider") {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("another state, when that proposes one", func(t *testing.T) {
		document, err := w.athome().Document()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.aa.ReceiveProposal(t.Context(), "bb", w.bb.Keys.Current().Sign(sharing.AgreementType, document)); fault.Reason(err) != "ACCESS_DENIED" {
			t.Errorf("%v", err)
		}
		if all, err := w.aa.Agreements(t.Context(), true); err != nil || slices.ContainsFunc(all, func(a sharing.Agreement) bool { return a.Terms.Domestic() }) {
			t.Errorf("%v, %v", all, err)
		}
	})
}
