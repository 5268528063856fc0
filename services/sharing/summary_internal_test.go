package sharing

import (
	"math"
	"testing"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

func TestRepeated(t *testing.T) {
	t.Parallel()
	column := func(dictionary []string, codes ...uint32) *block.Column {
		return &block.Column{Dictionary: dictionary, Codes: codes}
	}
	t.Run("finds a row that stands twice, also where its codes have two numbers", func(t *testing.T) {
		t.Parallel()
		columns := []*block.Column{column([]string{"M", "M", "Q"}, 0, 2, 1), column([]string{"SYR"}, 0, 0, 0)}
		if row, twice := repeated(columns, 3); !twice || row != 2 {
			t.Errorf("row %d, %v", row, twice)
		}
	})
	t.Run("tells rows apart by any column", func(t *testing.T) {
		t.Parallel()
		columns := []*block.Column{column([]string{"M"}, 0, 0), column([]string{"SYR", "AFG"}, 0, 1)}
		if row, twice := repeated(columns, 2); twice {
			t.Errorf("row %d stands twice", row)
		}
	})
	t.Run("tells rows apart where there are more combinations than numbers", func(t *testing.T) {
		t.Parallel()
		const rows = 1 << 12
		var columns []*block.Column
		for range 6 { // 2^72 combinations
			c := &block.Column{}
			for i := range rows {
				c.Dictionary = append(c.Dictionary, string(rune('a'+i)))
				c.Codes = append(c.Codes, uint32(i))
			}
			columns = append(columns, c)
		}
		if row, twice := repeated(columns, rows); twice {
			t.Errorf("row %d stands twice", row)
		}
		for _, c := range columns {
			c.Codes[rows-1] = 7
		}
		if row, twice := repeated(columns, rows); !twice || row != rows-1 {
			t.Errorf("row %d, %v", row, twice)
		}
	})
}

func TestOutside(t *testing.T) {
	t.Parallel()
	b := block.NewBuilder([]string{"REF_AREA", "SEX"}, []string{block.ObsValue})
	for _, row := range [][]string{{"AA", "F"}, {"AA", "M"}, {"BB", "F"}} {
		b.Append(row, []float64{math.NaN()})
	}
	for name, test := range map[string]struct {
		scope filter.Filter
		row   int
		found bool
	}{
		"finds the row that the scope does not have": {filter.Eq("REF_AREA", "AA"), 2, true},
		"finds none where all are in it":             {filter.In("REF_AREA", "AA", "BB"), 0, false},
		"finds none where it is everything":          {filter.True(), 0, false},
		"finds the first where it is nothing":        {filter.False(), 0, true},
		"takes a component that is not there for empty": {
			filter.Eq("AGE", "Y18"), 0, true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if row, found := outside(b.Block(), Header{Scope: test.scope}); row != test.row || found != test.found {
				t.Errorf("row %d, %v", row, found)
			}
		})
	}
}
