package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// KeepPolicy keeps a policy and the data that it was given.
func (s *Store) KeepPolicy(ctx context.Context, p sharing.KeptPolicy) error {
	return pgx.BeginFunc(ctx, s.pool, func(t pgx.Tx) error {
		_, err := t.Exec(ctx, `
			INSERT INTO policy_set (revision, archive)
			VALUES (@revision, @archive)
			ON CONFLICT DO NOTHING`,
			pgx.NamedArgs{"revision": p.Revision, "archive": p.Archive})
		if err != nil {
			return err
		}
		_, err = t.Exec(ctx, `
			INSERT INTO policy_data (sha256, content)
			VALUES (@sha256, @content)
			ON CONFLICT DO NOTHING`,
			pgx.NamedArgs{"sha256": p.DataSHA256, "content": p.Data})
		return err
	})
}

// PolicyArchive returns the policy of a revision; nil where it is not kept.
func (r reader) PolicyArchive(ctx context.Context, revision string) ([]byte, error) {
	archive, _, err := one(ctx, r.db, pgx.RowTo[[]byte], `SELECT archive FROM policy_set WHERE revision = $1`, revision)
	return archive, err
}

// PolicyData returns the data of a SHA-256; nil where they are not kept.
func (r reader) PolicyData(ctx context.Context, sha256 string) ([]byte, error) {
	content, _, err := one(ctx, r.db, pgx.RowTo[[]byte], `SELECT content FROM policy_data WHERE sha256 = $1`, sha256)
	return content, err
}

// Decision returns a decision; nil where there is none.
func (r reader) Decision(ctx context.Context, id sharing.DecisionID) ([]byte, error) {
	document, _, err := one(ctx, r.db, pgx.RowTo[[]byte], `SELECT document FROM decision WHERE id = $1`, id)
	return document, err
}

// Decisions returns decisions in the order of their ids, which begin with the time.
func (r reader) Decisions(ctx context.Context, since time.Time, after sharing.DecisionID, limit int) ([][]byte, error) {
	milliseconds := fmt.Sprintf("%012x", max(since.UnixMilli(), 0))
	first := fmt.Sprintf("%s-%s-0000-0000-000000000000", milliseconds[:8], milliseconds[8:])
	rows, err := r.db.Query(ctx, `
		SELECT document
		FROM decision
		WHERE id >= @first AND (@after = '' OR id > nullif(@after, '')::uuid)
		ORDER BY id
		LIMIT @limit`,
		pgx.NamedArgs{"first": first, "after": string(after), "limit": limit})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}
