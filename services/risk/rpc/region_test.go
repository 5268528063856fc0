package rpc_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/internal/region"
	servicerpc "github.com/comity-federation/comity/services/internal/rpc"
	statisticsdomain "github.com/comity-federation/comity/services/statistics"
	statisticspostgres "github.com/comity-federation/comity/services/statistics/postgres"
	statisticsrpc "github.com/comity-federation/comity/services/statistics/rpc"
)

// everything is a policy by which each caller sees all figures.
type everything struct{}

func (everything) Evaluate(_ context.Context, _ string, _, output any) (string, error) {
	return "", json.Unmarshal([]byte(`{"confStatus": ["*"], "embargoed": true}`), output)
}

// realStatistics returns a client of the statistics service itself, with its own database.
func realStatistics(t *testing.T, state string) *grpc.ClientConn {
	t.Helper()
	service := statisticsdomain.NewService(
		statisticspostgres.New(postgrestest.New(t, statisticspostgres.Migrations)), state, time.Now,
		func() string { return uuid.Must(uuid.NewV7()).String() })
	return connect(t, statisticsrpc.NewServer(service, everything{}))
}

func connect(t *testing.T, s statisticspb.StatisticsServiceServer) *grpc.ClientConn {
	t.Helper()
	listener := bufconn.Listen(1 << 20)
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
			resp, err := handler(ctx, req)
			return resp, servicerpc.Status(err)
		}),
		grpc.StreamInterceptor(func(s any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
			return servicerpc.Status(handler(s, stream))
		}))
	statisticspb.RegisterStatisticsServiceServer(server, s)
	go server.Serve(listener) //nolint:errcheck // it ends with the test
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///statistics", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// submit uploads a gzipped national file as an agency would.
func submit(t *testing.T, client statisticspb.StatisticsServiceClient, s region.Submission) {
	t.Helper()
	file, err := os.Open(s.File)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := client.Submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(r *statisticspb.SubmitRequest) {
		if err := stream.Send(r); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
	send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Header{Header: &statisticspb.SubmissionHeader{
		Dataflow: s.Dataflow, Layout: s.Layout, IdempotencyKey: "once",
	}}})
	chunk := make([]byte, 256<<10)
	for {
		n, err := io.ReadFull(unzipped, chunk)
		if n > 0 {
			send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Data{Data: chunk[:n]}})
		}
		if err != nil {
			break
		}
	}
	resp, err := stream.CloseAndRecv()
	if err != nil {
		t.Fatal(err)
	}
	if resp.GetSubmission().GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatalf("the submission is rejected: %v", resp.GetSubmission().GetFindings())
	}
}

func TestJudgeAssumptionFindsTheSandboxesAssumptionUnderEstimated(t *testing.T) {
	r, err := region.Load("../../../deploy/sandbox")
	if err != nil {
		t.Fatal(err)
	}
	gb := r.State("gb")
	conn := realStatistics(t, gb.Code)
	client := statisticspb.NewStatisticsServiceClient(conn)
	all := &statisticspb.Structures{}
	for _, structures := range append(r.Structures, gb.Structures...) {
		proto.Merge(all, structures)
	}
	if _, err := client.CreateStructures(t.Context(), &statisticspb.CreateStructuresRequest{Structures: all}); err != nil {
		t.Fatal(err)
	}
	for _, layout := range gb.Layouts {
		if _, err := client.CreateLayout(t.Context(), &statisticspb.CreateLayoutRequest{Layout: layout}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range gb.Submissions {
		submit(t, client, s)
	}
	server := serve(t, conn)
	for _, a := range gb.Assumptions {
		name := create(t, server, a, a.GetName()[len("assumptions/"):]).GetName()
		got, err := server.JudgeAssumption(t.Context(), &riskpb.JudgeAssumptionRequest{Name: name})
		if err != nil {
			t.Fatal(err)
		}
		if got.GetJudgement().GetVerdict() != riskpb.Verdict_UNDER_ESTIMATED || got.GetEvents() != 3221 || got.GetExposure() != 4 {
			t.Error(protojson.Format(got))
		}
	}
}
