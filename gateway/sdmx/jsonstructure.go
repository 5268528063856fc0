package sdmx

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/comity-federation/comity/proto/block"
)

// maxValues is how many values the components of a message may list.
const maxValues = 2 << 20

// jsonLayout says what the positions in a data set mean.
type jsonLayout struct {
	kind, ref  string
	dimensions [3][]*jsonInput // at the data set, the series and the observation
	attributes [4][]*jsonInput // also for groups of dimensions
	measures   []*jsonInput    // of an observation
	key        []*jsonInput    // all dimensions, in key order
}

// Where a component stands.
const (
	atDataSet = iota
	atSeries
	atObservation
	atGroup
)

// jsonInput is a component of a message that is read.
type jsonInput struct {
	id       string
	position int      // in the key; -1: not said
	values   []string // what positions mean; none: values stand for themselves
	several  []bool   // by position: it has several values
	code     int      // of a dimension: the position at hand
	place    int      // of the column in the rows
}

// text returns the value at a position.
func (c *jsonInput) text(position int) (value, problem string) {
	switch {
	case position < 0 || position >= len(c.values):
		return "", "points to value " + strconv.Itoa(position) + ", there are " + strconv.Itoa(len(c.values))
	case c.several[position]:
		return "", "has several values or languages in one, which is not taken"
	}
	return c.values[position], ""
}

// layout reads an element of "structures".
func (j *JSONReader) layout() (*jsonLayout, error) {
	l := &jsonLayout{}
	err := j.scan.object(func(member []byte) error {
		switch string(member) {
		case "links":
			return j.links(l)
		case "dimensions":
			return j.components(l.dimensions[:])
		case "attributes":
			return j.components(l.attributes[:])
		case "measures":
			places := [3][]*jsonInput{}
			err := j.components(places[:])
			l.measures = places[atObservation]
			return err
		}
		return j.scan.skip()
	})
	if err != nil {
		return nil, err
	}
	if len(l.measures) == 0 {
		l.measures = []*jsonInput{{id: block.ObsValue}}
	}
	return l, j.complete(l)
}

// complete looks whether rows can be made of the layout.
func (j *JSONReader) complete(l *jsonLayout) error {
	for _, dimensions := range l.dimensions {
		l.key = append(l.key, dimensions...)
	}
	slices.SortStableFunc(l.key, func(a, b *jsonInput) int { return cmp.Compare(a.position, b.position) })
	seen := map[string]bool{}
	for _, list := range [][]*jsonInput{l.key, l.attributes[atDataSet], l.attributes[atSeries], l.attributes[atObservation], l.attributes[atGroup], l.measures} {
		for _, c := range list {
			if !componentID(c.id) || seen[c.id] {
				return j.scan.fault("%s is no id of a component, or stands twice", shown(c.id))
			}
			seen[c.id] = true
		}
	}
	for _, needed := range []string{block.TimePeriod, block.ObsValue} {
		if !seen[needed] {
			return j.scan.fault("the structure has no component %s", needed)
		}
	}
	for _, c := range l.dimensions[atDataSet] {
		if len(c.values) != 1 {
			return j.scan.fault("the dimension %s of the data set has %d values in place of one", c.id, len(c.values))
		}
	}
	return nil
}

// links finds out which dataflow the structure is of, else which data structure.
func (j *JSONReader) links(l *jsonLayout) error {
	return j.scan.array(func(int) error {
		return j.scan.object(func(member []byte) error {
			if string(member) != "urn" {
				return j.scan.skip()
			}
			urn, err := j.scan.text()
			if err != nil {
				return err
			}
			kind, ref, ok := parseURN(string(urn))
			rank := []string{"", "dataprovision", "datastructure", "dataflow"}
			if ok && slices.Index(rank, kind) > slices.Index(rank, l.kind) {
				l.kind, l.ref = kind, ref
			}
			return nil
		})
	})
}

// components reads "dimensions", "attributes" or "measures".
func (j *JSONReader) components(places [][]*jsonInput) error {
	return j.scan.object(func(member []byte) error {
		place := slices.Index([]string{"dataSet", "series", "observation", "dimensionGroup"}, string(member))
		if place < 0 || place >= len(places) {
			return j.scan.skip()
		}
		return j.scan.array(func(int) error {
			if len(places[place]) == maxColumns {
				return j.scan.fault("a structure has more than %d components", maxColumns)
			}
			c, err := j.component()
			places[place] = append(places[place], c)
			return err
		})
	})
}

func (j *JSONReader) component() (*jsonInput, error) {
	c := &jsonInput{position: -1}
	err := j.scan.object(func(member []byte) error {
		switch string(member) {
		case "id":
			id, err := j.scan.text()
			c.id = string(id)
			return err
		case "keyPosition":
			text, err := j.scan.scalar()
			if err != nil {
				return err
			}
			if c.position, err = strconv.Atoi(string(text)); err != nil {
				return j.scan.fault("%s is no position", shown(string(text)))
			}
			return nil
		case "values":
			return j.scan.array(func(int) error {
				if j.values++; j.values > maxValues {
					return j.scan.fault("the components of the message have more than %d values", maxValues)
				}
				value, several, err := j.listed()
				c.values, c.several = append(c.values, value), append(c.several, several)
				return err
			})
		}
		return j.scan.skip()
	})
	return c, err
}

// listed reads an element of "values": an object with an id or a value, or the value itself.
func (j *JSONReader) listed() (value string, several bool, err error) {
	b, err := j.scan.next()
	if err != nil || b != '{' {
		return j.single()
	}
	id := ""
	err = j.scan.object(func(member []byte) error {
		switch string(member) {
		case "id":
			text, err := j.scan.text()
			id = string(text)
			return err
		case "value":
			value, several, err = j.single()
			return err
		}
		return j.scan.skip()
	})
	if id != "" {
		return id, false, err
	}
	return value, several, err
}

// single reads a value. An array of one is taken for that one; several, and texts by language, are none.
func (j *JSONReader) single() (value string, several bool, err error) {
	b, err := j.scan.next()
	if err != nil {
		return "", false, err
	}
	switch b {
	case '{':
		return "", true, j.scan.skip()
	case '[':
		err := j.scan.array(func(place int) error {
			element, inner, err := j.single()
			value, several = element, several || inner || place > 0
			return err
		})
		return value, several, err
	case '"':
		text, err := j.scan.text()
		return string(text), false, err
	}
	text, err := j.scan.scalar()
	if string(text) == "null" {
		return "", false, err
	}
	return string(text), false, err
}
