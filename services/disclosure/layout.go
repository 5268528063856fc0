package disclosure

import "encoding/binary"

// layout is a table that was checked: codes and keys as numbers.
type layout struct {
	dimensions []tree
	keys       []int32 // of cell i: [i·dimensions, (i+1)·dimensions)
	cells      map[string]int
}

// tree is a dimension. Codes are numbers from 0.
type tree struct {
	codes      []string
	number     map[string]int32
	breakdowns [][][]int32 // of each code: the ways in which it is a sum of parts
}

func newLayout(t *Table) (*layout, error) {
	if len(t.Dimensions) == 0 || len(t.Dimensions) > MaxDimensions {
		return nil, fieldFault("dimensions", "a table has 1 to %d of them, not %d", MaxDimensions, len(t.Dimensions))
	}
	l := &layout{cells: make(map[string]int, len(t.Cells))}
	names := map[string]bool{}
	for d, dimension := range t.Dimensions {
		if dimension.ID == "" || names[dimension.ID] {
			return nil, fieldFault(dimensionField(d)+".id", "the id %q is empty, or another dimension's", dimension.ID)
		}
		names[dimension.ID] = true
		tr, err := newTree(d, dimension)
		if err != nil {
			return nil, err
		}
		l.dimensions = append(l.dimensions, *tr)
	}
	for i, c := range t.Cells {
		if len(c.Key) != len(t.Dimensions) {
			return nil, fieldFault(cellField(i, "key"), "the key %v has %d codes; the table has %d dimensions", c.Key, len(c.Key), len(t.Dimensions))
		}
		for d, code := range c.Key {
			n, ok := l.dimensions[d].number[code]
			if !ok {
				return nil, fieldFault(cellField(i, "key"), "dimension %s has no code %q", t.Dimensions[d].ID, code)
			}
			l.keys = append(l.keys, n)
		}
		if err := checkCell(i, c); err != nil {
			return nil, err
		}
		key := string(pack(nil, l.key(i)))
		if first, ok := l.cells[key]; ok {
			return nil, fieldFault(cellField(i, "key"), "%s is there twice; the first is cells[%d]", c.Name(), first)
		}
		l.cells[key] = i
	}
	return l, nil
}

func (l *layout) key(i int) []int32 {
	n := len(l.dimensions)
	return l.keys[i*n : (i+1)*n]
}

func (l *layout) code(i, d int) int32 { return l.keys[i*len(l.dimensions)+d] }

// pack appends a key as bytes to buffer.
func pack(buffer []byte, key []int32) []byte {
	for _, n := range key {
		buffer = binary.LittleEndian.AppendUint32(buffer, uint32(n)) //nolint:gosec // numbers of codes are 0 or more
	}
	return buffer
}

// line finds cells that differ from one cell in one dimension alone.
type line struct {
	l         *layout
	dimension int
	key       []byte // packed
	expanded  map[int32]expansion
}

// expansion is what a code without a cell stands for.
type expansion struct {
	cells  []int
	absent int
}

func (l *layout) line(i, d int) *line {
	return &line{l: l, dimension: d, key: pack(nil, l.key(i))}
}

func (n *line) at(code int32) (int, bool) {
	binary.LittleEndian.PutUint32(n.key[4*n.dimension:], uint32(code)) //nolint:gosec // as in pack
	j, ok := n.l.cells[string(n.key)]
	return j, ok
}

// collect returns the cells of the parts, and how many parts have nothing at all. A part without a cell stands for its
// own parts where these have some.
func (n *line) collect(parts []int32) expansion {
	var all expansion
	for _, part := range parts {
		if j, ok := n.at(part); ok {
			all.cells = append(all.cells, j)
			continue
		}
		e := n.expand(part)
		all.cells = append(all.cells, e.cells...)
		all.absent += e.absent
	}
	return all
}

// expand returns the breakdown of code of which most is there.
func (n *line) expand(code int32) expansion {
	best := expansion{absent: 1}
	ways := n.l.dimensions[n.dimension].breakdowns[code]
	if len(ways) == 0 {
		return best
	}
	if known, ok := n.expanded[code]; ok {
		return known
	}
	for _, parts := range ways {
		if e := n.collect(parts); len(e.cells) > 0 && (best.cells == nil || e.absent < best.absent) {
			best = e
		}
	}
	if n.expanded == nil {
		n.expanded = map[int32]expansion{}
	}
	n.expanded[code] = best
	return best
}
