package disclosure

import (
	"cmp"
	"context"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
)

// solver looks for a cheap pattern. It measures its work by the numbers that it touches, so that no clock decides what it
// finds.
type solver struct {
	*pattern
	random *rand.Rand
	work   int
	most   int // the work that is allowed
}

// The parts of a table that are looked at, one after the other, until one is enough.
var (
	proofParts  = []reach{{3, false, 300}, {5, false, 800}, {5, true, 800}, {15, false, 1500}, {30, true, 800}, {0, false, 400}}
	quickParts  = proofParts[:3]
	deepParts   = append(slices.Clone(proofParts), reach{0, false, 1500}, reach{15, true, 1500}, reach{0, false, 4000})
	choiceParts = []reach{{7, false, 500}, {7, true, 800}, {3, false, 1500}, {15, false, 1500}, {15, true, 800}, {30, true, 800}}
	lastParts   = []reach{{5, false, 1500}, {10, false, 1500}, {2, true, 1500}, {20, false, 2000}, {0, false, 500}, {0, false, 3000}, {3, true, 4000}, {30, false, 4000}}
	wholeTable  = []reach{{0, false, math.MaxInt32}}
	ruinParts   = [][]reach{
		{{7, false, 800}, {7, true, 800}},
		{{7, true, 800}},
		{{15, true, 800}},
		{{0, false, 300}},
	}
)

const (
	steps      = 400            // of the simplex method, for a move
	tableWork  = 30_000_000_000 // of all, for an effort of 1
	quickWork  = 20_000_000_000 // of all, where any pattern will do
	coverUnit  = 20_000_000     // of protecting everything in a large table, times the number of classes
	ruinWork   = 1_500_000_000  // of a round of ruins
	ruinUnit   = 40             // of a round of ruins, times the square of the number of cells
	smallTable = 128            // classes of a table of which the cheapest of all patterns is looked for
	smallWork  = 6_000_000      // of all, in such a table, for an effort of 1
	smallRuin  = 300_000        // of a round of ruins
	cutWork    = 4_000_000      // of looking for the cheapest pattern
	cutRate    = 4              // so much work of that takes as long as 1 of other
	fillWork   = 1_500_000      // of making a pattern of one that leaves something open
)

// solve finds a pattern. It leaves unprotected what it cannot protect.
func (s *solver) solve(ctx context.Context, effort int) error {
	var order []int32
	for v := range s.members {
		if class := int32(v); s.preset(class) {
			order = append(order, class)
		}
	}
	descending(order, s.value)
	enough := max(tableWork*effort, quickWork)
	s.most = max(enough, coverUnit*len(s.members))
	if err := s.cover(ctx, order); err != nil {
		return err
	}
	s.most = max(enough, s.work+quickWork/2)
	if err := s.show(ctx, proofParts); err != nil {
		return err
	}
	if effort > 0 {
		if err := s.improve(ctx, order, effort); err != nil {
			return err
		}
	}
	for _, v := range s.secondaries() {
		if low, high := s.extremes(v); low == high {
			s.release(v) // it can be computed, so that it protects nothing
		}
	}
	s.commit()
	return nil
}

// safe reports whether all classes of those are protected.
func (s *solver) safe(order []int32) bool {
	return !slices.ContainsFunc(order, func(v int32) bool { return !s.protected(v) })
}

// cover protects the classes in their order: by what is withheld, where that is enough, else by withholding more, at last
// by whatever protects them.
func (s *solver) cover(ctx context.Context, order []int32) error {
	for _, v := range order {
		if !s.protected(v) {
			s.prove(v, proofParts)
		}
	}
	for _, parts := range [][]reach{choiceParts, lastParts} {
		for _, v := range order {
			if err := ctx.Err(); err != nil {
				return err
			}
			if s.work < s.most && !s.protected(v) {
				s.choose(v, parts)
			}
		}
	}
	for _, v := range order {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !s.protected(v) {
			s.trade(v)
		}
	}
	s.commit()
	return nil
}

// show shows again what need not be withheld, as far as those parts of the table prove: many at a time as long as that
// succeeds, which it mostly does in large tables.
func (s *solver) show(ctx context.Context, parts []reach) error {
	for left, some := s.secondaries(), 1; len(left) > 0 && s.work < s.most; {
		if err := ctx.Err(); err != nil {
			return err
		}
		some = min(some, len(left))
		switch {
		case some > 1 && s.drop(quickParts, left[:some]...), some == 1 && s.drop(parts, left[0]):
			left = left[some:]
			some *= 2
		case some == 1:
			left = left[1:]
		default:
			some = max(1, some/4)
		}
		s.commit()
	}
	return nil
}

// improve looks for cheaper patterns: in small tables for the cheapest of all, and otherwise, or where that takes too
// long, by ruining and recreating what there is, and showing what larger parts of the table prove then.
func (s *solver) improve(ctx context.Context, order []int32, effort int) error {
	c := s.newCutting(order)
	if c == nil {
		n := len(s.class)
		most := min(ruinWork, ruinUnit*n*n)
		if err := s.ruins(ctx, effort, most); err != nil {
			return err
		}
		s.most = min(s.most, s.work+most)
		return s.show(ctx, deepParts)
	}
	s.most = smallWork * effort
	if found, err := s.cut(ctx, c, cutRate*min(cutWork*effort, s.most-s.work)); found || err != nil {
		return err
	}
	if err := s.complete(ctx, c); err != nil {
		return err
	}
	if err := s.ruins(ctx, effort, smallRuin); err != nil {
		return err
	}
	_, err := s.cut(ctx, c, cutRate*(s.most-s.work)) // now that a cheaper one is known
	return err
}

// ruins ruins and recreates, in rounds of so much work at most.
func (s *solver) ruins(ctx context.Context, effort, most int) error {
	for round := range len(ruinParts) * effort {
		from, won := s.work, false
		for _, v := range s.secondaries() {
			if err := ctx.Err(); err != nil {
				return err
			}
			if s.in[v] && s.work-from < most && s.work < s.most {
				won = s.ruin(v, ruinParts[round%len(ruinParts)], round >= 2) || won
			}
		}
		if !won && round >= len(ruinParts)-1 {
			break
		}
	}
	return nil
}

func (s *solver) free(v int32) bool    { return s.in[v] }
func (s *solver) outside(v int32) bool { return !s.in[v] }
func (s *solver) refused(v int32) bool { return s.barred[v] }

// around iterates over dictionaries of parts of the table in which v can move, without those classes that skip names.
func (s *solver) around(v int32, parts []reach, skip func(class int32) bool) iter.Seq[*dictionary] {
	return func(yield func(*dictionary) bool) {
		var before []int32
		for _, part := range parts {
			classes := s.part(v, part, skip)
			if len(classes) == 0 || slices.Equal(classes, before) {
				continue
			}
			d := newDictionary(s.problem, classes, s.random)
			more := yield(d)
			if s.work += d.work; !more {
				return
			}
			before = classes
		}
	}
}

// part returns the classes of a part of the table that can move together with v; none: v cannot move in it. A part that is
// too large is made smaller until it is not.
func (s *solver) part(v int32, size reach, skip func(class int32) bool) []int32 {
	if size.m == 0 {
		classes := s.ball(v, size.most, skip)
		s.work += 100 * len(classes)
		return s.movable(classes, v)
	}
	for ; size.m > 0; size.m = size.m * 2 / 3 {
		s.work += 20 * len(s.class)
		classes := s.near(v, size, skip)
		if len(classes) > 4*size.most {
			continue
		}
		s.work += 50 * len(classes)
		if classes = s.movable(classes, v); len(classes) <= size.most {
			return classes
		}
	}
	return nil
}

// prove looks inside the pattern for points that protect v.
func (s *solver) prove(v int32, parts []reach) bool {
	if len(s.members) <= smallTable {
		parts = wholeTable
	}
	return s.protect(v, parts, s.outside)
}

// choose withholds more classes until v is protected, as cheaply as it can.
func (s *solver) choose(v int32, parts []reach) bool { return s.protect(v, parts, s.refused) }

// protect adds points that protect v and move no class that skip names.
func (s *solver) protect(v int32, parts []reach, skip func(class int32) bool) bool {
	if !s.wide(v) {
		for d := range s.around(v, parts, skip) {
			if s.widen(d, v); s.wide(v) {
				break
			}
		}
	}
	return s.wide(v) && s.keepSecret(v, parts, skip)
}

// widen adds the cheaper of the moves of v up and down that suffices, or both.
func (s *solver) widen(d *dictionary, v int32) {
	type move struct {
		point point
		cost  int64
		full  bool
	}
	var moves []move
	low, high := s.extremes(v)
	for _, up := range [2]bool{true, false} {
		goal := s.need[v] - high/scale
		if up {
			goal = s.need[v] + low/scale
		}
		f, cost, ok := d.find(quest{target: v, up: up, goal: goal, free: s.free, limit: steps})
		if !ok {
			continue
		}
		at := f.at(v)
		full := max(high, at)-min(low, at) >= s.need[v]*scale
		moves = append(moves, move{f, cost, full})
		if full && cost == 0 {
			break
		}
	}
	slices.SortStableFunc(moves, func(a, b move) int { return cmp.Compare(a.cost, b.cost) })
	for _, m := range moves {
		if m.full {
			s.add(m.point)
			return
		}
	}
	for _, m := range moves {
		s.add(m.point)
	}
}

// keepSecret looks for points that no contributor who knows a class can see through.
func (s *solver) keepSecret(v int32, parts []reach, skip func(class int32) bool) bool {
	for s.guard {
		suspects := s.confidants(v)
		if len(suspects) == 0 {
			return true
		}
		if !s.blend(suspects[0], v) && !s.moveWithout(suspects[0], v, parts, skip) {
			return false
		}
	}
	return true
}

// blend adds the middle between a point that moves u and v and one that moves u and not v, where there are both.
func (s *solver) blend(u, v int32) bool {
	var both, one *point
	for _, f := range s.of[u] {
		if !s.alive[f.point] {
			continue
		}
		p := &s.points[f.point]
		best := &one
		if p.at(v) != 0 {
			best = &both
		}
		if *best == nil || len(p.class) < len((*best).class) {
			*best = p
		}
	}
	if both == nil || one == nil {
		return false
	}
	f, ok := middle(both, one)
	if ok {
		s.add(f)
	}
	return ok
}

// moveWithout adds a point that moves v and leaves u as it is.
func (s *solver) moveWithout(u, v int32, parts []reach, skip func(class int32) bool) bool {
	without := func(class int32) bool { return class == u || skip(class) }
	for d := range s.around(v, parts, without) {
		var best point
		least := int64(-1)
		for _, up := range [2]bool{true, false} {
			f, cost, ok := d.find(quest{target: v, up: up, goal: 1, free: s.free, limit: steps})
			if ok && (least < 0 || cost < least) {
				best, least = f, cost
			}
		}
		if least >= 0 {
			s.add(best)
			return true
		}
	}
	return false
}

// drop shows classes again if those parts of the table prove that everything stays protected without them, and reports
// whether they do.
func (s *solver) drop(parts []reach, classes ...int32) bool {
	mark := len(s.journal)
	var affected []int32
	for _, v := range classes {
		affected = append(affected, s.dependents(v)...)
		s.release(v)
	}
	for _, u := range affected {
		if !s.protected(u) && !s.prove(u, parts) {
			s.undo(mark)
			return false
		}
	}
	return true
}

// ruin protects without v what v protected, and keeps that where it is cheaper. Thorough, it also tries what else could
// be shown then, and not only what it withheld itself.
func (s *solver) ruin(v int32, parts []reach, thorough bool) bool {
	mark, before := len(s.journal), s.spent
	affected := s.dependents(v)
	s.release(v)
	s.barred[v] = true
	ok := true
	for _, u := range affected {
		if !s.protected(u) && !s.choose(u, parts) || s.spent > before+s.cost[v] {
			ok = false
			break
		}
	}
	s.barred[v] = s.shown[v]
	if ok {
		for _, u := range s.changed(mark, thorough) {
			if s.in[u] {
				s.drop(proofParts, u)
			}
		}
	}
	if !ok || s.spent >= before {
		s.undo(mark)
		return false
	}
	s.commit()
	return true
}

// changed returns the secondary classes that were withheld since the mark, and with others those of points that were
// lost, the most expensive first.
func (s *solver) changed(mark int, others bool) []int32 {
	var classes []int32
	seen := map[int32]bool{}
	note := func(v int32) {
		if !seen[v] && s.in[v] && !s.hidden[v] {
			seen[v] = true
			classes = append(classes, v)
		}
	}
	for _, c := range s.journal[mark:] {
		switch {
		case c.kind == withheld:
			note(c.index)
		case c.kind == killed && others:
			for _, u := range s.points[c.index].class {
				note(u)
			}
		}
	}
	descending(classes, s.cost)
	return classes
}

// dependents returns the primary classes that are protected and that points through v move, the largest first.
func (s *solver) dependents(v int32) []int32 {
	var classes []int32
	seen := map[int32]bool{}
	for _, f := range s.of[v] {
		if !s.alive[f.point] {
			continue
		}
		for _, u := range s.points[f.point].class {
			if !seen[u] && s.preset(u) {
				seen[u] = true
				if s.protected(u) {
					classes = append(classes, u)
				}
			}
		}
	}
	descending(classes, s.value)
	return classes
}

// secondaries returns the classes that were withheld on the way, the most expensive first.
func (s *solver) secondaries() []int32 {
	var classes []int32
	for v := range s.in {
		if s.in[v] && !s.hidden[v] {
			classes = append(classes, int32(v))
		}
	}
	descending(classes, s.cost)
	return classes
}
