package sharing_test

import (
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

func TestTier(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	named := func(id sharing.AgreementID, tier sharing.Tier) sharing.Terms {
		terms := w.terms()
		terms.ID, terms.Tier = id, tier
		return terms
	}
	t.Run("is not in the document of terms that name none", func(t *testing.T) {
		document, err := w.terms().Document()
		if err != nil || !strings.HasSuffix(string(document), `"onward":false,"text":"As agreed."}`) {
			t.Errorf("%s, %v", document, err)
		}
		if terms, err := sharing.ParseDocument(document); err != nil || terms.Tier != "" {
			t.Errorf("%+v, %v", terms, err)
		}
	})
	t.Run("is signed where it is named", func(t *testing.T) {
		document, err := named("aa-bb-2", "ALLIES").Document()
		if err != nil || !strings.HasSuffix(string(document), `,"text":"As agreed.","tier":"ALLIES"}`) {
			t.Errorf("%s, %v", document, err)
		}
		if terms, err := sharing.ParseDocument(document); err != nil || terms.Tier != "ALLIES" {
			t.Errorf("%+v, %v", terms, err)
		}
	})
	t.Run("has a name that is not everybody's", func(t *testing.T) {
		for _, tier := range []sharing.Tier{sharing.Public, "Allies", "1A", "ALL IES", "A/B", sharing.Tier(strings.Repeat("A", 64))} {
			if _, err := w.aa.Draft(ctx, named("aa-bb-2", tier)); fault.Reason(err) != "INVALID_REQUEST" {
				t.Errorf("%s: %v", tier, err)
			}
		}
	})

	w.agree(t, w.terms())
	t.Run("is the same for all that goes to one state", func(t *testing.T) {
		_, err := w.aa.Draft(ctx, named("aa-bb-2", "ALLIES"))
		if fault.Reason(err) != "WRONG_STATE" || !strings.Contains(err.Error(), "PARTNERS") || !strings.Contains(err.Error(), "aa-bb-1a") {
			t.Errorf("%v", err)
		}
		must(t)(w.aa.Draft(ctx, named("aa-bb-2", sharing.Partners)))
	})
	t.Run("may be another one in the other direction", func(t *testing.T) {
		terms := named("bb-aa-1a", "ALLIES")
		terms.Provider, terms.Receiver = "bb", "aa"
		must(t)(w.aa.Draft(ctx, terms))
		must(t)(w.aa.Sign(ctx, terms.ID))
	})
	t.Run("cannot be changed by a partner's proposal", func(t *testing.T) {
		document, err := named("aa-bb-3", "ALLIES").Document()
		if err != nil {
			t.Fatal(err)
		}
		if err := w.aa.ReceiveProposal(ctx, "bb", w.bb.Keys.Current().Sign(sharing.AgreementType, document)); fault.Reason(err) != "WRONG_STATE" {
			t.Errorf("%v", err)
		}
	})
	t.Run("stays after the agreement, since what was seen stays seen", func(t *testing.T) {
		must(t)(w.aa.Terminate(ctx, "aa-bb-1a", "for the test"))
		if _, err := w.aa.Draft(ctx, named("aa-bb-4", "ALLIES")); fault.Reason(err) != "WRONG_STATE" {
			t.Errorf("%v", err)
		}
	})
}

func TestTierOfDrafts(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	allied := w.terms()
	allied.ID, allied.Tier = "aa-bb-2", "ALLIES"
	must(t)(w.aa.Draft(ctx, w.terms()))
	must(t)(w.aa.Draft(ctx, allied)) // neither binds anybody
	must(t)(w.aa.Sign(ctx, allied.ID))
	t.Run("is that of the one signed first", func(t *testing.T) {
		if _, err := w.aa.Sign(ctx, w.terms().ID); fault.Reason(err) != "WRONG_STATE" {
			t.Errorf("%v", err)
		}
	})
	t.Run("is free again when the signed one is withdrawn before the partner signs", func(t *testing.T) {
		must(t)(w.aa.Terminate(ctx, allied.ID, "for the test"))
		must(t)(w.aa.Sign(ctx, w.terms().ID))
	})
}
