package sdmx

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
)

// JSONWriter writes SDMX-JSON 2.1. Data sets come before structures: the values that the observations point to are
// known once the last observation is written, so no more than these is held.
//
// Every dimension but TIME_PERIOD stands at the series, or, with [AllDimensions], every one at the observation. Rows
// of a series must come together.
//
// Where blocks have a column _ACTION, there is a data set with the action Merge of the rows that are new or have changed,
// and after it one with the action Delete of those that are gone: their keys are held, up to 1 MiB of them, and then written
// as a data set between.
type JSONWriter struct {
	out       *bufio.Writer
	structure *Structure
	options   JSONOptions

	dimensions []*jsonValues // the structure's, then TIME_PERIOD
	attributes []*jsonValues
	begun      bool
	set        jsonSet // the data set that is written
	gone       bytes.Buffer
	goneSet    jsonSet // the data set of what is gone, which is held
	sets       int     // data sets begun, without the one that is held
	delta      bool
	providers  []string
	scratch    []byte
}

// jsonSet is a data set while it is written.
type jsonSet struct {
	out interface {
		io.Writer
		io.ByteWriter
		io.StringWriter
	}
	series []byte // the key of the series at hand, without quotes; nil: none yet
	empty  bool   // no observation was written in the object at hand
}

// maxGone is how many bytes of a data set are held.
const maxGone = 1 << 20

// JSONOptions says what the message says of itself, and how it is grouped.
type JSONOptions struct {
	ID                     string    // of the message: letters, digits and _@$-
	Sender                 string    // the id of the organisation that sends it, of the same characters
	Prepared               time.Time // when
	Language               string    // of the names, "" is English
	DimensionAtObservation string    // TimeSeries or AllDimensions
	WithoutData            bool      // leaves OBS_VALUE out
}

// jsonValues are the values of a component in the order in which they were met.
type jsonValues struct {
	component Component
	list      []string
	positions map[string]int
}

func (v *jsonValues) position(value string) int {
	position, ok := v.positions[value]
	if !ok {
		position = len(v.list)
		v.positions[value] = position
		v.list = append(v.list, value)
	}
	return position
}

// NewJSONWriter returns a writer; nothing is written before the first Write.
func NewJSONWriter(w io.Writer, s *Structure, options JSONOptions) *JSONWriter {
	j := &JSONWriter{out: bufio.NewWriterSize(w, 64<<10), structure: s, options: options}
	for _, d := range s.Dimensions {
		j.dimensions = append(j.dimensions, &jsonValues{component: d, positions: map[string]int{}})
	}
	j.dimensions = append(j.dimensions, &jsonValues{component: Component{ID: block.TimePeriod}, positions: map[string]int{}})
	for _, a := range s.Attributes {
		j.attributes = append(j.attributes, &jsonValues{component: a, positions: map[string]int{}})
	}
	return j
}

func (j *JSONWriter) flat() bool { return j.options.DimensionAtObservation == AllDimensions }

func (j *JSONWriter) language() string {
	if j.options.Language == "" {
		return "en"
	}
	return j.options.Language
}

// jsonMeta is the meta object of a message.
type jsonMeta struct {
	ID               string    `json:"id"`
	Prepared         time.Time `json:"prepared"`
	Test             bool      `json:"test"`
	ContentLanguages []string  `json:"contentLanguages,omitempty"`
	Sender           struct {
		ID string `json:"id"`
	} `json:"sender"`
}

// dataSchema is what $schema of a data message says.
const dataSchema = "https://json.sdmx.org/2.1/sdmx-json-data-schema.json"

func (o JSONOptions) meta() jsonMeta {
	m := jsonMeta{ID: o.ID, Prepared: o.Prepared.UTC().Truncate(time.Second)}
	m.Sender.ID = o.Sender
	if o.Language != "" {
		m.ContentLanguages = []string{o.Language}
	}
	return m
}

func (j *JSONWriter) header() error {
	options := j.options
	options.Language = j.language()
	meta, err := json.Marshal(options.meta())
	if err != nil {
		return fmt.Errorf("writing the meta object: %w", err)
	}
	_, err = fmt.Fprintf(j.out, `{"$schema":%q,"meta":%s,"data":{"dataSets":[`, dataSchema, meta)
	j.begun = true
	action := Information
	if j.delta {
		action = Merge
	}
	j.openSet(action)
	return err
}

// openSet begins a data set.
func (j *JSONWriter) openSet(action Action) {
	if j.sets > 0 {
		_ = j.out.WriteByte(',')
	}
	j.sets++
	members := "series"
	if j.flat() {
		members = "observations"
	}
	_, _ = fmt.Fprintf(j.out, `{"structure":0,"action":%q,%q:{`, action, members)
	j.set = jsonSet{out: j.out, empty: true}
}

// closeSet ends the data set at hand, but for its closing brace.
func (s *jsonSet) closeSet() {
	if s.series != nil {
		_, _ = s.out.WriteString("}}")
	}
	_ = s.out.WriteByte('}')
}

// writeGone writes the data set that was held.
func (j *JSONWriter) writeGone() error {
	j.openSet(Delete)
	j.goneSet.closeSet()
	_, _ = j.out.Write(j.gone.Bytes())
	j.gone = bytes.Buffer{}
	j.goneSet = jsonSet{}
	return j.out.WriteByte('}')
}

// Write writes the rows of a block. Columns that the structure does not have are left out.
func (j *JSONWriter) Write(b *block.Block) error {
	if !j.begun {
		j.delta = b.Column(actionColumn) != nil
		if err := j.header(); err != nil {
			return err
		}
	}
	action := actions(b)
	keys := make([]func(i int) int, len(j.dimensions))
	for n, values := range j.dimensions {
		keys[n] = positions(values, b.Column(values.component.ID))
	}
	cells := j.cells(b)
	var key, period []byte
	for i := range b.Rows {
		key = key[:0]
		for n := range len(keys) - 1 {
			key = strconv.AppendInt(key, int64(keys[n](i)), 10)
			key = append(key, ':')
		}
		period = strconv.AppendInt(period[:0], int64(keys[len(keys)-1](i)), 10)
		set := &j.set
		gone := action != nil && action(i) == Delete
		if gone {
			if set = &j.goneSet; set.out == nil {
				*set = jsonSet{out: &j.gone, empty: true}
			}
		}
		if j.flat() {
			set.begin(append(key, period...))
		} else {
			set.beginSeries(key[:max(len(key)-1, 0)])
			set.begin(period)
		}
		if !gone {
			for n, cell := range cells {
				if n > 0 {
					_ = j.out.WriteByte(',')
				}
				_, _ = j.out.Write(cell(i))
			}
		}
		if err := set.out.WriteByte(']'); err != nil { // a bufio.Writer keeps its first error
			return err
		}
	}
	if j.gone.Len() > maxGone {
		j.set.closeSet()
		_ = j.out.WriteByte('}')
		if err := j.writeGone(); err != nil {
			return err
		}
		j.openSet(Merge)
	}
	j.note(b.Column(block.Provider))
	return nil
}

// positions returns what gives the position of row i's value among the component's.
func positions(values *jsonValues, column *block.Column) func(i int) int {
	if column == nil || column.IsNumber() {
		return func(int) int { return values.position("") }
	}
	known := make([]int, len(column.Dictionary)) // position + 1; 0: not met in this block
	return func(i int) int {
		code := column.Codes[i]
		if known[code] == 0 {
			known[code] = values.position(column.Dictionary[code]) + 1
		}
		return known[code] - 1
	}
}

// beginSeries ends the series at hand and begins that of the key, if it is another.
func (s *jsonSet) beginSeries(key []byte) {
	if s.series != nil && slices.Equal(key, s.series) {
		return
	}
	if s.series != nil {
		_, _ = s.out.WriteString("}},")
	}
	s.series = append(s.series[:0], key...)
	if s.series == nil {
		s.series = []byte{}
	}
	_ = s.out.WriteByte('"')
	_, _ = s.out.Write(key)
	_, _ = s.out.WriteString(`":{"observations":{`)
	s.empty = true
}

// begin begins an observation of the object at hand.
func (s *jsonSet) begin(key []byte) {
	if !s.empty {
		_ = s.out.WriteByte(',')
	}
	s.empty = false
	_ = s.out.WriteByte('"')
	_, _ = s.out.Write(key)
	_, _ = s.out.WriteString(`":[`)
}

// cells returns what makes the value and each attribute of row i.
func (j *JSONWriter) cells(b *block.Block) []func(i int) []byte {
	var cells []func(i int) []byte
	null := func(int) []byte { return []byte("null") }
	if !j.options.WithoutData {
		cell := null
		if column := b.Column(block.ObsValue); column != nil && column.IsNumber() {
			cell = func(i int) []byte {
				if math.IsNaN(column.Numbers[i]) {
					return null(i)
				}
				j.scratch = appendNumber(j.scratch[:0], column.Numbers[i])
				return j.scratch
			}
		}
		cells = append(cells, cell)
	}
	for n, a := range j.structure.Attributes {
		column := b.Column(a.ID)
		if column == nil || column.IsNumber() {
			cells = append(cells, null)
			continue
		}
		texts := make([][]byte, len(column.Dictionary))
		cells = append(cells, func(i int) []byte {
			code := column.Codes[i]
			if texts[code] == nil {
				texts[code] = attributeCell(j.attributes[n], column.Dictionary[code])
			}
			return texts[code]
		})
	}
	return cells
}

func attributeCell(values *jsonValues, value string) []byte {
	if value == "" {
		return []byte("null")
	}
	return strconv.AppendInt(nil, int64(values.position(value)), 10)
}

// note remembers whose figures were written.
func (j *JSONWriter) note(column *block.Column) {
	if column == nil || column.IsNumber() {
		return
	}
	for _, provider := range column.Dictionary {
		if provider != "" && !slices.Contains(j.providers, provider) {
			j.providers = append(j.providers, provider)
		}
	}
}

// Flush hands on what was written so far.
func (j *JSONWriter) Flush() error { return j.out.Flush() }

// Close ends the message with the structures that the observations point to.
func (j *JSONWriter) Close() error {
	if !j.begun {
		if err := j.header(); err != nil {
			return err
		}
	}
	j.set.closeSet()
	if len(j.providers) > 0 {
		slices.Sort(j.providers)
		providers, err := json.Marshal(j.providers)
		if err != nil {
			return fmt.Errorf("writing the providers: %w", err)
		}
		_, _ = fmt.Fprintf(j.out, `,"x-comity-providers":%s`, providers)
	}
	_ = j.out.WriteByte('}')
	if j.gone.Len() > 0 {
		if err := j.writeGone(); err != nil {
			return err
		}
	}
	_, _ = j.out.WriteString(`],"structures":[`)
	if err := j.describe(); err != nil {
		return fmt.Errorf("writing the structure: %w", err)
	}
	_, _ = j.out.WriteString(`]}}`)
	return j.out.Flush()
}

// jsonStructure is a structure without its components, and jsonComponent a component without its values: these are
// written one by one.
type jsonStructure struct {
	Links    []jsonLink `json:"links"`
	Name     string     `json:"name"`
	Names    Names      `json:"names,omitempty"`
	DataSets []int      `json:"dataSets"`
}

type jsonLink struct {
	URN string `json:"urn"`
	Rel string `json:"rel"`
}

type jsonComponent struct {
	ID          string   `json:"id"`
	Name        string   `json:"name"`
	Names       Names    `json:"names,omitempty"`
	KeyPosition *int     `json:"keyPosition,omitempty"`
	Roles       []string `json:"roles,omitempty"`
}

// jsonValue is a code with its name, or, where the value is no SDMX id, the value alone.
type jsonValue struct {
	ID     string  `json:"id,omitempty"`
	Name   string  `json:"name,omitempty"`
	Names  Names   `json:"names,omitempty"`
	Parent string  `json:"parent,omitempty"`
	Start  string  `json:"start,omitempty"`
	End    string  `json:"end,omitempty"`
	Value  *string `json:"value,omitempty"`
}

// describe writes the structure with the values that were met.
func (j *JSONWriter) describe() error {
	s := j.structure
	head := jsonStructure{
		Links: []jsonLink{{URN: "urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=" + s.Dataflow.String(), Rel: "dataflow"}},
		Name:  nameOr(s.Names, j.language(), s.Dataflow.ID),
		Names: s.Names,
	}
	for i := range j.sets {
		head.DataSets = append(head.DataSets, i)
	}
	if s.DataStructure != (Ref{}) {
		head.Links = append(head.Links, jsonLink{
			URN: "urn:sdmx:org.sdmx.infomodel.datastructure.DataStructure=" + s.DataStructure.String(), Rel: "datastructure",
		})
	}
	if err := j.openObject(head); err != nil {
		return err
	}
	atSeries := len(j.dimensions) - 1
	if j.flat() {
		atSeries = 0
	}
	_, _ = j.out.WriteString(`,"dimensions":{"dataSet":[],"series":[`)
	for i, values := range j.dimensions {
		switch {
		case i == atSeries:
			_, _ = j.out.WriteString(`],"observation":[`)
		case i > 0:
			_ = j.out.WriteByte(',')
		}
		d := j.component(values.component)
		d.KeyPosition = &i
		if d.ID == block.TimePeriod {
			d.Roles = []string{block.TimePeriod}
		}
		if err := j.describeComponent(d, values); err != nil {
			return err
		}
	}
	_, _ = j.out.WriteString(`]}`)
	if !j.options.WithoutData {
		_, _ = fmt.Fprintf(j.out, `,"measures":{"observation":[{"id":%q,"name":%[1]q}]}`, block.ObsValue)
	}
	_, _ = j.out.WriteString(`,"attributes":{"dataSet":[],"series":[],"observation":[`)
	for i, a := range s.Attributes {
		if i > 0 {
			_ = j.out.WriteByte(',')
		}
		if err := j.describeComponent(j.component(a), j.attributes[i]); err != nil {
			return err
		}
	}
	_, err := j.out.WriteString(`]}}`)
	return err
}

func (j *JSONWriter) component(c Component) jsonComponent {
	return jsonComponent{ID: c.ID, Name: nameOr(c.Names, j.language(), c.ID), Names: c.Names}
}

// describeComponent writes a component with the values that were met of it. An attribute of which none was met has the
// one value null: there are clients that look for a value where an observation has none.
func (j *JSONWriter) describeComponent(c jsonComponent, values *jsonValues) error {
	if err := j.openObject(c); err != nil {
		return err
	}
	switch {
	case len(values.list) == 0 && c.KeyPosition == nil:
		_, _ = j.out.WriteString(`,"values":[null]`)
	case len(values.list) > 0:
		_, _ = j.out.WriteString(`,"values":[`)
		for i, value := range values.list {
			if i > 0 {
				_ = j.out.WriteByte(',')
			}
			text, err := json.Marshal(j.value(values.component, value))
			if err != nil {
				return err
			}
			_, _ = j.out.Write(text)
		}
		_ = j.out.WriteByte(']')
	}
	return j.out.WriteByte('}')
}

// openObject writes an object that has a member, but for its closing brace.
func (j *JSONWriter) openObject(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = j.out.Write(text[:len(text)-1])
	return err
}

// sdmxID is what the schema takes for the id of a value.
var sdmxID = regexp.MustCompile(`^[A-Za-z0-9_@$-]+$`)

func (j *JSONWriter) value(c Component, value string) jsonValue {
	if !sdmxID.MatchString(value) {
		return jsonValue{Value: &value}
	}
	code := c.Codes[value]
	v := jsonValue{ID: value, Name: nameOr(code.Names, j.language(), value), Names: code.Names}
	if sdmxID.MatchString(code.Parent) {
		v.Parent = code.Parent
	}
	if p, err := period.Parse(value); err == nil && c.ID == block.TimePeriod {
		v.Start = p.Start().Format(time.RFC3339)
		v.End = p.Next().Start().Add(-time.Second).Format(time.RFC3339)
	}
	return v
}

func nameOr(names Names, language, otherwise string) string {
	if name := names.In(language); name != "" {
		return name
	}
	return otherwise
}

// ErrorMessage returns a data message that says what went wrong. reason, for machines, may be empty.
func ErrorMessage(options JSONOptions, status int, title, reason string) ([]byte, error) {
	type statusInformation struct {
		Code   int    `json:"code"`
		Title  string `json:"title"`
		Titles Names  `json:"titles"`
		Reason string `json:"x-comity-reason,omitempty"`
	}
	return json.Marshal(struct {
		Schema string              `json:"$schema"`
		Meta   jsonMeta            `json:"meta"`
		Errors []statusInformation `json:"errors"`
	}{dataSchema, options.meta(), []statusInformation{{status, title, Names{"en": title}, reason}}})
}
