package statistics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
)

// frequencyID is the dimension that every data structure begins with.
const frequencyID = "FREQ"

// What a layout may have.
const (
	maxColumns   = 4096
	maxFigures   = 512 // of a row
	maxSkipLines = 1000
	maxFooters   = 64
	maxFooter    = 256 // bytes
)

// Check reports every way in which l does not fit the data structure, as one fault with a violation for each field.
// Each dimension must be filled exactly once, by a column or a constant; so must OBS_VALUE, by a column, or by several
// whose constants differ. Attributes may be left out.
func (l Layout) Check(s *DataStructure) error {
	var violations violations
	if l.ID == "" || strings.ContainsAny(l.ID, ":/") {
		violations.add("layout.id", "%q is not an id: it is empty or has a colon or a slash", l.ID)
	}
	if !validDelimiter(l.Delimiter) {
		violations.add("layout.delimiter", "%q is not one character that can separate cells", l.Delimiter)
	}
	if l.encoding() == "" {
		violations.add("layout.encoding", "%q is not one of %s", l.Encoding, quotedList(encodings()))
	}
	l.checkLines(&violations)
	l.Numbers.check(&violations)
	l.checkComponents(s, &violations)
	l.checkFigures(&violations)
	l.checkFilters(&violations)
	l.checkPeriod(s, &violations)
	if l.Duplicates > KeepLast {
		violations.add("layout.duplicates", "rule %d is not known", l.Duplicates)
	}
	return violations.fault("layout " + l.ID + " does not fit the data structure " + s.Ref.String())
}

// checkLines looks at how the lines of the file become rows of cells.
func (l Layout) checkLines(violations *violations) {
	if l.Quote != "" {
		switch quote, size := utf8.DecodeRuneInString(l.Quote); {
		case size != len(l.Quote) || quote == utf8.RuneError || strings.ContainsRune("\r\n\x00", quote):
			violations.add("layout.quote", "%q is not one character that can stand around cells", l.Quote)
		case l.Quote == l.delimiter():
			violations.add("layout.quote", "%q separates cells already", l.Quote)
		case l.NoQuotes:
			violations.add("layout.noQuotes", "cells are quoted with %q", l.Quote)
		}
	}
	if l.SkipLines < 0 || l.SkipLines > maxSkipLines {
		violations.add("layout.skipLines", "%d is not from 0 to %d", l.SkipLines, maxSkipLines)
	}
	if len(l.Footers) > maxFooters {
		violations.add("layout.footers", "there are %d; at most %d may be", len(l.Footers), maxFooters)
	}
	for i, footer := range l.Footers {
		if footer == "" || len(footer) > maxFooter || strings.ContainsAny(footer, "\r\n") || !utf8.ValidString(footer) {
			violations.add(fmt.Sprintf("layout.footers[%d]", i), "is empty, longer than %d bytes, or more than one line of text", maxFooter)
		}
	}
	if len(l.Columns) > maxColumns {
		violations.add("layout.columns", "there are %d; at most %d may be", len(l.Columns), maxColumns)
	}
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
		if column.Case > LowerCase {
			violations.add(field+".letterCase", "%d is not known", column.Case)
		} else if column.Case != AsWritten && (column.Component == "" || column.Component == block.ObsValue) {
			violations.add(field+".letterCase", "the column holds no labels")
		}
		for i, blank := range column.Blanks {
			if strings.TrimSpace(blank) == "" {
				violations.add(fmt.Sprintf("%s.blanks[%d]", field, i), "is blank itself")
			}
		}
		switch column.Component {
		case "":
		case block.ObsValue:
			if filledBy[block.ObsValue] == "" {
				fill(field+".component", block.ObsValue)
				for _, component := range slices.Sorted(maps.Keys(column.Constants)) {
					if component != block.ObsValue && component != block.TimePeriod {
						fill(field+".constants."+component, component)
					}
				}
			}
		default:
			fill(field+".component", column.Component)
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

// checkFigures looks at the columns that hold figures.
func (l Layout) checkFigures(violations *violations) {
	figures, first := 0, 0
	tuples := map[string]int{}
	for i, column := range l.Columns {
		field := fmt.Sprintf("layout.columns[%d]", i)
		if column.Component != block.ObsValue {
			if column.Total && column.Component != "" {
				violations.add(field+".total", "a total is not read as %s", column.Component)
			}
			if len(column.Constants) > 0 {
				violations.add(field+".constants", "the column holds no figures")
			}
			if column.SkipBlank && !column.Total {
				violations.add(field+".skipBlank", "the column holds no figures")
			}
			if !column.Total {
				continue
			}
		}
		missing := column.Blank == noValue && column.Component == block.ObsValue
		if _, ok := l.Numbers.parse(column.Blank); column.Blank != "" && !missing && !ok {
			violations.add(field+".blank", "%q is not a number", column.Blank)
		}
		if column.Blank != "" && column.SkipBlank {
			violations.add(field+".skipBlank", "a blank cell stands for %q already", column.Blank)
		}
		if column.Component != block.ObsValue {
			continue
		}
		if column.Total {
			violations.add(field+".total", "a total is not read as %s", column.Component)
		}
		if figures == 0 {
			first = i
		}
		figures++
		ids := slices.Sorted(maps.Keys(column.Constants))
		if !slices.Equal(ids, slices.Sorted(maps.Keys(l.Columns[first].Constants))) {
			violations.add(field+".constants", "are not of the same components as those of layout.columns[%d]", first)
		}
		var tuple strings.Builder
		for _, id := range ids {
			value := column.Constants[id]
			checkColumnConstant(field+".constants."+id, id, value, violations)
			fmt.Fprintf(&tuple, "%s=%q ", id, value)
		}
		if other, twice := tuples[tuple.String()]; twice {
			violations.add(field+".constants", "%sis what the figures of layout.columns[%d] are of", tuple.String(), other)
		}
		tuples[tuple.String()] = i
	}
	if figures > maxFigures {
		violations.add("layout.columns", "%d columns hold figures; at most %d may", figures, maxFigures)
	}
}

// checkColumnConstant looks at what all figures of one column have.
func checkColumnConstant(field, id, value string, violations *violations) {
	switch id {
	case block.ObsValue:
		violations.add(field, "a figure cannot be a constant")
	case frequencyID:
		violations.add(field, "the frequency cannot differ between columns")
	case block.TimePeriod:
		if _, err := period.Parse(value); err != nil {
			violations.add(field, "%v", err)
		}
	default:
		if value == "" {
			violations.add(field, "is empty")
		}
	}
}

// checkFilters looks at how rows are chosen.
func (l Layout) checkFilters(violations *violations) {
	for i, filter := range l.Filters {
		field := fmt.Sprintf("layout.filters[%d]", i)
		if !slices.ContainsFunc(l.Columns, func(c LayoutColumn) bool { return c.Header == filter.Header }) {
			violations.add(field+".header", "%q is none of the columns", filter.Header)
		}
		if (len(filter.Keep) == 0) == (len(filter.LeaveOut) == 0) {
			violations.add(field, "either keep or leaveOut must have values")
		}
	}
}

// checkPeriod looks at how TIME_PERIOD comes about.
func (l Layout) checkPeriod(s *DataStructure, violations *violations) {
	if len(s.Dimensions) == 0 || s.Dimensions[0].ID != frequencyID {
		violations.add("layout.dataflow", "the first dimension of %s is not %s", s.Ref, frequencyID)
	}
	if l.widePeriods() {
		if len(l.Period.Headers) > 0 || l.Period.Format != "" {
			violations.add("layout.period", "the columns of figures have %s as a constant already", block.TimePeriod)
		}
		return
	}
	if len(l.Period.Headers) == 0 {
		violations.add("layout.period.headers", "no column holds the period")
	}
	for i, header := range l.Period.Headers {
		if l.NoHeader && !slices.ContainsFunc(l.Columns, func(c LayoutColumn) bool { return c.Header == header }) {
			violations.add(fmt.Sprintf("layout.period.headers[%d]", i), "%q is none of the columns, and there is no header row to find it in", header)
		}
		if header == "" || slices.Contains(l.Period.Headers[:i], header) {
			violations.add(fmt.Sprintf("layout.period.headers[%d]", i), "%q is empty or stands twice", header)
		}
	}
	format, err := newPeriodFormat(l.Period)
	if err != nil {
		violations.add("layout.period.format", "%v", err)
		return
	}
	if err := format.checkMonths(); err != nil {
		violations.add("layout.period.months", "%v", err)
	}
	if err := format.checkFiscalYear(); err != nil {
		violations.add("layout.period.fiscalYear", "%v", err)
	}
	if frequency, constant := l.Constants[frequencyID]; constant && !oneOf(format.frequencies(), frequency) {
		violations.add("layout.constants."+frequencyID, "periods of the form %q have no frequency %q, but one of %s", l.Period.Format, frequency, strings.Join(strings.Split(format.frequencies(), ""), ", "))
	}
}

// widePeriods reports whether the columns of figures are each of another period.
func (l Layout) widePeriods() bool {
	return slices.ContainsFunc(l.Columns, func(c LayoutColumn) bool { return c.Constants[block.TimePeriod] != "" })
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
