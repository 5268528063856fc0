// Package risk keeps what a state takes for granted at its borders, and judges it by what was counted there.
//
// An [Assumption] names a rate, how sure its author is of it, and the figures that are its evidence. The figures
// themselves stay with the statistics service: at each judgement they are read there, at one revision, and kept with the
// [Judgement] so that it can be explained and done again.
package risk

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/risk/belief"
)

// AssumptionID names an assumption: lower-case letters, digits and hyphens, at most 63, not beginning with a hyphen.
type AssumptionID string

// ParseAssumptionID reads an id.
func ParseAssumptionID(text string) (AssumptionID, error) {
	if !idPattern.MatchString(text) {
		return "", fmt.Errorf("%q is not of lower-case letters, digits and hyphens, at most 63, beginning with a letter or digit", text)
	}
	return AssumptionID(text), nil
}

// Assumption is what a border measure takes for granted. It never changes: who thinks better of it registers another.
type Assumption struct {
	ID          AssumptionID
	Title       string // what is assumed, in a sentence
	Rationale   string // why
	Author      string
	AssumedRate float64 // λ₀, events a period of the evidence's frequency
	Strength    float64 // s, as many pseudo-events as the author claims to have seen
	Tolerance   float64 // δ, the relative deviation that is still as assumed
	Evidence    Evidence
	CreateTime  time.Time
}

// Evidence names the figures that count: one series, in a window of periods.
type Evidence struct {
	Dataflow string // "AGENCY:ID(VERSION)"; without the version, the latest
	Key      string // one code for each dimension in order, separated by "."; the first is the frequency
	Provider string // whose figures; empty: the state's own if it has any, else a partner's
	Start    string // the first period of the window
	End      string // the last, itself included
}

var (
	idPattern       = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)
	dataflowPattern = regexp.MustCompile(`^[A-Za-z][\w.-]*:[A-Za-z][\w-]*(\(\d+(\.\d+){0,2}\))?$`)
)

// Bounds of what is kept. A window of 10,000 days is 27 years.
const (
	longestTitle     = 300
	longestRationale = 10_000
	longestName      = 200
	longestWindow    = 10_000
)

// Check reports the first field that is not as it must be, by its name in JSON.
func (a Assumption) Check() error {
	if _, err := ParseAssumptionID(string(a.ID)); err != nil {
		return fault.InvalidField("assumptionId", "%v", err)
	}
	if strings.TrimSpace(a.Title) == "" {
		return fault.InvalidField("title", "is empty; say in a sentence what is assumed")
	}
	for _, text := range []struct {
		field, value string
		longest      int
	}{
		{"title", a.Title, longestTitle},
		{"rationale", a.Rationale, longestRationale},
		{"author", a.Author, longestName},
		{"evidence.provider", a.Evidence.Provider, longestName},
	} {
		if len(text.value) > text.longest {
			return fault.InvalidField(text.field, "has %d bytes, at most %d are kept", len(text.value), text.longest)
		}
		if strings.ContainsRune(text.value, 0) {
			return fault.InvalidField(text.field, "has a zero byte in it")
		}
	}
	question := belief.Question{
		AssumedRate: a.AssumedRate, Strength: a.Strength, Tolerance: a.Tolerance, Events: 0, Exposure: 1,
	}
	if err := question.Check(); err != nil {
		return err
	}
	_, err := a.Evidence.Window()
	return err
}

// Codes returns the codes of the key, one for each dimension. A key that leaves a dimension open, or names several codes
// for one, is more than one series, and invalid.
func (e Evidence) Codes() ([]string, error) {
	codes := strings.Split(e.Key, ".")
	for i, code := range codes {
		switch {
		case code == "" || code == "*":
			return nil, fault.InvalidField("evidence.key",
				"%q leaves dimension %d open; evidence is one series, so each dimension has a code (_T for the total)", e.Key, i+1)
		case strings.ContainsAny(code, "+,"):
			return nil, fault.InvalidField("evidence.key",
				"%q names several codes for dimension %d; evidence is one series", e.Key, i+1)
		case strings.ContainsFunc(code, func(r rune) bool { return r <= ' ' || r == 0x7f }):
			return nil, fault.InvalidField("evidence.key", "%q has white space in dimension %d", e.Key, i+1)
		}
	}
	return codes, nil
}

// Window returns the periods from Start to End, at most 10,000. They are of the key's frequency.
func (e Evidence) Window() ([]period.Period, error) {
	if !dataflowPattern.MatchString(e.Dataflow) {
		return nil, fault.InvalidField("evidence.dataflow", "%q is not of the form AGENCY:ID(VERSION)", e.Dataflow)
	}
	codes, err := e.Codes()
	if err != nil {
		return nil, err
	}
	if len(codes[0]) != 1 || !strings.Contains(period.Frequencies, codes[0]) {
		return nil, fault.InvalidField("evidence.key", "%q begins with the frequency %q, not with A, Q, M, W or D", e.Key, codes[0])
	}
	frequency := period.Frequency(codes[0][0])
	start, err := e.limit("evidence.startPeriod", e.Start, frequency)
	if err != nil {
		return nil, err
	}
	end, err := e.limit("evidence.endPeriod", e.End, frequency)
	if err != nil {
		return nil, err
	}
	periods := int(end.Index-start.Index) + 1
	if periods < 1 {
		return nil, fault.InvalidField("evidence.endPeriod", "%s is before the start of the window, %s", end, start)
	}
	if periods > longestWindow {
		return nil, fault.InvalidField("evidence.endPeriod",
			"%s to %s are %d periods, a window has at most %d", start, end, periods, longestWindow)
	}
	window := make([]period.Period, periods)
	for i := range window {
		window[i] = frequency.Period(start.Index + int32(i))
	}
	return window, nil
}

func (e Evidence) limit(field, text string, frequency period.Frequency) (period.Period, error) {
	p, err := period.Parse(text)
	if err != nil {
		return period.Period{}, fault.InvalidField(field, "%v", err)
	}
	if p.Frequency != frequency {
		return period.Period{}, fault.InvalidField(field, "%q is not of the frequency %c that the key %q begins with", text, frequency, e.Key)
	}
	return p, nil
}
