package partner_test

import (
	"slices"
	"strings"
	"testing"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
	sharingrpc "github.com/comity-federation/comity/services/sharing/rpc"
)

// TestAmendments shows that a change of shared structures that all states sign reaches the statistics of each.
func TestAmendments(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	aa.start()
	bb.start()
	list := func(version string, codes ...string) *statisticspb.Structures {
		l := &statisticspb.Codelist{Agency: "TEST", Id: "CL_FREQ", Version: version}
		for _, code := range codes {
			l.Codes = append(l.Codes, &statisticspb.Code{Id: code})
		}
		return &statisticspb.Structures{Codelists: []*statisticspb.Codelist{l}}
	}
	here, there := sharingrpc.NewGovernance(aa.service), sharingrpc.NewGovernance(bb.service)
	t.Run("it is refused where it leads to nothing, or lacks what was there", func(t *testing.T) {
		lacking := list("1.1.0", "A", "Q")
		_, err := here.ProposeAmendment(t.Context(), &sharingpb.ProposeAmendmentRequest{Id: "less", Text: "Less.", Structures: lacking})
		if fault.Reason(err) != "INCOMPATIBLE" || !strings.Contains(err.Error(), "the code M") {
			t.Errorf("%v", err)
		}
		nowhere := list("1.1.0", "A", "M", "Q")
		nowhere.Dataflows = []*statisticspb.Dataflow{{Agency: "TEST", Id: "OTHER", Version: "1.0.0", Structure: "TEST:OTHER(1.0.0)"}}
		_, err = here.ProposeAmendment(t.Context(), &sharingpb.ProposeAmendmentRequest{Id: "nowhere", Text: "No.", Structures: nowhere})
		if err == nil || !strings.Contains(err.Error(), "TEST:OTHER(1.0.0)") {
			t.Errorf("%v", err)
		}
	})
	_, err := here.ProposeAmendment(t.Context(), &sharingpb.ProposeAmendmentRequest{Id: "quarters", Text: "Quarters.", Structures: list("1.1.0", "A", "M", "Q")})
	must(t, err)
	name := "amendments/quarters"
	eventually(t, "the proposal is at the other state", func() bool {
		_, err := bb.service.Amendment(t.Context(), "quarters")
		return err == nil
	})
	_, err = there.RatifyAmendment(t.Context(), &sharingpb.RatifyAmendmentRequest{Name: name})
	must(t, err)
	for _, s := range states {
		eventually(t, "it is in effect at "+string(s.code), func() bool {
			a, err := s.service.Amendment(t.Context(), "quarters")
			return err == nil && a.State == sharing.InEffect
		})
		kept, err := s.service.Registry.Artefacts(t.Context(), []string{"TEST"})
		must(t, err)
		for _, ref := range []string{"Codelist TEST:CL_FREQ(1.0.0)", "Codelist TEST:CL_FREQ(1.1.0)"} {
			if !slices.ContainsFunc(kept, func(a sharing.Artefact) bool { return a.String() == ref }) {
				t.Errorf("%s does not have %s", s.code, ref)
			}
		}
	}
	got, err := here.GetAmendment(t.Context(), &sharingpb.GetAmendmentRequest{Name: name})
	must(t, err)
	if codes := got.GetAmendment().GetStructures().GetCodelists()[0].GetCodes(); len(codes) != 3 || len(got.GetAmendment().GetSignatures()) != 2 {
		t.Errorf("%v", got)
	}
}
