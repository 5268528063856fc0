package disclosure

import (
	"cmp"
	"io"
	"slices"

	"github.com/comity-federation/comity/services/fault"
)

// maxAbsent is how many cells that a table does not have are looked at.
const maxAbsent = 100_000

// Complete returns the table with the cells that it does not have and that yet tell something about those that it has, as
// withheld cells marked Absent, behind the others. Who sees the parts of a total by sex and by age, and not the total,
// knows that both sums are equal. It returns t itself where nothing more can be told than [Table.Equations] does.
//
// Random is read to find that out. Errors are faults of [Table.Check], one of kind Exhausted where a table has
// too many dimensions for its cells, and that of reading.
func (t *Table) Complete(random io.Reader) (*Table, error) {
	l, err := newLayout(t)
	if err != nil {
		return nil, err
	}
	c := completion{layout: l, table: t.Clone(), own: len(t.Cells)}
	c.parents()
	if err := c.ancestors(); err != nil {
		return nil, err
	}
	c.missing()
	if len(c.table.Cells) == c.own {
		return t, nil
	}
	before, _, err := t.Equations()
	if err != nil {
		return nil, err
	}
	equations, _, err := c.table.Equations()
	if err != nil {
		return nil, err
	}
	equations = c.prune(equations)
	more, err := c.tells(before, equations, random)
	if err != nil || !more {
		return t, err
	}
	return c.table, nil
}

// completion is a table to which absent cells are added.
type completion struct {
	*layout
	table *Table
	own   int         // the cells that the table has
	above [][][]int32 // of a dimension and a code: the codes that it is a part of
}

func (c *completion) parents() {
	c.above = make([][][]int32, len(c.dimensions))
	for d, tree := range c.dimensions {
		c.above[d] = make([][]int32, len(tree.codes))
		for code, ways := range tree.breakdowns {
			for _, parts := range ways {
				for _, part := range parts {
					if !slices.Contains(c.above[d][part], int32(code)) {
						c.above[d][part] = append(c.above[d][part], int32(code))
					}
				}
			}
		}
	}
}

// add adds the cell that differs from cell i in one dimension, unless it is there.
func (c *completion) add(i, d int, code int32, value int64) {
	key := slices.Clone(c.key(i))
	key[d] = code
	packed := string(pack(nil, key))
	if _, ok := c.cells[packed]; ok {
		return
	}
	c.cells[packed] = len(c.table.Cells)
	c.keys = append(c.keys, key...)
	names := make([]string, len(key))
	for d, code := range key {
		names[d] = c.dimensions[d].codes[code]
	}
	c.table.Cells = append(c.table.Cells, Cell{Key: names, Value: value, Status: Secondary, Absent: true})
}

// ancestors adds all cells that cells of the table are a part of, with the largest sum of parts as their values: what is
// missing makes a sum too small, never too large.
func (c *completion) ancestors() error {
	for i := 0; i < len(c.table.Cells); i++ {
		for d := range c.dimensions {
			for _, parent := range c.above[d][c.code(i, d)] {
				c.add(i, d, parent, 0)
			}
		}
		if len(c.table.Cells)-c.own > maxAbsent {
			return fault.New(fault.Exhausted, "LIMIT_EXCEEDED",
				"the cells have more than %d totals that are not in the table; leave dimensions out, or add totals", maxAbsent)
		}
	}
	absent := make([]int, 0, len(c.table.Cells)-c.own)
	for i := c.own; i < len(c.table.Cells); i++ {
		absent = append(absent, i)
	}
	height := c.heights()
	slices.SortStableFunc(absent, func(a, b int) int { return cmp.Compare(height[a], height[b]) })
	for _, i := range absent {
		for d := range c.dimensions {
			line := c.line(i, d)
			for _, parts := range c.dimensions[d].breakdowns[c.code(i, d)] {
				var sum int64
				for _, j := range line.collect(parts).cells {
					sum += c.table.Cells[j].Value
				}
				c.table.Cells[i].Value = max(c.table.Cells[i].Value, sum)
			}
		}
	}
	return nil
}

// heights returns for each cell a number that is larger than those of its parts.
func (c *completion) heights() []int {
	codes := make([][]int, len(c.dimensions))
	for d, tree := range c.dimensions {
		codes[d] = make([]int, len(tree.codes))
		var visit func(code int32) int
		visit = func(code int32) int {
			if codes[d][code] == 0 {
				most := 0
				for _, parts := range tree.breakdowns[code] {
					for _, part := range parts {
						most = max(most, visit(part))
					}
				}
				codes[d][code] = most + 1
			}
			return codes[d][code]
		}
		for code := range tree.codes {
			visit(int32(code))
		}
	}
	heights := make([]int, len(c.table.Cells))
	for i := range heights {
		for d := range c.dimensions {
			heights[i] += codes[d][c.code(i, d)]
		}
	}
	return heights
}

// missing adds the one part that a total lacks, with the value that it must have: it may be a part of another total too.
func (c *completion) missing() {
	for i := range len(c.table.Cells) {
		for d := range c.dimensions {
			for _, parts := range c.dimensions[d].breakdowns[c.code(i, d)] {
				line := c.line(i, d)
				left, lacks := c.table.Cells[i].Value, int32(-1)
				for _, part := range parts {
					j, ok := line.at(part)
					switch {
					case ok:
						left -= c.table.Cells[j].Value
					case lacks < 0:
						lacks = part
					default:
						left = 0
					}
				}
				if lacks >= 0 && left > 0 && len(c.table.Cells)-c.own <= 2*maxAbsent {
					c.add(i, d, lacks, left)
				}
			}
		}
	}
}

// prune takes absent cells out that are in one equation alone, with that, until there are none.
func (c *completion) prune(equations []Equation) []Equation {
	of := make([][]int, len(c.table.Cells))
	for n, e := range equations {
		for _, i := range e.cells() {
			if i >= c.own {
				of[i] = append(of[i], n)
			}
		}
	}
	degree, dropped := make([]int, len(c.table.Cells)), make([]bool, len(equations))
	var queue []int
	for i := c.own; i < len(of); i++ {
		if degree[i] = len(of[i]); degree[i] == 1 {
			queue = append(queue, i)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		for _, n := range of[queue[0]] {
			if dropped[n] {
				continue
			}
			dropped[n] = true
			for _, i := range equations[n].cells() {
				if degree[i]--; i >= c.own && degree[i] == 1 {
					queue = append(queue, i)
				}
			}
		}
	}
	at := make([]int, len(c.table.Cells))
	var kept []Cell
	for i, cell := range c.table.Cells {
		if i < c.own || degree[i] > 0 {
			at[i] = len(kept)
			kept = append(kept, cell)
		}
	}
	c.table.Cells = kept
	var left []Equation
	for n, e := range equations {
		if dropped[n] {
			continue
		}
		moved := Equation{Total: at[e.Total], Dimension: e.Dimension}
		for _, p := range e.Parts {
			moved.Parts = append(moved.Parts, at[p])
		}
		left = append(left, moved)
	}
	return left
}

// cells returns the total and the parts.
func (e Equation) cells() []int { return append([]int{e.Total}, e.Parts...) }

// tells reports whether the equations with absent cells say more about the cells of the table than those without.
func (c *completion) tells(before, after []Equation, random io.Reader) (bool, error) {
	if len(c.table.Cells) == c.own {
		return false, nil
	}
	all := make([]int, len(c.table.Cells))
	for i := range all {
		all[i] = i
	}
	without, err := newSystem(c.own, before).Rank(all[:c.own], random)
	if err != nil {
		return false, err
	}
	system := newSystem(len(all), after)
	with, err := system.Rank(all, random)
	if err != nil {
		return false, err
	}
	spent, err := system.Rank(all[c.own:], random)
	if err != nil {
		return false, err
	}
	return with-spent > without, nil
}
