package statistics_test

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/internal/region"
	"github.com/comity-federation/comity/services/statistics"
)

// TestLayouts reads files of several sources with layouts alone, and compares the figures with those that are known. The
// largest files are tried where all of them are submitted.
func TestLayouts(t *testing.T) {
	t.Parallel()
	type answer struct {
		name       string
		start, end string // months, both included
		filter     filter.Filter
		want       float64
	}
	everything := filter.True()
	year := func(year string, f filter.Filter, want float64) answer {
		return answer{year, year + "-01", year + "-12", f, want}
	}
	all := func(want float64) answer { return answer{"everything", "1900-01", "2100-12", everything, want} }
	venezuela := filter.Eq("NATIONALITY", "Venezuela")
	for _, test := range []struct {
		layout, file string
		rows         int
		keys         int      // of more than one figure
		duplicates   []string // the first of these keys, with their periods and figures
		notes        []string
		answers      []answer
	}{
		{
			"co-entries", "colombia_entradas/Entradas_de_extranjeros_a_Colombia.csv", 3 * 12_487, 3,
			[]string{"M Desconocido F 2016-11: 0 90", "M Desconocido M 2016-11: 1 174", "M Desconocido _U 2016-11: 0 0"},
			nil,
			[]answer{
				year("2016", everything, 2_699_257),
				year("2017", everything, 3_344_816),
				year("2016", filter.Eq("SEX", "F"), 1_109_377),
				year("2017", filter.Eq("SEX", "F"), 1_419_333),
				year("2016", venezuela, 378_965),
				year("2017", venezuela, 796_234),
			},
		},
		{"tx-crossings", "tx_mx_crossings/monthly_crossings_2008_2025.csv.gz", 34_090, 0, nil, nil, []answer{
			{"February 2020", "2020-02", "2020-02", everything, 4_499_709},
			{"April 2020", "2020-04", "2020-04", everything, 1_667_890},
		}},
		{
			"us-crossings-persons", "us_bts_border_crossing/Border_Crossing_Entry_Data.csv.gz", 114_589, 1,
			[]string{"M 2406 US-Mexico Border Personal Vehicle Passengers 2018-12: 69026 69026"},
			[]string{"FILTER Measure: 229781 rows are left out"},
			[]answer{year("2018", everything, 247_014_952)},
		},
		{"gb-returns", "uk_home_office/returns_by_destination.csv.gz", 44_109, 70, []string{"Q Enforced return Enforced removals from detention Guinea 2023-Q4: 1 1"}, nil, []answer{
			all(1_084_931), year("2022", everything, 38_295), year("2023", everything, 50_233),
		}},
		{"gb-age-disputes", "uk_home_office/age_disputes.csv", 3_815, 6, []string{"Q Morocco Raised Asylum application raised in quarter 2017-Q4: 1 1"}, nil, []answer{all(32_208), year("2022", everything, 7_886)}},
		{"gb-appeals", "uk_home_office/appeals_lodged.csv", 7_405, 0, nil, nil, []answer{all(121_044), year("2022", everything, 3_815)}},
		{"gb-dublin", "uk_home_office/dublin_regulation.csv", 3_508, 2, []string{"Q Austria In Request 18.1 2019-Q4: 1 2", "Q Austria Out Request 18.1 2020-Q4: 1 98"}, nil, []answer{all(48_166)}},
		{"gb-boat-referrals", "uk_home_office/small_boat_NRM_referrals.csv", 3_334, 0, nil, nil, []answer{all(91_918), year("2022", everything, 45_574)}},
		{"gb-boat-applications", "uk_home_office/small_boat_asylum_applications.csv", 3_969, 0, nil, nil, []answer{all(91_918), year("2022", everything, 45_574)}},
		{"gb-boat-decisions", "uk_home_office/small_boat_initial_decisions.csv", 5_380, 0, nil, nil, []answer{all(84_637), year("2022", everything, 41_194)}},
		{"gb-nrm-2023-q1", "uk_home_office/nrm_referrals_government_2023_q1.csv.gz", 11_305, 0, nil, []string{"FILTER First responder: 96", "FILTER Exploitation type: 480", "FILTER Age at exploitation: 3744", "FILTER Gender: 7968", "FILTER Nationality: 119"}, []answer{
			{"the quarter", "2023-01", "2023-03", everything, 2_374},
		}},
		{"gb-nrm-2023-q4", "uk_home_office/nrm_referrals_government_2023_q4.csv.gz", 14_456, 0, nil, []string{"FILTER First responder: 105", "FILTER Exploitation type: 420", "FILTER Age at exploitation: 4620", "FILTER Gender: 9765", "FILTER Nationality: 139"}, []answer{
			{"the quarter", "2023-10", "2023-12", everything, 1_908},
		}},
		{
			"eu-mirror", "mirror_migmod/mig_data_2010_2014.csv", 2*3_510 - 1_880 - 1_776, 0, nil,
			[]string{"BLANK Emig: 1880 cells", "BLANK Immi: 1776 cells"},
			[]answer{
				{"as the sender says", "2010-01", "2014-12", filter.Eq("REPORTER", "SENDING"), 2_069_876},
				{"as the receiver says", "2010-01", "2014-12", filter.Eq("REPORTER", "RECEIVING"), 2_591_660},
			},
		},
	} {
		t.Run(test.layout, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(shared(t), "data", test.file)
			s := loadLayout(t, test.layout)
			var report statistics.Report
			blocks := s.read(t, path, &report)
			if report.Blocking() {
				t.Fatalf("the file is rejected, first for %+v", report.Findings()[0])
			}
			rows := 0
			for _, b := range blocks {
				rows += b.Rows
			}
			if rows != test.rows {
				t.Errorf("%d figures are read, want %d", rows, test.rows)
			}
			for _, a := range test.answers {
				if got := sum(t, blocks, a.start, a.end, a.filter); got != a.want {
					t.Errorf("%s: the figures sum to %v, want %v", a.name, got, a.want)
				}
			}
			duplicates := duplicateKeys(blocks)
			if len(duplicates) != test.keys {
				t.Errorf("%d keys have more than one figure, want %d", len(duplicates), test.keys)
			}
			if diff := cmp.Diff(test.duplicates, duplicates[:min(len(duplicates), len(test.duplicates))]); diff != "" {
				t.Errorf("the duplicate keys differ (-want +got):\n%s", diff)
			}
			var notes []string
			for _, f := range report.Findings() {
				notes = append(notes, fmt.Sprintf("%s %s: %s", f.Rule, f.Column, f.Message))
			}
			if !slices.EqualFunc(notes, test.notes, strings.HasPrefix) {
				t.Errorf("the notes are %q, want %q", notes, test.notes)
			}
		})
	}
}

// TestFiscalMonths reads a file that has each month both in the calendar's year and in the fiscal one.
func TestFiscalMonths(t *testing.T) {
	t.Parallel()
	s := loadState(t, sandbox, "us")
	path := filepath.Join(sandbox, "data/irreg_usa.csv.gz")
	var report statistics.Report
	calendar := s.read(t, path, &report)
	s.layout.Period = statistics.LayoutPeriod{Headers: []string{"t_fy"}, Format: "YYYY-MM", FiscalYear: statistics.FiscalYear{FirstMonth: 10}}
	if err := s.layout.Check(s.structure(t, s.layout.Dataflow)); err != nil {
		t.Fatal(err)
	}
	fiscal := s.read(t, path, &report)
	if findings := report.Findings(); len(findings) > 0 {
		t.Fatalf("%d findings, the first: %+v", len(findings), findings[0])
	}
	if !reflect.DeepEqual(calendar, fiscal) { // cmp.Diff takes seconds
		t.Error("the months differ")
	}
}

// loadLayout reads the layout of a national file with the structures of its state.
func loadLayout(t *testing.T, id string) *stateFiles {
	t.Helper()
	r, err := region.Load("testdata/layouts")
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range r.States {
		for _, layout := range state.Layouts {
			if layout.GetId() != id {
				continue
			}
			s := &stateFiles{layout: newLayout(t, layout)}
			for _, m := range slices.Concat(r.Structures, state.Structures) {
				addStructures(t, &s.structures, m)
			}
			if err := s.layout.Check(s.structure(t, s.layout.Dataflow)); err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	t.Fatalf("there is no layout %s", id)
	return nil
}

// duplicateKeys returns the keys and periods that more than one row has, each with the figures of these rows, in order.
func duplicateKeys(blocks []*block.Block) (duplicates []string) {
	figures := map[[8]string]float64{}
	again := map[[8]string][]float64{}
	for _, b := range blocks {
		values := b.Column(block.ObsValue).Numbers
		for row := range b.Rows {
			var key [8]string
			for i := range b.Columns {
				if c := &b.Columns[i]; !c.IsNumber() {
					key[i] = c.Text(row)
				}
			}
			first, twice := figures[key]
			switch {
			case !twice:
				figures[key] = values[row]
			case again[key] == nil:
				again[key] = []float64{first, values[row]}
			default:
				again[key] = append(again[key], values[row])
			}
		}
	}
	for key, values := range again {
		text := strings.TrimRight(strings.Join(key[:], " "), " ")
		duplicates = append(duplicates, text+": "+strings.Trim(fmt.Sprint(values), "[]"))
	}
	slices.Sort(duplicates)
	return duplicates
}
