package tck

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
)

// Outcome says what came of a case.
type Outcome uint8

// The outcomes.
const (
	Passed Outcome = iota + 1
	Failed
	Skipped // it could not be tried
	Unasked // nobody asked for it
)

// Result is what came of a case.
type Result struct {
	Case
	Outcome Outcome
	Why     string // of what did not pass
	Took    time.Duration
}

func newResult(c Case, err error, took time.Duration) Result {
	r := Result{Case: c, Outcome: Passed, Took: took}
	if err == nil {
		return r
	}
	r.Outcome, r.Why = Failed, err.Error()
	if s, ok := errors.AsType[*skip](err); ok {
		r.Outcome = Skipped
		if s.unasked {
			r.Outcome = Unasked
		}
	}
	return r
}

// Report is what came of all cases.
type Report struct {
	State   string // of the node
	Address string
	Begin   time.Time
	Took    time.Duration
	Results []Result
}

// Count returns how many cases of the level had the outcome.
func (r *Report) Count(level Level, outcome Outcome) int {
	n := 0
	for _, result := range r.Results {
		if result.Level == level && result.Outcome == outcome {
			n++
		}
	}
	return n
}

// Verdict returns nil where the node keeps all that is required, of what was asked for. What could not be tried is not
// kept.
func (r *Report) Verdict() error {
	if len(r.Results) == 0 {
		return errors.New("no case was run")
	}
	failed, skipped := r.Count(Required, Failed), r.Count(Required, Skipped)
	switch {
	case failed > 0:
		return fmt.Errorf("the node of %s does not conform: %d required cases failed, and %d could not be tried", r.State, failed, skipped)
	case skipped > 0:
		return fmt.Errorf("whether the node of %s conforms is open: %d required cases could not be tried", r.State, skipped)
	}
	return nil
}

// WriteTAP writes the report in the Test Anything Protocol, version 14. A case that is recommended and failed is
// marked TODO, so that a harness does not count it as a failure.
func (r *Report) WriteTAP(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "TAP version 14\n# comity.exchange.v1 at %s, the node of %s\n1..%d\n", r.Address, r.State, len(r.Results))
	for i, result := range r.Results {
		status, directive := "ok", ""
		switch result.Outcome {
		case Failed:
			status = "not ok"
			if result.Level == Recommended {
				directive = " # TODO recommended, not required"
			}
		case Skipped, Unasked:
			directive = " # SKIP " + escapeTAP(oneLine(result.Why))
		case Passed:
		}
		fmt.Fprintf(&text, "%s %d - %s: the node %s%s\n", status, i+1, result.ID, escapeTAP(result.Expected), directive)
		if result.Outcome == Failed {
			fmt.Fprintf(&text, "  ---\n  message: %q\n  level: %s\n", oneLine(result.Why), result.Level)
			if len(result.Faults) > 0 {
				fmt.Fprintf(&text, "  faults: [%s]\n", strings.Join(result.Faults, ", "))
			}
			fmt.Fprintf(&text, "  duration_ms: %d\n  ...\n", result.Took.Milliseconds())
		}
	}
	_, err := io.WriteString(w, text.String())
	return err
}

// oneLine returns the text on one line.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// escapeTAP escapes what begins a directive.
func escapeTAP(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), "#", `\#`)
}

// The elements of JUnit's XML that everybody reads.
type (
	junitSuites struct {
		XMLName  xml.Name     `xml:"testsuites"`
		Name     string       `xml:"name,attr"`
		Tests    int          `xml:"tests,attr"`
		Failures int          `xml:"failures,attr"`
		Skipped  int          `xml:"skipped,attr"`
		Time     string       `xml:"time,attr"`
		Suites   []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name      string      `xml:"name,attr"`
		Tests     int         `xml:"tests,attr"`
		Failures  int         `xml:"failures,attr"`
		Skipped   int         `xml:"skipped,attr"`
		Time      string      `xml:"time,attr"`
		Timestamp string      `xml:"timestamp,attr"`
		Cases     []junitCase `xml:"testcase"`
		took      time.Duration
	}
	junitCase struct {
		Class      string          `xml:"classname,attr"`
		Name       string          `xml:"name,attr"`
		Time       string          `xml:"time,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Failure    *junitFailure   `xml:"failure"`
		Skipped    *junitSkipped   `xml:"skipped"`
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitFailure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	junitSkipped struct {
		Message string `xml:"message,attr"`
	}
)

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }

// WriteJUnit writes the report as JUnit's XML, a suite for each category. A case that is recommended and failed is
// among the skipped ones, with what went wrong, so that a harness does not count it as a failure.
func (r *Report) WriteJUnit(w io.Writer) error {
	all := junitSuites{Name: "comity.exchange.v1 at " + r.Address, Time: seconds(r.Took)}
	for _, result := range r.Results {
		at := slices.IndexFunc(all.Suites, func(s junitSuite) bool { return s.Name == result.Category() })
		if at < 0 {
			at = len(all.Suites)
			all.Suites = append(all.Suites, junitSuite{Name: result.Category(), Timestamp: r.Begin.UTC().Format("2006-01-02T15:04:05")})
		}
		suite := &all.Suites[at]
		c := junitCase{
			Class: "comity.exchange.v1." + result.Category(), Name: result.ID, Time: seconds(result.Took),
			Properties: []junitProperty{{"expected", "the node " + result.Expected}, {"level", result.Level.String()}},
		}
		if len(result.Faults) > 0 {
			c.Properties = append(c.Properties, junitProperty{"faults", strings.Join(result.Faults, " ")})
		}
		switch {
		case result.Outcome == Failed && result.Level == Required:
			c.Failure = &junitFailure{Message: oneLine(result.Why), Text: result.Why}
			suite.Failures++
			all.Failures++
		case result.Outcome == Failed:
			c.Skipped = &junitSkipped{Message: "recommended, and failed: " + oneLine(result.Why)}
		case result.Outcome != Passed:
			c.Skipped = &junitSkipped{Message: oneLine(result.Why)}
		}
		if c.Skipped != nil {
			suite.Skipped++
			all.Skipped++
		}
		suite.Cases = append(suite.Cases, c)
		suite.Tests++
		all.Tests++
		suite.took += result.Took
		suite.Time = seconds(suite.took)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	encoder := xml.NewEncoder(w)
	encoder.Indent("", "  ")
	if err := encoder.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
