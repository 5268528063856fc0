package statistics

import (
	"context"
	"fmt"
	"slices"

	"github.com/comity-federation/comity/proto/filter"
)

// ruleOccupied is the rule of the finding about a figure that two would fill.
const ruleOccupied = "TARGET_OCCUPIED"

// harvest is what is derived anew for one dataflow, perhaps by several structure maps.
type harvest struct {
	flow    *Flow
	fills   []*derivation // that fill it
	cells   *Table        // that are derived anew, the zero Cell where nothing is derived any more
	had     *Table        // those of them that were derived before; what its cells are is of no meaning
	made    []made
	changes *Changes
}

// made is what one structure map makes of some cells.
type made struct {
	by         *derivation
	cells, had *Table
}

// derive works out what is derived from what changes, and reports figures that another would fill already.
//
// A derived figure is the sum of all source figures that fall on it, so of those that a changed one falls on, the sums are
// made anew, from the changes and from what is stored beside them.
func (c *change) derive(ctx context.Context, tx Transaction, report *Report) error {
	byTarget := map[Ref]*harvest{}
	for _, d := range c.derivations {
		m, deriver, err := c.deriveBy(ctx, tx, d)
		if err != nil {
			return fmt.Errorf("deriving by %s: %w", d.structureMap.Ref, err)
		}
		h := byTarget[d.target.Ref]
		if h == nil {
			h = &harvest{flow: d.target}
			if h.fills, err = c.catalogue.derivationsInto(d.target.Ref); err != nil {
				return err
			}
			byTarget[d.target.Ref] = h
			c.harvests = append(c.harvests, h)
		}
		h.made = append(h.made, m)
		c.reports = append(c.reports, Derivation{
			StructureMap: d.structureMap.Ref, Dataflow: d.target.Ref, Observations: m.cells.Len(),
			UnmappedLabels: len(deriver.Unmapped()), LeftOut: deriver.LeftOut(),
		})
		c.findings = append(c.findings, deriver.Report)
	}
	for _, h := range c.harvests {
		taken := h.join()
		var err error
		if h.changes, err = tx.Compare(ctx, h.flow, c.source.Provider, h.cells); err != nil {
			return fmt.Errorf("comparing %s of %s: %w", h.flow.Ref, c.source.Provider, err)
		}
		more, err := h.occupied(ctx, tx, c.source.Provider)
		if err != nil {
			return err
		}
		tellOccupied(report, append(taken, more...))
		h.checkAllowed(c.source.Provider, report)
	}
	return nil
}

// deriveBy works out the figures that what changes falls on.
func (c *change) deriveBy(ctx context.Context, tx Reader, d *derivation) (made, *Deriver, error) {
	deriver, err := d.deriver()
	if err != nil {
		return made{}, nil, err
	}
	m := made{by: d, cells: deriver.Table(), had: deriver.Table().Empty()}
	cells, before := c.own.cells, c.own.stored()
	now := newSeriesDeriver(deriver, cells, true)
	for s := range cells.tracks {
		use := func(i int) bool { return c.own.fate(s, i) <= isRevised }
		now.derive(s, use, func(series []uint32, period int32, cell Cell) { m.cells.Sum(m.cells.Series(series), period, cell) })
	}
	mark := func(series []uint32, period int32, _ Cell) {
		m.cells.tracks[m.cells.Series(series)].slot(period)
		m.had.Set(m.had.Series(series), period, Cell{ObsStatus: NormalValue})
	}
	was := newSeriesDeriver(deriver, before, false)
	for s := range before.tracks {
		was.derive(s, func(int) bool { return true }, mark)
	}
	err = d.beside(ctx, tx, c.source.Provider, deriver, m.cells, cells.Empty(), func(scratch *Table, key []uint32, i int) bool {
		n, changes := cells.number(key)
		if !changes {
			return true
		}
		at, found := slices.BinarySearch(cells.tracks[n].Periods, scratch.tracks[0].Periods[i])
		return !found || !c.own.Changes(n, at)
	}, func(series int, codes []uint32, period int32, cell Cell) {
		m.cells.Sum(series, period, cell)
		m.had.Set(m.had.Series(codes), period, Cell{ObsStatus: NormalValue})
	})
	return m, deriver, err
}

// beside gives the stored source figures that fall on the cells of a table of the target. use says which of the cells of
// the one series of scratch, with the codes of key, count.
func (d *derivation) beside(
	ctx context.Context, tx Reader, provider string, deriver *Deriver, wanted, scratch *Table,
	use func(scratch *Table, key []uint32, i int) bool, do func(series int, codes []uint32, period int32, cell Cell),
) error {
	dictionary, err := tx.Dictionary(ctx, d.source)
	if err != nil {
		return err
	}
	if dictionary.Len(0) == 0 || wanted.SeriesCount() == 0 {
		return nil
	}
	recode, derive := newRecoder(dictionary, scratch), newSeriesDeriver(deriver, scratch, false)
	selector := Selector{Filter: d.sources(deriver, dictionary, wanted), Spans: wanted.spans()}
	for series, err := range tx.Read(ctx, d.source, []string{provider}, selector) {
		if err != nil {
			return err
		}
		scratch.clear()
		recode.put(series)
		key := scratch.Key(0)
		derive.derive(0, func(i int) bool { return use(scratch, key, i) }, func(codes []uint32, period int32, cell Cell) {
			n, ok := wanted.number(codes)
			if !ok {
				return
			}
			if _, ok := slices.BinarySearch(wanted.tracks[n].Periods, period); ok {
				do(n, codes, period, cell)
			}
		})
	}
	return nil
}

// sources returns a filter over the source's dimensions that passes at least the series with figures that fall on the
// cells of a table of the target.
func (d *derivation) sources(deriver *Deriver, dictionary *Dictionary, wanted *Table) filter.Filter {
	occurs := make([]map[string]bool, len(wanted.structure.Dimensions))
	for i := range occurs {
		occurs[i] = map[string]bool{}
	}
	for s := range wanted.tracks {
		for i, code := range wanted.Key(s) {
			if text := wanted.dictionary.Text(i, code); !occurs[i][text] {
				occurs[i][text] = true
			}
		}
	}
	var conditions []filter.Filter
	for _, f := range deriver.fills {
		if f.mapper == nil || f.mapper.timed || len(f.sources) != 1 {
			continue
		}
		source := d.source.Structure.Dimension(f.sources[0])
		if source < 0 {
			continue
		}
		var codes []string
		for code := range dictionary.Len(source) {
			text := dictionary.Text(source, uint32(code))
			targets, _ := f.mapper.peek([]string{text})
			fits := len(targets) > 0
			for i, target := range f.targets {
				if dimension := wanted.structure.Dimension(target); fits && dimension >= 0 {
					fits = occurs[dimension][targets[i]]
				}
			}
			if fits {
				codes = append(codes, text)
			}
		}
		if len(codes) < dictionary.Len(source) {
			conditions = append(conditions, filter.In(f.sources[0], codes...))
		}
	}
	return filter.And(conditions...)
}

// join puts together what several structure maps make, and returns the figures that two of them do.
func (h *harvest) join() (taken []taken) {
	h.cells, h.had = h.made[0].cells, h.made[0].had
	for n, m := range h.made[1:] {
		recode := newRecoder(m.cells.dictionary, h.cells)
		for s := range m.cells.tracks {
			series := h.cells.Series(recode.key(m.cells.Key(s)))
			key := h.cells.Key(series)
			for i, period := range m.cells.tracks[s].Periods {
				cell := m.cells.tracks[s].Cells[i]
				slot := h.cells.tracks[series].slot(period)
				switch {
				case !cell.Present():
				case slot.Present():
					for _, other := range h.made[:n+1] {
						if other.cells.hasCell(h.cells, key, period) {
							taken = append(taken, newTaken(h.cells, key, period, m.by, other.by))
							break
						}
					}
				default:
					cell.Attributes = h.cells.AttributeSet(m.cells.Attributes(cell.Attributes))
					*slot = cell
					h.cells.cells++
				}
				if m.had.find(m.cells.Key(s)).At(period).Present() {
					h.had.Set(h.had.Series(key), period, Cell{ObsStatus: NormalValue})
				}
			}
		}
	}
	return taken
}

// hasCell reports whether the table has a cell with the key of another table.
func (t *Table) hasCell(other *Table, key []uint32, period int32) bool {
	codes := make([]uint32, len(key))
	for d, code := range key {
		var ok bool
		if codes[d], ok = t.dictionary.Find(d, other.dictionary.Text(d, code)); !ok {
			return false
		}
	}
	return t.find(codes).At(period).Present()
}

// taken is a figure that two would fill.
type taken struct {
	key     []string // and the period
	by      *derivation
	already *derivation // nil: it was submitted directly
	direct  bool        // by is nil: it is submitted directly
}

func newTaken(cells *Table, key []uint32, period int32, by, already *derivation) taken {
	texts := make([]string, 0, len(key)+1)
	for d, code := range key {
		texts = append(texts, cells.dictionary.Text(d, code))
	}
	texts = append(texts, Frequency(texts[0][0]).Period(period).String())
	return taken{key: texts, by: by, already: already, direct: by == nil}
}

// occupied returns the figures that are stored already although they were not derived before: another has them.
func (h *harvest) occupied(ctx context.Context, tx Reader, provider string) ([]taken, error) {
	var found []taken
	asked := h.cells.Empty()
	for s, i := range h.changes.each(func(f fate) bool { return f == isRevised || f == isUnchanged }) {
		key, period := h.cells.Key(s), h.cells.tracks[s].Periods[i]
		if h.had.find(key).At(period).Present() {
			continue
		}
		t := newTaken(h.cells, key, period, h.made[0].by, nil)
		for _, m := range h.made {
			if m.cells.hasCell(h.cells, key, period) {
				t.by = m.by
			}
		}
		found = append(found, t)
		if len(found) <= maxToldCells {
			asked.Put(asked.Series(key), period, Cell{ObsStatus: NormalValue})
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	for _, other := range h.fills {
		owned, err := other.owned(ctx, tx, provider, asked)
		if err != nil {
			return nil, err
		}
		for i := range found[:min(len(found), maxToldCells)] {
			t := &found[i]
			if t.already == nil && other != t.by && owned[keyText(t.key)] {
				t.already = other
			}
		}
	}
	return found, nil
}

// owned returns which of the cells of a table of the target are derived from what is stored.
func (d *derivation) owned(ctx context.Context, tx Reader, provider string, cells *Table) (map[string]bool, error) {
	deriver, err := d.deriver()
	if err != nil {
		return nil, err
	}
	wanted := deriver.Table()
	recode := newRecoder(cells.dictionary, wanted)
	for s := range cells.tracks {
		series := wanted.Series(recode.key(cells.Key(s)))
		for _, period := range cells.tracks[s].Periods {
			wanted.tracks[series].slot(period)
		}
	}
	owned := map[string]bool{}
	err = d.beside(ctx, tx, provider, deriver, wanted, NewTable(d.source.Structure),
		func(*Table, []uint32, int) bool { return true },
		func(_ int, codes []uint32, period int32, _ Cell) {
			owned[keyText(newTaken(wanted, codes, period, d, nil).key)] = true
		})
	return owned, err
}

// checkDirect reports derived figures that a submission would change.
func (c *change) checkDirect(ctx context.Context, tx Reader, report *Report) error {
	if len(c.fills) == 0 || c.own.counts.Revised+c.own.counts.Deleted == 0 {
		return nil
	}
	asked := c.own.cells.Empty()
	for s, i := range c.own.each(func(f fate) bool { return f == isRevised || f == isDeleted }) {
		asked.Put(asked.Series(c.own.cells.Key(s)), c.own.cells.tracks[s].Periods[i], Cell{ObsStatus: NormalValue})
	}
	for _, d := range c.fills {
		owned, err := d.owned(ctx, tx, c.source.Provider, asked)
		if err != nil {
			return fmt.Errorf("deriving by %s: %w", d.structureMap.Ref, err)
		}
		var found []taken
		for s, i := range c.own.each(func(f fate) bool { return f == isRevised || f == isDeleted }) {
			if key := c.own.key(s, i); owned[keyText(key)] {
				found = append(found, taken{key: key, already: d, direct: true})
			}
		}
		tellOccupied(report, found)
	}
	return nil
}

// tellOccupied adds a finding for each figure, but for many.
func tellOccupied(report *Report, found []taken) {
	for _, t := range found[:min(len(found), maxToldCells)] {
		message := "the figure " + keyText(t.key) + " "
		values := slices.Clone(t.key)
		switch {
		case t.direct:
			message += fmt.Sprintf("is derived from %s by %s: submit it there", t.already.source.Ref, t.already.structureMap.Ref)
			values = append(values, t.already.structureMap.Ref.String())
		case t.already != nil:
			message += fmt.Sprintf("would be filled by %s, but is by %s already", t.by.structureMap.Ref, t.already.structureMap.Ref)
			values = append(values, t.by.structureMap.Ref.String(), t.already.structureMap.Ref.String())
		default:
			message += fmt.Sprintf("would be filled by %s, but was submitted to %s directly", t.by.structureMap.Ref, t.by.target.Ref)
			values = append(values, t.by.structureMap.Ref.String())
		}
		report.Add(Finding{Rule: ruleOccupied, Severity: Blocking, Values: values, Message: message})
	}
	if more := len(found) - maxToldCells; more > 0 {
		report.Add(Finding{Rule: ruleOccupied, Severity: Blocking, Message: fmt.Sprintf("the same of %d further figures", more)})
	}
}
