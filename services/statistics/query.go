package statistics

import (
	"context"
	"math"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
)

// Query asks for figures.
type Query struct {
	Dataflow   Ref
	Providers  []string // empty: the own state's first, then partners'
	Selections []Selection
	Filter     filter.Filter // chooses among the rows of the answer
	Start, End string        // the first and the last period; "": no bound
	At         Moment
}

// Selection fixes a dimension to codes, or rolls it up to a level. One of the two is empty.
type Selection struct {
	Dimension string
	Codes     []string
	Level     string
}

// Page is a part of an answer: rows in the order of keys, then periods. Keys are in the order in which the node came to
// know their codes. Its block has the dimensions in key order, TIME_PERIOD, OBS_VALUE, OBS_STATUS, CONF_STATUS, COMMENT
// and _PROVIDER.
type Page struct {
	Block        *block.Block
	Revision     int64
	RevisionTime time.Time
}

// Query answers with pages, at least one. An answer that ends with an error is not complete.
//
// A fault of reason PROVIDER_AMBIGUOUS says that two partners hold a figure that the own state does not, and the query
// names none of them.
func (s *Service) Query(ctx context.Context, q Query, send func(*Page) error) error {
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return err
	}
	flow, err := catalogue.Flow(q.Dataflow)
	if err != nil {
		return err
	}
	p, err := newPlan(flow, &q)
	if err != nil {
		return err
	}
	return s.store.View(ctx, q.At, func(ctx context.Context, snapshot Snapshot) error {
		dictionary, err := snapshot.Dictionary(ctx, flow)
		if err != nil {
			return err
		}
		p.decide(dictionary)
		providers := q.Providers
		if len(providers) == 0 {
			if providers, err = s.defaultProviders(ctx, snapshot, flow.Ref); err != nil {
				return err
			}
		}
		a := newAnswer(p, s.state, len(q.Providers) > 0)
		a.revision, a.committed = snapshot.Revision()
		a.send = send
		if len(p.axes) == 0 && len(p.frequencies) == 0 {
			err = p.stream(ctx, snapshot, dictionary, providers, a)
		} else {
			err = p.rollUp(ctx, snapshot, dictionary, providers, a)
		}
		if err != nil {
			return err
		}
		return a.close()
	})
}

// defaultProviders returns the own state, then the partners. What was published is nobody's own.
func (s *Service) defaultProviders(ctx context.Context, snapshot Snapshot, dataflow Ref) ([]string, error) {
	all, err := snapshot.Providers(ctx, dataflow)
	if err != nil {
		return nil, err
	}
	providers := []string{s.state}
	for _, provider := range all {
		if provider != s.state && !isPublished(provider) {
			providers = append(providers, provider)
		}
	}
	return providers, nil
}

// plan is a query that was checked against its dataflow.
type plan struct {
	flow        *Flow
	wanted      []Axis // what the selections ask for, FREQ left out
	asked       []Frequency
	filter      filter.Filter
	start, end  time.Time // days, both included; zero: no bound
	axes        []Axis    // of the wanted, those that have stored parts
	frequencies []Frequency
	selector    Selector
	rest        filter.Filter // what is left to be looked at row by row
}

func newPlan(flow *Flow, q *Query) (*plan, error) {
	p := &plan{flow: flow, filter: q.Filter}
	var wrong violations
	seen := map[string]bool{}
	for _, selection := range q.Selections {
		field := "selections." + selection.Dimension
		dimension := flow.Structure.Dimension(selection.Dimension)
		switch {
		case dimension < 0:
			wrong.add("selections", "%q is no dimension of %s", selection.Dimension, flow.Structure.Ref)
			continue
		case seen[selection.Dimension]:
			wrong.add(field, "stands twice")
			continue
		case (len(selection.Codes) > 0) == (selection.Level != ""):
			wrong.add(field, "needs either codes or a level")
			continue
		}
		seen[selection.Dimension] = true
		if dimension == 0 {
			p.askFrequencies(selection, &wrong)
			continue
		}
		p.want(dimension, selection, &wrong)
	}
	p.between(q, &wrong)
	p.checkFilter(&wrong)
	if q.At.Revision != 0 && !q.At.Time.IsZero() {
		wrong.add("revision", "at most one of revision and asOf may be given")
	}
	if q.At.Revision < 0 {
		wrong.add("revision", "%d is negative", q.At.Revision)
	}
	return p, wrong.fault("the query of " + flow.Ref.String())
}

func (p *plan) askFrequencies(selection Selection, wrong *violations) {
	if selection.Level != "" {
		wrong.add("selections."+selection.Dimension, "has no levels, only codes")
	}
	for _, code := range selection.Codes {
		if !oneOf(period.Frequencies, code) {
			wrong.add("selections."+selection.Dimension, "%q is not one of A, Q, M, W, D", code)
			continue
		}
		if frequency := Frequency(code[0]); !slices.Contains(p.asked, frequency) {
			p.asked = append(p.asked, frequency)
		}
	}
}

func (p *plan) want(dimension int, selection Selection, wrong *violations) {
	axis := Axis{Dimension: dimension, Tree: p.flow.Dimensions[dimension]}
	field := "selections." + selection.Dimension
	switch {
	case selection.Level == "":
		for _, code := range selection.Codes {
			if axis.Tree != nil && !axis.Tree.Has(code) {
				wrong.add(field, "%q is not in the codelist %s", code, axis.Tree.list.Ref)
			}
			if !slices.Contains(axis.Codes, code) {
				axis.Codes = append(axis.Codes, code)
			}
		}
	case axis.Tree == nil:
		wrong.add(field, "has no codelist, hence no levels")
	default:
		codes, err := axis.Tree.AtLevel(selection.Level)
		if err != nil {
			wrong.add(field, "%v", err)
		}
		axis.Codes = codes
	}
	p.wanted = append(p.wanted, axis)
}

func (p *plan) between(q *Query, wrong *violations) {
	if q.Start != "" {
		start, err := period.Parse(q.Start)
		if err != nil {
			wrong.add("startPeriod", "%v", err)
		}
		p.start = start.Start()
	}
	if q.End != "" {
		end, err := period.Parse(q.End)
		if err != nil {
			wrong.add("endPeriod", "%v", err)
		}
		p.end = end.End()
	}
	if q.Start != "" && q.End != "" && p.end.Before(p.start) {
		wrong.add("endPeriod", "%s ends before %s begins", q.End, q.Start)
	}
}

func (p *plan) checkFilter(wrong *violations) {
	if err := p.filter.Check(); err != nil {
		wrong.add("filter", "%v", err)
		return
	}
	for _, component := range p.filter.Components() {
		if p.flow.Structure.Dimension(component) < 0 && !slices.Contains(rowComponents, component) {
			wrong.add("filter", "%q is no component of the answer", component)
		}
	}
}

// rowComponents are the components that a row of an answer has beside its dimensions.
var rowComponents = []string{block.TimePeriod, block.ObsValue, block.ObsStatus, block.ConfStatus, block.Comment, block.Provider}

// decide works out what is read and what is rolled up, knowing which codes are stored.
func (p *plan) decide(dictionary *Dictionary) {
	rolled := map[string]bool{}
	var conditions []filter.Filter
	for _, axis := range p.wanted {
		codes, parts := axis.stored(dictionary)
		id := p.flow.Structure.Dimensions[axis.Dimension].ID
		conditions = append(conditions, filter.In(id, codes...))
		if parts {
			p.axes = append(p.axes, axis)
			rolled[id] = true
		}
	}
	if len(p.asked) > 0 {
		codes, finer := p.storedFrequencies(dictionary)
		conditions = append(conditions, filter.In(frequencyID, codes...))
		if finer {
			p.frequencies = p.asked
			rolled[frequencyID] = true
		}
	}
	conjuncts := []filter.Filter{p.filter}
	if p.filter.Op == filter.OpAnd {
		conjuncts = p.filter.Operands
	}
	var rest []filter.Filter
	for _, conjunct := range conjuncts {
		before := !slices.ContainsFunc(conjunct.Components(), func(id string) bool {
			return rolled[id] || p.flow.Structure.Dimension(id) < 0
		})
		if before {
			conditions = append(conditions, conjunct)
		} else {
			rest = append(rest, conjunct)
		}
	}
	p.rest = filter.And(rest...)
	p.selector = Selector{Filter: filter.And(conditions...), Spans: p.spans()}
}

// stored returns those of the axis's codes and their parts that are stored, and whether there are parts among them.
func (a Axis) stored(dictionary *Dictionary) (codes []string, parts bool) {
	if a.Tree == nil {
		return a.Codes, false
	}
	seen := map[string]bool{}
	for _, code := range a.Codes {
		for _, part := range a.Tree.Within(code) {
			if _, ok := dictionary.Find(a.Dimension, part); !ok {
				continue
			}
			parts = parts || part != code
			if !seen[part] {
				seen[part] = true
				codes = append(codes, part)
			}
		}
	}
	return codes, parts
}

func (p *plan) storedFrequencies(dictionary *Dictionary) (codes []string, finer bool) {
	for i := range len(period.Frequencies) {
		code := period.Frequencies[i : i+1]
		if _, ok := dictionary.Find(0, code); !ok {
			continue
		}
		asked := slices.Contains(p.asked, Frequency(code[0]))
		coarser := slices.ContainsFunc(p.asked, func(f Frequency) bool { return slices.Contains(finerThan(f), Frequency(code[0])) })
		if asked || coarser {
			codes = append(codes, code)
		}
		finer = finer || coarser
	}
	return codes, finer
}

// spans returns the periods of each frequency that lie in the query's, or nil where it has no bounds.
func (p *plan) spans() []Span {
	if p.start.IsZero() && p.end.IsZero() {
		return nil
	}
	spans := []Span{}
	for _, frequency := range []Frequency(period.Frequencies) {
		span := Span{Frequency: frequency, First: math.MinInt32, Last: math.MaxInt32}
		if !p.start.IsZero() {
			first, _ := period.At(frequency, p.start) // the year was checked when the period was read
			if first.Start().Before(p.start) {
				first.Index++
			}
			span.First = first.Index
		}
		if !p.end.IsZero() {
			last, _ := period.At(frequency, p.end) // as above
			if last.End().After(p.end) {
				last.Index--
			}
			span.Last = last.Index
		}
		if span.First <= span.Last {
			spans = append(spans, span)
		}
	}
	return spans
}

// stream answers with what is stored, as it is read.
func (p *plan) stream(ctx context.Context, snapshot Snapshot, dictionary *Dictionary, providers []string, a *answer) error {
	comment := slices.Index(p.flow.Structure.FurtherAttributes(), block.Comment)
	for series, err := range snapshot.Read(ctx, p.flow, providers, p.selector) {
		if err != nil {
			return err
		}
		for i, code := range series.Key {
			a.key[i] = dictionary.Text(i, code)
		}
		err := a.add(series.Provider, &series.Track, func(i int) string {
			if further, ok := series.Further[series.Track.Periods[i]]; ok && comment >= 0 {
				return further[comment]
			}
			return ""
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// rollUp answers with sums. Time comes last, so that a sum over sections or citizenships is made where both the total
// and its parts are still told apart by period.
func (p *plan) rollUp(ctx context.Context, snapshot Snapshot, dictionary *Dictionary, providers []string, a *answer) error {
	structure := *p.flow.Structure
	if !slices.Contains(structure.FurtherAttributes(), block.Comment) {
		structure.Attributes = append(slices.Clip(structure.Attributes), Component{ID: block.Comment})
	}
	first := NewTable(&structure)
	tables := make([]*Table, len(providers))
	recoders := map[string]*recoder{}
	for i, provider := range providers {
		tables[i] = first.Empty()
		recoders[provider] = newRecoder(dictionary, tables[i])
	}
	for series, err := range snapshot.Read(ctx, p.flow, providers, p.selector) {
		if err != nil {
			return err
		}
		recoders[series.Provider].put(series)
	}
	for i, provider := range providers {
		tables[i] = RollUp(tables[i], p.axes...)
		if len(p.frequencies) > 0 && tables[i].Len() > 0 {
			calendar, err := p.calendar(ctx, snapshot, dictionary, provider, first.dictionary)
			if err != nil {
				return err
			}
			tables[i] = RollUpTime(tables[i], p.frequencies, calendar)
		}
	}
	return a.addTables(tables, providers, p.ranks(first.dictionary, dictionary))
}

// calendar tells for which periods of the query the provider has any figure with the same REF_AREA and INDICATOR, where
// the structure has these dimensions.
func (p *plan) calendar(ctx context.Context, snapshot Snapshot, stored *Dictionary, provider string, dictionary *Dictionary) (Calendar, error) {
	dimensions := []int{0}
	for _, id := range []string{"REF_AREA", "INDICATOR"} {
		if i := p.flow.Structure.Dimension(id); i > 0 {
			dimensions = append(dimensions, i)
		}
	}
	known := map[[3]string]map[int32]bool{}
	for presence, err := range snapshot.Presence(ctx, p.flow, provider, dimensions) {
		if err != nil {
			return nil, err
		}
		var codes [3]string
		for i, dimension := range dimensions {
			codes[i] = stored.Text(dimension, presence.Codes[i])
		}
		if known[codes] == nil {
			known[codes] = map[int32]bool{}
		}
		for _, period := range presence.Periods {
			known[codes][period] = true
		}
	}
	// A code that was rolled up has the periods of all its parts.
	has := func(codes [3]string, period int32) bool {
		parts := [3][]string{{codes[0]}, {""}, {""}}
		for i, dimension := range dimensions[1:] {
			parts[i+1] = []string{codes[i+1]}
			if tree := p.flow.Dimensions[dimension]; tree != nil {
				parts[i+1] = tree.Within(codes[i+1])
			}
		}
		for _, second := range parts[1] {
			for _, third := range parts[2] {
				if known[[3]string{codes[0], second, third}][period] {
					return true
				}
			}
		}
		return false
	}
	type question struct {
		codes  [3]string
		period int32
	}
	answers := map[question]bool{}
	return func(key []uint32, period Period) bool {
		if !p.start.IsZero() && period.Start().Before(p.start) || !p.end.IsZero() && period.End().After(p.end) {
			return false
		}
		q := question{period: period.Index}
		q.codes[0] = string(period.Frequency)
		for i, dimension := range dimensions[1:] {
			q.codes[i+1] = dictionary.Text(dimension, key[dimension])
		}
		answer, ok := answers[q]
		if !ok {
			answer = has(q.codes, q.period)
			answers[q] = answer
		}
		return answer
	}, nil
}

// ranks returns the place of each code of a dictionary in the order of answers: that of the stored codes, then those
// that only a sum has, in the order of the codelist.
func (p *plan) ranks(dictionary, stored *Dictionary) [][]int {
	ranks := make([][]int, len(dictionary.texts))
	for i, texts := range dictionary.texts {
		ranks[i] = make([]int, len(texts))
		for code, text := range texts {
			if n, ok := stored.Find(i, text); ok {
				ranks[i][code] = int(n)
				continue
			}
			ranks[i][code] = stored.Len(i) + code
			if tree := p.flow.Dimensions[i]; tree != nil {
				ranks[i][code] = stored.Len(i) + tree.positions[text]
			}
		}
	}
	return ranks
}

// ambiguous says that two partners hold a figure.
func ambiguous(key []string, period Period, a, b string) error {
	return fault.New(fault.Precondition, "PROVIDER_AMBIGUOUS", "both %s and %s hold a figure of %v in %s: name the provider", a, b, key, period).
		With("providers", a+","+b)
}
