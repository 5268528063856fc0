package sharing

import (
	"context"
	"math"
	"slices"

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
	s := tables[0].sheet
	for _, other := range frequencies {
		if other == s.frequency || !m.knows(freq, other) {
			continue
		}
		totals := m.totals(tables, other)
		seen, err := toldAny(ctx, m.audiences, totals)
		if err != nil {
			return err
		}
		if !seen && !m.mirrored.coarser(other, s.frequency) {
			t.untold = append(t.untold, totals...)
			continue
		}
		sheets, err := m.sheets(ctx, s.area, s.indicator, other)
		if err != nil {
			return err
		}
		coarser := slices.Index(frequencies, other) < slices.Index(frequencies, s.frequency)
		for _, t := range tables {
			if coarser {
				for _, whole := range sheets {
					if within(t.sheet.period, whole.period) {
						m.sums(t, whole, inside(mine, whole.period))
					}
				}
			} else {
				m.sums(t, t.sheet, inside(sheets, t.sheet.period))
			}
		}
	}
	return nil
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
			keys = append(keys, m.structures.ledgerKey(m.codes(&sheet, total), p, t.scale))
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
		if err != nil || len(found) > 0 {
			return len(found) > 0, err
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

// inside returns the sheets whose periods lie in one.
func inside(sheets []*sheet, whole string) []*sheet {
	return slices.DeleteFunc(slices.Clone(sheets), func(s *sheet) bool { return !within(s.period, whole) })
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
		if total, ok := m.named(t, whole, totals, key); ok {
			s := sum{total: total}
			left := total.Value
			for k, part := range parts {
				if _, stored := figures[k][name(key)]; !stored {
					continue
				}
				p, ok := m.named(t, part, figures[k], key)
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
func (m *maker) named(t *made, s *sheet, figures map[string]figure, key []string) (ledger.Cell, bool) {
	f, ok := figures[name(key)]
	if !ok || math.IsNaN(f.value) || f.value < 0 {
		return ledger.Cell{}, false
	}
	c := ledger.Cell{
		Key: m.structures.ledgerKey(m.codes(s, key), s.period, t.scale), Value: int64(math.Round(f.value * float64(t.scale))),
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

// addSums adds to a release what its cells are sums of, or summands. Cells that neither the release has nor an audience
// was told of are left to themselves: as long as a large one is open, no small one follows. A small one must not be the
// last that is open, and is added as one that is withheld.
func addSums(ctx context.Context, stacks []ledger.Stack, release *ledger.Release, sums []sum) error {
	listed := make(map[string]bool, len(release.Cells))
	for _, c := range release.Cells {
		listed[c.Key] = true
	}
	var others []ledger.Cell
	for _, s := range sums {
		for _, c := range s.cells() {
			if !listed[c.Key] {
				others = append(others, c)
			}
		}
	}
	readers := make([]ledger.Reader, len(stacks))
	for i, s := range stacks {
		readers[i] = s
	}
	past, err := ledger.Recall(ctx, readers, release.Revision, others)
	if err != nil {
		return err
	}
	told, done := map[string]bool{}, map[[2]string]bool{}
	for i, c := range others {
		told[c.Key] = told[c.Key] || past[i].Told > 0
	}
	for _, s := range sums {
		terms := s.cells()
		both := [2]string{s.total.Key, s.parts[0].Key}
		if done[both] {
			continue // each part brings it
		}
		done[both] = true
		if slices.ContainsFunc(terms, func(c ledger.Cell) bool {
			return !listed[c.Key] && !told[c.Key] && c.Value > 0 && c.Width == 0
		}) {
			continue
		}
		e := ledger.Equation{Total: s.total.Key}
		for i, c := range terms {
			if !listed[c.Key] && (told[c.Key] || c.Value > 0) {
				listed[c.Key] = true
				release.Cells = append(release.Cells, c)
				release.Ceiling = max(release.Ceiling, c.Value)
			}
			if i > 0 && listed[c.Key] {
				e.Parts = append(e.Parts, c.Key)
			}
		}
		if listed[e.Total] && len(e.Parts) > 0 {
			release.Equations = append(release.Equations, e)
		}
	}
	return nil
}
