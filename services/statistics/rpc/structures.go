package rpc

import (
	"context"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// CreateStructures stores structural artefacts.
func (s *Server) CreateStructures(ctx context.Context, request *statisticspb.CreateStructuresRequest) (*statisticspb.CreateStructuresResponse, error) {
	structures, err := structuresFromProto(request.GetStructures())
	if err != nil {
		return nil, err
	}
	store := s.service.CreateStructures
	if request.GetCheckOnly() {
		store = s.service.CheckStructures
	}
	stored, err := store(ctx, structures)
	if err != nil {
		return nil, err
	}
	return &statisticspb.CreateStructuresResponse{
		Created: count(stored.Created), Unchanged: count(stored.Unchanged), Updated: count(stored.Updated),
		Findings: convert(stored.Findings, findingToProto),
	}, nil
}

// GetStructures returns a dataflow with what belongs to it.
func (s *Server) GetStructures(ctx context.Context, request *statisticspb.GetStructuresRequest) (*statisticspb.GetStructuresResponse, error) {
	ref, err := statistics.ParseRef(request.GetDataflow())
	if err != nil {
		return nil, err
	}
	structures, err := s.service.Structures(ctx, ref)
	if err != nil {
		return nil, err
	}
	constraints, err := s.service.Constraints(ctx, ref)
	if err != nil {
		return nil, err
	}
	answer := &statisticspb.GetStructuresResponse{
		Structures: structuresToProto(&structures), Constraints: convert(constraints, bindingConstraintToProto),
	}
	design, ok, err := statistics.DefaultMirror(ref)
	if err != nil {
		return nil, err
	}
	if ok {
		answer.Mirror = mirrorDesignToProto(design)
	}
	return answer, nil
}

// ListDataflows lists the dataflows.
func (s *Server) ListDataflows(ctx context.Context, _ *statisticspb.ListDataflowsRequest) (*statisticspb.ListDataflowsResponse, error) {
	dataflows, err := s.service.Dataflows(ctx)
	if err != nil {
		return nil, err
	}
	return &statisticspb.ListDataflowsResponse{Dataflows: convert(dataflows, dataflowToProto)}, nil
}

// ListStructures lists structural artefacts.
func (s *Server) ListStructures(ctx context.Context, request *statisticspb.ListStructuresRequest) (*statisticspb.ListStructuresResponse, error) {
	query, err := structureQueryFromProto(request)
	if err != nil {
		return nil, err
	}
	structures, err := s.service.ListStructures(ctx, query)
	if err != nil {
		return nil, err
	}
	return &statisticspb.ListStructuresResponse{Structures: structuresToProto(structures)}, nil
}

// DeleteStructures removes structural artefacts.
func (s *Server) DeleteStructures(ctx context.Context, request *statisticspb.DeleteStructuresRequest) (*statisticspb.DeleteStructuresResponse, error) {
	var ids []statistics.ArtefactID
	for _, text := range request.GetArtefacts() {
		id, err := statistics.ParseArtefactID(text)
		if err != nil {
			return nil, fault.InvalidField("artefacts", "%v", err)
		}
		ids = append(ids, id)
	}
	deleted, err := s.service.DeleteStructures(ctx, ids)
	if err != nil {
		return nil, err
	}
	return &statisticspb.DeleteStructuresResponse{Deleted: count(deleted)}, nil
}

// kinds are the kinds of artefacts by their number in requests.
var kinds = map[statisticspb.Artefact_Kind]statistics.Kind{
	statisticspb.Artefact_CODELIST:             statistics.KindCodelist,
	statisticspb.Artefact_CONCEPT_SCHEME:       statistics.KindConceptScheme,
	statisticspb.Artefact_DATA_STRUCTURE:       statistics.KindDataStructure,
	statisticspb.Artefact_DATAFLOW:             statistics.KindDataflow,
	statisticspb.Artefact_CONTENT_CONSTRAINT:   statistics.KindContentConstraint,
	statisticspb.Artefact_PROVISION_AGREEMENT:  statistics.KindProvisionAgreement,
	statisticspb.Artefact_REPRESENTATION_MAP:   statistics.KindRepresentationMap,
	statisticspb.Artefact_STRUCTURE_MAP:        statistics.KindStructureMap,
	statisticspb.Artefact_AGENCY_SCHEME:        statistics.KindAgencyScheme,
	statisticspb.Artefact_DATA_PROVIDER_SCHEME: statistics.KindDataProviderScheme,
}

var references = map[statisticspb.ListStructuresRequest_References]statistics.References{
	statisticspb.ListStructuresRequest_UNSPECIFIED:          statistics.NoReferences,
	statisticspb.ListStructuresRequest_NONE:                 statistics.NoReferences,
	statisticspb.ListStructuresRequest_PARENTS:              statistics.Parents,
	statisticspb.ListStructuresRequest_PARENTS_AND_SIBLINGS: statistics.ParentsAndSiblings,
	statisticspb.ListStructuresRequest_ANCESTORS:            statistics.Ancestors,
	statisticspb.ListStructuresRequest_CHILDREN:             statistics.Children,
	statisticspb.ListStructuresRequest_DESCENDANTS:          statistics.AllDescendants,
	statisticspb.ListStructuresRequest_ALL:                  statistics.AllReferences,
}

var details = map[statisticspb.ArtefactDetail_Level]statistics.Detail{
	statisticspb.ArtefactDetail_UNSPECIFIED:              statistics.FullDetail,
	statisticspb.ArtefactDetail_FULL:                     statistics.FullDetail,
	statisticspb.ArtefactDetail_ALL_STUBS:                statistics.AllStubs,
	statisticspb.ArtefactDetail_REFERENCE_STUBS:          statistics.ReferenceStubs,
	statisticspb.ArtefactDetail_ALL_COMPLETE_STUBS:       statistics.AllCompleteStubs,
	statisticspb.ArtefactDetail_REFERENCE_COMPLETE_STUBS: statistics.ReferenceCompleteStubs,
	statisticspb.ArtefactDetail_REFERENCE_PARTIAL:        statistics.ReferencePartial,
}

func structureQueryFromProto(p *statisticspb.ListStructuresRequest) (*statistics.StructureQuery, error) {
	q := &statistics.StructureQuery{Agencies: p.GetAgencies(), IDs: p.GetIds(), Versions: p.GetVersions(), Items: p.GetItems()}
	var ok bool
	if q.References, ok = references[p.GetReferences()]; !ok {
		return nil, fault.InvalidField("references", "%d is not known", p.GetReferences())
	}
	if q.Detail, ok = details[p.GetDetail()]; !ok {
		return nil, fault.InvalidField("detail", "%d is not known", p.GetDetail())
	}
	for field, of := range map[string]struct {
		from []statisticspb.Artefact_Kind
		to   *[]statistics.Kind
	}{"kinds": {p.GetKinds(), &q.Kinds}, "referenceKinds": {p.GetReferenceKinds(), &q.ReferenceKinds}} {
		for _, number := range of.from {
			kind, ok := kinds[number]
			if !ok {
				return nil, fault.InvalidField(field, "%d is not known", number)
			}
			*of.to = append(*of.to, kind)
		}
	}
	return q, nil
}

func findingToProto(f statistics.Finding) *statisticspb.Finding {
	return &statisticspb.Finding{
		Rule: f.Rule, Severity: severities[f.Severity], Line: count(f.Line), Column: valid(f.Column),
		Message: valid(f.Message), Values: convert(f.Values, valid), Comment: f.Comment, Overridden: f.Overridden,
		Period: f.Period, Before: f.Before, After: f.After, Threshold: f.Threshold, Overridable: f.Check != "",
	}
}

func structuresFromProto(p *statisticspb.Structures) (*statistics.Structures, error) {
	var r refs
	s := &statistics.Structures{
		Codelists:           convert(p.GetCodelists(), codelistFromProto),
		ConceptSchemes:      convert(p.GetConceptSchemes(), r.conceptScheme),
		DataStructures:      convert(p.GetDataStructures(), r.dataStructure),
		Dataflows:           convert(p.GetDataflows(), r.dataflow),
		ContentConstraints:  convert(p.GetContentConstraints(), r.contentConstraint),
		ProvisionAgreements: convert(p.GetProvisionAgreements(), r.provisionAgreement),
		RepresentationMaps:  convert(p.GetRepresentationMaps(), r.representationMap),
		StructureMaps:       convert(p.GetStructureMaps(), r.structureMap),
		AgencySchemes:       convert(p.GetAgencySchemes(), organisationSchemeFromProto),
		DataProviderSchemes: convert(p.GetDataProviderSchemes(), organisationSchemeFromProto),
	}
	return s, r.err
}

func structuresToProto(s *statistics.Structures) *statisticspb.Structures {
	return &statisticspb.Structures{
		Codelists:           convert(s.Codelists, codelistToProto),
		ConceptSchemes:      convert(s.ConceptSchemes, conceptSchemeToProto),
		DataStructures:      convert(s.DataStructures, dataStructureToProto),
		Dataflows:           convert(s.Dataflows, dataflowToProto),
		ContentConstraints:  convert(s.ContentConstraints, contentConstraintToProto),
		ProvisionAgreements: convert(s.ProvisionAgreements, provisionAgreementToProto),
		RepresentationMaps:  convert(s.RepresentationMaps, representationMapToProto),
		StructureMaps:       convert(s.StructureMaps, structureMapToProto),
		AgencySchemes:       convert(s.AgencySchemes, organisationSchemeToProto),
		DataProviderSchemes: convert(s.DataProviderSchemes, organisationSchemeToProto),
	}
}

func (r *refs) item(text string) statistics.ItemRef {
	if text == "" {
		return statistics.ItemRef{}
	}
	ref, err := statistics.ParseItemRef(text)
	if err != nil && r.err == nil {
		r.err = err
	}
	return ref
}

func itemText(ref statistics.ItemRef) string {
	if ref == (statistics.ItemRef{}) {
		return ""
	}
	return ref.String()
}

// named is what every artefact has.
type named interface {
	GetAgency() string
	GetId() string
	GetVersion() string
}

func refOf(p named) statistics.Ref {
	return statistics.Ref{Agency: p.GetAgency(), ID: p.GetId(), Version: p.GetVersion()}
}

func annotationFromProto(a *statisticspb.Annotation) statistics.Annotation {
	return statistics.Annotation{
		ID: a.GetId(), Title: a.GetTitle(), Type: a.GetType(), Value: a.GetValue(), Texts: names(a.GetTexts()), URL: a.GetUrl(),
	}
}

func annotationToProto(a statistics.Annotation) *statisticspb.Annotation {
	return &statisticspb.Annotation{Id: a.ID, Title: a.Title, Type: a.Type, Value: a.Value, Texts: a.Texts, Url: a.URL}
}

func codelistFromProto(p *statisticspb.Codelist) statistics.Codelist {
	return statistics.Codelist{
		Ref: refOf(p), Names: names(p.GetNames()), Descriptions: names(p.GetDescriptions()),
		Annotations: convert(p.GetAnnotations(), annotationFromProto), Levels: texts(p.GetLevels()),
		Codes: convert(p.GetCodes(), func(c *statisticspb.Code) statistics.Code {
			return statistics.Code{
				ID: c.GetId(), Parent: c.GetParent(), Names: names(c.GetNames()), Descriptions: names(c.GetDescriptions()),
				Annotations: convert(c.GetAnnotations(), annotationFromProto), Level: c.GetLevel(), Covers: texts(c.GetCovers()),
			}
		}),
	}
}

func codelistToProto(c statistics.Codelist) *statisticspb.Codelist {
	return &statisticspb.Codelist{
		Agency: c.Ref.Agency, Id: c.Ref.ID, Version: c.Ref.Version, Names: c.Names, Descriptions: c.Descriptions,
		Annotations: convert(c.Annotations, annotationToProto), Levels: c.Levels,
		Codes: convert(c.Codes, func(code statistics.Code) *statisticspb.Code {
			return &statisticspb.Code{
				Id: code.ID, Parent: code.Parent, Names: code.Names, Descriptions: code.Descriptions,
				Annotations: convert(code.Annotations, annotationToProto), Level: code.Level, Covers: code.Covers,
			}
		}),
	}
}

func (r *refs) conceptScheme(p *statisticspb.ConceptScheme) statistics.ConceptScheme {
	return statistics.ConceptScheme{
		Ref: refOf(p), Names: names(p.GetNames()), Descriptions: names(p.GetDescriptions()),
		Annotations: convert(p.GetAnnotations(), annotationFromProto),
		Concepts: convert(p.GetConcepts(), func(c *statisticspb.Concept) statistics.Concept {
			return statistics.Concept{
				ID: c.GetId(), Parent: c.GetParent(), Names: names(c.GetNames()), Descriptions: names(c.GetDescriptions()),
				Annotations: convert(c.GetAnnotations(), annotationFromProto), Codelist: r.parse(c.GetCodelist()),
			}
		}),
	}
}

func conceptSchemeToProto(c statistics.ConceptScheme) *statisticspb.ConceptScheme {
	return &statisticspb.ConceptScheme{
		Agency: c.Ref.Agency, Id: c.Ref.ID, Version: c.Ref.Version, Names: c.Names, Descriptions: c.Descriptions,
		Annotations: convert(c.Annotations, annotationToProto),
		Concepts: convert(c.Concepts, func(concept statistics.Concept) *statisticspb.Concept {
			return &statisticspb.Concept{
				Id: concept.ID, Parent: concept.Parent, Names: concept.Names, Descriptions: concept.Descriptions,
				Annotations: convert(concept.Annotations, annotationToProto), Codelist: refText(concept.Codelist),
			}
		}),
	}
}

func organisationSchemeFromProto(p *statisticspb.OrganisationScheme) statistics.OrganisationScheme {
	return statistics.OrganisationScheme{
		Ref: refOf(p), Names: names(p.GetNames()), Descriptions: names(p.GetDescriptions()),
		Annotations: convert(p.GetAnnotations(), annotationFromProto),
		Organisations: convert(p.GetOrganisations(), func(o *statisticspb.Organisation) statistics.Organisation {
			return statistics.Organisation{
				ID: o.GetId(), Names: names(o.GetNames()), Descriptions: names(o.GetDescriptions()),
				Annotations: convert(o.GetAnnotations(), annotationFromProto),
			}
		}),
	}
}

func organisationSchemeToProto(s statistics.OrganisationScheme) *statisticspb.OrganisationScheme {
	return &statisticspb.OrganisationScheme{
		Agency: s.Ref.Agency, Id: s.Ref.ID, Version: s.Ref.Version, Names: s.Names, Descriptions: s.Descriptions,
		Annotations: convert(s.Annotations, annotationToProto),
		Organisations: convert(s.Organisations, func(o statistics.Organisation) *statisticspb.Organisation {
			return &statisticspb.Organisation{
				Id: o.ID, Names: o.Names, Descriptions: o.Descriptions, Annotations: convert(o.Annotations, annotationToProto),
			}
		}),
	}
}

func (r *refs) dataStructure(p *statisticspb.DataStructure) statistics.DataStructure {
	return statistics.DataStructure{
		Ref: refOf(p), Names: names(p.GetNames()), Descriptions: names(p.GetDescriptions()),
		Annotations: convert(p.GetAnnotations(), annotationFromProto),
		Dimensions:  convert(p.GetDimensions(), r.component), Attributes: convert(p.GetAttributes(), r.component),
	}
}

func dataStructureToProto(d statistics.DataStructure) *statisticspb.DataStructure {
	return &statisticspb.DataStructure{
		Agency: d.Ref.Agency, Id: d.Ref.ID, Version: d.Ref.Version, Names: d.Names, Descriptions: d.Descriptions,
		Annotations: convert(d.Annotations, annotationToProto),
		Dimensions:  convert(d.Dimensions, componentToProto), Attributes: convert(d.Attributes, componentToProto),
	}
}

func (r *refs) component(p *statisticspb.Component) statistics.Component {
	return statistics.Component{
		ID: p.GetId(), Codelist: r.parse(p.GetCodelist()), Names: names(p.GetNames()), Concept: r.item(p.GetConcept()),
	}
}

func componentToProto(c statistics.Component) *statisticspb.Component {
	return &statisticspb.Component{Id: c.ID, Codelist: refText(c.Codelist), Names: c.Names, Concept: itemText(c.Concept)}
}

func (r *refs) dataflow(p *statisticspb.Dataflow) statistics.Dataflow {
	return statistics.Dataflow{
		Ref: refOf(p), Names: names(p.GetNames()), Descriptions: names(p.GetDescriptions()),
		Annotations: convert(p.GetAnnotations(), annotationFromProto), Structure: r.parse(p.GetStructure()),
	}
}

func dataflowToProto(d statistics.Dataflow) *statisticspb.Dataflow {
	return &statisticspb.Dataflow{
		Agency: d.Ref.Agency, Id: d.Ref.ID, Version: d.Ref.Version, Names: d.Names, Descriptions: d.Descriptions,
		Annotations: convert(d.Annotations, annotationToProto), Structure: refText(d.Structure),
	}
}

func (r *refs) provisionAgreement(p *statisticspb.ProvisionAgreement) statistics.ProvisionAgreement {
	return statistics.ProvisionAgreement{
		Ref: refOf(p), Names: names(p.GetNames()), Descriptions: names(p.GetDescriptions()),
		Annotations: convert(p.GetAnnotations(), annotationFromProto),
		Dataflow:    r.parse(p.GetDataflow()), Provider: r.item(p.GetDataProvider()),
	}
}

func provisionAgreementToProto(p statistics.ProvisionAgreement) *statisticspb.ProvisionAgreement {
	return &statisticspb.ProvisionAgreement{
		Agency: p.Ref.Agency, Id: p.Ref.ID, Version: p.Ref.Version, Names: p.Names, Descriptions: p.Descriptions,
		Annotations: convert(p.Annotations, annotationToProto),
		Dataflow:    refText(p.Dataflow), DataProvider: itemText(p.Provider),
	}
}

func (r *refs) contentConstraint(p *statisticspb.ContentConstraint) statistics.ContentConstraint {
	role, ok := map[statisticspb.ContentConstraint_Role]statistics.ConstraintRole{
		statisticspb.ContentConstraint_UNSPECIFIED: statistics.AllowedContent,
		statisticspb.ContentConstraint_ALLOWED:     statistics.AllowedContent,
		statisticspb.ContentConstraint_ACTUAL:      statistics.ActualContent,
	}[p.GetRole()]
	if !ok && r.err == nil {
		r.err = fault.InvalidField("contentConstraints", "the role %d is not known", p.GetRole())
	}
	return statistics.ContentConstraint{
		Ref: refOf(p), Names: names(p.GetNames()), Descriptions: names(p.GetDescriptions()),
		Annotations: convert(p.GetAnnotations(), annotationFromProto), Role: role,
		DataStructures: convert(p.GetDataStructures(), r.parse), Dataflows: convert(p.GetDataflows(), r.parse),
		ProvisionAgreements: convert(p.GetProvisionAgreements(), r.parse),
		Regions: convert(p.GetCubeRegions(), func(region *statisticspb.CubeRegion) statistics.CubeRegion {
			return statistics.CubeRegion{Exclude: region.GetExclude(), Keys: convert(region.GetKeys(), r.cubeRegionKey)}
		}),
		KeySets: convert(p.GetKeySets(), func(set *statisticspb.DataKeySet) statistics.DataKeySet {
			return statistics.DataKeySet{
				Exclude: set.GetExclude(),
				Keys:    convert(set.GetKeys(), func(key *statisticspb.DataKey) map[string]string { return names(key.GetValues()) }),
			}
		}),
	}
}

func (r *refs) cubeRegionKey(p *statisticspb.CubeRegionKey) statistics.CubeRegionKey {
	return statistics.CubeRegionKey{
		Component: p.GetComponent(), Exclude: p.GetExclude(),
		Start: p.GetTimeRange().GetStartPeriod(), End: p.GetTimeRange().GetEndPeriod(),
		Values: convert(p.GetValues(), func(value *statisticspb.CubeRegionValue) statistics.CubeRegionValue {
			cascade, ok := map[statisticspb.CubeRegionValue_Cascade]statistics.Cascade{
				statisticspb.CubeRegionValue_UNSPECIFIED:      statistics.NoCascade,
				statisticspb.CubeRegionValue_DESCENDANTS:      statistics.Descendants,
				statisticspb.CubeRegionValue_ONLY_DESCENDANTS: statistics.OnlyDescendants,
			}[value.GetCascade()]
			if !ok && r.err == nil {
				r.err = fault.InvalidField("contentConstraints", "the cascade %d is not known", value.GetCascade())
			}
			return statistics.CubeRegionValue{Value: value.GetValue(), Cascade: cascade}
		}),
	}
}

func contentConstraintToProto(c statistics.ContentConstraint) *statisticspb.ContentConstraint {
	role := statisticspb.ContentConstraint_ALLOWED
	if c.Role == statistics.ActualContent {
		role = statisticspb.ContentConstraint_ACTUAL
	}
	return &statisticspb.ContentConstraint{
		Agency: c.Ref.Agency, Id: c.Ref.ID, Version: c.Ref.Version, Names: c.Names, Descriptions: c.Descriptions,
		Annotations: convert(c.Annotations, annotationToProto), Role: role,
		DataStructures: convert(c.DataStructures, refText), Dataflows: convert(c.Dataflows, refText),
		ProvisionAgreements: convert(c.ProvisionAgreements, refText),
		CubeRegions: convert(c.Regions, func(region statistics.CubeRegion) *statisticspb.CubeRegion {
			return &statisticspb.CubeRegion{Exclude: region.Exclude, Keys: convert(region.Keys, cubeRegionKeyToProto)}
		}),
		KeySets: convert(c.KeySets, func(set statistics.DataKeySet) *statisticspb.DataKeySet {
			return &statisticspb.DataKeySet{
				Exclude: set.Exclude,
				Keys:    convert(set.Keys, func(key map[string]string) *statisticspb.DataKey { return &statisticspb.DataKey{Values: key} }),
			}
		}),
	}
}

func bindingConstraintToProto(c statistics.BindingConstraint) *statisticspb.BindingConstraint {
	return &statisticspb.BindingConstraint{Constraint: contentConstraintToProto(*c.ContentConstraint), Provider: c.Provider}
}

func cubeRegionKeyToProto(k statistics.CubeRegionKey) *statisticspb.CubeRegionKey {
	p := &statisticspb.CubeRegionKey{
		Component: k.Component, Exclude: k.Exclude,
		Values: convert(k.Values, func(value statistics.CubeRegionValue) *statisticspb.CubeRegionValue {
			cascade := [...]statisticspb.CubeRegionValue_Cascade{
				statistics.NoCascade:       statisticspb.CubeRegionValue_UNSPECIFIED,
				statistics.Descendants:     statisticspb.CubeRegionValue_DESCENDANTS,
				statistics.OnlyDescendants: statisticspb.CubeRegionValue_ONLY_DESCENDANTS,
			}[value.Cascade]
			return &statisticspb.CubeRegionValue{Value: value.Value, Cascade: cascade}
		}),
	}
	if k.Start != "" || k.End != "" {
		p.TimeRange = &statisticspb.TimeRange{StartPeriod: k.Start, EndPeriod: k.End}
	}
	return p
}

func (r *refs) representationMap(p *statisticspb.RepresentationMap) statistics.RepresentationMap {
	return statistics.RepresentationMap{
		Ref: refOf(p), Names: names(p.GetNames()), Descriptions: names(p.GetDescriptions()),
		Annotations: convert(p.GetAnnotations(), annotationFromProto),
		Otherwise:   texts(p.GetOtherwise()), Identity: p.GetIdentity(),
		SourceCodelists: convert(p.GetSourceCodelists(), r.parse), TargetCodelists: convert(p.GetTargetCodelists(), r.parse),
		Mappings: convert(p.GetMappings(), func(mapping *statisticspb.Mapping) statistics.Mapping {
			return statistics.Mapping{
				Sources: texts(mapping.GetSources()), Targets: texts(mapping.GetTargets()),
				ValidFrom: mapping.GetValidFrom(), ValidTo: mapping.GetValidTo(),
			}
		}),
	}
}

func representationMapToProto(m statistics.RepresentationMap) *statisticspb.RepresentationMap {
	return &statisticspb.RepresentationMap{
		Agency: m.Ref.Agency, Id: m.Ref.ID, Version: m.Ref.Version, Names: m.Names, Descriptions: m.Descriptions,
		Annotations: convert(m.Annotations, annotationToProto),
		Otherwise:   m.Otherwise, Identity: m.Identity,
		SourceCodelists: convert(m.SourceCodelists, refText), TargetCodelists: convert(m.TargetCodelists, refText),
		Mappings: convert(m.Mappings, func(mapping statistics.Mapping) *statisticspb.Mapping {
			return &statisticspb.Mapping{
				Sources: mapping.Sources, Targets: mapping.Targets, ValidFrom: mapping.ValidFrom, ValidTo: mapping.ValidTo,
			}
		}),
	}
}

func (r *refs) structureMap(p *statisticspb.StructureMap) statistics.StructureMap {
	return statistics.StructureMap{
		Ref: refOf(p), Names: names(p.GetNames()), Descriptions: names(p.GetDescriptions()),
		Annotations: convert(p.GetAnnotations(), annotationFromProto),
		Source:      r.parse(p.GetSource()), Target: r.parse(p.GetTarget()),
		Components: convert(p.GetComponentMaps(), func(c *statisticspb.ComponentMap) statistics.ComponentMap {
			return statistics.ComponentMap{
				Sources: texts(c.GetSources()), Targets: texts(c.GetTargets()),
				RepresentationMap: r.parse(c.GetRepresentationMap()), Constant: c.GetConstant(),
			}
		}),
	}
}

func structureMapToProto(m statistics.StructureMap) *statisticspb.StructureMap {
	return &statisticspb.StructureMap{
		Agency: m.Ref.Agency, Id: m.Ref.ID, Version: m.Ref.Version, Names: m.Names, Descriptions: m.Descriptions,
		Annotations: convert(m.Annotations, annotationToProto),
		Source:      refText(m.Source), Target: refText(m.Target),
		ComponentMaps: convert(m.Components, func(c statistics.ComponentMap) *statisticspb.ComponentMap {
			return &statisticspb.ComponentMap{
				Sources: c.Sources, Targets: c.Targets, RepresentationMap: refText(c.RepresentationMap), Constant: c.Constant,
			}
		}),
	}
}
