// Package ndjson reads records of events, one flat JSON object a line, as blocks:
//
//	{"FREQ":"M","SEX":"F","TIME_PERIOD":"2023-01-31T17:45:00Z","_RECORD_KEY":3141592653}
//
// A member is a column. Its values are texts, or whole numbers, which stand for their digits; those of _RECORD_KEY and
// _SIGN are numbers. There are no lists, objects, truth values or nulls, a member stands once in a line, and a line has at
// most 64 KiB. Lines of blanks are passed over. Errors say where something is wrong, and never what stands there, since that
// may be what no record of events may hold.
package ndjson

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
)

const (
	// MaxLine is the most bytes that a line may have, its end left out.
	MaxLine = 64 << 10
	// MaxMembers is the most columns that the lines of a block may have together.
	MaxMembers = 64

	blockRows = 8192
	blockText = 1 << 20 // bytes of distinct values, from which on a block is full
)

// isNumeric reports whether a member is a number in blocks too.
func isNumeric(name string) bool { return name == "_RECORD_KEY" || name == "_SIGN" }

// Error says what is wrong with a line.
type Error struct {
	Line    int // from 1
	Problem string
}

// Error returns "line 3: …".
func (e *Error) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Problem) }

// Reader reads blocks. They have a column [block.Line].
type Reader struct {
	in      *bufio.Reader
	line    int
	columns []column
	names   map[string]int
	lines   []float64
	text    int   // bytes of distinct values of the block
	err     error // comes after the block that is being made
}

// column is a column of the block that is being made.
type column struct {
	name       string
	positions  map[string]uint32
	dictionary []string
	codes      []uint32
	numbers    []float64 // nil: the column is coded
}

// NewReader returns a reader of the lines.
func NewReader(in io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(in, MaxLine+2)}
}

// Next returns the next block, io.EOF after the last one, an *Error where a line is wrong.
func (r *Reader) Next() (*block.Block, error) {
	if r.err != nil {
		return nil, r.err
	}
	r.columns, r.names, r.lines, r.text = nil, map[string]int{}, nil, 0
	for len(r.lines) < blockRows && r.text < blockText {
		line, err := r.next()
		if err != nil {
			r.err = err
			break
		}
		if err := r.object(line); err != nil {
			r.err = err
			return nil, err
		}
	}
	if len(r.lines) == 0 {
		return nil, r.err
	}
	b := &block.Block{Rows: len(r.lines), Columns: make([]block.Column, 0, len(r.columns)+1)}
	for i := range r.columns {
		c := &r.columns[i]
		b.Columns = append(b.Columns, block.Column{Component: c.name, Dictionary: c.dictionary, Codes: c.codes, Numbers: c.numbers})
	}
	b.Columns = append(b.Columns, block.Column{Component: block.Line, Numbers: r.lines})
	return b, nil
}

// next returns the next line that is not blank.
func (r *Reader) next() ([]byte, error) {
	for {
		line, err := r.in.ReadSlice('\n')
		r.line++
		if r.line == 1 {
			line = bytes.TrimPrefix(line, []byte("\ufeff"))
		}
		trimmed := bytes.Trim(line, " \t\r\n")
		switch {
		case errors.Is(err, bufio.ErrBufferFull) || len(bytes.TrimRight(line, "\r\n")) > MaxLine:
			return nil, r.wrong("is longer than %d bytes", MaxLine)
		case err != nil && (!errors.Is(err, io.EOF) || len(trimmed) == 0):
			return nil, err
		case len(trimmed) > 0:
			return trimmed, nil
		}
	}
}

func (r *Reader) wrong(format string, args ...any) error {
	return &Error{Line: r.line, Problem: fmt.Sprintf(format, args...)}
}

// object reads a line into a row.
func (r *Reader) object(line []byte) error {
	p := parser{rest: line}
	row := len(r.lines)
	if !p.take('{') {
		return r.wrong("is no JSON object")
	}
	for member := 1; !p.take('}'); member++ {
		if member > 1 && !p.take(',') {
			return r.wrong("is no JSON object: after member %d comes neither a comma nor the end", member-1)
		}
		name, err := p.text()
		if err != nil || !p.take(':') {
			return r.wrong("is no JSON object: member %d has no name", member)
		}
		c, err := r.column(name, member)
		if err != nil {
			return err
		}
		if len(c.codes)+len(c.numbers) > row {
			return r.wrong("member %d has the name of one before it", member)
		}
		if err := r.value(&p, c, member); err != nil {
			return err
		}
	}
	if p.skip(); len(p.rest) > 0 {
		return r.wrong("goes on after the object: one object a line")
	}
	r.lines = append(r.lines, float64(r.line))
	for i := range r.columns {
		r.columns[i].fill(len(r.lines))
	}
	return nil
}

// column returns the column of a member, filled up to before the row.
func (r *Reader) column(name []byte, member int) (*column, error) {
	if i, ok := r.names[string(name)]; ok {
		return &r.columns[i], nil
	}
	switch {
	case len(r.columns) == MaxMembers:
		return nil, r.wrong("has members that make more than %d columns", MaxMembers)
	case len(name) == 0 || !utf8.Valid(name) || string(name) == block.Line:
		return nil, r.wrong("member %d has a name that none may have", member)
	}
	c := column{name: string(name), positions: map[string]uint32{}}
	if isNumeric(c.name) {
		c.numbers = make([]float64, 0, blockRows)
	}
	c.fill(len(r.lines))
	r.names[c.name] = len(r.columns)
	r.columns = append(r.columns, c)
	r.text += len(name)
	return &r.columns[len(r.columns)-1], nil
}

// fill makes the column absent in the rows before that it has nothing for.
func (c *column) fill(rows int) {
	for c.numbers != nil && len(c.numbers) < rows {
		c.numbers = append(c.numbers, math.NaN())
	}
	for c.numbers == nil && len(c.codes) < rows {
		c.add(nil)
	}
}

// add appends a text, and returns how many bytes are new.
func (c *column) add(text []byte) int {
	code, ok := c.positions[string(text)]
	if !ok {
		code = uint32(len(c.dictionary)) //nolint:gosec // at most one for each row
		added := string(text)
		c.dictionary = append(c.dictionary, added)
		c.positions[added] = code
	}
	c.codes = append(c.codes, code)
	if ok {
		return 0
	}
	return len(text)
}

// value reads the value of a member.
func (r *Reader) value(p *parser, c *column, member int) error {
	p.skip()
	if len(p.rest) > 0 && p.rest[0] == '"' {
		text, err := p.text()
		switch {
		case err != nil:
			return r.wrong("member %d is no JSON text", member)
		case c.numbers != nil:
			return r.wrong("member %d is a text, and has to be a number", member)
		case !utf8.Valid(text):
			return r.wrong("member %d is no UTF-8", member)
		}
		r.text += c.add(text)
		return nil
	}
	token := p.number()
	switch {
	case len(token) == 0:
		return r.wrong("member %d is neither a text nor a number", member)
	case c.numbers != nil:
		number, err := strconv.ParseFloat(string(token), 64)
		if err != nil || !json.Valid(token) {
			return r.wrong("member %d is no JSON number, or too large", member)
		}
		c.numbers = append(c.numbers, number)
	default:
		if !isWhole(token) {
			return r.wrong("member %d is no whole number; codes and periods are texts", member)
		}
		r.text += c.add(token)
	}
	return nil
}

// isWhole reports whether the token is a whole number as JSON writes it.
func isWhole(token []byte) bool {
	for _, digit := range token {
		if digit < '0' || digit > '9' {
			return false
		}
	}
	return token[0] != '0' || len(token) == 1
}

// parser takes tokens of JSON from a line.
type parser struct{ rest []byte }

func (p *parser) skip() {
	for len(p.rest) > 0 && (p.rest[0] == ' ' || p.rest[0] == '\t' || p.rest[0] == '\r') {
		p.rest = p.rest[1:]
	}
}

// take takes a mark, if it comes next.
func (p *parser) take(mark byte) bool {
	p.skip()
	if len(p.rest) == 0 || p.rest[0] != mark {
		return false
	}
	p.rest = p.rest[1:]
	return true
}

var errNoText = errors.New("no JSON text")

// text takes a JSON string and returns what it says. It is valid as long as the line is.
func (p *parser) text() ([]byte, error) {
	if !p.take('"') {
		return nil, errNoText
	}
	escaped := false
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '"':
			text := p.rest[:i]
			p.rest = p.rest[i+1:]
			if escaped {
				return unescaped(text)
			}
			return text, nil
		case c == '\\':
			escaped = true
			i++
		case c < ' ':
			return nil, errNoText
		}
	}
	return nil, errNoText
}

func unescaped(text []byte) ([]byte, error) {
	quoted := append(append([]byte{'"'}, text...), '"')
	var plain string
	if !utf8.Valid(text) || json.Unmarshal(quoted, &plain) != nil {
		return nil, errNoText
	}
	return []byte(plain), nil
}

// number takes what may be a JSON number; nothing where something else comes.
func (p *parser) number() []byte {
	n := 0
	for n < len(p.rest) && (p.rest[n] >= '0' && p.rest[n] <= '9' || bytes.IndexByte([]byte("+-.eE"), p.rest[n]) >= 0) {
		n++
	}
	token := p.rest[:n]
	p.rest = p.rest[n:]
	return token
}
