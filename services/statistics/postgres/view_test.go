package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

func TestReplica(t *testing.T) {
	t.Parallel()
	f := flow("F")
	now, old := state{"M a x 2024-01": "2 A - -"}, state{"M a x 2024-01": "1 A - -"}
	pool := postgrestest.New(t, postgres.Migrations)
	// A replica that stands still is a database with the first revision alone.
	behind := postgrestest.New(t, postgres.Migrations)
	change(t, t.Context(), postgres.New(behind), f, old)
	store := postgres.New(pool)
	change(t, t.Context(), store, f, old)
	change(t, t.Context(), store, f, now)
	want := func(t *testing.T, at statistics.Moment, want state) {
		t.Helper()
		err := store.ViewFlow(t.Context(), f, at, func(ctx context.Context, s statistics.Snapshot) error {
			if diff := cmp.Diff(want, read(t, ctx, s, f, statistics.Selector{}, "p")); diff != "" {
				t.Errorf("figures (-want +got):\n%s", diff)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	store.ReadFrom(behind)
	t.Run("it reads the newest state that the replica has", func(t *testing.T) { want(t, statistics.Moment{}, old) })
	t.Run("it reads a revision that the replica does not have from the primary", func(t *testing.T) { want(t, statistics.Moment{Revision: 2}, now) })
	t.Run("it returns what goes wrong with the reading itself", func(t *testing.T) {
		broken, times := errors.New("broken"), 0
		err := store.ViewFlow(t.Context(), f, statistics.Moment{}, func(context.Context, statistics.Snapshot) error {
			times++
			return broken
		})
		if !errors.Is(err, broken) || times != 1 {
			t.Errorf("%d times %v", times, err)
		}
	})
	t.Run("it reads from the primary where the replica lacks a change of the structures", func(t *testing.T) {
		if _, err := pool.Exec(t.Context(), `UPDATE artefact_change SET change = change + 1`); err != nil {
			t.Fatal(err)
		}
		if _, err := store.StructuresChange(t.Context()); err != nil {
			t.Fatal(err)
		}
		want(t, statistics.Moment{}, now)
	})
	t.Run("it reads from the primary where the replica does not answer", func(t *testing.T) {
		nowhere, err := pgxpool.New(t.Context(), "postgres://nobody@127.0.0.1:1/nothing?connect_timeout=1")
		if err != nil {
			t.Fatal(err)
		}
		defer nowhere.Close()
		store.ReadFrom(nowhere)
		want(t, statistics.Moment{}, now)
	})
}

// readNewest returns what a view of the newest state has; one that is begun anew is read anew.
func readNewest(t *testing.T, store *postgres.Store, f *statistics.Flow) (got state, err error) {
	t.Helper()
	err = store.ViewFlow(t.Context(), f, statistics.Moment{}, func(ctx context.Context, s statistics.Snapshot) error {
		var err error
		got, err = tryRead(ctx, s, f, statistics.Selector{}, "p")
		return err
	})
	return got, err
}

func TestAViewIsOfWhatOthersCommitted(t *testing.T) {
	t.Parallel()
	f := flow("F")
	pool := postgrestest.New(t, postgres.Migrations)
	// Two processes on one database: what one of them knows, the other one changes.
	reading, writing := postgres.New(pool), postgres.New(pool)
	want := func(t *testing.T, want state) {
		t.Helper()
		for range 3 { // of which the later ones go by what the first has seen
			got, err := readNewest(t, reading, f)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v, figures (-want +got):\n%s", err, diff)
			}
		}
	}
	want(t, state{})
	for _, now := range []state{
		{"M a x 2024-01": "1 A - -"},
		{"M a x 2024-01": "2 A - -", "M b x 2024-01": "3 A - -"},
		{"M b y 2024-02": "4 A - -"},
		{},
	} {
		change(t, t.Context(), writing, f, now)
		want(t, now)
	}
	t.Run("it sees a change of the structures", func(t *testing.T) {
		if _, err := pool.Exec(t.Context(), `UPDATE artefact_change SET change = change + 1`); err != nil {
			t.Fatal(err)
		}
		var seen int64
		err := reading.ViewFlow(t.Context(), f, statistics.Moment{}, func(ctx context.Context, s statistics.Snapshot) error {
			seen = s.StructuresChange()
			return nil
		})
		if now, failed := writing.StructuresChange(t.Context()); err != nil || failed != nil || seen != now {
			t.Errorf("it sees change %d of %d: %v, %v", seen, now, err, failed)
		}
	})
}

// running returns how many statements of the test's database run that read blocks. Workers that help one are not counted.
func running(t *testing.T, pool *pgxpool.Pool) int {
	t.Helper()
	var n int
	err := pool.QueryRow(t.Context(), `
		SELECT count(*)
		FROM pg_stat_activity
		WHERE datname = current_database() AND backend_type = 'client backend' AND state = 'active'
			AND query LIKE '%ORDER BY key, place, blk%' AND pid <> pg_backend_pid()`).Scan(&n)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// soon waits until it holds, for longer than any load of the machine takes.
func soon(t *testing.T, otherwise string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(otherwise)
		}
	}
}

func TestReadingEnds(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, postgres.Migrations)
	store := postgres.New(pool)
	f := flow("F")
	all := state{}
	for i := range 20_000 {
		all[fmt.Sprintf("M a%d x 2024-01", i)] = "1 A - " + strings.Repeat("long", 200) // more than the buffers of a connection hold
	}
	change(t, t.Context(), store, f, all)
	begin := func(ctx context.Context, s statistics.Selector, each func() bool) error {
		return store.ViewFlow(ctx, f, statistics.Moment{}, func(ctx context.Context, view statistics.Snapshot) error {
			for _, err := range view.Read(ctx, f, []string{"p"}, s) {
				if err != nil || !each() {
					return err
				}
			}
			return nil
		})
	}
	gone := func(t *testing.T) {
		t.Helper()
		// A server that nobody stops goes on for ever: its answer is more than the buffers hold, and nobody reads it.
		soon(t, "the server goes on reading", func() bool { return running(t, pool) == 0 })
	}
	t.Run("it reads no more than it needs where few are wanted", func(t *testing.T) {
		// A backend tells what it has read when it ends, at the latest.
		config := pool.Config()
		config.ConnConfig.RuntimeParams["application_name"] = "few"
		few, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		defer few.Close()
		count := func(what string) (n int64) {
			t.Helper()
			if err := pool.QueryRow(t.Context(), what).Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		const fetched = `SELECT coalesce(idx_tup_fetch, 0) + coalesce(seq_tup_read, 0) FROM pg_stat_user_tables WHERE relname = 'cur'`
		before, n := count(fetched), 0
		err = postgres.New(few).ViewFlow(t.Context(), f, statistics.Moment{}, func(ctx context.Context, view statistics.Snapshot) error {
			for _, err := range view.Read(ctx, f, []string{"p"}, statistics.Selector{Enough: 10}) {
				if n++; err != nil || n == 10 {
					return err
				}
			}
			return nil
		})
		if err != nil || n != 10 {
			t.Errorf("%d figures, %v", n, err)
		}
		few.Close()
		soon(t, "the connections are still there", func() bool {
			return count(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'few'`) == 0
		})
		if read := count(fetched) - before; read < 10 || read > 1000 {
			t.Errorf("it read %d blocks for ten figures", read)
		}
	})
	t.Run("it stops the server where the caller is gone", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		n := 0
		err := begin(ctx, statistics.Selector{}, func() bool {
			if n++; n == 1 {
				if running(t, pool) == 0 {
					t.Error("the server has read everything already: the test shows nothing")
				}
				cancel()
			}
			return true
		})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("it ends with %v", err)
		}
		gone(t)
	})
	t.Run("it stops the server where the reader has enough", func(t *testing.T) {
		if err := begin(t.Context(), statistics.Selector{}, func() bool { return false }); err != nil {
			t.Error(err)
		}
		gone(t)
	})
	t.Run("it gives the same in pages as at once", func(t *testing.T) {
		n := 0
		if err := begin(t.Context(), statistics.Selector{Enough: 1}, func() bool { n++; return true }); err != nil {
			t.Error(err)
		}
		if n != len(all) {
			t.Errorf("%d series, want %d", n, len(all))
		}
	})
}
