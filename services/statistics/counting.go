package statistics

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math"
	"slices"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
)

// CellQuery asks for counts with cell keys.
type CellQuery struct {
	Dataflow   Ref
	Selections []Selection // of every dimension, by codes; of FREQ one
	Start, End string      // the first and the last period
}

// CountedCell is a count with its cell key, for the cell key method (Fraser and Wooton, 2005).
type CountedCell struct {
	Codes  []string // in key order
	Period Period
	Count  int64
	Key    cellkey.Key
}

// MaxBaseFigures is how many stored figures a question for counts may be of.
const MaxBaseFigures = 2_000_000

// countTries is how often figures and counters of events are read until both are of one closing.
const countTries = 4

// KeyCellsBy sets the secret that keys of cells are made with: 32 bytes or more. It is for ever: another one than the store
// knows of is a fault of kind Precondition, since all cells would get another noise, and the mean of both tells more than either.
func (s *Service) KeyCellsBy(ctx context.Context, secret []byte) error {
	if _, err := cellkey.NewKeys(secret); err != nil {
		return err
	}
	same, err := s.store.HoldCellSecret(ctx, sha256.Sum256(secret))
	if err != nil {
		return err
	}
	if !same {
		return fault.New(fault.Precondition, "WRONG_STATE", "it is another secret than the one that cells had their noise from until now; put that one back")
	}
	s.cellSecret = slices.Clone(secret)
	return nil
}

// CountCells gives the cells of the own figures, each dimension fixed to each of its codes, with the revision that they are of.
// A cell has a count and a key that depend on nothing but the figures within it: not on what else is asked for.
//
//   - The count is what [Service.Query] answers: a stored figure, else the sum of those stored within it.
//   - The key of a sum is the sum of the keys of what was summed.
//   - The key of a stored figure whose parts are stored too, and add up to it, is the sum of theirs: they are the same records.
//     Where they do not add up to it, it has a key of its own. Parts are those that are equally fine in every dimension; of
//     several kinds that add up, the one counts whose depths in the hierarchies come first.
//   - The key of a figure that events were counted to is the sum of their record keys; that of any other one is made of its
//     codes, its period and its count, under the secret.
//
// A cell that nothing is stored of is left out, and so is one that not everybody may see, because something in it has another
// CONF_STATUS than F, is under embargo, or has no value, or because it would give such a figure away. That figures are no
// counts, but negative or fractions, is a fault of kind Precondition.
func (s *Service) CountCells(ctx context.Context, q CellQuery, each func(CountedCell) error) (revision int64, err error) {
	if s.cellSecret == nil {
		return 0, fault.New(fault.Precondition, "WRONG_STATE", "this node has no secret for keys of cells, so it gives none")
	}
	at, settled := Moment{}, false
	for range countTries {
		var c *counting
		err := s.view(ctx, q.Dataflow, at, func(ctx context.Context, flow *Flow, snapshot Snapshot) (err error) {
			c, err = s.readCounts(ctx, flow, snapshot, &q)
			return err
		})
		if err != nil {
			return 0, err
		}
		last, differ, err := s.keyCounts(ctx, c)
		switch {
		case err != nil:
			return 0, err
		case last > c.revision: // what was closed is not in these figures yet
			at = Moment{Revision: last}
		case differ && !settled: // events may be being closed now
			if err := s.store.AwaitClosing(ctx); err != nil {
				return 0, err
			}
			settled = true
		default:
			return c.revision, c.sum(ctx, each)
		}
	}
	return 0, fault.New(fault.Unavailable, "UNAVAILABLE", "events are being closed: try again")
}

// counting is a question for counts while it is answered.
type counting struct {
	plan     *plan
	asked    Frequency
	span     Span // the periods asked for
	veil     *veil
	provider string
	revision int64
	base     baseFigures
}

// readCounts reads the stored figures that the cells are of.
func (s *Service) readCounts(ctx context.Context, flow *Flow, snapshot Snapshot, q *CellQuery) (*counting, error) {
	p, err := newPlan(flow, &Query{Dataflow: q.Dataflow, Selections: q.Selections, Start: q.Start, End: q.End})
	if err != nil {
		return nil, err
	}
	c := &counting{plan: p, provider: s.state}
	if err := c.check(q); err != nil {
		return nil, err
	}
	stored, err := snapshot.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	p.decide(stored)
	p.selector.Spans, p.selector.Attributes = c.spans(), []string{EmbargoTime}
	if c.veil, err = newVeil(ctx, snapshot, flow, []string{s.state}, Sight{ConfStatus: string(FreeToShow)}, s.now()); err != nil {
		return nil, err
	}
	c.revision, _ = snapshot.Revision()
	c.base.dictionary = stored.Clone()
	for _, axis := range p.wanted {
		for _, code := range axis.Codes {
			c.base.dictionary.Add(axis.Dimension, code)
		}
	}
	figures := 0
	for series, err := range snapshot.Read(ctx, flow, []string{s.state}, p.selector) {
		if err != nil {
			return nil, err
		}
		if figures += series.Track.Len(); figures > MaxBaseFigures {
			return nil, fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the cells are of more than %d stored figures: ask for fewer codes or periods", MaxBaseFigures)
		}
		if err := c.add(series); err != nil {
			return nil, err
		}
	}
	c.base.connect(p.wanted)
	return c, nil
}

// check wants what makes each cell a cell of its own: a code of each dimension, and a period.
func (c *counting) check(q *CellQuery) error {
	var wrong violations
	for _, dimension := range c.plan.flow.Structure.Dimensions[1:] {
		if !slices.ContainsFunc(q.Selections, func(s Selection) bool { return s.Dimension == dimension.ID && len(s.Codes) > 0 }) {
			wrong.add("selections."+dimension.ID, "is missing: a cell has a code of every dimension")
		}
	}
	if len(c.plan.asked) != 1 {
		wrong.add("selections."+frequencyID, "names %d frequencies; it needs one", len(c.plan.asked))
	}
	if q.Start == "" || q.End == "" {
		wrong.add("startPeriod", "and endPeriod are needed")
	}
	if err := wrong.fault("the question for counts"); err != nil {
		return err
	}
	c.asked = c.plan.asked[0]
	whole := plan{start: c.plan.start, end: c.plan.end}
	for _, span := range whole.spans() {
		if span.Frequency == c.asked {
			c.span = span
			return nil
		}
	}
	return fault.InvalidField("endPeriod", "from %s to %s there is no whole period of the frequency %c", q.Start, q.End, c.asked)
}

// spans returns the periods of the frequency asked for, and all finer ones that count to these, also beyond the edges.
func (c *counting) spans() []Span {
	spans := []Span{c.span}
	first, last := c.asked.Period(c.span.First).Start(), c.asked.Period(c.span.Last).End()
	for _, finer := range finerThan(c.asked) {
		from, errFrom := period.At(finer, first)
		to, errTo := period.At(finer, last)
		if errFrom == nil && errTo == nil { // a day of a year that there is
			spans = append(spans, Span{Frequency: finer, First: from.Index, Last: to.Index})
		}
	}
	return spans
}

// add notes the figures of a series.
func (c *counting) add(series *Series) error {
	made := baseSeries{key: slices.Clone(series.Key), periods: slices.Clone(series.Track.Periods)}
	made.figures = make([]keyedFigure, len(made.periods))
	for i, at := range made.periods {
		cell := series.Track.Cells[i]
		made.figures[i] = keyedFigure{
			value: cell.Value, hidden: !c.veil.sight.Shows(cell.ConfStatus) || c.veil.embargoed(series, at) || math.IsNaN(cell.Value),
		}
		if value := cell.Value; !math.IsNaN(value) && (value < 0 || value > maxWhole || value != math.Trunc(value)) {
			return fault.New(fault.Precondition, "WRONG_STATE", "the figures of %s that are asked for are no counts: some are negative or fractions", c.plan.flow.Ref)
		}
	}
	c.base.series = append(c.base.series, made)
	return nil
}

// maxWhole is up to where every whole number is one of float64.
const maxWhole = 1 << 53

// keyCounts gives the stored figures their keys. It returns the revision of the last closing of events, and whether there are
// figures that events were counted to, but others than these.
func (s *Service) keyCounts(ctx context.Context, c *counting) (last int64, differ bool, err error) {
	keys, err := cellkey.NewKeys(s.cellSecret)
	if err != nil {
		return 0, false, err
	}
	part := Part{Dataflow: c.plan.flow.Ref, Provider: c.provider}
	counted := map[string]map[int32]EventCell{}
	last, err = s.store.ClosedEvents(ctx, part, c.base.eventCells(), func(cell EventCell) {
		if counted[cell.Key] == nil {
			counted[cell.Key] = map[int32]EventCell{}
		}
		counted[cell.Key][cell.Period] = cell
	})
	if err != nil {
		return 0, false, fmt.Errorf("reading the counters of events: %w", err)
	}
	dataflow := c.plan.flow.Ref.String()
	for n := range c.base.series {
		series := &c.base.series[n]
		codes := c.base.codes(series.key)
		frequency, counters := Frequency(codes[0][0]), counted[EventKey(codes)]
		for i, at := range series.periods {
			figure := &series.figures[i]
			if math.IsNaN(figure.value) {
				continue
			}
			count := int64(figure.value)
			counter, events := counters[at]
			if events && counter.Count == count {
				figure.key = cellkey.FromCounter(counter.RecordKey)
				continue
			}
			differ = differ || events
			figure.key = keys.Base(cellkey.Base{Dataflow: dataflow, Codes: codes, Period: frequency.Period(at).String(), Count: count})
		}
	}
	return last, differ, nil
}

// sum gives the cells, by keys and periods.
func (c *counting) sum(ctx context.Context, each func(CountedCell) error) error {
	cells, err := c.base.cells(ctx, c.asked)
	if err != nil {
		return err
	}
	for _, cell := range cells {
		codes := c.base.codes(cell.key)
		withheld := c.veil.withheldSum(c.provider, cell.key, c.base.dictionary)
		for i, at := range cell.periods {
			figure := cell.figures[i]
			if figure.hidden || withheld[at] || at < c.span.First || at > c.span.Last {
				continue
			}
			if figure.value > maxWhole {
				return fault.New(fault.Precondition, "WRONG_STATE", "the figures of %s are too large to be counts", c.plan.flow.Ref)
			}
			if err := each(CountedCell{Codes: codes, Period: c.asked.Period(at), Count: int64(figure.value), Key: figure.key}); err != nil {
				return err
			}
		}
	}
	return nil
}
