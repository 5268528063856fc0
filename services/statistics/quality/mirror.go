package quality

import "math"

// Mirror compares what the two ends of a corridor say of the same flow: the exits that the one reports, and the entries
// that the other does.
type Mirror struct {
	Difference float64 // entries − exits, in the unit of the figures
	Relative   float64 // the difference by the mean of both, from −2 to 2; 0 where both are 0
	LogRatio   float64 // ln((entries + ½) / (exits + ½)): the halves keep it finite where one is 0
	Z          float64 // the difference by its standard deviation, were both Poisson with one mean; 0 where both are 0
	P          float64 // the probability of a difference as large or larger, were that so, from 0 to 1
}

// largestExact is how many persons an exact test is made for; above, the normal distribution is as near as doubles are.
const largestExact = 10_000_000

// MirrorOf compares exits with entries, which are finite and not negative. P is that of the exact binomial test, two-sided:
// given their sum, the one of two Poisson counts with the same mean is binomial with probability ½ (Przyborowski and
// Wilenski, Biometrika 31, 1940). For it, figures that are not whole are rounded.
func MirrorOf(exits, entries float64) Mirror {
	m := Mirror{Difference: entries - exits, LogRatio: math.Log((entries + 0.5) / (exits + 0.5)), P: 1}
	if sum := exits + entries; sum > 0 {
		m.Relative = m.Difference / (sum / 2)
		m.Z = m.Difference / math.Sqrt(sum)
	}
	larger, n := math.Round(max(exits, entries)), math.Round(exits)+math.Round(entries)
	if n > largestExact {
		m.P = min(math.Erfc((larger-0.5-n/2)/math.Sqrt(n/2)), 1)
	} else if n > 0 {
		m.P = min(2*binomialUpper(int(n), int(larger), 0.5), 1)
	}
	return m
}

// Differs reports whether the sides say different things: chance makes such a difference with a probability below
// significance, and it is by more than the factor, which is above 1.
func (m Mirror) Differs(significance, factor float64) bool {
	return m.P < significance && math.Abs(m.LogRatio) > math.Log(factor)
}
