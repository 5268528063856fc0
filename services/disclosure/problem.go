package disclosure

import (
	"cmp"
	"slices"
)

// problem is a table reduced to what suppression has to decide. Cells known to be 0 are gone. Cells that an equation of
// two makes equal are one class, which is withheld or shown as a whole: in sparse tables that is most of the margins.
type problem struct {
	table   *Table
	layout  *layout
	lines   []Equation // of the cells that are not known to be 0
	through [][]int32  // of each cell: its lines

	class   []int32   // of each cell; −1: known to be 0
	members [][]int32 // of each class: its cells
	value   []int64
	cost    []int64 // of withholding the class: the sum of its values
	need    []int64 // the width that the interval of a primary class must have; 0: not primary
	single  []bool  // a class with one contributor, who knows it
	shown   []bool  // must not be withheld
	hidden  []bool  // withheld from the beginning
	rows    []row
	in      [][]int32 // of each class: the rows that have it
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
	equations, _, err := t.Equations()
	if err != nil {
		return nil, err
	}
	p := &problem{table: t, layout: l, grand: t.GrandTotal(), through: make([][]int32, len(t.Cells))}
	open := make([]bool, len(t.Cells))
	for i, c := range t.Cells {
		open[i] = c.Status != Empty && (c.Value > 0 || c.Status.Suppressed())
	}
	for _, e := range equations {
		line := Equation{Total: e.Total, Dimension: e.Dimension}
		for _, part := range e.Parts {
			if open[part] {
				line.Parts = append(line.Parts, part)
			}
		}
		if !open[e.Total] || len(line.Parts) == 0 {
			continue // every part is known to be 0
		}
		number := int32(len(p.lines)) //nolint:gosec // far fewer than 2³¹
		p.lines = append(p.lines, line)
		p.through[line.Total] = append(p.through[line.Total], number)
		for _, part := range line.Parts {
			p.through[part] = append(p.through[part], number)
		}
	}
	p.merge(open)
	p.weigh(rules, pinned)
	p.equate()
	p.scratch = scratch{make([]int32, len(p.members)), make([]int32, len(p.rows)), make([]bool, len(p.members))}
	return p, nil
}

// merge puts cells into one class where an equation says that they are equal, as long as there are such equations.
func (p *problem) merge(open []bool) {
	parent := make([]int32, len(open))
	for i := range parent {
		parent[i] = int32(i)
	}
	find := func(i int) int32 {
		for parent[i] != int32(i) { //nolint:gosec // far fewer than 2³¹
			parent[i] = parent[parent[i]]
			i = int(parent[i])
		}
		return parent[i]
	}
	var net row
	for merged := true; merged; {
		merged = false
		for _, line := range p.lines {
			net = net[:0]
			net = append(net, term{find(line.Total), 1})
			for _, part := range line.Parts {
				net = append(net, term{find(part), -1})
			}
			net = net.sum()
			if len(net) == 2 && net[0].sign == -net[1].sign {
				parent[max(net[0].class, net[1].class)] = min(net[0].class, net[1].class)
				merged = true
			}
		}
	}
	p.class = make([]int32, len(open))
	number := map[int32]int32{}
	for i := range open {
		p.class[i] = -1
		if !open[i] {
			continue
		}
		root := find(i)
		k, ok := number[root]
		if !ok {
			k = int32(len(p.members)) //nolint:gosec // far fewer than 2³¹
			number[root] = k
			p.members = append(p.members, nil)
		}
		p.class[i] = k
		p.members[k] = append(p.members[k], int32(i))
	}
}

// sum adds up the signs of each class and drops what adds up to 0; it sorts by class.
func (r row) sum() row {
	slices.SortFunc(r, func(a, b term) int { return cmp.Compare(a.class, b.class) })
	out := r[:0]
	for _, t := range r {
		if n := len(out); n > 0 && out[n-1].class == t.class {
			out[n-1].sign += t.sign
			continue
		}
		if n := len(out); n > 0 && out[n-1].sign == 0 {
			out = out[:n-1]
		}
		out = append(out, t)
	}
	if n := len(out); n > 0 && out[n-1].sign == 0 {
		out = out[:n-1]
	}
	return out
}

// weigh says of each class what it costs and what it needs.
func (p *problem) weigh(rules *Rules, pinned []bool) {
	n := len(p.members)
	p.value, p.cost, p.need = make([]int64, n), make([]int64, n), make([]int64, n)
	p.single, p.shown, p.hidden = make([]bool, n), make([]bool, n), make([]bool, n)
	for k, cells := range p.members {
		for _, i := range cells {
			c := p.table.Cells[i]
			p.value[k] = c.Value
			if !c.Absent {
				p.cost[k] += c.Value
			}
			switch c.Status { //nolint:exhaustive // the others may be withheld or not
			case Primary:
				p.need[k] = max(p.need[k], min(rules.Width(c.Value), p.grand))
			case Secondary:
				p.hidden[k] = true
			}
			if i < int32(len(pinned)) && pinned[i] { //nolint:gosec // far fewer than 2³¹
				p.shown[k] = true
			}
			if (!c.Absent || c.Status == Primary) && (c.Value == 1 || len(c.Contributions) == 1) {
				p.single[k] = true
			}
		}
		if p.need[k] > 0 {
			p.hidden[k], p.shown[k] = true, false
		}
	}
}

// equate writes the lines as rows over classes, each once.
func (p *problem) equate() {
	p.in = make([][]int32, len(p.members))
	seen := map[string]bool{}
	var key []byte
	for _, line := range p.lines {
		r := row{{p.class[line.Total], 1}}
		for _, part := range line.Parts {
			r = append(r, term{p.class[part], -1})
		}
		r = r.sum()
		if len(r) == 0 {
			continue
		}
		key = key[:0]
		for _, t := range r {
			key = pack(key, []int32{t.class, int32(t.sign * r[0].sign)}) //nolint:gosec // signs are small
		}
		if seen[string(key)] {
			continue
		}
		seen[string(key)] = true
		number := int32(len(p.rows)) //nolint:gosec // far fewer than 2³¹
		p.rows = append(p.rows, slices.Clip(r))
		for _, t := range r {
			p.in[t.class] = append(p.in[t.class], number)
		}
	}
}

// primary reports whether a rule withholds the class.
func (p *problem) primary(class int32) bool { return p.need[class] > 0 }
