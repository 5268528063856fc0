package sdmx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// maxRecord is the longest record that is read, in bytes.
const maxRecord = 1 << 20

// csvRecords reads records of CSV (RFC 4180). It holds one record and what was read after it.
//
// A record without a quotation mark, which is nearly every one, is a line cut at the delimiters; nothing of it is copied.
// Empty lines are left out, and a line may end with a carriage return before the line feed.
type csvRecords struct {
	in        io.Reader
	delimiter byte
	buffer    []byte
	start     int // of what is not yet read, in buffer
	end       int
	ended     bool // there is nothing after buffer
	line      int  // of the next record
	fields    [][]byte
}

// next returns the fields of the next record and its line. They are valid until the call after. The error is io.EOF at the
// end, a [*FileError] where quotation marks are wrong or the record is too long, or the reader's.
func (c *csvRecords) next() (fields [][]byte, line int, err error) {
	for searched := 0; ; {
		line = c.line
		rest := c.buffer[c.start:c.end]
		found := bytes.IndexByte(rest[searched:], '\n')
		if found < 0 && !c.ended {
			searched = len(rest)
			if err := c.more(); err != nil {
				return nil, line, err
			}
			continue
		}
		if found < 0 && len(rest) == 0 {
			return nil, line, io.EOF
		}
		length, used := len(rest), len(rest)
		if found >= 0 {
			length, used = searched+found, searched+found+1
		}
		record := rest[:length]
		if length > 0 && record[length-1] == '\r' {
			record = record[:length-1]
		}
		if bytes.IndexByte(record, '"') >= 0 {
			return c.quoted()
		}
		c.start += used
		c.line++
		searched = 0
		if len(record) == 0 {
			continue
		}
		c.split(record)
		return c.fields, line, nil
	}
}

// split cuts a record without quotation marks. Fields are short, so looking at each byte is faster than searching.
func (c *csvRecords) split(record []byte) {
	fields, from, delimiter := c.fields[:0], 0, c.delimiter
	for i, b := range record {
		if b == delimiter {
			fields = append(fields, record[from:i])
			from = i + 1
		}
	}
	c.fields = append(fields, record[from:])
}

// more reads as many bytes again as are held, so that a record which comes in small parts is not looked through for each
// of them.
func (c *csvRecords) more() error {
	held := c.end - c.start
	if held > maxRecord {
		return &FileError{Line: c.line, Problem: fmt.Sprintf("the row is longer than %d bytes; perhaps a quotation mark is missing", maxRecord)}
	}
	if need := 2*held + readSize; need > len(c.buffer) {
		larger := make([]byte, need)
		copy(larger, c.buffer[c.start:c.end])
		c.buffer = larger
	} else {
		copy(c.buffer, c.buffer[c.start:c.end])
	}
	c.start, c.end = 0, held
	for want := max(held, 1); c.end-held < want; {
		n, err := c.in.Read(c.buffer[c.end:])
		c.end += n
		if errors.Is(err, io.EOF) {
			c.ended = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// readSize is how many bytes are asked of the reader beneath, at least.
const readSize = 256 << 10

// span is a field of a record in the buffer; quoted says that it holds doubled quotation marks or line ends.
type span struct {
	from, to int
	quoted   bool
}

// quoted reads a record that has a quotation mark.
func (c *csvRecords) quoted() (fields [][]byte, line int, err error) {
	line = c.line
	for {
		spans, used, lines, whole, err := c.spans()
		if err != nil {
			return nil, line, err
		}
		if !whole {
			if err := c.more(); err != nil {
				return nil, line, err
			}
			continue
		}
		c.fields = c.fields[:0]
		for _, s := range spans {
			field := c.buffer[c.start+s.from : c.start+s.to]
			if s.quoted {
				field = unquoted(field)
			}
			c.fields = append(c.fields, field)
		}
		c.start += used
		c.line += lines
		return c.fields, line, nil
	}
}

// spans finds the fields of the record that begins the buffer, how long it is, and how many lines. whole is false where the
// record goes on after the buffer.
func (c *csvRecords) spans() (spans []span, used, lines int, whole bool, err error) {
	rest := c.buffer[c.start:c.end]
	fault := func(at int, problem string) error {
		begin := bytes.LastIndexByte(rest[:at], '\n') + 1
		return &FileError{Line: c.line + bytes.Count(rest[:at], []byte("\n")), Problem: fmt.Sprintf(problem, at-begin+1)}
	}
	for at := 0; ; {
		s := span{from: at}
		if at < len(rest) && rest[at] == '"' {
			s = span{from: at + 1, quoted: true}
			for at++; ; at += 2 {
				i := bytes.IndexByte(rest[at:], '"')
				switch {
				case i < 0 && !c.ended:
					return nil, 0, 0, false, nil
				case i < 0:
					return nil, 0, 0, false, fault(s.from-1, "the quotation mark at byte %d is not closed")
				}
				at += i
				if at+1 == len(rest) || rest[at+1] != '"' {
					break
				}
			}
			s.to = at
			at++
			if at == len(rest) && !c.ended {
				return nil, 0, 0, false, nil
			}
		} else {
			for at < len(rest) && rest[at] != c.delimiter && rest[at] != '\n' {
				if rest[at] == '"' {
					return nil, 0, 0, false, fault(at, "a quotation mark stands in an unquoted field, at byte %d")
				}
				at++
			}
			if at == len(rest) && !c.ended {
				return nil, 0, 0, false, nil
			}
			s.to = at
			if (at == len(rest) || rest[at] == '\n') && s.to > s.from && rest[s.to-1] == '\r' {
				s.to--
			}
		}
		spans = append(spans, s)
		end := at
		if s.quoted && at < len(rest) && rest[at] == '\r' {
			switch {
			case at+1 == len(rest) && !c.ended:
				return nil, 0, 0, false, nil
			case at+1 == len(rest) || rest[at+1] == '\n':
				end++
			}
		}
		switch {
		case end == len(rest):
			return spans, end, bytes.Count(rest, []byte("\n")) + 1, true, nil
		case rest[end] == '\n':
			return spans, end + 1, bytes.Count(rest[:end+1], []byte("\n")), true, nil
		case rest[at] != c.delimiter:
			return nil, 0, 0, false, fault(at-1, "the quotation mark at byte %d is neither the end of the field nor doubled")
		}
		at++
	}
}

// unquoted takes the doubling from quotation marks and the carriage returns from line ends, in place.
func unquoted(field []byte) []byte {
	to := 0
	for from := 0; from < len(field); from++ {
		c := field[from]
		if c == '"' || c == '\r' && from+1 < len(field) && field[from+1] == '\n' {
			from++
			c = field[from]
		}
		field[to] = c
		to++
	}
	return field[:to]
}
