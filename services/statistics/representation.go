package statistics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// checkRepresentationMap wants values that are codes of the codelists which the map names, and no source that is mapped to
// two targets in the same period.
func (c *Catalogue) checkRepresentationMap(m *RepresentationMap, wrong *violations) {
	field := fmt.Sprintf("%s[%s]", KindRepresentationMap.field(), m.Ref)
	sources, targets := c.codelistsOf(m, m.SourceCodelists), c.codelistsOf(m, m.TargetCodelists)
	checkValues := func(field string, values []string, lists []*Hierarchy) {
		if len(lists) > 0 && len(values) != len(lists) {
			wrong.add(field, "has %d values, the map %d codelists", len(values), len(lists))
			return
		}
		for i, list := range lists {
			if list != nil && values[i] != anyValue && !list.Has(values[i]) {
				wrong.add(fmt.Sprintf("%s[%d]", field, i), "%q is no code of %s", values[i], list.list.Ref)
			}
		}
	}
	same := make(map[string][]int, len(m.Mappings)) // mappings by their sources
	spans := make([]span, len(m.Mappings))
	for i, mapping := range m.Mappings {
		field := fmt.Sprintf("%s.mappings[%d]", field, i)
		checkValues(field+".sources", mapping.Sources, sources)
		checkValues(field+".targets", mapping.Targets, targets)
		spans[i] = newSpan(field, mapping, wrong)
		key := joined(mapping.Sources)
		same[key] = append(same[key], i)
	}
	for _, key := range slices.Sorted(maps.Keys(same)) {
		if i, j := m.ambiguous(same[key], spans); i != j {
			wrong.add(fmt.Sprintf("%s.mappings[%d]", field, i), "%s is mapped to %s, and by mappings[%d] to %s in the same period",
				quotedTuple(m.Mappings[i].Sources), quotedTuple(m.Mappings[i].Targets), j, quotedTuple(m.Mappings[j].Targets))
		}
	}
	if m.Otherwise != nil {
		checkValues(field+".otherwise", m.Otherwise, targets)
	}
}

func (c *Catalogue) codelistsOf(m *RepresentationMap, refs []Ref) []*Hierarchy {
	lists := make([]*Hierarchy, len(refs))
	for i, ref := range refs {
		if ref != (Ref{}) {
			id, _ := c.graph.resolve(KindCodelist, ref, isDraft(m.Ref))
			lists[i] = c.hierarchies[id.Ref]
		}
	}
	return lists
}

// ambiguous returns two of the mappings, which have the same sources, that map them to different targets on some day; twice
// the same where there are none.
func (m *RepresentationMap) ambiguous(mappings []int, spans []span) (later, earlier int) {
	slices.SortStableFunc(mappings, func(i, j int) int { return spans[i].first.Compare(spans[j].first) })
	// Of the mappings so far: the one that ends last, and of those with another target than that one the one that ends last.
	longest, other := mappings[0], -1
	for _, i := range mappings[1:] {
		rival := longest
		if m.sameTargets(i, longest) {
			rival = other
		}
		if rival >= 0 && !spans[rival].endsBefore(spans[i].first) {
			return max(i, rival), min(i, rival)
		}
		switch {
		case spans[i].endsAfter(spans[longest]):
			if !m.sameTargets(i, longest) {
				other = longest
			}
			longest = i
		case !m.sameTargets(i, longest) && (other < 0 || spans[i].endsAfter(spans[other])):
			other = i
		}
	}
	return mappings[0], mappings[0]
}

func (m *RepresentationMap) sameTargets(i, j int) bool {
	return slices.Equal(m.Mappings[i].Targets, m.Mappings[j].Targets)
}

func (s span) endsBefore(day time.Time) bool { return !s.last.IsZero() && s.last.Before(day) }

func (s span) endsAfter(o span) bool {
	return !o.last.IsZero() && (s.last.IsZero() || s.last.After(o.last))
}

// manyToOne notes which different sources the map maps to one target; their figures are summed.
func (m *RepresentationMap) manyToOne() (Finding, bool) {
	const most = 10
	sources := map[string][]string{}
	seen := map[[2]string]bool{}
	var order []string
	for _, mapping := range m.Mappings {
		target, source := quotedTuple(mapping.Targets), quotedTuple(mapping.Sources)
		if len(sources[target]) == 0 {
			order = append(order, target)
		}
		if pair := [2]string{target, source}; !seen[pair] {
			seen[pair] = true
			sources[target] = append(sources[target], source)
		}
	}
	order = slices.DeleteFunc(order, func(target string) bool { return len(sources[target]) < 2 })
	if len(order) == 0 {
		return Finding{}, false
	}
	var told []string
	for i, target := range order {
		if i == most {
			told = append(told, fmt.Sprintf("and %d more", len(order)-most))
			break
		}
		from := sources[target]
		if len(from) > most {
			from = append(from[:most:most], fmt.Sprintf("%d more", len(from)-most))
		}
		told = append(told, fmt.Sprintf("%s from %s", target, strings.Join(from, ", ")))
	}
	return Finding{
		Rule: "MANY_TO_ONE", Severity: Note, Values: order[:min(len(order), most)],
		Message: fmt.Sprintf("%s maps several sources to one target, where their figures are summed: %s", m.Ref, strings.Join(told, "; ")),
	}, true
}

// quotedTuple writes a tuple for people to read.
func quotedTuple(values []string) string {
	texts := make([]string, len(values))
	for i, value := range values {
		texts[i] = fmt.Sprintf("%q", shown(value))
	}
	if len(texts) == 1 {
		return texts[0]
	}
	return "(" + strings.Join(texts, ", ") + ")"
}
