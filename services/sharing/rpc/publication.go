package rpc

import (
	"context"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/sharing"
)

// CreatePublication publishes.
func (s *Server) CreatePublication(ctx context.Context, r *sharingpb.CreatePublicationRequest) (*sharingpb.CreatePublicationResponse, error) {
	published, err := s.service.Publish(ctx, sharing.PublicationRequest{
		Dataflow: r.GetDataflow(), Indicators: r.GetIndicators(), Correction: correctionFromProto(r.GetCorrection()),
	})
	if err != nil {
		return nil, err
	}
	return &sharingpb.CreatePublicationResponse{Publication: publication(published)}, nil
}

// GetPublication returns a publication.
func (s *Server) GetPublication(ctx context.Context, r *sharingpb.GetPublicationRequest) (*sharingpb.GetPublicationResponse, error) {
	id, err := idIn("publications", r.GetName())
	if err != nil {
		return nil, err
	}
	found, err := s.service.Publication(ctx, sharing.PublicationID(id))
	if err != nil {
		return nil, err
	}
	return &sharingpb.GetPublicationResponse{Publication: publication(found)}, nil
}

// PreviewPublication says what would be published.
func (s *Server) PreviewPublication(ctx context.Context, r *sharingpb.PreviewPublicationRequest) (*sharingpb.PreviewPublicationResponse, error) {
	preview, rows, err := s.service.Preview(ctx, sharing.PublicationRequest{Dataflow: r.GetDataflow(), Indicators: r.GetIndicators()})
	if err != nil {
		return nil, err
	}
	return &sharingpb.PreviewPublicationResponse{Publication: publication(preview), Figures: wire.BlockToProto(rows)}, nil
}

// WithdrawPublication takes a publication back.
func (s *Server) WithdrawPublication(ctx context.Context, r *sharingpb.WithdrawPublicationRequest) (*sharingpb.WithdrawPublicationResponse, error) {
	id, err := idIn("publications", r.GetName())
	if err != nil {
		return nil, err
	}
	given, err := s.service.Withdraw(ctx, sharing.PublicationID(id), r.GetReason())
	if err != nil {
		return nil, err
	}
	return &sharingpb.WithdrawPublicationResponse{Notice: notice(given)}, nil
}

// ListPublications lists what was published.
func (s *Server) ListPublications(ctx context.Context, r *sharingpb.ListPublicationsRequest) (*sharingpb.ListPublicationsResponse, error) {
	asked, err := page("", r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	publications, next, err := s.service.Publications(ctx, asked)
	if err != nil {
		return nil, err
	}
	return &sharingpb.ListPublicationsResponse{Publications: each(publications, publication), NextPageToken: next}, nil
}

var publicationStates = map[sharing.PublicationState]sharingpb.Publication_State{
	sharing.PublicationWaiting: sharingpb.Publication_WAITING,
	sharing.PublicationStored:  sharingpb.Publication_PUBLISHED,
	sharing.PublicationRefused: sharingpb.Publication_REFUSED,

	sharing.PublicationWithdrawn: sharingpb.Publication_WITHDRAWN,
}

func publication(p sharing.Publication) *sharingpb.Publication {
	return &sharingpb.Publication{
		Name: nameIn("publications", p.ID), State: publicationStates[p.State], Problem: p.Problem,
		Dataflow: p.Dataflow, Indicators: p.Indicators, Reasons: each(p.Reasons, reason),
		Decision: string(p.Decision), PolicyRevision: p.PolicyRevision, StatisticsRevision: p.Revision,
		Candidates: count(p.Candidates), Released: count(p.Released), Withheld: count(p.Withheld), Suppressed: count(p.Suppressed),
		ValueKept: p.ValueKept, Coarsened: p.Coarsened, Sha256: p.SHA256,
		Rules: counts(p.Rules), Notes: each(p.Notes, tableNote),
		CreateTime: timestamp(p.Created), PublishTime: timestamp(p.Published),
		WithdrawTime: timestamp(p.Withdrawn), Withdraws: nameIn("publications", p.Withdraws),
	}
}
