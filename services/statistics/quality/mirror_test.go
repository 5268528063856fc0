package quality_test

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/statistics/quality"
)

// mirrored returns the corridors of testdata/mirror.csv, and of each what R makes of it: the difference, relative and as a
// logarithm, z and p.
func mirrored(t *testing.T) (corridors []quality.Corridor, measures [][]float64) {
	t.Helper()
	file, err := os.Open("testdata/mirror.csv")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	rows, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range rows[1:] {
		var numbers []float64
		for _, text := range row[1:] {
			number, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, number)
		}
		from, to, _ := strings.Cut(row[0], ">")
		corridors = append(corridors, quality.Corridor{From: from, To: to, Exits: numbers[0], Entries: numbers[1]})
		measures = append(measures, numbers[2:])
	}
	return corridors, measures
}

func TestMirror(t *testing.T) {
	t.Parallel()
	t.Run("it is as R has it", func(t *testing.T) {
		corridors, measures := mirrored(t)
		for i, c := range corridors {
			m := quality.MirrorOf(c.Exits, c.Entries)
			for j, got := range []float64{m.Difference, m.Relative, m.LogRatio, m.Z, m.P} {
				if want := measures[i][j]; !near(got, want) || want != 0 && math.Abs(got/want-1) > 1e-9 {
					t.Errorf("%s>%s, measure %d: got %v, want %v", c.From, c.To, j, got, want)
				}
			}
		}
	})
	t.Run("it differs where chance does not explain it, and it matters", func(t *testing.T) {
		for _, test := range []struct {
			exits, entries float64
			want           bool
		}{
			{800, 1200, true},
			{1000, 950, false},             // chance
			{1_000_000, 1_050_000, false},  // too little to matter
			{1_000_000, 1_200_000, true},   //
			{3, 4, false},                  // chance
			{0, 12, true},                  //
			{0, 0, false},                  //
			{1e12, 1.2e12, true},           // no exact test any more
			{math.MaxFloat64 / 4, 0, true}, //
		} {
			if got := quality.MirrorOf(test.exits, test.entries).Differs(0.05, 1.1); got != test.want {
				t.Errorf("%v and %v: %v", test.exits, test.entries, got)
			}
		}
	})
	t.Run("it goes smoothly over to figures too large for the exact test", func(t *testing.T) {
		small, large := quality.MirrorOf(4_998_000, 5_002_000), quality.MirrorOf(4_998_001, 5_002_001)
		if math.Abs(small.P/large.P-1) > 1e-5 {
			t.Errorf("p jumps from %v to %v", small.P, large.P)
		}
	})
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	find := func(fit quality.CoverageFit, reporter string, entries bool) quality.Coverage {
		for _, f := range fit.Factors {
			if f.Reporter == reporter && f.Entries == entries {
				return f
			}
		}
		t.Fatalf("no factor of %s", reporter)
		return quality.Coverage{}
	}
	t.Run("it is as R has it, which leaves no degree of freedom", func(t *testing.T) {
		corridors, _ := mirrored(t)
		fit := quality.FitCoverage(corridors, 0.95)
		for _, want := range []quality.Coverage{ // of testdata/mirror_fit.txt; C's exits follow from the sum
			{Reporter: "A", Entries: true, Coefficient: 0.889076068861},
			{Reporter: "B", Entries: true, Coefficient: -1.464802318521},
			{Reporter: "C", Entries: true, Coefficient: -1.413509024133},
			{Reporter: "A", Coefficient: 1.413509024133},
			{Reporter: "B", Coefficient: -0.483610960752},
			{Reporter: "C", Coefficient: -0.929898063381},
		} {
			got := find(fit, want.Reporter, want.Entries)
			if math.Abs(got.Coefficient-want.Coefficient) > 1e-9 || !math.IsNaN(got.StandardError) || !math.IsNaN(got.Lower) {
				t.Errorf("got %+v, want %v", got, want.Coefficient)
			}
		}
		if fit.Corridors != 5 || fit.LeftOut != 1 || fit.Groups != 1 || fit.DegreesOfFreedom != 0 {
			t.Errorf("got %+v", fit)
		}
	})
	t.Run("it finds the factors that figures were made with", func(t *testing.T) {
		entries := map[string]float64{"A": 0.9, "B": 0.5, "C": 1.2, "D": 0.7}
		exits := map[string]float64{"A": 0.5, "B": 2, "C": 0.25, "D": 4} // geometric mean 1
		var corridors []quality.Corridor
		flow := 100.0
		for i := range exits {
			for j := range entries {
				if i != j {
					flow += 1000
					corridors = append(corridors, quality.Corridor{From: i, To: j, Exits: flow * exits[i], Entries: flow * entries[j]})
				}
			}
		}
		fit := quality.FitCoverage(corridors, 0.95)
		for reporter := range exits {
			in, out := find(fit, reporter, true), find(fit, reporter, false)
			if !near(in.Factor, entries[reporter]) || !near(out.Factor, exits[reporter]) || in.Corridors != 3 || !near(in.Lower, in.Factor) {
				t.Errorf("%s: %+v and %+v", reporter, in, out)
			}
		}
		if fit.DegreesOfFreedom != 12-7 || fit.ResidualStandardErr > 1e-9 {
			t.Errorf("got %+v", fit)
		}
	})
	t.Run("it has the error of a weighted mean where one reporter's exits stand against one's entries", func(t *testing.T) {
		fit := quality.FitCoverage([]quality.Corridor{{"A", "B", 100, 100}, {"A", "B", 300, 600}}, 0.95)
		// Weights 50 and 200, mean 0.8 ln 2, residual sum of squares 40 ln² 2, with one degree of freedom.
		in := find(fit, "B", true)
		standardError := math.Ln2 * math.Sqrt(40.0/250)
		if !near(in.Coefficient, 0.8*math.Ln2) || !near(in.StandardError, standardError) || !near(fit.ResidualStandardErr, math.Ln2*math.Sqrt(40)) {
			t.Errorf("got %+v of %+v", in, fit)
		}
		if quantile := 12.706204736; math.Abs(math.Log(in.Upper)-in.Coefficient-quantile*standardError) > 1e-6 {
			t.Errorf("the interval is %v to %v", in.Lower, in.Upper)
		}
	})
	t.Run("it fits groups that no corridor joins each by itself", func(t *testing.T) {
		fit := quality.FitCoverage([]quality.Corridor{{"A", "B", 100, 50}, {"B", "A", 10, 20}}, 0.95)
		if fit.Groups != 2 || fit.DegreesOfFreedom != 0 || len(fit.Factors) != 4 {
			t.Fatalf("got %+v", fit)
		}
		if b, a := find(fit, "B", true), find(fit, "A", true); !near(b.Factor, 0.5) || !near(a.Factor, 2) || b.Group == a.Group {
			t.Errorf("got %+v and %+v", a, b)
		}
	})
	t.Run("it has an answer for nothing", func(t *testing.T) {
		if fit := quality.FitCoverage([]quality.Corridor{{"A", "B", 0, 5}}, 0.95); fit.Corridors != 0 || fit.LeftOut != 1 || len(fit.Factors) != 0 {
			t.Errorf("got %+v", fit)
		}
	})
}
