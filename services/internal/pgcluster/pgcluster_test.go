package pgcluster_test

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/comity-federation/comity/services/internal/pgcluster"
)

func start(t *testing.T, o pgcluster.Options) *pgcluster.Cluster {
	t.Helper()
	o.Attached = true
	c, err := pgcluster.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Remove(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func exec(t *testing.T, c *pgcluster.Cluster, sql string) {
	t.Helper()
	conn, err := c.Admin(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(t.Context()) }()
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()

	t.Run("it keeps what was committed when the server is killed", func(t *testing.T) {
		t.Parallel()
		o := pgcluster.Options{Directory: filepath.Join(t.TempDir(), "pg"), Durable: true}
		c := start(t, o)
		exec(t, c, `CREATE TABLE kept (id int)`)
		if err := syscall.Kill(c.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		o.Port = c.Port
		again := start(t, o)
		if again.PID == c.PID {
			t.Error("the killed process was taken for a running one")
		}
		exec(t, again, `SELECT * FROM kept`)
	})

	t.Run("it leaves a running server alone", func(t *testing.T) {
		t.Parallel()
		o := pgcluster.Options{Directory: filepath.Join(t.TempDir(), "pg")}
		c := start(t, o)
		again := start(t, o)
		if again.PID != c.PID || again.Port != c.Port || again.Password != c.Password {
			t.Errorf("started %d on %d beside %d on %d", again.PID, again.Port, c.PID, c.Port)
		}
		found, err := pgcluster.Find(o.Directory)
		if err != nil || found == nil || found.PID != c.PID {
			t.Errorf("Find: %v, %v", found, err)
		}
	})

	t.Run("it is not led astray by what a crash left", func(t *testing.T) {
		t.Parallel()
		o := pgcluster.Options{Directory: filepath.Join(t.TempDir(), "pg")}
		c := start(t, o)
		if err := c.Stop(); err != nil {
			t.Fatal(err)
		}
		// The number of the dead server has gone to another process: this one.
		stale := strings.Join([]string{strconv.Itoa(os.Getpid()), filepath.Join(c.Directory, "data"), "0", "1", "", "", ""}, "\n")
		if err := os.WriteFile(filepath.Join(c.Directory, "data", "postmaster.pid"), []byte(stale), 0o600); err != nil {
			t.Fatal(err)
		}
		exec(t, start(t, o), `SELECT 1`)
	})

	t.Run("it runs where others cannot enter and where the path is long", func(t *testing.T) {
		t.Parallel()
		closed := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
		if err := os.Mkdir(closed, 0o700); err != nil {
			t.Fatal(err)
		}
		exec(t, start(t, pgcluster.Options{Directory: filepath.Join(closed, "pg")}), `SELECT 1`)
	})

	t.Run("it says which port is taken", func(t *testing.T) {
		t.Parallel()
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = listener.Close() }()
		port := listener.Addr().(*net.TCPAddr).Port
		o := pgcluster.Options{Directory: filepath.Join(t.TempDir(), "pg")}
		if err := start(t, o).Stop(); err != nil {
			t.Fatal(err)
		}
		o.Port = port
		_, err = pgcluster.Start(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "is used by another program") {
			t.Errorf("got %v", err)
		}
	})
}

func TestBinaries(t *testing.T) {
	t.Run("it says what to install where there is no server", func(t *testing.T) {
		t.Setenv("COMITY_POSTGRES", t.TempDir())
		if _, err := pgcluster.Binaries(t.Context()); err == nil || !strings.Contains(err.Error(), "COMITY_POSTGRES") {
			t.Errorf("got %v", err)
		}
	})
}
