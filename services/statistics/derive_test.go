package statistics_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/statistics"
)

func named(id string) statistics.Ref {
	return statistics.Ref{Agency: "XX", ID: id, Version: "1.0.0"}
}

// tolls is a structure map with what it refers to: from the figures of toll stations to arrivals.
type tolls struct {
	structureMap   statistics.StructureMap
	source, target statistics.DataStructure
	maps           map[statistics.Ref]statistics.RepresentationMap
	codelists      map[statistics.Ref]*statistics.Codelist
}

func newTolls() *tolls {
	codelist := func(id string, codes ...string) *statistics.Codelist {
		list := &statistics.Codelist{Ref: named(id)}
		for _, code := range codes {
			list.Codes = append(list.Codes, statistics.Code{ID: code})
		}
		return list
	}
	return &tolls{
		structureMap: statistics.StructureMap{
			Ref: named("TOLLS_ARRIVALS"), Source: named("TOLLS"), Target: named("ARRIVALS"),
			Components: []statistics.ComponentMap{
				{Targets: []string{"AREA"}, Constant: "NO"},
				{Sources: []string{"STATION", "LANE"}, Targets: []string{"PLACE", "MODE"}, RepresentationMap: named("STATION_PLACE")},
				{Sources: []string{"NATION"}, Targets: []string{"NATION"}, RepresentationMap: named("NATION_NATION")},
				{Targets: []string{"UNIT"}, Constant: "PERSONS"},
			},
		},
		source: statistics.DataStructure{
			Ref:        named("TOLLS"),
			Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "STATION"}, {ID: "LANE"}, {ID: "NATION"}, {ID: "SEX"}},
			Attributes: []statistics.Component{{ID: "NOTE"}},
		},
		target: statistics.DataStructure{
			Ref: named("ARRIVALS"),
			Dimensions: []statistics.Component{
				{ID: "FREQ"},
				{ID: "AREA", Codelist: named("AREAS")},
				{ID: "PLACE", Codelist: named("PLACES")},
				{ID: "MODE", Codelist: named("MODES")},
				{ID: "NATION", Codelist: named("NATIONS")},
				{ID: "SEX", Codelist: named("SEXES")},
			},
			Attributes: []statistics.Component{{ID: "UNIT"}, {ID: "NOTE"}},
		},
		maps: map[statistics.Ref]statistics.RepresentationMap{
			named("STATION_PLACE"): {Ref: named("STATION_PLACE"), Mappings: []statistics.Mapping{
				{Sources: []string{"Nord", "bus"}, Targets: []string{"N", "ROAD"}},
				{Sources: []string{"*", "bike"}, Targets: []string{"_T", "BIKE"}},
				{Sources: []string{"Nord", "*"}, Targets: []string{"N", "OTHER"}},
				{Sources: []string{"Sund", "quay"}, Targets: []string{"S", "FERRY"}, ValidTo: "2021-09"},
				{Sources: []string{"Sund", "quay"}, Targets: []string{"S", "ROAD"}, ValidFrom: "2021-Q4"}, // the bridge opens
			}},
			named("NATION_NATION"): {Ref: named("NATION_NATION"), Identity: true, Otherwise: []string{"_O"}, Mappings: []statistics.Mapping{
				{Sources: []string{"Dania"}, Targets: []string{"DNK"}},
				{Sources: []string{"Danmark"}, Targets: []string{"DNK"}},
				{Sources: []string{"SWE"}, Targets: []string{"NOR"}, ValidTo: "1905"}, // a union until then
			}},
		},
		codelists: map[statistics.Ref]*statistics.Codelist{
			named("AREAS"): codelist("AREAS", "NO"), named("PLACES"): codelist("PLACES", "_T", "N", "S"),
			named("MODES"): codelist("MODES", "ROAD", "BIKE", "FERRY", "OTHER"), named("NATIONS"): codelist("NATIONS", "DNK", "SWE", "NOR", "_O"),
			named("SEXES"): codelist("SEXES", "F", "M"),
		},
	}
}

func (s *tolls) deriver() (*statistics.Deriver, error) {
	return statistics.NewDeriver(s.structureMap, s.source, s.target, s.maps, s.codelists)
}

// tollBlock makes a block of rows written as "STATION LANE NATION SEX TIME_PERIOD value status note", the last two
// optional; rows begin on line 2.
func tollBlock(rows ...string) *block.Block {
	builder := block.NewBuilder([]string{"FREQ", "STATION", "LANE", "NATION", "SEX", block.TimePeriod, block.ObsStatus, "NOTE"}, []string{block.ObsValue, block.Line})
	for i, row := range rows {
		parts := append(strings.Fields(row), "", "")
		var value float64
		if _, err := fmt.Sscan(parts[5], &value); err != nil {
			panic(err)
		}
		month, err := period.Parse(parts[4])
		if err != nil {
			panic(err)
		}
		builder.Append([]string{string(month.Frequency), parts[0], parts[1], parts[2], parts[3], parts[4], parts[6], parts[7]}, []float64{value, float64(i + 2)})
	}
	return builder.Block()
}

// cells returns the cells of a table, as texts, sorted.
func cells(t testing.TB, table *statistics.Table) (texts []string) {
	t.Helper()
	for b := range table.Blocks() {
		at := slices.IndexFunc(b.Columns, func(c block.Column) bool { return c.Component == block.Line })
		if at >= 0 {
			b.Columns = slices.Delete(b.Columns, at, at+1)
		}
		for _, row := range textRows(t, b) {
			texts = append(texts, strings.Join(row, " "))
		}
	}
	slices.Sort(texts)
	return texts
}

func TestDerive(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		rows []string
		want []string // FREQ AREA PLACE MODE NATION SEX TIME_PERIOD OBS_STATUS CONF_STATUS UNIT NOTE OBS_VALUE
	}{
		{
			"it sums figures that fall on one key",
			[]string{"Nord bus Dania F 2023-01 3", "Nord bus Danmark F 2023-01 4", "Nord bus DNK F 2023-01 5", "Nord bus DNK F 2023-02 6"},
			[]string{"M NO N ROAD DNK F 2023-01 A F PERSONS  12", "M NO N ROAD DNK F 2023-02 A F PERSONS  6"},
		},
		{
			"it takes the first mapping that fits",
			[]string{"Nord bus DNK F 2023 1", "Nord bike DNK F 2023 2", "Nord foot DNK F 2023 4", "Sund bike DNK F 2023 8"},
			[]string{"A NO N OTHER DNK F 2023 A F PERSONS  4", "A NO N ROAD DNK F 2023 A F PERSONS  1", "A NO _T BIKE DNK F 2023 A F PERSONS  10"},
		},
		{
			"it knows for which periods a mapping holds",
			[]string{"Sund quay DNK F 2021-09 1", "Sund quay DNK F 2021-Q3 1", "Sund quay DNK F 2021-10 1", "Sund quay DNK F 2022 1", "Sund quay DNK F 2021-W39 1"},
			[]string{"A NO S ROAD DNK F 2022 A F PERSONS  1", "M NO S FERRY DNK F 2021-09 A F PERSONS  1", "M NO S ROAD DNK F 2021-10 A F PERSONS  1", "Q NO S FERRY DNK F 2021-Q3 A F PERSONS  1"},
		},
		{
			"it leaves a code as it is where no mapping of it holds",
			[]string{"Nord bus SWE F 1904 1", "Nord bus SWE F 1906 1"},
			[]string{"A NO N ROAD NOR F 1904 A F PERSONS  1", "A NO N ROAD SWE F 1906 A F PERSONS  1"},
		},
		{
			"it keeps the status that warns most, and the notes that agree",
			[]string{"Nord bus DNK F 2023 1 A x", "Nord bus Dania F 2023 1 E x", "Nord bus DNK M 2023 1 P x", "Nord bus Dania M 2023 1 A y"},
			[]string{"A NO N ROAD DNK F 2023 E F PERSONS x 2", "A NO N ROAD DNK M 2023 P F PERSONS  2"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d, err := newTolls().deriver()
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Add(tollBlock(test.rows...)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, cells(t, d.Table())); diff != "" {
				t.Errorf("the cells differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDeriveOfWhatIsMissing(t *testing.T) {
	t.Parallel()
	s := newTolls()
	s.target.Attributes = append(s.target.Attributes, statistics.Component{ID: block.ObsStatus})
	s.structureMap.Components = append(s.structureMap.Components, statistics.ComponentMap{Targets: []string{block.ObsStatus}, Constant: "E"})
	d, err := s.deriver()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Add(tollBlock("Nord bus DNK F 2021-01 NaN L", "Nord bus DNK F 2021-02 3", "Nord bus DNK F 2021-02 NaN H", "Nord bus DNK F 2021-03 3")); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	track := d.Table().Track(0)
	for i, index := range track.Periods {
		got[statistics.Frequency('M').Period(index).String()] = fmt.Sprintf("%v %c", track.Cells[i].Value, track.Cells[i].ObsStatus)
	}
	// A map may call all figures estimates; what is missing is none.
	if diff := cmp.Diff(map[string]string{"2021-01": "NaN L", "2021-02": "NaN H", "2021-03": "3 E"}, got); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
}

func TestDeriveUnmapped(t *testing.T) {
	t.Parallel()
	d, err := newTolls().deriver()
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range []*block.Block{
		tollBlock("Nord bus Atlantis F 2023-01 3", "Vest bus DNK F 2023-01 5", "Vest bus Atlantis X 2023-02 7"),
		tollBlock("Nord bus DNK F 2023-01 1", "Vest quay DNK F 2023-01 2", "Nord bus Atlantis F 2023-01 4"),
	} {
		if err := d.Add(b); err != nil {
			t.Fatal(err)
		}
	}

	t.Run("it leaves out what nothing stands for, and counts it", func(t *testing.T) {
		want := []string{"M NO N ROAD DNK F 2023-01 A F PERSONS  1", "M NO N ROAD _O F 2023-01 A F PERSONS  7"}
		if diff := cmp.Diff(want, cells(t, d.Table())); diff != "" {
			t.Errorf("the cells differ (-want +got):\n%s", diff)
		}
		if d.LeftOut() != 3 {
			t.Errorf("%d rows are left out, want 3", d.LeftOut())
		}
	})

	t.Run("it warns of each label once, by name, with its count and first line", func(t *testing.T) {
		var report statistics.Report
		d.Report(&report)
		want := []statistics.Finding{
			{Line: 2, Column: "NATION", Values: []string{"Atlantis"}, Message: `"Atlantis" is not known to XX:NATION_NATION(1.0.0): 3 rows with a sum of 14, counted as _O`},
			{Line: 4, Column: "SEX", Values: []string{"X"}, Message: `"X" is not known to the target's codelist: 1 row with a sum of 7, left out`},
			{Line: 3, Column: "STATION, LANE", Values: []string{"Vest", "bus"}, Message: `"Vest", "bus" is not known to XX:STATION_PLACE(1.0.0): 2 rows with a sum of 12, left out`},
			{Line: 3, Column: "STATION, LANE", Values: []string{"Vest", "quay"}, Message: `"Vest", "quay" is not known to XX:STATION_PLACE(1.0.0): 1 row with a sum of 2, left out`},
		}
		for i := range want {
			want[i].Rule, want[i].Severity = "UNMAPPED_LABEL", statistics.Warning
		}
		if diff := cmp.Diff(want, report.Findings()); diff != "" {
			t.Errorf("the findings differ (-want +got):\n%s", diff)
		}
	})
}

// TestDeriveMerges derives with a map that counts two labels as one.
func TestDeriveMerges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		rows []string
		want []statistics.Finding
	}{
		{"it notes labels that are counted as one", []string{"Nord bus Dania F 2023 1", "Nord bus Danmark F 2022 2"}, []statistics.Finding{{
			Rule: "MERGED_LABELS", Severity: statistics.Note, Column: "NATION", Values: []string{"DNK"},
			Message: `XX:NATION_NATION(1.0.0) counts several labels as one: "Dania", "Danmark" as DNK`,
		}}},
		{"it says nothing where one of them is there", []string{"Nord bus Dania F 2023 1", "Nord foot Dania F 2022 2"}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			d, err := newTolls().deriver()
			if err != nil {
				t.Fatal(err)
			}
			if err := d.Add(tollBlock(test.rows...)); err != nil {
				t.Fatal(err)
			}
			var report statistics.Report
			d.Report(&report)
			if diff := cmp.Diff(test.want, report.Findings(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the findings differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestDeriveLeavesOut derives with a map that leaves labels out.
func TestDeriveLeavesOut(t *testing.T) {
	t.Parallel()
	s := newTolls()
	m := s.maps[named("NATION_NATION")]
	m.Mappings = append([]statistics.Mapping{{Sources: []string{"SWE"}, ValidFrom: "2023"}}, m.Mappings...)
	s.maps[named("NATION_NATION")] = m
	d, err := s.deriver()
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Add(tollBlock("Nord bus SWE F 2022 1", "Nord bus SWE F 2023 2", "Nord bus DNK F 2023 4", "Sund bike SWE F 2024 8")); err != nil {
		t.Fatal(err)
	}
	want := []string{"A NO N ROAD DNK F 2023 A F PERSONS  4", "A NO N ROAD SWE F 2022 A F PERSONS  1"}
	if diff := cmp.Diff(want, cells(t, d.Table())); diff != "" {
		t.Errorf("the cells differ (-want +got):\n%s", diff)
	}
	if left := d.LeftOutLabels(); len(left) != 1 || left[0].Value != 10 || left[0].Rows != 2 || d.LeftOut() != 2 || len(d.Unmapped()) > 0 {
		t.Errorf("left out: %v, %d rows; not mapped: %v", left, d.LeftOut(), d.Unmapped())
	}
	var report statistics.Report
	d.Report(&report)
	message := `"SWE" is left out by XX:NATION_NATION(1.0.0): 2 rows with a sum of 10`
	wanted := []statistics.Finding{{Rule: "LEFT_OUT", Severity: statistics.Note, Line: 3, Column: "NATION", Values: []string{"SWE"}, Message: message}}
	if diff := cmp.Diff(wanted, report.Findings()); diff != "" {
		t.Errorf("the findings differ (-want +got):\n%s", diff)
	}
}

func TestDeriveRefusesBlocks(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*block.Block){
		"it refuses a block without periods":        func(b *block.Block) { b.Column(block.TimePeriod).Component = "T" },
		"it refuses a block without figures":        func(b *block.Block) { b.Column(block.ObsValue).Component = "V" },
		"it refuses a block without a dimension":    func(b *block.Block) { b.Column("SEX").Component = "S" },
		"it refuses a text that is no period":       func(b *block.Block) { b.Column(block.TimePeriod).Dictionary[0] = "soon" },
		"it refuses a frequency of another period":  func(b *block.Block) { b.Column("FREQ").Dictionary[0] = "M" },
		"it refuses a dimension that holds numbers": func(b *block.Block) { *b.Column("SEX") = block.Column{Component: "SEX", Numbers: []float64{1}} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := newTolls().deriver()
			if err != nil {
				t.Fatal(err)
			}
			b := tollBlock("Nord bus DNK F 2023 1")
			spoil(b)
			if err := d.Add(b); err == nil || d.Table().Len() > 0 {
				t.Errorf("the error is %v, with %d cells", err, d.Table().Len())
			}
		})
	}
}

func TestNewDeriver(t *testing.T) {
	t.Parallel()
	component := func(s *tolls, i int) *statistics.ComponentMap { return &s.structureMap.Components[i] }
	representation := func(s *tolls, id string, change func(*statistics.RepresentationMap)) {
		m := s.maps[named(id)]
		m.Mappings = slices.Clone(m.Mappings)
		change(&m)
		s.maps[named(id)] = m
	}
	const stations, nations = "representationMaps[XX:STATION_PLACE(1.0.0)]", "representationMaps[XX:NATION_NATION(1.0.0)]"
	for _, test := range []struct {
		name   string
		change func(*tolls)
		fields []string
	}{
		{"it accepts one that fits", func(*tolls) {}, nil},
		{"it refuses a target that nothing fills", func(s *tolls) { s.structureMap.Components = s.structureMap.Components[1:] }, []string{"componentMaps"}},
		{"it refuses a target that is filled twice", func(s *tolls) { component(s, 3).Targets = []string{"NATION"} }, []string{"componentMaps[3].targets[0]", "componentMaps[3].constant"}},
		{"it refuses a target that is not there", func(s *tolls) { component(s, 3).Targets = []string{"COLOUR"} }, []string{"componentMaps[3].targets[0]"}},
		{"it refuses to fill FREQ", func(s *tolls) { component(s, 3).Targets = []string{"FREQ"} }, []string{"componentMaps[3].targets[0]"}},
		{"it refuses to fill nothing", func(s *tolls) { component(s, 3).Targets = nil }, []string{"componentMaps[3].targets", "componentMaps[3]"}},
		{"it refuses a source that is not there", func(s *tolls) { component(s, 2).Sources = []string{"COLOUR"} }, []string{"componentMaps[2].sources[0]"}},
		{"it refuses a constant that is no code", func(s *tolls) { component(s, 0).Constant = "SE" }, []string{"componentMaps[0].constant"}},
		{"it refuses an empty constant", func(s *tolls) { component(s, 3).Constant = "" }, []string{"componentMaps[3].constant"}},
		{"it refuses a constant beside sources", func(s *tolls) { component(s, 2).Constant = "DNK" }, []string{"componentMaps[2].constant"}},
		{"it refuses to copy two components", func(s *tolls) { component(s, 1).RepresentationMap = statistics.Ref{} }, []string{"componentMaps[1]"}},
		{"it refuses a map that is not there", func(s *tolls) { delete(s.maps, named("NATION_NATION")) }, []string{"componentMaps[2].representationMap"}},
		{"it refuses a codelist that is not there", func(s *tolls) { delete(s.codelists, named("SEXES")) }, []string{"target.SEX"}},
		{"it refuses a target code that is not there", func(s *tolls) {
			representation(s, "STATION_PLACE", func(m *statistics.RepresentationMap) { m.Mappings[1].Targets = []string{"_T", "BOAT"} })
		}, []string{stations + ".mappings[1].targets[1]"}},
		{"it refuses a mapping with too few values", func(s *tolls) {
			representation(s, "STATION_PLACE", func(m *statistics.RepresentationMap) {
				m.Mappings[0] = statistics.Mapping{Sources: []string{"Nord"}, Targets: []string{"N"}}
			})
		}, []string{stations + ".mappings[0].targets", stations + ".mappings[0].sources"}},
		{"it refuses a period of validity that is none", func(s *tolls) {
			representation(s, "STATION_PLACE", func(m *statistics.RepresentationMap) { m.Mappings[3].ValidFrom, m.Mappings[3].ValidTo = "soon", "late" })
		}, []string{stations + ".mappings[3].validFrom", stations + ".mappings[3].validTo"}},
		{"it refuses a validity that ends before it begins", func(s *tolls) {
			representation(s, "STATION_PLACE", func(m *statistics.RepresentationMap) { m.Mappings[3].ValidFrom = "2021-10" })
		}, []string{stations + ".mappings[3].validTo"}},
		{"it refuses a mapping that is never applied, since another comes first", func(s *tolls) {
			representation(s, "NATION_NATION", func(m *statistics.RepresentationMap) {
				m.Mappings = append(m.Mappings, statistics.Mapping{Sources: []string{"Dania"}, Targets: []string{"SWE"}, ValidFrom: "2023"})
			})
		}, []string{nations + ".mappings[3].sources"}},
		{"it refuses a mapping behind a wildcard", func(s *tolls) {
			representation(s, "STATION_PLACE", func(m *statistics.RepresentationMap) {
				m.Mappings = append(m.Mappings, statistics.Mapping{Sources: []string{"Vest", "bike"}, Targets: []string{"N", "ROAD"}})
			})
		}, []string{stations + ".mappings[5].sources"}},
		{"it accepts one label in two times", func(s *tolls) {
			representation(s, "NATION_NATION", func(m *statistics.RepresentationMap) {
				m.Mappings = append(m.Mappings, statistics.Mapping{Sources: []string{"SWE"}, Targets: []string{"SWE"}, ValidFrom: "1905"})
			})
		}, nil},
		{"it refuses an otherwise that is no code", func(s *tolls) {
			representation(s, "NATION_NATION", func(m *statistics.RepresentationMap) { m.Otherwise = []string{"XXX"} })
		}, []string{nations + ".otherwise[0]"}},
		{"it refuses an identity of tuples", func(s *tolls) {
			representation(s, "STATION_PLACE", func(m *statistics.RepresentationMap) { m.Identity = true })
		}, []string{stations + ".identity"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := newTolls()
			test.change(s)
			_, err := s.deriver()
			if got := violationFields(t, err); !slices.Equal(got, test.fields) {
				t.Errorf("the violations are of %q, want %q (%v)", got, test.fields, err)
			}
		})
	}
}

// TestDeriveOrder checks that it does not matter how the rows are divided into blocks, and in which order they come.
func TestDeriveOrder(t *testing.T) {
	t.Parallel()
	row := rapid.Custom(func(t *rapid.T) string {
		one := func(name string, values ...string) string { return rapid.SampledFrom(values).Draw(t, name) }
		return strings.Join([]string{
			one("station", "Nord", "Sund", "Vest"), one("lane", "bus", "bike", "foot", "quay"), one("nation", "Dania", "DNK", "SWE", "Atlantis"),
			one("sex", "F", "M", "X"), one("period", "2021-09", "2021-10", "2021-Q3", "2021", "1904"), fmt.Sprint(rapid.IntRange(-9, 999).Draw(t, "value")),
			one("status", "A", "E", "P", "M"), one("note", "x", "y"),
		}, " ")
	})
	type outcome struct {
		Cells    []string
		LeftOut  int
		Unmapped []string
	}
	derive := func(t *rapid.T, rows []string, sizes func(left int) int) outcome {
		d, err := newTolls().deriver()
		if err != nil {
			t.Fatal(err)
		}
		for len(rows) > 0 {
			n := sizes(len(rows))
			if err := d.Add(tollBlock(rows[:n]...)); err != nil {
				t.Fatal(err)
			}
			rows = rows[n:]
		}
		made := outcome{LeftOut: d.LeftOut()}
		for b := range d.Table().Blocks() {
			for i := range b.Rows {
				text := fmt.Sprint(b.Column(block.ObsValue).Numbers[i])
				for _, c := range b.Columns {
					if !c.IsNumber() {
						text += " " + c.Text(i)
					}
				}
				made.Cells = append(made.Cells, text)
			}
		}
		slices.Sort(made.Cells)
		for _, u := range d.Unmapped() {
			made.Unmapped = append(made.Unmapped, fmt.Sprint(u.Components, u.Labels, u.Targets, u.Rows, u.Value))
		}
		return made
	}
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(row, 1, 60).Draw(t, "rows")
		whole := derive(t, rows, func(left int) int { return left })
		shuffled := rapid.Permutation(rows).Draw(t, "order")
		parts := derive(t, shuffled, func(left int) int { return rapid.IntRange(1, left).Draw(t, "size") })
		if diff := cmp.Diff(whole, parts); diff != "" {
			t.Errorf("it depends on the order (-whole +parts):\n%s", diff)
		}
	})
}

func BenchmarkDerive(b *testing.B) {
	s := newTolls()
	var rows []string
	for i := range 4096 {
		rows = append(rows, fmt.Sprintf("%s %s %s F 20%02d-%02d 3", []string{"Nord", "Sund"}[i%2], []string{"bus", "bike", "quay"}[i%3], []string{"DNK", "Dania"}[i%2], i%30, i%12+1))
	}
	source := tollBlock(rows...)
	for b.Loop() {
		d, err := s.deriver()
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Add(source); err != nil {
			b.Fatal(err)
		}
	}
}
