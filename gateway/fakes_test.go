package main

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/comity-federation/comity/proto/block"
	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is the gateway before fake services.
type node struct {
	url        string
	statistics *fakeStatistics
	risk       *fakeRisk
	sharing    *fakeSharing
	disclosure *fakeDisclosure
	health     map[string]*health.Server
	stop       map[string]func()

	mu       sync.Mutex
	metadata metadata.MD // of the last call
}

// newNode starts a gateway over real HTTP, in front of fake services over real gRPC.
func newNode(t testing.TB) *node {
	t.Helper()
	n := &node{
		statistics: &fakeStatistics{}, risk: &fakeRisk{}, sharing: &fakeSharing{}, disclosure: &fakeDisclosure{},
		health: map[string]*health.Server{}, stop: map[string]func(){},
	}
	services := Services{
		Statistics: n.start(t, "statistics", func(s *grpc.Server) { statisticspb.RegisterStatisticsServiceServer(s, n.statistics) }),
		Risk: n.start(t, "risk", func(s *grpc.Server) {
			riskpb.RegisterRiskServiceServer(s, n.risk)
			riskpb.RegisterMethodsServiceServer(s, n.risk)
		}),
		Sharing: n.start(t, "sharing", func(s *grpc.Server) {
			sharingpb.RegisterSharingServiceServer(s, n.sharing)
			sharingpb.RegisterDisclosureServiceServer(s, n.disclosure)
		}),
	}
	handler, err := newHandler(t.Context(), "us", services, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = newServer(handler, slog.New(slog.DiscardHandler))
	server.Start()
	t.Cleanup(func() {
		server.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	n.url = server.URL
	return n
}

func (n *node) start(t testing.TB, name string, register func(*grpc.Server)) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	note := func(ctx context.Context) {
		md, _ := metadata.FromIncomingContext(ctx)
		n.mu.Lock()
		defer n.mu.Unlock()
		n.metadata = md
	}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			note(ctx)
			return handle(ctx, request)
		}),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			note(stream.Context())
			return handle(service, stream)
		}),
	)
	register(server)
	n.health[name] = health.NewServer()
	grpc_health_v1.RegisterHealthServer(server, n.health[name])
	go func() { _ = server.Serve(listener) }()
	conn, err := grpc.NewClient("passthrough:///"+name, append(dialOptions(),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }),
		grpc.WithTransportCredentials(insecure.NewCredentials()),
	)...)
	if err != nil {
		t.Fatal(err)
	}
	n.stop[name] = server.Stop
	t.Cleanup(func() {
		_ = conn.Close()
		server.Stop()
	})
	return conn
}

// received returns the metadata of the last call of a service.
func (n *node) received() metadata.MD {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.metadata
}

// do sends a request; headers are pairs of name and value.
func (n *node) do(t testing.TB, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, n.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Add(headers[i], headers[i+1])
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer, string(text)
}

// reasoned is an error as services give it.
func reasoned(code codes.Code, reason, message string) error {
	s, err := status.New(code, message).WithDetails(&errdetails.ErrorInfo{Reason: reason, Domain: "comity"})
	if err != nil {
		return err
	}
	return s.Err()
}

type fakeStatistics struct {
	statisticspb.UnimplementedStatisticsServiceServer
	submit     func(grpc.ClientStreamingServer[statisticspb.SubmitRequest, statisticspb.SubmitResponse]) error
	record     func(grpc.ClientStreamingServer[statisticspb.RecordEventsRequest, statisticspb.RecordEventsResponse]) error
	query      func(*statisticspb.QueryRequest, grpc.ServerStreamingServer[statisticspb.QueryResponse]) error
	structures func(*statisticspb.GetStructuresRequest) (*statisticspb.Structures, error)
	submission *statisticspb.Submission
	err        error
	asked      atomic.Pointer[lastRequest] // the last request of a route in routes_test.go
}

func (f *fakeStatistics) Submit(stream grpc.ClientStreamingServer[statisticspb.SubmitRequest, statisticspb.SubmitResponse]) error {
	return f.submit(stream)
}

func (f *fakeStatistics) RecordEvents(stream grpc.ClientStreamingServer[statisticspb.RecordEventsRequest, statisticspb.RecordEventsResponse]) error {
	return f.record(stream)
}

func (f *fakeStatistics) Query(request *statisticspb.QueryRequest, stream grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
	return f.query(request, stream)
}

func (f *fakeStatistics) GetSubmission(context.Context, *statisticspb.GetSubmissionRequest) (*statisticspb.GetSubmissionResponse, error) {
	return &statisticspb.GetSubmissionResponse{Submission: f.submission}, f.err
}

func (f *fakeStatistics) CreateLayout(_ context.Context, request *statisticspb.CreateLayoutRequest) (*statisticspb.CreateLayoutResponse, error) {
	return &statisticspb.CreateLayoutResponse{Layout: request.GetLayout()}, f.err
}

func (f *fakeStatistics) ListDataflows(context.Context, *statisticspb.ListDataflowsRequest) (*statisticspb.ListDataflowsResponse, error) {
	flow := borderStructures().GetDataflows()[0]
	older := &statisticspb.Dataflow{Agency: flow.GetAgency(), Id: flow.GetId(), Version: "0.9.0"}
	other := &statisticspb.Dataflow{Agency: "US", Id: "ENCOUNTERS", Version: "1.0.0"}
	return &statisticspb.ListDataflowsResponse{Dataflows: []*statisticspb.Dataflow{older, flow, other}}, f.err
}

func (f *fakeStatistics) GetStructures(_ context.Context, request *statisticspb.GetStructuresRequest) (*statisticspb.GetStructuresResponse, error) {
	if f.structures != nil {
		structures, err := f.structures(request)
		return &statisticspb.GetStructuresResponse{Structures: structures}, err
	}
	if !strings.HasPrefix(request.GetDataflow(), "COMITY:BORDER") {
		return nil, reasoned(codes.NotFound, "NOT_FOUND", "There is no dataflow "+request.GetDataflow()+".")
	}
	return &statisticspb.GetStructuresResponse{Structures: borderStructures()}, nil
}

// borderStructures is a small structure with a hierarchy, labels that are no ids, and attributes of both kinds.
func borderStructures() *statisticspb.Structures {
	en := func(name string) map[string]string { return map[string]string{"en": name, "fr": name + " (fr)"} }
	return &statisticspb.Structures{
		Codelists: []*statisticspb.Codelist{{
			Agency: "COMITY", Id: "CL_CITIZENSHIP", Version: "1.0.0", Names: en("Citizenship"), Levels: []string{"total", "country"},
			Codes: []*statisticspb.Code{
				{Id: "_T", Names: en("Total")},
				{Id: "SYR", Parent: "_T", Names: en("Syria")},
				{Id: "AFG", Parent: "_T", Names: en(`Afghanistan, "Islamic Republic"`)},
			},
		}},
		DataStructures: []*statisticspb.DataStructure{{
			Agency: "COMITY", Id: "BORDER", Version: "1.0.0",
			Dimensions: []*statisticspb.Component{
				{Id: "FREQ", Codelist: "COMITY:CL_FREQ(1.0.0)", Names: en("Frequency")},
				{Id: "SECTION", Names: en("Section")},
				{Id: "CITIZENSHIP", Codelist: "COMITY:CL_CITIZENSHIP(1.0.0)", Names: en("Citizenship")},
			},
			Attributes: []*statisticspb.Component{{Id: "OBS_STATUS", Names: en("Status")}, {Id: "COMMENT"}, {Id: "UNIT_MEASURE", Codelist: "COMITY:CL_UNIT(1.0.0)"}},
		}},
		Dataflows: []*statisticspb.Dataflow{{
			Agency: "COMITY", Id: "BORDER", Version: "1.0.0", Names: en("Border"), Structure: "COMITY:BORDER(1.0.0)",
		}},
	}
}

// row is a row of that structure.
type row struct {
	section, citizenship, period string
	value                        float64
	status, comment              string
}

func part(rows ...row) *statisticspb.QueryResponse {
	b := block.NewBuilder([]string{"FREQ", "SECTION", "CITIZENSHIP", block.TimePeriod, block.ObsStatus, block.ConfStatus, block.Comment, block.Provider}, []string{block.ObsValue})
	for _, r := range rows {
		b.Append([]string{"M", r.section, r.citizenship, r.period, r.status, "F", r.comment, "eu"}, []float64{r.value})
	}
	return &statisticspb.QueryResponse{Block: wire.BlockToProto(b.Block()), Revision: 7}
}

// answers lets a query be answered with parts.
func answers(parts ...*statisticspb.QueryResponse) func(*statisticspb.QueryRequest, grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
	return func(_ *statisticspb.QueryRequest, stream grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
		for _, p := range parts {
			if err := stream.Send(p); err != nil {
				return err
			}
		}
		return nil
	}
}

type fakeRisk struct {
	riskpb.UnimplementedRiskServiceServer
	riskpb.UnimplementedMethodsServiceServer
}

func (*fakeRisk) JudgeRate(_ context.Context, request *riskpb.JudgeRateRequest) (*riskpb.JudgeRateResponse, error) {
	return &riskpb.JudgeRateResponse{Mean: request.GetAssumedRate(), Verdict: riskpb.Verdict_CONFIRMED}, nil
}

type fakeSharing struct {
	sharingpb.UnimplementedSharingServiceServer
	err       error
	tabulated *sharingpb.TabulateRequest
}

func (f *fakeSharing) GetAgreement(_ context.Context, request *sharingpb.GetAgreementRequest) (*sharingpb.GetAgreementResponse, error) {
	return &sharingpb.GetAgreementResponse{Agreement: &sharingpb.Agreement{Name: request.GetName(), State: sharingpb.Agreement_ACTIVE}}, f.err
}

func (f *fakeSharing) SignAgreement(_ context.Context, request *sharingpb.SignAgreementRequest) (*sharingpb.SignAgreementResponse, error) {
	return &sharingpb.SignAgreementResponse{Agreement: &sharingpb.Agreement{Name: request.GetName()}}, f.err
}

func (f *fakeSharing) SetKillSwitch(_ context.Context, request *sharingpb.SetKillSwitchRequest) (*sharingpb.SetKillSwitchResponse, error) {
	return &sharingpb.SetKillSwitchResponse{KillSwitch: &sharingpb.KillSwitch{On: !request.GetLift(), Reason: request.GetReason()}}, f.err
}

func (f *fakeSharing) ListPartners(context.Context, *sharingpb.ListPartnersRequest) (*sharingpb.ListPartnersResponse, error) {
	return &sharingpb.ListPartnersResponse{}, f.err
}

func (f *fakeSharing) ReplayDecisions(context.Context, *sharingpb.ReplayDecisionsRequest) (*sharingpb.ReplayDecisionsResponse, error) {
	return &sharingpb.ReplayDecisionsResponse{Decisions: 3, Same: 3}, f.err
}

func (f *fakeSharing) ShadowPolicy(_ context.Context, request *sharingpb.ShadowPolicyRequest) (*sharingpb.ShadowPolicyResponse, error) {
	return &sharingpb.ShadowPolicyResponse{PolicyRevision: string(request.GetBundle())}, f.err
}

func (f *fakeSharing) ExplainPolicy(context.Context, *sharingpb.ExplainPolicyRequest) (*sharingpb.ExplainPolicyResponse, error) {
	return &sharingpb.ExplainPolicyResponse{Allowed: false, Reasons: []*sharingpb.Reason{{Code: "NO_AGREEMENT", Text: "None."}}}, f.err
}
