package sharing

import (
	"cmp"
	"context"
	"math"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// sum says that a cell of a period is the sum of those of shorter periods.
type sum struct {
	total ledger.Cell
	parts []ledger.Cell
}

// cells returns the total and the parts.
func (s sum) cells() []ledger.Cell { return append([]ledger.Cell{s.total}, s.parts...) }

// join adds to the tables of an area and indicator what they are sums of, or summands, at other frequencies of which the
// audiences have seen anything. Whether it holds is looked up: stocks do not add up.
func (m *maker) join(ctx context.Context, t *table, tables []*made, mine []*sheet) error {
	if len(tables) == 0 || len(m.audiences) == 0 {
		return nil
	}
	own := tables[0].sheet
	relatives := map[string][]*sheet{own.frequency: mine}
	for _, other := range frequencies {
		if other == own.frequency || !m.knows(freq, other) {
			continue
		}
		seen, err := toldAny(ctx, m.audiences, m.totals(tables, other))
		if err != nil {
			return err
		}
		if !seen && !m.mirrored.coarser(other, own.frequency) {
			continue
		}
		if relatives[other], err = m.sheets(ctx, own.area, own.indicator, other); err != nil {
			return err
		}
	}
	m.compare(tables, relatives)
	for _, t := range tables {
		m.addSums(t, relatives)
	}
	if err := m.beside(ctx, t, tables, relatives); err != nil {
		return err
	}
	return m.lookBack(ctx, t, tables, relatives)
}

// compare keeps tables back whose relatives cannot be counted in the same unit, so that nobody can say what they tell of them.
func (m *maker) compare(tables []*made, relatives map[string][]*sheet) {
	problems := map[string]error{}
	for _, one := range tables {
		key := group(one.sheet.period, relatives)
		if _, done := problems[key]; !done {
			problems[key] = nil
			for _, sheets := range relatives {
				for _, s := range inside(sheets, key) {
					if s.problem == nil {
						problems[key] = cmp.Or(problems[key], m.fits(s))
					}
				}
			}
		}
		if problems[key] != nil {
			one.refuse(problems[key])
		}
	}
}

// addSums adds to a table what it is a sum of, or a summand, of sheets of other frequencies.
func (m *maker) addSums(t *made, relatives map[string][]*sheet) {
	for i, other := range frequencies {
		switch own := slices.Index(frequencies, t.sheet.frequency); {
		case i < own:
			if whole := around(relatives[other], t.sheet); whole != nil {
				m.sums(t, whole, inside(relatives[t.sheet.frequency], whole.period))
			}
		case i > own:
			m.sums(t, t.sheet, inside(relatives[other], t.sheet.period))
		}
	}
}

// totals names the totals of the periods of another frequency that hold the period of a table, or lie in it.
func (m *maker) totals(tables []*made, other string) []string {
	total := make([]string, len(m.told))
	for d := range total {
		total[d] = Total
	}
	var keys []string
	for _, t := range tables {
		for _, p := range related(t.sheet.period, other) {
			sheet := *t.sheet
			sheet.frequency = other
			keys = append(keys, m.structures.ledgerKey(m.codes(&sheet, total), p))
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys)
}

// toldAny reports whether an audience was told of any of the cells.
func toldAny(ctx context.Context, audiences []ledger.Reader, keys []string) (bool, error) {
	if len(keys) == 0 {
		return false, nil
	}
	for _, audience := range audiences {
		found, err := audience.Cells(ctx, keys)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(found, func(u ledger.Unknown) bool { return !u.Untold }) {
			return true, nil
		}
	}
	return false, nil
}

// related returns the periods of a frequency that hold a period, or lie in it.
func related(text, frequency string) []string {
	p, err := period.Parse(text)
	if err != nil {
		return nil
	}
	f := period.Frequency(frequency[0])
	var periods []string
	first, err := period.At(f, p.Start())
	if err != nil {
		return nil
	}
	for q := first; !q.Start().After(p.End()); q = q.Next() {
		periods = append(periods, q.String())
	}
	return periods
}

// within reports whether a period lies in another one.
func within(inner, outer string) bool {
	p, err := period.Parse(inner)
	if err != nil {
		return false
	}
	q, err := period.Parse(outer)
	return err == nil && !p.Start().Before(q.Start()) && !p.End().After(q.End())
}

// inside returns the sheets of a frequency whose periods lie in one.
func inside(sheets []*sheet, whole string) []*sheet {
	p, err := period.Parse(whole)
	if err != nil {
		return nil
	}
	first, last := p.Start(), p.End()
	from, _ := slices.BinarySearchFunc(sheets, first, func(s *sheet, day time.Time) int { return s.first.Compare(day) })
	to := from
	for to < len(sheets) && !sheets[to].last.After(last) {
		to++
	}
	return sheets[from:to]
}

// around returns the sheet of a frequency whose period holds that of another one; nil where there is none.
func around(sheets []*sheet, part *sheet) *sheet {
	i, found := slices.BinarySearchFunc(sheets, part.first, func(s *sheet, day time.Time) int { return s.first.Compare(day) })
	if !found {
		i--
	}
	if i < 0 || part.first.IsZero() || part.last.After(sheets[i].last) {
		return nil
	}
	return sheets[i]
}

// sums adds to a table, for each of its cells, that the cell of the whole is the sum of those of the parts, where it is.
func (m *maker) sums(t *made, whole *sheet, parts []*sheet) {
	figures := make([]map[string]figure, len(parts))
	for k, part := range parts {
		figures[k] = part.byKey()
	}
	totals := whole.byKey()
	for i, c := range t.table.Cells {
		if c.Absent {
			continue
		}
		key := t.key(i)
		f, ok := totals[name(key)]
		if !ok {
			continue
		}
		if total, ok := m.named(t, whole, f); ok {
			s := sum{total: total}
			left := total.Value
			for k, part := range parts {
				f, stored := figures[k][name(key)]
				if !stored {
					continue
				}
				p, ok := m.named(t, part, f)
				if !ok {
					left = -1
					break
				}
				s.parts = append(s.parts, p)
				left -= p.Value
			}
			if left == 0 && len(s.parts) > 0 {
				t.sums = append(t.sums, s)
			}
		}
	}
}

// named returns a figure of a sheet in the units of a table, as a cell that is not shown; false where it has no value.
func (m *maker) named(t *made, s *sheet, f figure) (ledger.Cell, bool) {
	if math.IsNaN(f.value) || s.problem != nil {
		return ledger.Cell{}, false
	}
	c := ledger.Cell{
		Key: m.structures.ledgerKey(m.codes(s, f.key), s.period), Value: m.unit.count(f.value),
		Status: disclosure.Secondary, Single: f.value == 1,
	}
	if t.rules.Broken(disclosure.Cell{Value: c.Value}) != "" {
		c.Status, c.Width = disclosure.Primary, t.rules.Width(c.Value)
	}
	return c, true
}

// byKey returns the figures by their keys.
func (s *sheet) byKey() map[string]figure {
	figures := make(map[string]figure, len(s.figures))
	for _, f := range s.figures {
		figures[name(f.key)] = f
	}
	return figures
}

// addSums adds to a release what its cells are sums of, or summands. Cells that the release does not have are added as such
// that nobody is told of: what is found out about them later tells of the others too.
func addSums(release *ledger.Release, sums []sum) {
	listed := make(map[string]bool, len(release.Cells))
	for _, c := range release.Cells {
		listed[c.Key] = true
	}
	done := map[[2]string]bool{}
	for _, s := range sums {
		both := [2]string{s.total.Key, s.parts[0].Key}
		if done[both] {
			continue // each part brings it
		}
		done[both] = true
		e := ledger.Equation{Total: s.total.Key}
		for i, c := range s.cells() {
			if !listed[c.Key] {
				listed[c.Key], c.Untold = true, true
				release.Cells = append(release.Cells, c)
				release.Ceiling = max(release.Ceiling, c.Value)
			}
			if i > 0 {
				e.Parts = append(e.Parts, c.Key)
			}
		}
		release.Equations = append(release.Equations, e)
	}
}
