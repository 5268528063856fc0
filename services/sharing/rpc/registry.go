package rpc

import (
	"context"
	"fmt"
	"strings"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/sharing"
)

var _ sharing.Registry = (*Statistics)(nil)

// Read returns the artefacts of structures.
func (s *Statistics) Read(structures []byte) ([]sharing.Artefact, error) {
	p, err := structuresFromJSON(structures)
	if err != nil {
		return nil, err
	}
	return artefacts(p), nil
}

// Artefacts returns what the statistics keep of the agencies.
func (s *Statistics) Artefacts(ctx context.Context, agencies []string) ([]sharing.Artefact, error) {
	answer, err := s.client.ListStructures(ctx, &statisticspb.ListStructuresRequest{Agencies: agencies})
	if err != nil {
		return nil, fmt.Errorf("asking for shared structures: %w", err)
	}
	return artefacts(answer.GetStructures()), nil
}

// Check returns a fault unless the statistics would keep structures.
func (s *Statistics) Check(ctx context.Context, structures []byte) error {
	return s.create(ctx, structures, true)
}

// Keep keeps structures in the statistics.
func (s *Statistics) Keep(ctx context.Context, structures []byte) error {
	return s.create(ctx, structures, false)
}

func (s *Statistics) create(ctx context.Context, structures []byte, checkOnly bool) error {
	p, err := structuresFromJSON(structures)
	if err != nil {
		return err
	}
	_, err = s.client.CreateStructures(ctx, &statisticspb.CreateStructuresRequest{Structures: p, CheckOnly: checkOnly})
	return err
}

// artefacts returns the artefacts with what later versions of them have to have: of a list its items, each under the same
// parent; of a data structure the same dimensions in the same order, and the attributes; of a dataflow a version of the same
// data structure.
func artefacts(p *statisticspb.Structures) []sharing.Artefact {
	var all []sharing.Artefact
	add := func(kind string, a artefact, parts ...string) {
		all = append(all, sharing.Artefact{Kind: kind, Name: a.GetAgency() + ":" + a.GetId(), Version: a.GetVersion(), Parts: parts})
	}
	for _, list := range p.GetCodelists() {
		var parts []string
		for _, code := range list.GetCodes() {
			parts = append(parts, item("code", code.GetId(), code.GetParent()))
		}
		add("Codelist", list, parts...)
	}
	for _, scheme := range p.GetConceptSchemes() {
		var parts []string
		for _, concept := range scheme.GetConcepts() {
			parts = append(parts, item("concept", concept.GetId(), concept.GetParent()))
		}
		add("ConceptScheme", scheme, parts...)
	}
	for _, structure := range p.GetDataStructures() {
		parts := []string{fmt.Sprintf("%d dimensions", len(structure.GetDimensions()))}
		for i, dimension := range structure.GetDimensions() {
			parts = append(parts, fmt.Sprintf("the dimension %s in place %d", dimension.GetId(), i+1))
		}
		for _, attribute := range structure.GetAttributes() {
			parts = append(parts, "the attribute "+attribute.GetId())
		}
		add("DataStructure", structure, parts...)
	}
	for _, flow := range p.GetDataflows() {
		add("Dataflow", flow, "the data structure "+strings.SplitN(flow.GetStructure(), "(", 2)[0])
	}
	for _, constraint := range p.GetContentConstraints() {
		add("DataConstraint", constraint)
	}
	for _, m := range p.GetRepresentationMaps() {
		add("RepresentationMap", m)
	}
	for _, m := range p.GetStructureMaps() {
		add("StructureMap", m)
	}
	for _, agreement := range p.GetProvisionAgreements() {
		add("ProvisionAgreement", agreement)
	}
	for _, scheme := range p.GetAgencySchemes() {
		add("AgencyScheme", scheme)
	}
	for _, scheme := range p.GetDataProviderSchemes() {
		add("DataProviderScheme", scheme)
	}
	return all
}

// item names an item of a list.
func item(what, id, parent string) string {
	if parent == "" {
		return fmt.Sprintf("the %s %s", what, id)
	}
	return fmt.Sprintf("the %s %s of %s", what, id, parent)
}
