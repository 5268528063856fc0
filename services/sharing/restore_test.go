package sharing_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/postgres"
)

const watched = "M,AA,1A,EAST,AFG,_T,2024-01" // the figure of aa that tests follow to bb

// backups gives each backup of a test program a name.
var backups atomic.Int64 //nolint:gochecknoglobals // they share one server

// reopen runs the state's service on another database of the same server.
func (s *state) reopen(t *testing.T, database string) {
	t.Helper()
	config := s.pool.Config()
	s.pool.Close()
	config.ConnConfig.Database = database
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s.pool = pool
	service := s.Config
	service.Store = postgres.NewStore(pool)
	s.Service = sharing.New(service)
}

// backUp copies the state's database, and returns what restores it from the copy.
func (s *state) backUp(t *testing.T) (restore func()) {
	t.Helper()
	name := s.pool.Config().ConnConfig.Database
	s.pool.Close() // a database with a connection cannot be copied
	config := s.pool.Config().ConnConfig.Copy()
	config.Database, config.Tracer = "postgres", nil
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	copied := fmt.Sprintf("backup_%d", backups.Add(1))
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		// The server may not have noticed yet that the connections are closed.
		if _, err = conn.Exec(t.Context(), `CREATE DATABASE `+copied+` TEMPLATE `+name); err == nil || time.Now().After(deadline) {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	s.reopen(t, name)
	return func() { s.reopen(t, copied) }
}

// catchUp lets both states work as their loops do, until bb has the watched figure. What fails on the way is tried again.
func (w *world) catchUp(t *testing.T, value float64) {
	t.Helper()
	var last error
	for range 6 {
		last = nil
		for _, s := range []*state{w.aa, w.bb} {
			for _, step := range s.Steps() {
				last = errors.Join(last, step(t.Context()))
			}
		}
		last = errors.Join(last, w.pull(t.Context(), w.bb, w.aa), w.bb.Steps()[2](t.Context()))
		w.bb.figures.mu.Lock()
		got := w.bb.figures.received[watched]
		w.bb.figures.mu.Unlock()
		if got == value && last == nil {
			return
		}
		w.pass(2 * time.Minute)
	}
	t.Fatalf("the receiver has %v, not %v: %v", w.bb.figures.received[watched], value, last)
}

// show has aa show its log to bb, as a session does.
func (w *world) show(ctx context.Context) error {
	for range 2 {
		checkpoint, old, proof, err := w.aa.WitnessOffer(ctx, "bb")
		if err != nil || checkpoint == "" {
			return err
		}
		cosigned, seen, err := w.bb.Witness(ctx, "aa", checkpoint, old, proof)
		if err != nil {
			return errors.Join(err, w.aa.Objected(ctx, "bb", err.Error()))
		}
		if err := w.aa.Cosigned(ctx, "bb", cosigned, seen); err != nil {
			return err
		}
	}
	return nil
}

func TestRestoredFromOldBackup(t *testing.T) {
	t.Parallel()
	deliver := func(t *testing.T, w *world, value float64) {
		t.Helper()
		w.aa.figures.set(watched, value)
		w.catchUp(t, value)
	}
	start := func(t *testing.T) *world {
		t.Helper()
		w := newWorld(t)
		w.newFigures()
		w.agree(t, w.terms())
		deliver(t, w, 500)
		return w
	}

	t.Run("a sender begins a new epoch, and signs nothing twice for one place", func(t *testing.T) {
		t.Parallel()
		ctx, w := t.Context(), start(t)
		before, err := w.aa.Head(ctx, "bb")
		if err != nil {
			t.Fatal(err)
		}
		restore := w.aa.backUp(t)
		deliver(t, w, 600)
		deliver(t, w, 700)
		w.pass(time.Hour)
		restore()
		deliver(t, w, 800)
		after, err := w.aa.Head(ctx, "bb")
		if err != nil || after.Epoch == before.Epoch {
			t.Errorf("it is in epoch %s, as before, %v", after.Epoch, err)
		}
		partners, err := w.bb.Partners(ctx)
		if err != nil || partners[0].Quarantined {
			t.Errorf("%+v, %v", partners, err)
		}
		deliver(t, w, 900)
	})
	t.Run("a sender begins a new epoch also where the backup is of an earlier epoch", func(t *testing.T) {
		t.Parallel()
		w := start(t)
		restore := w.aa.backUp(t)
		w.aa.figures.set(watched, 550)
		for _, step := range w.aa.Steps() {
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		w.pass(91 * 24 * time.Hour) // what waits has expired, so the stream begins anew
		deliver(t, w, 600)
		deliver(t, w, 700)
		w.pass(time.Hour)
		restore()
		deliver(t, w, 800)
	})
	t.Run("a sender is found by the partner that has seen more of its log", func(t *testing.T) {
		t.Parallel()
		ctx, w := t.Context(), start(t)
		if err := w.show(ctx); err != nil {
			t.Fatal(err)
		}
		restore := w.aa.backUp(t)
		deliver(t, w, 600)
		if err := w.show(ctx); err != nil {
			t.Fatal(err)
		}
		restore()
		must(t)(w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A", Filter: filter.True()})) // an entry
		if err := w.aa.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
		if err := w.show(ctx); err == nil || !strings.Contains(err.Error(), "restored from an older backup") {
			t.Errorf("shorter: %v", err)
		}
		for i := range 8 {
			deliver(t, w, float64(800+10*i))
		}
		if err := w.show(ctx); fault.Reason(err) != "EQUIVOCATION" {
			t.Errorf("grown on: %v", err)
		}
	})
	t.Run("a log is found by the verifier who has a partner's co-signature", func(t *testing.T) {
		t.Parallel()
		ctx, w := t.Context(), start(t)
		restore := w.aa.backUp(t)
		deliver(t, w, 600)
		if err := w.show(ctx); err != nil {
			t.Fatal(err)
		}
		seen, err := w.aa.Store.Witnessed(ctx, "bb")
		if err != nil {
			t.Fatal(err)
		}
		restore()
		err = w.aa.Store.Write(ctx, func(tx sharing.Tx) error { // which the partner has still
			if _, err := tx.LockWitnessed(ctx, "bb"); err != nil {
				return err
			}
			return tx.SaveWitnessed(ctx, "bb", seen)
		})
		if err != nil {
			t.Fatal(err)
		}
		n, err := w.aa.verify(ctx)
		if bad, ok := errors.AsType[*sharing.BadEntryError](err); !ok || bad.Index != n || !strings.Contains(bad.Meaning, "restored from an older backup") {
			t.Errorf("after %d entries: %v", n, err)
		}
	})
	t.Run("a receiver gets again what it has lost, stores it once, and its other receipts are found", func(t *testing.T) {
		t.Parallel()
		ctx, w := t.Context(), start(t)
		restore := w.bb.backUp(t)
		deliver(t, w, 600)
		w.pass(time.Hour)
		restore()
		deliver(t, w, 700)
		deliveries, _, err := w.bb.Deliveries(ctx, sharing.Page{})
		if err != nil || len(deliveries) != 4 {
			t.Errorf("%d deliveries, %v", len(deliveries), err)
		}
		for _, d := range deliveries {
			if d.State != sharing.Stored {
				t.Errorf("%+v", d)
			}
		}
		var logs sharing.Comparison
		for _, s := range []*state{w.aa, w.bb} {
			if err := s.Steps()[1](ctx); err != nil {
				t.Fatal(err)
			}
			if _, err := s.verify(ctx); err != nil {
				t.Errorf("%s: %v", s.code, err)
			}
			entries, err := s.LogEntries(ctx, 0, 1000)
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				logs.Add(entry)
			}
		}
		if found := logs.Contradictions(); len(found) != 1 || !strings.Contains(found[0], "the receiver has signed two") {
			t.Errorf("%q", found)
		}
	})
}

// A state that shows one log to one partner and another one to the other cannot show either to who asks both.
func TestTwoCheckpointsForTwoPartners(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t, "cc")
	w.newFigures()
	w.agree(t, w.terms())
	shown := map[sharing.StateCode]string{}
	show := func(to *state) {
		t.Helper()
		cosigned, _, err := to.Witness(ctx, "aa", mustCheckpoint(t, w.aa), 0, nil)
		if err != nil || cosigned == "" {
			t.Fatalf("%s: %q, %v", to.code, cosigned, err)
		}
		shown[to.code] = cosigned
	}
	other := w.aa.backUp(t)
	w.aa.figures.set(watched, 500)
	w.run(t)
	show(w.bb)
	mine := w.aa.pool.Config().ConnConfig.Database
	other()
	w.aa.figures.set(watched, 900)
	for _, step := range w.aa.Steps()[:2] {
		if err := step(ctx); err != nil {
			t.Fatal(err)
		}
	}
	show(w.others[0])
	theirs := w.aa.pool.Config().ConnConfig.Database
	for _, database := range []string{mine, theirs} {
		w.aa.reopen(t, database)
		for partner, cosigned := range shown {
			err := w.aa.Store.Write(ctx, func(tx sharing.Tx) error {
				if _, err := tx.LockWitnessed(ctx, partner); err != nil {
					return err
				}
				return tx.SaveWitnessed(ctx, partner, sharing.Witnessed{Root: []byte{}, Cosigned: cosigned})
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if n, err := w.aa.verify(ctx); err == nil {
			t.Errorf("of %d entries, it is taken for the one log", n)
		} else {
			t.Log(err)
		}
	}
}
