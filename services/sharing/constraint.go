package sharing

import (
	"slices"
	"time"

	"github.com/comity-federation/comity/services/disclosure"
)

// Constraint says where a dataflow can have figures: in one of the regions that include, where there are any, and in none of
// those that exclude. A figure of 0 anywhere else is a structural zero, which every reader knows.
type Constraint struct {
	Include []Region
	Exclude []Region
}

// Region is where every bound holds: everywhere, where it has none.
type Region []Bound

// Bound bounds a region in one component.
type Bound struct {
	Dimension   string          // "": the time
	Codes       map[string]bool // of the dimension
	First, Last time.Time       // days between which the period lies wholly; zero: it is open
	Negated     bool            // what is said here does not hold
}

// allows reports whether there can be a figure of the codes of all dimensions in the sheet's period.
func (c *Constraint) allows(structures *Structures, codes []string, s *sheet) bool {
	inside := func(region Region) bool {
		return !slices.ContainsFunc(region, func(b Bound) bool { return !b.holds(structures, codes, s) })
	}
	return !slices.ContainsFunc(c.Exclude, inside) && (len(c.Include) == 0 || slices.ContainsFunc(c.Include, inside))
}

func (b *Bound) holds(structures *Structures, codes []string, s *sheet) bool {
	if b.Dimension == "" {
		known := !s.first.IsZero()
		within := (b.First.IsZero() || !s.first.Before(b.First)) && (b.Last.IsZero() || !s.last.After(b.Last))
		return known && within != b.Negated
	}
	at := structures.place(b.Dimension)
	return at >= 0 && b.Codes[codes[at]] != b.Negated
}

// impossible reports whether the constraints rule a figure out. They speak of a total as of any other code: only where its
// own code is ruled out.
func (m *maker) impossible(s *sheet, key []string) bool {
	codes := m.codes(s, key)
	return slices.ContainsFunc(m.constraints, func(c Constraint) bool { return !c.allows(m.structures, codes, s) })
}

// empty makes the cells of 0 structural zeros that cannot have a figure. They protect nothing: who knows the constraints
// knows what they are. One that may not be shown looks like any other that is withheld, to whoever does not.
func (m *maker) empty(g *grid, s *sheet) {
	for i := range g.cells {
		c := &g.table.Cells[i]
		if c.Value != 0 || !m.impossible(s, c.Key) {
			continue
		}
		if c.Status == disclosure.Primary {
			c.Absent, g.cells[i].silent = true, true
		}
		c.Status = disclosure.Empty
	}
}
