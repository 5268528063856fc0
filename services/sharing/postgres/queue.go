package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// Queues returns what waits for each partner that anything waits for, by partner: what lies in its stream behind the newest of
// its receipts.
func (s *Store) Queues(ctx context.Context) ([]sharing.Queue, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT s.receiver, count(*), min(l.create_time)
		FROM outbound s
		JOIN outbox o ON o.stream = s.stream AND o.epoch = s.epoch
		JOIN log_entry l ON l.arrival = o.entry
		WHERE o.sequence > coalesce((
			SELECT max(r.sequence)
			FROM outbox r
			WHERE r.stream = s.stream AND r.epoch = s.epoch AND r.receipt IS NOT NULL
		), 0)
		GROUP BY s.receiver
		ORDER BY s.receiver`)
	if err != nil {
		return nil, fmt.Errorf("reading what waits: %w", err)
	}
	queues, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sharing.Queue])
	if err != nil {
		return nil, fmt.Errorf("reading what waits: %w", err)
	}
	return queues, nil
}
