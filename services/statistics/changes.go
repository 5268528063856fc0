package statistics

// Changes are what makes one table of a part out of another: for each series that changes, the cells that it has from now
// on, and the zero Cell in each period where it has one no more.
type Changes struct {
	table *Table
	count int
}

// Diff returns what turns the old table into the new one. Both have the same dictionary, see [Table.Empty]. A cell that
// stays as it is, whatever line it was read from, is no change.
func Diff(old, now *Table) *Changes {
	c := &Changes{table: now.Empty()}
	for s := range now.tracks {
		key := now.Key(s)
		before := old.find(key)
		track := &now.tracks[s]
		for i, period := range track.Periods {
			cell := track.Cells[i]
			was := before.At(period)
			was.Line = cell.Line
			if was != cell {
				c.set(key, period, cell)
			}
		}
	}
	for s := range old.tracks {
		key := old.Key(s)
		after := now.find(key)
		for _, period := range old.tracks[s].Periods {
			if !after.At(period).Present() {
				c.set(key, period, Cell{})
			}
		}
	}
	return c
}

func (c *Changes) set(key []uint32, period int32, cell Cell) {
	*c.table.tracks[c.table.Series(key)].slot(period) = cell
	c.count++
}

// Len returns how many cells change.
func (c *Changes) Len() int { return c.count }

// Table returns the cells from now on, the zero Cell where there is none any more. Its Len is meaningless.
func (c *Changes) Table() *Table { return c.table }
