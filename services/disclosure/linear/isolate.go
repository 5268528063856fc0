package linear

import (
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
// the equations, and few where possible. It returns false where the equations do not determine the unknown.
func (s *System) Isolate(open []int, unknown int) ([]Weight, bool) {
	// Gauss on the transposed system: a column an equation, a row an open unknown, the right hand side 1 at unknown.
	n := len(s.Equations)
	rows := make([][]*big.Rat, len(open))
	position := map[int]int{}
	for i, u := range open {
		position[u] = i
		rows[i] = make([]*big.Rat, n+1)
		for k := range rows[i] {
			rows[i][k] = new(big.Rat)
		}
		if u == unknown {
			rows[i][n].SetInt64(1)
		}
	}
	for e, equation := range s.Equations {
		for _, t := range equation {
			if i, ok := position[t.Unknown]; ok {
				rows[i][e].SetInt64(t.Coefficient)
			}
		}
	}
	var pivots []int
	for e := 0; e < n && len(pivots) < len(rows); e++ {
		r := slices.IndexFunc(rows[len(pivots):], func(row []*big.Rat) bool { return row[e].Sign() != 0 })
		if r < 0 {
			continue
		}
		k := len(pivots)
		rows[k], rows[k+r] = rows[k+r], rows[k]
		inverse := new(big.Rat).Inv(rows[k][e])
		for c := range rows[k] {
			rows[k][c].Mul(rows[k][c], inverse)
		}
		for i := range rows {
			if i == k || rows[i][e].Sign() == 0 {
				continue
			}
			factor := new(big.Rat).Set(rows[i][e])
			for c := range rows[i] {
				rows[i][c].Sub(rows[i][c], new(big.Rat).Mul(factor, rows[k][c]))
			}
		}
		pivots = append(pivots, e)
	}
	for _, row := range rows[len(pivots):] {
		if row[n].Sign() != 0 {
			return nil, false
		}
	}
	var weights []Weight
	for k, e := range pivots {
		if rows[k][n].Sign() != 0 {
			weights = append(weights, Weight{Equation: e, Weight: rows[k][n]})
		}
	}
	return weights, true
}
