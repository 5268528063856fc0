package statistics

import (
	"cmp"
	"context"
	"maps"
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
	Since      Moment   // only what changed after that state; the zero Moment: everything
	First      int      // of each series only so many figures from the start; 0: all
	Last       int      // of each series only so many figures before the end; 0: all
	Offset     int      // how many rows are left out at the beginning
	Limit      int      // at most so many rows; 0: all
	OrderBy    []string // as [ParseOrder] reads them; none: keys, then periods
	Attributes []string // further ones that the rows have, beside COMMENT
	Sight      Sight    // what the caller may see
}

// Selection fixes a dimension to codes, or rolls it up to a level. One of the two is empty.
type Selection struct {
	Dimension string
	Codes     []string
	Level     string
}

// Query answers with pages, at least one. An answer that ends with an error is not complete.
//
// Where Since is given, a row has an action: M where it is new or has changed, D where it is gone. What changed and changed
// back is no change. Rows of all providers are told, those of several for one figure too. A figure whose embargo ended since
// is new. There are no changes of sums: it is a fault to roll up then.
//
// A fault of reason PROVIDER_AMBIGUOUS says that two partners hold a figure that the own state does not, and the query
// names none of them.
func (s *Service) Query(ctx context.Context, q Query, send func(*Page) error) error {
	return s.view(ctx, q.Dataflow, q.At, func(ctx context.Context, flow *Flow, snapshot Snapshot) error {
		p, err := newPlan(flow, &q)
		if err != nil {
			return err
		}
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
		veil, err := newVeil(ctx, snapshot, flow, providers, q.Sight, s.now())
		if err != nil {
			return err
		}
		rolled := len(p.axes) > 0 || len(p.frequencies) > 0
		if rolled {
			dictionary = p.extended(dictionary)
		}
		a := newAnswer(p, dictionary, s.state, providers)
		a.named = len(q.Providers) > 0 || p.delta
		a.revision, a.committed = snapshot.Revision()
		a.send = send
		switch {
		case p.delta && rolled:
			err = fault.InvalidField("selections", "changes are of stored figures: they cannot be rolled up")
		case p.delta:
			err = p.changes(ctx, snapshot, q.Since, veil, providers, a)
		case rolled:
			err = p.rollUp(ctx, snapshot, veil, providers, a)
		default:
			err = p.stream(ctx, snapshot, veil, providers, a)
		}
		return a.close(err)
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

	delta         bool // only what changed is asked for
	first, last   int  // how many figures of a series; 0 and 0: all
	offset, limit int
	order         []Order
	attributes    []string // further ones that the rows have, beside COMMENT
}

func newPlan(flow *Flow, q *Query) (*plan, error) {
	p := &plan{
		flow: flow, filter: q.Filter, delta: q.Since != Moment{},
		first: q.First, last: q.Last, offset: q.Offset, limit: q.Limit,
	}
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
	p.showAttributes(q.Attributes, &wrong)
	p.between(q, &wrong)
	p.checkFilter(&wrong)
	if q.At.Revision != 0 && !q.At.Time.IsZero() {
		wrong.add("revision", "at most one of revision and asOf may be given")
	}
	if q.Since.Revision != 0 && !q.Since.Time.IsZero() {
		wrong.add("afterRevision", "at most one of afterRevision and updatedAfter may be given")
	}
	for field, n := range map[string]int64{
		"revision": q.At.Revision, "afterRevision": q.Since.Revision, "firstObservations": int64(q.First),
		"lastObservations": int64(q.Last), "offset": int64(q.Offset), "limit": int64(q.Limit),
	} {
		if n < 0 {
			wrong.add(field, "%d is negative", n)
		}
	}
	p.orderBy(q.OrderBy, &wrong)
	return p, wrong.fault("the query of " + flow.Ref.String())
}

func (p *plan) orderBy(components []string, wrong *violations) {
	if len(components) > maxOrder {
		wrong.add("orderBy", "names %d components, at most %d are allowed", len(components), maxOrder)
		return
	}
	for _, text := range components {
		order, ok := ParseOrder(text)
		switch {
		case !ok:
			wrong.add("orderBy", "%q is not of the form COMPONENT or COMPONENT desc", text)
		case !p.isComponent(order.Component):
			wrong.add("orderBy", "%q is no component of the answer", order.Component)
		default:
			p.order = append(p.order, order)
		}
	}
}

// isComponent reports whether a row of the answer has the component.
func (p *plan) isComponent(id string) bool {
	return p.flow.Structure.Dimension(id) >= 0 || slices.Contains(rowComponents, id) || slices.Contains(p.attributes, id)
}

func (p *plan) showAttributes(ids []string, wrong *violations) {
	for _, id := range ids {
		switch {
		case slices.Contains(rowComponents, id) || slices.Contains(p.attributes, id):
		case !slices.Contains(p.flow.Structure.FurtherAttributes(), id):
			wrong.add("attributes", "%q is no attribute of %s", id, p.flow.Structure.Ref)
		default:
			p.attributes = append(p.attributes, id)
		}
	}
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
		if !p.isComponent(component) {
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
	p.rest = valued(filter.And(rest...))
	p.selector = Selector{Filter: filter.And(conditions...), Spans: p.spans(), Attributes: p.attributes}
}

// valued returns the filter by which a figure without a value is neither less nor greater than any.
func valued(f filter.Filter) filter.Filter {
	switch f.Op {
	case filter.OpLt, filter.OpLe, filter.OpGt, filter.OpGe:
		if f.Component == block.ObsValue {
			return filter.And(f, filter.Compare(filter.OpNe, block.ObsValue, ""))
		}
	case filter.OpAnd, filter.OpOr, filter.OpNot:
		if len(f.Operands) > 0 {
			f.Operands = slices.Clone(f.Operands)
			for i := range f.Operands {
				f.Operands[i] = valued(f.Operands[i])
			}
		}
	}
	return f
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
func (p *plan) stream(ctx context.Context, snapshot Snapshot, veil *veil, providers []string, a *answer) error {
	selector := p.selector
	if a.left >= 0 && a.sorter == nil {
		selector.Enough = a.skip + a.left
	}
	c := &candidate{}
	return veil.read(ctx, snapshot, providers, selector, false, func(series *Series) error {
		c.provider, c.track = series.Provider, series.Track
		c.further = series.furtherByPosition()
		return a.add(series.Key, c)
	})
}

// furtherByPosition returns the further attributes by position in the track; nil where no figure has any.
func (s *Series) furtherByPosition() [][]string {
	if len(s.Further) == 0 {
		return nil
	}
	further := make([][]string, len(s.Track.Periods))
	for i, period := range s.Track.Periods {
		further[i] = s.Further[period]
	}
	return further
}

// putSeries puts the cells of a series into a table with the same dictionary.
func (t *Table) putSeries(series *Series) {
	t.attribute(series)
	n := t.Series(series.Key)
	for i, period := range series.Track.Periods {
		t.Put(n, period, series.Track.Cells[i])
	}
}

// addTables adds what the tables, one a provider and all with one dictionary, hold, in the order of keys. What is under
// embargo is not there, and what would give away a hidden figure has no value.
func (a *answer) addTables(tables []*Table, providers []string, veil *veil) error {
	type entry struct {
		table, series int
		key           []uint32
	}
	var entries []entry
	for i, t := range tables {
		for s := range t.tracks {
			entries = append(entries, entry{i, s, t.Key(s)})
		}
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(slices.Compare(a.key, b.key), cmp.Compare(a.table, b.table))
	})
	c := &candidate{}
	for _, e := range entries {
		t := tables[e.table]
		c.provider, c.track, c.further = providers[e.table], Track{}, nil
		withheld := veil.withheldSum(c.provider, e.key, t.dictionary)
		for i, cell := range t.tracks[e.series].Cells {
			if cell.ObsStatus == underEmbargo {
				continue
			}
			var further []string
			period := t.tracks[e.series].Periods[i]
			switch {
			case withheld[period]:
				cell.Value, cell.ObsStatus = math.NaN(), Suppressed
			case cell.Attributes != 0:
				further = t.Attributes(cell.Attributes)
			}
			c.track.Periods, c.track.Cells = append(c.track.Periods, period), append(c.track.Cells, cell)
			c.further = append(c.further, further)
		}
		if c.track.Len() == 0 {
			continue
		}
		if err := a.add(e.key, c); err != nil {
			return err
		}
	}
	return nil
}

// extended returns the stored codes with those that only a sum has, the latter in the order of the codelist, so that the
// order of numbers is that of answers.
func (p *plan) extended(stored *Dictionary) *Dictionary {
	all := stored.Clone()
	for _, axis := range p.axes {
		codes := slices.Clone(axis.Codes)
		slices.SortFunc(codes, axis.Tree.Compare)
		for _, code := range codes {
			all.Add(axis.Dimension, code)
		}
	}
	for i := range len(period.Frequencies) {
		if code := period.Frequencies[i : i+1]; slices.Contains(p.frequencies, Frequency(code[0])) {
			all.Add(0, code)
		}
	}
	return all
}

// calendar tells for which periods of the query the provider has any figure with the same REF_AREA and INDICATOR, where
// the structure has these dimensions.
func (p *plan) calendar(ctx context.Context, snapshot Snapshot, provider string, dictionary *Dictionary) (Calendar, error) {
	dimensions := []int{0}
	for _, id := range []string{"REF_AREA", "INDICATOR"} {
		if i := p.flow.Structure.Dimension(id); i > 0 {
			dimensions = append(dimensions, i)
		}
	}
	known := map[[3]string]map[int32]bool{}
	err := snapshot.Index(ctx, p.flow, provider, func(x *Index) error {
		x.presence(dimensions, func(numbers [3]uint16, periods map[int32]bool) {
			var codes [3]string
			for i, dimension := range dimensions {
				codes[i] = dictionary.Text(dimension, uint32(numbers[i]))
			}
			if known[codes] == nil {
				known[codes] = periods
			}
			maps.Copy(known[codes], periods)
		})
		return nil
	})
	if err != nil {
		return nil, err
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

// ambiguous says that two partners hold a figure.
func ambiguous(key []string, period Period, a, b string) error {
	return fault.New(fault.Precondition, "PROVIDER_AMBIGUOUS", "both %s and %s hold a figure of %v in %s: name the provider", a, b, key, period).
		With("providers", a+","+b)
}
