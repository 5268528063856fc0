package ledger_test

import (
	"cmp"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/disclosure/ledger/ledgertest"
)

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
func readDetections(t testing.TB, path string) ledgertest.Detections {
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
	d := ledgertest.Detections{}
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

// table fails the test on an error.
func table(t testing.TB) func(ledger.Release, error) ledger.Release {
	t.Helper()
	return func(release ledger.Release, err error) ledger.Release {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return release
	}
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
			months.admit(t, table(t)(d.Release(fmt.Sprintf("%d-%02d", year, m), 1, rules)), stack)
		}
		years.admit(t, table(t)(d.Year(strconv.Itoa(year), 1, rules)), stack)
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
			release := table(t)(d.Release(at, int64(i+1), rules))
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

func BenchmarkAdmit(b *testing.B) {
	longOnly(b)
	decade, err := ledgertest.NewDecade(b.Context(), ledgertest.InMemory())
	if err != nil {
		b.Fatal(err)
	}
	b.Log(decade)
	for _, step := range decade.Steps() {
		b.Run(step.Name, func(b *testing.B) {
			for b.Loop() {
				if err := step.Decide(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
