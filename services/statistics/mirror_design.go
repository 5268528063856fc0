package statistics

import (
	_ "embed" // the default designs
	"encoding/json"
	"fmt"
	"slices"

	"github.com/comity-federation/comity/services/fault"
)

// MirrorDesign says which figures of a dataflow mirror each other: what one end of a corridor reports as exits, the other
// reports as entries.
type MirrorDesign struct {
	AreaDimension        string // names who reports
	FlowDimension        string // tells entries from exits
	Flows                []MirrorFlow
	CounterpartDimension string // names the other end of the corridor
	Areas                []MirrorArea
	Selections           []Selection // of the other dimensions; one that has none must have equal codes on both sides
}

// MirrorFlow is a pair of codes of the flow dimension that mean the same flow.
type MirrorFlow struct{ Exits, Entries string }

// MirrorArea says what a code of the counterpart dimension is called in the area dimension.
type MirrorArea struct{ Code, Area string }

//go:embed mirror.json
var defaultDesigns []byte

// mirrorDesign returns the dataflow and the design that a query asks for: its own, and the default for what it leaves open.
func mirrorDesign(dataflow Ref, asked MirrorDesign) (Ref, MirrorDesign, error) {
	var file struct {
		Designs []struct {
			Dataflow string
			MirrorDesign
		}
	}
	if err := json.Unmarshal(defaultDesigns, &file); err != nil {
		return dataflow, asked, fmt.Errorf("reading the default designs of mirror statistics: %w", err)
	}
	for _, d := range file.Designs {
		of, err := ParseRef(d.Dataflow)
		if err != nil {
			return dataflow, asked, fmt.Errorf("reading the default designs of mirror statistics: %w", err)
		}
		if dataflow == (Ref{}) {
			dataflow = of
		}
		if of.Agency == dataflow.Agency && of.ID == dataflow.ID {
			asked.complete(d.MirrorDesign)
			break
		}
	}
	return dataflow, asked, nil
}

// DefaultMirror returns the default design of a dataflow; false where it has none.
func DefaultMirror(dataflow Ref) (MirrorDesign, bool, error) {
	_, design, err := mirrorDesign(dataflow, MirrorDesign{})
	return design, design.CounterpartDimension != "", err
}

// complete fills in what is not set.
func (d *MirrorDesign) complete(from MirrorDesign) {
	for _, text := range []struct {
		to   *string
		from string
	}{{&d.AreaDimension, from.AreaDimension}, {&d.FlowDimension, from.FlowDimension}, {&d.CounterpartDimension, from.CounterpartDimension}} {
		if *text.to == "" {
			*text.to = text.from
		}
	}
	if len(d.Flows) == 0 {
		d.Flows = from.Flows
	}
	if len(d.Areas) == 0 {
		d.Areas = from.Areas
	}
	if len(d.Selections) == 0 {
		d.Selections = slices.DeleteFunc(slices.Clone(from.Selections), func(s Selection) bool {
			return s.Dimension == d.CounterpartDimension || s.Dimension == d.AreaDimension || s.Dimension == d.FlowDimension
		})
	}
}

// maxMirrorFlows is how many pairs of codes a design may have, maxMirrorAreas how many names of areas.
const (
	maxMirrorFlows = 100
	maxMirrorAreas = 10_000
)

// check finds what is wrong with a design, as a fault of kind Invalid. What is wrong with the codes and levels of
// selections, the query of the figures finds.
func (d *MirrorDesign) check(structure *DataStructure) error {
	var wrong violations
	seen := map[string]bool{frequencyID: true}
	for _, dimension := range []struct{ field, id string }{
		{"design.areaDimension", d.AreaDimension},
		{"design.flowDimension", d.FlowDimension},
		{"design.counterpartDimension", d.CounterpartDimension},
	} {
		switch {
		case dimension.id == "":
			wrong.add(dimension.field, "is needed: %s has no default design", structure.Ref)
		case structure.Dimension(dimension.id) < 0:
			wrong.add(dimension.field, "%q is no dimension of %s", dimension.id, structure.Ref)
		case seen[dimension.id]:
			wrong.add(dimension.field, "%s has another part already", dimension.id)
		}
		seen[dimension.id] = true
	}
	switch n := len(d.Flows); {
	case n == 0:
		wrong.add("design.flows", "at least one pair of codes is needed")
	case n > maxMirrorFlows:
		wrong.add("design.flows", "there are %d, at most %d are allowed", n, maxMirrorFlows)
	}
	codes := map[string]bool{}
	for _, f := range d.Flows {
		for _, code := range []string{f.Exits, f.Entries} {
			if code == "" || codes[code] {
				wrong.add("design.flows", "%q is empty, or stands twice", code)
			}
			codes[code] = true
		}
	}
	if n := len(d.Areas); n > maxMirrorAreas {
		wrong.add("design.areas", "there are %d, at most %d are allowed", n, maxMirrorAreas)
	}
	named := map[string]bool{}
	for _, a := range d.Areas {
		if a.Code == "" || a.Area == "" || named[a.Code] {
			wrong.add("design.areas", "%q is empty, has no area, or stands twice", a.Code)
		}
		named[a.Code] = true
	}
	for _, s := range d.Selections {
		if s.Dimension == d.FlowDimension || s.Dimension == frequencyID {
			wrong.add("design.selections", "%s cannot be selected", s.Dimension)
		}
	}
	return wrong.fault("the comparison of mirror statistics")
}

// areas returns the area that each code of the counterpart dimension stands for, of those that report figures.
func (d *MirrorDesign) areas(flow *Flow, dictionary *Dictionary) (map[string]string, error) {
	const most = 1000 // or the fits take long
	dimension := flow.Structure.Dimension(d.AreaDimension)
	if n := dictionary.Len(dimension); n > most {
		return nil, fault.InvalidField("design.areaDimension", "%s has %d codes, at most %d can be compared", d.AreaDimension, n, most)
	}
	areaOf := map[string]string{}
	for code := range uint32(dictionary.Len(dimension)) { //nolint:gosec // at most 1,000
		area := dictionary.Text(dimension, code)
		areaOf[area] = area
	}
	for _, a := range d.Areas {
		if _, reports := dictionary.Find(dimension, a.Area); reports {
			areaOf[a.Code] = a.Area
		} else {
			delete(areaOf, a.Code)
		}
	}
	return areaOf, nil
}
