package statistics

import (
	"iter"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/comity-federation/comity/proto/block"
)

// Statuses of a cell that says nothing else.
const (
	NormalValue  = 'A' // of CL_OBS_STATUS
	FreeToShow   = 'F' // of CL_CONF_STATUS
	Confidential = 'C' // of CL_CONF_STATUS
	LowQuality   = 'U' // of CL_OBS_STATUS: low reliability
	MissingValue = 'O' // of CL_OBS_STATUS
)

// Cell is a figure: the value of a series in a period. The zero Cell is none.
type Cell struct {
	Value      float64 // NaN: an observation without a value; its OBS_STATUS says why
	Attributes uint32  // a set of the table's further attributes; 0: none
	Line       int32   // of the file it was read from; 0: from none
	ObsStatus  byte    // a code of CL_OBS_STATUS; 0: there is no figure
	ConfStatus byte    // a code of CL_CONF_STATUS
}

// Present reports whether there is a figure, be it one without a value.
func (c Cell) Present() bool { return c.ObsStatus != 0 }

// Valued reports whether there is a figure with a value.
func (c Cell) Valued() bool { return c.Present() && !math.IsNaN(c.Value) }

// Track holds the cells of one series: Cells[i] is that of the period with index Periods[i]. Periods ascend.
type Track struct {
	Periods []int32
	Cells   []Cell
}

// Len returns how many cells there are.
func (t *Track) Len() int { return len(t.Periods) }

// At returns the cell of the period, the zero Cell where there is none.
func (t *Track) At(period int32) Cell {
	if t == nil {
		return Cell{}
	}
	if i, ok := slices.BinarySearch(t.Periods, period); ok {
		return t.Cells[i]
	}
	return Cell{}
}

// slot returns the position of the period's cell; a new one is the zero Cell.
func (t *Track) slot(period int32) *Cell {
	n := len(t.Periods)
	if n == 0 || t.Periods[n-1] < period {
		t.Periods = append(t.Periods, period)
		t.Cells = append(t.Cells, Cell{})
		return &t.Cells[n]
	}
	i, ok := slices.BinarySearch(t.Periods, period)
	if !ok {
		t.Periods = slices.Insert(t.Periods, i, period)
		t.Cells = slices.Insert(t.Cells, i, Cell{})
	}
	return &t.Cells[i]
}

// Dictionary numbers the codes of each dimension from 0, in the order in which they were added.
type Dictionary struct {
	texts     [][]string
	positions []map[string]uint32
}

// NewDictionary returns an empty dictionary for so many dimensions.
func NewDictionary(dimensions int) *Dictionary {
	d := &Dictionary{texts: make([][]string, dimensions), positions: make([]map[string]uint32, dimensions)}
	for i := range d.positions {
		d.positions[i] = map[string]uint32{}
	}
	return d
}

// Clone returns a dictionary of its own with the same numbers.
func (d *Dictionary) Clone() *Dictionary {
	clone := NewDictionary(len(d.texts))
	for i := range d.texts {
		clone.texts[i] = slices.Clone(d.texts[i])
		clone.positions[i] = maps.Clone(d.positions[i])
	}
	return clone
}

// Add returns the number of the text, a new one where it has none.
func (d *Dictionary) Add(dimension int, text string) uint32 {
	code, ok := d.positions[dimension][text]
	if !ok {
		code = uint32(len(d.texts[dimension])) //nolint:gosec // memory ends before 2^32 codes
		text = strings.Clone(text)             // it may be a part of a large buffer
		d.texts[dimension] = append(d.texts[dimension], text)
		d.positions[dimension][text] = code
	}
	return code
}

// Find returns the number of the text.
func (d *Dictionary) Find(dimension int, text string) (code uint32, ok bool) {
	code, ok = d.positions[dimension][text]
	return code, ok
}

// Text returns the text of a number that Add gave.
func (d *Dictionary) Text(dimension int, code uint32) string { return d.texts[dimension][code] }

// Dimensions returns how many dimensions there are.
func (d *Dictionary) Dimensions() int { return len(d.texts) }

// Len returns how many codes the dimension has.
func (d *Dictionary) Len(dimension int) int { return len(d.texts[dimension]) }

// Table is a set of cells of one dataflow: at most one for each series and period. Dimensions are numbered in key
// order, codes as its dictionary numbers them, series as they came.
//
//	codes[0] = table.Code(0, "M")
//	…
//	series := table.Series(codes)
//	if !table.Put(series, period.Index, cell) { … the second cell of that key and period … }
//
// The frequency of a series' periods is that of its first dimension, FREQ.
type Table struct {
	structure  *DataStructure
	further    []string // ids of the attributes other than the two statuses
	dictionary *Dictionary
	keys       []uint32 // those of series i from i*len(Dimensions)
	tracks     []Track
	series     seriesIndex
	sets       *Dictionary // its one dimension holds the sets of further attributes, joined
	cells      int
}

// maxExpected is for how many cells room is made in advance.
const maxExpected = 32

// setSeparator stands between the attributes of a set. No attribute may contain it.
const setSeparator = "\x00"

// NewTable returns an empty table of the structure.
func NewTable(s *DataStructure) *Table {
	t := &Table{structure: s, further: s.FurtherAttributes(), dictionary: NewDictionary(len(s.Dimensions))}
	t.sets = NewDictionary(1)
	t.AttributeSet(make([]string, len(t.further)))
	return t
}

// Empty returns an empty table of the same structure in which a code or a set of attributes has the same number as in t.
// They share them, so that
// only one goroutine may use both.
func (t *Table) Empty() *Table {
	empty := *t
	empty.keys, empty.tracks, empty.series, empty.cells = nil, nil, seriesIndex{}, 0
	return &empty
}

// clone returns a table of its own with the same cells, codes and sets.
func (t *Table) clone() *Table {
	clone := *t
	clone.dictionary, clone.sets = t.dictionary.Clone(), t.sets.Clone()
	clone.keys, clone.series = slices.Clone(t.keys), t.series.clone()
	clone.tracks = make([]Track, len(t.tracks))
	for s, track := range t.tracks {
		clone.tracks[s] = Track{Periods: slices.Clip(track.Periods), Cells: slices.Clip(track.Cells)} // copied when it grows
	}
	return &clone
}

// clear takes all series away, and keeps the numbers of codes and sets.
func (t *Table) clear() {
	t.series.clear()
	t.keys, t.tracks, t.cells = t.keys[:0], t.tracks[:0], 0
}

// Structure returns what the table is of.
func (t *Table) Structure() *DataStructure { return t.structure }

// Dictionary returns the numbers of the codes.
func (t *Table) Dictionary() *Dictionary { return t.dictionary }

// Code returns the number of a code of the dimension, a new one where it has none.
func (t *Table) Code(dimension int, text string) uint32 { return t.dictionary.Add(dimension, text) }

// Series returns the number of the series with these codes, one for each dimension; a new one where there is none.
func (t *Table) Series(codes []uint32) int {
	n, ok := t.series.find(t.keys, codes)
	if !ok {
		n = len(t.tracks)
		t.series.add(t.keys, codes, n)
		t.keys = append(t.keys, codes...)
		var track Track
		if n > 0 { // series mostly have as many cells as the one before
			expected := min(t.tracks[n-1].Len(), maxExpected)
			track = Track{Periods: make([]int32, 0, expected), Cells: make([]Cell, 0, expected)}
		}
		t.tracks = append(t.tracks, track)
	}
	return n
}

// number returns the number of the series with the codes, if there is one.
func (t *Table) number(codes []uint32) (series int, ok bool) {
	return t.series.find(t.keys, codes)
}

// find returns the cells of the series with the codes, nil where there is none.
func (t *Table) find(codes []uint32) *Track {
	if n, ok := t.number(codes); ok {
		return &t.tracks[n]
	}
	return nil
}

// Key returns the codes of a series. They must not be changed.
func (t *Table) Key(series int) []uint32 {
	n := len(t.structure.Dimensions)
	return t.keys[series*n : (series+1)*n : (series+1)*n]
}

// Track returns the cells of a series. They must not be changed.
func (t *Table) Track(series int) *Track { return &t.tracks[series] }

// SeriesCount returns how many series there are.
func (t *Table) SeriesCount() int { return len(t.tracks) }

// Len returns how many cells there are.
func (t *Table) Len() int { return t.cells }

// Frequency returns that of a series' periods.
func (t *Table) Frequency(series int) Frequency {
	return Frequency(t.dictionary.Text(0, t.Key(series)[0])[0])
}

// Put stores a cell where there is none, and reports whether it did.
func (t *Table) Put(series int, period int32, c Cell) bool {
	slot := t.tracks[series].slot(period)
	if slot.Present() {
		return false
	}
	*slot = c
	t.cells++
	return true
}

// Set stores a cell in place of any that is there.
func (t *Table) Set(series int, period int32, c Cell) {
	slot := t.tracks[series].slot(period)
	if !slot.Present() {
		t.cells++
	}
	*slot = c
}

// Remove says that the cell of a series and period is to go. There is none in the table then, but the zero Cell in its
// track, with the line that said so.
func (t *Table) Remove(series int, period, line int32) {
	slot := t.tracks[series].slot(period)
	if slot.Present() {
		t.cells--
	}
	*slot = Cell{Line: line}
}

// Sum adds a cell to the one that is there, as [Sum] says, or stores it where there is none. Of the further attributes
// those stay that both agree on.
func (t *Table) Sum(series int, period int32, c Cell) {
	slot := t.tracks[series].slot(period)
	if !slot.Present() {
		*slot = c
		t.cells++
		return
	}
	t.sumInto(slot, c)
}

func (t *Table) sumInto(slot *Cell, c Cell) {
	attributes := slot.Attributes
	if attributes != c.Attributes {
		attributes = t.agreed(attributes, c.Attributes)
	}
	*slot = Sum(*slot, c)
	slot.Attributes = attributes
}

func (t *Table) agreed(a, b uint32) uint32 {
	left, right := t.Attributes(a), t.Attributes(b)
	for i := range left {
		if left[i] != right[i] {
			left[i] = ""
		}
	}
	return t.AttributeSet(left)
}

// At returns the cell of a series and period, the zero Cell where there is none.
func (t *Table) At(series int, period int32) Cell { return t.tracks[series].At(period) }

// withComment returns the number of a set with another COMMENT; the set itself where the structure has none.
func (t *Table) withComment(set uint32, text string) uint32 {
	values := make([]string, len(t.further))
	copy(values, t.Attributes(set))
	if i := slices.Index(t.further, block.Comment); i >= 0 {
		values[i] = text
	}
	return t.AttributeSet(values)
}

// FurtherAttributes returns the ids of the attributes other than OBS_STATUS and CONF_STATUS, in the order in which
// [Table.AttributeSet] takes their values.
func (t *Table) FurtherAttributes() []string { return t.further }

// AttributeSet returns the number of a set of values of the further attributes, "" for one that is absent.
func (t *Table) AttributeSet(values []string) uint32 {
	return t.sets.Add(0, strings.Join(values, setSeparator))
}

// Attributes returns the values of a set.
func (t *Table) Attributes(set uint32) []string {
	if len(t.further) == 0 {
		return nil
	}
	return strings.Split(t.sets.Text(0, set), setSeparator)
}

// The statuses from the one that warns the least to the one that warns the most, of figures with a value and of those
// without.
const (
	statusOrder  = "AWGDBVPJSIEFNKHLMOQU"
	missingOrder = "KHMLOQ"
)

// saysMissing reports whether the code of CL_OBS_STATUS is one of an observation without a value.
func saysMissing(status byte) bool { return strings.IndexByte(missingOrder, status) >= 0 }

// Sum returns the sum of two figures. It has a value only where both have, since a sum without one of its parts is another
// figure; its OBS_STATUS then is that of the one without a value, of two from K and H over M, L and O (missing) to Q
// (suppressed). Else it is, of the two, the one that warns more, from A (normal) over W, G, D, B, V, P, J, S, I, E, F, N to U
// (low reliability). Its CONF_STATUS is F where both are, else the other; C where both are restricted in different ways. It
// has no further attributes and no line.
func Sum(a, b Cell) Cell {
	sum := Cell{Value: a.Value + b.Value, ObsStatus: sumStatus(a, b), ConfStatus: a.ConfStatus}
	switch {
	case a.ConfStatus == FreeToShow:
		sum.ConfStatus = b.ConfStatus
	case b.ConfStatus != FreeToShow && b.ConfStatus != a.ConfStatus:
		sum.ConfStatus = Confidential
	}
	return sum
}

func sumStatus(a, b Cell) byte {
	if a.ObsStatus == underEmbargo && b.ObsStatus == underEmbargo {
		return underEmbargo
	}
	withoutA, withoutB := math.IsNaN(a.Value), math.IsNaN(b.Value)
	switch {
	case withoutA && !withoutB:
		return missing(a.ObsStatus)
	case withoutB && !withoutA:
		return missing(b.ObsStatus)
	case withoutA:
		return higher(missingOrder, missing(a.ObsStatus), missing(b.ObsStatus))
	}
	return higher(statusOrder, a.ObsStatus, b.ObsStatus)
}

// missing returns the status that a sum has for lack of a figure with the status.
func missing(status byte) byte {
	switch {
	case status == underEmbargo:
		return Suppressed
	case !saysMissing(status):
		return MissingValue
	}
	return status
}

func higher(order string, a, b byte) byte {
	if strings.IndexByte(order, b) > strings.IndexByte(order, a) {
		return b
	}
	return a
}

// blockRows is how many rows a block has at most that is made here.
const blockRows = 4096

// Blocks gives the cells as blocks with the dimensions, TIME_PERIOD, OBS_VALUE, OBS_STATUS, CONF_STATUS, the further
// attributes of the structure and the line, series by series.
func (t *Table) Blocks() iter.Seq[*block.Block] {
	return func(yield func(*block.Block) bool) {
		dimensions := len(t.structure.Dimensions)
		coded := append(t.structure.DimensionIDs(), block.TimePeriod, block.ObsStatus, block.ConfStatus)
		coded = append(coded, t.further...)
		builder := block.NewBuilder(coded, []string{block.ObsValue, block.Line})
		texts := make([]string, len(coded))
		for series := range t.tracks {
			for i, code := range t.Key(series) {
				texts[i] = t.dictionary.Text(i, code)
			}
			track, frequency := &t.tracks[series], t.Frequency(series)
			for i, cell := range track.Cells {
				texts[dimensions] = frequency.Period(track.Periods[i]).String()
				texts[dimensions+1], texts[dimensions+2] = string(cell.ObsStatus), string(cell.ConfStatus)
				copy(texts[dimensions+3:], t.Attributes(cell.Attributes))
				builder.Append(texts, []float64{cell.Value, float64(cell.Line)})
				if builder.Rows() == blockRows {
					if !yield(builder.Block()) {
						return
					}
					builder.Reset()
				}
			}
		}
		if builder.Rows() > 0 {
			yield(builder.Block())
		}
	}
}

// spans returns, for each frequency, the run from the first to the last period that any cell is in.
func (t *Table) spans() []Span {
	spans := []Span{}
	for s := range t.tracks {
		periods := t.tracks[s].Periods
		if len(periods) == 0 {
			continue
		}
		frequency := t.Frequency(s)
		i := slices.IndexFunc(spans, func(s Span) bool { return s.Frequency == frequency })
		if i < 0 {
			i = len(spans)
			spans = append(spans, Span{Frequency: frequency, First: math.MaxInt32, Last: math.MinInt32})
		}
		spans[i].First, spans[i].Last = min(spans[i].First, periods[0]), max(spans[i].Last, periods[len(periods)-1])
	}
	return spans
}
