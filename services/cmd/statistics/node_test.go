package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/internal/pgcluster"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
)

// asService tells the test program that it is the service itself.
const asService = "COMITY_TEST_AS_SERVICE"

// TestMain lets the test program be the service, so that a test can kill it.
func TestMain(m *testing.M) {
	if os.Getenv(asService) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// patience is how long a node may take to answer again.
const patience = time.Minute

// node is a statistics service in a process of its own, on a durable PostgreSQL of its own.
type node struct {
	t           *testing.T
	cluster     *pgcluster.Cluster
	directory   string
	certificate *authority.Authority
	environment []string
	listen, ops string
	token       string
	database    string    // its URL, as the superuser
	watching    *pgx.Conn // to it; nil: none yet

	process *exec.Cmd
	ended   chan struct{} // closed when the process has ended
}

// newNode starts a node, which ends with the test.
func newNode(t *testing.T) *node {
	t.Helper()
	home, err := os.MkdirTemp("", "comity-kill-") //nolint:usetesting // a directory of t.TempDir is closed to the account that PostgreSQL may run as
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	if err := os.Chmod(home, 0o711); err != nil {
		t.Fatal(err)
	}
	n := &node{t: t, directory: home, listen: freeAddress(t), ops: freeAddress(t)}
	n.startPostgres()
	t.Cleanup(func() {
		if err := n.cluster.Remove(); err != nil {
			t.Error(err)
		}
	})
	// The machine is not killed, so what was written needs no flush; recovering is much shorter without.
	n.exec("postgres", `ALTER SYSTEM SET fsync = off`)
	n.exec("postgres", `SELECT pg_reload_conf()`)
	n.exec("postgres", `CREATE DATABASE statistics`)
	n.database = n.cluster.URL(pgcluster.Superuser, n.cluster.Password, "statistics")
	n.configure()
	n.startService()
	t.Cleanup(func() {
		n.killService()
		if n.watching != nil {
			_ = n.watching.Close(context.Background())
		}
	})
	n.awaitReady()
	return n
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// configure makes the secrets of the made-up state, and what its process is told.
func (n *node) configure() {
	n.t.Helper()
	var err error
	if n.certificate, err = authority.Open(filepath.Join(n.directory, "na"), "na"); err != nil {
		n.t.Fatal(err)
	}
	tokens, keySet, err := n.certificate.Tokens([]string{"statistician"})
	if err != nil {
		n.t.Fatal(err)
	}
	text, err := os.ReadFile(tokens["statistician"])
	if err != nil {
		n.t.Fatal(err)
	}
	n.token = strings.TrimSpace(string(text))
	certificate, key, err := n.certificate.Certificate("statistics")
	if err != nil {
		n.t.Fatal(err)
	}
	policies := policytest.Untested(n.t, "../../../policies/access")
	issuer, audience := n.certificate.Issuer()
	n.environment = []string{
		asService + "=1", "TZ=UTC", "PATH=" + os.Getenv("PATH"),
		"COMITY_STATE=na", "COMITY_LISTEN=" + n.listen, "COMITY_OPS_LISTEN=" + n.ops,
		"COMITY_CERTIFICATE=" + certificate, "COMITY_KEY=" + key, "COMITY_ROOT=" + n.certificate.RootFile(),
		"COMITY_POLICIES=" + policies, "COMITY_JWKS=" + keySet, "COMITY_ISSUER=" + issuer, "COMITY_AUDIENCE=" + audience,
		"COMITY_DATABASE_URL=" + n.database, "COMITY_EVENTS_CLOSE_EVERY=0",
	}
}

// startPostgres starts the server, or waits until it answers again; one that crashed recovers.
func (n *node) startPostgres() {
	n.t.Helper()
	ctx, cancel := context.WithTimeout(n.t.Context(), patience)
	defer cancel()
	options := pgcluster.Options{Directory: filepath.Join(n.directory, "pg"), Durable: true, Attached: true}
	if n.cluster != nil {
		options.Port = n.cluster.Port
	}
	cluster, err := pgcluster.Start(ctx, options)
	if err != nil {
		n.t.Fatal(err)
	}
	n.cluster = cluster
}

func (n *node) startService() {
	n.t.Helper()
	log, err := os.OpenFile(filepath.Join(n.directory, "service.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		n.t.Fatal(err)
	}
	defer log.Close()
	n.process = exec.Command(os.Args[0]) //nolint:gosec // this program itself
	n.process.Env, n.process.Stdout, n.process.Stderr = n.environment, log, log
	n.ended = make(chan struct{})
	started := make(chan error)
	go func(process *exec.Cmd, ended chan struct{}) {
		err := process.Start()
		started <- err
		if err == nil {
			_ = process.Wait()
		}
		close(ended)
	}(n.process, n.ended)
	if err := <-started; err != nil {
		n.t.Fatal(err)
	}
}

// killService kills the process, and returns when it is gone.
func (n *node) killService() {
	_ = n.process.Process.Kill()
	<-n.ended
}

// awaitReady returns when the service answers that it is ready.
func (n *node) awaitReady() {
	n.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		response, err := http.Get("http://" + n.ops + "/readyz")
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-n.ended:
			n.t.Fatalf("the service has ended by itself:\n%s", n.log())
		default:
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("the service is not ready after %v: %v\n%s", patience, err, n.log())
		}
	}
}

// log returns the end of what the service has said.
func (n *node) log() string {
	text, _ := os.ReadFile(filepath.Join(n.directory, "service.log"))
	return string(text[max(0, len(text)-4000):])
}

// exec runs a statement as the superuser.
func (n *node) exec(database, sql string) {
	n.t.Helper()
	conn, err := n.cluster.Admin(n.t.Context(), database)
	if err != nil {
		n.t.Fatal(err)
	}
	defer conn.Close(n.t.Context())
	if _, err := conn.Exec(n.t.Context(), sql); err != nil {
		n.t.Fatalf("%s: %v", sql, err)
	}
}

// writes reports whether a transaction of the service has begun to write.
func (n *node) writes() bool {
	n.t.Helper()
	var writes bool
	err := n.watch().QueryRow(n.t.Context(), `
		SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = 'statistics' AND pid <> pg_backend_pid() AND backend_xid IS NOT NULL)`).Scan(&writes)
	if err != nil {
		n.t.Fatal(err)
	}
	return writes
}

// watch returns a connection to the database of the service that lives as long as its server does.
func (n *node) watch() *pgx.Conn {
	n.t.Helper()
	if n.watching != nil && n.watching.Ping(n.t.Context()) == nil {
		return n.watching
	}
	var err error
	if n.watching, err = pgx.Connect(n.t.Context(), n.database); err != nil {
		n.t.Fatal(err)
	}
	return n.watching
}

// killBackend kills a process of the server that works for the service, and reports whether there was one. It returns when the
// server has ended all the others, and recovers.
func (n *node) killBackend(ctx context.Context) (bool, error) {
	conn := n.watch()
	var pid int
	err := conn.QueryRow(ctx, `
		SELECT pid
		FROM pg_stat_activity
		WHERE datname = 'statistics' AND pid <> pg_backend_pid() AND backend_type = 'client backend'
		ORDER BY state = 'idle', query_start DESC
		LIMIT 1`).Scan(&pid)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return false, err
	}
	for deadline := time.Now().Add(patience); conn.Ping(ctx) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return false, fmt.Errorf("the server goes on without its process %d", pid)
		}
	}
	return true, nil
}

// awaitQuiet returns when no transaction of the service is open.
func (n *node) awaitQuiet() {
	n.t.Helper()
	conn := n.watch()
	for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
		var open int
		err := conn.QueryRow(n.t.Context(), `
			SELECT count(*)
			FROM pg_stat_activity
			WHERE datname = 'statistics' AND pid <> pg_backend_pid() AND xact_start IS NOT NULL`).Scan(&open)
		if err != nil {
			n.t.Fatal(err)
		}
		if open == 0 {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%d transactions are still open after %v", open, patience)
		}
	}
}

// client is a client of the service whose connections can be torn, as those of a killed process are.
type client struct {
	statisticspb.StatisticsServiceClient
	connection *grpc.ClientConn

	mu    sync.Mutex
	conns []net.Conn
}

// dial returns a client with the certificate of the operator's tool.
func (n *node) dial() *client {
	n.t.Helper()
	certificate, key, err := n.certificate.Certificate("operator")
	if err != nil {
		n.t.Fatal(err)
	}
	pair, err := mtls.LoadPair(certificate, key)
	if err != nil {
		n.t.Fatal(err)
	}
	roots, err := mtls.RootFile("na", n.certificate.RootFile())
	if err != nil {
		n.t.Fatal(err)
	}
	c := &client{}
	c.connection, err = grpc.NewClient("passthrough:///"+n.listen,
		grpc.WithTransportCredentials(mtls.NewClient(pair, roots, mtls.Identity{State: "na", Service: "statistics"})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err == nil {
				c.mu.Lock()
				c.conns = append(c.conns, conn)
				c.mu.Unlock()
			}
			return conn, err
		}))
	if err != nil {
		n.t.Fatal(err)
	}
	c.StatisticsServiceClient = statisticspb.NewStatisticsServiceClient(c.connection)
	return c
}

// tear ends all connections at once, without a word to the other side.
func (c *client) tear() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var failed error
	for _, conn := range c.conns {
		if tcp, ok := conn.(*net.TCPConn); ok {
			failed = errors.Join(failed, tcp.SetLinger(0))
		}
		if err := conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			failed = errors.Join(failed, err)
		}
	}
	c.conns = nil
	return failed
}

// context returns a context of calls on behalf of the statistician.
func (n *node) context() context.Context {
	return metadata.AppendToOutgoingContext(n.t.Context(), "authorization", "Bearer "+n.token)
}
