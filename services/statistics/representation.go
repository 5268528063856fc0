package statistics

import (
	"fmt"
	"slices"
	"strings"
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
	before := make(map[string][]int, len(m.Mappings)) // mappings of the same sources
	spans := make([]span, len(m.Mappings))
	for i, mapping := range m.Mappings {
		field := fmt.Sprintf("%s.mappings[%d]", field, i)
		checkValues(field+".sources", mapping.Sources, sources)
		checkValues(field+".targets", mapping.Targets, targets)
		spans[i] = newSpan(field, mapping, wrong)
		key := joined(mapping.Sources)
		for _, j := range before[key] {
			if other := m.Mappings[j]; spans[i].overlaps(spans[j]) && !slices.Equal(mapping.Targets, other.Targets) {
				wrong.add(field, "%s is mapped to %s, and by mappings[%d] to %s in the same period",
					quotedTuple(mapping.Sources), quotedTuple(mapping.Targets), j, quotedTuple(other.Targets))
				break
			}
		}
		before[key] = append(before[key], i)
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

// overlaps reports whether some day is in both.
func (s span) overlaps(o span) bool {
	return (s.last.IsZero() || o.first.IsZero() || !s.last.Before(o.first)) &&
		(o.last.IsZero() || s.first.IsZero() || !o.last.Before(s.first))
}

// manyToOne notes which different sources the map maps to one target; their figures are summed.
func (m *RepresentationMap) manyToOne() (Finding, bool) {
	const most = 10
	sources := map[string][]string{}
	var order []string
	for _, mapping := range m.Mappings {
		target, source := quotedTuple(mapping.Targets), quotedTuple(mapping.Sources)
		if len(sources[target]) == 0 {
			order = append(order, target)
		}
		if !slices.Contains(sources[target], source) {
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
