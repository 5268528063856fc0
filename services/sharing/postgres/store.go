// Package postgres keeps what sharing knows in PostgreSQL.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/services/sharing"
)

// Migrations are the goose migrations, in the folder "migrations".
//
//go:embed migrations/*.sql
var Migrations embed.FS

// channel is where transactions tell other processes that there is news.
const channel = "comity_sharing"

// Store is a [sharing.Store] on PostgreSQL.
type Store struct {
	reader
	pool  pool
	locks *locks
}

var _ sharing.Store = (*Store)(nil)

// NewStore returns the store in the database of the pool, which has the migrations.
func NewStore(connections *pgxpool.Pool) *Store { return newStore(pool{connections, patience}) }

func newStore(p pool) *Store {
	return &Store{reader: reader{p}, pool: p, locks: &locks{pool: p, held: map[string]bool{}}}
}

// querier is what a pool and a transaction have in common.
type querier interface {
	Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error)
}

// reader is a [sharing.Reader], in a transaction or outside of one.
type reader struct{ db querier }

// In returns the reader inside a transaction, for who must read several things as they are at one moment.
func In(t pgx.Tx) sharing.Reader { return reader{t} }

// tx is a [sharing.Tx].
type tx struct {
	reader
	pgx pgx.Tx
}

// Write runs work in one transaction.
func (s *Store) Write(ctx context.Context, work func(sharing.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error { return work(tx{reader{t}, t}) })
}

// Exclusively runs work while this process holds the advisory lock of the name.
func (s *Store) Exclusively(ctx context.Context, name string, work func(context.Context) error) (ran bool, err error) {
	ran, err = s.locks.take(ctx, name)
	if err != nil || !ran {
		return false, err
	}
	defer s.locks.give(context.WithoutCancel(ctx), name) // also when ctx is over
	return true, work(ctx)
}

// Listen calls wake for each notification.
func (s *Store) Listen(ctx context.Context, wake func()) error {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquiring a connection: %w", err)
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, `LISTEN `+channel); err != nil {
		return err
	}
	defer func() { _, _ = conn.Exec(context.WithoutCancel(ctx), `UNLISTEN *`) }()
	wake()
	for {
		if _, err := conn.Conn().WaitForNotification(ctx); err != nil {
			return err
		}
		wake()
	}
}

// Notify wakes those who listen once the transaction is committed.
func (t tx) Notify(ctx context.Context) error {
	_, err := t.db.Exec(ctx, `NOTIFY `+channel)
	return err
}

// one returns the row of a query; false where there is none.
func one[T any](ctx context.Context, db querier, scan pgx.RowToFunc[T], sql string, args ...any) (value T, found bool, err error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return value, false, err
	}
	value, err = pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return value, false, nil
	}
	return value, err == nil, err
}

// changed reports whether a statement changed a row.
func changed(tag pgconn.CommandTag, err error) (bool, error) { return tag.RowsAffected() > 0, err }

// isDuplicate reports whether err says that a key is there already.
func isDuplicate(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == "23505"
}

// Progress returns what was kept under a name.
func (r reader) Progress(ctx context.Context, name string) (string, error) {
	cursor, _, err := one(ctx, r.db, pgx.RowTo[string], `SELECT cursor FROM progress WHERE name = $1`, name)
	return cursor, err
}

// SaveProgress keeps a cursor under a name.
func (s *Store) SaveProgress(ctx context.Context, name, cursor string) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO progress (name, cursor)
		VALUES (@name, @cursor)
		ON CONFLICT (name) DO UPDATE SET cursor = excluded.cursor`,
		pgx.NamedArgs{"name": name, "cursor": cursor})
	return err
}
