package sdmx

import (
	"fmt"
	"iter"
	"strings"

	"github.com/comity-federation/comity/proto/block"
)

// Reader reads the observations of a data message. It knows no structure: what it finds is taken for the component that
// it is called, and whoever gets the blocks holds them against the structure.
type Reader interface {
	// Blocks gives the rows in the order of the message, a few thousand at a time: a coded column for each component,
	// OBS_VALUE and _LINE as numbers. It may be ranged over once. After an error there is nothing more: a [*FileError] or
	// [FileErrors] says what is wrong with the message, anything else comes from the reader beneath.
	Blocks() iter.Seq2[*block.Block, error]
	// Dataflow returns what the message says that its rows are of: the kind of structure, "dataflow", "datastructure" or
	// "dataprovision", and its reference. It is known with the first block; "" where the message does not say.
	Dataflow() (kind, ref string)
	// Action returns what the rows do. It is known with the first block.
	Action() Action
}

// Action says what the rows of a message do to what is stored.
type Action byte

// The actions of SDMX 3. A message that says nothing is information.
const (
	Information Action = 'I' // says nothing of what to do
	Append      Action = 'A' // adds what is not there
	Merge       Action = 'M' // adds, or replaces value by value
	Replace     Action = 'R' // adds, or replaces observation by observation
	Delete      Action = 'D' // takes away
)

// String returns the action as messages of SDMX-JSON and SDMX-ML name it.
func (a Action) String() string {
	switch a {
	case Append:
		return "Append"
	case Merge:
		return "Merge"
	case Replace:
		return "Replace"
	case Delete:
		return "Delete"
	}
	return "Information"
}

// parseAction reads an action as messages of SDMX-JSON and SDMX-ML name it. "" is information.
func parseAction(name string) (Action, bool) {
	for _, a := range []Action{Information, Append, Merge, Replace, Delete} {
		if name == a.String() {
			return a, true
		}
	}
	return Information, name == "" || name == "Informational"
}

// FileError says where a message cannot be read, and why.
type FileError struct {
	Line    int    // from 1
	Column  string // the header of the column or the id of the component, or "" where it is about the whole line
	Problem string // a sentence, with what was expected
}

// Error returns the place and the sentence.
func (e *FileError) Error() string {
	if e.Column == "" {
		return fmt.Sprintf("line %d: %s", e.Line, e.Problem)
	}
	return fmt.Sprintf("line %d, column %s: %s", e.Line, e.Column, e.Problem)
}

// FileErrors are all that is wrong with a message, the first [MaxFileErrors] of it, in the order of lines.
type FileErrors []*FileError

// MaxFileErrors is how many errors of a message are looked for.
const MaxFileErrors = 100

// Error returns the first, and how many there are.
func (e FileErrors) Error() string {
	if len(e) == 1 {
		return e[0].Error()
	}
	return fmt.Sprintf("%v, and %d more", e[0], len(e)-1)
}

// identity is what a message says of all its rows: each place that says it again has to agree.
type identity struct {
	kind, ref string
	action    Action
	known     bool
}

// agree takes what a place of the message says, or says how it differs from what stands before.
func (id *identity) agree(kind, ref string, action Action) (problem string) {
	switch {
	case !id.known:
		*id = identity{kind, ref, action, true}
	case id.kind != kind || id.ref != ref:
		return fmt.Sprintf("is of %s, after %s: a message has the rows of one dataflow", named(kind, ref), named(id.kind, id.ref))
	case id.action != action:
		return fmt.Sprintf("has the action %s, after %s: a message has one action", action, id.action)
	}
	return ""
}

func named(kind, ref string) string {
	if ref == "" {
		return "no dataflow"
	}
	return kind + " " + ref
}

// Dataflow returns what the message says that its rows are of.
func (id *identity) Dataflow() (kind, ref string) { return id.kind, id.ref }

// Action returns what the rows do.
func (id *identity) Action() Action { return id.action }

// parseURN reads the URN of a dataflow, data structure or provision agreement, such as
// "urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=COMITY:BORDER(1.0.0)".
func parseURN(urn string) (kind, ref string, ok bool) {
	class, name, found := strings.Cut(urn, "=")
	if !found || !strings.HasPrefix(class, "urn:sdmx:org.sdmx.infomodel.") {
		return "", "", false
	}
	switch class[strings.LastIndexByte(class, '.')+1:] {
	case "Dataflow":
		kind = "dataflow"
	case "DataStructure":
		kind = "datastructure"
	case "ProvisionAgreement":
		kind = "dataprovision"
	default:
		return "", "", false
	}
	parsed, err := ParseRef(name)
	return kind, parsed.String(), err == nil
}
