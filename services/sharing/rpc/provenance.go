package rpc

import (
	"context"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/sharing"
)

// ListHoldings lists what partners hold.
func (s *Server) ListHoldings(ctx context.Context, r *sharingpb.ListHoldingsRequest) (*sharingpb.ListHoldingsResponse, error) {
	holdings, err := s.service.Holdings(ctx, sharing.StateCode(r.GetPartner()), r.GetStaleOnly())
	if err != nil {
		return nil, err
	}
	return &sharingpb.ListHoldingsResponse{Holdings: each(holdings, holding)}, nil
}

func holding(h sharing.Holding) *sharingpb.Holding {
	p := &sharingpb.Holding{
		Partner: string(h.Partner), Agreement: string(h.Agreement), AgreementVersion: count(h.Newest.AgreementVersion), InForce: h.InForce,
		Newest: heldRelease(h.Newest), AcknowledgeTime: timestamp(h.Acknowledged), Stale: h.Stale, StaleSince: timestamp(h.Since),
		Behind: count(h.Behind),
		Retractions: each(h.Retractions, func(r sharing.Retraction) *sharingpb.Retraction {
			return &sharingpb.Retraction{
				AgreementVersion: count(r.Version), Indicators: r.Indicators, Afterwards: string(r.Afterwards),
				AcknowledgeTime: timestamp(r.Acknowledged),
			}
		}),
	}
	if h.Held != nil {
		p.Held = heldRelease(*h.Held)
	}
	return p
}

func heldRelease(r sharing.Release) *sharingpb.HeldRelease {
	return &sharingpb.HeldRelease{Release: "releases/" + string(r.ID), StatisticsRevision: r.Revision, CreateTime: timestamp(r.Created)}
}
