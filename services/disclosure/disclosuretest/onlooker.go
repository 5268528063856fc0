// Package disclosuretest says what can be computed from figures that were given away, for the tests of those that give
// them.
package disclosuretest

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

// Onlooker puts together whatever rows an audience was ever given, and says what can be computed from them. It knows of
// tables only that totals are the sums of their parts, and nothing of how they were protected.
//
// A cell in a state of the data is one unknown: the same cell with the same figure in two states is taken for the same, as
// one who knows more would.
type Onlooker struct {
	unknowns  map[string]int
	names     []string
	truth     []int64
	shown     []bool
	equations map[string]linear.Equation
}

// unbounded is above all counts: who is not told a total knows no other bound.
const unbounded = 1 << 40

// NewOnlooker returns an onlooker who has seen nothing.
func NewOnlooker() *Onlooker {
	return &Onlooker{unknowns: map[string]int{}, equations: map[string]linear.Equation{}}
}

// Row is a cell as it was given, beside the truth.
type Row struct {
	Key   []string
	Value float64 // NaN: it was withheld
	Truth int64
}

// Known is what an onlooker can find out about a figure that was withheld everywhere.
type Known struct {
	Cell      string
	Truth     int64
	Low, High *big.Rat // between which it is proved that it may lie
}

// Width returns how far apart Low and High are.
func (k Known) Width() float64 {
	width, _ := new(big.Rat).Sub(k.High, k.Low).Float64()
	return width
}

// See adds a table. Name says of what, without the key: where, what and when is counted. The parts of a code in each
// dimension are in parts. A part that no row has stands for its own parts where there are rows of these, and else for
// nothing, unless what is told of it is told in less detail. Where the parts sum up to less than the total, there is
// more that nobody was told of.
//
// It fails where a row that was given with its value does not tell the truth.
func (o *Onlooker) See(name string, parts []map[string][]string, rows []Row) error {
	t := newTable(parts)
	for _, r := range rows {
		u := o.unknown(fmt.Sprintf("%s %s = %d", name, strings.Join(r.Key, "."), r.Truth), r.Truth)
		t.add(t.cell(r.Key), u)
		if math.IsNaN(r.Value) {
			continue
		}
		if o.shown[u] = true; r.Value != float64(r.Truth) {
			return fmt.Errorf("%s %s was given as %v and is %d", name, strings.Join(r.Key, "."), r.Value, r.Truth)
		}
	}
	for _, r := range rows {
		for d := range parts {
			o.sum(t, r, d)
		}
	}
	return nil
}

func (o *Onlooker) unknown(name string, truth int64) int {
	u, ok := o.unknowns[name]
	if !ok {
		u = len(o.names)
		o.unknowns[name] = u
		o.names, o.truth = append(o.names, name), append(o.truth, truth)
		o.shown = append(o.shown, false)
	}
	return u
}

// sum notes that a row is the sum of its parts along a dimension, if it is.
func (o *Onlooker) sum(t *table, r Row, d int) {
	cell := t.cell(r.Key)
	equation := linear.Equation{{Unknown: t.unknowns[string(cell)], Coefficient: 1}}
	left, more := r.Truth, false
	var add func(code uint16)
	add = func(code uint16) {
		for _, part := range t.parts[d][code] {
			set(cell, d, part)
			if u, ok := t.unknowns[string(cell)]; ok {
				equation = append(equation, linear.Term{Unknown: u, Coefficient: -1})
				left -= o.truth[u]
				continue
			}
			more = more || t.coarse(cell, d)
			add(part)
		}
	}
	add(get(cell, d))
	if len(equation) == 1 || left < 0 {
		return
	}
	if left > 0 || more {
		u := o.unknown(fmt.Sprintf("%s less what it has in dimension %d = %d", o.names[equation[0].Unknown], d, left), left)
		equation = append(equation, linear.Term{Unknown: u, Coefficient: -1})
	}
	o.equations[fmt.Sprint(equation)] = equation
}

// Equate adds that a figure is the sum of others, as a year is of its months. Cells are named as See names them, with
// their keys; it reports false where one was never seen in the state that the sum needs.
func (o *Onlooker) Equate(total string, truth int64, parts map[string]int64) bool {
	u, ok := o.unknowns[fmt.Sprintf("%s = %d", total, truth)]
	equation := linear.Equation{{Unknown: u, Coefficient: 1}}
	left := truth
	for part, truth := range parts {
		p, known := o.unknowns[fmt.Sprintf("%s = %d", part, truth)]
		ok = ok && known
		equation = append(equation, linear.Term{Unknown: p, Coefficient: -1})
		left -= truth
	}
	if ok && left == 0 {
		o.equations[fmt.Sprint(equation)] = equation
	}
	return ok && left == 0
}

// Withheld returns what is known of the figures that were withheld everywhere and that count from least to most. Each end of an
// interval is sought for as many steps of the simplex method.
func (o *Onlooker) Withheld(least, most int64, steps int) ([]Known, error) {
	system := &linear.System{Unknowns: len(o.names)}
	for _, key := range sortedKeys(o.equations) {
		system.Equations = append(system.Equations, o.equations[key])
	}
	region := linear.Region{System: system, Inside: o.truth, Lower: make([]int64, len(o.names)), Upper: make([]int64, len(o.names))}
	var wanted []int
	for u, truth := range o.truth {
		if region.Upper[u] = unbounded; o.shown[u] {
			region.Lower[u], region.Upper[u] = truth, truth
		} else if truth >= least && truth <= most {
			wanted = append(wanted, u)
		}
	}
	widths := make([]int64, len(wanted))
	for i := range widths {
		widths[i] = 3
	}
	ranges, err := region.Ranges(wanted, linear.Effort{Steps: steps, Workers: 2, Widths: widths})
	if err != nil {
		return nil, err
	}
	known := make([]Known, len(wanted))
	for i, u := range wanted {
		known[i] = Known{Cell: o.names[u], Truth: o.truth[u], Low: ranges[i].Low, High: ranges[i].High}
	}
	return known, nil
}

func sortedKeys(m map[string]linear.Equation) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}
