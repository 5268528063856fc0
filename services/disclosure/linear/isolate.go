package linear

import (
	"cmp"
	"math"
	"math/big"
	"slices"
)

// Weight is an equation times a factor.
type Weight struct {
	Equation int
	Weight   *big.Rat // not 0
}

// Isolate returns a combination of equations in which unknown has the factor 1 and all other unknowns of open cancel out,
// so that unknown = −Σ factor·value over the unknowns outside open that are left. Weights are exact and in the order of
// the equations. It returns false where the equations do not determine the unknown.
//
// Equations are few where possible: they are looked for around the unknown, one ring of neighbours after the other, and
// among those of the first ring that suffices the weights with the least sum of sizes are taken.
func (s *System) Isolate(open []int, unknown int) ([]Weight, bool) {
	restricted, equations := s.Restrict(open)
	target := slices.Index(open, unknown)
	if target < 0 {
		return nil, false
	}
	var combined []Weight
	found := restricted.around(target, func(near []int) bool {
		part := &System{Unknowns: len(open)}
		for _, e := range near {
			part.Equations = append(part.Equations, restricted.Equations[e])
		}
		part, target := part.compact(target)
		if !part.determines(target) {
			return false
		}
		weights, ok := part.lightest(target)
		if !ok {
			weights, ok = part.combine(target)
		} else {
			weights = part.trim(target, weights)
		}
		for _, w := range weights {
			combined = append(combined, Weight{Equation: equations[near[w.Equation]], Weight: w.Weight})
		}
		return ok
	})
	slices.SortFunc(combined, func(a, b Weight) int { return cmp.Compare(a.Equation, b.Equation) })
	return combined, found
}

// around hands out the equations within one, two, four … steps of an unknown, and at last all that hang together with it,
// until enough says that they are. It returns false where they never are.
func (s *System) around(unknown int, enough func(equations []int) bool) bool {
	holders := make([][]int, s.Unknowns)
	for e, equation := range s.Equations {
		for _, t := range equation {
			holders[t.Unknown] = append(holders[t.Unknown], e)
		}
	}
	var near []int
	taken := make([]bool, len(s.Equations))
	seen := make([]bool, s.Unknowns)
	seen[unknown] = true
	ring := []int{unknown}
	for steps, next := 1, 1; len(ring) > 0; steps++ {
		var further []int
		for _, u := range ring {
			for _, e := range holders[u] {
				if taken[e] {
					continue
				}
				taken[e] = true
				near = append(near, e)
				for _, t := range s.Equations[e] {
					if !seen[t.Unknown] {
						seen[t.Unknown] = true
						further = append(further, t.Unknown)
					}
				}
			}
		}
		ring = further
		if steps == next || len(ring) == 0 {
			next *= 2
			if enough(near) {
				return true
			}
		}
	}
	return false
}

// compact leaves out the unknowns that are in no equation, but for target, and returns target's new number.
func (s *System) compact(target int) (*System, int) {
	used := make([]bool, s.Unknowns)
	used[target] = true
	for _, equation := range s.Equations {
		for _, t := range equation {
			used[t.Unknown] = true
		}
	}
	var open []int
	for u := range used {
		if used[u] {
			open = append(open, u)
		}
	}
	left, _ := s.Restrict(open)
	at, _ := slices.BinarySearch(open, target)
	return left, at
}

// determines reports whether the equations determine an unknown, modulo one prime; what says yes here is proved later.
func (s *System) determines(unknown int) bool {
	f := newField(mersenne)
	e := eliminate(f, s.matrix(f, s.all()), s.Unknowns)
	random := uint64(1)
	x := e.solution(s.Unknowns, func() uint64 {
		random = f.add(f.multiply(random, 0x1d872b41c3a5f10b%f.p), 1)
		return random
	})
	return x[unknown] == 0
}

// lightest returns the combination that isolates an unknown and has the least sum of sizes, if floating point finds it:
// as a program over the weights, in which those of every other unknown cancel out and that of target is 1.
func (s *System) lightest(target int) ([]Weight, bool) {
	n := len(s.Equations)
	dual := &System{Unknowns: n + 1, Equations: make([]Equation, s.Unknowns)} // the last unknown is the target's factor
	for e, equation := range s.Equations {
		for _, t := range equation {
			dual.Equations[t.Unknown] = append(dual.Equations[t.Unknown], Term{Unknown: e, Coefficient: t.Coefficient})
		}
	}
	dual.Equations[target] = append(dual.Equations[target], Term{Unknown: n, Coefficient: -1})
	p := &Program{
		System: dual, Lower: make([]float64, n+1), Upper: make([]float64, n+1), Cost: make([]float64, n+1),
		Penalty: make([]float64, n+1), Free: make([]float64, n+1),
	}
	for e := range n {
		p.Lower[e], p.Upper[e] = math.Inf(-1), math.Inf(1)
		p.Free[e] = math.Inf(1)
	}
	p.Upper[n], p.Cost[n] = 1, -1
	limit := 20*(n+s.Unknowns) + 1000
	first, err := p.Solve(limit)
	if err != nil || first.X[n] < 0.5 {
		return nil, false
	}
	p.Start = first.X
	p.Lower[n], p.Start[n] = 1, 1
	for e := range n {
		p.Penalty[e], p.Free[e] = 1, 0
	}
	second, err := p.Solve(limit)
	if err != nil {
		return nil, false
	}
	numerators, denominator, ok := dual.Round(second.X, 1<<20)
	if !ok || numerators[n] != denominator {
		return nil, false
	}
	var weights []Weight
	for e, x := range numerators[:n] {
		if x != 0 {
			weights = append(weights, Weight{Equation: e, Weight: big.NewRat(x, denominator)})
		}
	}
	return weights, true
}

// trim drops equations that the isolation of an unknown can do without, which follow from others in it.
func (s *System) trim(target int, weights []Weight) []Weight {
	used := &System{Unknowns: s.Unknowns}
	for _, w := range weights {
		used.Equations = append(used.Equations, s.Equations[w.Equation])
	}
	f := newField(mersenne)
	if len(eliminate(f, used.matrix(f, used.all()), s.Unknowns).pivots) == len(weights) {
		return weights
	}
	fewer, ok := used.combine(target)
	if !ok {
		return weights
	}
	for i, w := range fewer {
		fewer[i].Equation = weights[w.Equation].Equation
	}
	return fewer
}

// all returns all unknowns.
func (s *System) all() []int {
	all := make([]int, s.Unknowns)
	for u := range all {
		all[u] = u
	}
	return all
}

// combine returns a combination that isolates an unknown, by elimination in rational numbers.
func (s *System) combine(target int) ([]Weight, bool) {
	n := len(s.Equations)
	d := &dictionary{place: make([]int, n+1)} // its variables are the weights and the target's factor
	rows := make([][]*big.Rat, s.Unknowns)
	for u := range rows {
		rows[u] = make([]*big.Rat, n+1)
	}
	for e, equation := range s.Equations {
		for _, t := range equation {
			rows[t.Unknown][e] = new(big.Rat).SetInt64(t.Coefficient)
		}
	}
	rows[target][n] = new(big.Rat).SetInt64(-1)
	for _, row := range rows {
		d.add(row)
	}
	var weights []Weight
	for r, e := range d.basic {
		if e == n {
			return nil, false // the factor is bound to be 0, or it would not come last
		}
		if a := d.rows[r][n]; a != nil {
			weights = append(weights, Weight{Equation: e, Weight: new(big.Rat).Neg(a)})
		}
	}
	return weights, true
}
