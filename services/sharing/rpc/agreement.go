package rpc

import (
	"context"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// ListAgreementVersions lists every version of an agreement.
func (s *Server) ListAgreementVersions(ctx context.Context, r *sharingpb.ListAgreementVersionsRequest) (*sharingpb.ListAgreementVersionsResponse, error) {
	id, err := agreementID(r.GetName())
	if err != nil {
		return nil, err
	}
	if _, err := s.agreementFor(ctx, id); err != nil {
		return nil, err
	}
	versions, err := s.service.Versions(ctx, id)
	if err != nil {
		return nil, err
	}
	return &sharingpb.ListAgreementVersionsResponse{Agreements: each(versions, s.agreement)}, nil
}

// CounterAgreement answers a proposal with other terms.
func (s *Server) CounterAgreement(ctx context.Context, r *sharingpb.CounterAgreementRequest) (*sharingpb.CounterAgreementResponse, error) {
	id, err := agreementID(r.GetName())
	if err != nil {
		return nil, err
	}
	if r.GetTerms() == nil {
		return nil, fault.InvalidField("terms", "is missing")
	}
	countered, err := s.agreementFor(ctx, id)
	if err != nil {
		return nil, err
	}
	terms := termsFromProto(r.GetTerms())
	if terms.ID != "" && terms.ID != id {
		return nil, fault.InvalidField("terms.id", "%q is not %q", terms.ID, id)
	}
	terms.ID = id
	if countered.Terms.Domestic() {
		countered, err = s.service.CounterAs(ctx, s.party(ctx), terms)
	} else {
		countered, err = s.service.Counter(ctx, terms)
	}
	if err != nil {
		return nil, err
	}
	return &sharingpb.CounterAgreementResponse{Agreement: s.agreement(countered)}, nil
}

// RenewAgreement proposes the version in force with a later last day.
func (s *Server) RenewAgreement(ctx context.Context, r *sharingpb.RenewAgreementRequest) (*sharingpb.RenewAgreementResponse, error) {
	id, err := agreementID(r.GetName())
	if err != nil {
		return nil, err
	}
	renewed, err := s.agreementFor(ctx, id)
	if err != nil {
		return nil, err
	}
	if renewed.Terms.Domestic() {
		renewed, err = s.service.RenewAs(ctx, s.party(ctx), id, r.GetValidTo())
	} else {
		renewed, err = s.service.Renew(ctx, id, r.GetValidTo())
	}
	if err != nil {
		return nil, err
	}
	return &sharingpb.RenewAgreementResponse{Agreement: s.agreement(renewed)}, nil
}

// DeclineAgreement ends a version that is proposed.
func (s *Server) DeclineAgreement(ctx context.Context, r *sharingpb.DeclineAgreementRequest) (*sharingpb.DeclineAgreementResponse, error) {
	id, err := agreementID(r.GetName())
	if err != nil {
		return nil, err
	}
	declined, err := s.agreementFor(ctx, id)
	if err != nil {
		return nil, err
	}
	if declined.Terms.Domestic() {
		declined, err = s.service.DeclineAs(ctx, s.party(ctx), id, int(r.GetVersion()), r.GetReason())
	} else {
		declined, err = s.service.Decline(ctx, id, int(r.GetVersion()), r.GetReason())
	}
	if err != nil {
		return nil, err
	}
	return &sharingpb.DeclineAgreementResponse{Agreement: s.agreement(declined)}, nil
}

func (s *Server) agreement(a sharing.Agreement) *sharingpb.Agreement {
	p := &sharingpb.Agreement{
		Name: nameIn("agreements", a.Terms.ID), State: agreementStates[a.State], Terms: terms(a.Terms), Document: a.Document,
		CreateTime: timestamp(a.Created), UpdateTime: timestamp(a.Updated),
	}
	for _, signed := range a.Signatures {
		p.Signatures = append(p.Signatures, &sharingpb.AgreementSignature{
			State: string(signed.State), KeyId: signed.Signature.KeyID, Signature: signed.Signature.Signature,
			CreateTime: timestamp(signed.Created), Delivered: signed.Delivered, Rejection: rejection(signed.Rejection),
		})
	}
	if end := a.Ended; end != nil {
		p.End = &sharingpb.AgreementEnd{
			State: string(end.State), Reason: end.Reason, CreateTime: timestamp(end.Created),
			Delivered: end.Delivered, Rejection: rejection(end.Rejection),
		}
	}
	if days, ok := s.service.DaysLeft(a); ok {
		left := count(days)
		p.DaysLeft = &left
	}
	_, p.Expiring = s.service.Expiring(a)
	for _, w := range a.Withdrawn {
		p.Withdrawals = append(p.Withdrawals, &sharingpb.AgreementWithdrawal{
			Indicators: w.Indicators, CreateTime: timestamp(w.Created), State: string(w.State), Delivered: w.Delivered,
		})
	}
	return p
}

// rejection returns the wire form of r; absent where it is nil.
func rejection(r *sharing.Rejection) *sharingpb.Rejection {
	if r == nil {
		return nil
	}
	return &sharingpb.Rejection{Code: r.Code, Text: r.Text, CreateTime: timestamp(r.Created)}
}
