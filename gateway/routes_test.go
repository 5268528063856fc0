package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
)

func (f *fakeStatistics) ListStructures(_ context.Context, request *statisticspb.ListStructuresRequest) (*statisticspb.ListStructuresResponse, error) {
	f.asked.Store(&lastRequest{request})
	return &statisticspb.ListStructuresResponse{Structures: borderStructures()}, f.err
}

func (f *fakeStatistics) DeleteStructures(_ context.Context, request *statisticspb.DeleteStructuresRequest) (*statisticspb.DeleteStructuresResponse, error) {
	f.asked.Store(&lastRequest{request})
	return &statisticspb.DeleteStructuresResponse{Deleted: int32(len(request.GetArtefacts()))}, f.err
}

func (f *fakeStatistics) GetAvailability(_ context.Context, request *statisticspb.GetAvailabilityRequest) (*statisticspb.GetAvailabilityResponse, error) {
	f.asked.Store(&lastRequest{request})
	return &statisticspb.GetAvailabilityResponse{FirstPeriod: "2020-01", Series: 3, Revision: 9}, f.err
}

func (f *fakeStatistics) CompareRevisions(request *statisticspb.CompareRevisionsRequest, stream grpc.ServerStreamingServer[statisticspb.CompareRevisionsResponse]) error {
	f.asked.Store(&lastRequest{request})
	if f.err != nil && request.GetFromRevision() > 0 {
		return f.err
	}
	b := block.NewBuilder([]string{"FREQ"}, []string{block.ObsValue})
	b.Append([]string{"M"}, []float64{1})
	if err := stream.Send(&statisticspb.CompareRevisionsResponse{Block: wire.BlockToProto(b.Block())}); err != nil {
		return err
	}
	if f.err != nil {
		return f.err
	}
	return stream.Send(&statisticspb.CompareRevisionsResponse{Summary: &statisticspb.RevisionSummary{Added: 2, Revised: 5}})
}

func (f *fakeStatistics) CompareMirror(_ context.Context, request *statisticspb.CompareMirrorRequest) (*statisticspb.CompareMirrorResponse, error) {
	f.asked.Store(&lastRequest{request})
	return &statisticspb.CompareMirrorResponse{TotalPairs: 4}, f.err
}

func (f *fakeStatistics) SetQualityRules(_ context.Context, request *statisticspb.SetQualityRulesRequest) (*statisticspb.SetQualityRulesResponse, error) {
	f.asked.Store(&lastRequest{request})
	return &statisticspb.SetQualityRulesResponse{QualityRules: request.GetQualityRules()}, f.err
}

func (f *fakeStatistics) GetQualityRules(_ context.Context, request *statisticspb.GetQualityRulesRequest) (*statisticspb.GetQualityRulesResponse, error) {
	f.asked.Store(&lastRequest{request})
	return &statisticspb.GetQualityRulesResponse{QualityRules: &statisticspb.QualityRules{Dataflow: request.GetDataflow(), Version: 3}}, f.err
}

func (f *fakeStatistics) SetRetention(_ context.Context, request *statisticspb.SetRetentionRequest) (*statisticspb.SetRetentionResponse, error) {
	f.asked.Store(&lastRequest{request})
	if request.GetRemove() {
		return &statisticspb.SetRetentionResponse{}, f.err
	}
	return &statisticspb.SetRetentionResponse{Rule: request.GetRule()}, f.err
}

func (f *fakeStatistics) ListRetention(_ context.Context, request *statisticspb.ListRetentionRequest) (*statisticspb.ListRetentionResponse, error) {
	f.asked.Store(&lastRequest{request})
	return &statisticspb.ListRetentionResponse{Rules: []*statisticspb.RetentionRule{{Provider: "gb", AfterReceived: "P2Y"}}}, f.err
}

func (f *fakeStatistics) ListRemovals(_ context.Context, request *statisticspb.ListRemovalsRequest) (*statisticspb.ListRemovalsResponse, error) {
	f.asked.Store(&lastRequest{request})
	return &statisticspb.ListRemovalsResponse{NextPageToken: "next"}, f.err
}

// lastRequest is what a service was asked last.
type lastRequest struct{ request proto.Message }

const flow = "COMITY:BORDER(1.0.0)"

// statisticsRoutes are calls of the routes, what the service is asked then, and a part of the answer.
var statisticsRoutes = []struct {
	method, path, body string
	want               proto.Message
	answer             string
}{
	{
		"GET", "/v1/artefacts?kinds=CODELIST&kinds=DATAFLOW&agencies=COMITY&ids=CL_SEX&versions=1.0%2B.0&references=PARENTS&items=F", "",
		&statisticspb.ListStructuresRequest{
			Kinds:    []statisticspb.Artefact_Kind{statisticspb.Artefact_CODELIST, statisticspb.Artefact_DATAFLOW},
			Agencies: []string{"COMITY"}, Ids: []string{"CL_SEX"}, Versions: []string{"1.0+.0"},
			References: statisticspb.ListStructuresRequest_PARENTS, Items: []string{"F"},
		},
		`"codelists":[{"agency":"COMITY"`,
	},
	{"GET", "/v1/artefacts", "", &statisticspb.ListStructuresRequest{}, `"dataflows":[`},
	{
		"DELETE", "/v1/structures?artefacts=Dataflow%3DX:OLD(1.0.0)&artefacts=Codelist%3DX:CL(1.0.0)", "",
		&statisticspb.DeleteStructuresRequest{Artefacts: []string{"Dataflow=X:OLD(1.0.0)", "Codelist=X:CL(1.0.0)"}},
		`"deleted":2`,
	},
	{
		"GET", "/v1/availability?dataflow=" + flow + "&providers=gb&providers=us&startPeriod=2020&end_period=2021-06&dimensions=SEX", "",
		&statisticspb.GetAvailabilityRequest{Dataflow: flow, Providers: []string{"gb", "us"}, StartPeriod: "2020", EndPeriod: "2021-06", Dimensions: []string{"SEX"}},
		`"firstPeriod":"2020-01"`,
	},
	{
		"POST", "/v1/availability", `{"dataflow":"` + flow + `","filter":{"operator":"EQ","component":"SEX","values":["F"]}}`,
		&statisticspb.GetAvailabilityRequest{Dataflow: flow, Filter: wire.FilterToProto(filter.Eq("SEX", "F"))},
		`"revision":"9"`,
	},
	{
		"GET", "/v1/revisions:compare?dataflow=" + flow + "&fromRevision=3&toRevision=9007199254740993&provider=gb", "",
		&statisticspb.CompareRevisionsRequest{Dataflow: flow, FromRevision: 3, ToRevision: 9007199254740993, Provider: "gb"},
		`"summary":{"added":2,"revised":5`,
	},
	{
		"POST", "/v1/revisions:compare", `{"dataflow":"` + flow + `","fromRevision":"3","filter":{"operator":"EQ","component":"SEX","values":["F"]}}`,
		&statisticspb.CompareRevisionsRequest{Dataflow: flow, FromRevision: 3, Filter: wire.FilterToProto(filter.Eq("SEX", "F"))},
		`{"result":{"block":`,
	},
	{
		"GET", "/v1/quality-rules?dataflow=" + flow, "",
		&statisticspb.GetQualityRulesRequest{Dataflow: flow}, `"version":3`,
	},
	{
		"POST", "/v1/quality-rules", `{"dataflow":"` + flow + `","rules":[{"id":"R","check":"GAPS","severity":"WARNING","thresholds":{"cover":0.5}}]}`,
		&statisticspb.SetQualityRulesRequest{QualityRules: &statisticspb.QualityRules{Dataflow: flow, Rules: []*statisticspb.QualityRule{{
			Id: "R", Check: statisticspb.QualityRule_GAPS, Severity: statisticspb.Finding_WARNING, Thresholds: map[string]float64{"cover": 0.5},
		}}}},
		`"check":"GAPS"`,
	},
	{
		"PUT", "/v1/quality-rules", `{"dataflow":"` + flow + `"}`,
		&statisticspb.SetQualityRulesRequest{QualityRules: &statisticspb.QualityRules{Dataflow: flow}}, `"rules":[]`,
	},
	{
		"POST", "/v1/retention", `{"rule":{"provider":"gb","afterReceived":"P2Y"}}`,
		&statisticspb.SetRetentionRequest{Rule: &statisticspb.RetentionRule{Provider: "gb", AfterReceived: "P2Y"}}, `"afterReceived":"P2Y"`,
	},
	{
		"POST", "/v1/retention", `{"rule":{"provider":"gb"},"remove":true}`,
		&statisticspb.SetRetentionRequest{Rule: &statisticspb.RetentionRule{Provider: "gb"}, Remove: true}, ``,
	},
	{"GET", "/v1/retention", "", &statisticspb.ListRetentionRequest{}, `"rules":[{"dataflow":"","provider":"gb"`},
	{
		"GET", "/v1/removals?pageSize=20&pageToken=a%2Bb", "",
		&statisticspb.ListRemovalsRequest{PageSize: 20, PageToken: "a+b"}, `"nextPageToken":"next"`,
	},
	{
		"GET", "/v1/mirror?partner=gb&frequency=A&startPeriod=2020&asOf=2024-01-01T00:00:00Z&significance=0.05&limit=10", "",
		&statisticspb.CompareMirrorRequest{
			Partner: "gb", Frequency: "A", StartPeriod: "2020", AsOf: &timestamppb.Timestamp{Seconds: 1704067200}, Significance: proto.Float64(0.05), Limit: 10,
		},
		`"totalPairs":4`,
	},
	{
		"POST", "/v1/mirror", `{"partner":"gb","design":{"areaDimension":"REF_AREA"}}`,
		&statisticspb.CompareMirrorRequest{Partner: "gb", Design: &statisticspb.MirrorDesign{AreaDimension: "REF_AREA"}}, `"pairs":[]`,
	},
}

func TestStatisticsRoutes(t *testing.T) {
	n := newNode(t)
	for _, r := range statisticsRoutes {
		t.Run(fmt.Sprintf("it asks and answers %s %s", r.method, r.path), func(t *testing.T) {
			answer, body := n.do(t, r.method, r.path, r.body)
			if answer.StatusCode != http.StatusOK || !strings.Contains(strings.NewReplacer(`": `, `":`, `, "`, `,"`).Replace(body), r.answer) {
				t.Errorf("%d %s, want %s", answer.StatusCode, body, r.answer)
			}
			for line := range strings.Lines(body) {
				if !json.Valid([]byte(line)) {
					t.Errorf("no JSON: %s", line)
				}
			}
			if diff := cmp.Diff(r.want, n.statistics.asked.Load().request, protocmp.Transform()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
		})
	}
	n.statistics.err = reasoned(codes.NotFound, "NOT_FOUND", "There is no such thing.")
	for _, r := range statisticsRoutes {
		t.Run(fmt.Sprintf("it passes on what is wrong with %s %s", r.method, r.path), func(t *testing.T) {
			answer, body := n.do(t, r.method, r.path, r.body)
			if e, reason := readError(t, body); answer.StatusCode != http.StatusNotFound || reason != "NOT_FOUND" || e.Message != "There is no such thing." {
				t.Errorf("%d %s", answer.StatusCode, body)
			}
		})
	}
}

func TestStatisticsRoutesRefuseWhatIsNotAsked(t *testing.T) {
	n := newNode(t)
	for _, test := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/v1/artefacts?kinds=SHOE", "", 400},
		{"GET", "/v1/artefacts?nothing=1", "", 400},
		{"GET", "/v1/artefacts?references=", "", 400},
		{"PUT", "/v1/artefacts", "{}", 405},
		{"DELETE", "/v1/structures?nothing=1", "", 400},
		{"DELETE", "/v1/artefacts", "", 405},
		{"GET", "/v1/availability?filter=SEX", "", 400},
		{"GET", "/v1/availability?startPeriod=2020&startPeriod=2021", "", 400},
		{"POST", "/v1/availability", `{"filter":{"operator":"LIKE"}}`, 400},
		{"POST", "/v1/availability", `{"dimensions":"SEX"}`, 400},
		{"GET", "/v1/revisions:compare?fromRevision=one", "", 400},
		{"GET", "/v1/revisions:compare?fromRevision=9223372036854775808", "", 400},
		{"POST", "/v1/revisions:compare", `{"fromRevision":1.5}`, 400},
		{"GET", "/v1/revisions:contrast", "", 404},
		{"GET", "/v1/quality-rules?version=1", "", 400},
		{"POST", "/v1/quality-rules", `{"rules":[{"check":"LUCK"}]}`, 400},
		{"POST", "/v1/quality-rules", `{"rules":[{"thresholds":{"factor":"NaN or so"}}]}`, 400},
		{"PUT", "/v1/quality-rules", `{"rules":`, 400},
		{"DELETE", "/v1/quality-rules", "", 405},
		{"POST", "/v1/retention", `{"afterReceived":"P2Y"}`, 400},
		{"POST", "/v1/retention", `{"rule":{"provider":"gb"},"remove":"perhaps"}`, 400},
		{"POST", "/v1/retention", `[]`, 400},
		{"DELETE", "/v1/retention", "", 405},
		{"GET", "/v1/removals?pageSize=many", "", 400},
		{"GET", "/v1/removals?pageSize=2147483648", "", 400},
		{"POST", "/v1/removals", "{}", 405},
		{"GET", "/v1/mirror?asOf=yesterday", "", 400},
		{"GET", "/v1/mirror?significance=low", "", 400},
		{"POST", "/v1/mirror", `{"design":{"shape":"round"}}`, 400},
	} {
		t.Run(fmt.Sprintf("it refuses %s %s %s", test.method, test.path, test.body), func(t *testing.T) {
			answer, body := n.do(t, test.method, test.path, test.body)
			if readError(t, body); answer.StatusCode != test.status {
				t.Errorf("%d %s, want %d", answer.StatusCode, body, test.status)
			}
			if asked := n.statistics.asked.Load(); asked != nil {
				t.Errorf("the service is asked %v", asked.request)
			}
		})
	}
}

func TestStreamedAnswersHideWhatServicesDoNotMeanForClients(t *testing.T) {
	n := newNode(t)
	n.statistics.err = status.Error(codes.Internal, "pq: connection to 10.0.0.7 refused")
	answer, body := n.do(t, "GET", "/v1/revisions:compare?fromRevision=1", "")
	if _, reason := readError(t, body); answer.StatusCode != http.StatusInternalServerError || reason != "INTERNAL" || strings.Contains(body, "10.0") {
		t.Errorf("at its beginning: %d %s", answer.StatusCode, body)
	}
	answer, body = n.do(t, "GET", "/v1/revisions:compare", "") // breaks off after the first part
	begun, end, _ := strings.Cut(body, "\n")
	if !strings.Contains(begun, `"result"`) || !strings.Contains(end, `"error"`) || !strings.Contains(end, `"INTERNAL"`) || strings.Contains(body, "10.0") {
		t.Errorf("in its midst: %d %s", answer.StatusCode, body)
	}
	n.stop["statistics"]()
	answer, body = n.do(t, "GET", "/v1/revisions:compare?fromRevision=1", "")
	if _, reason := readError(t, body); answer.StatusCode != http.StatusServiceUnavailable || reason != "UNAVAILABLE" || strings.Contains(body, "bufconn") {
		t.Errorf("unreachable: %d %s", answer.StatusCode, body)
	}
}
