package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
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

// end ends the transaction of a view, and gives the connection back. Nothing was written; a connection whose transaction was cut
// short is thrown away. No deadline is set: the server has just answered, and a timer takes longer than the message.
func end(conn *pgxpool.Conn) {
	_, _ = conn.Conn().PgConn().Exec(context.Background(), "ROLLBACK").ReadAll()
	conn.Release()
}

// errBehind says that a replica does not have what the primary had already.
var errBehind = errors.New("the replica is behind")

// source is a server that views are of.
type source struct {
	pool    *pgxpool.Pool
	views   chan struct{} // holds an element for each view that is open
	indexes indexes
	newest  newestOpened
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
		newest:  newestOpened{known: map[string]*opened{}},
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

// opened is what a snapshot knows of the dataflow that it was opened for.
type opened struct {
	dataflow string
	ID       int32      `json:"id"` // 0: it has no figures
	Codes    int        `json:"codes"`
	Parts    []seenPart `json:"parts"` // by provider; Rev is 0 where the part had nothing yet
}

// newestOpened remembers what the newest state had of the dataflows: as long as no revision comes, it is the same.
type newestOpened struct {
	mu     sync.Mutex
	number int64 // of the node's revision
	known  map[string]*opened
}

// get returns what is known of a dataflow, nil for nothing, and of which revision; -1 where nothing is known.
func (n *newestOpened) get(dataflow string) (*opened, int64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.known[dataflow]; known != nil {
		return known, n.number
	}
	return nil, -1
}

func (n *newestOpened) put(number int64, o *opened) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if number > n.number {
		n.number, n.known = number, map[string]*opened{}
	}
	if number == n.number {
		n.known[o.dataflow] = o
	}
}

func (o *opened) is(dataflow statistics.Ref) bool { return o != nil && o.dataflow == dataflow.String() }

// seen returns the parts of the providers, in their order.
func (o *opened) seen(providers []string, past bool) []seenPart {
	var parts []seenPart
	for i, provider := range providers {
		if slices.Contains(providers[:i], provider) {
			continue
		}
		for _, part := range o.Parts {
			if part.Provider == provider && (part.Rev > 0 || !past) {
				parts = append(parts, part)
			}
		}
	}
	return parts
}

// open begins the transaction, and finds out which revision it is that is seen, and what there is of the dataflow: both in one
// message, since a small answer takes as long as the messages it needs.
func (s *snapshot) open(ctx context.Context, conn *pgxpool.Conn, dataflow string) error {
	known, of := (*opened)(nil), int64(-1)
	if !s.past && dataflow != "" {
		known, of = s.source.newest.get(dataflow)
	}
	var newest int64
	var committed *time.Time
	var found *opened // nil: what is known is so still
	messages := &pgx.Batch{}
	messages.Queue(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY`)
	messages.Queue(`
		SELECT
			n.newest,
			(SELECT max(committed_at) FROM news WHERE number = CASE WHEN $1 THEN $2 ELSE n.newest END),
			(SELECT change FROM artefact_change),
			CASE WHEN n.newest <> $4 THEN (
				SELECT jsonb_build_object('id', d.id, 'codes', d.code_count, 'parts', (
					SELECT jsonb_agg(jsonb_build_object('id', p.id, 'provider', p.provider, 'rev', coalesce(r.rev, 0)) ORDER BY p.provider, p.id)
					FROM part p
					LEFT JOIN LATERAL (
						SELECT rev
						FROM revision
						WHERE part = p.id AND (NOT $1 OR number <= $2)
						ORDER BY rev DESC
						LIMIT 1
					) r ON true
					WHERE p.dataflow = d.id
				))
				FROM dataflow d
				WHERE d.ref = $3
			) END
		FROM (SELECT coalesce(max(number), 0) AS newest FROM news) n`,
		s.past, s.number, dataflow, of).
		QueryRow(func(row pgx.Row) error { return row.Scan(&newest, &committed, &s.change, &found) })
	if err := conn.SendBatch(ctx, messages).Close(); err != nil {
		return fmt.Errorf("finding the revision: %w", err)
	}
	if s.number > newest {
		return fault.Missing("there is no revision %d yet", s.number)
	}
	if !s.past {
		s.number = newest
	}
	if committed != nil {
		s.committed = committed.UTC()
	}
	switch {
	case dataflow == "":
	case newest == of:
		s.opened = known
	default:
		if found == nil {
			found = &opened{} // it has no figures
		}
		found.dataflow = dataflow
		s.opened = found
		if !s.past {
			s.source.newest.put(newest, found)
		}
	}
	return nil
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
