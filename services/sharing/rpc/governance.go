package rpc

import (
	"bytes"
	"context"
	"encoding/json"

	"google.golang.org/protobuf/encoding/protojson"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// Governance is the GovernanceService.
type Governance struct {
	sharingpb.UnimplementedGovernanceServiceServer
	service *sharing.Service
}

// NewGovernance returns the GovernanceService of the domain.
func NewGovernance(service *sharing.Service) *Governance { return &Governance{service: service} }

// ProposeAmendment signs a change of shared structures, and sends it to all other states.
func (g *Governance) ProposeAmendment(ctx context.Context, r *sharingpb.ProposeAmendmentRequest) (*sharingpb.ProposeAmendmentResponse, error) {
	if r.GetStructures() == nil {
		return nil, fault.InvalidField("structures", "is missing")
	}
	structures, err := structuresToJSON(r.GetStructures())
	if err != nil {
		return nil, err
	}
	proposed, err := g.service.ProposeAmendment(ctx, sharing.Change{ID: sharing.AmendmentID(r.GetId()), Text: r.GetText(), Structures: structures})
	if err != nil {
		return nil, err
	}
	return &sharingpb.ProposeAmendmentResponse{Amendment: amendment(proposed)}, nil
}

// RatifyAmendment signs an amendment that is here.
func (g *Governance) RatifyAmendment(ctx context.Context, r *sharingpb.RatifyAmendmentRequest) (*sharingpb.RatifyAmendmentResponse, error) {
	id, err := amendmentID(r.GetName())
	if err != nil {
		return nil, err
	}
	ratified, err := g.service.RatifyAmendment(ctx, id)
	if err != nil {
		return nil, err
	}
	return &sharingpb.RatifyAmendmentResponse{Amendment: amendment(ratified)}, nil
}

// GetAmendment returns an amendment with its structures.
func (g *Governance) GetAmendment(ctx context.Context, r *sharingpb.GetAmendmentRequest) (*sharingpb.GetAmendmentResponse, error) {
	id, err := amendmentID(r.GetName())
	if err != nil {
		return nil, err
	}
	found, err := g.service.Amendment(ctx, id)
	if err != nil {
		return nil, err
	}
	answer := amendment(found)
	if answer.Structures, err = structuresFromJSON(found.Structures); err != nil {
		return nil, err
	}
	return &sharingpb.GetAmendmentResponse{Amendment: answer}, nil
}

// ListAmendments lists the amendments.
func (g *Governance) ListAmendments(ctx context.Context, _ *sharingpb.ListAmendmentsRequest) (*sharingpb.ListAmendmentsResponse, error) {
	amendments, err := g.service.Amendments(ctx)
	if err != nil {
		return nil, err
	}
	return &sharingpb.ListAmendmentsResponse{Amendments: each(amendments, amendment)}, nil
}

// amendmentID reads "amendments/{id}".
func amendmentID(name string) (sharing.AmendmentID, error) {
	id, err := idIn("amendments", name)
	return sharing.AmendmentID(id), err
}

var amendmentStates = map[sharing.AmendmentState]sharingpb.Amendment_State{
	sharing.Open:     sharingpb.Amendment_PROPOSED,
	sharing.Ratified: sharingpb.Amendment_RATIFIED,
	sharing.InEffect: sharingpb.Amendment_IN_EFFECT,
}

func amendment(a sharing.Amendment) *sharingpb.Amendment {
	p := &sharingpb.Amendment{
		Name: nameIn("amendments", a.ID), State: amendmentStates[a.State], Proposer: string(a.Proposer), Text: a.Text,
		Document: a.Document, Quorum: count(a.Quorum), CreateTime: timestamp(a.Created), EffectTime: timestamp(a.Effect), Problem: a.Problem,
	}
	for _, artefact := range a.Artefacts {
		p.Artefacts = append(p.Artefacts, artefact.String())
	}
	for _, s := range a.Signatures {
		p.Signatures = append(p.Signatures, &sharingpb.AmendmentSignature{
			State: string(s.State), KeyId: s.Signature.KeyID, Signature: s.Signature.Signature, CreateTime: timestamp(s.Created),
		})
	}
	for _, d := range a.Deliveries {
		if !d.Delivered {
			p.Undelivered = append(p.Undelivered, &sharingpb.AmendmentDelivery{State: string(d.State), Rejection: rejection(d.Rejection)})
		}
	}
	return p
}

// structuresToJSON returns structures as a document holds them.
func structuresToJSON(p *statisticspb.Structures) (json.RawMessage, error) {
	text, err := protojson.Marshal(p)
	if err != nil {
		return nil, err
	}
	var compact bytes.Buffer // what protojson writes has spaces by chance
	err = json.Compact(&compact, text)
	return compact.Bytes(), err
}

// structuresFromJSON reads structures from a document. A field that is not known, or stands twice, is a fault.
func structuresFromJSON(text []byte) (*statisticspb.Structures, error) {
	p := &statisticspb.Structures{}
	if err := protojson.Unmarshal(text, p); err != nil {
		return nil, fault.InvalidField("structures", "they cannot be read: %v", err)
	}
	return p, nil
}
