package sharing

import (
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/disclosure"
)

// grid is a table in the making: the cells of a sheet as fine as they go, and those that what is known of them needs.
//
// Where the parts of a cell sum up to less than it, what is left is a part too: it is called other where the codelist can
// say so and the sheet does not, else it is a cell that does not go. Where they sum up to more, they are no parts: neither
// they nor anything below them goes. So everything holds that a reader could take for an equation, or is withheld.
type grid struct {
	axes  []axis
	trees []tree
	table *disclosure.Table
	cells []cell
	index map[string]int  // of each cell, by key
	holes map[string]bool // cells without a value, by key
}

// rest names what the parts of a code leave of it, where the codelist has no word for it.
func rest(code string) string { return "~" + code }

// newGrid lays out a sheet whose figures fit the unit.
func (m *maker) newGrid(s *sheet, axes []axis, restricted map[string]bool) *grid {
	g := &grid{axes: axes, table: &disclosure.Table{}, index: map[string]int{}, holes: map[string]bool{}}
	used := make([]map[string]bool, len(axes))
	for d := range axes {
		used[d] = map[string]bool{}
	}
	for i, f := range s.figures {
		if !goes(axes, f.key) {
			continue
		}
		for d, code := range f.key {
			used[d][code] = true
		}
		if math.IsNaN(f.value) {
			g.holes[name(f.key)] = true
			continue
		}
		g.add(f.key, m.unit.count(f.value), cell{figure: i, conf: f.conf})
	}
	for d, a := range axes {
		g.trees = append(g.trees, newTree(a, used[d]))
	}
	m.mark(g, s, restricted)
	m.empty(g, s)
	// What the parts along one dimension leave has parts along others.
	for before := -1; before < len(g.cells); {
		before = len(g.cells)
		for d := len(axes) - 1; d >= 0; d-- {
			g.complete(d)
		}
	}
	for i, one := 0, m.unit.count(1); i < len(g.cells); i++ {
		if c := &g.table.Cells[i]; c.Value == one {
			c.Contributions = []float64{float64(one)} // in whatever unit, who is counted as one is alone
		}
		if c := &g.cells[i]; c.figure < 0 && !g.table.Cells[i].Absent && !m.passes(m.rowOf(s, g.table.Cells[i].Key)) {
			c.refused, g.table.Cells[i].Status = true, disclosure.Primary
		}
	}
	for d, a := range axes {
		g.table.Dimensions = append(g.table.Dimensions, g.dimension(a, d))
	}
	if len(axes) == 0 { // a table of one cell still has a dimension
		g.table.Dimensions = []disclosure.Dimension{{ID: Total, Codes: []disclosure.Code{{Code: Total}}}}
		for i := range g.table.Cells {
			g.table.Cells[i].Key = []string{Total}
		}
	}
	return g
}

// name is the key of a cell as one text.
func name(key []string) string { return strings.Join(key, "\x00") }

func (g *grid) add(key []string, value int64, c cell) {
	g.index[name(key)] = len(g.table.Cells)
	status := disclosure.Undecided
	if value == 0 {
		status = disclosure.Published // it is stored, so that nobody knows that nothing can be there
	}
	g.table.Cells = append(g.table.Cells, disclosure.Cell{Key: key, Value: value, Status: status})
	g.cells = append(g.cells, c)
}

// line returns the cells that are the parts of a cell along a dimension, and whether any part of it is a hole. A part
// without a cell stands for its own parts.
func (g *grid) line(key []string, d int) (cells []int, hole bool) {
	if len(g.trees[d].parts[key[d]]) == 0 {
		return nil, false
	}
	key = slices.Clone(key)
	seen := map[int]bool{}
	var collect func(code string)
	collect = func(code string) {
		for _, part := range g.trees[d].parts[code] {
			key[d] = part
			at := name(key)
			if i, ok := g.index[at]; ok {
				if !seen[i] {
					seen[i] = true
					cells = append(cells, i)
				}
				continue
			}
			hole = hole || g.holes[at]
			collect(part)
		}
		key[d] = rest(code)
		if i, ok := g.index[name(key)]; ok && !seen[i] {
			seen[i] = true
			cells = append(cells, i)
		}
	}
	collect(key[d])
	return cells, hole
}

// mark says which cells are withheld whatever they count, and which are the finest. A sum of restricted figures is not
// itself restricted, unless it is stored as such.
func (m *maker) mark(g *grid, s *sheet, restricted map[string]bool) {
	for i := range g.cells {
		c := &g.cells[i]
		key := g.table.Cells[i].Key
		inherited := false
		c.finest = true
		for d := range g.axes {
			parts, hole := g.line(key, d)
			c.finest = c.finest && len(parts) == 0 && !hole
			inherited = inherited || slices.ContainsFunc(parts, func(p int) bool { return g.cells[p].conf != free })
		}
		c.refused = !m.passes(m.row(s, s.figures[c.figure]))
		if c.refused || c.conf != free && (!inherited || restricted[cellName(s.period, key)]) {
			g.table.Cells[i].Status = disclosure.Primary
		}
	}
}

// complete sees to it that the parts of each cell along a dimension sum up to it, or do not go.
func (g *grid) complete(d int) {
	for i := 0; i < len(g.table.Cells); i++ {
		c := g.table.Cells[i]
		parts, hole := g.line(c.Key, d)
		sum := int64(0)
		for _, p := range parts {
			sum += g.table.Cells[p].Value
		}
		switch left := c.Value - sum; {
		case len(parts) == 0 || left == 0:
		case left < 0:
			g.drop(i, d)
		case sum > 0: // else the parts say nothing about the whole
			g.leave(i, d, left, hole)
		}
	}
}

// drop withholds everything below a cell along a dimension.
func (g *grid) drop(i, d int) {
	whole := g.table.Cells[i].Key
	for j := range g.table.Cells {
		below := true
		for e, code := range g.table.Cells[j].Key {
			inside := g.trees[e].inside(code, whole[e])
			below = below && (inside || e != d && code == whole[e])
		}
		if below {
			g.hide(j)
		}
	}
}

// hide takes a cell out of what goes; it stays for what it says of others. Whoever does not see it takes it for nothing,
// and knows the truth where it is nothing.
func (g *grid) hide(i int) {
	c := &g.table.Cells[i]
	c.Absent = true
	switch {
	case c.Value == 0:
		c.Status = disclosure.Empty
	case c.Status != disclosure.Primary:
		c.Status = disclosure.Secondary
	}
}

// leave adds what the parts of a cell leave of it.
func (g *grid) leave(i, d int, left int64, hole bool) {
	whole := g.table.Cells[i]
	key := slices.Clone(whole.Key)
	key[d] = Other
	_, taken := g.index[name(key)]
	if !taken && !hole && !whole.Absent && g.axes[d].has(Other) && slices.Equal(g.trees[d].parents(g.axes[d], Other), []string{whole.Key[d]}) && !g.holes[name(key)] {
		g.trees[d].grow(Other, whole.Key[d])
		g.add(key, left, cell{figure: -1, conf: free, finest: true})
		return
	}
	key[d] = rest(whole.Key[d])
	if _, taken := g.index[name(key)]; !taken {
		g.add(key, left, cell{figure: -1, conf: free})
		g.hide(len(g.cells) - 1)
	}
}

// dimension returns the codes of a dimension with their parents.
func (g *grid) dimension(a axis, d int) disclosure.Dimension {
	dimension := disclosure.Dimension{ID: a.dimension.ID}
	t := &g.trees[d]
	part := map[string]bool{}
	for _, code := range t.codes {
		for _, p := range t.parts[code] {
			dimension.Codes = append(dimension.Codes, disclosure.Code{Code: p, Parent: code})
			part[p] = true
		}
	}
	var roots []disclosure.Code
	for _, code := range t.codes {
		if !part[code] {
			roots = append(roots, disclosure.Code{Code: code})
		}
	}
	dimension.Codes = append(roots, dimension.Codes...)
	rests := map[string]bool{}
	for _, c := range g.table.Cells {
		if of, ok := strings.CutPrefix(c.Key[d], rest("")); ok && !rests[of] {
			rests[of] = true
			dimension.Codes = append(dimension.Codes, disclosure.Code{Code: rest(of), Parent: of})
		}
	}
	return dimension
}
