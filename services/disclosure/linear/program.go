package linear

import (
	"errors"
	"fmt"
	"math"
)

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
	Free         []float64 // ≥ 0; 0 is faster than a little
	Start        []float64 // a point within the bounds in which every equation holds
}

// Solution is a point of a program: a vertex that satisfies its equations and bounds up to rounding (about 1e-9), or where
// rounding leads astray, and before the optimum, a point that satisfies its bounds up to 1e-5.
type Solution struct {
	X          []float64
	Cost       float64
	Iterations int
	Optimal    bool // false: the limit of iterations came first; X is still within the bounds
}

// ErrUnbounded is returned for a program whose cost falls without end.
var ErrUnbounded = errors.New("the cost has no lower bound")

// ErrStart is returned for a start that is not within its bounds or does not satisfy its equations.
var ErrStart = errors.New("the start is not within the bounds or not a point of the system")

// Solve returns the cheapest point that at most limit iterations of the simplex method find. The same program gives the
// same solution. Errors are ErrUnbounded, ErrStart and what [System.Check] returns.
func (p *Program) Solve(limit int) (Solution, error) {
	solver, err := NewSolver(p)
	if err != nil {
		return Solution{}, err
	}
	return solver.Solve(limit)
}

// Solver solves a program again and again while its costs change; each time it goes on from where it stands, which is
// much faster than from the start.
type Solver struct{ simplex *simplex }

// NewSolver returns a solver at the start of a program, which must not change while it is in use. Errors are ErrStart and what [System.Check]
// returns.
func NewSolver(p *Program) (*Solver, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	return &Solver{newSimplex(p)}, nil
}

// SetCost changes what a unit of an unknown costs.
func (s *Solver) SetCost(unknown int, cost float64) { s.simplex.cost[unknown] = cost }

// Solve returns the cheapest point that at most limit more iterations find. The error is ErrUnbounded.
func (s *Solver) Solve(limit int) (Solution, error) {
	w := s.simplex
	before := w.iterations
	ended := w.minimise(limit)
	if ended == unbounded {
		return Solution{}, ErrUnbounded
	}
	w.refactor() // undoes the rounding of many steps
	solution := Solution{X: w.settled(), Iterations: w.iterations - before, Optimal: ended == optimal}
	if s.beyond(solution.X) > 1e-7 {
		copy(solution.X, w.x)
	}
	p := w.program
	for u, x := range solution.X {
		solution.X[u] = x
		free := 0.0
		if p.Free != nil {
			free = p.Free[u]
		}
		solution.Cost += w.cost[u]*x + w.penalty[u]*max(math.Abs(x)-free, 0)
	}
	return solution, nil
}

// beyond returns by how much a point is beyond the bounds.
func (s *Solver) beyond(x []float64) float64 {
	var most float64
	for u, v := range x {
		most = max(most, s.simplex.program.Lower[u]-v, v-s.simplex.program.Upper[u])
	}
	return most
}

func (p *Program) check() error {
	if err := p.System.Check(); err != nil {
		return err
	}
	n := p.System.Unknowns
	for name, slice := range map[string][]float64{"lower": p.Lower, "upper": p.Upper, "cost": p.Cost} {
		if len(slice) != n {
			return fmt.Errorf("%s has %d of %d unknowns", name, len(slice), n)
		}
	}
	for name, slice := range map[string][]float64{"penalty": p.Penalty, "free": p.Free, "start": p.Start} {
		if slice != nil && len(slice) != n {
			return fmt.Errorf("%s has %d of %d unknowns", name, len(slice), n)
		}
	}
	start := p.Start
	if start == nil {
		start = make([]float64, n)
	}
	for u, x := range start {
		if !(p.Lower[u] <= x && x <= p.Upper[u]) {
			return fmt.Errorf("unknown %d is %v in [%v, %v]: %w", u, x, p.Lower[u], p.Upper[u], ErrStart)
		}
	}
	for e, equation := range p.System.Equations {
		var sum, size float64
		for _, t := range equation {
			sum += float64(t.Coefficient) * start[t.Unknown]
			size += math.Abs(float64(t.Coefficient) * start[t.Unknown])
		}
		if math.Abs(sum) > 1e-9*max(1, size) {
			return fmt.Errorf("equation %d is off by %v: %w", e, sum, ErrStart)
		}
	}
	return nil
}
