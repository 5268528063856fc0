package rpc

import (
	"context"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
)

// AcceptLog lets a partner's log go on from another checkpoint, by the word of officers.
func (s *Server) AcceptLog(ctx context.Context, r *sharingpb.AcceptLogRequest) (*sharingpb.AcceptLogResponse, error) {
	person := internalrpc.CallerFrom(ctx).Person
	if person == nil {
		return nil, fault.New(fault.Denied, "ACCESS_DENIED", "a person has to hand this in")
	}
	accepted, err := s.service.AcceptLog(ctx, sharing.StateCode(r.GetPartner()), r.GetAcceptance(), person.Subject)
	if err != nil {
		return nil, err
	}
	return &sharingpb.AcceptLogResponse{
		Entry: accepted.Entry, Officers: accepted.Officers, SeenSize: float64(accepted.SeenSize), FromSize: float64(accepted.FromSize),
	}, nil
}
