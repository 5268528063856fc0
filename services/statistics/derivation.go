package statistics

import (
	"fmt"
	"maps"
	"slices"
)

// derivation is a structure map with all that it needs.
type derivation struct {
	structureMap   *StructureMap
	source, target *Flow
	representation map[Ref]RepresentationMap // by the reference that the structure map uses
	codelists      map[Ref]*Codelist         // of both structures, likewise
}

func (c *Catalogue) derivation(m *StructureMap) (*derivation, error) {
	d := &derivation{structureMap: m, representation: map[Ref]RepresentationMap{}, codelists: map[Ref]*Codelist{}}
	var ok bool
	if d.source, ok = resolve(c.flows, m.Source); !ok {
		return nil, fmt.Errorf("%s: there is no source dataflow %s", m.Ref, m.Source)
	}
	if d.target, ok = resolve(c.flows, m.Target); !ok {
		return nil, fmt.Errorf("%s: there is no target dataflow %s", m.Ref, m.Target)
	}
	for _, component := range m.Components {
		if component.RepresentationMap == (Ref{}) {
			continue
		}
		representation, ok := resolve(c.representation, component.RepresentationMap)
		if !ok {
			return nil, fmt.Errorf("%s: there is no representation map %s", m.Ref, component.RepresentationMap)
		}
		d.representation[component.RepresentationMap] = *representation
	}
	for _, s := range []*DataStructure{d.source.Structure, d.target.Structure} {
		for _, component := range slices.Concat(s.Dimensions, s.Attributes) {
			if h, ok := resolve(c.hierarchies, component.Codelist); ok {
				d.codelists[component.Codelist] = h.list
			}
		}
	}
	return d, nil
}

func (d *derivation) deriver() (*Deriver, error) {
	return NewDeriver(*d.structureMap, *d.source.Structure, *d.target.Structure, d.representation, d.codelists)
}

// same reports whether two derivations make the same of the same figures. The other may be nil.
func (d *derivation) same(other *derivation) bool {
	return other != nil && d.source.Ref == other.source.Ref && d.target.Ref == other.target.Ref &&
		sameArtefact(d.structureMap.Components, other.structureMap.Components) &&
		sameArtefact(d.representation, other.representation) && sameArtefact(d.codelists, other.codelists)
}

// derivations returns those that are in force, by the id of their structure map: of each map the latest version.
func (c *Catalogue) derivations() (map[Ref]*derivation, error) {
	inForce := map[Ref]*derivation{}
	for ref := range c.structureMaps {
		id := Ref{Agency: ref.Agency, ID: ref.ID}
		if _, done := inForce[id]; done {
			continue
		}
		latest, _ := resolve(c.structureMaps, id)
		d, err := c.derivation(latest)
		if err != nil {
			return nil, err
		}
		inForce[id] = d
	}
	return inForce, nil
}

// derivationsFrom returns those in force from a dataflow, by the reference of their structure map.
func (c *Catalogue) derivationsFrom(source Ref) ([]*derivation, error) {
	return c.derivationsThat(func(d *derivation) bool { return d.source.Ref == source })
}

// derivationsInto returns those in force that fill a dataflow, by the reference of their structure map.
func (c *Catalogue) derivationsInto(target Ref) ([]*derivation, error) {
	return c.derivationsThat(func(d *derivation) bool { return d.target.Ref == target })
}

func (c *Catalogue) derivationsThat(wanted func(*derivation) bool) ([]*derivation, error) {
	inForce, err := c.derivations()
	if err != nil {
		return nil, err
	}
	var found []*derivation
	for _, id := range slices.SortedFunc(maps.Keys(inForce), compareRefs) {
		if d := inForce[id]; wanted(d) {
			found = append(found, d)
		}
	}
	return found, nil
}
