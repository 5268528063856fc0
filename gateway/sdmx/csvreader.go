package sdmx

import (
	"bytes"
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

// CSVReader reads SDMX-CSV 2.1, 2.0 and 1.0.
//
//	STRUCTURE,STRUCTURE_ID,ACTION,FREQ,CITIZENSHIP,TIME_PERIOD,OBS_VALUE     versions 2.x; ACTION may be missing
//	DATAFLOW,FREQ,CITIZENSHIP,TIME_PERIOD,OBS_VALUE                          version 1.0
//
// All rows must be of one dataflow and have one action. Fields may be separated by comma, semicolon, tab or bar. With
// labels ("CITIZENSHIP: Citizenship", "SYR: Syria", or a STRUCTURE_NAME column and a column of names beside each), the
// names are left out; so are the columns SERIES_KEY and OBS_KEY. Components with several values are refused. A file that
// deletes may do without OBS_VALUE.
type CSVReader struct {
	identity
	records  csvRecords
	columns  []csvInput
	rows     *rows
	valued   bool   // there is a column OBS_VALUE
	kind     string // STRUCTURE of the row at hand, in lower case
	ref      string // STRUCTURE_ID or DATAFLOW
	does     Action // ACTION
	said     bool   // one of these three differs from the row before
	finished error
}

type csvInput struct {
	header string
	role   role
	labels bool   // values may be "code: name"
	place  int    // of the column in the rows
	last   []byte // the field of the row before, of what is said of the row
}

type role byte

const (
	left role = iota // left out
	coded
	figure
	structureKind
	structureID
	actionCode
)

const byteOrderMark = "\uFEFF"

// NewCSVReader reads the header. The error is a [*FileError] where it is no header of SDMX-CSV.
func NewCSVReader(r io.Reader) (*CSVReader, error) {
	c := &CSVReader{rows: newRows(), records: csvRecords{in: r, line: 1}, does: Information}
	for c.records.end < 64 && !c.records.ended {
		if err := c.records.more(); err != nil {
			return nil, err
		}
	}
	if bytes.HasPrefix(c.records.buffer[:c.records.end], []byte(byteOrderMark)) {
		c.records.start = len(byteOrderMark)
	}
	start := c.records.buffer[c.records.start:c.records.end]
	delimiter, ok := delimiterOf(string(start[:min(len(start), 64)]))
	if !ok {
		return nil, &FileError{Line: 1, Problem: "is no header of SDMX-CSV in UTF-8: it begins with STRUCTURE,STRUCTURE_ID or with DATAFLOW; a national file needs a layout"}
	}
	c.records.delimiter = delimiter
	fields, _, err := c.records.next()
	if err != nil {
		return nil, err
	}
	header := make([]string, len(fields))
	for i, field := range fields {
		header[i] = string(field)
	}
	if err := c.readHeader(header); err != nil {
		return nil, err
	}
	return c, nil
}

// delimiterOf returns what separates the first field of the header from the second.
func delimiterOf(start string) (byte, bool) {
	line := strings.TrimPrefix(start, `"`)
	for _, first := range []string{"STRUCTURE", "DATAFLOW"} {
		rest, ok := strings.CutPrefix(line, first)
		if !ok {
			continue
		}
		if strings.HasPrefix(rest, "[") && len(rest) > 2 && rest[2] == ']' { // separates several values of one field
			rest = rest[3:]
		}
		rest = strings.TrimPrefix(rest, `"`)
		if rest != "" && strings.IndexByte(",;\t|", rest[0]) >= 0 {
			return rest[0], true
		}
	}
	return 0, false
}

func (c *CSVReader) readHeader(header []string) error {
	if len(header) > maxColumns {
		return &FileError{Line: 1, Problem: fmt.Sprintf("has %d columns, at most %d are read", len(header), maxColumns)}
	}
	version1 := header[0] == "DATAFLOW"
	names := slices.Contains(header, "STRUCTURE_NAME") // a column of names beside each component
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
		case id == block.ObsValue:
			column = csvInput{header: id, role: figure, labels: labelled}
			c.valued = true
		default:
			column = csvInput{header: id, role: coded, labels: labelled}
			column.place, _ = c.rows.column(id) // there are not too many: see above
		}
		seen[id] = true
		c.columns = append(c.columns, column)
		if names && (column.role == coded || column.role == figure) && i+1 < len(header) {
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
	case !c.valued && !has(actionCode):
		return &FileError{Line: 1, Problem: "has no column " + block.ObsValue}
	case !seen[block.TimePeriod]:
		return &FileError{Line: 1, Problem: "has no column " + block.TimePeriod}
	}
	if version1 {
		c.kind = "dataflow"
	}
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

// Blocks gives the rows. From the first that is wrong on there are none, but the file is read on to find what else is
// wrong.
func (c *CSVReader) Blocks() iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		for {
			b, err := c.next()
			if errors.Is(err, io.EOF) || !yield(b, err) || err != nil {
				return
			}
		}
	}
}

func (c *CSVReader) next() (*block.Block, error) {
	for c.finished == nil {
		fields, line, err := c.records.next()
		if err != nil {
			if err = c.end(err); err != nil {
				return nil, err
			}
		} else if wrong := c.row(fields, line); wrong != nil {
			c.rows.drop()
			if !c.rows.wrong(wrong) {
				c.finished = io.EOF
			}
		}
		if !c.rows.full() {
			continue
		}
		if c.rows.problem == nil {
			return c.rows.take(), nil
		}
		c.rows.forget()
	}
	if c.rows.problem != nil {
		return nil, c.rows.problem
	}
	if b := c.rows.take(); b != nil {
		return b, nil
	}
	return nil, c.finished
}

// end ends the file. After a record that is wrong nobody knows where the next begins.
func (c *CSVReader) end(err error) error {
	c.finished = io.EOF
	var found *FileError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case errors.As(err, &found):
		c.rows.wrong(found)
		return nil
	}
	c.finished = err
	return err
}

func (c *CSVReader) row(fields [][]byte, line int) *FileError {
	if len(fields) != len(c.columns) {
		return &FileError{Line: line, Problem: fmt.Sprintf("has %d fields, the header has %d", len(fields), len(c.columns))}
	}
	value := math.NaN()
	for i := range c.columns {
		column, field := &c.columns[i], fields[i]
		if column.labels {
			field, _, _ = bytes.Cut(field, []byte(": "))
		}
		switch column.role {
		case coded:
			if !c.rows.put(column.place, field) {
				return &FileError{Line: line, Column: column.header, Problem: "is not UTF-8 text"}
			}
		case figure:
			v, err := parseNumber(field)
			if err != nil {
				return &FileError{Line: line, Column: column.header, Problem: err.Error()}
			}
			value = v
		case structureKind, structureID, actionCode:
			if c.known && !c.said && bytes.Equal(field, column.last) {
				continue
			}
			c.said = true
			if problem := c.about(column.role, field); problem != "" {
				return &FileError{Line: line, Column: column.header, Problem: problem}
			}
			column.last = append(column.last[:0], field...)
		}
	}
	if c.said {
		if wrong := c.same(line); wrong != nil {
			return wrong
		}
		c.said = false
	}
	c.rows.end(value, line)
	return nil
}

// about reads a field that says what the row is of.
func (c *CSVReader) about(r role, field []byte) (problem string) {
	if !utf8.Valid(field) {
		return "is not UTF-8 text"
	}
	text := string(field)
	switch r {
	case structureKind:
		c.kind = strings.ToLower(text)
		if c.kind != "dataflow" && c.kind != "datastructure" && c.kind != "dataprovision" {
			return shown(text) + " is none of dataflow, datastructure and dataprovision"
		}
	case structureID:
		ref, err := ParseRef(text)
		if err != nil {
			return shown(text) + " is not of the form AGENCY:ID(VERSION)"
		}
		c.ref = ref.String()
	default:
		switch {
		case text == "":
			c.does = Information
		case len(text) == 1 && strings.Contains("AMIRD", text):
			c.does = Action(text[0])
		default:
			return shown(text) + " is none of A, M, I, R and D"
		}
	}
	return ""
}

// same holds what is said of the row against what is said of the first.
func (c *CSVReader) same(line int) *FileError {
	first := c.identity
	problem := c.agree(c.kind, c.ref, c.does)
	if problem == "" {
		if !c.valued && c.does != Delete {
			return &FileError{Line: 1, Problem: "has no column " + block.ObsValue}
		}
		return nil
	}
	wrong := structureKind
	switch {
	case first.kind != c.kind:
	case first.ref != c.ref:
		wrong = structureID
	default:
		wrong = actionCode
	}
	at := slices.IndexFunc(c.columns, func(column csvInput) bool { return column.role == wrong })
	return &FileError{Line: line, Column: c.columns[at].header, Problem: problem}
}

// shown returns a field as a message shows it: quoted, and not longer than a line.
func shown(field string) string {
	const most = 60
	if len(field) > most {
		return fmt.Sprintf("%q…", strings.ToValidUTF8(field[:most], ""))
	}
	return fmt.Sprintf("%q", field)
}
