package statistics

// grouper numbers the distinct combinations of positions in rows, one column after another.
type grouper struct {
	of    []uint32 // for each row, its group
	first []uint32 // for each group, its first row
	table []uint32 // by group before and position: the group after, plus 1
}

// tableSize is up to how many combinations are looked up in a table.
const tableSize = 1 << 20

// reset puts so many rows into one group.
func (g *grouper) reset(rows int) {
	g.of, g.first = make([]uint32, rows), []uint32{0}
}

// by tells rows apart by a column of positions below size. A column of nil is the same in every row.
func (g *grouper) by(positions []uint32, size int) {
	if positions == nil || size <= 1 {
		return
	}
	first := make([]uint32, 0, len(g.first))
	of := make([]uint32, len(g.of))
	if combinations := len(g.first) * size; combinations <= tableSize {
		if len(g.table) < combinations {
			g.table = make([]uint32, combinations)
		}
		table := g.table[:combinations]
		clear(table)
		width := uint32(size) //nolint:gosec // at most tableSize
		for row, group := range g.of {
			slot := &table[group*width+positions[row]]
			if *slot == 0 {
				first = append(first, uint32(row))
				*slot = uint32(len(first)) //nolint:gosec // as above
			}
			of[row] = *slot - 1
		}
	} else {
		seen := make(map[uint64]uint32, len(g.first))
		for row, group := range g.of {
			both := uint64(group)<<32 | uint64(positions[row])
			number, ok := seen[both]
			if !ok {
				number = uint32(len(first)) //nolint:gosec // as above
				seen[both] = number
				first = append(first, uint32(row))
			}
			of[row] = number
		}
	}
	g.of, g.first = of, first
}
