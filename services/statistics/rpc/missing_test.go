package rpc_test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
)

// observe submits rows "PLACE PERIOD VALUE OBS_STATUS CONF_STATUS", the value "-" being absent, and statuses perhaps left out.
func (n *node) observe(t *testing.T, key string, rows ...string) *statisticspb.Submission {
	t.Helper()
	var texts [][]string
	var figures []float64
	for _, row := range rows {
		fields := append(strings.Fields(row), "", "")
		value := math.NaN()
		if fields[2] != "-" {
			var err error
			if value, err = strconv.ParseFloat(fields[2], 64); err != nil {
				t.Fatal(err)
			}
		}
		frequency := map[int]string{4: "A", 7: "M"}[len(fields[1])]
		texts, figures = append(texts, []string{frequency, fields[0], fields[1], fields[3], fields[4]}), append(figures, value)
	}
	s, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: places, IdempotencyKey: key}, []string{"FREQ", "PLACE", block.TimePeriod, block.ObsStatus, block.ConfStatus}, texts, figures)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// observed is observe of what is accepted. It returns the revision.
func (n *node) observed(t *testing.T, rows ...string) int64 {
	t.Helper()
	s := n.observe(t, "", rows...)
	if s.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatalf("rejected: %v", s.GetFindings())
	}
	return s.GetRevision()
}

func TestObservationsWithoutAValue(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	first := n.observed(t, "N1 2024-01 5 A", "N1 2024-02 - M", "N1 2024-03 - L", "N2 2024-01 - O", "N2 2024-02 - H", "S1 2024-01 - Q", "S1 2024-02 - K")
	stored := []string{"N1 2024-01 5 A F", "N1 2024-02 - M F", "N1 2024-03 - L F", "N2 2024-01 - O F", "N2 2024-02 - H F", "S1 2024-01 - Q F", "S1 2024-02 - K F"}
	second := n.observed(t, "N1 2024-01 - L", "N1 2024-02 7 A", "N1 2024-03 - L", "N2 2024-01 - M")
	t.Run("it answers them with their status", func(t *testing.T) {
		n.wantLines(t, &statisticspb.QueryRequest{Revision: first}, stored...)
	})
	t.Run("it keeps every revision of them", func(t *testing.T) {
		n.wantLines(t, &statisticspb.QueryRequest{}, append([]string{"N1 2024-01 - L F", "N1 2024-02 7 A F", "N1 2024-03 - L F", "N2 2024-01 - M F"}, stored[4:]...)...)
	})
	t.Run("it tells a change from and to a value, and of the status alone", func(t *testing.T) {
		n.wantLines(t, &statisticspb.QueryRequest{AfterRevision: first}, "N1 2024-01 - L F M", "N1 2024-02 7 A F M", "N2 2024-01 - M F M")
		n.wantLines(t, &statisticspb.QueryRequest{AfterRevision: second})
	})
	t.Run("it takes no value for no number", func(t *testing.T) {
		n.wantLines(t, &statisticspb.QueryRequest{Filter: wire.FilterToProto(filter.Compare(filter.OpGe, block.ObsValue, "0"))}, "N1 2024-02 7 A F")
	})
	t.Run("it changes nothing where the same is missing again", func(t *testing.T) {
		if s := n.observe(t, "", "N1 2024-03 - L", "N1 2024-02 7 A"); s.GetChanges().GetRevised() != 0 || s.GetChanges().GetUnchanged() != 2 {
			t.Errorf("changes are %v", s.GetChanges())
		}
	})
	t.Run("it knows an upload again", func(t *testing.T) {
		one := n.observe(t, "again", "S2 2024-01 - M")
		if two := n.observe(t, "again", "S2 2024-01 - M"); two.GetName() != one.GetName() || one.GetName() == "" {
			t.Errorf("%s, then %s", one.GetName(), two.GetName())
		}
	})
}

func TestSumsOverObservationsWithoutAValue(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	n.observed(t, "N1 2024-01 5 A", "N2 2024-01 - M", "S1 2024-01 3 A", "S2 2024-01 4 A", "N 2024-02 - L", "N1 2024-02 1 A", "S 2024-02 2 A")
	t.Run("it has no sum where a part has no value", func(t *testing.T) {
		n.wantLines(t, &statisticspb.QueryRequest{StartPeriod: "2024-01", EndPeriod: "2024-01", Selections: []*statisticspb.Selection{pick("PLACE", "_T", "N", "S")}},
			"N 2024-01 - M F", "S 2024-01 7 A F", "_T 2024-01 - M F")
	})
	t.Run("it keeps a whole that is stored without a value", func(t *testing.T) {
		n.wantLines(t, &statisticspb.QueryRequest{StartPeriod: "2024-02", Selections: []*statisticspb.Selection{pick("PLACE", "_T", "N", "S")}},
			"N 2024-02 - L F", "S 2024-02 2 A F", "_T 2024-02 - L F")
	})
	var year []string
	for month := 1; month <= 12; month++ {
		row := fmt.Sprintf("N1 2023-%02d 1 A", month)
		if month == 8 {
			row = "N1 2023-08 - L"
		}
		year = append(year, row, fmt.Sprintf("S1 2023-%02d 1 A", month))
	}
	n.observed(t, year...)
	t.Run("it has no sum over time where a period has no value", func(t *testing.T) {
		n.wantLines(t, &statisticspb.QueryRequest{StartPeriod: "2023", EndPeriod: "2023", Selections: []*statisticspb.Selection{pick("FREQ", "A"), pick("PLACE", "N1", "S1")}},
			"N1 2023 - L F", "S1 2023 12 A F")
	})
	t.Run("it counts them among the observations that there are", func(t *testing.T) {
		a, err := n.GetAvailability(t.Context(), &statisticspb.GetAvailabilityRequest{Dataflow: places, StartPeriod: "2024-01", EndPeriod: "2024-01"})
		if err != nil || a.GetObservations() != 4 {
			t.Errorf("%v, %v", a, err)
		}
	})
}

func TestWhatIsMissingHidesNothing(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	n.observed(t, "N 2024-01 5 A", "N1 2024-01 5 A C", "N2 2024-01 - M C", "S 2024-01 9 A", "S1 2024-01 4 A C", "S2 2024-01 5 A C")
	n.sight = ofAnonymous
	// N less what N2 does not have would be N1.
	n.wantLines(t, &statisticspb.QueryRequest{}, "N 2024-01 - Q F", "N1 2024-01 - Q C", "N2 2024-01 - Q C", "S 2024-01 9 A F", "S1 2024-01 - Q C", "S2 2024-01 - Q C")
}

func TestWhatCameWithheldHidesNoTotal(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	n.observed(t, "_T 2024-01 14 A", "N 2024-01 9 A", "N1 2024-01 - Q C", "N2 2024-01 - Q C", "S1 2024-01 - Q C", "S2 2024-01 4 A")
	for _, sight := range []string{"", ofAnonymous} {
		n.sight = sight
		n.wantLines(t, &statisticspb.QueryRequest{},
			"_T 2024-01 14 A F", "N 2024-01 9 A F", "N1 2024-01 - Q C", "N2 2024-01 - Q C", "S1 2024-01 - Q C", "S2 2024-01 4 A F")
		// A total that came answers; one that did not lacks a part.
		n.wantLines(t, &statisticspb.QueryRequest{Selections: []*statisticspb.Selection{pick("PLACE", "_T", "N", "S")}},
			"_T 2024-01 14 A F", "N 2024-01 9 A F", "S 2024-01 - Q C")
	}
}

func TestFiguresThatMustNotBeMissing(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	for name, test := range map[string]struct{ row, rule, says string }{
		"it wants the value of a normal figure":         {"N1 2024-01 - A", "MISSING_VALUE", `its OBS_STATUS "A" promises one`},
		"it wants the value of an estimated one":        {"N1 2024-01 - E", "MISSING_VALUE", `its OBS_STATUS "E" promises one`},
		"it wants the value of a provisional one":       {"N1 2024-01 - P", "MISSING_VALUE", "one of K, H, M, L, O, Q"},
		"it wants a value where there is no status":     {"N1 2024-01 -", "MISSING_VALUE", "has no OBS_STATUS to say why"},
		"it wants a value where the status is no code":  {"N1 2024-01 - X", "MISSING_VALUE", "OBS_STATUS"},
		"it refuses a zero that is less than zero":      {"N1 2024-01 -0 A", "NEGATIVE_VALUE", "negative"},
		"it refuses a negative figure though it is not": {"N1 2024-01 -1 M", "NEGATIVE_VALUE", "negative"},
	} {
		t.Run(name, func(t *testing.T) {
			s := n.observe(t, "", "S1 2024-01 - M", test.row)
			f := find(s, test.rule)
			if s.GetState() != statisticspb.Submission_REJECTED || f == nil || f.GetColumn() != block.ObsValue || !strings.Contains(f.GetMessage(), test.says) {
				t.Errorf("findings are %v", s.GetFindings())
			}
		})
	}
	n.wantLines(t, &statisticspb.QueryRequest{})
}

func TestDerivationFromObservationsWithoutAValue(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	gate := func(figures []float64, rows ...string) {
		t.Helper()
		var texts [][]string
		for _, row := range rows {
			texts = append(texts, strings.Fields(row))
		}
		s, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates}, []string{"FREQ", "GATE", "NATION", block.TimePeriod, block.ObsStatus}, texts, figures)
		if err != nil || s.GetState() != statisticspb.Submission_ACCEPTED {
			t.Fatalf("%v, %v", s.GetFindings(), err)
		}
	}
	want := func(want ...string) {
		t.Helper()
		rows, _, err := n.rows(t, &statisticspb.QueryRequest{Dataflow: harmonic})
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, r := range rows {
			got = append(got, strings.ReplaceAll(fmt.Sprint(r.Key, " ", r.Period, " ", r.Value, " ", r.Status), "NaN", "-"))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
	}
	none := math.NaN()
	gate([]float64{3, none, none}, "M East Aland 2024-01 A", "M West Aland 2024-01 L", "M East Bland 2024-01 H")
	want("M.AAA 2024-01 - L", "M.BBB 2024-01 - H") // not 3: a part is not known
	gate([]float64{4}, "M West Aland 2024-01 A")
	want("M.AAA 2024-01 7 A", "M.BBB 2024-01 - H")
	gate([]float64{none}, "M East Aland 2024-01 M")
	want("M.AAA 2024-01 - M", "M.BBB 2024-01 - H")
}

func TestQualityOfObservationsWithoutAValue(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	if s := n.putGates(t, "first", merge, twoYears(nil)); s.GetState() != statisticspb.Submission_ACCEPTED || len(s.GetFindings()) != 0 {
		t.Fatalf("%v %v", s.GetState(), s.GetFindings())
	}
	put := func(action statisticspb.SubmissionHeader_Action, rows figures) *statisticspb.Submission {
		t.Helper()
		var texts [][]string
		var values []float64
		for _, row := range slices.Sorted(maps.Keys(rows)) {
			status := "A"
			if math.IsNaN(rows[row]) {
				status = "M"
			}
			texts, values = append(texts, append(append([]string{"M"}, strings.Fields(row)...), status)), append(values, rows[row])
		}
		n.caller.Service, n.caller.Person = "gateway", &internalrpc.Person{Subject: "somebody"}
		if action == replace {
			n.caller.Service, n.caller.Person = "sharing", nil
		}
		s, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates, Action: action}, []string{"FREQ", "GATE", "NATION", block.TimePeriod, block.ObsStatus}, texts, values)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	emptied := func(missing func(row string) bool) figures {
		rows := twoYears(nil)
		for row := range rows {
			if missing(row) {
				rows[row] = math.NaN()
			}
		}
		return rows
	}
	t.Run("it stops a release that takes the values of a year away", func(t *testing.T) {
		s := put(replace, emptied(func(row string) bool { return strings.Contains(row, " 2022-") }))
		f := blocking(s)["PERIODS_LOST"]
		if f.GetPeriod() != "2022-01" || !strings.Contains(f.GetMessage(), "lose their values: the release has 108 observations there") {
			t.Errorf("findings %v", s.GetFindings())
		}
	})
	t.Run("it finds no zeros, gaps or odd sums in what is missing", func(t *testing.T) {
		rows := emptied(func(row string) bool { return strings.Contains(row, "East Aland 2023-06") })
		for row, figure := range twoYears(func(_, _, month string) bool { return strings.HasPrefix(month, "2023-0") }) {
			row = strings.Replace(row, " 2023-", " 2024-", 1)
			rows[row] = figure
			if strings.HasSuffix(row, "2024-03") || strings.HasSuffix(row, "2024-04") {
				rows[row] = math.NaN()
			}
		}
		s := put(merge, rows)
		if s.GetState() != statisticspb.Submission_ACCEPTED || len(s.GetFindings()) != 1 || !strings.Contains(find(s, "REVISED").GetMessage(), "0 are revised and 0 deleted; 63 are new; 1 stay as observations without a value") {
			t.Errorf("findings %v", s.GetFindings())
		}
	})
	t.Run("it takes the values when they come", func(t *testing.T) {
		rows := figures{}
		for row, figure := range twoYears(func(_, _, month string) bool { return month == "2023-03" || month == "2023-04" }) {
			rows[strings.Replace(row, " 2023-", " 2024-", 1)] = figure
		}
		if s := put(merge, rows); s.GetState() != statisticspb.Submission_ACCEPTED || len(s.GetFindings()) != 0 {
			t.Errorf("findings %v", s.GetFindings())
		}
	})
}
