package statistics_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/internal/region"
	"github.com/comity-federation/comity/services/statistics"
)

const (
	sandbox   = "../../deploy/sandbox"
	twoShores = "../cmd/comity/testdata/region"
)

// TestSandboxData reads the three national files with their layouts, derives COMITY:BORDER, and compares both with the
// sums that the sources publish.
func TestSandboxData(t *testing.T) {
	t.Parallel()
	type answer struct {
		name       string
		start, end string // months, both included
		native     filter.Filter
		derived    filter.Filter
		want       float64
	}
	everything := filter.True()
	method := func(indicator, detail string) filter.Filter {
		return filter.And(filter.Eq("INDICATOR", indicator), filter.Eq("DETAIL", detail))
	}
	boats := filter.And(filter.Eq("METHOD", "Small boat arrivals"), filter.Eq("NATIONALITY", "Albania"))
	albanians := filter.And(filter.Eq("INDICATOR", "1A"), filter.Eq("DETAIL", "SMALL_BOAT"), filter.Eq("CITIZENSHIP", "ALB"))
	eastern, easternSection := filter.Eq("ROUTE", "Eastern Mediterranean Route"), filter.Eq("SECTION", "EU_EMED")
	for _, test := range []struct {
		state, file string
		rows, cells int // cells: of the native dataflow
		answers     []answer
	}{
		{"us", "irreg_usa.csv.gz", 36676, 36676, []answer{
			{"everything", "2017-10", "2025-05", everything, everything, 11_086_194},
			{"fiscal 2021", "2020-10", "2021-09", everything, everything, 1_734_686},
			{"fiscal 2022", "2021-10", "2022-09", everything, everything, 2_378_944},
			{"fiscal 2023", "2022-10", "2023-09", everything, everything, 2_475_669},
			{"fiscal 2024", "2023-10", "2024-09", everything, everything, 2_135_005},
			{"calendar 2023", "2023-01", "2023-12", everything, everything, 2_541_959},
			{"December 2023", "2023-12", "2023-12", everything, everything, 301_981},
			{"January 2024", "2024-01", "2024-01", everything, everything, 176_195},
			{"January 2025", "2025-01", "2025-01", everything, everything, 61_449},
			{"February 2025", "2025-02", "2025-02", everything, everything, 11_710},
			{"fiscal 2023, Border Patrol", "2022-10", "2023-09", filter.Eq("COMPONENT", "U.S. Border Patrol"), filter.Eq("INDICATOR", "1A"), 2_045_838},
			{"fiscal 2023, ports", "2022-10", "2023-09", filter.Eq("COMPONENT", "Office of Field Operations"), filter.Eq("INDICATOR", "INADM"), 429_831},
		}},
		{"eu", "frontex.csv.gz", 34273, 34273, []answer{
			{"everything", "2009-01", "2025-04", everything, everything, 4_966_869},
			{"2015", "2015-01", "2015-12", everything, everything, 1_822_102},
			{"2016", "2016-01", "2016-12", everything, everything, 511_047},
			{"2020", "2020-01", "2020-12", everything, everything, 126_310},
			{"2023", "2023-01", "2023-12", everything, filter.Eq("INDICATOR", "1A"), 381_319},
			{"2024", "2024-01", "2024-12", everything, everything, 240_021},
			{"Eastern Mediterranean, October 2015", "2015-10", "2015-10", eastern, easternSection, 216_260},
			{"Eastern Mediterranean, March 2016", "2016-03", "2016-03", eastern, easternSection, 27_343},
			{"Eastern Mediterranean, April 2016", "2016-04", "2016-04", eastern, easternSection, 4_324},
		}},
		{"gb", "irregular_migration.csv.gz", 10816, 10816, []answer{
			{"everything", "2018-01", "2023-12", everything, everything, 174_977},
			{"2021", "2021-01", "2021-12", everything, everything, 36_813},
			{"2022", "2022-01", "2022-12", everything, everything, 54_702},
			{"2023", "2023-01", "2023-12", everything, everything, 36_704},
			{"2022, small boats", "2022-01", "2022-12", filter.Eq("METHOD", "Small boat arrivals"), method("1A", "SMALL_BOAT"), 45_774},
			{"2022, ports", "2022-01", "2022-12", filter.Eq("METHOD", "Recorded detections at UK ports"), method("1B", "PORT"), 310},
			{"2022, in the country", "2022-01", "2022-12", filter.Eq("METHOD", "Recorded detections in the UK"), method("3", "IN_COUNTRY"), 3_488},
			{"2022, air", "2022-01", "2022-12", filter.Eq("METHOD", "Inadequately documented air arrivals"), method("UNDOC", "AIR"), 5_130},
			{"Albanians by boat, 2021-Q3", "2021-07", "2021-09", boats, albanians, 241},
			{"Albanians by boat, 2021-Q4", "2021-10", "2021-12", boats, albanians, 551},
			{"Albanians by boat, 2022-Q1", "2022-01", "2022-03", boats, albanians, 235},
			{"Albanians by boat, 2022-Q2", "2022-04", "2022-06", boats, albanians, 2_194},
			{"Albanians by boat, 2022-Q3", "2022-07", "2022-09", boats, albanians, 9_044},
			{"Albanians by boat, 2022-Q4", "2022-10", "2022-12", boats, albanians, 1_185},
		}},
	} {
		t.Run(test.state, func(t *testing.T) {
			t.Parallel()
			s := loadState(t, sandbox, test.state)
			native, derived := s.derive(t, filepath.Join(sandbox, "data", test.file))
			rows := 0
			for _, b := range native {
				rows += b.Rows
			}
			if rows != test.rows {
				t.Errorf("the file has %d rows, want %d", rows, test.rows)
			}
			for _, u := range derived.Unmapped() {
				t.Errorf("%v %q is not mapped: %d rows, sum %v", u.Components, u.Labels, u.Rows, u.Value)
			}
			target := slices.Collect(derived.Table().Blocks())
			for _, a := range test.answers {
				if got := sum(t, native, a.start, a.end, a.native); got != a.want {
					t.Errorf("%s: the native figures sum to %v, want %v", a.name, got, a.want)
				}
				if got := sum(t, target, a.start, a.end, a.derived); got != a.want {
					t.Errorf("%s: the derived figures sum to %v, want %v", a.name, got, a.want)
				}
			}
		})
	}
}

// TestAnotherRegion reads the files of two states that have little in common with the sandbox.
func TestAnotherRegion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, state, file string
		native            float64
		derived           map[string]float64 // by INDICATOR and DETAIL
		unmapped          []string
	}{
		{
			"it adds up case files by quarter, and knows since when a label means what", "nordhav", "nordhav/avvisninger.csv", 1727,
			map[string]float64{"4 NO_DOCUMENT": 373, "4 NO_VISA": 601, "4 _O": 750},
			[]string{"[ukjent] as [_U]: 67 rows, 676", "[Latveria] as []: 1 rows, 3"},
		},
		{
			"it reads months and years of one file", "sydkyst", "sydkyst/passages.csv", 64030,
			map[string]float64{"PAX_IN _T": 22152, "PAX_OUT _T": 20068, "VEH_IN _T": 21810},
			[]string{"[ATL] as [_O]: 1 rows, 6"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := loadState(t, twoShores, test.state)
			native, d := s.derive(t, filepath.Join(twoShores, test.file))
			if got := sum(t, native, "2022-01", "2023-12", filter.True()); got != test.native {
				t.Errorf("the native figures sum to %v, want %v", got, test.native)
			}
			derived := map[string]float64{}
			for b := range d.Table().Blocks() {
				for i, value := range b.Column(block.ObsValue).Numbers {
					derived[b.Column("INDICATOR").Text(i)+" "+b.Column("DETAIL").Text(i)] += value
				}
			}
			if diff := cmp.Diff(test.derived, derived); diff != "" {
				t.Errorf("the derived sums differ (-want +got):\n%s", diff)
			}
			var unmapped []string
			for _, u := range d.Unmapped() {
				unmapped = append(unmapped, fmt.Sprintf("%v as %v: %d rows, %v", u.Labels, u.Targets, u.Rows, u.Value))
			}
			if diff := cmp.Diff(test.unmapped, unmapped); diff != "" {
				t.Errorf("the unmapped labels differ (-want +got):\n%s", diff)
			}
		})
	}
}

// TestVintages reads earlier releases of two of the files, with older labels.
func TestVintages(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		state, pattern string
		rejected       map[string]string // rule of the first finding by the release's date
	}{
		{"gb", "uk_irregular_migration__*.csv.gz", nil},
		{"eu", "frontex__*.csv.gz", map[string]string{"2025-02-07": "BLANK"}}, // its blank citizenships became XKX
	} {
		paths, err := filepath.Glob(filepath.Join(shared(t), "data/vintages", test.pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("no file fits %s (%v)", test.pattern, err)
		}
		s := loadState(t, sandbox, test.state)
		for _, path := range paths {
			date := strings.Split(filepath.Base(path), "__")[1][:10]
			var report statistics.Report
			blocks := s.read(t, path, &report)
			if want := test.rejected[date]; want != "" || report.Blocking() {
				if findings := report.Findings(); len(findings) == 0 || findings[0].Rule != want {
					t.Errorf("%s: the findings are %v, want %q", filepath.Base(path), findings, want)
				}
				continue
			}
			if unmapped := s.deriver(t, blocks).Unmapped(); len(unmapped) > 0 {
				t.Errorf("%s: not mapped: %v", filepath.Base(path), unmapped)
			}
		}
	}
}

// shared returns the directory with the data that are not in the repository.
func shared(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("COMITY_SHARED")
	if dir == "" {
		dir = "../../../shared"
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil {
		t.Skipf("the shared data are not here: %v", err)
	}
	return dir
}

// stateFiles is what one state of a region reads and maps with.
type stateFiles struct {
	structures statistics.Structures
	layout     statistics.Layout
}

// loadState reads the artefacts of a state, and those that its region shares.
func loadState(t *testing.T, directory, state string) *stateFiles {
	t.Helper()
	r, err := region.Load(directory)
	if err != nil {
		t.Fatal(err)
	}
	s := &stateFiles{layout: newLayout(t, r.State(state).Layouts[0])}
	for _, m := range slices.Concat(r.Structures, r.State(state).Structures) {
		addStructures(t, &s.structures, m)
	}
	if _, err := statistics.NewCatalogue(&s.structures); err != nil {
		t.Fatal(err)
	}
	if err := s.layout.Check(s.structure(t, s.layout.Dataflow)); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stateFiles) structure(t *testing.T, dataflow statistics.Ref) *statistics.DataStructure {
	t.Helper()
	for _, flow := range s.structures.Dataflows {
		for i := range s.structures.DataStructures {
			if flow.Ref == dataflow && s.structures.DataStructures[i].Ref == flow.Structure {
				return &s.structures.DataStructures[i]
			}
		}
	}
	t.Fatalf("there is no dataflow %s with its structure", dataflow)
	return nil
}

func (s *stateFiles) read(t *testing.T, path string, report *statistics.Report) []*block.Block {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var r io.Reader = file
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(file); err != nil {
			t.Fatal(err)
		}
	}
	var blocks []*block.Block
	for b, err := range s.layout.Read(r, s.structure(t, s.layout.Dataflow), report) {
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		blocks = append(blocks, b)
	}
	return blocks
}

func (s *stateFiles) deriver(t *testing.T, blocks []*block.Block) *statistics.Deriver {
	t.Helper()
	at := slices.IndexFunc(s.structures.StructureMaps, func(m statistics.StructureMap) bool { return m.Source == s.layout.Dataflow })
	if at < 0 {
		t.Fatalf("no structure map is of %s", s.layout.Dataflow)
	}
	m := s.structures.StructureMaps[at]
	representation := map[statistics.Ref]statistics.RepresentationMap{}
	for _, r := range s.structures.RepresentationMaps {
		representation[r.Ref] = r
	}
	codelists := map[statistics.Ref]*statistics.Codelist{}
	for i := range s.structures.Codelists {
		codelists[s.structures.Codelists[i].Ref] = &s.structures.Codelists[i]
	}
	d, err := statistics.NewDeriver(m, *s.structure(t, m.Source), *s.structure(t, m.Target), representation, codelists)
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range blocks {
		if err := d.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

// derive reads a file without a finding and derives what the state's structure map says.
func (s *stateFiles) derive(t *testing.T, path string) ([]*block.Block, *statistics.Deriver) {
	t.Helper()
	var report statistics.Report
	blocks := s.read(t, path, &report)
	if findings := report.Findings(); len(findings) > 0 {
		t.Fatalf("%d findings, the first: %+v", len(findings), findings[0])
	}
	return blocks, s.deriver(t, blocks)
}

// sum adds up the figures of the periods that lie in the months from start to end and pass the filter.
func sum(t *testing.T, blocks []*block.Block, start, end string, f filter.Filter) float64 {
	t.Helper()
	total := 0.0
	for _, b := range blocks {
		periods := b.Column(block.TimePeriod)
		values := b.Column(block.ObsValue)
		inside := make([]bool, len(periods.Dictionary))
		for i, text := range periods.Dictionary {
			p, err := period.Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			month := p.Start().Format("2006-01")
			inside[i] = month >= start && month <= end
		}
		for row := range b.Rows {
			if inside[periods.Codes[row]] && f.Match(func(id string) string { return b.Column(id).Text(row) }) {
				total += values.Numbers[row]
			}
		}
	}
	return total
}

// The conversions below are of what the files use.

func addStructures(t *testing.T, s *statistics.Structures, m *statisticspb.Structures) {
	t.Helper()
	ref := func(agency, id, version string) statistics.Ref {
		return statistics.Ref{Agency: agency, ID: id, Version: version}
	}
	for _, c := range m.GetCodelists() {
		list := statistics.Codelist{Ref: ref(c.GetAgency(), c.GetId(), c.GetVersion()), Levels: c.GetLevels()}
		for _, code := range c.GetCodes() {
			list.Codes = append(list.Codes, statistics.Code{ID: code.GetId(), Parent: code.GetParent(), Level: code.GetLevel(), Covers: code.GetCovers()})
		}
		s.Codelists = append(s.Codelists, list)
	}
	components := func(ms []*statisticspb.Component) (cs []statistics.Component) {
		for _, m := range ms {
			cs = append(cs, statistics.Component{ID: m.GetId(), Codelist: parseRef(t, m.GetCodelist())})
		}
		return cs
	}
	for _, d := range m.GetDataStructures() {
		s.DataStructures = append(s.DataStructures, statistics.DataStructure{
			Ref: ref(d.GetAgency(), d.GetId(), d.GetVersion()), Dimensions: components(d.GetDimensions()), Attributes: components(d.GetAttributes()),
		})
	}
	for _, d := range m.GetDataflows() {
		s.Dataflows = append(s.Dataflows, statistics.Dataflow{Ref: ref(d.GetAgency(), d.GetId(), d.GetVersion()), Structure: parseRef(t, d.GetStructure())})
	}
	for _, r := range m.GetRepresentationMaps() {
		made := statistics.RepresentationMap{Ref: ref(r.GetAgency(), r.GetId(), r.GetVersion()), Otherwise: r.GetOtherwise(), Identity: r.GetIdentity()}
		for _, m := range r.GetMappings() {
			made.Mappings = append(made.Mappings, statistics.Mapping{Sources: m.GetSources(), Targets: m.GetTargets(), ValidFrom: m.GetValidFrom(), ValidTo: m.GetValidTo()})
		}
		s.RepresentationMaps = append(s.RepresentationMaps, made)
	}
	for _, r := range m.GetStructureMaps() {
		made := statistics.StructureMap{Ref: ref(r.GetAgency(), r.GetId(), r.GetVersion()), Source: parseRef(t, r.GetSource()), Target: parseRef(t, r.GetTarget())}
		for _, c := range r.GetComponentMaps() {
			made.Components = append(made.Components, statistics.ComponentMap{
				Sources: c.GetSources(), Targets: c.GetTargets(), RepresentationMap: parseRef(t, c.GetRepresentationMap()), Constant: c.GetConstant(),
			})
		}
		s.StructureMaps = append(s.StructureMaps, made)
	}
}

func newLayout(t *testing.T, m *statisticspb.Layout) statistics.Layout {
	t.Helper()
	p := m.GetPeriod()
	l := statistics.Layout{
		ID: m.GetId(), Dataflow: parseRef(t, m.GetDataflow()), Delimiter: m.GetDelimiter(), Constants: maps.Clone(m.GetConstants()),
		Encoding: m.GetEncoding(), Quote: m.GetQuote(), NoQuotes: m.GetNoQuotes(), NoHeader: m.GetNoHeader(),
		SkipLines: int(m.GetSkipLines()), Footers: m.GetFooters(), Trim: m.GetTrim(),
		Period:  statistics.LayoutPeriod{Headers: p.GetHeaders(), Format: p.GetFormat(), Months: p.GetMonths()},
		Numbers: statistics.LayoutNumbers{Decimal: m.GetNumbers().GetDecimal(), Thousands: m.GetNumbers().GetThousands()},
	}
	for _, c := range m.GetColumns() {
		l.Columns = append(l.Columns, statistics.LayoutColumn{
			Header: c.GetHeader(), Component: c.GetComponent(), Blank: c.GetBlank(), Blanks: c.GetBlanks(),
			Constants: maps.Clone(c.GetConstants()), SkipBlank: c.GetSkipBlank(), Total: c.GetTotal(),
		})
	}
	for _, f := range m.GetFilters() {
		l.Filters = append(l.Filters, statistics.LayoutFilter{Header: f.GetHeader(), Keep: f.GetKeep(), LeaveOut: f.GetLeaveOut()})
	}
	if m.GetDuplicates() == statisticspb.Layout_SUM {
		l.Duplicates = statistics.SumDuplicates
	}
	return l
}

func parseRef(t *testing.T, text string) (ref statistics.Ref) {
	t.Helper()
	if err := ref.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return ref
}
