package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// Holdings returns how far each agreement's releases are acknowledged, by partner and agreement.
func (r reader) Holdings(ctx context.Context, partner sharing.StateCode) ([]sharing.KeptHolding, error) {
	rows, err := r.db.Query(ctx, `
		SELECT a.partner, a.agreement, newest.document, held.document, held.acknowledged, later.count, later.since
		FROM (
			SELECT DISTINCT partner, agreement
			FROM release
			WHERE @partner IN ('', partner)
		) a
		CROSS JOIN LATERAL (
			SELECT document
			FROM release
			WHERE agreement = a.agreement
			ORDER BY entry DESC
			LIMIT 1
		) newest
		LEFT JOIN LATERAL (
			SELECT r.entry, r.document, (
				SELECT max(l.create_time)
				FROM outbox o
				JOIN log_entry l ON l.arrival = o.receipt_entry
				WHERE o.release = r.id
			) AS acknowledged
			FROM release r
			WHERE r.agreement = a.agreement
				AND NOT EXISTS (SELECT FROM outbox o WHERE o.release = r.id AND o.receipt IS NULL)
			ORDER BY r.entry DESC
			LIMIT 1
		) held ON true
		CROSS JOIN LATERAL (
			SELECT count(*), min(l.create_time) AS since
			FROM release r
			JOIN log_entry l ON l.arrival = r.entry
			WHERE r.agreement = a.agreement AND r.entry > coalesce(held.entry, 0)
		) later
		ORDER BY a.partner, a.agreement`,
		pgx.NamedArgs{"partner": string(partner)})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (h sharing.KeptHolding, err error) {
		var acknowledged, since *time.Time
		err = row.Scan(&h.Partner, &h.Agreement, &h.Newest, &h.Held, &acknowledged, &h.Behind, &since)
		if acknowledged != nil {
			h.Acknowledged = acknowledged.UTC()
		}
		if since != nil {
			h.Since = since.UTC()
		}
		return h, err
	})
}
