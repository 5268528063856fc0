package rpc

import (
	"context"
	"fmt"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
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

// ListCheckpoints lists the checkpoints that were shown in sessions with partners.
func (s *Server) ListCheckpoints(ctx context.Context, r *sharingpb.ListCheckpointsRequest) (*sharingpb.ListCheckpointsResponse, error) {
	asked, err := page("", r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	seen, next, err := s.service.SeenCheckpoints(ctx, asked)
	if err != nil {
		return nil, err
	}
	return &sharingpb.ListCheckpointsResponse{NextPageToken: next, Checkpoints: each(seen, func(c sharing.SeenCheckpoint) *sharingpb.SeenCheckpoint {
		return &sharingpb.SeenCheckpoint{
			Log: string(c.Log), Partner: string(c.Partner), Checkpoint: c.Note, CreateTime: timestamp(c.Created), Acceptance: c.Acceptance,
		}
	})}, nil
}

// SeenFromProto returns the checkpoints that list is the wire form of, for those who verify a log from outside.
func SeenFromProto(list []*sharingpb.SeenCheckpoint) []sharing.SeenCheckpoint {
	return each(list, func(p *sharingpb.SeenCheckpoint) sharing.SeenCheckpoint {
		return sharing.SeenCheckpoint{
			Log: sharing.StateCode(p.GetLog()), Partner: sharing.StateCode(p.GetPartner()), Note: p.GetCheckpoint(), Created: p.GetCreateTime().AsTime(),
			Acceptance: p.GetAcceptance(),
		}
	})
}

// GetProvenance says by what right a partner's figures are here.
func (s *Server) GetProvenance(ctx context.Context, r *sharingpb.GetProvenanceRequest) (*sharingpb.GetProvenanceResponse, error) {
	asked, err := page("", r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	query := sharing.TraceQuery{
		Dataflow: r.GetDataflow(), Provider: sharing.StateCode(r.GetProvider()), Start: r.GetStartPeriod(), End: r.GetEndPeriod(),
	}
	if query.Filter, err = wire.FilterFromProto(r.GetFilter()); err != nil {
		return nil, fault.InvalidField("filter", "%v", err)
	}
	found, next, revision, err := s.service.Provenance(ctx, query, asked)
	if err != nil {
		return nil, err
	}
	return &sharingpb.GetProvenanceResponse{Provenances: each(found, provenance), NextPageToken: next, StatisticsRevision: revision}, nil
}

func provenance(p sharing.Provenance) *sharingpb.Provenance {
	converted := &sharingpb.Provenance{
		Provider: string(p.Provider), Agreement: string(p.Agreement), AgreementVersion: count(p.Version), Release: string(p.Release),
		Decision: string(p.Decision), PolicyRevision: p.PolicyRevision, ReleaseTime: timestamp(p.Released),
		StoreTime: timestamp(p.Stored), StatisticsRevision: p.Revision, ExpireTime: timestamp(p.Expires),
		Figures: p.Figures, FirstDay: p.FirstDay, LastDay: p.LastDay,
		Batches: each(p.Batches, func(b sharing.ReceivedBatch) *sharingpb.ReceivedBatch {
			return &sharingpb.ReceivedBatch{
				Place:          fmt.Sprintf("%s/%s/%d", b.At.Stream, b.At.Epoch, b.At.Sequence),
				EnvelopeSha256: b.EnvelopeSHA256, ReceiveTime: timestamp(b.Received),
			}
		}),
	}
	if by := p.PassedOn; by != nil {
		converted.PassedOn = &sharingpb.PassedOn{
			State: string(by.State), Agreement: string(by.Agreement), AgreementVersion: count(by.Version), Release: string(by.Release),
		}
	}
	return converted
}
