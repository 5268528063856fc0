package disclosuretest

import "encoding/binary"

// table is what was given away at once: which cells it has, and how they lie under one another. A code is a number in its
// dimension here, and a cell the numbers of its codes, two bytes each: that is found faster than a text.
type table struct {
	numbers  []map[string]uint16 // of the codes, in each dimension
	parts    [][][]uint16        // of a code, in each dimension
	wholes   [][][]uint16        // the codes that have a code as a part, in each dimension
	unknowns map[string]int      // of the cells that it has
	codes    []map[uint16]bool   // that cells of it have, in each dimension
	split    []map[string]bool   // the cells that it has parts of, along each dimension
	coarser  []map[string]bool   // what coarse found, for each dimension
}

func newTable(parts []map[string][]string) *table {
	t := &table{
		numbers: make([]map[string]uint16, len(parts)), parts: make([][][]uint16, len(parts)), wholes: make([][][]uint16, len(parts)),
		unknowns: map[string]int{},
	}
	for d, of := range parts {
		t.numbers[d] = map[string]uint16{}
		t.codes, t.split, t.coarser = append(t.codes, map[uint16]bool{}), append(t.split, map[string]bool{}), append(t.coarser, map[string]bool{})
		for whole, codes := range of {
			w := t.number(d, whole)
			for _, code := range codes {
				c := t.number(d, code)
				t.parts[d][w] = append(t.parts[d][w], c)
				t.wholes[d][c] = append(t.wholes[d][c], w)
			}
		}
	}
	return t
}

// number returns the number of a code, a new one where it has none yet.
func (t *table) number(d int, code string) uint16 {
	n, ok := t.numbers[d][code]
	if !ok {
		n = uint16(len(t.numbers[d])) //nolint:gosec // no dimension has so many codes
		t.numbers[d][code] = n
		t.parts[d], t.wholes[d] = append(t.parts[d], nil), append(t.wholes[d], nil)
	}
	return n
}

// cell returns the numbers of the codes of a key.
func (t *table) cell(key []string) []byte {
	cell := make([]byte, 2*len(key))
	for d, code := range key {
		set(cell, d, t.number(d, code))
	}
	return cell
}

func set(cell []byte, d int, code uint16) { binary.LittleEndian.PutUint16(cell[2*d:], code) }

func get(cell []byte, d int) uint16 { return binary.LittleEndian.Uint16(cell[2*d:]) }

func (t *table) add(cell []byte, unknown int) {
	t.unknowns[string(cell)] = unknown
	for d := range t.parts {
		t.codes[d][get(cell, d)] = true
		t.above(cell, d, func() { t.split[d][string(cell)] = true })
	}
}

// above visits the cells that a cell is a part of along a dimension: the cell is one of them after the other meanwhile.
func (t *table) above(cell []byte, d int, visit func()) {
	code := get(cell, d)
	for _, whole := range t.wholes[d][code] {
		set(cell, d, whole)
		visit()
	}
	set(cell, d, code)
}

// coarse reports whether a cell that the table has not lies, along any dimension but d, under one that it has, and that
// is told without its parts.
func (t *table) coarse(cell []byte, d int) bool {
	if !t.codes[d][get(cell, d)] {
		return false
	}
	if found, ok := t.coarser[d][string(cell)]; ok {
		return found
	}
	found := false
	for e := range t.parts {
		if e == d || found {
			continue
		}
		t.above(cell, e, func() {
			if _, ok := t.unknowns[string(cell)]; ok {
				found = found || !t.split[e][string(cell)]
			} else {
				found = found || t.coarse(cell, d)
			}
		})
	}
	t.coarser[d][string(cell)] = found
	return found
}
