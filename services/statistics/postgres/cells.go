package postgres

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/statistics"
)

// maxRun is how many periods a run has at most.
const maxRun = 53

// run returns how many periods of the frequency stand in one block.
func run(f statistics.Frequency) int32 {
	switch f {
	case period.Quarterly:
		return 8
	case period.Monthly:
		return 12
	case period.Weekly:
		return maxRun
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

// layer is a row of cur or hist as it is stored: some cells of a run, see the tables. Its cells are numbered from 0 in the
// order of the bits that are set in the mask.
type layer struct {
	rev   int64
	mask  uint64
	vals  []byte
	obs   []byte
	conf  []byte
	ages  []byte
	notes []byte
}

// layerColumns are the columns of cur and hist that readLayer reads.
const layerColumns = `c.rev, c.mask, c.vals, c.obs, c.conf, c.ages, c.notes`

// readLayer reads a layer from layerColumns in their binary forms. It shares their memory but where own is true.
func readLayer(raw [][]byte, own bool) layer {
	l := layer{
		rev: int64(binary.BigEndian.Uint32(raw[0])), mask: binary.BigEndian.Uint64(raw[1]),
		vals: raw[2], obs: raw[3], conf: raw[4], ages: raw[5], notes: raw[6],
	}
	if own {
		memory := make([]byte, 0, len(l.vals)+len(l.obs)+len(l.conf)+len(l.ages)+len(l.notes))
		for _, column := range []*[]byte{&l.vals, &l.obs, &l.conf, &l.ages, &l.notes} {
			start := len(memory)
			memory = append(memory, *column...)
			*column = memory[start:len(memory):len(memory)]
		}
	}
	return l
}

// check reports whether the columns have an entry for each cell, so that the methods below find one.
func (l *layer) check() error {
	n := bits.OnesCount64(l.mask)
	whole := func(column []byte) bool {
		width := len(column) / max(n, 1)
		return len(column) == width*n && (width == 1 || width == 2 || width == 4 || width == 8)
	}
	switch {
	case n == 0 || l.mask>>maxRun != 0:
		return fmt.Errorf("a row with the mask %x", l.mask)
	case !whole(l.vals) || len(l.ages) != 0 && !whole(l.ages):
		return fmt.Errorf("a row of %d cells with %d bytes of figures and %d of ages", n, len(l.vals), len(l.ages))
	case len(l.obs) != 0 && len(l.obs) != n || len(l.conf) != 0 && len(l.conf) != n:
		return fmt.Errorf("a row of %d cells with %d and %d statuses", n, len(l.obs), len(l.conf))
	}
	return nil
}

// cells returns how many cells there are.
func (l *layer) cells() int { return bits.OnesCount64(l.mask) }

// value returns the figure of cell i, of n.
func (l *layer) value(i, n int) float64 {
	width := len(l.vals) / n
	number := unsigned(l.vals[i*width:], width)
	if width == 8 {
		return math.Float64frombits(number)
	}
	return float64(number)
}

// revision returns which revision cell i, of n, is from.
func (l *layer) revision(i, n int) int64 {
	if len(l.ages) == 0 {
		return l.rev
	}
	width := len(l.ages) / n
	return l.rev - int64(unsigned(l.ages[i*width:], width)) //nolint:gosec // an age is a difference of two of them
}

func (l *layer) obsStatus(i int) byte {
	if len(l.obs) == 0 {
		return statistics.NormalValue
	}
	return l.obs[i]
}

func (l *layer) confStatus(i int) byte {
	if len(l.conf) == 0 {
		return statistics.FreeToShow
	}
	return l.conf[i]
}

// unsigned reads a big-endian number of 1, 2, 4 or 8 bytes.
func unsigned(from []byte, width int) uint64 {
	switch width {
	case 1:
		return uint64(from[0])
	case 2:
		return uint64(binary.BigEndian.Uint16(from))
	case 4:
		return uint64(binary.BigEndian.Uint32(from))
	default:
		return binary.BigEndian.Uint64(from)
	}
}

// appendUnsigned appends a number in 1, 2, 4 or 8 bytes.
func appendUnsigned(to []byte, number uint64, width int) []byte {
	switch width {
	case 1:
		return append(to, byte(number)) //nolint:gosec // it fits: see widthOf
	case 2:
		return binary.BigEndian.AppendUint16(to, uint16(number)) //nolint:gosec // it fits: see widthOf
	case 4:
		return binary.BigEndian.AppendUint32(to, uint32(number)) //nolint:gosec // as above
	default:
		return binary.BigEndian.AppendUint64(to, number)
	}
}

// widthOf returns in how many bytes a number fits.
func widthOf(number uint64) int {
	switch {
	case number <= math.MaxUint8:
		return 1
	case number <= math.MaxUint16:
		return 2
	case number <= math.MaxUint32:
		return 4
	default:
		return 8
	}
}

// image is cells of a run, each in its place. The zero image is empty.
type image struct {
	mask  uint64 // a bit for each cell that is there
	vals  [maxRun]float64
	revs  [maxRun]int64 // which revision a cell is from
	obs   [maxRun]byte
	conf  [maxRun]byte
	notes []note
	known map[string][]packedNote // read before, of layers whose cells all have the same
}

const maxKnownNotes = 1000

// note is the values of a further attribute by place, "" where a cell has none.
type note struct {
	id    string
	texts [maxRun]string
}

// reset empties the image.
func (m *image) reset() { m.mask, m.notes = 0, m.notes[:0] }

// lay puts on the image the cells of a layer that are from revisions up to upTo, but for those where the image has a later
// one.
func (m *image) lay(l *layer, upTo int64) error {
	notes, known := m.known[string(l.notes)]
	if !known {
		var err error
		if notes, err = unpackNotes(l.notes, l.cells()); err != nil {
			return err
		}
		shared := !slices.ContainsFunc(notes, func(n packedNote) bool { return n.each != nil })
		if shared && len(m.known) < maxKnownNotes {
			if m.known == nil {
				m.known = map[string][]packedNote{}
			}
			m.known[string(l.notes)] = notes
		}
	}
	n, i := l.cells(), 0
	for rest := l.mask; rest != 0; rest &= rest - 1 {
		at := bits.TrailingZeros64(rest)
		if rev := l.revision(i, n); rev <= upTo && (m.mask&(1<<at) == 0 || m.revs[at] < rev) {
			m.mask |= 1 << at
			m.vals[at], m.revs[at], m.obs[at], m.conf[at] = l.value(i, n), rev, l.obsStatus(i), l.confStatus(i)
			m.clearNotes(at)
			for j := range notes {
				if text := notes[j].text(i); text != "" {
					m.note(notes[j].id).texts[at] = text
				}
			}
		}
		i++
	}
	return nil
}

// set puts a cell of a revision in its place; the zero Cell takes away what is there. further are the values of the
// attributes ids.
func (m *image) set(at int, rev int64, c statistics.Cell, ids, further []string) {
	m.clearNotes(at)
	if !c.Present() {
		m.mask &^= 1 << at
		return
	}
	m.mask |= 1 << at
	m.vals[at], m.revs[at], m.obs[at], m.conf[at] = c.Value, rev, c.ObsStatus, c.ConfStatus
	for i, text := range further {
		if text != "" {
			m.note(ids[i]).texts[at] = text
		}
	}
}

// holds reports whether the cell in the place is the same, whatever revision it is from.
func (m *image) holds(at int, c statistics.Cell, ids, further []string) bool {
	if there := m.mask&(1<<at) != 0; !there || !c.Present() {
		return there == c.Present()
	}
	if was := m.vals[at]; was != c.Value && !(math.IsNaN(was) && math.IsNaN(c.Value)) || m.obs[at] != c.ObsStatus || m.conf[at] != c.ConfStatus {
		return false
	}
	noted := 0
	for i := range m.notes {
		text := m.notes[i].texts[at]
		if text == "" {
			continue
		}
		noted++
		if place := slices.Index(ids, m.notes[i].id); place < 0 || place >= len(further) || further[place] != text {
			return false
		}
	}
	for _, text := range further {
		if text != "" {
			noted--
		}
	}
	return noted == 0
}

// cell returns the cell in a place. Its further attributes are a set of the table.
func (m *image) cell(at int, of *statistics.Table) statistics.Cell {
	c := statistics.Cell{Value: m.vals[at], ObsStatus: m.obs[at], ConfStatus: m.conf[at]}
	if len(m.notes) > 0 {
		ids := of.FurtherAttributes()
		values := make([]string, len(ids))
		for i := range m.notes {
			if place := slices.Index(ids, m.notes[i].id); place >= 0 {
				values[place] = m.notes[i].texts[at]
			}
		}
		c.Attributes = of.AttributeSet(values)
	}
	return c
}

func (m *image) clearNotes(at int) {
	for i := range m.notes {
		m.notes[i].texts[at] = ""
	}
}

func (m *image) note(id string) *note {
	for i := range m.notes {
		if m.notes[i].id == id {
			return &m.notes[i]
		}
	}
	m.notes = append(m.notes, note{id: id})
	return &m.notes[len(m.notes)-1]
}

// pack returns the cells of the mask, which the image has, as a layer. The columns of into are used again.
func (m *image) pack(mask uint64, into *layer) error {
	into.mask, into.rev = mask, 0
	into.vals, into.obs, into.conf, into.ages = into.vals[:0], into.obs[:0], into.conf[:0], into.ages[:0]
	width, normal, free, oldest := 1, true, true, int64(math.MaxInt64)
	for rest := mask; rest != 0; rest &= rest - 1 {
		at := bits.TrailingZeros64(rest)
		width = max(width, widthOfFigure(m.vals[at]))
		normal = normal && m.obs[at] == statistics.NormalValue
		free = free && m.conf[at] == statistics.FreeToShow
		into.rev, oldest = max(into.rev, m.revs[at]), min(oldest, m.revs[at])
	}
	ageWidth := widthOf(uint64(into.rev - oldest)) //nolint:gosec // not negative
	for rest := mask; rest != 0; rest &= rest - 1 {
		at := bits.TrailingZeros64(rest)
		if width == 8 {
			into.vals = appendUnsigned(into.vals, math.Float64bits(m.vals[at]), width)
		} else {
			into.vals = appendUnsigned(into.vals, uint64(m.vals[at]), width)
		}
		if !normal {
			into.obs = append(into.obs, m.obs[at])
		}
		if !free {
			into.conf = append(into.conf, m.conf[at])
		}
		if into.rev != oldest {
			into.ages = appendUnsigned(into.ages, uint64(into.rev-m.revs[at]), ageWidth) //nolint:gosec // not negative
		}
	}
	var err error
	into.notes, err = m.packNotes(mask)
	return err
}

// widthOfFigure returns in how many bytes a figure is stored: as an integer where it is a small one, else as it is.
func widthOfFigure(figure float64) int {
	if !(figure >= 0 && figure <= math.MaxUint32) || figure != math.Trunc(figure) || math.Signbit(figure) {
		return 8
	}
	return widthOf(uint64(figure))
}

// packNotes writes the notes of the cells of the mask: nothing where there are none, by attribute one text where all cells
// have the same, else a list.
func (m *image) packNotes(mask uint64) ([]byte, error) {
	if len(m.notes) == 0 {
		return nil, nil
	}
	packed := map[string]any{}
	for i := range m.notes {
		n := &m.notes[i]
		var texts []string
		for rest := mask; rest != 0; rest &= rest - 1 {
			texts = append(texts, n.texts[bits.TrailingZeros64(rest)])
		}
		different := func(text string) bool { return text != texts[0] }
		switch {
		case slices.ContainsFunc(texts, different):
			packed[n.id] = texts
		case texts[0] != "":
			packed[n.id] = texts[0]
		}
	}
	if len(packed) == 0 {
		return nil, nil
	}
	return json.Marshal(packed)
}

// packedNote is the values of a further attribute in a layer: one for all cells, or one for each.
type packedNote struct {
	id   string
	all  string
	each []string
}

// text returns the value of cell i, "" where it has none.
func (n *packedNote) text(i int) string {
	if n.each != nil {
		return n.each[i]
	}
	return n.all
}

// unpackNotes reads the notes of a layer of so many cells.
func unpackNotes(text []byte, cells int) ([]packedNote, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var packed map[string]json.RawMessage
	if err := json.Unmarshal(text, &packed); err != nil {
		return nil, fmt.Errorf("reading notes: %w", err)
	}
	notes := make([]packedNote, 0, len(packed))
	for id, raw := range packed {
		n := packedNote{id: id}
		var err error
		if bytes.HasPrefix(raw, []byte("[")) {
			if err = json.Unmarshal(raw, &n.each); err == nil && len(n.each) != cells {
				err = errors.New("another number of them")
			}
		} else {
			err = json.Unmarshal(raw, &n.all)
		}
		if err != nil {
			return nil, fmt.Errorf("the notes %s are not %d texts: %w", id, cells, err)
		}
		notes = append(notes, n)
	}
	return notes, nil
}

// appendKey appends the codes as they stand in a key.
func appendKey(key []byte, codes ...uint16) []byte {
	for _, code := range codes {
		key = binary.BigEndian.AppendUint16(key, code)
	}
	return key
}
