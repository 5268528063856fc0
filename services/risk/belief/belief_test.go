package belief

import (
	"encoding/csv"
	"errors"
	"math"
	"os"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/fault"
)

// rows reads a table of testdata: each row by the names of its columns.
func rows(t *testing.T, name string) []map[string]float64 {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	records, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var table []map[string]float64
	for _, record := range records[1:] {
		row := map[string]float64{}
		for i, text := range record {
			v, err := strconv.ParseFloat(text, 64)
			if err != nil && v != 0 && !math.IsInf(v, 0) {
				t.Fatal(err)
			}
			row[records[0][i]] = v
		}
		table = append(table, row)
	}
	if len(table) == 0 {
		t.Fatalf("%s has no rows", name)
	}
	return table
}

// near fails if got is further from want than a relative 1e-9, or than floor.
func near(t *testing.T, what string, got, want, floor float64) {
	t.Helper()
	if difference := math.Abs(got - want); !(difference <= 1e-9*math.Abs(want)+floor) {
		t.Errorf("%s is %.17g, want %.17g: relative difference %.2g", what, got, want, difference/math.Abs(want))
	}
}

func judge(t *testing.T, q Question) Judgement {
	t.Helper()
	j, err := Judge(q)
	if err != nil {
		t.Fatalf("judging %+v: %v", q, err)
	}
	return j
}

func TestJudgeAgreesWithR(t *testing.T) {
	for _, row := range rows(t, "gamma_poisson.csv") {
		q := Question{row["L0"], row["strength"], row["y"], row["t"], 0.25}
		j := judge(t, q)
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"shape", j.Posterior.Shape, row["post_shape"]},
			{"rate", j.Posterior.Rate, row["post_rate"]},
			{"mean", j.Mean, row["post_mean"]},
			{"q05", j.Q05, row["q05"]},
			{"q50", j.Q50, row["q50"]},
			{"q95", j.Q95, row["q95"]},
			{"under", j.UnderEstimated, row["p_under"]},
			{"over", j.OverEstimated, row["p_over"]},
			{"upper", j.SurpriseUpper, row["pp_upper"]},
			{"lower", j.SurpriseLower, row["pp_lower"]},
			{"log Bayes factor", j.LogBayesFactor, row["logBF_vs_L0"]},
		} {
			near(t, c.name, c.got, c.want, 0)
		}
		// The reference subtracts numbers close to 1; only 16 digits after the point are right.
		near(t, "within", j.Within, row["p_within"], 2e-16)
		if t.Failed() {
			t.Fatalf("at %+v", q)
		}
	}
}

// The table was computed with mpmath to 40 digits: incomplete functions by series where the shape is below 34,000, else by
// quadrature.
func TestJudgeAgreesWithFortyDigitsFarFromTheUsual(t *testing.T) {
	for _, row := range rows(t, "gamma_poisson_wide.csv") {
		q := Question{row["assumed"], row["strength"], row["events"], row["exposure"], row["tolerance"]}
		j := judge(t, q)
		for _, c := range []struct {
			name      string
			got, want float64
		}{
			{"under", j.UnderEstimated, row["under"]},
			{"over", j.OverEstimated, row["over"]},
			{"within", j.Within, row["within"]},
			{"upper", j.SurpriseUpper, row["upper"]},
			{"lower", j.SurpriseLower, row["lower"]},
			{"log Bayes factor", j.LogBayesFactor, row["log_bayes_factor"]},
			{"q05", j.Q05, row["q05"]},
			{"q50", j.Q50, row["q50"]},
			{"q95", j.Q95, row["q95"]},
		} {
			near(t, c.name, c.got, c.want, 1e-300)
		}
		if t.Failed() {
			t.Errorf("at %+v", q)
		}
	}
}

func TestDiscountFadesOldCycles(t *testing.T) {
	g := Gamma{Shape: 20, Rate: 4}
	for _, row := range rows(t, "discounted_gamma_poisson.csv") {
		g = g.Discount(0.8).Update(row["y"], 1)
		near(t, "shape", g.Shape, row["shape"], 0)
		near(t, "rate", g.Rate, row["rate"], 0)
		near(t, "mean", g.Mean(), row["mean"], 0)
		near(t, "P(λ > 6.25)", g.Above(6.25), row["p_under_25"], 0)
	}
}

func TestBetaAgreesWithR(t *testing.T) {
	for _, row := range rows(t, "beta_binomial.csv") {
		b := NewBeta(row["p0"], row["s"]).Update(row["k"], row["n"])
		near(t, "a", b.A, row["post_a"], 0)
		near(t, "b", b.B, row["post_b"], 0)
		near(t, "mean", b.Mean(), row["mean"], 0)
		near(t, "q05", b.Quantile(0.05), row["q05"], 0)
		near(t, "q95", b.Quantile(0.95), row["q95"], 0)
		near(t, "q50", b.Below(b.Quantile(0.5)), 0.5, 0)
		near(t, "P(p > p0)", b.Above(row["p0"]), row["p_above"], 0)
	}
}

func TestJudgeSaysUnderEstimatedWhereThriceTheRateWasSeen(t *testing.T) {
	j := judge(t, Question{AssumedRate: 250, Strength: 10, Events: 241 + 551 + 235 + 2194, Exposure: 4, Tolerance: 0.25})
	if j.Outcome != UnderEstimated || j.ExposureNeeded != 0 {
		t.Errorf("outcome %s, further exposure %v", j.Outcome, j.ExposureNeeded)
	}
}

func TestJudgeRefusesWhatIsNoNumberOfItsKind(t *testing.T) {
	good := Question{AssumedRate: 250, Strength: 10, Events: 3, Exposure: 4, Tolerance: 0.25}
	for _, bad := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300, 0, 1e-300} {
		for field, set := range map[string]func(*Question){
			"assumedRate": func(q *Question) { q.AssumedRate = bad },
			"strength":    func(q *Question) { q.Strength = bad },
			"events":      func(q *Question) { q.Events = bad },
			"exposure":    func(q *Question) { q.Exposure = bad },
			"tolerance":   func(q *Question) { q.Tolerance = bad },
		} {
			if field == "events" && bad >= 0 && bad < 1 {
				continue
			}
			q := good
			set(&q)
			_, err := Judge(q)
			fields(t, err, field)
		}
	}
}

func fields(t *testing.T, err error, want string) {
	t.Helper()
	if !fault.Is(err, fault.Invalid) {
		t.Fatalf("error is %v, want an invalid %s", err, want)
	}
	var f *fault.Error
	if !errors.As(err, &f) || len(f.Violations) != 1 || f.Violations[0].Field != want {
		t.Errorf("violations are %+v, want one of %s", f.Violations, want)
	}
}

// questions draws over the whole range that Judge allows.
func questions(t *rapid.T, decades float64) Question {
	const highest = 11.9
	power := func(name string, lowest float64) float64 {
		return math.Pow(10, rapid.Float64Range(max(lowest, -decades), min(highest, decades)).Draw(t, name))
	}
	q := Question{
		AssumedRate: power("rate", -11.9),
		Strength:    power("strength", -5.9),
		Exposure:    power("exposure", -11.9),
		Tolerance:   power("tolerance", -11.9),
	}
	if !rapid.Bool().Draw(t, "none") {
		q.Events = power("events", -6)
	}
	return q
}

func check(t *rapid.T, q Question) Judgement {
	j, err := Judge(q)
	if err != nil {
		t.Fatalf("judging %+v: %v", q, err)
	}
	return j
}

func TestJudgementIsFiniteAndAddsUpOverTheWholeRange(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := questions(t, 12)
		j := check(t, q)
		sound(t, q, j)
	})
}

type fataler interface {
	Fatalf(format string, args ...any)
}

// sound holds for every judgement.
func sound(t fataler, q Question, j Judgement) {
	for _, v := range []float64{
		j.Posterior.Shape, j.Posterior.Rate, j.Mean, j.Q05, j.Q50, j.Q95, j.UnderEstimated, j.OverEstimated, j.Within,
		j.SurpriseUpper, j.SurpriseLower, j.LogBayesFactor, j.ExposureNeeded,
	} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("%+v has a figure that is not finite: %+v", q, j)
		}
	}
	for _, p := range []float64{j.UnderEstimated, j.OverEstimated, j.Within, j.SurpriseUpper, j.SurpriseLower} {
		if p < 0 || p > 1 {
			t.Fatalf("%+v has a probability outside 0 to 1: %+v", q, j)
		}
	}
	if sum := j.UnderEstimated + j.OverEstimated + j.Within; math.Abs(sum-1) > 1e-9 {
		t.Fatalf("%+v: the probabilities sum to %.17g: %+v", q, sum, j)
	}
	if !(j.Q05 <= j.Q50 && j.Q50 <= j.Q95) || (j.Q05 > 0 && j.Q05 >= j.Q95) {
		t.Fatalf("%+v: the quantiles are not in order: %+v", q, j)
	}
	if j.SurpriseUpper+j.SurpriseLower < 1-1e-9 {
		t.Fatalf("%+v: P(Y ≥ y) + P(Y ≤ y) is below 1: %+v", q, j)
	}
	if j.ExposureNeeded < 0 || (j.ExposureNeeded > 0 && j.Outcome != Insufficient) {
		t.Fatalf("%+v: needs further exposure %v at %s", q, j.ExposureNeeded, j.Outcome)
	}
}

func TestQuantilesAreStrictlyOrderedAndInverseToTheTails(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := Gamma{Shape: math.Pow(10, rapid.Float64Range(-2, 9).Draw(t, "shape")), Rate: 1}
		previous := 0.0
		for _, p := range []float64{1e-6, 0.05, 0.5, 0.95, 0.999999} {
			x := g.Quantile(p)
			if x <= previous && x > 0 {
				t.Fatalf("quantile %v of %+v is %v, that before %v", p, g, x, previous)
			}
			previous = x
			if x < 1e-300 {
				continue
			}
			// A quantile is right to some 15 digits, which are √shape times as many of the tail.
			if got := g.Below(x); math.Abs(got-p) > 1e-13*(1+math.Sqrt(g.Shape)) {
				t.Fatalf("P(λ < quantile %v) of %+v is %v", p, g, got)
			}
		}
	})
}

func TestMoreEventsNeverLowerTheProbabilityOfUnderEstimation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := questions(t, 6)
		less := check(t, q)
		q.Events += math.Pow(10, rapid.Float64Range(-3, 6).Draw(t, "more"))
		more := check(t, q)
		if more.UnderEstimated < less.UnderEstimated*(1-1e-9) || more.OverEstimated > less.OverEstimated*(1+1e-9) {
			t.Fatalf("%+v: with more events P(under) went from %v to %v, P(over) from %v to %v",
				q, less.UnderEstimated, more.UnderEstimated, less.OverEstimated, more.OverEstimated)
		}
	})
}

func TestTheUnitOfExposureDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := questions(t, 5)
		k := math.Ldexp(1, rapid.IntRange(-10, 10).Draw(t, "k"))
		a := check(t, q)
		q.AssumedRate, q.Exposure = q.AssumedRate*k, q.Exposure/k
		b := check(t, q)
		b.Posterior.Rate *= k
		for _, v := range []*float64{&b.Mean, &b.Q05, &b.Q50, &b.Q95} {
			*v /= k
		}
		b.ExposureNeeded *= k
		if a.Q05 < 1e-300 { // where scaling rounds
			a.Q05, a.Q50, a.Q95 = b.Q05, b.Q50, b.Q95
		}
		if a != b {
			t.Fatalf("%+v, in units of %v:\n%+v\n%+v", q, k, a, b)
		}
	})
}

func TestTheExposureNeededIsEnoughAndNoMoreThanNeeded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := questions(t, 4)
		j := check(t, q)
		if j.ExposureNeeded == 0 {
			return
		}
		at := func(share float64) Outcome {
			further := j.ExposureNeeded * share
			later := q
			later.Exposure += further
			later.Events += j.Mean * further
			if later.Exposure > largest || later.Events > largest {
				t.Skip("beyond the range")
			}
			return check(t, later).Outcome
		}
		if after := at(1.0001); after == Insufficient {
			t.Fatalf("%+v: after a further exposure of %v there is no verdict", q, j.ExposureNeeded)
		}
		if before := at(0.9999); before != Insufficient {
			t.Fatalf("%+v: before a further exposure of %v the verdict is %s", q, j.ExposureNeeded, before)
		}
	})
}

func FuzzJudge(f *testing.F) {
	f.Add(250.0, 10.0, 3221.0, 4.0, 0.25)
	f.Add(1e9, 1e-6, 1e9, 1.0, 1e3)
	f.Add(1e-6, 1e-6, 0.0, 1e-6, 1e-9)
	f.Fuzz(func(t *testing.T, rate, strength, events, exposure, tolerance float64) {
		q := Question{rate, strength, events, exposure, tolerance}
		j, err := Judge(q)
		if err != nil {
			if !fault.Is(err, fault.Invalid) {
				t.Fatal(err)
			}
			return
		}
		sound(t, q, j)
	})
}

func BenchmarkJudge(b *testing.B) {
	for b.Loop() {
		if _, err := Judge(Question{250, 10, 3221, 4, 0.25}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkJudgeLargest(b *testing.B) {
	for b.Loop() {
		if _, err := Judge(Question{1e9, 1e6, 1e12 - 5e6, 1000, 6e-6}); err != nil {
			b.Fatal(err)
		}
	}
}
