// Package disclosure keeps figures that were withheld from being computed out of figures that were shown.
//
// A [Table] holds cells with their margins: a dimension is a tree of codes, and a cell whose code has parts is the sum
// of the cells of these parts. That is what a reader of the table knows besides the figures; [Table.Equations] has it.
// [Rules] say which cells are too small, or too much one contributor's, to be shown: the primary ones. Others have to go
// with them, or else a total gives them back: the secondary ones. [Audit] says how much of what was withheld can be had
// from the rest.
//
// The package is pure: it reads no clock, no file and no database.
package disclosure

import (
	"fmt"
	"slices"
	"strings"

	"github.com/comity-federation/comity/services/fault"
)

// Status says whether a cell is shown, and if not, why.
type Status uint8

// The statuses.
const (
	Undecided Status = iota // nobody has said yet: rules will
	Published               // shown
	Primary                 // withheld, because a rule or the caller says so
	Secondary               // withheld, because a primary cell could be computed if it were shown
	Empty                   // shown as 0, and known to be: a structural zero, which never is withheld
)

// String returns the name that the API has for s.
func (s Status) String() string {
	switch s {
	case Published:
		return "PUBLISHED"
	case Primary:
		return "PRIMARY"
	case Secondary:
		return "SECONDARY"
	case Empty:
		return "EMPTY"
	default:
		return "UNSPECIFIED"
	}
}

// Suppressed reports whether a reader of the table does not see the cell.
func (s Status) Suppressed() bool { return s == Primary || s == Secondary }

// Code is a code of a dimension, or a code once more, as a part of another parent: hierarchies that share codes are
// linked.
type Code struct {
	Code   string
	Parent string // the code that it is a part of; "": of none
	// Hierarchy names the breakdown of the parent that the code belongs to. Parts of one parent with the same name add up
	// to it. Where there are overlapping parts without a name, [Table.Equations] finds out which belong together.
	Hierarchy string
}

// Dimension is what a table is broken down by.
type Dimension struct {
	ID    string
	Codes []Code
}

// Cell is a figure of a table.
type Cell struct {
	Key           []string  // a code of each dimension, in order
	Value         int64     // the count, 0 or more
	Contributions []float64 // what each contributor added, all of them, 0 or more; nil: not known
	Status        Status
	Rule          Rule // what made it primary
	Absent        bool // the table does not have it: it is there for what it says of others; see [Table.Complete]
}

// Table is figures with their margins. The cells of a table need not be all that there could be.
type Table struct {
	Dimensions []Dimension
	Cells      []Cell
}

// Limits of what a table may have.
const (
	MaxDimensions = 12
	MaxBreakdowns = 16                // of one code
	MaxCodes      = 5_000             // of a dimension, listings of a code again counted
	MaxValue      = 1_000_000_000_000 // of a cell; sums stay far from what 64 bits hold
)

// single reports whether the cell has one contributor, who knows it. The value of an absent cell is no more than a sum of
// what is known of it, unless it is primary.
func (c Cell) single() bool {
	return (!c.Absent || c.Status == Primary) && (c.Value == 1 || len(c.Contributions) == 1)
}

// Name returns the key of the cell as "A.F".
func (c Cell) Name() string { return strings.Join(c.Key, ".") }

// GrandTotal returns the largest value of the cells: no figure of the table is above it.
func (t *Table) GrandTotal() int64 {
	var total int64
	for _, c := range t.Cells {
		total = max(total, c.Value)
	}
	return total
}

// Clone returns a copy whose statuses can be changed without changing t.
func (t *Table) Clone() *Table {
	return &Table{Dimensions: t.Dimensions, Cells: slices.Clone(t.Cells)}
}

// Check returns a fault that names what is wrong in the table: a dimension, a code or a parent that is unknown or listed
// twice, a code that is part of itself, a key of another length, a cell that is there twice, a negative value.
// Whether totals are the sums of their parts is a finding of [Table.Equations], not a fault.
func (t *Table) Check() error {
	_, err := newLayout(t)
	return err
}

func fieldFault(field, format string, args ...any) error {
	return fault.InvalidField(field, format, args...)
}

// checkCell says what is wrong in a cell, apart from its key.
func checkCell(i int, c Cell) error {
	switch {
	case c.Value < 0:
		return fieldFault(cellField(i, "frequency"), "%s has the value %d; a count is 0 or more", c.Name(), c.Value)
	case c.Value > MaxValue:
		return fieldFault(cellField(i, "frequency"), "%s has the value %d, which is above %d", c.Name(), c.Value, int64(MaxValue))
	case c.Status > Empty:
		return fieldFault(cellField(i, "status"), "%s has an unknown status", c.Name())
	case c.Status == Empty && c.Value != 0:
		return fieldFault(cellField(i, "status"), "%s is said to be empty and has the value %d", c.Name(), c.Value)
	}
	for k, x := range c.Contributions {
		if !(x >= 0 && x <= MaxValue) {
			return fieldFault(fmt.Sprintf("cells[%d].contributions[%d]", i, k),
				"%s has a contribution of %v; contributions are 0 or more, and at most %d", c.Name(), x, int64(MaxValue))
		}
	}
	return nil
}

func cellField(i int, name string) string { return fmt.Sprintf("cells[%d].%s", i, name) }
