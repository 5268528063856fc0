package sdmx

import (
	"slices"

	"github.com/comity-federation/comity/proto/block"
)

// Window chooses observations by their place. Zero fields do not choose.
//
// First and Last count within each series: the first n, the last n, or both. Offset and Limit count over all that is
// left then.
type Window struct {
	First  int
	Last   int
	Offset int
	Limit  int
}

// Open reports whether every observation passes.
func (w Window) Open() bool { return w == Window{} }

// Cutter cuts blocks to a window, as they come in the order of series and periods. It holds at most one series back.
type Cutter struct {
	window     Window
	dimensions []string
	emit       func(*block.Block) error

	series  []string // the key of the series at hand
	seen    int      // its rows so far
	tail    []row    // its last rows, the oldest first, where Last is set
	passed  int      // rows of all series, before Offset and Limit
	pending *block.Builder
	texts   []string // ids of the coded columns of pending
	numbers []string // ids of its columns of numbers
}

type row struct {
	texts   []string
	numbers []float64
}

const cutRows = 4096 // rows of the blocks that a Cutter makes

// NewCutter returns a cutter that hands on what passes. Call Close after the last block.
func NewCutter(window Window, s *Structure, emit func(*block.Block) error) *Cutter {
	return &Cutter{window: window, dimensions: dimensionIDs(s), emit: emit}
}

// Done reports whether no row that is still to come can pass.
func (c *Cutter) Done() bool {
	return c.window.Limit > 0 && c.passed >= c.window.Offset+c.window.Limit
}

// Push takes the next block.
func (c *Cutter) Push(b *block.Block) error {
	if c.window.Open() {
		return c.emit(b)
	}
	keys := make([]*block.Column, len(c.dimensions))
	for i, id := range c.dimensions {
		keys[i] = b.Column(id)
	}
	for i := range b.Rows {
		if c.begins(keys, i) {
			if err := c.endSeries(); err != nil {
				return err
			}
		}
		c.seen++
		if c.window.First == 0 && c.window.Last == 0 || c.seen <= c.window.First {
			if err := c.pass(rowOf(b, i), b); err != nil {
				return err
			}
			continue
		}
		if c.window.Last > 0 {
			if len(c.tail) == c.window.Last {
				c.tail = c.tail[1:]
			}
			c.tail = append(c.tail, rowOf(b, i))
			c.columns(b)
		}
	}
	return nil
}

// begins reports whether row i is of another series than the row before it, and remembers it.
func (c *Cutter) begins(keys []*block.Column, i int) bool {
	if c.series == nil {
		c.series = make([]string, len(keys))
		for d, column := range keys {
			c.series[d] = text(column, i)
		}
		return false
	}
	changed := false
	for d, column := range keys {
		if v := text(column, i); v != c.series[d] {
			c.series[d], changed = v, true
		}
	}
	return changed
}

func (c *Cutter) endSeries() error {
	tail := c.tail
	c.tail, c.seen = nil, 0
	for _, r := range tail {
		if err := c.pass(r, nil); err != nil {
			return err
		}
	}
	return nil
}

// columns makes the builder for the columns of b, once.
func (c *Cutter) columns(b *block.Block) {
	if c.pending != nil {
		return
	}
	for i := range b.Columns {
		if b.Columns[i].IsNumber() {
			c.numbers = append(c.numbers, b.Columns[i].Component)
		} else {
			c.texts = append(c.texts, b.Columns[i].Component)
		}
	}
	c.pending = block.NewBuilder(c.texts, c.numbers)
}

func (c *Cutter) pass(r row, b *block.Block) error {
	if b != nil {
		c.columns(b)
	}
	c.passed++
	if c.passed <= c.window.Offset || c.window.Limit > 0 && c.passed > c.window.Offset+c.window.Limit {
		return nil
	}
	c.pending.Append(r.texts, r.numbers)
	if c.pending.Rows() < cutRows {
		return nil
	}
	return c.flush()
}

func (c *Cutter) flush() error {
	if c.pending == nil || c.pending.Rows() == 0 {
		return nil
	}
	b := c.pending.Block()
	c.pending.Reset()
	return c.emit(b)
}

// Close hands on what is held back.
func (c *Cutter) Close() error {
	if err := c.endSeries(); err != nil {
		return err
	}
	return c.flush()
}

func rowOf(b *block.Block, i int) row {
	var r row
	for c := range b.Columns {
		if column := &b.Columns[c]; column.IsNumber() {
			r.numbers = append(r.numbers, column.Numbers[i])
		} else {
			r.texts = append(r.texts, column.Text(i))
		}
	}
	r.texts = slices.Clip(r.texts)
	return r
}

// text returns the value of a coded column that may be missing.
func text(column *block.Column, i int) string {
	if column == nil {
		return ""
	}
	return column.Text(i)
}
