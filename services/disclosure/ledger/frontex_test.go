package ledger_test

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// detections are counts by month and by route, type of border and citizenship.
type detections map[string]map[[3]string]int64

// shared returns a file beside the repository, and skips the test where it is not there.
func shared(t testing.TB, name string) string {
	t.Helper()
	root := cmp.Or(os.Getenv("COMITY_SHARED"), filepath.Join("..", "..", "..", "..", "shared"))
	path := filepath.Join(root, filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skip("shared data are not here:", err)
	}
	return path
}

// readDetections reads a file with the columns route, type, nat, t and n.
func readDetections(t testing.TB, path string) detections {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	reader := csv.NewReader(unpacked)
	header, err := reader.Read()
	if err != nil {
		t.Fatal(err)
	}
	column := func(name string) int { return slices.Index(header, name) }
	d := detections{}
	for {
		record, err := reader.Read()
		if err == io.EOF { //nolint:errorlint // as it says
			return d
		}
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseFloat(record[column("n")], 64)
		if err != nil {
			continue
		}
		at := record[column("t")][:7]
		if d[at] == nil {
			d[at] = map[[3]string]int64{}
		}
		d[at][[3]string{record[column("route")], record[column("type")], cmp.Or(record[column("nat")], "XXX")}] += int64(n)
	}
}

// synthetic returns months of detections of about the size and shape of those at the outer borders of the Schengen area:
// eight routes, two types of border, a hundred citizenships, half of the counts below 5.
func synthetic(months int) detections {
	r := rand.New(rand.NewPCG(3, 4))
	d := detections{}
	for m := range months {
		counts := map[[3]string]int64{}
		for range 190 {
			nat := int(100 * r.Float64() * r.Float64())
			route := (nat + int(8*r.Float64()*r.Float64()*r.Float64())) % 8
			size := math.Exp(r.NormFloat64()*1.8+1.6) * (1 + 3*math.Exp(-float64(nat)/10))
			counts[[3]string{fmt.Sprintf("R%d", route), []string{"LAND", "SEA"}[(route+r.IntN(5)/4)%2], fmt.Sprintf("N%02d", nat)}] = int64(size) + 1
		}
		d[fmt.Sprintf("%04d-%02d", 2000+m/12, 1+m%12)] = counts
	}
	return d
}

// release returns the table of a period with all its margins, or the one-out ones.
func (d detections) release(t testing.TB, period string, revision int64, rules disclosure.Rules) ledger.Release {
	t.Helper()
	sums := map[[3]string]int64{}
	seen := [3]map[string]bool{{}, {}, {}}
	for at, counts := range d {
		if !strings.HasPrefix(at, period) {
			continue
		}
		for key, n := range counts {
			if n == 0 {
				continue
			}
			for mask := range 8 {
				k := key
				for i := range k {
					seen[i][key[i]] = true
					if mask>>i&1 == 1 {
						k[i] = "T"
					}
				}
				sums[k] += n
			}
		}
	}
	table := &disclosure.Table{}
	for i, id := range []string{"ROUTE", "TYPE", "NAT"} {
		codes := []disclosure.Code{{Code: "T"}}
		for _, code := range slices.Sorted(maps.Keys(seen[i])) {
			codes = append(codes, disclosure.Code{Code: code, Parent: "T"})
		}
		table.Dimensions = append(table.Dimensions, disclosure.Dimension{ID: id, Codes: codes})
	}
	for key, n := range sums {
		table.Cells = append(table.Cells, disclosure.Cell{Key: key[:], Value: n})
	}
	slices.SortFunc(table.Cells, func(a, b disclosure.Cell) int { return slices.Compare(a.Key, b.Key) })
	rules.Apply(table)
	release, err := ledger.FromTable(table, rules, revision, func(c disclosure.Cell) string { return period + "." + c.Name() })
	if err != nil {
		t.Fatal(err)
	}
	release.ID = fmt.Sprintf("%s@%d", period, revision)
	return release
}

// year returns the table of a year, joined with those of its months.
func (d detections) year(t testing.TB, year string, revision int64, rules disclosure.Rules) ledger.Release {
	t.Helper()
	release := d.release(t, year, revision, rules)
	cells := map[string]bool{}
	for at := range d {
		if strings.HasPrefix(at, year) {
			for _, c := range d.release(t, at, revision, rules).Cells {
				cells[c.Key] = true
			}
		}
	}
	for _, c := range release.Cells {
		e := ledger.Equation{Total: c.Key}
		for m := 1; m <= 12; m++ {
			if part := fmt.Sprintf("%s-%02d%s", year, m, strings.TrimPrefix(c.Key, year)); cells[part] {
				e.Parts = append(e.Parts, part)
			}
		}
		release.Equations = append(release.Equations, e)
	}
	return release
}

// tally is what became of many releases.
type tally struct {
	releases, refused, cells, primary, cut int
	value, kept                            float64
	longest                                time.Duration
	total                                  time.Duration
}

func (n *tally) admit(t testing.TB, release ledger.Release, stack ledger.Stack) {
	t.Helper()
	start := time.Now()
	verdict, err := ledger.Admit(t.Context(), []ledger.Stack{stack}, release, options())
	spent := time.Since(start)
	if err != nil {
		n.refused++
		t.Logf("%s refused after %v: %v", release.ID, spent.Round(time.Millisecond), err)
		return
	}
	if err := verdict.Record(t.Context(), []ledger.Stack{stack}); err != nil {
		t.Fatal(err)
	}
	if spent > 3*time.Second {
		t.Logf("%s: %v, %d checked, %d sought, %d iterations, %d cut", release.ID, spent, verdict.Checked, verdict.Sought, verdict.Iterations, len(verdict.Cuts))
	}
	n.releases++
	n.total += spent
	n.longest = max(n.longest, spent)
	n.cut += len(verdict.Cuts)
	for _, c := range verdict.Release.Cells {
		n.cells++
		n.value += float64(c.Value)
		if c.Status == disclosure.Primary {
			n.primary++
		}
		if !c.Status.Suppressed() {
			n.kept += float64(c.Value)
		}
	}
}

func (n *tally) String() string {
	return fmt.Sprintf("%d releases, %d refused, %d cells, %d primary, %d cut, %.1f %% of the value kept, %v on average, %v at most",
		n.releases, n.refused, n.cells, n.primary, n.cut, 100*n.kept/n.value,
		(n.total / time.Duration(max(1, n.releases))).Round(time.Millisecond), n.longest.Round(time.Millisecond))
}

func longOnly(t testing.TB) {
	t.Helper()
	if os.Getenv("COMITY_LONG") == "" {
		t.Skip("COMITY_LONG is not set")
	}
}

func TestAdmit_takes_three_years_of_months_and_their_years(t *testing.T) {
	longOnly(t)
	d := readDetections(t, shared(t, "data/iom_gdidata/frontex.csv.gz"))
	rules := disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}
	stack := ledger.NewMemory()
	var months, years tally
	for year := 2021; year <= 2023; year++ {
		for m := 1; m <= 12; m++ {
			months.admit(t, d.release(t, fmt.Sprintf("%d-%02d", year, m), 1, rules), stack)
		}
		years.admit(t, d.year(t, strconv.Itoa(year), 1, rules), stack)
	}
	t.Log("months:", &months)
	t.Log("years:", &years)
	if months.refused+years.refused > 0 {
		t.Error("a release was refused")
	}
}

func TestAdmit_takes_releases_with_their_revisions(t *testing.T) {
	longOnly(t)
	rules := disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}
	stack := ledger.NewMemory()
	told := map[string]map[string]bool{} // of each month: the cells that were not 0
	for i, name := range []string{
		"frontex__2025-02-07_c32d10c", "frontex__2025-02-10_9179162", "frontex__2025-03-10_d52d10e",
		"frontex__2025-05-15_e66b635", "frontex__2025-06-19_f41c56c",
	} {
		d := readDetections(t, shared(t, "data/vintages/"+name+".csv.gz"))
		var months tally
		for _, at := range slices.Sorted(maps.Keys(d)) {
			if at < "2023" {
				continue
			}
			release := d.release(t, at, int64(i+1), rules)
			now := map[string]bool{}
			for _, c := range release.Cells {
				now[c.Key] = true
			}
			for _, key := range slices.Sorted(maps.Keys(told[at])) {
				if !now[key] {
					release.Cells = append(release.Cells, ledger.Cell{Key: key, Status: disclosure.Empty})
				}
			}
			told[at] = now
			months.admit(t, release, stack)
		}
		t.Logf("%s: %v", name, &months)
		if months.refused > 0 {
			t.Error("a release was refused")
		}
	}
}

// decade returns a stack of ten years of months and of their years.
func decade(t testing.TB, d detections, rules disclosure.Rules) ledger.Stack {
	t.Helper()
	stack := ledger.NewMemory()
	var months, years tally
	for year := 2000; year < 2010; year++ {
		for m := 1; m <= 12; m++ {
			months.admit(t, d.release(t, fmt.Sprintf("%d-%02d", year, m), 1, rules), stack)
		}
		years.admit(t, d.year(t, strconv.Itoa(year), 1, rules), stack)
	}
	t.Log("months:", &months)
	t.Log("years:", &years)
	if months.refused+years.refused > 0 {
		t.Error("a release was refused")
	}
	return stack
}

func BenchmarkAdmit(b *testing.B) {
	longOnly(b)
	rules := disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}
	d := synthetic(11 * 12)
	stack := decade(b, d, rules)
	revised := maps.Clone(d["2009-06"])
	for key, n := range revised {
		if n%5 == 0 {
			revised[key] = n + 1
		}
	}
	later := maps.Clone(d)
	later["2009-06"] = revised
	both := later.release(b, "2009-06", 2, rules)
	year := later.year(b, "2009", 2, rules)
	both.Cells, both.Equations = append(both.Cells, year.Cells...), append(both.Equations, year.Equations...)
	both.Ceiling = year.Ceiling
	for name, release := range map[string]ledger.Release{
		"a month":                           d.release(b, "2010-01", 2, rules),
		"a month again":                     d.release(b, "2009-06", 2, rules),
		"a month's revision":                later.release(b, "2009-06", 2, rules),
		"a month's and its year's revision": both,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := ledger.Admit(b.Context(), []ledger.Stack{stack}, release, options()); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(release.Cells)), "cells")
		})
	}
}
