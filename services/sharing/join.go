package sharing

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// sum says that a cell is the sum of those of shorter periods, of parts of its area, or of its indicator.
type sum struct {
	total ledger.Cell
	parts []ledger.Cell
}

// cells returns the total and the parts.
func (s sum) cells() []ledger.Cell { return append([]ledger.Cell{s.total}, s.parts...) }

// join adds to the tables of an area and indicator what they are sums of, or summands, together with whatever the audiences
// have seen at other frequencies, of other areas and of other indicators, or are to see with them. Whether it holds is looked
// up: stocks do not add up.
func (m *maker) join(ctx context.Context, t *table, tables []*made, mine []*sheet) error {
	if len(tables) == 0 || len(m.audiences) == 0 {
		return nil
	}
	own := tables[0].sheet
	relatives := map[strand][]*sheet{own.strand(): mine}
	family, err := m.family(ctx, own)
	if err != nil {
		return err
	}
	for _, other := range family {
		if relatives[other] != nil {
			continue
		}
		if relatives[other], err = m.sheets(ctx, other.area, other.indicator, other.frequency); err != nil {
			return err
		}
	}
	m.compare(tables, relatives)
	if len(m.mirrored.known) > 0 {
		for _, t := range tables {
			m.addSums(t, t.sheet.holders(relatives), relatives)
		}
	}
	return m.lookBack(ctx, t, tables, relatives)
}

// compare keeps tables back whose relatives cannot be counted in the same unit, so that nobody can say what they tell of them.
func (m *maker) compare(tables []*made, relatives map[strand][]*sheet) {
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

// addSums adds to a table what the wholes are sums of among their relatives, for each of its cells. It returns what parts
// leave of them where that is one person.
func (m *maker) addSums(t *made, wholes []*sheet, relatives map[strand][]*sheet) (lonely []remainder) {
	for _, whole := range wholes {
		for i, frequency := range frequencies {
			if i > slices.Index(frequencies, whole.frequency) {
				m.sums(t, whole, inside(relatives[strand{whole.flow, frequency, whole.area, whole.indicator}], whole.period), "")
			}
		}
		for _, dimension := range []string{refArea, indicator} {
			var parts []*sheet
			for _, part := range m.nested[dimension].parts[whole.strand().code(dimension)] {
				parts = append(parts, inside(relatives[whole.strand().with(dimension, part)], whole.period)...)
			}
			lonely = append(lonely, m.sums(t, whole, parts, dimension)...)
		}
	}
	return lonely
}

// persons returns which of the remainders are the same person: those that hold each other.
func (m *maker) persons(lonely []remainder) []sum {
	var sums []sum
	for _, a := range lonely {
		for _, b := range lonely {
			if a.cell.Key != b.cell.Key && m.holds(a, b) {
				sums = append(sums, sum{total: a.cell, parts: []ledger.Cell{b.cell}})
			}
		}
	}
	return sums
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

// sums adds to a table, for each of its cells, that the cell of the whole is the sum of those of the parts, where it is.
// Parts along a dimension may leave something of the whole that nobody is told of; where that is one person, it is returned.
func (m *maker) sums(t *made, whole *sheet, parts []*sheet, dimension string) (lonely []remainder) {
	if len(parts) == 0 {
		return nil
	}
	figures := make([]map[string]figure, len(parts))
	for k, part := range parts {
		figures[k] = part.byKey()
	}
	totals := whole.byKey()
	for i, c := range t.table.Cells {
		if c.Absent {
			continue
		}
		key := name(t.key(i))
		f, ok := totals[key]
		if !ok {
			continue
		}
		total, ok := m.named(t, whole, f)
		if !ok {
			continue
		}
		s := sum{total: total}
		left := total.Value
		for k, part := range parts {
			f, stored := figures[k][key]
			if !stored || dimension != "" && math.IsNaN(f.value) {
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
		if dimension != "" && left > 0 && left < total.Value {
			rest := t.ruled(ledger.Cell{
				Key: fmt.Sprintf("%s less its parts by %s, %d", total.Key, dimension, left), Value: left, Single: left == m.unit.count(1),
			})
			if s.parts = append(s.parts, rest); rest.Single {
				lonely = append(lonely, remainder{rest, whole, t.key(i), dimension})
			}
			left = 0
		}
		if left == 0 && len(s.parts) > 0 {
			t.sums = append(t.sums, s)
		}
	}
	return lonely
}

// remainder is what the parts of a cell of a sheet along a dimension leave of it.
type remainder struct {
	cell      ledger.Cell
	whole     *sheet
	key       []string
	dimension string
}

// holds reports whether a remainder holds another one. Where each is one person, both are the same.
func (m *maker) holds(a, b remainder) bool {
	if a.dimension != b.dimension || !within(b.whole.period, a.whole.period) {
		return false
	}
	for _, dimension := range []string{refArea, indicator} {
		outer, inner := a.whole.strand().code(dimension), b.whole.strand().code(dimension)
		if inner != outer && (dimension == a.dimension || !m.nested[dimension].above[inner][outer]) {
			return false
		}
	}
	for d, axis := range m.told {
		if !axis.dimension.within(b.key[d], a.key[d]) {
			return false
		}
	}
	return true
}

// named returns a figure of a sheet in the units of a table, as a cell that is not shown; false where it has no value.
func (m *maker) named(t *made, s *sheet, f figure) (ledger.Cell, bool) {
	if math.IsNaN(f.value) || s.problem != nil {
		return ledger.Cell{}, false
	}
	c := t.ruled(ledger.Cell{
		Key: m.structures.ledgerKey(m.codes(s, f.key), s.period), Value: m.unit.count(f.value),
		Single: f.value == 1,
	})
	if c.Value == 0 && m.impossible(s, f.key) {
		c.Status = disclosure.Empty
	}
	return c, true
}

// ruled returns a cell that is not shown, protected as if it were one of the table.
func (m *made) ruled(c ledger.Cell) ledger.Cell {
	c.Status = disclosure.Secondary
	if m.rules.Broken(disclosure.Cell{Value: c.Value}) != "" {
		c.Status, c.Width = disclosure.Primary, m.rules.Width(c.Value)
	}
	return c
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
