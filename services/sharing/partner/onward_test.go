package partner_test

import (
	"bytes"
	"testing"

	"github.com/comity-federation/comity/services/sharing"
)

// agreeOn brings terms into force between two states.
func agreeOn(t *testing.T, from, to *state, terms sharing.Terms) {
	t.Helper()
	_, err := from.service.Draft(t.Context(), terms)
	must(t, err)
	_, err = from.service.Sign(t.Context(), terms.ID)
	must(t, err)
	signed := func(at *state, signatures int) func() bool {
		return func() bool {
			versions, err := at.service.Versions(t.Context(), terms.ID)
			return err == nil && len(versions) >= terms.Version && len(versions[terms.Version-1].Signatures) == signatures
		}
	}
	eventually(t, "the proposal arrives", signed(to, 1))
	_, err = to.service.Sign(t.Context(), terms.ID)
	must(t, err)
	eventually(t, "the answer arrives", signed(from, 2))
}

// onwardTerms are the terms by which from gives 1A to to, by month and citizenship.
func onwardTerms(id sharing.AgreementID, from, to *state) sharing.Terms {
	return sharing.Terms{
		ID: id, Version: 1, Provider: from.code, Receiver: to.code, Dataflow: dataflow, Indicators: []string{"1A"},
		Detail: map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}, Purposes: []string{"statistics"},
		MinimumFrequency: 3, RetentionDays: keepDays, ValidFrom: "2024-01-01", Text: "For a test.", Afterwards: sharing.Withdraw,
	}
}

func TestOnward(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb", "cc")
	aa, bb, cc := states[0], states[1], states[2]
	for _, s := range states {
		s.start()
	}
	aa.submit(22, 100) // two batches
	// What bb has of its own stays out of it.
	bb.submit(1, 500)
	passing := onwardTerms("bb-cc", bb, cc)
	passing.Source = "aa"
	agreeOn(t, bb, cc, passing)
	granted := onwardTerms("aa-bb", aa, bb)
	agreeOn(t, aa, bb, granted)
	eventually(t, "the figures of aa are at bb", func() bool { return len(bb.figures("aa")) > 0 })
	has := func(s *state) bool { return holds(aa, s) }

	granted.Version, granted.Onward, granted.OnwardTo = 2, true, []sharing.StateCode{"cc"}
	agreeOn(t, aa, bb, granted)
	t.Run("arrives once it is granted, and not before", func(t *testing.T) {
		eventually(t, "the figures of aa are at cc", func() bool { return has(cc) })
		releases, _, err := bb.service.Releases(t.Context(), sharing.Page{})
		must(t, err)
		for _, r := range releases {
			if r.Passed == nil || r.Passed.Provider != "aa" || r.Passed.Version != 2 {
				t.Errorf("%+v", r)
			}
		}
		if got := cc.figures("bb"); len(got) > 0 {
			t.Errorf("%d figures of bb", len(got))
		}
	})
	t.Run("says whose it is, and who passed it on", func(t *testing.T) {
		found, _, _, err := cc.service.Provenance(t.Context(), sharing.TraceQuery{Dataflow: dataflow, Provider: "aa"}, sharing.Page{})
		must(t, err)
		theirs, _, err := aa.service.Releases(t.Context(), sharing.Page{})
		must(t, err)
		if len(found) != 1 || found[0].Agreement != "aa-bb" || found[0].Version != 2 || found[0].Release != theirs[0].ID ||
			found[0].PassedOn == nil || found[0].PassedOn.State != "bb" || found[0].PassedOn.Agreement != "bb-cc" || found[0].Figures == 0 {
			t.Fatalf("%+v", found)
		}
		delivered, _, err := cc.service.Deliveries(t.Context(), sharing.Page{Partner: "bb"})
		must(t, err)
		if len(found[0].Batches) != 2 || !bytes.Equal(found[0].Batches[1].EnvelopeSHA256, delivered[0].EnvelopeSHA256) {
			t.Errorf("%+v of %+v", found[0].Batches, delivered)
		}
	})
	t.Run("is corrected with it", func(t *testing.T) {
		aa.submit(1, 110)
		eventually(t, "the correction is at cc", func() bool { return has(cc) })
	})
	t.Run("goes on where its receiver was away", func(t *testing.T) {
		cc.halt()
		aa.submit(1, 120)
		eventually(t, "the correction is at bb", func() bool { return has(bb) })
		cc.start()
		eventually(t, "the correction is at cc", func() bool { return has(cc) })
	})
	t.Run("is taken back with the grant", func(t *testing.T) {
		_, err := aa.service.Terminate(t.Context(), "aa-bb", "it was misused")
		must(t, err)
		eventually(t, "nothing of aa is left", func() bool { return len(cc.figures("aa")) == 0 && len(bb.figures("aa")) == 0 })
	})
}
