package statistics

import (
	"context"
	"math"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
)

// Comparison asks what changed between two states of a provider's figures.
type Comparison struct {
	Dataflow Ref
	Provider string // "": the own state
	From, To int64  // revisions of the node; From 0: before the first; To 0: the newest
	Filter   filter.Filter
	Sight    Sight
}

// Ids of the columns of a comparison: the value in the earlier state, and in the later.
const (
	BeforeColumn = "_BEFORE"
	AfterColumn  = "_AFTER"
)

// The actions of a row of a comparison.
const (
	added   = "A"
	revised = "R"
	deleted = "D"
)

// RevisionSummary says what changed between two states. A figure that the caller may not see counts without its value.
type RevisionSummary struct {
	Added, Revised, Deleted int
	SumBefore, SumAfter     float64 // of the figures that differ
	MeanAbsolute            float64 // |after − before| of the revised that have a value in both states, their mean
	LargestAbsolute         float64 // the largest of them
}

// Compare answers with blocks of the figures that differ, in the order of keys and periods, and returns what it comes to.
// The rows have the dimensions, TIME_PERIOD, OBS_STATUS and CONF_STATUS of the later state, of a deleted figure the earlier
// ones, _ACTION, _BEFORE and _AFTER. (See McKenzie and Gamba, Data and metadata requirements for building a real-time
// database to perform revisions analysis, OECD, 2008, on the measures.)
func (s *Service) Compare(ctx context.Context, q Comparison, send func(*block.Block) error) (*RevisionSummary, error) {
	if q.Provider == "" {
		q.Provider = s.state
	}
	if q.From < 0 || q.To < 0 || q.To > 0 && q.From > q.To {
		return nil, fault.InvalidField("fromRevision", "from %d to %d is no span of revisions", q.From, q.To)
	}
	c := &comparer{send: send, summary: &RevisionSummary{}}
	err := s.view(ctx, q.Dataflow, Moment{Revision: q.To}, func(ctx context.Context, flow *Flow, snapshot Snapshot) error {
		var wrong violations
		checkDimensions(flow, q.Filter, &wrong)
		if err := wrong.fault("the comparison of " + flow.Ref.String()); err != nil {
			return err
		}
		return c.compare(ctx, flow, snapshot, &q, s)
	})
	if err != nil {
		return nil, err
	}
	return c.summary, nil
}

// comparer writes what differs, and sums it up.
type comparer struct {
	send     func(*block.Block) error
	builder  *block.Builder
	texts    []string
	summary  *RevisionSummary
	compared int // revised figures with both values
	total    float64
}

func (c *comparer) compare(ctx context.Context, flow *Flow, snapshot Snapshot, q *Comparison, s *Service) error {
	if number, _ := snapshot.Revision(); q.From > number {
		return fault.Missing("there is no revision %d yet", q.From)
	}
	providers := []string{q.Provider}
	veil, err := newVeil(ctx, snapshot, flow, providers, q.Sight, s.now())
	if err != nil {
		return err
	}
	dictionary, err := snapshot.Dictionary(ctx, flow)
	if err != nil {
		return err
	}
	coded := append(flow.Structure.DimensionIDs(), block.TimePeriod, block.ObsStatus, block.ConfStatus, ActionColumn)
	c.builder, c.texts = block.NewBuilder(coded, []string{BeforeColumn, AfterColumn}), make([]string, len(coded))
	for change, err := range snapshot.Changes(ctx, flow, providers, q.From, Selector{Filter: q.Filter}, nil) {
		if err != nil {
			return err
		}
		veil.hide(&change.Before, false)
		veil.hide(&change.After, false)
		for i, code := range change.After.Key {
			c.texts[i] = dictionary.Text(i, code)
		}
		for d := range change.differences() {
			if !d.differ() {
				continue
			}
			if err := c.row(d); err != nil {
				return err
			}
		}
	}
	if c.compared > 0 {
		c.summary.MeanAbsolute = c.total / float64(c.compared)
	}
	if c.builder.Rows() > 0 {
		return c.send(c.builder.Block())
	}
	return nil
}

// row writes a figure that differs.
func (c *comparer) row(d *cellChange) error {
	n := len(c.texts) - 4
	before, after := math.NaN(), math.NaN()
	shown, action := d.after, revised
	if d.before.Present() {
		before = d.before.Value
	}
	if d.after.Present() {
		after = d.after.Value
	}
	switch {
	case !d.before.Present():
		action = added
		c.summary.Added++
	case !d.after.Present():
		action, shown = deleted, d.before
		c.summary.Deleted++
	default:
		c.summary.Revised++
		if by := math.Abs(after - before); !math.IsNaN(by) {
			c.compared++
			c.total += by
			c.summary.LargestAbsolute = max(c.summary.LargestAbsolute, by)
		}
	}
	if !math.IsNaN(before) {
		c.summary.SumBefore += before
	}
	if !math.IsNaN(after) {
		c.summary.SumAfter += after
	}
	c.texts[n] = Frequency(c.texts[0][0]).Period(d.period).String()
	c.texts[n+1], c.texts[n+2], c.texts[n+3] = statusText(shown.ObsStatus), statusText(shown.ConfStatus), action
	c.builder.Append(c.texts, []float64{before, after})
	if c.builder.Rows() < blockRows {
		return nil
	}
	made := c.builder.Block()
	c.builder.Reset()
	return c.send(made)
}
