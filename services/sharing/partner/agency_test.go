package partner_test

import (
	"context"
	"math"
	"testing"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
	sharingrpc "github.com/comity-federation/comity/services/sharing/rpc"
)

// TestAgencies shows that what a state and one of its agencies agree upon reaches the statistics as figures for that agency,
// and is there no longer than it is agreed.
func TestAgencies(t *testing.T) {
	t.Parallel()
	aa := newWorld(t, "aa", "bb")[0]
	aa.start()
	aa.submit(1, 2)
	server := sharingrpc.NewServer(aa.service)
	as := func(agency string) context.Context {
		return rpc.WithCaller(t.Context(), rpc.Caller{
			State: "aa", Service: "gateway", Person: &rpc.Person{Subject: "ada", Roles: []string{"officer"}, Agency: agency},
		})
	}
	const name = "agreements/at-home"
	_, err := server.CreateAgreement(as("border"), &sharingpb.CreateAgreementRequest{Terms: &sharingpb.Terms{
		Id: "at-home", Version: 1, Provider: "aa", Receiver: "aa/border", Dataflow: dataflow, Indicators: []string{"1A"},
		Detail: map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}, Purposes: []string{"patrols"}, MinimumFrequency: 3,
		ValidFrom: "2024-01-01", Tier: "NATIONAL", Text: "For a test.",
	}})
	must(t, err)
	t.Run("it is shown to nobody who is no party", func(t *testing.T) {
		_, err := server.GetAgreement(as("coast"), &sharingpb.GetAgreementRequest{Name: name})
		if !fault.Is(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
		all, err := server.ListAgreements(as("coast"), &sharingpb.ListAgreementsRequest{})
		if err != nil || len(all.GetAgreements()) != 0 {
			t.Errorf("%v, %v", all, err)
		}
		if _, err := server.SignAgreement(as("coast"), &sharingpb.SignAgreementRequest{Name: name}); !fault.Is(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
	})
	for _, agency := range []string{"", "border"} {
		_, err := server.SignAgreement(as(agency), &sharingpb.SignAgreementRequest{Name: name, Version: 1})
		must(t, err)
	}
	eventually(t, "the figures are there for the agency", func() bool { return len(aa.figures("aa/border")) > 0 })
	t.Run("it brings no count under the minimum", func(t *testing.T) {
		own, given := aa.figures("aa"), aa.figures("aa/border")
		shown := 0
		for key, value := range given {
			if !math.IsNaN(value) {
				shown++
			}
			if own[key] < 3 && own[key] > 0 && !math.IsNaN(value) {
				t.Errorf("%s goes as %v", key, value)
			}
		}
		if shown == 0 {
			t.Error("nothing is shown")
		}
	})
	_, err = server.TerminateAgreement(as("border"), &sharingpb.TerminateAgreementRequest{Name: name, Reason: "over"})
	must(t, err)
	eventually(t, "the figures are gone", func() bool { return len(aa.figures("aa/border")) == 0 })
}
