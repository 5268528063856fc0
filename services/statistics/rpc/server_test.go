package rpc_test

import (
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/internal/region"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
	"github.com/comity-federation/comity/services/statistics/rpc"
)

// node is a state's statistics service in this process, on a database of its own.
type node struct {
	statisticspb.StatisticsServiceClient
	conn   *grpc.ClientConn   // of that client
	caller internalrpc.Caller // of the calls
	sight  string             // what they see, as policy says it; "": everything

	policies rpc.Policies // that are asked; nil: sight is the answer

	store   *postgres.Store
	service *statistics.Service
}

// Evaluate says what is seen.
func (n *node) Evaluate(ctx context.Context, rule string, input, output any) (string, error) {
	if n.policies != nil {
		return n.policies.Evaluate(ctx, rule, input, output)
	}
	return "", json.Unmarshal([]byte(cmp.Or(n.sight, `{"confStatus": ["*"], "embargoed": true}`)), output)
}

func newNode(t testing.TB, state string) *node {
	t.Helper()
	return newNodeOn(t, state, postgrestest.New(t, postgres.Migrations))
}

// newNodeOn returns a node whose database it is.
func newNodeOn(t testing.TB, state string, pool *pgxpool.Pool) *node {
	t.Helper()
	n := &node{caller: internalrpc.Caller{State: state, Service: "gateway", Person: &internalrpc.Person{Subject: "somebody"}}}
	store := postgres.New(pool)
	service := statistics.NewService(store, state, time.Now, func() string { return uuid.Must(uuid.NewV7()).String() })
	n.store, n.service = store, service
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			response, err := handle(internalrpc.WithCaller(ctx, n.caller), request)
			return response, shown(t, err)
		}),
		grpc.StreamInterceptor(func(server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return shown(t, handle(server, &called{stream, internalrpc.WithCaller(stream.Context(), n.caller)}))
		}),
	)
	statisticspb.RegisterStatisticsServiceServer(server, rpc.NewServer(service, n))
	listener := bufconn.Listen(1 << 20)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	conn, err := grpc.NewClient("passthrough:///node", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	n.conn, n.StatisticsServiceClient = conn, statisticspb.NewStatisticsServiceClient(conn)
	return n
}

// shown logs what the caller would not see.
func shown(t testing.TB, err error) error {
	made := internalrpc.Status(err)
	if status.Code(made) == codes.Internal {
		t.Logf("internal error: %v", err)
	}
	return made
}

type called struct {
	grpc.ServerStream
	ctx context.Context
}

func (c *called) Context() context.Context { return c.ctx }

func (n *node) create(t testing.TB, sets ...*statisticspb.Structures) *statisticspb.CreateStructuresResponse {
	t.Helper()
	all := &statisticspb.Structures{}
	for _, set := range sets {
		proto.Merge(all, set)
	}
	response, err := n.CreateStructures(t.Context(), &statisticspb.CreateStructuresRequest{Structures: all})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// upload submits bytes in small pieces.
func (n *node) upload(t *testing.T, header *statisticspb.SubmissionHeader, file io.Reader) (*statisticspb.Submission, error) {
	t.Helper()
	stream, err := n.Submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	err = stream.Send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Header{Header: header}})
	piece := make([]byte, 32<<10)
	for err == nil {
		var read int
		if read, err = io.ReadFull(file, piece); read == 0 {
			break
		}
		more := err
		if err = stream.Send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Data{Data: piece[:read]}}); more != nil {
			break
		}
	}
	response, err := stream.CloseAndRecv()
	return response.GetSubmission(), err
}

// submit submits rows of dimensions, TIME_PERIOD, and further texts, each with a figure, as blocks of two.
func (n *node) submit(t *testing.T, header *statisticspb.SubmissionHeader, components []string, rows [][]string, figures []float64) (*statisticspb.Submission, error) {
	t.Helper()
	stream, err := n.Submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Header{Header: header}}); err != nil {
		t.Fatal(err)
	}
	for len(rows) > 0 {
		some := min(2, len(rows))
		builder := block.NewBuilder(components, []string{block.ObsValue})
		for i, row := range rows[:some] {
			builder.Append(row, figures[i:i+1])
		}
		rows, figures = rows[some:], figures[some:]
		if err := stream.Send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Block{Block: wire.BlockToProto(builder.Block())}}); err != nil {
			break // the answer says why
		}
	}
	response, err := stream.CloseAndRecv()
	return response.GetSubmission(), err
}

// row is what a test looks at of an answer.
type row struct {
	Key, Period               string
	Value                     float64
	Status, Comment, Provider string
}

func (n *node) rows(t *testing.T, request *statisticspb.QueryRequest) ([]row, int64, error) {
	t.Helper()
	stream, err := n.Query(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	var revision int64
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return rows, revision, nil
		}
		if err != nil {
			return rows, revision, err
		}
		revision = response.GetRevision()
		b, err := wire.BlockFromProto(response.GetBlock())
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows {
			r := row{
				Period: b.Column(block.TimePeriod).Text(i), Value: b.Column(block.ObsValue).Numbers[i],
				Status: b.Column(block.ObsStatus).Text(i), Comment: b.Column(block.Comment).Text(i), Provider: b.Column(block.Provider).Text(i),
			}
			var key []string
			for j := range b.Columns {
				if b.Columns[j].Component == block.TimePeriod {
					break
				}
				key = append(key, b.Columns[j].Text(i))
			}
			r.Key = strings.Join(key, ".")
			rows = append(rows, r)
		}
	}
}

func (n *node) sum(t *testing.T, request *statisticspb.QueryRequest) float64 {
	t.Helper()
	rows, _, err := n.rows(t, request)
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, r := range rows {
		total += r.Value
	}
	return total
}

func pick(dimension string, codes ...string) *statisticspb.Selection {
	return &statisticspb.Selection{Dimension: dimension, Codes: codes}
}

const border = "COMITY:BORDER(1.0.0)"

// totals selects one series of the harmonised dataflow.
func totals(frequency, indicator string) []*statisticspb.Selection {
	return []*statisticspb.Selection{
		pick("FREQ", frequency), pick("INDICATOR", indicator), pick("SECTION", "_T"), pick("BORDER_TYPE", "_T"),
		pick("CITIZENSHIP", "_T"), pick("SEX", "_T"), pick("AGE", "_T"), pick("DETAIL", "_T"),
	}
}

// loaded returns a state of the sandbox with its published figures.
func loaded(t *testing.T, code string) *node {
	t.Helper()
	directory := filepath.Join("..", "..", "..", "deploy", "sandbox")
	if _, err := os.Stat(filepath.Join(directory, region.FileName)); err != nil {
		t.Skipf("the sandbox is not there: %v", err)
	}
	played, err := region.Load(directory)
	if err != nil {
		t.Fatal(err)
	}
	state := played.State(code)
	n := newNode(t, code)
	n.create(t, append(append([]*statisticspb.Structures{}, played.Structures...), state.Structures...)...)
	for _, layout := range state.Layouts {
		if _, err := n.CreateLayout(t.Context(), &statisticspb.CreateLayoutRequest{Layout: layout}); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range state.Submissions {
		header := &statisticspb.SubmissionHeader{Dataflow: s.Dataflow, Layout: s.Layout, IdempotencyKey: s.Layout}
		submission, err := n.upload(t, header, open(t, s.File))
		if err != nil {
			t.Fatal(err)
		}
		if submission.GetState() != statisticspb.Submission_ACCEPTED {
			t.Fatalf("%s is rejected: %v", s.File, submission.GetFindings())
		}
		if again, err := n.upload(t, header, open(t, s.File)); err != nil || again.GetName() != submission.GetName() {
			t.Errorf("the same upload again gives %v, %v", again, err)
		}
	}
	return n
}

func open(t *testing.T, file string) io.Reader {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	if !strings.HasSuffix(file, ".gz") {
		return f
	}
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return plain
}

func TestSandbox(t *testing.T) {
	t.Parallel()
	const (
		us = "US:ENCOUNTERS(1.0.0)"
		gb = "GB:IRREGULAR_MIGRATION(1.0.0)"
		eu = "EU:DETECTIONS(1.0.0)"
	)
	type answer struct {
		start, end string
		selections []*statisticspb.Selection
		want       float64
	}
	tests := map[string]map[string][]answer{
		"eu": {
			eu: {
				{"", "", nil, 4_966_869},
				{"2015", "2015", nil, 1_822_102},
				{"2016", "2016", nil, 511_047},
				{"2020", "2020", nil, 126_310},
				{"2023", "2023", nil, 381_319},
				{"2024", "2024", nil, 240_021},
			},
			border: {
				{"2023", "2023", totals("M", "1A"), 381_319},
				{"2015", "2015", totals("A", "1A"), 1_822_102},
				{"2023", "2023", []*statisticspb.Selection{pick("FREQ", "A"), {Dimension: "CITIZENSHIP", Level: "region"}}, 381_319},
			},
		},
		"us": {
			us: {
				{"", "", nil, 11_086_194},
				{"2023", "2023", nil, 2_541_959},
				{"2020-10", "2021-09", nil, 1_734_686},
				{"2021-10", "2022-09", nil, 2_378_944},
				{"2022-10", "2023-09", nil, 2_475_669},
				{"2023-10", "2024-09", nil, 2_135_005},
				{"2023-12", "2023-12", nil, 301_981},
				{"2025-02", "2025-02", nil, 11_710},
			},
			border: {
				{"2022-10", "2023-09", totals("M", "1A"), 2_045_838},
				{"2022-10", "2023-09", totals("M", "INADM"), 429_831},
				{"2023", "2023", totals("A", "1A"), 2_040_601},
			},
		},
		"gb": {
			gb: {
				{"", "", nil, 174_977}, {"2021", "2021", nil, 36_813}, {"2022", "2022", nil, 54_702}, {"2023", "2023", nil, 36_704},
			},
			border: {
				{"2022", "2022", totals("A", "1A"), 45_774},
				{"2022", "2022", totals("A", "1B"), 310},
				{"2022", "2022", totals("A", "3"), 3_488},
				{"2022", "2022", totals("Q", "UNDOC"), 5_130},
				{"2021-Q3", "2022-Q2", []*statisticspb.Selection{
					pick("FREQ", "Q"), pick("INDICATOR", "1A"), pick("SECTION", "_T"), pick("BORDER_TYPE", "_T"), pick("CITIZENSHIP", "ALB"),
					pick("SEX", "_T"), pick("AGE", "_T"), pick("DETAIL", "SMALL_BOAT"),
				}, 3_221},
			},
		},
	}
	for code, dataflows := range tests {
		t.Run("it gives the known answers of "+code, func(t *testing.T) {
			t.Parallel()
			n := loaded(t, code)
			for dataflow, answers := range dataflows {
				for _, a := range answers {
					got := n.sum(t, &statisticspb.QueryRequest{Dataflow: dataflow, StartPeriod: a.start, EndPeriod: a.end, Selections: a.selections})
					if got != a.want {
						t.Errorf("%s %s to %s %v: %v, want %v", dataflow, a.start, a.end, a.selections, got, a.want)
					}
				}
			}
		})
	}
}

func stamp(at time.Time) *timestamppb.Timestamp { return timestamppb.New(at) }
