package sharing

import (
	"maps"
	"slices"
	"strings"
)

// Structures is what sharing needs to know of a dataflow's structure.
type Structures struct {
	Dataflow   string      // "AGENCY:ID(VERSION)", with the version
	Codelists  []string    // of the dimensions, "AGENCY:ID(VERSION)", each once
	Dimensions []Dimension // in key order, TIME_PERIOD left out
	Mirror     *Mirror     // nil: no figures count the same from two ends
}

// Dimension is a dimension with its codes.
type Dimension struct {
	ID     string
	Levels []string // of its codelist, from the coarsest to the finest
	Codes  map[string]Code
}

// Code is a code of a codelist.
type Code struct {
	Parent string   // "" for a root
	Level  string   // "" where the codelist has no levels
	Covers []string // siblings that it wholly contains, as a group of ages another one
}

// flowOf names a dataflow, of whatever version.
func flowOf(dataflow string) string {
	flow, _, _ := strings.Cut(dataflow, "(")
	return flow
}

// flow names the dataflow, of whatever version.
func (s *Structures) flow() string { return flowOf(s.Dataflow) }

// place returns the place of a dimension in the key; -1 where the structure lacks it.
func (s *Structures) place(dimension string) int {
	return slices.IndexFunc(s.Dimensions, func(d Dimension) bool { return d.ID == dimension })
}

func (s *Structures) has(dimension string) bool { return s.place(dimension) >= 0 }

// dimension returns a dimension; one without codes where the structure lacks it.
func (s *Structures) dimension(id string) Dimension {
	if i := s.place(id); i >= 0 {
		return s.Dimensions[i]
	}
	return Dimension{ID: id}
}

// codes returns the codes of a dimension, sorted.
func (s *Structures) codes(id string) []string {
	return slices.Sorted(maps.Keys(s.dimension(id).Codes))
}

// within reports whether a code is another one or a part of it. What hangs under nothing is a part of the total.
func (d Dimension) within(code, whole string) bool {
	if whole == Total || code == whole || slices.Contains(d.Codes[whole].Covers, code) {
		return true
	}
	for seen := 0; seen < len(d.Codes) && code != "" && code != whole; seen++ {
		code = d.Codes[code].Parent
	}
	return code == whole
}

// near returns a code, those that it is a part of, and its parts.
func (d Dimension) near(code string) []string {
	codes := []string{code}
	for other := range d.Codes {
		if other != code && (d.within(other, code) || d.within(code, other)) {
			codes = append(codes, other)
		}
	}
	return codes
}
