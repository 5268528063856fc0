package statistics

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
)

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
			if wrong := column.wrong[column.at(uint32(row))]; wrong != "" {
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
