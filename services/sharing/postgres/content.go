package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// Content returns the payloads of what the partner has after the newest release under the agreement.
func (r reader) Content(ctx context.Context, agreement sharing.AgreementID) ([][]byte, error) {
	rows, err := r.db.Query(ctx, `
		SELECT payload
		FROM released_content
		WHERE agreement = $1
		ORDER BY batch`, agreement)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

// HasContent reports whether Content returns any.
func (r reader) HasContent(ctx context.Context, agreement sharing.AgreementID) (bool, error) {
	has, _, err := one(ctx, r.db, pgx.RowTo[bool], `
		SELECT EXISTS (
			SELECT
			FROM released_content
			WHERE agreement = $1
		)`, agreement)
	return has, err
}

// SaveContent replaces what Content returns. Batches that are the same stay as they are.
func (t tx) SaveContent(ctx context.Context, agreement sharing.AgreementID, payloads [][]byte) error {
	batches := make([]int32, len(payloads))
	for i := range batches {
		batches[i] = int32(i)
	}
	args := pgx.NamedArgs{"agreement": agreement, "batches": batches, "payloads": payloads, "count": len(payloads)}
	_, err := t.db.Exec(ctx, `
		DELETE FROM released_content
		WHERE agreement = @agreement AND batch >= @count`, args)
	if err != nil || len(payloads) == 0 {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO released_content AS c (agreement, batch, payload)
		SELECT @agreement, n.*
		FROM unnest(@batches::int[], @payloads::bytea[]) n
		ON CONFLICT (agreement, batch) DO UPDATE SET payload = excluded.payload
		WHERE c.payload <> excluded.payload`, args)
	return err
}

// Incomplete returns the agreements with the sender whose newest release was refused for a reason that begins so. The ids of
// releases ascend.
func (r reader) Incomplete(ctx context.Context, sender sharing.StateCode, reason string) ([]sharing.AgreementID, error) {
	rows, err := r.db.Query(ctx, `
		SELECT agreement
		FROM (
			SELECT DISTINCT ON (agreement) agreement, state, reason
			FROM inbound_release
			WHERE sender = @sender
			ORDER BY agreement, id DESC
		) newest
		WHERE state = 5 AND starts_with(reason, @reason)
		ORDER BY agreement`,
		pgx.NamedArgs{"sender": sender, "reason": reason})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[sharing.AgreementID])
}
