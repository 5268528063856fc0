package linear

import (
	"cmp"
	"math"
	"slices"
)

// reduced is a region as deviations from its inner point, in which unknowns that an equation ties together are one and
// those that cannot deviate are none.
type reduced struct {
	of           []int   // unknown of the region → unknown here; −1: it does not deviate
	sign         []int64 // unknown of the region → 1, or −1 where it deviates against the unknown here
	system       *System
	lower, upper []int64 // what equations, one by one, leave of the bounds
}

// Bounds settle in a few passes, or creep for ever.
const passes = 12

// reduce returns the region reduced. Two unknowns that are alone in an equation with coefficients ±c are one; where they
// free others that are alone, again.
func (r *Region) reduce() *reduced {
	n := r.System.Unknowns
	w := reduction{parent: make([]int, n), against: make([]bool, n), lower: make([]int64, n), upper: make([]int64, n)}
	for u := range n {
		w.parent[u] = u
		w.lower[u], w.upper[u] = r.Lower[u]-r.Inside[u], r.Upper[u]-r.Inside[u]
	}
	w.equations = make([]Equation, len(r.System.Equations))
	for e, equation := range r.System.Equations {
		w.equations[e] = slices.Clone(equation)
	}
	for w.unite() || w.tighten() {
	}
	return w.number()
}

// reduction is a region on the way to being reduced.
type reduction struct {
	parent       []int
	against      []bool // the unknown deviates against its parent
	lower, upper []int64
	equations    []Equation
}

// root returns the unknown that stands for u, and whether u deviates against it.
func (w *reduction) root(u int) (root int, against bool) {
	if w.parent[u] == u {
		return u, false
	}
	root, against = w.root(w.parent[u])
	w.parent[u], w.against[u] = root, against != w.against[u]
	return root, w.against[u]
}

// unite writes the equations in terms of the unknowns that stand for others, drops those of which nothing is left, and
// unites what two of a kind tie together. It reports whether it did.
func (w *reduction) unite() bool {
	changed := false
	left := w.equations[:0]
	for _, equation := range w.equations {
		for i, t := range equation {
			root, against := w.root(t.Unknown)
			if against {
				t.Coefficient = -t.Coefficient
			}
			if w.lower[root] == w.upper[root] {
				t.Coefficient = 0
			}
			equation[i] = Term{Unknown: root, Coefficient: t.Coefficient}
		}
		equation = equation.sum()
		switch {
		case len(equation) == 0:
		case len(equation) == 1:
			w.lower[equation[0].Unknown], w.upper[equation[0].Unknown] = 0, 0
			changed = true
		case len(equation) == 2 && (equation[0].Coefficient == equation[1].Coefficient || equation[0].Coefficient == -equation[1].Coefficient):
			w.join(equation[0].Unknown, equation[1].Unknown, equation[0].Coefficient == equation[1].Coefficient)
			changed = true
		default:
			left = append(left, equation)
		}
	}
	w.equations = left
	return changed
}

// sum adds up the coefficients of each unknown.
func (e Equation) sum() Equation {
	slices.SortFunc(e, func(a, b Term) int { return cmp.Compare(a.Unknown, b.Unknown) })
	left := e[:0]
	for _, t := range e {
		if last := len(left) - 1; last >= 0 && left[last].Unknown == t.Unknown {
			left[last].Coefficient += t.Coefficient
		} else {
			left = append(left, t)
		}
	}
	return slices.DeleteFunc(left, func(t Term) bool { return t.Coefficient == 0 })
}

// join makes one of two unknowns.
func (w *reduction) join(a, b int, against bool) {
	w.parent[b], w.against[b] = a, against
	low, high := w.lower[b], w.upper[b]
	if against {
		low, high = -high, -low
	}
	w.lower[a], w.upper[a] = max(w.lower[a], low), min(w.upper[a], high)
}

// tighten draws the bounds of each unknown in as far as those of the others in an equation ask, and reports whether an
// unknown lost all its room.
func (w *reduction) tighten() bool {
	lost := false
	for changed, pass := true, 0; changed && pass < passes; pass++ {
		changed = false
		for _, equation := range w.equations {
			var size float64
			for _, t := range equation {
				size += math.Abs(float64(t.Coefficient)) * float64(w.upper[t.Unknown]-w.lower[t.Unknown])
			}
			if size > 1<<60 {
				continue
			}
			least, most := int64(0), int64(0)
			for _, t := range equation {
				low, high := t.times(w.lower[t.Unknown], w.upper[t.Unknown])
				least, most = least+low, most+high
			}
			for _, t := range equation {
				low, high := t.times(w.lower[t.Unknown], w.upper[t.Unknown])
				// The term is what the others lack to 0.
				from, to := high-most, low-least
				if t.Coefficient < 0 {
					from, to = -to, -from
				}
				by := max(t.Coefficient, -t.Coefficient)
				from, to = -((-from + by - 1) / by), (to+by-1)/by // outwards; from ≤ 0 ≤ to
				if from > w.lower[t.Unknown] || to < w.upper[t.Unknown] {
					oldLow, oldHigh := low, high
					w.lower[t.Unknown], w.upper[t.Unknown] = max(from, w.lower[t.Unknown]), min(to, w.upper[t.Unknown])
					low, high = t.times(w.lower[t.Unknown], w.upper[t.Unknown])
					least, most = least+low-oldLow, most+high-oldHigh
					changed = true
					lost = lost || w.lower[t.Unknown] == w.upper[t.Unknown]
				}
			}
		}
	}
	return lost
}

// times returns the bounds of the term where those of its unknown are given.
func (t Term) times(lower, upper int64) (low, high int64) {
	if t.Coefficient < 0 {
		return t.Coefficient * upper, t.Coefficient * lower
	}
	return t.Coefficient * lower, t.Coefficient * upper
}

// number gives those unknowns numbers that stand for others and deviate.
func (w *reduction) number() *reduced {
	n := len(w.parent)
	d := &reduced{of: make([]int, n), sign: make([]int64, n), system: &System{}}
	numbers := make([]int, n)
	for u := range n {
		if w.parent[u] == u && w.lower[u] < w.upper[u] {
			numbers[u] = d.system.Unknowns
			d.system.Unknowns++
			d.lower, d.upper = append(d.lower, w.lower[u]), append(d.upper, w.upper[u])
		}
	}
	for u := range n {
		root, against := w.root(u)
		d.of[u], d.sign[u] = -1, 1
		if w.lower[root] < w.upper[root] {
			d.of[u] = numbers[root]
		}
		if against {
			d.sign[u] = -1
		}
	}
	for _, equation := range w.equations {
		for i := range equation {
			equation[i].Unknown = numbers[equation[i].Unknown]
		}
	}
	d.system.Equations = w.equations
	return d
}

// components splits the unknowns of a system into those that equations link. of tells the component of each unknown.
func (s *System) components() (members [][]int, of []int) {
	parent := make([]int, s.Unknowns)
	for u := range parent {
		parent[u] = u
	}
	root := func(u int) int {
		for parent[u] != u {
			parent[u] = parent[parent[u]]
			u = parent[u]
		}
		return u
	}
	for _, equation := range s.Equations {
		for _, t := range equation[min(1, len(equation)):] {
			parent[root(t.Unknown)] = root(equation[0].Unknown)
		}
	}
	of = make([]int, s.Unknowns)
	number := make(map[int]int)
	for u := range s.Unknowns {
		at, ok := number[root(u)]
		if !ok {
			at = len(members)
			number[root(u)] = at
			members = append(members, nil)
		}
		of[u] = at
		members[at] = append(members[at], u)
	}
	return members, of
}
