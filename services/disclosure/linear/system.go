// Package linear answers questions about sparse systems of integer equations: which unknowns they determine and by which
// combination of equations, what a cheapest point of theirs is, and between which bounds an unknown lies.
//
// In a table the unknowns are its cells and the equations say that a total is the sum of its parts:
//
//	total  men  women
//	  1    −1    −1    = 0
//
// All equations have 0 on the right; a value that is known is an unknown whose bounds are equal.
// What decides about publishing is exact, or errs with a probability that its doc comment states. What only searches for
// a good point uses floating point, and whoever relies on the point checks it with [System.Holds].
package linear

import (
	"fmt"
	"math"
	"math/bits"
)

// Term is an unknown times its coefficient.
type Term struct {
	Unknown     int   // from 0
	Coefficient int64 // not 0; +1 and −1 in tables
}

// Equation says that the sum of its terms is 0. An unknown appears in it once at most.
type Equation []Term

// System is equations over unknowns 0 … Unknowns−1. Equations may follow from each other.
type System struct {
	Unknowns  int
	Equations []Equation
}

// Check says what is wrong with a system: an unknown out of range or twice in an equation, a coefficient that is 0 or
// beyond ±2³¹. The other methods take a system that Check accepts, and may panic for others.
func (s *System) Check() error {
	last := make([]int, s.Unknowns) // the equation, from 1, that an unknown was last seen in
	for e, equation := range s.Equations {
		for _, t := range equation {
			switch {
			case t.Unknown < 0 || t.Unknown >= s.Unknowns:
				return fmt.Errorf("equation %d: unknown %d of %d", e, t.Unknown, s.Unknowns)
			case last[t.Unknown] == e+1:
				return fmt.Errorf("equation %d: unknown %d twice", e, t.Unknown)
			case t.Coefficient == 0 || t.Coefficient > math.MaxInt32 || t.Coefficient < math.MinInt32:
				return fmt.Errorf("equation %d: unknown %d has coefficient %d", e, t.Unknown, t.Coefficient)
			}
			last[t.Unknown] = e + 1
		}
	}
	return nil
}

// Holds reports whether values, one an unknown, satisfy every equation. It is exact for all values.
func (s *System) Holds(values []int64) bool {
	for _, equation := range s.Equations {
		if !equation.Holds(values) {
			return false
		}
	}
	return true
}

// Holds reports whether values, one an unknown of the system, satisfy the equation. It is exact for all values.
func (e Equation) Holds(values []int64) bool {
	var high, low uint64 // the sum in two's complement of 128 bits
	for _, t := range e {
		h, l := multiply(t.Coefficient, values[t.Unknown])
		var carry uint64
		low, carry = bits.Add64(low, l, 0)
		high, _ = bits.Add64(high, h, carry)
	}
	return high == 0 && low == 0
}

// multiply returns a·b in two's complement of 128 bits.
func multiply(a, b int64) (high, low uint64) {
	high, low = bits.Mul64(uint64(a), uint64(b)) //nolint:gosec // the two corrections below are for the signs
	if a < 0 {
		high -= uint64(b) //nolint:gosec // modulo 2⁶⁴ by intent
	}
	if b < 0 {
		high -= uint64(a) //nolint:gosec // modulo 2⁶⁴ by intent
	}
	return high, low
}

// Restrict returns the system that is left for the unknowns of open when all others are known: unknown i of it is open[i].
// Equations without open unknowns fall away; equation e of it is equations[e] of s. The right hand sides are lost, so it
// is a system of deviations from one solution. Restrict panics where open names an unknown twice.
func (s *System) Restrict(open []int) (restricted *System, equations []int) {
	position := make([]int, s.Unknowns) // from 1
	for i, u := range open {
		if position[u] != 0 {
			panic(fmt.Sprintf("linear: unknown %d is open twice", u))
		}
		position[u] = i + 1
	}
	restricted = &System{Unknowns: len(open)}
	for e, equation := range s.Equations {
		var left Equation
		for _, t := range equation {
			if p := position[t.Unknown]; p != 0 {
				left = append(left, Term{Unknown: p - 1, Coefficient: t.Coefficient})
			}
		}
		if left != nil {
			restricted.Equations = append(restricted.Equations, left)
			equations = append(equations, e)
		}
	}
	return restricted, equations
}
