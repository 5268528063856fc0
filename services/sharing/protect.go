package sharing

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"sync"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/fault"
)

// maxTableCells is how many cells a table of one period may have. A larger one is rolled up.
const maxTableCells = 20_000

// thoroughCells is up to how many cells the cheapest pattern is looked for. A release may have hundreds of larger tables,
// where a little more that is shown is not worth the wait.
const thoroughCells = 100

// protect adds the sheets to t as they may be seen. As many are protected at a time as there are processors.
func (m *maker) protect(ctx context.Context, t *table, sheets []*sheet, restricted map[string]bool) error {
	for len(sheets) > 0 {
		some, size := 1, len(sheets[0].figures)
		for some < len(sheets) && size+len(sheets[some].figures) <= maxAhead {
			size += len(sheets[some].figures)
			some++
		}
		if err := m.protectSome(ctx, t, sheets[:some], restricted); err != nil {
			return err
		}
		sheets = sheets[some:]
	}
	return nil
}

// protectSome asks once what the audiences know of all the sheets, and then protects these.
func (m *maker) protectSome(ctx context.Context, t *table, sheets []*sheet, restricted map[string]bool) error {
	done := make([]protected, len(sheets))
	err := sideBySide(ctx, len(sheets), func(_ context.Context, i int) error {
		done[i] = m.layOut(sheets[i], restricted)
		return nil
	})
	if err != nil {
		return err
	}
	var keys []string
	for i := range done {
		if done[i].reason == nil {
			keys = append(keys, done[i].keys()...)
		}
	}
	informed := *m
	var read []known
	if informed.audiences, read, err = readAhead(ctx, m.audiences, m.revision, keys); err != nil {
		return err
	}
	t.keep(read)
	err = sideBySide(ctx, len(done), func(ctx context.Context, i int) error {
		return informed.protectSheet(ctx, &done[i], restricted)
	})
	if err != nil {
		return err
	}
	for i := range done {
		m.take(t, &done[i])
	}
	return nil
}

// sideBySide calls work for each number below n, as many at a time as there are processors, until one fails.
func sideBySide(ctx context.Context, n int, work func(ctx context.Context, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	next := make(chan int)
	var workers sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		workers.Go(func() {
			for i := range next {
				if err := work(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	workers.Wait()
	return context.Cause(ctx)
}

// protected is what became of a sheet.
type protected struct {
	made
	whole  int   // cells with a value that were to go
	reason error // why it goes coarser than agreed, or not at all; nil: it goes as agreed
	left   bool  // it does not go at all
}

// layOut lays a sheet out as fine as agreed; why that cannot be, is the reason.
func (m *maker) layOut(s *sheet, restricted map[string]bool) protected {
	p := protected{made: made{sheet: s, axes: m.told}}
	for _, f := range s.figures {
		if !math.IsNaN(f.value) {
			p.whole++
		}
	}
	if p.reason = m.fits(s); p.reason != nil {
		p.left = true
		return p
	}
	p.reason = m.lay(&p.made, restricted)
	return p
}

// protectSheet withholds of a sheet that is laid out what must not be seen, and what would give it away. Where that cannot
// be done, or the sheet is too large, it is rolled up, level by level.
func (m *maker) protectSheet(ctx context.Context, p *protected, restricted map[string]bool) error {
	for err := p.reason; !p.left; err = m.lay(&p.made, restricted) {
		if err == nil {
			err = m.hide(ctx, &p.made)
		}
		if err == nil {
			return nil
		}
		if !fault.Is(err, fault.Precondition) && !fault.Is(err, fault.Exhausted) {
			return err
		}
		if p.reason == nil {
			p.reason = err
		}
		var ok bool
		p.axes, ok = coarser(p.axes)
		p.left = !ok
	}
	return nil
}

// lay lays a sheet out as fine as the axes say.
func (m *maker) lay(to *made, restricted map[string]bool) error {
	s := to.sheet
	size := 0
	for _, f := range s.figures {
		if goes(to.axes, f.key) {
			size++
		}
	}
	if size > maxTableCells {
		return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "it has more than %d cells", maxTableCells)
	}
	rules, err := m.rules()
	if err != nil {
		return err
	}
	g := m.newGrid(s, to.axes, restricted)
	m.dominate(g, s)
	to.table, to.rules, to.points, to.cells = g.table, rules, nil, g.cells
	to.mirrored = m.mirrored
	m.name(to)
	return to.deduce()
}

// hide protects what is laid out.
func (m *maker) hide(ctx context.Context, to *made) error {
	pinned, known, err := m.recall(ctx, to)
	if err != nil {
		return err
	}
	if to.known = known; known {
		return nil
	}
	result, err := m.patterns.protect(ctx, to.table, to.rules, pinned, m.ruling.Obligations.MinimumKept)
	if fault.Is(err, fault.Precondition) && slices.Contains(pinned, true) {
		// What the audience was shown cannot protect anything; whether it has to, the ledger tells.
		result, err = m.patterns.protect(ctx, to.table, to.rules, to.spared(pinned), m.ruling.Obligations.MinimumKept)
	}
	if err != nil {
		return err
	}
	for i := range to.table.Cells {
		to.table.Cells[i].Status, to.table.Cells[i].Rule = result.Table.Cells[i].Status, result.Table.Cells[i].Rule
	}
	to.points = result.Points
	return nil
}

// name names the cells as ledgers do.
func (m *maker) name(to *made) {
	to.names = make([]string, len(to.table.Cells))
	for i := range to.names {
		to.names[i] = m.structures.ledgerKey(m.codes(to.sheet, to.key(i)), to.sheet.period)
	}
}

// rules returns what the ruling asks of a table, in units, but for the rules about contributors, which [maker.dominate]
// applies.
func (m *maker) rules() (disclosure.Rules, error) {
	rules := m.ruling.Obligations.rules()
	if err := rules.Check(); err != nil {
		return rules, errValues("what policy asks for cannot be kept: %v", err)
	}
	rules.MinimumFrequency *= m.unit.scale()
	rules.Dominance, rules.PPercent = nil, nil
	if err := rules.Check(); err != nil {
		return rules, errValues("its figures have more decimal places than the minimum allows for")
	}
	return rules, nil
}

// take adds a protected sheet to the table.
func (m *maker) take(t *table, p *protected) {
	t.Candidates += p.whole
	if p.reason != nil {
		note := Note{Area: p.sheet.area, Indicator: p.sheet.indicator, Periods: []string{p.sheet.period}, Reason: said(p.reason)}
		if !p.left {
			note.Detail = map[string]string{}
			for d, a := range p.axes {
				if a.finest != m.told[d].finest {
					note.Detail[a.dimension.ID] = a.detail()
					t.Coarsened[a.dimension.ID] = a.detail()
				}
			}
		}
		t.note(note)
	}
	if p.left {
		m.leaveOut(t, p)
		return
	}
	for _, f := range p.sheet.figures {
		if math.IsNaN(f.value) && goes(p.axes, f.key) {
			m.hole(t, p.sheet, f)
		}
	}
	for i, c := range p.cells {
		if c.silent {
			t.Withheld++
			t.rows = append(t.rows, m.row(p.sheet, p.sheet.figures[c.figure]).hidden())
		}
		if p.table.Cells[i].Absent {
			continue
		}
		value := float64(p.table.Cells[i].Value) / float64(m.unit.scale())
		r := m.rowOf(p.sheet, p.key(i))
		if c.figure >= 0 {
			r = m.row(p.sheet, p.sheet.figures[c.figure])
		} else {
			r.value = value
			t.Candidates++
		}
		if c.finest && c.conf == free {
			t.sum += value
		}
		switch {
		case !p.table.Cells[i].Status.Suppressed():
			t.Released++
			if c.finest {
				t.kept += value
			}
		case c.refused:
			t.Withheld++
		default:
			t.Suppressed++
		}
		r.from, r.cell = &p.made, i
		if p.table.Cells[i].Status.Suppressed() {
			t.Rules[p.confStatus(m.ruling.Obligations, i)]++
			r = r.hidden()
		}
		t.rows = append(t.rows, r)
	}
	t.made = append(t.made, &p.made)
}

// said returns what a fault says, without what it rests on.
func said(err error) string {
	if f, ok := errors.AsType[*fault.Error](err); ok {
		return f.Message
	}
	return err.Error()
}

// hole adds a cell that has no value here either.
func (m *maker) hole(t *table, s *sheet, f figure) {
	r := m.row(s, f)
	if f.conf != free || !m.passes(r) {
		r = r.hidden()
	}
	t.rows = append(t.rows, r)
}

// leaveOut adds the total of a sheet of which nothing goes, without a value: sums over it shall not look whole.
func (m *maker) leaveOut(t *table, p *protected) {
	t.rows = append(t.rows, m.rowOf(p.sheet, m.totals()).hidden())
	whole := p.sheet.wholes(m.told)
	for _, f := range p.sheet.figures {
		if math.IsNaN(f.value) {
			continue
		}
		t.Suppressed++
		if f.conf == free && f.value > 0 && !whole[name(f.key)] {
			t.sum += f.value
		}
	}
}

// totals returns the key of the cell that all others are parts of.
func (m *maker) totals() []string { return slices.Repeat([]string{Total}, len(m.told)) }

// wholes returns the keys that figures of the sheet are parts of.
func (s *sheet) wholes(axes []axis) map[string]bool {
	whole := map[string]bool{}
	for d, a := range axes {
		used := map[string]bool{}
		for _, f := range s.figures {
			used[f.key[d]] = true
		}
		above := newTree(a, used).above
		for _, f := range s.figures {
			for code := range above[f.key[d]] {
				whole[name(slices.Replace(slices.Clone(f.key), d, d+1, code))] = true
			}
		}
	}
	return whole
}

// passes reports whether policy's condition lets a row go.
func (m *maker) passes(r row) bool {
	return m.include.Match(func(component string) string { return r.component(m.structures, component) })
}

// row returns a figure as a row that may be seen.
func (m *maker) row(s *sheet, f figure) row {
	return row{codes: m.codes(s, f.key), period: s.period, value: f.value, status: f.status, conf: free}
}

// rowOf returns the row of a cell that the sheet does not have.
func (m *maker) rowOf(s *sheet, key []string) row {
	return row{codes: m.codes(s, key), period: s.period, value: math.NaN(), conf: free}
}

// hidden returns the row as it looks where it is withheld.
func (r row) hidden() row {
	r.value, r.status, r.conf = math.NaN(), suppressed, secret
	return r
}

// key returns the codes of the dimensions told apart of a cell.
func (m *made) key(i int) []string {
	if len(m.axes) == 0 {
		return nil
	}
	return m.table.Cells[i].Key
}

// total returns the place of the cell that all others are parts of; -1 where it has no value.
func (m *made) total() int {
	return slices.IndexFunc(m.table.Cells, func(c disclosure.Cell) bool {
		return len(m.axes) == 0 || !slices.ContainsFunc(c.Key, func(code string) bool { return code != Total })
	})
}
