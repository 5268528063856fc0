package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

const (
	lockClosing = 16 // the class of the advisory lock that one closing holds at a time

	eventChunk       = 20_000                 // cells in one statement
	shownImpossible  = 20                     // cells that cannot be, of a chunk
	closingPatience  = 30 * time.Second       // how long a closing waits for another
	closingLookAfter = 100 * time.Millisecond // how often it looks
)

// EventSecret returns the secret of this database, and makes it where there is none.
func (s *Store) EventSecret(ctx context.Context) (secret []byte, err error) {
	find := func() error { return s.pool.QueryRow(ctx, `SELECT secret FROM event_secret`).Scan(&secret) }
	if err = find(); errors.Is(err, pgx.ErrNoRows) {
		made := make([]byte, 32)
		_, _ = rand.Read(made) // it never fails
		_, err = s.pool.Exec(ctx, `
			INSERT INTO event_secret (secret)
			VALUES ($1)
			ON CONFLICT DO NOTHING`, made)
		if err == nil {
			err = find()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading the secret of events: %w", err)
	}
	return secret, nil
}

// eventPart returns the number of a part, 0 where there is none.
func eventPart(ctx context.Context, from interface {
	QueryRow(ctx context.Context, sql string, arguments ...any) pgx.Row
}, part statistics.Part,
) (id int32, err error) {
	err = from.QueryRow(ctx, `
		SELECT p.id
		FROM part p
		JOIN dataflow d ON d.id = p.dataflow
		WHERE d.ref = @dataflow AND p.provider = @provider AND p.bucket = 0`,
		pgx.NamedArgs{"dataflow": part.Dataflow.String(), "provider": part.Provider}).Scan(&id)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("finding the part: %w", err)
	}
	return id, nil
}

// addPart adds a part where there is none.
func (t *transaction) addPart(ctx context.Context, part statistics.Part) error {
	_, err := t.tx.Exec(ctx, `
		INSERT INTO dataflow (ref)
		VALUES (@dataflow)
		ON CONFLICT DO NOTHING`,
		pgx.NamedArgs{"dataflow": part.Dataflow.String()})
	if err == nil {
		_, err = t.tx.Exec(ctx, `
			INSERT INTO part (dataflow, provider)
			SELECT id, @provider
			FROM dataflow
			WHERE ref = @dataflow
			ON CONFLICT DO NOTHING`,
			pgx.NamedArgs{"dataflow": part.Dataflow.String(), "provider": part.Provider})
	}
	if err != nil {
		return fmt.Errorf("adding the part: %w", err)
	}
	return nil
}

// PutEventBatch stores a batch where there is none of its id.
func (t *transaction) PutEventBatch(ctx context.Context, b *statistics.EventBatch) (*statistics.EventBatch, error) {
	part, err := eventPart(ctx, t.tx, b.Part)
	if err == nil && part == 0 {
		if err = t.addPart(ctx, b.Part); err == nil {
			part, err = eventPart(ctx, t.tx, b.Part)
		}
	}
	if err != nil {
		return nil, err
	}
	sign := 1
	if b.Retracts != "" {
		sign = -1
	}
	stored, err := t.tx.Exec(ctx, `
		INSERT INTO event_batch (part, id, digest, records, cells, sign, retracts, counted_at)
		VALUES (@part, @id, @digest, @records, @cells, @sign, nullif(@retracts, ''), @time)
		ON CONFLICT DO NOTHING`,
		pgx.NamedArgs{
			"part": part, "id": b.ID, "digest": b.Digest[:], "records": b.Records, "cells": b.Cells, "sign": sign,
			"retracts": b.Retracts, "time": b.Time,
		})
	if err != nil {
		return nil, fmt.Errorf("storing the batch of events: %w", err)
	}
	if stored.RowsAffected() == 1 {
		return nil, nil //nolint:nilnil // there was none before
	}
	before, err := t.HoldEventBatch(ctx, b.Part, b.ID)
	return &before, err
}

// HoldEventBatch returns a batch and locks it.
func (t *transaction) HoldEventBatch(ctx context.Context, part statistics.Part, id string) (statistics.EventBatch, error) {
	b := statistics.EventBatch{Part: part}
	var digest []byte
	number, err := eventPart(ctx, t.tx, part)
	if err != nil {
		return b, err
	}
	err = t.tx.QueryRow(ctx, `
		SELECT id, digest, records, cells, coalesce(retracts, ''), coalesce(retracted_by, ''), counted_at
		FROM event_batch
		WHERE part = @part AND id = @id
		FOR UPDATE`,
		pgx.NamedArgs{"part": number, "id": id}).
		Scan(&b.ID, &digest, &b.Records, &b.Cells, &b.Retracts, &b.RetractedBy, &b.Time)
	if errors.Is(err, pgx.ErrNoRows) {
		return b, fault.Missing("no batch of events %q was counted", id)
	}
	if err != nil {
		return b, fmt.Errorf("reading the batch of events %q: %w", id, err)
	}
	copy(b.Digest[:], digest)
	b.Time = b.Time.UTC()
	return b, nil
}

// RetractEventBatch notes that a batch was taken back.
func (t *transaction) RetractEventBatch(ctx context.Context, part statistics.Part, id, by string) error {
	number, err := eventPart(ctx, t.tx, part)
	if err != nil {
		return err
	}
	_, err = t.tx.Exec(ctx, `
		UPDATE event_batch
		SET retracted_by = @by
		WHERE part = @part AND id = @id`,
		pgx.NamedArgs{"part": number, "id": id, "by": by})
	if err != nil {
		return fmt.Errorf("noting that the batch of events %q was taken back: %w", id, err)
	}
	return nil
}

// eventColumns are cells, column by column.
type eventColumns struct {
	keys       []string
	periods    []int32
	counts     []int64
	recordKeys []int64
}

func (e *eventColumns) set(cells []statistics.EventCell) pgx.NamedArgs {
	e.keys, e.periods, e.counts, e.recordKeys = e.keys[:0], e.periods[:0], e.counts[:0], e.recordKeys[:0]
	for i := range cells {
		e.keys, e.periods = append(e.keys, cells[i].Key), append(e.periods, cells[i].Period)
		e.counts, e.recordKeys = append(e.counts, cells[i].Count), append(e.recordKeys, int64(cells[i].RecordKey))
	}
	return pgx.NamedArgs{"keys": e.keys, "periods": e.periods, "counts": e.counts, "record_keys": e.recordKeys}
}

// AddEvents adds to counters. Everybody takes them in the order of keys and periods, so that no two transactions wait for
// each other.
func (t *transaction) AddEvents(ctx context.Context, part statistics.Part, cells []statistics.EventCell) ([]statistics.EventCell, error) {
	number, err := eventPart(ctx, t.tx, part)
	if err != nil {
		return nil, err
	}
	var columns eventColumns
	for len(cells) > 0 {
		n := min(len(cells), eventChunk)
		args := columns.set(cells[:n])
		args["part"], args["shown"] = number, shownImpossible
		rows, err := t.tx.Query(ctx, `
			WITH added AS (
				INSERT INTO event_counter AS c (part, key, period, count, record_key)
				SELECT @part, key, period, count, record_key
				FROM unnest(@keys::text[], @periods::int[], @counts::bigint[], @record_keys::bigint[])
					AS cell (key, period, count, record_key)
				ON CONFLICT (part, key, period) DO UPDATE
				SET count = c.count + excluded.count,
					record_key = (c.record_key + excluded.record_key) & 4294967295,
					open = true
				RETURNING c.key, c.period, c.count, c.record_key
			)
			SELECT key, period, count, record_key
			FROM added
			WHERE count < 0 OR count = 0 AND record_key <> 0
			ORDER BY key, period
			LIMIT @shown`, args)
		if err != nil {
			return nil, fmt.Errorf("counting events: %w", err)
		}
		impossible, err := pgx.CollectRows(rows, scanEventCell)
		if err != nil {
			return nil, fmt.Errorf("counting events: %w", err)
		}
		if len(impossible) > 0 {
			return impossible, nil
		}
		cells = cells[n:]
	}
	return nil, nil
}

func scanEventCell(row pgx.CollectableRow) (c statistics.EventCell, err error) {
	err = row.Scan(&c.Key, &c.Period, &c.Count, &c.RecordKey)
	return c, err
}

// OpenEvents returns the parts with open counters.
func (s *Store) OpenEvents(ctx context.Context) ([]statistics.Part, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT DISTINCT part
		FROM event_counter
		WHERE open`)
	if err != nil {
		return nil, fmt.Errorf("looking for open counters: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return nil, fmt.Errorf("looking for open counters: %w", err)
	}
	rows, err = s.pool.Query(ctx, `
		SELECT d.ref, p.provider
		FROM part p
		JOIN dataflow d ON d.id = p.dataflow
		WHERE p.id = ANY($1)
		ORDER BY d.ref, p.provider`, ids)
	if err != nil {
		return nil, fmt.Errorf("looking for open counters: %w", err)
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (part statistics.Part, err error) {
		var dataflow string
		if err := row.Scan(&dataflow, &part.Provider); err != nil {
			return part, err
		}
		part.Dataflow, err = statistics.ParseRef(dataflow)
		return part, err
	})
	if err != nil {
		return nil, fmt.Errorf("looking for open counters: %w", err)
	}
	return parts, nil
}

// EventCell returns a counter as it was closed.
func (s *Store) EventCell(ctx context.Context, part statistics.Part, key string, period int32) (statistics.EventCell, error) {
	id, err := eventPart(ctx, s.pool, part)
	if err != nil {
		return statistics.EventCell{}, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT key, period, closed_count, closed_key
		FROM event_counter
		WHERE part = @part AND key = @key AND period = @period AND closed_count IS NOT NULL`,
		pgx.NamedArgs{"part": id, "key": key, "period": period})
	if err != nil {
		return statistics.EventCell{}, fmt.Errorf("reading a counter: %w", err)
	}
	cell, err := pgx.CollectExactlyOneRow(rows, scanEventCell)
	if errors.Is(err, pgx.ErrNoRows) {
		return cell, fault.Missing("no event was counted to that cell")
	}
	if err != nil {
		return cell, fmt.Errorf("reading a counter: %w", err)
	}
	return cell, nil
}

// CloseEvents runs do in a transaction that alone closes counters. do submits through another connection, so one closing at
// a time is all that may hold one and wait for one.
func (s *Store) CloseEvents(ctx context.Context, part statistics.Part, do func(context.Context, statistics.EventClosing) error) error {
	for begin := time.Now(); ; {
		free, err := s.closeEvents(ctx, part, do)
		if err != nil || free {
			return err
		}
		if time.Since(begin) > closingPatience {
			return fault.New(fault.Unavailable, "UNAVAILABLE", "events are being closed by another call: try again")
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(closingLookAfter):
		}
	}
}

func (s *Store) closeEvents(ctx context.Context, part statistics.Part, do func(context.Context, statistics.EventClosing) error) (free bool, err error) {
	err = s.begin(ctx, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1, 0)`, lockClosing).Scan(&free); err != nil || !free {
			return err
		}
		c := &closing{tx: tx}
		var err error
		if c.part, err = eventPart(ctx, tx, part); err != nil {
			return err
		}
		err = tx.QueryRow(ctx, `
			SELECT coalesce(max(number), 0) + 1
			FROM event_closing
			WHERE part = $1`, c.part).Scan(&c.number)
		if err != nil {
			return err
		}
		return do(ctx, c)
	})
	if err != nil {
		return free, fmt.Errorf("closing events: %w", err)
	}
	return free, nil
}

// closing is a statistics.EventClosing.
type closing struct {
	tx     pgx.Tx
	part   int32
	number int64
}

// Number returns the number of the closing.
func (c *closing) Number() int64 { return c.number }

// Open gives the open counters.
func (c *closing) Open(ctx context.Context) iter.Seq2[statistics.EventCell, error] {
	return func(yield func(statistics.EventCell, error) bool) {
		rows, err := c.tx.Query(ctx, `
			SELECT key, period, count, record_key
			FROM event_counter
			WHERE part = $1 AND open`, c.part)
		if err != nil {
			yield(statistics.EventCell{}, fmt.Errorf("reading open counters: %w", err))
			return
		}
		defer rows.Close()
		for rows.Next() {
			cell, err := scanEventCell(rows)
			if err != nil {
				yield(cell, fmt.Errorf("reading open counters: %w", err))
				return
			}
			if !yield(cell, nil) {
				return
			}
		}
		if err := rows.Err(); err != nil {
			yield(statistics.EventCell{}, fmt.Errorf("reading open counters: %w", err))
		}
	}
}

// Close notes what was written. The counters are locked in the order in which batches lock them.
func (c *closing) Close(ctx context.Context, cells []statistics.EventCell, submission *statistics.Submission) error {
	var columns eventColumns
	_, err := c.tx.Exec(ctx, `
		INSERT INTO event_closing (part, number, cells, submission, revision, closed_at)
		VALUES (@part, @number, @cells, @submission, @revision, @time)`,
		pgx.NamedArgs{
			"part": c.part, "number": c.number, "cells": len(cells), "submission": submission.ID, "revision": submission.Revision,
			"time": submission.CreateTime,
		})
	if err != nil {
		return fmt.Errorf("noting a closing: %w", err)
	}
	for len(cells) > 0 {
		n := min(len(cells), eventChunk)
		args := columns.set(cells[:n])
		args["part"] = c.part
		_, err := c.tx.Exec(ctx, `
			WITH written AS (
				SELECT c.key, c.period, cell.count, cell.record_key
				FROM unnest(@keys::text[], @periods::int[], @counts::bigint[], @record_keys::bigint[])
					AS cell (key, period, count, record_key)
				JOIN event_counter c ON c.part = @part AND c.key = cell.key AND c.period = cell.period
				ORDER BY c.key, c.period
				FOR UPDATE OF c
			)
			UPDATE event_counter c
			SET closed_count = written.count, closed_key = written.record_key,
				open = (c.count, c.record_key) <> (written.count, written.record_key)
			FROM written
			WHERE c.part = @part AND c.key = written.key AND c.period = written.period`, args)
		if err != nil {
			return fmt.Errorf("closing counters: %w", err)
		}
		cells = cells[n:]
	}
	return nil
}

// ClosedEvents gives counters as they were closed.
func (s *Store) ClosedEvents(ctx context.Context, part statistics.Part, cells iter.Seq[statistics.EventCell], each func(statistics.EventCell)) (revision int64, err error) {
	id, err := eventPart(ctx, s.pool, part)
	if err != nil {
		return 0, err
	}
	// In one view, so that the counters are of the closings that the revision tells of.
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `
			SELECT coalesce(max(revision), 0)
			FROM event_closing
			WHERE part = $1`, id).Scan(&revision)
		if err != nil || revision == 0 {
			return err
		}
		var chunk []statistics.EventCell
		for cell := range cells {
			if chunk = append(chunk, cell); len(chunk) == eventChunk {
				if err := closedEvents(ctx, tx, id, chunk, each); err != nil {
					return err
				}
				chunk = chunk[:0]
			}
		}
		return closedEvents(ctx, tx, id, chunk, each)
	})
	if err != nil {
		return 0, fmt.Errorf("reading closed counters: %w", err)
	}
	return revision, nil
}

func closedEvents(ctx context.Context, tx pgx.Tx, part int32, cells []statistics.EventCell, each func(statistics.EventCell)) error {
	var columns eventColumns
	args := columns.set(cells)
	args["part"] = part
	rows, err := tx.Query(ctx, `
		SELECT c.key, c.period, c.closed_count, c.closed_key
		FROM unnest(@keys::text[], @periods::int[]) AS cell (key, period)
		JOIN event_counter c ON c.part = @part AND c.key = cell.key AND c.period = cell.period
		WHERE c.closed_count IS NOT NULL`, args)
	if err != nil {
		return err
	}
	counters, err := pgx.CollectRows(rows, scanEventCell)
	for _, counter := range counters {
		each(counter)
	}
	return err
}

// AwaitClosing waits until the closing that runs has ended, if any does.
func (s *Store) AwaitClosing(ctx context.Context) error {
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock_shared($1, 0)`, lockClosing)
		return err
	})
	if err != nil {
		return fmt.Errorf("waiting for a closing of events: %w", err)
	}
	return nil
}

// HoldCellSecret keeps the digest of the secret of cells.
func (s *Store) HoldCellSecret(ctx context.Context, digest [32]byte) (same bool, err error) {
	_, err = s.pool.Exec(ctx, `
		INSERT INTO cell_secret (sha256)
		VALUES ($1)
		ON CONFLICT DO NOTHING`, digest[:])
	if err == nil {
		err = s.pool.QueryRow(ctx, `SELECT sha256 = $1 FROM cell_secret`, digest[:]).Scan(&same)
	}
	if err != nil {
		return false, fmt.Errorf("comparing the secret of cells: %w", err)
	}
	return same, nil
}
