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
// Lines end with a line feed, fields are quoted where RFC 4180 asks for it, and a number that is absent is an empty
// field.
type CSVWriter struct {
	out       *bufio.Writer
	structure *Structure
	options   CSVOptions
	prefix    string // the fields that begin each row
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
	switch c.options.Labels {
	case "name":
		fields = append(fields, "STRUCTURE_NAME")
		c.prefix = "dataflow," + quote(id) + "," + quote(name)
	case "both":
		c.prefix = "dataflow," + quote(both(id, name))
	default:
		c.prefix = "dataflow," + quote(id)
	}
	fields = append(fields, "ACTION")
	c.prefix += ",I"
	for _, column := range c.columns {
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
	for i := range b.Rows {
		_, _ = c.out.WriteString(c.prefix)
		for _, field := range fields {
			field(i)
		}
		if err := c.out.WriteByte('\n'); err != nil { // a bufio.Writer keeps its first error
			return err
		}
	}
	return nil
}

// field returns what writes a column of row i, with the comma before it. What is written of a code is made once.
func (c *CSVWriter) field(column csvColumn, values *block.Column) func(i int) {
	if values == nil || values.IsNumber() != column.number {
		empty := ","
		if c.options.Labels == "name" {
			empty = ",,"
		}
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
				_, _ = c.out.WriteString(formatNumber(v))
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
