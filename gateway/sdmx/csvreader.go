package sdmx

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
)

// Action says what the rows of an upload do to what is stored.
type Action byte

// The actions of SDMX-CSV.
const (
	Merge   Action = 'M' // also A (append) and I (information)
	Replace Action = 'R'
	Delete  Action = 'D'
)

// FileError says where a file cannot be read, and why.
type FileError struct {
	Line    int    // from 1
	Column  string // the header of the column, or "" where it is about the whole line
	Problem string // a sentence, with what was expected
}

// Error returns the place and the sentence.
func (e *FileError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Problem)
	}
	return fmt.Sprintf("line %d, column %s: %s", e.Line, e.Column, e.Problem)
}

// FileErrors are all that is wrong with a file, the first [MaxFileErrors] of it, in the order of lines.
type FileErrors []*FileError

// MaxFileErrors is how many errors of a file are looked for.
const MaxFileErrors = 100

// Error returns the first, and how many there are.
func (e FileErrors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	return fmt.Sprintf("%v, and %d more", e[0], len(e)-1)
}

// CSVReader reads SDMX-CSV 2.1, 2.0 and 1.0 into blocks. It knows no structure: a column is taken for the component
// that it names.
//
//	STRUCTURE,STRUCTURE_ID,ACTION,FREQ,CITIZENSHIP,TIME_PERIOD,OBS_VALUE     versions 2.x; ACTION may be missing
//	DATAFLOW,FREQ,CITIZENSHIP,TIME_PERIOD,OBS_VALUE                          version 1.0
//
// All rows must be of one dataflow and have one action. Fields may be separated by comma, semicolon, tab or bar. With
// labels ("CITIZENSHIP: Citizenship", "SYR: Syria", or a STRUCTURE_NAME column and a column of names beside each), the
// names are left out; so are the columns SERIES_KEY and OBS_KEY. Components with several values are refused.
type CSVReader struct {
	csv      *csv.Reader
	meter    *meter
	columns  []csvInput
	builder  *block.Builder
	texts    []string
	numbers  []float64
	dataflow string // STRUCTURE_ID or DATAFLOW, of the first row
	kind     string // STRUCTURE of the first row, in lower case
	action   Action // of the first row
	read     bool   // a row was read
	line     int    // of the row read last
	problems FileErrors
	failure  error
}

type csvInput struct {
	header  string
	role    role
	labels  bool // values may be "code: name"
	numbers bool
}

type role byte

const (
	left      role = iota // left out
	component             // of an observation
	structureKind
	structureID
	actionCode
)

// Limits of what is read at once.
const (
	maxRecord    = 1 << 20 // bytes of a record
	maxColumns   = 1000
	blockRows    = 8192
	blockBytes   = 1 << 20 // of text in the rows of a block
	byteOrderUTF = "\uFEFF"
)

// NewCSVReader reads the header. The error is a [*FileError] where it is no header of SDMX-CSV.
func NewCSVReader(r io.Reader) (*CSVReader, error) {
	m := &meter{in: r, left: maxRecord}
	in := bufio.NewReaderSize(m, 64<<10)
	if start, _ := in.Peek(len(byteOrderUTF)); string(start) == byteOrderUTF {
		_, _ = in.Discard(len(byteOrderUTF))
	}
	delimiter, err := delimiterOf(in)
	if err != nil {
		return nil, err
	}
	c := &CSVReader{csv: csv.NewReader(in), meter: m, line: 1}
	c.csv.Comma = delimiter
	c.csv.ReuseRecord = true
	header, err := c.csv.Read()
	if err != nil {
		return nil, c.fileError(err)
	}
	if err := c.readHeader(slices.Clone(header)); err != nil {
		return nil, err
	}
	return c, nil
}

// delimiterOf returns what separates the first field of the header from the second.
func delimiterOf(in *bufio.Reader) (rune, error) {
	start, err := in.Peek(64)
	if err != nil && !errors.Is(err, io.EOF) && len(start) == 0 {
		return 0, err
	}
	line := strings.TrimPrefix(string(start), `"`)
	for _, first := range []string{"STRUCTURE", "DATAFLOW"} {
		rest, ok := strings.CutPrefix(line, first)
		if !ok {
			continue
		}
		if strings.HasPrefix(rest, "[") && len(rest) > 2 && rest[2] == ']' { // separates several values of one field
			rest = rest[3:]
		}
		rest = strings.TrimPrefix(rest, `"`)
		if rest != "" && strings.ContainsRune(",;\t|", rune(rest[0])) {
			return rune(rest[0]), nil
		}
	}
	return 0, &FileError{Line: 1, Problem: "is no header of SDMX-CSV: it begins with STRUCTURE,STRUCTURE_ID or with DATAFLOW; a national file needs a layout"}
}

func (c *CSVReader) readHeader(header []string) error {
	if len(header) > maxColumns {
		return &FileError{Line: 1, Problem: fmt.Sprintf("has %d columns, at most %d are read", len(header), maxColumns)}
	}
	version1 := header[0] == "DATAFLOW"
	names := slices.Contains(header, "STRUCTURE_NAME") // a column of names beside each component
	var coded []string
	seen := map[string]bool{}
	for i := 0; i < len(header); i++ {
		column := csvInput{header: header[i]}
		id, _, labelled := strings.Cut(header[i], ": ")
		switch {
		case i == 0 && version1:
			column.role = structureID
		case i == 0:
			column.role = structureKind
		case header[i] == "STRUCTURE_ID" && !version1:
			column.role = structureID
		case header[i] == "ACTION" && !version1:
			column.role = actionCode
		case header[i] == "STRUCTURE_NAME", header[i] == "SERIES_KEY", header[i] == "OBS_KEY":
		case strings.HasSuffix(id, "]"):
			return &FileError{Line: 1, Column: header[i], Problem: "has several values or languages in a field, which is not taken"}
		case !componentID(id):
			return &FileError{Line: 1, Column: header[i], Problem: "is no id of a component: letters, digits, _ and - after a letter"}
		case seen[id]:
			return &FileError{Line: 1, Column: header[i], Problem: "stands twice"}
		default:
			seen[id] = true
			column = csvInput{header: id, role: component, labels: labelled, numbers: id == block.ObsValue}
			if !column.numbers {
				coded = append(coded, id)
			}
		}
		c.columns = append(c.columns, column)
		if names && column.role == component && i+1 < len(header) {
			c.columns = append(c.columns, csvInput{header: header[i+1]})
			i++
		}
	}
	has := func(r role) bool {
		return slices.ContainsFunc(c.columns, func(column csvInput) bool { return column.role == r })
	}
	switch {
	case !has(structureID):
		return &FileError{Line: 1, Problem: "has no column STRUCTURE_ID"}
	case !seen[block.ObsValue]:
		return &FileError{Line: 1, Problem: "has no column " + block.ObsValue}
	case !seen[block.TimePeriod]:
		return &FileError{Line: 1, Problem: "has no column " + block.TimePeriod}
	}
	c.builder = block.NewBuilder(coded, []string{block.ObsValue, block.Line})
	c.texts = make([]string, len(coded))
	c.numbers = make([]float64, 2)
	return nil
}

// componentID reports whether text is an id of a component (NCName without dots).
func componentID(text string) bool {
	for i, r := range text {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || (r < '0' || r > '9') && r != '_' && r != '-') {
			return false
		}
	}
	return text != ""
}

// Dataflow returns what the file says its rows are of: the kind of structure ("dataflow", "datastructure",
// "dataprovision") and its reference. It is known after the first Next.
func (c *CSVReader) Dataflow() (kind, ref string) { return c.kind, c.dataflow }

// Action returns what the rows do. It is known after the first Next.
func (c *CSVReader) Action() Action { return c.action }

// Next returns the next rows: a coded column for each component, OBS_VALUE, and _LINE as numbers. The error is io.EOF
// after the last block, or [FileErrors]: from the first row that is wrong on, no rows are returned, but the file is
// read on to find what else is wrong.
func (c *CSVReader) Next() (*block.Block, error) {
	if c.failure != nil {
		return nil, c.failure
	}
	c.builder.Reset()
	for size := 0; size < blockBytes || len(c.problems) > 0; {
		if c.builder.Rows() >= blockRows {
			if len(c.problems) == 0 {
				break
			}
			c.builder.Reset()
		}
		c.meter.left = maxRecord
		fields, err := c.csv.Read()
		more := err == nil || errors.Is(err, csv.ErrFieldCount)
		if err == nil {
			err = c.row(fields)
		} else {
			err = c.fileError(err)
		}
		if err == nil {
			for _, field := range fields {
				size += len(field)
			}
			continue
		}
		var problem *FileError
		if errors.As(err, &problem) {
			c.problems = append(c.problems, problem)
		}
		if problem == nil || !more || len(c.problems) == MaxFileErrors {
			c.failure = err
			break
		}
	}
	switch {
	case len(c.problems) > 0:
		c.failure = c.problems
		return nil, c.failure
	case c.failure != nil && !errors.Is(c.failure, io.EOF):
		return nil, c.failure
	case c.builder.Rows() == 0:
		return nil, c.failure
	}
	return c.builder.Block(), nil
}

func (c *CSVReader) row(fields []string) error {
	line, _ := c.csv.FieldPos(0)
	c.line = line
	text := 0
	c.numbers[0], c.numbers[1] = math.NaN(), float64(line)
	for i, column := range c.columns {
		field := fields[i]
		if !utf8.ValidString(field) || strings.ContainsRune(field, 0) {
			return &FileError{Line: line, Column: column.header, Problem: "is not UTF-8 text"}
		}
		if column.labels {
			field, _, _ = strings.Cut(field, ": ")
		}
		switch column.role {
		case structureKind, structureID, actionCode:
			if err := c.about(column, field, line); err != nil {
				return err
			}
		case component:
			if !column.numbers {
				c.texts[text] = field
				text++
				continue
			}
			v, err := parseNumber(field)
			if err != nil {
				return &FileError{Line: line, Column: column.header, Problem: err.Error()}
			}
			c.numbers[0] = v
		}
	}
	if c.action == 0 {
		c.action = Merge
	}
	c.read = true
	c.builder.Append(c.texts, c.numbers)
	return nil
}

// about reads a field that says what the row is of, and holds it against the first row's.
func (c *CSVReader) about(column csvInput, field string, line int) error {
	var have *string
	switch column.role {
	case structureKind:
		have, field = &c.kind, strings.ToLower(field)
		if field != "dataflow" && field != "datastructure" && field != "dataprovision" {
			return &FileError{Line: line, Column: column.header, Problem: shown(field) + " is none of dataflow, datastructure and dataprovision"}
		}
	case structureID:
		ref, err := ParseRef(field)
		if err != nil {
			return &FileError{Line: line, Column: column.header, Problem: shown(field) + " is not of the form AGENCY:ID(VERSION)"}
		}
		have, field = &c.dataflow, ref.String()
	default:
		return c.actionOf(field, line)
	}
	if !c.read {
		*have = strings.Clone(field)
	}
	if *have != field {
		return &FileError{Line: line, Column: column.header, Problem: fmt.Sprintf("%s stands after %s: a file has the rows of one dataflow", field, *have)}
	}
	return nil
}

func (c *CSVReader) actionOf(field string, line int) error {
	action := Merge
	switch field {
	case "A", "M", "I", "":
	case "R", "D":
		action = Action(field[0])
	default:
		return &FileError{Line: line, Column: "ACTION", Problem: shown(field) + " is none of A, M, I, R and D"}
	}
	if !c.read {
		c.action = action
	}
	if c.action != action {
		return &FileError{Line: line, Column: "ACTION", Problem: "differs from that of the rows before: a file has one action"}
	}
	return nil
}

// parseNumber reads a value; nothing, "NaN" and "-" are an absent one.
func parseNumber(field string) (float64, error) {
	switch field {
	case "", "NaN", "-":
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(field, 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) || strings.ContainsAny(field, "xXpP_") {
		return 0, fmt.Errorf("%s is no number; digits are expected, with a decimal point and no separators between thousands", shown(field))
	}
	return v, nil
}

// shown returns a field as a message shows it: quoted, and not longer than a line.
func shown(field string) string {
	const most = 60
	if len(field) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(field[:most], ""))
	}
	return fmt.Sprintf("%q", field)
}

func (c *CSVReader) fileError(err error) error {
	var syntax *csv.ParseError
	switch {
	case errors.Is(err, errRecordTooLong):
		return &FileError{Line: c.line + 1, Problem: fmt.Sprintf("the row is longer than %d bytes; perhaps a quotation mark is missing", maxRecord)}
	case !errors.As(err, &syntax):
		return err
	case errors.Is(err, csv.ErrFieldCount):
		return &FileError{Line: syntax.StartLine, Problem: fmt.Sprintf("has another number of fields than the header, which has %d", len(c.columns))}
	case errors.Is(err, csv.ErrQuote):
		return &FileError{Line: syntax.Line, Problem: fmt.Sprintf("the quotation mark at byte %d is not closed, or not doubled", syntax.Column)}
	case errors.Is(err, csv.ErrBareQuote):
		return &FileError{Line: syntax.Line, Problem: fmt.Sprintf("a quotation mark stands in an unquoted field, at byte %d", syntax.Column)}
	}
	return err
}

var errRecordTooLong = errors.New("record too long")

// meter bounds what may be read for one record.
type meter struct {
	in   io.Reader
	left int
}

// Read reads from the reader beneath, or fails once the record is too long.
func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := m.in.Read(p)
	m.left -= n
	return n, err
}
