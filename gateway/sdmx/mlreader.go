package sdmx

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strings"

	"github.com/comity-federation/comity/proto/block"
)

// Limits of an XML message.
const (
	maxToken      = 1 << 20 // bytes of a tag, text or comment
	maxElements   = 16      // in one another
	maxNamespaces = 1000    // attributes of a tag
)

// MLReader reads data messages of SDMX-ML 3.1, 3.0 and 2.1 that are specific to a structure: of series, or of observations
// with all dimensions. Names of XML attributes are the ids of components.
//
//	<DataSet structureRef="S1" action="Merge">
//		<Series FREQ="M" CITIZENSHIP="SYR"><Obs TIME_PERIOD="2023-01" OBS_VALUE="1204"/></Series>
//	</DataSet>
//
// All data sets must be of one dataflow and have one action. Attributes of groups, and components with several values, are
// refused, and so is a document type: no entity is ever read from elsewhere.
type MLReader struct {
	identity
	output
	decoder *xml.Decoder
	meter   *meter
	headers map[string]mlStructure // by structureID
	summary string                 // the action that the header names
	depth   int
}

type mlStructure struct{ kind, ref string }

// NewMLReader returns a reader; nothing is read before [MLReader.Blocks] is ranged over.
func NewMLReader(r io.Reader) *MLReader {
	m := &meter{in: r, left: maxToken}
	decoder := xml.NewDecoder(m)
	decoder.CharsetReader = func(charset string, _ io.Reader) (io.Reader, error) {
		return nil, otherEncoding(charset)
	}
	return &MLReader{decoder: decoder, meter: m, output: output{rows: newRows()}, headers: map[string]mlStructure{}}
}

// otherEncoding is an encoding that a message says it is in, other than UTF-8.
type otherEncoding string

// Error says which.
func (e otherEncoding) Error() string {
	return fmt.Sprintf("says that it is in %q; only UTF-8 is read", string(e))
}

// Blocks gives the rows. From the first that is wrong on there are none, but the message is read on to find what else is
// wrong.
func (m *MLReader) Blocks() iter.Seq2[*block.Block, error] {
	return m.blocks(m.message)
}

// fault says what is wrong where the decoder is.
func (m *MLReader) fault(format string, args ...any) error {
	return &FileError{Line: m.line(), Problem: fmt.Sprintf(format, args...)}
}

func (m *MLReader) line() int {
	line, _ := m.decoder.InputPos()
	return line
}

// token returns the next tag, or the text between two.
func (m *MLReader) token() (xml.Token, error) {
	for {
		m.meter.left = maxToken
		token, err := m.decoder.Token()
		var syntax *xml.SyntaxError
		var other otherEncoding
		switch {
		case errors.As(err, &syntax):
			return nil, &FileError{Line: syntax.Line, Problem: "is no XML: " + syntax.Msg}
		case errors.Is(err, errRecordTooLong):
			return nil, m.fault("a tag or text is longer than %d bytes", maxToken)
		case errors.Is(err, io.EOF):
			return nil, m.fault("the message ends in the middle")
		case errors.As(err, &other):
			return nil, m.fault("%v", other)
		case err != nil && m.meter.failed == nil:
			return nil, m.fault("is no XML: %v", err)
		case err != nil:
			return nil, err
		}
		switch t := token.(type) {
		case xml.StartElement:
			if m.depth++; m.depth > maxElements {
				return nil, m.fault("elements are more than %d deep", maxElements)
			}
			if len(t.Attr) > maxNamespaces {
				return nil, m.fault("an element has more than %d attributes", maxNamespaces)
			}
			return t, nil
		case xml.EndElement:
			m.depth--
			return t, nil
		case xml.CharData:
			return t, nil
		case xml.Directive:
			return nil, m.fault("has a document type, which is not taken")
		}
	}
}

// children calls visit for each element within the one that was begun, which has to read it to its end.
func (m *MLReader) children(visit func(xml.StartElement) error) error {
	for {
		token, err := m.token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.EndElement:
			return nil
		case xml.StartElement:
			if err := visit(t); err != nil {
				return err
			}
		}
	}
}

func (m *MLReader) skip() error { return m.children(func(xml.StartElement) error { return m.skip() }) }

// text reads the text of the element that was begun.
func (m *MLReader) text() (string, error) {
	var text strings.Builder
	for {
		token, err := m.token()
		if err != nil {
			return "", err
		}
		switch t := token.(type) {
		case xml.EndElement:
			return strings.TrimSpace(text.String()), nil
		case xml.CharData:
			if text.Len()+len(t) > maxText {
				return "", m.fault("a text is longer than %d bytes", maxText)
			}
			text.Write(t)
		case xml.StartElement:
			if err := m.skip(); err != nil {
				return "", err
			}
		}
	}
}

// message reads the whole message.
func (m *MLReader) message() error {
	for {
		token, err := m.token()
		if err != nil {
			return err
		}
		root, ok := token.(xml.StartElement)
		if !ok {
			continue // a byte order mark, or space
		}
		switch root.Name.Local {
		case "StructureSpecificData", "StructureSpecificTimeSeriesData":
		default:
			return m.fault("begins with %s; data are taken as StructureSpecificData", shown(root.Name.Local))
		}
		break
	}
	return m.children(func(e xml.StartElement) error {
		switch e.Name.Local {
		case "Header":
			return m.header()
		case "DataSet":
			return m.dataSet(e)
		}
		return m.skip()
	})
}

// header finds out which dataflows the data sets are of.
func (m *MLReader) header() error {
	return m.children(func(e xml.StartElement) (err error) {
		switch e.Name.Local {
		case "DataSetAction":
			m.summary, err = m.text()
			return err
		case "Structure":
			id := attribute(e, "structureID")
			if len(m.headers) == maxColumns {
				return m.fault("the header has more than %d structures", maxColumns)
			}
			m.headers[id], err = m.structure()
			return err
		}
		return m.skip()
	})
}

// structure reads what a Structure of the header refers to: by URN, or with an element Ref as version 2.1 has it.
func (m *MLReader) structure() (found mlStructure, err error) {
	kinds := map[string]string{"Structure": "datastructure", "StructureUsage": "dataflow", "ProvisionAgreement": "dataprovision", "ProvisionAgrement": "dataprovision"}
	err = m.children(func(e xml.StartElement) error {
		kind, ok := kinds[e.Name.Local]
		if !ok {
			return m.skip()
		}
		text := ""
		for {
			token, err := m.token()
			if err != nil {
				return err
			}
			switch t := token.(type) {
			case xml.CharData:
				if len(text)+len(t) > maxText {
					return m.fault("a text is longer than %d bytes", maxText)
				}
				text += string(t)
				continue
			case xml.StartElement:
				if t.Name.Local == "Ref" {
					ref := Ref{Agency: attribute(t, "agencyID"), ID: attribute(t, "id"), Version: attribute(t, "version")}
					found = mlStructure{kind, ref.String()}
				}
				if t.Name.Local == "URN" {
					if text, err = m.text(); err != nil {
						return err
					}
				} else if err := m.skip(); err != nil {
					return err
				}
				continue
			}
			break
		}
		if kind, ref, ok := parseURN(strings.TrimSpace(text)); ok {
			found = mlStructure{kind, ref}
		}
		return nil
	})
	if err == nil && found.ref == "" {
		err = m.fault("the structure has no URN of a dataflow, data structure or provision agreement")
	}
	return found, err
}

// attribute returns the value of an attribute, whatever its namespace, or "".
func attribute(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (m *MLReader) dataSet(e xml.StartElement) error {
	name := attribute(e, "action")
	if name == "" {
		name = m.summary
	}
	action, ok := parseAction(name)
	if !ok {
		return m.fault("%s is none of Information, Append, Merge, Replace and Delete", shown(name))
	}
	structure, ok := m.headers[attribute(e, "structureRef")]
	if !ok {
		return m.fault("the data set is of the structure %s, which the header does not have", shown(attribute(e, "structureRef")))
	}
	if problem := m.agree(structure.kind, structure.ref, action); problem != "" {
		return m.fault("the data set %s", problem)
	}
	whole, err := m.components(e)
	if err != nil {
		return err
	}
	line, observations := m.line(), 0
	err = m.children(func(e xml.StartElement) error {
		switch e.Name.Local {
		case "Series":
			observations++
			return m.series(e, whole)
		case "Obs":
			observations++
			return m.observation(e, whole, nil)
		case "Group", "Atts":
			return m.fault("has attributes of a group, which are not taken; write them with each observation")
		case "Comp":
			return m.several()
		}
		return m.skip()
	})
	if err == nil && observations == 0 && action == Delete {
		err = m.wrong(line, "", "deletes a whole data set; name its observations, or use action=DELETE with c[…]")
	}
	if err != nil {
		return err
	}
	return m.hand()
}

func (m *MLReader) several() error {
	return m.fault("has a component with several values or languages, which is not taken")
}

func (m *MLReader) series(e xml.StartElement, whole []mlValue) error {
	values, err := m.components(e)
	if err != nil {
		return err
	}
	line, observations := m.line(), 0
	err = m.children(func(e xml.StartElement) error {
		switch e.Name.Local {
		case "Obs":
			observations++
			return m.observation(e, whole, values)
		case "Comp":
			return m.several()
		}
		return m.skip()
	})
	if err == nil && observations == 0 && m.action == Delete {
		return m.wrong(line, "", "deletes a whole series; name its observations, or use action=DELETE with c[…]")
	}
	return err
}

// mlValue is the value of a component, with the place of its column.
type mlValue struct {
	place int // -1: OBS_VALUE
	id    string
	text  string
}

// components returns the components that an element names: its attributes without a namespace, and without a meaning of
// their own.
func (m *MLReader) components(e xml.StartElement) ([]mlValue, error) {
	values := make([]mlValue, 0, len(e.Attr))
	for _, a := range e.Attr {
		id := a.Name.Local
		if a.Name.Space != "" || id == "xmlns" || e.Name.Local == "DataSet" && mlOwn(id) {
			continue
		}
		value := mlValue{place: -1, id: id, text: a.Value}
		if id != block.ObsValue {
			place, known := m.rows.byID[id]
			if !known && !componentID(id) {
				return nil, m.fault("%s is no id of a component: letters, digits, _ and - after a letter", shown(id))
			}
			if !known {
				if place, known = m.rows.column(id); !known {
					return nil, m.fault("the message has more than %d components", maxColumns)
				}
			}
			value.place = place
		}
		values = append(values, value)
	}
	return values, nil
}

// mlOwn reports whether an attribute of a data set says something of the set itself. Some writers leave its namespace out.
func mlOwn(id string) bool {
	switch id {
	case "action", "structureRef", "dataScope", "setID", "validFromDate", "validToDate", "reportingBeginDate", "reportingEndDate",
		"publicationYear", "publicationPeriod", "REPORTING_YEAR_START_DAY":
		return true
	}
	return false
}

func (m *MLReader) observation(e xml.StartElement, whole, series []mlValue) error {
	line := m.line()
	own, err := m.components(e)
	if err != nil {
		return err
	}
	value, column, problem := math.NaN(), "", ""
	for _, values := range [][]mlValue{whole, series, own} {
		for _, v := range values {
			if v.place < 0 {
				if value, err = parseNumber([]byte(v.text)); err != nil {
					column, problem = v.id, err.Error()
				}
			} else if v.text != "" {
				m.rows.put(v.place, []byte(v.text)) // it is text: the decoder has looked
			}
		}
	}
	err = m.children(func(e xml.StartElement) error {
		if e.Name.Local == "Comp" {
			return m.several()
		}
		return m.skip()
	})
	if err != nil {
		return err
	}
	if problem != "" {
		return m.wrong(line, column, problem)
	}
	m.rows.end(value, line)
	if m.rows.full() {
		return m.hand()
	}
	return nil
}

var errRecordTooLong = errors.New("record too long")

// meter bounds what may be read for one token.
type meter struct {
	in     io.Reader
	left   int
	failed error // of the reader beneath
}

// Read reads from the reader beneath, or fails once the token is too long.
func (m *meter) Read(p []byte) (int, error) {
	if m.left <= 0 {
		return 0, errRecordTooLong
	}
	n, err := m.in.Read(p)
	m.left -= n
	if err != nil && !errors.Is(err, io.EOF) {
		m.failed = err
	}
	return n, err
}
