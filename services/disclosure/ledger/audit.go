package ledger

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/linear"
)

// audit decides about a release on one stack.
type audit struct {
	*view
	draft   *draft
	options Options
	verdict *Verdict
	mode    mode
	exposed []string
	cuts    []cut

	suspected []ID // whose protection was looked at
	still     ID   // is not moved by points that are sought; 0: none is held so
}

// cut is a cell that the audit withheld, and what for.
type cut struct {
	unknown   ID
	protected ID
}

// run proves every protected unknown that the release touches, and withholds more of the release where it must.
func (a *audit) run(ctx context.Context) error {
	a.open(a.draft)
	suspects, err := a.suspects(ctx)
	if err != nil {
		return err
	}
	a.verdict.Checked += len(suspects)
	if err := a.takeProofs(ctx); err != nil {
		return err
	}
	if err := a.prove(ctx, suspects); err != nil {
		return err
	}
	if err := a.prune(ctx); err != nil {
		return err
	}
	for _, c := range a.cuts {
		cell := a.unknowns[c.unknown]
		a.verdict.Cuts = append(a.verdict.Cuts, Cut{Key: cell.Cell, Value: cell.Value, Protected: a.unknowns[c.protected].Cell})
	}
	return a.verify(ctx, suspects)
}

// suspects returns the protected unknowns whose protection the release may have broken, or asks for: its own, those that
// need more width, and those that points protected which no longer hold. The ones that need most come first.
func (a *audit) suspects(ctx context.Context) ([]ID, error) {
	touched := maps.Clone(a.weaker)
	for _, k := range a.added {
		a.lines[k].each(func(u ID, _ int64) {
			if !a.fresh(u) && a.unknowns[u].Open {
				touched[u] = true
			}
		})
	}
	maps.Copy(touched, a.lonelier)
	if err := a.loadPoints(ctx, slices.Sorted(maps.Keys(touched))); err != nil {
		return nil, err
	}
	set := map[ID]bool{}
	for u := range a.needier {
		set[u] = true
	}
	for k, p := range a.points {
		if !a.alive[k] || slices.ContainsFunc(p.Unknowns, func(u ID) bool { return a.lonelier[u] }) {
			for _, u := range p.Unknowns {
				set[u] = true
			}
		}
	}
	for _, u := range a.cells {
		if a.own(u) {
			set[u] = true
		}
	}
	maps.DeleteFunc(set, func(u ID, _ bool) bool { return a.unknowns[u].need() == 0 })
	suspects := slices.SortedFunc(maps.Keys(set), func(x, y ID) int {
		return cmp.Or(cmp.Compare(a.unknowns[y].need(), a.unknowns[x].need()), cmp.Compare(x, y))
	})
	return suspects, a.loadPoints(ctx, suspects)
}

// takeProofs takes the points that came with the release, as far as they hold in the stack.
func (a *audit) takeProofs(ctx context.Context) error {
	for _, proof := range a.draft.Proofs {
		moves := map[ID]int64{}
		for k, i := range proof.Cells {
			moves[a.cells[i]] += proof.Moves[k]
		}
		if err := a.take(ctx, moves); err != nil {
			return err
		}
	}
	return nil
}

// take adds a point with these moves if it is valid, or becomes so by what nobody was told of.
func (a *audit) take(ctx context.Context, moves map[ID]int64) error {
	p := pointOf(moves)
	if err := a.loadLines(ctx, p.Unknowns); err != nil {
		return err
	}
	if !a.solves(&p) {
		if moves = a.lifted(&p); moves == nil || a.costs(moves) > 0 {
			return nil
		}
		p = pointOf(moves)
		if err := a.loadLines(ctx, p.Unknowns); err != nil {
			return err
		}
	}
	if a.valid(&p) {
		a.addPoint(p, true)
	}
	return nil
}

func pointOf(moves map[ID]int64) Point {
	var p Point
	for _, u := range slices.Sorted(maps.Keys(moves)) {
		if moves[u] != 0 {
			p.Unknowns, p.Moves = append(p.Unknowns, u), append(p.Moves, moves[u])
		}
	}
	return p
}

// prove seeks points for the suspects that have too few, and withholds more where there are none.
func (a *audit) prove(ctx context.Context, suspects []ID) error {
	a.suspected = suspects
	var failing []ID
	for _, u := range suspects {
		ok, err := a.protected(ctx, u)
		if err != nil {
			return err
		}
		if !ok {
			failing = append(failing, u)
		}
	}
	if len(failing) == 0 {
		return nil
	}
	if err := a.loadLines(ctx, failing); err != nil {
		return err
	}
	ties, err := a.ties()
	if err != nil {
		return err
	}
	for _, u := range failing {
		ok, err := a.protected(ctx, u)
		if err != nil {
			return err
		}
		if ok {
			continue
		}
		a.verdict.Sought++
		tie, read := ties[u]
		ok, err = a.hide(ctx, u, read && tie == 0)
		if former, needier := a.needier[u]; err == nil && !ok && needier {
			// No more than before can be asked for a figure of which more is known already.
			a.unknowns[u].Width = former
			ok, err = a.hide(ctx, u, read && tie == 0)
		}
		if err == nil && !ok && a.mode == recalling {
			ok, err = a.yields(ctx, u)
		}
		switch {
		case err != nil:
			return err
		case ok:
		case a.mode == recalling && a.spent():
			return refuse(Exhausted, a.unknowns[u].Cell, "the budget was used up before all was remembered")
		case a.mode == recalling && a.unknowns[u].Untold:
			a.unknowns[u].Width = 0 // whoever wants to tell of it has to protect it
			a.changed[u] = true
		case a.mode != refusing:
			a.exposed = append(a.exposed, a.unknowns[u].Cell)
			a.unknowns[u].Exposed = true
			a.changed[u] = true
		case a.spent():
			return refuse(Exhausted, a.unknowns[u].Cell, "the budget was used up before the cell was shown to stay hidden")
		default:
			return refuse(Unproved, a.unknowns[u].Cell, "the cell would not stay hidden, whatever else is withheld of the release")
		}
	}
	return nil
}

// yields takes the width that points prove for all that u can have. It reports whether that is any, and whether nobody
// who is alone in another cell can compute u.
func (a *audit) yields(ctx context.Context, u ID) (bool, error) {
	low, high := a.extremes(u)
	if width := (high - low) / Scale; width > 0 {
		a.unknowns[u].Width = width
		a.changed[u] = true
		return a.protected(ctx, u)
	}
	return false, nil
}

// hide seeks points that protect u.
func (a *audit) hide(ctx context.Context, u ID, determined bool) (bool, error) {
	if ok, err := a.widen(ctx, u, determined); err != nil || !ok {
		return false, err
	}
	return a.conceal(ctx, u, inside, beyond, afar)
}

// widen seeks points that make the interval of u as wide as it has to be: among what is withheld, unless u follows from
// the rest, then among what can be withheld too.
func (a *audit) widen(ctx context.Context, u ID, determined bool) (bool, error) {
	if a.wide(u) {
		return true, nil
	}
	if !determined {
		if ok, err := a.seek(ctx, u, inside); err != nil || ok {
			return ok, err
		}
	}
	if ok, err := a.seek(ctx, u, beyond); err != nil || ok {
		return ok, err
	}
	if ok, err := a.lift(ctx, u); err != nil || ok {
		return ok, err
	}
	return a.seek(ctx, u, afar)
}

func (a *audit) spent() bool { return a.verdict.Iterations >= a.options.Iterations }

// prune shows cells again that it withheld, if everything stays protected without them; the largest first.
func (a *audit) prune(ctx context.Context) error {
	slices.SortFunc(a.cuts, func(x, y cut) int {
		return cmp.Or(cmp.Compare(a.unknowns[y.unknown].Value, a.unknowns[x.unknown].Value), cmp.Compare(x.unknown, y.unknown))
	})
	var left []cut
	for _, c := range a.cuts {
		ok, err := a.restore(ctx, c.unknown)
		if err != nil {
			return err
		}
		if !ok {
			left = append(left, c)
		}
	}
	a.cuts = left
	return nil
}

// restore shows a cell of the release again. It returns false, and changes nothing, where that costs a protection.
func (a *audit) restore(ctx context.Context, u ID) (bool, error) {
	var dead []int
	for _, k := range a.of[u] {
		if a.alive[k] {
			a.alive[k] = false
			dead = append(dead, k)
		}
	}
	cell := &a.draft.Cells[a.cellOf[u]]
	cell.Status, a.unknowns[u].Open = disclosure.Published, false
	for _, k := range dead {
		for _, p := range a.points[k].Unknowns {
			ok, err := a.reprove(ctx, p)
			if err != nil {
				return false, err
			}
			if !ok {
				for _, k := range dead {
					a.alive[k] = true
				}
				cell.Status, a.unknowns[u].Open = disclosure.Secondary, true
				return false, nil
			}
		}
	}
	return true, nil
}

// reprove seeks points nearby for an unknown that lost some.
func (a *audit) reprove(ctx context.Context, u ID) (bool, error) {
	if !a.wide(u) {
		if ok, err := a.seek(ctx, u, within); err != nil || !ok {
			return false, err
		}
	}
	return a.conceal(ctx, u, within)
}

// verify is the last look: every suspect is proved, and no protected unknown follows from the lines that were read, nor
// from them and an unknown that somebody is alone in.
func (a *audit) verify(ctx context.Context, suspects []ID) error {
	for k := range a.points {
		if a.alive[k] && !a.valid(&a.points[k]) {
			return fmt.Errorf("point %d of a ledger does not hold", a.points[k].ID)
		}
	}
	for _, u := range suspects {
		ok, err := a.protected(ctx, u)
		if err != nil {
			return err
		}
		if !ok {
			return refuse(Unproved, a.unknowns[u].Cell, "the cell would not stay hidden")
		}
	}
	ties, err := a.ties()
	if err != nil {
		return err
	}
	alone := map[int][]ID{}
	for u, tie := range ties {
		if a.unknowns[u].Single && tie != 0 {
			alone[tie] = append(alone[tie], u)
		}
	}
	for _, u := range slices.Sorted(maps.Keys(ties)) {
		if a.unknowns[u].need() == 0 {
			continue
		}
		if ties[u] == 0 {
			return refuse(Unproved, a.unknowns[u].Cell, "the cell could be computed")
		}
		others, err := a.others(ctx, u, alone[ties[u]])
		if err != nil {
			return err
		}
		if len(others) > 0 {
			return refuse(Unproved, a.unknowns[u].Cell, "somebody who is alone in another cell could compute it")
		}
	}
	return nil
}

// ties returns for each open unknown of the lines that were read which unknowns it gives away, and they it: those of one
// number. 0 is for those that follow from the lines.
func (a *audit) ties() (map[ID]int, error) {
	var ids []ID
	number := map[ID]int{}
	s := &linear.System{}
	for _, l := range a.lines {
		var e linear.Equation
		l.each(func(u ID, sign int64) {
			if !a.unknowns[u].Open {
				return
			}
			n, ok := number[u]
			if !ok {
				n = len(ids)
				number[u] = n
				ids = append(ids, u)
			}
			e = append(e, linear.Term{Unknown: n, Coefficient: sign})
		})
		if len(e) > 0 {
			s.Equations = append(s.Equations, e)
		}
	}
	s.Unknowns = len(ids)
	all := make([]int, len(ids))
	for i := range all {
		all[i] = i
	}
	found, err := s.Ties(all, a.options.Random)
	if err != nil {
		return nil, err
	}
	ties := make(map[ID]int, len(found))
	for i, tie := range found {
		ties[ids[i]] = tie
	}
	return ties, nil
}
