package rpc_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
)

// Two made-up dataflows: gates in a state's own words, and what is derived of them by country and region.
const (
	gates    = "X:GATES(1.0.0)"
	harmonic = "X:HARMONIC(1.0.0)"
)

func madeUp() *statisticspb.Structures {
	component := func(id, codelist string) *statisticspb.Component {
		return &statisticspb.Component{Id: id, Codelist: codelist}
	}
	code := func(id, parent, level string) *statisticspb.Code {
		return &statisticspb.Code{Id: id, Parent: parent, Level: level}
	}
	return &statisticspb.Structures{
		Codelists: []*statisticspb.Codelist{{
			Agency: "X", Id: "CL_WHO", Version: "1.0.0", Levels: []string{"total", "region", "country"},
			Codes: []*statisticspb.Code{
				code("_T", "", "total"), code("NORTH", "_T", "region"), code("SOUTH", "_T", "region"),
				code("AAA", "NORTH", "country"), code("BBB", "NORTH", "country"), code("CCC", "SOUTH", "country"),
			},
		}},
		DataStructures: []*statisticspb.DataStructure{
			{
				Agency: "X", Id: "GATES", Version: "1.0.0",
				Dimensions: []*statisticspb.Component{component("FREQ", ""), component("GATE", ""), component("NATION", "")},
				Attributes: []*statisticspb.Component{component("OBS_STATUS", ""), component("CONF_STATUS", ""), component("COMMENT", "")},
			},
			{
				Agency: "X", Id: "HARMONIC", Version: "1.0.0",
				Dimensions: []*statisticspb.Component{component("FREQ", ""), component("WHO", "X:CL_WHO(1.0.0)")},
				Attributes: []*statisticspb.Component{component("OBS_STATUS", ""), component("CONF_STATUS", "")},
			},
		},
		Dataflows: []*statisticspb.Dataflow{
			{Agency: "X", Id: "GATES", Version: "1.0.0", Structure: "X:GATES(1.0.0)"},
			{Agency: "X", Id: "HARMONIC", Version: "1.0.0", Structure: "X:HARMONIC(1.0.0)"},
		},
		RepresentationMaps: []*statisticspb.RepresentationMap{nations("1.0.0", "CCC")},
		StructureMaps:      []*statisticspb.StructureMap{gatesMap("1.0.0")},
	}
}

// nations maps what the gates call people; where the Others go is a parameter.
func nations(version, others string) *statisticspb.RepresentationMap {
	mapping := func(from, to string) *statisticspb.Mapping {
		return &statisticspb.Mapping{Sources: []string{from}, Targets: []string{to}}
	}
	return &statisticspb.RepresentationMap{
		Agency: "X", Id: "NATIONS", Version: version,
		Mappings: []*statisticspb.Mapping{mapping("Aland", "AAA"), mapping("Bland", "BBB"), mapping("Others", others)},
	}
}

func gatesMap(version string) *statisticspb.StructureMap {
	return &statisticspb.StructureMap{
		Agency: "X", Id: "GATES_HARMONIC", Version: version, Source: gates, Target: harmonic,
		ComponentMaps: []*statisticspb.ComponentMap{{Sources: []string{"NATION"}, Targets: []string{"WHO"}, RepresentationMap: "X:NATIONS(" + version + ")"}},
	}
}

func newMadeUp(t *testing.T) *node {
	t.Helper()
	n := newNode(t, "x")
	n.create(t, madeUp())
	return n
}

// gate submits rows of "gate nation period" with their figures, and wants them accepted.
func (n *node) gate(t *testing.T, key string, rows map[string]float64) *statisticspb.Submission {
	t.Helper()
	var texts [][]string
	var figures []float64
	for row, figure := range rows {
		texts, figures = append(texts, append([]string{"M"}, strings.Fields(row)...)), append(figures, figure)
	}
	submission, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates, IdempotencyKey: key},
		[]string{"FREQ", "GATE", "NATION", block.TimePeriod}, texts, figures)
	if err != nil {
		t.Fatal(err)
	}
	if submission.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatalf("rejected: %v", submission.GetFindings())
	}
	return submission
}

func reason(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

func wantRows(t *testing.T, n *node, request *statisticspb.QueryRequest, want ...row) {
	t.Helper()
	got, _, err := n.rows(t, request)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

func figure(key, period string, value float64) row {
	return row{Key: key, Period: period, Value: value, Status: "A", Provider: "x"}
}

func TestDerivation(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	first := n.gate(t, "1", map[string]float64{
		"East Aland 2024-01": 3, "West Aland 2024-01": 4, "East Bland 2024-01": 5, "East Aland 2024-02": 6, "East Martians 2024-02": 7,
	})

	t.Run("it sums the source figures that fall on one key", func(t *testing.T) {
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, Selections: []*statisticspb.Selection{pick("WHO", "AAA")}},
			figure("M.AAA", "2024-01", 7), figure("M.AAA", "2024-02", 6))
	})
	t.Run("it says which labels no map knows", func(t *testing.T) {
		d := first.GetDerivations()[0]
		if d.GetUnmappedLabels() != 1 || d.GetLeftOut() != 1 || d.GetObservations() != 3 {
			t.Errorf("derivation %v", d)
		}
		if f := first.GetFindings(); len(f) != 1 || f[0].GetRule() != "UNMAPPED_LABEL" || !cmp.Equal(f[0].GetValues(), []string{"Martians"}) {
			t.Errorf("findings %v", f)
		}
	})
	t.Run("it takes the figures into account that a partial update leaves as they are", func(t *testing.T) {
		n.gate(t, "2", map[string]float64{"West Aland 2024-01": 10})
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, Selections: []*statisticspb.Selection{pick("WHO", "AAA", "BBB")}},
			figure("M.AAA", "2024-01", 13), figure("M.AAA", "2024-02", 6), figure("M.BBB", "2024-01", 5))
	})
	t.Run("it derives under the revision of the submission", func(t *testing.T) {
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, Revision: first.GetRevision(), Selections: []*statisticspb.Selection{pick("WHO", "AAA")}},
			figure("M.AAA", "2024-01", 7), figure("M.AAA", "2024-02", 6))
	})
	t.Run("it derives anew where a map changes", func(t *testing.T) {
		n.gate(t, "3", map[string]float64{"East Others 2024-03": 9})
		response := n.create(t, &statisticspb.Structures{
			RepresentationMaps: []*statisticspb.RepresentationMap{nations("1.0.0", "CCC"), nations("1.1.0", "BBB")},
			StructureMaps:      []*statisticspb.StructureMap{gatesMap("1.1.0")},
		})
		if response.GetCreated() != 2 || response.GetUnchanged() != 1 {
			t.Errorf("created %d, unchanged %d", response.GetCreated(), response.GetUnchanged())
		}
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, StartPeriod: "2024-03"}, figure("M.BBB", "2024-03", 9))
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, StartPeriod: "2024-03", Revision: 3}, figure("M.CCC", "2024-03", 9))
	})
	t.Run("it does not change a version that is stored", func(t *testing.T) {
		_, err := n.CreateStructures(t.Context(), &statisticspb.CreateStructuresRequest{Structures: &statisticspb.Structures{
			RepresentationMaps: []*statisticspb.RepresentationMap{nations("1.0.0", "AAA")},
		}})
		if status.Code(err) != codes.AlreadyExists || reason(err) != "ALREADY_EXISTS" {
			t.Errorf("error %v", err)
		}
	})
}

func TestHistory(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	request := func(revision int64, at time.Time) *statisticspb.QueryRequest {
		q := &statisticspb.QueryRequest{Dataflow: gates, Revision: revision}
		if !at.IsZero() {
			q.AsOf = timestamppb.New(at)
		}
		return q
	}
	before := time.Now()
	first := n.gate(t, "1", map[string]float64{"East Aland 2023-12": 1, "East Aland 2024-01": 2})
	between := time.Now()
	second := n.gate(t, "2", map[string]float64{"East Aland 2024-01": 20, "East Aland 2024-02": 30})
	old := []row{figure("M.East.Aland", "2023-12", 1), figure("M.East.Aland", "2024-01", 2)}
	now := []row{figure("M.East.Aland", "2023-12", 1), figure("M.East.Aland", "2024-01", 20), figure("M.East.Aland", "2024-02", 30)}

	t.Run("it answers as of a revision", func(t *testing.T) {
		wantRows(t, n, request(first.GetRevision(), time.Time{}), old...)
		wantRows(t, n, request(second.GetRevision(), time.Time{}), now...)
	})
	t.Run("it answers as of a time", func(t *testing.T) {
		wantRows(t, n, request(0, before))
		wantRows(t, n, request(0, between), old...)
		wantRows(t, n, request(0, time.Now()), now...)
	})
	t.Run("it makes no revision of unchanged figures", func(t *testing.T) {
		third := n.gate(t, "3", map[string]float64{"East Aland 2024-02": 30})
		if third.GetRevision() != 0 {
			t.Errorf("revision %d", third.GetRevision())
		}
		if _, revision, _ := n.rows(t, request(0, time.Time{})); revision != second.GetRevision() {
			t.Errorf("the newest revision is %d, want %d", revision, second.GetRevision())
		}
	})
	t.Run("it knows no revision that is yet to come", func(t *testing.T) {
		if _, _, err := n.rows(t, request(99, time.Time{})); status.Code(err) != codes.NotFound {
			t.Errorf("error %v", err)
		}
	})
	t.Run("it tells of the revisions in order, and of those to come", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		stream, err := n.WatchRevisions(ctx, &statisticspb.WatchRevisionsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		cursor := ""
		for range 4 {
			r, err := stream.Recv()
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, fmt.Sprintf("%d %s %s", r.GetRevision(), r.GetDataflow(), r.GetProvider()))
			if len(got) == 3 {
				cursor = r.GetCursor()
			}
		}
		if diff := cmp.Diff([]string{"1 " + gates + " x", "1 " + harmonic + " x", "2 " + gates + " x", "2 " + harmonic + " x"}, got); diff != "" {
			t.Errorf("revisions (-want +got):\n%s", diff)
		}
		fourth := n.gate(t, "4", map[string]float64{"West Bland 2024-02": 1})
		r, err := stream.Recv()
		if err != nil || r.GetRevision() != fourth.GetRevision() || r.GetSubmission() != fourth.GetName() {
			t.Errorf("news %v, %v", r, err)
		}
		resumed, err := n.WatchRevisions(ctx, &statisticspb.WatchRevisionsRequest{Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := resumed.Recv(); err != nil || r.GetRevision() != 2 || r.GetDataflow() != harmonic {
			t.Errorf("after the cursor comes %v, %v", r, err)
		}
	})
}

func TestIdempotency(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	rows := map[string]float64{"East Aland 2024-01": 3}
	first := n.gate(t, "key", rows)

	t.Run("it gives the same submission for the same upload", func(t *testing.T) {
		if diff := cmp.Diff(first, n.gate(t, "key", rows), protocmp.Transform()); diff != "" {
			t.Errorf("submission (-first +again):\n%s", diff)
		}
	})
	t.Run("it refuses the key for another upload", func(t *testing.T) {
		_, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates, IdempotencyKey: "key"},
			[]string{"FREQ", "GATE", "NATION", block.TimePeriod}, [][]string{{"M", "East", "Aland", "2024-01"}}, []float64{4})
		if status.Code(err) != codes.AlreadyExists || reason(err) != "IDEMPOTENCY_CONFLICT" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("it stores one of many that come at once", func(t *testing.T) {
		names := make([]string, 6)
		var group sync.WaitGroup
		for i := range names {
			group.Go(func() { names[i] = n.gate(t, "race", map[string]float64{"East Aland 2024-05": 5}).GetName() })
		}
		group.Wait()
		for _, name := range names {
			if name != names[0] {
				t.Errorf("names %v", names)
			}
		}
	})
	t.Run("it lists submissions, the newest first", func(t *testing.T) {
		page, err := n.ListSubmissions(t.Context(), &statisticspb.ListSubmissionsRequest{PageSize: 1})
		if err != nil || len(page.GetSubmissions()) != 1 || page.GetNextPageToken() == "" {
			t.Fatalf("page %v, %v", page, err)
		}
		page, err = n.ListSubmissions(t.Context(), &statisticspb.ListSubmissionsRequest{PageSize: 1, PageToken: page.GetNextPageToken()})
		if err != nil || len(page.GetSubmissions()) != 1 || page.GetNextPageToken() != "" || page.GetSubmissions()[0].GetName() != first.GetName() {
			t.Errorf("second page %v, %v", page, err)
		}
	})
}

func TestRejection(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	components := []string{"FREQ", "WHO", block.TimePeriod, block.ObsStatus}
	submission, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: harmonic, IdempotencyKey: "bad"}, components, [][]string{
		{"M", "AAA", "2024-01", ""},
		{"M", "QQQ", "2024-01", ""},
		{"M", "AAA", "2024-Q1", ""},
		{"M", "AAA", "2024-13", ""},
		{"M", "BBB", "2024-01", "?"},
		{"M", "BBB", "2024-01", "E"},
		{"M", "CCC", "2024-01", "E"},
		{"M", "AAA", "2024-01", ""},
	}, []float64{1, 2, 3, 4, 5, -6, 7, 8})
	if err != nil {
		t.Fatal(err)
	}

	t.Run("it rejects the whole and names each fault", func(t *testing.T) {
		var rules []string
		for _, f := range submission.GetFindings() {
			rules = append(rules, f.GetRule()+" "+f.GetColumn())
		}
		want := []string{"UNKNOWN_CODE WHO", "INVALID_PERIOD TIME_PERIOD", "INVALID_PERIOD TIME_PERIOD", "UNKNOWN_CODE OBS_STATUS", "NEGATIVE_VALUE OBS_VALUE", "DUPLICATE_KEY "}
		if diff := cmp.Diff(want, rules); diff != "" || submission.GetState() != statisticspb.Submission_REJECTED || submission.GetRevision() != 0 {
			t.Errorf("%s, revision %d, findings (-want +got):\n%s", submission.GetState(), submission.GetRevision(), diff)
		}
	})
	t.Run("it stores nothing of it", func(t *testing.T) {
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic})
	})
	t.Run("it keeps the report", func(t *testing.T) {
		got, err := n.GetSubmission(t.Context(), &statisticspb.GetSubmissionRequest{Name: submission.GetName()})
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(submission, got.GetSubmission(), protocmp.Transform()); diff != "" {
			t.Errorf("submission (-answered +stored):\n%s", diff)
		}
	})
	t.Run("it names each line of a national file", func(t *testing.T) {
		_, err := n.CreateLayout(t.Context(), &statisticspb.CreateLayoutRequest{Layout: &statisticspb.Layout{
			Id: "gates", Dataflow: gates, Constants: map[string]string{"FREQ": "M"},
			Columns: []*statisticspb.LayoutColumn{
				{Header: "gate", Component: "GATE"}, {Header: "nation", Component: "NATION"}, {Header: "n", Component: "OBS_VALUE"},
			},
			Period: &statisticspb.LayoutPeriod{Headers: []string{"month"}, Format: "YYYY-MM"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		file := "month,gate,nation,n\n2024-01,East,Aland,1\n2024-02,East,Aland,-1\n2024-01,East,Aland,2\n"
		submission, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: gates, Layout: "gates"}, strings.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, f := range submission.GetFindings() {
			got = append(got, fmt.Sprintf("%d %s %s", f.GetLine(), f.GetColumn(), f.GetRule()))
		}
		if len(got) != 2 || !strings.HasPrefix(got[0], "3 ") || !strings.HasPrefix(got[1], "4 ") {
			t.Errorf("findings %v", submission.GetFindings())
		}
	})
	t.Run("it keeps a bounded report of a file in which every line is wrong", func(t *testing.T) {
		file := "month,gate,nation,n\n" + strings.Repeat("2024-01,East,Aland,minus\n", 5000)
		submission, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: gates, Layout: "gates"}, strings.NewReader(file))
		if err != nil || len(submission.GetFindings()) != 1001 {
			t.Errorf("%d findings, %v", len(submission.GetFindings()), err)
		}
	})
}

func TestNationalFile(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	layout := &statisticspb.Layout{
		Id: "gates", Dataflow: gates, Delimiter: ";", Encoding: "ISO-8859-1", Constants: map[string]string{"FREQ": "M"},
		Columns: []*statisticspb.LayoutColumn{
			{Header: "Tor", Component: "GATE"},
			{Header: "Åland", Component: "OBS_VALUE", Constants: map[string]string{"NATION": "Aland"}},
			{Header: "Bland", Component: "OBS_VALUE", Constants: map[string]string{"NATION": "Bland"}, SkipBlank: true},
			{Header: "alle", Total: true},
		},
		Period: &statisticspb.LayoutPeriod{
			Headers: []string{"Monat", "Jahr"}, Format: "MONTH YYYY",
			Months: strings.Fields("Januar Februar März April Mai Juni Juli August September Oktober November Dezember"),
		},
		Numbers:    &statisticspb.LayoutNumbers{Decimal: ",", Thousands: "."},
		Filters:    []*statisticspb.LayoutFilter{{Header: "Tor", LeaveOut: []string{"alle"}}},
		Duplicates: statisticspb.Layout_REJECT,
	}
	created, err := n.CreateLayout(t.Context(), &statisticspb.CreateLayoutRequest{Layout: layout})
	if err != nil {
		t.Fatal(err)
	}
	const header = "Jahr;Monat;Tor;\xc5land;Bland;alle\n"

	t.Run("it keeps the layout", func(t *testing.T) {
		stored, err := n.ListLayouts(t.Context(), &statisticspb.ListLayoutsRequest{})
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range append(stored.GetLayouts(), created.GetLayout()) {
			if diff := cmp.Diff(layout, got, protocmp.Transform()); diff != "" {
				t.Errorf("the layout differs (-want +got):\n%s", diff)
			}
		}
	})
	t.Run("it rejects a file whose totals are not the sums", func(t *testing.T) {
		submission, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: gates, Layout: "gates"}, strings.NewReader(header+"2024;M\xe4rz;Ost;1.204;1,5;1.205\n"))
		if err != nil {
			t.Fatal(err)
		}
		if f := submission.GetFindings(); len(f) != 1 || f[0].GetRule() != "TOTAL_MISMATCH" || f[0].GetLine() != 2 || submission.GetState() != statisticspb.Submission_REJECTED {
			t.Errorf("%s with findings %v", submission.GetState(), f)
		}
	})
	t.Run("it stores every figure of a row and notes what is left out", func(t *testing.T) {
		file := header + "2024;M\xe4rz;Ost;1.204;1,5;1.205,5\n2024;M\xe4rz;West;7;;7\n2024;M\xe4rz;alle;1.211;1,5;1.212,5\n"
		submission, err := n.upload(t, &statisticspb.SubmissionHeader{Dataflow: gates, Layout: "gates"}, strings.NewReader(file))
		if err != nil {
			t.Fatal(err)
		}
		var notes []string
		for _, f := range submission.GetFindings() {
			if f.GetSeverity() == statisticspb.Finding_NOTE {
				notes = append(notes, f.GetRule()+" "+f.GetColumn())
			}
		}
		if diff := cmp.Diff([]string{"FILTER Tor", "BLANK Bland"}, notes); diff != "" || submission.GetState() != statisticspb.Submission_ACCEPTED {
			t.Errorf("%s with findings %v", submission.GetState(), submission.GetFindings())
		}
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: gates},
			figure("M.Ost.Aland", "2024-03", 1204), figure("M.Ost.Bland", "2024-03", 1.5), figure("M.West.Aland", "2024-03", 7))
	})
}

func TestReplace(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	n.caller = internalrpc.Caller{State: "x", Service: "sharing"}
	components := []string{"FREQ", "WHO", block.TimePeriod}
	put := func(t *testing.T, header *statisticspb.SubmissionHeader, rows [][]string, figures ...float64) *statisticspb.Submission {
		t.Helper()
		header.Dataflow, header.Provider, header.Action = harmonic, "y", statisticspb.SubmissionHeader_REPLACE
		submission, err := n.submit(t, header, components, rows, figures)
		if err != nil {
			t.Fatal(err)
		}
		return submission
	}
	put(t, &statisticspb.SubmissionHeader{Release: "r1"}, [][]string{{"M", "AAA", "2024-01"}, {"M", "AAA", "2024-02"}, {"M", "BBB", "2024-01"}}, 1, 2, 3)
	scope := &statisticspb.SubmissionHeader{Release: "r2", Scope: wire.FilterToProto(filter.And(filter.Eq("WHO", "AAA"), filter.Compare(filter.OpGe, "TIME_PERIOD", "2024-02")))}

	figureOf := func(key, period string, value float64) row {
		r := figure(key, period, value)
		r.Provider = "y"
		return r
	}
	t.Run("it replaces what passes the scope, and no more", func(t *testing.T) {
		put(t, scope, [][]string{{"M", "AAA", "2024-03"}}, 9)
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic},
			figureOf("M.AAA", "2024-01", 1), figureOf("M.AAA", "2024-03", 9), figureOf("M.BBB", "2024-01", 3))
	})
	t.Run("it rejects rows outside the scope", func(t *testing.T) {
		submission := put(t, scope, [][]string{{"M", "BBB", "2024-03"}}, 9)
		if submission.GetState() != statisticspb.Submission_REJECTED || submission.GetFindings()[0].GetRule() != "OUTSIDE_SCOPE" {
			t.Errorf("submission %v", submission)
		}
	})
	t.Run("it takes away everything where a release has no rows", func(t *testing.T) {
		put(t, &statisticspb.SubmissionHeader{Release: "r3"}, nil)
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic})
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, Revision: 1},
			figureOf("M.AAA", "2024-01", 1), figureOf("M.AAA", "2024-02", 2), figureOf("M.BBB", "2024-01", 3))
	})
	t.Run("it takes a partner's figures from sharing only", func(t *testing.T) {
		n.caller = internalrpc.Caller{State: "x", Service: "gateway", Person: &internalrpc.Person{Subject: "s", Roles: []string{"statistician"}}}
		_, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: harmonic, Provider: "y"}, components, [][]string{{"M", "AAA", "2024-01"}}, []float64{1})
		if status.Code(err) != codes.PermissionDenied || reason(err) != "ACCESS_DENIED" {
			t.Errorf("error %v", err)
		}
	})
}

func TestProviders(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	n.caller = internalrpc.Caller{State: "x", Service: "sharing"}
	for _, sent := range []struct {
		provider string
		rows     [][]string
	}{
		{"", [][]string{{"M", "AAA", "2024-01"}}},
		{"y", [][]string{{"M", "AAA", "2024-01"}, {"M", "AAA", "2024-02"}, {"M", "BBB", "2024-01"}}},
		{"z", [][]string{{"M", "AAA", "2024-01"}, {"M", "CCC", "2024-01"}}},
		{"PUBLISHED:PUBLIC", [][]string{{"M", "AAA", "2024-01"}}},
	} {
		header := &statisticspb.SubmissionHeader{Dataflow: harmonic, Provider: sent.provider}
		_, err := n.submit(t, header, []string{"FREQ", "WHO", block.TimePeriod}, sent.rows, []float64{1, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
	}
	of := func(provider, key, period string, value float64) row {
		return row{Key: key, Period: period, Value: value, Status: "A", Provider: provider}
	}
	t.Run("it answers with own figures first, then with a partner's", func(t *testing.T) {
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic},
			of("x", "M.AAA", "2024-01", 1), of("y", "M.AAA", "2024-02", 2), of("y", "M.BBB", "2024-01", 3), of("z", "M.CCC", "2024-01", 2))
	})
	t.Run("it never sums figures of two providers", func(t *testing.T) {
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, Providers: []string{"y", "z"}, Selections: []*statisticspb.Selection{pick("WHO", "_T")}},
			of("y", "M._T", "2024-01", 4), of("z", "M._T", "2024-01", 3), of("y", "M._T", "2024-02", 2))
	})
	t.Run("it asks for the provider where two partners hold a figure", func(t *testing.T) {
		_, _, err := n.rows(t, &statisticspb.QueryRequest{Dataflow: harmonic, Selections: []*statisticspb.Selection{pick("WHO", "NORTH")}, StartPeriod: "2024-02"})
		if err != nil {
			t.Errorf("only one partner holds February: %v", err)
		}
		n.submit(t, &statisticspb.SubmissionHeader{Dataflow: harmonic, Provider: "z"}, []string{"FREQ", "WHO", block.TimePeriod}, [][]string{{"M", "BBB", "2024-01"}}, []float64{1}) //nolint:errcheck // the next line shows
		_, _, err = n.rows(t, &statisticspb.QueryRequest{Dataflow: harmonic})
		if status.Code(err) != codes.FailedPrecondition || reason(err) != "PROVIDER_AMBIGUOUS" {
			t.Errorf("error %v", err)
		}
	})
	t.Run("it shows anybody what was published, and nothing else", func(t *testing.T) {
		n.caller = internalrpc.Caller{State: "x", Service: "gateway"}
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, Providers: []string{"x"}}, of("PUBLISHED:PUBLIC", "M.AAA", "2024-01", 1))
	})
}

func TestQuery(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	rows := map[string]float64{}
	for month := 1; month <= 12; month++ {
		rows[fmt.Sprintf("East Aland 2023-%02d", month)] = 1
		if month%2 == 0 {
			rows[fmt.Sprintf("West Bland 2023-%02d", month)] = 10
		}
		if month <= 3 {
			rows[fmt.Sprintf("West Bland 2024-%02d", month)] = 100
		}
	}
	n.gate(t, "1", rows)
	year := []*statisticspb.Selection{pick("FREQ", "A")}

	t.Run("it sums over time, and says what is missing", func(t *testing.T) {
		hole := figure("A.BBB", "2024", 300)
		hole.Status, hole.Comment = "U", "3 of 12 periods"
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, Selections: year},
			figure("A.AAA", "2023", 12), figure("A.BBB", "2023", 60), hole)
	})
	t.Run("it sums a part of a year under the same words", func(t *testing.T) {
		part := figure("A._T", "2023", 12)
		part.Status, part.Comment = "U", "2 of 12 periods"
		wantRows(t, n, &statisticspb.QueryRequest{
			Dataflow: harmonic, StartPeriod: "2023-01", EndPeriod: "2023-02", Selections: append([]*statisticspb.Selection{pick("WHO", "_T")}, year...),
		}, part)
	})
	t.Run("it rolls up to a level", func(t *testing.T) {
		wantRows(t, n, &statisticspb.QueryRequest{
			Dataflow: harmonic, EndPeriod: "2023", Selections: append([]*statisticspb.Selection{{Dimension: "WHO", Level: "region"}}, year...),
		}, figure("A.NORTH", "2023", 72))
	})
	t.Run("it filters the rows of the answer", func(t *testing.T) {
		f := filter.And(filter.Eq("WHO", "BBB"), filter.Compare(filter.OpGt, "OBS_VALUE", "10"), filter.Not(filter.Eq("TIME_PERIOD", "2024-02")))
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic, Filter: wire.FilterToProto(f)}, figure("M.BBB", "2024-01", 100), figure("M.BBB", "2024-03", 100))
	})
	t.Run("it takes fiscal years", func(t *testing.T) {
		if got := n.sum(t, &statisticspb.QueryRequest{Dataflow: gates, StartPeriod: "2023-10", EndPeriod: "2024-09"}); got != 323 {
			t.Errorf("sum %v, want 323", got)
		}
	})
	t.Run("it refuses what the dataflow does not have", func(t *testing.T) {
		for _, request := range []*statisticspb.QueryRequest{
			{Dataflow: "nonsense"},
			{Dataflow: harmonic, Selections: []*statisticspb.Selection{pick("WHO", "QQQ")}},
			{Dataflow: harmonic, Selections: []*statisticspb.Selection{pick("NOBODY", "AAA")}},
			{Dataflow: harmonic, Selections: []*statisticspb.Selection{pick("WHO", "AAA"), pick("WHO", "BBB")}},
			{Dataflow: harmonic, Selections: []*statisticspb.Selection{{Dimension: "WHO", Level: "planet"}}},
			{Dataflow: harmonic, Selections: []*statisticspb.Selection{{Dimension: "WHO"}}},
			{Dataflow: harmonic, Filter: wire.FilterToProto(filter.Eq("NOBODY", "1"))},
			{Dataflow: harmonic, StartPeriod: "soon"},
			{Dataflow: harmonic, StartPeriod: "2024", EndPeriod: "2023"},
			{Dataflow: harmonic, Revision: 1, AsOf: timestamppb.Now()},
		} {
			if _, _, err := n.rows(t, request); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%v: %v", request, err)
			}
		}
		if _, _, err := n.rows(t, &statisticspb.QueryRequest{Dataflow: "X:NONE"}); status.Code(err) != codes.NotFound {
			t.Errorf("error %v", err)
		}
	})
}
