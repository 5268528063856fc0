package rpc_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/comity-federation/comity/proto/block"
	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	servicerpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/risk"
	"github.com/comity-federation/comity/services/risk/postgres"
	"github.com/comity-federation/comity/services/risk/rpc"
)

// figure is a stored observation.
type figure struct {
	key, period string
	value       float64
}

// statistics is a statistics service with figures of one provider, which answers with what is stored.
type statistics struct {
	statisticspb.UnimplementedStatisticsServiceServer
	figures []figure
	refusal error
	asked   []*statisticspb.QueryRequest
}

var dimensions = []string{"FREQ", "REF_AREA", "INDICATOR", "CITIZENSHIP", "DETAIL"} // of every dataflow

func (s *statistics) GetStructures(_ context.Context, req *statisticspb.GetStructuresRequest) (*statisticspb.GetStructuresResponse, error) {
	if req.GetDataflow() != "X:FLOW(1.0.0)" {
		return nil, fault.Missing("no dataflow %s", req.GetDataflow())
	}
	structure := &statisticspb.DataStructure{Agency: "X", Id: "FLOW", Version: "1.0.0"}
	structures := &statisticspb.Structures{DataStructures: []*statisticspb.DataStructure{structure}}
	for _, id := range dimensions {
		structure.Dimensions = append(structure.Dimensions, &statisticspb.Component{Id: id, Codelist: "X:CL_" + id + "(1.0.0)"})
		structures.Codelists = append(structures.Codelists, &statisticspb.Codelist{
			Agency: "X", Id: "CL_" + id, Version: "1.0.0", Codes: []*statisticspb.Code{{Id: "_T"}},
		})
	}
	return &statisticspb.GetStructuresResponse{Structures: structures}, nil
}

func (s *statistics) Query(req *statisticspb.QueryRequest, stream grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
	if s.refusal != nil {
		return s.refusal
	}
	s.asked = append(s.asked, req)
	builder := block.NewBuilder(
		append(slices.Clone(dimensions), block.TimePeriod, block.ObsStatus, block.Provider), []string{block.ObsValue})
	for _, f := range s.figures {
		codes := strings.Split(f.key, ".")
		chosen := func(c *statisticspb.Selection) bool {
			return slices.Contains(c.GetCodes(), codes[slices.Index(dimensions, c.GetDimension())])
		}
		if !slices.ContainsFunc(req.GetSelections(), func(c *statisticspb.Selection) bool { return !chosen(c) }) {
			builder.Append(append(codes, f.period, "A", "gb"), []float64{f.value})
		}
	}
	return stream.Send(&statisticspb.QueryResponse{Block: wire.BlockToProto(builder.Block()), Revision: 42})
}

// boats are the figures of a busy year.
func boats() *statistics {
	return &statistics{figures: []figure{
		{"Q.GB.1A.ALB.BOAT", "2021-Q3", 241},
		{"Q.GB.1A.ALB.BOAT", "2021-Q4", 551},
		{"Q.GB.1A.ALB.BOAT", "2022-Q1", 235},
		{"Q.GB.1A.ALB.BOAT", "2022-Q2", 2194},
		{"Q.GB.1A._T._T", "2021-Q3", 9000},
		{"Q.GB.1A._T._T", "2022-Q3", 9000},
	}}
}

// serve returns a server with its own database, on the statistics behind the connection.
func serve(t *testing.T, conn *grpc.ClientConn) *rpc.Server {
	t.Helper()
	return rpc.NewServer(risk.NewRegister(
		postgres.NewStore(postgrestest.New(t, postgres.Migrations)),
		rpc.NewStatistics(statisticspb.NewStatisticsServiceClient(conn)),
		func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC) },
		func() string { return uuid.Must(uuid.NewV7()).String() },
	))
}

func assumption() *riskpb.Assumption {
	return &riskpb.Assumption{
		Title: "Albanian nationals by small boat: 250 a quarter", Author: "analysis unit",
		AssumedRate: 250, Strength: 10, Tolerance: 0.25,
		Evidence: &riskpb.Evidence{
			Dataflow: "X:FLOW(1.0.0)", Key: "Q.GB.1A.ALB.BOAT", StartPeriod: "2021-Q3", EndPeriod: "2022-Q2",
		},
	}
}

func create(t *testing.T, s *rpc.Server, a *riskpb.Assumption, id string) *riskpb.Assumption {
	t.Helper()
	resp, err := s.CreateAssumption(t.Context(), &riskpb.CreateAssumptionRequest{Assumption: a, AssumptionId: id})
	if err != nil {
		t.Fatal(err)
	}
	return resp.GetAssumption()
}

func TestJudgeAssumptionFindsTheBusyYearUnderEstimated(t *testing.T) {
	s := boats()
	server := serve(t, connect(t, s))
	create(t, server, assumption(), "boats")
	got, err := server.JudgeAssumption(t.Context(), &riskpb.JudgeAssumptionRequest{Name: "assumptions/boats"})
	if err != nil {
		t.Fatal(err)
	}
	if got.GetJudgement().GetVerdict() != riskpb.Verdict_UNDER_ESTIMATED || got.GetJudgement().ExposureNeeded != nil {
		t.Errorf("judgement is %v", protojson.Format(got.GetJudgement()))
	}
	if got.GetEvents() != 3221 || got.GetExposure() != 4 || got.GetRevision() != 42 {
		t.Errorf("%v events in %v periods at revision %d, want 3221 in 4 at 42", got.GetEvents(), got.GetExposure(), got.GetRevision())
	}
	want := []*riskpb.EvidenceCount{
		{Period: "2021-Q3", Count: 241, Provider: "gb", Status: "A"},
		{Period: "2021-Q4", Count: 551, Provider: "gb", Status: "A"},
		{Period: "2022-Q1", Count: 235, Provider: "gb", Status: "A"},
		{Period: "2022-Q2", Count: 2194, Provider: "gb", Status: "A"},
	}
	if diff := cmp.Diff(want, got.GetEvidence(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if len(s.asked) != 2 || s.asked[1].GetRevision() != 42 {
		t.Errorf("the second query is not at the revision of the first: %v", s.asked)
	}
}

func TestJudgeAssumptionCountsAPeriodOnlyIfItWasReported(t *testing.T) {
	server := serve(t, connect(t, boats()))
	a := assumption()
	a.Evidence.StartPeriod, a.Evidence.EndPeriod = "2022-Q2", "2022-Q4"
	create(t, server, a, "boats")
	got, err := server.JudgeAssumption(t.Context(), &riskpb.JudgeAssumptionRequest{Name: "assumptions/boats"})
	if err != nil {
		t.Fatal(err)
	}
	want := []*riskpb.EvidenceCount{
		{Period: "2022-Q2", Count: 2194, Provider: "gb", Status: "A"}, {Period: "2022-Q3"}, {Period: "2022-Q4", LeftOut: true},
	}
	if diff := cmp.Diff(want, got.GetEvidence(), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	if got.GetExposure() != 2 {
		t.Errorf("exposure is %v, want 2", got.GetExposure())
	}
}

func TestJudgeAssumptionTakesAnObservationWithoutAValueForNoFigure(t *testing.T) {
	s := boats()
	s.figures = append(s.figures, figure{"Q.GB.1A.ALB.BOAT", "2022-Q3", math.NaN()}, figure{"Q.GB.1A._T._T", "2022-Q4", math.NaN()})
	server := serve(t, connect(t, s))
	a := assumption()
	a.Evidence.StartPeriod, a.Evidence.EndPeriod = "2022-Q2", "2022-Q4"
	create(t, server, a, "boats")
	got, err := server.JudgeAssumption(t.Context(), &riskpb.JudgeAssumptionRequest{Name: "assumptions/boats"})
	if err != nil {
		t.Fatal(err)
	}
	want := []*riskpb.EvidenceCount{
		{Period: "2022-Q2", Count: 2194, Provider: "gb", Status: "A"}, {Period: "2022-Q3", Provider: "gb", Status: "A", LeftOut: true}, {Period: "2022-Q4", LeftOut: true},
	}
	if diff := cmp.Diff(want, got.GetEvidence(), protocmp.Transform()); diff != "" || got.GetExposure() != 1 {
		t.Errorf("exposure %v %s", got.GetExposure(), diff)
	}
}

func TestJudgeAssumptionSaysWhyThereIsNoVerdict(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*riskpb.Assumption, *statistics)
		kind   fault.Kind
		text   string
	}{
		"a short key": {
			func(a *riskpb.Assumption, _ *statistics) { a.Evidence.Key = "Q.GB.1A" },
			fault.Invalid, "has 3 codes, X:FLOW(1.0.0) has 5 dimensions",
		},
		"an unknown dataflow": {
			func(a *riskpb.Assumption, _ *statistics) { a.Evidence.Dataflow = "X:OTHER(1.0.0)" },
			fault.Invalid, "no dataflow X:OTHER(1.0.0)",
		},
		"no report at all": {
			func(a *riskpb.Assumption, _ *statistics) {
				a.Evidence.StartPeriod, a.Evidence.EndPeriod = "2030-Q1", "2030-Q2"
			},
			fault.Precondition, "nothing was reported for any period from 2030-Q1 to 2030-Q2",
		},
		"two providers": {
			func(_ *riskpb.Assumption, s *statistics) {
				s.refusal = fault.New(fault.Precondition, "PROVIDER_AMBIGUOUS", "two providers hold this series: name one")
			},
			fault.Precondition, "two providers hold this series",
		},
		"statistics that do not answer": {
			func(_ *riskpb.Assumption, s *statistics) {
				s.refusal = status.Error(codes.Unavailable, "address of something inside")
			},
			fault.Unavailable, "the statistics service does not answer",
		},
	} {
		t.Run(name, func(t *testing.T) {
			a, s := assumption(), boats()
			c.change(a, s)
			server := serve(t, connect(t, s))
			create(t, server, a, "boats")
			_, err := server.JudgeAssumption(t.Context(), &riskpb.JudgeAssumptionRequest{Name: "assumptions/boats"})
			if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) {
				t.Errorf("error is %v, want kind %d with %q", err, c.kind, c.text)
			}
			if c.kind == fault.Precondition && strings.HasPrefix(c.text, "two") && fault.Reason(err) != "PROVIDER_AMBIGUOUS" {
				t.Errorf("reason is %s", fault.Reason(err))
			}
		})
	}
}

func TestCreateAssumptionIsIdempotentForTheSameContent(t *testing.T) {
	server := serve(t, connect(t, boats()))
	first := create(t, server, assumption(), "boats")
	if diff := cmp.Diff(first, create(t, server, assumption(), "boats"), protocmp.Transform()); diff != "" {
		t.Error(diff)
	}
	other := assumption()
	other.AssumedRate = 300
	_, err := server.CreateAssumption(t.Context(), &riskpb.CreateAssumptionRequest{Assumption: other, AssumptionId: "boats"})
	if !fault.Is(err, fault.Exists) {
		t.Errorf("error is %v, want exists", err)
	}
	got, err := server.GetAssumption(t.Context(), &riskpb.GetAssumptionRequest{Name: "assumptions/boats"})
	if err != nil || !proto.Equal(first, got.GetAssumption()) {
		t.Errorf("got %v: %v", got, err)
	}
}

func TestCreateAssumptionTakesTheCallerForTheAuthor(t *testing.T) {
	server := serve(t, connect(t, boats()))
	a := assumption()
	a.Author = ""
	ctx := servicerpc.WithCaller(t.Context(), servicerpc.Caller{Person: &servicerpc.Person{Subject: "analyst@gb"}})
	resp, err := server.CreateAssumption(ctx, &riskpb.CreateAssumptionRequest{Assumption: a})
	if err != nil {
		t.Fatal(err)
	}
	if author := resp.GetAssumption().GetAuthor(); author != "analyst@gb" {
		t.Errorf("author is %q", author)
	}
}

func TestListAssumptionsPagesById(t *testing.T) {
	server := serve(t, connect(t, boats()))
	var want, got []string
	for i := range 5 {
		want = append(want, create(t, server, assumption(), fmt.Sprintf("a-%d", i)).GetName())
	}
	req := &riskpb.ListAssumptionsRequest{PageSize: 2}
	for pages := 1; ; pages++ {
		resp, err := server.ListAssumptions(t.Context(), req)
		if err != nil {
			t.Fatal(err)
		}
		for _, a := range resp.GetAssumptions() {
			got = append(got, a.GetName())
		}
		if req.PageToken = resp.GetNextPageToken(); req.PageToken == "" {
			if pages != 3 {
				t.Errorf("%d pages, want 3", pages)
			}
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestRequestsThatMakeNoSenseAreInvalid(t *testing.T) {
	server := serve(t, connect(t, boats()))
	ctx := t.Context()
	for name, call := range map[string]func() error{
		"no assumption": func() error {
			_, err := server.CreateAssumption(ctx, &riskpb.CreateAssumptionRequest{})
			return err
		},
		"a name of another collection": func() error {
			_, err := server.GetAssumption(ctx, &riskpb.GetAssumptionRequest{Name: "threats/boats"})
			return err
		},
		"a name with a zero byte": func() error {
			_, err := server.JudgeAssumption(ctx, &riskpb.JudgeAssumptionRequest{Name: "assumptions/\x00"})
			return err
		},
		"a negative page": func() error {
			_, err := server.ListAssumptions(ctx, &riskpb.ListAssumptionsRequest{PageSize: -1})
			return err
		},
		"a made-up page token": func() error {
			_, err := server.ListAssumptions(ctx, &riskpb.ListAssumptionsRequest{PageToken: "AA"})
			return err
		},
		"a rate that is no number": func() error {
			_, err := rpc.Methods{}.JudgeRate(ctx, &riskpb.JudgeRateRequest{
				AssumedRate: math.NaN(), Strength: 1, Events: 1, Exposure: 1, Tolerance: 1,
			})
			return err
		},
	} {
		if err := call(); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: error is %v, want invalid", name, err)
		}
	}
}

func TestJudgeRateSaysHowMuchMoreExposureIsNeeded(t *testing.T) {
	resp, err := rpc.Methods{}.JudgeRate(t.Context(), &riskpb.JudgeRateRequest{
		AssumedRate: 10, Strength: 2, Events: 12, Exposure: 1, Tolerance: 0.25,
	})
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetVerdict() != riskpb.Verdict_INSUFFICIENT || resp.GetExposureNeeded() <= 0 {
		t.Errorf("verdict is %s with %v further exposure", resp.GetVerdict(), resp.GetExposureNeeded())
	}
}
