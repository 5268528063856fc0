package rpc_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
	"github.com/comity-federation/comity/services/internal/rpc"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// openPolicies opens the shared policies, once for all tests, as they run their own tests first.
var openPolicies = sync.OnceValues(func() (*policy.Engine, error) {
	return policy.Open(context.Background(), []string{"../../../policies"}, slog.New(slog.DiscardHandler))
})

func sharedPolicies(t *testing.T) *policy.Engine {
	t.Helper()
	policies, err := openPolicies()
	if err != nil {
		t.Fatal(err)
	}
	return policies
}

// node is a statistics service of the state "us", and what it takes to call it.
type node struct {
	*rpc.Server
	cfg     rpc.Config
	us, gb  *mtlstest.Authority
	fr      *mtlstest.Authority
	issuer  *issuer
	service *statistics
	log     *buffer
	ready   *error
	stop    func() error
}

// statistics answers with what the test wants.
type statistics struct {
	statisticspb.UnimplementedStatisticsServiceServer
	list  func(context.Context) (*statisticspb.ListDataflowsResponse, error)
	query func(grpc.ServerStreamingServer[statisticspb.QueryResponse]) error
}

func (s *statistics) ListDataflows(ctx context.Context, _ *statisticspb.ListDataflowsRequest) (*statisticspb.ListDataflowsResponse, error) {
	return s.list(ctx)
}

func (s *statistics) Query(_ *statisticspb.QueryRequest, stream grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
	return s.query(stream)
}

func (s *statistics) ListSubmissions(context.Context, *statisticspb.ListSubmissionsRequest) (*statisticspb.ListSubmissionsResponse, error) {
	return &statisticspb.ListSubmissionsResponse{}, nil
}

type exchange struct {
	exchangepb.UnimplementedExchangeServiceServer
}

func (exchange) Describe(ctx context.Context, _ *exchangepb.DescribeRequest) (*exchangepb.DescribeResponse, error) {
	return &exchangepb.DescribeResponse{State: rpc.CallerFrom(ctx).State}, nil
}

// buffer is a log that tests can read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// prepare returns the configuration of a node, with all its files.
func prepare(t *testing.T) *node {
	t.Helper()
	n := &node{us: mtlstest.NewAuthority(t, "us"), gb: mtlstest.NewAuthority(t, "gb"), fr: mtlstest.NewAuthority(t, "fr"), issuer: newIssuer(t), log: &buffer{}, ready: new(error)}
	files := n.us.Issue("statistics")
	n.cfg = rpc.Config{
		State: "us", Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0",
		Certificate: files.Certificate, Key: files.Key, Root: n.us.Root,
		Policies: "../../../policies", JWKS: n.issuer.path, Issuer: issuerName, Audience: audience,
	}
	n.service = &statistics{
		list: func(context.Context) (*statisticspb.ListDataflowsResponse, error) {
			return &statisticspb.ListDataflowsResponse{}, nil
		},
		query: func(grpc.ServerStreamingServer[statisticspb.QueryResponse]) error { return nil },
	}
	return n
}

// roots are those of the two states.
func (n *node) roots(state string) *x509.CertPool {
	switch state {
	case "us":
		return n.us.Pool()
	case "gb":
		return n.gb.Pool()
	case "fr":
		return n.fr.Pool()
	}
	return nil
}

// start serves a node on free ports until the test ends.
func start(t *testing.T) *node {
	t.Helper()
	n := prepare(t)
	n.serve(t)
	return n
}

// serve starts a prepared node, and serves it until the test ends.
func (n *node) serve(t *testing.T) {
	t.Helper()
	log := slog.New(slog.NewTextHandler(n.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	var err error
	n.Server, err = rpc.NewServer(n.cfg, sharedPolicies(t), log, func(context.Context) error { return *n.ready })
	if err != nil {
		t.Fatal(err)
	}
	statisticspb.RegisterStatisticsServiceServer(n, n.service)
	abroad, err := n.Exchange("127.0.0.1:0", n.roots)
	if err != nil {
		t.Fatal(err)
	}
	exchangepb.RegisterExchangeServiceServer(abroad, exchange{})
	if err := n.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Serve(ctx) }()
	n.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	t.Cleanup(func() {
		if err := n.stop(); err != nil {
			t.Errorf("the server ends with %v", err)
		}
	})
}

// dial connects to an address with a certificate, as a client that knows the server by its name.
func (n *node) dial(t *testing.T, address string, files mtlstest.Files) *grpc.ClientConn {
	t.Helper()
	pair, err := mtls.LoadPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	server := mtls.Identity{State: "us", Service: "statistics"}
	connection, err := grpc.NewClient(address, grpc.WithTransportCredentials(mtls.NewClient(pair, n.roots, server)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	return connection
}

func (n *node) gateway(t *testing.T) statisticspb.StatisticsServiceClient {
	return statisticspb.NewStatisticsServiceClient(n.dial(t, n.Address(), n.us.Issue("gateway")))
}

func bearing(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// expect checks the code and the reason of an error, and returns its ErrorInfo.
func expect(t *testing.T, err error, code codes.Code, reason string) *errdetails.ErrorInfo {
	t.Helper()
	s, _ := status.FromError(err)
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok && s.Code() == code && info.GetReason() == reason && info.GetDomain() == "comity" {
			return info
		}
	}
	t.Errorf("it says %v with %v, want %s with %s", err, s.Details(), code, reason)
	return nil
}

func TestHandlerSeesWhoCalls(t *testing.T) {
	n := start(t)
	var seen rpc.Caller
	n.service.list = func(ctx context.Context) (*statisticspb.ListDataflowsResponse, error) {
		seen = rpc.CallerFrom(ctx)
		return &statisticspb.ListDataflowsResponse{}, nil
	}
	client := n.gateway(t)
	// Headers that claim an identity change nothing.
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-forwarded-client-cert", "URI=comity://gb/sharing", "x-user", "officer")
	if _, err := client.ListDataflows(ctx, &statisticspb.ListDataflowsRequest{}); err != nil {
		t.Fatal(err)
	}
	if seen.State != "us" || seen.Service != "gateway" || seen.Person != nil {
		t.Errorf("without a token, the caller is %+v", seen)
	}
	if _, err := client.ListDataflows(bearing(t.Context(), n.issuer.token(t, "analyst")), &statisticspb.ListDataflowsRequest{}); err != nil {
		t.Fatal(err)
	}
	if seen.Person == nil || seen.Person.Subject != "ada" || len(seen.Person.Roles) != 1 || seen.Person.Roles[0] != "analyst" {
		t.Errorf("with a token, the person is %+v", seen.Person)
	}
}

func TestAccessIsRefused(t *testing.T) {
	n := start(t)
	client := n.gateway(t)
	list := func(ctx context.Context) error {
		_, err := client.ListSubmissions(ctx, &statisticspb.ListSubmissionsRequest{})
		return err
	}
	expect(t, list(t.Context()), codes.Unauthenticated, "TOKEN_MISSING")
	expect(t, list(bearing(t.Context(), n.issuer.token(t, "analyst"))), codes.PermissionDenied, "ACCESS_DENIED")
	expect(t, list(bearing(t.Context(), n.issuer.token(t))), codes.PermissionDenied, "ACCESS_DENIED")
	expect(t, list(bearing(t.Context(), "not.a.token")), codes.Unauthenticated, "TOKEN_INVALID")
	if err := list(bearing(t.Context(), n.issuer.token(t, "analyst", "auditor"))); err != nil {
		t.Error(err)
	}
	risk := statisticspb.NewStatisticsServiceClient(n.dial(t, n.Address(), n.us.Issue("risk")))
	_, err := risk.ListSubmissions(t.Context(), &statisticspb.ListSubmissionsRequest{})
	expect(t, err, codes.PermissionDenied, "ACCESS_DENIED")

	// A call that is open to anybody is not open with a token that is not valid.
	_, err = client.ListDataflows(bearing(t.Context(), "not.a.token"), &statisticspb.ListDataflowsRequest{})
	expect(t, err, codes.Unauthenticated, "TOKEN_INVALID")

	// Streams are refused as well.
	stream, err := client.WatchRevisions(t.Context(), &statisticspb.WatchRevisionsRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	expect(t, err, codes.PermissionDenied, "ACCESS_DENIED")
}

func TestPortsAreForThoseTheyAreFor(t *testing.T) {
	n := start(t)
	for name, test := range map[string]struct {
		address string
		files   mtlstest.Files
		want    codes.Code
	}{
		"a partner's exchange on the exchange port":  {n.ExchangeAddress(), n.gb.Issue("sharing"), codes.OK},
		"a partner's gateway on the exchange port":   {n.ExchangeAddress(), n.gb.Issue("gateway"), codes.Unavailable},
		"our own exchange on the exchange port":      {n.ExchangeAddress(), n.us.Issue("sharing"), codes.Unavailable},
		"a forged partner on the exchange port":      {n.ExchangeAddress(), n.us.Issue("sharing", mtlstest.Named("comity://gb/sharing")), codes.Unavailable},
		"a state without roots on the exchange port": {n.ExchangeAddress(), mtlstest.NewAuthority(t, "xx").Issue("sharing"), codes.Unavailable},
		"a partner's exchange on the national port":  {n.Address(), n.gb.Issue("sharing"), codes.Unavailable},
		"our own exchange, which lacks it":           {n.Address(), n.us.Issue("sharing"), codes.Unimplemented},
	} {
		t.Run(name, func(t *testing.T) {
			response, err := exchangepb.NewExchangeServiceClient(n.dial(t, test.address, test.files)).Describe(t.Context(), &exchangepb.DescribeRequest{})
			if status.Code(err) != test.want {
				t.Errorf("it answers %v, want %s", err, test.want)
			}
			if err == nil && response.GetState() != "gb" {
				t.Errorf("the caller is of %q", response.GetState())
			}
		})
	}
	partner := n.dial(t, n.ExchangeAddress(), n.gb.Issue("sharing"))
	if _, err := statisticspb.NewStatisticsServiceClient(partner).ListDataflows(t.Context(), &statisticspb.ListDataflowsRequest{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("the exchange port offers the statistics: %v", err)
	}
	ctx := bearing(t.Context(), n.issuer.token(t, "officer"))
	_, err := exchangepb.NewExchangeServiceClient(partner).Describe(ctx, &exchangepb.DescribeRequest{})
	expect(t, err, codes.PermissionDenied, "ACCESS_DENIED")
	if log := n.log.String(); !strings.Contains(log, "handshake refused") || !strings.Contains(log, "no business on the exchange port") {
		t.Error("refused handshakes are not in the log")
	}
}

func TestHealthAndReflection(t *testing.T) {
	n := start(t)
	own := n.dial(t, n.Address(), n.us.Issue("risk"))
	health, err := healthpb.NewHealthClient(own).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if err != nil || health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		t.Errorf("health is %v, %v", health, err)
	}
	ask := func(connection *grpc.ClientConn) error {
		stream, err := reflectionpb.NewServerReflectionClient(connection).ServerReflectionInfo(t.Context())
		if err != nil {
			return err
		}
		_ = stream.Send(&reflectionpb.ServerReflectionRequest{MessageRequest: &reflectionpb.ServerReflectionRequest_ListServices{}})
		_ = stream.CloseSend()
		for err == nil {
			_, err = stream.Recv()
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		return err
	}
	if err := ask(own); err != nil {
		t.Errorf("reflection says %v", err)
	}
	partner := n.dial(t, n.ExchangeAddress(), n.gb.Issue("sharing"))
	if _, err := healthpb.NewHealthClient(partner).Check(t.Context(), &healthpb.HealthCheckRequest{}); err != nil {
		t.Errorf("a partner's health check says %v", err)
	}
	if err := ask(partner); status.Code(err) != codes.Unimplemented {
		t.Errorf("a partner sees reflection: %v", err)
	}
}

func TestRequestIDGoesThrough(t *testing.T) {
	n := start(t)
	n.service.list = func(ctx context.Context) (*statisticspb.ListDataflowsResponse, error) {
		return nil, fmt.Errorf("secret of %s", rpc.RequestID(ctx))
	}
	client := n.gateway(t)
	for given, kept := range map[string]bool{"abc-123": true, "two words": false, strings.Repeat("x", 65): false, "": false} {
		var header metadata.MD
		ctx := metadata.AppendToOutgoingContext(t.Context(), "x-request-id", given)
		_, err := client.ListDataflows(ctx, &statisticspb.ListDataflowsRequest{}, grpc.Header(&header))
		info := expect(t, err, codes.Internal, "INTERNAL")
		id := info.GetMetadata()["requestId"]
		if (id == given) != kept || id == "" {
			t.Errorf("of %q it makes the id %q", given, id)
		}
		if got := header.Get("x-request-id"); len(got) != 1 || got[0] != id {
			t.Errorf("the header has %q, the error %q", got, id)
		}
		if strings.Contains(err.Error(), "secret") {
			t.Errorf("the caller learns the cause: %v", err)
		}
		if !strings.Contains(n.log.String(), "secret of "+id) {
			t.Error("the log does not have the cause")
		}
	}
}

func TestPanicIsAnErrorOfOurs(t *testing.T) {
	n := start(t)
	n.service.list = func(context.Context) (*statisticspb.ListDataflowsResponse, error) { panic("secret") }
	n.service.query = func(grpc.ServerStreamingServer[statisticspb.QueryResponse]) error { panic("secret") }
	client := n.gateway(t)
	_, err := client.ListDataflows(t.Context(), &statisticspb.ListDataflowsRequest{})
	expect(t, err, codes.Internal, "INTERNAL")
	stream, err := client.Query(t.Context(), &statisticspb.QueryRequest{})
	if err == nil {
		_, err = stream.Recv()
	}
	expect(t, err, codes.Internal, "INTERNAL")
	if strings.Contains(err.Error(), "secret") || !strings.Contains(n.log.String(), "server_test.go") {
		t.Error("the stack belongs in the log, and nowhere else")
	}
	if got := get(t, "http://"+n.OpsAddress()+"/metrics"); !strings.Contains(got.body,
		`comity_rpc_requests_total{code="Internal",method="ListDataflows",service="comity.statistics.v1.StatisticsService"} 1`) {
		t.Errorf("the panic is not counted in\n%s", got.body)
	}
}

func TestErrorsOfAMethodReachTheCallerOfItsCaller(t *testing.T) {
	n := start(t)
	files := n.us.Issue("sharing")
	cfg := n.cfg
	cfg.Certificate, cfg.Key = files.Certificate, files.Key
	connection, err := rpc.Dial(cfg, "statistics", n.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	client := statisticspb.NewStatisticsServiceClient(connection)

	want := fault.InvalidField("dataflow", "is not known").With("dataflow", "A:B(1.0.0)")
	n.service.list = func(context.Context) (*statisticspb.ListDataflowsResponse, error) { return nil, want }
	n.service.query = func(grpc.ServerStreamingServer[statisticspb.QueryResponse]) error { return want }
	_, unary := client.ListDataflows(t.Context(), &statisticspb.ListDataflowsRequest{})
	stream, err := client.Query(t.Context(), &statisticspb.QueryRequest{})
	if err != nil {
		t.Fatal(err)
	}
	_, streamed := stream.Recv()
	for _, err := range []error{unary, streamed} {
		var got *fault.Error
		if !errors.As(err, &got) || got.Kind != fault.Invalid || got.Reason != want.Reason || got.Message != want.Message ||
			len(got.Violations) != 1 || got.Violations[0] != want.Violations[0] || got.Metadata["dataflow"] != "A:B(1.0.0)" {
			t.Errorf("the fault arrives as %#v", got)
		}
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("the status is %v", err)
		}
	}
	// What one service may not ask of another is no fault of the first caller.
	_, err = client.ListSubmissions(t.Context(), &statisticspb.ListSubmissionsRequest{})
	if got := rpc.Status(fmt.Errorf("asking: %w", err)); status.Code(got) != codes.Internal {
		t.Errorf("a refusal between services reaches the caller as %v", got)
	}
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	_, err = client.ListDataflows(t.Context(), &statisticspb.ListDataflowsRequest{})
	if got := rpc.Status(err); !fault.Is(err, fault.Unavailable) || strings.Contains(status.Convert(got).Message(), "127.0.0.1") {
		t.Errorf("a service that is gone reaches the caller as %v", got)
	}
}

func TestDialKnowsTheServerByItsName(t *testing.T) {
	n := start(t)
	connection, err := rpc.Dial(n.cfg, "risk", n.Address())
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_, err = healthpb.NewHealthClient(connection).Check(t.Context(), &healthpb.HealthCheckRequest{})
	if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "comity://us/statistics answers in the place of comity://us/risk") {
		t.Errorf("it says %v", err)
	}
}

func TestACallWaitsForAServiceThatStarts(t *testing.T) {
	n := prepare(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n.cfg.Listen = free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	files := n.us.Issue("sharing")
	cfg := n.cfg
	cfg.Certificate, cfg.Key = files.Certificate, files.Key
	connection, err := rpc.Dial(cfg, "statistics", cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	connection.Connect()
	for state := connection.GetState(); state != connectivity.TransientFailure; state = connection.GetState() {
		if !connection.WaitForStateChange(t.Context(), state) {
			t.Fatal("the connection does not fail, though nothing listens")
		}
	}
	answered := make(chan error, 1)
	go func() {
		_, err := statisticspb.NewStatisticsServiceClient(connection).ListDataflows(t.Context(), &statisticspb.ListDataflowsRequest{})
		answered <- err
	}()
	n.serve(t)
	if err := <-answered; err != nil {
		t.Errorf("a call that came before the service fails: %v", err)
	}
}

type page struct {
	status int
	body   string
}

func get(t *testing.T, url string) page {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return page{response.StatusCode, string(body)}
}

func TestOpsPort(t *testing.T) {
	n := start(t)
	url := "http://" + n.OpsAddress()
	if got := get(t, url+"/healthz"); got.status != http.StatusOK {
		t.Errorf("healthz says %v", got)
	}
	if got := get(t, url+"/readyz"); got.status != http.StatusOK {
		t.Errorf("readyz says %v", got)
	}
	*n.ready = errors.New("the database does not answer")
	if got := get(t, url+"/readyz"); got.status != http.StatusServiceUnavailable || got.body != "not ready: the database does not answer\n" {
		t.Errorf("readyz says %v", got)
	}
	if got := get(t, url+"/metrics"); !strings.Contains(got.body, "go_goroutines") {
		t.Errorf("metrics says %v", got)
	}
}

func TestReadinessSaysThatChangedPoliciesAreNotValid(t *testing.T) {
	n := prepare(t)
	overlay := t.TempDir()
	path := filepath.Join(overlay, "own.rego")
	if err := os.WriteFile(path, []byte("package own\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	policies, err := policy.Open(t.Context(), []string{policytest.Untested(t, n.cfg.Policies), overlay}, log)
	if err != nil {
		t.Fatal(err)
	}
	server, err := rpc.NewServer(n.cfg, policies, log, nil)
	if err != nil {
		t.Fatal(err)
	}
	server.Background(policies.Watch)
	if err := server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	ready := "http://" + server.OpsAddress() + "/readyz"
	if got := get(t, ready); got.status != http.StatusOK {
		t.Errorf("readyz says %v", got)
	}
	if err := os.WriteFile(path, []byte("package own\nallow if"), 0o600); err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	got := get(t, ready)
	for got.status == http.StatusOK && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
		got = get(t, ready)
	}
	if got.status != http.StatusServiceUnavailable || !strings.Contains(got.body, "own.rego") {
		t.Errorf("readyz says %v", got)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestNewServerSaysWhatIsWrong(t *testing.T) {
	for want, change := range map[string]func(*testing.T, *rpc.Config){
		"reading the certificate": func(_ *testing.T, c *rpc.Config) { c.Certificate = "nowhere.pem" },
		"is the certificate of comity://us/statistics, but this is state \"gb\"": func(_ *testing.T, c *rpc.Config) { c.State = "gb" },
		"unknown authority":           func(t *testing.T, c *rpc.Config) { c.Root = mtlstest.NewAuthority(t, "us").Root },
		"holds no certificate":        func(_ *testing.T, c *rpc.Config) { c.Root = c.JWKS },
		"reading the keys for tokens": func(_ *testing.T, c *rpc.Config) { c.JWKS = "nowhere.json" },
		"is not on loopback":          func(_ *testing.T, c *rpc.Config) { c.OpsListen = "0.0.0.0:8406" },
		"missing port":                func(_ *testing.T, c *rpc.Config) { c.OpsListen = "localhost" },
	} {
		t.Run(want, func(t *testing.T) {
			n := prepare(t)
			log := slog.New(slog.DiscardHandler)
			change(t, &n.cfg)
			if _, err := rpc.NewServer(n.cfg, sharedPolicies(t), log, nil); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("it says %v", err)
			}
		})
	}
	n := prepare(t)
	if _, err := rpc.NewServer(n.cfg, nil, slog.New(slog.DiscardHandler), nil); err == nil {
		t.Error("it serves without policies")
	}
}

func TestAPortInUseIsSaidInASentence(t *testing.T) {
	first := start(t)
	n := prepare(t)
	n.cfg.OpsListen = first.OpsAddress()
	log := slog.New(slog.DiscardHandler)
	server, err := rpc.NewServer(n.cfg, sharedPolicies(t), log, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := "address " + first.OpsAddress() + " is in use: another process listens there"
	if err := server.Serve(t.Context()); err == nil || err.Error() != want {
		t.Errorf("it says %v, want %s", err, want)
	}
}

func TestServeEndsWhenABackgroundLoopFails(t *testing.T) {
	n := prepare(t)
	log := slog.New(slog.DiscardHandler)
	server, err := rpc.NewServer(n.cfg, sharedPolicies(t), log, nil)
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	var other error
	server.Background(func(context.Context) error { return broken })
	server.Background(func(ctx context.Context) error {
		<-ctx.Done()
		other = ctx.Err()
		return other
	})
	if err := server.Serve(t.Context()); !errors.Is(err, broken) {
		t.Errorf("it ends with %v", err)
	}
	if !errors.Is(other, context.Canceled) {
		t.Error("the other loop was not ended")
	}
}

func TestServeLetsCallsComeToTheirEnd(t *testing.T) {
	n := start(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	n.service.list = func(context.Context) (*statisticspb.ListDataflowsResponse, error) {
		close(begun)
		<-finish
		return &statisticspb.ListDataflowsResponse{}, nil
	}
	client := n.gateway(t)
	answered := make(chan error, 1)
	go func() {
		_, err := client.ListDataflows(t.Context(), &statisticspb.ListDataflowsRequest{})
		answered <- err
	}()
	<-begun
	stopped := make(chan error, 1)
	go func() { stopped <- n.stop() }()
	time.Sleep(100 * time.Millisecond)
	close(finish)
	if err := <-answered; err != nil {
		t.Errorf("the call under way ends with %v", err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

func TestServeEndsStreamsThatWouldGoOn(t *testing.T) {
	n := start(t)
	begun := make(chan struct{})
	n.service.query = func(stream grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
		close(begun)
		<-stream.Context().Done()
		return stream.Context().Err()
	}
	stream, err := n.gateway(t).Query(t.Context(), &statisticspb.QueryRequest{})
	if err != nil {
		t.Fatal(err)
	}
	<-begun
	if err := n.stop(); err != nil {
		t.Fatal(err)
	}
	_, err = stream.Recv()
	expect(t, err, codes.Unavailable, "UNAVAILABLE")
}

func TestServeEndsWellOnASignal(t *testing.T) {
	n := prepare(t)
	server, err := rpc.NewServer(n.cfg, sharedPolicies(t), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("terminated")) // as signal.NotifyContext does
	if err := server.Serve(ctx); err != nil {
		t.Errorf("it ends with %v", err)
	}
}

func TestALargeMessageIsRefused(t *testing.T) {
	n := start(t)
	_, err := n.gateway(t).ListSubmissions(bearing(t.Context(), n.issuer.token(t, "auditor")),
		&statisticspb.ListSubmissionsRequest{PageToken: strings.Repeat("x", 9<<20)})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("it says %v", err)
	}
}
