package disclosuretest

import (
	"slices"
	"strings"
)

// table is what was given away at once: which cells it has, and how they lie under one another.
type table struct {
	parts    []map[string][]string // of a code, in each dimension
	wholes   []map[string][]string // the codes that have a code as a part, in each dimension
	unknowns map[string]int        // of the cells that it has, by their key
	codes    []map[string]bool     // that cells of it have, in each dimension
	split    map[place]bool        // the cells that it has parts of, along a dimension
	coarser  map[place]bool        // what coarse found
}

// place is a cell and a dimension.
type place struct {
	key       string
	dimension int
}

func newTable(parts []map[string][]string) *table {
	t := &table{parts: parts, unknowns: map[string]int{}, split: map[place]bool{}, coarser: map[place]bool{}}
	for _, of := range parts {
		wholes := map[string][]string{}
		for whole, codes := range of {
			for _, code := range codes {
				wholes[code] = append(wholes[code], whole)
			}
		}
		t.wholes, t.codes = append(t.wholes, wholes), append(t.codes, map[string]bool{})
	}
	return t
}

func (t *table) add(key []string, unknown int) {
	t.unknowns[strings.Join(key, ".")] = unknown
	for d := range t.parts {
		t.codes[d][key[d]] = true
		t.above(key, d, func(up []string) { t.split[place{strings.Join(up, "."), d}] = true })
	}
}

// above visits the cells that a cell is a part of along a dimension.
func (t *table) above(key []string, d int, visit func(up []string)) {
	for _, whole := range t.wholes[d][key[d]] {
		up := slices.Clone(key)
		up[d] = whole
		visit(up)
	}
}

// coarse reports whether a cell that the table has not lies, along any dimension but d, under one that it has, and that
// is told without its parts.
func (t *table) coarse(key []string, d int) bool {
	if !t.codes[d][key[d]] {
		return false
	}
	at := place{strings.Join(key, "."), d}
	if found, ok := t.coarser[at]; ok {
		return found
	}
	found := false
	for e := range t.parts {
		if e == d || found {
			continue
		}
		t.above(key, e, func(up []string) {
			code := strings.Join(up, ".")
			if _, ok := t.unknowns[code]; ok {
				found = found || !t.split[place{code, e}]
			} else {
				found = found || t.coarse(up, d)
			}
		})
	}
	t.coarser[at] = found
	return found
}
