package quality_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/statistics/quality"
)

func fill(p *quality.Profile, sign int, period int32, codes []string, figure float64) {
	g := p.Grid('M')
	positions := make([]int, len(codes))
	for i, code := range codes {
		positions[i] = g.Position(i, code)
	}
	g.Add(positions, g.Slot(period), quality.Mass{Cells: sign, Sum: float64(sign) * figure})
}

func TestProfile(t *testing.T) {
	t.Parallel()
	p := quality.NewProfile(2)
	fill(p, 1, 5, []string{"A", "F"}, 3)
	fill(p, 1, 5, []string{"A", "M"}, 4)
	fill(p, 1, 2, []string{"B", "M"}, 0.1)

	t.Run("it sums by period and by code", func(t *testing.T) {
		g := p.Grid('M')
		if diff := cmp.Diff([]int32{2, 5}, g.Periods()); diff != "" {
			t.Error(diff)
		}
		if g.Total(5) != (quality.Mass{Cells: 2, Sum: 7}) || g.At(0, "A", 5).Sum != 7 || g.At(1, "F", 5).Sum != 3 || g.At(1, "F", 2).Cells != 0 || g.At(1, "X", 9).Cells != 0 {
			t.Errorf("got %+v", g)
		}
		if got := g.Within(1, "M", []int32{2, 5}); got.Cells != 2 || got.Sum != 4.1 {
			t.Errorf("within: %v", got)
		}
	})
	t.Run("it is the same after it was kept", func(t *testing.T) {
		data, err := p.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var again quality.Profile
		if err := again.UnmarshalBinary(data); err != nil {
			t.Fatal(err)
		}
		for _, code := range []string{"A", "B"} {
			for _, period := range []int32{2, 5} {
				if a, b := p.Grid('M').At(0, code, period), again.Grid('M').At(0, code, period); a != b {
					t.Errorf("%s in %d: %v became %v", code, period, a, b)
				}
			}
		}
	})
	t.Run("it refuses bytes that are none", func(t *testing.T) {
		if err := new(quality.Profile).UnmarshalBinary([]byte("nothing of the kind")); err == nil {
			t.Error("it takes them")
		}
	})
	t.Run("it forgets what is taken away, and a clone does not", func(t *testing.T) {
		clone := p.Clone()
		fill(clone, -1, 2, []string{"B", "M"}, 0.1)
		if got := clone.Grid('M').Periods(); len(got) != 1 || clone.Grid('M').At(0, "B", 2) != (quality.Mass{}) {
			t.Errorf("got %v", got)
		}
		if p.Grid('M').Total(2).Cells != 1 {
			t.Error("the other changed with it")
		}
	})
	t.Run("it leaves out a dimension with more codes than it can hold", func(t *testing.T) {
		fine := quality.NewProfile(2)
		for i := range 9000 {
			fill(fine, 1, int32(i%100), []string{fmt.Sprint(i), "M"}, 1)
		}
		for i := range 9000 {
			fill(fine, 1, int32(99-i%100), []string{fmt.Sprint(i), "M"}, 1)
		}
		g := fine.Grid('M')
		if !g.Fine(0) || g.Fine(1) || g.Cells() != 18000 || g.At(1, "M", 7).Cells != 180 {
			t.Errorf("fine %t and %t, %d cells, %v", g.Fine(0), g.Fine(1), g.Cells(), g.At(1, "M", 7))
		}
	})
}
