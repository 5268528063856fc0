package statistics

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
)

const (
	observationStatuses     = "ABDEFGHIJKLMNOPQSUVW" // CL_OBS_STATUS 2.2
	confidentialityStatuses = "FNCDSAOTGME"          // CL_CONF_STATUS 1.2
	maxTextLength           = 500                    // of a code, label or attribute, in bytes
	maxObservations         = 10_000_000             // of an upload, which is held in memory until it is stored
)

// loader reads blocks into a table and reports every row that does not fit the dataflow.
type loader struct {
	flow   *Flow
	same   duplicates
	scope  filter.Filter
	table  *Table
	report *Report
	rows   int

	restrictions []*restriction // of the dataflow and provider
	digest       hash.Hash
	rowDigest    *rowDigest
	bytes        bool // the bytes of the file are hashed, not the rows
	removes      bool // the rows name cells that are taken away
}

// loadedColumn is a coded column of a block while it is being read. It knows of each value what it is in the table.
type loadedColumn struct {
	*block.Column
	codes []uint32 // by position in the dictionary: the table's code, or a status; for attributes without meaning
	wrong []string // by position: what is wrong with the value, "" where nothing is
	rules []string // by position: the rule that it breaks
}

func (l *loader) find(rule string, line int, column string, values []string, format string, args ...any) {
	l.report.Add(Finding{
		Rule: rule, Severity: Blocking, Line: line, Column: column, Values: values, Message: fmt.Sprintf(format, args...),
	})
}

// add reads a block. What is wrong with it goes to the report.
func (l *loader) add(b *block.Block) {
	if !l.bytes {
		l.rowDigest.add(b)
	}
	before := l.rows
	l.rows += b.Rows
	columns, ok := l.columns(b)
	if !ok {
		return
	}
	r := newLoadedRows(l, b, columns)
	for row := range b.Rows {
		series, period, cell, ok := r.read(row)
		switch {
		case !ok:
		case l.removes:
			l.table.Remove(series, period, cell.Line)
		case !l.table.Put(series, period, cell):
			l.addDuplicate(series, period, cell, before+row+1)
		}
	}
}

// loadedRows are the rows of a block while they are being read.
type loadedRows struct {
	*loader
	block      *block.Block
	dimensions []*loadedColumn
	attributes []*loadedColumn
	further    []int // of the attributes: the place in a set; -1: a status
	time       *block.Column
	periods    []loadedPeriod
	values     []float64     // nil: not looked at
	lines      []float64     // nil: not known
	status     *loadedColumn // OBS_STATUS; nil: it is not there
	allowed    *guard
	faulty     bool // some value of a column is wrong

	// What the last row had that was good: most often, the next one has it too.
	last   int // the row; -1: none
	series int
	cell   Cell
	codes  []uint32
	texts  []string
}

func newLoadedRows(l *loader, b *block.Block, columns []*loadedColumn) *loadedRows {
	n := len(l.flow.Structure.Dimensions)
	r := &loadedRows{
		loader: l, block: b, dimensions: columns[:n], attributes: columns[n:], time: b.Column(block.TimePeriod), last: -1,
		codes: make([]uint32, n), texts: make([]string, len(l.table.further)),
	}
	r.periods = l.periods(r.time)
	r.allowed = newGuard(l.restrictions, b, r.periods)
	if !l.removes {
		r.values = b.Column(block.ObsValue).Numbers
	}
	if lines := b.Column(block.Line); lines != nil && lines.IsNumber() {
		r.lines = lines.Numbers
	}
	for _, column := range columns {
		r.faulty = r.faulty || slices.ContainsFunc(column.wrong, func(wrong string) bool { return wrong != "" })
	}
	for _, column := range r.attributes {
		r.further = append(r.further, slices.Index(l.table.further, column.Component))
		if column.Component == block.ObsStatus {
			r.status = column
		}
	}
	return r
}

// read returns the cell of a row; ok is false where something is wrong with it.
func (r *loadedRows) read(row int) (series int, period int32, c Cell, ok bool) {
	line := 0
	if r.lines != nil && r.lines[row] >= 1 && r.lines[row] <= math.MaxInt32 {
		line = int(r.lines[row])
	}
	good := !r.faulty || r.checkRow(slices.Concat(r.dimensions, r.attributes), row, line)
	period, periodOK := r.checkPeriod(r.dimensions[0], r.periods, r.time, row, line)
	value := 0.0
	if r.values != nil {
		value = r.values[row]
	}
	if !r.checkValue(value, row, line) || !periodOK || !good || !r.inScope(r.block, row, line) || !r.checkAllowed(r.allowed, row, line) {
		return 0, 0, c, false
	}
	if !r.repeats(r.dimensions, row) {
		for i, column := range r.dimensions {
			r.codes[i] = column.codes[column.Codes[row]]
		}
		r.series = r.table.Series(r.codes)
	}
	if !r.repeats(r.attributes, row) || r.last < 0 {
		r.cell = r.attributesOf(row)
	}
	r.last = row
	r.cell.Value, r.cell.Line = value, int32(line)
	return r.series, period, r.cell, true
}

// repeats reports whether a row has the values of the last one in the columns.
func (r *loadedRows) repeats(columns []*loadedColumn, row int) bool {
	if r.last < 0 {
		return false
	}
	for _, column := range columns {
		if column.Codes[row] != column.Codes[r.last] {
			return false
		}
	}
	return true
}

// attributesOf returns a cell with the statuses and further attributes of a row.
func (r *loadedRows) attributesOf(row int) Cell {
	c := Cell{ObsStatus: NormalValue, ConfStatus: FreeToShow}
	clear(r.texts)
	for i, column := range r.attributes {
		switch text := column.Text(row); {
		case text == "":
		case r.further[i] >= 0:
			r.texts[r.further[i]] = text
		case column.Component == block.ObsStatus:
			c.ObsStatus = text[0]
		default:
			c.ConfStatus = text[0]
		}
	}
	c.Attributes = r.table.AttributeSet(r.texts)
	return c
}

func (l *loader) keyTexts(codes []uint32, period int32) []string {
	texts := make([]string, 0, len(codes)+1)
	for i, code := range codes {
		texts = append(texts, l.table.dictionary.Text(i, code))
	}
	return append(texts, Frequency(texts[0][0]).Period(period).String())
}

// columns returns the dimensions in key order, then the attributes that are there. It fails where a component is missing,
// unknown, or of the wrong kind, since no row can be read then.
func (l *loader) columns(b *block.Block) (columns []*loadedColumn, ok bool) {
	ok = true
	wrong := func(rule, component, format string, args ...any) {
		ok = false
		l.find(rule, 0, component, nil, format, args...)
	}
	structure := l.flow.Structure
	for i, dimension := range structure.Dimensions {
		column := b.Column(dimension.ID)
		if column == nil || column.IsNumber() {
			wrong("MISSING_COMPONENT", dimension.ID, "the dimension %s is not there", dimension.ID)
			continue
		}
		loaded := &loadedColumn{Column: column}
		loaded.read(l.flow.Dimensions[i], true)
		if i == 0 {
			loaded.wantFrequencies()
		}
		for position, text := range column.Dictionary {
			if loaded.wrong[position] == "" {
				loaded.codes[position] = l.table.Code(i, text)
			}
		}
		columns = append(columns, loaded)
	}
	if value := b.Column(block.ObsValue); (value == nil || !value.IsNumber()) && !l.removes {
		wrong("MISSING_COMPONENT", block.ObsValue, "the figures %s are not there as numbers", block.ObsValue)
	}
	if period := b.Column(block.TimePeriod); period == nil || period.IsNumber() {
		wrong("MISSING_COMPONENT", block.TimePeriod, "the periods %s are not there", block.TimePeriod)
	}
	for i := range b.Columns {
		column := &b.Columns[i]
		id := column.Component
		status := map[string]string{block.ObsStatus: observationStatuses, block.ConfStatus: confidentialityStatuses}[id]
		switch {
		case strings.HasPrefix(id, "_") || id == block.ObsValue || id == block.TimePeriod || structure.Dimension(id) >= 0:
		case status == "" && !slices.Contains(l.table.further, id):
			wrong("UNKNOWN_COMPONENT", id, "%s is no component of %s", id, structure.Ref)
		case column.IsNumber():
			wrong("UNKNOWN_COMPONENT", id, "the attribute %s is there as numbers, not as text", id)
		default:
			loaded := &loadedColumn{Column: column}
			loaded.read(l.flow.Attributes[id], false)
			loaded.wantStatuses(status)
			if id == EmbargoTime {
				loaded.wantMoments()
			}
			columns = append(columns, loaded)
		}
	}
	return columns, ok
}

// read looks at each distinct value once.
func (c *loadedColumn) read(codelist *Hierarchy, needed bool) {
	c.codes = make([]uint32, len(c.Dictionary))
	c.wrong = make([]string, len(c.Dictionary))
	c.rules = make([]string, len(c.Dictionary))
	for i, text := range c.Dictionary {
		switch {
		case text == "" && needed:
			c.fault(i, "MISSING_VALUE", "%s is blank; a value is needed", c.Component)
		case text == "":
		case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
			c.fault(i, "INVALID_TEXT", "%s has characters that are not text", c.Component)
		case len(text) > maxTextLength:
			c.fault(i, "INVALID_TEXT", "%s is %d bytes long; at most %d are allowed", c.Component, len(text), maxTextLength)
		case codelist != nil && !codelist.Has(text):
			c.fault(i, "UNKNOWN_CODE", "%s %q is not in the codelist %s", c.Component, shown(text), codelist.list.Ref)
		}
	}
}

func (c *loadedColumn) fault(position int, rule, format string, args ...any) {
	if c.wrong[position] == "" {
		c.rules[position], c.wrong[position] = rule, fmt.Sprintf(format, args...)
	}
}

func (c *loadedColumn) wantFrequencies() {
	for i, text := range c.Dictionary {
		if !oneOf(period.Frequencies, text) {
			c.fault(i, "UNSUPPORTED_FREQUENCY", "%s %q is not one of %s", c.Component, shown(text), strings.Join(strings.Split(period.Frequencies, ""), ", "))
		}
	}
}

func (c *loadedColumn) wantStatuses(known string) {
	for i, text := range c.Dictionary {
		if known != "" && text != "" && !oneOf(known, text) {
			c.fault(i, "UNKNOWN_CODE", "%s %q is not one of %s", c.Component, shown(text), strings.Join(strings.Split(known, ""), ", "))
		}
	}
}

// wantMoments refuses an embargo that would never end, which is one that was meant otherwise.
func (c *loadedColumn) wantMoments() {
	for i, text := range c.Dictionary {
		if _, ever := embargoEnds(text); text != "" && !ever {
			c.fault(i, "INVALID_TIME", "%s %q is no moment such as 2030-01-31T12:00:00Z, and no day such as 2030-01-31", c.Component, shown(text))
		}
	}
}

func (l *loader) checkRow(columns []*loadedColumn, row, line int) bool {
	good := true
	for _, column := range columns {
		position := column.Codes[row]
		if wrong := column.wrong[position]; wrong != "" {
			good = false
			l.find(column.rules[position], line, column.Component, []string{shown(column.Dictionary[position])}, "%s", wrong)
		}
	}
	return good
}

// loadedPeriod is what a text of TIME_PERIOD is.
type loadedPeriod struct {
	Period
	text string // the frequency
	err  error
}

func (l *loader) periods(column *block.Column) []loadedPeriod {
	periods := make([]loadedPeriod, len(column.Dictionary))
	for i, text := range column.Dictionary {
		periods[i].Period, periods[i].err = period.Parse(text)
		periods[i].text = string(rune(periods[i].Frequency))
	}
	return periods
}

func (l *loader) checkPeriod(frequency *loadedColumn, periods []loadedPeriod, column *block.Column, row, line int) (int32, bool) {
	period := &periods[column.Codes[row]]
	if period.err == nil && frequency.Text(row) == period.text {
		return period.Index, true
	}
	text := column.Text(row)
	if period.err != nil {
		l.find("INVALID_PERIOD", line, block.TimePeriod, []string{shown(text)}, "%v", period.err)
		return 0, false
	}
	if want := frequency.Text(row); frequency.wrong[frequency.Codes[row]] == "" {
		l.find("INVALID_PERIOD", line, block.TimePeriod, []string{shown(text), want}, "the period %s is not of the row's frequency %s", shown(text), want)
		return 0, false
	}
	return period.Index, true
}

// checkValue reports a figure that is none. An observation may lack its value where its OBS_STATUS says so.
func (r *loadedRows) checkValue(value float64, row, line int) bool {
	switch {
	case math.IsNaN(value):
		return r.checkMissing(row, line)
	case math.IsInf(value, 0):
		r.find("INVALID_NUMBER", line, block.ObsValue, nil, "the figure is not finite")
	case value < 0 || value == 0 && math.Signbit(value):
		r.find("NEGATIVE_VALUE", line, block.ObsValue, []string{figureText(value)}, "the figure %s is negative; counts begin at 0", figureText(value))
	default:
		return true
	}
	return false
}

func (r *loadedRows) checkMissing(row, line int) bool {
	status := ""
	if r.status != nil {
		status = r.status.Text(row)
	}
	if len(status) == 1 && saysMissing(status[0]) {
		return true
	}
	said := fmt.Sprintf("and its %s %q promises one", block.ObsStatus, shown(status))
	if status == "" {
		said = fmt.Sprintf("and has no %s to say why, which means A, a normal value", block.ObsStatus)
	}
	r.find("MISSING_VALUE", line, block.ObsValue, []string{shown(status)},
		"the figure is missing, %s: give a number, or the %s of a missing value, one of %s", said, block.ObsStatus, strings.Join(strings.Split(missingOrder, ""), ", "))
	return false
}

func (l *loader) inScope(b *block.Block, row, line int) bool {
	if l.scope.IsTrue() || l.scope.Match(func(component string) string { return rowText(b, row, component) }) {
		return true
	}
	l.find("OUTSIDE_SCOPE", line, "", nil, "the row is not in the scope of the submission")
	return false
}

// rowText returns the value of a component as text, "" where it is absent.
func rowText(b *block.Block, row int, component string) string {
	column := b.Column(component)
	switch {
	case column == nil:
		return ""
	case column.IsNumber():
		if math.IsNaN(column.Numbers[row]) {
			return ""
		}
		return figureText(column.Numbers[row])
	}
	return column.Text(row)
}

// load reads the content of an upload. The error is the caller's connection's or the caller's fault; what is wrong with
// the rows is in the report.
func load(flow *Flow, layout *Layout, header *Header, content Content) (*loader, error) {
	digest := sha256.New()
	if err := json.NewEncoder(digest).Encode([]any{flow.Ref, header.Layout, header.Action, header.Scope}); err != nil {
		return nil, fmt.Errorf("hashing the header: %w", err)
	}
	l := &loader{flow: flow, table: NewTable(flow.Structure), report: &Report{}, digest: digest, restrictions: flow.restrictions(header.Provider)}
	l.rowDigest, l.removes, l.scope = newRowDigest(digest), header.Action == Delete, header.Scope
	blocks := content.Blocks
	if layout != nil {
		l.same.rule = layout.Duplicates
		l.bytes = true
		content.File = io.TeeReader(content.File, digest)
		blocks = layout.Read(content.File, flow.Structure, l.report)
	}
	for b, err := range blocks {
		if err != nil {
			return nil, fmt.Errorf("reading the upload: %w", err)
		}
		if l.add(b); l.table.Len() > maxObservations || l.removes && l.rows > maxObservations {
			return nil, fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "an upload has at most %d observations: send it in parts", maxObservations)
		}
	}
	if layout != nil { // a reader that met a fault may have stopped early
		if _, err := io.Copy(io.Discard, content.File); err != nil {
			return nil, fmt.Errorf("reading the upload: %w", err)
		}
		l.report.cut = l.report.Full() && l.report.Blocking()
	}
	l.noteDuplicates()
	l.rowDigest.flush()
	sweeps := header.Action == Replace || header.Action == Delete && !header.Scope.IsTrue()
	if l.rows == 0 && (!sweeps || layout != nil) && !l.report.Blocking() {
		l.find("NO_ROWS", 0, "", nil, "the upload has no rows")
	}
	return l, nil
}

// submission returns what is known of the upload before it is stored.
func (l *loader) submission(header *Header) *Submission {
	s := &Submission{
		State: Accepted, Dataflow: l.flow.Ref, Layout: header.Layout, Provider: header.Provider, Release: header.Release,
		Submitter: header.Submitter, IdempotencyKey: header.IdempotencyKey, Action: header.Action, Rows: l.rows, Observations: l.table.Len(),
	}
	l.digest.Sum(s.Digest[:0])
	if l.report.Blocking() {
		s.State, s.Observations = Rejected, 0
	}
	return s
}
