// Package block holds the one shape in which observations travel: a few thousand rows, column by column.
//
// Dimensions, attributes and TIME_PERIOD are coded columns: each row has a position in a dictionary of distinct
// values. OBS_VALUE is a column of numbers. A column whose id starts with "_" says something about the row itself:
// [Line] is its line in the uploaded file, [Provider] the state whose figure it is.
//
//	FREQ  CITIZENSHIP  TIME_PERIOD  OBS_VALUE
//	M     SYR          2023-01      1204
//	M     AFG          2023-01      877
package block

import (
	"fmt"
	"math"
)

// Ids of the components that every block of figures has, and of the columns about rows.
const (
	TimePeriod = "TIME_PERIOD"
	ObsValue   = "OBS_VALUE"
	ObsStatus  = "OBS_STATUS"
	ConfStatus = "CONF_STATUS"
	Comment    = "COMMENT"
	Line       = "_LINE"
	Provider   = "_PROVIDER"
)

// MaxRows is the most rows that a block may have on the wire.
const MaxRows = 65_536

// Block is a run of rows. Every column has Rows entries.
type Block struct {
	Rows    int
	Columns []Column
}

// Column holds one component of every row: coded where Numbers is nil, else as numbers.
type Column struct {
	Component  string
	Dictionary []string  // distinct values; "" means absent
	Codes      []uint32  // for each row, a position in Dictionary
	Numbers    []float64 // for each row, the number; NaN means absent
}

// IsNumber reports whether the column holds numbers.
func (c *Column) IsNumber() bool { return c.Numbers != nil }

// Text returns the value of a coded column in row i; "" means absent.
func (c *Column) Text(i int) string { return c.Dictionary[c.Codes[i]] }

// Column returns the column of the component, or nil.
func (b *Block) Column(component string) *Column {
	for i := range b.Columns {
		if b.Columns[i].Component == component {
			return &b.Columns[i]
		}
	}
	return nil
}

// Check reports the first way in which b is not a block: a column of another length, a code outside its dictionary, an
// infinite number, a component that stands twice, more than [MaxRows] rows.
func (b *Block) Check() error {
	if b.Rows < 0 || b.Rows > MaxRows {
		return fmt.Errorf("block has %d rows, at most %d are allowed", b.Rows, MaxRows)
	}
	seen := make(map[string]bool, len(b.Columns))
	for i := range b.Columns {
		c := &b.Columns[i]
		if c.Component == "" {
			return fmt.Errorf("column %d has no component", i)
		}
		if seen[c.Component] {
			return fmt.Errorf("component %s stands twice", c.Component)
		}
		seen[c.Component] = true
		if err := c.check(b.Rows); err != nil {
			return fmt.Errorf("column %s: %w", c.Component, err)
		}
	}
	return nil
}

func (c *Column) check(rows int) error {
	if c.IsNumber() {
		if len(c.Numbers) != rows {
			return fmt.Errorf("has %d numbers for %d rows", len(c.Numbers), rows)
		}
		for i, v := range c.Numbers {
			if math.IsInf(v, 0) {
				return fmt.Errorf("row %d is infinite", i)
			}
		}
		return nil
	}
	if len(c.Codes) != rows {
		return fmt.Errorf("has %d codes for %d rows", len(c.Codes), rows)
	}
	for i, code := range c.Codes {
		if int(code) >= len(c.Dictionary) {
			return fmt.Errorf("row %d has code %d, the dictionary has %d values", i, code, len(c.Dictionary))
		}
	}
	return nil
}

// Builder makes a block row by row.
//
//	b := block.NewBuilder([]string{"FREQ", block.TimePeriod}, []string{block.ObsValue})
//	b.Append([]string{"M", "2023-01"}, []float64{1204})
//	blk := b.Block()
type Builder struct {
	block     Block
	coded     int
	positions []map[string]uint32
}

// NewBuilder returns a builder for blocks with the coded columns first, then the numbers.
func NewBuilder(coded, numbers []string) *Builder {
	b := &Builder{coded: len(coded)}
	for _, id := range coded {
		b.block.Columns = append(b.block.Columns, Column{Component: id})
	}
	for _, id := range numbers {
		b.block.Columns = append(b.block.Columns, Column{Component: id, Numbers: []float64{}})
	}
	b.Reset()
	return b
}

// Reset begins an empty block with the same columns.
func (b *Builder) Reset() {
	columns := make([]Column, len(b.block.Columns))
	b.positions = make([]map[string]uint32, b.coded)
	for i := range columns {
		columns[i].Component = b.block.Columns[i].Component
		if i < b.coded {
			b.positions[i] = map[string]uint32{}
		} else {
			columns[i].Numbers = []float64{}
		}
	}
	b.block = Block{Columns: columns}
}

// Append adds a row: a text for each coded column, a number for each column of numbers, in their order.
func (b *Builder) Append(texts []string, numbers []float64) {
	for i, text := range texts {
		c := &b.block.Columns[i]
		code, ok := b.positions[i][text]
		if !ok {
			code = uint32(len(c.Dictionary)) //nolint:gosec // a dictionary has no more values than a block has rows
			c.Dictionary = append(c.Dictionary, text)
			b.positions[i][text] = code
		}
		c.Codes = append(c.Codes, code)
	}
	for i, v := range numbers {
		c := &b.block.Columns[b.coded+i]
		c.Numbers = append(c.Numbers, v)
	}
	b.block.Rows++
}

// Rows returns how many rows were appended since the last Reset.
func (b *Builder) Rows() int { return b.block.Rows }

// Block returns the block made so far. It is valid until Append is called again; after Reset it stays as it is.
func (b *Builder) Block() *Block {
	made := b.block
	return &made
}
