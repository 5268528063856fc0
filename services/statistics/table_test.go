package statistics_test

import (
	"testing"

	"github.com/comity-federation/comity/services/statistics"
)

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
