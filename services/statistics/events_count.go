package statistics

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
)

// eventCounter counts the records of a batch. Rows are grouped by the positions of their codes in the dictionaries of
// their block, so that a code is looked at once for each block, not for each record.
//
// Every record has a hash, made of the secret and of all that it says: its codes, its time as it was written, its record
// key and its sign. The digest of the batch is their sum. A record without a record key has one made of the secret, its
// codes and its time, so that it is the same when the record is taken back.
type eventCounter struct {
	flow      *Flow
	constants map[string]string
	known     *Dictionary // codes of figures that are stored, for dimensions without a codelist
	now       time.Time
	mac       hash.Hash // HMAC-SHA-256 under the secret

	codes   *Dictionary
	numbers map[string]uint32 // of tuples, by their packed codes
	tuples  []eventTuple
	places  map[eventPlace]uint32 // of sums
	sums    []EventCell           // their keys are left out
	digest  multisetHash
	records int
	groups  grouper
	packed  []byte
	message []byte
}

// eventTuple is one code for each dimension.
type eventTuple struct {
	key       string
	frequency Frequency
	mac       [sha256.Size]byte
}

// eventPlace is where a record counts.
type eventPlace struct {
	tuple  uint32
	period int32
}

func countEvents(flow *Flow, header *EventHeader, known *Dictionary, secret []byte, now time.Time) (*eventCounter, error) {
	constants := maps.Clone(header.Constants)
	if header.Frequency != "" {
		if _, twice := constants[frequencyID]; twice {
			return nil, fault.InvalidField("frequency", "is given as a constant too")
		}
		if constants == nil {
			constants = map[string]string{}
		}
		constants[frequencyID] = header.Frequency
	}
	for _, id := range slices.Sorted(maps.Keys(constants)) {
		if id != block.TimePeriod && flow.Structure.Dimension(id) < 0 {
			return nil, refuseColumn(flow, id)
		}
	}
	return &eventCounter{
		flow: flow, constants: constants, known: known, now: now, mac: hmac.New(sha256.New, secret),
		codes: NewDictionary(len(flow.Structure.Dimensions)), numbers: map[string]uint32{}, places: map[eventPlace]uint32{},
	}, nil
}

// refuseColumn says why events have no such column. It shows the name only where it cannot be something that stood in a
// record.
func refuseColumn(flow *Flow, id string) error {
	shown := "a column"
	if len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.", r)
	}) && id != "" && !unicode.IsDigit(rune(id[0])) {
		shown = id
	}
	if looksLikeIdentity(id) {
		refusal := fault.InvalidField(shown, "looks like a field that says who somebody is; records of events must carry no identity")
		refusal.Reason = "IDENTITY_FIELD"
		return refusal
	}
	if slices.ContainsFunc(flow.Structure.Attributes, func(c Component) bool { return c.ID == id }) || id == block.ObsValue {
		return fault.InvalidField(shown, "is no dimension; events have codes of dimensions and a time, and each counts as one")
	}
	return fault.InvalidField(shown, "is no dimension of %s; events have no other columns", flow.Ref)
}

// eventColumn holds codes of a block, or the one of a constant.
type eventColumn struct {
	positions  []uint32 // for each row; nil: the constant's, which is 0
	dictionary []string
	codes      []uint32 // of a dimension, by position: the number in the counter
	times      []eventTime
	wrong      []string // by position; nil: nothing is wrong with any
}

func (c *eventColumn) at(row uint32) uint32 {
	if c.positions == nil {
		return 0
	}
	return c.positions[row]
}

// eventRows are the columns of a block.
type eventRows struct {
	rows       int
	dimensions []eventColumn // in key order
	time       eventColumn
	keys       []float64 // nil: no record has one
	signs      []float64 // nil: all are 1
	lines      []float64 // nil: they are not known
}

func (r *eventRows) setNumbers(id string, numbers []float64) {
	switch id {
	case RecordKeyColumn:
		r.keys = numbers
	case SignColumn:
		r.signs = numbers
	default:
		r.lines = numbers
	}
}

// add counts the records of a block. The error is a fault of kind Invalid, and then nothing of the batch may be stored.
func (c *eventCounter) add(b *block.Block) error {
	if b.Rows > math.MaxInt32-c.records {
		return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "a batch has at most %d records: send it in parts", math.MaxInt32)
	}
	rows, err := c.read(b)
	if err != nil {
		return err
	}
	if err := c.check(rows); err != nil {
		return err
	}
	if rows.rows == 0 {
		return nil
	}
	tuples := c.tuplesOf(rows)
	c.groups.by(rows.time.positions, len(rows.time.dictionary))
	cells, err := c.cellsOf(rows, tuples)
	if err != nil {
		return err
	}
	if rows.keys == nil && rows.signs == nil {
		counts := make([]uint64, len(cells))
		for _, group := range c.groups.of {
			counts[group]++
		}
		for group, n := range counts {
			c.count(&cells[group], 1, n)
		}
	} else {
		for row, group := range c.groups.of {
			sign := int64(1)
			if rows.signs != nil && rows.signs[row] < 0 {
				sign = -1
			}
			if rows.keys != nil && !math.IsNaN(rows.keys[row]) {
				c.countKeyed(&cells[group], sign, uint32(rows.keys[row]))
			} else {
				c.count(&cells[group], sign, 1)
			}
		}
	}
	c.records += rows.rows
	return nil
}

// read finds the columns of a block, and looks at each distinct value of them once.
func (c *eventCounter) read(b *block.Block) (*eventRows, error) {
	rows := &eventRows{rows: b.Rows, dimensions: make([]eventColumn, len(c.flow.Structure.Dimensions))}
	for i := range b.Columns {
		column := &b.Columns[i]
		id := column.Component
		switch {
		case id == RecordKeyColumn || id == SignColumn || id == block.Line:
			if !column.IsNumber() && b.Rows > 0 {
				return nil, fault.InvalidField(id, "is there as text, not as numbers")
			}
			rows.setNumbers(id, column.Numbers)
		case id != block.TimePeriod && c.flow.Structure.Dimension(id) < 0:
			return nil, refuseColumn(c.flow, id)
		case column.IsNumber():
			return nil, fault.InvalidField(id, "is there as numbers, not as text")
		}
		if _, twice := c.constants[id]; twice {
			return nil, fault.InvalidField(id, "is a constant of the batch and a column too")
		}
	}
	find := func(id string) (eventColumn, error) {
		if text, ok := c.constants[id]; ok {
			return eventColumn{dictionary: []string{text}}, nil
		}
		if column := b.Column(id); column != nil {
			return eventColumn{positions: column.Codes, dictionary: column.Dictionary}, nil
		}
		return eventColumn{}, fault.InvalidField(id, "is missing: events have a code of every dimension of %s, and a %s", c.flow.Ref, block.TimePeriod)
	}
	var err error
	for i, dimension := range c.flow.Structure.Dimensions {
		if rows.dimensions[i], err = find(dimension.ID); err != nil {
			return nil, err
		}
		c.readCodes(i, &rows.dimensions[i])
	}
	if rows.time, err = find(block.TimePeriod); err != nil {
		return nil, err
	}
	c.readTimes(&rows.time)
	return rows, nil
}

func (c *eventCounter) readCodes(dimension int, column *eventColumn) {
	column.codes = make([]uint32, len(column.dictionary))
	for position, text := range column.dictionary {
		number, ok := c.codes.Find(dimension, text)
		if !ok {
			if wrong := c.wrongCode(dimension, text); wrong != "" {
				column.fault(position, wrong)
				continue
			}
			number = c.codes.Add(dimension, text)
		}
		column.codes[position] = number
	}
}

// wrongCode says what is wrong with a code, without showing it. A dimension of free text would be a way in for what no
// record may say, so it takes only what figures that are stored have.
func (c *eventCounter) wrongCode(dimension int, text string) string {
	codelist := c.flow.Dimensions[dimension]
	switch {
	case text == "":
		return "is blank; a code is needed"
	case len(text) > maxTextLength || !isText(text):
		return "is no code"
	case dimension == 0 && !oneOf(period.Frequencies, text):
		return "is not one of " + strings.Join(strings.Split(period.Frequencies, ""), ", ")
	case codelist != nil && !codelist.Has(text):
		return fmt.Sprintf("is not in the codelist %s", codelist.Codelist().Ref)
	case codelist == nil && dimension > 0:
		if _, ok := c.known.Find(dimension, text); !ok {
			return fmt.Sprintf("is no label that a figure of %s has; the dimension has no codelist, so that events take only these", c.flow.Ref)
		}
	}
	return ""
}

func (c *eventCounter) readTimes(column *eventColumn) {
	column.times = make([]eventTime, len(column.dictionary))
	for position, text := range column.dictionary {
		column.times[position] = parseEventTime(text, c.now)
		if wrong := column.times[position].wrong; wrong != "" {
			column.fault(position, wrong)
		}
	}
}

func (c *eventColumn) fault(position int, wrong string) {
	if c.wrong == nil {
		c.wrong = make([]string, len(c.dictionary))
	}
	c.wrong[position] = wrong
}

// isText reports whether nothing in the text is a mark of control, or no character at all.
func isText(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsFunc(text, unicode.IsControl)
}

// eventFaults are what is wrong with records of a block.
type eventFaults struct {
	rows   *eventRows
	before int // records before the block
	found  []fault.Violation
}

// add says what is wrong with a row, by the line of the record or its number in the batch, both from 1.
func (f *eventFaults) add(row int, column, wrong string) {
	where := fmt.Sprintf("record %d", f.before+row+1)
	if f.rows.lines != nil && f.rows.lines[row] >= 1 {
		where = fmt.Sprintf("line %.0f", f.rows.lines[row])
	}
	f.found = append(f.found, fault.Violation{Field: where + ", column " + column, Description: wrong})
}

func (f *eventFaults) full() bool { return len(f.found) >= maxEventViolations }

// fault returns the refusal, nil where nothing is wrong.
func (f *eventFaults) fault() error {
	if len(f.found) == 0 {
		return nil
	}
	refusal := fault.New(fault.Invalid, "INVALID_REQUEST", "the batch is not counted: %s %s", f.found[0].Field, f.found[0].Description)
	refusal.Violations = f.found
	return refusal
}

// check looks for rows whose values are wrong.
func (c *eventCounter) check(rows *eventRows) error {
	faults := &eventFaults{rows: rows, before: c.records}
	look := func(column *eventColumn, id string) {
		if column.wrong == nil {
			return
		}
		for row := 0; row < rows.rows && !faults.full(); row++ {
			if wrong := column.wrong[column.at(uint32(row))]; wrong != "" { //nolint:gosec // at most block.MaxRows
				faults.add(row, id, wrong)
			}
		}
	}
	for i := range rows.dimensions {
		look(&rows.dimensions[i], c.flow.Structure.Dimensions[i].ID)
	}
	look(&rows.time, block.TimePeriod)
	for row, key := range rows.keys {
		if !math.IsNaN(key) && (key < 0 || key > math.MaxUint32 || key != math.Trunc(key)) && !faults.full() {
			faults.add(row, RecordKeyColumn, "is no whole number from 0 to 4294967295")
		}
	}
	for row, sign := range rows.signs {
		if !math.IsNaN(sign) && sign != 1 && sign != -1 && !faults.full() {
			faults.add(row, SignColumn, "is neither 1 nor -1")
		}
	}
	return faults.fault()
}

// tuplesOf groups the rows by their codes, and returns for each group the number of its tuple.
func (c *eventCounter) tuplesOf(rows *eventRows) []uint32 {
	c.groups.reset(rows.rows)
	for i := range rows.dimensions {
		c.groups.by(rows.dimensions[i].positions, len(rows.dimensions[i].dictionary))
	}
	perRow := c.groups.of
	tuples := make([]uint32, len(c.groups.first))
	for group, row := range c.groups.first {
		c.packed = c.packed[:0]
		for i := range rows.dimensions {
			column := &rows.dimensions[i]
			c.packed = binary.BigEndian.AppendUint32(c.packed, column.codes[column.at(row)])
		}
		tuples[group] = c.tuple()
	}
	ofRows := make([]uint32, rows.rows)
	for row, group := range perRow {
		ofRows[row] = tuples[group]
	}
	return ofRows
}

// tuple returns the number of the tuple whose codes are packed.
func (c *eventCounter) tuple() uint32 {
	if number, ok := c.numbers[string(c.packed)]; ok {
		return number
	}
	number := uint32(len(c.tuples)) //nolint:gosec // at most maxEventCells, and those of a block
	codes := make([]string, len(c.packed)/4)
	c.mac.Reset()
	for i := range codes {
		codes[i] = c.codes.Text(i, binary.BigEndian.Uint32(c.packed[4*i:]))
		_, _ = c.mac.Write(binary.AppendUvarint(nil, uint64(len(codes[i])))) // a hash never fails
		_, _ = c.mac.Write([]byte(codes[i]))
	}
	tuple := eventTuple{key: EventKey(codes), frequency: Frequency(codes[0][0])}
	c.mac.Sum(tuple.mac[:0])
	c.numbers[string(c.packed)] = number
	c.tuples = append(c.tuples, tuple)
	return number
}

// countedCell is where the records of a group count.
type countedCell struct {
	sum   uint32 // its number
	tuple uint32
	time  string // as it is written
}

// cellsOf returns where each group of rows counts.
func (c *eventCounter) cellsOf(rows *eventRows, tuples []uint32) ([]countedCell, error) {
	faults := &eventFaults{rows: rows, before: c.records}
	cells := make([]countedCell, len(c.groups.first))
	for group, row := range c.groups.first {
		position, tuple := rows.time.at(row), tuples[row]
		at, wrong := rows.time.times[position].in(c.tuples[tuple].frequency)
		if wrong != "" {
			if !faults.full() {
				faults.add(int(row), block.TimePeriod, wrong)
			}
			continue
		}
		place := eventPlace{tuple, at}
		number, ok := c.places[place]
		if !ok {
			if len(c.sums) == maxEventCells {
				return nil, fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "a batch counts to at most %d cells: send it in parts", maxEventCells)
			}
			number = uint32(len(c.sums)) //nolint:gosec // at most maxEventCells
			c.places[place] = number
			c.sums = append(c.sums, EventCell{Period: at})
		}
		cells[group] = countedCell{sum: number, tuple: tuple, time: rows.time.dictionary[position]}
	}
	return cells, faults.fault()
}

// count counts n records of the sign that have no record key of their own.
func (c *eventCounter) count(cell *countedCell, sign int64, n uint64) {
	made := c.hash(cell, 0, nil)
	key := binary.BigEndian.Uint32(made[:])
	hash := c.hash(cell, sign, nil)
	c.digest.add(&hash, n)
	sum := &c.sums[cell.sum]
	sum.Count += sign * int64(n)                    //nolint:gosec // at most math.MaxInt32
	sum.RecordKey += uint32(sign) * key * uint32(n) //nolint:gosec // modulo 2³²
}

// countKeyed counts a record with its record key.
func (c *eventCounter) countKeyed(cell *countedCell, sign int64, key uint32) {
	hash := c.hash(cell, sign, binary.BigEndian.AppendUint32(make([]byte, 0, 4), key))
	c.digest.add(&hash, 1)
	sum := &c.sums[cell.sum]
	sum.Count += sign
	sum.RecordKey += uint32(sign) * key //nolint:gosec // modulo 2³²
}

// hash returns that of a record: of what the secret makes of its codes, its sign, its record key and its time. What is
// before the time has one length for each length of the record key, which the sign tells apart.
func (c *eventCounter) hash(cell *countedCell, sign int64, key []byte) [sha256.Size]byte {
	c.message = append(c.message[:0], c.tuples[cell.tuple].mac[:]...)
	c.message = append(c.message, byte(sign), byte(len(key))) //nolint:gosec // −1, 0 or 1; 0 or 4
	c.message = append(c.message, key...)
	c.message = append(c.message, cell.time...)
	return sha256.Sum256(c.message)
}

// cells returns what the batch adds to the counters, or, where it is taken back, takes from them, by keys and periods.
func (c *eventCounter) cells(takenBack bool) []EventCell {
	cells := make([]EventCell, 0, len(c.sums))
	for place, number := range c.places {
		cell := c.sums[number]
		if cell.Count == 0 && cell.RecordKey == 0 {
			continue // records and their retractions
		}
		if takenBack {
			cell.Count, cell.RecordKey = -cell.Count, -cell.RecordKey
		}
		cell.Key = c.tuples[place.tuple].key
		cells = append(cells, cell)
	}
	slices.SortFunc(cells, compareEventCells)
	return cells
}

// compareEventCells orders cells by keys and periods.
func compareEventCells(a, b EventCell) int {
	return cmp.Or(strings.Compare(a.Key, b.Key), cmp.Compare(a.Period, b.Period))
}

// grouper numbers the distinct combinations of positions in rows, one column after another.
type grouper struct {
	of    []uint32 // for each row, its group
	first []uint32 // for each group, its first row
	table []uint32 // by group before and position: the group after, plus 1
}

// tableSize is up to how many combinations are looked up in a table.
const tableSize = 1 << 20

// reset puts so many rows into one group.
func (g *grouper) reset(rows int) {
	g.of, g.first = make([]uint32, rows), []uint32{0}
}

// by tells rows apart by a column of positions below size. A column of nil is the same in every row.
func (g *grouper) by(positions []uint32, size int) {
	if positions == nil || size <= 1 {
		return
	}
	first := make([]uint32, 0, len(g.first))
	of := make([]uint32, len(g.of))
	if combinations := len(g.first) * size; combinations <= tableSize {
		if len(g.table) < combinations {
			g.table = make([]uint32, combinations)
		}
		table := g.table[:combinations]
		clear(table)
		width := uint32(size) //nolint:gosec // at most tableSize
		for row, group := range g.of {
			slot := &table[group*width+positions[row]]
			if *slot == 0 {
				first = append(first, uint32(row)) //nolint:gosec // at most block.MaxRows
				*slot = uint32(len(first))         //nolint:gosec // as above
			}
			of[row] = *slot - 1
		}
	} else {
		seen := make(map[uint64]uint32, len(g.first))
		for row, group := range g.of {
			both := uint64(group)<<32 | uint64(positions[row])
			number, ok := seen[both]
			if !ok {
				number = uint32(len(first)) //nolint:gosec // as above
				seen[both] = number
				first = append(first, uint32(row)) //nolint:gosec // as above
			}
			of[row] = number
		}
	}
	g.of, g.first = of, first
}
