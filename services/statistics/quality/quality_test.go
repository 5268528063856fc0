package quality_test

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/statistics/quality"
)

// vector returns the rows below the header of a file, as numbers.
func vector(t *testing.T, path string) [][]float64 {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	texts, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]float64
	for _, record := range texts[1:] {
		row := make([]float64, len(record))
		for i, text := range record {
			if row[i], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func near(a, b float64) bool { return math.Abs(a-b) <= 1e-9*math.Max(1, math.Abs(b)) }

func TestHampel(t *testing.T) {
	t.Parallel()
	rows := vector(t, "testdata/hampel_k3_t3_shrinking_window.csv") // i, x, median, mad_scaled, flag; computed with R
	series := make([]float64, len(rows))
	for i, row := range rows {
		series[i] = row[1]
	}
	for i, got := range quality.Hampel(series, 3, 3) {
		want := rows[i]
		if !near(got.Median, want[2]) || !near(got.Scale, want[3]) || got.Flag != (want[4] == 1) {
			t.Errorf("value %d: got %+v, want %v", i+1, got, want)
		}
	}
	t.Run("it flags nothing in a flat series, and a spike in one", func(t *testing.T) {
		for i, got := range quality.Hampel([]float64{5, 5, 5, 9, 5, 5, 5}, 3, 3) {
			if got.Flag != (i == 3) {
				t.Errorf("value %d: %+v", i, got)
			}
		}
	})
	t.Run("it has an answer for series of any length", func(t *testing.T) {
		if got := quality.Hampel(nil, 3, 3); len(got) != 0 {
			t.Errorf("of nothing: %v", got)
		}
		if got := quality.Hampel([]float64{7}, 3, 3); got[0].Flag || got[0].Median != 7 {
			t.Errorf("of one: %v", got)
		}
	})
	t.Run("it flags nothing beside what is no number", func(t *testing.T) {
		for _, got := range quality.Hampel([]float64{1, math.NaN(), 100}, 1, 3) {
			if got.Flag {
				t.Errorf("flagged %v", got)
			}
		}
	})
}

func TestHeaping(t *testing.T) {
	t.Parallel()
	want := vector(t, "testdata/heaping_example.csv")[0] // n, share, p; computed with R
	values := make([]float64, 0, 102)
	for i := range 102 {
		value := float64(10 * (i + 1)) // 70 heaped, 32 not
		if i >= 70 {
			value += 3
		}
		values = append(values, value)
	}
	got := quality.Heaping(values, 0)
	if float64(got.N) != want[0] || !near(got.Share, want[1]) || math.Abs(got.P/want[2]-1) > 1e-9 {
		t.Errorf("got %+v, want %v", got, want)
	}
	t.Run("it leaves out small counts and fractions", func(t *testing.T) {
		if got := quality.Heaping([]float64{5, 10.5, 20, 21}, 10); got.N != 2 || got.Share != 0.5 {
			t.Errorf("got %+v", got)
		}
	})
	t.Run("it knows both tails", func(t *testing.T) {
		for _, test := range []struct {
			values []float64
			want   float64
		}{
			{nil, 1},
			{[]float64{1}, 1},
			{[]float64{5}, 0.2},
			{[]float64{5, 1}, 1 - 0.8*0.8},
			{[]float64{5, 5}, 0.04},
			{[]float64{5, 1, 1, 1, 1, 1, 1, 1, 1, 1}, 1 - math.Pow(0.8, 10)},
		} {
			if got := quality.Heaping(test.values, 0); !near(got.P, test.want) {
				t.Errorf("%v: got %v, want %v", test.values, got.P, test.want)
			}
		}
	})
}

func TestModifiedZ(t *testing.T) {
	t.Parallel()
	t.Run("it scores as Iglewicz and Hoaglin do", func(t *testing.T) {
		series := []float64{2.1, 2.6, 2.4, 2.5, 2.3, 2.1, 2.3, 2.6, 8.2, 8.3} // their example: median 2.45, MAD 0.15
		got := quality.ModifiedZ(series, 3.5)
		for i, o := range got {
			if !near(o.Score, 0.6745*(series[i]-2.45)/0.15) || o.Flag != (i >= 8) {
				t.Errorf("value %d: %+v", i, o)
			}
		}
	})
	t.Run("it has a fallback where more than half are equal", func(t *testing.T) {
		got := quality.ModifiedZ([]float64{3, 3, 3, 3, 3, 3, 3, 3, 3, 13}, 3.5)
		if !got[9].Flag || !near(got[9].Score, 10/1.253314) || got[0].Flag || got[0].Score != 0 {
			t.Errorf("got %v", got)
		}
		for _, o := range quality.ModifiedZ([]float64{4, 4, 4}, 3.5) {
			if o.Flag || o.Score != 0 {
				t.Errorf("equal values: %v", o)
			}
		}
	})
}

func TestSeasonalRatio(t *testing.T) {
	t.Parallel()
	series := []float64{9, 19, 29, 39, 19, 39, 59, 79}
	for _, test := range []struct {
		name   string
		last   float64
		flag   bool
		expect float64
	}{
		{"it takes growth for what it is", 79, false, 78},
		{"it flags a value that grew otherwise", 790, true, 78},
		{"it flags a value that fell", 3, true, 78},
	} {
		t.Run(test.name, func(t *testing.T) {
			series[7] = test.last
			got, ok := quality.SeasonalRatio(series, 7, 4, 2)
			if !ok || got.Flag != test.flag || !near(got.Expected, test.expect) {
				t.Errorf("got %+v, %t", got, ok)
			}
		})
	}
	if _, ok := quality.SeasonalRatio(series, 3, 4, 2); ok {
		t.Error("it judges without a year before")
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	periods := []int32{7, 3, 4, 3, 10}
	if diff := cmp.Diff([]quality.Run{{3, 4}, {7, 7}, {10, 10}}, quality.Runs(periods)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]quality.Run{{5, 6}, {9, 9}}, quality.Gaps([]int32{1, 2, 3, 4, 7, 8, 10})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]quality.Run{{2006, 2014}}, quality.Gaps([]int32{1990, 1995, 2000, 2005, 2015, 2019})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]quality.Run{{4, 6}}, quality.ZeroRuns([]float64{0, 0, 0, 1, 0, 0, 0, 2, 0, 3}, 3)); diff != "" {
		t.Error(diff)
	}
}

func TestRevise(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ before, after, relative, factor float64 }{
		{100, 150, 0.5, 1.5}, {150, 100, -1.0 / 3, 1.5}, {0, 0, 0, 1}, {0, 5, math.Inf(1), math.Inf(1)}, {5, 0, -1, math.Inf(1)},
	} {
		got := quality.Revise(test.before, test.after)
		if got.Absolute != test.after-test.before || got.Relative != test.relative || got.Factor != test.factor {
			t.Errorf("%v to %v: %+v", test.before, test.after, got)
		}
	}
}

func TestCollapsed(t *testing.T) {
	t.Parallel()
	before := quality.SpreadOf([]float64{60, 30, 10})
	for _, test := range []struct {
		name  string
		after []float64
		want  bool
	}{
		{"it sees a breakdown that is one code", []float64{100}, true},
		{"it takes other names for what they are", []float64{10, 60, 30}, false},
		{"it takes a fall for a fall", []float64{50}, false},
		{"it takes a merger of two codes for none", []float64{60, 40}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := quality.Collapsed(before, quality.SpreadOf(test.after), 10, 0.2, 1.25); got != test.want {
				t.Errorf("got %t", got)
			}
		})
	}
}
