package sdmx

import (
	"bytes"
	"io"
	"iter"
	"math"
	"slices"
	"strconv"

	"github.com/comity-federation/comity/proto/block"
)

const (
	maxHeld      = 64 << 20 // bytes of data sets that may come before the structure that they are of
	maxGroupings = 64       // choices of dimensions that groups name
)

// JSONReader reads data messages of SDMX-JSON 2.1, 2.0 and 1.0: of series, or of observations with all dimensions.
//
//	{"data": {"structures": […], "dataSets": [{"structure": 0, "action": "Merge", "series": {"0:1": {"observations": {"0": [1204, 0]}}}}]}}
//
// All data sets must be of one dataflow and have one action. Where structures come first, no more is held than the values
// they list and a block of rows; data sets that come before are held until then, up to 64 MiB of them. Within a data
// set, "structure", "action" and attributes come before the observations. Components with several values are refused.
type JSONReader struct {
	identity
	output
	scan    *jsonScan
	layouts []*jsonLayout
	values  int // listed by the components
	most    int // bytes of data sets that are held
}

// NewJSONReader returns a reader; nothing is read before [JSONReader.Blocks] is ranged over.
func NewJSONReader(r io.Reader) *JSONReader {
	return &JSONReader{scan: newJSONScan(r, 1), most: maxHeld, output: output{rows: newRows()}}
}

// Blocks gives the rows. From the first that is wrong on there are none, but the message is read on to find what else is
// wrong.
func (j *JSONReader) Blocks() iter.Seq2[*block.Block, error] {
	return j.blocks(j.message)
}

// message reads the whole message.
func (j *JSONReader) message() error {
	if b, err := j.scan.next(); err != nil {
		return err
	} else if b == byteOrderMark[0] {
		for i := range len(byteOrderMark) {
			if b, err := j.scan.take(); err != nil || b != byteOrderMark[i] {
				return j.scan.fault("is no JSON in UTF-8")
			}
		}
	}
	if err := j.data(); err != nil {
		return err
	}
	return j.scan.finish()
}

// data reads the message, or its "data": version 1.0 began with the data sets at once.
func (j *JSONReader) data() error {
	var held []byte
	line := 0
	err := j.scan.object(func(member []byte) error {
		switch string(member) {
		case "data":
			return j.data()
		case "structures":
			return j.scan.array(func(int) error { return j.structure() })
		case "structure":
			return j.structure()
		case "dataSets":
			if len(j.layouts) > 0 {
				return j.dataSets()
			}
			if held != nil {
				return j.scan.fault("dataSets stands twice")
			}
			if _, err := j.scan.next(); err != nil {
				return err
			}
			line = j.scan.line
			var err error
			held, err = j.scan.hold(j.most)
			return err
		}
		return j.scan.skip()
	})
	if err != nil || held == nil {
		return err
	}
	if len(j.layouts) == 0 {
		return j.scan.fault("the data sets have no structure")
	}
	whole := j.scan
	j.scan = newJSONScan(bytes.NewReader(held), line)
	j.scan.depth = whole.depth
	err = j.dataSets()
	j.scan = whole
	return err
}

func (j *JSONReader) structure() error {
	l, err := j.layout()
	j.layouts = append(j.layouts, l)
	return err
}

func (j *JSONReader) dataSets() error {
	return j.scan.array(func(int) error {
		set := &jsonDataSet{JSONReader: j, action: Information}
		if err := set.read(); err != nil {
			return err
		}
		return j.hand()
	})
}

// jsonDataSet is a data set while it is read.
type jsonDataSet struct {
	*JSONReader
	layout    *jsonLayout
	structure int
	action    Action
	whole     []string     // the attributes of the data set
	groups    []jsonGroups // the attributes of groups
	count     int          // of groups
	series    []string     // the attributes of the series at hand
	begun     bool         // observations were met
	first     int          // row of the block at which the series begins
	late      bool         // the attributes of the series may still come
}

// jsonGroups are the attributes of groups that name the same dimensions.
type jsonGroups struct {
	named  []bool              // by dimension in key order
	values map[string][]string // by the positions of the group
}

func (d *jsonDataSet) read() error {
	line := d.scan.line
	err := d.scan.object(func(member []byte) error {
		switch name := string(member); name {
		case "structure":
			return d.readStructure()
		case "action":
			return d.readAction()
		case "attributes":
			if err := d.begin(name); err != nil {
				return err
			}
			return d.texts(d.layout.attributes[atDataSet], &d.whole)
		case "dimensionGroupAttributes":
			if err := d.begin(name); err != nil {
				return err
			}
			return d.scan.object(d.group)
		case "series":
			if err := d.open(); err != nil {
				return err
			}
			return d.scan.object(d.readSeries)
		case "observations":
			if err := d.open(); err != nil {
				return err
			}
			d.series, d.late = nil, false
			return d.scan.object(func(key []byte) error { return d.observation(key, true) })
		}
		return d.scan.skip()
	})
	if err != nil || d.begun || d.action != Delete {
		return err
	}
	return d.wrong(line, "", "deletes a whole data set; name its observations, or use action=DELETE with c[…]")
}

// begin finds the layout. What says something of all rows has to come before them.
func (d *jsonDataSet) begin(member string) error {
	if d.begun {
		return d.scan.fault("%s stands after the observations; it has to stand before them", member)
	}
	if d.structure < 0 || d.structure >= len(d.layouts) {
		return d.scan.fault("the data set is of structure %d, there are %d", d.structure, len(d.layouts))
	}
	d.layout = d.layouts[d.structure]
	return nil
}

func (d *jsonDataSet) readStructure() error {
	text, err := d.scan.scalar()
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(string(text))
	if err != nil {
		return d.scan.fault("%s is no position of a structure", shown(string(text)))
	}
	if d.layout != nil && n != d.structure {
		return d.scan.fault("structure stands after what is of it; it has to stand before")
	}
	d.structure = n
	return nil
}

func (d *jsonDataSet) readAction() error {
	text, err := d.scan.text()
	if err != nil {
		return err
	}
	action, ok := parseAction(string(text))
	if !ok {
		return d.scan.fault("%s is none of Information, Append, Merge, Replace and Delete", shown(string(text)))
	}
	if d.begun && action != d.action {
		return d.scan.fault("action stands after the observations; it has to stand before them")
	}
	d.action = action
	return nil
}

// open makes ready for observations.
func (d *jsonDataSet) open() error {
	if d.begun {
		return nil
	}
	if err := d.begin("structure"); err != nil {
		return err
	}
	d.begun = true
	l := d.layout
	if problem := d.agree(l.kind, l.ref, d.action); problem != "" {
		return d.scan.fault("the data set %s", problem)
	}
	for _, list := range [][]*jsonInput{l.key, l.measures, l.attributes[0], l.attributes[1], l.attributes[2], l.attributes[3]} {
		for _, c := range list {
			if c.id == block.ObsValue {
				continue
			}
			place, ok := d.rows.column(c.id)
			if !ok {
				return d.scan.fault("the message has more than %d components", maxColumns)
			}
			c.place = place
		}
	}
	return nil
}

func (d *jsonDataSet) readSeries(key []byte) error {
	if problem := readKey(d.layout.dimensions[atSeries], key); problem != "" {
		if err := d.wrong(d.scan.line, "", "the series "+shown(string(key))+" "+problem); err != nil {
			return err
		}
		return d.scan.skip()
	}
	line, observations := d.scan.line, 0
	d.series, d.first, d.late = nil, len(d.rows.values), len(d.layout.attributes[atSeries]) > 0
	err := d.scan.object(func(member []byte) error {
		switch string(member) {
		case "attributes":
			if err := d.texts(d.layout.attributes[atSeries], &d.series); err != nil {
				return err
			}
			d.late = false
			d.rewrite()
			return nil
		case "observations":
			return d.scan.object(func(key []byte) error {
				observations++
				return d.observation(key, false)
			})
		}
		return d.scan.skip()
	})
	d.late = false
	if err == nil && observations == 0 && d.action == Delete {
		return d.wrong(line, "", "deletes a whole series; name its observations, or use action=DELETE with c[…]")
	}
	return err
}

// rewrite gives the rows of the series at hand the attributes that came after them.
func (d *jsonDataSet) rewrite() {
	for i, c := range d.layout.attributes[atSeries] {
		if i >= len(d.series) || d.series[i] == "" || len(d.rows.values) == d.first {
			continue
		}
		d.rows.put(c.place, []byte(d.series[i])) // it is text: the scanner has looked
		column := &d.rows.columns[c.place]
		code := column.codes[len(d.rows.values)]
		for row := d.first; row < len(d.rows.values); row++ {
			column.codes[row] = code
		}
		d.rows.drop()
	}
}

// group reads the attributes of a group: a key with the positions of some of the dimensions, in key order.
func (d *jsonDataSet) group(key []byte) error {
	if d.count++; d.count > maxValues {
		return d.scan.fault("there are attributes of more than %d groups", maxValues)
	}
	parts := bytes.Split(key, []byte(":"))
	if len(parts) != len(d.layout.key) {
		return d.scan.fault("the group %s has %d positions, there are %d dimensions", shown(string(key)), len(parts), len(d.layout.key))
	}
	named := make([]bool, len(parts))
	for i, part := range parts {
		named[i] = len(part) > 0
	}
	id := string(key)
	var values []string
	if err := d.texts(d.layout.attributes[atGroup], &values); err != nil {
		return err
	}
	at := slices.IndexFunc(d.groups, func(g jsonGroups) bool { return slices.Equal(g.named, named) })
	if at < 0 {
		if at = len(d.groups); at == maxGroupings {
			return d.scan.fault("groups name more than %d choices of dimensions", maxGroupings)
		}
		d.groups = append(d.groups, jsonGroups{named, map[string][]string{}})
	}
	d.groups[at].values[id] = values
	return nil
}

// texts reads the values of attributes, by position or as they are.
func (d *jsonDataSet) texts(attributes []*jsonInput, into *[]string) error {
	values := make([]string, len(attributes))
	err := d.scan.array(func(place int) error {
		line := d.scan.line
		if place >= len(attributes) {
			return d.scan.skip() // positions of annotations
		}
		value, problem, err := d.attribute(attributes[place])
		if err == nil && problem != "" {
			err = d.wrong(line, attributes[place].id, problem)
		}
		values[place] = value
		return err
	})
	*into = values
	return err
}

// attribute reads a value of an attribute: a position where the structure lists values, or the value.
func (d *jsonDataSet) attribute(c *jsonInput) (value, problem string, err error) {
	b, err := d.scan.next()
	if err != nil {
		return "", "", err
	}
	value, several, err := d.single()
	switch {
	case err != nil:
		return "", "", err
	case several:
		return "", "has several values or languages in one, which is not taken", nil
	case len(c.values) > 0 && (b == '-' || b >= '0' && b <= '9'):
		position, err := strconv.Atoi(value)
		if err != nil {
			return "", shown(value) + " is no position of a value", nil
		}
		value, problem = c.text(position)
	}
	return value, problem, nil
}

// readKey reads a key, and notes with each dimension the position in it.
func readKey(dimensions []*jsonInput, key []byte) (problem string) {
	for i, c := range dimensions {
		part := key
		if i < len(dimensions)-1 {
			var found bool
			if part, key, found = bytes.Cut(key, []byte(":")); !found {
				return "has too few positions"
			}
		}
		position := 0
		if len(part) == 0 || len(part) > 9 {
			return "has no position of " + c.id
		}
		for _, digit := range part {
			if digit < '0' || digit > '9' {
				return "has no position of " + c.id
			}
			position = position*10 + int(digit-'0')
		}
		if _, problem := c.text(position); problem != "" {
			return c.id + " " + problem
		}
		c.code = position
	}
	if len(dimensions) == 0 && len(key) > 0 {
		return "has too many positions"
	}
	return ""
}

// observation reads an observation: the values of measures, then of attributes. A flat one has all dimensions that are not
// the data set's in its key.
func (d *jsonDataSet) observation(key []byte, flat bool) error {
	l, line := d.layout, d.scan.line
	problem := ""
	if flat && len(l.dimensions[atSeries]) > 0 {
		problem = "stands at no series, as the structure says that it should"
	} else {
		problem = readKey(l.dimensions[atObservation], key)
	}
	if problem != "" {
		if err := d.wrong(line, "", "the observation "+shown(string(key))+" "+problem); err != nil {
			return err
		}
		return d.scan.skip()
	}
	for _, c := range l.key {
		d.rows.put(c.place, []byte(c.values[c.code])) // it is text: the scanner has looked
	}
	d.put(l.attributes[atDataSet], d.whole)
	d.put(l.attributes[atSeries], d.series)
	d.putGroups()
	value, good, err := d.cells(line)
	if err != nil || !good {
		return err
	}
	d.rows.end(value, line)
	switch {
	case !d.late && d.rows.full():
		d.first = 0
		return d.hand()
	case len(d.rows.values) >= block.MaxRows:
		return d.scan.fault("a series of more than %d observations has its attributes after them", block.MaxRows)
	}
	return nil
}

func (d *jsonDataSet) put(attributes []*jsonInput, values []string) {
	for i, value := range values {
		if value != "" {
			d.rows.put(attributes[i].place, []byte(value))
		}
	}
}

// putGroups gives the row the attributes of the groups that it is in.
func (d *jsonDataSet) putGroups() {
	var key []byte
	for _, groups := range d.groups {
		key = key[:0]
		for i, c := range d.layout.key {
			if i > 0 {
				key = append(key, ':')
			}
			if groups.named[i] {
				key = strconv.AppendInt(key, int64(c.code), 10)
			}
		}
		d.put(d.layout.attributes[atGroup], groups.values[string(key)])
	}
}

// cells reads the array of an observation.
func (d *jsonDataSet) cells(line int) (value float64, good bool, err error) {
	l := d.layout
	value, good = math.NaN(), true
	column, problem := "", ""
	err = d.scan.array(func(place int) error {
		var c *jsonInput
		switch {
		case place < len(l.measures):
			c = l.measures[place]
		case place-len(l.measures) < len(l.attributes[atObservation]):
			c = l.attributes[atObservation][place-len(l.measures)]
		default:
			return d.scan.skip() // positions of annotations
		}
		text, wrong, err := d.attribute(c)
		if err != nil {
			return err
		}
		if wrong == "" && c.id == block.ObsValue {
			if value, err = parseNumber([]byte(text)); err != nil {
				wrong = err.Error()
			}
		} else if wrong == "" && text != "" {
			d.rows.put(c.place, []byte(text))
		}
		if wrong != "" && problem == "" {
			column, problem = c.id, wrong
		}
		return nil
	})
	if err == nil && problem != "" {
		return 0, false, d.wrong(line, column, problem)
	}
	return value, good, err
}
