// Package belief judges assumed rates and proportions by what was counted.
//
// A rate λ is believed to follow a Gamma distribution, of which a count of y events in an exposure E makes another:
//
//	λ ~ Gamma(s, s/λ₀)  →  λ | y, E ~ Gamma(s + y, s/λ₀ + E)
//
// λ₀ is the assumed rate, in events a unit of exposure (a period, a thousand passengers, an officer's hour), and s the
// strength of the assumption: as many pseudo-events as its author claims to have seen. Events need not be whole: counts
// divided by their overdispersion are not. A proportion is treated likewise, with a Beta distribution.
//
// Source: A. Gelman et al., Bayesian Data Analysis, 3rd edition (2013), sections 2.4, 2.6 and 7.4.
package belief

import (
	"math"

	"github.com/comity-federation/comity/services/fault"
)

// Method names the model and its version. It is kept with every judgement, so that the judgement can be done again.
const Method = "gamma-poisson/1"

// The probabilities from which on there is a verdict.
const (
	sureDeviation = 0.9 // of a rate above or below what is assumed
	sureAgreement = 0.8 // of a rate within the tolerance
)

// The bounds of what is judged. Within them every figure of a judgement is finite.
const (
	smallest         = 1e-12
	smallestStrength = 1e-6
	largest          = 1e12
)

// Outcome is a verdict in a word.
type Outcome string

// The outcomes. Judge gives every one but Ambiguous: that is for whoever judges the same counts twice, a period and a
// unit of control effort being the exposure, and finds that the two verdicts differ after the effort has changed.
const (
	UnderEstimated Outcome = "UNDER_ESTIMATED" // P(λ > λ₀(1+δ)) ≥ 0.9
	OverEstimated  Outcome = "OVER_ESTIMATED"  // P(λ < λ₀/(1+δ)) ≥ 0.9
	Confirmed      Outcome = "CONFIRMED"       // P(λ₀/(1+δ) ≤ λ ≤ λ₀(1+δ)) ≥ 0.8
	Ambiguous      Outcome = "AMBIGUOUS"
	Insufficient   Outcome = "INSUFFICIENT"
)

// Question is an assumed rate, and what was counted. The largest number allowed in any field is 1e12.
type Question struct {
	AssumedRate float64 // λ₀, events a unit of exposure; at least 1e-12
	Strength    float64 // s, pseudo-events; at least 1e-6
	Events      float64 // y; 0 or more
	Exposure    float64 // E, in the unit of the rate; at least 1e-12
	Tolerance   float64 // δ, the relative deviation that is still as assumed; at least 1e-12
}

// Judgement is what is believed of a rate after the count. Each figure has a relative error below 1e-9, but for what
// floating point cannot hold: a probability or a quantile below 1e-300 may be 0.
type Judgement struct {
	Posterior      Gamma
	Mean           float64 // of the posterior, as are the quantiles
	Q05, Q50, Q95  float64
	UnderEstimated float64 // P(λ > λ₀(1+δ))
	OverEstimated  float64 // P(λ < λ₀/(1+δ))
	Within         float64 // the rest of the probability
	SurpriseUpper  float64 // P(Y ≥ y) under the prior predictive distribution, a negative binomial
	SurpriseLower  float64 // P(Y ≤ y) under it
	LogBayesFactor float64 // ln m(y) − ln Poisson(y; λ₀E); above 0 speaks against λ₀ exactly
	Outcome        Outcome
	// ExposureNeeded is, for Insufficient, the further exposure after which there would be a verdict if events went on at
	// the posterior mean. It is 0 for every other outcome, and where a billion events would not be enough: the mean is
	// too close to a limit of the tolerance.
	ExposureNeeded float64
}

// Judge answers q. An error is a fault of kind Invalid that names the field by its name in JSON.
func Judge(q Question) (Judgement, error) {
	if err := q.Check(); err != nil {
		return Judgement{}, err
	}
	expected := q.AssumedRate * q.Exposure
	posterior := q.posterior(q.Events, q.Exposure)
	j := Judgement{
		Posterior: posterior,
		Mean:      posterior.Mean(),
		Q05:       posterior.Quantile(0.05),
		Q50:       posterior.Quantile(0.5),
		Q95:       posterior.Quantile(0.95),
	}
	j.UnderEstimated, j.Within, j.OverEstimated = q.probabilities(posterior)
	j.SurpriseUpper, j.SurpriseLower = surprise(q.Strength, expected, q.Events)
	j.LogBayesFactor = logBayesFactor(q.Strength, expected, q.Events)
	j.Outcome = outcome(j.UnderEstimated, j.Within, j.OverEstimated)
	if j.Outcome == Insufficient {
		j.ExposureNeeded = q.exposureNeeded(j.Mean)
	}
	return j, nil
}

// Check reports the first field that is outside its range, as [Judge] does.
func (q Question) Check() error {
	for _, field := range []struct {
		name         string
		value, least float64
	}{
		{"assumedRate", q.AssumedRate, smallest},
		{"strength", q.Strength, smallestStrength},
		{"events", q.Events, 0},
		{"exposure", q.Exposure, smallest},
		{"tolerance", q.Tolerance, smallest},
	} {
		if !(field.value >= field.least && field.value <= largest) { // NaN is neither
			return fault.InvalidField(field.name, "%v is not a number from %v to %v", field.value, field.least, largest)
		}
	}
	return nil
}

// posterior returns the belief after the events.
func (q Question) posterior(events, exposure float64) Gamma {
	return Gamma{Shape: q.Strength, Rate: q.Strength / q.AssumedRate}.Update(events, exposure)
}

// probabilities returns P(λ > λ₀(1+δ)), that of the interval between, and P(λ < λ₀/(1+δ)).
func (q Question) probabilities(g Gamma) (above, within, below float64) {
	below, notBelow := gammaTails(g.Shape, g.Rate*q.AssumedRate/(1+q.Tolerance))
	notAbove, above := gammaTails(g.Shape, g.Rate*q.AssumedRate*(1+q.Tolerance))
	// Where both limits lie on one side, the smaller tails keep the digits that their complements have lost.
	switch {
	case notBelow < 0.5:
		within = notBelow - above
	case notAbove < 0.5:
		within = notAbove - below
	default:
		within = 1 - below - above
	}
	return above, max(within, 0), below
}

func outcome(above, within, below float64) Outcome {
	switch {
	case above >= sureDeviation:
		return UnderEstimated
	case below >= sureDeviation:
		return OverEstimated
	case within >= sureAgreement:
		return Confirmed
	}
	return Insufficient
}

// exposureNeeded finds the least further exposure that gives a verdict when events go on at the rate mean, or 0. It
// doubles the exposure until there is one and then halves the gap.
func (q Question) exposureNeeded(mean float64) float64 {
	const (
		mostEvents  = 1e9
		first       = 1.0 / 64 // of the weight of the belief so far
		refinements = 50
	)
	decided := func(further float64) bool {
		return outcome(q.probabilities(q.posterior(q.Events+mean*further, q.Exposure+further))) != Insufficient
	}
	weight := q.Strength/q.AssumedRate + q.Exposure
	tooLittle, enough := 0.0, first*weight
	for !decided(enough) {
		if q.Events+mean*enough > mostEvents {
			return 0
		}
		tooLittle, enough = enough, 2*enough
	}
	for range refinements {
		if middle := (tooLittle + enough) / 2; decided(middle) {
			enough = middle
		} else {
			tooLittle = middle
		}
	}
	return enough
}

// surprise returns P(Y ≥ y) and P(Y ≤ y) where Y given λ is Poisson(λE) and λ ~ Gamma(s, s/λ₀): a negative binomial with
// size s and mean λ₀E. Both are incomplete beta functions, which go on to counts that are not whole.
func surprise(strength, expected, events float64) (upper, lower float64) {
	failure, success := expected/(strength+expected), strength/(strength+expected)
	lower, _ = betaTails(strength, events+1, success, failure)
	if events == 0 {
		return 1, lower
	}
	upper, _ = betaTails(events, strength, failure, success)
	return upper, lower
}

// logBayesFactor returns ln m(y) − ln Poisson(y; μ), where m is the negative binomial of size s and mean μ. With Stirling's
// series in place of ln Γ all that is large cancels on paper, and not in floating point:
//
//	½ ln(s/n) + stirlingError(n) − stirlingError(s) + deviance(n, s+μ),  n = s + y
func logBayesFactor(strength, expected, events float64) float64 {
	n := strength + events
	return deviance(n, strength+expected) - math.Log1p(events/strength)/2 + stirlingError(n) - stirlingError(strength)
}
