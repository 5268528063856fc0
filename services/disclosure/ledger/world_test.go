package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/disclosure/linear"
)

// world is figures by month, place and citizenship that change over time, and everything that was shown of them.
type world struct {
	rules   disclosure.Rules
	places  int
	peoples int
	leaves  map[string]int64 // "month.place.people"
	// revision and touched are for the reader: since which revision a cell has its value.
	revision int64
	values   map[string]int64
	touched  map[string]int64
	reader   reader
}

func newWorld(r *rand.Rand, months, places, peoples int) *world {
	w := &world{
		rules:  disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2},
		places: places, peoples: peoples, leaves: map[string]int64{}, revision: 1,
		values: map[string]int64{}, touched: map[string]int64{},
		reader: reader{number: map[string]int{}, ceiling: map[int]int64{}, shown: map[int]bool{}, width: map[int]int64{}, value: map[int]int64{}},
	}
	for m := range months {
		for p := range places {
			for c := range peoples {
				w.leaves[key(month(m), place(p), people(c))] = figure(r)
			}
		}
	}
	return w
}

func key(codes ...string) string { return strings.Join(codes, ".") }
func month(m int) string         { return fmt.Sprintf("2024-%02d", m+1) }
func place(p int) string         { return string(rune('A' + p)) }
func people(c int) string        { return fmt.Sprintf("c%02d", c) }

// figure returns a count that is small more often than not.
func figure(r *rand.Rand) int64 {
	switch r.IntN(5) {
	case 0:
		return 0
	case 1, 2:
		return 1 + r.Int64N(3)
	default:
		return 3 + r.Int64N(60)
	}
}

// table returns the sum of some months by place and citizenship. Margins are "T".
func (w *world) table(months []int) *disclosure.Table {
	t := &disclosure.Table{Dimensions: []disclosure.Dimension{
		{ID: "PLACE", Codes: []disclosure.Code{{Code: "T"}}},
		{ID: "PEOPLE", Codes: []disclosure.Code{{Code: "T"}}},
	}}
	for p := range w.places {
		t.Dimensions[0].Codes = append(t.Dimensions[0].Codes, disclosure.Code{Code: place(p), Parent: "T"})
	}
	for c := range w.peoples {
		t.Dimensions[1].Codes = append(t.Dimensions[1].Codes, disclosure.Code{Code: people(c), Parent: "T"})
	}
	for _, p := range t.Dimensions[0].Codes {
		for _, c := range t.Dimensions[1].Codes {
			t.Cells = append(t.Cells, disclosure.Cell{
				Key: []string{p.Code, c.Code}, Value: w.sum(months, func(at, of string) bool {
					return (p.Code == "T" || p.Code == at) && (c.Code == "T" || c.Code == of)
				}),
			})
		}
	}
	w.rules.Apply(t)
	for i := range t.Cells {
		if t.Cells[i].Status == disclosure.Empty {
			t.Cells[i].Status = disclosure.Published
		}
	}
	return t
}

func (w *world) sum(months []int, take func(place, people string) bool) int64 {
	var sum int64
	for _, m := range months {
		for p := range w.places {
			for c := range w.peoples {
				if take(place(p), people(c)) {
					sum += w.leaves[key(month(m), place(p), people(c))]
				}
			}
		}
	}
	return sum
}

// release returns the table of a period as a release, with primary cells withheld and nothing else.
func (w *world) release(t testing.TB, period string, months []int) ledger.Release {
	t.Helper()
	table := w.table(months)
	release, err := ledger.FromTable(table, w.rules, w.revision, func(c disclosure.Cell) string { return key(period, c.Name()) })
	if err != nil {
		t.Fatal(err)
	}
	release.ID = fmt.Sprintf("%s@%d", period, w.revision)
	return release
}

// year returns the table of several months as a release, joined with them.
func (w *world) year(t testing.TB, period string, months []int) ledger.Release {
	t.Helper()
	release := w.release(t, period, months)
	for _, c := range release.Cells {
		e := ledger.Equation{Total: c.Key}
		for _, m := range months {
			e.Parts = append(e.Parts, month(m)+strings.TrimPrefix(c.Key, period))
		}
		release.Equations = append(release.Equations, e)
	}
	return release
}

// group returns the totals of a month for groups of places that may overlap, as sums of places that are not shown in it.
func (w *world) group(period string, m int, groups map[string][]int) ledger.Release {
	release := ledger.Release{ID: fmt.Sprintf("%s groups@%d", period, w.revision), Revision: w.revision}
	add := func(key string, value int64, hide bool) {
		if slices.ContainsFunc(release.Cells, func(c ledger.Cell) bool { return c.Key == key }) {
			return
		}
		cell := ledger.Cell{Key: key, Value: value, Status: disclosure.Published}
		if hide {
			cell.Status = disclosure.Secondary
		}
		if value > 0 && value < w.rules.MinimumFrequency {
			cell.Status, cell.Width = disclosure.Primary, w.rules.Width(value)
		}
		release.Cells = append(release.Cells, cell)
		release.Ceiling = max(release.Ceiling, value)
	}
	release.Ceiling = w.sum([]int{m}, func(string, string) bool { return true })
	for _, name := range slices.Sorted(mapKeys(groups)) {
		e := ledger.Equation{Total: key(period, name, "T")}
		for _, p := range groups[name] {
			part := key(period, place(p), "T")
			add(part, w.sum([]int{m}, func(at, _ string) bool { return at == place(p) }), true)
			e.Parts = append(e.Parts, part)
		}
		add(e.Total, w.sum([]int{m}, func(at, _ string) bool {
			return slices.ContainsFunc(groups[name], func(p int) bool { return place(p) == at })
		}), false)
		release.Equations = append(release.Equations, e)
	}
	return release
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// revise changes some figures of a month.
func (w *world) revise(r *rand.Rand, m int) {
	w.revision++
	for range 1 + r.IntN(3) {
		w.leaves[key(month(m), place(r.IntN(w.places)), people(r.IntN(w.peoples)))] = figure(r)
	}
}

// reader is somebody who puts together everything that was shown, and knows nothing of ledgers.
type reader struct {
	number  map[string]int // of a cell since a revision
	system  linear.System
	value   map[int]int64
	ceiling map[int]int64
	shown   map[int]bool
	width   map[int]int64 // of protected cells
}

// unknown returns the number of a cell with its present value.
func (w *world) unknown(key string, value int64) int {
	if before, ok := w.values[key]; !ok || before != value {
		w.values[key], w.touched[key] = value, w.revision
	}
	name := fmt.Sprintf("%s@%d", key, w.touched[key])
	n, ok := w.reader.number[name]
	if !ok {
		n = w.reader.system.Unknowns
		w.reader.system.Unknowns++
		w.reader.number[name] = n
		w.reader.value[n] = value
	}
	return n
}

// show tells the reader of a release.
func (w *world) show(release ledger.Release) {
	for _, c := range release.Cells {
		n := w.unknown(c.Key, c.Value)
		if before, ok := w.reader.ceiling[n]; !ok || release.Ceiling < before {
			w.reader.ceiling[n] = release.Ceiling
		}
		if !c.Status.Suppressed() || c.Known {
			w.reader.shown[n] = true
		} else if c.Width > 0 {
			w.reader.width[n] = max(c.Width, w.reader.width[n])
		}
	}
	for _, e := range release.Equations {
		terms := linear.Equation{{Unknown: w.unknown(e.Total, w.values[e.Total]), Coefficient: 1}}
		for _, p := range e.Parts {
			terms = append(terms, linear.Term{Unknown: w.unknown(p, w.values[p]), Coefficient: -1})
		}
		w.reader.system.Equations = append(w.reader.system.Equations, terms)
	}
}

// findings returns what the reader can compute, and what it knows too closely.
func (k *reader) findings(t testing.TB) []string {
	t.Helper()
	names := make([]string, k.system.Unknowns)
	for name, n := range k.number {
		names[n] = name
	}
	var open []int
	p := linear.Program{System: &k.system, Start: make([]float64, k.system.Unknowns)}
	values := make([]int64, k.system.Unknowns)
	for n := range k.system.Unknowns {
		values[n] = k.value[n]
		p.Start[n] = float64(k.value[n])
		p.Cost = append(p.Cost, 0)
		if k.shown[n] {
			p.Lower, p.Upper = append(p.Lower, p.Start[n]), append(p.Upper, p.Start[n])
			continue
		}
		open = append(open, n)
		p.Lower, p.Upper = append(p.Lower, 0), append(p.Upper, float64(k.ceiling[n]))
	}
	if !k.system.Holds(values) {
		t.Fatal("what was shown does not add up")
	}
	var findings []string
	determined, err := k.system.Determined(open, rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range determined {
		if k.width[n] > 0 {
			findings = append(findings, names[n]+" follows")
		}
	}
	solver, err := linear.NewSolver(&p)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range open {
		if k.width[n] == 0 {
			continue
		}
		end := func(cost float64) float64 {
			solver.SetCost(n, cost)
			s, err := solver.Solve(100_000)
			if err != nil || !s.Optimal {
				t.Fatal(err, s.Optimal)
			}
			return s.X[n]
		}
		low, high := end(1), end(-1)
		solver.SetCost(n, 0)
		if high-low < float64(min(k.width[n], k.ceiling[n]))-1e-6 {
			findings = append(findings, fmt.Sprintf("%s = %d is between %.2f and %.2f, closer than %d", names[n], k.value[n], low, high, k.width[n]))
		}
	}
	return findings
}
