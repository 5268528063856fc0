package cellkey_test

import (
	"fmt"
	"math"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
)

func TestFiguresGoToTheNearestMultiple(t *testing.T) {
	for base, want := range map[int64]string{
		3: "[0 0 3 3 3 6 6 6 9 9 9]",
		5: "[0 0 0 5 5 5 5 5 10 10 10]",
		0: "[0 1 2 3 4 5 6 7 8 9 10]",
	} {
		var got []int64
		for figure := range int64(11) {
			got = append(got, cellkey.Rounding{Base: base}.Round(figure, 1<<63))
		}
		if fmt.Sprint(got) != want {
			t.Errorf("base %d: %v, want %s", base, got, want)
		}
	}
	for _, base := range []int64{1, 2, 4, 10, -3} {
		if err := (cellkey.Rounding{Base: base}).Check(); !fault.Is(err, fault.Invalid) {
			t.Errorf("base %d: %v", base, err)
		}
	}
}

func TestRoundedFiguresAreMultiplesLessThanOneBaseAway(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := cellkey.Rounding{Base: rapid.SampledFrom([]int64{3, 5}).Draw(t, "base"), Unbiased: rapid.Bool().Draw(t, "unbiased")}
		figure := rapid.Int64Range(0, 1<<53).Draw(t, "figure")
		key := cellkey.Key(rapid.Uint64().Draw(t, "key"))
		got := r.Round(figure, key)
		if got%r.Base != 0 || got <= figure-r.Base || got >= figure+r.Base || got < 0 || figure == 0 && got != 0 || figure%r.Base == 0 && got != figure {
			t.Errorf("%+v: %d becomes %d", r, figure, got)
		}
		if r.Round(figure, key) != got || r.Check() != nil {
			t.Error("the same cell is rounded in two ways")
		}
	})
}

// The keys that give one noise lie in one interval: what rounds a figure must be as good as independent of that.
func TestUnbiasedRoundingKeepsTheMeanWhateverTheNoise(t *testing.T) {
	noise := table(t, cellkey.Parameters{Maximum: 2, Variance: 1})
	for _, base := range []int64{3, 5} {
		r := cellkey.Rounding{Base: base, Unbiased: true}
		const steps = 1 << 18 // of the key: as coarse as those of counters, and coarser
		var sums, squares, n [5]float64
		for i := range cellkey.Key(steps) {
			key := i << (64 - 18)
			perturbed := noise.Perturb(7, key)
			off := float64(r.Round(perturbed, key) - perturbed)
			at := perturbed - 5
			sums[at] += off
			squares[at] += off * off
			n[at]++
		}
		for i := range n {
			if sd := math.Sqrt(squares[i] / n[i] / n[i]); math.Abs(sums[i]/n[i]) > 4*sd {
				t.Errorf("base %d: figure %d is off by %v ± %v", base, i+5, sums[i]/n[i], sd)
			}
		}
	}
}

func TestNoRoundedFigureStandsForOneSmallCount(t *testing.T) {
	for _, p := range []cellkey.Parameters{{Maximum: 1, Variance: 0.5}, {Maximum: 2, Variance: 1}, {Maximum: 3, Variance: 2.5, SmallestReleased: 2}} {
		for _, r := range []cellkey.Rounding{{Base: 3}, {Base: 5}, {Base: 3, Unbiased: true}, {Base: 5, Unbiased: true}} {
			counts := map[int64]map[int64]bool{}
			noise := table(t, p)
			for count := range int64(12) {
				for i := range cellkey.Key(1 << 12) {
					key := i << 52
					figure := r.Round(noise.Perturb(count, key), key)
					if counts[figure] == nil {
						counts[figure] = map[int64]bool{}
					}
					counts[figure][count] = true
				}
			}
			for figure := int64(0); figure < 10; figure += r.Base {
				if len(counts[figure]) < 3 {
					t.Errorf("%+v %+v: %d stands for the counts %v", p, r, figure, counts[figure])
				}
			}
		}
	}
}
