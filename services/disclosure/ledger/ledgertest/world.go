// Package ledgertest plays random sequences of releases to several audiences, wherever their ledgers are kept, and reads
// along as each audience could.
package ledgertest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// World is figures by month, place and citizenship that change over time. Keys of cells are such as "2024-01.A.c00"; a
// total is "T", and the period of all months "2024".
type World struct {
	Rules    disclosure.Rules
	Revision int64
	Months   int
	Places   int
	Peoples  int
	leaves   map[[3]int]int64
}

// New returns a world of random figures, of which more than half are below 4, in at most 26 places.
func New(r *rand.Rand, months, places, peoples int) *World {
	w := &World{
		Rules: disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}, Revision: 1,
		Months: months, Places: places, Peoples: peoples, leaves: map[[3]int]int64{},
	}
	for m := range months {
		for p := range places {
			for c := range peoples {
				w.leaves[[3]int{m, p, c}] = figure(r)
			}
		}
	}
	return w
}

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

// Year is the period of all months.
const Year = "2024"

// Month returns the name of a month.
func Month(m int) string { return fmt.Sprintf("%s-%02d", Year, m+1) }

func place(p int) string         { return string("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[p]) }
func people(c int) string        { return fmt.Sprintf("c%02d", c) }
func key(codes ...string) string { return strings.Join(codes, ".") }

// months returns the numbers of the months of a period.
func (w *World) months(period string) []int {
	var months []int
	for m := range w.Months {
		if strings.HasPrefix(Month(m), period) {
			months = append(months, m)
		}
	}
	return months
}

// sum returns the figure of a period for those places and citizenships; nil: all.
func (w *World) sum(period string, places, peoples []int) int64 {
	var sum int64
	for _, m := range w.months(period) {
		for p := range w.Places {
			for c := range w.Peoples {
				if (places == nil || slices.Contains(places, p)) && (peoples == nil || slices.Contains(peoples, c)) {
					sum += w.leaves[[3]int{m, p, c}]
				}
			}
		}
	}
	return sum
}

// Revise changes some figures of a month.
func (w *World) Revise(r *rand.Rand, m int) {
	w.Revision++
	for range 1 + r.IntN(3) {
		w.leaves[[3]int{m, r.IntN(w.Places), r.IntN(w.Peoples)}] = figure(r)
	}
}

// Table returns the release of a period by place and citizenship, with primary cells withheld and nothing else. Without
// citizenships it is by place alone.
func (w *World) Table(t testing.TB, period string, byPeople bool) ledger.Release {
	t.Helper()
	dimensions := []disclosure.Dimension{{ID: "PLACE", Codes: []disclosure.Code{{Code: "T"}}}, {ID: "PEOPLE", Codes: []disclosure.Code{{Code: "T"}}}}
	for p := range w.Places {
		dimensions[0].Codes = append(dimensions[0].Codes, disclosure.Code{Code: place(p), Parent: "T"})
	}
	if byPeople {
		for c := range w.Peoples {
			dimensions[1].Codes = append(dimensions[1].Codes, disclosure.Code{Code: people(c), Parent: "T"})
		}
	}
	table := &disclosure.Table{Dimensions: dimensions}
	only := func(k int) []int { // of code k of a dimension
		if k == 0 {
			return nil
		}
		return []int{k - 1}
	}
	for p, at := range dimensions[0].Codes {
		for c, of := range dimensions[1].Codes {
			table.Cells = append(table.Cells, disclosure.Cell{
				Key: []string{at.Code, of.Code}, Value: w.sum(period, only(p), only(c)), Status: disclosure.Published,
			})
		}
	}
	w.Rules.Apply(table)
	release, err := ledger.FromTable(table, nil, w.Rules, w.Revision, func(c disclosure.Cell) string { return key(period, c.Name()) })
	if err != nil {
		t.Fatal(err)
	}
	release.ID = fmt.Sprintf("%s@%d", period, w.Revision)
	return release
}

// Join adds what makes the cells of the year the sums of their months, as far as the release has either.
func (w *World) Join(release *ledger.Release) {
	suffixes := map[string]bool{}
	for _, c := range release.Cells {
		_, suffix, _ := strings.Cut(c.Key, ".")
		suffixes[suffix] = true
	}
	for _, suffix := range slices.Sorted(maps.Keys(suffixes)) {
		var places, peoples []int
		for p := range w.Places {
			if strings.HasPrefix(suffix, place(p)+".") {
				places = []int{p}
			}
		}
		for c := range w.Peoples {
			if strings.HasSuffix(suffix, "."+people(c)) {
				peoples = []int{c}
			}
		}
		e := ledger.Equation{Total: key(Year, suffix)}
		w.hide(release, e.Total, w.sum(Year, places, peoples))
		for m := range w.Months {
			part := key(Month(m), suffix)
			w.hide(release, part, w.sum(Month(m), places, peoples))
			e.Parts = append(e.Parts, part)
		}
		release.Equations = append(release.Equations, e)
	}
}

// hide adds a cell that is not shown, unless the release has it.
func (w *World) hide(release *ledger.Release, key string, value int64) {
	if slices.ContainsFunc(release.Cells, func(c ledger.Cell) bool { return c.Key == key }) {
		return
	}
	release.Cells = append(release.Cells, w.cell(key, value, true))
	release.Ceiling = max(release.Ceiling, value)
}

func (w *World) cell(key string, value int64, hide bool) ledger.Cell {
	c := ledger.Cell{Key: key, Value: value, Status: disclosure.Published, Single: value == 1}
	switch {
	case value > 0 && value < w.Rules.MinimumFrequency:
		c.Status, c.Width = disclosure.Primary, w.Rules.Width(value)
	case hide:
		c.Status = disclosure.Secondary
	}
	return c
}

// Areas returns the totals of a period for areas that overlap, as sums of places that are not shown in it.
func (w *World) Areas(period string) ledger.Release {
	release := ledger.Release{
		ID: fmt.Sprintf("%s by area@%d", period, w.Revision), Revision: w.Revision, Ceiling: w.sum(period, nil, nil),
	}
	areas := map[string][]int{"T": {}, "AB": {0, 1}}
	for p := range w.Places {
		areas["T"] = append(areas["T"], p)
	}
	if w.Places > 2 {
		areas["BC"] = []int{1, 2}
	}
	for _, name := range slices.Sorted(maps.Keys(areas)) {
		e := ledger.Equation{Total: key(period, name, "T")}
		release.Cells = append(release.Cells, w.cell(e.Total, w.sum(period, areas[name], nil), false))
		for _, p := range areas[name] {
			part := key(period, place(p), "T")
			w.hide(&release, part, w.sum(period, []int{p}, nil))
			e.Parts = append(e.Parts, part)
		}
		release.Equations = append(release.Equations, e)
	}
	return release
}
