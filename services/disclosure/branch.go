package disclosure

import (
	"context"
	"slices"
)

// search looks for the cheapest pattern among those that withhold the chosen and not the barred classes. As long as
// prices of cuts leave open whether there is a cheaper one than is known, it looks at what the duals choose: either that
// is the pattern, or it gives more cuts, or a class is chosen by a fraction, and then once wholly and once not at all.
func (c *cutting) search(ctx context.Context, p *packing, chosen, barred choice) error {
	for c.work < c.most {
		if err := ctx.Err(); err != nil {
			return err
		}
		ok, work := p.solve(c.cuts, chosen, barred)
		c.work += work
		limit := float64(c.known) - 1 + nearly // costs are whole numbers
		if !ok || p.sum > limit {
			return nil
		}
		before := barred
		for i, b := range p.basic {
			if b.member >= 0 && p.sum+p.level[i] > limit && !chosen.has(b.member) {
				barred = barred.with(b.member) // whatever has it costs too much
			}
		}
		if barred != before {
			continue
		}
		next, whole := c.round(p)
		if (whole || chosen.empty()) && c.price(next) < c.known {
			if c.separate(next) && c.work < c.most {
				c.best, c.known, c.found = next, c.price(next), true
			}
			continue
		}
		k := split(p, chosen.join(barred))
		if k < 0 {
			return nil
		}
		inner := c.spare(len(p.basic))
		p.copyTo(inner)
		c.work += len(p.basic) * len(p.basic) / 8
		err := c.search(ctx, inner, chosen.with(k), barred)
		c.spares = append(c.spares, inner)
		if err != nil {
			return err
		}
		barred = barred.with(k)
	}
	return nil
}

// split returns the member that is most undecided, apart from those that are decided; −1: there is none.
func split(p *packing, decided choice) int {
	best, most := -1, 0.0
	for k, x := range p.cover {
		if undecided := min(x, 1-x); undecided > most && !decided.has(k) {
			best, most = k, undecided
		}
	}
	return best
}

// round returns a choice that meets all cuts, of what is chosen at least in part, and whether it is all chosen wholly.
func (c *cutting) round(p *packing) (chosen choice, whole bool) {
	whole = true
	for k, x := range p.cover {
		if x > nearly {
			chosen = chosen.with(k)
			whole = whole && x > 1-nearly
		}
	}
	if whole {
		return chosen, true
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
	return chosen, false
}

// spare returns a packing that is not in use.
func (c *cutting) spare(members int) *packing {
	if n := len(c.spares) - 1; n >= 0 {
		p := c.spares[n]
		c.spares = c.spares[:n]
		return p
	}
	return newPacking(make([]float64, members))
}
