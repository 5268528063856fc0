package disclosure

import (
	"context"
	"fmt"
	"io"
	"math/big"
	"slices"

	"github.com/comity-federation/comity/services/disclosure/linear"
)

// Report is what a reader of a table can find out.
type Report struct {
	Table      *Table      // the table as [Table.Complete] has it, which equations speak of
	Cells      []Knowledge // of each cell of the table that was audited
	Computable []Computation
	Exposed    []Finding // of a cell that breaks a rule and is shown
	Narrow     []Finding // of a primary cell whose interval is not proved to be wide enough
	Singletons []Finding // of a cell with one contributor, who knows it and so another primary cell
	Findings   []Finding // of totals that are not the sum of their parts
	// Clean: no primary cell is shown, no withheld one computable, by nobody, and every primary interval is proved to be
	// wide enough.
	Clean bool
}

// Knowledge is what was proved of a cell. A reader cannot rule out that it is Low, or High, or anything between; and can
// rule out that it is below Least or above Most. Where both agree the interval is exact. Of a published cell, all are its
// value.
type Knowledge struct {
	linear.Range
	Required   int64 // how wide the interval must be; 0: it is not required
	Computable bool
	byBounds   bool
}

// Wide reports whether the interval is proved to be as wide as it must be.
func (k Knowledge) Wide() bool {
	return new(big.Rat).Sub(k.High, k.Low).Cmp(new(big.Rat).SetInt64(k.Required)) >= 0
}

// Auditing says how hard an audit tries.
type Auditing struct {
	Iterations int             // of the simplex method for each end of an interval
	Workers    int             // that seek intervals at a time; 0 stands for 1
	Stop       <-chan struct{} // once it is closed, no more intervals are sought; nil: never
	Points     []Point         // what proved the pattern, as in a [Result]; it is checked, and saves some search
	Words      int             // how many computations are put in words; those of further cells are not
	Random     io.Reader       // 128 bytes are read of it
}

// Audit returns what a reader of the table can find out about the cells that are suppressed in it. The reader knows the
// shape of the table, all cells that are not suppressed, and that no count is below 0 or above the grand total. Cells
// that are undecided are taken for published ones. Intervals are of real numbers, and exact unless Auditing ends the
// search before; each says whether it is. What the equations alone make computable is always found. Which cells are
// primary says the table; the rules say how wide their intervals must be, and what may not be shown.
//
// Errors are faults of [Table.Check] and [Rules.Check], the context's, and that of reading Random.
func Audit(ctx context.Context, t *Table, rules Rules, how Auditing) (*Report, error) {
	if err := rules.Check(); err != nil {
		return nil, err
	}
	full, err := t.Complete(how.Random)
	if err != nil {
		return nil, err
	}
	equations, findings, err := full.Equations()
	if err != nil {
		return nil, err
	}
	a := auditing{
		t: full, own: len(t.Cells), rules: rules, how: how, classes: Merge(full, equations), equations: equations,
		report: &Report{Table: full, Cells: make([]Knowledge, len(t.Cells)), Findings: findings},
	}
	if err := a.run(ctx); err != nil {
		return nil, err
	}
	return a.report, nil
}

type auditing struct {
	t         *Table // with absent cells
	own       int    // the cells that are not absent
	rules     Rules
	how       Auditing
	equations []Equation
	classes   *Classes
	report    *Report
}

func (a *auditing) run(ctx context.Context) error {
	open := a.open()
	system := a.classes.System()
	ties, err := system.Ties(open, a.how.Random)
	if err != nil {
		return err
	}
	known := make([]Knowledge, len(a.classes.Members))
	for c, value := range a.classes.Values {
		known[c] = Knowledge{Range: linear.Known(value), Computable: true}
	}
	var uncertain []int
	for i, c := range open {
		if ties[i] != 0 {
			uncertain = append(uncertain, c)
			known[c].Computable = false
		}
	}
	if err := a.intervals(ctx, system, uncertain, known); err != nil {
		return err
	}
	a.take(known)
	a.singletons(open, ties)
	if err := a.words(ctx); err != nil {
		return err
	}
	a.exposed()
	a.narrow()
	r := a.report
	r.Clean = len(r.Computable) == 0 && len(r.Exposed) == 0 && len(r.Narrow) == 0 && len(r.Singletons) == 0
	return nil
}

// open returns the classes of which no cell is shown.
func (a *auditing) open() []int {
	var open []int
	for c, members := range a.classes.Members {
		shown := false
		for _, i := range members {
			shown = shown || !a.t.Cells[i].Status.Suppressed()
		}
		if !shown {
			open = append(open, c)
		}
	}
	return open
}

// intervals finds what the uncertain classes can be. One that turns out to be a point is computable after all: counts
// that add up to little give themselves away.
func (a *auditing) intervals(ctx context.Context, system *linear.System, uncertain []int, known []Knowledge) error {
	region := linear.Region{
		System: system, Inside: a.classes.Values,
		Lower: slices.Clone(a.classes.Values), Upper: slices.Clone(a.classes.Values),
	}
	total := a.t.GrandTotal()
	var wanted []int
	var widths []int64
	for _, c := range uncertain {
		region.Lower[c], region.Upper[c] = 0, total
		if a.classes.Members[c][0] >= a.own { // members ascend, and absent cells come last
			continue
		}
		wanted = append(wanted, c)
		widths = append(widths, 0)
		for _, i := range a.classes.Members[c] {
			widths[len(widths)-1] = max(widths[len(widths)-1], a.required(i))
		}
	}
	stop, end := either(ctx.Done(), a.how.Stop)
	defer end()
	ranges, err := region.Ranges(wanted, linear.Effort{
		Steps: a.how.Iterations, Workers: a.how.Workers, Stop: stop, Widths: widths, Points: a.points(),
	})
	if err != nil {
		return fmt.Errorf("finding intervals: %w", err)
	}
	for k, c := range wanted {
		known[c].Range = ranges[k]
		known[c].Computable = ranges[k].Least.Cmp(ranges[k].Most) == 0
		known[c].byBounds = known[c].Computable
	}
	return ctx.Err()
}

// either returns a channel that is closed when one of two is. end gives its watch up.
func either(a, b <-chan struct{}) (closed <-chan struct{}, end func()) {
	both, done := make(chan struct{}), make(chan struct{})
	watch := func() {
		select {
		case <-a:
			close(both)
		case <-b:
			close(both)
		case <-done:
		}
	}
	select {
	case <-a:
		return a, func() {}
	case <-b:
		return b, func() {}
	default:
		go watch()
		return both, func() { close(done) }
	}
}

// points returns the known points in terms of classes; those that move a class in two ways, or an unknown cell, are none.
func (a *auditing) points() []linear.Point {
	var points []linear.Point
next:
	for _, p := range a.how.Points {
		deviations := make([]int64, len(a.classes.Members))
		for k, i := range p.Cells {
			if i < 0 || i >= len(a.t.Cells) || k >= len(p.Moves) || a.classes.Of[i] < 0 {
				continue next
			}
			deviations[a.classes.Of[i]] = p.Moves[k]
		}
		points = append(points, linear.Point{Deviations: deviations, Denominator: p.Denominator})
	}
	return points
}

// required returns how wide the interval of a cell must be. None is wider than from 0 to the grand total.
func (a *auditing) required(i int) int64 {
	if c := a.t.Cells[i]; c.Status == Primary {
		return min(a.rules.Width(c.Value), a.t.GrandTotal())
	}
	return 0
}

// take gives each cell what is known of its class.
func (a *auditing) take(known []Knowledge) {
	for i, c := range a.t.Cells[:a.own] {
		k := &a.report.Cells[i]
		if class := a.classes.Of[i]; class >= 0 {
			*k = known[class]
		} else {
			k.Range = linear.Known(0)
		}
		k.Computable = k.Computable && c.Status.Suppressed()
		k.Required = a.required(i)
		if k.Computable {
			a.report.Computable = append(a.report.Computable, Computation{Cell: i, ByBounds: k.byBounds})
		}
	}
}

// narrow finds primary cells that cannot be computed and yet can be guessed, or may be for all that was proved.
func (a *auditing) narrow() {
	for i, k := range a.report.Cells {
		if k.Wide() || k.Computable {
			continue
		}
		name := a.t.Cells[i].Name()
		message := fmt.Sprintf("What is shown tells %s to within less than %d.", name, k.Required)
		if width := new(big.Rat).Sub(k.Most, k.Least); width.Cmp(new(big.Rat).SetInt64(k.Required)) >= 0 {
			message = fmt.Sprintf("Nobody had the time to find out whether what is shown tells %s to within less than %d.", name, k.Required)
		}
		a.report.Narrow = append(a.report.Narrow, Finding{Cell: i, Message: message})
	}
}

// exposed finds cells that should be primary and are shown.
func (a *auditing) exposed() {
	for i, c := range a.t.Cells {
		if c.Status.Suppressed() {
			continue
		}
		if rule := a.rules.Broken(c); rule != "" {
			a.report.Exposed = append(a.report.Exposed, Finding{Cell: i, Message: fmt.Sprintf("%s is shown, and %s.", c.Name(), a.rules.words(rule))})
		}
	}
}

// singletons finds cells of one contributor who can compute another primary cell out of its own.
func (a *auditing) singletons(open, ties []int) {
	// Of a tie: two cells with one contributor, of two classes, one of which is another class than that of any cell.
	alone := map[int][]int{}
	for i, c := range open {
		if cell, ok := a.contributor(c); ok && ties[i] != 0 && len(alone[ties[i]]) < 2 {
			alone[ties[i]] = append(alone[ties[i]], cell)
		}
	}
	for i, c := range open {
		known := slices.IndexFunc(alone[ties[i]], func(cell int) bool { return a.classes.Of[cell] != c })
		if known < 0 {
			continue
		}
		cell := alone[ties[i]][known]
		for _, other := range a.classes.Members[c] {
			if a.t.Cells[other].Status == Primary {
				a.report.Singletons = append(a.report.Singletons, Finding{
					Cell:    other,
					Message: fmt.Sprintf("The one contributor of %s knows it, and can compute %s.", a.t.Cells[cell].Name(), a.t.Cells[other].Name()),
				})
				break
			}
		}
	}
}

// contributor returns a cell of the class that has one contributor.
func (a *auditing) contributor(class int) (cell int, ok bool) {
	for _, i := range a.classes.Members[class] {
		if a.t.Cells[i].single() {
			return i, true
		}
	}
	return 0, false
}
