package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/internal/region"
)

// national is a file that a state submits.
type national struct {
	dataflow, layout, file string
	rejected               string   // the rule of the first finding, where it is rejected
	of                     string   // the dimension of the labels that its map leaves out
	left                   []string // those labels
	notes                  int      // other findings
	long                   bool     // submitted only where there is time: another release is much the same
}

// known is a published sum.
type known struct {
	name       string
	dataflow   string
	start, end string // periods, both included
	native     filter.Filter
	border     filter.Filter // for the same in COMITY:BORDER; False: there is no map
	want       float64
}

// TestNationalFiles submits every file of figures of the shared data, through layouts and maps that are data alone, and
// holds what is stored, in the states' own words and harmonised, against what the sources publish.
func TestNationalFiles(t *testing.T) {
	t.Parallel()
	const (
		entries, encounters, crossings = "CO:ENTRIES(1.0.0)", "US:ENCOUNTERS(1.0.0)", "US:CROSSINGS(1.0.0)"
		bridges, detections, mirror    = "TX:CROSSINGS(1.0.0)", "EU:DETECTIONS(1.0.0)", "EU:MIRROR(1.0.0)"
		irregular, returns, referrals  = "GB:IRREGULAR_MIGRATION(1.0.0)", "GB:RETURNS(1.0.0)", "GB:NRM(1.0.0)"
		boatReferrals, applications    = "GB:BOAT_REFERRALS(1.0.0)", "GB:BOAT_APPLICATIONS(1.0.0)"
		decisions, disputes, appeals   = "GB:BOAT_DECISIONS(1.0.0)", "GB:AGE_DISPUTES(1.0.0)", "GB:APPEALS(1.0.0)"
		dublin, stocks                 = "GB:DUBLIN(1.0.0)", "UN:STOCKS(1.0.0)"
	)
	all, none := filter.True(), filter.False()
	eq := filter.Eq
	both := func(component, code string, others ...filter.Filter) filter.Filter {
		return filter.And(append(others, eq(component, code))...)
	}
	patrol, ports := eq("INDICATOR", "1A"), eq("INDICATOR", "INADM")
	encountered := filter.In("INDICATOR", "1A", "INADM")
	passengers := filter.In("MEASURE", "Pedestrians", "Personal Vehicle Passengers", "Bus Passengers", "Train Passengers")
	detected := filter.In("INDICATOR", "1A", "1B", "3", "UNDOC")
	boats := both("METHOD", "Small boat arrivals", eq("NATIONALITY", "Albania"))
	boatsBorder := both("DETAIL", "SMALL_BOAT", patrol, eq("CITIZENSHIP", "ALB"))
	for _, test := range []struct {
		state string
		files []national
		sums  []known
	}{
		{
			"colombia",
			[]national{{dataflow: entries, layout: "co-entries", file: "colombia_entradas/Entradas_de_extranjeros_a_Colombia.csv", notes: 3}},
			[]known{
				{"2016", entries, "2016", "2016", all, all, 2_699_257},
				{"2017", entries, "2017", "2017", all, all, 3_344_816},
				{"Venezuelans, 2016", entries, "2016", "2016", eq("NATIONALITY", "Venezuela"), eq("CITIZENSHIP", "VEN"), 378_965},
				{"Venezuelans, 2017", entries, "2017", "2017", eq("NATIONALITY", "Venezuela"), eq("CITIZENSHIP", "VEN"), 796_234},
				{"of unknown nationality, November 2016", entries, "2016-11", "2016-11", eq("NATIONALITY", "Desconocido"), eq("CITIZENSHIP", "XXX"), 265},
			},
		},
		{
			"texas",
			[]national{{dataflow: bridges, layout: "tx-crossings", file: "tx_mx_crossings/monthly_crossings_2008_2025.csv.gz", of: "MODE", left: []string{"Railcars"}}},
			[]known{
				{"February 2020", bridges, "2020-02", "2020-02", all, all, 4_499_709},
				{"April 2020", bridges, "2020-04", "2020-04", all, all, 1_667_890},
			},
		},
		{
			"us",
			[]national{
				{dataflow: encounters, layout: "us-encounters", file: "iom_gdidata/irreg_usa.csv.gz"},
				{
					dataflow: crossings, layout: "us-crossings", file: "us_bts_border_crossing/Border_Crossing_Entry_Data.csv.gz", notes: 1,
					of: "MEASURE", left: []string{"Rail Containers Empty", "Rail Containers Full", "Truck Containers Empty", "Truck Containers Full"},
				},
			},
			[]known{
				{"everything met", encounters, "2017", "2025", all, encountered, 11_086_194},
				{"fiscal 2021", encounters, "2020-10", "2021-09", all, encountered, 1_734_686},
				{"fiscal 2022", encounters, "2021-10", "2022-09", all, encountered, 2_378_944},
				{"fiscal 2023", encounters, "2022-10", "2023-09", all, encountered, 2_475_669},
				{"fiscal 2024", encounters, "2023-10", "2024-09", all, encountered, 2_135_005},
				{"calendar 2023", encounters, "2023", "2023", all, encountered, 2_541_959},
				{"December 2023", encounters, "2023-12", "2023-12", all, encountered, 301_981},
				{"January 2024", encounters, "2024-01", "2024-01", all, encountered, 176_195},
				{"January 2025", encounters, "2025-01", "2025-01", all, encountered, 61_449},
				{"February 2025", encounters, "2025-02", "2025-02", all, encountered, 11_710},
				{"fiscal 2023, Border Patrol", encounters, "2022-10", "2023-09", eq("COMPONENT", "U.S. Border Patrol"), patrol, 2_045_838},
				{"fiscal 2023, ports", encounters, "2022-10", "2023-09", eq("COMPONENT", "Office of Field Operations"), ports, 429_831},
				{"all measures", crossings, "1996", "2018", all, filter.In("INDICATOR", "PAX_IN", "VEH_IN"), 9_687_841_702},
				{"trucks at Eastport, Idaho", crossings, "1999-01", "1999-01", both("PORT", "3302", eq("MEASURE", "Trucks")), none, 3_476},
				{"full containers at Eastport, Idaho", crossings, "1999-01", "1999-01", both("PORT", "3302", eq("MEASURE", "Truck Containers Full")), none, 3_137},
				{"all measures, 2018", crossings, "2018", "2018", all, filter.In("INDICATOR", "PAX_IN", "VEH_IN"), 379_226_556},
				{"persons, 2018", crossings, "2018", "2018", passengers, eq("INDICATOR", "PAX_IN"), 247_014_952},
			},
		},
		{
			"gb",
			[]national{
				{dataflow: irregular, layout: "gb-irregular-migration", file: "vintages/uk_irregular_migration__2023-03-09_f9f7e68.csv.gz"},
				{dataflow: irregular, layout: "gb-irregular-migration", file: "vintages/uk_irregular_migration__2023-05-31_0b8ec2c.csv.gz"},
				{dataflow: irregular, layout: "gb-irregular-migration", file: "vintages/uk_irregular_migration__2023-07-27_4eab465.csv.gz", long: true},
				{dataflow: irregular, layout: "gb-irregular-migration", file: "vintages/uk_irregular_migration__2023-08-24_1747051.csv.gz", long: true},
				{dataflow: irregular, layout: "gb-irregular-migration", file: "vintages/uk_irregular_migration__2023-11-23_d78f640.csv.gz", long: true},
				{dataflow: irregular, layout: "gb-irregular-migration", file: "vintages/uk_irregular_migration__2024-02-29_c676783.csv.gz", long: true},
				{dataflow: irregular, layout: "gb-irregular-migration", file: "uk_home_office/irregular_migration.csv"},
				{dataflow: returns, layout: "gb-returns", file: "uk_home_office/returns_by_destination.csv.gz", notes: 94},
				{dataflow: disputes, layout: "gb-age-disputes", file: "uk_home_office/age_disputes.csv", notes: 6},
				{dataflow: appeals, layout: "gb-appeals", file: "uk_home_office/appeals_lodged.csv"},
				{dataflow: dublin, layout: "gb-dublin", file: "uk_home_office/dublin_regulation.csv", notes: 2},
				{dataflow: boatReferrals, layout: "gb-boat-referrals", file: "uk_home_office/small_boat_NRM_referrals.csv", of: "REFERRAL", left: []string{"No NRM referral raised"}},
				{dataflow: applications, layout: "gb-boat-applications", file: "uk_home_office/small_boat_asylum_applications.csv", of: "APPLICATION", left: []string{"No asylum application raised"}},
				{dataflow: decisions, layout: "gb-boat-decisions", file: "uk_home_office/small_boat_initial_decisions.csv"},
				{dataflow: referrals, layout: "gb-nrm-2023-q1", file: "uk_home_office/nrm_referrals_government_2023_q1.csv.gz", notes: 5},
				{dataflow: referrals, layout: "gb-nrm-2023-q4", file: "uk_home_office/nrm_referrals_government_2023_q4.csv.gz", notes: 5},
			},
			[]known{
				{"everything detected", irregular, "2018", "2023", all, detected, 174_977},
				{"2021", irregular, "2021", "2021", all, detected, 36_813},
				{"2022", irregular, "2022", "2022", all, detected, 54_702},
				{"2023", irregular, "2023", "2023", all, detected, 36_704},
				{"2022, small boats", irregular, "2022", "2022", eq("METHOD", "Small boat arrivals"), patrol, 45_774},
				{"2022, ports", irregular, "2022", "2022", eq("METHOD", "Recorded detections at UK ports"), eq("INDICATOR", "1B"), 310},
				{"2022, in the country", irregular, "2022", "2022", eq("METHOD", "Recorded detections in the UK"), eq("INDICATOR", "3"), 3_488},
				{"2022, air", irregular, "2022", "2022", eq("METHOD", "Inadequately documented air arrivals"), eq("INDICATOR", "UNDOC"), 5_130},
				{"Albanians by boat, 2021-Q3", irregular, "2021-Q3", "2021-Q3", boats, boatsBorder, 241},
				{"Albanians by boat, 2021-Q4", irregular, "2021-Q4", "2021-Q4", boats, boatsBorder, 551},
				{"Albanians by boat, 2022-Q1", irregular, "2022-Q1", "2022-Q1", boats, boatsBorder, 235},
				{"Albanians by boat, 2022-Q2", irregular, "2022-Q2", "2022-Q2", boats, boatsBorder, 2_194},
				{"Albanians by boat, 2022-Q3", irregular, "2022-Q3", "2022-Q3", boats, boatsBorder, 9_044},
				{"Albanians by boat, 2022-Q4", irregular, "2022-Q4", "2022-Q4", boats, boatsBorder, 1_185},
				{"returns", returns, "2004", "2025", all, filter.In("INDICATOR", "4", "7B"), 1_084_931},
				{"age disputes", disputes, "2010", "2025", all, none, 32_208},
				{"appeals", appeals, "2010", "2025", all, none, 121_044},
				{"transfers under the Dublin Regulation", dublin, "2015", "2025", all, none, 48_166},
				{"referrals of small boat arrivals", boatReferrals, "2018", "2025", all, both("BORDER_TYPE", "SEA", eq("INDICATOR", "THB")), 91_918},
				{"applications of small boat arrivals", applications, "2018", "2025", all, eq("INDICATOR", "5"), 91_918},
				{"decisions on small boat arrivals", decisions, "2018", "2025", all, none, 84_637},
				{"referrals, 2023-Q1", referrals, "2023-Q1", "2023-Q1", all, both("BORDER_TYPE", "_T", eq("INDICATOR", "THB")), 2_374},
				{"referrals, 2023-Q4", referrals, "2023-Q4", "2023-Q4", all, both("BORDER_TYPE", "_T", eq("INDICATOR", "THB")), 1_908},
			},
		},
		{
			"eu",
			[]national{
				{dataflow: detections, layout: "eu-detections", file: "vintages/frontex__2025-02-07_c32d10c.csv.gz", rejected: "BLANK"},
				{dataflow: detections, layout: "eu-detections", file: "vintages/frontex__2025-02-10_9179162.csv.gz"},
				{dataflow: detections, layout: "eu-detections", file: "vintages/frontex__2025-03-10_d52d10e.csv.gz", long: true},
				{dataflow: detections, layout: "eu-detections", file: "vintages/frontex__2025-05-15_e66b635.csv.gz", long: true},
				{dataflow: detections, layout: "eu-detections", file: "vintages/frontex__2025-06-19_f41c56c.csv.gz", long: true},
				{dataflow: detections, layout: "eu-detections", file: "iom_gdidata/frontex.csv.gz"},
				{dataflow: mirror, layout: "eu-mirror", file: "mirror_migmod/mig_data_2010_2014.csv", notes: 2},
			},
			[]known{
				{"everything detected", detections, "2009", "2025", all, patrol, 4_966_869},
				{"2015", detections, "2015", "2015", all, patrol, 1_822_102},
				{"2016", detections, "2016", "2016", all, patrol, 511_047},
				{"2020", detections, "2020", "2020", all, patrol, 126_310},
				{"2023", detections, "2023", "2023", all, patrol, 381_319},
				{"2024", detections, "2024", "2024", all, patrol, 240_021},
				{"Eastern Mediterranean, October 2015", detections, "2015-10", "2015-10", eq("ROUTE", "Eastern Mediterranean Route"), eq("SECTION", "EU_EMED"), 216_260},
				{"Eastern Mediterranean, March 2016", detections, "2016-03", "2016-03", eq("ROUTE", "Eastern Mediterranean Route"), eq("SECTION", "EU_EMED"), 27_343},
				{"Eastern Mediterranean, April 2016", detections, "2016-04", "2016-04", eq("ROUTE", "Eastern Mediterranean Route"), eq("SECTION", "EU_EMED"), 4_324},
				{"as the sender says", mirror, "2010", "2014", eq("REPORTER", "SENDING"), eq("INDICATOR", "EMI"), 2_069_876},
				{"as the receiver says", mirror, "2010", "2014", eq("REPORTER", "RECEIVING"), eq("INDICATOR", "IMM"), 2_591_660},
				{"from Bulgaria to Belgium, as Belgium says", mirror, "2012", "2012", both("RECEIVING", "BEL", eq("REPORTER", "RECEIVING"), eq("SENDING", "BGR")), both("SECTION", "BG", eq("INDICATOR", "IMM"), eq("REF_AREA", "BE")), 3_969},
			},
		},
		{
			"un",
			[]national{{dataflow: stocks, layout: "un-stocks", file: "iom_gdidata/undesa_stocks.csv.gz"}},
			[]known{{"everything", stocks, "1990", "2024", all, none, 1_734_815_195}},
		},
	} {
		t.Run(test.state, func(t *testing.T) {
			t.Parallel()
			shared(t)
			n := readers(t, test.state)
			for _, f := range test.files {
				if !f.long || os.Getenv("COMITY_LONG") == "1" {
					n.national(t, f)
				}
			}
			for _, k := range test.sums {
				if got := n.total(t, k.dataflow, k.start, k.end, k.native); got != k.want {
					t.Errorf("%s: the figures of %s sum to %v, want %v", k.name, k.dataflow, got, k.want)
				}
				if k.border.Op == filter.OpOr && len(k.border.Operands) == 0 {
					continue
				}
				left := 0.0
				for _, f := range test.files {
					if f.dataflow == k.dataflow && len(f.left) > 0 {
						left = n.total(t, k.dataflow, k.start, k.end, filter.And(k.native, filter.In(f.of, f.left...)))
					}
				}
				if got := n.total(t, border, k.start, k.end, k.border); got != k.want-left {
					t.Errorf("%s: the harmonised figures sum to %v, want %v without the %v that are left out", k.name, got, k.want-left, left)
				}
			}
		})
	}
}

// TestUnknownLabel submits figures of a country that no map knows.
func TestUnknownLabel(t *testing.T) {
	t.Parallel()
	n := readers(t, "colombia")
	const file = "Año,Mes,Nacionalidad,Femenino,Masculino,Indefinido,Total\n2019,Enero,Atlántida,1,2,0,3\n2019,Enero,Albania,4,5,0,9\n"
	s, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: "CO:ENTRIES(1.0.0)", Layout: "co-entries"}, strings.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	const message = `"Atlántida" is not known to CO:NATIONALITY_CITIZENSHIP(1.0.0): 3 rows with a sum of 3, left out`
	if f := s.GetFindings(); s.GetState() != statisticspb.Submission_ACCEPTED || len(f) != 1 || f[0].GetRule() != "UNMAPPED_LABEL" || f[0].GetMessage() != message || f[0].GetLine() != 2 {
		t.Errorf("%v with findings %v", s.GetState(), f)
	}
	if got := n.total(t, "CO:ENTRIES(1.0.0)", "2019", "2019", filter.True()); got != 12 {
		t.Errorf("the national figures sum to %v, want 12", got)
	}
	if got := n.total(t, border, "2019", "2019", filter.True()); got != 9 {
		t.Errorf("the harmonised figures sum to %v, want 9", got)
	}
}

// readers returns the service of a state with the structures, maps and layouts of its files.
func readers(t *testing.T, state string) *node {
	t.Helper()
	directory := filepath.Join("..", "testdata", "layouts")
	described, err := region.Load(directory)
	if err != nil {
		t.Fatal(err)
	}
	s := described.State(state)
	n := newNode(t, state)
	n.create(t, append(slices.Clone(described.Structures), s.Structures...)...)
	for _, layout := range s.Layouts {
		if _, err := n.CreateLayout(t.Context(), &statisticspb.CreateLayoutRequest{Layout: layout}); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// shared returns the directory with the data that are not in the repository.
func shared(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("COMITY_SHARED")
	if dir == "" {
		dir = "../../../../shared"
	}
	if _, err := os.Stat(filepath.Join(dir, "data")); err != nil {
		t.Skipf("the shared data are not here: %v", err)
	}
	return dir
}

// summed finds the sum in the message of a finding about a label.
var summed = regexp.MustCompile(`with a sum of ([0-9]+)$`)

// national submits a file in place of what its dataflow holds, unless it is of another time or a part of the same file.
func (n *node) national(t *testing.T, f national) {
	t.Helper()
	header := &statisticspb.SubmissionHeader{Dataflow: f.dataflow, Layout: f.layout, IdempotencyKey: f.layout + f.file}
	if strings.Contains(f.file, "irregular_migration") || strings.Contains(f.file, "frontex") {
		header.Action = statisticspb.SubmissionHeader_REPLACE // which people may not
		n.caller.Service, n.caller.Person = "sharing", nil
	}
	s, err := n.upload(t, header, open(t, filepath.Join(shared(t), "data", f.file)))
	if err != nil {
		t.Fatal(err)
	}
	if f.rejected != "" {
		if s.GetState() != statisticspb.Submission_REJECTED || s.GetFindings()[0].GetRule() != f.rejected || s.GetFindings()[0].GetLine() == 0 {
			t.Errorf("%s: %v, with %d findings", f.file, s.GetState(), len(s.GetFindings()))
		}
		return
	}
	if s.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatalf("%s is rejected: %v", f.file, s.GetFindings()[:min(3, len(s.GetFindings()))])
	}
	var left []string
	notes := 0
	for _, finding := range s.GetFindings() {
		switch finding.GetRule() {
		case "LEFT_OUT":
			label := finding.GetValues()[0]
			left = append(left, label)
			sum, err := strconv.ParseFloat(summed.FindStringSubmatch(finding.GetMessage())[1], 64)
			if err != nil {
				t.Fatal(err)
			}
			if want := n.total(t, f.dataflow, "", "", filter.Eq(finding.GetColumn(), label)); sum != want {
				t.Errorf("%s: %v are said to be left out for %q, but %v are", f.file, sum, label, want)
			}
		case "MERGED_LABELS":
		case "UNMAPPED_LABEL":
			t.Errorf("%s: %s", f.file, finding.GetMessage())
		default:
			if finding.GetOverridable() {
				t.Logf("%s: %s %v: %s", f.file, finding.GetRule(), finding.GetSeverity(), finding.GetMessage())
				continue // of quality rules, whose tests are elsewhere
			}
			notes++
		}
	}
	if diff := cmp.Diff(f.left, left); diff != "" {
		t.Errorf("%s: the labels left out differ (-want +got):\n%s", f.file, diff)
	}
	if notes != f.notes {
		t.Errorf("%s: %d other findings, want %d", f.file, notes, f.notes)
	}
}

// total sums the stored figures of the periods that pass the filter.
func (n *node) total(t *testing.T, dataflow, start, end string, f filter.Filter) float64 {
	t.Helper()
	request := &statisticspb.QueryRequest{Dataflow: dataflow, StartPeriod: start, EndPeriod: end, Filter: wire.FilterToProto(f)}
	stream, err := n.Query(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return total
		}
		if err != nil {
			t.Fatal(fmt.Errorf("%s from %s to %s: %w", dataflow, start, end, err))
		}
		b, err := wire.BlockFromProto(response.GetBlock())
		if err != nil {
			t.Fatal(err)
		}
		if values := b.Column(block.ObsValue); values != nil {
			for _, value := range values.Numbers {
				total += value
			}
		}
	}
}
