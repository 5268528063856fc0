package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5/pgxpool"
)

// locks are the advisory locks that this process holds: all on one connection, however many loops work for however long, which
// goes back to the pool when none is held.
type locks struct {
	pool pool

	mu   sync.Mutex // guards what follows
	conn *pgxpool.Conn
	held map[string]bool
}

// lockKey is the number of the lock of a name.
const lockKey = `hashtextextended('comity sharing ' || $1, 0)`

// take takes a lock; false where it is held, here or by another process.
func (l *locks) take(ctx context.Context, name string) (taken bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.held[name] {
		return false, nil
	}
	if l.conn == nil {
		if l.conn, err = l.pool.Acquire(ctx); err != nil {
			return false, fmt.Errorf("acquiring a connection: %w", err)
		}
	}
	if err = l.conn.QueryRow(ctx, `SELECT pg_try_advisory_lock(`+lockKey+`)`, name).Scan(&taken); err != nil {
		// What else is held is lost with the connection, if it is lost: then another process may do the same work beside this
		// one, which every transaction must bear.
		l.drop(ctx)
		return false, err
	}
	if taken {
		l.held[name] = true
	}
	l.release()
	return taken, nil
}

// give gives a lock back.
func (l *locks) give(ctx context.Context, name string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.held, name)
	if l.conn == nil {
		return // it was lost with its connection
	}
	if _, err := l.conn.Exec(ctx, `SELECT pg_advisory_unlock(`+lockKey+`)`, name); err != nil {
		l.drop(ctx)
		return
	}
	l.release()
}

// drop closes the connection, and with it every lock.
func (l *locks) drop(ctx context.Context) {
	_ = l.conn.Conn().Close(ctx) // it is not of use any more
	l.conn.Release()
	l.conn = nil
}

// release returns the connection to the pool where no lock needs it.
func (l *locks) release() {
	if len(l.held) == 0 {
		l.conn.Release()
		l.conn = nil
	}
}
