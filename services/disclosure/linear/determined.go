package linear

import (
	"cmp"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
)

// Determined returns those unknowns of open, in the order of open, that follow from the equations when all unknowns
// outside open are known. In a table whose suppressed cells are open these are the cells that anybody can compute.
//
// It eliminates modulo a random prime of 61 bits and looks at a random solution of the equations with 0 on the right: an
// unknown that is free differs from 0 in it. An unknown is misjudged with a probability below (N/60+1)·2⁻⁵⁴, N being
// the bits of the largest minor of the system, and so below 2⁻⁴⁰ in a table of 100,000 cells.
// The same bytes of random, of which it reads 32, give the same answer; the error is that of reading them.
func (s *System) Determined(open []int, random io.Reader) ([]int, error) {
	source, err := newSource(random)
	if err != nil {
		return nil, err
	}
	f := randomField(source)
	e := eliminate(f, s.matrix(f, open), len(open))
	deviation := e.solution(len(open), func() uint64 { return f.random(source) })
	var determined []int
	for i, x := range deviation {
		if x == 0 {
			determined = append(determined, open[i])
		}
	}
	return determined, nil
}

// Rank returns how many of the equations, restricted to the unknowns of open, do not follow from the others. It errs as
// Determined does, and then downwards.
func (s *System) Rank(open []int, random io.Reader) (int, error) {
	source, err := newSource(random)
	if err != nil {
		return 0, err
	}
	f := randomField(source)
	return len(eliminate(f, s.matrix(f, open), len(open)).pivots), nil
}

func newSource(random io.Reader) (*rand.ChaCha8, error) {
	var seed [32]byte
	if _, err := io.ReadFull(random, seed[:]); err != nil {
		return nil, fmt.Errorf("drawing a prime: %w", err)
	}
	return rand.NewChaCha8(seed), nil
}

// matrix returns the coefficients of open, column i being open[i]; rows without any are left out.
func (s *System) matrix(f field, open []int) [][]entry {
	restricted, _ := s.Restrict(open)
	size := 0
	for _, equation := range restricted.Equations {
		size += len(equation)
	}
	store := make([]entry, 0, size)
	rows := make([][]entry, len(restricted.Equations))
	for r, equation := range restricted.Equations {
		from := len(store)
		for _, t := range equation {
			store = append(store, entry{t.Unknown, f.number(t.Coefficient)})
		}
		rows[r] = store[from:len(store):len(store)]
		slices.SortFunc(rows[r], func(a, b entry) int { return cmp.Compare(a.column, b.column) })
	}
	return rows
}
