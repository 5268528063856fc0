package linear

import (
	"math"
	"math/big"
	"slices"
)

// vector is fractions over a common denominator.
type vector struct {
	numerators  []*big.Int
	denominator *big.Int // > 0
}

// equations is a square system that floating point solves about right.
type equations struct {
	solve    func(right, x []float64)       // x about the solution for right, which may be spoilt
	subtract func(right []int64, x []int64) // takes from right what x gives
}

// The bits of a step of refinement, well below what floating point gets right, and the most of all steps together: of
// twice the bits of a denominator.
const (
	stepBits = 30
	mostBits = 64 * stepBits
)

// solveExactly returns the exact solution of integer equations: it solves for what is left of the right hand side again
// and again, each time at a finer scale, until fractions can be told from the digits (Wan 2006, "An algorithm to solve
// integer linear systems exactly using numerical methods"). The solution is to be checked; what comes after the digits
// is a guess. It returns false where floating point is too far off or the denominator is too large.
func solveExactly(e equations, right []int64) (vector, bool) {
	right = slices.Clone(right)
	approximate, x, step := make([]float64, len(right)), make([]float64, len(right)), make([]int64, len(right))
	digits := make([]*big.Int, len(right))
	for i := range digits {
		digits[i] = new(big.Int)
	}
	guess := uint(2 * stepBits)
	for bits, shift := uint(0), uint(0); bits <= mostBits; bits += stepBits {
		for i := range right {
			approximate[i] = float64(right[i])
			right[i] <<= shift
		}
		e.solve(approximate, x)
		for i, v := range x {
			v = math.RoundToEven(math.Ldexp(v, int(shift)))
			if !(math.Abs(v) < 1<<53) {
				return vector{}, false
			}
			step[i] = int64(v)
			digits[i].Lsh(digits[i], shift).Add(digits[i], big.NewInt(step[i]))
		}
		e.subtract(right, step)
		left := int64(0)
		for _, r := range right {
			if r > 1<<32 || r < -1<<32 {
				return vector{}, false
			}
			left |= r
		}
		if left == 0 {
			return vector{digits, new(big.Int).Lsh(big.NewInt(1), bits)}, true
		}
		if bits == guess {
			if v, ok := fractionsOf(digits, bits); ok {
				return v, true
			}
			guess *= 2
		}
		shift = stepBits
	}
	return vector{}, false
}

// fractionsOf returns the fractions that digits·2^−bits are close to, if their common denominator has less than half of
// the bits.
func fractionsOf(digits []*big.Int, bits uint) (vector, bool) {
	one := new(big.Int).Lsh(big.NewInt(1), bits)
	near := new(big.Int).Lsh(big.NewInt(1), bits/2)
	most := new(big.Int).Rsh(near, 8)
	common := big.NewInt(1)
	for _, n := range digits {
		rest := new(big.Int).Mul(n, common)
		rest.Mod(rest, one)
		if rest.Cmp(near) < 0 || new(big.Int).Sub(one, rest).Cmp(near) < 0 {
			continue
		}
		// The convergents of rest/one have the denominators d, and r = |rest·d − p·one| falls.
		r0, r1, d0, d1 := new(big.Int).Set(one), rest, new(big.Int), big.NewInt(1)
		for r1.Cmp(near) >= 0 {
			quotient, remainder := new(big.Int).QuoRem(r0, r1, new(big.Int))
			r0, r1 = r1, remainder
			d0, d1 = d1, d0.Add(d0, quotient.Mul(quotient, d1))
		}
		if common.Mul(common, d1).Cmp(most) > 0 {
			return vector{}, false
		}
	}
	half := new(big.Int).Rsh(one, 1)
	v := vector{numerators: make([]*big.Int, len(digits)), denominator: common}
	for i, n := range digits {
		product := new(big.Int).Mul(n, common)
		v.numerators[i] = product.Rsh(product.Add(product, half), bits)
	}
	return v, true
}

// inBasis is the equations B·x = right, x being by slot and right by row.
func (w *simplex) inBasis() equations {
	return equations{
		solve: func(right, x []float64) {
			copy(w.factor.work, right)
			w.factor.solve(w.factor.work, x)
		},
		subtract: func(right, x []int64) {
			for slot, v := range w.basis {
				rows, values := w.matrix.column(v)
				for i, r := range rows {
					right[r] -= int64(values[i]) * x[slot]
				}
			}
		},
	}
}

// ofBasis is the equations y·B = right, y being by row and right by slot.
func (w *simplex) ofBasis() equations {
	return equations{
		solve: w.factor.multiply,
		subtract: func(right, y []int64) {
			for slot, v := range w.basis {
				rows, values := w.matrix.column(v)
				for i, r := range rows {
					right[slot] -= int64(values[i]) * y[r]
				}
			}
		},
	}
}
