package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
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

// CRLs returns the newest revocation list of each authority of each state.
func (s *Store) CRLs(ctx context.Context) ([]sharing.KeptCRL, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT state, authority, number::text, der
		FROM crl
		ORDER BY state, authority`)
	if err != nil {
		return nil, fmt.Errorf("reading the revocation lists: %w", err)
	}
	lists, err := pgx.CollectRows(rows, pgx.RowToStructByPos[sharing.KeptCRL])
	if err != nil {
		return nil, fmt.Errorf("reading the revocation lists: %w", err)
	}
	return lists, nil
}

// KeepCRL keeps a revocation list, unless a later one of the authority is kept.
func (s *Store) KeepCRL(ctx context.Context, crl sharing.KeptCRL) error {
	_, err := s.pool.Exec(ctx, `
		INSERT INTO crl (state, authority, number, der)
		VALUES (@state, @authority, @number::text::numeric, @der)
		ON CONFLICT (state, authority) DO UPDATE
		SET number = excluded.number, der = excluded.der, create_time = now()
		WHERE crl.number < excluded.number`,
		pgx.NamedArgs{"state": crl.State, "authority": crl.Authority, "number": crl.Number, "der": crl.DER})
	if err != nil {
		return fmt.Errorf("keeping a revocation list: %w", err)
	}
	return nil
}
