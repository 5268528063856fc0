// Package pgcluster runs a private PostgreSQL server: a directory of its own, a port of its own on the loopback
// address, and passwords for everybody. The sandbox keeps one; each test program has one for its lifetime.
//
// A cluster's directory holds
//
//	data/       what initdb made; it belongs to the account that the server runs as
//	password    the superuser's password
//	log         what the server says
//
// Where this process is root, the server runs as the user postgres. If that user cannot enter the wanted directory, for
// example in root's home, the cluster lies under /var/lib/comity, and the wanted path is a link to it. The server
// listens on no Unix socket, because the path of one is limited to about a hundred bytes.
package pgcluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const (
	// Host is where every cluster listens.
	Host = "127.0.0.1"
	// Superuser is the role that owns a cluster.
	Superuser = "postgres"

	dataDirectory = "data"
	passwordFile  = "password"
	logFile       = "log"
)

// Options say how a cluster is run.
type Options struct {
	Directory string // where it lies; made where it does not exist
	Port      int    // where it listens; 0: a free one
	Durable   bool   // what was committed survives a crash of the machine; false only in tests
	Attached  bool   // the server ends when this process does, however it ends; else it lives on
}

// Cluster is a running server.
type Cluster struct {
	Directory string // where it really lies
	Port      int
	PID       int
	Password  string // the superuser's
}

// Start brings up the cluster in o.Directory, making it first where there is none, and returns when it answers. A
// cluster that runs already on the wanted port is left as it is; one that crashed recovers.
//
// It fails with ErrNoPostgreSQL where the server's programs are missing, and with one sentence where the port is taken.
func Start(ctx context.Context, o Options) (*Cluster, error) {
	binaries, err := Binaries(ctx)
	if err != nil {
		return nil, err
	}
	acc, err := serverAccount()
	if err != nil {
		return nil, err
	}
	wanted, err := filepath.Abs(o.Directory)
	if err != nil {
		return nil, err
	}
	directory, err := acc.settle(ctx, wanted)
	if err != nil {
		return nil, fmt.Errorf("making the directory of PostgreSQL: %w", err)
	}
	c := &Cluster{Directory: directory, Port: o.Port}
	if err := c.initialise(ctx, binaries, acc); err != nil {
		return nil, err
	}
	server, err := running(c.data())
	if err != nil {
		return nil, err
	}
	if server != nil && (o.Port == 0 || o.Port == server.port) {
		c.PID, c.Port = server.pid, server.port
		if err := c.await(ctx, nil); !errors.Is(err, errGone) {
			return c, err
		}
		c.Port = o.Port
	}
	if err := c.Stop(); err != nil {
		return nil, err
	}
	// A server whose parent was killed leaves children that take a moment to notice, and a free port may be lost to
	// another program before the server has it.
	for attempt := range 20 {
		if o.Port == 0 {
			if c.Port, err = freePort(ctx); err != nil {
				return nil, err
			}
		}
		err = c.launch(ctx, binaries, acc, o)
		if err == nil {
			return c, nil
		}
		if !errors.Is(err, errLingering) && (o.Port != 0 || attempt == 3) {
			break
		}
		time.Sleep(time.Duration(attempt+1) * 50 * time.Millisecond)
	}
	return nil, err
}

// Find returns the cluster in directory if its server runs, else nil.
func Find(directory string) (*Cluster, error) {
	place, err := filepath.EvalSymlinks(directory)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // nil is "none runs"
	}
	if err != nil {
		return nil, err
	}
	c := &Cluster{Directory: place}
	server, err := running(c.data())
	if err != nil || server == nil {
		return nil, err
	}
	c.PID, c.Port = server.pid, server.port
	password, err := os.ReadFile(c.path(passwordFile))
	if err != nil {
		return nil, err
	}
	c.Password = string(password)
	return c, nil
}

// Remove ends the server of the cluster in directory, and removes all that belongs to it, also where directory is a link.
func Remove(directory string) error {
	place, err := filepath.EvalSymlinks(directory)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return errors.Join(discard(place), os.RemoveAll(directory))
}

// Stop ends the server, and returns when it is gone. Ending one that does not run is no error.
func (c *Cluster) Stop() error { return stop(c.data(), 10*time.Second) }

// Remove ends the server and removes all that belongs to the cluster.
func (c *Cluster) Remove() error { return discard(c.Directory) }

// URL returns the URL by which a role connects to a database.
func (c *Cluster) URL(role, password, database string) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword(role, password), Path: "/" + database,
		Host: net.JoinHostPort(Host, strconv.Itoa(c.Port)), RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Admin connects as the superuser to a database.
func (c *Cluster) Admin(ctx context.Context, database string) (*pgx.Conn, error) {
	return pgx.Connect(ctx, c.URL(Superuser, c.Password, database))
}

func (c *Cluster) path(name string) string { return filepath.Join(c.Directory, name) }
func (c *Cluster) data() string            { return c.path(dataDirectory) }

// initialise runs initdb where there is no cluster, and reads the password where there is one. What an interrupted
// initdb left is made anew: the password is written last.
func (c *Cluster) initialise(ctx context.Context, binaries string, acc account) error {
	password, err := os.ReadFile(c.path(passwordFile))
	if err == nil {
		c.Password = string(password)
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.RemoveAll(c.data()); err != nil {
		return err
	}
	c.Password = rand.Text()

	secret := c.path("initial")
	if err := os.WriteFile(secret, []byte(c.Password), 0o600); err != nil {
		return err
	}
	if err := acc.own(secret); err != nil {
		return err
	}
	// The C locale compares text by its bytes, the same on every machine.
	cmd := exec.CommandContext(ctx, filepath.Join(binaries, "initdb"), //nolint:gosec // found by Binaries
		"--pgdata="+c.data(), "--username="+Superuser, "--pwfile="+secret, "--auth=scram-sha-256",
		"--encoding=UTF8", "--no-locale", "--no-sync")
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", environment(), acc.attributes()
	if out, err := cmd.CombinedOutput(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("initdb: %w: %s", err, lastLines(string(out)))
	}
	return os.Rename(secret, c.path(passwordFile))
}

// environment is what PostgreSQL is started with: a PGPORT or PGDATA of the caller's would lead it astray.
func environment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LANG=C", "TZ=UTC"}
}

// errGone says that the server ended while it was waited for.
var errGone = errors.New("the server is gone")

// errLingering says that processes of the server's last life are not gone yet.
var errLingering = errors.New("the last server's processes linger")

// launch starts the server and returns when it answers.
func (c *Cluster) launch(ctx context.Context, binaries string, acc account, o Options) (err error) {
	if err := portFree(ctx, c.Port); err != nil {
		return err
	}
	log, err := os.OpenFile(c.path(logFile), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	start, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}

	// Not CommandContext: a sandbox's server outlives the context that it was started under.
	cmd := exec.Command(filepath.Join(binaries, "postgres"), c.arguments(o.Durable)...) //nolint:gosec,noctx // found by Binaries
	cmd.Dir, cmd.Env, cmd.SysProcAttr = "/", environment(), acc.attributes()
	cmd.Stdout, cmd.Stderr = log, log
	exited := make(chan error, 1)
	if err := begin(cmd, o.Attached, exited); err != nil {
		return fmt.Errorf("starting PostgreSQL: %w", err)
	}
	c.PID = cmd.Process.Pid
	if err = c.await(ctx, exited); err == nil {
		return nil
	}
	said, _ := io.ReadAll(io.NewSectionReader(log, start, 1<<20))
	if strings.Contains(string(said), "pre-existing shared memory block") {
		return errLingering
	}
	if ctx.Err() != nil {
		err = errors.Join(err, c.Stop())
	}
	return fmt.Errorf("starting PostgreSQL: %w: %s", err, lastLines(string(said)))
}

// begin starts cmd and reports its end. The kernel tells an attached process that its parent is gone when the thread
// which started it ends, so that thread is held for as long as the process lives.
func begin(cmd *exec.Cmd, attached bool, exited chan<- error) error {
	started := make(chan error)
	go func() {
		if attached {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
		}
		err := cmd.Start()
		started <- err
		if err == nil {
			exited <- cmd.Wait()
		}
	}()
	return <-started
}

// arguments are the settings of the server. What is not named keeps PostgreSQL's default: a commit is on the disk
// before it is confirmed.
func (c *Cluster) arguments(durable bool) []string {
	settings := []string{
		"listen_addresses=" + Host,
		"port=" + strconv.Itoa(c.Port),
		"unix_socket_directories=",
		"max_connections=200",
		"shared_buffers=128MB",
		"timezone=UTC",
		"log_timezone=UTC",
		"log_line_prefix=%m [%p] %u@%d ",
	}
	if !durable {
		settings = append(settings,
			"fsync=off",
			"synchronous_commit=off",
			"full_page_writes=off",
			"max_wal_size=256MB",
			"shared_buffers=64MB")
	}
	args := []string{"-D", c.data()}
	for _, s := range settings {
		args = append(args, "-c", s)
	}
	return args
}

// await returns when the server answers; recovery after a crash may take its time. If the server exits before, it
// returns the way it exited; errGone for a server that was not started here, and may have been dying when it was found.
func (c *Cluster) await(ctx context.Context, exited <-chan error) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		conn, err := c.Admin(ctx, "postgres")
		if err == nil {
			return conn.Close(ctx)
		}
		var answer *pgconn.PgError
		if errors.As(err, &answer) && answer.Code != "57P03" { // cannot_connect_now: it is starting
			return err
		}
		if exited == nil && !serves(c.PID, c.data()) {
			return errGone
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("PostgreSQL does not answer: %w", errors.Join(ctx.Err(), err))
		case err := <-exited:
			if err == nil {
				err = errors.New("it ended at once")
			}
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// portFree returns one clear sentence where another program listens on the port.
func portFree(ctx context.Context, port int) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(Host, strconv.Itoa(port)))
	if err != nil {
		return fmt.Errorf("port %d, wanted for PostgreSQL, is used by another program: %w", port, err)
	}
	return listener.Close()
}

func freePort(ctx context.Context) (int, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(Host, "0"))
	if err != nil {
		return 0, err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	return port, listener.Close()
}

// lastLines returns the end of what a program said.
func lastLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-4):], " / ")
}
