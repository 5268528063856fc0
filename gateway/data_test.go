package main

import (
	"compress/gzip"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/proto/wire"
)

const border = "/sdmx/v2/data/dataflow/COMITY/BORDER/1.0.0/"

func TestDataAnswersCSV(t *testing.T) {
	n := newNode(t)
	n.statistics.query = answers(
		part(row{"Small boats, sea", "SYR", "2023-01", 1204, "A", ""}, row{"Small boats, sea", "SYR", "2023-02", 0.5, "P", `he said "no"`}),
		part(),
		part(row{"_T", "AFG", "2023-01", 3e6, "A", ""}),
	)
	answer, body := n.do(t, "GET", border+"M.*.*?startPeriod=2023", "", "Accept", "text/csv", "Accept-Encoding", "identity")
	want := `STRUCTURE,STRUCTURE_ID,ACTION,FREQ,SECTION,CITIZENSHIP,TIME_PERIOD,OBS_VALUE,OBS_STATUS,COMMENT,UNIT_MEASURE
dataflow,COMITY:BORDER(1.0.0),I,M,"Small boats, sea",SYR,2023-01,1204,A,,
dataflow,COMITY:BORDER(1.0.0),I,M,"Small boats, sea",SYR,2023-02,0.5,P,"he said ""no""",
dataflow,COMITY:BORDER(1.0.0),I,M,_T,AFG,2023-01,3000000,A,,
`
	if diff := cmp.Diff(want, body); answer.StatusCode != 200 || diff != "" {
		t.Errorf("%d %s", answer.StatusCode, diff)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/csv;charset=utf-8", "Access-Control-Allow-Origin": "*", "X-Comity-Revision": "7",
		"Vary": "Accept, Accept-Language, Accept-Encoding, Authorization",
	} {
		if have := answer.Header.Get(name); have != want {
			t.Errorf("%s is %q, want %q", name, have, want)
		}
	}
}

func TestDataPutsTheQueryToStatistics(t *testing.T) {
	n := newNode(t)
	var asked *statisticspb.QueryRequest
	n.statistics.query = func(request *statisticspb.QueryRequest, _ grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
		asked = request
		return nil
	}
	eq := func(component, value string) *typespb.Filter {
		return &typespb.Filter{Operator: typespb.Filter_EQ, Component: component, Values: []string{value}}
	}
	for _, test := range []struct {
		path string
		want *statisticspb.QueryRequest
	}{
		{border + "M.*._T/?startPeriod=2023-01&endPeriod=2023-06&provider=eu,gb&asOf=2024-01-31T12:00:00+01:00", &statisticspb.QueryRequest{
			Providers:   []string{"eu", "gb"},
			Selections:  []*statisticspb.Selection{{Dimension: "FREQ", Codes: []string{"M"}}, {Dimension: "CITIZENSHIP", Codes: []string{"_T"}}},
			StartPeriod: "2023-01", EndPeriod: "2023-06",
			AsOf: timestamppb.New(time.Date(2024, 1, 31, 11, 0, 0, 0, time.UTC)),
		}},
		{border + "M.Small%20boats%2C%20sea%2FA.*?c%5BTIME_PERIOD%5D=ge:2023%2Ble:2023-06&c[OBS_STATUS]=A", &statisticspb.QueryRequest{
			Selections:  []*statisticspb.Selection{{Dimension: "FREQ", Codes: []string{"M"}}, {Dimension: "SECTION", Codes: []string{"Small boats, sea/A"}}},
			StartPeriod: "2023", EndPeriod: "2023-06", Filter: eq("OBS_STATUS", "A"),
		}},
		{border + "?c[CITIZENSHIP]=SYR,AFG&format=jsondata", &statisticspb.QueryRequest{
			Selections: []*statisticspb.Selection{{Dimension: "CITIZENSHIP", Codes: []string{"AFG", "SYR"}}},
		}},
		{border + "?firstNObservations=1&lastNObservations=2&offset=3&limit=4", &statisticspb.QueryRequest{FirstObservations: 1, LastObservations: 2, Offset: 3, Limit: 4}},
		{border + "?sort=series_key:desc+TIME_PERIOD+FREQ", &statisticspb.QueryRequest{OrderBy: []string{"FREQ desc", "SECTION desc", "CITIZENSHIP desc", "TIME_PERIOD"}}},
		{border + "?sort=TIME_PERIOD:desc%2B*:asc&format=csvdata", &statisticspb.QueryRequest{OrderBy: []string{"TIME_PERIOD desc", "FREQ", "SECTION", "CITIZENSHIP"}}},
		{border + "?sort=OBS_VALUE:desc&dimensionAtObservation=AllDimensions", &statisticspb.QueryRequest{OrderBy: []string{"OBS_VALUE desc"}}},
		{border + "M.*._T?updatedAfter=2024-01-31&c[SECTION]=A,B", &statisticspb.QueryRequest{
			UpdatedAfter: timestamppb.New(time.Date(2024, 1, 31, 0, 0, 0, 0, time.UTC)),
			Filter: &typespb.Filter{Operator: typespb.Filter_AND, Operands: []*typespb.Filter{
				eq("FREQ", "M"), {Operator: typespb.Filter_IN, Component: "SECTION", Values: []string{"A", "B"}}, eq("CITIZENSHIP", "_T"),
			}},
		}},
		{border + "?attributes=COMMENT&c[UNIT_MEASURE]=PERSONS", &statisticspb.QueryRequest{Filter: eq("UNIT_MEASURE", "PERSONS")}},
		{border + "?attributes=none&sort=UNIT_MEASURE:desc&format=csvdata", &statisticspb.QueryRequest{OrderBy: []string{"UNIT_MEASURE desc"}}},
		{border + "?attributes=none", &statisticspb.QueryRequest{Attributes: []string{}}},
		{"/sdmx/v2/data/*/COMITY/BORDER&format=jsondata", &statisticspb.QueryRequest{}},
		{"/sdmx/v2/data/dataflow/COMITY/BORDER/+/*", &statisticspb.QueryRequest{}},
		{"/sdmx/v2/data/dataflow/COMITY", &statisticspb.QueryRequest{}},
		{"/sdmx/v2//data/dataflow/*/BORDER/1.0+.0", &statisticspb.QueryRequest{}},
	} {
		asked = nil
		if answer, body := n.do(t, "GET", test.path, ""); answer.StatusCode != http.StatusNoContent || body != "" {
			t.Errorf("%s: %d %s", test.path, answer.StatusCode, body)
			continue
		}
		test.want.Dataflow = "COMITY:BORDER(1.0.0)"
		if test.want.Attributes == nil { // all that the structure has beside those of every answer
			test.want.Attributes = []string{"UNIT_MEASURE"}
		}
		if diff := cmp.Diff(test.want, asked, protocmp.Transform()); diff != "" {
			t.Errorf("%s: %s", test.path, diff)
		}
	}
}

func TestDataSaysWhatIsWrongWithAQuery(t *testing.T) {
	n := newNode(t)
	n.statistics.query = answers()
	for _, test := range []struct {
		path   string
		status int
		says   string
	}{
		{border + "M.A.B.C", 400, "A key has 4 dimensions"},
		{border + "*?c[NOTHING]=A", 400, "no component NOTHING"},
		{border + "*?c[FREQ]=xx:A", 400, "no operator"},
		{border + "*?c[FREQ]=", 400, "empty value"},
		{border + "*?c[FREQ]=A&c[FREQ]=M", 400, "stands twice"},
		{border + "*?c[OBS_VALUE]=ge:x", 400, "no number"},
		{border + "*?c[TIME_PERIOD]=ge:last", 400, "no time period"},
		{border + "*?startPeriod=2023-13", 400, "no time period"},
		{border + "*?firstNObservations=0", 400, "at least 1"},
		{border + "*?asOf=yesterday", 400, "no moment"},
		{border + "*?sorted=yes", 400, "no parameter"},
		{border + "*?provider=", 400, "empty value"},
		{border + "*?attributes=NOTHING", 400, "no attribute NOTHING"},
		{border + "*?dimensionAtObservation=NOTHING", 400, "no dimension NOTHING"},
		{border + "*?dimensionAtObservation=CITIZENSHIP", 501, "may be TIME_PERIOD"},
		{border + "*?updatedAfter=recently", 400, "no moment"},
		{border + "*?limit=3000000000", 400, "at most 2147483647"},
		{border + "*?sort=NOTHING", 400, "no component NOTHING"},
		{border + "*?sort=FREQ:down", 400, "not of the form"},
		{border + "*?sort=FREQ+", 400, "not of the form"},
		{border + "*?sort=TIME_PERIOD:desc", 400, "takes series apart"},
		{border + "*?includeHistory=true", 501, "includeHistory"},
		{border + "*?format=genericdata", 406, "No format fits"},
		{border + "*/FREQ/x", 400, "more parts"},
		{border + "M.%ff", 400, "UTF-8"},
		{border + "*?c[FREQ]=%ff%fe", 400, "UTF-8"},
		{border + "*?c[FREQ]=%00", 400, "U+0000"},
		{border + "*?c[FREQ]=%zz", 400, "not percent-encoded"},
		{"/sdmx/v2/data/nothing/COMITY/BORDER", 400, "no context"},
		{"/sdmx/v2/data/provisionagreement/COMITY/BORDER", 501, "context"},
		{"/sdmx/v2/data/dataflow/COMITY/OTHER/1.0.0", 404, "no dataflow"},
		{"/sdmx/v2/data/dataflow/COMITY/OTHER/~1.0.0", 404, "No dataflow"},
		{"/sdmx/v2/data", 501, "2 dataflows fit"},
		{"/sdmx/v2/structure/dataflow", 501, "structure queries"},
		{"/sdmx/v2/nothing", 404, "nothing at"},
	} {
		answer, body := n.do(t, "GET", test.path, "")
		var message struct {
			Errors []struct {
				Code   int
				Title  string
				Reason string `json:"x-comity-reason"`
			}
		}
		if err := json.Unmarshal([]byte(body), &message); err != nil {
			t.Errorf("%s: %d %v in %s", test.path, answer.StatusCode, err, body)
			continue
		}
		if answer.StatusCode != test.status {
			t.Errorf("%s: %d, want %d: %s", test.path, answer.StatusCode, test.status, body)
		}
		if len(message.Errors) != 1 || message.Errors[0].Code != test.status || !strings.Contains(message.Errors[0].Title, test.says) || message.Errors[0].Reason == "" {
			t.Errorf("%s: %s, want %q", test.path, body, test.says)
		}
		if answer.Header.Get("Access-Control-Allow-Origin") != "*" || answer.Header.Get("X-Comity-Reason") != message.Errors[0].Reason {
			t.Errorf("%s: headers %v", test.path, answer.Header)
		}
	}
	answer, body := n.do(t, "GET", border, "", "Accept", "application/xml, image/*")
	if answer.StatusCode != 406 {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	answer, body = n.do(t, "GET", border, "", "Authorization", "Basic x")
	if answer.StatusCode != 401 || !strings.Contains(body, `"code":401`) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	answer, body = n.do(t, "POST", border, "x")
	if answer.StatusCode != 405 || !strings.Contains(body, `"code":405`) {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
	answer, _ = n.do(t, "OPTIONS", border, "", "Origin", "https://example.org", "Access-Control-Request-Method", "GET")
	if answer.StatusCode != 204 || answer.Header.Get("Access-Control-Allow-Headers") == "" {
		t.Errorf("preflight %d %v", answer.StatusCode, answer.Header)
	}
}

func TestDataKeepsTheReasonOfARefusal(t *testing.T) {
	n := newNode(t)
	n.statistics.query = func(*statisticspb.QueryRequest, grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
		return reasoned(codes.FailedPrecondition, "PROVIDER_AMBIGUOUS", "Name a provider.")
	}
	answer, body := n.do(t, "GET", border, "")
	if answer.StatusCode != 400 || answer.Header.Get("X-Comity-Reason") != "PROVIDER_AMBIGUOUS" || !strings.Contains(body, "Name a provider.") {
		t.Errorf("%d %v %s", answer.StatusCode, answer.Header, body)
	}
}

func TestDataSendsTheFirstRowsBeforeTheLastAreRead(t *testing.T) {
	n := newNode(t)
	seen := make(chan struct{})
	n.statistics.query = func(_ *statisticspb.QueryRequest, stream grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
		if err := stream.Send(part(row{"_T", "SYR", "2023-01", 1, "A", ""})); err != nil {
			return err
		}
		select {
		case <-seen:
			return stream.Send(part(row{"_T", "SYR", "2023-02", 2, "A", ""}))
		case <-time.After(5 * time.Second):
			return errors.New("the client has not seen the first row")
		}
	}
	for _, encoding := range []string{"identity", "gzip"} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+border+"?format=csvdata", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Accept-Encoding", encoding)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		var in io.Reader = answer.Body
		if encoding == "gzip" {
			if in, err = gzip.NewReader(answer.Body); err != nil {
				t.Fatal(err)
			}
		}
		rows := csv.NewReader(in)
		for range 2 {
			if _, err := rows.Read(); err != nil {
				t.Fatal(err)
			}
		}
		seen <- struct{}{}
		if rest, err := rows.ReadAll(); err != nil || len(rest) != 1 {
			t.Errorf("%s: %v %v", encoding, rest, err)
		}
	}
}

func TestDataBreaksOffAnAnswerThatFails(t *testing.T) {
	n := newNode(t)
	n.statistics.query = func(_ *statisticspb.QueryRequest, stream grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
		if err := stream.Send(part(row{"_T", "SYR", "2023-01", 1, "A", ""})); err != nil {
			return err
		}
		return reasoned(codes.Unavailable, "UNAVAILABLE", "Gone.")
	}
	for _, format := range []string{"csvdata", "jsondata"} {
		for _, encoding := range []string{"identity", "gzip"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, n.url+border+"?format="+format, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Accept-Encoding", encoding)
			answer, err := http.DefaultClient.Do(request)
			if err != nil {
				continue // broken off before the first byte arrived
			}
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err == nil {
				t.Errorf("%s %s ends well: %s", format, encoding, body)
			}
		}
	}
}

// changes is a part of an answer of what changed.
func changes(rows ...string) *statisticspb.QueryResponse {
	b := block.NewBuilder([]string{"FREQ", "SECTION", "CITIZENSHIP", block.TimePeriod, block.ObsStatus, "_ACTION"}, []string{block.ObsValue})
	for _, r := range rows {
		f := strings.Fields(r)
		v, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			v = math.NaN()
		}
		b.Append([]string{"M", "_T", f[1], f[2], "A", f[0]}, []float64{v})
	}
	return &statisticspb.QueryResponse{Block: wire.BlockToProto(b.Block()), Revision: 9}
}

func TestDataAnswersWhatChanged(t *testing.T) {
	n := newNode(t)
	n.statistics.query = answers(changes("M AFG 2023-01 5", "D AFG 2023-02 7"), changes("D SYR 2023-01 8", "M SYR 2023-02 -"))
	answer, body := n.do(t, "GET", border+"?updatedAfter=2024-01-01", "", "Accept", "text/csv")
	want := `STRUCTURE,STRUCTURE_ID,ACTION,FREQ,SECTION,CITIZENSHIP,TIME_PERIOD,OBS_VALUE,OBS_STATUS,COMMENT,UNIT_MEASURE
dataflow,COMITY:BORDER(1.0.0),M,M,_T,AFG,2023-01,5,A,,
dataflow,COMITY:BORDER(1.0.0),D,M,_T,AFG,2023-02,,,,
dataflow,COMITY:BORDER(1.0.0),D,M,_T,SYR,2023-01,,,,
dataflow,COMITY:BORDER(1.0.0),M,M,_T,SYR,2023-02,,A,,
`
	if diff := cmp.Diff(want, body); diff != "" || answer.Header.Get("X-Comity-Revision") != "9" {
		t.Errorf("%v %s", answer.Header, diff)
	}
	for at, want := range map[string]string{
		"TIME_PERIOD":   `[{"structure":0,"action":"Merge","series":{"0:0:0":{"observations":{"0":[5,0,null,null]}},"0:0:1":{"observations":{"1":[null,0,null,null]}}}},{"structure":0,"action":"Delete","series":{"0:0:0":{"observations":{"1":[]}},"0:0:1":{"observations":{"0":[]}}}}]`,
		"AllDimensions": `[{"structure":0,"action":"Merge","observations":{"0:0:0:0":[5,0,null,null],"0:0:1:1":[null,0,null,null]}},{"structure":0,"action":"Delete","observations":{"0:0:0:1":[],"0:0:1:0":[]}}]`,
	} {
		_, body = n.do(t, "GET", border+"?updatedAfter=2024-01-01&dimensionAtObservation="+at, "")
		var message struct {
			Data struct {
				DataSets   json.RawMessage
				Structures []struct{ DataSets []int }
			}
		}
		if err := json.Unmarshal([]byte(body), &message); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(message.Data.DataSets)); diff != "" || len(message.Data.Structures[0].DataSets) != 2 {
			t.Errorf("%v %s", message.Data.Structures, diff)
		}
	}
}

func TestDataAnswersHead(t *testing.T) {
	n := newNode(t)
	n.statistics.query = answers(part(row{"_T", "SYR", "2023-01", 1, "A", ""}))
	answer, body := n.do(t, "HEAD", border, "")
	if answer.StatusCode != 200 || body != "" || answer.Header.Get("Content-Type") != "application/vnd.sdmx.data+json;version=2.1.0" {
		t.Errorf("%d %s %v", answer.StatusCode, body, answer.Header)
	}
}
