package sdmx

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
)

// Limits of what is held at once.
const (
	maxColumns = 1000
	blockRows  = 8192
	blockBytes = 1 << 20 // of text in the dictionaries of a block
	keptTexts  = 1 << 16 // distinct texts that a column remembers from block to block
	keptBytes  = 4 << 20 // and their bytes, over all columns
)

// rows makes blocks of rows that come value by value.
//
//	r.column("FREQ")            // 0, the first time that it is named
//	r.put(0, []byte("M"))
//	r.end(1204, 7)              // the row's value and line; columns that it did not name are absent
//
// A text is made a string once, however many rows have it, and its code is looked up at most once a row.
type rows struct {
	columns []codes
	byID    map[string]int
	values  []float64
	lines   []float64
	number  int // of the block, from 1
	size    int // bytes of the dictionaries
	kept    int // bytes that the columns remember
	problem FileErrors
}

// codes is a coded column.
type codes struct {
	component  string
	known      map[string]*word
	last       *word
	dictionary []string
	codes      []uint32
}

// word is a distinct value of a column.
type word struct {
	value string
	block int // the last block that has it
	code  uint32
	next  *word // what came after it last time: in files that are sorted, mostly what comes next
}

func newRows() *rows { return &rows{byID: map[string]int{}, number: 1} }

// column returns the place of the component's column. A new one is absent in the rows before.
func (r *rows) column(id string) (place int, ok bool) {
	if place, ok := r.byID[id]; ok {
		return place, true
	}
	if len(r.columns) == maxColumns {
		return 0, false
	}
	r.byID[id] = len(r.columns)
	r.columns = append(r.columns, codes{component: id, known: map[string]*word{}, last: &word{}})
	return len(r.columns) - 1, true
}

// put gives the row at hand the value of a column. It fails where the value is not UTF-8 text.
func (r *rows) put(place int, value []byte) bool {
	c := &r.columns[place]
	t := c.last.next
	if t == nil || t.value != string(value) {
		if t = c.known[string(value)]; t == nil {
			if !utf8.Valid(value) || bytes.IndexByte(value, 0) >= 0 {
				return false
			}
			t = &word{value: string(value)}
			c.known[t.value] = t
			r.kept += len(value)
		}
		c.last.next = t
	}
	c.last = t
	if t.block != r.number {
		t.block, t.code = r.number, uint32(len(c.dictionary)) //nolint:gosec // a dictionary has no more values than a block has rows
		c.dictionary = append(c.dictionary, t.value)
		r.size += len(t.value)
	}
	if missing := len(r.values) - len(c.codes); missing > 0 {
		r.pad(place)
	}
	if len(c.codes) > len(r.values) { // a value that stands twice: the later counts
		c.codes[len(r.values)] = t.code
		return true
	}
	c.codes = append(c.codes, t.code)
	return true
}

// pad fills the column up with absent values, for the rows before the one at hand.
func (r *rows) pad(place int) {
	c := &r.columns[place]
	missing := len(r.values) - len(c.codes)
	absent := c.absent(r.number)
	for range missing {
		c.codes = append(c.codes, absent)
	}
}

// absent returns the code of "".
func (c *codes) absent(number int) uint32 {
	t := c.known[""]
	if t == nil {
		t = &word{}
		c.known[""] = t
	}
	if t.block != number {
		t.block, t.code = number, uint32(len(c.dictionary)) //nolint:gosec // as above
		c.dictionary = append(c.dictionary, "")
	}
	return t.code
}

// end ends the row at hand.
func (r *rows) end(value float64, line int) {
	r.values = append(r.values, value)
	r.lines = append(r.lines, float64(line))
}

// drop forgets what was put in the row at hand.
func (r *rows) drop() {
	for i := range r.columns {
		c := &r.columns[i]
		c.codes = c.codes[:min(len(c.codes), len(r.values))]
	}
}

// full reports whether the block at hand should be taken.
func (r *rows) full() bool { return len(r.values) >= blockRows || r.size >= blockBytes }

// take returns the block made so far and begins the next; nil where there are no rows.
func (r *rows) take() *block.Block {
	if len(r.values) == 0 {
		return nil
	}
	b := &block.Block{Rows: len(r.values), Columns: make([]block.Column, 0, len(r.columns)+2)}
	for i := range r.columns {
		r.pad(i)
		c := &r.columns[i]
		b.Columns = append(b.Columns, block.Column{Component: c.component, Dictionary: c.dictionary, Codes: c.codes})
	}
	b.Columns = append(b.Columns,
		block.Column{Component: block.ObsValue, Numbers: r.values}, block.Column{Component: block.Line, Numbers: r.lines})
	r.begin(b.Rows)
	return b
}

// forget drops the rows made so far.
func (r *rows) forget() { r.begin(0) }

func (r *rows) begin(size int) {
	r.number++
	r.size = 0
	r.values, r.lines = make([]float64, 0, size), make([]float64, 0, size)
	forget := r.kept > keptBytes
	if forget {
		r.kept = 0
	}
	for i := range r.columns {
		c := &r.columns[i]
		c.dictionary, c.codes = nil, make([]uint32, 0, size)
		if forget || len(c.known) > keptTexts {
			c.known, c.last = map[string]*word{}, &word{}
		}
	}
}

// wrong notes what is wrong with the message, and reports whether to look for more of it.
func (r *rows) wrong(e *FileError) bool {
	r.problem = append(r.problem, e)
	return len(r.problem) < MaxFileErrors
}

// powers are those of ten that a float64 holds exactly.
var powers = [...]float64{1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// parseNumber reads a value; nothing, "NaN" and "-" are an absent one. A number of at most 15 digits is the quotient of
// two integers that a float64 holds exactly, and so is rounded once and correctly (Clinger 1990).
func parseNumber(field []byte) (float64, error) {
	digits, rest := field, uint64(0)
	if len(field) > 0 && field[0] == '-' {
		digits = field[1:]
	}
	point := -1
	for i, c := range digits {
		switch {
		case c >= '0' && c <= '9':
			rest = rest*10 + uint64(c-'0')
			continue
		case c == '.' && point < 0:
			point = i
			continue
		}
		return parseOther(field)
	}
	count, decimals := len(digits), 0
	if point >= 0 {
		count, decimals = count-1, count-1-point
	}
	if count == 0 || count > 15 {
		return parseOther(field)
	}
	v := float64(rest) / powers[decimals]
	if len(digits) < len(field) {
		v = -v
	}
	return v, nil
}

func parseOther(field []byte) (float64, error) {
	switch string(field) {
	case "", "NaN", "-":
		return math.NaN(), nil
	}
	v, err := strconv.ParseFloat(string(field), 64)
	if err != nil || math.IsInf(v, 0) || math.IsNaN(v) || bytes.ContainsAny(field, "xXpP_") {
		return 0, fmt.Errorf("%s is no number; digits are expected, with a decimal point and no separators between thousands", shown(string(field)))
	}
	return v, nil
}
