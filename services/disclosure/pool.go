package disclosure

import (
	"math/bits"
	"slices"
)

// scale is the common denominator of the moves of points: vertices of tables have small denominators, which divide it.
const scale = 60

// point is a way in which the withheld figures may differ from the true ones without any reader seeing it: its moves
// solve every equation, no figure falls below 0 or rises above the grand total, and only withheld classes move.
type point struct {
	class []int32 // sorted
	move  []int64 // in units of 1/scale, none 0
}

// at returns the move of the class.
func (f *point) at(class int32) int64 {
	if k, ok := slices.BinarySearch(f.class, class); ok {
		return f.move[k]
	}
	return 0
}

// valid checks a point exactly against every equation that it touches and against the bounds.
func (p *problem) valid(f *point) bool {
	sums, touched := p.scratch.sums, p.scratch.touched[:0]
	ok := true
	for k, v := range f.class {
		value := p.value[v] * scale
		ok = ok && f.move[k] != 0 && f.move[k] >= -value && f.move[k] <= p.grand*scale-value
		for n, r := range p.in[v] {
			sums[r] += p.sign[v][n] * f.move[k]
			touched = append(touched, r)
		}
	}
	for _, r := range touched {
		ok = ok && sums[r] == 0
	}
	for _, r := range touched {
		sums[r] = 0
	}
	p.scratch.touched = touched
	return ok
}

// pattern is what is withheld, with the points that prove what that protects. Every change is journalled, so that an
// attempt that does not pay is undone completely.
type pattern struct {
	*problem
	guard   bool // against contributors who know their own class
	in      []bool
	barred  []bool // not to be withheld, for now
	spent   int64  // of what is withheld and was not from the beginning
	points  []point
	alive   []bool    // a point of which every class is withheld
	of      [][]share // of each class: the points that move it, dead ones included
	seen    []outlook // of each class
	journal []change
}

// outlook is what the living points show of a class.
type outlook struct {
	known     bool  // low and high are
	low, high int64 // how far they move it down and up, in units of 1/scale
	secret    verdict
}

// verdict says whether no contributor can compute a class.
type verdict uint8

const (
	open verdict = iota
	yes
	no
)

// share is how far a point moves a class.
type share struct {
	point int32
	move  int64
}

type change struct {
	kind  uint8
	index int32 // of a class or a point
}

const (
	withheld uint8 = iota
	released
	killed
	added
)

func newPattern(p *problem, guard bool) *pattern {
	n := len(p.members)
	s := &pattern{
		problem: p, guard: guard, in: make([]bool, n), barred: slices.Clone(p.shown), of: make([][]share, n),
		seen: make([]outlook, n),
	}
	for v := range n {
		s.in[v] = p.hidden[v]
	}
	return s
}

// withhold puts a class into the pattern.
func (s *pattern) withhold(v int32) {
	s.in[v] = true
	s.spent += s.cost[v]
	s.journal = append(s.journal, change{withheld, v})
}

// release takes a class out of the pattern, and with it the points that move it.
func (s *pattern) release(v int32) {
	s.in[v] = false
	s.spent -= s.cost[v]
	s.journal = append(s.journal, change{released, v})
	for _, f := range s.of[v] {
		if s.alive[f.point] {
			s.alive[f.point] = false
			s.forget(f.point)
			s.journal = append(s.journal, change{killed, f.point})
		}
	}
}

// add keeps a point that was found valid, and withholds what it moves.
func (s *pattern) add(f point) {
	for _, v := range f.class {
		if !s.in[v] {
			s.withhold(v)
		}
	}
	number := int32(len(s.points)) //nolint:gosec // far fewer than 2³¹
	s.points = append(s.points, f)
	s.alive = append(s.alive, true)
	for k, v := range f.class {
		s.of[v] = append(s.of[v], share{number, f.move[k]})
	}
	s.forget(number)
	s.journal = append(s.journal, change{added, number})
}

// forget makes what is seen of the classes of a point be looked up again.
func (s *pattern) forget(f int32) {
	for _, v := range s.points[f].class {
		s.seen[v] = outlook{}
	}
}

// undo takes back every change since the journal had the length mark.
func (s *pattern) undo(mark int) {
	for len(s.journal) > mark {
		last := s.journal[len(s.journal)-1]
		s.journal = s.journal[:len(s.journal)-1]
		switch last.kind {
		case withheld:
			s.in[last.index] = false
			s.spent -= s.cost[last.index]
		case released:
			s.in[last.index] = true
			s.spent += s.cost[last.index]
		case killed:
			s.alive[last.index] = true
			s.forget(last.index)
		case added:
			s.forget(last.index)
			for _, v := range s.points[last.index].class {
				s.of[v] = s.of[v][:len(s.of[v])-1]
			}
			s.points = s.points[:last.index]
			s.alive = s.alive[:last.index]
		}
	}
}

// commit makes the changes final and drops dead points where they are many.
func (s *pattern) commit() {
	s.journal = s.journal[:0]
	dead := 0
	for _, alive := range s.alive {
		if !alive {
			dead++
		}
	}
	if dead < 64 || dead < len(s.points)/2 {
		return
	}
	points := s.points
	keep := s.alive
	s.points, s.alive = nil, nil
	for v := range s.of {
		s.of[v] = s.of[v][:0]
		s.seen[v] = outlook{}
	}
	for k, f := range points {
		if !keep[k] {
			continue
		}
		number := int32(len(s.points)) //nolint:gosec // far fewer than 2³¹
		s.points = append(s.points, f)
		s.alive = append(s.alive, true)
		for k, v := range f.class {
			s.of[v] = append(s.of[v], share{number, f.move[k]})
		}
	}
}

// extremes returns how far the living points move the class down and up, in units of 1/scale.
func (s *pattern) extremes(v int32) (low, high int64) {
	o := &s.seen[v]
	if !o.known {
		o.known = true
		for _, f := range s.of[v] {
			if s.alive[f.point] {
				o.low, o.high = min(o.low, f.move), max(o.high, f.move)
			}
		}
	}
	return o.low, o.high
}

// wide reports whether the points prove the width that the class needs.
func (s *pattern) wide(v int32) bool {
	low, high := s.extremes(v)
	return high-low >= s.need[v]*scale
}

// protected reports whether the points prove that nobody can have the class: that its interval is wide enough, and, with
// the guard, that no contributor who knows a class of one can compute it.
func (s *pattern) protected(v int32) bool {
	return s.wide(v) && (!s.guard || s.secret(v))
}

// secret reports whether no contributor who knows a class can compute v.
func (s *pattern) secret(v int32) bool {
	o := &s.seen[v]
	if o.secret == open {
		o.secret = no
		if len(s.confidants(v)) == 0 {
			o.secret = yes
		}
	}
	return o.secret == yes
}

// confidants returns the classes of one contributor whose value gives away that of v, as far as the points show: in every
// point both move in one proportion.
func (s *pattern) confidants(v int32) []int32 {
	var first *point // the one of fewest classes
	for _, f := range s.of[v] {
		if here := &s.points[f.point]; s.alive[f.point] && (first == nil || len(here.class) < len(first.class)) {
			first = here
		}
	}
	if first == nil {
		return nil
	}
	var suspects []int32
	for _, u := range first.class {
		if u != v && s.single[u] {
			suspects = append(suspects, u)
		}
	}
	move := first.at(v)
	for _, f := range s.of[v] {
		if len(suspects) == 0 {
			break
		}
		if here := &s.points[f.point]; s.alive[f.point] && here != first {
			suspects = slices.DeleteFunc(suspects, func(u int32) bool {
				return !proportional(here.at(u), f.move, first.at(u), move)
			})
		}
	}
	return suspects
}

// middle returns the point half way between two: what is between possible points is possible. It reports false where its
// moves are no multiples of 1/scale.
func middle(f, g *point) (point, bool) {
	var m point
	for i, j := 0, 0; i < len(f.class) || j < len(g.class); {
		var class int32
		var move int64
		switch {
		case j == len(g.class) || i < len(f.class) && f.class[i] < g.class[j]:
			class, move = f.class[i], f.move[i]
			i++
		case i == len(f.class) || g.class[j] < f.class[i]:
			class, move = g.class[j], g.move[j]
			j++
		default:
			class, move = f.class[i], f.move[i]+g.move[j]
			i++
			j++
		}
		if move%2 != 0 {
			return m, false
		}
		if move != 0 {
			m.class, m.move = append(m.class, class), append(m.move, move/2)
		}
	}
	return m, true
}

// proportional reports whether a is to b as c is to d.
func proportional(a, b, c, d int64) bool {
	if (a < 0) != (b < 0) != ((c < 0) != (d < 0)) {
		return a == 0 && c == 0
	}
	high, low := bits.Mul64(uint64(abs(a)), uint64(abs(d)))   //nolint:gosec // not negative
	high2, low2 := bits.Mul64(uint64(abs(b)), uint64(abs(c))) //nolint:gosec // not negative
	return high == high2 && low == low2
}
