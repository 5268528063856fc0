package linear

import "io"

// Ties tells which unknowns of open give each other away when all unknowns outside open are known: those of one number
// from 1 are such that whoever knows one can compute the others. 0 is for those that are determined anyhow, as
// [System.Determined] has them. The result is in the order of open.
//
// Two unknowns are tied if one is a multiple of the other in every solution of the equations with 0 on the right; it
// looks at two random ones modulo a random prime of 61 bits, and errs as Determined does, and to the same side: those
// that are tied are always found.
func (s *System) Ties(open []int, random io.Reader) ([]int, error) {
	source, err := newSource(random)
	if err != nil {
		return nil, err
	}
	f := randomField(source)
	e := eliminate(f, s.matrix(f, open), len(open))
	first := e.solution(len(open), func() uint64 { return f.random(source) })
	second := e.solution(len(open), func() uint64 { return f.random(source) })
	ties := make([]int, len(open))
	groups := map[uint64]int{}
	for i, x := range first {
		if x == 0 {
			continue
		}
		ratio := f.multiply(second[i], f.invert(x))
		if groups[ratio] == 0 {
			groups[ratio] = len(groups) + 1
		}
		ties[i] = groups[ratio]
	}
	return ties, nil
}
