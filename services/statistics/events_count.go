package statistics

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
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
	bytes   int // of the keys of tuples
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
	if c.bytes > maxEventKeys {
		return fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the codes of a batch take at most %d bytes: send it in parts", maxEventKeys)
	}
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
	c.bytes += len(tuple.key)
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
	hash := c.hash(cell, 1, nil)
	key := binary.BigEndian.Uint32(hash[:]) // the same whatever the sign
	if sign < 0 {
		hash = c.hash(cell, sign, nil)
	}
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
