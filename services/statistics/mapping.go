package statistics

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/period"
)

// anyValue is the source of a mapping that fits every value.
const anyValue = "*"

// mapper is a representation map that was checked against what it maps to, made ready to look up.
type mapper struct {
	ref       Ref
	mappings  []Mapping
	used      []bool // by mapping: it was applied
	spans     []span
	exact     map[string][]int // by joined sources: mappings without a wildcard, ascending
	wild      []int            // mappings with one, ascending
	otherwise []string
	identity  bool
	codes     map[string]bool // of the one target of an identity; nil: any text may stand
	timed     bool            // a mapping holds for a time only
}

// span is a time from the first day to the last; a zero time is open.
type span struct{ first, last time.Time }

// holds reports whether the whole period lies in the span. A period that only reaches into it could be split between
// two meanings of a label, so that no mapping may speak for it.
func (s span) holds(p Period) bool {
	return (s.first.IsZero() || !p.Start().Before(s.first)) && (s.last.IsZero() || !p.End().After(s.last))
}

// covers reports whether the other span lies in s.
func (s span) covers(other span) bool {
	return (s.first.IsZero() || !other.first.IsZero() && !other.first.Before(s.first)) &&
		(s.last.IsZero() || !other.last.IsZero() && !other.last.After(s.last))
}

// newMapper checks the map against the number of its sources and the codelists of its targets: nil where any text may
// stand. What is wrong is added to the violations.
func newMapper(m RepresentationMap, sources int, targets []*Codelist, violations *violations) *mapper {
	field := "representationMaps[" + m.Ref.String() + "]"
	made := &mapper{ref: m.Ref, mappings: m.Mappings, used: make([]bool, len(m.Mappings)), spans: make([]span, len(m.Mappings)), exact: map[string][]int{}, otherwise: m.Otherwise, identity: m.Identity}
	sound := len(*violations)
	codes := make([]map[string]bool, len(targets))
	for i, codelist := range targets {
		codes[i] = codelist.set()
	}
	checkTargets := func(field string, values []string) {
		if len(values) == 0 {
			return // left out
		}
		if len(values) != len(targets) {
			violations.add(field, "has %d values, the component map %d targets", len(values), len(targets))
			return
		}
		for i, value := range values {
			if codes[i] != nil && !codes[i][value] {
				violations.add(fmt.Sprintf("%s[%d]", field, i), "%q is no code of %s", value, targets[i].Ref)
			}
		}
	}
	for i, mapping := range m.Mappings {
		field := fmt.Sprintf("%s.mappings[%d]", field, i)
		checkTargets(field+".targets", mapping.Targets)
		made.spans[i] = newSpan(field, mapping, violations)
		made.timed = made.timed || made.spans[i] != span{}
		if len(mapping.Sources) != sources {
			violations.add(field+".sources", "has %d values, the component map %d sources", len(mapping.Sources), sources)
		}
		if before := made.covering(i); before >= 0 && len(*violations) == sound {
			violations.add(field+".sources", "are those of mappings[%d] already, which comes first", before)
		}
		if slices.Contains(mapping.Sources, anyValue) {
			made.wild = append(made.wild, i)
		} else {
			key := joined(mapping.Sources)
			made.exact[key] = append(made.exact[key], i)
		}
	}
	if m.Otherwise != nil {
		checkTargets(field+".otherwise", m.Otherwise)
	}
	if m.Identity {
		if sources != 1 || len(targets) != 1 {
			violations.add(field+".identity", "needs one source and one target, not %d and %d", sources, len(targets))
		} else {
			made.codes = codes[0]
		}
	}
	return made
}

// copier is the map that leaves the values of a component as they are, where they are codes of the codelist.
func copier(codelist *Codelist) *mapper {
	return &mapper{identity: true, codes: codelist.set()}
}

func newSpan(field string, m Mapping, violations *violations) (made span) {
	if m.ValidFrom != "" {
		from, err := period.Parse(m.ValidFrom)
		if err != nil {
			violations.add(field+".validFrom", "%s", err)
		} else {
			made.first = from.Start()
		}
	}
	if m.ValidTo != "" {
		to, err := period.Parse(m.ValidTo)
		if err != nil {
			violations.add(field+".validTo", "%s", err)
		} else {
			made.last = to.End()
		}
	}
	if !made.first.IsZero() && !made.last.IsZero() && made.last.Before(made.first) {
		violations.add(field+".validTo", "%s ends before %s begins", m.ValidTo, m.ValidFrom)
	}
	return made
}

// apply returns what the source values become in the period: none where they are left out. known is false where no
// mapping fits and they are no codes of the target either.
func (m *mapper) apply(sources []string, period Period) (targets []string, known bool) {
	if i := m.fitting(sources, period); i >= 0 {
		m.used[i] = true
		return m.mappings[i].Targets, true
	}
	return m.unmapped(sources)
}

// peek is apply for who only wants to know, of a map that is not timed.
func (m *mapper) peek(sources []string) (targets []string, known bool) {
	if i := m.fitting(sources, Period{}); i >= 0 {
		return m.mappings[i].Targets, true
	}
	return m.unmapped(sources)
}

// unmapped returns what becomes of values that no mapping fits.
func (m *mapper) unmapped(sources []string) (targets []string, known bool) {
	if m.identity && (m.codes == nil || m.codes[sources[0]]) {
		return sources, true
	}
	return m.otherwise, false
}

// fitting returns the first mapping that fits in the period; -1 where there is none.
func (m *mapper) fitting(sources []string, period Period) int {
	exact := m.exact[joined(sources)]
	wild := m.wild
	for len(exact) > 0 || len(wild) > 0 { // both ascend: the first mapping that fits counts
		var i int
		if len(wild) == 0 || len(exact) > 0 && exact[0] < wild[0] {
			i, exact = exact[0], exact[1:]
		} else {
			i, wild = wild[0], wild[1:]
			if !m.mappings[i].fits(sources) {
				continue
			}
		}
		if m.spans[i] == (span{}) || m.spans[i].holds(period) {
			return i
		}
	}
	return -1
}

// covering returns the first mapping that fits whatever the i-th fits, so that this one is never applied; -1 where there is
// none. Only those before the i-th are in exact and wild yet.
func (m *mapper) covering(i int) int {
	sources, span := m.mappings[i].Sources, m.spans[i]
	for _, before := range slices.Concat(m.exact[joined(sources)], m.wild) {
		if len(m.mappings[before].Sources) == len(sources) && m.mappings[before].fits(sources) && m.spans[before].covers(span) {
			return before
		}
	}
	return -1
}

// merged returns the sources that were counted as one, with what they were counted as, in the order of the mappings.
// What a wildcard stands for is not among them.
func (m *mapper) merged() (targets []string, sources [][]string) {
	at := map[string]int{}
	for i, mapping := range m.mappings {
		if !m.used[i] || len(mapping.Targets) == 0 || slices.Contains(mapping.Sources, anyValue) {
			continue
		}
		target, source := strings.Join(mapping.Targets, ", "), strings.Join(mapping.Sources, ", ")
		group, ok := at[target]
		if !ok {
			group = len(targets)
			at[target] = group
			targets, sources = append(targets, target), append(sources, nil)
		}
		if !slices.Contains(sources[group], source) {
			sources[group] = append(sources[group], source)
		}
	}
	return targets, sources
}

func (m Mapping) fits(sources []string) bool {
	for i, source := range m.Sources {
		if source != anyValue && source != sources[i] {
			return false
		}
	}
	return true
}

// set returns the ids of the codes; nil for no codelist.
func (c *Codelist) set() map[string]bool {
	if c == nil {
		return nil
	}
	set := make(map[string]bool, len(c.Codes))
	for _, code := range c.Codes {
		set[code.ID] = true
	}
	return set
}

// joined is a key of the texts: no label holds U+0000.
func joined(texts []string) string { return strings.Join(texts, "\x00") }
