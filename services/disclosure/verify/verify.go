// Package verify checks, of a table from which figures were withheld, that they are protected. It knows nothing of how
// they were chosen: it reads the equations off the table as its readers see it, counts with integers only, and imports
// nothing of what it checks.
//
// Two proofs are asked for. A certificate of each primary cell names two points, ways in which the withheld figures could
// differ from the true ones; they show how wide the cell's interval is at least. And elimination modulo a random
// prime shows that no primary cell is computable, also not by the one contributor of another cell.
package verify

import (
	"crypto/rand"
	"errors"
	"fmt"
	"math/bits"
	"strings"
)

// Code is a code of a dimension, or one once more as a part of another parent.
type Code struct {
	Code      string
	Parent    string // "": it is a part of none
	Hierarchy string // parts of one parent with one name add up to it
}

// Cell is a figure.
type Cell struct {
	Key      []string // a code of each dimension
	Value    int64
	Withheld bool  // the reader does not see the value
	Need     int64 // how wide the interval must be, above 0; 0: the cell is not primary
	Single   bool  // it has one contributor, who knows it
}

// Table is a table as its readers know it. They also know that no figure is below 0 or above the grand total.
type Table struct {
	Dimensions [][]Code
	Cells      []Cell
	GrandTotal int64
}

// Point is how far cells are moved from their true figures; other cells are not moved.
type Point struct {
	Cells       []int
	Moves       []int64 // in units of 1/Denominator
	Denominator int64
}

// Certificate names the points that move a primary cell furthest down and up; −1: the true figures.
type Certificate struct {
	Cell      int
	Low, High int
}

// Errors that Check wraps.
var (
	ErrPoint    = errors.New("a point is not possible")
	ErrNarrow   = errors.New("an interval is not proved to be wide enough")
	ErrComputed = errors.New("a withheld figure can be computed")
)

// Check returns an error that says why the table must not be shown; nil: it may. Points are checked exactly. The
// elimination takes its prime from the system's random source, and errs with a probability below 2⁻⁴⁰.
func Check(t Table, points []Point, certificates []Certificate) error {
	equations := t.equations()
	at := make([][]int, len(t.Cells))
	for k, e := range equations {
		for _, term := range e {
			at[term.cell] = append(at[term.cell], k)
		}
	}
	moves := make([]map[int]int64, len(points))
	for k, p := range points {
		m, err := t.point(p, equations, at)
		if err != nil {
			return fmt.Errorf("%w: number %d: %w", ErrPoint, k, err)
		}
		moves[k] = m
	}
	if err := t.widths(points, moves, certificates); err != nil {
		return err
	}
	return t.computable(equations)
}

// point checks a point against the bounds and the equations, and returns its moves by cell.
func (t *Table) point(p Point, equations []equation, at [][]int) (map[int]int64, error) {
	if p.Denominator < 1 || len(p.Cells) != len(p.Moves) {
		return nil, errors.New("it is malformed")
	}
	moves := make(map[int]int64, len(p.Cells))
	for k, i := range p.Cells {
		if i < 0 || i >= len(t.Cells) {
			return nil, fmt.Errorf("the table has no cell %d", i)
		}
		if _, twice := moves[i]; twice {
			return nil, fmt.Errorf("it moves %s twice", t.name(i))
		}
		c, move := t.Cells[i], p.Moves[k]
		down, okDown := times(c.Value, p.Denominator)
		up, okUp := times(t.GrandTotal-c.Value, p.Denominator)
		switch {
		case !c.Withheld && move != 0:
			return nil, fmt.Errorf("it moves %s, which is shown", t.name(i))
		case !okDown || !okUp || c.Value < 0 || c.Value > t.GrandTotal:
			return nil, fmt.Errorf("%s is out of range", t.name(i))
		case move < -down || move > up:
			return nil, fmt.Errorf("it moves %s out of its bounds", t.name(i))
		}
		moves[i] = move
	}
	for i := range moves {
		for _, k := range at[i] {
			sum := int64(0)
			for _, term := range equations[k] {
				sum += term.sign * moves[term.cell]
			}
			if sum != 0 {
				return nil, fmt.Errorf("with it the total %s is not the sum of its parts", t.name(equations[k][0].cell))
			}
		}
	}
	return moves, nil
}

// times multiplies numbers that are not negative, and reports whether the product, and sums of a million of them, fit.
func times(a, b int64) (int64, bool) {
	high, low := bits.Mul64(uint64(a), uint64(b)) //nolint:gosec // a negative number becomes too large
	if high != 0 || low > 1<<62 {
		return 0, false
	}
	return int64(low), true
}

// widths checks that each primary cell has a certificate that is wide enough.
func (t *Table) widths(points []Point, moves []map[int]int64, certificates []Certificate) error {
	proved := make(map[int]bool, len(certificates))
	for _, c := range certificates {
		if c.Cell < 0 || c.Cell >= len(t.Cells) || max(c.Low, c.High) >= len(points) {
			return fmt.Errorf("%w: a certificate names a cell or point that is not there", ErrNarrow)
		}
		// High/d − Low/e ≥ need, with both over the common denominator d·e.
		var high, low, d, e int64 = 0, 0, 1, 1
		if c.High >= 0 {
			high, d = moves[c.High][c.Cell], points[c.High].Denominator
		}
		if c.Low >= 0 {
			low, e = moves[c.Low][c.Cell], points[c.Low].Denominator
		}
		up, down := max(high, 0), max(-low, 0)
		a, ok1 := times(up, e)
		b, ok2 := times(down, d)
		de, ok3 := times(d, e)
		need, ok4 := times(t.Cells[c.Cell].Need, de)
		if !ok1 || !ok2 || !ok3 || !ok4 || a/2+b/2 > 1<<61 || a+b < need {
			return fmt.Errorf("%w: that of %s", ErrNarrow, t.name(c.Cell))
		}
		proved[c.Cell] = true
	}
	for i, c := range t.Cells {
		if c.Need > 0 && (!c.Withheld || !proved[i]) {
			return fmt.Errorf("%w: %s has no certificate, or is shown", ErrNarrow, t.name(i))
		}
	}
	return nil
}

// computable looks for primary cells that follow from the shown ones, alone or with a cell whose contributor knows it.
func (t *Table) computable(equations []equation) error {
	f, err := randomField(rand.Reader)
	if err != nil {
		return err
	}
	first, second, err := f.deviations(t, equations, rand.Reader)
	if err != nil {
		return err
	}
	// Cells whose random deviations have one ratio give each other away. Of the contributors who are alone in some cell, two
	// of different figures are enough: one of them is another's.
	figures := t.figures(equations)
	alone := map[uint64][]int{}
	for i, c := range t.Cells {
		if !c.Withheld || !c.Single || first[i] == 0 {
			continue
		}
		ratio := f.divide(second[i], first[i])
		if known := alone[ratio]; len(known) == 0 || len(known) == 1 && figures.root(known[0]) != figures.root(i) {
			alone[ratio] = append(known, i)
		}
	}
	for i, c := range t.Cells {
		if c.Need == 0 {
			continue
		}
		if first[i] == 0 && second[i] == 0 {
			return fmt.Errorf("%w: %s from what is shown", ErrComputed, t.name(i))
		}
		for _, single := range alone[f.divide(second[i], first[i])] {
			if figures.root(single) != figures.root(i) {
				return fmt.Errorf("%w: %s by the one contributor of %s", ErrComputed, t.name(i), t.name(single))
			}
		}
	}
	return nil
}

func (t *Table) name(i int) string { return strings.Join(t.Cells[i].Key, ".") }
