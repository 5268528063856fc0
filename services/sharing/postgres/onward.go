package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// LastPassed returns the newest releases under the agreement that pass on what came under each other one.
func (r reader) LastPassed(ctx context.Context, agreement sharing.AgreementID) ([][]byte, error) {
	rows, err := r.db.Query(ctx, `
		SELECT DISTINCT ON (source) document
		FROM release
		WHERE agreement = $1 AND source IS NOT NULL
		ORDER BY source, entry DESC`, agreement)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

// NewestStored returns the newest of a partner's releases under the agreement that are stored. The ids of releases ascend.
func (r reader) NewestStored(ctx context.Context, agreement sharing.AgreementID) (sharing.InboundRelease, bool, error) {
	return one(ctx, r.db, pgx.RowToStructByPos[sharing.InboundRelease], `
		SELECT `+releaseColumns+`
		FROM inbound_release
		WHERE agreement = $1 AND state = 4
		ORDER BY id DESC
		LIMIT 1`, agreement)
}

// WarrantSeen returns when the newest was released of what came under the agreement, by the source's, and was not refused.
func (r reader) WarrantSeen(ctx context.Context, agreement, source sharing.AgreementID) (time.Time, error) {
	released, _, err := one(ctx, r.db, pgx.RowTo[*time.Time], `
		SELECT max(w.source_time)
		FROM inbound_warrant w
		JOIN inbound_release i ON i.id = w.release
		WHERE w.agreement = @agreement AND w.source = @source AND i.state IN (3, 4)`,
		pgx.NamedArgs{"agreement": agreement, "source": source})
	if err != nil || released == nil {
		return time.Time{}, err
	}
	return released.UTC(), nil
}

// AddWarrant keeps whose figures a partner's release has.
func (t tx) AddWarrant(ctx context.Context, warrant sharing.KeptWarrant) error {
	var released *time.Time
	if !warrant.Released.IsZero() {
		released = &warrant.Released
	}
	_, err := t.db.Exec(ctx, `
		INSERT INTO inbound_warrant (release, agreement, source, source_version, source_time)
		VALUES (@release, @agreement, @source, @version, @time)`,
		pgx.NamedArgs{
			"release": warrant.Release, "agreement": warrant.Agreement, "source": warrant.Source, "version": warrant.Version, "time": released,
		})
	return err
}
