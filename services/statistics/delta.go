package statistics

import (
	"context"
	"math"
	"slices"
)

// The actions of a row of changes.
const (
	changed = 'M' // it is new, or has changed
	gone    = 'D'
)

// changes answers with the rows that differ between the state of a moment and the one that is read. A row is the figure as
// the caller sees it, and of it those that pass the filter: what passed before and does not pass now is gone.
func (p *plan) changes(ctx context.Context, snapshot Snapshot, since Moment, veil *veil, providers []string, a *answer) error {
	number, committed, err := snapshot.Before(ctx, since)
	if err != nil {
		return err
	}
	then := *veil
	if then.now = since.Time; then.now.IsZero() {
		then.now = committed
	}
	a.matched = true
	c := &candidate{}
	selector := p.selector
	selector.Attributes = nil // any may have changed
	for change, err := range snapshot.Changes(ctx, p.flow, providers, number, selector, veil.lifted(then.now)) {
		if err != nil {
			return err
		}
		then.hide(&change.Before, false)
		veil.hide(&change.After, false)
		p.compare(a.dictionary, change, c)
		if c.track.Len() == 0 {
			continue
		}
		if err := a.add(change.After.Key, c); err != nil {
			return err
		}
	}
	return nil
}

// compare makes the rows of what differs.
func (p *plan) compare(dictionary *Dictionary, change *Change, c *candidate) {
	*c = candidate{provider: change.After.Provider, further: [][]string{}, actions: []byte{}}
	key := change.After.Key
	for d := range change.differences() {
		was := d.before.Present() && p.passes(dictionary, key, c.provider, d.period, d.before, d.furtherBefore)
		is := d.after.Present() && p.passes(dictionary, key, c.provider, d.period, d.after, d.furtherAfter)
		switch {
		case is && (!was || d.differ()):
			c.put(d.period, d.after, d.furtherAfter, changed)
		case was && !is:
			c.put(d.period, Cell{Value: math.NaN()}, nil, gone)
		}
	}
}

func (c *candidate) put(period int32, cell Cell, further []string, action byte) {
	c.track.Periods, c.track.Cells = append(c.track.Periods, period), append(c.track.Cells, cell)
	c.further, c.actions = append(c.further, further), append(c.actions, action)
}

// cellChange is a period of a series in two states.
type cellChange struct {
	period                      int32
	before, after               Cell
	furtherBefore, furtherAfter []string
}

// differences gives each period that has a figure in either state, the same ones too.
func (c *Change) differences() func(func(*cellChange) bool) {
	return func(yield func(*cellChange) bool) {
		before, after := &c.Before.Track, &c.After.Track
		var d cellChange
		for i, j := 0, 0; i < before.Len() || j < after.Len(); {
			d = cellChange{}
			switch {
			case j == after.Len() || i < before.Len() && before.Periods[i] <= after.Periods[j]:
				d.period = before.Periods[i]
			default:
				d.period = after.Periods[j]
			}
			if i < before.Len() && before.Periods[i] == d.period {
				d.before, d.furtherBefore = before.Cells[i], c.Before.Further[d.period]
				i++
			}
			if j < after.Len() && after.Periods[j] == d.period {
				d.after, d.furtherAfter = after.Cells[j], c.After.Further[d.period]
				j++
			}
			if !yield(&d) {
				return
			}
		}
	}
}

// differ reports whether the states have another figure, status or attribute.
func (d *cellChange) differ() bool {
	a, b := d.before, d.after
	same := a.Value == b.Value || math.IsNaN(a.Value) && math.IsNaN(b.Value)
	return !same || a.ObsStatus != b.ObsStatus || a.ConfStatus != b.ConfStatus || !sameTexts(d.furtherBefore, d.furtherAfter)
}

// sameTexts reports whether two sets of attributes are the same, nil being one without any.
func sameTexts(a, b []string) bool {
	isSet := func(text string) bool { return text != "" }
	switch {
	case a == nil:
		return !slices.ContainsFunc(b, isSet)
	case b == nil:
		return !slices.ContainsFunc(a, isSet)
	}
	return slices.Equal(a, b)
}
