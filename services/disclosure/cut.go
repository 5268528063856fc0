package disclosure

import (
	"cmp"
	"context"
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
func (c choice) size() int               { return bits.OnesCount64(c[0]) + bits.OnesCount64(c[1]) }

// first returns the least member of a choice that has some.
func (c choice) first() int {
	if c[0] != 0 {
		return bits.TrailingZeros64(c[0])
	}
	return 64 + bits.TrailingZeros64(c[1])
}

// cutting looks for the cheapest pattern of all of a small table. Of the classes outside a pattern that does not protect
// one has to be withheld: a cut, which says most where the pattern is as large as it can be. The cheapest choice that
// meets all cuts is the answer once it protects, and gives more cuts until then. Fischetti and Salazar-González (2001)
// cut in the same way.
type cutting struct {
	*solver
	free []int32 // the class of each member of a choice, the cheapest first
	cuts []choice
}

var wholeTable = []reach{{0, false, math.MaxInt32}}

// cut replaces the pattern by the cheapest one, if that is cheaper or protects what the pattern does not, and is found
// with so much work.
func (s *solver) cut(ctx context.Context, order []int32, work int) error {
	trial := &solver{pattern: newPattern(s.problem, s.guard), random: s.random, most: work}
	c := cutting{solver: trial}
	for v := range s.members {
		if class := int32(v); !s.hidden[v] && !s.shown[v] {
			c.free = append(c.free, class)
		}
	}
	if len(c.free) > 64*len(choice{}) {
		return nil
	}
	known := s.spent
	if slices.ContainsFunc(order, func(v int32) bool { return !s.protected(v) }) {
		known = math.MaxInt64
	}
	slices.SortStableFunc(c.free, func(a, b int32) int { return cmp.Compare(s.cost[a], s.cost[b]) })
	for c.work < c.most {
		if err := ctx.Err(); err != nil {
			return err
		}
		best, ok := c.cheapest(known)
		if !ok {
			break
		}
		c.choose(best)
		safe := true
		for _, v := range order {
			if !c.holds(v) {
				safe = false
				if c.widest(v); c.work > c.most {
					break
				}
				c.choose(best)
			}
		}
		if safe {
			s.pattern = trial.pattern
			s.commit()
			break
		}
	}
	s.work += c.work
	return nil
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
		if !slices.ContainsFunc(c.points[f.point].class, c.outside) {
			c.alive[f.point] = true
			c.forget(f.point)
		}
		c.work += 20
	}
}

// holds reports whether what is withheld protects v.
func (c *cutting) holds(v int32) bool {
	return c.protected(v) || c.protect(v, wholeTable, c.outside)
}

// widest withholds more, as long as v is not protected, and notes what is left as a cut.
func (c *cutting) widest(v int32) {
	var cut choice
	for k, u := range c.free {
		if c.in[u] {
			continue
		}
		if c.admit(u); c.holds(v) {
			c.release(u)
			cut = cut.with(k)
		}
	}
	c.cuts = append(c.cuts, cut)
}

// cheapest returns the cheapest choice that meets all cuts, and false where it costs as much as another pattern does.
func (c *cutting) cheapest(most int64) (best choice, ok bool) {
	least := func(some choice) int64 { return c.cost[c.free[some.first()]] }
	var meet func(chosen, barred choice, spent int64)
	meet = func(chosen, barred choice, spent int64) {
		c.work += 10 * len(c.cuts)
		if c.work > c.most {
			return
		}
		bound, taken := spent, barred.join(chosen)
		var narrowest choice
		for _, cut := range c.cuts {
			if cut.meets(chosen) {
				continue
			}
			left := cut.without(barred)
			if left.size() == 0 {
				return
			}
			if narrowest.size() == 0 || left.size() < narrowest.size() {
				narrowest = left
			}
			if !cut.without(barred).meets(taken) { // it takes a class of its own to meet it
				bound += least(left)
				taken = taken.join(left)
			}
		}
		if bound >= most {
			return
		}
		if narrowest.size() == 0 {
			best, most, ok = chosen, spent, true
			return
		}
		for left := narrowest; left.size() > 0; {
			k := left.first()
			left = left.without(choice{}.with(k))
			meet(chosen.with(k), barred, spent+c.cost[c.free[k]])
			barred = barred.with(k)
		}
	}
	meet(choice{}, choice{}, 0)
	return best, ok && c.work <= c.most
}
