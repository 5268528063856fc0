package statistics

import (
	"context"
	"maps"
	"slices"

	"github.com/comity-federation/comity/services/fault"
)

// StructureQuery chooses artefacts: those that fit each of its lists that is not empty. It is that of SDMX REST 2.
type StructureQuery struct {
	Kinds          []Kind
	Agencies       []string
	IDs            []string
	Versions       []string // each a [VersionQuery]
	References     References
	ReferenceKinds []Kind // of what references add, only these
	Detail         Detail
	Items          []string // of item schemes that are chosen, only the items with these ids
}

// References says which artefacts are added to those that are chosen.
type References uint8

// The references.
const (
	NoReferences       References = iota
	Parents                       // what refers to a chosen one
	ParentsAndSiblings            // and what those refer to
	Ancestors                     // what refers to a chosen one, at any distance
	Children                      // what a chosen one refers to
	AllDescendants                // what a chosen one refers to, at any distance
	AllReferences                 // ParentsAndSiblings and AllDescendants
)

// Detail says how much is told of an artefact.
type Detail uint8

// The details.
const (
	FullDetail             Detail = iota
	AllStubs                      // only how it is named
	ReferenceStubs                // likewise, of what references add
	AllCompleteStubs              // how it is named, descriptions and annotations
	ReferenceCompleteStubs        // likewise, of what references add
	ReferencePartial              // of item schemes that references add, only the items that are used
)

// ListStructures returns the artefacts that a query chooses, as they are stored, by agency, id and version.
func (s *Service) ListStructures(ctx context.Context, q *StructureQuery) (*Structures, error) {
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	return catalogue.List(q)
}

// List returns the artefacts that a query chooses, as they are stored, by agency, id and version.
func (c *Catalogue) List(q *StructureQuery) (*Structures, error) {
	chosen, err := c.choose(q)
	if err != nil {
		return nil, err
	}
	added := c.referred(chosen, q.References)
	told := &Structures{}
	var partial func(Artefact) Artefact
	if q.Detail == ReferencePartial {
		partial = c.usedBy(chosen).part
	}
	all := slices.Concat(chosen, added)
	slices.SortFunc(all, compareIDs)
	isChosen, items := set(chosen), set(q.Items)
	for _, id := range all {
		a := c.artefacts[id]
		if isChosen[id] {
			if len(q.Items) > 0 {
				a = onlyItems(a, items)
			}
		} else if len(q.ReferenceKinds) > 0 && !slices.Contains(q.ReferenceKinds, id.Kind) {
			continue
		}
		switch {
		case q.Detail == AllStubs, q.Detail == ReferenceStubs && !isChosen[id]:
			a = a.stub(false)
		case q.Detail == AllCompleteStubs, q.Detail == ReferenceCompleteStubs && !isChosen[id]:
			a = a.stub(true)
		case partial != nil && !isChosen[id]:
			a = partial(a)
		}
		told.Add(a)
	}
	return told, nil
}

// choose returns what fits the query itself.
func (c *Catalogue) choose(q *StructureQuery) ([]ArtefactID, error) {
	queries := make([]VersionQuery, len(q.Versions))
	for i, text := range q.Versions {
		var err error
		if queries[i], err = ParseVersionQuery(text); err != nil || text == "" {
			return nil, fault.InvalidField("versions", "%q is no version, nor a query for versions such as 2.3+.1, ~ or 1.*.0", shown(text))
		}
	}
	var chosen []ArtefactID
	for of, versions := range c.graph.versions {
		if !fits(q.Kinds, of.Kind) || !fits(q.Agencies, of.Ref.Agency) || !fits(q.IDs, of.Ref.ID) {
			continue
		}
		if len(queries) > 0 {
			var some []Version
			for _, query := range queries {
				some = append(some, query.Select(versions)...)
			}
			slices.SortFunc(some, Version.Compare)
			versions = slices.Compact(some)
		}
		for _, v := range versions {
			of.Ref.Version = v.String()
			chosen = append(chosen, of)
		}
	}
	return chosen, nil
}

func set[T comparable](of []T) map[T]bool {
	made := make(map[T]bool, len(of))
	for _, member := range of {
		made[member] = true
	}
	return made
}

func fits[T comparable](of []T, value T) bool { return len(of) == 0 || slices.Contains(of, value) }

// referred returns what references add to the chosen artefacts, each once and none of the chosen.
func (c *Catalogue) referred(chosen []ArtefactID, references References) []ArtefactID {
	inSchemes := c.agencies()
	children := func(id ArtefactID) []ArtefactID {
		if scheme, ok := inSchemes[id.Ref.Agency]; ok && scheme != id {
			return append(slices.Clone(c.graph.children[id]), scheme)
		}
		return c.graph.children[id]
	}
	parents := func(id ArtefactID) []ArtefactID {
		of := slices.Clone(c.graph.parents[id])
		if id.Kind == KindAgencyScheme {
			for other := range c.artefacts {
				if inSchemes[other.Ref.Agency] == id && other != id {
					of = append(of, other)
				}
			}
		}
		return of
	}
	found := map[ArtefactID]bool{}
	follow := func(from []ArtefactID, next func(ArtefactID) []ArtefactID, far bool) (reached []ArtefactID) {
		seen := map[ArtefactID]bool{}
		for len(from) > 0 {
			id := from[0]
			from = from[1:]
			for _, other := range next(id) {
				if !seen[other] {
					seen[other], found[other] = true, true
					reached = append(reached, other)
					if far {
						from = append(from, other)
					}
				}
			}
		}
		return reached
	}
	switch references {
	case Parents:
		follow(chosen, parents, false)
	case ParentsAndSiblings:
		follow(follow(chosen, parents, false), children, false)
	case Ancestors:
		follow(chosen, parents, true)
	case Children:
		follow(chosen, children, false)
	case AllDescendants:
		follow(chosen, children, true)
	case AllReferences:
		follow(follow(chosen, parents, false), children, false)
		follow(chosen, children, true)
	case NoReferences:
	}
	for _, id := range chosen {
		delete(found, id)
	}
	return slices.Collect(maps.Keys(found))
}

// onlyItems returns an item scheme with none but the items that have one of the ids; another artefact as it is.
func onlyItems(a Artefact, ids map[string]bool) Artefact {
	switch a := a.(type) {
	case *Codelist:
		part := *a
		part.Codes = only(a.Codes, func(c Code) bool { return ids[c.ID] })
		return &part
	case *ConceptScheme:
		part := *a
		part.Concepts = only(a.Concepts, func(c Concept) bool { return ids[c.ID] })
		return &part
	case agencies:
		part := *a.OrganisationScheme
		part.Organisations = only(a.Organisations, func(o Organisation) bool { return ids[o.ID] })
		return agencies{&part}
	case providers:
		part := *a.OrganisationScheme
		part.Organisations = only(a.Organisations, func(o Organisation) bool { return ids[o.ID] })
		return providers{&part}
	}
	return a
}

func only[T any](items []T, keep func(T) bool) []T {
	var kept []T
	for _, item := range items {
		if keep(item) {
			kept = append(kept, item)
		}
	}
	return kept
}

// usage is which items of item schemes are used. A scheme that is not in it is used whole.
type usage map[ArtefactID]map[string]bool

// usedBy returns which items the chosen artefacts use: of concept schemes, agencies and providers those that they refer to,
// of codelists those that constraints leave where a chosen dataflow has constraints.
func (c *Catalogue) usedBy(chosen []ArtefactID) usage {
	used := usage{}
	use := func(scheme ArtefactID, item string) {
		if used[scheme] == nil {
			used[scheme] = map[string]bool{}
		}
		used[scheme][item] = true
	}
	inSchemes := c.agencies()
	left := map[ArtefactID]bool{} // codelists of which some flow uses all
	for _, id := range c.reachable(chosen) {
		if scheme, ok := inSchemes[id.Ref.Agency]; ok && scheme != id {
			name := id.Ref.Agency
			if scheme.Ref.Agency != topAgency {
				name = name[len(scheme.Ref.Agency)+1:]
			}
			use(scheme, name)
		}
		for r := range c.artefacts[id].references() {
			if r.item == "" {
				continue
			}
			if scheme, ok := c.graph.resolve(r.kind, r.ref, isDraft(id.Ref)); ok {
				use(scheme, r.item)
			}
		}
		if id.Kind != KindDataflow {
			continue
		}
		flow := c.flows[id.Ref]
		for i, dimension := range flow.Structure.Dimensions {
			h := flow.Dimensions[i]
			if h == nil {
				continue
			}
			list := ArtefactID{KindCodelist, h.list.Ref}
			codes, bounded := flow.allowedCodes(dimension.ID, h)
			if !bounded {
				left[list] = true
			}
			for _, code := range codes {
				for ancestor := range h.Chain(code) {
					use(list, ancestor)
				}
			}
		}
		for _, h := range flow.Attributes {
			left[ArtefactID{KindCodelist, h.list.Ref}] = true
		}
	}
	for list := range left {
		delete(used, list)
	}
	return used
}

// reachable returns the chosen artefacts and what they refer to at any distance.
func (c *Catalogue) reachable(chosen []ArtefactID) []ArtefactID {
	return slices.Concat(chosen, c.referred(chosen, AllDescendants))
}

// allowedCodes returns the codes of a dimension that constraints for all providers leave; false where they do not bound it.
func (f *Flow) allowedCodes(dimension string, h *Hierarchy) (codes []string, bounded bool) {
	may := func(code string) bool {
		for _, r := range f.allowed {
			if !r.mayHave(dimension, code) {
				return false
			}
		}
		return true
	}
	for _, code := range h.list.Codes {
		if may(code.ID) {
			codes = append(codes, code.ID)
		} else {
			bounded = true
		}
	}
	return codes, bounded
}

// mayHave reports whether some row with the code fits the constraint, as far as regions that are bounded in nothing else say.
func (r *restriction) mayHave(dimension, code string) bool {
	for _, region := range r.exclude {
		if len(region) == 1 && region[0].component == dimension && region[0].holds(code) {
			return false
		}
	}
	return len(r.include) == 0 || slices.ContainsFunc(r.include, func(region bounds) bool {
		for _, bound := range region {
			if bound.component == dimension && !bound.time && !bound.holds(code) {
				return false
			}
		}
		return true
	})
}

// part returns an item scheme with none but the items that are used, and what those are parts of.
func (u usage) part(a Artefact) Artefact {
	used, ok := u[a.Name()]
	if !ok {
		return a
	}
	if scheme, ok := a.(*ConceptScheme); ok {
		for _, concept := range slices.Backward(scheme.Concepts) { // parents come before their children
			if used[concept.ID] && concept.Parent != "" {
				used[concept.Parent] = true
			}
		}
	}
	return onlyItems(a, used)
}
