package rpc

import (
	"context"
	"strings"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// CreatePublication publishes.
func (s *Server) CreatePublication(ctx context.Context, r *sharingpb.CreatePublicationRequest) (*sharingpb.CreatePublicationResponse, error) {
	published, err := s.service.Publish(ctx, sharing.PublicationRequest{Dataflow: r.GetDataflow(), Indicators: r.GetIndicators()})
	if err != nil {
		return nil, err
	}
	return &sharingpb.CreatePublicationResponse{Publication: publication(published)}, nil
}

// GetPublication returns a publication.
func (s *Server) GetPublication(ctx context.Context, r *sharingpb.GetPublicationRequest) (*sharingpb.GetPublicationResponse, error) {
	id, ok := strings.CutPrefix(r.GetName(), "publications/")
	if !ok || id == "" {
		return nil, fault.InvalidField("name", "%q is not of the form publications/{id}", r.GetName())
	}
	found, err := s.service.Publication(ctx, sharing.PublicationID(id))
	if err != nil {
		return nil, err
	}
	return &sharingpb.GetPublicationResponse{Publication: publication(found)}, nil
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
}

func publication(p sharing.Publication) *sharingpb.Publication {
	return &sharingpb.Publication{
		Name: "publications/" + string(p.ID), State: publicationStates[p.State], Problem: p.Problem,
		Dataflow: p.Dataflow, Indicators: p.Indicators, Reasons: each(p.Reasons, reason),
		Decision: string(p.Decision), PolicyRevision: p.PolicyRevision, StatisticsRevision: p.Revision,
		Candidates: count(p.Candidates), Released: count(p.Released), Withheld: count(p.Withheld), Suppressed: count(p.Suppressed),
		ValueKept: p.ValueKept, Coarsened: p.Coarsened, Sha256: p.SHA256,
		Rules: counts(p.Rules), Notes: each(p.Notes, tableNote),
		CreateTime: timestamp(p.Created), PublishTime: timestamp(p.Published),
	}
}
