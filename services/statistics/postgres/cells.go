package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/bits"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/statistics"
)

// run returns how many periods of the frequency stand in one block.
func run(f statistics.Frequency) int32 {
	switch f {
	case period.Quarterly:
		return 8
	case period.Monthly:
		return 12
	case period.Weekly:
		return 53
	case period.Daily:
		return 31
	default:
		return 10
	}
}

// place returns the block of a period and its position there.
func place(f statistics.Frequency, period int32) (blk int32, at int) {
	n := run(f)
	blk, rest := period/n, period%n
	if rest < 0 {
		blk, rest = blk-1, rest+n
	}
	return blk, int(rest)
}

// image is a block as it is stored.
type image struct {
	mask  int64 // a bit for each cell that is there
	vals  []float64
	obs   []byte
	conf  []byte
	notes []note
}

// note is the values of a further attribute, "" where a cell has none.
type note struct {
	id    string
	texts []string
}

func newImage(f statistics.Frequency) *image {
	n := run(f)
	return &image{vals: make([]float64, n), obs: make([]byte, n), conf: make([]byte, n)}
}

// set puts a cell in its place; the zero Cell takes away what is there. further are the values of the attributes ids.
func (m *image) set(at int, c statistics.Cell, ids, further []string) {
	if c.Present() {
		m.mask |= 1 << at
	} else {
		m.mask &^= 1 << at
		further = nil
	}
	m.vals[at], m.obs[at], m.conf[at] = c.Value, c.ObsStatus, c.ConfStatus
	for i := range m.notes {
		m.notes[i].texts[at] = ""
	}
	for i, text := range further {
		if text != "" {
			m.note(ids[i]).texts[at] = text
		}
	}
}

func (m *image) note(id string) *note {
	for i := range m.notes {
		if m.notes[i].id == id {
			return &m.notes[i]
		}
	}
	m.notes = append(m.notes, note{id, make([]string, len(m.vals))})
	return &m.notes[len(m.notes)-1]
}

// packNotes writes the notes as jsonb: nil where there are none, by attribute one text where all cells have the same, else a
// list.
func (m *image) packNotes() ([]byte, error) {
	packed := map[string]any{}
	for _, n := range m.notes {
		first := n.texts[bits.TrailingZeros64(uint64(m.mask))%len(n.texts)] //nolint:gosec // a mask is not negative
		same, some := true, false
		for at, text := range n.texts {
			same = same && (text == first || m.mask&(1<<at) == 0)
			some = some || text != ""
		}
		switch {
		case !some:
		case same:
			packed[n.id] = first
		default:
			packed[n.id] = n.texts
		}
	}
	if len(packed) == 0 {
		return nil, nil
	}
	return json.Marshal(packed)
}

func unpackNotes(text []byte, cells int) ([]note, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var packed map[string]json.RawMessage
	if err := json.Unmarshal(text, &packed); err != nil {
		return nil, fmt.Errorf("reading notes: %w", err)
	}
	notes := make([]note, 0, len(packed))
	for id, raw := range packed {
		n := note{id: id, texts: make([]string, cells)}
		var err error
		if bytes.HasPrefix(raw, []byte("[")) {
			err = json.Unmarshal(raw, &n.texts)
		} else {
			var one string
			err = json.Unmarshal(raw, &one)
			for i := range n.texts {
				n.texts[i] = one
			}
		}
		if err != nil || len(n.texts) != cells {
			return nil, fmt.Errorf("the notes %s are not %d texts: %w", id, cells, err)
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// unpackFloats reads PostgreSQL's binary form of a float8[] with one dimension and no NULL into the slice.
func unpackFloats(raw []byte, into []float64) ([]float64, error) {
	const header, element = 20, 12
	if len(raw) < header {
		return nil, fmt.Errorf("an array of %d bytes", len(raw))
	}
	n := int(binary.BigEndian.Uint32(raw[12:]))
	if len(raw) != header+element*n {
		return nil, fmt.Errorf("an array of %d numbers has %d bytes", n, len(raw))
	}
	into = into[:0]
	for raw = raw[header:]; len(raw) > 0; raw = raw[element:] {
		into = append(into, math.Float64frombits(binary.BigEndian.Uint64(raw[4:])))
	}
	return into, nil
}

// appendKey appends the codes as they stand in a key.
func appendKey(key []byte, codes ...uint16) []byte {
	for _, code := range codes {
		key = binary.BigEndian.AppendUint16(key, code)
	}
	return key
}
