package disclosure_test

import (
	"context"
	"errors"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/verify"
	"github.com/comity-federation/comity/services/fault"
)

var widths = disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}

// grid returns a table of two dimensions with all its totals, and cells that are preset primary.
func grid(values [][]int64, primary map[[2]int]bool) *disclosure.Table {
	t := &disclosure.Table{}
	for d, n := range []int{len(values), len(values[0])} {
		codes := []disclosure.Code{{Code: "_T"}}
		for k := range n {
			codes = append(codes, disclosure.Code{Code: string(rune('A' + k)), Parent: "_T"})
		}
		t.Dimensions = append(t.Dimensions, disclosure.Dimension{ID: string(rune('x' + d)), Codes: codes})
	}
	sum := make([]int64, len(values[0])+1)
	for i, line := range values {
		total := int64(0)
		for j, value := range line {
			status := disclosure.Undecided
			if primary[[2]int{i, j}] {
				status = disclosure.Primary
			}
			t.Cells = append(t.Cells, disclosure.Cell{Key: []string{string(rune('A' + i)), string(rune('A' + j))}, Value: value, Status: status})
			total += value
			sum[j] += value
		}
		t.Cells = append(t.Cells, disclosure.Cell{Key: []string{string(rune('A' + i)), "_T"}, Value: total})
		sum[len(line)] += total
	}
	for j, value := range sum {
		code := "_T"
		if j < len(values[0]) {
			code = string(rune('A' + j))
		}
		t.Cells = append(t.Cells, disclosure.Cell{Key: []string{"_T", code}, Value: value})
	}
	return t
}

func TestProtectFindsTheOptimumOfPublishedTables(t *testing.T) {
	for name, c := range map[string]struct {
		values  [][]int64
		primary map[[2]int]bool
		cost    int64
	}{
		"microdata1": {[][]int64{{18, 2}, {14, 19}, {12, 10}, {11, 14}}, nil, 40},
		"trap4x4": {
			[][]int64{{30, 47, 64, 89}, {90, 124, 5, 31}, {92, 100, 59, 85}, {800, 991, 651, 685}},
			map[[2]int]bool{{0, 0}: true, {0, 1}: true, {0, 2}: true, {1, 0}: true, {1, 2}: true, {2, 1}: true, {2, 3}: true, {3, 1}: true, {3, 3}: true},
			31,
		},
		"tabdata_ex1": {[][]int64{{895, 137}, {753, 973}, {569, 486}, {540, 793}}, map[[2]int]bool{{0, 1}: true}, 1950},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := disclosure.Protect(context.Background(), grid(c.values, c.primary), widths, disclosure.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r.SecondaryValue != c.cost {
				t.Errorf("the secondary cells cost %d, the optimum is %d", r.SecondaryValue, c.cost)
			}
		})
	}
}

func TestProtectKeepsASingleContributorFromComputingAnother(t *testing.T) {
	table := grid([][]int64{{1, 2, 50, 60}, {70, 80, 90, 100}}, nil)
	guarded, err := disclosure.Protect(context.Background(), table, widths, disclosure.Options{})
	if err != nil {
		t.Fatal(err)
	}
	open, err := disclosure.Protect(context.Background(), table, widths, disclosure.Options{IgnoreSingletons: true})
	if err != nil {
		t.Fatal(err)
	}
	if guarded.SecondaryCount <= open.SecondaryCount {
		t.Errorf("%d secondary cells with the guard, %d without", guarded.SecondaryCount, open.SecondaryCount)
	}
}

func TestProtectRefusesATableThatKeepsTooLittleOrCoarsensIt(t *testing.T) {
	table := grid([][]int64{{1, 2}, {2, 1}}, nil)
	o := disclosure.Options{MinimumKept: 0.9}
	_, err := disclosure.Protect(context.Background(), table, widths, o)
	if !fault.Is(err, fault.Precondition) {
		t.Fatalf("got %v, want a refusal", err)
	}
	o.Coarsenings = []disclosure.Coarsening{{Dimension: "x"}}
	r, err := disclosure.Protect(context.Background(), table, widths, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Coarsened) != 1 || r.Kept != 1 {
		t.Errorf("coarsened by %v, kept %v", r.Coarsened, r.Kept)
	}
}

func TestCheckRejectsWhatIsNotProtected(t *testing.T) {
	trap := grid(
		[][]int64{{30, 47, 64, 89}, {90, 124, 5, 31}, {92, 100, 59, 85}, {800, 991, 651, 685}},
		map[[2]int]bool{{0, 0}: true, {0, 1}: true, {0, 2}: true, {1, 0}: true, {1, 2}: true, {2, 1}: true, {2, 3}: true, {3, 1}: true, {3, 3}: true},
	)
	r, err := disclosure.Protect(context.Background(), trap, widths, disclosure.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify.Check(seen(r), r.Points, r.Certificates); err != nil {
		t.Fatalf("the pattern itself: %v", err)
	}
	t.Run("one secondary cell less, which leaves two in every line", func(t *testing.T) {
		table := seen(r)
		for i, c := range r.Table.Cells {
			if c.Status == disclosure.Secondary {
				table.Cells[i].Withheld = false
			}
		}
		if err := verify.Check(table, r.Points, r.Certificates); !errors.Is(err, verify.ErrPoint) {
			t.Errorf("got %v", err)
		}
		if err := verify.Check(table, nil, nil); err == nil {
			t.Error("it passes without certificates")
		}
	})
	t.Run("one contributor who knows another cell than the one that is alone in itself", func(t *testing.T) {
		table := verify.Table{
			Dimensions: [][]verify.Code{{{Code: "T"}, {Code: "A", Parent: "T"}, {Code: "B", Parent: "T"}}},
			Cells: []verify.Cell{
				{Key: []string{"T"}, Value: 2},
				{Key: []string{"A"}, Value: 1, Withheld: true, Need: 1, Single: true},
				{Key: []string{"B"}, Value: 1, Withheld: true, Single: true},
			},
			GrandTotal: 2,
		}
		points := []verify.Point{{Cells: []int{1, 2}, Moves: []int64{1, -1}, Denominator: 1}}
		if err := verify.Check(table, points, []verify.Certificate{{Cell: 1, Low: -1, High: 0}}); !errors.Is(err, verify.ErrComputed) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("one move altered", func(t *testing.T) {
		points := append([]disclosure.Point(nil), r.Points...)
		points[0].Moves = append([]int64(nil), points[0].Moves...)
		points[0].Moves[0]++
		if err := verify.Check(seen(r), points, r.Certificates); !errors.Is(err, verify.ErrPoint) {
			t.Errorf("got %v", err)
		}
	})
}
