package linear_test

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

func TestRangesOfPublishedPatterns(t *testing.T) {
	files, err := filepath.Glob("testdata/*_audit_*.csv")
	if err != nil || len(files) < 14 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		name, method, _ := strings.Cut(strings.TrimSuffix(filepath.Base(file), ".csv"), "_audit_")
		if method == "primary_only" {
			method = "primary"
		}
		t.Run("it finds the intervals of "+name+" "+method, func(t *testing.T) {
			region := pattern(t, "testdata/"+name+"_patterns.csv", method)
			for _, row := range records(t, file) {
				cell := number(t, row["id"]) - 1
				got, err := rangeOf(region, int(cell), 1000)
				if err != nil {
					t.Fatal(err)
				}
				if got.Low.Cmp(big.NewRat(number(t, row["low"]), 1)) != 0 || got.High.Cmp(big.NewRat(number(t, row["up"]), 1)) != 0 {
					t.Errorf("cell %s is in [%s, %s], want [%s, %s]", row["id"], got.Low.RatString(), got.High.RatString(), row["low"], row["up"])
				}
			}
		})
	}
}

// pattern reads a table of two dimensions whose cells come by rows, each with its total (00) first.
func pattern(t *testing.T, file, method string) *linear.Region {
	cells := records(t, file)
	width := slices.IndexFunc(cells[1:], func(c map[string]string) bool { return strings.HasSuffix(c["strID"], "00") }) + 1
	r := &linear.Region{System: &linear.System{Unknowns: len(cells)}}
	sum := func(total int, parts ...int) {
		equation := linear.Equation{{Unknown: total, Coefficient: 1}}
		for _, p := range parts {
			equation = append(equation, linear.Term{Unknown: p, Coefficient: -1})
		}
		r.System.Equations = append(r.System.Equations, equation)
	}
	for row := 0; row < len(cells); row += width {
		var parts []int
		for c := row + 1; c < row+width; c++ {
			parts = append(parts, c)
		}
		sum(row, parts...)
	}
	for column := range width {
		var parts []int
		for c := column + width; c < len(cells); c += width {
			parts = append(parts, c)
		}
		sum(column, parts...)
	}
	total := number(t, cells[0]["freq"])
	for _, c := range cells {
		value := number(t, c["freq"])
		low, high := value, value
		if c[method] != "s" {
			low, high = 0, total
		}
		r.Lower, r.Upper, r.Inside = append(r.Lower, low), append(r.Upper, high), append(r.Inside, value)
	}
	return r
}

func records(t *testing.T, file string) []map[string]string {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var all []map[string]string
	for _, row := range rows[1:] {
		record := make(map[string]string)
		for i, v := range row {
			record[rows[0][i]] = v
		}
		all = append(all, record)
	}
	return all
}

func number(t *testing.T, s string) int64 {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// hide returns what a reader knows of a table who sees all cells but the hidden ones.
func hide(c cube, values []int64, hidden []int) *linear.Region {
	r := &linear.Region{System: &c.system, Lower: slices.Clone(values), Upper: slices.Clone(values), Inside: values}
	for _, u := range hidden {
		r.Lower[u], r.Upper[u] = 0, values[len(values)-1]
	}
	return r
}

var errInexact = errors.New("a range is not exact")

// exactRanges returns ranges that are exact.
func exactRanges(r *linear.Region, unknowns []int, steps int) ([]linear.Range, error) {
	ranges, err := r.Ranges(unknowns, linear.Effort{Steps: steps})
	if err != nil {
		return nil, err
	}
	for _, known := range ranges {
		if !known.Exact() {
			return nil, errInexact
		}
	}
	return ranges, nil
}

func rangeOf(r *linear.Region, unknown, steps int) (linear.Range, error) {
	ranges, err := exactRanges(r, []int{unknown}, steps)
	if err != nil {
		return linear.Range{}, err
	}
	return ranges[0], nil
}

func show(i linear.Range) string {
	if i.Low == nil || i.High == nil {
		return "nothing"
	}
	return i.Low.RatString() + " … " + i.High.RatString()
}

// regions draws small regions: degenerate, with dependent equations.
func regions() *rapid.Generator[*linear.Region] {
	return rapid.Custom(func(t *rapid.T) *linear.Region {
		p := programs(true).Draw(t, "program")
		r := &linear.Region{System: p.System, Inside: make([]int64, p.System.Unknowns)}
		for u := range p.Lower {
			r.Lower, r.Upper = append(r.Lower, int64(p.Lower[u])), append(r.Upper, int64(p.Upper[u]))
		}
		return r
	})
}

func TestExactRanges(t *testing.T) {
	t.Run("reaches as far as the vertices", rapid.MakeCheck(func(t *rapid.T) {
		r := regions().Draw(t, "region")
		for u := range r.Inside {
			got, err := rangeOf(r, u, 1000)
			if err != nil {
				t.Fatal(err)
			}
			p := &linear.Program{System: r.System, Cost: make([]float64, len(r.Inside))}
			for v := range r.Inside {
				p.Lower, p.Upper = append(p.Lower, float64(r.Lower[v])), append(p.Upper, float64(r.Upper[v]))
			}
			p.Cost[u] = 1
			low := cheapest(p)
			p.Cost[u] = -1
			high := -cheapest(p)
			l, _ := got.Low.Float64()
			h, _ := got.High.Float64()
			if math.Abs(l-low) > 1e-6 || math.Abs(h-high) > 1e-6 {
				t.Errorf("unknown %d in %s, want %v … %v", u, show(got), low, high)
			}
		}
	}))
	t.Run("agrees with rational arithmetic", rapid.MakeCheck(func(t *rapid.T) {
		r := regions().Draw(t, "region")
		for u := range r.Inside {
			got, err := rangeOf(r, u, 1000)
			want, ok := r.ExactRange(u, 1000)
			if err != nil || !ok || show(got) != show(want) {
				t.Errorf("unknown %d in %s, want %s: %v, %v", u, show(got), show(want), err, ok)
			}
		}
	}))
	t.Run("agrees with rational arithmetic on tables", func(t *testing.T) {
		r := rand.New(rand.NewPCG(4, 4))
		ends, proved, tables := 0, 0, 4
		if long() {
			tables = 40
		}
		for k := range tables {
			c := []cube{newCube(3, 3, 3), newCube(4, 3, 2), newCube(2, 2, 2, 2), newCube(6, 5)}[k%4]
			region := hide(c, c.values(func() int64 { return r.Int64N(6) * r.Int64N(4) }), c.hidden(0.7, r))
			for u := range c.system.Unknowns {
				if region.Lower[u] == region.Upper[u] {
					continue
				}
				got, err := rangeOf(region, u, 10000)
				want, ok := region.ExactRange(u, 10000)
				if err != nil || !ok || show(got) != show(want) {
					t.Errorf("unknown %d in %s, want %s: %v, %v", u, show(got), show(want), err, ok)
				}
				ends += 2
				_, n := region.Proved(u, 10000)
				proved += n
			}
		}
		if proved < ends*99/100 {
			t.Errorf("only %d of %d ends were proved without rational pivots", proved, ends)
		}
	})
	t.Run("is proved without rational pivots on larger tables, whatever the denominators", func(t *testing.T) {
		r := rand.New(rand.NewPCG(1, 1))
		for _, c := range []cube{newCube(12, 12, 12), newCube(6, 6, 6, 6), newCube(100, 30)} {
			hidden := c.hidden(0.5, r)
			region := hide(c, c.values(func() int64 { return r.Int64N(40) * r.Int64N(4) }), hidden)
			for _, u := range hidden[:2] {
				if atOnce, proved := region.Proved(u, 10000); proved != 2 {
					t.Errorf("%v: %d of 2 ends of unknown %d, %d at once", c.sizes, proved, u, atOnce)
				}
			}
		}
	})
	t.Run("is wide exactly where the unknown is not determined and inside the bounds", func(t *testing.T) {
		r := rand.New(rand.NewPCG(6, 4))
		for range 10 {
			c := newCube(4, 4, 3)
			hidden := c.hidden(0.4, r)
			region := hide(c, c.values(func() int64 { return 1 + r.Int64N(20) }), hidden)
			determined, err := c.system.Determined(hidden, seeded(1))
			if err != nil {
				t.Fatal(err)
			}
			intervals, err := exactRanges(region, hidden, 10000)
			if err != nil {
				t.Fatal(err)
			}
			for i, u := range hidden {
				if narrow := intervals[i].Low.Cmp(intervals[i].High) == 0; narrow != slices.Contains(determined, u) {
					t.Errorf("unknown %d in %s", u, show(intervals[i]))
				}
			}
		}
	})
	t.Run("is the value of a known unknown", func(t *testing.T) {
		c := newCube(2)
		region := hide(c, []int64{1, 2, 3}, nil)
		if got, err := rangeOf(region, 1, 0); err != nil || show(got) != "2 … 2" {
			t.Error(show(got), err)
		}
	})
	t.Run("says that it had too few iterations", func(t *testing.T) {
		c := newCube(3, 3)
		region := hide(c, c.values(func() int64 { return 5 }), []int{0, 1, 4, 5})
		if _, err := rangeOf(region, 0, 0); !errors.Is(err, errInexact) {
			t.Error(err)
		}
	})
	t.Run("refuses values that are not in the region", func(t *testing.T) {
		s := &linear.System{Unknowns: 3, Equations: []linear.Equation{{{0, 1}, {1, -1}, {2, -1}}}}
		for name, r := range map[string]*linear.Region{
			"beyond a bound":     {System: s, Lower: []int64{0, 0, 0}, Upper: []int64{4, 4, 4}, Inside: []int64{5, 3, 2}},
			"against a sum":      {System: s, Lower: []int64{0, 0, 0}, Upper: []int64{4, 4, 4}, Inside: []int64{4, 3, 2}},
			"beyond all numbers": {System: s, Lower: []int64{0, 0, 0}, Upper: []int64{1 << 60, 1 << 60, 4}, Inside: []int64{1 << 60, 1 << 60, 0}},
		} {
			if _, err := rangeOf(r, 0, 100); !errors.Is(err, linear.ErrRegion) {
				t.Error(name, err)
			}
		}
		if _, err := rangeOf(&linear.Region{System: s}, 0, 100); err == nil {
			t.Error("took a region without bounds")
		}
	})
	t.Run("is exact where the ends are fractions and the numbers large", func(t *testing.T) {
		// 3a = b + c and a + b + c = 2⁴⁰ + 1
		s := &linear.System{Unknowns: 4, Equations: []linear.Equation{{{0, 3}, {1, -7}, {2, -11}}, {{0, 1}, {1, 1}, {2, 1}, {3, -1}}}}
		inside := []int64{6 * 1 << 36, 1 * 1 << 36, 1 << 36, 8 * 1 << 36}
		r := &linear.Region{System: s, Lower: []int64{0, 0, 0, inside[3]}, Upper: []int64{1 << 45, 1 << 45, 1 << 45, inside[3]}, Inside: inside}
		got, err := rangeOf(r, 1, 100)
		want := new(big.Rat).SetFrac(big.NewInt(3*8*1<<36), big.NewInt(10))
		if err != nil || got.Low.Sign() != 0 || got.High.Cmp(want) != 0 {
			t.Error(show(got), want, err)
		}
	})
}

func TestRanges(t *testing.T) {
	t.Run("claims no more than is true, however little is tried", rapid.MakeCheck(func(t *rapid.T) {
		r := regions().Draw(t, "region")
		var unknowns []int
		effort := linear.Effort{Steps: rapid.IntRange(0, 3).Draw(t, "steps"), Workers: rapid.IntRange(0, 3).Draw(t, "workers")}
		for u := range r.Inside {
			unknowns = append(unknowns, u)
			effort.Widths = append(effort.Widths, rapid.Int64Range(0, 5).Draw(t, "width"))
		}
		if rapid.Bool().Draw(t, "point") {
			p := linear.Point{Denominator: rapid.Int64Range(-1, 3).Draw(t, "denominator")}
			for range unknowns {
				p.Deviations = append(p.Deviations, rapid.Int64Range(-2, 2).Draw(t, "deviation"))
			}
			effort.Points = append(effort.Points, p)
		}
		ranges, err := r.Ranges(unknowns, effort)
		if err != nil {
			t.Fatal(err)
		}
		for u, got := range ranges {
			want, err := rangeOf(r, u, 1000)
			if err != nil {
				t.Fatal(err)
			}
			if got.Least.Cmp(want.Low) > 0 || got.Low.Cmp(want.Low) < 0 || got.High.Cmp(want.High) > 0 || got.Most.Cmp(want.High) < 0 {
				t.Errorf("unknown %d in %s, and %v … %v, want %s", u, show(got), got.Least, got.Most, show(want))
			}
		}
	}))
	t.Run("is the same by one worker and several", func(t *testing.T) {
		c := newCube(6, 5, 4)
		r := rand.New(rand.NewPCG(6, 4))
		hidden := c.hidden(0.6, r)
		region := hide(c, c.values(func() int64 { return r.Int64N(9) }), hidden)
		one, err := region.Ranges(hidden, linear.Effort{Steps: 1000})
		if err != nil {
			t.Fatal(err)
		}
		three, err := region.Ranges(hidden, linear.Effort{Steps: 1000, Workers: 3})
		if err != nil {
			t.Fatal(err)
		}
		for i, u := range hidden {
			if !one[i].Exact() || !three[i].Exact() || show(one[i]) != show(three[i]) {
				t.Errorf("unknown %d in %s and %s", u, show(one[i]), show(three[i]))
			}
		}
	})
	t.Run("knows by the points that it is given", func(t *testing.T) {
		c := newCube(2, 2)
		region := hide(c, []int64{5, 5, 10, 5, 5, 10, 10, 10, 20}, []int{0, 1, 3, 4})
		stop := make(chan struct{})
		close(stop)
		for _, p := range []struct {
			point linear.Point
			want  string
		}{
			{linear.Point{Deviations: []int64{-7, 7, 0, 7, -7, 0, 0, 0, 0}, Denominator: 2}, "3/2 … 5"},
			{linear.Point{Deviations: []int64{-7, 7, 0, 7, -7, 0, 0, 0, 0}, Denominator: 1}, "5 … 5"},   // beyond a bound
			{linear.Point{Deviations: []int64{-4, 4, 0, 4, -5, 0, 0, 0, 0}, Denominator: 1}, "5 … 5"},   // against a sum
			{linear.Point{Deviations: []int64{-4, 0, -4, 0, 0, 0, -4, 0, -4}, Denominator: 1}, "5 … 5"}, // of what is known
			{linear.Point{Deviations: []int64{-4, 4, 0, 4, -4}, Denominator: 1}, "5 … 5"},               // too short
			{linear.Point{Deviations: []int64{-4, 4, 0, 4, -4, 0, 0, 0, 0}, Denominator: 0}, "5 … 5"},   // of nothing
			{linear.Point{Deviations: []int64{-4, 4, 0, 4, -4, 0, 0, 0, 0}, Denominator: -1}, "5 … 5"},  // upside down
		} {
			got, err := region.Ranges([]int{0}, linear.Effort{Stop: stop, Points: []linear.Point{p.point}})
			if err != nil || show(got[0]) != p.want || got[0].Exact() {
				t.Error(show(got[0]), p, err)
			}
		}
	})
	t.Run("refuses widths of other unknowns", func(t *testing.T) {
		c := newCube(2)
		if _, err := hide(c, []int64{1, 2, 3}, nil).Ranges([]int{1}, linear.Effort{Widths: []int64{1, 2}}); err == nil {
			t.Error("took them")
		}
	})
}

func BenchmarkRanges(b *testing.B) {
	for _, c := range []cube{newCube(9, 9), newCube(4, 4, 3), newCube(9, 9, 9)} {
		b.Run(fmt.Sprintf("cells=%d,dimensions=%d", c.system.Unknowns, len(c.sizes)), func(b *testing.B) {
			r := rand.New(rand.NewPCG(1, 1))
			hidden := c.hidden(0.3, r)
			region := hide(c, c.values(func() int64 { return r.Int64N(40) * r.Int64N(4) }), hidden)
			few := hidden[:min(len(hidden), 30)]
			for b.Loop() {
				if _, err := exactRanges(region, few, 1e5); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/float64(len(few)), "µs/range")
		})
	}
}
