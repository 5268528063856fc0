package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// TrustList returns the latest trust list that was kept, as [Store.KeepTrustList] was given it, if its version is after
// the one given; nil: there is none.
func (s *Store) TrustList(ctx context.Context, after uint64) ([]byte, error) {
	list, _, err := one(ctx, s.pool, pgx.RowTo[[]byte], `
		SELECT envelope
		FROM trust_list
		WHERE version > $1
		ORDER BY version DESC
		LIMIT 1`, int64(after)) //nolint:gosec // versions are below 2^53
	if err != nil {
		return nil, fmt.Errorf("reading the trust list: %w", err)
	}
	return list, nil
}

// KeepTrustList keeps a signed trust list. What is kept of a version stays.
func (s *Store) KeepTrustList(ctx context.Context, version uint64, envelope []byte) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO trust_list (version, envelope)
		VALUES ($1, $2)
		ON CONFLICT DO NOTHING`, int64(version), envelope) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("keeping the trust list: %w", err)
	}
	return nil
}
