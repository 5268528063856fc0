package statistics

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
)

func parsePeriod(text string) (Period, error) { return period.Parse(text) }

// trees are two hierarchies of different depth, one with a code that covers another.
func trees(t rapid.TB) []*Hierarchy {
	t.Helper()
	made := make([]*Hierarchy, 2)
	for i, codes := range [][]Code{
		{
			{ID: "_T"},
			{ID: "N", Parent: "_T"},
			{ID: "N1", Parent: "N"},
			{ID: "N2", Parent: "N"},
			{ID: "S", Parent: "_T"},
			{ID: "S1", Parent: "S"},
			{ID: "S2", Parent: "S"},
		},
		{{ID: "_T"}, {ID: "LT18", Parent: "_T", Covers: []string{"LT14"}}, {ID: "LT14", Parent: "_T"}, {ID: "GE18", Parent: "_T"}},
	} {
		tree, err := NewHierarchy(&Codelist{Ref: Ref{"X", "CL", "1.0.0"}, Codes: codes})
		if err != nil {
			t.Fatal(err)
		}
		made[i] = tree
	}
	return made
}

var (
	firstCodes  = []string{"_T", "N", "N1", "N2", "S", "S1", "S2"} //nolint:gochecknoglobals // of the trees above
	secondCodes = []string{"_T", "LT18", "LT14", "GE18"}           //nolint:gochecknoglobals // as above
	someMonths  = []string{"2023-11", "2023-12", "2024-01"}        //nolint:gochecknoglobals // for made-up figures
)

// figuresOf draws figures of two providers.
func figuresOf(t *rapid.T, conf ...byte) *memory {
	m := memoryOf(trees(t), block.Comment, EmbargoTime)
	statuses := rapid.SampledFrom([]byte("AAAEU"))
	for _, provider := range []string{"own", "partner"} {
		for i := range rapid.IntRange(0, 25).Draw(t, "figures") {
			name := fmt.Sprintf("%s %d ", provider, i)
			at := rapid.SampledFrom(append([]string{"2023", "2023-Q4", "2024"}, someMonths...)).Draw(t, name+"period")
			cell := Cell{
				Value: float64(rapid.IntRange(1, 1000).Draw(t, name+"value")), ObsStatus: statuses.Draw(t, name+"status"),
				ConfStatus: rapid.SampledFrom(conf).Draw(t, name+"confidentiality"),
			}
			embargo := rapid.SampledFrom([]string{"", "", "", "2024-05-31", "2024-06-02", "2024-06-01T12:00:00Z", "soon"}).Draw(t, name+"embargo")
			if conf[0] == FreeToShow && len(conf) == 1 {
				embargo = ""
			}
			comment := rapid.SampledFrom([]string{"", "x"}).Draw(t, name+"comment")
			m.put(t, provider, at, cell, []string{comment, embargo}, frequencyOf(at),
				rapid.SampledFrom(firstCodes).Draw(t, name+"D"), rapid.SampledFrom(secondCodes).Draw(t, name+"E"))
		}
	}
	return m
}

func frequencyOf(at string) string {
	p, _ := parsePeriod(at)
	return string(p.Frequency)
}

func TestRollingGivesWhatRollUpDoes(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		m := figuresOf(rt, FreeToShow)
		q := Query{Dataflow: m.flow.Ref, Providers: []string{"own", "partner"}, Sight: Everything()}
		for dimension, codes := range [][]string{nil, firstCodes, secondCodes} {
			if codes != nil && rapid.Bool().Draw(rt, "selects "+fmt.Sprint(dimension)) {
				q.Selections = append(q.Selections, Selection{
					Dimension: m.flow.Structure.Dimensions[dimension].ID, Codes: rapid.SliceOfNDistinct(rapid.SampledFrom(codes), 1, 4, rapid.ID).Draw(rt, "codes"),
				})
			}
		}
		if rapid.Bool().Draw(rt, "in time") {
			q.Selections = append(q.Selections, Selection{Dimension: frequencyID, Codes: rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"A", "Q", "M"}), 1, 3, rapid.ID).Draw(rt, "frequencies")})
		}
		s := m.service()
		got, gotStatuses, err := answers(t, s, q)
		if err != nil {
			rt.Fatal(err)
		}
		want, wantStatuses := atOnce(t, rt, m, q)
		if diff := cmp.Diff(want, got, cmpopts.EquateNaNs()); diff != "" {
			rt.Fatalf("values (-at once +rolling):\n%s", diff)
		}
		if diff := cmp.Diff(wantStatuses, gotStatuses); diff != "" {
			rt.Fatalf("statuses (-at once +rolling):\n%s", diff)
		}
	})
}

// atOnce answers a query with all figures in one table.
func atOnce(t *testing.T, rt *rapid.T, m *memory, q Query) (values map[string]float64, statuses map[string]string) {
	values, statuses = map[string]float64{}, map[string]string{}
	p, err := newPlan(m.flow, &q)
	if err != nil {
		rt.Fatal(err)
	}
	dictionary, _ := m.Dictionary(t.Context(), m.flow)
	p.decide(dictionary)
	for _, provider := range q.Providers {
		table := NewTable(m.flow.Structure)
		table.dictionary = dictionary.Clone()
		for series, err := range m.Read(t.Context(), m.flow, []string{provider}, p.selector) {
			if err != nil {
				rt.Fatal(err)
			}
			table.putSeries(series)
		}
		if len(p.axes) > 0 {
			table = RollUp(table, p.axes...)
		}
		if len(p.frequencies) > 0 && table.Len() > 0 {
			calendar, err := p.calendar(t.Context(), m, provider, table.dictionary)
			if err != nil {
				rt.Fatal(err)
			}
			table = RollUpTime(table, p.frequencies, calendar)
		}
		for n := range table.tracks {
			for i, index := range table.tracks[n].Periods {
				key := ""
				for d, code := range table.Key(n) {
					key += table.dictionary.Text(d, code) + " "
				}
				cell := table.tracks[n].Cells[i]
				key += table.Frequency(n).Period(index).String() + " " + provider
				values[key] = cell.Value
				statuses[key] = string(rune(cell.ObsStatus)) + " " + string(rune(cell.ConfStatus)) + " " + table.Attributes(cell.Attributes)[0]
			}
		}
	}
	return values, statuses
}

func TestSumsOverHoles(t *testing.T) {
	t.Parallel()
	cell := func(value float64, status byte) Cell {
		return Cell{Value: value, ObsStatus: status, ConfStatus: FreeToShow}
	}
	none := math.NaN()
	for name, test := range map[string]struct {
		parts []Cell
		want  Cell
	}{
		"it has no value where a part was not collected":             {[]Cell{cell(1, 'A'), cell(none, 'L')}, cell(none, 'L')},
		"it says that a part was suppressed before all else":         {[]Cell{cell(none, 'O'), cell(none, 'Q'), cell(5, 'U')}, cell(none, 'Q')},
		"it says missing where a part without a value says nothing":  {[]Cell{cell(1, 'A'), cell(none, 'A')}, cell(none, 'O')},
		"it keeps the warning of a part where all have values":       {[]Cell{cell(1, 'A'), cell(2, 'P'), cell(3, 'A')}, cell(6, 'P')},
		"it keeps what is missing though another part is unreliable": {[]Cell{cell(1, 'U'), cell(none, 'M')}, cell(none, 'M')},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sum := test.parts[0]
			for _, part := range test.parts[1:] {
				sum = Sum(sum, part)
			}
			if diff := cmp.Diff(test.want, sum, cmpopts.EquateNaNs()); diff != "" {
				t.Errorf("sum (-want +got):\n%s", diff)
			}
		})
	}
}
