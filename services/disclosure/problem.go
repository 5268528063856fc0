package disclosure

// problem is a table reduced to what suppression has to decide: its [Classes], each of which is withheld or shown as a
// whole. In sparse tables they are far fewer than the cells.
type problem struct {
	table   *Table
	layout  *layout
	lines   []Equation // of the cells that are not empty
	through [][]int32  // of each cell: its lines

	class   []int32   // of each cell; −1: it is empty
	members [][]int32 // of each class: its cells
	value   []int64
	cost    []int64 // of withholding the class: the sum of its values
	need    []int64 // the width that the interval of a class must have that is withheld from the beginning
	single  []bool  // a class with one contributor, who knows it
	shown   []bool  // must not be withheld
	hidden  []bool  // withheld from the beginning
	rows    []row
	in      [][]int32 // of each class: the rows that have it
	sign    [][]int64 // of each class: its signs in these
	grand   int64     // no value is larger
	scratch scratch
}

// row is an equation over classes: the moves of its classes, times the signs, add up to 0.
type row []term

type term struct {
	class int32
	sign  int64
}

// newProblem merges the cells of a table whose primary cells are decided. The first of its cells are those that pinned
// is about: true, a cell that must stay shown.
func newProblem(t *Table, rules *Rules, pinned []bool) (*problem, error) {
	l, err := newLayout(t)
	if err != nil {
		return nil, err
	}
	equations, _ := l.equations(t)
	p := &problem{table: t, layout: l, grand: t.GrandTotal(), through: make([][]int32, len(t.Cells))}
	for _, e := range equations {
		line := Equation{Total: e.Total, Dimension: e.Dimension}
		for _, part := range e.Parts {
			if t.Cells[part].Status != Empty {
				line.Parts = append(line.Parts, part)
			}
		}
		if t.Cells[e.Total].Status == Empty || len(line.Parts) == 0 {
			continue
		}
		number := int32(len(p.lines)) //nolint:gosec // far fewer than 2³¹
		p.lines = append(p.lines, line)
		for _, i := range line.cells() {
			p.through[i] = append(p.through[i], number)
		}
	}
	p.take(Merge(t, equations))
	p.weigh(rules, pinned)
	p.scratch = scratch{
		local: make([]int32, len(p.members)), left: make([]int32, len(p.rows)), inside: make([]bool, len(p.members)),
		sums: make([]int64, len(p.rows)),
	}
	return p, nil
}

// take takes over classes and the equations between them.
func (p *problem) take(c *Classes) {
	p.class, p.members, p.value = make([]int32, len(c.Of)), make([][]int32, len(c.Members)), c.Values
	for i, class := range c.Of {
		p.class[i] = int32(class) //nolint:gosec // far fewer than 2³¹
		if class >= 0 {
			p.members[class] = append(p.members[class], int32(i))
		}
	}
	p.in, p.sign = make([][]int32, len(c.Members)), make([][]int64, len(c.Members))
	for number, e := range c.System().Equations {
		r := make(row, len(e))
		for k, t := range e {
			r[k] = term{int32(t.Unknown), t.Coefficient} //nolint:gosec // far fewer than 2³¹
			p.in[t.Unknown] = append(p.in[t.Unknown], int32(number))
			p.sign[t.Unknown] = append(p.sign[t.Unknown], t.Coefficient)
		}
		p.rows = append(p.rows, r)
	}
}

// weigh says of each class what it costs and what it needs.
func (p *problem) weigh(rules *Rules, pinned []bool) {
	n := len(p.members)
	p.cost, p.need = make([]int64, n), make([]int64, n)
	p.single, p.shown, p.hidden = make([]bool, n), make([]bool, n), make([]bool, n)
	for k, cells := range p.members {
		withheld := false
		p.hidden[k] = true // unless the table has a cell of the class, which may be shown
		for _, i := range cells {
			c := p.table.Cells[i]
			if c.Absent && c.Status != Primary {
				continue
			}
			p.hidden[k] = false
			if !c.Absent {
				p.cost[k] += c.Value
			}
			switch c.Status { //nolint:exhaustive // the others may be withheld or not
			case Primary:
				p.need[k] = max(p.need[k], min(rules.Width(c.Value), p.grand))
				withheld = true
			case Secondary:
				p.need[k] = max(p.need[k], min(1, p.grand))
				withheld = true
			}
			if int(i) < len(pinned) && pinned[i] {
				p.shown[k] = true
			}
			p.single[k] = p.single[k] || c.single()
		}
		if withheld { // also in a table of nothing, where no interval is wide
			p.hidden[k], p.shown[k] = true, false
		}
	}
}

// preset reports whether the class is withheld from the beginning, so that it has to be protected.
func (p *problem) preset(class int32) bool { return p.need[class] > 0 }
