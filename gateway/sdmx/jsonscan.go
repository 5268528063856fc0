package sdmx

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a JSON message.
const (
	maxText  = 64 << 10 // bytes of a string or number
	maxDepth = 32       // of objects and arrays
)

// jsonScan walks through JSON (RFC 8259) value by value, and holds no more than one of its strings. Whoever walks says
// what the next value should be:
//
//	err := scan.object(func(member []byte) error {
//		if string(member) == "name" {
//			name, err := scan.text()
//			…
//		}
//		return scan.skip()
//	})
//
// Errors are a [*FileError] where the JSON is not as it should be, or the reader's.
type jsonScan struct {
	in     io.Reader
	buffer []byte
	at     int
	end    int
	begin  int64 // of buffer in the message
	line   int
	depth  int
	value  []byte // the string or number read last
	held   []byte // what was read since hold
	from   int    // where in buffer what is held goes on; -1: nothing is held
	most   int    // bytes that may be held
}

func newJSONScan(in io.Reader, line int) *jsonScan {
	return &jsonScan{in: in, buffer: make([]byte, 64<<10), line: line, from: -1}
}

// fault says what is wrong at the byte that is read next.
func (s *jsonScan) fault(format string, args ...any) error {
	return &FileError{Line: s.line, Problem: fmt.Sprintf(format, args...) + fmt.Sprintf(" (at byte %d)", s.begin+int64(s.at)+1)}
}

// fill reads on. It returns io.EOF at the end.
func (s *jsonScan) fill() error {
	if s.from >= 0 {
		s.held = append(s.held, s.buffer[s.from:s.end]...)
		s.from = 0
		if len(s.held) > s.most {
			return s.fault("the data sets stand before the structure that they are of, and are longer than the %d bytes that are held; let structures come first, or send SDMX-CSV", s.most)
		}
	}
	s.begin += int64(s.end)
	s.at, s.end = 0, 0
	for range 100 {
		n, err := s.in.Read(s.buffer)
		s.end = n
		if n > 0 {
			return nil // the error comes again
		}
		if err != nil {
			return err
		}
	}
	return io.ErrNoProgress
}

// next returns the next byte that is no space, and stays before it.
func (s *jsonScan) next() (byte, error) {
	for {
		for s.at < s.end {
			switch b := s.buffer[s.at]; b {
			case '\n':
				s.line++
			case ' ', '\t', '\r':
			default:
				return b, nil
			}
			s.at++
		}
		if err := s.fill(); err != nil {
			return 0, s.ended(err)
		}
	}
}

func (s *jsonScan) ended(err error) error {
	if errors.Is(err, io.EOF) {
		return s.fault("the message ends in the middle")
	}
	return err
}

// expect reads one byte, which must be this.
func (s *jsonScan) expect(want byte) error {
	b, err := s.next()
	if err != nil {
		return err
	}
	if b != want {
		return s.fault("%q stands where %q is expected", b, want)
	}
	s.at++
	return nil
}

func (s *jsonScan) enter(open byte) error {
	if err := s.expect(open); err != nil {
		return err
	}
	if s.depth++; s.depth > maxDepth {
		return s.fault("objects and arrays are more than %d deep", maxDepth)
	}
	return nil
}

// goesOn reports whether a further element of an object or array comes, and reads the comma before it.
func (s *jsonScan) goesOn(first bool, closing byte) (bool, error) {
	b, err := s.next()
	if err != nil {
		return false, err
	}
	if b == closing {
		s.at++
		s.depth--
		return false, nil
	}
	if first {
		return true, nil
	}
	return true, s.expect(',')
}

// object reads an object. visit reads the value of the member; the name is valid until then.
func (s *jsonScan) object(visit func(member []byte) error) error {
	if err := s.enter('{'); err != nil {
		return err
	}
	var name []byte
	for first := true; ; first = false {
		more, err := s.goesOn(first, '}')
		if !more || err != nil {
			return err
		}
		text, err := s.text()
		if err != nil {
			return err
		}
		name = append(name[:0], text...)
		if err := s.expect(':'); err != nil {
			return err
		}
		if err := visit(name); err != nil {
			return err
		}
	}
}

// array reads an array. visit reads the element at the place, from 0.
func (s *jsonScan) array(visit func(place int) error) error {
	if err := s.enter('['); err != nil {
		return err
	}
	for place := 0; ; place++ {
		more, err := s.goesOn(place == 0, ']')
		if !more || err != nil {
			return err
		}
		if err := visit(place); err != nil {
			return err
		}
	}
}

// text reads a string. It is valid until the next is read.
func (s *jsonScan) text() ([]byte, error) {
	if err := s.expect('"'); err != nil {
		return nil, err
	}
	s.value = s.value[:0]
	for {
		from := s.at
		for s.at < s.end {
			b := s.buffer[s.at]
			if b != '"' && b != '\\' && b >= ' ' {
				s.at++
				continue
			}
			s.value = append(s.value, s.buffer[from:s.at]...)
			switch {
			case len(s.value) > maxText:
				return nil, s.tooLong()
			case b == '"':
				s.at++
				if !utf8.Valid(s.value) {
					return nil, s.fault("a string is not UTF-8 text")
				}
				return s.value, nil
			case b < ' ':
				return nil, s.fault("a string has a control character; perhaps a quotation mark is missing")
			}
			s.at++
			if err := s.escape(); err != nil {
				return nil, err
			}
			from = s.at
		}
		s.value = append(s.value, s.buffer[from:s.at]...)
		if len(s.value) > maxText {
			return nil, s.tooLong()
		}
		if err := s.fill(); err != nil {
			return nil, s.ended(err)
		}
	}
}

func (s *jsonScan) tooLong() error {
	return s.fault("a string is longer than %d bytes; perhaps a quotation mark is missing", maxText)
}

// take reads one byte.
func (s *jsonScan) take() (byte, error) {
	if s.at == s.end {
		if err := s.fill(); err != nil {
			return 0, s.ended(err)
		}
	}
	b := s.buffer[s.at]
	s.at++
	return b, nil
}

// escape reads what follows a backslash.
func (s *jsonScan) escape() error {
	b, err := s.take()
	if err != nil {
		return err
	}
	switch b {
	case '"', '\\', '/':
		s.value = append(s.value, b)
	case 'b':
		s.value = append(s.value, '\b')
	case 'f':
		s.value = append(s.value, '\f')
	case 'n':
		s.value = append(s.value, '\n')
	case 'r':
		s.value = append(s.value, '\r')
	case 't':
		s.value = append(s.value, '\t')
	case 'u':
		return s.unicode()
	default:
		return s.fault("a string has the unknown escape \\%c", b)
	}
	return nil
}

func (s *jsonScan) unicode() error {
	first, err := s.hex()
	if err != nil {
		return err
	}
	if utf16.IsSurrogate(first) {
		for _, want := range []byte(`\u`) {
			if b, err := s.take(); err != nil {
				return err
			} else if b != want {
				return s.fault("a string has half of a character")
			}
		}
		second, err := s.hex()
		if err != nil {
			return err
		}
		if first = utf16.DecodeRune(first, second); first == utf8.RuneError {
			return s.fault("a string has half of a character")
		}
	}
	if first == 0 {
		return s.fault("a string has the character U+0000, which is no text")
	}
	s.value = utf8.AppendRune(s.value, first)
	return nil
}

func (s *jsonScan) hex() (rune, error) {
	var digits [4]byte
	for i := range digits {
		b, err := s.take()
		if err != nil {
			return 0, err
		}
		digits[i] = b
	}
	v, err := strconv.ParseUint(string(digits[:]), 16, 16)
	if err != nil {
		return 0, s.fault("a string has the unknown escape \\u%s", digits)
	}
	return rune(v), nil
}

// scalar reads a number, or one of true, false and null, as it stands. It is valid until the next value is read.
func (s *jsonScan) scalar() ([]byte, error) {
	if _, err := s.next(); err != nil {
		return nil, err
	}
	s.value = s.value[:0]
	for {
		from := s.at
		for s.at < s.end && scalarByte(s.buffer[s.at]) {
			s.at++
		}
		s.value = append(s.value, s.buffer[from:s.at]...)
		if len(s.value) > maxText {
			return nil, s.fault("a number is longer than %d bytes", maxText)
		}
		if s.at < s.end {
			break
		}
		if err := s.fill(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
	}
	if text := string(s.value); text != "null" && text != "true" && text != "false" && !jsonNumber(text) {
		return nil, s.fault("%s is no value", shown(text))
	}
	return s.value, nil
}

func scalarByte(b byte) bool {
	return b >= '0' && b <= '9' || b >= 'a' && b <= 'z' || b >= 'A' && b <= 'Z' || b == '-' || b == '+' || b == '.'
}

// jsonNumber reports whether text is a number of JSON, which is stricter than one of Go.
func jsonNumber(text string) bool {
	digits := func() bool {
		n := 0
		for n < len(text) && text[n] >= '0' && text[n] <= '9' {
			n++
		}
		text = text[n:]
		return n > 0
	}
	if text != "" && text[0] == '-' {
		text = text[1:]
	}
	if len(text) > 1 && text[0] == '0' && text[1] >= '0' && text[1] <= '9' || !digits() {
		return false
	}
	if text != "" && text[0] == '.' {
		if text = text[1:]; !digits() {
			return false
		}
	}
	if text != "" && (text[0] == 'e' || text[0] == 'E') {
		if text = text[1:]; text != "" && (text[0] == '+' || text[0] == '-') {
			text = text[1:]
		}
		return digits() && text == ""
	}
	return text == ""
}

// skip reads a value of any kind and forgets it.
func (s *jsonScan) skip() error {
	b, err := s.next()
	if err != nil {
		return err
	}
	switch b {
	case '{':
		return s.object(func([]byte) error { return s.skip() })
	case '[':
		return s.array(func(int) error { return s.skip() })
	case '"':
		_, err = s.text()
	default:
		_, err = s.scalar()
	}
	return err
}

// hold reads a value of any kind, and returns its bytes. There must be no more than most.
func (s *jsonScan) hold(most int) ([]byte, error) {
	s.held, s.from, s.most = nil, s.at, most
	err := s.skip()
	if err == nil {
		s.held = append(s.held, s.buffer[s.from:s.at]...)
	}
	held := s.held
	s.held, s.from = nil, -1
	return held, err
}

// finish reads to the end, where nothing but space may stand.
func (s *jsonScan) finish() error {
	if _, err := s.next(); err == nil {
		return s.fault("something stands after the message")
	} else if found := (*FileError)(nil); !errors.As(err, &found) {
		return err
	}
	return nil
}
