package linear_test

import (
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

// combined returns the factors of the open unknowns in a combination of equations, without those that are 0.
func combined(s *linear.System, open []int, weights []linear.Weight) map[int]string {
	sum := make(map[int]*big.Rat)
	for _, w := range weights {
		for _, t := range s.Equations[w.Equation] {
			if sum[t.Unknown] == nil {
				sum[t.Unknown] = new(big.Rat)
			}
			sum[t.Unknown].Add(sum[t.Unknown], new(big.Rat).Mul(w.Weight, big.NewRat(t.Coefficient, 1)))
		}
	}
	factors := make(map[int]string)
	for u, factor := range sum {
		if factor.Sign() != 0 && slices.Contains(open, u) {
			factors[u] = factor.RatString()
		}
	}
	return factors
}

func TestIsolate(t *testing.T) {
	t.Run("cancels all other unknowns wherever the equations determine one", rapid.MakeCheck(func(t *rapid.T) {
		s := systems().Draw(t, "system")
		open := subset(s.Unknowns).Draw(t, "open")
		rank := rationalRank(dense(s, open))
		for _, u := range open {
			weights, ok := s.Isolate(open, u)
			if want := rationalRank(dense(s, open, u)) == rank; ok != want {
				t.Fatalf("unknown %d: isolated %v, determined %v", u, ok, want)
			}
			if got := combined(s, open, weights); ok && fmt.Sprint(got) != fmt.Sprint(map[int]string{u: "1"}) {
				t.Errorf("unknown %d: %v gives %v", u, weights, got)
			}
			var used linear.System
			used.Unknowns = s.Unknowns
			for _, w := range weights {
				used.Equations = append(used.Equations, s.Equations[w.Equation])
			}
			if independent := rationalRank(dense(&used, open)); independent != len(weights) {
				t.Errorf("unknown %d: %d equations where %d do", u, len(weights), independent)
			}
		}
	}))
	t.Run("does the same without floating point", rapid.MakeCheck(func(t *rapid.T) {
		s := systems().Draw(t, "system")
		u := rapid.IntRange(0, s.Unknowns-1).Draw(t, "unknown")
		all := make([]int, s.Unknowns)
		for i := range all {
			all[i] = i
		}
		weights, ok := s.Combine(u)
		if want := rationalRank(dense(s, all, u)) == rationalRank(dense(s, all)); ok != want {
			t.Fatalf("combined %v, determined %v", ok, want)
		}
		if got := combined(s, all, weights); ok && fmt.Sprint(got) != fmt.Sprint(map[int]string{u: "1"}) {
			t.Errorf("%v gives %v", weights, got)
		}
	}))
	t.Run("prefers the equation that says it", func(t *testing.T) {
		c := newCube(5, 5, 5)
		weights, ok := c.system.Isolate([]int{c.cell(1, 1, 1), c.cell(2, 1, 1), c.cell(2, 2, 1)}, c.cell(2, 1, 1))
		if !ok || len(weights) != 1 {
			t.Error(weights, ok)
		}
	})
	t.Run("does not know an unknown that is not open", func(t *testing.T) {
		c := newCube(2)
		if weights, ok := c.system.Isolate([]int{0}, 1); ok {
			t.Error(weights)
		}
	})
	t.Run("explains every determined cell of a larger table", func(t *testing.T) {
		c := newCube(9, 8, 7)
		hidden := c.hidden(0.2, rand.New(rand.NewPCG(8, 8)))
		determined, err := c.system.Determined(hidden, seeded(3))
		if err != nil || len(determined) < 10 {
			t.Fatal(len(determined), err)
		}
		for _, u := range determined {
			weights, ok := c.system.Isolate(hidden, u)
			if got := combined(&c.system, hidden, weights); !ok || len(got) != 1 || got[u] != "1" {
				t.Errorf("unknown %d: %v gives %v", u, weights, got)
			}
		}
	})
}

func BenchmarkIsolate(b *testing.B) {
	for _, c := range []cube{newCube(9, 9), newCube(9, 9, 9), newCube(15, 15, 15)} {
		b.Run(fmt.Sprintf("cells=%d", c.system.Unknowns), func(b *testing.B) {
			hidden := c.hidden(0.3, rand.New(rand.NewPCG(1, 1)))
			determined, err := c.system.Determined(hidden, seeded(1))
			if err != nil || len(determined) == 0 {
				b.Skip("nothing is determined")
			}
			for i := 0; b.Loop(); i++ {
				c.system.Isolate(hidden, determined[i%len(determined)])
			}
		})
	}
}
