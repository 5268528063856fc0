package statistics

import (
	"errors"
	"math"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/block"
)

// errEnough ends the reading where the answer has all the rows that were asked for.
var errEnough = errors.New("the answer is complete")

// answer makes pages of series that come in the order of keys, and within a key in that of the providers.
type answer struct {
	plan       *plan
	own        string
	named      bool // each provider's rows are wanted
	matched    bool // the rows passed the filter before they came
	dictionary *Dictionary
	pager      *pager
	sorter     *sorter // nil: the rows go out as they come
	revision   int64
	committed  time.Time
	send       func(*Page) error

	plain   bool     // every figure is a row, as it comes
	several bool     // more than one provider may have a key
	pending []uint32 // the key of the group
	group   []candidate
	picks   []pick
	skip    int
	left    int // how many rows are wanted still; negative: all
	paged   row // the one written last
	sent    bool
}

// candidate is a provider's series of a key.
type candidate struct {
	provider string
	track    Track
	further  [][]string // by position in the track: the further attributes, nil where a figure has none; nil: none has
	actions  []byte     // by position in the track; nil: none
}

// furtherOf returns the further attributes of the figure at a position; nil: it has none.
func (c *candidate) furtherOf(at int) []string {
	if c.further == nil {
		return nil
	}
	return c.further[at]
}

// furtherText returns one of the further attributes of a figure; "" where it has none.
func furtherText(further []string, at int) string {
	if at >= len(further) {
		return ""
	}
	return further[at]
}

// pick is a figure of a candidate.
type pick struct {
	from *candidate
	at   int
}

func newAnswer(p *plan, dictionary *Dictionary, own string, providers []string) *answer {
	a := &answer{
		plan: p, own: own, dictionary: dictionary, several: len(providers) > 1, skip: p.offset, left: -1,
		pager: newPager(p.flow.Structure, p.attributes, dictionary, p.delta),
	}
	if p.limit > 0 {
		a.left = p.limit
	}
	a.plain = p.rest.IsTrue() && p.first == 0 && p.last == 0 && p.offset == 0 && p.limit == 0 && len(p.order) == 0
	if len(p.order) > 0 {
		a.sorter = newSorter(p.order, p.flow, dictionary)
	}
	return a
}

// add adds a series, which it does not keep.
func (a *answer) add(key []uint32, c *candidate) error {
	if !a.several {
		if a.plain {
			return a.pass(key, c)
		}
		a.pending = append(a.pending[:0], key...)
		return a.write(a.keep(c, a.picks[:0]))
	}
	if len(a.group) > 0 && !slices.Equal(key, a.pending) {
		if err := a.flush(); err != nil {
			return err
		}
	}
	a.pending = append(a.pending[:0], key...)
	if len(a.group) < cap(a.group) {
		a.group = a.group[:len(a.group)+1]
	} else {
		a.group = append(a.group, candidate{})
	}
	kept := &a.group[len(a.group)-1] // its slices are used again
	kept.provider = c.provider
	kept.track.Periods = append(kept.track.Periods[:0], c.track.Periods...)
	kept.track.Cells = append(kept.track.Cells[:0], c.track.Cells...)
	kept.further, kept.actions = slices.Clone(c.further), slices.Clone(c.actions)
	return nil
}

// pass writes all figures of a series, of which nothing is left out.
func (a *answer) pass(key []uint32, c *candidate) error {
	a.pager.key(key, c.provider)
	action := byte(0)
	for i, period := range c.track.Periods {
		if c.actions != nil {
			action = c.actions[i]
		}
		a.pager.row(period, c.track.Cells[i], c.furtherOf(i), action)
		if a.pager.rows == pageRows {
			if err := a.sendPage(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes the rows of the pending key.
func (a *answer) flush() error {
	group, picks := a.group, a.picks[:0]
	a.group = a.group[:0]
	switch {
	case len(group) == 1:
		picks = a.keep(&group[0], picks)
	case a.named:
		for i := range group {
			picks = a.keep(&group[i], picks)
		}
		slices.SortStableFunc(picks, func(x, y pick) int { return int(x.period()) - int(y.period()) })
	default:
		var err error
		if picks, err = a.choose(group, picks); err != nil {
			return err
		}
		picks = a.cut(picks)
	}
	return a.write(picks)
}

func (p pick) period() int32 { return p.from.track.Periods[p.at] }

// keep appends the figures of a series that are wanted.
func (a *answer) keep(c *candidate, picks []pick) []pick {
	from := len(picks)
	for i := range c.track.Periods {
		if p := (pick{c, i}); a.matches(p) {
			picks = append(picks, p)
		}
	}
	return append(picks[:from], a.cut(picks[from:])...)
}

// cut leaves the first and the last of the figures of a series, where that is asked for.
func (a *answer) cut(picks []pick) []pick {
	first, last := a.plan.first, a.plan.last
	if first == 0 && last == 0 || first+last >= len(picks) {
		return picks
	}
	return append(picks[:first], picks[len(picks)-last:]...)
}

// choose appends, for each period that several providers may have, the own figure, else the only one.
func (a *answer) choose(group []candidate, picks []pick) ([]pick, error) {
	var periods []int32
	for _, c := range group {
		periods = append(periods, c.track.Periods...)
	}
	slices.Sort(periods)
	for _, period := range slices.Compact(periods) {
		var chosen pick
		for i := range group {
			at, ok := slices.BinarySearch(group[i].track.Periods, period)
			switch {
			case !ok:
			case chosen.from == nil:
				chosen = pick{&group[i], at}
			case chosen.from.provider != a.own:
				key := make([]string, len(a.pending))
				for d, code := range a.pending {
					key[d] = a.dictionary.Text(d, code)
				}
				return nil, ambiguous(key, Frequency(key[0][0]).Period(period), chosen.from.provider, group[i].provider)
			}
		}
		if a.matches(chosen) {
			picks = append(picks, chosen)
		}
	}
	return picks, nil
}

// matches reports whether a figure of the pending key passes what is left of the filter.
func (a *answer) matches(p pick) bool {
	if a.matched || a.plan.rest.IsTrue() {
		return true
	}
	return a.plan.passes(a.dictionary, a.pending, p.from.provider, p.period(), p.from.track.Cells[p.at], p.from.furtherOf(p.at))
}

// passes reports whether a row passes what is left of the filter.
func (p *plan) passes(dictionary *Dictionary, key []uint32, provider string, period int32, cell Cell, further []string) bool {
	return p.rest.Match(func(component string) string {
		switch component {
		case block.ObsValue:
			if math.IsNaN(cell.Value) {
				return ""
			}
			return figureText(cell.Value)
		case block.TimePeriod:
			return Frequency(dictionary.Text(0, key[0])[0]).Period(period).String()
		case block.ObsStatus:
			return statusText(cell.ObsStatus)
		case block.ConfStatus:
			return statusText(cell.ConfStatus)
		case block.Provider:
			return provider
		}
		if dimension := p.flow.Structure.Dimension(component); dimension >= 0 {
			return dictionary.Text(dimension, key[dimension])
		}
		return furtherText(further, p.flow.Structure.furtherAt(component))
	})
}

// write writes rows of the pending key, or keeps them for sorting.
func (a *answer) write(picks []pick) error {
	a.picks = picks[:0]
	if len(picks) == 0 {
		return nil
	}
	key := a.pending
	if a.sorter != nil {
		key = slices.Clone(key)
	}
	frequency := Frequency(a.dictionary.Text(0, key[0])[0])
	a.paged = row{}
	for _, p := range picks {
		r := row{key: key, provider: p.from.provider, period: frequency.Period(p.period()), cell: p.from.track.Cells[p.at], further: p.from.furtherOf(p.at)}
		if p.from.actions != nil {
			r.action = p.from.actions[p.at]
		}
		var err error
		if a.sorter != nil {
			err = a.sorter.add(r)
		} else {
			err = a.page(&r)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// page writes a row, unless it is left out at the beginning, and sends a page that is full.
func (a *answer) page(r *row) error {
	if a.skip > 0 {
		a.skip--
		return nil
	}
	if a.paged.key == nil || &a.paged.key[0] != &r.key[0] || a.paged.provider != r.provider {
		a.pager.key(r.key, r.provider)
		a.paged = *r
	}
	a.pager.row(r.period.Index, r.cell, r.further, r.action)
	if a.pager.rows == pageRows {
		if err := a.sendPage(); err != nil {
			return err
		}
	}
	if a.left--; a.left == 0 {
		return errEnough
	}
	return nil
}

// sendPage sends the rows written since the last one.
func (a *answer) sendPage() error {
	a.sent = true
	return a.send(&Page{Block: a.pager.block(), Revision: a.revision, RevisionTime: a.committed})
}

// close sends what is left, err being how the reading ended. An answer without rows is one empty page.
func (a *answer) close(err error) error {
	if err == nil && len(a.group) > 0 {
		err = a.flush()
	}
	if err == nil && a.sorter != nil {
		rows := a.sorter.sorted()
		for i := range rows {
			if err = a.page(&rows[i]); err != nil {
				break
			}
		}
	}
	if err != nil && !errors.Is(err, errEnough) {
		return err
	}
	if a.pager.rows > 0 || !a.sent {
		return a.sendPage()
	}
	return nil
}
