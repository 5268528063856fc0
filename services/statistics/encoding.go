package statistics

import (
	"io"
	"strings"
	"unicode/utf8"
)

// The character encodings that a file may have.
const (
	encodingUTF8        = "UTF-8"
	encodingLatin1      = "ISO-8859-1"
	encodingWindows1252 = "windows-1252"
)

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
	for _, name := range []string{encodingUTF8, encodingLatin1, encodingWindows1252} {
		if strings.EqualFold(l.Encoding, name) {
			return name
		}
	}
	return ""
}

// decode returns a reader of r as UTF-8.
func (l Layout) decode(r io.Reader) io.Reader {
	switch encoding := l.encoding(); encoding {
	case encodingLatin1, encodingWindows1252:
		return &decoder{reader: r, windows: encoding == encodingWindows1252}
	}
	return r
}

// decoder reads text with one byte for each character as UTF-8. A byte that stands for nothing stays as it is, which is
// not UTF-8.
type decoder struct {
	reader  io.Reader
	windows bool
	raw     [1024]byte
	buffer  []byte
	decoded []byte // the part of buffer that is not read yet
	err     error  // of reader, behind what is decoded
}

func (d *decoder) Read(p []byte) (int, error) {
	if len(d.decoded) == 0 && d.err == nil {
		var n int
		n, d.err = d.reader.Read(d.raw[:])
		d.buffer = d.buffer[:0]
		for _, b := range d.raw[:n] {
			character := rune(b)
			if d.windows && b >= 0x80 && b < 0xA0 {
				character = windows1252[b-0x80]
			}
			if character == 0 {
				d.buffer = append(d.buffer, b)
			} else {
				d.buffer = utf8.AppendRune(d.buffer, character)
			}
		}
		d.decoded = d.buffer
	}
	if len(d.decoded) == 0 {
		return 0, d.err
	}
	n := copy(p, d.decoded)
	d.decoded = d.decoded[n:]
	return n, nil
}
