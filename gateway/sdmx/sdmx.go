// Package sdmx reads data queries of SDMX REST 2.x, negotiates formats, and reads and writes data messages.
//
// A data query is a path and a query string:
//
//	/data/dataflow/COMITY/BORDER/1.0.0/M.EU.1A.*?c[TIME_PERIOD]=ge:2023-01+le:2023-12&lastNObservations=3
//
// [ParseDataQuery] reads it without knowing any structure, [DataQuery.Bind] holds it against one and says what to ask
// a store for: codes that are fixed dimension by dimension, a filter, a span of periods, and an order. What the store
// answers, block by block, goes through a [Writer]. Writers hold little more than the dictionaries of what they wrote, so
// that an answer may be of any size.
//
// A data message that comes in is read by a [Reader], which gives blocks and says of each row on which line it stands.
// Readers hold a block of rows, whatever is sent: lengths, depths and numbers of things are bounded.
//
// The package knows SDMX, blocks and filters, and nothing of where the figures are kept.
package sdmx

import (
	"fmt"
	"net/http"
	"strings"
)

// Names are the names of a thing by language tag.
type Names map[string]string

// In returns the name in the language, else in English, else in the language that comes first, else "".
func (n Names) In(language string) string {
	if name, ok := n[language]; ok {
		return name
	}
	if name, ok := n["en"]; ok {
		return name
	}
	first := ""
	for tag := range n {
		if first == "" || tag < first {
			first = tag
		}
	}
	return n[first]
}

// Ref names a structural artefact: "AGENCY:ID(VERSION)". Without a version it names the latest.
type Ref struct {
	Agency  string
	ID      string
	Version string
}

// ParseRef reads "AGENCY:ID(VERSION)" or "AGENCY:ID". What follows the version after ": ", a name, is left out.
func ParseRef(text string) (Ref, error) {
	agency, rest, ok := strings.Cut(text, ":")
	if named := strings.Index(rest, ": "); named >= 0 {
		rest = rest[:named]
	}
	id, version, versioned := strings.Cut(rest, "(")
	if versioned {
		var closed bool
		version, closed = strings.CutSuffix(version, ")")
		ok = ok && closed && version != ""
	}
	if !ok || agency == "" || id == "" || strings.ContainsAny(agency+id+version, "():, ") {
		return Ref{}, fmt.Errorf("%q is not of the form AGENCY:ID(VERSION)", text)
	}
	return Ref{Agency: agency, ID: id, Version: version}, nil
}

// String returns "AGENCY:ID(VERSION)", or "AGENCY:ID" without a version.
func (r Ref) String() string {
	if r.Version == "" {
		return r.Agency + ":" + r.ID
	}
	return r.Agency + ":" + r.ID + "(" + r.Version + ")"
}

// Structure is a dataflow with its data structure, as far as data messages need it.
type Structure struct {
	Dataflow      Ref
	DataStructure Ref
	Names         Names       // of the dataflow
	Dimensions    []Component // in key order, TIME_PERIOD left out; the first is FREQ
	Attributes    []Component // of an observation
}

// Component is a dimension or an attribute.
type Component struct {
	ID    string
	Names Names
	Codes map[string]Code // by id; a code that is not listed stands for itself
}

// Code is an item of a component's codelist.
type Code struct {
	Names  Names
	Parent string // "" for a root
}

// dimension returns the position of the dimension in the key, or -1.
func (s *Structure) dimension(id string) int {
	for i := range s.Dimensions {
		if s.Dimensions[i].ID == id {
			return i
		}
	}
	return -1
}

func (s *Structure) hasAttribute(id string) bool {
	for i := range s.Attributes {
		if s.Attributes[i].ID == id {
			return true
		}
	}
	return false
}

// Error is what a client did wrong, or asked for in vain.
type Error struct {
	Status int    // the HTTP status that says so
	Title  string // a sentence for people
}

// Error returns the sentence.
func (e *Error) Error() string { return e.Title }

func badRequest(format string, args ...any) error {
	return &Error{Status: http.StatusBadRequest, Title: fmt.Sprintf(format, args...)}
}

func notOffered(format string, args ...any) error {
	return &Error{Status: http.StatusNotImplemented, Title: fmt.Sprintf(format, args...)}
}
