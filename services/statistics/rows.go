package statistics

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

var errRowTooLong = errors.New("row is too long")

// quoteError says that the quotes of a row are not in order.
type quoteError struct {
	line, column int // where, in lines and bytes from 1
	open         bool
}

func (e *quoteError) Error() string {
	if e.open {
		return fmt.Sprintf("the quote at line %d, byte %d, is not closed", e.line, e.column)
	}
	return fmt.Sprintf("the quotes are not in order at line %d, byte %d", e.line, e.column)
}

// rowReader reads the rows of a delimited text in UTF-8 (RFC 4180). Lines end with LF or CRLF, and blank ones are no
// rows. A cell that begins with the quote goes on until the next quote, over delimiters and line ends, which it has as
// LF; a doubled quote in it is one that belongs to it. No other cell has a quote.
type rowReader struct {
	reader    *bufio.Reader
	delimiter []byte
	quote     []byte // empty: nothing is quoted
	footers   []string
	footer    int    // the line on which the table has ended, since it begins with one of footers; 0: it has not
	line      int    // how many lines were begun
	start     int    // the line on which the last row begins
	left      int    // how many bytes the row may still have
	long      []byte // a line that is longer than the reader's buffer
	text      []byte // of the cells of a row with quotes
	ends      []int  // of the cells in text
	cells     []string
}

// newRowReader returns a reader of the rows of r, which end before a line that begins with one of the footers.
func newRowReader(r io.Reader, delimiter, quote string, footers []string) *rowReader {
	return &rowReader{reader: bufio.NewReaderSize(r, readAhead), delimiter: []byte(delimiter), quote: []byte(quote), footers: footers}
}

// skip reads lines that are no rows, whatever they hold. There may be fewer.
func (r *rowReader) skip(lines int) error {
	for range lines {
		r.left = maxRowBytes
		if _, err := r.readLine(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

// read returns the next row; it is valid until the next call. The error is a [quoteError], after which reading goes on
// with the next line, errRowTooLong, after which it cannot, io.EOF at the end of the table, or one of the reader's.
func (r *rowReader) read() ([]string, error) {
	var line []byte
	for len(line) == 0 {
		var err error
		r.left = maxRowBytes
		if line, err = r.readLine(); err != nil {
			return nil, err
		}
	}
	r.start = r.line
	if slices.ContainsFunc(r.footers, func(footer string) bool { return len(line) >= len(footer) && string(line[:len(footer)]) == footer }) {
		r.footer = r.line
		return nil, io.EOF
	}
	if len(r.quote) > 0 && bytes.Contains(line, r.quote) {
		return r.readQuoted(line)
	}
	r.cells = r.cells[:0]
	rest, delimiter := string(line), string(r.delimiter)
	for {
		cell, after, more := strings.Cut(rest, delimiter)
		r.cells = append(r.cells, cell)
		if !more {
			return r.cells, nil
		}
		rest = after
	}
}

// spans reports whether the last row has line ends in its cells.
func (r *rowReader) spans() bool { return r.line > r.start }

func (r *rowReader) readQuoted(line []byte) ([]string, error) {
	r.text, r.ends = r.text[:0], r.ends[:0]
	for rest, more := line, true; more; {
		if !bytes.HasPrefix(rest, r.quote) {
			cell, after, found := bytes.Cut(rest, r.delimiter)
			if i := bytes.Index(cell, r.quote); i >= 0 {
				return nil, &quoteError{line: r.line, column: len(line) - len(rest) + i + 1}
			}
			r.text = append(r.text, cell...)
			rest, more = after, found
		} else {
			opened := &quoteError{line: r.line, column: len(line) - len(rest) + 1, open: true}
			rest = rest[len(r.quote):]
			for {
				cell, after, closed := bytes.Cut(rest, r.quote)
				r.text = append(r.text, cell...)
				if !closed {
					var err error
					if line, err = r.readLine(); errors.Is(err, io.EOF) {
						return nil, opened
					} else if err != nil {
						return nil, err
					}
					r.text = append(r.text, '\n')
					rest = line
					continue
				}
				if !bytes.HasPrefix(after, r.quote) {
					rest = after
					break
				}
				r.text = append(r.text, r.quote...)
				rest = after[len(r.quote):]
			}
			if more = len(rest) > 0; more {
				if !bytes.HasPrefix(rest, r.delimiter) {
					return nil, &quoteError{line: r.line, column: len(line) - len(rest) - len(r.quote) + 1}
				}
				rest = rest[len(r.delimiter):]
			}
		}
		r.ends = append(r.ends, len(r.text))
	}
	text, start := string(r.text), 0
	r.cells = r.cells[:0]
	for _, end := range r.ends {
		r.cells = append(r.cells, text[start:end])
		start = end
	}
	return r.cells, nil
}

// readLine returns a line without its end. It is valid until the next call.
func (r *rowReader) readLine() ([]byte, error) {
	line, err := r.reader.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		r.long = append(r.long[:0], line...)
		for errors.Is(err, bufio.ErrBufferFull) && len(r.long) <= r.left {
			line, err = r.reader.ReadSlice('\n')
			r.long = append(r.long, line...)
		}
		line = r.long
	}
	if r.left -= len(line); r.left < 0 {
		return nil, errRowTooLong
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0) {
		return nil, err
	}
	r.line++
	line = bytes.TrimSuffix(line, []byte("\n"))
	return bytes.TrimSuffix(line, []byte("\r")), nil
}
