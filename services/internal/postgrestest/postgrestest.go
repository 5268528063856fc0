// Package postgrestest gives each test a database of its own in a real PostgreSQL server.
//
// A test program starts one private server at its first use, without durability, and every database is a copy of a
// template that the migrations were applied to once. The server ends, and its files go, when the test program ends,
// also when it is killed. It works as root and as any other user.
package postgrestest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/services/internal/database"
	"github.com/comity-federation/comity/services/internal/pgcluster"
)

// owner is the role that owns the databases. It is no superuser, as a service's role is none.
const owner = "comity"

// New returns a pool on a fresh database with the migrations applied, as database.Open takes them. The pool is closed
// and the database dropped when the test ends.
func New(t testing.TB, migrations fs.FS) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), URL(t, migrations))
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// URL returns the URL of a fresh database with the migrations applied. The database is dropped when the test ends.
func URL(t testing.TB, migrations fs.FS) string {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	template, err := s.template(t.Context(), migrations)
	if err != nil {
		t.Fatalf("postgrestest: %v", err)
	}
	name := "test_" + strconv.FormatInt(s.databases.Add(1), 10)
	if err := s.admin(t.Context(), `CREATE DATABASE `+name+` TEMPLATE `+template+` OWNER `+owner); err != nil {
		t.Fatalf("postgrestest: making the database: %v", err)
	}
	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := s.admin(ctx, `DROP DATABASE `+name+` WITH (FORCE)`); err != nil {
			t.Errorf("postgrestest: dropping the database: %v", err)
		}
	})
	return s.url(name)
}

// server is the test program's PostgreSQL.
type server struct {
	cluster   *pgcluster.Cluster
	password  string
	databases atomic.Int64

	mu        sync.Mutex
	templates map[string]bool
}

// shared starts the server at the first call. It has to outlive every test, and there is no hook for the end of a test
// program, so it is the one thing here that belongs to the process.
//
//nolint:gochecknoglobals // see above
var shared = sync.OnceValues(start)

func start() (*server, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	home, err := os.MkdirTemp("", "comity-test-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(home, 0o711); err != nil { //nolint:gosec // the server's account passes through it
		return nil, err
	}
	cluster, err := pgcluster.Start(ctx, pgcluster.Options{Directory: filepath.Join(home, "pg"), Attached: true})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(home))
	}
	if err := sweepAfterUs(home, cluster); err != nil {
		return nil, errors.Join(err, cluster.Remove(), os.RemoveAll(home))
	}
	s := &server{cluster: cluster, password: cluster.Password, templates: map[string]bool{}}
	err = s.admin(ctx, `CREATE ROLE `+owner+` LOGIN CREATEDB PASSWORD '`+s.password+`'`)
	return s, err
}

// sweepAfterUs starts a process that waits for the end of this one, and then ends the server and removes its files. It
// knows by a pipe whose other end only this process holds.
func sweepAfterUs(home string, cluster *pgcluster.Cluster) error {
	const script = `cat >/dev/null
kill -QUIT "$1" 2>/dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done
rm -rf "$2" "$3"`
	cmd := exec.Command("/bin/sh", "-c", script, "sh", //nolint:gosec,noctx // it outlives every context
		strconv.Itoa(cluster.PID), cluster.Directory, home)
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the sweeper: %w", err)
	}
	// The goroutine holds the pipe: a collected one would be closed.
	go func() { _ = cmd.Wait() }()
	return nil
}

// template returns the name of a database that the migrations were applied to, making it at the first call for them.
func (s *server) template(ctx context.Context, migrations fs.FS) (string, error) {
	sum, err := digest(migrations)
	if err != nil {
		return "", fmt.Errorf("reading the migrations: %w", err)
	}
	name := "template_" + sum
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.templates[name] {
		return name, nil
	}
	if err := s.admin(ctx, `CREATE DATABASE `+name+` OWNER `+owner); err != nil {
		return "", fmt.Errorf("making the template: %w", err)
	}
	pool, err := database.Open(ctx, s.url(name), migrations)
	if err != nil {
		return "", errors.Join(err, s.admin(ctx, `DROP DATABASE `+name+` WITH (FORCE)`))
	}
	pool.Close() // a database with a connection is no template
	s.templates[name] = true
	return name, nil
}

// digest names a set of migrations by its content.
func digest(migrations fs.FS) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(migrations, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(migrations, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(hash, "%s %d\n", path, len(content))
		hash.Write(content)
		return nil
	})
	return hex.EncodeToString(hash.Sum(nil))[:16], err
}

// admin runs one statement as the superuser.
func (s *server) admin(ctx context.Context, sql string) (err error) {
	conn, err := s.cluster.Admin(ctx, "postgres")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	return err
}

func (s *server) url(database string) string { return s.cluster.URL(owner, s.password, database) }
