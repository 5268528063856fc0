package statistics

import (
	"maps"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

// MaxDimensions is how many dimensions a data structure has at most, TIME_PERIOD left out.
const MaxDimensions = 16

// Catalogue holds every structural artefact of a node, checked and ready for looking up. It does not change: a change of
// the structures makes a new one.
type Catalogue struct {
	artefacts map[ArtefactID]Artefact
	change    int64 // the store's number of the change that it is of
	graph     graph

	// As artefacts mean them: references name versions, and components have what their concepts say.
	hierarchies    map[Ref]*Hierarchy
	structures     map[Ref]*DataStructure
	flows          map[Ref]*Flow
	representation map[Ref]*RepresentationMap
	structureMaps  map[Ref]*StructureMap
}

// Flow is a dataflow with what belongs to it.
type Flow struct {
	Dataflow
	Structure  *DataStructure
	Dimensions []*Hierarchy          // in key order; nil where any text may stand
	Attributes map[string]*Hierarchy // of the attributes that have a codelist

	allowed   []*restriction            // what all providers may report
	allowedTo map[string][]*restriction // what else bounds a provider
}

const misfit = "the structures do not fit together"

// NewCatalogue checks the artefacts and what they refer to. What is wrong with them is a fault of kind Invalid. They must
// not be changed afterwards.
func NewCatalogue(s *Structures) (*Catalogue, error) { return new(Catalogue).Renew(s) }

// Renew returns the catalogue of other artefacts, as [NewCatalogue] does. It does not look again at the codes of codelists
// that both have.
func (c *Catalogue) Renew(s *Structures) (*Catalogue, error) {
	before := c
	c = &Catalogue{
		artefacts:   map[ArtefactID]Artefact{},
		hierarchies: map[Ref]*Hierarchy{}, structures: map[Ref]*DataStructure{}, flows: map[Ref]*Flow{},
		representation: map[Ref]*RepresentationMap{}, structureMaps: map[Ref]*StructureMap{},
	}
	var wrong violations
	for a := range s.All() {
		id := a.Name()
		checkName(id, &wrong)
		if _, twice := c.artefacts[id]; twice {
			wrong.add(id.Kind.field(), "%s stands twice", id.Ref)
		}
		c.artefacts[id] = a
	}
	if err := wrong.fault(misfit); err != nil {
		return nil, err
	}
	c.checkItems(s, before, &wrong)
	c.graph = newGraph(c.artefacts, &wrong)
	if err := wrong.fault(misfit); err != nil {
		return nil, err
	}
	for i := range s.DataStructures {
		c.addStructure(&s.DataStructures[i])
	}
	for i := range s.Dataflows {
		c.addFlow(&s.Dataflows[i])
	}
	for i := range s.RepresentationMaps {
		m := &s.RepresentationMaps[i]
		c.checkRepresentationMap(m, &wrong)
		c.representation[m.Ref] = m
	}
	c.addConstraints(&wrong)
	if err := wrong.fault(misfit); err != nil {
		return nil, err
	}
	for i := range s.StructureMaps {
		c.addStructureMap(&s.StructureMaps[i])
	}
	c.checkStructureMaps(&wrong)
	return c, wrong.fault(misfit)
}

// checkName wants a whole name, as SDMX has them.
func checkName(id ArtefactID, wrong *violations) {
	field := id.Kind.field()
	if !agencyPattern.MatchString(id.Ref.Agency) || !idPattern.MatchString(id.Ref.ID) || len(id.Ref.String()) > maxTextLength {
		wrong.add(field, "%q needs an agency, an id and a version without blanks or marks", shown(id.Ref.String()))
		return
	}
	if _, err := ParseVersion(id.Ref.Version); err != nil {
		wrong.add(field, "%s: %v", id.Ref, err)
	}
	for kind, only := range map[Kind]string{KindAgencyScheme: "AGENCIES", KindDataProviderScheme: "DATA_PROVIDERS"} {
		if id.Kind == kind && (id.Ref.ID != only || id.Ref.Version != "1.0") {
			wrong.add(field, "%s: such a scheme is called %s(1.0)", id.Ref, only)
		}
	}
}

// checkItems checks what stands in artefacts by itself, and makes the hierarchies.
func (c *Catalogue) checkItems(s *Structures, before *Catalogue, wrong *violations) {
	for i := range s.Codelists {
		list := &s.Codelists[i]
		if h := before.hierarchies[list.Ref]; h != nil && sameArtefact(h.list, list) {
			c.hierarchies[list.Ref] = h
			continue
		}
		h, err := NewHierarchy(list)
		if err != nil {
			wrong.add(KindCodelist.field(), "%v", err)
			continue
		}
		checkItemIDs(list.Name(), list.Codes, func(code *Code) string { return code.ID }, wrong)
		c.hierarchies[list.Ref] = h
	}
	for i := range s.ConceptSchemes {
		scheme := &s.ConceptSchemes[i]
		checkItemIDs(scheme.Name(), scheme.Concepts, func(concept *Concept) string { return concept.ID }, wrong)
		if around := conceptCircle(scheme.Concepts); around != nil {
			wrong.add(KindConceptScheme.field(), "%s: concepts specialise each other in a circle: %s", scheme.Ref, shownCircle(around))
		}
		ids := make(map[string]bool, len(scheme.Concepts))
		for _, concept := range scheme.Concepts {
			ids[concept.ID] = true
		}
		for _, concept := range scheme.Concepts {
			if concept.Parent != "" && !ids[concept.Parent] {
				wrong.add(KindConceptScheme.field(), "%s: there is no concept %q for %s to specialise", scheme.Ref, concept.Parent, concept.ID)
			}
		}
	}
	for i := range s.AgencySchemes {
		scheme := agencies{&s.AgencySchemes[i]}
		checkItemIDs(scheme.Name(), scheme.Organisations, func(o *Organisation) string { return o.ID }, wrong)
	}
	for i := range s.DataProviderSchemes {
		scheme := providers{&s.DataProviderSchemes[i]}
		checkItemIDs(scheme.Name(), scheme.Organisations, func(o *Organisation) string { return o.ID }, wrong)
	}
	for i := range s.DataStructures {
		checkComponents(&s.DataStructures[i], wrong)
	}
}

func checkItemIDs[T any](of ArtefactID, items []T, id func(*T) string, wrong *violations) {
	seen := make(map[string]bool, len(items))
	for i := range items {
		item := id(&items[i])
		if seen[item] || !idPattern.MatchString(item) {
			wrong.add(of.Kind.field(), "%s: the id %q stands twice, or has other signs than letters, digits and _ - @ $", of.Ref, shown(item))
		}
		seen[item] = true
	}
}

func checkComponents(s *DataStructure, wrong *violations) {
	field := KindDataStructure.field()
	if len(s.Dimensions) == 0 || s.Dimensions[0].ID != frequencyID {
		wrong.add(field, "the first dimension of %s is not %s", s.Ref, frequencyID)
	}
	if len(s.Dimensions) > MaxDimensions {
		wrong.add(field, "%s has %d dimensions, at most %d are allowed", s.Ref, len(s.Dimensions), MaxDimensions)
	}
	seen := map[string]bool{block.TimePeriod: true, block.ObsValue: true}
	for _, component := range slices.Concat(s.Dimensions, s.Attributes) {
		if !idPattern.MatchString(component.ID) || strings.HasPrefix(component.ID, "_") || seen[component.ID] {
			wrong.add(field, "%s: component %q is empty, begins with _, stands twice, or has other signs than letters, digits and _ - @ $", s.Ref, shown(component.ID))
		}
		seen[component.ID] = true
	}
}

// addStructure adds the data structure as it is meant.
func (c *Catalogue) addStructure(s *DataStructure) {
	meant := *s
	drafts := isDraft(s.Ref)
	mean := func(components []Component) []Component {
		components = slices.Clone(components)
		for i := range components {
			component := &components[i]
			if component.Concept != (ItemRef{}) {
				id, _ := c.graph.resolve(KindConceptScheme, component.Concept.Scheme, drafts)
				component.Concept.Scheme = id.Ref
				concept := c.artefacts[id].(*ConceptScheme).concept(component.Concept.Item)
				if len(component.Names) == 0 {
					component.Names = concept.Names
				}
				if component.Codelist == (Ref{}) && concept.Codelist != (Ref{}) {
					list, _ := c.graph.resolve(KindCodelist, concept.Codelist, isDraft(id.Ref))
					component.Codelist = list.Ref
					continue
				}
			}
			if component.Codelist != (Ref{}) {
				list, _ := c.graph.resolve(KindCodelist, component.Codelist, drafts)
				component.Codelist = list.Ref
			}
		}
		return components
	}
	meant.Dimensions, meant.Attributes = mean(s.Dimensions), mean(s.Attributes)
	c.structures[s.Ref] = &meant
}

// concept returns the concept with the id; the zero Concept where there is none.
func (c *ConceptScheme) concept(id string) Concept {
	i := slices.IndexFunc(c.Concepts, func(concept Concept) bool { return concept.ID == id })
	if i < 0 {
		return Concept{}
	}
	return c.Concepts[i]
}

func (c *Catalogue) addFlow(d *Dataflow) {
	id, _ := c.graph.resolve(KindDataStructure, d.Structure, isDraft(d.Ref))
	c.flows[d.Ref] = c.newFlow(*d, c.structures[id.Ref])
}

func (c *Catalogue) newFlow(d Dataflow, structure *DataStructure) *Flow {
	flow := &Flow{Dataflow: d, Structure: structure, Attributes: map[string]*Hierarchy{}}
	for _, component := range structure.Dimensions {
		flow.Dimensions = append(flow.Dimensions, c.hierarchies[component.Codelist])
	}
	for _, component := range structure.Attributes {
		if h, ok := c.hierarchies[component.Codelist]; ok {
			flow.Attributes[component.ID] = h
		}
	}
	return flow
}

// addConstraints checks the constraints, and lets those of role AllowedContent bound dataflows: of each the latest version
// that is no draft.
func (c *Catalogue) addConstraints(wrong *violations) {
	inForce := map[Ref]bool{}
	constraints := map[Ref]*ContentConstraint{}
	for id, a := range c.artefacts {
		if id.Kind != KindContentConstraint {
			continue
		}
		constraints[id.Ref] = a.(*ContentConstraint)
		if latest, ok := c.graph.resolve(id.Kind, Ref{Agency: id.Ref.Agency, ID: id.Ref.ID}, false); ok && !isDraft(latest.Ref) {
			inForce[latest.Ref] = true
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(constraints), compareRefs) {
		constraint := constraints[ref]
		c.checkConstraint(constraint, wrong)
		for _, attached := range c.graph.children[constraint.Name()] {
			enforced := inForce[ref] && constraint.Role == AllowedContent
			switch attached.Kind {
			case KindDataStructure:
				restrict(constraint, c.newFlow(Dataflow{}, c.structures[attached.Ref]), wrong)
				for _, flow := range c.flows {
					if enforced && flow.Structure.Ref == attached.Ref {
						flow.allowed = append(flow.allowed, restrict(constraint, flow, &violations{}))
					}
				}
			case KindDataflow:
				flow := c.flows[attached.Ref]
				if made := restrict(constraint, flow, wrong); enforced {
					flow.allowed = append(flow.allowed, made)
				}
			case KindProvisionAgreement:
				agreement := c.artefacts[attached].(*ProvisionAgreement)
				id, _ := c.graph.resolve(KindDataflow, agreement.Dataflow, isDraft(attached.Ref))
				flow, provider := c.flows[id.Ref], agreement.Provider.Item
				if made := restrict(constraint, flow, wrong); enforced {
					if flow.allowedTo == nil {
						flow.allowedTo = map[string][]*restriction{}
					}
					flow.allowedTo[provider] = append(flow.allowedTo[provider], made)
				}
			}
		}
	}
}

// addStructureMap adds the map as it is meant.
func (c *Catalogue) addStructureMap(m *StructureMap) {
	meant := *m
	drafts := isDraft(m.Ref)
	mean := func(kind Kind, ref *Ref) {
		if *ref != (Ref{}) {
			id, _ := c.graph.resolve(kind, *ref, drafts)
			*ref = id.Ref
		}
	}
	mean(KindDataflow, &meant.Source)
	mean(KindDataflow, &meant.Target)
	meant.Components = slices.Clone(m.Components)
	for i := range meant.Components {
		mean(KindRepresentationMap, &meant.Components[i].RepresentationMap)
	}
	c.structureMaps[m.Ref] = &meant
}

// checkStructureMaps wants maps that work, and no dataflow that is derived from a derived one.
func (c *Catalogue) checkStructureMaps(wrong *violations) {
	derived := map[Ref]Ref{} // the map by its target
	next := map[Ref][]Ref{}  // targets by their source
	var by []Ref
	for _, ref := range slices.SortedFunc(maps.Keys(c.structureMaps), compareRefs) {
		m := c.structureMaps[ref]
		by = append(by, ref)
		derived[m.Target] = ref
		next[m.Source] = append(next[m.Source], m.Target)
	}
	sources := slices.SortedFunc(maps.Keys(next), compareRefs)
	around := circle(sources, func(flow Ref) []Ref { return next[flow] })
	if around != nil {
		wrong.add(KindStructureMap.field(), "dataflows are derived from each other in a circle: %s", shownCircle(around))
	}
	for _, ref := range by {
		d, err := c.derivation(c.structureMaps[ref])
		if err != nil {
			wrong.add(KindStructureMap.field(), "%v", err)
			continue
		}
		if other, ok := derived[d.source.Ref]; ok && around == nil {
			wrong.add(KindStructureMap.field(), "%s: its source %s is itself derived, by %s; derive %s from where %s comes from",
				ref, d.source.Ref, other, d.target.Ref, d.source.Ref)
		}
		if _, err := d.deriver(); err != nil {
			wrong.add(KindStructureMap.field(), "%s: %v", ref, err)
		}
	}
}

// Flow returns the dataflow that ref means: without a version, the latest that is no draft. It is a fault of kind NotFound
// where there is none.
func (c *Catalogue) Flow(ref Ref) (*Flow, error) {
	flow, ok := resolve(c.flows, ref)
	if !ok {
		return nil, fault.Missing("there is no dataflow %s", ref)
	}
	return flow, nil
}

// Dataflows returns every dataflow, by agency, id and version.
func (c *Catalogue) Dataflows() []Dataflow {
	var dataflows []Dataflow
	for _, ref := range slices.SortedFunc(maps.Keys(c.flows), compareRefs) {
		dataflows = append(dataflows, c.flows[ref].Dataflow)
	}
	return dataflows
}

// Structures returns a dataflow with its data structure and the codelists and concept schemes of it. References among them
// name versions, also where those that are stored mean the latest, and components say what their concepts do.
func (c *Catalogue) Structures(flow *Flow) Structures {
	dataflow := flow.Dataflow
	dataflow.Structure = flow.Structure.Ref
	s := Structures{Dataflows: []Dataflow{dataflow}, DataStructures: []DataStructure{*flow.Structure}}
	seen := map[ArtefactID]bool{}
	add := func(id ArtefactID) {
		if a, ok := c.artefacts[id]; ok && !seen[id] {
			seen[id] = true
			s.Add(a)
		}
	}
	for _, component := range slices.Concat(flow.Structure.Dimensions, flow.Structure.Attributes) {
		add(ArtefactID{KindCodelist, component.Codelist})
		add(ArtefactID{KindConceptScheme, component.Concept.Scheme})
	}
	return s
}

// resolve looks up what ref means.
func resolve[T any](from map[Ref]T, ref Ref) (found T, ok bool) {
	if found, ok = from[ref]; ok {
		return found, ok
	}
	var versions []Version
	for candidate := range from {
		if candidate.Agency != ref.Agency || candidate.ID != ref.ID {
			continue
		}
		if v, err := ParseVersion(candidate.Version); err == nil {
			versions = append(versions, v)
		}
	}
	v, ok := resolveVersion(ref.Version, versions, false)
	return from[Ref{Agency: ref.Agency, ID: ref.ID, Version: v.String()}], ok
}

// graph says which artefacts refer to which.
type graph struct {
	versions map[ArtefactID][]Version    // by the artefact without its version
	children map[ArtefactID][]ArtefactID // what it refers to, each once
	parents  map[ArtefactID][]ArtefactID // what refers to it, each once
}

// newGraph resolves every reference, and wants all of them to lead to something. What is fixed refers to no draft.
func newGraph(artefacts map[ArtefactID]Artefact, wrong *violations) graph {
	g := graph{versions: map[ArtefactID][]Version{}, children: map[ArtefactID][]ArtefactID{}, parents: map[ArtefactID][]ArtefactID{}}
	for id := range artefacts {
		if v, err := ParseVersion(id.Ref.Version); err == nil {
			key := ArtefactID{id.Kind, Ref{Agency: id.Ref.Agency, ID: id.Ref.ID}}
			g.versions[key] = append(g.versions[key], v)
		}
	}
	for _, id := range slices.SortedFunc(maps.Keys(artefacts), compareIDs) {
		for r := range artefacts[id].references() {
			g.add(id, r, artefacts, wrong)
		}
	}
	return g
}

func (g *graph) add(id ArtefactID, r reference, artefacts map[ArtefactID]Artefact, wrong *violations) {
	whose := id.Ref.String()
	if r.from != "" {
		whose = r.from + " of " + whose
	}
	if strings.ContainsAny(r.ref.Version, "~*") {
		wrong.add(id.Kind.field(), "%s refers to %s: only + may stand in a reference", whose, r.ref)
		return
	}
	to, ok := g.resolve(r.kind, r.ref, isDraft(id.Ref))
	if !ok {
		wrong.add(id.Kind.field(), "there is no %s %s for %s", strings.ReplaceAll(string(r.kind), "_", " "), r.ref, whose)
		return
	}
	if isFixed(id) && isDraft(to.Ref) {
		wrong.add(id.Kind.field(), "%s is no draft, and must not refer to the draft %s", whose, to.Ref)
		return
	}
	if r.item != "" && !hasItem(artefacts[to], r.item) {
		wrong.add(id.Kind.field(), "there is no %q in %s for %s", r.item, to.Ref, whose)
		return
	}
	if !slices.Contains(g.children[id], to) {
		g.children[id] = append(g.children[id], to)
		g.parents[to] = append(g.parents[to], id)
	}
}

// resolve returns the artefact that a reference means. What refers may be a draft, which drafts lets it mean.
func (g *graph) resolve(kind Kind, ref Ref, drafts bool) (ArtefactID, bool) {
	v, ok := resolveVersion(ref.Version, g.versions[ArtefactID{kind, Ref{Agency: ref.Agency, ID: ref.ID}}], drafts)
	return ArtefactID{kind, Ref{Agency: ref.Agency, ID: ref.ID, Version: v.String()}}, ok
}

// hasItem reports whether a scheme has the item.
func hasItem(a Artefact, id string) bool {
	var organisations []Organisation
	switch a := a.(type) {
	case *ConceptScheme:
		return a.concept(id).ID != ""
	case agencies:
		organisations = a.Organisations
	case providers:
		organisations = a.Organisations
	}
	return slices.ContainsFunc(organisations, func(o Organisation) bool { return o.ID == id })
}

// checkConstraint wants a constraint that is attached to something, and says something.
func (c *Catalogue) checkConstraint(constraint *ContentConstraint, wrong *violations) {
	attached := constraint.attachments()
	if len(attached) == 0 || slices.ContainsFunc(attached, func(id ArtefactID) bool { return id.Kind != attached[0].Kind }) {
		wrong.add(KindContentConstraint.field(), "%s is attached to nothing, or to things of several kinds", constraint.Ref)
	}
	keys := 0
	for _, set := range constraint.KeySets {
		keys += len(set.Keys)
	}
	if len(constraint.Regions)+keys == 0 {
		wrong.add(KindContentConstraint.field(), "%s says nothing: it has neither a region nor a key", constraint.Ref)
	}
}
