package statistics

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/fault"
)

// Stored says what became of artefacts that were to be stored.
type Stored struct {
	Created   int
	Unchanged int
	Updated   int // drafts with another content
	Findings  []Finding
}

// CreateStructures stores artefacts, all or none, and derives anew what a changed map makes otherwise. What is stored
// already with the same content stays; with another content a draft is replaced, and for all else it is a fault of kind
// Exists, since versions do not change. Items are stored with parents before their children.
func (s *Service) CreateStructures(ctx context.Context, add *Structures) (stored Stored, err error) {
	err = again(func() error {
		stored, err = s.createStructures(ctx, add)
		return err
	})
	return stored, err
}

// CheckStructures stores nothing, and returns what CreateStructures would; but for figures that a changed draft or map would
// take away, which it does not look at.
func (s *Service) CheckStructures(ctx context.Context, add *Structures) (Stored, error) {
	renewed, err := s.renew(ctx, add)
	return renewed.stored, err
}

// renewed is a catalogue with what is to be added to it.
type renewed struct {
	before, after *Catalogue
	put           []Artefact // none: nothing is to be stored
	stored        Stored
}

// renew returns the catalogue with the artefacts, and a fault where they do not fit in.
func (s *Service) renew(ctx context.Context, add *Structures) (r renewed, err error) {
	if r.before, err = s.Catalogue(ctx); err != nil {
		return renewed{}, err
	}
	var together *Structures
	if r.put, together, r.stored, err = r.before.merge(add); err != nil {
		return renewed{}, err
	}
	if len(r.put) == 0 {
		return r, nil
	}
	if r.after, err = r.before.Renew(together); err != nil {
		return renewed{}, err
	}
	if err := s.keepLayouts(ctx, r.before, r.after); err != nil {
		return renewed{}, err
	}
	r.stored.Findings = r.after.notes(r.put)
	return r, nil
}

func (s *Service) createStructures(ctx context.Context, add *Structures) (Stored, error) {
	renewed, err := s.renew(ctx, add)
	if err != nil || len(renewed.put) == 0 {
		return renewed.stored, err
	}
	before, after, put, stored := renewed.before, renewed.after, renewed.put, renewed.stored
	err = s.store.Update(ctx, func(ctx context.Context, tx Transaction) error {
		if err := hold(ctx, tx, before, true); err != nil {
			return err
		}
		if err := keepFigures(ctx, tx, before, after); err != nil {
			return err
		}
		if err := tx.PutStructures(ctx, put); err != nil {
			return err
		}
		return s.rederive(ctx, tx, before, after)
	})
	if err != nil {
		return Stored{}, err
	}
	return stored, nil
}

// merge returns what of add is to be stored, and all artefacts together.
func (c *Catalogue) merge(add *Structures) (put []Artefact, together *Structures, stored Stored, err error) {
	all := maps.Clone(c.artefacts)
	added := map[ArtefactID]bool{}
	for a := range add.All() {
		a = ordered(a)
		id := a.Name()
		was, known := all[id]
		switch {
		case !known:
			stored.Created++
		case sameArtefact(was, a):
			stored.Unchanged++
			continue
		case isFixed(id) || added[id]:
			return nil, nil, Stored{}, fault.New(fault.Exists, "ALREADY_EXISTS",
				"%s is stored with another content: give the new one a new version. What differs: %s", id.Ref, strings.Join(differences(was, a), "; ")).
				With("artefact", id.Ref.String())
		default:
			stored.Updated++
		}
		added[id] = true
		all[id] = a
		put = append(put, a)
	}
	return put, collect(all), stored, nil
}

// collect returns the artefacts by kind, agency, id and version.
func collect(all map[ArtefactID]Artefact) *Structures {
	s := &Structures{}
	for _, id := range slices.SortedFunc(maps.Keys(all), compareIDs) {
		s.Add(all[id])
	}
	return s
}

// ordered returns the artefact with parents before their children.
func ordered(a Artefact) Artefact {
	switch a := a.(type) {
	case *Codelist:
		made := *a
		made.Codes = parentsFirst(a.Codes, func(c *Code) string { return c.ID }, func(c *Code) string { return c.Parent })
		return &made
	case *ConceptScheme:
		made := *a
		made.Concepts = parentsFirst(a.Concepts, func(c *Concept) string { return c.ID }, func(c *Concept) string { return c.Parent })
		return &made
	}
	return a
}

// notes tells what is worth knowing of artefacts that are stored.
func (c *Catalogue) notes(put []Artefact) []Finding {
	var report Report
	unknown := map[string]bool{}
	known := c.agencies()
	for _, a := range put {
		if m, ok := a.(*RepresentationMap); ok {
			if finding, found := m.manyToOne(); found {
				report.Add(finding)
			}
		}
		if agency := a.Name().Ref.Agency; agency != topAgency && len(known) > 0 && known[agency] == (ArtefactID{}) && !unknown[agency] {
			unknown[agency] = true
			report.Add(Finding{
				Rule: "UNKNOWN_AGENCY", Severity: Note, Values: []string{agency}, Message: fmt.Sprintf("no agency scheme has %s, the agency of %s", agency, a.Name().Ref),
			})
		}
	}
	return report.Findings()
}

// topAgency is the agency whose scheme has the agencies that are no part of another.
const topAgency = "SDMX"

// agencies returns the agency scheme in which each agency stands. A part of an agency goes by both names, "COMITY.NORTH".
func (c *Catalogue) agencies() map[string]ArtefactID {
	all := map[string]ArtefactID{}
	for id, a := range c.artefacts {
		scheme, ok := a.(agencies)
		if !ok {
			continue
		}
		for _, agency := range scheme.Organisations {
			name := agency.ID
			if id.Ref.Agency != topAgency {
				name = id.Ref.Agency + "." + agency.ID
			}
			all[name] = id
		}
	}
	return all
}

// DeleteStructures removes artefacts, all or none. What others refer to, a dataflow that holds figures, and one that a
// layout fills, are a fault of kind Precondition that names who; what there is not, one of kind NotFound. It returns how many
// were removed.
func (s *Service) DeleteStructures(ctx context.Context, ids []ArtefactID) (deleted int, err error) {
	err = again(func() error {
		deleted, err = s.deleteStructures(ctx, ids)
		return err
	})
	return deleted, err
}

func (s *Service) deleteStructures(ctx context.Context, ids []ArtefactID) (int, error) {
	before, err := s.Catalogue(ctx)
	if err != nil {
		return 0, err
	}
	rest, err := before.without(ids)
	if err != nil || len(ids) == 0 {
		return 0, err
	}
	after, err := before.Renew(rest)
	if err != nil {
		return 0, err
	}
	if err := s.keepLayouts(ctx, before, after); err != nil {
		return 0, err
	}
	err = s.store.Update(ctx, func(ctx context.Context, tx Transaction) error {
		if err := hold(ctx, tx, before, true); err != nil {
			return err
		}
		if err := keepFigures(ctx, tx, before, after); err != nil {
			return err
		}
		if err := tx.DeleteStructures(ctx, ids); err != nil {
			return err
		}
		return s.rederive(ctx, tx, before, after)
	})
	if err != nil {
		return 0, err
	}
	return len(before.artefacts) - len(after.artefacts), nil
}

// without returns the artefacts but those, to which none of the others may refer.
func (c *Catalogue) without(ids []ArtefactID) (*Structures, error) {
	rest := maps.Clone(c.artefacts)
	for _, id := range ids {
		if _, ok := c.artefacts[id]; !ok {
			return nil, fault.Missing("there is no %s", id)
		}
		delete(rest, id)
	}
	for _, id := range ids {
		var users []string
		for _, user := range c.graph.parents[id] {
			if _, stays := rest[user]; stays {
				users = append(users, user.String())
			}
		}
		if len(users) > 0 {
			return nil, inUse(id, "%s refer to it", told(users))
		}
	}
	return collect(rest), nil
}

func inUse(id ArtefactID, format string, args ...any) error {
	return fault.New(fault.Precondition, "WRONG_STATE", "%s cannot be changed or removed: %s", id, fmt.Sprintf(format, args...)).
		With("artefact", id.Ref.String())
}

// told lists texts, of many not all.
func told(texts []string) string {
	slices.Sort(texts)
	if len(texts) > maxDifferences {
		texts = append(texts[:maxDifferences:maxDifferences], fmt.Sprintf("%d more", len(texts)-maxDifferences))
	}
	return strings.Join(texts, ", ")
}

// keepFigures refuses a change that takes from figures what they are of: their dataflow, a component, or a code; or the
// map that derives others from them. A map's later version derives the same dataflow from the same.
func keepFigures(ctx context.Context, tx Transaction, before, after *Catalogue) error {
	takes := map[Ref]error{} // by dataflow: why the change is refused where it holds figures
	for ref, was := range before.flows {
		id := ArtefactID{KindDataflow, ref}
		if now, ok := after.flows[ref]; !ok {
			takes[ref] = inUse(id, "it holds figures")
		} else if lacks := now.lacks(was); lacks != "" {
			takes[ref] = inUse(id, "it holds figures, and %s", lacks)
		}
	}
	was, err := before.derivations()
	if err != nil {
		return err
	}
	is, err := after.derivations()
	if err != nil {
		return err
	}
	for id, d := range was {
		now := is[id]
		if takes[d.source.Ref] == nil && (now == nil || now.source.Ref != d.source.Ref || now.target.Ref != d.target.Ref) {
			takes[d.source.Ref] = inUse(d.structureMap.Name(), "it derives figures of %s for %s", d.source.Ref, d.target.Ref)
		}
	}
	if len(takes) == 0 {
		return nil
	}
	holding, err := tx.HoldFigures(ctx, slices.SortedFunc(maps.Keys(takes), compareRefs))
	if err != nil || len(holding) == 0 {
		return err
	}
	return takes[holding[0]]
}

// lacks says what figures of the flow as it was would miss in the flow as it is, "" where they miss nothing.
func (f *Flow) lacks(was *Flow) string {
	if !slices.Equal(f.Structure.DimensionIDs(), was.Structure.DimensionIDs()) {
		return fmt.Sprintf("its dimensions would be others by %s", f.Structure.Ref)
	}
	for _, component := range slices.Concat(was.Structure.Dimensions, was.Structure.Attributes) {
		h, ok := f.hierarchy(component.ID)
		if !ok {
			return fmt.Sprintf("%s would have no %s", f.Structure.Ref, component.ID)
		}
		old, _ := was.hierarchy(component.ID)
		switch {
		case h == nil || h == old || old != nil && sameArtefact(h.list.Codes, old.list.Codes):
			continue
		case old == nil:
			return fmt.Sprintf("%s would be bound to %s", component.ID, h.list.Ref)
		}
		for _, code := range old.list.Codes {
			if !h.Has(code.ID) {
				return fmt.Sprintf("%s would have no code %q", h.list.Ref, code.ID)
			}
		}
	}
	return ""
}

// keepLayouts refuses a change after which a layout that fits its dataflow would not any more.
func (s *Service) keepLayouts(ctx context.Context, before, after *Catalogue) error {
	layouts, err := s.store.Layouts(ctx)
	if err != nil {
		return err
	}
	for _, layout := range layouts {
		was, err := before.Flow(layout.Dataflow)
		if err != nil {
			continue
		}
		now, err := after.Flow(layout.Dataflow)
		if err != nil {
			return inUse(was.Name(), "the layout %s fills it", layout.ID)
		}
		if sameArtefact(was.Structure, now.Structure) {
			continue
		}
		if err := layout.Check(now.Structure); err != nil {
			return inUse(was.Name(), "the layout %s fills it, and would not fit: %v", layout.ID, err)
		}
	}
	return nil
}
