package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
)

const places = "X:PLACES(1.0.0)"

// newPlaces returns a node with a dataflow of places: _T of N (N1, N2) and S (S1, S2).
func newPlaces(t *testing.T) *node {
	t.Helper()
	n := newNode(t, "x")
	component := func(id, codelist string) *statisticspb.Component {
		return &statisticspb.Component{Id: id, Codelist: codelist}
	}
	var list []*statisticspb.Code
	for _, code := range []string{"_T", "N _T", "N1 N", "N2 N", "S _T", "S1 S", "S2 S"} {
		id, parent, _ := strings.Cut(code, " ")
		list = append(list, &statisticspb.Code{Id: id, Parent: parent})
	}
	n.create(t, &statisticspb.Structures{
		Codelists: []*statisticspb.Codelist{{Agency: "X", Id: "CL_PLACE", Version: "1.0.0", Codes: list}},
		DataStructures: []*statisticspb.DataStructure{{
			Agency: "X", Id: "PLACES", Version: "1.0.0",
			Dimensions: []*statisticspb.Component{component("FREQ", ""), component("PLACE", "X:CL_PLACE(1.0.0)")},
			Attributes: []*statisticspb.Component{
				component("OBS_STATUS", ""), component("CONF_STATUS", ""), component("EMBARGO_TIME", ""), component("COMMENT", ""),
			},
		}},
		Dataflows: []*statisticspb.Dataflow{{Agency: "X", Id: "PLACES", Version: "1.0.0", Structure: "X:PLACES(1.0.0)"}},
	})
	return n
}

// put submits rows "PLACE PERIOD VALUE CONF_STATUS EMBARGO_TIME", the last two perhaps left out, and returns the revision.
// Where all of what is stored is to be replaced, it comes from sharing.
func (n *node) put(t *testing.T, replace bool, rows ...string) int64 {
	t.Helper()
	header := &statisticspb.SubmissionHeader{Dataflow: places}
	if replace {
		header.Action = statisticspb.SubmissionHeader_REPLACE
		before := n.caller
		n.caller = internalrpc.Caller{State: "x", Service: "sharing"}
		defer func() { n.caller = before }()
	}
	var texts [][]string
	var figures []float64
	for _, row := range rows {
		fields := append(strings.Fields(row), "F", "")
		var value float64
		if _, err := fmt.Sscan(fields[2], &value); err != nil {
			t.Fatal(err)
		}
		conf, embargo := fields[3], ""
		if len(fields) == 7 {
			embargo = fields[4]
		}
		frequency := map[int]string{4: "A", 7: "M"}[len(fields[1])]
		texts, figures = append(texts, []string{frequency, fields[0], fields[1], conf, embargo, "about " + fields[2]}), append(figures, value)
	}
	submission, err := n.submit(t, header, []string{"FREQ", "PLACE", block.TimePeriod, block.ConfStatus, "EMBARGO_TIME", block.Comment}, texts, figures)
	if err != nil {
		t.Fatal(err)
	}
	if submission.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatalf("rejected: %v", submission.GetFindings())
	}
	return submission.GetRevision()
}

// lines returns the rows of an answer as "PLACE PERIOD VALUE OBS_STATUS CONF_STATUS", with the action where there is one.
func (n *node) lines(t *testing.T, request *statisticspb.QueryRequest) ([]string, error) {
	t.Helper()
	request.Dataflow = places
	stream, err := n.Query(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{}
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return lines, err
		}
		b, err := wire.BlockFromProto(response.GetBlock())
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows {
			value := "-"
			if v := b.Column(block.ObsValue).Numbers[i]; !math.IsNaN(v) {
				value = fmt.Sprint(v)
			}
			line := fmt.Sprint(b.Column("PLACE").Text(i), " ", b.Column(block.TimePeriod).Text(i), " ", value, " ",
				b.Column(block.ObsStatus).Text(i), " ", b.Column(block.ConfStatus).Text(i))
			if action := b.Column("_ACTION"); action != nil {
				line = strings.TrimRight(line, " ") + " " + action.Text(i)
			}
			if value == "-" && b.Column(block.Comment).Text(i) != "" {
				t.Errorf("%s has a comment", line)
			}
			lines = append(lines, line)
		}
	}
}

func (n *node) wantLines(t *testing.T, request *statisticspb.QueryRequest, want ...string) {
	t.Helper()
	got, err := n.lines(t, request)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

const (
	ofAnalyst   = `{"confStatus": ["F", "N"], "embargoed": false}`
	ofAnonymous = `{"confStatus": ["F"], "embargoed": false}`
)

func TestQueryWindows(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	n.put(t, false, "N1 2024-01 5", "N1 2024-02 3", "N1 2024-03 9", "N2 2024-01 7", "N2 2024-03 1", "S1 2024-02 5")
	all := []string{"N1 2024-01 5 A F", "N1 2024-02 3 A F", "N1 2024-03 9 A F", "N2 2024-01 7 A F", "N2 2024-03 1 A F", "S1 2024-02 5 A F"}
	above := wire.FilterToProto(filter.Compare(filter.OpGt, block.ObsValue, "3"))
	for name, test := range map[string]struct {
		request *statisticspb.QueryRequest
		want    []string
	}{
		"it answers everything":                          {&statisticspb.QueryRequest{}, all},
		"it leaves out rows at the beginning":            {&statisticspb.QueryRequest{Offset: 4}, all[4:]},
		"it leaves out more than there is":               {&statisticspb.QueryRequest{Offset: 40}, nil},
		"it stops after a limit":                         {&statisticspb.QueryRequest{Limit: 2}, all[:2]},
		"it stops after a limit from an offset":          {&statisticspb.QueryRequest{Offset: 1, Limit: 3}, all[1:4]},
		"it gives the first of each series":              {&statisticspb.QueryRequest{FirstObservations: 1}, []string{all[0], all[3], all[5]}},
		"it gives the last of each series":               {&statisticspb.QueryRequest{LastObservations: 1}, []string{all[2], all[4], all[5]}},
		"it gives both ends, and none twice":             {&statisticspb.QueryRequest{FirstObservations: 1, LastObservations: 1}, []string{all[0], all[2], all[3], all[4], all[5]}},
		"it counts the last of what passes the filter":   {&statisticspb.QueryRequest{LastObservations: 1, Filter: above}, []string{all[2], all[3], all[5]}},
		"it gives the first of sums":                     {&statisticspb.QueryRequest{FirstObservations: 1, Selections: []*statisticspb.Selection{pick("PLACE", "_T")}}, []string{"_T 2024-01 12 A F"}},
		"it limits sums":                                 {&statisticspb.QueryRequest{Limit: 1, Selections: []*statisticspb.Selection{pick("PLACE", "N", "S")}}, []string{"N 2024-01 12 A F"}},
		"it sorts by value":                              {&statisticspb.QueryRequest{OrderBy: []string{"OBS_VALUE desc"}, Limit: 3}, []string{all[2], all[3], all[0]}},
		"it sorts by several components":                 {&statisticspb.QueryRequest{OrderBy: []string{"OBS_VALUE", "PLACE desc"}, Offset: 1, Limit: 3}, []string{all[1], all[5], all[0]}},
		"it sorts by period before place":                {&statisticspb.QueryRequest{OrderBy: []string{"TIME_PERIOD", "PLACE desc"}}, []string{all[3], all[0], all[5], all[1], all[4], all[2]}},
		"it keeps the order of keys where that is asked": {&statisticspb.QueryRequest{OrderBy: []string{"PLACE ASC"}}, all},
	} {
		t.Run(name, func(t *testing.T) { n.wantLines(t, test.request, test.want...) })
	}
	for name, request := range map[string]*statisticspb.QueryRequest{
		"it refuses a negative offset":          {Offset: -1},
		"it refuses a negative limit":           {Limit: -1},
		"it refuses a negative first":           {FirstObservations: -1},
		"it refuses a negative last":            {LastObservations: -5},
		"it refuses an order of nothing":        {OrderBy: []string{""}},
		"it refuses an order of what is not":    {OrderBy: []string{"COLOUR"}},
		"it refuses another direction":          {OrderBy: []string{"PLACE down"}},
		"it refuses too many components":        {OrderBy: strings.Fields(strings.Repeat("PLACE ", 33))},
		"it refuses two states":                 {Revision: 1, AsOf: stamp(time.Now())},
		"it refuses two states for the changes": {AfterRevision: 1, UpdatedAfter: stamp(time.Now())},
		"it refuses a negative revision":        {AfterRevision: -1},
		"it refuses changes of sums":            {AfterRevision: 1, Selections: []*statisticspb.Selection{pick("PLACE", "_T")}},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := n.lines(t, request); status.Code(err) != codes.InvalidArgument {
				t.Errorf("it says %v", err)
			}
		})
	}
}

func TestQueryOfChanges(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	first := n.put(t, false, "N1 2024-01 5", "N1 2024-02 3", "N2 2024-01 7", "S1 2024-01 1")
	second := n.put(t, false, "N1 2024-01 6", "N2 2024-01 8", "S2 2024-01 2")
	third := n.put(t, true, "N1 2024-01 6", "N1 2024-02 3", "N2 2024-01 7", "S2 2024-01 2", "S2 2024-02 4")
	for name, test := range map[string]struct {
		request *statisticspb.QueryRequest
		want    []string
	}{
		"it names what is new, what changed and what is gone": {
			&statisticspb.QueryRequest{AfterRevision: second},
			[]string{"N2 2024-01 7 A F M", "S1 2024-01 - D", "S2 2024-02 4 A F M"},
		},
		"it does not name what changed and changed back": {
			&statisticspb.QueryRequest{AfterRevision: first},
			[]string{"N1 2024-01 6 A F M", "S1 2024-01 - D", "S2 2024-01 2 A F M", "S2 2024-02 4 A F M"},
		},
		"it goes up to an older state": {
			&statisticspb.QueryRequest{AfterRevision: first, Revision: second},
			[]string{"N1 2024-01 6 A F M", "N2 2024-01 8 A F M", "S2 2024-01 2 A F M"},
		},
		"it names nothing after the newest": {&statisticspb.QueryRequest{AfterRevision: third}, nil},
		"it chooses among the changes": {
			&statisticspb.QueryRequest{AfterRevision: second, Selections: []*statisticspb.Selection{pick("PLACE", "S1")}}, []string{"S1 2024-01 - D"},
		},
		"it takes what passes the filter no more for gone": {
			&statisticspb.QueryRequest{AfterRevision: second, Filter: wire.FilterToProto(filter.Compare(filter.OpGe, block.ObsValue, "8"))},
			[]string{"N2 2024-01 - D"},
		},
	} {
		t.Run(name, func(t *testing.T) { n.wantLines(t, test.request, test.want...) })
	}
	t.Run("it finds the revision of a moment", func(t *testing.T) {
		stream, err := n.Query(t.Context(), &statisticspb.QueryRequest{Dataflow: places, Revision: second})
		if err != nil {
			t.Fatal(err)
		}
		response, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		n.wantLines(t, &statisticspb.QueryRequest{UpdatedAfter: response.GetRevisionTime()}, "N2 2024-01 7 A F M", "S1 2024-01 - D", "S2 2024-02 4 A F M")
		n.wantLines(t, &statisticspb.QueryRequest{UpdatedAfter: stamp(time.Now().Add(time.Hour))})
	})
	t.Run("it names everything after a moment before the first", func(t *testing.T) {
		n.wantLines(t, &statisticspb.QueryRequest{UpdatedAfter: stamp(time.Unix(1, 0))},
			"N1 2024-01 6 A F M", "N1 2024-02 3 A F M", "N2 2024-01 7 A F M", "S2 2024-01 2 A F M", "S2 2024-02 4 A F M")
	})
	t.Run("it knows no revision that is to come", func(t *testing.T) {
		if _, err := n.lines(t, &statisticspb.QueryRequest{AfterRevision: third + 1}); status.Code(err) != codes.NotFound {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("it compares two states", func(t *testing.T) {
		stream, err := n.CompareRevisions(t.Context(), &statisticspb.CompareRevisionsRequest{Dataflow: places, FromRevision: first, ToRevision: third})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		var summary *statisticspb.RevisionSummary
		for {
			response, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if summary = response.GetSummary(); response.GetBlock() == nil {
				continue
			}
			b, err := wire.BlockFromProto(response.GetBlock())
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.Rows {
				got = append(got, fmt.Sprint(b.Column("PLACE").Text(i), " ", b.Column(block.TimePeriod).Text(i), " ", b.Column("_ACTION").Text(i), " ",
					b.Column("_BEFORE").Numbers[i], " ", b.Column("_AFTER").Numbers[i]))
			}
		}
		want := []string{"N1 2024-01 R 5 6", "S1 2024-01 D 1 NaN", "S2 2024-01 A NaN 2", "S2 2024-02 A NaN 4"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("rows (-want +got):\n%s", diff)
		}
		if summary.GetAdded() != 2 || summary.GetRevised() != 1 || summary.GetDeleted() != 1 || summary.GetSumBefore() != 6 || summary.GetSumAfter() != 12 ||
			summary.GetMeanAbsoluteRevision() != 1 || summary.GetLargestAbsoluteRevision() != 1 {
			t.Errorf("summary %v", summary)
		}
	})
}

func TestSight(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	tomorrow := time.Now().UTC().Add(24 * time.Hour).Format(time.RFC3339)
	n.put(t, false, "N1 2024-01 5 C", "N2 2024-01 7", "S1 2024-01 1 N", "S2 2024-01 2", "_T 2024-02 20", "N1 2024-02 4 C", "N2 2024-02 6", "S1 2024-02 3", "S2 2024-02 7",
		"N 2024-03 9", "N1 2024-03 4 C", "N2 2024-03 5 C", "S1 2024-04 3 F "+tomorrow, "S2 2024-04 4")
	january := func(places ...string) *statisticspb.QueryRequest {
		return &statisticspb.QueryRequest{StartPeriod: "2024-01", EndPeriod: "2024-01", Selections: []*statisticspb.Selection{pick("PLACE", places...)}}
	}
	in := func(month string, places ...string) *statisticspb.QueryRequest {
		return &statisticspb.QueryRequest{StartPeriod: month, EndPeriod: month, Selections: []*statisticspb.Selection{pick("PLACE", places...)}}
	}
	t.Run("it shows everything to who may see it", func(t *testing.T) {
		n.wantLines(t, january("N1", "S1"), "N1 2024-01 5 A C", "S1 2024-01 1 A N")
		n.wantLines(t, in("2024-04", "S1", "S2"), "S1 2024-04 3 A F", "S2 2024-04 4 A F")
	})
	n.sight = ofAnalyst
	t.Run("it shows no value of what is confidential", func(t *testing.T) {
		n.wantLines(t, january("N1", "N2", "S1"), "N1 2024-01 - Q C", "N2 2024-01 7 A F", "S1 2024-01 1 A N")
	})
	t.Run("it makes no sum of what it does not show", func(t *testing.T) {
		n.wantLines(t, january("_T", "N", "S"), "_T 2024-01 - Q C", "N 2024-01 - Q C", "S 2024-01 3 A N")
	})
	t.Run("it withholds a total that one figure could be had from", func(t *testing.T) {
		n.wantLines(t, in("2024-02", "_T", "N2", "S1", "S2"), "_T 2024-02 - Q F", "N2 2024-02 6 A F", "S1 2024-02 3 A F", "S2 2024-02 7 A F")
	})
	t.Run("it shows a total of several that it does not show", func(t *testing.T) {
		n.wantLines(t, in("2024-03", "N", "N1", "N2"), "N 2024-03 9 A F", "N1 2024-03 - Q C", "N2 2024-03 - Q C")
	})
	t.Run("it has nothing of what is under embargo, and no sum that would lack it", func(t *testing.T) {
		n.wantLines(t, in("2024-04", "S1"))
		n.wantLines(t, &statisticspb.QueryRequest{StartPeriod: "2024-04"}, "S2 2024-04 4 A F")
		n.wantLines(t, in("2024-04", "S"), "S 2024-04 - Q F")
	})
	t.Run("it orders and filters by what is seen", func(t *testing.T) {
		n.wantLines(t, &statisticspb.QueryRequest{StartPeriod: "2024-01", EndPeriod: "2024-01", OrderBy: []string{"OBS_VALUE desc"}},
			"N2 2024-01 7 A F", "S2 2024-01 2 A F", "S1 2024-01 1 A N", "N1 2024-01 - Q C")
		n.wantLines(t, &statisticspb.QueryRequest{StartPeriod: "2024-01", EndPeriod: "2024-01", Filter: wire.FilterToProto(filter.Compare(filter.OpGe, block.ObsValue, "5"))},
			"N2 2024-01 7 A F")
	})
	t.Run("it counts what is there, and nothing under embargo", func(t *testing.T) {
		n.sight = ofAnalyst
		seen, err := n.GetAvailability(t.Context(), &statisticspb.GetAvailabilityRequest{Dataflow: places, Dimensions: []string{"PLACE"}})
		if err != nil {
			t.Fatal(err)
		}
		if seen.GetObservations() != 13 || seen.GetFirstPeriod() != "2024-01" || seen.GetLastPeriod() != "2024-04" || seen.GetSeries() != 6 {
			t.Errorf("there is %v", seen)
		}
		n.sight = ""
		all, err := n.GetAvailability(t.Context(), &statisticspb.GetAvailabilityRequest{Dataflow: places})
		if err != nil {
			t.Fatal(err)
		}
		if all.GetObservations() != 14 {
			t.Errorf("there is %v", all)
		}
		n.sight = ofAnalyst
	})
	t.Run("it does not show in an older state what is confidential now", func(t *testing.T) {
		n.sight = ""
		n.put(t, false, "S2 2024-05 11")
		before := n.put(t, false, "S1 2024-05 12")
		n.put(t, false, "S2 2024-05 11 C")
		n.sight = ofAnonymous
		n.wantLines(t, &statisticspb.QueryRequest{Revision: before, StartPeriod: "2024-05"}, "S1 2024-05 12 A F", "S2 2024-05 - Q F")
		n.wantLines(t, &statisticspb.QueryRequest{StartPeriod: "2024-05"}, "S1 2024-05 12 A F", "S2 2024-05 - Q C")
	})
}
