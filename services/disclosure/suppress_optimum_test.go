package disclosure_test

import (
	"bytes"
	"math"
	"math/big"
	"math/bits"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/linear"
	"github.com/comity-federation/comity/services/disclosure/specimen"
)

// optimum finds the cheapest pattern of all patterns of a small table with all totals.
//
// What protects is monotone: a pattern that is not safe has none that is among its parts. So each largest unsafe pattern
// is a cut: of the classes outside at least one has to be withheld. The cheapest set that meets all cuts found so far is
// the optimum once it is safe itself, and else gives another cut (Fischetti and Salazar-González 2001 cut likewise).
type optimum struct {
	classes *disclosure.Classes
	system  *linear.System
	total   int64
	need    []int64
	single  []bool
	cost    []int64
	free    []int // the classes that may be withheld or shown
}

func newOptimum(t *rapid.T, table *disclosure.Table) *optimum {
	table = table.Clone()
	widths.Apply(table)
	equations, _, err := table.Equations()
	if err != nil {
		t.Fatal(err)
	}
	o := &optimum{classes: disclosure.Merge(table, equations), total: table.GrandTotal()}
	o.system = o.classes.System()
	n := len(o.classes.Members)
	o.need, o.single, o.cost = make([]int64, n), make([]bool, n), make([]int64, n)
	for k, members := range o.classes.Members {
		for _, i := range members {
			c := table.Cells[i]
			o.cost[k] += c.Value
			o.single[k] = o.single[k] || c.Value == 1
			if c.Status == disclosure.Primary {
				o.need[k] = max(o.need[k], min(widths.Width(c.Value), o.total))
			}
		}
		if o.need[k] == 0 {
			o.free = append(o.free, k)
		}
	}
	return o
}

// safe reports whether a pattern, a bit for each free class, protects all primary classes.
func (o *optimum) safe(t *rapid.T, pattern uint64) bool {
	var open []int
	withheld := make([]bool, len(o.need))
	for k, need := range o.need {
		at := slices.Index(o.free, k)
		if withheld[k] = need > 0 || pattern>>at&1 == 1; withheld[k] {
			open = append(open, k)
		}
	}
	ties, err := o.system.Ties(open, bytes.NewReader(make([]byte, 256)))
	if err != nil {
		t.Fatal(err)
	}
	for i, k := range open {
		for j, other := range open {
			if o.need[k] > 0 && (ties[i] == 0 || i != j && o.single[other] && ties[i] == ties[j]) {
				return false
			}
		}
	}
	values := o.classes.Values
	region := linear.Region{System: o.system, Inside: values, Lower: slices.Clone(values), Upper: slices.Clone(values)}
	for _, k := range open {
		region.Lower[k], region.Upper[k] = 0, o.total
	}
	for _, k := range open {
		if o.need[k] == 0 {
			continue
		}
		ranges, err := region.Ranges([]int{k}, linear.Effort{Steps: 10_000})
		if err != nil || !ranges[0].Exact() {
			t.Fatal(ranges, err)
		}
		if width := new(big.Rat).Sub(ranges[0].High, ranges[0].Low); width.Cmp(new(big.Rat).SetInt64(o.need[k])) < 0 {
			return false
		}
	}
	return true
}

// find returns the cost of the cheapest safe pattern; false: none is.
func (o *optimum) find(t *rapid.T) (int64, bool) {
	all := uint64(1)<<len(o.free) - 1
	if !o.safe(t, all) {
		return 0, false
	}
	var cuts []uint64
	for {
		pattern, cost := o.cheapest(cuts)
		if o.safe(t, pattern) {
			return cost, true
		}
		for bit := range o.free {
			if larger := pattern | 1<<bit; larger != pattern && !o.safe(t, larger) {
				pattern = larger
			}
		}
		cuts = append(cuts, all&^pattern)
	}
}

// cheapest returns the cheapest pattern that meets all cuts.
func (o *optimum) cheapest(cuts []uint64) (best uint64, cost int64) {
	cost = math.MaxInt64
	var meet func(pattern, barred uint64, spent int64)
	meet = func(pattern, barred uint64, spent int64) {
		if spent >= cost {
			return
		}
		var narrowest uint64
		for _, cut := range cuts {
			if cut&pattern == 0 && (narrowest == 0 || bits.OnesCount64(cut&^barred) < bits.OnesCount64(narrowest&^barred)) {
				narrowest = cut
			}
		}
		if narrowest == 0 {
			best, cost = pattern, spent
			return
		}
		for left := narrowest &^ barred; left != 0; left &= left - 1 {
			bit := left & -left
			meet(pattern|bit, barred, spent+o.cost[o.free[bits.TrailingZeros64(bit)]])
			barred |= bit
		}
	}
	meet(0, 0, 0)
	return best, cost
}

func TestProtectFindsTheOptimumOfSmallTables(t *testing.T) {
	most := 16
	if long() {
		most = 30
	}
	tables, equal, worst := 0, 0, 1.0
	rapid.Check(t, func(t *rapid.T) {
		table := withTotals(most).Draw(t, "table")
		o := newOptimum(t, table)
		cost, ok := o.find(t)
		r, err := disclosure.Protect(t.Context(), table, widths, disclosure.Options{})
		if (err == nil) != ok {
			t.Fatalf("something protects it: %v; Protect says %v", ok, err)
		}
		if !ok {
			return
		}
		if cost == 0 && r.SecondaryValue == 0 {
			return
		}
		tables++
		if r.SecondaryValue == cost {
			equal++
		}
		worst = max(worst, float64(r.SecondaryValue)/float64(cost))
		if 10*r.SecondaryValue > 11*cost {
			t.Errorf("the secondary cells cost %d, the optimum is %d", r.SecondaryValue, cost)
		}
	})
	t.Logf("%d of %d tables that need secondary cells have the optimum; the worst cost is %.3f times as much", equal, tables, worst)
}

// The optima are those that the search for cuts proves when it may take as long as it likes.
func TestProtectComesNearTheOptimumOfTablesOfUpToAHundredCells(t *testing.T) {
	equal, most, worst := 0, 8, 1.0
	tables := []struct {
		sizes   []int
		leaves  int
		median  float64
		seed    uint64
		minimum int64
		width   float64
		cost    int64
	}{
		{[]int{2, 2, 2, 2}, 12, 4, 2, 3, 0.2, 533},
		{[]int{2, 2, 2, 2}, 12, 4, 5, 5, 0.2, 870},
		{[]int{2, 2, 2, 2}, 12, 4, 3, 3, 0.2, 1315},
		{[]int{2, 2, 2, 2}, 9, 4, 0, 10, 0.3, 1644},
		{[]int{2, 2, 2, 2}, 12, 12, 3, 5, 0.2, 2404},
		{[]int{3, 3, 5}, 18, 4, 4, 3, 0.2, 237},
		{[]int{3, 3, 5}, 18, 4, 1, 5, 0.2, 265},
		{[]int{3, 3, 5}, 34, 4, 5, 5, 0.2, 273},
		{[]int{3, 3, 5}, 34, 12, 2, 3, 0.2, 287},
		{[]int{3, 3, 5}, 34, 4, 4, 5, 0.2, 318},
		{[]int{3, 3, 5}, 34, 12, 2, 5, 0.2, 336},
		{[]int{3, 3, 5}, 34, 4, 3, 5, 0.2, 369},
		{[]int{3, 3, 5}, 18, 4, 2, 10, 0.3, 465},
		{[]int{3, 3, 5}, 34, 4, 0, 10, 0.3, 494},
		{[]int{3, 3, 5}, 34, 4, 1, 10, 0.3, 509},
		{[]int{3, 3, 5}, 18, 12, 4, 10, 0.3, 581},
		{[]int{3, 3, 5}, 34, 12, 5, 10, 0.3, 697},
		{[]int{3, 3, 5}, 27, 12, 3, 10, 0.3, 850},
		{[]int{3, 3, 5}, 18, 12, 5, 5, 0.2, 960},
		{[]int{3, 3, 5}, 34, 40, 0, 5, 0.2, 1079},
		{[]int{3, 3, 5}, 27, 40, 2, 10, 0.3, 1830},
		{[]int{4, 3, 3}, 27, 4, 5, 3, 0.2, 150},
		{[]int{4, 3, 3}, 21, 4, 4, 5, 0.2, 234},
		{[]int{4, 3, 3}, 27, 4, 1, 3, 0.2, 344},
		{[]int{4, 3, 3}, 27, 12, 1, 3, 0.2, 429},
		{[]int{4, 3, 3}, 21, 4, 0, 10, 0.3, 565},
		{[]int{4, 3, 3}, 21, 4, 2, 10, 0.3, 603},
		{[]int{4, 3, 3}, 27, 12, 2, 10, 0.3, 1257},
		{[]int{5, 4, 2}, 30, 4, 4, 3, 0.2, 163},
		{[]int{5, 4, 2}, 24, 4, 4, 10, 0.3, 268},
		{[]int{5, 4, 2}, 30, 4, 2, 3, 0.2, 282},
		{[]int{5, 4, 2}, 24, 12, 4, 5, 0.2, 310},
	}
	if long() {
		most = len(tables)
	}
	for _, c := range tables[:most] {
		table := specimen.Shape{Sizes: c.sizes, Leaves: c.leaves, Median: c.median, Spread: 1.5}.MakeUp(specimen.All, c.seed)
		r, err := disclosure.Protect(t.Context(), table, disclosure.Rules{MinimumFrequency: c.minimum, RelativeWidth: c.width}, disclosure.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.SecondaryValue == c.cost {
			equal++
		}
		ratio := float64(r.SecondaryValue) / float64(c.cost)
		if worst = max(worst, ratio); ratio > 1.1 {
			t.Errorf("%v: the secondary cells of %d cost %d, the optimum is %d", c.sizes, len(table.Cells), r.SecondaryValue, c.cost)
		}
	}
	t.Logf("%d of %d tables have the optimum; the worst cost is %.3f times as much", equal, most, worst)
}
