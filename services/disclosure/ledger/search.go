package ledger

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/linear"
)

// reach says among which unknowns a point is sought.
type reach struct {
	further bool // also such as would have to be withheld of the release for it
	sizes   []size
}

// size bounds a neighbourhood.
type size struct {
	line  int // how many unknowns of a line are taken
	all   int // how many in total, about
	steps int // of the simplex method
}

var (
	within = reach{sizes: []size{{6, 100, 150}}}
	inside = reach{sizes: []size{{6, 80, 150}, {12, 300, 300}}}
	beyond = reach{further: true, sizes: []size{{3, 60, 200}, {8, 250, 500}}}
	afar   = reach{further: true, sizes: []size{{25, 1_000, 1_000}, {math.MaxInt, 5_000, 3_000}}}
)

// Costs of a search: what the target gains by a unit, what moving an open unknown costs, and the most that withholding a
// unit does.
const (
	gain   = 1e7
	stir   = 1e-2
	dearly = 1e4
)

// seek looks for points that prove the width that an unknown needs, in neighbourhoods that grow. It returns false where
// it finds none, or the budget is used up.
func (a *audit) seek(ctx context.Context, u ID, r reach) (bool, error) {
	last := 0
	for _, size := range r.sizes {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		if a.spent() {
			return false, nil
		}
		near, err := a.near(ctx, u, size, r.further)
		if err != nil {
			return false, err
		}
		if len(near) == last {
			continue // the whole of what is connected was tried
		}
		last = len(near)
		if err := a.move(ctx, u, near, size.steps); err != nil {
			return false, err
		}
		if a.wide(u) {
			return true, nil
		}
	}
	return false, nil
}

// lift tries to save points of before that the release broke, by moving the release's own unknowns along: where a year is
// joined to its months, what is withheld of a month and balanced there is withheld of the year too.
func (a *audit) lift(ctx context.Context, u ID) (bool, error) {
	type option struct {
		moves map[ID]int64
		cost  int64
	}
	for !a.wide(u) {
		low, high := a.extremes(u)
		var best option
		for _, k := range a.of[u] {
			p := &a.points[k]
			if move := p.at(u); a.alive[k] || p.ID == 0 || low <= move && move <= high {
				continue
			}
			moves := a.lifted(p)
			if moves == nil {
				continue
			}
			o := option{moves: moves, cost: 1 + a.costs(moves)}
			// The cheapest for how much it widens.
			if best.moves == nil || float64(o.cost)*a.widens(u, best.moves[u]) < float64(best.cost)*a.widens(u, moves[u]) {
				best = o
			}
		}
		if best.moves == nil {
			return false, nil
		}
		if err := a.accept(ctx, u, best.moves); err != nil {
			return false, err
		}
	}
	return true, nil
}

// widens returns how much of the width that u lacks a point would prove.
func (a *audit) widens(u ID, move int64) float64 {
	low, high := a.extremes(u)
	lacks := a.unknowns[u].need() - (high - low)
	return float64(min(lacks, max(high, move)-min(low, move)-(high-low)))
}

// lifted returns the moves of a point of before with those of the release's unknowns that follow from them, or nil where
// the release shows one of these or needs them otherwise.
func (a *audit) lifted(p *Point) map[ID]int64 {
	moves := make(map[ID]int64, 2*len(p.Unknowns))
	for i, u := range p.Unknowns {
		if !a.unknowns[u].Open {
			return nil
		}
		moves[u] = p.Moves[i]
	}
	done := map[int]bool{}
	for queue := slices.Clone(p.Unknowns); len(queue) > 0; queue = queue[1:] {
		for _, k := range a.through[queue[0]] {
			if done[k] {
				continue
			}
			var rest int64
			a.lines[k].each(func(u ID, sign int64) { rest += sign * moves[u] })
			if rest == 0 {
				continue
			}
			own, sign := a.slack(a.lines[k], moves, rest)
			if own == 0 {
				continue
			}
			done[k] = true
			if !a.unknowns[own].Open && !a.candidate(a.draft, own) {
				return nil
			}
			moves[own] = -sign * rest
			if a.unknowns[own].Untold {
				queue = append(queue, own)
			}
		}
	}
	q := pointOf(moves)
	if !a.bounded(&q) || !a.solves(&q) {
		return nil
	}
	return moves
}

// slack returns the unknown that balances a line, and its sign there: one that nobody was told of, which has room for it,
// else the one of the release; 0 if there is none, or several are of the release.
func (a *audit) slack(l Line, moves map[ID]int64, rest int64) (own ID, sign int64) {
	var untold ID
	var untoldSign int64
	several := false
	l.each(func(u ID, s int64) {
		if _, moved := moves[u]; moved {
			return
		}
		switch x := a.unknowns[u]; {
		case x.Untold && x.Open:
			if move := -s * rest; untold == 0 && move >= -x.Value*Scale && move <= (x.Ceiling-x.Value)*Scale {
				untold, untoldSign = u, s
			}
		case a.own(u):
			several = several || own != 0
			own, sign = u, s
		}
	})
	switch {
	case untold != 0:
		return untold, untoldSign
	case several:
		return 0, 0
	default:
		return own, sign
	}
}

// near returns unknowns around u whose lines were all read: along lines, of each the ones that are withheld already and
// then those that are cheapest to withhold, and such as lie where these lines cross.
func (a *audit) near(ctx context.Context, u ID, s size, further bool) ([]ID, error) {
	movable := func(x ID) bool {
		return x != a.still && (a.unknowns[x].Open || further && a.candidate(a.draft, x))
	}
	taken, crossed := map[ID]bool{u: true}, map[int]bool{}
	near, front := []ID{u}, []ID{u}
	for len(front) > 0 && len(near) < s.all {
		if err := a.loadLines(ctx, front); err != nil {
			return nil, err
		}
		var next []ID
		for _, x := range front {
			for _, k := range a.through[x] {
				if crossed[k] || len(near)+len(next) >= s.all {
					continue
				}
				crossed[k] = true
				var along []ID
				a.lines[k].each(func(y ID, _ int64) {
					if !taken[y] && movable(y) {
						along = append(along, y)
					}
				})
				if len(along) > s.line {
					slices.SortFunc(along, func(x, y ID) int {
						return cmp.Or(cmp.Compare(a.cost(x), a.cost(y)), cmp.Compare(x, y))
					})
					along = along[:s.line]
				}
				for _, y := range along {
					taken[y] = true
				}
				next = append(next, along...)
			}
		}
		near, front = append(near, next...), next
	}
	if err := a.loadLines(ctx, front); err != nil {
		return nil, err
	}
	meets := map[ID]int{}
	for k := range crossed {
		a.lines[k].each(func(y ID, _ int64) {
			if !taken[y] && movable(y) {
				meets[y]++
			}
		})
	}
	maps.DeleteFunc(meets, func(_ ID, n int) bool { return n < 2 })
	corners := slices.SortedFunc(maps.Keys(meets), func(x, y ID) int {
		return cmp.Or(cmp.Compare(meets[y], meets[x]), cmp.Compare(a.cost(x), a.cost(y)), cmp.Compare(x, y))
	})
	corners = corners[:min(len(corners), s.all)]
	return append(near, corners...), a.loadLines(ctx, corners)
}

// cost returns what moving an unknown costs: nothing if it is open, else the value that is withheld.
func (a *audit) cost(u ID) int64 {
	if x := a.unknowns[u]; !x.Open {
		return x.Value + 1
	}
	return 0
}

// costs returns what a point costs.
func (a *audit) costs(moves map[ID]int64) int64 {
	var sum int64
	for x := range moves {
		sum += a.cost(x)
	}
	return sum
}

// move looks for points that move u up and down, within the unknowns of near. Of two that each suffice it takes the one
// that withholds less.
func (a *audit) move(ctx context.Context, u ID, near []ID, steps int) error {
	system := a.system(near)
	var best map[ID]int64
	var bestCost int64
	suffices := false
	for _, up := range [2]bool{true, false} {
		if suffices && bestCost == 0 {
			break
		}
		goal := a.goal(u, up)
		if goal == 0 || a.spent() {
			continue
		}
		moves, err := a.solve(system, near, u, goal, steps)
		if err != nil {
			return err
		}
		if moves == nil {
			continue
		}
		cost := a.costs(moves)
		full := a.suffices(u, moves[u])
		switch {
		case full && suffices:
			if cost < bestCost {
				best, bestCost = moves, cost
			}
		case full:
			best, bestCost, suffices = moves, cost, true
		case cost == 0 || best == nil:
			// Alone it does not suffice; with what the other direction has it may.
			if err := a.accept(ctx, u, moves); err != nil {
				return err
			}
		}
	}
	if best == nil {
		return nil
	}
	return a.accept(ctx, u, best)
}

// suffices reports whether a point that moves u so far proves what is left to prove.
func (a *audit) suffices(u ID, move int64) bool {
	low, high := a.extremes(u)
	return max(high, move)-min(low, move) >= a.unknowns[u].need()
}

// goal returns how far, in units, u would have to move up or down to be wide enough; negative downwards, and no further
// than it can.
func (a *audit) goal(u ID, up bool) int64 {
	x := a.unknowns[u]
	low, high := a.extremes(u)
	if up {
		return min((x.need()+low+Scale-1)/Scale, x.Ceiling-x.Value)
	}
	return -min((x.need()-high+Scale-1)/Scale, x.Value)
}

// accept adds a point for u, and withholds what it moves of the release.
func (a *audit) accept(ctx context.Context, u ID, moves map[ID]int64) error {
	for _, x := range slices.Sorted(maps.Keys(moves)) {
		if !a.candidate(a.draft, x) {
			continue // open already, or else the point is not valid
		}
		cell := &a.draft.Cells[a.cellOf[x]]
		cell.Status, a.unknowns[x].Open, a.unknowns[x].Width = disclosure.Secondary, true, cell.Width
		a.cuts = append(a.cuts, cut{unknown: x, protected: u})
	}
	return a.take(ctx, moves)
}

// system returns the lines of unknowns, as far as these are in them.
func (a *audit) system(near []ID) *linear.System {
	number := make(map[ID]int, len(near))
	for i, x := range near {
		number[x] = i
	}
	s := &linear.System{Unknowns: len(near)}
	seen := map[int]bool{}
	for _, x := range near {
		for _, k := range a.through[x] {
			if seen[k] {
				continue
			}
			seen[k] = true
			var e linear.Equation
			a.lines[k].each(func(y ID, sign int64) {
				if i, ok := number[y]; ok {
					e = append(e, linear.Term{Unknown: i, Coefficient: sign})
				}
			})
			s.Equations = append(s.Equations, e)
		}
	}
	return s
}

// solve returns the moves of a cheap point that moves u towards the goal, in units of 1/Scale, or nil if there is none
// that is exact.
func (a *audit) solve(system *linear.System, near []ID, u ID, goal int64, steps int) (map[ID]int64, error) {
	p := &linear.Program{System: system}
	for _, x := range near {
		k := a.unknowns[x]
		lower, upper, cost, penalty := -float64(k.Value), float64(k.Ceiling-k.Value), 0.0, stir
		switch {
		case x == u && goal > 0:
			lower, upper, cost, penalty = 0, float64(goal), -gain, 0
		case x == u:
			lower, upper, cost, penalty = float64(goal), 0, gain, 0
		case !k.Open:
			far := min(max(goal, -goal), max(1, k.Value))
			penalty = min(dearly, 1+float64(a.cost(x))/float64(far))
		}
		p.Lower, p.Upper = append(p.Lower, lower), append(p.Upper, upper)
		p.Cost, p.Penalty = append(p.Cost, cost), append(p.Penalty, penalty)
	}
	solution, err := p.Solve(steps)
	if err != nil && !errors.Is(err, linear.ErrUnbounded) {
		return nil, fmt.Errorf("seeking a point: %w", err)
	}
	a.verdict.Iterations += 1 + solution.Iterations
	if err != nil {
		return nil, nil
	}
	for _, scale := range [2]float64{1, Scale} {
		moves := map[ID]int64{}
		for i, x := range solution.X {
			if m := int64(math.Round(x * scale)); m != 0 {
				moves[near[i]] = m * int64(Scale/scale)
			}
		}
		if q := pointOf(moves); moves[u] != 0 && a.bounded(&q) && a.solves(&q) {
			return moves, nil
		}
	}
	return nil, nil
}

// bounded reports whether a point keeps every count between 0 and its ceiling.
func (a *audit) bounded(p *Point) bool {
	for i, id := range p.Unknowns {
		if u := a.unknowns[id]; p.Moves[i] < -u.Value*Scale || p.Moves[i] > (u.Ceiling-u.Value)*Scale {
			return false
		}
	}
	return true
}
