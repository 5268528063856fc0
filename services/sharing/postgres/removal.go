package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// Expirable returns received envelopes that came until then and that no removal names, in the order of their arrivals.
func (r reader) Expirable(ctx context.Context, agreement sharing.AgreementID, until time.Time, after int64, limit int) ([]sharing.ExpirableEnvelope, error) {
	rows, err := r.db.Query(ctx, `
		SELECT i.stream, i.epoch::text, i.sequence, i.envelope, i.entry
		FROM inbox i
		JOIN log_entry l ON l.arrival = i.entry
		JOIN inbound_release w ON w.id = i.release
		WHERE i.agreement = @agreement AND i.refusal IS NULL AND i.removal IS NULL AND w.state <> 3 AND l.create_time <= @until
			AND i.entry > @after
		ORDER BY i.entry
		LIMIT @limit`,
		pgx.NamedArgs{"agreement": agreement, "until": until, "after": after, "limit": limit})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e sharing.ExpirableEnvelope, err error) {
		err = row.Scan(&e.At.Stream, &e.At.Epoch, &e.At.Sequence, &e.Envelope, &e.Arrival)
		return e, err
	})
}

// OpenRemovals returns the removals that are not done.
func (r reader) OpenRemovals(ctx context.Context) ([][]byte, error) {
	rows, err := r.db.Query(ctx, `
		SELECT document
		FROM removal
		WHERE NOT done
		ORDER BY entry`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

// AddRemoval keeps a removal, and names it at its envelopes.
func (t tx) AddRemoval(ctx context.Context, removal sharing.Removal, document []byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO removal (id, document, entry)
		VALUES (@id, @document, @entry)`,
		pgx.NamedArgs{"id": removal.ID, "document": document, "entry": entry})
	if err != nil {
		return err
	}
	for _, at := range removal.Places {
		_, err := t.db.Exec(ctx, `
			UPDATE inbox
			SET removal = @id
			WHERE stream = @stream AND epoch = @epoch AND sequence = @sequence`,
			pgx.NamedArgs{"id": removal.ID, "stream": at.Stream, "epoch": at.Epoch, "sequence": at.Sequence})
		if err != nil {
			return err
		}
	}
	return nil
}

// Empty puts what is left of an envelope in its place.
func (t tx) Empty(ctx context.Context, at sharing.Cursor, envelope []byte) error {
	_, err := t.db.Exec(ctx, `
		UPDATE inbox
		SET envelope = @envelope
		WHERE stream = @stream AND epoch = @epoch AND sequence = @sequence`,
		pgx.NamedArgs{"envelope": envelope, "stream": at.Stream, "epoch": at.Epoch, "sequence": at.Sequence})
	return err
}

// RemovalDone marks a removal as done.
func (t tx) RemovalDone(ctx context.Context, id string) error {
	_, err := t.db.Exec(ctx, `UPDATE removal SET done = true WHERE id = $1`, id)
	return err
}
