package statistics_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/statistics"
)

func TestDiff(t *testing.T) {
	t.Parallel()
	t.Run("it turns the old table into the new one", func(t *testing.T) {
		t.Parallel()
		rapid.Check(t, func(t *rapid.T) {
			draw := func(table *statistics.Table, name string) {
				for _, code := range []string{"a", "b", "c"} {
					for _, period := range []string{"2024-01", "2024-02", "2024-03"} {
						if value := rapid.IntRange(0, 3).Draw(t, name+code+period); value > 0 {
							put(t, table, period, float64(value), "M", code)
						}
					}
				}
			}
			old := statistics.NewTable(structure("D"))
			now := old.Empty()
			draw(old, "old")
			draw(now, "now")
			changes := statistics.Diff(old, now)
			patched, count := figures(old), 0
			for key, text := range figures(changes.Table()) {
				count++
				if text == "0 \x00 \x00" {
					delete(patched, key)
				} else if patched[key] == text {
					t.Fatalf("%s = %s is no change", key, text)
				} else {
					patched[key] = text
				}
			}
			if diff := cmp.Diff(figures(now), patched); diff != "" {
				t.Fatalf("the old table with the changes (-new +changed):\n%s", diff)
			}
			if changes.Len() != count {
				t.Fatalf("Len() = %d, want %d", changes.Len(), count)
			}
		})
	})
}

func TestReport(t *testing.T) {
	t.Parallel()
	t.Run("it keeps a thousand findings, counts the rest, and knows what blocks", func(t *testing.T) {
		t.Parallel()
		var report statistics.Report
		for range statistics.MaxFindings {
			report.Add(statistics.Finding{Rule: "R", Severity: statistics.Note})
		}
		if report.Blocking() || len(report.Findings()) != statistics.MaxFindings {
			t.Errorf("blocking %v, %d findings", report.Blocking(), len(report.Findings()))
		}
		report.Add(statistics.Finding{Rule: "R", Severity: statistics.Blocking})
		findings := report.Findings()
		last := findings[len(findings)-1]
		if !report.Blocking() || len(findings) != statistics.MaxFindings+1 || last.Rule != "MORE_FINDINGS" || last.Severity != statistics.Blocking {
			t.Errorf("blocking %v, last finding %v", report.Blocking(), last)
		}
	})
}
