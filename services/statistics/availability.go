package statistics

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/filter"
)

// AvailabilityQuery asks for which codes and periods there are figures.
type AvailabilityQuery struct {
	Dataflow   Ref
	Providers  []string      // empty: the own state's and partners'
	Filter     filter.Filter // over the dimensions
	Start, End string        // the first and the last period; "": no bound
	Dimensions []string      // empty: all
	Sight      Sight
}

// Availability says what there is. A figure that the caller may not see counts, since it is there without its value; one that
// is under embargo does not. A key that two providers have is two series.
type Availability struct {
	Dimensions   []AvailableDimension // in key order
	First, Last  string               // the first and the last period of any frequency; "" where there are no figures
	Series       int
	Observations int
	Revision     int64
}

// AvailableDimension lists the codes of a dimension for which there are figures, in the order of the codelist.
type AvailableDimension struct {
	ID    string
	Codes []AvailableCode
}

// AvailableCode counts what there is under a code.
type AvailableCode struct {
	Code         string
	Series       int
	Observations int
}

// ErrNewerIndex says that the index is ahead of the state that is read; a newer one is not.
var ErrNewerIndex = errors.New("the index is ahead of the state")

// Availability tells for which codes and periods there are figures, and how many.
func (s *Service) Availability(ctx context.Context, q AvailabilityQuery) (*Availability, error) {
	var answer *Availability
	err := s.view(ctx, q.Dataflow, Moment{}, func(ctx context.Context, flow *Flow, snapshot Snapshot) (err error) {
		answer, err = s.availability(ctx, flow, snapshot, &q)
		return err
	})
	if err != nil {
		return nil, err
	}
	return answer, nil
}

func (s *Service) availability(ctx context.Context, flow *Flow, snapshot Snapshot, q *AvailabilityQuery) (*Availability, error) {
	p, wanted, err := newAvailabilityPlan(flow, q)
	if err != nil {
		return nil, err
	}
	dictionary, err := snapshot.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	providers := q.Providers
	if len(providers) == 0 {
		if providers, err = s.defaultProviders(ctx, snapshot, flow.Ref); err != nil {
			return nil, err
		}
	}
	veil, err := newVeil(ctx, snapshot, flow, providers, Sight{AnyStatus: true, Embargoed: q.Sight.Embargoed}, s.now())
	if err != nil {
		return nil, err
	}
	c := newCounter(flow, dictionary, wanted, p.spans())
	for i, provider := range providers {
		if slices.Contains(providers[:i], provider) {
			continue
		}
		c.hidden = veil.shields[provider]
		err := snapshot.Index(ctx, flow, provider, func(x *Index) error {
			c.count(x, x.matcher(q.Filter, flow.Structure, dictionary))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	answer := c.answer()
	answer.Revision, _ = snapshot.Revision()
	return answer, nil
}

// newAvailabilityPlan checks a query, and returns the dimensions that it asks for.
func newAvailabilityPlan(flow *Flow, q *AvailabilityQuery) (p *plan, wanted []int, err error) {
	p = &plan{flow: flow, filter: q.Filter}
	var wrong violations
	p.between(&Query{Start: q.Start, End: q.End}, &wrong)
	checkDimensions(flow, q.Filter, &wrong)
	for _, id := range q.Dimensions {
		dimension := flow.Structure.Dimension(id)
		if dimension < 0 {
			wrong.add("dimensions", "%q is no dimension of %s", id, flow.Structure.Ref)
		} else if !slices.Contains(wanted, dimension) {
			wanted = append(wanted, dimension)
		}
	}
	if len(q.Dimensions) == 0 {
		for i := range flow.Structure.Dimensions {
			wanted = append(wanted, i)
		}
	}
	slices.Sort(wanted)
	return p, wanted, wrong.fault("the question what there is of " + flow.Ref.String())
}

// checkDimensions checks a filter that speaks of dimensions alone.
func checkDimensions(flow *Flow, f filter.Filter, wrong *violations) {
	if err := f.Check(); err != nil {
		wrong.add("filter", "%v", err)
		return
	}
	for _, component := range f.Components() {
		if flow.Structure.Dimension(component) < 0 {
			wrong.add("filter", "%q is no dimension of %s", component, flow.Structure.Ref)
		}
	}
}

// counter counts series and figures by code.
type counter struct {
	flow       *Flow
	dictionary *Dictionary
	wanted     []int
	spans      []Span // by number of FREQ; nil: all periods
	bounded    bool
	hidden     *shield // of figures that are not there; nil: none

	series, observations [][]int // by dimension that is wanted, and code
	all, figures         int
	ends                 []Span // by number of FREQ: from the first to the last period
}

func newCounter(flow *Flow, dictionary *Dictionary, wanted []int, spans []Span) *counter {
	c := &counter{flow: flow, dictionary: dictionary, wanted: wanted, bounded: spans != nil}
	for _, dimension := range wanted {
		c.series = append(c.series, make([]int, dictionary.Len(dimension)))
		c.observations = append(c.observations, make([]int, dictionary.Len(dimension)))
	}
	c.spans, c.ends = make([]Span, dictionary.Len(0)), make([]Span, dictionary.Len(0))
	for code := range c.spans {
		frequency := Frequency(dictionary.Text(0, uint32(code))[0])
		c.spans[code] = Span{First: 1, Last: 0}
		for _, span := range spans {
			if span.Frequency == frequency {
				c.spans[code] = span
			}
		}
		c.ends[code] = Span{Frequency: frequency, First: math.MaxInt32, Last: math.MinInt32}
	}
	return c
}

// count adds the series of an index that match.
func (c *counter) count(x *Index, matches func(int) bool) {
	for series, runs := range x.runs {
		if !matches(series) {
			continue
		}
		frequency := x.codes[0][series]
		ends := &c.ends[frequency]
		figures := 0
		for _, run := range runs {
			if c.bounded {
				run = run.within(c.spans[frequency])
			}
			if c.hidden != nil {
				run = c.shown(x, series, run)
			}
			if run.Mask == 0 {
				continue
			}
			figures += run.count()
			first, last := run.ends()
			ends.First, ends.Last = min(ends.First, first), max(ends.Last, last)
		}
		if figures == 0 {
			continue
		}
		c.all++
		c.figures += figures
		for i, dimension := range c.wanted {
			code := x.codes[dimension][series]
			c.series[i][code]++
			c.observations[i][code] += figures
		}
	}
}

// shown returns a run without the periods that are hidden.
func (c *counter) shown(x *Index, series int, run Run) Run {
	packed := make([]byte, 0, 4*len(x.codes))
	for _, codes := range x.codes {
		packed = binary.BigEndian.AppendUint32(packed, uint32(codes[series]))
	}
	if n, ok := c.hidden.numbers[string(packed)]; ok {
		for _, period := range c.hidden.hidden[n].periods {
			run = run.without(period)
		}
	}
	return run
}

func (c *counter) answer() *Availability {
	a := &Availability{Series: c.all, Observations: c.figures}
	var first, last Period
	for _, ends := range c.ends {
		if ends.First > ends.Last {
			continue
		}
		from, to := ends.Frequency.Period(ends.First), ends.Frequency.Period(ends.Last)
		if a.First == "" || from.Start().Before(first.Start()) {
			first, a.First = from, from.String()
		}
		if a.Last == "" || to.End().After(last.End()) {
			last, a.Last = to, to.String()
		}
	}
	for i, dimension := range c.wanted {
		d := AvailableDimension{ID: c.flow.Structure.Dimensions[dimension].ID}
		for code, series := range c.series[i] {
			if series > 0 {
				d.Codes = append(d.Codes, AvailableCode{c.dictionary.Text(dimension, uint32(code)), series, c.observations[i][code]})
			}
		}
		tree := c.flow.Dimensions[dimension]
		slices.SortFunc(d.Codes, func(a, b AvailableCode) int {
			if tree == nil {
				return strings.Compare(a.Code, b.Code)
			}
			return cmp.Or(tree.Compare(a.Code, b.Code), strings.Compare(a.Code, b.Code))
		})
		a.Dimensions = append(a.Dimensions, d)
	}
	return a
}
