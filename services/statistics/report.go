package statistics

import "fmt"

// MaxFindings is how many findings a report keeps. Those beyond are counted.
const MaxFindings = 1000

// Report collects the findings about one submission. It keeps the first [MaxFindings] of them, so that a file in which
// every line is wrong takes no more memory than one in which a few are. The zero Report is empty and ready.
type Report struct {
	findings []Finding
	omitted  int
	cut      bool // the reader stopped when the report was full
	blocking bool
}

// Add adds a finding.
func (r *Report) Add(f Finding) {
	r.blocking = r.blocking || f.Severity == Blocking && !f.Overridden
	if len(r.findings) >= MaxFindings {
		r.omitted++
		return
	}
	r.findings = append(r.findings, f)
}

// Blocking reports whether any finding, kept or not, rejects the submission.
func (r *Report) Blocking() bool { return r.blocking }

// Full reports whether further findings are only counted, so that a reader may stop early.
func (r *Report) Full() bool { return len(r.findings) >= MaxFindings }

// Findings returns what was kept, in the order in which it was added; where some were not, a last one says how many.
func (r *Report) Findings() []Finding {
	findings := r.findings[:len(r.findings):len(r.findings)]
	if r.omitted == 0 && !r.cut {
		return findings
	}
	severity := Note
	if r.blocking {
		severity = Blocking
	}
	message := fmt.Sprintf("%d further findings are not listed", r.omitted)
	if r.cut {
		message = fmt.Sprintf("more than %d findings: the rest of the upload was not looked at", MaxFindings)
	}
	return append(findings, Finding{Rule: "MORE_FINDINGS", Severity: severity, Message: message})
}
