// Package postgres keeps structures, submissions and figures in PostgreSQL.
//
// Figures stand in packed blocks: a row holds the cells of one series in a run of periods, so that a sum or a stream
// touches few rows. What a block was before a revision is kept apart from what it is. The tables of figures are keyed by
// part first, a part being one provider's figures in one dataflow: that is the unit of locking, and what a distributed
// database would be distributed by.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/services/statistics"
)

// Migrations are the goose migrations of the schema.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// The classes of advisory locks. The database is this service's own.
const (
	lockStructures = 1
	lockPart       = 2
	lockNews       = 3
	lockReadOnly   = 5 // shared by every change
)

// newsChannel is notified of every revision.
const newsChannel = "comity_statistics_news"

// Store is a statistics.Store.
type Store struct {
	pool      *pgxpool.Pool
	codes     dictionaries
	artefacts artefacts
	bell      bell
	primary   *source
	replica   *source      // nil: there is none
	change    atomic.Int64 // of the structures, as the primary had it last
}

var _ statistics.Store = (*Store)(nil)

// New returns a store in a database to which the migrations were applied.
func New(pool *pgxpool.Pool) *Store {
	return &Store{
		pool: pool, codes: dictionaries{known: map[int32]dictionary{}}, bell: bell{rung: make(chan struct{})},
		primary: newSource(pool, reserved),
	}
}

const (
	reserved     = 3                // connections of the pool that views leave to all others
	viewPatience = 10 * time.Second // how long a view waits for others to end
)

// Update runs do in a transaction.
func (s *Store) Update(ctx context.Context, do func(context.Context, statistics.Transaction) error) error {
	added := 0
	err := s.begin(ctx, func(tx pgx.Tx) error {
		t := &transaction{
			reader: reader{store: s, db: tx, own: map[int32]*statistics.Dictionary{}},
			tx:     tx,
			parts:  map[statistics.Part]*lockedPart{},
		}
		err := do(ctx, t)
		added = t.added
		return err
	})
	if err != nil {
		return err
	}
	s.analyze(ctx, added)
	return nil
}

// resolve returns the number of the revision that a moment names; past is false for the newest state.
func (s *Store) resolve(ctx context.Context, at statistics.Moment) (number int64, past bool, err error) {
	if at.Revision != 0 || at.Time.IsZero() {
		return at.Revision, at.Revision != 0, nil
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// A revision that is being committed has its time already: wait for it, lest it appear later.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared($1, 0)`, lockNews); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `
			SELECT coalesce(max(number), 0)
			FROM news
			WHERE committed_at <= $1`, at.Time).Scan(&number)
	})
	if err != nil {
		return 0, false, fmt.Errorf("finding the revision at %s: %w", at.Time, err)
	}
	return number, true, nil
}

// Revisions returns revisions in the order of commits.
func (s *Store) Revisions(ctx context.Context, cursor string, limit int) ([]statistics.Revision, error) {
	number, ordinal, err := parseNewsCursor(cursor)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT number, ordinal, dataflow, provider, coalesce(submission::text, ''), committed_at
		FROM news
		WHERE (number, ordinal) > (@number, @ordinal)
		ORDER BY number, ordinal
		LIMIT @limit`,
		pgx.NamedArgs{"number": number, "ordinal": ordinal, "limit": limit})
	if err != nil {
		return nil, fmt.Errorf("reading the news: %w", err)
	}
	revisions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r statistics.Revision, err error) {
		var dataflow string
		if err := row.Scan(&r.Number, &ordinal, &dataflow, &r.Part.Provider, &r.Submission, &r.CommitTime); err != nil {
			return r, err
		}
		r.Cursor = newsCursor(r.Number, ordinal)
		r.CommitTime = r.CommitTime.UTC()
		r.Part.Dataflow, err = statistics.ParseRef(dataflow)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the news: %w", err)
	}
	return revisions, nil
}

const (
	patience   = time.Second     // how long a watcher waits where no bell rings
	listenSpan = 5 * time.Second // how long after a lost connection Listen tries again
)

// bell wakes everyone who waits for news.
type bell struct {
	mu   sync.Mutex
	rung chan struct{}
}

func (b *bell) ring() {
	b.mu.Lock()
	defer b.mu.Unlock()
	close(b.rung)
	b.rung = make(chan struct{})
}

func (b *bell) next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rung
}

// Wait returns when there may be new revisions, at the latest after a second, or when ctx ends.
func (s *Store) Wait(ctx context.Context) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-s.bell.next():
	}
}

// Listen wakes those who wait as soon as there are news, until ctx ends. Without it they look once a second.
func (s *Store) Listen(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := s.listen(ctx); err != nil && ctx.Err() == nil {
			select { // the database is away: those who wait look by themselves
			case <-ctx.Done():
			case <-time.After(listenSpan):
			}
		}
	}
	return nil
}

func (s *Store) listen(ctx context.Context) (err error) {
	pooled, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	conn := pooled.Hijack() // it listens; the pool must not hand it out again
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
		defer cancel()
		err = errors.Join(err, conn.Close(closing))
	}()
	if _, err := conn.Exec(ctx, `LISTEN `+newsChannel); err != nil {
		return err
	}
	for {
		if _, err := conn.WaitForNotification(ctx); err != nil {
			return err
		}
		s.bell.ring()
	}
}
