package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// ReceivedBatches returns the batches of a partner's release that are here, in order.
func (r reader) ReceivedBatches(ctx context.Context, release sharing.ReleaseID) ([]sharing.ReceivedBatch, error) {
	rows, err := r.db.Query(ctx, `
		SELECT i.stream, i.epoch::text, i.sequence, l.content_sha256, l.create_time
		FROM inbox i
		JOIN log_entry l ON l.arrival = i.entry
		WHERE i.release = $1 AND i.refusal IS NULL
		ORDER BY i.batch`, release)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (b sharing.ReceivedBatch, err error) {
		err = row.Scan(&b.At.Stream, &b.At.Epoch, &b.At.Sequence, &b.EnvelopeSHA256, &b.Received)
		b.Received = b.Received.UTC()
		return b, err
	})
}
