package statistics

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
)

// Rules of the findings that reading a file makes. They are blocking but for the notes that say what is left out.
const (
	ruleEncoding = "ENCODING" // a cell is not in the encoding, or has a character that cannot be stored
	ruleHeader   = "HEADER"   // a column is missing, unknown or there twice
	ruleRow      = "ROW"      // a row is no row of the table: its quotes, its length or its number of cells
	ruleBlank    = "BLANK"    // a cell is blank, and the layout does not say what that means; a note where it is no figure
	ruleValue    = "VALUE"    // a cell does not hold what its column needs
	rulePeriod   = "PERIOD"   // a period is not of the layout's form
	ruleTotal    = "TOTAL_MISMATCH"
	ruleFilter   = "FILTER"     // a note: rows are left out
	ruleBreak    = "LINE_BREAK" // a note: line breaks in cells are read as spaces
	ruleFooter   = "FOOTER"     // a note: where the table ends before the file does
)

// What a file may ask of memory, whatever it holds.
const (
	blockBytes    = 4 << 20 // of the rows of one block
	maxRowBytes   = 1 << 20
	maxCellBytes  = 4096
	maxShownBytes = 80 // of a cell in a finding
	readAhead     = 16 << 10
	maxPeriods    = 4096 // remembered
	maxLeftOut    = 20   // values that a note lists
	maxNamed      = 20   // columns that a finding lists, or that have a finding of their own
)

// Read reads a national CSV file (RFC 4180, with what the layout says of its encoding, delimiter, quotes and lines) into
// blocks of at most 4,096 rows, one for each figure. l must fit s: see [Layout.Check]. A block has as coded columns the
// dimensions of s, TIME_PERIOD and the attributes that the layout fills, then OBS_VALUE and [block.Line], the line of the
// file on which the row begins. A blank cell of an attribute is absent; any other blank cell is what the layout says.
// Line breaks in a cell are read as a space. What the layout leaves out or changes is counted in notes at the end.
//
// What is wrong with the file goes to the report, and reading goes on with the next row where there is one, so that the
// report is whole. The error is one of r, and ends the sequence.
func (l Layout) Read(r io.Reader, s *DataStructure, report *Report) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		file := newFile(l, s, report)
		ok, err := file.begin(r)
		defer file.checkEncoding()
		if err != nil {
			yield(nil, fmt.Errorf("reading the header row: %w", err))
			return
		}
		if !ok {
			return
		}
		for more := true; more; {
			var made *block.Block
			made, more, err = file.readBlock()
			if err != nil {
				yield(nil, fmt.Errorf("reading after line %d: %w", file.rows.line, err))
				return
			}
			if made.Rows > 0 && !yield(made, nil) {
				return
			}
		}
		file.addNotes()
	}
}

// file is a national CSV file that is being read.
type file struct {
	layout     Layout
	structure  *DataStructure
	report     *Report
	rows       *rowReader
	watch      *utf8Watch // nil where the encoding cannot be taken for UTF-8
	headers    []string
	cells      []cellSource  // for each coded column of the block but TIME_PERIOD
	frequency  int           // position of FREQ in cells
	timePeriod int           // position of TIME_PERIOD in the block
	obsStatus  int           // position of OBS_STATUS in the block; -1: it is not there
	format     *periodFormat // nil where figures have TIME_PERIOD as a constant
	periodAt   []int         // fields that hold the period
	figures    []figureSource
	values     []float64 // of the row, for each of figures; NaN where there is none
	totals     []figureSource
	filters    []rowFilter
	builder    *block.Builder
	texts      []string
	read       []bool               // fields whose cells matter
	broken     []int                // how many cells of a field have line breaks
	periods    map[[2]string]string // what a frequency and a text make
}

func newFile(l Layout, s *DataStructure, report *Report) *file {
	f := &file{layout: l, structure: s, report: report, periods: map[[2]string]string{}}
	if !l.widePeriods() {
		f.format, _ = newPeriodFormat(l.Period) // Check knows that it is one
	}
	return f
}

// begin reads up to the first row. ok is false where the rows cannot be read with the layout.
func (f *file) begin(r io.Reader) (ok bool, err error) {
	text, watch, err := f.layout.decode(r)
	f.watch = watch
	if err != nil {
		f.find(ruleEncoding, 1, "", nil, "%v", err)
		return false, nil
	}
	f.rows = newRowReader(text, f.layout.delimiter(), f.layout.quote(), f.layout.Footers)
	switch err := f.rows.skip(f.layout.SkipLines); {
	case errors.Is(err, errRowTooLong):
		f.findLong(f.rows.line + 1)
		return false, nil
	case err != nil:
		return false, err
	}
	if !f.layout.NoHeader {
		return f.readHeader()
	}
	fields := map[string]int{}
	for i, column := range f.layout.Columns {
		f.headers = append(f.headers, column.Header)
		fields[column.Header] = i
	}
	f.place(fields)
	return true, nil
}

// find reports a blocking finding.
func (f *file) find(rule string, line int, column string, values []string, format string, args ...any) {
	f.report.Add(Finding{
		Rule: rule, Severity: Blocking, Line: line, Column: column, Values: values, Message: fmt.Sprintf(format, args...),
	})
}

// findLong reports a row after which nothing more can be read as rows.
func (f *file) findLong(line int) {
	f.find(ruleRow, line, "", nil, "the row is longer than %d bytes; a quote that is not closed would do that", maxRowBytes)
}

// next returns the next row and the line on which it begins; row is nil where it cannot be read, which is reported. The
// error is io.EOF at the end of the table, and errRowTooLong, reported as well, where nothing more can be read as rows.
func (f *file) next() (row []string, line int, err error) {
	before := f.rows.line
	row, err = f.rows.read()
	var wrong *quoteError
	switch {
	case err == nil:
		f.tidy(row)
		return row, f.rows.start, nil
	case errors.Is(err, errRowTooLong):
		f.findLong(max(before+1, f.rows.start))
	case errors.As(err, &wrong):
		f.find(ruleRow, f.rows.start, "", nil, "%v: a cell with a quote, a line break or the separator must be quoted whole, and a quote in it doubled", err)
		return nil, f.rows.start, nil
	}
	return nil, 0, err
}

// tidy takes from the cells what does not belong to them.
func (f *file) tidy(row []string) {
	if f.rows.spans() {
		for i, cell := range row {
			if f.read != nil && (i >= len(f.read) || !f.read[i]) || !strings.ContainsAny(cell, "\r\n") {
				continue
			}
			row[i] = onOneLine(cell)
			if f.read != nil {
				f.broken[i]++
			}
		}
	}
	if f.layout.Trim {
		for i, cell := range row {
			row[i] = strings.TrimSpace(cell)
		}
	}
}

// onOneLine returns the text with a space for each line break and the blanks around it.
func onOneLine(text string) string {
	var lines []string
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, " ")
}

// readBlock reads rows until a block is full. more is false where the file has no more rows, or where it is rejected
// for more reasons than the report holds.
func (f *file) readBlock() (made *block.Block, more bool, err error) {
	f.builder.Reset()
	bytes := 0
	for f.builder.Rows()+len(f.figures) <= blockRows && bytes < blockBytes {
		row, line, err := f.next()
		if errors.Is(err, io.EOF) || errors.Is(err, errRowTooLong) || f.report.Full() && f.report.Blocking() {
			return f.builder.Block(), false, nil
		}
		if err != nil {
			return nil, false, err
		}
		if row == nil {
			continue
		}
		for _, cell := range row {
			bytes += len(cell) // the cells of a row share memory, so those that are not read count too
		}
		if !f.readRow(row, line) {
			continue
		}
		for i, value := range f.values {
			if math.IsNaN(value) && !f.figures[i].missing {
				continue
			}
			for j, at := range f.figures[i].positions {
				f.texts[at] = f.figures[i].texts[j]
			}
			silent := math.IsNaN(value) && f.texts[f.obsStatus] == "" // the row does not say why there is no value
			if silent {
				f.texts[f.obsStatus] = string(MissingValue)
			}
			f.builder.Append(f.texts, []float64{value, float64(line)})
			if silent {
				f.texts[f.obsStatus] = ""
			}
		}
	}
	return f.builder.Block(), true, nil
}

// readRow fills f.texts and f.values from the row. It returns false where the row is left out, or something is wrong
// with it: every cell is looked at, so that one upload shows all that is.
func (f *file) readRow(row []string, line int) bool {
	if len(row) != len(f.headers) {
		by := "the header row"
		if f.layout.NoHeader {
			by = "the layout"
		}
		f.find(ruleRow, line, "", nil, "the row has %d cells, %s %d", len(row), by, len(f.headers))
		return false
	}
	ok := true
	for i, cell := range row {
		if !utf8.ValidString(cell) {
			f.find(ruleEncoding, line, f.headers[i], nil, "the cell is not %s", f.layout.encoding())
			ok = false
		} else if strings.IndexByte(cell, 0) >= 0 {
			f.find(ruleEncoding, line, f.headers[i], nil, "the cell has a character U+0000, as text in UTF-16 has where it is read as %s", f.layout.encoding())
			ok = false
		}
	}
	if !ok || !f.passes(row) {
		return false
	}
	for i, source := range f.cells {
		at := i
		if i >= f.timePeriod {
			at++
		}
		text, fine := f.cell(row, line, source)
		f.texts[at] = text
		ok = ok && fine
	}
	ok = f.readFigures(row, line) && ok
	if f.format != nil {
		text, fine := f.period(row, line, f.texts[f.frequency])
		f.texts[f.timePeriod] = text
		ok = ok && fine
	}
	return ok
}

// passes reports whether the row is to be read, and counts it where it is not.
func (f *file) passes(row []string) bool {
	for i := range f.filters {
		filter, cell := &f.filters[i], row[f.filters[i].field]
		if len(filter.Keep) > 0 && slices.Contains(filter.Keep, cell) || len(filter.Keep) == 0 && !slices.Contains(filter.LeaveOut, cell) {
			continue
		}
		filter.rows++
		if text := shown(cell); len(filter.values) < maxLeftOut && !slices.Contains(filter.values, text) {
			filter.values = append(filter.values, text)
		}
		return false
	}
	return true
}

// readFigures fills f.values from the row, and holds its totals against them.
func (f *file) readFigures(row []string, line int) bool {
	ok, whole, sum := true, true, 0.0
	for i := range f.figures {
		value, fine := f.number(row, line, &f.figures[i])
		f.values[i] = value
		ok = ok && fine
		if !math.IsNaN(value) {
			sum += value
		} else if f.figures[i].missing {
			whole = false // the total may count it
		}
	}
	for i := range f.totals {
		total, fine := f.number(row, line, &f.totals[i])
		// What is left of a difference once decimals are rounded is none.
		if ok && whole && math.Abs(total-sum) > 1e-9*max(1, math.Abs(sum)) {
			f.find(ruleTotal, line, f.headers[f.totals[i].field], []string{figureText(total), figureText(sum)}, "the total is %s, but the figures of the row sum to %s", figureText(total), figureText(sum))
			fine = false
		}
		ok = ok && fine
	}
	return ok
}

// number returns the figure that the source has in the row; NaN where it has none, which may be fine.
func (f *file) number(row []string, line int, source *figureSource) (float64, bool) {
	if (source.skipBlank || source.missing) && source.isBlank(row[source.field]) {
		if source.skipBlank {
			source.skipped++
		}
		return math.NaN(), true
	}
	text, ok := f.cell(row, line, source.cellSource)
	if !ok {
		return math.NaN(), false
	}
	value, ok := f.layout.Numbers.parse(text)
	if !ok {
		f.find(ruleValue, line, f.headers[source.field], []string{shown(text)}, "%q is no plain decimal number such as %s", shown(text), f.layout.Numbers.examples())
		return math.NaN(), false
	}
	return value, true
}

// checkEncoding reports text of UTF-8 that was read in another encoding.
func (f *file) checkEncoding() {
	if f.watch.foreign() {
		f.find(ruleEncoding, 0, "", nil, "every character beyond ASCII is written as in UTF-8, and the layout says that the file is %s", f.layout.encoding())
	}
}

// addNotes says what was left out as the layout wants it.
func (f *file) addNotes() {
	note := func(rule, header string, values []string, format string, args ...any) {
		f.report.Add(Finding{Rule: rule, Severity: Note, Column: header, Values: values, Message: fmt.Sprintf(format, args...)})
	}
	for _, filter := range f.filters {
		if filter.rows > 0 {
			note(ruleFilter, filter.Header, filter.values, "%d rows are left out for what stands in %q", filter.rows, filter.Header)
		}
	}
	for _, figure := range slices.Concat(f.figures, f.totals) {
		if figure.skipped > 0 {
			header := f.headers[figure.field]
			note(ruleBlank, header, nil, "%d cells of %q are blank, and no figures", figure.skipped, header)
		}
	}
	for field, cells := range f.broken {
		if cells > 0 {
			note(ruleBreak, f.headers[field], nil, "%d cells of %q have line breaks, which are read as spaces", cells, f.headers[field])
		}
	}
	if f.rows.footer > 0 {
		f.report.Add(Finding{Rule: ruleFooter, Severity: Note, Line: f.rows.footer, Message: "the table ends before this line; nothing from here on is read"})
	}
}

// cell returns the value that the source has in the row.
func (f *file) cell(row []string, line int, source cellSource) (string, bool) {
	if source.field < 0 {
		return source.blank, true
	}
	text, header := row[source.field], f.headers[source.field]
	switch {
	case source.isBlank(text):
		if source.blank == "" && !source.optional {
			f.find(ruleBlank, line, header, nil, "the cell is blank; expected a value for %s", source.component)
			return "", false
		}
		return source.blank, true
	case len(text) > maxCellBytes:
		f.find(ruleValue, line, header, []string{shown(text)}, "the cell is longer than %d bytes", maxCellBytes)
		return "", false
	}
	switch source.letters {
	case AsWritten:
	case UpperCase:
		text = strings.ToUpper(text)
	case LowerCase:
		text = strings.ToLower(text)
	}
	return text, true
}

// period returns the period of the row in SDMX form.
func (f *file) period(row []string, line int, frequency string) (string, bool) {
	column := strings.Join(f.layout.Period.Headers, " ")
	parts := make([]string, len(f.periodAt))
	for i, at := range f.periodAt {
		text, ok := f.cell(row, line, cellSource{component: block.TimePeriod, field: at})
		if !ok {
			return "", false
		}
		parts[i] = text
	}
	text := strings.Join(parts, " ")
	if period, ok := f.periods[[2]string{frequency, text}]; ok {
		return period, true
	}
	if frequency == "" {
		return "", false // reported already
	}
	if frequencies := f.format.frequencies(); !oneOf(frequencies, frequency) {
		if source := f.cells[f.frequency]; source.field >= 0 {
			column = f.headers[source.field]
		}
		f.find(rulePeriod, line, column, []string{shown(frequency)}, "frequency %q is not one of %s, those that periods of the form %s have", shown(frequency), strings.Join(strings.Split(frequencies, ""), ", "), f.layout.Period.Format)
		return "", false
	}
	period, err := f.format.parse(text, Frequency(frequency[0]))
	if err != nil {
		f.find(rulePeriod, line, column, []string{shown(text)}, "%s", err)
		return "", false
	}
	if len(f.periods) >= maxPeriods {
		clear(f.periods)
	}
	f.periods[[2]string{strings.Clone(frequency), strings.Clone(text)}] = period.String()
	return period.String(), true
}

// shownList returns the first of the texts in quotes as a finding shows them, and how many more there are.
func shownList(texts []string) string {
	short := make([]string, 0, maxNamed)
	for _, text := range texts[:min(len(texts), maxNamed)] {
		short = append(short, shown(text))
	}
	if more := len(texts) - maxNamed; more > 0 {
		return fmt.Sprintf("%s and %d more", quotedList(short), more)
	}
	return quotedList(short)
}

// shown returns the text as a finding shows it: valid, and not too long.
func shown(text string) string {
	if len(text) > maxShownBytes {
		text = text[:maxShownBytes] + "…"
	}
	// A clone, since the text may be a part of a long row.
	return strings.Clone(strings.ToValidUTF8(strings.ReplaceAll(text, "\x00", "\uFFFD"), "\uFFFD"))
}
