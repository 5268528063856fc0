package statistics

import (
	"encoding/binary"
	"hash"
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/block"
)

// rowDigest hashes rows, however they are spread over blocks and dictionaries. Of each column, a text is written where it
// comes for the first time, and from then on only its number. Columns about rows are left out.
type rowDigest struct {
	hash    hash.Hash
	buffer  []byte
	columns []string
	numbers []map[string]uint64 // by column
}

// maxNumbered is how many texts of a column have numbers; all others are written each time.
const maxNumbered = 1 << 17

func newRowDigest(h hash.Hash) *rowDigest { return &rowDigest{hash: h} }

// hashedColumn is a column of a block with the numbers of its texts, plus 1; 0: not looked up yet.
type hashedColumn struct {
	*block.Column
	numbers []uint64
	known   map[string]uint64
}

func (d *rowDigest) add(b *block.Block) {
	var columns []hashedColumn
	for i := range b.Columns {
		if c := &b.Columns[i]; !strings.HasPrefix(c.Component, "_") {
			columns = append(columns, hashedColumn{Column: c, numbers: make([]uint64, len(c.Dictionary))})
		}
	}
	slices.SortFunc(columns, func(a, b hashedColumn) int { return strings.Compare(a.Component, b.Component) })
	d.head(columns)
	for row := range b.Rows {
		d.buffer = append(d.buffer, 'r')
		for i := range columns {
			if c := &columns[i]; c.IsNumber() {
				d.buffer = binary.BigEndian.AppendUint64(d.buffer, math.Float64bits(c.Numbers[row]))
			} else if number := c.numbers[c.Codes[row]]; number > 0 {
				d.buffer = binary.AppendUvarint(d.buffer, number)
			} else {
				d.text(c, c.Codes[row])
			}
		}
		if len(d.buffer) > 1<<16 {
			d.flush()
		}
	}
}

// head writes the columns where they are not those of the rows before.
func (d *rowDigest) head(columns []hashedColumn) {
	ids := make([]string, len(columns))
	for i := range columns {
		ids[i] = columns[i].Component
		if columns[i].IsNumber() {
			ids[i] += "#"
		}
	}
	if !slices.Equal(ids, d.columns) {
		d.columns, d.numbers = ids, make([]map[string]uint64, len(ids))
		for i := range d.numbers {
			d.numbers[i] = map[string]uint64{}
		}
		d.buffer = binary.AppendUvarint(append(d.buffer, 'c'), uint64(len(ids)))
		for _, id := range ids {
			d.write(id)
		}
	}
	for i := range columns {
		columns[i].known = d.numbers[i]
	}
}

// text writes a text that the block has for the first time: as its number, or, where it has none yet, as 0 and itself.
func (d *rowDigest) text(c *hashedColumn, code uint32) {
	text := c.Dictionary[code]
	number, ok := c.known[text]
	if ok {
		c.numbers[code] = number
		d.buffer = binary.AppendUvarint(d.buffer, number)
		return
	}
	if len(c.known) < maxNumbered {
		number = uint64(len(c.known) + 1)
		c.known[strings.Clone(text)], c.numbers[code] = number, number
	}
	d.buffer = append(d.buffer, 0)
	d.write(text)
}

func (d *rowDigest) write(text string) {
	d.buffer = append(binary.AppendUvarint(d.buffer, uint64(len(text))), text...)
}

// flush hashes what was written.
func (d *rowDigest) flush() {
	_, _ = d.hash.Write(d.buffer) // a hash never fails
	d.buffer = d.buffer[:0]
}
