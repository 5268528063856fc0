package statistics

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics/quality"
)

// MirrorQuery asks how what the own state reports of its corridors with a partner agrees with what the partner reports.
type MirrorQuery struct {
	Dataflow      Ref    // the zero Ref: the first with a default design
	Partner       string // a provider; "": every one; the own state: its areas among each other
	Design        MirrorDesign
	Frequency     string // "": as stored
	Start, End    string // the first and the last period; "": no bound
	At            Moment
	Significance  float64 // between 0 and 1
	Factor        float64 // at least 1
	Confidence    float64 // between 0 and 1
	Offset, Limit int     // of the pairs; Limit 0: all
	Sight         Sight
}

// MirrorAnswer is what the comparison comes to.
type MirrorAnswer struct {
	Dataflow     Ref
	Design       MirrorDesign
	Pairs        []MirrorPair // by flow, key, corridor and period
	TotalPairs   int
	Findings     []Finding // the most significant first
	Coverage     []MirrorCoverage
	Unmatched    int // figures of the compared sides that the other could mirror and does not
	Withheld     int // figures of the compared sides without a value that can be compared
	Revision     int64
	RevisionTime time.Time
}

// MirrorEnd is who reports one side of a corridor: a provider, for an area.
type MirrorEnd struct{ Provider, Area string }

// String returns the area with the provider, as "FR (fr)".
func (e MirrorEnd) String() string { return e.Area + " (" + e.Provider + ")" }

// MirrorPair is a flow in a period as both of its ends report it.
type MirrorPair struct {
	Flow           MirrorFlow
	Key            map[string]string // the dimensions that stay, FREQ among them
	From, To       MirrorEnd
	Period         string
	Exits, Entries float64
	quality.Mirror
	Differs bool
}

// MirrorCoverage is how fully the reporters of a flow count.
type MirrorCoverage struct {
	Flow    MirrorFlow
	Key     map[string]string
	Factors []MirrorFactor
	quality.CoverageFit
}

// MirrorFactor is a coverage factor of a provider's figures for an area.
type MirrorFactor struct {
	MirrorEnd
	quality.Coverage
}

// MirrorRule is the rule of the findings.
const MirrorRule = "MIRROR_DIFFERENCE"

// CompareMirror compares the figures of the own state with a partner's, as [Service.Query] shows them to the caller.
// Coverage is of all figures that the caller sees, those of partners among each other too: the more corridors, the more it
// can tell. Periods are summed for it where both sides report, since their errors are not independent.
func (s *Service) CompareMirror(ctx context.Context, q MirrorQuery) (*MirrorAnswer, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	dataflow, design, err := mirrorDesign(q.Dataflow, q.Design)
	if err != nil {
		return nil, err
	}
	m := &mirror{
		query: &q, own: s.state, design: design, answer: &MirrorAnswer{Design: design},
		flows: map[mirrorKey]*bothSides{}, reporters: map[string]map[string]struct{}{}, withheld: map[[2]string]int{},
	}
	err = s.view(ctx, dataflow, q.At, func(ctx context.Context, flow *Flow, snapshot Snapshot) error {
		if err := design.check(flow.Structure); err != nil {
			return err
		}
		dictionary, err := snapshot.Dictionary(ctx, flow)
		if err != nil {
			return err
		}
		m.answer.Dataflow = flow.Ref
		m.dimensions = flow.Structure.DimensionIDs()
		if m.areaOf, err = design.areas(flow, dictionary); err != nil {
			return err
		}
		m.providers, err = s.defaultProviders(ctx, snapshot, flow.Ref)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := s.Query(ctx, m.figures(), m.read); err != nil {
		return nil, err
	}
	m.compare()
	return m.answer, nil
}

func (q *MirrorQuery) check() error {
	var wrong violations
	// Written so that NaN is refused.
	if !(q.Significance > 0 && q.Significance < 1) {
		wrong.add("significance", "%v is not between 0 and 1", q.Significance)
	}
	if !(q.Factor >= 1 && q.Factor <= math.MaxFloat64) {
		wrong.add("factor", "%v is not at least 1", q.Factor)
	}
	if !(q.Confidence > 0 && q.Confidence < 1) {
		wrong.add("confidence", "%v is not between 0 and 1", q.Confidence)
	}
	if q.Offset < 0 {
		wrong.add("offset", "%d is negative", q.Offset)
	}
	if q.Limit < 0 {
		wrong.add("limit", "%d is negative", q.Limit)
	}
	return wrong.fault("the comparison of mirror statistics")
}

// mirror compares figures.
type mirror struct {
	query      *MirrorQuery
	own        string
	design     MirrorDesign
	dimensions []string
	areaOf     map[string]string // by code of the counterpart dimension
	providers  []string
	flows      map[mirrorKey]*bothSides
	count      int                            // of the figures kept
	reporters  map[string]map[string]struct{} // by area: the providers
	withheld   map[[2]string]int              // by provider and area at the other end: figures without a value
	answer     *MirrorAnswer
}

// mirrorKey is what both sides of a flow have in common.
type mirrorKey struct {
	flow                int    // of the design
	rest                string // the codes of the dimensions that stay
	origin, destination string
	period              string
}

func (k mirrorKey) compare(other mirrorKey) int {
	return cmp.Or(cmp.Compare(k.flow, other.flow), strings.Compare(k.rest, other.rest), strings.Compare(k.origin, other.origin),
		strings.Compare(k.destination, other.destination), strings.Compare(k.period, other.period))
}

// bothSides is what providers report of a flow.
type bothSides struct{ exits, entries []reported }

type reported struct {
	provider string
	value    float64
}

// figures asks for the figures of the corridors between areas that report any.
func (m *mirror) figures() Query {
	var codes []string
	for _, f := range m.design.Flows {
		codes = append(codes, f.Exits, f.Entries)
	}
	q := Query{
		Dataflow: m.answer.Dataflow, Providers: m.providers, Selections: slices.Clone(m.design.Selections),
		Filter: filter.And(
			filter.In(m.design.FlowDimension, codes...),
			filter.In(m.design.CounterpartDimension, slices.Sorted(maps.Keys(m.areaOf))...),
		),
		Start: m.query.Start, End: m.query.End, At: m.query.At, Sight: m.query.Sight,
	}
	if m.query.Frequency != "" {
		q.Selections = append(q.Selections, Selection{Dimension: frequencyID, Codes: []string{m.query.Frequency}})
	}
	return q
}

// maxMirrored is how many figures are compared at once.
const maxMirrored = 1_000_000

// read keeps the figures of a page by flow.
func (m *mirror) read(page *Page) error {
	m.answer.Revision, m.answer.RevisionTime = page.Revision, page.RevisionTime
	b := page.Block
	area, kind, other := b.Column(m.design.AreaDimension), b.Column(m.design.FlowDimension), b.Column(m.design.CounterpartDimension)
	periods, providers, values := b.Column(block.TimePeriod), b.Column(block.Provider), b.Column(block.ObsValue)
	rest := make([]*block.Column, 0, len(m.dimensions))
	for _, id := range m.kept() {
		rest = append(rest, b.Column(id))
	}
	texts := make([]string, len(rest))
	for i := range b.Rows {
		reporter, counterpart := area.Text(i), m.areaOf[other.Text(i)]
		if reporter == counterpart {
			continue // not a corridor
		}
		provider, value := providers.Text(i), values.Numbers[i]
		if m.reporters[reporter] == nil {
			m.reporters[reporter] = map[string]struct{}{}
		}
		m.reporters[reporter][provider] = struct{}{}
		if !(value >= 0 && value <= math.MaxFloat64) { // NaN too
			m.withheld[[2]string{provider, counterpart}]++
			continue
		}
		for j, column := range rest {
			texts[j] = column.Text(i)
		}
		k := mirrorKey{rest: strings.Join(texts, keySeparator), period: periods.Text(i), origin: reporter, destination: counterpart}
		exits := false
		k.flow, exits = m.flowOf(kind.Text(i))
		if !exits {
			k.origin, k.destination = counterpart, reporter
		}
		if m.flows[k] == nil {
			m.flows[k] = &bothSides{}
		}
		if exits {
			m.flows[k].exits = append(m.flows[k].exits, reported{provider, value})
		} else {
			m.flows[k].entries = append(m.flows[k].entries, reported{provider, value})
		}
		if m.count++; m.count > maxMirrored {
			return fault.InvalidField("startPeriod", "more than %d figures would be compared: ask for fewer periods, or codes", maxMirrored)
		}
	}
	return nil
}

// keySeparator stands between the codes of a key; no code has it.
const keySeparator = "\x00"

// kept returns the dimensions that stay: both sides have their codes in common.
func (m *mirror) kept() []string {
	return slices.DeleteFunc(slices.Clone(m.dimensions), func(id string) bool {
		return id == m.design.AreaDimension || id == m.design.FlowDimension || id == m.design.CounterpartDimension
	})
}

// flowOf returns the position of the flow that a code is of, and whether it is that of the exits.
func (m *mirror) flowOf(code string) (flow int, exits bool) {
	flow = slices.IndexFunc(m.design.Flows, func(f MirrorFlow) bool { return f.Exits == code || f.Entries == code })
	return flow, m.design.Flows[flow].Exits == code
}

// between reports whether the two are what was asked for.
func (m *mirror) between(a, b string) bool {
	if m.query.Partner == "" {
		return a == m.own || b == m.own
	}
	return a == m.own && b == m.query.Partner || b == m.own && a == m.query.Partner
}

// facing reports whether somebody whom the provider is compared with reports the area.
func (m *mirror) facing(provider, area string) bool {
	for other := range m.reporters[area] {
		if m.between(provider, other) {
			return true
		}
	}
	return false
}

// keyOf returns the codes of the dimensions that stay.
func (m *mirror) keyOf(k mirrorKey) map[string]string {
	key := map[string]string{}
	texts := strings.Split(k.rest, keySeparator)
	for i, id := range m.kept() {
		key[id] = texts[i]
	}
	return key
}

// compare makes the answer of the figures.
func (m *mirror) compare() {
	fits := newMirrorFits(m)
	var differing []MirrorPair
	for _, k := range slices.SortedFunc(maps.Keys(m.flows), mirrorKey.compare) {
		both := m.flows[k]
		fits.begin(k)
		for _, exits := range both.exits {
			for _, entries := range both.entries {
				fits.add(k, exits, entries)
				if !m.between(exits.provider, entries.provider) {
					continue
				}
				p := MirrorPair{
					Flow: m.design.Flows[k.flow], Period: k.period,
					From: MirrorEnd{exits.provider, k.origin}, To: MirrorEnd{entries.provider, k.destination},
					Exits: exits.value, Entries: entries.value, Mirror: quality.MirrorOf(exits.value, entries.value),
				}
				p.Differs = p.Mirror.Differs(m.query.Significance, m.query.Factor)
				if p.Differs {
					differing = append(differing, p)
				}
				if at := m.answer.TotalPairs - m.query.Offset; at >= 0 && (m.query.Limit == 0 || at < m.query.Limit) {
					p.Key = m.keyOf(k)
					m.answer.Pairs = append(m.answer.Pairs, p)
				}
				m.answer.TotalPairs++
			}
		}
		m.answer.Unmatched += m.alone(both.exits, both.entries, k.destination) + m.alone(both.entries, both.exits, k.origin)
	}
	for of, figures := range m.withheld {
		if m.facing(of[0], of[1]) {
			m.answer.Withheld += figures
		}
	}
	fits.end()
	m.answer.Findings = m.findings(differing)
}

// alone counts the figures of one side that none of the other mirrors, although somebody could who reports the area there.
func (m *mirror) alone(side, other []reported, area string) int {
	n := 0
	for _, r := range side {
		mirrored := slices.ContainsFunc(other, func(o reported) bool { return m.between(r.provider, o.provider) })
		if !mirrored && m.facing(r.provider, area) {
			n++
		}
	}
	return n
}

// findings tells of pairs that differ.
func (m *mirror) findings(pairs []MirrorPair) []Finding {
	slices.SortStableFunc(pairs, func(a, b MirrorPair) int {
		return cmp.Or(cmp.Compare(a.P, b.P), cmp.Compare(math.Abs(b.LogRatio), math.Abs(a.LogRatio)))
	})
	var report Report
	for i := range pairs {
		if report.Full() {
			report.Add(Finding{}) // only counted
			continue
		}
		p := &pairs[i]
		report.Add(Finding{
			Rule: MirrorRule, Severity: Warning, Column: m.design.FlowDimension, Period: p.Period,
			Message: fmt.Sprintf("of those who left %s for %s in %s, %s counts %s as %s, and %s counts %s as %s: p = %.3g", p.From.Area, p.To.Area, p.Period,
				p.From, figureText(p.Exits), p.Flow.Exits, p.To, figureText(p.Entries), p.Flow.Entries, p.P),
			Values: []string{p.From.Area, p.To.Area, p.From.Provider, p.To.Provider},
			Before: &p.Exits, After: &p.Entries, Threshold: &m.query.Factor,
		})
	}
	return report.Findings()
}
