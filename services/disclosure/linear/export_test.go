package linear

import "math/big"

// part returns the search for the part of a region that an open unknown is in.
func (r *Region) part(unknown int) *search {
	var open []int
	for u := range r.System.Unknowns {
		if r.Lower[u] < r.Upper[u] {
			open = append(open, u)
		}
	}
	parts := r.System.components(open)
	return r.search(parts.members[parts.of[unknown]])
}

// ExactInterval is Interval of an open unknown in rational arithmetic alone.
func (r *Region) ExactInterval(unknown, limit int) (Interval, error) {
	s := r.part(unknown)
	var ends [2]*big.Rat
	for i, sign := range []int64{1, -1} {
		end, err := s.exact(s.position[unknown], sign, limit)
		if err != nil {
			return Interval{}, err
		}
		if end != nil {
			ends[i] = end.Mul(end, big.NewRat(sign, 1))
			ends[i].Add(end, big.NewRat(r.Inside[unknown], 1))
		}
	}
	return Interval{Low: ends[0], High: ends[1]}, nil
}

// Proved says how many of the two ends of an open unknown's interval fractions guessed from floating point prove.
func (r *Region) Proved(unknown, limit int) int {
	s := r.part(unknown)
	u := s.position[unknown]
	proved := 0
	for _, sign := range []int64{1, -1} {
		s.solver.cost[u] = float64(sign)
		if s.solver.minimise(limit) == optimal {
			if _, ok := s.proved(u, sign); ok {
				proved++
			}
		}
	}
	return proved
}

// Combine is what Isolate does where floating point fails it.
func (s *System) Combine(unknown int) ([]Weight, bool) { return s.combine(unknown) }
