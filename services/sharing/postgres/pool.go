package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/services/fault"
)

// patience is how long a connection is waited for. Nothing holds one for long but what waits for others itself.
const patience = 10 * time.Second

// pool is a pool of connections whose callers do not wait forever: where none comes free in time, they are told to come
// again, rather than that all hang.
type pool struct {
	*pgxpool.Pool
	patience time.Duration
}

// Acquire returns a connection; a fault of kind Unavailable where none is free in time.
func (p pool) Acquire(ctx context.Context) (*pgxpool.Conn, error) {
	waiting, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	conn, err := p.Pool.Acquire(waiting)
	if err != nil && ctx.Err() == nil && waiting.Err() != nil {
		return nil, fault.New(fault.Unavailable, "UNAVAILABLE", "the database is too busy; try again").Because(err)
	}
	return conn, err
}

// Exec executes a statement.
func (p pool) Exec(ctx context.Context, sql string, arguments ...any) (pgconn.CommandTag, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return pgconn.CommandTag{}, err
	}
	defer conn.Release()
	return conn.Exec(ctx, sql, arguments...)
}

// Query asks; the rows hold the connection until they are closed.
func (p pool) Query(ctx context.Context, sql string, arguments ...any) (pgx.Rows, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := conn.Query(ctx, sql, arguments...)
	if err != nil {
		conn.Release()
		return nil, err
	}
	return heldRows{rows, conn}, nil
}

// Begin begins a transaction, which holds the connection until it ends.
func (p pool) Begin(ctx context.Context) (pgx.Tx, error) {
	conn, err := p.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	tx, err := conn.Begin(ctx)
	if err != nil {
		conn.Release()
		return nil, err
	}
	return heldTx{tx, conn}, nil
}

// heldRows release their connection when they are closed; to release it again does nothing.
type heldRows struct {
	pgx.Rows
	conn *pgxpool.Conn
}

func (r heldRows) Close() {
	r.Rows.Close()
	r.conn.Release()
}

// heldTx releases its connection when it ends.
type heldTx struct {
	pgx.Tx
	conn *pgxpool.Conn
}

func (t heldTx) Commit(ctx context.Context) error {
	defer t.conn.Release()
	return t.Tx.Commit(ctx)
}

func (t heldTx) Rollback(ctx context.Context) error {
	defer t.conn.Release()
	return t.Tx.Rollback(ctx)
}
