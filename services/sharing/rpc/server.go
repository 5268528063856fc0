// Package rpc offers the domain of sharing on gRPC: to this nation as comity.sharing.v1.SharingService, to partner
// states as comity.exchange.v1.ExchangeService. It also has the statistics that the domain asks for, as a client of
// comity.statistics.v1.StatisticsService.
//
// On the national side who may call is decided before a call arrives here. On the exchange a caller is the state that
// its certificate names, and speaks for that state alone.
package rpc

import (
	"context"
	"maps"
	"slices"
	"strconv"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// How the log is read.
const (
	logChunk   = 16
	maxLogPage = 2 << 20 // bytes of content
)

// Server is the SharingService.
type Server struct {
	sharingpb.UnimplementedSharingServiceServer
	service *sharing.Service
}

// NewServer returns the SharingService of the domain.
func NewServer(service *sharing.Service) *Server { return &Server{service: service} }

// ListPartners lists the states that this node trusts.
func (s *Server) ListPartners(ctx context.Context, _ *sharingpb.ListPartnersRequest) (*sharingpb.ListPartnersResponse, error) {
	partners, err := s.service.Partners(ctx)
	if err != nil {
		return nil, err
	}
	return &sharingpb.ListPartnersResponse{Partners: each(partners, partner)}, nil
}

// CreateAgreement drafts an agreement.
func (s *Server) CreateAgreement(ctx context.Context, r *sharingpb.CreateAgreementRequest) (*sharingpb.CreateAgreementResponse, error) {
	if r.GetTerms() == nil {
		return nil, fault.InvalidField("terms", "is missing")
	}
	terms := termsFromProto(r.GetTerms())
	if !s.sees(ctx, terms) {
		return nil, fault.New(fault.Denied, "ACCESS_DENIED", "%s is no party to these terms", s.party(ctx))
	}
	drafted, err := s.service.Draft(ctx, terms)
	if err != nil {
		return nil, err
	}
	return &sharingpb.CreateAgreementResponse{Agreement: s.agreement(drafted)}, nil
}

// GetAgreement returns an agreement.
func (s *Server) GetAgreement(ctx context.Context, r *sharingpb.GetAgreementRequest) (*sharingpb.GetAgreementResponse, error) {
	id, err := agreementID(r.GetName())
	if err != nil {
		return nil, err
	}
	found, err := s.agreementFor(ctx, id)
	if err != nil {
		return nil, err
	}
	return &sharingpb.GetAgreementResponse{Agreement: s.agreement(found)}, nil
}

// ListAgreements lists agreements.
func (s *Server) ListAgreements(ctx context.Context, r *sharingpb.ListAgreementsRequest) (*sharingpb.ListAgreementsResponse, error) {
	agreements, err := s.service.Agreements(ctx, r.GetShowEnded())
	if err != nil {
		return nil, err
	}
	agreements = slices.DeleteFunc(agreements, func(a sharing.Agreement) bool { return !s.sees(ctx, a.Terms) })
	return &sharingpb.ListAgreementsResponse{Agreements: each(agreements, s.agreement)}, nil
}

// SignAgreement signs for this state.
func (s *Server) SignAgreement(ctx context.Context, r *sharingpb.SignAgreementRequest) (*sharingpb.SignAgreementResponse, error) {
	id, err := agreementID(r.GetName())
	if err != nil {
		return nil, err
	}
	signed, err := s.agreementFor(ctx, id)
	if err != nil {
		return nil, err
	}
	switch version := int(r.GetVersion()); {
	case signed.Terms.Domestic():
		signed, err = s.service.SignAs(ctx, s.party(ctx), id, version)
	case version == 0:
		signed, err = s.service.Sign(ctx, id)
	default:
		signed, err = s.service.Accept(ctx, id, version)
	}
	if err != nil {
		return nil, err
	}
	return &sharingpb.SignAgreementResponse{Agreement: s.agreement(signed)}, nil
}

// TerminateAgreement ends an agreement.
func (s *Server) TerminateAgreement(ctx context.Context, r *sharingpb.TerminateAgreementRequest) (*sharingpb.TerminateAgreementResponse, error) {
	id, err := agreementID(r.GetName())
	if err != nil {
		return nil, err
	}
	ended, err := s.agreementFor(ctx, id)
	if err != nil {
		return nil, err
	}
	if ended.Terms.Domestic() {
		ended, err = s.service.TerminateAs(ctx, s.party(ctx), id, r.GetReason())
	} else {
		ended, err = s.service.Terminate(ctx, id, r.GetReason())
	}
	if err != nil {
		return nil, err
	}
	return &sharingpb.TerminateAgreementResponse{Agreement: s.agreement(ended)}, nil
}

// ExplainPolicy says what would go to a partner.
func (s *Server) ExplainPolicy(ctx context.Context, r *sharingpb.ExplainPolicyRequest) (*sharingpb.ExplainPolicyResponse, error) {
	cells, err := wire.FilterFromProto(r.GetFilter())
	if err != nil {
		return nil, fault.InvalidField("filter", "%v", err)
	}
	explained, err := s.service.Explain(ctx, sharing.ExplainRequest{
		Partner: sharing.StateCode(r.GetPartner()), Indicator: r.GetIndicator(), Filter: cells, Purpose: r.GetPurpose(),
	})
	if err != nil {
		return nil, err
	}
	return explanation(explained), nil
}

// ListReleases lists what was released.
func (s *Server) ListReleases(ctx context.Context, r *sharingpb.ListReleasesRequest) (*sharingpb.ListReleasesResponse, error) {
	asked, err := page(r.GetPartner(), r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	releases, next, err := s.service.Releases(ctx, asked)
	if err != nil {
		return nil, err
	}
	return &sharingpb.ListReleasesResponse{Releases: each(releases, release), NextPageToken: next}, nil
}

// ListDeliveries lists what went and what came.
func (s *Server) ListDeliveries(ctx context.Context, r *sharingpb.ListDeliveriesRequest) (*sharingpb.ListDeliveriesResponse, error) {
	asked, err := page(r.GetPartner(), r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	deliveries, next, err := s.service.Deliveries(ctx, asked)
	if err != nil {
		return nil, err
	}
	return &sharingpb.ListDeliveriesResponse{Deliveries: each(deliveries, delivery), NextPageToken: next}, nil
}

// GetCheckpoint returns the newest checkpoint of the log.
func (s *Server) GetCheckpoint(ctx context.Context, _ *sharingpb.GetCheckpointRequest) (*sharingpb.GetCheckpointResponse, error) {
	checkpoint, key, err := s.service.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	answer := &sharingpb.GetCheckpointResponse{Checkpoint: checkpoint, VerifierKey: key}
	cosigned, err := s.service.CosignedCheckpoints(ctx)
	if err != nil {
		return nil, err
	}
	for _, state := range slices.Sorted(maps.Keys(cosigned)) {
		answer.Witnesses = append(answer.Witnesses, &sharingpb.Witness{State: string(state), Cosigned: cosigned[state]})
	}
	return answer, nil
}

// ListLogEntries lists entries of the log. A page token is the index of the first entry of the page.
func (s *Server) ListLogEntries(ctx context.Context, r *sharingpb.ListLogEntriesRequest) (*sharingpb.ListLogEntriesResponse, error) {
	asked, err := page("", r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	from := int64(0)
	if asked.Token != "" {
		if from, err = strconv.ParseInt(asked.Token, 10, 64); err != nil || from < 0 {
			return nil, fault.InvalidField("pageToken", "was not given by a page before")
		}
	}
	entries, more, err := s.logEntries(ctx, from, asked.Limit)
	if err != nil {
		return nil, err
	}
	next := ""
	if more {
		next = strconv.FormatInt(from+int64(len(entries)), 10)
	}
	return &sharingpb.ListLogEntriesResponse{Entries: each(entries, logEntry), NextPageToken: next}, nil
}

// logEntries returns the entries from an index on, and whether more may follow: at most limit, and fewer where they are
// large, since an entry can hold an envelope of a MiB and a message has an end. They are read a few at a time for the
// same reason.
func (s *Server) logEntries(ctx context.Context, from int64, limit int) (entries []sharing.LogEntry, more bool, err error) {
	for size := 0; len(entries) < limit; {
		some := min(logChunk, limit-len(entries))
		chunk, err := s.service.LogEntries(ctx, from+int64(len(entries)), some)
		if err != nil {
			return nil, false, err
		}
		for _, entry := range chunk {
			size += len(entry.Content)
			if size > maxLogPage && len(entries) > 0 {
				return entries, true, nil
			}
			entries = append(entries, entry)
		}
		if len(chunk) < some {
			return entries, false, nil
		}
	}
	return entries, true, nil
}
