// Package trial makes figures up whose every later state is known, so that a store that holds them can be held against what it
// should hold: after each submission, at each revision of the past, and whatever was killed meanwhile.
//
// A made-up state counts by area and kind, month by month, and shares the sums of its sections, which the store derives. It also
// records events of the same shape. All is drawn from a source of random numbers, and so the same in two runs of one seed.
package trial

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

const (
	areas    = 36
	kinds    = 4
	months   = 18
	sections = 9 // four areas each
)

// Counts returns the i-th dataflow of counts, from 0.
func Counts(i int) string { return fmt.Sprintf("NA:COUNTS%d(1.0.0)", i) }

// Shared returns the dataflow that is derived from the i-th of counts.
func Shared(i int) string { return fmt.Sprintf("NA:SHARED%d(1.0.0)", i) }

// Events is the dataflow of events.
const Events = "NA:EVENTS(1.0.0)"

// Cell is a place in the counts.
type Cell struct{ Area, Kind, Month int }

func compare(a, b Cell) int {
	return slices.Compare([]int{a.Month, a.Area, a.Kind}, []int{b.Month, b.Area, b.Kind})
}

// Sum is a place in what is shared.
type Sum struct{ Section, Month int }

// Figures are counts.
type Figures map[Cell]float64

// Shared returns what should be shared of the figures.
func (f Figures) Shared() map[Sum]float64 {
	sums := map[Sum]float64{}
	for c, value := range f {
		sums[Sum{c.Area % sections, c.Month}] += value
	}
	return sums
}

// sorted returns the cells month by month.
func (f Figures) sorted() []Cell { return slices.SortedFunc(maps.Keys(f), compare) }

// Difference says in a line how two tables differ; "": they do not.
func Difference[K comparable](got, want map[K]float64) string {
	var lines []string
	for k, v := range want {
		if g, ok := got[k]; !ok || g != v {
			lines = append(lines, fmt.Sprintf("%v: stored %v (%t), want %v", k, g, ok, v))
		}
	}
	for k, v := range got {
		if _, ok := want[k]; !ok {
			lines = append(lines, fmt.Sprintf("%v: stored %v, want none", k, v))
		}
	}
	if len(lines) == 0 {
		return ""
	}
	return fmt.Sprintf("%d figures differ, %d should be there, for example %s", len(lines), len(want), slices.Min(lines))
}

// Structures returns the dataflows of the made-up state, n of counts, with the maps that lead from these to what is shared.
func Structures(n int) *statisticspb.Structures {
	dataflow := func(ref, structure string) *statisticspb.Dataflow {
		_, id, _ := strings.Cut(ref, ":")
		id, _, _ = strings.Cut(id, "(")
		return &statisticspb.Dataflow{Agency: "NA", Id: id, Version: "1.0.0", Structure: "NA:" + structure + "(1.0.0)"}
	}
	areaMap := &statisticspb.RepresentationMap{Agency: "NA", Id: "AREAS", Version: "1.0.0"}
	for area := range areas {
		areaMap.Mappings = append(areaMap.Mappings, &statisticspb.Mapping{
			Sources: []string{areaName(area)}, Targets: []string{sectionPrefix + strconv.Itoa(area%sections)},
		})
	}
	s := &statisticspb.Structures{
		DataStructures: []*statisticspb.DataStructure{
			{Agency: "NA", Id: "COUNTS", Version: "1.0.0", Dimensions: []*statisticspb.Component{{Id: "FREQ"}, {Id: "AREA"}, {Id: "KIND"}}},
			{Agency: "NA", Id: "SHARED", Version: "1.0.0", Dimensions: []*statisticspb.Component{{Id: "FREQ"}, {Id: "SECTION"}}},
		},
		Dataflows:          []*statisticspb.Dataflow{dataflow(Events, "COUNTS")},
		RepresentationMaps: []*statisticspb.RepresentationMap{areaMap},
	}
	for i := range n {
		s.Dataflows = append(s.Dataflows, dataflow(Counts(i), "COUNTS"), dataflow(Shared(i), "SHARED"))
		s.StructureMaps = append(s.StructureMaps, &statisticspb.StructureMap{
			Agency: "NA", Id: "SHARE" + strconv.Itoa(i), Version: "1.0.0", Source: Counts(i), Target: Shared(i),
			ComponentMaps: []*statisticspb.ComponentMap{{Sources: []string{"AREA"}, Targets: []string{"SECTION"}, RepresentationMap: "NA:AREAS(1.0.0)"}},
		})
	}
	return s
}

const (
	areaPrefix    = "area "
	kindPrefix    = "kind "
	sectionPrefix = "section "
	firstYear     = 2020
)

func areaName(area int) string   { return areaPrefix + strconv.Itoa(area) }
func kindName(kind int) string   { return kindPrefix + strconv.Itoa(kind) }
func monthName(month int) string { return fmt.Sprintf("%d-%02d", firstYear+month/12, month%12+1) }

// number returns the number behind the prefix of a name.
func number(name, prefix string) (int, error) {
	text, found := strings.CutPrefix(name, prefix)
	if !found {
		return 0, fmt.Errorf("%q does not begin with %q", name, prefix)
	}
	return strconv.Atoi(text)
}

// month returns the number of the month of a name.
func month(name string) (int, error) {
	year, month, _ := strings.Cut(name, "-")
	y, err := strconv.Atoi(year)
	if err != nil {
		return 0, err
	}
	m, err := strconv.Atoi(month)
	return 12*(y-firstYear) + m - 1, err
}
