package rpc

import (
	"context"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// LiftQuarantine lets the quarantined stream from a partner go on, by the decision of the person who calls.
func (s *Server) LiftQuarantine(ctx context.Context, r *sharingpb.LiftQuarantineRequest) (*sharingpb.LiftQuarantineResponse, error) {
	person := internalrpc.CallerFrom(ctx).Person
	if person == nil {
		return nil, fault.New(fault.Denied, "ACCESS_DENIED", "a person has to decide this")
	}
	lift, err := s.service.LiftQuarantine(ctx, sharing.StateCode(r.GetPartner()), person.Subject, r.GetReason())
	if err != nil {
		return nil, err
	}
	return &sharingpb.LiftQuarantineResponse{Entry: lift.Stream + "/" + lift.ID, Epoch: lift.Epoch, Sequence: float64(lift.Sequence)}, nil
}
