package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/statistics"
)

// readOnlyEvery is the pause between two looks at whether changes are under way yet.
const readOnlyEvery = 20 * time.Millisecond

// ReadOnly returns whether the statistics are closed to changes.
func (s *Store) ReadOnly(ctx context.Context) (r statistics.ReadOnly, err error) {
	err = s.pool.QueryRow(ctx, `
		SELECT closed, author, reason, create_time
		FROM read_only
		ORDER BY id DESC
		LIMIT 1`).Scan(&r.On, &r.By, &r.Reason, &r.Created)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return r, fmt.Errorf("reading whether anything may be changed: %w", err)
	}
	r.Created = r.Created.UTC()
	return r, nil
}

// PutReadOnly closes the statistics to changes, or opens them. Who begins a change later sees the row, and who has begun one
// holds the lock that is waited for.
func (s *Store) PutReadOnly(ctx context.Context, r statistics.ReadOnly) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO read_only (closed, author, reason, create_time)
		VALUES (@closed, @author, @reason, @created)`,
		pgx.NamedArgs{"closed": r.On, "author": r.By, "reason": r.Reason, "created": r.Created})
	if err != nil {
		return fmt.Errorf("keeping whether anything may be changed: %w", err)
	}
	if !r.On {
		return nil
	}
	// It asks again and again instead of waiting in the queue for the lock: there it would be in the way of changes that hold
	// the lock and need a second transaction to come to their end.
	for free := false; !free; {
		err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1, 0)`, lockReadOnly).Scan(&free)
		})
		if err != nil {
			return fmt.Errorf("waiting for the changes under way: %w", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(readOnlyEvery):
		}
	}
	return nil
}

// begin runs do in a transaction that changes something, unless the statistics are read-only.
func (s *Store) begin(ctx context.Context, do func(tx pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var batch pgx.Batch
		batch.Queue(`SELECT pg_advisory_xact_lock_shared($1, 0)`, lockReadOnly)
		// A statement of its own, which sees what was committed while the lock was waited for.
		closed := false
		batch.Queue(`SELECT closed FROM read_only ORDER BY id DESC LIMIT 1`).Query(func(rows pgx.Rows) error {
			found, err := pgx.CollectRows(rows, pgx.RowTo[bool])
			closed = len(found) > 0 && found[0]
			return err
		})
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return fmt.Errorf("asking whether anything may be changed: %w", err)
		}
		if closed {
			return statistics.ErrReadOnly
		}
		return do(tx)
	})
}

// alter runs a statement in a transaction of its own, unless the statistics are read-only. It is pgx.ErrNoRows where no row
// has changed.
func (s *Store) alter(ctx context.Context, sql string, args pgx.NamedArgs) error {
	return s.begin(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, args)
		if err == nil && tag.RowsAffected() == 0 {
			err = pgx.ErrNoRows
		}
		return err
	})
}
