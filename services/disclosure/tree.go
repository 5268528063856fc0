package disclosure

import (
	"fmt"
	"slices"
)

func dimensionField(d int) string { return fmt.Sprintf("dimensions[%d]", d) }
func codeField(d, i int) string   { return fmt.Sprintf("%s.codes[%d]", dimensionField(d), i) }

// part is a listing of a code under a parent.
type part struct {
	code      int32
	hierarchy string
}

// newTree reads dimension d: which codes there are, and of which others each is a sum.
func newTree(d int, dimension Dimension) (*tree, error) {
	if len(dimension.Codes) == 0 || len(dimension.Codes) > MaxCodes {
		return nil, fieldFault(dimensionField(d)+".codes", "%s has %d codes; it has 1 to %d", dimension.ID, len(dimension.Codes), MaxCodes)
	}
	t := &tree{number: make(map[string]int32, len(dimension.Codes))}
	for _, c := range dimension.Codes {
		if _, ok := t.number[c.Code]; !ok {
			t.number[c.Code] = int32(len(t.codes)) //nolint:gosec // at most MaxCodes
			t.codes = append(t.codes, c.Code)
		}
	}
	parts := make([][]part, len(t.codes))
	listed := map[Code]bool{}
	for i, c := range dimension.Codes {
		if c.Code == "" {
			return nil, fieldFault(codeField(d, i)+".code", "a code has a name")
		}
		if listed[c] {
			return nil, fieldFault(codeField(d, i), "%s is listed twice with the parent %q", c.Code, c.Parent)
		}
		listed[c] = true
		if c.Parent == "" {
			continue
		}
		parent, ok := t.number[c.Parent]
		if !ok {
			return nil, fieldFault(codeField(d, i)+".parent", "the parent %q of %s is no code of %s", c.Parent, c.Code, dimension.ID)
		}
		parts[parent] = append(parts[parent], part{code: t.number[c.Code], hierarchy: c.Hierarchy})
	}
	leaves, err := t.leaves(d, dimension.ID, parts)
	if err != nil {
		return nil, err
	}
	t.breakdowns = make([][][]int32, len(t.codes))
	for code := range t.codes {
		ways, ok := breakdowns(parts[code], leaves)
		if !ok {
			return nil, fieldFault(dimensionField(d)+".codes", "%s: %s has more than %d breakdowns", dimension.ID, t.codes[code], MaxBreakdowns)
		}
		t.breakdowns[code] = ways
	}
	return t, nil
}

// leaves returns for each code the codes without parts that it consists of.
func (t *tree) leaves(d int, id string, parts [][]part) ([]set, error) {
	leaves := make([]set, len(t.codes))
	state := make([]uint8, len(t.codes)) // 1: begun, 2: done
	var visit func(code int32) error
	visit = func(code int32) error {
		switch state[code] {
		case 1:
			return fieldFault(dimensionField(d)+".codes", "%s: %s is a part of itself", id, t.codes[code])
		case 2:
			return nil
		}
		state[code] = 1
		leaves[code] = newSet(len(t.codes))
		if len(parts[code]) == 0 {
			leaves[code].add(int(code))
		}
		for _, p := range parts[code] {
			if err := visit(p.code); err != nil {
				return err
			}
			leaves[code].join(leaves[p.code])
		}
		state[code] = 2
		return nil
	}
	for code := range t.codes {
		if err := visit(int32(code)); err != nil {
			return nil, err
		}
	}
	return leaves, nil
}

// breakdowns returns the ways in which the parts of one parent add up to it. Parts of one name belong together. Parts
// that overlap cannot: each goes, in the order in which they are listed, to the first breakdown that it does not overlap.
// A breakdown that then lacks something is filled up from the others' parts, or else dropped. It is not ok if there are
// more than MaxBreakdowns.
func breakdowns(parts []part, leaves []set) (complete [][]int32, ok bool) {
	if len(parts) == 0 {
		return nil, true
	}
	type way struct {
		hierarchy string
		parts     []int32
		leaves    set
	}
	var ways []way
	whole := newSet(len(leaves))
	for _, p := range parts {
		whole.join(leaves[p.code])
		at := slices.IndexFunc(ways, func(w way) bool {
			return w.hierarchy == p.hierarchy && !w.leaves.meets(leaves[p.code])
		})
		if at < 0 {
			if at = len(ways); at == MaxBreakdowns {
				return nil, false
			}
			ways = append(ways, way{hierarchy: p.hierarchy, leaves: newSet(len(leaves))})
		}
		ways[at].parts = append(ways[at].parts, p.code)
		ways[at].leaves.join(leaves[p.code])
	}
	for _, w := range ways {
		for _, p := range parts {
			if p.hierarchy == w.hierarchy && !w.leaves.meets(leaves[p.code]) {
				w.parts = append(w.parts, p.code)
				w.leaves.join(leaves[p.code])
			}
		}
		if w.hierarchy != "" || slices.Equal(w.leaves, whole) {
			complete = append(complete, w.parts)
		}
	}
	return complete, true
}

// set is a set of small numbers.
type set []uint64

func newSet(n int) set { return make(set, (n+63)/64) }

func (s set) add(i int) { s[i/64] |= 1 << (i % 64) }

func (s set) join(other set) {
	for i, word := range other {
		s[i] |= word
	}
}

func (s set) meets(other set) bool {
	for i, word := range other {
		if s[i]&word != 0 {
			return true
		}
	}
	return false
}
