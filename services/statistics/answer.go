package statistics

import (
	"cmp"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/block"
)

// answer makes pages of series that come in the order of keys, and within a key in that of the providers.
type answer struct {
	plan      *plan
	own       string
	named     bool // the query names the providers, and wants each one's rows
	revision  int64
	committed time.Time
	send      func(*Page) error

	key     []string // of the series that is being added
	pending []string // the key of the candidates
	group   []candidate
	texts   []string
	builder *block.Builder
	sent    bool
}

// candidate is a provider's series of the pending key.
type candidate struct {
	provider string
	track    Track
	comments []string // by position in the track; nil: none
}

func newAnswer(p *plan, own string, named bool) *answer {
	coded := append(p.flow.Structure.DimensionIDs(), block.TimePeriod, block.ObsStatus, block.ConfStatus, block.Comment, block.Provider)
	a := &answer{
		plan: p, own: own, named: named,
		key: make([]string, len(p.flow.Structure.Dimensions)), texts: make([]string, len(coded)),
		builder: block.NewBuilder(coded, []string{block.ObsValue}),
	}
	return a
}

// add adds a series with the key a.key. comment returns that of a position in the track.
func (a *answer) add(provider string, track *Track, comment func(int) string) error {
	if len(a.group) > 0 && !slices.Equal(a.key, a.pending) {
		if err := a.flush(); err != nil {
			return err
		}
	}
	a.pending = append(a.pending[:0], a.key...)
	c := candidate{provider: provider, track: Track{Periods: slices.Clone(track.Periods), Cells: slices.Clone(track.Cells)}}
	for i := range track.Periods {
		if text := comment(i); text != "" {
			if c.comments == nil {
				c.comments = make([]string, len(track.Periods))
			}
			c.comments[i] = text
		}
	}
	a.group = append(a.group, c)
	return nil
}

// addTables adds what the tables, one a provider and all with one dictionary, hold, in the order that the ranks give the
// codes.
func (a *answer) addTables(tables []*Table, providers []string, ranks [][]int) error {
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
		for i := range a.key {
			if order := cmp.Compare(ranks[i][a.key[i]], ranks[i][b.key[i]]); order != 0 {
				return order
			}
		}
		return cmp.Compare(a.table, b.table)
	})
	for _, e := range entries {
		t := tables[e.table]
		for i, code := range e.key {
			a.key[i] = t.dictionary.Text(i, code)
		}
		at := slices.Index(t.further, block.Comment)
		track := &t.tracks[e.series]
		err := a.add(providers[e.table], track, func(i int) string {
			if track.Cells[i].Attributes == 0 {
				return ""
			}
			return t.Attributes(track.Cells[i].Attributes)[at]
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// flush writes the rows of the pending key.
func (a *answer) flush() error {
	group := a.group
	a.group = a.group[:0]
	if len(group) == 1 {
		for i := range group[0].track.Periods {
			if err := a.row(&group[0], i); err != nil {
				return err
			}
		}
		return nil
	}
	var periods []int32
	for _, c := range group {
		periods = append(periods, c.track.Periods...)
	}
	slices.Sort(periods)
	for _, period := range slices.Compact(periods) {
		if err := a.choose(group, period); err != nil {
			return err
		}
	}
	return nil
}

// choose writes the rows of a period that several providers may have: all of them where the query names the providers,
// else the own one, else the only one.
func (a *answer) choose(group []candidate, period int32) error {
	chosen, at := -1, 0
	for i := range group {
		j, ok := slices.BinarySearch(group[i].track.Periods, period)
		switch {
		case !ok:
		case a.named:
			if err := a.row(&group[i], j); err != nil {
				return err
			}
		case chosen < 0:
			chosen, at = i, j
		case group[chosen].provider != a.own:
			return ambiguous(a.pending, Frequency(a.pending[0][0]).Period(period), group[chosen].provider, group[i].provider)
		}
	}
	if chosen < 0 {
		return nil
	}
	return a.row(&group[chosen], at)
}

func (a *answer) row(c *candidate, i int) error {
	cell := c.track.Cells[i]
	n := copy(a.texts, a.pending)
	a.texts[n] = Frequency(a.pending[0][0]).Period(c.track.Periods[i]).String()
	a.texts[n+1], a.texts[n+2] = string(cell.ObsStatus), string(cell.ConfStatus)
	a.texts[n+3], a.texts[n+4] = "", c.provider
	if c.comments != nil {
		a.texts[n+3] = c.comments[i]
	}
	if !a.plan.rest.IsTrue() && !a.plan.rest.Match(func(component string) string { return a.text(component, cell.Value) }) {
		return nil
	}
	a.builder.Append(a.texts, []float64{cell.Value})
	if a.builder.Rows() < blockRows {
		return nil
	}
	return a.page()
}

// text returns the value of a component in the row that is being written.
func (a *answer) text(component string, value float64) string {
	n := len(a.key)
	switch component {
	case block.ObsValue:
		return figureText(value)
	case block.TimePeriod:
		return a.texts[n]
	case block.ObsStatus:
		return a.texts[n+1]
	case block.ConfStatus:
		return a.texts[n+2]
	case block.Comment:
		return a.texts[n+3]
	case block.Provider:
		return a.texts[n+4]
	}
	return a.texts[a.plan.flow.Structure.Dimension(component)]
}

// page sends the rows written since the last one.
func (a *answer) page() error {
	a.sent = true
	made := a.builder.Block()
	// The figures come before the statuses, as the order of the columns is documented.
	last := len(made.Columns) - 1
	columns := slices.Concat(made.Columns[:len(a.key)+1], made.Columns[last:], made.Columns[len(a.key)+1:last])
	a.builder.Reset()
	return a.send(&Page{Block: &block.Block{Rows: made.Rows, Columns: columns}, Revision: a.revision, RevisionTime: a.committed})
}

// close sends what is left. An answer without rows is one empty page.
func (a *answer) close() error {
	if len(a.group) > 0 {
		if err := a.flush(); err != nil {
			return err
		}
	}
	if a.builder.Rows() > 0 || !a.sent {
		return a.page()
	}
	return nil
}
