package statistics

import (
	"cmp"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
)

// Kind says what an artefact is.
type Kind string

// The kinds.
const (
	KindCodelist           Kind = "codelist"
	KindConceptScheme      Kind = "concept_scheme"
	KindDataStructure      Kind = "data_structure"
	KindDataflow           Kind = "dataflow"
	KindContentConstraint  Kind = "content_constraint"
	KindProvisionAgreement Kind = "provision_agreement"
	KindRepresentationMap  Kind = "representation_map"
	KindStructureMap       Kind = "structure_map"
	KindAgencyScheme       Kind = "agency_scheme"
	KindDataProviderScheme Kind = "data_provider_scheme"
)

// kinds tells of each kind how SDMX calls it in a URN, and how a request does in JSON.
var kinds = []struct {
	kind         Kind
	class, field string
}{
	{KindCodelist, "Codelist", "codelists"},
	{KindConceptScheme, "ConceptScheme", "conceptSchemes"},
	{KindDataStructure, "DataStructure", "dataStructures"},
	{KindDataflow, "Dataflow", "dataflows"},
	{KindContentConstraint, "DataConstraint", "contentConstraints"},
	{KindProvisionAgreement, "ProvisionAgreement", "provisionAgreements"},
	{KindRepresentationMap, "RepresentationMap", "representationMaps"},
	{KindStructureMap, "StructureMap", "structureMaps"},
	{KindAgencyScheme, "AgencyScheme", "agencySchemes"},
	{KindDataProviderScheme, "DataProviderScheme", "dataProviderSchemes"},
}

// Class returns the name of the kind in URNs of SDMX.
func (k Kind) Class() string {
	for _, known := range kinds {
		if known.kind == k {
			return known.class
		}
	}
	return string(k)
}

// field returns the name of the field of a request that holds artefacts of the kind.
func (k Kind) field() string {
	for _, known := range kinds {
		if known.kind == k {
			return known.field
		}
	}
	return string(k)
}

// ArtefactID names an artefact among all: two kinds may have the same Ref.
type ArtefactID struct {
	Kind Kind
	Ref  Ref // with a version
}

// ParseArtefactID reads "Class=AGENCY:ID(VERSION)", with or without the beginning of a URN of SDMX, such as
// "urn:sdmx:org.sdmx.infomodel.codelist.Codelist=COMITY:CL_SEX(1.0.0)".
func ParseArtefactID(text string) (ArtefactID, error) {
	class, name, _ := strings.Cut(text, "=")
	if strings.HasPrefix(class, "urn:sdmx:org.sdmx.infomodel.") {
		class = class[strings.LastIndexByte(class, '.')+1:]
	}
	for _, known := range kinds {
		if known.class != class {
			continue
		}
		ref, err := ParseRef(name)
		if err != nil {
			return ArtefactID{}, err
		}
		_, err = ParseVersion(ref.Version)
		return ArtefactID{Kind: known.kind, Ref: ref}, err
	}
	return ArtefactID{}, fmt.Errorf("%q is not of the form Codelist=AGENCY:ID(VERSION)", shown(text))
}

// String returns "Class=AGENCY:ID(VERSION)".
func (id ArtefactID) String() string { return id.Kind.Class() + "=" + id.Ref.String() }

// compareIDs orders by kind, agency, id and version.
func compareIDs(a, b ArtefactID) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), compareRefs(a.Ref, b.Ref))
}

// compareRefs orders by agency, id and version.
func compareRefs(a, b Ref) int {
	if order := cmp.Or(cmp.Compare(a.Agency, b.Agency), cmp.Compare(a.ID, b.ID)); order != 0 {
		return order
	}
	versionA, errA := ParseVersion(a.Version)
	versionB, errB := ParseVersion(b.Version)
	if errA != nil || errB != nil {
		return cmp.Compare(a.Version, b.Version)
	}
	return versionA.Compare(versionB)
}

// Artefact is a structural artefact: a pointer to one of the kinds. It must not be changed once it is in a [Catalogue].
type Artefact interface {
	// Name returns what names it among all artefacts.
	Name() ArtefactID
	// references gives what it refers to, as it is written.
	references() iter.Seq[reference]
	// stub returns the artefact without what it holds, with descriptions and annotations where complete says so.
	stub(complete bool) Artefact
}

// reference is what an artefact refers to.
type reference struct {
	kind Kind
	ref  Ref
	item string // of the scheme; "" where the whole is meant
	from string // what refers, such as a component; "" for the artefact itself
}

// isFixed reports whether the artefact stays as it is once it is stored: a version that is no draft. Schemes of
// organisations are not versioned.
func isFixed(id ArtefactID) bool {
	return id.Kind != KindAgencyScheme && id.Kind != KindDataProviderScheme && !isDraft(id.Ref)
}

func isDraft(ref Ref) bool {
	v, err := ParseVersion(ref.Version)
	return err == nil && v.IsDraft()
}

// Structures is a set of artefacts that are stored together.
type Structures struct {
	Codelists           []Codelist
	ConceptSchemes      []ConceptScheme
	DataStructures      []DataStructure
	Dataflows           []Dataflow
	ContentConstraints  []ContentConstraint
	ProvisionAgreements []ProvisionAgreement
	RepresentationMaps  []RepresentationMap
	StructureMaps       []StructureMap
	AgencySchemes       []OrganisationScheme
	DataProviderSchemes []OrganisationScheme
}

// All gives the artefacts kind by kind. They are those of the set, not copies.
func (s *Structures) All() iter.Seq[Artefact] {
	return func(yield func(Artefact) bool) {
		_ = each(s.Codelists, func(c *Codelist) Artefact { return c }, yield) &&
			each(s.ConceptSchemes, func(c *ConceptScheme) Artefact { return c }, yield) &&
			each(s.DataStructures, func(d *DataStructure) Artefact { return d }, yield) &&
			each(s.Dataflows, func(d *Dataflow) Artefact { return d }, yield) &&
			each(s.ContentConstraints, func(c *ContentConstraint) Artefact { return c }, yield) &&
			each(s.ProvisionAgreements, func(p *ProvisionAgreement) Artefact { return p }, yield) &&
			each(s.RepresentationMaps, func(m *RepresentationMap) Artefact { return m }, yield) &&
			each(s.StructureMaps, func(m *StructureMap) Artefact { return m }, yield) &&
			each(s.AgencySchemes, func(o *OrganisationScheme) Artefact { return agencies{o} }, yield) &&
			each(s.DataProviderSchemes, func(o *OrganisationScheme) Artefact { return providers{o} }, yield)
	}
}

func each[T any](of []T, as func(*T) Artefact, yield func(Artefact) bool) bool {
	for i := range of {
		if !yield(as(&of[i])) {
			return false
		}
	}
	return true
}

// Add adds a copy of the artefact, which shares with it what it holds.
func (s *Structures) Add(a Artefact) {
	switch a := a.(type) {
	case *Codelist:
		s.Codelists = append(s.Codelists, *a)
	case *ConceptScheme:
		s.ConceptSchemes = append(s.ConceptSchemes, *a)
	case *DataStructure:
		s.DataStructures = append(s.DataStructures, *a)
	case *Dataflow:
		s.Dataflows = append(s.Dataflows, *a)
	case *ContentConstraint:
		s.ContentConstraints = append(s.ContentConstraints, *a)
	case *ProvisionAgreement:
		s.ProvisionAgreements = append(s.ProvisionAgreements, *a)
	case *RepresentationMap:
		s.RepresentationMaps = append(s.RepresentationMaps, *a)
	case *StructureMap:
		s.StructureMaps = append(s.StructureMaps, *a)
	case agencies:
		s.AgencySchemes = append(s.AgencySchemes, *a.OrganisationScheme)
	case providers:
		s.DataProviderSchemes = append(s.DataProviderSchemes, *a.OrganisationScheme)
	}
}

// DecodeArtefact reads an artefact of the kind from its JSON.
func DecodeArtefact(kind Kind, content []byte) (Artefact, error) {
	var a Artefact
	var into any
	switch kind {
	case KindAgencyScheme:
		scheme := &OrganisationScheme{}
		a, into = agencies{scheme}, scheme
	case KindDataProviderScheme:
		scheme := &OrganisationScheme{}
		a, into = providers{scheme}, scheme
	case KindCodelist:
		a = &Codelist{}
	case KindConceptScheme:
		a = &ConceptScheme{}
	case KindDataStructure:
		a = &DataStructure{}
	case KindDataflow:
		a = &Dataflow{}
	case KindContentConstraint:
		a = &ContentConstraint{}
	case KindProvisionAgreement:
		a = &ProvisionAgreement{}
	case KindRepresentationMap:
		a = &RepresentationMap{}
	case KindStructureMap:
		a = &StructureMap{}
	default:
		return nil, fmt.Errorf("there is no kind of artefacts %q", kind)
	}
	if into == nil {
		into = a
	}
	if err := json.Unmarshal(content, into); err != nil {
		return nil, fmt.Errorf("reading a %s: %w", kind, err)
	}
	return a, nil
}

// agencies and providers are the two kinds of schemes of organisations.
type (
	agencies  struct{ *OrganisationScheme }
	providers struct{ *OrganisationScheme }
)

// Name returns what names it among all artefacts.
func (c *Codelist) Name() ArtefactID { return ArtefactID{KindCodelist, c.Ref} }

// Name returns what names it among all artefacts.
func (c *ConceptScheme) Name() ArtefactID { return ArtefactID{KindConceptScheme, c.Ref} }

// Name returns what names it among all artefacts.
func (s *DataStructure) Name() ArtefactID { return ArtefactID{KindDataStructure, s.Ref} }

// Name returns what names it among all artefacts.
func (d *Dataflow) Name() ArtefactID { return ArtefactID{KindDataflow, d.Ref} }

// Name returns what names it among all artefacts.
func (c *ContentConstraint) Name() ArtefactID { return ArtefactID{KindContentConstraint, c.Ref} }

// Name returns what names it among all artefacts.
func (p *ProvisionAgreement) Name() ArtefactID { return ArtefactID{KindProvisionAgreement, p.Ref} }

// Name returns what names it among all artefacts.
func (m *RepresentationMap) Name() ArtefactID { return ArtefactID{KindRepresentationMap, m.Ref} }

// Name returns what names it among all artefacts.
func (m *StructureMap) Name() ArtefactID { return ArtefactID{KindStructureMap, m.Ref} }

func (a agencies) Name() ArtefactID  { return ArtefactID{KindAgencyScheme, a.Ref} }
func (p providers) Name() ArtefactID { return ArtefactID{KindDataProviderScheme, p.Ref} }

func (c *Codelist) references() iter.Seq[reference] { return referencesOf() }

func (c *ConceptScheme) references() iter.Seq[reference] {
	return func(yield func(reference) bool) {
		for _, concept := range c.Concepts {
			if concept.Codelist != (Ref{}) && !yield(reference{KindCodelist, concept.Codelist, "", concept.ID}) {
				return
			}
		}
	}
}

func (s *DataStructure) references() iter.Seq[reference] {
	return func(yield func(reference) bool) {
		for _, component := range slices.Concat(s.Dimensions, s.Attributes) {
			concept := component.Concept
			if concept != (ItemRef{}) && !yield(reference{KindConceptScheme, concept.Scheme, concept.Item, component.ID}) {
				return
			}
			if component.Codelist != (Ref{}) && !yield(reference{KindCodelist, component.Codelist, "", component.ID}) {
				return
			}
		}
	}
}

func (d *Dataflow) references() iter.Seq[reference] {
	return referencesOf(reference{kind: KindDataStructure, ref: d.Structure})
}

func (p *ProvisionAgreement) references() iter.Seq[reference] {
	return referencesOf(
		reference{kind: KindDataflow, ref: p.Dataflow},
		reference{kind: KindDataProviderScheme, ref: p.Provider.Scheme, item: p.Provider.Item},
	)
}

func (c *ContentConstraint) references() iter.Seq[reference] {
	var all []reference
	for _, attached := range c.attachments() {
		all = append(all, reference{kind: attached.Kind, ref: attached.Ref})
	}
	return slices.Values(all)
}

func (m *RepresentationMap) references() iter.Seq[reference] {
	var all []reference
	for _, list := range slices.Concat(m.SourceCodelists, m.TargetCodelists) {
		if list != (Ref{}) {
			all = append(all, reference{kind: KindCodelist, ref: list})
		}
	}
	return slices.Values(all)
}

func (m *StructureMap) references() iter.Seq[reference] {
	all := []reference{{kind: KindDataflow, ref: m.Source}, {kind: KindDataflow, ref: m.Target}}
	for _, component := range m.Components {
		if component.RepresentationMap != (Ref{}) {
			all = append(all, reference{kind: KindRepresentationMap, ref: component.RepresentationMap})
		}
	}
	return slices.Values(all)
}

func (a agencies) references() iter.Seq[reference]  { return referencesOf() }
func (p providers) references() iter.Seq[reference] { return referencesOf() }

func referencesOf(all ...reference) iter.Seq[reference] { return slices.Values(all) }

// described returns the descriptions and annotations where they are to be told.
func described(complete bool, descriptions Names, annotations []Annotation) (Names, []Annotation) {
	if !complete {
		return nil, nil
	}
	return descriptions, annotations
}

func (c *Codelist) stub(complete bool) Artefact {
	stub := &Codelist{Ref: c.Ref, Names: c.Names}
	stub.Descriptions, stub.Annotations = described(complete, c.Descriptions, c.Annotations)
	return stub
}

func (c *ConceptScheme) stub(complete bool) Artefact {
	stub := &ConceptScheme{Ref: c.Ref, Names: c.Names}
	stub.Descriptions, stub.Annotations = described(complete, c.Descriptions, c.Annotations)
	return stub
}

func (s *DataStructure) stub(complete bool) Artefact {
	stub := &DataStructure{Ref: s.Ref, Names: s.Names}
	stub.Descriptions, stub.Annotations = described(complete, s.Descriptions, s.Annotations)
	return stub
}

func (d *Dataflow) stub(complete bool) Artefact {
	stub := &Dataflow{Ref: d.Ref, Names: d.Names}
	stub.Descriptions, stub.Annotations = described(complete, d.Descriptions, d.Annotations)
	return stub
}

func (p *ProvisionAgreement) stub(complete bool) Artefact {
	stub := &ProvisionAgreement{Ref: p.Ref, Names: p.Names}
	stub.Descriptions, stub.Annotations = described(complete, p.Descriptions, p.Annotations)
	return stub
}

func (c *ContentConstraint) stub(complete bool) Artefact {
	stub := &ContentConstraint{Ref: c.Ref, Names: c.Names, Role: c.Role}
	stub.Descriptions, stub.Annotations = described(complete, c.Descriptions, c.Annotations)
	return stub
}

func (m *RepresentationMap) stub(complete bool) Artefact {
	stub := &RepresentationMap{Ref: m.Ref, Names: m.Names}
	stub.Descriptions, stub.Annotations = described(complete, m.Descriptions, m.Annotations)
	return stub
}

func (m *StructureMap) stub(complete bool) Artefact {
	stub := &StructureMap{Ref: m.Ref, Names: m.Names}
	stub.Descriptions, stub.Annotations = described(complete, m.Descriptions, m.Annotations)
	return stub
}

func (a agencies) stub(complete bool) Artefact {
	return agencies{a.without(complete)}
}

func (p providers) stub(complete bool) Artefact {
	return providers{p.without(complete)}
}

func (o *OrganisationScheme) without(complete bool) *OrganisationScheme {
	stub := &OrganisationScheme{Ref: o.Ref, Names: o.Names}
	stub.Descriptions, stub.Annotations = described(complete, o.Descriptions, o.Annotations)
	return stub
}
