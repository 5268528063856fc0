package cellkey

import (
	"math"

	"github.com/comity-federation/comity/services/fault"
)

// Limits of what can be asked for.
const (
	maxMaximum  = 100
	minVariance = 1e-6
	margin      = 1e-6 // of variance above what cannot be
)

// Parameters say how a table perturbs. They are public: what protects is the secret of the keys.
type Parameters struct {
	// Maximum is the largest noise, up or down, from 1 to 100 (D in the literature).
	Maximum int
	// Variance is that of the noise (V): see [NewTable] for which counts have less.
	Variance float64
	// SmallestReleased is j_s in the literature: no figure from 1 to it is published, larger ones and 0 are. From 0 (every
	// figure may be) to Maximum − 1.
	SmallestReleased int
	// Stay is the probability with which a count keeps its value, at least: one for all counts, or one for each from 1 to
	// [Parameters.LastCount]; none: nothing is asked for. It gives way to the variance, in steps of 0.05.
	Stay []float64
	// Monotone says whether noises below 0 may not be more probable than those that are nearer to 0: one for all counts, or
	// one for each from 1 to [Parameters.LastCount]; none: true for all.
	Monotone []bool
}

// LastCount is the count from which on all counts are perturbed alike.
func (p *Parameters) LastCount() int {
	if p.SmallestReleased == 0 {
		return p.Maximum
	}
	return p.Maximum + p.SmallestReleased + 1
}

// stay returns the stay probability of a count.
func (p *Parameters) stay(count int) float64 {
	switch len(p.Stay) {
	case 0:
		return 0
	case 1:
		return p.Stay[0]
	}
	return p.Stay[count-1]
}

// monotone reports whether the noises of a count are monotone.
func (p *Parameters) monotone(count int) bool {
	switch len(p.Monotone) {
	case 0:
		return true
	case 1:
		return p.Monotone[0]
	}
	return p.Monotone[count-1]
}

// check returns a fault of kind Invalid that says what can be had where the parameters cannot.
func (p *Parameters) check() error {
	if p.Maximum < 1 || p.Maximum > maxMaximum {
		return fault.InvalidField("perturbation.maximum", "is %d: it can be from 1 to %d", p.Maximum, maxMaximum)
	}
	if p.SmallestReleased < 0 || p.SmallestReleased >= p.Maximum {
		return fault.InvalidField("perturbation.smallestReleased",
			"is %d: with a maximum of %d it can be from 0 to %d, for the noise of count %d needs both signs to be unbiased",
			p.SmallestReleased, p.Maximum, p.Maximum-1, max(p.SmallestReleased, 1))
	}
	if err := p.checkVariance(); err != nil {
		return err
	}
	last := p.LastCount()
	if n := len(p.Stay); n > 1 && n != last {
		return fault.InvalidField("perturbation.stayProbability", "has %d values: it can have one, or %d for the counts from 1", n, last)
	}
	for _, stay := range p.Stay {
		if !(stay >= 0 && stay < 1) { // not a number is neither
			return fault.InvalidField("perturbation.stayProbability", "is %v: it can be from 0 up to but not 1", stay)
		}
	}
	if n := len(p.Monotone); n > 1 && n != last {
		return fault.InvalidField("perturbation.monotone", "has %d values: it can have one, or %d for the counts from 1", n, last)
	}
	return nil
}

// checkVariance bounds the variance. From above: no distribution over the noises has more entropy than the uniform one,
// and more variance than it needs outer noises more probable than inner ones. From below: a count that may not be released
// itself goes to 0 or above the smallest released one, and the least variance that does so without bias is that of the
// nearest two.
func (p *Parameters) checkVariance() error {
	const field = "perturbation.variance"
	most := float64(p.Maximum) * float64(p.Maximum+1) / 3
	if math.IsNaN(p.Variance) || p.Variance > most {
		return fault.InvalidField(field, "is %v: with a maximum of %d it can be at most %.6g", p.Variance, p.Maximum, most)
	}
	if p.Variance < minVariance {
		return fault.InvalidField(field, "is %v: it can be from %v to %.6g", p.Variance, minVariance, most)
	}
	count := (p.SmallestReleased + 1) / 2
	least := float64(count * (p.SmallestReleased + 1 - count))
	if p.Variance < least+margin && count > 0 {
		return fault.InvalidField(field, "is %v: where %d is the largest figure that is not published, it must be above %v, for count %d goes to 0 or at least %d; it can be up to %.6g",
			p.Variance, p.SmallestReleased, least, count, p.SmallestReleased+1, most)
	}
	return nil
}
