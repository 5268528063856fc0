package rpc

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics"
)

// SetReadOnly closes the statistics to changes, or opens them again.
func (s *Server) SetReadOnly(ctx context.Context, request *statisticspb.SetReadOnlyRequest) (*statisticspb.SetReadOnlyResponse, error) {
	person := internalrpc.CallerFrom(ctx).Person
	if person == nil {
		return nil, fault.New(fault.Unauthenticated, "TOKEN_MISSING", "whoever stops a node says who they are")
	}
	set, err := s.service.SetReadOnly(ctx, !request.GetLift(), person.Subject, request.GetReason())
	if err != nil {
		return nil, err
	}
	return &statisticspb.SetReadOnlyResponse{ReadOnly: readOnlyToProto(set)}, nil
}

// GetReadOnly says whether the statistics are closed to changes.
func (s *Server) GetReadOnly(ctx context.Context, _ *statisticspb.GetReadOnlyRequest) (*statisticspb.GetReadOnlyResponse, error) {
	now, err := s.service.ReadOnly(ctx)
	if err != nil {
		return nil, err
	}
	return &statisticspb.GetReadOnlyResponse{ReadOnly: readOnlyToProto(now)}, nil
}

func readOnlyToProto(r statistics.ReadOnly) *statisticspb.ReadOnly {
	p := &statisticspb.ReadOnly{On: r.On, By: r.By, Reason: r.Reason}
	if !r.Created.IsZero() {
		p.CreateTime = timestamppb.New(r.Created)
	}
	return p
}
