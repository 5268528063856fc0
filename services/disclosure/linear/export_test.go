package linear

import (
	"math/big"
	"slices"
)

// search returns the search for the part of a region that an unknown is in, the unknown's number in it and whether it
// deviates against that; nil where it is known.
func (r *Region) search(unknown int) (s *search, u int, against bool) {
	x := &exploration{region: r, reduced: r.reduce()}
	x.split()
	at := x.of[unknown]
	if at < 0 {
		return nil, 0, false
	}
	return newSearch(x.parts[x.in[at]], Effort{}), x.place[at], x.sign[unknown] < 0
}

// ExactRange returns the range of an unknown by rational arithmetic alone.
func (r *Region) ExactRange(unknown, limit int) (Range, bool) {
	s, u, against := r.search(unknown)
	if s == nil {
		return Known(r.Inside[unknown]), true
	}
	low, ok1 := s.exact(u, 1, limit)
	high, ok2 := s.exact(u, -1, limit)
	if !ok1 || !ok2 {
		return Range{}, false
	}
	if against {
		low, high = high, low
	}
	inside := big.NewRat(r.Inside[unknown], 1)
	low, high = low.Add(inside, low), high.Sub(inside, high)
	return Range{low, high, low, high}, true
}

// Proved says how many of the two ends of an unknown's interval fractions guessed from floating point prove, at once and
// in as many digits as it takes.
func (r *Region) Proved(unknown, limit int) (atOnce, proved int) {
	s, u, _ := r.search(unknown)
	if s == nil {
		return 2, 2
	}
	for _, sign := range []int64{1, -1} {
		ends := slices.Clone(s.ends)
		s.solver.cost[u] = float64(sign)
		if s.solver.minimise(limit) == optimal {
			s.solver.refactor()
			if s.near(u, sign); s.ends[numberOf(u, sign)].settled() {
				atOnce++
			}
			copy(s.ends, ends)
			if s.proved(u, sign) {
				proved++
			}
		}
		s.solver.cost[u] = 0
	}
	return atOnce, proved
}

// Combine is what Isolate does where floating point fails it.
func (s *System) Combine(unknown int) ([]Weight, bool) { return s.combine(unknown) }
