package linear_test

import (
	"errors"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

// rationalRank is the rank of rows by Gauss in rational numbers.
func rationalRank(rows [][]*big.Rat) int {
	rank := 0
	for c := 0; len(rows) > 0 && c < len(rows[0]); c++ {
		r := slices.IndexFunc(rows[rank:], func(row []*big.Rat) bool { return row[c].Sign() != 0 })
		if r < 0 {
			continue
		}
		rows[rank], rows[rank+r] = rows[rank+r], rows[rank]
		for _, row := range rows[rank+1:] {
			factor := new(big.Rat).Quo(row[c], rows[rank][c])
			for k := range row {
				row[k] = new(big.Rat).Sub(row[k], new(big.Rat).Mul(factor, rows[rank][k]))
			}
		}
		rank++
		if rank == len(rows) {
			break
		}
	}
	return rank
}

// dense returns the coefficients of the open unknowns, and a row with 1 at each unknown of extra.
func dense(s *linear.System, open []int, extra ...int) [][]*big.Rat {
	var rows [][]*big.Rat
	add := func(terms linear.Equation) {
		row := make([]*big.Rat, len(open))
		for i := range row {
			row[i] = new(big.Rat)
		}
		for _, t := range terms {
			if i := slices.Index(open, t.Unknown); i >= 0 {
				row[i].SetInt64(t.Coefficient)
			}
		}
		rows = append(rows, row)
	}
	for _, e := range s.Equations {
		add(e)
	}
	for _, u := range extra {
		add(linear.Equation{{Unknown: u, Coefficient: 1}})
	}
	return rows
}

// systems draws small systems with all that may happen: empty equations, ones that follow, unknowns in none.
func systems() *rapid.Generator[*linear.System] {
	return rapid.Custom(func(t *rapid.T) *linear.System {
		s := &linear.System{Unknowns: rapid.IntRange(1, 9).Draw(t, "unknowns")}
		coefficient := rapid.SampledFrom([]int64{0, 0, 0, 0, 1, 1, -1, -1, 2, -3})
		for range rapid.IntRange(0, 9).Draw(t, "equations") {
			equation := linear.Equation{}
			for u := range s.Unknowns {
				if c := coefficient.Draw(t, "coefficient"); c != 0 {
					equation = append(equation, linear.Term{Unknown: u, Coefficient: c})
				}
			}
			s.Equations = append(s.Equations, equation)
		}
		return s
	})
}

// subset draws some of 0 … n−1 in any order.
func subset(n int) *rapid.Generator[[]int] {
	return rapid.Custom(func(t *rapid.T) []int {
		all := make([]int, n)
		for i := range all {
			all[i] = i
		}
		some := rapid.Permutation(all).Draw(t, "order")
		return some[:rapid.IntRange(0, n).Draw(t, "size")]
	})
}

func TestDetermined(t *testing.T) {
	t.Run("agrees with rational rank", rapid.MakeCheck(func(t *rapid.T) {
		s := systems().Draw(t, "system")
		open := subset(s.Unknowns).Draw(t, "open")
		got, err := s.Determined(open, seeded(rapid.Byte().Draw(t, "seed")))
		if err != nil {
			t.Fatal(err)
		}
		rank := rationalRank(dense(s, open))
		var want []int
		for _, u := range open {
			if rationalRank(dense(s, open, u)) == rank {
				want = append(want, u)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
		if modular, err := s.Rank(open, seeded(1)); err != nil || modular != rank {
			t.Errorf("rank %d, want %d: %v", modular, rank, err)
		}
	}))
	t.Run("finds nothing where nothing is open", func(t *testing.T) {
		c := newCube(3, 3)
		if got, err := c.system.Determined(nil, seeded(1)); err != nil || got != nil {
			t.Error(got, err)
		}
	})
	t.Run("finds every margin that inner cells leave", func(t *testing.T) {
		c := newCube(9, 8, 7)
		var margins []int
		for cell := range c.system.Unknowns {
			if cell%10 == 9 || cell/10%9 == 8 || cell/90 == 7 {
				margins = append(margins, cell)
			}
		}
		got, err := c.system.Determined(margins, seeded(1))
		if diff := cmp.Diff(margins, got); diff != "" || err != nil {
			t.Error(diff, err)
		}
	})
	t.Run("agrees with a rank a cell on larger tables", func(t *testing.T) {
		r := rand.New(rand.NewPCG(3, 1))
		for range 20 {
			c := newCube(5, 4, 3)
			hidden := c.hidden(0.3+0.4*r.Float64(), r)
			got, err := c.system.Determined(hidden, seeded(2))
			if err != nil {
				t.Fatal(err)
			}
			rank, err := c.system.Rank(hidden, seeded(3))
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range hidden {
				with := linear.System{Unknowns: c.system.Unknowns, Equations: slices.Concat(c.system.Equations, []linear.Equation{{{u, 1}}})}
				more, err := with.Rank(hidden, seeded(4))
				if err != nil {
					t.Fatal(err)
				}
				if slices.Contains(got, u) != (more == rank) {
					t.Errorf("unknown %d of %v: rank %d of %d", u, hidden, rank, more)
				}
			}
		}
	})
	t.Run("tells that it has no random bytes", func(t *testing.T) {
		broken := errors.New("broken")
		c := newCube(2)
		if _, err := c.system.Determined([]int{0}, iotest.ErrReader(broken)); !errors.Is(err, broken) {
			t.Error(err)
		}
	})
}

func BenchmarkDetermined(b *testing.B) {
	for name, c := range map[string]cube{
		"cells=1k": newCube(9, 9, 9), "cells=4k": newCube(15, 15, 15), "cells=32k": newCube(31, 31, 31),
		"cells=10k,4-dimensional": newCube(9, 9, 9, 9), "cells=10k,flat": newCube(99, 99),
	} {
		hidden := c.hidden(0.4, rand.New(rand.NewPCG(1, 1)))
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.system.Determined(hidden, seeded(1)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
