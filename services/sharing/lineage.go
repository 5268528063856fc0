package sharing

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/fault"
)

// Derivation says that figures of one dataflow are made of those of another one. Both are "AGENCY:ID(VERSION)", or without
// the version where any is meant.
type Derivation struct{ Source, Target string }

// lineage is a dataflow beside others that may tell of the same figures. Ledgers know figures by their dataflow, so that
// they cannot hold against each other what two of them tell. Hence who was told of something by one is not told of it by
// another: of an indicator of an area, and of nothing at all by one that has its figures from the same source. Versions of a
// dataflow are one and the same.
type lineage struct {
	*Structures
	origins []string // "AGENCY:ID" of the dataflows that it is made of, itself first
	others  []string // of those that share an origin with it
}

// lineage asks the statistics where the figures of a dataflow come from.
func (s *Service) lineage(ctx context.Context, structures *Structures) (lineage, error) {
	derivations, err := s.Statistics.Derivations(ctx)
	if err != nil {
		return lineage{}, fmt.Errorf("asking what %s is made of: %w", structures.Dataflow, err)
	}
	return newLineage(structures, derivations), nil
}

func newLineage(structures *Structures, derivations []Derivation) lineage {
	sources, all := map[string][]string{}, map[string]bool{}
	for _, d := range derivations {
		source, target := flowOf(d.Source), flowOf(d.Target)
		sources[target] = append(sources[target], source)
		all[source], all[target] = true, true
	}
	origins := func(flow string) []string {
		found := []string{flow}
		for i := 0; i < len(found); i++ {
			for _, source := range sources[found[i]] {
				if !slices.Contains(found, source) {
					found = append(found, source)
				}
			}
		}
		return found
	}
	l := lineage{Structures: structures, origins: origins(structures.flow())}
	for _, flow := range slices.Sorted(maps.Keys(all)) {
		if flow != l.flow() && slices.ContainsFunc(origins(flow), func(o string) bool { return slices.Contains(l.origins, o) }) {
			l.others = append(l.others, flow)
		}
	}
	return l
}

// The names in ledgers of what somebody was told of: of figures that are made of those of a dataflow, or are these, of an
// indicator of an area, and by which dataflow that was.
func toldFrom(flow string) string     { return "told from " + flow }
func toldOf(area, code string) string { return "told of " + code + " in " + area }
func told(of, by string) string       { return of + " by " + by }

// marks names in ledgers that somebody was told of an indicator of an area by the dataflow.
func (l lineage) marks(area, code string) []string {
	var marks []string
	for _, origin := range l.origins {
		marks = append(marks, toldFrom(origin), told(toldFrom(origin), l.flow()))
	}
	if l.has(indicator) {
		marks = append(marks, toldOf(area, code), told(toldOf(area, code), l.flow()))
	}
	return marks
}

// elsewhere returns why audiences may not be told of an indicator of an area by the dataflow: one of them was told of it, or
// of what it is a part of, or of a part, by another one. The problem is nil where none was. Figures of a dataflow without
// areas are taken to be of any that this state reports about.
func (l lineage) elsewhere(ctx context.Context, audiences []ledger.Reader, areas []string, code string) (problem, err error) {
	var keys, things []string
	for _, flow := range l.others {
		keys = append(keys, told(toldFrom(flow), flow))
	}
	for _, origin := range l.origins {
		things = append(things, toldFrom(origin))
	}
	if l.has(indicator) {
		near := []string{""}
		for _, area := range areas {
			near = append(near, l.dimension(refArea).near(area)...)
		}
		for _, code := range l.dimension(indicator).near(code) {
			for _, area := range near {
				things = append(things, toldOf(area, code))
			}
		}
	}
	for _, thing := range things {
		keys = append(keys, thing, told(thing, l.flow()))
	}
	for i := range audiences {
		known, err := marked(ctx, audiences[i:i+1], keys)
		if err != nil {
			return nil, err
		}
		for _, flow := range l.others {
			if known[told(toldFrom(flow), flow)] {
				return fault.New(fault.Precondition, "DISCLOSED_TOGETHER",
					"who gets it was told of %s before, which has figures in common with %s", flow, l.flow()), nil
			}
		}
		for _, thing := range things {
			if known[thing] && !known[told(thing, l.flow())] {
				return fault.New(fault.Precondition, "DISCLOSED_TOGETHER",
					"who gets it was told of %s by another dataflow than %s before", code, l.flow()), nil
			}
		}
	}
	return nil, nil
}

// keepsDataflow returns a fault where the receiver, or others of its tier, are told of the same by another dataflow, or would
// be by an agreement that binds this state. Only the provider can know that.
func (s *Service) keepsDataflow(ctx context.Context, terms Terms) error {
	if !s.provides(terms) || terms.Source != "" {
		return nil
	}
	structures, err := s.structuresOf(ctx, terms.Dataflow)
	if fault.Is(err, fault.NotFound) {
		return nil // nothing goes, and nobody can sign
	}
	if err != nil {
		return err
	}
	l, err := s.lineage(ctx, structures)
	if err != nil {
		return err
	}
	own, _ := s.Trust.State(s.State)
	seen := []ledger.Reader{s.Store.Seen(string(terms.tier()))}
	for _, code := range terms.Indicators {
		if problem, err := l.elsewhere(ctx, seen, own.RefAreas, code); problem != nil || err != nil {
			return cmp.Or(err, problem)
		}
	}
	all, err := s.agreements(ctx, "")
	if err != nil {
		return err
	}
	for _, a := range all {
		binding := a.State == Active || a.mayBind(s.State)
		if !binding || a.Terms.ID == terms.ID || !s.provides(a.Terms) || a.Terms.Source != "" || a.Terms.tier() != terms.tier() || flowOf(a.Terms.Dataflow) == l.flow() {
			continue
		}
		other, err := s.structuresOf(ctx, a.Terms.Dataflow)
		if err != nil {
			return err
		}
		if slices.Contains(l.others, other.flow()) {
			return fault.New(fault.Precondition, "DISCLOSED_TOGETHER",
				"the tier %s is told of %s by agreement %s, which has figures in common with %s", terms.tier(), other.flow(), a.Terms.ID, l.flow())
		}
		for _, code := range terms.Indicators {
			near := l.dimension(indicator).near(code)
			if l.has(indicator) && other.has(indicator) && slices.ContainsFunc(a.Terms.Indicators, func(c string) bool { return slices.Contains(near, c) }) {
				return fault.New(fault.Precondition, "DISCLOSED_TOGETHER",
					"the tier %s is told of %s by %s under agreement %s, and cannot be by %s", terms.tier(), code, other.flow(), a.Terms.ID, l.flow())
			}
		}
	}
	return nil
}
