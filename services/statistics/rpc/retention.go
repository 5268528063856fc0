package rpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics"
)

// SetRetention stores a rule of retention, or takes it away.
func (s *Server) SetRetention(ctx context.Context, request *statisticspb.SetRetentionRequest) (*statisticspb.SetRetentionResponse, error) {
	p := request.GetRule()
	var r refs
	rule := statistics.RetentionRule{
		Dataflow: r.parse(p.GetDataflow()), Provider: p.GetProvider(), AfterReceived: p.GetAfterReceived(),
		AfterPeriod: p.GetAfterPeriod(), AfterSuperseded: p.GetAfterSuperseded(), Author: submitter(internalrpc.CallerFrom(ctx)),
	}
	if r.err != nil {
		return nil, r.err
	}
	if request.GetRemove() {
		return &statisticspb.SetRetentionResponse{}, s.service.RemoveRetention(ctx, rule.Dataflow, rule.Provider)
	}
	rule, err := s.service.SetRetention(ctx, rule)
	if err != nil {
		return nil, err
	}
	return &statisticspb.SetRetentionResponse{Rule: retentionToProto(rule)}, nil
}

// ListRetention lists the rules of retention.
func (s *Server) ListRetention(ctx context.Context, _ *statisticspb.ListRetentionRequest) (*statisticspb.ListRetentionResponse, error) {
	rules, err := s.service.Retention(ctx)
	if err != nil {
		return nil, err
	}
	return &statisticspb.ListRetentionResponse{Rules: convert(rules, retentionToProto)}, nil
}

// ListRemovals lists what was removed, the newest first.
func (s *Server) ListRemovals(ctx context.Context, request *statisticspb.ListRemovalsRequest) (*statisticspb.ListRemovalsResponse, error) {
	size, err := internalrpc.PageSize(request.GetPageSize())
	if err != nil {
		return nil, err
	}
	removals, err := s.service.Removals(ctx, size+1, request.GetPageToken())
	if err != nil {
		return nil, err
	}
	response := &statisticspb.ListRemovalsResponse{}
	if len(removals) > size {
		removals = removals[:size]
		response.NextPageToken = removals[size-1].ID
	}
	response.Removals = convert(removals, removalToProto)
	return response, nil
}

func retentionToProto(r statistics.RetentionRule) *statisticspb.RetentionRule {
	return &statisticspb.RetentionRule{
		Dataflow: refText(r.Dataflow), Provider: r.Provider, AfterReceived: r.AfterReceived, AfterPeriod: r.AfterPeriod,
		AfterSuperseded: r.AfterSuperseded, Author: r.Author, CreateTime: timestamppb.New(r.CreateTime),
	}
}

func removalToProto(r statistics.Removal) *statisticspb.Removal {
	p := &statisticspb.Removal{
		Name: "removals/" + r.ID, Dataflow: r.Part.Dataflow.String(), Provider: r.Part.Provider,
		Figures: r.Figures, Superseded: r.Superseded, ByTerms: r.ByTerms, Series: r.Series,
		FirstDay: r.FirstDay.Format(time.DateOnly), LastDay: r.LastDay.Format(time.DateOnly), Chunks: count(r.Chunks),
		StartTime: timestamppb.New(r.StartTime), EndTime: timestamppb.New(r.EndTime),
	}
	if r.Rule != nil {
		p.Rule = retentionToProto(*r.Rule)
	}
	return p
}
