package disclosure

import (
	"encoding/binary"
	"slices"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

// Classes are the cells of a table with those put together that have the same figure in every table of this shape: a
// total that has one part which is not empty, and that part; two totals of the same parts. Whoever knows one knows all,
// so that suppression decides about classes. Empty cells are in none.
type Classes struct {
	Of        []int      // the class of each cell; −1: the cell is empty
	Members   [][]int    // the cells of each class, ascending
	Values    []int64    // of each class
	Equations []Equation // between classes, each once. One without parts says that the class is 0
}

// Merge returns the classes of the cells under the equations, which [Table.Equations] found. Classes are in the order of
// their first cells.
func Merge(t *Table, equations []Equation) *Classes {
	m := merging{parent: make([]int, len(t.Cells))}
	for i := range m.parent {
		m.parent[i] = i
	}
	left := make([]Equation, 0, len(equations))
	for _, e := range equations {
		parts := slices.DeleteFunc(slices.Clone(e.Parts), func(p int) bool { return t.Cells[p].Status == Empty })
		switch {
		case len(parts) > 0:
			left = append(left, Equation{Total: e.Total, Parts: parts, Dimension: e.Dimension})
		case t.Cells[e.Total].Status != Empty:
			left = append(left, Equation{Total: e.Total, Dimension: e.Dimension})
		}
	}
	for m.step(left) { // each step unites cells, so it ends
	}
	c := &Classes{Of: make([]int, len(t.Cells))}
	number := map[int]int{}
	for i := range t.Cells {
		if t.Cells[i].Status == Empty {
			c.Of[i] = -1
			continue
		}
		root := m.root(i)
		n, ok := number[root]
		if !ok {
			n = len(c.Members)
			number[root] = n
			c.Members, c.Values = append(c.Members, nil), append(c.Values, t.Cells[i].Value)
		}
		c.Of[i] = n
		c.Members[n] = append(c.Members[n], i)
	}
	c.take(t, left)
	return c
}

// take adds the equations, in terms of classes.
func (c *Classes) take(t *Table, equations []Equation) {
	seen := map[string]bool{}
	add := func(e Equation) {
		if key := e.identity(); !seen[key] {
			seen[key] = true
			c.Equations = append(c.Equations, e)
		}
	}
	for _, e := range equations {
		parts := make([]int, len(e.Parts))
		for i, p := range e.Parts {
			parts[i] = c.Of[p]
		}
		slices.Sort(parts)
		if t.Cells[e.Total].Status == Empty {
			for _, p := range parts { // counts that add up to 0 are 0
				add(Equation{Total: p, Dimension: e.Dimension})
			}
			continue
		}
		total := c.Of[e.Total]
		at, within := slices.BinarySearch(parts, total)
		if !within {
			add(Equation{Total: total, Parts: parts, Dimension: e.Dimension})
			continue
		}
		for _, p := range slices.Delete(parts, at, at+1) {
			add(Equation{Total: p, Dimension: e.Dimension})
		}
	}
}

// merging unites cells.
type merging struct{ parent []int }

func (m *merging) root(i int) int {
	for m.parent[i] != i {
		m.parent[i] = m.parent[m.parent[i]]
		i = m.parent[i]
	}
	return i
}

// unite puts two cells together, and reports whether they were apart. The first cell stays the root.
func (m *merging) unite(a, b int) bool {
	a, b = m.root(a), m.root(b)
	if a == b {
		return false
	}
	m.parent[max(a, b)] = min(a, b)
	return true
}

// step unites what is equal by one equation or two, and reports whether there was any.
func (m *merging) step(equations []Equation) bool {
	totals := make(map[string]int, len(equations))
	changed := false
	var key []byte
	var parts []int
	for _, e := range equations {
		if len(e.Parts) == 0 {
			continue
		}
		parts = parts[:0]
		for _, p := range e.Parts {
			parts = append(parts, m.root(p))
		}
		slices.Sort(parts)
		if len(parts) == 1 {
			changed = m.unite(e.Total, parts[0]) || changed
			continue
		}
		key = key[:0]
		for _, p := range parts {
			key = binary.AppendUvarint(key, uint64(p)) //nolint:gosec // indices are 0 or more
		}
		if total, ok := totals[string(key)]; ok {
			changed = m.unite(total, e.Total) || changed
		} else {
			totals[string(key)] = e.Total
		}
	}
	return changed
}

// System returns the classes as unknowns, with their equations: total − parts = 0.
func (c *Classes) System() *linear.System { return newSystem(len(c.Members), c.Equations) }

// System returns the cells as unknowns, with the equations of the table: total − parts = 0.
func (t *Table) System() (*linear.System, []Equation, error) {
	equations, _, err := t.Equations()
	if err != nil {
		return nil, nil, err
	}
	return newSystem(len(t.Cells), equations), equations, nil
}

func newSystem(unknowns int, equations []Equation) *linear.System {
	s := &linear.System{Unknowns: unknowns, Equations: make([]linear.Equation, len(equations))}
	for i, e := range equations {
		terms := make(linear.Equation, 0, 1+len(e.Parts))
		terms = append(terms, linear.Term{Unknown: e.Total, Coefficient: 1})
		for _, p := range e.Parts {
			if last := &terms[len(terms)-1]; last.Unknown == p && len(terms) > 1 {
				last.Coefficient-- // the same class twice
				continue
			}
			terms = append(terms, linear.Term{Unknown: p, Coefficient: -1})
		}
		s.Equations[i] = terms
	}
	return s
}
