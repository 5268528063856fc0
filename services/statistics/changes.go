package statistics

import "iter"

// ChangeCounts counts cells by what becomes of them.
type ChangeCounts struct {
	Added     int // were not there
	Revised   int // have another value, status or attribute
	Deleted   int // are not there any more
	Unchanged int // were there, the same
}

// fate is what becomes of a cell.
type fate uint8

const (
	isAdded fate = iota
	isRevised
	isDeleted
	isUnchanged
	isMissing // it was to go, and was not there
)

// Changes are what the cells of a table make otherwise in a part: a cell comes in the place of what is stored, the zero
// Cell takes it away. [Transaction.Compare] makes them.
type Changes struct {
	cells   *Table
	fates   []fate  // by cell, those of a series after each other
	offsets []int   // of the series in fates
	before  []Cell  // what is revised or deleted, as it is stored
	places  []int32 // in before, by cell; nil: nothing is there
	counts  ChangeCounts
	missing int

	Stored any // what the store that compared them knows of where they are stored
}

// NewChanges returns the changes that cells make where nothing is stored.
func NewChanges(cells *Table) *Changes {
	c := &Changes{cells: cells, offsets: make([]int, len(cells.tracks))}
	n := 0
	for s := range cells.tracks {
		c.offsets[s] = n
		n += cells.tracks[s].Len()
	}
	c.fates = make([]fate, n)
	for s := range cells.tracks {
		for i := range cells.tracks[s].Cells {
			if !cells.tracks[s].Cells[i].Present() {
				c.fates[c.offsets[s]+i] = isMissing
				c.missing++
			}
		}
	}
	c.counts.Added = n - c.missing
	return c
}

// Was says that the i-th cell of a series is stored as before, which is another, with further attributes of the table.
func (c *Changes) Was(series, i int, before Cell) {
	to := isRevised
	if c.fate(series, i) == isMissing {
		c.missing--
		c.counts.Deleted++
		to = isDeleted
	} else {
		c.counts.Added--
		c.counts.Revised++
	}
	c.fates[c.offsets[series]+i] = to
	if c.places == nil {
		c.places = make([]int32, len(c.fates))
	}
	c.places[c.offsets[series]+i] = int32(len(c.before)) //nolint:gosec // memory ends before
	c.before = append(c.before, before)
}

// was returns how the i-th cell of a series is stored, where it is revised or deleted; else the zero Cell.
func (c *Changes) was(series, i int) Cell {
	if f := c.fate(series, i); f != isRevised && f != isDeleted {
		return Cell{}
	}
	return c.before[c.places[c.offsets[series]+i]]
}

// stored returns a table of what is revised or deleted, as it is stored.
func (c *Changes) stored() *Table {
	stored := c.cells.Empty()
	for s, i := range c.each(func(f fate) bool { return f == isRevised || f == isDeleted }) {
		stored.Put(stored.Series(c.cells.Key(s)), c.cells.tracks[s].Periods[i], c.was(s, i))
	}
	return stored
}

// Same says that the i-th cell of a series is stored as it is.
func (c *Changes) Same(series, i int) {
	c.counts.Added--
	c.counts.Unchanged++
	c.fates[c.offsets[series]+i] = isUnchanged
}

func (c *Changes) fate(series, i int) fate { return c.fates[c.offsets[series]+i] }

// Table returns the cells. Not all of them change.
func (c *Changes) Table() *Table { return c.cells }

// Changes reports whether the i-th cell of a series changes.
func (c *Changes) Changes(series, i int) bool { return c.fate(series, i) <= isDeleted }

// Counts counts the cells.
func (c *Changes) Counts() ChangeCounts { return c.counts }

// Len returns how many cells change.
func (c *Changes) Len() int { return c.counts.Added + c.counts.Revised + c.counts.Deleted }

// each gives the cells of some fates, with the number of their series and their position there.
func (c *Changes) each(wanted func(fate) bool) iter.Seq2[int, int] {
	return func(yield func(series, i int) bool) {
		for s := range c.cells.tracks {
			for i := range c.cells.tracks[s].Len() {
				if wanted(c.fate(s, i)) && !yield(s, i) {
					return
				}
			}
		}
	}
}

func (c *Changes) key(series, i int) []string {
	period := c.cells.Frequency(series).Period(c.cells.tracks[series].Periods[i])
	var texts []string
	for d, code := range c.cells.Key(series) {
		texts = append(texts, c.cells.dictionary.Text(d, code))
	}
	return append(texts, period.String())
}
