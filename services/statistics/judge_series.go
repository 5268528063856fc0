package statistics

import (
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics/quality"
)

const (
	maxGroups        = 10_000 // that one rule may make of the figures
	maxSeriesPeriods = 5_000  // between the first and the last one of a series that is looked at
)

// groupID names a group of figures: one frequency, and the codes of the dimensions that are grouped by.
type groupID struct {
	frequency Frequency
	text      string // as in a key; "" where nothing is grouped by
}

// group is the sums of a group by period.
type group struct {
	cells   int // before
	periods map[int32]*pair
}

// pair is a sum before and after.
type pair struct{ before, after quality.Mass }

func (g *group) at(period int32) *pair {
	p := g.periods[period]
	if p == nil {
		p = &pair{}
		g.periods[period] = p
	}
	return p
}

// sums sums the figures of the submission's provider in a dataflow that pass the filter, by group. Where revise is false,
// the figures after are those before: the submission is to another dataflow. It reads what is stored unless the margins
// say it already; only the spans, or all where there are none.
func (j *judgement) sums(ctx context.Context, flow *Flow, f filter.Filter, dimensions []string, spans []Span, revise bool) (map[groupID]*group, error) {
	groups := map[groupID]*group{}
	if spans == nil && revise && f.IsTrue() && len(dimensions) <= 1 && !j.tooFine(dimensions) {
		j.marginSums(dimensions, groups)
		return groups, nil
	}
	find := func(dictionary *Dictionary) func(key []uint32) (*group, error) {
		known := map[string]*group{}
		var packed []byte
		return func(key []uint32) (*group, error) {
			packed = packed[:0]
			for _, code := range key {
				packed = binary.BigEndian.AppendUint32(packed, code)
			}
			g, ok := known[string(packed)]
			if !ok {
				text := func(component string) string {
					d := flow.Structure.Dimension(component)
					return dictionary.Text(d, key[d])
				}
				if f.Match(text) {
					texts := make([]string, len(dimensions))
					for i, id := range dimensions {
						texts[i] = text(id)
					}
					id := groupID{Frequency(dictionary.Text(0, key[0])[0]), strings.Join(texts, ".")}
					if g = groups[id]; g == nil {
						g = &group{periods: map[int32]*pair{}}
						groups[id] = g
					}
					if len(groups) > maxGroups {
						return nil, fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the rule makes more than %d groups of %s by %s", maxGroups, flow.Ref, strings.Join(dimensions, ", "))
					}
				}
				known[string(packed)] = g
			}
			return g, nil
		}
	}
	dictionary, err := j.tx.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	of := find(dictionary)
	for series, err := range j.tx.Read(ctx, flow, []string{j.header.Provider}, Selector{Filter: f, Spans: spans}) {
		if err != nil {
			return nil, err
		}
		g, err := of(series.Key)
		if err != nil {
			return nil, err
		}
		if g == nil {
			continue
		}
		for i, period := range series.Track.Periods {
			at, m := g.at(period), massOf(series.Track.Cells[i], 1)
			at.before.Add(m)
			at.after.Add(m)
			g.cells += m.Cells
		}
	}
	if !revise {
		return groups, nil
	}
	of = find(j.dictionary)
	for r := range j.revised() {
		g, err := of(r.Key)
		if err != nil {
			return nil, err
		}
		if g == nil {
			continue
		}
		at := g.at(r.Period)
		at.after.Add(massOf(r.Before, -1))
		at.after.Add(massOf(r.After, 1))
	}
	return groups, nil
}

func (j *judgement) tooFine(dimensions []string) bool {
	for _, id := range dimensions {
		d := j.flow.Structure.Dimension(id)
		for _, p := range []*quality.Profile{j.before, j.after} {
			for _, frequency := range p.Frequencies() {
				if p.Grid(frequency).Fine(d) {
					return true
				}
			}
		}
	}
	return false
}

// marginSums takes the sums from the profiles.
func (j *judgement) marginSums(dimensions []string, groups map[groupID]*group) {
	fill := func(p *quality.Profile, put func(*group, int32, quality.Mass)) {
		for _, frequency := range p.Frequencies() {
			grid := p.Grid(frequency)
			codes := []string{""}
			if len(dimensions) == 1 {
				codes = grid.Codes(j.flow.Structure.Dimension(dimensions[0]))
			}
			for _, code := range codes {
				id := groupID{Frequency(frequency), code}
				for _, period := range grid.Observed() {
					m := grid.Total(period)
					if len(dimensions) == 1 {
						m = grid.At(j.flow.Structure.Dimension(dimensions[0]), code, period)
					}
					if m == (quality.Mass{}) {
						continue
					}
					if groups[id] == nil {
						groups[id] = &group{periods: map[int32]*pair{}}
					}
					put(groups[id], period, m)
				}
			}
		}
	}
	fill(j.before, func(g *group, period int32, m quality.Mass) { g.at(period).before = m; g.cells += m.Cells })
	fill(j.after, func(g *group, period int32, m quality.Mass) { g.at(period).after = m })
}

// outliers looks at the series of sums after the submission, in the periods in which they change or are new.
func (j *judgement) outliers(ctx context.Context, r *Rule) ([]weighed, error) {
	groups, err := j.sums(ctx, j.flow, r.Filter, r.Dimensions, nil, true)
	if err != nil {
		return nil, err
	}
	var findings []weighed
	for id, g := range groups {
		series, first, touched := g.series()
		if g.cells == 0 || len(touched) == 0 { // what comes first is what all else is judged by
			continue
		}
		note := func(i int, message string, before, threshold float64) {
			period := id.frequency.Period(first + int32(i)) //nolint:gosec // of a series that is short
			values := []string{period.String()}
			of := period.String()
			if id.text != "" {
				values, of = append(values, id.text), of+" of "+id.text
			}
			f := numbers(Finding{
				Period: period.String(), Values: values, Message: fmt.Sprintf("the sum of %s, %s, %s", of, figureText(series[i]), message),
			}, before, series[i], threshold)
			findings = append(findings, weighed{Finding: f, weight: math.Abs(series[i] - before), subject: strings.Join(values, "\x00")})
		}
		switch r.Check {
		case CheckHampel:
			known, place := withoutUnknown(series)
			outliers := quality.Hampel(known, int(r.threshold("window")), r.threshold("scales"))
			for _, i := range touched {
				if o := outliers[place[i]]; o.Flag && math.Abs(series[i]-o.Median) >= r.threshold("absolute") {
					note(i, fmt.Sprintf("is far from the median of the periods around it, %s, where they spread by %.4g", figureText(o.Median), o.Scale), o.Median, r.threshold("scales")*o.Scale)
				}
			}
		case CheckModifiedZ:
			known, place := withoutUnknown(series)
			outliers := quality.ModifiedZ(known, r.threshold("limit"))
			for _, i := range touched {
				if o := outliers[place[i]]; o.Flag && math.Abs(series[i]-o.Median) >= r.threshold("absolute") {
					note(i, fmt.Sprintf("has a modified z-score of %.2f about the median %s", o.Score, figureText(o.Median)), o.Median, r.threshold("limit"))
				}
			}
		case CheckSeason:
			for _, i := range touched {
				if s, ok := quality.SeasonalRatio(series, i, yearOf(byte(id.frequency)), r.threshold("factor")); ok && s.Flag && math.Abs(series[i]-s.Expected) >= r.threshold("absolute") {
					note(i, fmt.Sprintf("is %.3g times what the year before and the usual growth make, %.6g", s.Ratio, s.Expected), s.Expected, r.threshold("factor"))
				}
			}
		case CheckZeroRun:
			for _, run := range quality.ZeroRuns(series, max(int(r.threshold("length")), 1)) {
				if slices.ContainsFunc(touched, func(i int) bool { return i >= int(run.First) && i <= int(run.Last)+1 }) {
					shift := quality.Run{First: first + run.First, Last: first + run.Last}
					note(int(run.First), "is in a run of zeros, "+runText(byte(id.frequency), shift), 0, r.threshold("length"))
				}
			}
		}
	}
	slices.SortFunc(findings, func(a, b weighed) int { return strings.Compare(a.subject, b.subject) })
	return findings, nil
}

// withoutUnknown returns the numbers of a series that are known, and for each of the series its place among them.
func withoutUnknown(series []float64) (known []float64, place []int) {
	known, place = make([]float64, 0, len(series)), make([]int, len(series))
	for i, value := range series {
		place[i] = len(known)
		if !math.IsNaN(value) {
			known = append(known, value)
		}
	}
	return known, place
}

// series returns the sums after, from the first period to the last, 0 where there is no figure and NaN where the sum lacks an
// observation without a value, and the positions of known sums that the submission changes. A series that is too long has none.
func (g *group) series() (series []float64, first int32, touched []int) {
	periods := slices.Sorted(maps.Keys(g.periods))
	if len(periods) == 0 || int64(periods[len(periods)-1])-int64(periods[0]) >= maxSeriesPeriods {
		return nil, 0, nil
	}
	first = periods[0]
	series = make([]float64, periods[len(periods)-1]-first+1)
	for _, period := range periods {
		at := g.periods[period]
		if series[period-first] = at.after.Sum; at.after.Missing > 0 {
			series[period-first] = math.NaN()
		} else if at.before != at.after {
			touched = append(touched, int(period-first))
		}
	}
	return series, first, touched
}

// relation compares sums on the left with sums on the right, where there are both.
func (j *judgement) relation(ctx context.Context, r *Rule) ([]weighed, error) {
	right, revise := j.flow, true
	if ref := r.Relation.Dataflow; ref != (Ref{}) {
		var err error
		if right, err = j.catalogue.Flow(ref); err != nil {
			return nil, err
		}
		revise = right.Ref == j.flow.Ref
	}
	spans := j.touched()
	if len(spans) == 0 {
		return nil, nil
	}
	ls, err := j.sums(ctx, j.flow, r.Filter, r.Dimensions, spans, true)
	if err != nil {
		return nil, err
	}
	rs, err := j.sums(ctx, right, r.Relation.Right, r.Dimensions, spans, revise)
	if err != nil {
		return nil, err
	}
	var findings []weighed
	for id, l := range ls {
		other := rs[id]
		if other == nil {
			continue
		}
		for period, at := range l.periods {
			with := other.periods[period]
			if at.after.Cells == 0 || with == nil || with.after.Cells == 0 || at.after.Missing > 0 || with.after.Missing > 0 {
				continue
			}
			a, b := at.after.Sum, with.after.Sum
			room := max(r.threshold("absolute"), r.threshold("relative")*max(math.Abs(a), math.Abs(b)))
			wants := "be equal"
			if r.Relation.AtMost {
				wants = "be at most the other"
			}
			if a-b <= room && (r.Relation.AtMost || b-a <= room) {
				continue
			}
			text := id.frequency.Period(period).String()
			values, of := []string{text}, text
			if id.text != "" {
				values, of = append(values, id.text), of+" of "+id.text
			}
			f := numbers(Finding{
				Period: text, Values: values,
				Message: fmt.Sprintf("in %s one sum is %s and the other %s; the one should %s", of, figureText(a), figureText(b), wants),
			}, b, a, room)
			findings = append(findings, weighed{Finding: f, weight: math.Abs(a - b), subject: r.ID + "\x00" + strings.Join(values, "\x00")})
		}
	}
	slices.SortFunc(findings, func(a, b weighed) int { return strings.Compare(a.subject, b.subject) })
	return findings, nil
}

// touched returns, for each frequency, the run from the first to the last period that the submission changes.
func (j *judgement) touched() []Span {
	spans := map[Frequency]Span{}
	for r := range j.revised() {
		frequency := Frequency(j.dictionary.Text(0, r.Key[0])[0])
		span, ok := spans[frequency]
		if !ok {
			span = Span{Frequency: frequency, First: r.Period, Last: r.Period}
		}
		span.First, span.Last = min(span.First, r.Period), max(span.Last, r.Period)
		spans[frequency] = span
	}
	return slices.Collect(maps.Values(spans))
}
