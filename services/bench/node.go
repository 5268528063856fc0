package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/internal/pgcluster"
)

// maxMessage is the largest answer of gRPC that is taken, in bytes.
const maxMessage = 64 << 20

// node is the running node of the one state.
type node struct {
	program    string
	directory  string // of the sandbox
	gateway    string // its URL
	token      string // of the statistician, who submits
	reading    string // of the analyst, who asks
	pids       map[string]int
	metrics    map[string]string // URLs, by service
	cluster    *pgcluster.Cluster
	database   string    // the URL of the statistics' database, as its own role
	plain      *pgx.Conn // to a database beside it, for what is compared
	connection *grpc.ClientConn
	statistics statisticspb.StatisticsServiceClient
}

// startNode brings the region up as anybody would, and connects to it.
func startNode(ctx context.Context, program, directory, region string, port int) (*node, error) {
	n := &node{program: program, directory: directory}
	if err := n.up(ctx, region, port); err != nil {
		return nil, err
	}
	if err := n.connect(ctx); err != nil {
		return nil, errors.Join(err, n.end())
	}
	return n, nil
}

// up brings up what does not run of the region.
func (n *node) up(ctx context.Context, region string, port int) error {
	up := exec.CommandContext(ctx, n.program, "sandbox", "up", "--region", region, "--dir", n.directory, "--base-port", strconv.Itoa(port)) //nolint:gosec // our own program
	if text, err := up.CombinedOutput(); err != nil {
		return fmt.Errorf("comity sandbox up: %w\n%s", err, text)
	}
	return nil
}

// stateFile is what is read of a state in the region.json of a sandbox.
type stateFile struct {
	Code         string            `json:"code"`
	Gateway      string            `json:"gateway"`
	Statistics   string            `json:"statistics"`
	Tokens       map[string]string `json:"tokens"`
	Certificates string            `json:"certificates"`
	PIDs         map[string]int    `json:"pids"`
	Metrics      map[string]string `json:"metrics"`
}

// readRegion reads the description of the region that runs in a directory.
func readRegion(directory string) ([]stateFile, error) {
	text, err := os.ReadFile(filepath.Join(directory, "region.json")) //nolint:gosec // our own file
	if err != nil {
		return nil, err
	}
	var file struct {
		States []stateFile `json:"states"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("reading region.json: %w", err)
	}
	return file.States, nil
}

// describe reads the description of the region that runs, and returns that of its one state.
func (n *node) describe() (s stateFile, err error) {
	states, err := readRegion(n.directory)
	if err != nil || len(states) != 1 {
		return s, errors.Join(err, fmt.Errorf("region.json has %d states", len(states)))
	}
	s = states[0]
	n.gateway, n.pids, n.metrics = s.Gateway, s.PIDs, s.Metrics
	if n.cluster, err = pgcluster.Find(filepath.Join(n.directory, "pg")); err != nil || n.cluster == nil {
		return s, fmt.Errorf("finding the database server: %w", err)
	}
	return s, nil
}

func (n *node) connect(ctx context.Context) error {
	s, err := n.describe()
	if err != nil {
		return err
	}
	for role, token := range map[string]*string{"statistician": &n.token, "analyst": &n.reading} {
		text, err := os.ReadFile(filepath.Join(n.directory, s.Tokens[role]))
		if err != nil {
			return err
		}
		*token = strings.TrimSpace(string(text))
	}
	password, err := os.ReadFile(filepath.Join(n.directory, state, "passwords", "statistics"))
	if err != nil {
		return err
	}
	name := "comity_" + state + "_statistics"
	n.database = n.cluster.URL(name, string(password), name)
	if err := n.openPlain(ctx); err != nil {
		return err
	}
	return n.dial(s.Statistics, filepath.Join(n.directory, s.Certificates))
}

// openPlain makes a database for the tables that figures are compared with.
func (n *node) openPlain(ctx context.Context) (err error) {
	admin, err := n.cluster.Admin(ctx, "postgres")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close(ctx)) }()
	if _, err := admin.Exec(ctx, `CREATE DATABASE plain`); err != nil {
		return err
	}
	n.plain, err = n.cluster.Admin(ctx, "plain")
	return err
}

// dial connects to the statistics service as the operator's tool does.
func (n *node) dial(address, certificates string) error {
	pair, err := mtls.LoadPair(filepath.Join(certificates, "operator.pem"), filepath.Join(certificates, "operator.key"))
	if err != nil {
		return err
	}
	roots, err := mtls.RootFile(state, filepath.Join(certificates, "ca.pem"))
	if err != nil {
		return err
	}
	n.connection, err = grpc.NewClient(address,
		grpc.WithTransportCredentials(mtls.NewClient(pair, roots, mtls.Identity{State: state, Service: "statistics"})),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)))
	if err != nil {
		return err
	}
	n.statistics = statisticspb.NewStatisticsServiceClient(n.connection)
	return nil
}

// as is a context of the calls that the holder of a token makes.
func as(ctx context.Context, token string) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token)
}

// end ends the region and removes it.
func (n *node) end() error {
	if n.connection != nil {
		_ = n.connection.Close()
	}
	if n.plain != nil {
		_ = n.plain.Close(context.Background())
	}
	down := exec.Command(n.program, "sandbox", "down", "--remove", "--dir", n.directory) //nolint:gosec,noctx // our own program, which ends what an interrupted run left
	if text, err := down.CombinedOutput(); err != nil {
		return fmt.Errorf("comity sandbox down: %w\n%s", err, text)
	}
	return nil
}

// submit posts a file, and reports a submission that is not accepted as an error.
func (n *node) submit(ctx context.Context, dataflow, layout string, content []byte) error {
	query := url.Values{"dataflow": {dataflow}}
	mediaType := "application/vnd.sdmx.data+csv"
	if layout != "" {
		query.Set("layout", layout)
		mediaType = "text/csv"
	}
	answer := &statisticspb.Submission{}
	if err := n.post(ctx, "/v1/submissions?"+query.Encode(), mediaType, content, answer); err != nil {
		return err
	}
	if answer.GetState() != statisticspb.Submission_ACCEPTED {
		for _, f := range answer.GetFindings() {
			if f.GetSeverity() == statisticspb.Finding_BLOCKING {
				return fmt.Errorf("it was rejected: %s: %s %v", f.GetRule(), f.GetMessage(), f.GetValues())
			}
		}
		return errors.New("it was rejected")
	}
	return nil
}

// post makes a call of the REST API as the statistician.
func (n *node) post(ctx context.Context, path, mediaType string, content []byte, answer proto.Message) error {
	return n.postOnce(ctx, path, mediaType, "", content, answer)
}

// postOnce is post with an idempotency key; "": there is none.
func (n *node) postOnce(ctx context.Context, path, mediaType, key string, content []byte, answer proto.Message) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.gateway+path, bytes.NewReader(content))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", mediaType)
	request.Header.Set("Authorization", "Bearer "+n.token)
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", response.Status, text)
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, answer)
}

// watched are the processes whose memory counts.
func watched() []string { return []string{"statistics", "gateway"} }

// forgetPeaks lets the peaks of memory begin anew, as proc_pid_clear_refs(5) says.
func (n *node) forgetPeaks() {
	for _, service := range watched() {
		_ = os.WriteFile(filepath.Join("/proc", strconv.Itoa(n.pids[service]), "clear_refs"), []byte("5"), 0o200)
	}
}

// peak returns the most memory that a process had resident since then, in MiB; 0 where the system does not tell.
func (n *node) peak() float64 {
	most := 0.0
	for _, service := range watched() {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(n.pids[service]), "status"))
		if err != nil {
			return 0
		}
		_, rest, _ := strings.Cut(string(text), "VmHWM:")
		if fields := strings.Fields(rest); len(fields) > 0 {
			kilobytes, _ := strconv.ParseFloat(fields[0], 64)
			most = max(most, kilobytes/1024)
		}
	}
	return most
}

// machine says what is measured on what.
func (n *node) machine(ctx context.Context, scale float64) (string, error) {
	text, err := machine(ctx, n.plain)
	if scale != 1 {
		text += fmt.Sprintf("; all sizes times %g, for which the limits are not meant", scale)
	}
	return text, err
}

// machine describes this machine, and the database server.
func machine(ctx context.Context, conn *pgx.Conn) (string, error) {
	var version string
	if err := conn.QueryRow(ctx, `SHOW server_version`).Scan(&version); err != nil {
		return "", err
	}
	model := ""
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		_, rest, _ := strings.Cut(string(text), "model name")
		model, _, _ = strings.Cut(rest, "\n")
		model = ", " + strings.TrimLeft(model, "\t :")
	}
	return fmt.Sprintf("%d cores%s, PostgreSQL %s (durable, shared_buffers 128 MB), %s",
		runtime.NumCPU(), model, version, runtime.Version()), nil
}

// cpu returns the time that the statistics and the database server have computed so far, in seconds.
func (n *node) cpu() (float64, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		// The fields after the name, which ends with ")": state, parent, …; the 12th to the 15th are times, see proc_pid_stat(5).
		text, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if len(fields) < 15 || (pid != n.pids["statistics"] && pid != n.cluster.PID && fields[1] != strconv.Itoa(n.cluster.PID)) {
			continue
		}
		const perSecond = 100 // USER_HZ, on every architecture that Go has
		user, _ := strconv.ParseFloat(fields[11], 64)
		system, _ := strconv.ParseFloat(fields[12], 64)
		total += (user + system) / perSecond
	}
	return total, nil
}
