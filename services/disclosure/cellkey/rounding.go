package cellkey

import (
	"math/bits"

	"github.com/comity-federation/comity/services/fault"
)

// Rounding rounds figures for tiers that are to see no more than orders of size. It rounds perturbed figures, never counts:
// what it gives away is at most what the perturbed figure does, and a figure of 0 or the base stands for several counts
// whatever is known of the noise.
type Rounding struct {
	// Base is 3 or 5; 0: figures are not rounded.
	Base int64
	// Unbiased rounds to the next multiple below or above with probabilities that keep the mean: a figure is its own mean,
	// and so are sums of many. The cell key decides, so the same cell is rounded alike wherever it stands. Without it, a
	// figure goes to the multiple that is nearest, which errs less for one figure, but alike for all of one size: where most
	// figures are 1, all of them go to 0.
	Unbiased bool
}

// Check returns a fault of kind Invalid where the base is none.
func (r Rounding) Check() error {
	switch r.Base {
	case 0, 3, 5:
		return nil
	}
	return fault.InvalidField("rounding.base", "is %d: it can be 3 or 5, or 0 for none", r.Base)
}

// Round returns the perturbed figure of the cell key, rounded: a multiple of the base less than one base away. Zero stays
// zero.
func (r Rounding) Round(figure int64, key Key) int64 {
	if r.Base == 0 || figure <= 0 {
		return figure
	}
	rest := figure % r.Base
	up := 2*rest > r.Base // the base is odd, so there is always a nearest
	if r.Unbiased {
		digit, _ := bits.Mul64(uint64(mix(key)), uint64(r.Base)) //nolint:gosec // the base is 3 or 5
		up = digit < uint64(rest)                                //nolint:gosec // the rest of a positive figure
	}
	if up {
		return figure - rest + r.Base
	}
	return figure - rest
}

// mix returns another key that is as uniform as the key and tells nothing of the noise that the key gave: the finalizer of
// SplitMix64 (Steele, Lea and Flood, 2014), which is one-to-one.
func mix(k Key) Key {
	k += 0x9e3779b97f4a7c15
	k = (k ^ k>>30) * 0xbf58476d1ce4e5b9
	k = (k ^ k>>27) * 0x94d049bb133111eb
	return k ^ k>>31
}
