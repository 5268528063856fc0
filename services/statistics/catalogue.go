package statistics

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/comity-federation/comity/services/fault"
)

// MaxDimensions is how many dimensions a data structure has at most, TIME_PERIOD left out.
const MaxDimensions = 16

// Catalogue holds every structural artefact of a node, checked and ready for looking up. It does not change: a change of
// the structures makes a new one.
type Catalogue struct {
	artefacts      *Structures
	change         int64 // the store's number of the change that it is of
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
}

// NewCatalogue checks the artefacts and what they refer to. What is wrong with them is a fault of kind Invalid.
func NewCatalogue(s *Structures) (*Catalogue, error) {
	c := &Catalogue{
		artefacts:   s,
		hierarchies: map[Ref]*Hierarchy{}, structures: map[Ref]*DataStructure{}, flows: map[Ref]*Flow{},
		representation: map[Ref]*RepresentationMap{}, structureMaps: map[Ref]*StructureMap{},
	}
	var wrong violations
	for i := range s.Codelists {
		list := &s.Codelists[i]
		checkRef(list.Ref, "codelists", &wrong)
		h, err := NewHierarchy(list)
		if err != nil {
			wrong.add("codelists", "%v", err)
			continue
		}
		c.hierarchies[list.Ref] = h
	}
	for i := range s.RepresentationMaps {
		m := &s.RepresentationMaps[i]
		checkRef(m.Ref, "representationMaps", &wrong)
		c.representation[m.Ref] = m
	}
	for i := range s.DataStructures {
		structure := &s.DataStructures[i]
		c.checkStructure(structure, &wrong)
		c.structures[structure.Ref] = structure
	}
	for i := range s.Dataflows {
		c.addFlow(&s.Dataflows[i], &wrong)
	}
	if err := wrong.fault("the structures do not fit together"); err != nil {
		return nil, err
	}
	for i := range s.StructureMaps {
		m := &s.StructureMaps[i]
		checkRef(m.Ref, "structureMaps", &wrong)
		c.structureMaps[m.Ref] = m
	}
	c.checkStructureMaps(&wrong)
	return c, wrong.fault("the structures do not fit together")
}

// checkRef wants a whole reference whose parts cannot be mistaken for the marks between them.
func checkRef(ref Ref, field string, wrong *violations) {
	for _, part := range []string{ref.Agency, ref.ID, ref.Version} {
		if part == "" || strings.ContainsFunc(part, func(r rune) bool {
			return r > '~' || r <= ' ' || strings.ContainsRune(":()/,+*", r)
		}) {
			wrong.add(field, "%q needs an agency, an id and a version without blanks or marks", ref)
			return
		}
	}
}

func (c *Catalogue) checkStructure(s *DataStructure, wrong *violations) {
	checkRef(s.Ref, "dataStructures", wrong)
	if len(s.Dimensions) == 0 || s.Dimensions[0].ID != frequencyID {
		wrong.add("dataStructures", "the first dimension of %s is not %s", s.Ref, frequencyID)
	}
	if len(s.Dimensions) > MaxDimensions {
		wrong.add("dataStructures", "%s has %d dimensions, at most %d are allowed", s.Ref, len(s.Dimensions), MaxDimensions)
	}
	seen := map[string]bool{"TIME_PERIOD": true, "OBS_VALUE": true}
	for _, component := range slices.Concat(s.Dimensions, s.Attributes) {
		if component.ID == "" || strings.HasPrefix(component.ID, "_") || seen[component.ID] {
			wrong.add("dataStructures", "%s: component %q is empty, begins with _, or stands twice", s.Ref, component.ID)
		}
		seen[component.ID] = true
		if component.Codelist == (Ref{}) {
			continue
		}
		if _, ok := resolve(c.hierarchies, component.Codelist); !ok {
			wrong.add("dataStructures", "%s: there is no codelist %s for %s", s.Ref, component.Codelist, component.ID)
		}
	}
}

func (c *Catalogue) addFlow(d *Dataflow, wrong *violations) {
	checkRef(d.Ref, "dataflows", wrong)
	structure, ok := resolve(c.structures, d.Structure)
	if !ok {
		wrong.add("dataflows", "there is no data structure %s for %s", d.Structure, d.Ref)
		return
	}
	flow := &Flow{Dataflow: *d, Structure: structure, Attributes: map[string]*Hierarchy{}}
	for _, component := range structure.Dimensions {
		h, _ := resolve(c.hierarchies, component.Codelist)
		flow.Dimensions = append(flow.Dimensions, h)
	}
	for _, component := range structure.Attributes {
		if h, ok := resolve(c.hierarchies, component.Codelist); ok {
			flow.Attributes[component.ID] = h
		}
	}
	c.flows[d.Ref] = flow
}

// checkStructureMaps wants maps that work, and no dataflow that is derived from a derived one.
func (c *Catalogue) checkStructureMaps(wrong *violations) {
	derived := map[Ref]Ref{}
	for _, m := range c.structureMaps {
		if target, ok := resolve(c.flows, m.Target); ok {
			derived[target.Ref] = m.Ref
		}
	}
	for _, ref := range slices.SortedFunc(maps.Keys(c.structureMaps), compareRefs) {
		m := c.structureMaps[ref]
		d, err := c.derivation(m)
		if err != nil {
			wrong.add("structureMaps", "%v", err)
			continue
		}
		if by, ok := derived[d.source.Ref]; ok {
			wrong.add("structureMaps", "%s: its source %s is itself derived, by %s", ref, d.source.Ref, by)
		}
		if _, err := d.deriver(); err != nil {
			wrong.add("structureMaps", "%s: %v", ref, err)
		}
	}
}

// Flow returns the dataflow; the latest version where ref names none. It is a fault of kind NotFound where there is none.
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

// Structures returns a dataflow with its data structure and the codelists of it. References among them name versions,
// also where those that are stored mean the latest.
func (c *Catalogue) Structures(flow *Flow) Structures {
	dataflow, structure := flow.Dataflow, *flow.Structure
	dataflow.Structure = structure.Ref
	s := Structures{Dataflows: []Dataflow{dataflow}}
	seen := map[Ref]bool{}
	whole := func(components []Component) []Component {
		components = slices.Clone(components)
		for i := range components {
			h, ok := resolve(c.hierarchies, components[i].Codelist)
			if !ok {
				continue
			}
			components[i].Codelist = h.list.Ref
			if !seen[h.list.Ref] {
				seen[h.list.Ref] = true
				s.Codelists = append(s.Codelists, *h.list)
			}
		}
		return components
	}
	structure.Dimensions, structure.Attributes = whole(structure.Dimensions), whole(structure.Attributes)
	s.DataStructures = []DataStructure{structure}
	return s
}

// resolve looks up what ref names: without a version, the latest.
func resolve[T any](from map[Ref]T, ref Ref) (found T, ok bool) {
	if ref.Version != "" {
		found, ok = from[ref]
		return found, ok
	}
	latest := Ref{}
	for candidate := range from {
		if candidate.Agency == ref.Agency && candidate.ID == ref.ID && (!ok || compareRefs(candidate, latest) > 0) {
			latest, ok = candidate, true
		}
	}
	return from[latest], ok
}

// compareRefs orders by agency, id and semantic version; a version with an extension comes before the one without.
func compareRefs(a, b Ref) int {
	return cmp.Or(cmp.Compare(a.Agency, b.Agency), cmp.Compare(a.ID, b.ID), compareVersions(a.Version, b.Version))
}

func compareVersions(a, b string) int {
	baseA, extensionA, _ := strings.Cut(a, "-")
	baseB, extensionB, _ := strings.Cut(b, "-")
	numbers := func(version string) []int {
		var all []int
		for part := range strings.SplitSeq(version, ".") {
			n, err := strconv.Atoi(part)
			if err != nil {
				n = -1
			}
			all = append(all, n)
		}
		return all
	}
	if order := slices.Compare(numbers(baseA), numbers(baseB)); order != 0 {
		return order
	}
	if (extensionA == "") != (extensionB == "") {
		return cmp.Compare(extensionB, extensionA)
	}
	return cmp.Compare(extensionA, extensionB)
}

// sameArtefact reports whether two artefacts say the same.
func sameArtefact(a, b any) bool {
	textA, errA := json.Marshal(a)
	textB, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(textA) == string(textB)
}
