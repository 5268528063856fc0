package sharing_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// versions returns how each version of the agreement stands at the state.
func (s *state) versions(t *testing.T, id sharing.AgreementID) []sharing.AgreementState {
	t.Helper()
	versions, err := s.Versions(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	var states []sharing.AgreementState
	for _, v := range versions {
		states = append(states, v.State)
	}
	return states
}

// stand fails unless the versions of the agreement stand at both states as they should.
func (w *world) stand(t *testing.T, id sharing.AgreementID, want ...sharing.AgreementState) {
	t.Helper()
	for _, s := range []*state{w.aa, w.bb} {
		if diff := cmp.Diff(want, s.versions(t, id)); diff != "" {
			t.Errorf("at %s: %s", s.code, diff)
		}
	}
}

func TestRejectedAgreement(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	terms := w.terms()
	other := w.terms()
	other.Onward = true
	must(t)(w.aa.Draft(ctx, terms))
	must(t)(w.bb.Draft(ctx, other))
	must(t)(w.aa.Sign(ctx, terms.ID))
	rejection := func(t *testing.T, s *state, version int) *sharing.Rejection {
		t.Helper()
		versions, err := s.Versions(ctx, terms.ID)
		if err != nil || len(versions) < version {
			t.Fatalf("%d versions, %v", len(versions), err)
		}
		i := slices.IndexFunc(versions[version-1].Signatures, func(x sharing.AgreementSignature) bool { return x.State == s.code })
		return versions[version-1].Signatures[i].Rejection
	}
	t.Run("is kept with the partner's reason, and not sent again", func(t *testing.T) {
		for range 3 {
			w.run(t)
		}
		if got := rejection(t, w.aa, 1); got == nil || got.Code != "ALREADY_EXISTS" || !strings.Contains(got.Text, "other terms") || got.Created.IsZero() {
			t.Errorf("%+v", got)
		}
		if w.aa.letters.carried != 1 {
			t.Errorf("it was sent %d times", w.aa.letters.carried)
		}
	})
	t.Run("is sent once more where somebody signs it again", func(t *testing.T) {
		must(t)(w.aa.Sign(ctx, terms.ID))
		w.run(t)
		w.run(t)
		if got := rejection(t, w.aa, 1); got == nil || w.aa.letters.carried != 2 {
			t.Errorf("%+v, sent %d times", got, w.aa.letters.carried)
		}
	})
	t.Run("is sent once it has changed, and what was rejected stays known", func(t *testing.T) {
		terms.Version = 2
		w.agree(t, terms)
		w.stand(t, terms.ID, sharing.Superseded, sharing.Active)
		if rejection(t, w.aa, 1) == nil || rejection(t, w.aa, 2) != nil {
			t.Error("the rejections are not as they were")
		}
	})
	t.Run("is not what a partner makes that cannot be reached", func(t *testing.T) {
		terms.Version = 3
		must(t)(w.aa.Draft(ctx, terms))
		must(t)(w.aa.Sign(ctx, terms.ID))
		w.aa.letters.down = errors.New("no line")
		w.run(t)
		w.aa.letters.down = nil
		w.run(t)
		w.stand(t, terms.ID, sharing.Superseded, sharing.Active, sharing.Proposed)
	})
}

func TestRejection_keeps_no_more_of_a_partners_words_than_fits(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	must(t)(w.aa.Draft(ctx, w.terms()))
	must(t)(w.aa.Sign(ctx, "aa-bb-1a"))
	w.aa.letters.down = &sharing.Rejection{Code: "LAW\x00\xff", Text: strings.Repeat("\x00no\xff", 10_000)}
	w.run(t)
	a, err := w.aa.Agreement(ctx, "aa-bb-1a")
	if err != nil {
		t.Fatal(err)
	}
	if got := a.Signatures[0].Rejection; got == nil || got.Code != "LAW??" || len(got.Text) > 500 {
		t.Errorf("%+v", got)
	}
}

func TestNegotiation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	terms := w.terms()
	terms.ValidTo = w.now().AddDate(0, 0, 100).Format(time.DateOnly)
	id := terms.ID
	t.Run("answers a proposal with other terms, and the proposal cannot be signed any more", func(t *testing.T) {
		must(t)(w.aa.Draft(ctx, terms))
		must(t)(w.aa.Sign(ctx, id))
		w.run(t)
		other := terms
		other.MinimumFrequency = 5
		countered, err := w.bb.Counter(ctx, other)
		if err != nil || countered.Terms.Version != 2 || countered.Terms.MinimumFrequency != 5 {
			t.Fatalf("%+v, %v", countered, err)
		}
		w.run(t)
		w.stand(t, id, sharing.Superseded, sharing.Proposed)
		if _, err := w.bb.Accept(ctx, id, 1); !fault.Is(err, fault.Precondition) {
			t.Errorf("the first was signed: %v", err)
		}
		must(t)(w.bb.Sign(ctx, id))
		w.run(t)
		w.stand(t, id, sharing.Superseded, sharing.Proposed)
	})
	t.Run("counters only what waits for this state", func(t *testing.T) {
		if _, err := w.bb.Counter(ctx, terms); !fault.Is(err, fault.Precondition) {
			t.Errorf("%v", err)
		}
	})
	t.Run("accepts a version that is named, whatever came after it was read", func(t *testing.T) {
		must(t)(w.aa.Accept(ctx, id, 2))
		w.run(t)
		w.stand(t, id, sharing.Superseded, sharing.Active)
		if _, err := w.aa.Accept(ctx, id, 7); !fault.Is(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
	})
	t.Run("is warned of ahead, and not before", func(t *testing.T) {
		a, err := w.bb.Agreement(ctx, id)
		if err != nil {
			t.Fatal(err)
		}
		if _, soon := w.bb.Expiring(a); soon {
			t.Error("it is warned of a hundred days ahead")
		}
		w.pass(41 * 24 * time.Hour)
		if days, soon := w.bb.Expiring(a); !soon || days != 59 {
			t.Errorf("%d days are left, soon %v", days, soon)
		}
	})
	t.Run("renews what is in force with a later last day, which both sign", func(t *testing.T) {
		if _, err := w.bb.Renew(ctx, id, terms.ValidTo); !fault.Is(err, fault.Invalid) {
			t.Errorf("for the same day: %v", err)
		}
		later := w.now().AddDate(1, 0, 0).Format(time.DateOnly)
		renewed, err := w.bb.Renew(ctx, id, later)
		if err != nil || renewed.Terms.Version != 3 || renewed.Terms.ValidTo != later || renewed.Terms.MinimumFrequency != 5 {
			t.Fatalf("%+v, %v", renewed, err)
		}
		w.run(t)
		w.stand(t, id, sharing.Superseded, sharing.Active, sharing.Proposed)
		must(t)(w.aa.Sign(ctx, id))
		w.run(t)
		w.stand(t, id, sharing.Superseded, sharing.Superseded, sharing.Active)
	})
	t.Run("declines a proposal, and leaves in force what is", func(t *testing.T) {
		must(t)(w.aa.Renew(ctx, id, ""))
		w.run(t)
		if _, err := w.bb.Decline(ctx, id, 3, "the wrong one"); !fault.Is(err, fault.Precondition) {
			t.Errorf("what is in force was declined: %v", err)
		}
		must(t)(w.bb.Decline(ctx, id, 4, "one year is enough"))
		w.run(t)
		w.stand(t, id, sharing.Superseded, sharing.Superseded, sharing.Active, sharing.Terminated)
	})
	t.Run("keeps who signed which version when, and who ended it why", func(t *testing.T) {
		for _, s := range []*state{w.aa, w.bb} {
			versions, err := s.Versions(ctx, id)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range [][]sharing.StateCode{{"aa"}, {"bb", "aa"}, {"bb", "aa"}, {"aa"}} {
				var signed []sharing.StateCode
				for _, signature := range versions[i].Signatures {
					signed = append(signed, signature.State)
					if signature.Created.IsZero() {
						t.Errorf("at %s, %s signed version %d at no time", s.code, signature.State, i+1)
					}
				}
				if diff := cmp.Diff(want, signed); diff != "" {
					t.Errorf("at %s, version %d: %s", s.code, i+1, diff)
				}
			}
			if end := versions[3].Ended; end == nil || end.State != "bb" || end.Reason != "one year is enough" {
				t.Errorf("at %s: %+v", s.code, end)
			}
		}
	})
	t.Run("leaves logs that verify", func(t *testing.T) {
		for _, s := range []*state{w.aa, w.bb} {
			if _, err := s.verify(ctx); err != nil {
				t.Errorf("%s: %v", s.code, err)
			}
		}
	})
}

func TestNegotiation_gives_a_partner_again_what_it_has_lost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	must(t)(w.aa.Draft(ctx, w.terms()))
	must(t)(w.aa.Sign(ctx, "aa-bb-1a"))
	w.run(t)
	for _, lost := range []string{"agreement_signature", "agreement", "log_entry", "checkpoint"} {
		if _, err := w.aa.pool.Exec(ctx, "DELETE FROM "+lost); err != nil {
			t.Fatal(err)
		}
	}
	must(t)(w.bb.Sign(ctx, "aa-bb-1a"))
	w.run(t)
	a, err := w.aa.Agreement(ctx, "aa-bb-1a")
	if err != nil || len(a.Signatures) != 1 || a.Signatures[0].State != "bb" {
		t.Errorf("%+v, %v", a, err)
	}
}

// arriving is a store in which something arrives right after all agreements were read.
type arriving struct {
	sharing.Store
	arrives func()
}

func (a *arriving) Agreements(ctx context.Context, id sharing.AgreementID) ([]sharing.KeptAgreement, error) {
	kept, err := a.Store.Agreements(ctx, id)
	if arrives := a.arrives; arrives != nil {
		a.arrives = nil
		arrives()
	}
	return kept, err
}

func TestSign_does_not_return_as_signed_what_arrives_meanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ctx := t.Context()
	must(t)(w.aa.Draft(ctx, w.terms()))
	must(t)(w.aa.Sign(ctx, "aa-bb-1a"))
	w.bb.Store = &arriving{w.bb.Store, func() { w.run(t) }}
	if a, err := w.bb.Sign(ctx, "aa-bb-1a"); err == nil || !fault.Is(err, fault.NotFound) {
		t.Errorf("%+v, %v", a.Signatures, err)
	}
	must(t)(w.bb.Sign(ctx, "aa-bb-1a"))
	w.run(t)
	w.stand(t, "aa-bb-1a", sharing.Active)
}
