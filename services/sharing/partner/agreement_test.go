package partner_test

import (
	"slices"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/sharing"
	sharingrpc "github.com/comity-federation/comity/services/sharing/rpc"
)

// signed returns this state's signature under the first version of an agreement.
func (s *state) signed(id sharing.AgreementID) sharing.AgreementSignature {
	s.t.Helper()
	versions, err := s.service.Versions(s.t.Context(), id)
	must(s.t, err)
	i := slices.IndexFunc(versions[0].Signatures, func(x sharing.AgreementSignature) bool { return x.State == s.code })
	return versions[0].Signatures[i]
}

// TestAgreementLetters shows that what a partner says over the wire about an agreement ends the sending of it.
func TestAgreementLetters(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	aa.start()
	bb.start()
	terms := sharing.Terms{
		ID: "aa-bb", Version: 1, Provider: "aa", Receiver: "bb", Dataflow: dataflow, Indicators: []string{"1A"},
		Detail: map[string]string{"FREQ": "M"}, MinimumFrequency: 3, ValidFrom: "2024-01-01",
	}
	t.Run("it keeps why the partner rejects a proposal", func(t *testing.T) {
		other := terms
		other.MinimumFrequency = 9
		_, err := bb.service.Draft(t.Context(), other)
		must(t, err)
		_, err = aa.service.Draft(t.Context(), terms)
		must(t, err)
		_, err = aa.service.Sign(t.Context(), terms.ID)
		must(t, err)
		eventually(t, "the rejection is here", func() bool { return aa.signed(terms.ID).Rejection != nil })
		if got := aa.signed(terms.ID); got.Rejection.Code != "ALREADY_EXISTS" || got.Delivered {
			t.Errorf("%+v", got.Rejection)
		}
	})
	t.Run("it shows the rejection to those who ask, and to who watches the node", func(t *testing.T) {
		answer, err := sharingrpc.NewServer(aa.service).ListAgreementVersions(t.Context(),
			&sharingpb.ListAgreementVersionsRequest{Name: "agreements/aa-bb"})
		must(t, err)
		if got := answer.GetAgreements()[0].GetSignatures()[0].GetRejection(); got.GetCode() != "ALREADY_EXISTS" || got.GetCreateTime() == nil {
			t.Errorf("%v", got)
		}
		registry := prometheus.NewPedanticRegistry()
		must(t, registry.Register(sharingrpc.NewAgreementMetrics(aa.service, aa.log)))
		gathered, err := registry.Gather()
		must(t, err)
		if len(gathered) != 1 || gathered[0].GetName() != "comity_sharing_agreement_rejected" {
			t.Errorf("%v", gathered)
		}
	})
	t.Run("it ends at once what the partner never saw", func(t *testing.T) {
		terms.ID = "unseen"
		_, err := aa.service.Draft(t.Context(), terms)
		must(t, err)
		_, err = aa.service.Terminate(t.Context(), terms.ID, "a mistake")
		must(t, err)
		eventually(t, "the termination counts as delivered", func() bool {
			a, err := aa.service.Agreement(t.Context(), terms.ID)
			return err == nil && a.Ended != nil && a.Ended.Delivered
		})
	})
}
