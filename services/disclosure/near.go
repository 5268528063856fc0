package disclosure

import (
	"cmp"
	"slices"
)

// region is a part of a table: the cells whose code is chosen in every dimension.
type region struct {
	*pattern
	m      int                    // how many cells of a line to take
	skip   func(class int32) bool // classes to leave out
	chosen [][]bool               // of each dimension and code
	seen   map[int32]bool         // lines
	cells  []int                  // reached along lines
}

// reach says how large a part of a table to look at.
type reach struct {
	m    int  // how many cells of a line to take; 0: follow equations instead of lines
	wide bool // whether to take the lines through all totals, or only through those that are nearest
	most int  // how many classes that can move together are too many to look at
}

// near returns the classes of a part of the table around v: those cells whose codes lie, in every dimension, on the lines
// through v and its totals, taking of each line only the most cheaply withheld cells, and what these are broken down by.
// It leaves out classes that skip names.
func (s *pattern) near(v int32, size reach, skip func(class int32) bool) []int32 {
	r := region{pattern: s, m: size.m, skip: skip, chosen: make([][]bool, len(s.layout.dimensions)), seen: map[int32]bool{}}
	for d := range r.chosen {
		r.chosen[d] = make([]bool, len(s.layout.dimensions[d].codes))
	}
	for _, i := range s.members[v] {
		r.take(int(i))
	}
	totals := r.totals()
	for d := range r.chosen {
		for _, cell := range totals {
			if r.walk(cell, d) && !size.wide && s.class[cell] != v {
				break
			}
		}
	}
	for k := 0; k < len(r.cells); k++ {
		for _, number := range s.through[r.cells[k]] {
			if line := &s.lines[number]; line.Total == r.cells[k] && !r.broken(line) {
				r.cross(number)
			}
		}
	}
	return r.classes()
}

// ball returns the classes that are nearest to v, as far as equations lead from one to the next, without those that skip
// names.
func (s *pattern) ball(v int32, most int, skip func(class int32) bool) []int32 {
	taken := s.scratch.inside
	classes := []int32{v}
	taken[v] = true
	for k := 0; k < len(classes); k++ {
		for _, r := range s.problem.in[classes[k]] {
			for _, t := range s.rows[r] {
				if u := t.class; len(classes) < most && !taken[u] && !skip(u) {
					taken[u] = true
					classes = append(classes, u)
				}
			}
		}
	}
	for _, u := range classes {
		taken[u] = false
	}
	slices.Sort(classes)
	return classes
}

// totals returns the cells reached so far and all their totals, the nearest first.
func (r *region) totals() []int {
	cells := slices.Clone(r.cells)
	seen := map[int]bool{}
	for k := 0; k < len(cells); k++ {
		for _, number := range r.through[cells[k]] {
			if total := r.lines[number].Total; total != cells[k] && !seen[total] {
				seen[total] = true
				cells = append(cells, total)
			}
		}
	}
	return cells
}

// walk takes what can be reached from a cell along the lines of dimension d. It reports whether there is any line.
func (r *region) walk(cell, d int) bool {
	from := len(r.cells)
	r.take(cell)
	found := false
	for k := from; k < len(r.cells); k++ {
		for _, number := range r.through[r.cells[k]] {
			line := &r.lines[number]
			if line.Dimension != d {
				continue
			}
			found = true
			if !r.seen[number] {
				r.take(line.Total)
				r.cross(number)
			}
		}
	}
	return found
}

// take takes a cell into the region.
func (r *region) take(cell int) {
	for d := range r.chosen {
		r.chosen[d][r.layout.code(cell, d)] = true
	}
	r.cells = append(r.cells, cell)
}

// broken reports whether a part of the line lies in the region.
func (r *region) broken(line *Equation) bool {
	return slices.ContainsFunc(line.Parts, func(part int) bool {
		return r.chosen[line.Dimension][r.layout.code(part, line.Dimension)] && !r.skip(r.class[part])
	})
}

// cross takes the most cheaply withheld parts of a line into the region.
func (r *region) cross(number int32) {
	if r.seen[number] {
		return
	}
	r.seen[number] = true
	type candidate struct {
		cell int
		cost int64
	}
	var candidates []candidate
	for _, part := range r.lines[number].Parts {
		class := r.class[part]
		switch {
		case r.skip(class):
		case r.in[class]:
			candidates = append(candidates, candidate{part, 0})
		default:
			candidates = append(candidates, candidate{part, r.cost[class] + 1})
		}
	}
	if len(candidates) > r.m {
		slices.SortFunc(candidates, func(a, b candidate) int {
			return cmp.Or(cmp.Compare(a.cost, b.cost), cmp.Compare(a.cell, b.cell))
		})
		candidates = candidates[:r.m]
	}
	for _, c := range candidates {
		r.take(c.cell)
	}
}

// classes returns the classes of the cells in the region.
func (r *region) classes() []int32 {
	taken := make([]bool, len(r.members))
	var classes []int32
	for i, class := range r.class {
		if class < 0 || taken[class] || r.skip(class) {
			continue
		}
		inside := true
		for d := range r.chosen {
			if !r.chosen[d][r.layout.code(i, d)] {
				inside = false
				break
			}
		}
		if inside {
			taken[class] = true
			classes = append(classes, class)
		}
	}
	slices.Sort(classes)
	return classes
}
