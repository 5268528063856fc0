package rpc

import (
	"context"
	"testing"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// switchStore is a store that holds nothing but switches.
type switchStore struct {
	sharing.Store
	documents [][]byte
}

func (s *switchStore) Switches(context.Context) ([][]byte, error) { return s.documents, nil }

func TestKillSwitch(t *testing.T) {
	server := NewServer(sharing.New(sharing.Config{Store: &switchStore{documents: [][]byte{
		[]byte(`{"id": "s1", "mode": "KILL", "partner": "bb", "on": true, "by": "ada", "reason": "x"}`),
		[]byte(`{"id": "s2", "mode": "READ_ONLY", "on": false}`),
	}}}))
	t.Run("is thrown by nobody without a name", func(t *testing.T) {
		_, err := server.SetKillSwitch(rpc.WithCaller(t.Context(), rpc.Caller{State: "aa", Service: "gateway"}), &sharingpb.SetKillSwitchRequest{Reason: "x"})
		if err == nil {
			t.Error("it is")
		}
	})
	t.Run("is listed while it is on, and else where asked for", func(t *testing.T) {
		for lifted, want := range map[bool]int{false: 1, true: 2} {
			answer, err := server.ListKillSwitches(t.Context(), &sharingpb.ListKillSwitchesRequest{ShowLifted: lifted})
			if err != nil || len(answer.GetKillSwitches()) != want {
				t.Fatalf("%v, %v", answer, err)
			}
			first := answer.GetKillSwitches()[0]
			if first.GetMode() != sharingpb.KillSwitch_KILL || first.GetPartner() != "bb" || !first.GetOn() || first.GetBy() != "ada" {
				t.Errorf("%v", first)
			}
		}
	})
}
