package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// opened is what a snapshot knows of the dataflow that it was opened for.
type opened struct {
	dataflow string
	ID       int32      `json:"id"` // 0: it has no figures
	Codes    int        `json:"codes"`
	Parts    []seenPart `json:"parts"` // by provider; Rev is 0 where the part had nothing yet
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

// newest is what is known of the newest state. It never changes; another one takes its place.
type newest struct {
	number    int64 // of the node's revision
	committed time.Time
	change    int64 // of the structures
	dataflows map[string]*opened
}

// newestKnown remembers what the newest state was last: as long as no revision comes, and no change of the structures, it is so.
type newestKnown struct{ known atomic.Pointer[newest] }

// get returns what is known, nil where the dataflow is not.
func (n *newestKnown) get(dataflow string) *newest {
	known := n.known.Load()
	if known == nil || known.dataflows[dataflow] == nil {
		return nil
	}
	return known
}

// put remembers a dataflow in a state, unless a later one is known.
func (n *newestKnown) put(state newest, o *opened) {
	for {
		known := n.known.Load()
		if known != nil && (state.number < known.number || state.number == known.number && state.change < known.change) {
			return
		}
		state.dataflows = map[string]*opened{}
		if known != nil && known.number == state.number {
			state.dataflows = maps.Clone(known.dataflows)
		}
		state.dataflows[o.dataflow] = o
		if n.known.CompareAndSwap(known, &state) {
			return
		}
	}
}

// found is the answer of the first statement of a view.
type found struct {
	newest    int64
	committed *time.Time // of the state that is seen
	change    int64
	dataflow  *opened // nil: the newest state is the one that is known, or the dataflow has no figures
}

// opening returns the messages that begin a view. A small answer takes as long as the messages it needs, so they go together.
func opening(dataflow string, past bool, number, known int64) *pgx.Batch {
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
		past, number, dataflow, known)
	return messages
}

// readOpening reads the answers to [opening].
func readOpening(results pgx.BatchResults) (f found, err error) {
	if _, err = results.Exec(); err == nil {
		err = results.QueryRow().Scan(&f.newest, &f.committed, &f.change, &f.dataflow)
	}
	if err != nil {
		return f, fmt.Errorf("finding the revision: %w", err)
	}
	return f, nil
}

// open begins the transaction, and finds out which revision it is that is seen, and what there is of the dataflow.
func (s *snapshot) open(ctx context.Context, conn *pgxpool.Conn, dataflow string) error {
	results := conn.SendBatch(ctx, opening(dataflow, s.past, s.number, -1))
	f, err := readOpening(results)
	if err := errors.Join(err, results.Close()); err != nil {
		return err
	}
	if s.number > f.newest {
		return fault.Missing("there is no revision %d yet", s.number)
	}
	if !s.past {
		s.number = f.newest
	}
	if f.committed != nil {
		s.committed = f.committed.UTC()
	}
	s.change = f.change
	if dataflow == "" {
		return nil
	}
	s.opened = f.dataflow
	if s.opened == nil {
		s.opened = &opened{} // it has no figures
	}
	s.opened.dataflow = dataflow
	if !s.past {
		s.source.newest.put(newest{number: s.number, committed: s.committed, change: s.change}, s.opened)
	}
	return nil
}

// errMoved says that the newest state is not the one that was known.
var errMoved = errors.New("there is a newer state")

// guess is the connection of a view whose state is taken to be the newest that is known. Whether it is comes out with the first
// statement, which goes in one message with those that begin the view, and fails with [errMoved] if not.
type guess struct {
	conn     *pgxpool.Conn
	known    *newest
	dataflow string
	sure     bool
	failed   error
}

// begin sends the messages that begin the view, and those of more, and reads the answers to the former.
func (g *guess) begin(ctx context.Context, more func(*pgx.Batch)) (pgx.BatchResults, error) {
	if g.failed != nil {
		return nil, g.failed
	}
	messages := opening(g.dataflow, false, 0, g.known.number)
	more(messages)
	results := g.conn.SendBatch(ctx, messages)
	f, err := readOpening(results)
	if err == nil && (f.newest != g.known.number || f.change != g.known.change) {
		err = errMoved
	}
	if err != nil {
		_ = results.Close() // what it says of the further messages is of no use
		g.failed = err
		return nil, err
	}
	g.sure = true
	return results, nil
}

// ensure finds out whether the state is the one that is known, where nothing has been read yet.
func (g *guess) ensure(ctx context.Context) error {
	if g.sure {
		return nil
	}
	results, err := g.begin(ctx, func(*pgx.Batch) {})
	if err != nil {
		return err
	}
	return results.Close()
}

// Query is of querier.
func (g *guess) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if g.sure {
		return g.conn.Query(ctx, sql, args...)
	}
	results, err := g.begin(ctx, func(messages *pgx.Batch) { messages.Queue(sql, args...) })
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, errors.Join(err, results.Close())
	}
	return &lastRows{rows, results}, nil
}

// QueryRow is of querier.
func (g *guess) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := g.ensure(ctx); err != nil {
		return failedRow{err}
	}
	return g.conn.QueryRow(ctx, sql, args...)
}

// lastRows are the rows of the last of several messages.
type lastRows struct {
	pgx.Rows
	results pgx.BatchResults
}

// Close is of pgx.Rows.
func (r *lastRows) Close() {
	r.Rows.Close()
	_ = r.results.Close() // what was wrong with the rows, Err says
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }
