package postgres_test

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

var gate = statistics.Ref{Agency: "X", ID: "GATE", Version: "1.0.0"}

func newGate(t *testing.T) (*statistics.Service, *postgres.Store, *pgxpool.Pool) {
	t.Helper()
	pool := postgrestest.New(t, postgres.Migrations)
	store := postgres.New(pool)
	service := statistics.NewService(store, "xx", time.Now, func() string { return uuid.Must(uuid.NewV7()).String() })
	list := statistics.Ref{Agency: "X", ID: "CL_GATE", Version: "1.0.0"}
	_, err := service.CreateStructures(t.Context(), &statistics.Structures{
		Codelists: []statistics.Codelist{{Ref: list, Codes: []statistics.Code{{ID: "EAST"}, {ID: "WEST"}}}},
		DataStructures: []statistics.DataStructure{{
			Ref: gate, Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "GATE", Codelist: list}},
		}},
		Dataflows: []statistics.Dataflow{{Ref: gate, Structure: gate}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return service, store, pool
}

// records gives one block of records of a gate in a period; a key below 0 is none.
func records(gates []string, at string, keys ...float64) iter.Seq2[*block.Block, error] {
	builder := block.NewBuilder([]string{"FREQ", "GATE", "TIME_PERIOD"}, nil)
	for _, gate := range gates {
		builder.Append([]string{"M", gate, at}, nil)
	}
	b := builder.Block()
	if keys != nil {
		b.Columns = append(b.Columns, block.Column{Component: statistics.RecordKeyColumn, Numbers: keys})
	}
	return func(yield func(*block.Block, error) bool) { yield(b, nil) }
}

func record(t *testing.T, service *statistics.Service, batch, retracts string, blocks iter.Seq2[*block.Block, error]) {
	t.Helper()
	if _, err := service.RecordEvents(t.Context(), statistics.EventHeader{Dataflow: gate, Batch: batch, Retracts: retracts}, blocks); err != nil {
		t.Fatal(err)
	}
}

func closeGate(t *testing.T, service *statistics.Service) statistics.EventsClosed {
	t.Helper()
	closed, err := service.CloseEvents(t.Context(), gate, "", "test")
	if err != nil {
		t.Fatal(err)
	}
	return closed
}

// cell returns the count and the record key of a cell of January 2023 as they were closed.
func cell(t *testing.T, service *statistics.Service, code string) (int64, uint32) {
	t.Helper()
	p, err := period.Parse("2023-01")
	if err != nil {
		t.Fatal(err)
	}
	got, err := service.ClosedCell(t.Context(), gate, []string{"M", code}, p)
	if err != nil {
		t.Fatal(err)
	}
	return got.Count, got.RecordKey
}

func TestRecordKeysAreSummedBesideTheCount(t *testing.T) {
	t.Parallel()
	service, _, _ := newGate(t)
	record(t, service, "a", "", records([]string{"EAST", "EAST", "WEST"}, "2023-01", 4294967295, 7, 5))
	record(t, service, "b", "", records([]string{"WEST", "WEST"}, "2023-01-17"))
	if _, err := service.ClosedCell(t.Context(), gate, []string{"M", "EAST"}, period.Period{Frequency: 'M', Index: 2023 * 12}); !fault.Is(err, fault.NotFound) {
		t.Errorf("before it is closed, the cell gives %v", err)
	}
	closeGate(t, service)
	if count, key := cell(t, service, "EAST"); count != 2 || key != 6 {
		t.Errorf("the cell has %d records and the key %d, want 2 and 6, modulo 2^32", count, key)
	}
	count, key := cell(t, service, "WEST")
	if count != 3 || key == 5 {
		t.Errorf("records without a key add nothing to the key %d of %d records", key, count)
	}
	record(t, service, "c", "", records([]string{"WEST"}, "2023-01", 9))
	if again, same := cell(t, service, "WEST"); again != count || same != key {
		t.Errorf("what is not closed yet is told: %d, %d", again, same)
	}
	record(t, service, "-b", "b", records([]string{"WEST", "WEST"}, "2023-01-17"))
	closeGate(t, service)
	if count, key := cell(t, service, "WEST"); count != 2 || key != 14 {
		t.Errorf("after records without keys are taken back, the cell has %d records and the key %d, want 2 and 14", count, key)
	}
}

func TestWhoAwaitsAClosingReadsWhatItWrote(t *testing.T) {
	t.Parallel()
	service, store, _ := newGate(t)
	record(t, service, "a", "", records([]string{"EAST", "EAST"}, "2023-01", 4, 5))
	part := statistics.Part{Dataflow: gate, Provider: "xx"}
	p, err := period.Parse("2023-01")
	if err != nil {
		t.Fatal(err)
	}
	asked := func(yield func(statistics.EventCell) bool) {
		yield(statistics.EventCell{Key: statistics.EventKey([]string{"M", "EAST"}), Period: p.Index})
	}
	closed := func() (cells []statistics.EventCell, revision int64) {
		t.Helper()
		revision, err := store.ClosedEvents(t.Context(), part, asked, func(c statistics.EventCell) { cells = append(cells, c) })
		if err != nil {
			t.Fatal(err)
		}
		return cells, revision
	}
	if cells, revision := closed(); len(cells) > 0 || revision != 0 {
		t.Errorf("before any closing there are %v of revision %d", cells, revision)
	}
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		ended <- store.CloseEvents(t.Context(), part, func(ctx context.Context, c statistics.EventClosing) error {
			close(begun)
			time.Sleep(50 * time.Millisecond)
			var cells []statistics.EventCell
			for cell, err := range c.Open(ctx) {
				if err != nil {
					return err
				}
				cells = append(cells, cell)
			}
			return c.Close(ctx, cells, &statistics.Submission{ID: uuid.Must(uuid.NewV7()).String(), Revision: 7, CreateTime: time.Now()})
		})
	}()
	<-begun
	if err := store.AwaitClosing(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []statistics.EventCell{{Key: statistics.EventKey([]string{"M", "EAST"}), Period: p.Index, Count: 2, RecordKey: 9}}
	cells, revision := closed()
	if diff := cmp.Diff(want, cells); diff != "" || revision != 7 {
		t.Errorf("revision %d, cells (-want +got):\n%s", revision, diff)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

// failing is a store that breaks at one step of a transaction.
type failing struct {
	statistics.Store
	step string
}

var errBroken = errors.New("broken")

func (f *failing) Update(ctx context.Context, do func(context.Context, statistics.Transaction) error) error {
	return f.Store.Update(ctx, func(ctx context.Context, tx statistics.Transaction) error {
		if err := do(ctx, &failingTransaction{tx, f.step}); err != nil || f.step != "commit" {
			return err
		}
		return errBroken
	})
}

// CloseEvents breaks after what was counted is written, and before that is noted.
func (f *failing) CloseEvents(ctx context.Context, part statistics.Part, do func(context.Context, statistics.EventClosing) error) error {
	return f.Store.CloseEvents(ctx, part, func(ctx context.Context, c statistics.EventClosing) error {
		if err := do(ctx, c); err != nil || f.step != "close" {
			return err
		}
		return errBroken
	})
}

type failingTransaction struct {
	statistics.Transaction
	step string
}

func (f *failingTransaction) AddEvents(ctx context.Context, part statistics.Part, cells []statistics.EventCell) ([]statistics.EventCell, error) {
	impossible, err := f.Transaction.AddEvents(ctx, part, cells)
	if f.step == "count" {
		err = errBroken
	}
	return impossible, err
}

func (f *failingTransaction) RetractEventBatch(ctx context.Context, part statistics.Part, id, by string) error {
	if err := f.Transaction.RetractEventBatch(ctx, part, id, by); err != nil || f.step != "retract" {
		return err
	}
	return errBroken
}

func TestABatchThatFailsLeavesNothing(t *testing.T) {
	t.Parallel()
	service, store, pool := newGate(t)
	record(t, service, "kept", "", records([]string{"EAST"}, "2023-01"))
	rows := func() string {
		var text string
		err := pool.QueryRow(t.Context(), `
			SELECT concat_ws(' ',
				(SELECT jsonb_agg(b ORDER BY id) FROM event_batch b), (SELECT jsonb_agg(c ORDER BY key, period) FROM event_counter c))`).Scan(&text)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	before := rows()
	for _, step := range []string{"count", "retract", "commit"} {
		broken := statistics.NewService(&failing{store, step}, "xx", time.Now, uuid.NewString)
		header := statistics.EventHeader{Dataflow: gate, Batch: "lost", Retracts: "kept"}
		if _, err := broken.RecordEvents(t.Context(), header, records([]string{"EAST"}, "2023-01")); !errors.Is(err, errBroken) {
			t.Errorf("broken at %s, the batch gives %v", step, err)
		}
		if diff := cmp.Diff(before, rows()); diff != "" {
			t.Errorf("broken at %s, the batch leaves something:\n%s", step, diff)
		}
	}
	cut := func(yield func(*block.Block, error) bool) {
		for b, err := range records([]string{"WEST"}, "2023-01") {
			yield(b, err)
		}
		yield(nil, errBroken)
	}
	if _, err := service.RecordEvents(t.Context(), statistics.EventHeader{Dataflow: gate, Batch: "cut"}, cut); !errors.Is(err, errBroken) {
		t.Errorf("a connection that breaks gives %v", err)
	}
	if diff := cmp.Diff(before, rows()); diff != "" {
		t.Errorf("a connection that breaks leaves something:\n%s", diff)
	}
}

func TestAClosingThatIsBrokenOffIsMadeUpFor(t *testing.T) {
	t.Parallel()
	service, store, _ := newGate(t)
	broken := statistics.NewService(&failing{store, "close"}, "xx", time.Now, func() string { return uuid.Must(uuid.NewV7()).String() })
	record(t, service, "a", "", records([]string{"EAST"}, "2023-01"))
	for range 2 {
		if _, err := broken.CloseEvents(t.Context(), gate, "", "test"); !errors.Is(err, errBroken) {
			t.Fatalf("the closing gives %v", err)
		}
	}
	first := closeGate(t, service)
	if first.Cells != 1 || first.Revision == 0 {
		t.Errorf("the same cells again give %+v, and not the submission that holds them", first)
	}
	record(t, service, "b", "", records([]string{"EAST", "WEST"}, "2023-01"))
	if _, err := broken.CloseEvents(t.Context(), gate, "", "test"); !errors.Is(err, errBroken) {
		t.Fatalf("the closing gives %v", err)
	}
	record(t, service, "-b", "b", records([]string{"EAST", "WEST"}, "2023-01"))
	if closed := closeGate(t, service); closed.Cells != 2 || closed.Revision <= first.Revision {
		t.Errorf("other cells give %+v", closed)
	}
	for _, want := range []struct {
		gate  string
		count int64
	}{{"EAST", 1}, {"WEST", 0}} {
		if count, _ := cell(t, service, want.gate); count != want.count {
			t.Errorf("%s has %d, want %d", want.gate, count, want.count)
		}
	}
	submissions, err := service.Submissions(t.Context(), 10, "")
	if err != nil || len(submissions) != 3 {
		t.Errorf("there are %d submissions (%v), want 3", len(submissions), err)
	}
}

func TestABatchAndAClosingAreLargerThanOneStatement(t *testing.T) {
	t.Parallel()
	service, _, pool := newGate(t)
	builder := block.NewBuilder([]string{"FREQ", "GATE", "TIME_PERIOD"}, nil)
	day := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	for i := range 25_000 {
		builder.Append([]string{"D", "EAST", day.AddDate(0, 0, i).Format(time.DateOnly)}, nil)
	}
	blocks := func(yield func(*block.Block, error) bool) { yield(builder.Block(), nil) }
	receipt, err := service.RecordEvents(t.Context(), statistics.EventHeader{Dataflow: gate, Batch: "a"}, blocks)
	if err != nil || receipt.Cells != 25_000 {
		t.Fatalf("the batch gives %+v, %v", receipt, err)
	}
	if closed := closeGate(t, service); closed.Cells != 25_000 {
		t.Errorf("%d cells are closed", closed.Cells)
	}
	var open int
	if err := pool.QueryRow(t.Context(), `SELECT count(*) FROM event_counter WHERE open`).Scan(&open); err != nil || open != 0 {
		t.Errorf("%d cells stay open (%v)", open, err)
	}
}

func TestEventsAreClosedFromTimeToTime(t *testing.T) {
	t.Parallel()
	service, _, _ := newGate(t)
	record(t, service, "a", "", records([]string{"EAST"}, "2023-01"))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- service.CloseEventsEvery(ctx, 20*time.Millisecond, slog.New(slog.DiscardHandler)) }()
	january := period.Period{Frequency: period.Monthly, Index: 2023 * 12}
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		if _, err := service.ClosedCell(t.Context(), gate, []string{"M", "EAST"}, january); err == nil {
			break
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal("nothing is closed")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
