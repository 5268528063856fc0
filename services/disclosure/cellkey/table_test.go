package cellkey_test

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
)

// parameters draws some that can be had.
func parameters(t *rapid.T, largest int) cellkey.Parameters {
	p := cellkey.Parameters{Maximum: rapid.IntRange(1, largest).Draw(t, "maximum")}
	p.SmallestReleased = rapid.IntRange(0, p.Maximum-1).Draw(t, "smallest released")
	blocked := (p.SmallestReleased + 1) / 2
	least, most := float64(blocked*(p.SmallestReleased+1-blocked)), float64(p.Maximum*(p.Maximum+1))/3
	p.Variance = least + (most-least)*rapid.Float64Range(0.001, 1).Draw(t, "variance")
	p.Variance = min(p.Variance, most)
	last := p.LastCount()
	for range rapid.SampledFrom([]int{0, 1, last}).Draw(t, "stays") {
		p.Stay = append(p.Stay, rapid.Float64Range(0, 0.99).Draw(t, "stay"))
	}
	for range rapid.SampledFrom([]int{0, 1, last}).Draw(t, "monotones") {
		p.Monotone = append(p.Monotone, rapid.Bool().Draw(t, "monotone"))
	}
	return p
}

// asked returns the value for a count of what is given for all, for each or, as it is otherwise, for none.
func asked[T any](values []T, count int, otherwise T) T {
	switch len(values) {
	case 0:
		return otherwise
	case 1:
		return values[0]
	}
	return values[count-1]
}

// byCount returns the transitions of each count.
func byCount(table *cellkey.Table) [][]cellkey.Transition {
	var counts [][]cellkey.Transition
	for _, transition := range table.Transitions() {
		if transition.Count == len(counts) {
			counts = append(counts, nil)
		}
		counts[transition.Count] = append(counts[transition.Count], transition)
	}
	return counts
}

// moments returns the sum of the probabilities, the mean and the variance of the noise of a count.
func moments(count []cellkey.Transition) (sum, mean, variance float64) {
	for _, transition := range count {
		noise := float64(transition.Noise)
		sum += transition.Probability
		mean += noise * transition.Probability
		variance += noise * noise * transition.Probability
	}
	return sum, mean, variance
}

func TestEveryTableHoldsWhatItsParametersSay(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := parameters(t, 12)
		table, err := cellkey.NewTable(p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		counts := byCount(table)
		free := p
		free.Stay = nil
		table, err = cellkey.NewTable(free)
		if err != nil {
			t.Fatalf("%+v: %v", free, err)
		}
		unasked := byCount(table)
		if len(counts) != p.LastCount()+1 || len(counts[0]) != 1 || counts[0][0] != (cellkey.Transition{Probability: 1, Upper: 1}) {
			t.Fatalf("%+v: %d rows, count 0 becomes %+v", p, len(counts), counts[0])
		}
		for count, transitions := range counts[1:] {
			count++
			sum, mean, variance := moments(transitions)
			if math.Abs(sum-1) > 1e-12 || math.Abs(mean) > 1e-9 || variance > p.Variance+1e-9 {
				t.Errorf("%+v: count %d: sum %v, mean %v, variance %v", p, count, sum, mean, variance)
			}
			if count == len(counts)-1 && math.Abs(variance-p.Variance) > 1e-6 {
				t.Errorf("%+v: from count %d the variance is %v", p, count, variance)
			}
			before, stay := 0.0, math.NaN()
			for _, transition := range transitions {
				figure := count + transition.Noise
				if figure < 0 || 0 < figure && figure <= p.SmallestReleased || max(transition.Noise, -transition.Noise) > p.Maximum {
					t.Errorf("%+v: count %d becomes %d", p, count, figure)
				}
				if count > p.SmallestReleased && transition.Noise <= 0 && asked(p.Monotone, count, true) && transition.Probability < before-1e-9 {
					t.Errorf("%+v: count %d: noise %d is less probable than that below", p, count, transition.Noise)
				}
				before = transition.Probability
				if transition.Noise == 0 {
					stay = transition.Probability
				}
			}
			if stay < asked(p.Stay, count, 0)-1e-9 && variance < p.Variance-1e-6 && !cmp.Equal(transitions, unasked[count]) {
				t.Errorf("%+v: count %d stays with only %v, and has only a variance of %v", p, count, stay, variance)
			}
		}
	})
}

// It would be found if any other distribution had more entropy: entropy is concave, so it is enough that no other has a
// larger mean of −log p. Of those that can be had, the extreme ones are mixtures of at most four: of two runs each (of one
// noise, or, where they are monotone, of all from one up to none) such that the mean is 0, at most two such mixtures.
func TestNoDistributionHasMoreEntropy(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := parameters(t, 7)
		p.Stay = nil
		table, err := cellkey.NewTable(p)
		if err != nil {
			t.Fatalf("%+v: %v", p, err)
		}
		type run struct{ mean, square, surprise float64 }
	counts:
		for count, transitions := range byCount(table)[1:] {
			count++
			chain := asked(p.Monotone, count, true) && count > p.SmallestReleased
			var entropy float64
			var runs []run
			for i, from := range transitions {
				if from.Probability < 1e-9 {
					continue counts // too small for its logarithm to be seen well
				}
				entropy -= from.Probability * math.Log(from.Probability)
				var r run
				n := 0.0
				for _, to := range transitions[i:] {
					noise := float64(to.Noise)
					r = run{r.mean + noise, r.square + noise*noise, r.surprise - math.Log(to.Probability)}
					n++
					if !chain || to.Noise >= 0 {
						break
					}
				}
				runs = append(runs, run{r.mean / n, r.square / n, r.surprise / n})
			}
			var unbiased []run
			for _, a := range runs {
				if a.mean == 0 {
					unbiased = append(unbiased, a)
				}
				for _, b := range runs {
					if a.mean < 0 && b.mean > 0 {
						w := b.mean / (b.mean - a.mean)
						unbiased = append(unbiased, run{0, w*a.square + (1-w)*b.square, w*a.surprise + (1-w)*b.surprise})
					}
				}
			}
			for _, a := range unbiased {
				for _, b := range unbiased {
					w := 1.0 // of a
					if a.square > p.Variance {
						if b.square >= p.Variance {
							continue
						}
						w = (p.Variance - b.square) / (a.square - b.square)
					}
					if surprise := w*a.surprise + (1-w)*b.surprise; surprise > entropy+1e-6 {
						t.Fatalf("%+v: count %d: another distribution is better by %v", p, count, surprise-entropy)
					}
				}
			}
		}
	})
}

func TestLargeAndNarrowTablesAreFound(t *testing.T) {
	for _, p := range []cellkey.Parameters{
		{Maximum: 100, Variance: 1},
		{Maximum: 100, Variance: 3000, SmallestReleased: 99},
		{Maximum: 100, Variance: 100 * 101 / 3.0},
		{Maximum: 100, Variance: 2500.1, SmallestReleased: 99, Monotone: []bool{false}},
		{Maximum: 30, Variance: 1e-6},
		{Maximum: 30, Variance: 20, Stay: []float64{0.99}},
		{Maximum: 1, Variance: 2 / 3.0},
		{Maximum: 2, Variance: 1.000002, SmallestReleased: 1},
	} {
		counts := byCount(table(t, p))
		if _, mean, variance := moments(counts[len(counts)-1]); math.Abs(mean) > 1e-9 || math.Abs(variance-p.Variance) > 1e-6 {
			t.Errorf("%+v: mean %v, variance %v", p, mean, variance)
		}
	}
}

func TestZeroStaysZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table, err := cellkey.NewTable(parameters(t, 8))
		if err != nil {
			t.Fatal(err)
		}
		key := cellkey.Key(rapid.Uint64().Draw(t, "key"))
		if table.Noise(0, key) != 0 {
			t.Errorf("0 becomes %d", table.Noise(0, key))
		}
		count := rapid.Int64Range(0, 1<<53).Draw(t, "count")
		if table.Perturb(count, key) < 0 {
			t.Errorf("%d becomes %d", count, table.Perturb(count, key))
		}
	})
}

func TestParametersThatCannotBeHadAreRefusedWithThoseThatCan(t *testing.T) {
	for _, c := range []struct {
		parameters cellkey.Parameters
		field, can string
	}{
		{cellkey.Parameters{Maximum: 0, Variance: 1}, "perturbation.maximum", "from 1 to 100"},
		{cellkey.Parameters{Maximum: 101, Variance: 1}, "perturbation.maximum", "from 1 to 100"},
		{cellkey.Parameters{Maximum: 2, Variance: 1, SmallestReleased: 2}, "perturbation.smallestReleased", "from 0 to 1"},
		{cellkey.Parameters{Maximum: 2, Variance: 1, SmallestReleased: -1}, "perturbation.smallestReleased", "from 0 to 1"},
		{cellkey.Parameters{Maximum: 2, Variance: 2.01}, "perturbation.variance", "at most 2"},
		{cellkey.Parameters{Maximum: 2, Variance: math.NaN()}, "perturbation.variance", "at most 2"},
		{cellkey.Parameters{Maximum: 2, Variance: math.Inf(1)}, "perturbation.variance", "at most 2"},
		{cellkey.Parameters{Maximum: 2, Variance: 0}, "perturbation.variance", "from 1e-06 to 2"},
		{cellkey.Parameters{Maximum: 2, Variance: -1}, "perturbation.variance", "from 1e-06 to 2"},
		{cellkey.Parameters{Maximum: 2, Variance: 1, SmallestReleased: 1}, "perturbation.variance", "above 1"},
		{cellkey.Parameters{Maximum: 5, Variance: 4, SmallestReleased: 3}, "perturbation.variance", "above 4, for count 2 goes to 0 or at least 4; it can be up to 10"},
		{cellkey.Parameters{Maximum: 2, Variance: 1, Stay: []float64{1}}, "perturbation.stayProbability", "up to but not 1"},
		{cellkey.Parameters{Maximum: 2, Variance: 1, Stay: []float64{-0.1}}, "perturbation.stayProbability", "from 0"},
		{cellkey.Parameters{Maximum: 2, Variance: 1, Stay: []float64{0, math.NaN()}}, "perturbation.stayProbability", "from 0"},
		{cellkey.Parameters{Maximum: 2, Variance: 1, Stay: make([]float64, 3)}, "perturbation.stayProbability", "2 for the counts from 1"},
		{cellkey.Parameters{Maximum: 2, Variance: 1, Monotone: make([]bool, 3)}, "perturbation.monotone", "2 for the counts from 1"},
	} {
		_, err := cellkey.NewTable(c.parameters)
		if !fault.Is(err, fault.Invalid) || !strings.HasPrefix(err.Error(), c.field+": ") || !strings.Contains(err.Error(), c.can) {
			t.Errorf("%+v: %v, want a fault of %s that says %q", c.parameters, err, c.field, c.can)
		}
	}
}

func TestStayingGivesWayToTheVariance(t *testing.T) {
	stay := func(p cellkey.Parameters, count int) (float64, float64) {
		transitions := byCount(table(t, p))[count]
		_, _, variance := moments(transitions)
		for _, transition := range transitions {
			if transition.Noise == 0 {
				return transition.Probability, variance
			}
		}
		return 0, variance
	}
	// Without more, count 5 of maximum 5 stays with 0.28.
	if p, v := stay(cellkey.Parameters{Maximum: 5, Variance: 2, Stay: []float64{0.5}}, 5); math.Abs(p-0.5) > 1e-9 || math.Abs(v-2) > 1e-9 {
		t.Errorf("stays with %v and variance %v, want 0.5 and 2", p, v)
	}
	// With 0.3 over four noises there is no variance above 0.75: 0.7 gives way until 0.4 are left.
	if p, v := stay(cellkey.Parameters{Maximum: 2, Variance: 1, Stay: []float64{0.7}}, 2); math.Abs(p-0.6) > 1e-9 || math.Abs(v-1) > 1e-9 {
		t.Errorf("stays with %v and variance %v, want 0.6 and 1", p, v)
	}
}

func BenchmarkTable(b *testing.B) {
	for b.Loop() {
		if _, err := cellkey.NewTable(cellkey.Parameters{Maximum: 10, Variance: 5, SmallestReleased: 3}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLargestTable(b *testing.B) {
	for b.Loop() {
		if _, err := cellkey.NewTable(cellkey.Parameters{Maximum: 100, Variance: 2600, SmallestReleased: 99, Stay: []float64{0.99}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMillionCells(b *testing.B) {
	for _, p := range []cellkey.Parameters{{Maximum: 5, Variance: 3, SmallestReleased: 2}, {Maximum: 100, Variance: 1000}} {
		b.Run(map[int]string{5: "Maximum5", 100: "Maximum100"}[p.Maximum], func(b *testing.B) {
			noise := table(b, p)
			var sum int64
			for b.Loop() {
				key := cellkey.Key(0)
				for i := range int64(1_000_000) {
					key += 0x9e3779b97f4a7c15
					sum += noise.Perturb(i%20, key)
				}
			}
			_ = sum
		})
	}
}
