package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// View runs do on one state of the data: everything in it sees the same commits. An answer takes as long as its reader
// does, so views leave connections to uploads and news; where too many are open, it is a fault of kind Unavailable.
func (s *Store) View(ctx context.Context, at statistics.Moment, do func(context.Context, statistics.Snapshot) error) error {
	return s.view(ctx, "", at, func(ctx context.Context, view *snapshot) error { return do(ctx, view) })
}

// ViewFlow is View for who reads one dataflow, which is looked up in the statement that finds the state.
func (s *Store) ViewFlow(ctx context.Context, flow *statistics.Flow, at statistics.Moment, do func(context.Context, statistics.Snapshot) error) error {
	return s.view(ctx, flow.Ref.String(), at, func(ctx context.Context, view *snapshot) error { return do(ctx, view) })
}

func (s *Store) view(ctx context.Context, dataflow string, at statistics.Moment, do func(context.Context, *snapshot) error) error {
	number, past, err := s.resolve(ctx, at)
	if err != nil {
		return err
	}
	if s.replica != nil {
		begun, err := s.viewOf(ctx, s.replica, dataflow, number, past, do)
		if begun || ctx.Err() != nil {
			return err
		}
		// It is behind, or not there: what follows is for the primary.
	}
	_, err = s.viewOf(ctx, s.primary, dataflow, number, past, do)
	return err
}

// viewOf runs do on a state that a server has, and reports whether it did.
func (s *Store) viewOf(ctx context.Context, from *source, dataflow string, number int64, past bool, do func(context.Context, *snapshot) error) (begun bool, err error) {
	if err := from.enter(ctx); err != nil {
		return false, err
	}
	defer func() { <-from.views }()
	if from == s.primary && !past {
		if known := from.newest.get(dataflow); known != nil {
			err := s.tryView(ctx, from, dataflow, known, do)
			if !errors.Is(err, errMoved) {
				return true, err
			}
		}
	}
	conn, err := from.pool.Acquire(ctx)
	if err != nil {
		return false, fmt.Errorf("beginning a view: %w", err)
	}
	defer end(conn)
	view := &snapshot{reader: reader{store: s, db: conn, past: past, number: number}, source: from}
	if err := view.open(ctx, conn, dataflow); err != nil {
		return false, err
	}
	if from == s.replica && view.change < s.change.Load() {
		return false, errBehind
	}
	return true, do(ctx, view)
}

// tryView runs do on the newest state, taken to be the one that is known. It ends with [errMoved] where that is not so; do has
// read nothing then.
func (s *Store) tryView(ctx context.Context, from *source, dataflow string, known *newest, do func(context.Context, *snapshot) error) error {
	conn, err := from.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("beginning a view: %w", err)
	}
	defer end(conn)
	view := &snapshot{reader: reader{store: s, number: known.number}, source: from, committed: known.committed, change: known.change}
	view.opened = known.dataflows[dataflow]
	g := &guess{conn: conn, known: known, dataflow: dataflow}
	view.db, view.guess = g, g
	err = do(ctx, view)
	if sure := g.ensure(ctx); sure != nil {
		return sure
	}
	return err
}

// end ends the transaction of a view, and gives the connection back, for which the answer does not wait. Nothing was written; a
// connection whose transaction was cut short is thrown away. No deadline is set: the server has just answered, and a timer takes
// longer than the message.
func end(conn *pgxpool.Conn) {
	go func() {
		_, _ = conn.Conn().PgConn().Exec(context.Background(), "ROLLBACK").ReadAll()
		conn.Release()
	}()
}

// errBehind says that a replica does not have what the primary had already.
var errBehind = errors.New("the replica is behind")

// source is a server that views are of.
type source struct {
	pool    *pgxpool.Pool
	views   chan struct{} // holds an element for each view that is open
	indexes indexes
	newest  newestKnown
	marks   marks
}

// enter waits until one more view may be open. Most need not wait, nor set a timer.
func (s *source) enter(ctx context.Context) error {
	select {
	case s.views <- struct{}{}:
		return nil
	default:
	}
	late := time.NewTimer(viewPatience)
	defer late.Stop()
	select {
	case s.views <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late.C:
		return fault.New(fault.Unavailable, "UNAVAILABLE", "too many answers are being read: try again")
	}
}

// newSource returns a source whose views leave so many connections of the pool to others.
func newSource(pool *pgxpool.Pool, reserved int) *source {
	return &source{
		pool: pool, views: make(chan struct{}, max(int(pool.Config().MaxConns)-reserved, 1)),
		indexes: indexes{known: map[int32]*partIndex{}},
		marks:   marks{known: map[int32]mark{}},
	}
}

// ReadFrom lets views be of a streaming replica, through a pool of its own; it comes before the first view. A view of a
// revision that the replica does not have yet is of the primary, and so is each where the replica does not answer, or lacks a
// change of the structures. A view of the newest state is of the newest that the replica has: who has written, and wants to
// read it, names the revision that the submission was given.
func (s *Store) ReadFrom(replica *pgxpool.Pool) { s.replica = newSource(replica, 0) }

// snapshot is a reader of one state of the data.
type snapshot struct {
	reader
	source    *source
	committed time.Time
	change    int64 // of the structures
}

// Revision returns the number of the state and when it was committed.
func (s *snapshot) Revision() (int64, time.Time) { return s.number, s.committed }

// StructuresChange returns the number of the last change of the structures.
func (s *snapshot) StructuresChange() int64 { return s.change }

// Before returns the last revision that is not after the moment.
func (s *snapshot) Before(ctx context.Context, at statistics.Moment) (number int64, committed time.Time, err error) {
	if at.Revision > s.number {
		return 0, committed, fault.Missing("there is no revision %d yet", at.Revision)
	}
	byTime := at.Revision == 0 && !at.Time.IsZero()
	latest := at.Revision
	if byTime {
		latest = s.number
	}
	var when *time.Time
	err = s.db.QueryRow(ctx, `
		SELECT coalesce(max(number), 0), max(committed_at)
		FROM news
		WHERE number <= @number AND (NOT @by_time OR committed_at <= @time)`,
		pgx.NamedArgs{"number": latest, "by_time": byTime, "time": at.Time}).Scan(&number, &when)
	if err != nil {
		return 0, committed, fmt.Errorf("finding the revision at %s: %w", at.Time, err)
	}
	if when != nil {
		committed = when.UTC()
	}
	return number, committed, nil
}

// Providers returns whose figures a dataflow holds.
func (s *snapshot) Providers(ctx context.Context, dataflow statistics.Ref) ([]string, error) {
	if s.opened.is(dataflow) {
		var providers []string
		for _, part := range s.opened.Parts {
			if part.Rev > 0 {
				providers = append(providers, part.Provider)
			}
		}
		return slices.Compact(providers), nil
	}
	rows, err := s.db.Query(ctx, `
		SELECT DISTINCT p.provider
		FROM part p
		JOIN dataflow d ON d.id = p.dataflow
		WHERE d.ref = $1 AND EXISTS (SELECT FROM revision r WHERE r.part = p.id)
		ORDER BY p.provider`, dataflow.String())
	if err != nil {
		return nil, fmt.Errorf("reading the providers of %s: %w", dataflow, err)
	}
	providers, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("reading the providers of %s: %w", dataflow, err)
	}
	return providers, nil
}
