package belief

import (
	"math"

	"gonum.org/v1/gonum/mathext"
)

// gammaTails returns the regularised incomplete gamma functions P(a, x) and Q(a, x), each with its relative precision, however
// small. a is above 0, x is 0 or more.
func gammaTails(a, x float64) (lower, upper float64) {
	const (
		large  = 200
		centre = 4.5
	)
	switch {
	case x == 0:
		return 0, 1
	case a < large || math.Abs(x-a) < centre*math.Sqrt(a):
		return mathext.GammaIncReg(a, x), mathext.GammaIncRegComp(a, x)
	// Far from the centre of a large shape, gonum stops its expansions after 2,000 terms, and these need about 5√a.
	case x < a:
		lower = gammaTerm(a, x) * gammaSeries(a, x)
		return lower, 1 - lower
	default:
		upper = gammaTerm(a, x) * a * gammaFraction(a, x)
		return 1 - upper, upper
	}
}

// gammaTerm returns xᵃe⁻ˣ/Γ(a+1), a Poisson probability where a is whole.
func gammaTerm(a, x float64) float64 {
	return math.Exp(-stirlingError(a)-deviance(a, x)) / math.Sqrt(2*math.Pi*a)
}

// gammaSeries sums x^k/((a+1)…(a+k)); x < a. (https://dlmf.nist.gov/8.11.E4)
func gammaSeries(a, x float64) float64 {
	term, sum := 1.0, 1.0
	for k := 1.0; term > epsilon*sum; k++ {
		term *= x / (a + k)
		sum += term
	}
	return sum
}

// gammaFraction is 1/(x+1−a− 1(1−a)/(x+3−a− …)); x > a. (https://dlmf.nist.gov/8.9.E2)
func gammaFraction(a, x float64) float64 {
	f := newFraction(x + 1 - a)
	for k := 1.0; f.next(-k*(k-a), x+2*k+1-a); k++ {
	}
	return 1 / f.value
}

// betaTails returns the regularised incomplete beta function I_x(a, b) and its complement, each with its relative precision.
// a and b are above 0, x and y = 1 − x from 0 to 1; y is given because 1 − x has lost digits where x is almost 1.
func betaTails(a, b, x, y float64) (lower, upper float64) {
	switch {
	case x == 0:
		return 0, 1
	case y == 0:
		return 1, 0
	case x < (a+1)/(a+b+2):
		lower = betaTerm(a, b, x, y) * betaFraction(a, b, x, y)
		return lower, max(1-lower, 0)
	default:
		upper = betaTerm(a, b, x, y) * betaFraction(b, a, y, x)
		return max(1-upper, 0), upper
	}
}

// betaTerm returns xᵃyᵇ/B(a, b), by way of a binomial probability.
func betaTerm(a, b, x, y float64) float64 {
	n := a + b
	log := stirlingError(n) - stirlingError(a) - stirlingError(b) - deviance(a, n*x) - deviance(b, n*y)
	return math.Exp(log) * math.Sqrt(a/n*b/(2*math.Pi))
}

// betaFraction is I_x(a, b) without its first factor xᵃyᵇ/B(a, b); x is below its mean. It is every second convergent of
// https://dlmf.nist.gov/8.17.E22, in a form that keeps its digits where y is small.
//
// Source: A. DiDonato, A. Morris, ACM Trans Math Softw 1992;18:360, equation 9.
func betaFraction(a, b, x, y float64) float64 {
	term := func(m float64) float64 {
		return m + m*(b-m)*x/(a+2*m-1) + (a+m)*(a*y-b*x+1+m*(1+y))/(a+2*m+1)
	}
	f := newFraction(a * (a*y - b*x + 1) / (a + 1))
	for m := 1.0; f.next((a+m-1)/(a+2*m-1)*(a+b+m-1)/(a+2*m-1)*m*(b-m)*x*x, term(m)); m++ {
	}
	return 1 / f.value
}

// fraction evaluates b₀ + a₁/(b₁ + a₂/(b₂ + …)) from the front, by the method of Lentz as modified by Thompson and Barnett
// (J Comput Phys 1986;64:490).
type fraction struct{ value, c, d float64 }

func newFraction(b0 float64) *fraction {
	return &fraction{value: b0, c: b0}
}

// next takes in aₖ and bₖ, and reports whether the value is still changing.
func (f *fraction) next(a, b float64) bool {
	const tiny = 1e-300
	if f.d = b + a*f.d; f.d == 0 {
		f.d = tiny
	}
	if f.c = b + a/f.c; f.c == 0 {
		f.c = tiny
	}
	f.d = 1 / f.d
	change := f.c * f.d
	f.value *= change
	return math.Abs(change-1) > epsilon
}

// epsilon is the distance from 1 to the next larger number.
const epsilon = 0x1p-52

// deviance returns x ln(x/m) + m − x, half the deviance of a Poisson count x from its mean m, without cancellation where they
// are close. x is 0 or more, m above 0.
//
// Source: C. Loader, Fast and Accurate Computation of Binomial Probabilities (2000), section 3.
func deviance(x, m float64) float64 {
	if x == 0 {
		return m
	}
	if math.Abs(x-m) >= 0.1*(x+m) {
		return x*math.Log(x/m) + m - x
	}
	v := (x - m) / (x + m)
	sum, power := (x-m)*v, 2*x*v
	for j := 3.0; ; j += 2 {
		power *= v * v
		next := sum + power/j
		if next == sum {
			return sum
		}
		sum = next
	}
}

// stirlingError returns ln Γ(x+1) − (x+½) ln x + x − ½ ln 2π: how far Stirling's formula is from ln x!, for x above 0.
//
// Source: C. Loader, as for deviance, section 2; https://dlmf.nist.gov/5.11.E1.
func stirlingError(x float64) float64 {
	const series = 16
	if x < series {
		return lgamma(x+1) - (x+0.5)*math.Log(x) + x - math.Log(2*math.Pi)/2
	}
	xx := x * x
	sum := 0.0
	for _, coefficient := range [...]float64{-691. / 360360, 1. / 1188, -1. / 1680, 1. / 1260, -1. / 360, 1. / 12} {
		sum = sum/xx + coefficient
	}
	return sum / x
}
