package rpc

import (
	"cmp"
	"context"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// SetKillSwitch stops something, or lets it go on again.
func (s *Server) SetKillSwitch(ctx context.Context, r *sharingpb.SetKillSwitchRequest) (*sharingpb.SetKillSwitchResponse, error) {
	person := rpc.CallerFrom(ctx).Person
	if person == nil {
		return nil, fault.New(fault.Unauthenticated, "TOKEN_MISSING", "whoever stops a node says who they are")
	}
	mode := cmp.Or(r.GetMode(), sharingpb.KillSwitch_KILL)
	thrown, err := s.service.Throw(ctx, sharing.SwitchRequest{
		Mode: sharing.Mode(mode.String()), Partner: sharing.StateCode(r.GetPartner()), Indicator: r.GetIndicator(),
		Lift: r.GetLift(), By: person.Subject, Reason: r.GetReason(),
	})
	if err != nil {
		return nil, err
	}
	return &sharingpb.SetKillSwitchResponse{KillSwitch: killSwitch(thrown)}, nil
}

// ListKillSwitches lists what is stopped.
func (s *Server) ListKillSwitches(ctx context.Context, r *sharingpb.ListKillSwitchesRequest) (*sharingpb.ListKillSwitchesResponse, error) {
	switches, err := s.service.Switches(ctx)
	if err != nil {
		return nil, err
	}
	answer := &sharingpb.ListKillSwitchesResponse{}
	for _, w := range switches {
		if w.On || r.GetShowLifted() {
			answer.KillSwitches = append(answer.KillSwitches, killSwitch(w))
		}
	}
	return answer, nil
}

func killSwitch(w sharing.Switch) *sharingpb.KillSwitch {
	return &sharingpb.KillSwitch{
		Id: string(w.ID), Mode: sharingpb.KillSwitch_Mode(sharingpb.KillSwitch_Mode_value[string(w.Mode)]),
		Partner: string(w.Partner), Indicator: w.Indicator, On: w.On, By: w.By, Reason: w.Reason, CreateTime: timestamp(w.Created),
	}
}
