package verify

import (
	"encoding/binary"
	"slices"
)

// term is a cell of an equation, with its sign.
type term struct {
	cell int
	sign int64
}

// equation says that the total, which comes first, is the sum of its parts: their moves, times the signs, add up to 0.
type equation []term

// tree is a dimension: of each code the groups of codes that add up to it.
type tree struct {
	number map[string]int
	groups [][][]int
}

// reader knows the shape of a table.
type reader struct {
	table *Table
	trees []tree
	keys  [][]int
	cells map[string]int
}

// equations returns what the shape of the table says: each cell is the sum of its parts, where it is.
func (t *Table) equations() []equation {
	r := reader{table: t, cells: make(map[string]int, len(t.Cells))}
	for _, codes := range t.Dimensions {
		r.trees = append(r.trees, newTree(codes))
	}
	for i, c := range t.Cells {
		key := make([]int, len(r.trees))
		for d, code := range c.Key {
			key[d] = r.trees[d].number[code]
		}
		r.keys = append(r.keys, key)
		r.cells[pack(key)] = i
	}
	var equations []equation
	for i, key := range r.keys {
		for d := range r.trees {
			for _, group := range r.trees[d].groups[key[d]] {
				parts := r.parts(key, d, group)
				sum := int64(0)
				e := equation{{i, 1}}
				for _, part := range parts {
					sum += t.Cells[part].Value
					e = append(e, term{part, -1})
				}
				if len(parts) > 0 && sum == t.Cells[i].Value {
					equations = append(equations, e)
				}
			}
		}
	}
	return equations
}

// parts returns the cells of a group of codes in dimension d. A code without a cell stands for its own parts: the group
// of these that has most of them.
func (r *reader) parts(key []int, d int, group []int) []int {
	var cells []int
	for _, code := range group {
		other := slices.Clone(key)
		other[d] = code
		if i, ok := r.cells[pack(other)]; ok {
			cells = append(cells, i)
			continue
		}
		var best []int
		for _, inner := range r.trees[d].groups[code] {
			if found := r.parts(key, d, inner); len(found) > len(best) {
				best = found
			}
		}
		cells = append(cells, best...)
	}
	return cells
}

func pack(key []int) string {
	var b []byte
	for _, n := range key {
		b = binary.AppendUvarint(b, uint64(n)) //nolint:gosec // numbers of codes are 0 or more
	}
	return string(b)
}

// newTree groups the parts of each code: parts of one name go together unless they share codes without parts of their
// own, as the parts of two unnamed breakdowns do.
func newTree(codes []Code) tree {
	t := tree{number: map[string]int{}}
	for _, c := range codes {
		if _, ok := t.number[c.Code]; !ok {
			t.number[c.Code] = len(t.number)
		}
	}
	children := make([][]Code, len(t.number))
	for _, c := range codes {
		if c.Parent != "" {
			parent := t.number[c.Parent]
			children[parent] = append(children[parent], c)
		}
	}
	leaves := make([]map[int]bool, len(children))
	var visit func(code int) map[int]bool
	visit = func(code int) map[int]bool {
		if leaves[code] != nil {
			return leaves[code]
		}
		leaves[code] = map[int]bool{}
		for _, c := range children[code] {
			for leaf := range visit(t.number[c.Code]) {
				leaves[code][leaf] = true
			}
		}
		if len(children[code]) == 0 {
			leaves[code][code] = true
		}
		return leaves[code]
	}
	t.groups = make([][][]int, len(children))
	for code := range children {
		visit(code)
	}
	for code, parts := range children {
		t.groups[code] = t.group(parts, leaves)
	}
	return t
}

// group splits parts into groups that share nothing. A group that lacks something takes it from the others.
func (t *tree) group(parts []Code, leaves []map[int]bool) [][]int {
	type pile struct {
		name    string
		members []int
		covered map[int]bool
	}
	var piles []*pile
	fits := func(p *pile, c Code) bool {
		if p.name != c.Hierarchy {
			return false
		}
		for leaf := range leaves[t.number[c.Code]] {
			if p.covered[leaf] {
				return false
			}
		}
		return true
	}
	put := func(p *pile, c Code) {
		p.members = append(p.members, t.number[c.Code])
		for leaf := range leaves[t.number[c.Code]] {
			p.covered[leaf] = true
		}
	}
	for _, c := range parts {
		at := slices.IndexFunc(piles, func(p *pile) bool { return fits(p, c) })
		if at < 0 {
			at = len(piles)
			piles = append(piles, &pile{name: c.Hierarchy, covered: map[int]bool{}})
		}
		put(piles[at], c)
	}
	var groups [][]int
	for _, p := range piles {
		for _, c := range parts {
			if fits(p, c) {
				put(p, c)
			}
		}
		groups = append(groups, p.members)
	}
	return groups
}

// figures are the cells with those put together that equations of two withheld cells make one figure, through others
// perhaps: whoever is alone in one of them is alone in the other, and it is his own.
type figures []int

// figures puts cells together as long as there is an equation of two.
func (t *Table) figures(equations []equation) figures {
	f := make(figures, len(t.Cells))
	for i := range f {
		f[i] = i
	}
	type count struct {
		root int
		sign int64
	}
	var left []count
	for merged := true; merged; {
		merged = false
		for _, e := range equations {
			left = left[:0]
			for _, x := range e {
				if t.Cells[x.cell].Value == 0 {
					continue
				}
				root := f.root(x.cell)
				k := slices.IndexFunc(left, func(c count) bool { return c.root == root })
				if k < 0 {
					k = len(left)
					left = append(left, count{root: root})
				}
				left[k].sign += x.sign
				if left[k].sign == 0 {
					left = slices.Delete(left, k, k+1)
				} else if len(left) > 2 {
					break
				}
			}
			if len(left) == 2 && left[0].sign+left[1].sign == 0 {
				f[max(left[0].root, left[1].root)] = min(left[0].root, left[1].root)
				merged = true
			}
		}
	}
	return f
}

func (f figures) root(i int) int {
	for f[i] != i {
		f[i] = f[f[i]]
		i = f[i]
	}
	return i
}
