package sdmx

import (
	"bufio"
	"io"
	"math"
	"strings"

	"github.com/comity-federation/comity/proto/block"
)

// Writer writes a data message, block by block. Close ends it; a message that was not closed is not well formed, or
// must be made known as cut off by other means.
type Writer interface {
	Write(b *block.Block) error
	Flush() error
	Close() error
}

// CSVWriter writes SDMX-CSV 2.1, which is SDMX-CSV 2.0 as well:
//
//	STRUCTURE,STRUCTURE_ID,ACTION,FREQ,CITIZENSHIP,TIME_PERIOD,OBS_VALUE,OBS_STATUS
//	dataflow,COMITY:BORDER(1.0.0),I,M,SYR,2023-01,1204,A
//
// Where blocks have a column _ACTION, it says what has happened to each row: M, it is new or has changed, or D, it is gone.
// Of a row that is gone only the key is written. Lines end with a line feed, fields are quoted where RFC 4180 asks for it, and a number that is absent is an empty
// field.
type CSVWriter struct {
	out       *bufio.Writer
	structure *Structure
	options   CSVOptions
	prefix    map[Action]string // the fields that begin a row
	gone      string            // what follows the key of a row that is gone
	begun     bool
	columns   []csvColumn
}

// CSVOptions are the choices that SDMX-CSV gives.
type CSVOptions struct {
	Labels      string // "" or "id": codes; "name": a column for the name beside each; "both": "code: name" in one column
	Language    string // of the names
	WithoutData bool   // leaves OBS_VALUE out
}

type csvColumn struct {
	component Component
	number    bool
}

// NewCSVWriter returns a writer; nothing is written before the first Write.
func NewCSVWriter(w io.Writer, s *Structure, options CSVOptions) *CSVWriter {
	c := &CSVWriter{out: bufio.NewWriterSize(w, 64<<10), structure: s, options: options}
	for _, d := range s.Dimensions {
		c.columns = append(c.columns, csvColumn{component: d})
	}
	c.columns = append(c.columns, csvColumn{component: Component{ID: block.TimePeriod}})
	if !options.WithoutData {
		c.columns = append(c.columns, csvColumn{component: Component{ID: block.ObsValue}, number: true})
	}
	for _, a := range s.Attributes {
		c.columns = append(c.columns, csvColumn{component: a})
	}
	return c
}

func (c *CSVWriter) header() {
	id := c.structure.Dataflow.String()
	name := c.structure.Names.In(c.options.Language)
	fields := []string{"STRUCTURE", "STRUCTURE_ID"}
	prefix := "dataflow," + quote(id)
	switch c.options.Labels {
	case "name":
		fields = append(fields, "STRUCTURE_NAME")
		prefix += "," + quote(name)
	case "both":
		prefix = "dataflow," + quote(both(id, name))
	}
	c.prefix = map[Action]string{Information: prefix + ",I", Merge: prefix + ",M", Delete: prefix + ",D"}
	fields = append(fields, "ACTION")
	for i, column := range c.columns {
		id, name := column.component.ID, column.component.Names.In(c.options.Language)
		switch c.options.Labels {
		case "name":
			if name == "" {
				name = id
			}
			fields = append(fields, id, name)
		case "both":
			fields = append(fields, both(id, name))
		default:
			fields = append(fields, id)
		}
		if i > len(c.structure.Dimensions) {
			c.gone += c.empty()
		}
	}
	for i, field := range fields {
		if i > 0 {
			_ = c.out.WriteByte(',')
		}
		_, _ = c.out.WriteString(quote(field))
	}
	_ = c.out.WriteByte('\n')
	c.begun = true
}

// Write writes the rows of a block. Columns that the structure does not have are left out.
func (c *CSVWriter) Write(b *block.Block) error {
	if !c.begun {
		c.header()
	}
	fields := make([]func(i int), len(c.columns))
	for n, column := range c.columns {
		fields[n] = c.field(column, b.Column(column.component.ID))
	}
	action, last := actions(b), Information
	prefix, written, rest := c.prefix[last], fields, ""
	for i := range b.Rows {
		if action != nil && action(i) != last {
			last = action(i)
			prefix, written, rest = c.prefix[last], fields, ""
			if last == Delete {
				written, rest = fields[:len(c.structure.Dimensions)+1], c.gone
			}
		}
		_, _ = c.out.WriteString(prefix)
		for _, field := range written {
			field(i)
		}
		_, _ = c.out.WriteString(rest)
		if err := c.out.WriteByte('\n'); err != nil { // a bufio.Writer keeps its first error
			return err
		}
	}
	return nil
}

// actions returns what gives the action of row i; nil where rows have none.
func actions(b *block.Block) func(i int) Action {
	column := b.Column(actionColumn)
	if column == nil || column.IsNumber() {
		return nil
	}
	said := make([]Action, len(column.Dictionary))
	for i, text := range column.Dictionary {
		said[i] = Merge
		if text == "D" {
			said[i] = Delete
		}
	}
	return func(i int) Action { return said[column.Codes[i]] }
}

// actionColumn says of a row of changes what has happened to it.
const actionColumn = "_ACTION"

// empty is the field of a component that is absent.
func (c *CSVWriter) empty() string {
	if c.options.Labels == "name" {
		return ",,"
	}
	return ","
}

// field returns what writes a column of row i, with the comma before it. What is written of a code is made once.
func (c *CSVWriter) field(column csvColumn, values *block.Column) func(i int) {
	if values == nil || values.IsNumber() != column.number {
		empty := c.empty()
		return func(int) { _, _ = c.out.WriteString(empty) }
	}
	if values.IsNumber() {
		end := ""
		if c.options.Labels == "name" {
			end = ","
		}
		return func(i int) {
			_ = c.out.WriteByte(',')
			if v := values.Numbers[i]; !math.IsNaN(v) {
				_, _ = c.out.Write(appendNumber(c.out.AvailableBuffer(), v))
			}
			_, _ = c.out.WriteString(end)
		}
	}
	texts := make([]string, len(values.Dictionary))
	for i, code := range values.Dictionary {
		texts[i] = "," + c.label(column.component, code)
	}
	return func(i int) { _, _ = c.out.WriteString(texts[values.Codes[i]]) }
}

func (c *CSVWriter) label(component Component, code string) string {
	name := component.Codes[code].Names.In(c.options.Language)
	switch {
	case c.options.Labels == "name":
		return quote(code) + "," + quote(name)
	case c.options.Labels == "both" && code != "":
		return quote(both(code, name))
	}
	return quote(code)
}

func both(id, name string) string {
	if name == "" {
		return id
	}
	return id + ": " + name
}

// quote returns the field as RFC 4180 writes it.
func quote(field string) string {
	if !strings.ContainsAny(field, "\",\r\n") {
		return field
	}
	return `"` + strings.ReplaceAll(field, `"`, `""`) + `"`
}

// Flush hands on what was written so far.
func (c *CSVWriter) Flush() error { return c.out.Flush() }

// Close ends the message. Without a row it is the header alone.
func (c *CSVWriter) Close() error {
	if !c.begun {
		c.header()
	}
	return c.out.Flush()
}
