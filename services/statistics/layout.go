package statistics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

// frequencyID is the dimension that every data structure begins with.
const frequencyID = "FREQ"

// The forms in which a file may write a period.
const (
	formatYear    = "YYYY"
	formatQuarter = "YYYY Q"
	formatMonth   = "YYYY-MM"
	formatDay     = "YYYY-MM-DD"
)

// periodFormats names the frequencies that a form of period can tell apart: a day falls in a period of any frequency,
// a year only in one that is a year long.
var periodFormats = map[string]string{
	formatYear:    "A",
	formatQuarter: "AQ",
	formatMonth:   "AQM",
	formatDay:     "AQMWD",
}

// Check reports every way in which l does not fit the data structure, as one fault with a violation for each field.
// Each dimension must be filled exactly once, by a column or a constant; so must OBS_VALUE, by a column. Attributes
// may be left out.
func (l Layout) Check(s *DataStructure) error {
	var violations violations
	if l.ID == "" || strings.ContainsAny(l.ID, ":/") {
		violations.add("layout.id", "%q is not an id: it is empty or has a colon or a slash", l.ID)
	}
	if !validDelimiter(l.Delimiter) {
		violations.add("layout.delimiter", "%q is not one character that can separate cells", l.Delimiter)
	}
	l.checkComponents(s, &violations)
	l.checkPeriod(s, &violations)
	if l.Duplicates > SumDuplicates {
		violations.add("layout.duplicates", "rule %d is not known", l.Duplicates)
	}
	return violations.fault("layout " + l.ID + " does not fit the data structure " + s.Ref.String())
}

// checkComponents looks at what the columns and constants fill.
func (l Layout) checkComponents(s *DataStructure, violations *violations) {
	known := map[string]bool{block.ObsValue: true}
	for _, c := range slices.Concat(s.Dimensions, s.Attributes) {
		known[c.ID] = true
	}
	filledBy := map[string]string{}
	fill := func(field, component string) {
		switch before, twice := filledBy[component]; {
		case !known[component]:
			violations.add(field, "%q is no component of %s", component, s.Ref)
		case twice:
			violations.add(field, "%s is filled by %s already", component, before)
		}
		filledBy[component] = field
	}
	headers := map[string]bool{}
	for i, column := range l.Columns {
		field := fmt.Sprintf("layout.columns[%d]", i)
		if column.Header == "" {
			violations.add(field+".header", "is empty")
		} else if headers[column.Header] {
			violations.add(field+".header", "%q stands twice", column.Header)
		}
		headers[column.Header] = true
		if column.Component == "" {
			continue
		}
		fill(field+".component", column.Component)
		if _, ok := parseFigure(column.Blank); column.Component == block.ObsValue && column.Blank != "" && !ok {
			violations.add(field+".blank", "%q is not a number", column.Blank)
		}
	}
	for _, component := range slices.Sorted(maps.Keys(l.Constants)) {
		field := "layout.constants." + component
		if component == block.ObsValue {
			violations.add(field, "a figure cannot be a constant")
			continue
		}
		fill(field, component)
		if l.Constants[component] == "" {
			violations.add(field, "is empty")
		}
	}
	if filledBy[block.ObsValue] == "" {
		violations.add("layout.columns", "no column fills %s", block.ObsValue)
	}
	for _, dimension := range s.Dimensions {
		if filledBy[dimension.ID] == "" {
			violations.add("layout.columns", "no column or constant fills the dimension %s", dimension.ID)
		}
	}
}

// checkPeriod looks at how TIME_PERIOD comes about.
func (l Layout) checkPeriod(s *DataStructure, violations *violations) {
	frequencies, ok := periodFormats[l.Period.Format]
	if !ok {
		violations.add("layout.period.format", "%q is not one of %s", l.Period.Format, quotedList(slices.Sorted(maps.Keys(periodFormats))))
	}
	if len(l.Period.Headers) == 0 {
		violations.add("layout.period.headers", "no column holds the period")
	}
	for i, header := range l.Period.Headers {
		if header == "" || slices.Contains(l.Period.Headers[:i], header) {
			violations.add(fmt.Sprintf("layout.period.headers[%d]", i), "%q is empty or stands twice", header)
		}
	}
	if len(s.Dimensions) == 0 || s.Dimensions[0].ID != frequencyID {
		violations.add("layout.dataflow", "the first dimension of %s is not %s", s.Ref, frequencyID)
	}
	if frequency, constant := l.Constants[frequencyID]; ok && constant && !oneOf(frequencies, frequency) {
		violations.add("layout.constants."+frequencyID, "periods of the form %q have no frequency %q, but one of %s", l.Period.Format, frequency, strings.Join(strings.Split(frequencies, ""), ", "))
	}
}

// oneOf reports whether the code is a single letter of the letters.
func oneOf(letters, code string) bool { return len(code) == 1 && strings.Contains(letters, code) }

func validDelimiter(delimiter string) bool {
	r, size := utf8.DecodeRuneInString(delimiter)
	return delimiter == "" || size == len(delimiter) && r != utf8.RuneError && !strings.ContainsRune("\"\r\n\x00", r)
}

// quotedList returns the texts in quotes, with commas between.
func quotedList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = fmt.Sprintf("%q", text)
	}
	return strings.Join(quoted, ", ")
}

// violations collects what is wrong with the fields of a request.
type violations []fault.Violation

func (v *violations) add(field, format string, args ...any) {
	*v = append(*v, fault.Violation{Field: field, Description: fmt.Sprintf(format, args...)})
}

// fault returns the violations as one error, or nil where there are none.
func (v violations) fault(message string) error {
	if len(v) == 0 {
		return nil
	}
	e := fault.New(fault.Invalid, "INVALID_REQUEST", "%s: %s: %s", message, v[0].Field, v[0].Description)
	e.Violations = v
	return e
}
