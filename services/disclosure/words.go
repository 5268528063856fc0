package disclosure

import (
	"context"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

// Computation says how a suppressed cell follows from published ones. Terms and Because are empty where it follows from
// bounds, and where nobody wrote it down: because enough others came first, or because the way is long.
type Computation struct {
	Cell     int
	ByBounds bool // it follows only with counts being 0 or more, and at most the grand total
	Terms    []Share
	Because  []Equation // of the table, that give it
}

// Share is a published cell and how often it enters a sum.
type Share struct {
	Cell   int
	Weight *big.Rat
}

// maxIsolation bounds the equations times unknowns of a system that a computation is looked for in.
const maxIsolation = 20_000

// words says of the first computable cells what they follow from.
func (a *auditing) words(ctx context.Context) error {
	if len(a.report.Computable) == 0 {
		return nil
	}
	of := make([][]int, len(a.t.Cells)) // the equations that a suppressed cell is in
	for n, e := range a.equations {
		for _, i := range e.cells() {
			if a.t.Cells[i].Status.Suppressed() {
				of[i] = append(of[i], n)
			}
		}
	}
	for k := range a.report.Computable[:min(a.how.Words, len(a.report.Computable))] {
		if err := ctx.Err(); err != nil {
			return err
		}
		if c := &a.report.Computable[k]; !c.ByBounds {
			a.isolate(c, of)
		}
	}
	return nil
}

// isolate looks for the fewest rings of equations around the cell that give it.
func (a *auditing) isolate(c *Computation, of [][]int) {
	open, equations := []int{c.Cell}, []int(nil)
	opened, taken := map[int]bool{c.Cell: true}, map[int]bool{}
	for reached := 0; reached < len(open); {
		ring := open[reached:]
		reached = len(open)
		for _, i := range ring {
			for _, n := range of[i] {
				if !taken[n] {
					taken[n] = true
					equations = append(equations, n)
				}
			}
		}
		for _, n := range equations {
			for _, i := range a.equations[n].cells() {
				if a.t.Cells[i].Status.Suppressed() && !opened[i] {
					opened[i] = true
					open = append(open, i)
				}
			}
		}
		if len(open)*len(equations) > maxIsolation {
			return
		}
		some := make([]Equation, len(equations))
		for k, n := range equations {
			some[k] = a.equations[n]
		}
		if weights, ok := newSystem(len(a.t.Cells), some).Isolate(open, c.Cell); ok {
			a.write(c, some, weights)
			return
		}
	}
}

// write notes the weighted sum of equations as a sum of published cells.
func (a *auditing) write(c *Computation, equations []Equation, weights []linear.Weight) {
	share := map[int]*big.Rat{}
	add := func(i int, weight *big.Rat) {
		if share[i] == nil {
			share[i] = new(big.Rat)
		}
		share[i].Add(share[i], weight)
	}
	for _, w := range weights {
		e := equations[w.Equation]
		c.Because = append(c.Because, e)
		add(e.Total, new(big.Rat).Neg(w.Weight)) // the cell is what the others are short of
		for _, p := range e.Parts {
			add(p, w.Weight)
		}
	}
	for i, weight := range share {
		if weight.Sign() != 0 && i != c.Cell && a.t.Cells[i].Status != Empty {
			c.Terms = append(c.Terms, Share{Cell: i, Weight: weight})
		}
	}
	slices.SortFunc(c.Terms, func(x, y Share) int {
		if s := y.Weight.Sign() - x.Weight.Sign(); s != 0 {
			return s
		}
		return x.Cell - y.Cell
	})
}

// Formula returns the computation in words: "A.F = T.F − B.F"; "" where it has none.
func (t *Table) Formula(c Computation) string {
	if len(c.Because) == 0 {
		return ""
	}
	var b strings.Builder
	b.WriteString(t.Cells[c.Cell].Name())
	b.WriteString(" =")
	for k, s := range c.Terms {
		switch {
		case s.Weight.Sign() < 0:
			b.WriteString(" −")
		case k > 0:
			b.WriteString(" +")
		}
		b.WriteString(" ")
		if size := new(big.Rat).Abs(s.Weight); size.Cmp(big.NewRat(1, 1)) != 0 {
			b.WriteString(size.RatString() + "·")
		}
		b.WriteString(t.Cells[s.Cell].Name())
	}
	if len(c.Terms) == 0 {
		b.WriteString(" 0")
	}
	return b.String()
}

// Explain returns for each cell why it is suppressed, in words that give no figure away; "" for one that is shown. What it
// says of a secondary cell is the rule that the nearest primary one breaks, and what both would add up to.
func Explain(t *Table, rules Rules) ([]string, error) {
	equations, _, err := t.Equations()
	if err != nil {
		return nil, err
	}
	classes := Merge(t, equations)
	reasons := newReasons(t, classes)
	words := make([]string, len(t.Cells))
	for i, c := range t.Cells {
		switch c.Status {
		case Primary:
			words[i] = "It " + rules.words(c.Rule) + "."
		case Secondary:
			words[i] = reasons[classes.Of[i]].words(t, rules)
		}
	}
	return words, nil
}

// Protects returns for each secondary cell the nearest primary one, which it keeps from being computed; −1 for a cell of
// another status, and where no equation leads to one.
func Protects(t *Table) ([]int, error) {
	equations, _, err := t.Equations()
	if err != nil {
		return nil, err
	}
	classes := Merge(t, equations)
	reasons := newReasons(t, classes)
	protects := make([]int, len(t.Cells))
	for i, c := range t.Cells {
		protects[i] = -1
		if c.Status == Secondary && reasons[classes.Of[i]].steps >= 0 {
			protects[i] = reasons[classes.Of[i]].cell
		}
	}
	return protects, nil
}

// words ends a sentence about a cell that is primary.
func (r *Rules) words(rule Rule) string {
	switch {
	case rule == ByFrequency:
		return fmt.Sprintf("counts fewer than %d", r.MinimumFrequency)
	case rule == ByDominance && r.Dominance != nil:
		return fmt.Sprintf("is to more than %v %% its %d largest contributors'", r.Dominance.K, r.Dominance.N)
	case rule == ByPPercent && r.PPercent != nil:
		return fmt.Sprintf("would tell a contribution to within %v %%", r.PPercent.P)
	default:
		return "is withheld by whoever made the table"
	}
}

// reason is what a class of suppressed cells protects.
type reason struct {
	rule      Rule
	cell      int // the primary one
	steps     int // equations to the primary cell; −1: none leads to one
	dimension int // of the first of them
}

// newReasons walks from all primary cells along the equations between suppressed cells.
func newReasons(t *Table, c *Classes) []reason {
	reasons := make([]reason, len(c.Members))
	suppressed := make([]bool, len(c.Members))
	var queue []int
	for class, members := range c.Members {
		reasons[class].steps = -1
		for _, i := range members {
			suppressed[class] = suppressed[class] || t.Cells[i].Status.Suppressed()
			if t.Cells[i].Status == Primary && reasons[class].steps < 0 {
				reasons[class] = reason{rule: t.Cells[i].Rule, cell: i}
				queue = append(queue, class)
			}
		}
	}
	of := make([][]int, len(c.Members))
	for n, e := range c.Equations {
		for _, class := range e.cells() {
			of[class] = append(of[class], n)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		from := reasons[queue[0]]
		for _, n := range of[queue[0]] {
			e := c.Equations[n]
			for _, class := range e.cells() {
				if suppressed[class] && reasons[class].steps < 0 {
					reasons[class] = reason{rule: from.rule, cell: from.cell, steps: from.steps + 1, dimension: e.Dimension}
					queue = append(queue, class)
				}
			}
		}
	}
	return reasons
}

func (r reason) words(t *Table, rules Rules) string {
	switch {
	case r.steps < 0:
		return "It is withheld by whoever made the table."
	case r.steps == 0:
		return fmt.Sprintf("It is the same figure as that of a cell that %s.", rules.words(r.rule))
	case r.steps == 1:
		return fmt.Sprintf("With the total over %s it would tell a cell that %s.", t.Dimensions[r.dimension].ID, rules.words(r.rule))
	default:
		return fmt.Sprintf("With the total over %s it would tell others that are withheld to protect a cell that %s.",
			t.Dimensions[r.dimension].ID, rules.words(r.rule))
	}
}
