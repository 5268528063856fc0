package disclosure

import (
	"cmp"
	"context"
	"iter"
	"math"
	"math/bits"
	"slices"
)

// choice is a set of the classes of a small table that may be withheld or shown.
type choice [2]uint64

func (c choice) has(k int) bool      { return c[k/64]>>(k%64)&1 == 1 }
func (c choice) with(k int) choice   { c[k/64] |= 1 << (k % 64); return c }
func (c choice) meets(d choice) bool { return c[0]&d[0]|c[1]&d[1] != 0 }

func (c choice) without(d choice) choice { return choice{c[0] &^ d[0], c[1] &^ d[1]} }
func (c choice) join(d choice) choice    { return choice{c[0] | d[0], c[1] | d[1]} }
func (c choice) both(d choice) choice    { return choice{c[0] & d[0], c[1] & d[1]} }
func (c choice) empty() bool             { return c[0]|c[1] == 0 }
func (c choice) size() int               { return bits.OnesCount64(c[0]) + bits.OnesCount64(c[1]) }

// first returns the least member of a choice that has some.
func (c choice) first() int {
	if c[0] != 0 {
		return bits.TrailingZeros64(c[0])
	}
	return 64 + bits.TrailingZeros64(c[1])
}

// members iterates over the members of a choice, the least first.
func (c choice) members() iter.Seq[int] {
	return func(yield func(int) bool) {
		for n, word := range c {
			for ; word != 0; word &= word - 1 {
				if !yield(64*n + bits.TrailingZeros64(word)) {
					return
				}
			}
		}
	}
}

// cutting looks for the cheapest pattern of all of a small table. Of the classes outside a pattern that does not protect
// one has to be withheld: a cut, which says most where the pattern is as large as it can be. The cheapest choice that
// meets all cuts is the answer once it protects, and gives more cuts until then. Fischetti and Salazar-González (2001)
// cut in the same way. A choice that is not the cheapest finds cuts as well, and is a pattern too where it protects.
type cutting struct {
	*solver
	order []int32  // the classes to protect
	free  []int32  // the class of each member of a choice, the cheapest first
	place []int    // of each class: its member; −1: it is in no choice
	cuts  []choice // the smallest first; none has another one in it
	taken choice   // what is withheld
	moved []choice // by each point, of what may be withheld or shown
	asked [3]asked // by direction

	known  int64  // the cost of the cheapest pattern that is known
	best   choice // what it withholds, where the search found it
	found  bool
	last   choice // that was looked at
	spares []*packing
}

// The directions in which a class is moved; apart is either one, while another class stands still.
const (
	upward = iota
	downward
	apart
)

// asked is a dictionary of the whole table, and what it was asked last.
type asked struct {
	*dictionary
	times  int // since it was built
	target int32
	taken  choice
}

// fresh is how often a dictionary is asked until it is built anew, as errors of rounding add up.
const fresh = 100

// newCutting returns what looks for the cheapest pattern; nil: the table is too large for that.
func (s *solver) newCutting(order []int32) *cutting {
	c := &cutting{
		solver: &solver{pattern: newPattern(s.problem, s.guard), random: s.random},
		order:  order, place: make([]int, len(s.members)),
	}
	for v := range s.members {
		if c.place[v] = -1; !s.hidden[v] && !s.shown[v] {
			c.free = append(c.free, int32(v))
		}
	}
	if len(s.members) > smallTable || len(c.free) > 64*len(choice{}) {
		return nil
	}
	slices.SortStableFunc(c.free, func(a, b int32) int { return cmp.Compare(s.cost[a], s.cost[b]) })
	for k, v := range c.free {
		c.place[v] = k
	}
	return c
}

// cut replaces the pattern by the cheapest one, and reports whether it is found with so much work. Otherwise it takes the
// cheapest of those that it came across, if that is cheaper than the pattern. What was found out is kept for the next time.
func (s *solver) cut(ctx context.Context, c *cutting, work int) (found bool, err error) {
	if work <= 0 {
		return false, nil
	}
	c.work, c.most = 0, work
	c.known, c.found = math.MaxInt64, false
	if s.safe(c.order) {
		c.known = s.spent
	}
	costs := make([]float64, len(c.free))
	for k, v := range c.free {
		costs[k] = float64(s.cost[v])
	}
	if err := c.search(ctx, newPacking(costs), choice{}, choice{}); err != nil {
		return false, err
	}
	found = c.work < c.most && c.known < math.MaxInt64 // and otherwise nothing protects everything
	s.work += c.work / cutRate
	if c.found {
		s.pattern = c.settled(c.best)
	}
	return found, nil
}

// complete protects what the last choice leaves open, which meets all cuts that were known and so protects most, and takes
// the pattern if it is cheaper.
func (s *solver) complete(ctx context.Context, c *cutting) error {
	trial := &solver{pattern: newPattern(s.problem, s.guard), random: s.random, most: min(fillWork, s.most-s.work)}
	for k := range c.last.members() {
		trial.withhold(c.free[k])
	}
	if err := trial.cover(ctx, c.order); err != nil {
		return err
	}
	if err := trial.show(ctx, proofParts); err != nil {
		return err
	}
	s.work += trial.work
	if trial.safe(c.order) && (trial.spent < s.spent || !s.safe(c.order)) {
		s.pattern = trial.pattern
	}
	return nil
}

// separate reports whether a choice protects everything. Where it does not it adds the cuts that say so.
func (c *cutting) separate(chosen choice) bool {
	safe := true
	c.last = chosen
	c.choose(chosen)
	for _, v := range c.order {
		if c.work > c.most {
			break
		}
		if needed, ok := c.holds(v); !ok {
			safe = false
			c.narrow(v, needed)
			c.choose(chosen)
		}
	}
	return safe
}

// price returns what a choice costs.
func (c *cutting) price(some choice) int64 {
	sum := int64(0)
	for k := range some.members() {
		sum += c.cost[c.free[k]]
	}
	return sum
}

// choose withholds the classes of a choice and no others.
func (c *cutting) choose(chosen choice) {
	c.taken = chosen
	for k, v := range c.free {
		c.in[v] = chosen.has(k)
	}
}

// admit withholds one more.
func (c *cutting) admit(k int) {
	c.taken = c.taken.with(k)
	c.in[c.free[k]] = true
}

// remove shows one again.
func (c *cutting) remove(k int) {
	c.taken = c.taken.without(choice{}.with(k))
	c.in[c.free[k]] = false
}

// look finds out which of the points that move v need nothing but what is withheld.
func (c *cutting) look(v int32) {
	for _, f := range c.of[v] {
		c.alive[f.point] = c.moved[f.point].without(c.taken).empty()
	}
	c.seen[v] = outlook{}
	c.work += len(c.of[v])
}

// settled returns the pattern that withholds the choice, with the points that need no more.
func (c *cutting) settled(chosen choice) *pattern {
	p := newPattern(c.problem, c.guard)
	for k := range chosen.members() {
		p.withhold(c.free[k])
	}
	for n := range c.points {
		if c.moved[n].without(chosen).empty() {
			p.add(c.points[n])
		}
	}
	p.commit()
	return p
}

// holds reports whether what is withheld protects v. Where it does not, it returns classes of which one at least has to
// be withheld besides for that: those that the duals of the moves of v ask for.
func (c *cutting) holds(v int32) (needed choice, ok bool) {
	c.look(v)
	if !c.wide(v) {
		for direction := range apart {
			low, high := c.extremes(v)
			goal := c.need[v] - high/scale
			if direction == upward {
				goal = c.need[v] + low/scale
			}
			needed = needed.join(c.move(quest{target: v, up: direction == upward, goal: goal, barred: c.outside}, direction))
			if c.wide(v) {
				break
			}
		}
		if !c.wide(v) {
			return needed, false
		}
	}
	for c.guard {
		suspects := c.confidants(v)
		if len(suspects) == 0 {
			break
		}
		u := suspects[0]
		c.look(u)
		if c.blend(u, v) {
			c.note()
			continue
		}
		needed = choice{}
		before := len(c.points)
		for _, up := range [2]bool{true, false} {
			needed = needed.join(c.move(quest{target: v, up: up, goal: 1, barred: func(class int32) bool { return class == u || c.outside(class) }}, apart))
			if len(c.points) > before {
				break
			}
		}
		if len(c.points) == before {
			return needed, false
		}
	}
	return choice{}, true
}

// move adds the point that answers a quest, if there is one. It returns the classes that are not withheld and yet would
// let the target move further, if they were.
func (c *cutting) move(q quest, direction int) choice {
	d := &c.asked[direction]
	if d.times++; d.dictionary == nil || d.times > fresh {
		*d = asked{dictionary: newDictionary(c.problem, c.movable(c.classes(), -1), c.random).keep(), target: -1}
	}
	before := d.work
	q.free, q.limit = func(int32) bool { return true }, steps
	var f point
	var ok bool
	if direction != apart && d.target == q.target && d.taken.without(c.taken).empty() {
		f, ok = d.resume(q)
	} else {
		f, _, ok = d.find(q)
	}
	d.target, d.taken = q.target, c.taken
	if ok {
		low, high := c.extremes(q.target)
		if at := f.at(q.target); direction == apart || at < low || at > high {
			c.add(f)
			c.note()
		}
	}
	var needed choice
	for j, k := range d.free {
		v := d.classes[k]
		if !c.in[v] && c.place[v] >= 0 && math.Abs(d.reduced[j]) > 1e-7 {
			needed = needed.with(c.place[v])
		}
	}
	c.work += d.work - before + 100*len(d.classes)
	return needed
}

// note notes what the newest point moves.
func (c *cutting) note() {
	var moved choice
	for _, v := range c.points[len(c.points)-1].class {
		if k := c.place[v]; k >= 0 {
			moved = moved.with(k)
		}
	}
	c.moved = append(c.moved, moved)
}

// classes returns all classes.
func (c *cutting) classes() []int32 {
	all := make([]int32, len(c.members))
	for v := range all {
		all[v] = int32(v)
	}
	return all
}

// narrow withholds more, as long as v is not protected, and notes what is left as a cut. One of the needed classes is
// in it.
func (c *cutting) narrow(v int32, needed choice) {
	var cut, rest choice
	for k, u := range c.free {
		if !c.in[u] {
			rest = rest.with(k)
		}
	}
	for !rest.empty() {
		for k := range rest.without(needed).members() {
			c.admit(k)
		}
		if rest = rest.both(needed); rest.empty() {
			break
		}
		k := rest.first()
		rest = rest.without(choice{}.with(k))
		c.admit(k)
		fewer, ok := c.holds(v)
		if ok {
			c.remove(k)
			cut = cut.with(k)
			continue
		}
		needed = fewer
	}
	if slices.ContainsFunc(c.cuts, func(other choice) bool { return other.without(cut).empty() }) {
		return
	}
	c.cuts = slices.DeleteFunc(c.cuts, func(other choice) bool { return cut.without(other).empty() })
	at, _ := slices.BinarySearchFunc(c.cuts, cut.size(), func(other choice, size int) int { return cmp.Compare(other.size(), size) })
	c.cuts = slices.Insert(c.cuts, at, cut)
}
