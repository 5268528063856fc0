package sharing_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/services/internal/database"
	"github.com/comity-federation/comity/services/internal/pgcluster"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/postgres"
)

// troubled is a state whose database a test can trouble. Its service has the pool that the program has.
type troubled struct {
	*state
	t      *testing.T
	beside *pgx.Conn       // to the database, as the role that owns it
	held   []*pgxpool.Conn // that the service cannot have
}

func trouble(t *testing.T, s *state) *troubled {
	t.Helper()
	config := s.pool.Config().ConnConfig.Copy()
	config.Tracer = nil
	config.RuntimeParams["default_transaction_read_only"] = "off"
	beside, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = beside.Close(context.Background()) })
	pool, err := database.Open(t.Context(), s.pool.Config().ConnString(), postgres.Migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s.pool = pool
	service := s.Config
	service.Store = postgres.NewStore(pool)
	s.Service = sharing.New(service)
	return &troubled{state: s, t: t, beside: beside}
}

func (s *troubled) exec(statements ...string) {
	s.t.Helper()
	for _, sql := range statements {
		if _, err := s.beside.Exec(s.t.Context(), strings.ReplaceAll(sql, "{database}", s.pool.Config().ConnConfig.Database)); err != nil {
			s.t.Fatalf("%s: %v", sql, err)
		}
	}
}

// hangUp ends the connections of the service.
const hangUp = `SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`

// TestTroubledDatabase lets the databases of both states be unable to write in several ways. Meanwhile nothing new is taken, and
// whoever asks is told to come again; nothing is acknowledged. Afterwards all goes on by itself, and all arrives once.
func TestTroubledDatabase(t *testing.T) {
	t.Parallel()
	const full = `
		CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100';
		END $$`
	for name, test := range map[string]struct{ begin, end func(*troubled) }{
		"the disk is full": {
			func(s *troubled) {
				s.exec(full)
				for _, table := range []string{"log_entry", "outbox", "inbox", "agreement", "witness"} {
					s.exec(`CREATE TRIGGER full_disk BEFORE INSERT OR UPDATE ON ` + table + ` EXECUTE FUNCTION full_disk()`)
				}
			},
			func(s *troubled) { s.exec(`DROP FUNCTION full_disk CASCADE`) },
		},
		"the database is read-only": {
			func(s *troubled) { s.exec(`ALTER DATABASE {database} SET default_transaction_read_only = on`, hangUp) },
			func(s *troubled) { s.exec(`ALTER DATABASE {database} RESET default_transaction_read_only`) },
		},
		"the log is not writable": {
			func(s *troubled) { s.exec(`REVOKE INSERT, UPDATE ON log_entry FROM current_user`) },
			func(s *troubled) { s.exec(`GRANT INSERT, UPDATE ON log_entry TO current_user`) },
		},
		"no connection is free": {
			func(s *troubled) {
				for range s.pool.Config().MaxConns {
					conn, err := s.pool.Acquire(s.t.Context())
					if err != nil {
						s.t.Fatal(err)
					}
					s.held = append(s.held, conn)
				}
			},
			func(s *troubled) {
				for _, conn := range s.held {
					conn.Release()
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			w := newWorld(t)
			w.newFigures()
			w.agree(t, w.terms())
			w.aa.rules.published = map[string]sharing.Ruling{"1A": {Allow: true, Detail: map[string]string{"FREQ": "M"}}}
			w.aa.figures.set(watched, 500)
			for _, step := range w.aa.Steps() {
				if err := step(ctx); err != nil {
					t.Fatal(err)
				}
			}
			waiting := w.next(t)
			if len(waiting) != 1 {
				t.Fatalf("%d envelopes wait", len(waiting))
			}
			w.aa.figures.set(watched, 600)

			aa, bb := trouble(t, w.aa), trouble(t, w.bb)
			test.begin(aa)
			test.begin(bb)
			draft := w.terms()
			draft.ID = "another"
			type outcome struct {
				what string
				err  error
			}
			calls := map[string]func() error{
				"drafting an agreement": func() error { _, err := w.aa.Draft(ctx, draft); return err },
				"releasing":             func() error { return w.aa.Steps()[0](ctx) },
				"publishing": func() error {
					_, err := w.aa.Publish(ctx, sharing.PublicationRequest{Indicators: []string{"1A"}})
					return err
				},
				"receiving": func() error {
					receipt, err := w.bb.Receive(ctx, "aa", waiting[0].Envelope)
					if len(receipt.Signatures) > 0 {
						return errors.New("it was receipted")
					}
					return err
				},
			}
			outcomes := make(chan outcome, len(calls))
			for what, call := range calls {
				go func() { outcomes <- outcome{what, call()} }()
			}
			for range calls {
				o := <-outcomes
				if got := status.Code(rpc.Status(o.err)); got != codes.Unavailable {
					t.Errorf("%s: %v: %v", o.what, got, o.err)
				}
			}
			test.end(aa)
			test.end(bb)

			var err error
			for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
				if _, err = w.aa.Draft(ctx, draft); err == nil {
					break
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			w.catchUp(t, 600)
			for _, s := range []*state{w.aa, w.bb} {
				if n, err := s.verify(ctx); err != nil {
					t.Errorf("the log of %s, after %d entries: %v", s.code, n, err)
				}
			}
			for release, times := range w.bb.figures.submitted {
				if times != 1 {
					t.Errorf("%s was stored %d times", release, times)
				}
			}
		})
	}
}

// TestFullDisk fills a real file system that a database lies in.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	disk, err := os.MkdirTemp("", "comity-disk-") //nolint:usetesting // a directory of t.TempDir is closed to the account that PostgreSQL runs as
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(disk) })
	if text, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", "size=48m,mode=0777", "tmpfs", disk).CombinedOutput(); err != nil {
		t.Skipf("this system lets nobody mount: %v: %s", err, text)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", disk).Run() })
	home, err := os.MkdirTemp("", "comity-cluster-") //nolint:usetesting // as above
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(home, 0o711); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(home) })
	cluster, err := pgcluster.Start(t.Context(), pgcluster.Options{Directory: home + "/pg", Attached: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Remove() })
	admin, err := cluster.Admin(t.Context(), "postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close(t.Context())
	owned := disk + "/space"
	if text, err := exec.CommandContext(t.Context(), "install", "-d", "-o", serverUser(t, cluster), owned).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	for _, sql := range []string{`CREATE TABLESPACE small LOCATION '` + owned + `'`, `CREATE DATABASE small TABLESPACE small`} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	pool, err := database.Open(t.Context(), cluster.URL(pgcluster.Superuser, cluster.Password, "small"), postgres.Migrations)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)

	w := newWorld(t)
	w.newFigures()
	service := w.aa.Config
	service.Store = postgres.NewStore(pool)
	w.aa.pool, w.aa.Service = pool, sharing.New(service)
	w.agree(t, w.terms())
	filler := disk + "/filler"
	if err := os.WriteFile(filler, make([]byte, 64<<20), 0o600); err == nil {
		t.Fatal("it does not get full")
	}
	kept := 0
	for n := range 10_000 {
		terms := w.terms()
		terms.ID, terms.Text = sharing.AgreementID(fmt.Sprintf("a-%d", n)), strings.Repeat("x", 30_000)
		if _, err = w.aa.Draft(t.Context(), terms); err != nil {
			break
		}
		kept++
	}
	if got := status.Code(rpc.Status(err)); got != codes.Unavailable {
		t.Errorf("%v: %v", got, err)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	w.aa.figures.set(watched, 700)
	w.catchUp(t, 700)
	agreements, err := w.aa.Agreements(t.Context(), true)
	if err != nil || len(agreements) != kept+1 {
		t.Errorf("%d were kept, %d are there: %v", kept+1, len(agreements), err)
	}
	if n, err := w.aa.verify(t.Context()); err != nil {
		t.Errorf("after %d entries: %v", n, err)
	}
}

// serverUser returns the number of the account that the cluster's server runs as.
func serverUser(t *testing.T, cluster *pgcluster.Cluster) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", cluster.PID))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\nUid:")
	return slices.Concat(strings.Fields(rest), []string{""})[0]
}
