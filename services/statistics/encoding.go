package statistics

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// The character encodings that a file may have.
const (
	encodingUTF8        = "UTF-8"
	encodingUTF16       = "UTF-16" // in the order that its byte order mark tells; without one, as UTF-16BE (RFC 2781)
	encodingUTF16LE     = "UTF-16LE"
	encodingUTF16BE     = "UTF-16BE"
	encodingLatin1      = "ISO-8859-1"
	encodingWindows1252 = "windows-1252"
)

// encodings are the names, as a layout may have them.
func encodings() []string {
	return []string{encodingUTF8, encodingUTF16, encodingUTF16LE, encodingUTF16BE, encodingLatin1, encodingWindows1252}
}

// windows1252 is what the bytes from 0x80 to 0x9F stand for; 0 where they stand for nothing. The others are as in
// ISO-8859-1.
var windows1252 = [32]rune{
	'€', 0, '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', 0, 'Ž', 0,
	0, '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', 0, 'ž', 'Ÿ',
}

// encoding returns the name of the layout's encoding; "" where it is not known.
func (l Layout) encoding() string {
	if l.Encoding == "" {
		return encodingUTF8
	}
	for _, name := range encodings() {
		if strings.EqualFold(l.Encoding, name) {
			return name
		}
	}
	return ""
}

// byteOrderMark returns the mark that text begins with, and the encoding that it belongs to; "" where there is none.
func byteOrderMark(text []byte) (mark, encoding string) {
	for _, known := range [][2]string{{"\xef\xbb\xbf", encodingUTF8}, {"\xff\xfe", encodingUTF16LE}, {"\xfe\xff", encodingUTF16BE}} {
		if bytes.HasPrefix(text, []byte(known[0])) {
			return known[0], known[1]
		}
	}
	return "", ""
}

// decode returns a reader of r as UTF-8 without a byte order mark. A layout that names no encoding leaves it to the mark
// to tell UTF-8 from UTF-16. The error says that the mark is of another encoding than the layout's.
//
// Bytes that stand for no character come out as bytes that are not UTF-8. watch is nil but for an encoding of one byte for
// each character, as which UTF-8 can be read without an error.
func (l Layout) decode(r io.Reader) (text io.Reader, watch *utf8Watch, err error) {
	buffered := bufio.NewReaderSize(r, readAhead)
	start, _ := buffered.Peek(3) // an error comes again where the rest is read
	mark, marked := byteOrderMark(start)
	encoding := l.encoding()
	switch {
	case mark == "":
	case l.Encoding == "", encoding == encodingUTF16 && marked != encodingUTF8:
		encoding = marked
	case encoding != marked:
		return nil, nil, fmt.Errorf("the file begins with the byte order mark of %s, and the layout says that it is %s", marked, encoding)
	}
	_, _ = buffered.Discard(len(mark)) // it is in the buffer
	switch encoding {
	case encodingUTF16, encodingUTF16BE:
		return &decoder{reader: buffered, decode: utf16Decoder(binary.BigEndian)}, nil, nil
	case encodingUTF16LE:
		return &decoder{reader: buffered, decode: utf16Decoder(binary.LittleEndian)}, nil, nil
	case encodingLatin1:
		watch = &utf8Watch{reader: buffered}
		return &decoder{reader: watch, decode: decodeLatin1}, watch, nil
	case encodingWindows1252:
		watch = &utf8Watch{reader: buffered}
		return &decoder{reader: watch, decode: decodeWindows1252}, watch, nil
	}
	return buffered, nil, nil
}

// utf8Watch passes text on, and notices where it is UTF-8.
type utf8Watch struct {
	reader  io.Reader
	partial []byte // the start of a character that the last text ended with
	beyond  bool   // there are characters beyond ASCII
	broken  bool   // something is not UTF-8
}

func (w *utf8Watch) Read(p []byte) (int, error) {
	n, err := w.reader.Read(p)
	if w.broken {
		return n, err
	}
	text := p[:n]
	if len(w.partial) > 0 {
		text = append(w.partial, text...)
		w.partial = nil
	}
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if r == utf8.RuneError && size == 1 {
			if err == nil && !utf8.FullRune(text) {
				w.partial = bytes.Clone(text)
			} else {
				w.broken = true
			}
			break
		}
		w.beyond = w.beyond || r >= utf8.RuneSelf
		text = text[size:]
	}
	return n, err
}

// foreign reports whether the text has characters beyond ASCII, and all of it is UTF-8. Text with one byte for each
// character does not look like that by chance.
func (w *utf8Watch) foreign() bool { return w != nil && w.beyond && !w.broken && len(w.partial) == 0 }

// notText is a byte that UTF-8 has nowhere.
const notText = 0xFF

// decoder reads text of another encoding as UTF-8.
type decoder struct {
	reader io.Reader
	// decode appends what text stands for, and returns how many of its bytes it took: all of them where it is the last.
	decode  func(to, text []byte, last bool) ([]byte, int)
	raw     [readAhead]byte
	kept    int // bytes at the start of raw that were not taken yet
	buffer  []byte
	decoded []byte // the part of buffer that is not read yet
	err     error  // of reader, behind what is decoded
}

func (d *decoder) Read(p []byte) (int, error) {
	for len(d.decoded) == 0 && d.err == nil {
		var n int
		n, d.err = d.reader.Read(d.raw[d.kept:])
		text := d.raw[:d.kept+n]
		var taken int
		d.buffer, taken = d.decode(d.buffer[:0], text, d.err != nil)
		d.kept = copy(d.raw[:], text[taken:])
		d.decoded = d.buffer
	}
	if len(d.decoded) == 0 {
		return 0, d.err
	}
	n := copy(p, d.decoded)
	d.decoded = d.decoded[n:]
	return n, nil
}

func decodeLatin1(to, text []byte, _ bool) ([]byte, int) {
	for _, b := range text {
		to = utf8.AppendRune(to, rune(b))
	}
	return to, len(text)
}

func decodeWindows1252(to, text []byte, _ bool) ([]byte, int) {
	for _, b := range text {
		switch {
		case b < 0x80 || b >= 0xA0:
			to = utf8.AppendRune(to, rune(b))
		case windows1252[b-0x80] != 0:
			to = utf8.AppendRune(to, windows1252[b-0x80])
		default:
			to = append(to, notText)
		}
	}
	return to, len(text)
}

// utf16Decoder decodes units of two bytes (RFC 2781).
func utf16Decoder(order binary.ByteOrder) func(to, text []byte, last bool) ([]byte, int) {
	return func(to, text []byte, last bool) ([]byte, int) {
		at := 0
		for at+2 <= len(text) {
			r := rune(order.Uint16(text[at:]))
			if !utf16.IsSurrogate(r) {
				to = utf8.AppendRune(to, r)
				at += 2
				continue
			}
			if at+4 > len(text) && !last {
				break
			}
			pair := utf8.RuneError
			if at+4 <= len(text) {
				pair = utf16.DecodeRune(r, rune(order.Uint16(text[at+2:])))
			}
			if pair == utf8.RuneError { // half a character
				to = append(to, notText)
				at += 2
				continue
			}
			to = utf8.AppendRune(to, pair)
			at += 4
		}
		if last && at < len(text) {
			to = append(to, notText)
			at = len(text)
		}
		return to, at
	}
}
