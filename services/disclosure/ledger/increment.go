package ledger

import (
	"maps"
	"slices"
)

// increment returns what the release adds to the stack. Of the points found it keeps those that prove something.
func (a *audit) increment() Increment {
	i := Increment{Release: a.draft.ID, Revision: a.draft.Revision, First: a.first}
	for _, id := range a.cells {
		if a.fresh(id) {
			i.Unknowns = append(i.Unknowns, *a.unknowns[id])
		}
	}
	for _, id := range slices.Sorted(maps.Keys(a.changed)) {
		if a.fresh(id) {
			continue
		}
		i.Changed = append(i.Changed, *a.unknowns[id])
	}
	for _, k := range a.added {
		i.Lines = append(i.Lines, a.lines[k])
	}
	kept := a.kept()
	for k, p := range a.points {
		switch {
		case p.ID != 0 && !a.alive[k]:
			i.Dead = append(i.Dead, p.ID)
		case p.ID == 0 && kept[k]:
			p.ID = a.next
			a.next++
			i.Points = append(i.Points, p)
		}
	}
	if i.Next = a.next; i.Next == i.First && len(i.Changed)+len(i.Dead) > 0 {
		i.Next++ // so that who has read before knows that there is more
	}
	return i
}

// kept says of each living point whether the stack has it, or is to have it.
func (a *audit) kept() []bool {
	kept := make([]bool, len(a.points))
	for k, p := range a.points {
		kept[k] = a.alive[k] && (p.ID != 0 || a.proves(k))
	}
	for _, u := range a.suspected {
		for _, s := range a.confidants(u, kept) {
			if k, ok := a.parts(u, s, kept); ok {
				kept[k] = true
			}
		}
	}
	return kept
}

// proves reports whether a point is the first that moves a protected unknown as far as it does.
func (v *view) proves(k int) bool {
	return slices.ContainsFunc(v.points[k].Unknowns, func(u ID) bool {
		if v.unknowns[u].need() == 0 {
			return false
		}
		low, high := v.extremes(u)
		for _, other := range v.of[u] {
			if !v.alive[other] {
				continue
			}
			if move := v.points[other].at(u); move < 0 && move == low || move > 0 && move == high {
				if other == k {
					return true
				}
				if move == low {
					low = 1 // no point moves so far as is left
				}
				if move == high {
					high = -1
				}
			}
		}
		return false
	})
}
