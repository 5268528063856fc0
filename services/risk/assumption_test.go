package risk

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/fault"
)

// boats is an assumption that is as it must be.
func boats() Assumption {
	return Assumption{
		ID: "small-boats", Title: "250 a quarter", Author: "analysis unit", AssumedRate: 250, Strength: 10, Tolerance: 0.25,
		Evidence: Evidence{
			Dataflow: "COMITY:BORDER(1.0.0)", Key: "Q.GB.1A._T._T.ALB._T._T.BOAT", Start: "2021-Q3", End: "2022-Q2",
		},
	}
}

func TestCheckNamesTheFieldThatIsWrong(t *testing.T) {
	if err := boats().Check(); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		field  string
		change func(*Assumption)
	}{
		"no id":              {"assumptionId", func(a *Assumption) { a.ID = "" }},
		"capitals in the id": {"assumptionId", func(a *Assumption) { a.ID = "Boats" }},
		"an id of 64":        {"assumptionId", func(a *Assumption) { a.ID = AssumptionID(strings.Repeat("a", 64)) }},
		"a colon in the id":  {"assumptionId", func(a *Assumption) { a.ID = "a:b" }},
		"a blank title":      {"title", func(a *Assumption) { a.Title = " \n" }},
		"a long title":       {"title", func(a *Assumption) { a.Title = strings.Repeat("a", 301) }},
		"a zero byte":        {"rationale", func(a *Assumption) { a.Rationale = "a\x00b" }},
		"no rate":            {"assumedRate", func(a *Assumption) { a.AssumedRate = 0 }},
		"an infinite rate":   {"assumedRate", func(a *Assumption) { a.AssumedRate = math.Inf(1) }},
		"negative strength":  {"strength", func(a *Assumption) { a.Strength = -1 }},
		"no tolerance":       {"tolerance", func(a *Assumption) { a.Tolerance = math.NaN() }},
		"no dataflow":        {"evidence.dataflow", func(a *Assumption) { a.Evidence.Dataflow = "BORDER" }},
		"an open dimension":  {"evidence.key", func(a *Assumption) { a.Evidence.Key = "Q.GB..ALB" }},
		"a wildcard":         {"evidence.key", func(a *Assumption) { a.Evidence.Key = "Q.GB.*" }},
		"several codes":      {"evidence.key", func(a *Assumption) { a.Evidence.Key = "Q.GB+US.1A" }},
		"no frequency":       {"evidence.key", func(a *Assumption) { a.Evidence.Key = "GB.Q" }},
		"an unknown one":     {"evidence.key", func(a *Assumption) { a.Evidence.Key = "H.GB" }},
		"no start":           {"evidence.startPeriod", func(a *Assumption) { a.Evidence.Start = "" }},
		"months in quarters": {"evidence.startPeriod", func(a *Assumption) { a.Evidence.Start = "2021-07" }},
		"an end before":      {"evidence.endPeriod", func(a *Assumption) { a.Evidence.End = "2021-Q2" }},
		"a window too wide": {"evidence.endPeriod", func(a *Assumption) {
			a.Evidence.Key, a.Evidence.Start, a.Evidence.End = "D.GB", "1990-01-01", "2020-01-01"
		}},
	} {
		a := boats()
		c.change(&a)
		var f *fault.Error
		if err := a.Check(); !errors.As(err, &f) || f.Kind != fault.Invalid || len(f.Violations) != 1 || f.Violations[0].Field != c.field {
			t.Errorf("%s: error is %v, want an invalid %s", name, err, c.field)
		}
	}
}

func TestWindowHasEachPeriodOnce(t *testing.T) {
	window, err := boats().Evidence.Window()
	if err != nil {
		t.Fatal(err)
	}
	var texts []string
	for _, p := range window {
		texts = append(texts, p.String())
	}
	if got, want := strings.Join(texts, " "), "2021-Q3 2021-Q4 2022-Q1 2022-Q2"; got != want {
		t.Errorf("window is %s, want %s", got, want)
	}
}
