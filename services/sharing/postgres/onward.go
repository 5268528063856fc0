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

// SeenWarrant returns what came under the agreement of what its sender has by the source's, and was not refused.
func (r reader) SeenWarrant(ctx context.Context, agreement, source sharing.AgreementID) (sharing.SeenWarrant, error) {
	seen, _, err := one(ctx, r.db, func(row pgx.CollectableRow) (s sharing.SeenWarrant, err error) {
		var released *time.Time
		if err = row.Scan(&released, &s.TakenBack); err == nil && released != nil {
			s.Released = released.UTC()
		}
		return s, err
	}, `
		SELECT max(o.source_time), coalesce(max(o.source_version) FILTER (WHERE o.source_time IS NULL), 0)
		FROM inbound_warrant o
		JOIN inbound_release i ON i.id = o.release
		WHERE o.agreement = @agreement AND o.source = @source AND i.state IN (3, 4)`,
		pgx.NamedArgs{"agreement": agreement, "source": source})
	return seen, err
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
