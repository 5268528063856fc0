package disclosure_test

import (
	"bytes"
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/specimen"
)

// proved audits a table by the points of its result alone, without looking for wider intervals.
func proved(t *testing.T, r *disclosure.Result, rules disclosure.Rules) *disclosure.Report {
	t.Helper()
	stop := make(chan struct{})
	close(stop)
	report, err := disclosure.Audit(t.Context(), r.Table, rules, disclosure.Auditing{
		Stop: stop, Points: r.Points, Random: bytes.NewReader(make([]byte, 256)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// published returns the table of an example from a directory of published files: one that COMITY_SHARED names, or the one
// that lies beside the repository.
func published(t *testing.T, s specimen.Example) *disclosure.Table {
	t.Helper()
	directory := cmp.Or(os.Getenv("COMITY_SHARED"), filepath.Join("..", "..", "..", "shared"))
	table, err := s.Read(os.DirFS(filepath.Join(directory, "data")))
	if errors.Is(err, fs.ErrNotExist) {
		t.Skipf("the published tables are not here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// The bounds are 1.05 times the best cost that is known, with regard to single contributors and, for the smaller tables,
// without.
func TestProtectKeepsPublishedTablesSafeAndItsCostLow(t *testing.T) {
	if !long() {
		t.Skip("it takes minutes; COMITY_LONG=1 runs it")
	}
	for k, bound := range [][2]int64{{2_216, 2_086}, {44_472, 42_507}, {138_652, 0}, {571_810, 0}, {20_510, 0}} {
		p := specimen.Tables()[k]
		t.Run(p.Name, func(t *testing.T) {
			table := published(t, p)
			for n, ignore := range []bool{false, true} {
				if bound[n] == 0 {
					continue
				}
				start := time.Now()
				r, err := disclosure.Protect(t.Context(), table, p.Rules, disclosure.Options{IgnoreSingletons: ignore})
				if err != nil {
					t.Fatal(err)
				}
				took := time.Since(start)
				var memory runtime.MemStats
				runtime.ReadMemStats(&memory)
				t.Logf("%d cells, %d secondary with a sum of %d; kept are %.1f %% of the cells, %.1f %% of the value; %d points, %s, %d MiB; single contributors ignored: %v",
					len(table.Cells), r.SecondaryCount, r.SecondaryValue, 100*shown(r.Table), 100*r.Kept, len(r.Points), took.Round(time.Millisecond), memory.Sys>>20, ignore)
				if r.SecondaryValue > bound[n] {
					t.Errorf("the cost is %d, the bound %d", r.SecondaryValue, bound[n])
				}
				if memory.Sys > 256<<20 {
					t.Errorf("it took %d MiB", memory.Sys>>20)
				}
				report := proved(t, r, p.Rules)
				if len(report.Computable) > 0 || len(report.Exposed) > 0 || len(report.Narrow) > 0 || !ignore && len(report.Singletons) > 0 {
					t.Errorf("the audit finds %d computable, %d exposed, %d narrow, %d known to a contributor",
						len(report.Computable), len(report.Exposed), len(report.Narrow), len(report.Singletons))
				}
			}
		})
	}
}

// shown returns the share of the cells that are shown.
func shown(t *disclosure.Table) float64 {
	n := 0
	for _, c := range t.Cells {
		if !c.Status.Suppressed() {
			n++
		}
	}
	return float64(n) / float64(len(t.Cells))
}

func TestProtectCoarsensAPublishedTableThatWouldKeepTooLittle(t *testing.T) {
	if !long() {
		t.Skip("it takes a minute; COMITY_LONG=1 runs it")
	}
	p := specimen.Tables()[4]
	r, err := disclosure.Protect(t.Context(), published(t, p), p.Rules, disclosure.Options{
		Quick: true, MinimumKept: 0.8, Coarsenings: []disclosure.Coarsening{{Dimension: "Nationality"}, {Dimension: "Exploitation type"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("coarsened by %v, %.1f %% of the value kept", r.Coarsened, 100*r.Kept)
	if len(r.Coarsened) == 0 || r.Kept < 0.8 || !proved(t, r, p.Rules).Clean {
		t.Errorf("coarsened by %v, %.1f %% of the value kept", r.Coarsened, 100*r.Kept)
	}
}
