package belief

import "math"

// Gamma is a Gamma distribution of a rate. Shape and Rate are above 0; the mean is Shape/Rate.
type Gamma struct {
	Shape float64 // as many events as the belief is worth
	Rate  float64 // in as much exposure
}

// Update returns the belief after events were counted in an exposure.
func (g Gamma) Update(events, exposure float64) Gamma {
	return Gamma{Shape: g.Shape + events, Rate: g.Rate + exposure}
}

// Discount returns the belief with the weight of what was seen multiplied by f, from 0 (exclusive) to 1, and its mean kept.
// Applied once a cycle before the update, with f from 0.8 to 0.95, it lets old cycles fade.
//
// Source: M. West, J. Harrison, Bayesian Forecasting and Dynamic Models, 2nd edition (1997), section 6.3.
func (g Gamma) Discount(f float64) Gamma {
	return Gamma{Shape: g.Shape * f, Rate: g.Rate * f}
}

// Mean returns the mean.
func (g Gamma) Mean() float64 { return g.Shape / g.Rate }

// Below returns P(λ < x).
func (g Gamma) Below(x float64) float64 {
	lower, _ := gammaTails(g.Shape, g.Rate*x)
	return lower
}

// Above returns P(λ > x).
func (g Gamma) Above(x float64) float64 {
	_, upper := gammaTails(g.Shape, g.Rate*x)
	return upper
}

// Quantile returns the x with P(λ < x) = p, for p between 0 and 1, both excluded.
func (g Gamma) Quantile(p float64) float64 {
	shape := g.Shape
	// Start where Wilson and Hilferty's cube of a normal variable has its quantile; below shape 1, where the leading
	// term of the distribution function has.
	start := (math.Log(p) + lgamma(shape+1)) / shape
	if start < math.Log(smallestQuantile) {
		return math.Exp(start) / g.Rate
	}
	if shape > 1 {
		ninth := 1 / (9 * shape)
		if root := 1 - ninth + normalQuantile(p)*math.Sqrt(ninth); root > 0.1 {
			start = math.Log(shape) + 3*math.Log(root)
		}
	}
	return math.Exp(solve(start, p, func(u float64) (lower, upper, slope float64) {
		x := math.Exp(u)
		lower, upper = gammaTails(shape, x)
		return lower, upper, shape * gammaTerm(shape, x)
	})) / g.Rate
}

// Beta is a Beta distribution of a proportion. A and B are above 0; the mean is A/(A+B).
type Beta struct {
	A float64 // as many successes as the belief is worth
	B float64 // as many failures
}

// NewBeta returns the belief of an author who assumes the proportion p, from 0 to 1 exclusive, and claims to have seen
// strength trials.
func NewBeta(p, strength float64) Beta { return Beta{A: p * strength, B: (1 - p) * strength} }

// Update returns the belief after successes in a number of trials.
func (b Beta) Update(successes, trials float64) Beta {
	return Beta{A: b.A + successes, B: b.B + trials - successes}
}

// Mean returns the mean.
func (b Beta) Mean() float64 { return b.A / (b.A + b.B) }

// Below returns P(p < x), x from 0 to 1.
func (b Beta) Below(x float64) float64 {
	lower, _ := betaTails(b.A, b.B, x, 1-x)
	return lower
}

// Above returns P(p > x), x from 0 to 1.
func (b Beta) Above(x float64) float64 {
	_, upper := betaTails(b.A, b.B, x, 1-x)
	return upper
}

// Quantile returns the x with P(p' < x) = p, for p between 0 and 1, both excluded.
func (b Beta) Quantile(p float64) float64 {
	// Start from the leading term of the distribution function at 0, if the quantile is small enough for it, else from
	// the mean.
	start := math.Log(b.A / b.B)
	logBeta := lgamma(b.A) + lgamma(b.B) - lgamma(b.A+b.B)
	if leading := (math.Log(p) + math.Log(b.A) + logBeta) / b.A; leading < start {
		start = leading
	}
	if start < math.Log(smallestQuantile) {
		return math.Exp(start)
	}
	u := solve(start, p, func(u float64) (lower, upper, slope float64) {
		x, y := 1/(1+math.Exp(-u)), 1/(1+math.Exp(u))
		lower, upper = betaTails(b.A, b.B, x, y)
		return lower, upper, betaTerm(b.A, b.B, x, y)
	})
	return 1 / (1 + math.Exp(-u))
}

// smallestQuantile is where the leading term of a distribution function is all of it.
const smallestQuantile = 1e-200

// solve returns the u at which the distribution function has the value p, from a start on. at returns both tails and the
// slope of the distribution function at u. The logarithms of both tails are concave in u (u being ln λ or the logit of a
// proportion, whose densities are log-concave), so Newton's method on them closes in from one side; a first step that goes
// too far is halved.
func solve(u, p float64, at func(u float64) (lower, upper, slope float64)) float64 {
	const most = 200
	left, right := math.Inf(-1), math.Inf(1)
	for range most {
		lower, upper, slope := at(u)
		if lower < p {
			left = u
		} else {
			right = u
		}
		var step float64
		if p <= 0.5 {
			step = -lower / slope * math.Log(lower/p)
		} else {
			step = upper / slope * math.Log(upper/(1-p))
		}
		if math.Abs(step) < 1e-14*max(1, math.Abs(u)) {
			return u + step
		}
		next := u + step
		if !(left < next && next < right) {
			next = left + (right-left)/2
		}
		if math.IsNaN(next) || math.IsInf(next, 0) || next == u {
			return u
		}
		u = next
	}
	return u
}

func normalQuantile(p float64) float64 { return math.Sqrt2 * math.Erfinv(2*p-1) }

func lgamma(x float64) float64 {
	v, _ := math.Lgamma(x)
	return v
}
