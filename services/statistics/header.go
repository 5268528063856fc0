package statistics

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
)

// cellSource says where the value of a component comes from.
type cellSource struct {
	component string
	field     int      // of the row; -1 for a constant
	blank     string   // what a blank cell, or the constant, stands for
	blanks    []string // what means as much as a blank cell
	letters   LetterCase
	optional  bool // a blank cell may be absent
}

// isBlank reports whether the cell says nothing.
func (s cellSource) isBlank(cell string) bool {
	return strings.TrimSpace(cell) == "" || slices.Contains(s.blanks, cell)
}

// figureSource says where figures come from, and what they are of.
type figureSource struct {
	cellSource
	positions []int    // in the texts of a row of the block
	texts     []string // that stand there
	skipBlank bool
	skipped   int  // blank cells
	missing   bool // a blank cell is an observation without a value
}

// rowFilter is a filter that counts what it leaves out.
type rowFilter struct {
	LayoutFilter
	field  int
	rows   int      // left out
	values []string // of those rows, at most maxLeftOut of them
}

// readHeader finds where each component stands. ok is false where the rows cannot be read with the layout.
func (f *file) readHeader() (ok bool, err error) {
	expected := f.layout.headers()
	row, line, err := f.next()
	switch {
	case errors.Is(err, io.EOF):
		f.find(ruleHeader, f.layout.SkipLines+1, "", nil, "the file is empty, or has no header row; expected one with %s", namedList(expected))
		return false, nil
	case errors.Is(err, errRowTooLong) || err == nil && row == nil:
		return false, nil
	case err != nil:
		return false, err
	}
	f.headers = slices.Clone(row)
	known := make(map[string]bool, len(expected))
	for _, header := range expected {
		known[header] = true
	}
	fields := map[string]int{}
	var wrong headerFindings
	for i, header := range f.headers {
		_, twice := fields[header]
		fields[header] = i
		switch {
		case !utf8.ValidString(header) || strings.ContainsRune(header, 0):
			wrong.add(ruleEncoding, fmt.Sprintf("column %d", i+1), "the header is not text in %s", f.layout.encoding())
		case !known[header]:
			wrong.add(ruleHeader, shown(header), "the layout knows no column %q; expected %s, separated by %q", shown(header), namedList(expected), f.layout.delimiter())
		case twice:
			wrong.add(ruleHeader, header, "the column %q stands twice", header)
		}
	}
	for _, header := range expected {
		if _, there := fields[header]; !there {
			wrong.add(ruleHeader, header, "the column %q is missing; expected %s, separated by %q", header, namedList(expected), f.layout.delimiter())
		}
	}
	if wrong.report(f, line); wrong.count > 0 {
		return false, nil
	}
	f.place(fields)
	return true, nil
}

// headerFindings are what is wrong with the header row. A file of another shape has very many wrong columns: the first
// of them say so.
type headerFindings struct {
	kept  []Finding
	count int
}

func (h *headerFindings) add(rule, column, format string, args ...any) {
	if h.count++; len(h.kept) < maxNamed {
		h.kept = append(h.kept, Finding{Rule: rule, Severity: Blocking, Column: column, Message: fmt.Sprintf(format, args...)})
	}
}

func (h *headerFindings) report(f *file, line int) {
	for _, finding := range h.kept {
		finding.Line = line
		f.report.Add(finding)
	}
	if rest := h.count - len(h.kept); rest > 0 {
		f.find(ruleHeader, line, "", nil, "%d further columns are unknown, missing or there twice; the header row has %d, the layout %d", rest, len(f.headers), len(f.layout.headers()))
	}
}

// namedList returns the first of the texts in quotes, and how many more there are.
func namedList(texts []string) string {
	if more := len(texts) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", quotedList(texts[:maxNamed]), more)
	}
	return quotedList(texts)
}

// headers returns the headers of the columns that a file must have, and no others.
func (l Layout) headers() []string {
	var headers []string
	for _, column := range l.Columns {
		headers = append(headers, column.Header)
	}
	for _, header := range l.Period.Headers {
		if !slices.Contains(headers, header) {
			headers = append(headers, header)
		}
	}
	return headers
}

// place says for each column of the block where its values come from.
func (f *file) place(fields map[string]int) {
	f.read, f.broken = make([]bool, len(f.headers)), make([]int, len(f.headers))
	filled := map[string]cellSource{}
	for component, value := range f.layout.Constants {
		filled[component] = cellSource{component: component, field: -1, blank: value}
	}
	for _, column := range f.layout.Columns {
		source := cellSource{component: column.Component, field: fields[column.Header], blank: column.Blank, blanks: column.Blanks, letters: column.Case}
		f.read[source.field] = f.read[source.field] || column.Component != "" || column.Total
		figure := figureSource{cellSource: source, skipBlank: column.SkipBlank, missing: column.Component == block.ObsValue && column.Blank == noValue}
		switch {
		case column.Total:
			figure.component = "the total"
			f.totals = append(f.totals, figure)
		case column.Component == block.ObsValue:
			f.figures = append(f.figures, figure)
			for component := range column.Constants {
				filled[component] = cellSource{component: component, field: -1} // each figure has its own
			}
		default:
			filled[column.Component] = source
		}
	}
	var ids []string
	for i, dimension := range f.structure.Dimensions {
		if dimension.ID == frequencyID {
			f.frequency = i
		}
		ids = append(ids, dimension.ID)
		f.cells = append(f.cells, filled[dimension.ID])
	}
	for _, attribute := range f.structure.Attributes {
		if source, ok := filled[attribute.ID]; ok {
			source.optional = true
			ids = append(ids, attribute.ID)
			f.cells = append(f.cells, source)
		}
	}
	lacks := slices.ContainsFunc(f.figures, func(figure figureSource) bool { return figure.missing })
	if lacks && !slices.Contains(ids, block.ObsStatus) {
		ids = append(ids, block.ObsStatus)
		f.cells = append(f.cells, cellSource{component: block.ObsStatus, field: -1})
	}
	f.timePeriod = len(f.structure.Dimensions)
	ids = slices.Insert(ids, f.timePeriod, block.TimePeriod)
	for _, header := range f.layout.Period.Headers {
		f.periodAt = append(f.periodAt, fields[header])
		f.read[fields[header]] = true
	}
	f.obsStatus = slices.Index(ids, block.ObsStatus)
	f.placeFigures(ids)
	for _, filter := range f.layout.Filters {
		f.filters = append(f.filters, rowFilter{LayoutFilter: filter, field: fields[filter.Header]})
		f.read[fields[filter.Header]] = true
	}
	f.builder = block.NewBuilder(ids, []string{block.ObsValue, block.Line})
	f.texts = make([]string, len(ids))
}

// placeFigures says where the constants of each figure go among the coded columns.
func (f *file) placeFigures(ids []string) {
	f.values = make([]float64, len(f.figures))
	i := 0
	for _, column := range f.layout.Columns {
		if column.Component != block.ObsValue {
			continue
		}
		for component, text := range column.Constants {
			f.figures[i].positions = append(f.figures[i].positions, slices.Index(ids, component))
			f.figures[i].texts = append(f.figures[i].texts, text)
		}
		i++
	}
}
