package ledger

import (
	"context"
	"fmt"
	"math/bits"
	"slices"
)

// protected reports whether points prove that nobody has an unknown: that its interval is wide enough, and that no
// contributor who knows another unknown can compute it.
func (a *audit) protected(ctx context.Context, u ID) (bool, error) {
	if !a.wide(u) {
		return false, nil
	}
	s, err := a.betrayers(ctx, u)
	return len(s) == 0, err
}

// betrayers returns the unknowns of one contributor that give u away, as far as the points show, and are other figures.
func (a *audit) betrayers(ctx context.Context, u ID) ([]ID, error) {
	if a.unknowns[u].need() == 0 {
		return nil, nil
	}
	return a.others(ctx, u, a.confidants(u, a.alive))
}

// confidants returns the open unknowns of one contributor that move in one proportion with u in all points of u that
// count. That a point moves them and not u would do as well; it may be gone without anything that moves u being so.
func (v *view) confidants(u ID, counts []bool) []ID {
	var first *Point
	var suspects []ID
	for _, k := range v.of[u] {
		if !counts[k] {
			continue
		}
		here := &v.points[k]
		if first == nil {
			first = here
			for _, s := range here.Unknowns {
				if s != u && v.unknowns[s].Single && v.unknowns[s].Open {
					suspects = append(suspects, s)
				}
			}
		} else {
			suspects = slices.DeleteFunc(suspects, func(s ID) bool {
				return !proportional(here.at(s), here.at(u), first.at(s), first.at(u))
			})
		}
		if len(suspects) == 0 {
			return nil
		}
	}
	return suspects
}

// parts returns a living point of u in which s moves in another proportion than in the first of u that is kept.
func (v *view) parts(u, s ID, kept []bool) (point int, ok bool) {
	var first *Point
	for _, k := range v.of[u] {
		if kept[k] {
			first = &v.points[k]
			break
		}
	}
	for _, k := range v.of[u] {
		if p := &v.points[k]; v.alive[k] && !proportional(p.at(s), p.at(u), first.at(s), first.at(u)) {
			return k, true
		}
	}
	return 0, false
}

// proportional reports whether a is to b as c is to d.
func proportional(a, b, c, d int64) bool {
	if (a < 0) != (b < 0) != ((c < 0) != (d < 0)) {
		return a == 0 && c == 0
	}
	high, low := bits.Mul64(magnitude(a), magnitude(d))
	high2, low2 := bits.Mul64(magnitude(b), magnitude(c))
	return high == high2 && low == low2
}

func magnitude(a int64) uint64 { return uint64(max(a, -a)) } //nolint:gosec // not negative

// others returns those of the suspects that are not the same figure as u: where all parts of a total but one are 0, who is
// alone in it is alone in that part, and that is his own. So is a figure that one person was, and that a revision put
// under another cell.
func (a *audit) others(ctx context.Context, u ID, suspects []ID) ([]ID, error) {
	if len(suspects) == 0 {
		return nil, nil
	}
	same, front := map[ID]bool{u: true}, []ID{u}
	for len(front) > 0 {
		if err := a.loadLines(ctx, front); err != nil {
			return nil, err
		}
		var next []ID
		for _, x := range front {
			for _, k := range a.through[x] {
				twin := a.twin(a.lines[k], x)
				if twin != 0 && !same[twin] {
					same[twin] = true
					next = append(next, twin)
				}
			}
		}
		front = next
	}
	var others []ID
	for _, s := range suspects {
		if same[s] {
			continue
		}
		moved, err := a.moved(ctx, u, s)
		if err != nil {
			return nil, err
		}
		if !moved {
			others = append(others, s)
		}
	}
	return others, nil
}

// moved reports whether a revision put one person under another cell: both cells are 1, there is no revision in which both
// figures were in force, and neither can change without the other.
func (a *audit) moved(ctx context.Context, u, s ID) (bool, error) {
	x, y := a.unknowns[u], a.unknowns[s]
	if x.Value != 1 || y.Value != 1 || x.Revision == y.Revision {
		return false, nil
	}
	if x.Revision > y.Revision {
		x, y = y, x
	}
	history, err := a.stack.Cells(ctx, []string{x.Cell})
	if err != nil {
		return false, fmt.Errorf("reading cells of a ledger: %w", err)
	}
	gone := slices.ContainsFunc(history, func(h Unknown) bool { return x.Revision < h.Revision && h.Revision <= y.Revision })
	if i, ok := a.draft.index[x.Cell]; ok && a.cells[i] != x.ID && x.Revision < a.revision && a.revision <= y.Revision {
		gone = true
	}
	if !gone {
		return false, nil
	}
	for _, k := range a.of[u] {
		if p := &a.points[k]; a.alive[k] && p.at(u) != p.at(s) {
			return false, nil
		}
	}
	return true, nil
}

// twin returns the unknown that a line makes the same figure as x; 0 where it does not.
func (v *view) twin(l Line, x ID) ID {
	var only ID
	for _, p := range l.Parts {
		if v.unknowns[p].Value == 0 {
			continue
		}
		if only != 0 {
			return 0
		}
		only = p
	}
	switch x {
	case l.Total:
		return only
	case only:
		return l.Total
	default:
		return 0
	}
}

// conceal seeks points by which nobody who is alone in another cell can compute u.
func (a *audit) conceal(ctx context.Context, u ID, reaches ...reach) (bool, error) {
	for {
		betrayers, err := a.betrayers(ctx, u)
		if err != nil || len(betrayers) == 0 {
			return err == nil, err
		}
		s, ok := betrayers[0], false
		for _, r := range reaches {
			if ok, err = a.without(ctx, u, s, r); err == nil && !ok {
				ok, err = a.liftWithout(ctx, u, s, r.further)
			}
			if err != nil || ok {
				break
			}
		}
		if err != nil || !ok {
			return false, err
		}
	}
}

// liftWithout tries to save a point of before in which u moves in another proportion to s than in those that are left, if
// need be by withholding further cells.
func (a *audit) liftWithout(ctx context.Context, u, s ID, further bool) (bool, error) {
	var living *Point
	for _, k := range a.of[u] {
		if a.alive[k] {
			living = &a.points[k]
			break
		}
	}
	var best map[ID]int64
	for _, k := range a.of[u] {
		p := &a.points[k]
		if a.alive[k] || p.ID == 0 {
			continue
		}
		moves := a.lifted(p)
		if moves == nil || !further && a.costs(moves) > 0 || living != nil && proportional(moves[s], moves[u], living.at(s), living.at(u)) {
			continue
		}
		if best == nil || a.costs(moves) < a.costs(best) {
			best = moves
		}
	}
	if best == nil {
		return false, nil
	}
	found := len(a.points)
	err := a.accept(ctx, u, best)
	return len(a.points) > found, err
}

// without seeks a point that moves u and leaves s as it is.
func (a *audit) without(ctx context.Context, u, s ID, r reach) (bool, error) {
	a.still = s
	defer func() { a.still = 0 }()
	last := 0
	for _, size := range r.sizes {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		near, err := a.near(ctx, u, size, r.further)
		if err != nil {
			return false, err
		}
		if len(near) == last {
			continue
		}
		last = len(near)
		var best map[ID]int64
		for _, goal := range a.directions(u) {
			if a.spent() {
				return false, nil
			}
			moves, err := a.solve(a.system(near), near, u, goal, size.steps)
			if err != nil {
				return false, err
			}
			if moves != nil && (best == nil || a.costs(moves) < a.costs(best)) {
				best = moves
			}
		}
		if best != nil {
			found := len(a.points)
			err := a.accept(ctx, u, best)
			return len(a.points) > found, err
		}
	}
	return false, nil
}

// directions returns a step up and a step down, as far as u can be moved.
func (a *audit) directions(u ID) []int64 {
	var steps []int64
	x := a.unknowns[u]
	if x.Value < x.Ceiling {
		steps = append(steps, 1)
	}
	if x.Value > 0 {
		steps = append(steps, -1)
	}
	return steps
}
