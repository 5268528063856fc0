package disclosure

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/verify"
)

// scattered returns a table of three dimensions with all totals, most of whose inner cells are 0.
func scattered(r *rand.Rand) *Table {
	t := &Table{}
	sizes := []int{6, 5, 4}
	for d, size := range sizes {
		dimension := Dimension{ID: string(rune('P' + d)), Codes: []Code{{Code: "T"}}}
		for i := range size {
			dimension.Codes = append(dimension.Codes, Code{Code: fmt.Sprint(i), Parent: "T"})
		}
		t.Dimensions = append(t.Dimensions, dimension)
	}
	values := map[[3]string]int64{}
	for range 30 {
		n := 1 + r.Int64N(3)*r.Int64N(20)
		var key [3]string
		for d, size := range sizes {
			key[d] = fmt.Sprint(r.IntN(size))
		}
		for over := range 8 {
			total := key
			for d := range total {
				if over>>d&1 == 1 {
					total[d] = "T"
				}
			}
			values[total] += n
		}
	}
	for key, n := range values {
		t.Cells = append(t.Cells, Cell{Key: key[:], Value: n})
	}
	return t
}

// Where nothing cheaper is found, whatever is to be protected is protected by trades alone.
func TestTrade(t *testing.T) {
	for seed := range uint64(20) {
		table := scattered(rand.New(rand.NewPCG(seed, 1)))
		rules := &Rules{MinimumFrequency: 3, RelativeWidth: 0.2}
		rules.Apply(table)
		p, err := newProblem(table, rules, nil)
		if err != nil {
			t.Fatal(err)
		}
		s := &solver{pattern: newPattern(p, true), random: rand.New(rand.NewPCG(seed, 2))}
		for v := range s.members {
			if class := int32(v); s.preset(class) {
				s.trade(class)
			}
		}
		r := s.result(len(table.Cells))
		points, certificates := s.certificates()
		if err := verify.Check(published(table, r.Table, rules, true), points, certificates); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	}
}
