package disclosure

import (
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/comity-federation/comity/services/disclosure/verify"
	"github.com/comity-federation/comity/services/fault"
)

// Options say how [Protect] works. The zero value is what a release needs.
type Options struct {
	Seed uint64 // equal tables, rules, options and seeds give equal patterns
	// MinimumKept is the least share of the value of all cells that has to stay shown, from 0 to 1. A table that would
	// keep less is refused, or coarsened.
	MinimumKept float64
	// Coarsenings are applied one after the other, as long as the table cannot be protected or keeps too little.
	Coarsenings []Coarsening
	// Pinned has true for each cell that must stay shown, as one that was released before; nil: none.
	Pinned []bool
	// IgnoreSingletons leaves out of account that who is alone in a cell knows its value.
	IgnoreSingletons bool
	// Quick shows again what need not be withheld, and looks for no cheaper pattern besides.
	Quick bool
	// Effort multiplies how long the search for cheaper patterns may take; 0 stands for 1.
	Effort int
}

// Coarsening leaves cells out of a table.
type Coarsening struct {
	Dimension string
	Codes     []string // whose cells go; none: those of all codes without parts
}

// Result is a table that may be shown, with the proof that it may.
type Result struct {
	Table          *Table // each cell Published, Primary, Secondary or Empty
	SecondaryCount int
	SecondaryValue int64   // of the secondary cells, each counted
	Kept           float64 // the share of the value of all cells that is shown
	Coarsened      []Coarsening
	Points         []Point
	Certificates   []Certificate // of each primary cell, in their order
}

// Point is a way in which the withheld figures may differ from the true ones without a reader of the table noticing: the
// differences solve all equations, and no figure leaves [0, grand total].
type Point = verify.Point

// Certificate proves how wide the interval of a primary cell is at least: by the points that move it furthest down and
// up. −1 stands for the true figures.
type Certificate = verify.Certificate

// Protect decides which cells have to be withheld besides the primary ones, so that the interval in which a reader of the
// table can place a primary cell is as wide as [Rules.Width] asks, and so that no single contributor of a cell can
// compute another primary cell. Of the patterns that do it looks for one whose secondary cells have a small sum: mostly
// the smallest there is in tables of some dozens of cells, and one that is not far from it in others. What it returns was
// proved by [verify.Check].
//
// A primary class is protected by moves that are found in the part of the table around it, with the simplex method and
// slope scaling. Then the dearest secondary classes are shown again, many at a time, as long as others protect in their
// place, and single ones are ruined and recreated while that pays. In small tables cuts end with the cheapest pattern of
// all. Moves and cuts follow Fischetti and Salazar-González (2001, Management Science 47:1008), where points are the
// attacker's alternatives. The work is counted, not timed, so that equal calls have equal results.
//
// Cells that are preset Secondary stay withheld, cost nothing, and are protected too where that is possible. A cell that
// is pinned is withheld all the same where it is primary or equal to one that is withheld from the beginning.
//
// Errors are faults of [Table.Check] and [Rules.Check], one of kind Precondition with the reason CANNOT_PROTECT where
// not all primary cells can be protected or too little would be kept, and the context's.
func Protect(ctx context.Context, t *Table, rules Rules, o Options) (*Result, error) {
	if err := rules.Check(); err != nil {
		return nil, err
	}
	if !(o.MinimumKept >= 0 && o.MinimumKept <= 1) {
		return nil, fieldFault("minimumKept", "%v is not from 0 to 1", o.MinimumKept)
	}
	if o.Pinned != nil && len(o.Pinned) != len(t.Cells) {
		return nil, fieldFault("pinned", "it is about %d cells; the table has %d", len(o.Pinned), len(t.Cells))
	}
	t = t.Clone()
	var done []Coarsening
	for {
		rules.Apply(t)
		r, err := protect(ctx, t, &rules, o)
		if err == nil {
			r.Coarsened = done
			return r, nil
		}
		if !fault.Is(err, fault.Precondition) || len(done) == len(o.Coarsenings) {
			return nil, err
		}
		next := o.Coarsenings[len(done)]
		if err := next.apply(t, &o.Pinned); err != nil {
			return nil, err
		}
		done = append(done, next)
	}
}

// apply leaves cells out of the table.
func (c Coarsening) apply(t *Table, pinned *[]bool) error {
	d := slices.IndexFunc(t.Dimensions, func(d Dimension) bool { return d.ID == c.Dimension })
	if d < 0 {
		return fieldFault("coarsenings", "the table has no dimension %q", c.Dimension)
	}
	gone := map[string]bool{}
	for _, code := range c.Codes {
		gone[code] = true
	}
	if len(c.Codes) == 0 {
		for _, code := range t.Dimensions[d].Codes {
			gone[code.Code] = true
		}
		for _, code := range t.Dimensions[d].Codes {
			delete(gone, code.Parent)
		}
	}
	var cells []Cell
	var pins []bool
	for i, cell := range t.Cells {
		if gone[cell.Key[d]] {
			continue
		}
		cells = append(cells, cell)
		if *pinned != nil {
			pins = append(pins, (*pinned)[i])
		}
	}
	t.Cells, *pinned = cells, pins
	return nil
}

// refusal says why a table is not shown.
func refusal(format string, args ...any) error {
	return fault.New(fault.Precondition, "CANNOT_PROTECT", format, args...)
}

// protect protects a table whose primary cells are decided.
func protect(ctx context.Context, t *Table, rules *Rules, o Options) (*Result, error) {
	random := rand.New(rand.NewPCG(o.Seed, 0x636f6d697479)) //nolint:gosec // it chooses between patterns, it keeps nothing secret
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], o.Seed)
	full, err := t.Complete(rand.NewChaCha8(seed))
	if err != nil {
		return nil, err
	}
	p, err := newProblem(full, rules, o.Pinned)
	if err != nil {
		return nil, err
	}
	s := &solver{pattern: newPattern(p, !o.IgnoreSingletons), random: random}
	effort := max(o.Effort, 1)
	if o.Quick {
		effort = 0
	}
	if err := s.solve(ctx, effort); err != nil {
		return nil, err
	}
	r := s.result(len(t.Cells))
	for i, c := range r.Table.Cells {
		class := p.class[i]
		if c.Status != Primary || s.protected(class) {
			continue
		}
		if !s.wide(class) {
			return nil, refusal("no pattern was found that protects %s", c.Name())
		}
		other := full.Cells[p.members[s.confidants(class)[0]][0]]
		return nil, refusal("no pattern was found that keeps %s from the one contributor of %s", c.Name(), other.Name())
	}
	if r.Kept < o.MinimumKept {
		return nil, refusal("%.1f %% of the value would be kept, %.1f %% are asked for", 100*r.Kept, 100*o.MinimumKept)
	}
	r.Points, r.Certificates = s.certificates()
	table := published(full, r.Table, rules, !o.IgnoreSingletons)
	if err := verify.Check(table, r.Points, r.Certificates); err != nil {
		return nil, fmt.Errorf("verifying the pattern: %w", err)
	}
	return r, nil
}

// published returns what the verifier checks: the table as its readers know it.
func published(full, decided *Table, rules *Rules, guard bool) verify.Table {
	v := verify.Table{GrandTotal: full.GrandTotal()}
	for _, d := range full.Dimensions {
		var codes []verify.Code
		for _, c := range d.Codes {
			codes = append(codes, verify.Code(c))
		}
		v.Dimensions = append(v.Dimensions, codes)
	}
	for i, c := range full.Cells {
		cell := verify.Cell{Key: c.Key, Value: c.Value, Withheld: c.Status.Suppressed()}
		if i < len(decided.Cells) {
			c = decided.Cells[i]
			cell.Withheld = c.Status.Suppressed()
			cell.Single = guard && c.single()
			if c.Status == Primary {
				cell.Need = min(rules.Width(c.Value), v.GrandTotal)
			}
		}
		v.Cells = append(v.Cells, cell)
	}
	return v
}

// result writes the pattern into the first cells of the table.
func (s *solver) result(cells int) *Result {
	r := &Result{Table: &Table{Dimensions: s.table.Dimensions, Cells: slices.Clone(s.table.Cells[:cells])}}
	var all, kept int64
	for i := range r.Table.Cells {
		c := &r.Table.Cells[i]
		class := s.class[i]
		switch {
		case class >= 0 && s.in[class]:
			if c.Status != Primary {
				c.Status = Secondary
			}
		case c.Status != Empty:
			c.Status = Published
		}
		if c.Absent {
			continue
		}
		all += c.Value
		if c.Status == Secondary {
			r.SecondaryCount++
			r.SecondaryValue += c.Value
		}
		if !c.Status.Suppressed() {
			kept += c.Value
		}
	}
	r.Kept = 1
	if all > 0 {
		r.Kept = float64(kept) / float64(all)
	}
	return r
}

// certificates returns a proof for each primary cell, and the points that these need.
func (s *solver) certificates() ([]Point, []Certificate) {
	var points []Point
	numbers := map[int32]int{}
	number := func(v int32, move int64) int {
		if move == 0 {
			return -1
		}
		for _, f := range s.of[v] {
			if !s.alive[f.point] || f.move != move {
				continue
			}
			if _, ok := numbers[f.point]; !ok {
				numbers[f.point] = len(points)
				points = append(points, s.spread(&s.points[f.point]))
			}
			return numbers[f.point]
		}
		return -1
	}
	var certificates []Certificate
	for i, c := range s.table.Cells {
		if v := s.class[i]; c.Status == Primary {
			low, high := s.extremes(v)
			certificates = append(certificates, Certificate{Cell: i, Low: number(v, low), High: number(v, high)})
		}
	}
	return points, certificates
}

// spread writes a point as moves of cells.
func (s *solver) spread(f *point) Point {
	p := Point{Denominator: scale}
	for k, v := range f.class {
		for _, cell := range s.members[v] {
			p.Cells = append(p.Cells, int(cell))
			p.Moves = append(p.Moves, f.move[k])
		}
	}
	return p
}

// descending sorts classes by a number of each, the largest first.
func descending(classes []int32, by []int64) {
	slices.SortFunc(classes, func(a, b int32) int {
		return cmp.Or(cmp.Compare(by[b], by[a]), cmp.Compare(a, b))
	})
}
