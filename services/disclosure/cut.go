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
	free  []int32     // the class of each member of a choice, the cheapest first
	place []int       // of each class: its member; −1: it is in no choice
	cuts  []choice    // the smallest first; none has another one in it
	whole *dictionary // of the whole table
	asked int         // of the dictionary, since it was built
}

// fresh is how often a dictionary is asked until it is built anew, as errors of rounding add up.
const fresh = 100

// cut replaces the pattern by the cheapest one, and reports whether it is found with so much work. Otherwise it takes the
// cheapest of those that it came across, if that is cheaper than the pattern.
func (s *solver) cut(ctx context.Context, order []int32, work int) (found bool, err error) {
	c := cutting{
		solver: &solver{pattern: newPattern(s.problem, s.guard), random: s.random, most: work},
		place:  make([]int, len(s.members)),
	}
	for v := range s.members {
		if c.place[v] = -1; !s.hidden[v] && !s.shown[v] {
			c.free = append(c.free, int32(v))
		}
	}
	if work <= 0 || len(c.free) > 64*len(choice{}) {
		return false, nil
	}
	slices.SortStableFunc(c.free, func(a, b int32) int { return cmp.Compare(s.cost[a], s.cost[b]) })
	for k, v := range c.free {
		c.place[v] = k
	}
	known := int64(math.MaxInt64)
	if s.safe(order) {
		known = s.spent
	}
	var next, best choice
	cheaper := false
	for c.work < c.most {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		var ok bool
		if next, ok = c.cheap(); !ok || c.price(next) >= known {
			if next, ok = c.cheapest(known); !ok {
				found = c.work < c.most && known < math.MaxInt64 // and otherwise nothing protects everything
				break
			}
		}
		if c.separate(next, order) && c.work < c.most {
			best, known, cheaper = next, c.price(next), true
		}
	}
	s.work += c.work / cutRate
	if cheaper {
		c.choose(best)
		s.pattern = c.pattern
		s.commit()
	}
	if found || s.work >= s.most {
		return found, nil
	}
	return false, s.complete(ctx, order, c, next)
}

// complete protects what a choice leaves open, which meets all cuts that are known and so protects most, and takes the
// pattern if it is cheaper.
func (s *solver) complete(ctx context.Context, order []int32, c cutting, chosen choice) error {
	trial := &solver{pattern: newPattern(s.problem, s.guard), random: s.random, most: min(fillWork, s.most-s.work)}
	for k := range chosen.members() {
		trial.withhold(c.free[k])
	}
	if err := trial.cover(ctx, order); err != nil {
		return err
	}
	if err := trial.show(ctx); err != nil {
		return err
	}
	s.work += trial.work
	if trial.safe(order) && (trial.spent < s.spent || !s.safe(order)) {
		s.pattern = trial.pattern
	}
	return nil
}

// separate reports whether a choice protects everything. Where it does not it adds the cuts that say so.
func (c *cutting) separate(chosen choice, order []int32) bool {
	safe := true
	c.choose(chosen)
	for _, v := range order {
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
	for k, v := range c.free {
		switch {
		case c.in[v] && !chosen.has(k):
			c.release(v)
		case !c.in[v] && chosen.has(k):
			c.admit(v)
		}
	}
	c.journal = c.journal[:0]
}

// admit withholds a class, and takes up again the points that moved it.
func (c *cutting) admit(v int32) {
	c.withhold(v)
	for _, f := range c.of[v] {
		if !c.alive[f.point] && !slices.ContainsFunc(c.points[f.point].class, c.outside) {
			c.alive[f.point] = true
			c.forget(f.point)
		}
		c.work += 20
	}
}

// holds reports whether what is withheld protects v. Where it does not, it returns classes of which one at least has to
// be withheld besides for that: those that the duals of the moves of v ask for.
func (c *cutting) holds(v int32) (needed choice, ok bool) {
	if !c.wide(v) {
		for _, up := range [2]bool{true, false} {
			low, high := c.extremes(v)
			goal := c.need[v] - high/scale
			if up {
				goal = c.need[v] + low/scale
			}
			needed = needed.join(c.move(quest{target: v, up: up, goal: goal, barred: c.outside}))
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
		if c.blend(u, v) {
			continue
		}
		needed = choice{}
		before := len(c.points)
		for _, up := range [2]bool{true, false} {
			needed = needed.join(c.move(quest{target: v, up: up, goal: 1, barred: func(class int32) bool { return class == u || c.outside(class) }}))
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
func (c *cutting) move(q quest) choice {
	if c.asked++; c.whole == nil || c.asked > fresh {
		c.whole, c.asked = newDictionary(c.problem, c.movable(c.classes(), -1), c.random), 0
	}
	d, before := c.whole, c.whole.work
	q.free, q.limit = func(int32) bool { return true }, steps
	if f, _, ok := d.find(q); ok {
		c.add(f)
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
			c.admit(c.free[k])
		}
		if rest = rest.both(needed); rest.empty() {
			break
		}
		k := rest.first()
		rest = rest.without(choice{}.with(k))
		c.admit(c.free[k])
		fewer, ok := c.holds(v)
		if ok {
			c.release(c.free[k])
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

// ascent raises the prices of cuts that are not met, one after the other, as far as what the classes cost covers them. No
// choice of the others that meets them costs less than the sum of the prices. It returns what is left of the costs.
func (c *cutting) ascent(chosen, barred choice, left *[64 * len(choice{})]int64) (bound int64, narrowest choice, ok bool) {
	for k, v := range c.free {
		left[k] = c.cost[v]
	}
	fewest := math.MaxInt
	for _, cut := range c.cuts {
		c.work++
		if cut.meets(chosen) {
			continue
		}
		cut = cut.without(barred)
		least, size := int64(math.MaxInt64), 0
		for k := range cut.members() {
			least = min(least, left[k])
			size++
		}
		if size == 0 {
			return 0, cut, false
		}
		if size < fewest {
			narrowest, fewest = cut, size
		}
		if bound += least; least > 0 {
			for k := range cut.members() {
				left[k] -= least
			}
		}
		c.work += 2 * size
	}
	return bound, narrowest, true
}

// cheap returns a choice that meets all cuts and is not dear; false: there is none.
func (c *cutting) cheap() (choice, bool) {
	var left [64 * len(choice{})]int64
	_, _, ok := c.ascent(choice{}, choice{}, &left)
	if !ok {
		return choice{}, false
	}
	var chosen choice
	for k := range c.free {
		if left[k] == 0 {
			chosen = chosen.with(k)
		}
	}
	for k := len(c.free) - 1; k >= 0; k-- {
		if !chosen.has(k) {
			continue
		}
		less := chosen.without(choice{}.with(k))
		if !slices.ContainsFunc(c.cuts, func(cut choice) bool { return !cut.meets(less) }) {
			chosen = less
		}
		c.work += len(c.cuts)
	}
	return chosen, true
}

// cheapest returns the cheapest choice that meets all cuts, and false where it costs as much as another pattern does.
func (c *cutting) cheapest(most int64) (best choice, ok bool) {
	var meet func(chosen, barred choice, spent int64)
	meet = func(chosen, barred choice, spent int64) {
		if c.work > c.most {
			return
		}
		var left [64 * len(choice{})]int64
		bound, narrowest, possible := c.ascent(chosen, barred, &left)
		if bound += spent; !possible || bound >= most {
			return
		}
		if narrowest.empty() {
			best, most, ok = chosen, spent, true
			return
		}
		for k := range c.free {
			if bound+left[k] >= most {
				barred = barred.with(k) // whatever has it costs so much
			}
		}
		for k := range narrowest.without(barred).members() {
			meet(chosen.with(k), barred, spent+c.cost[c.free[k]])
			barred = barred.with(k)
		}
	}
	meet(choice{}, choice{}, 0)
	return best, ok && c.work <= c.most
}
