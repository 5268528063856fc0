package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// Deliveries returns a page of deliveries, the newest first.
func (r reader) Deliveries(ctx context.Context, page sharing.Page) (deliveries []sharing.Delivery, next string, err error) {
	return pageOf(ctx, r.db, page, `
		WITH sent AS (
			SELECT 1 AS direction,
				CASE WHEN o.receipt IS NOT NULL THEN 2 WHEN o.epoch <> s.epoch THEN 6 ELSE 1 END AS state,
				s.receiver AS partner, o.release, r.agreement, o.stream, o.epoch, o.sequence, o.cells,
				'' AS reason, o.entry, o.receipt_entry
			FROM outbox o
			JOIN outbound s ON s.stream = o.stream
			JOIN release r ON r.id = o.release
			WHERE o.entry < @before AND @partner IN ('', s.receiver)
			ORDER BY o.entry DESC
			LIMIT @limit
		), received AS (
			SELECT 2,
				CASE WHEN i.refusal IS NOT NULL THEN 5 ELSE coalesce(w.state, 3) END,
				s.sender, i.release, i.agreement, i.stream, i.epoch, i.sequence, i.cells,
				coalesce(i.refusal || ': ' || i.refusal_text, w.reason, ''), i.entry, i.receipt_entry
			FROM inbox i
			JOIN inbound s ON s.stream = i.stream
			LEFT JOIN inbound_release w ON w.id = i.release
			WHERE i.entry < @before AND @partner IN ('', s.sender)
			ORDER BY i.entry DESC
			LIMIT @limit
		), refused AS (
			SELECT 2, 5, sender, NULL::uuid, '', stream, epoch, sequence, 0, refusal || ': ' || refusal_text, entry, NULL::bigint
			FROM evidence
			WHERE entry < @before AND @partner IN ('', sender)
			ORDER BY entry DESC
			LIMIT @limit
		), listed AS (
			SELECT * FROM sent
			UNION ALL
			SELECT * FROM received
			UNION ALL
			SELECT * FROM refused
			ORDER BY entry DESC
			LIMIT @limit
		)
		SELECT d.direction, d.state, d.partner, coalesce(d.release::text, ''), d.agreement, d.stream, d.epoch::text, d.sequence,
			d.cells, l.content_sha256, l.create_time, c.create_time, d.reason, d.entry
		FROM listed d
		JOIN log_entry l ON l.arrival = d.entry
		LEFT JOIN log_entry c ON c.arrival = d.receipt_entry
		ORDER BY d.entry DESC`,
		pgx.NamedArgs{"partner": string(page.Partner)}, scanDelivery)
}

// scanDelivery reads a delivery and its entry.
func scanDelivery(row pgx.CollectableRow, entry *int64) (d sharing.Delivery, err error) {
	var receipt *time.Time
	err = row.Scan(&d.Direction, &d.State, &d.Partner, &d.Release, &d.Agreement, &d.Stream, &d.Epoch, &d.Sequence,
		&d.Cells, &d.EnvelopeSHA256, &d.Created, &receipt, &d.Reason, entry)
	if d.Created = d.Created.UTC(); receipt != nil {
		// Only receipts that were verified, or made here, are kept.
		d.ReceiptTime, d.ReceiptVerified = receipt.UTC(), true
	}
	return d, err
}

// Standings returns how the streams to and from each partner stand. What waits for a partner lies behind the newest of
// its receipts: it has refused what it passed over.
func (r reader) Standings(ctx context.Context) (map[sharing.StateCode]sharing.Standing, error) {
	rows, err := r.db.Query(ctx, `
		WITH sent AS (
			SELECT s.receiver AS partner, s.sequence,
				coalesce((SELECT max(o.sequence) FROM outbox o WHERE o.stream = s.stream AND o.epoch = s.epoch AND o.receipt IS NOT NULL), 0) AS receipted
			FROM outbound s
		)
		SELECT partner, c.contact_time, coalesce(c.problem, ''), coalesce(i.sequence, 0),
			coalesce(o.receipted, 0), coalesce(o.sequence - o.receipted, 0), coalesce(i.quarantined, false)
		FROM (
			SELECT partner FROM partner_contact
			UNION
			SELECT sender FROM inbound
			UNION
			SELECT receiver FROM outbound
		) p
		LEFT JOIN partner_contact c USING (partner)
		LEFT JOIN inbound i ON i.sender = p.partner
		LEFT JOIN sent o USING (partner)`)
	if err != nil {
		return nil, err
	}
	standings := map[sharing.StateCode]sharing.Standing{}
	var (
		partner  sharing.StateCode
		contact  *time.Time
		standing sharing.Standing
	)
	_, err = pgx.ForEachRow(rows, []any{
		&partner, &contact, &standing.LastError, &standing.ReceivedSequence, &standing.ReceiptedSequence, &standing.Waiting,
		&standing.Quarantined,
	}, func() error {
		kept := standing
		if contact != nil {
			kept.LastContact = contact.UTC()
		}
		standings[partner] = kept
		return nil
	})
	return standings, err
}

// SentSince returns how much was put out under the agreement since the time.
func (r reader) SentSince(ctx context.Context, agreement sharing.AgreementID, since time.Time) (sharing.Usage, error) {
	used, _, err := one(ctx, r.db, pgx.RowToStructByPos[sharing.Usage], `
		SELECT coalesce(sum(o.cells), 0), coalesce(sum(octet_length(o.envelope)), 0)
		FROM release r
		JOIN log_entry l ON l.arrival = r.entry
		JOIN outbox o ON o.release = r.id
		WHERE r.agreement = @agreement AND l.create_time >= @since`,
		pgx.NamedArgs{"agreement": agreement, "since": since})
	return used, err
}

// Oldest returns when the oldest envelope was made that waits, by partner. What waits lies behind the newest receipt.
func (r reader) Oldest(ctx context.Context) (map[sharing.StateCode]time.Time, error) {
	rows, err := r.db.Query(ctx, `
		SELECT s.receiver, l.create_time
		FROM outbound s
		CROSS JOIN LATERAL (
			SELECT coalesce(max(sequence), 0) AS receipted
			FROM outbox
			WHERE stream = s.stream AND epoch = s.epoch AND receipt IS NOT NULL
		) p
		JOIN outbox o ON o.stream = s.stream AND o.epoch = s.epoch AND o.sequence = p.receipted + 1
		JOIN log_entry l ON l.arrival = o.entry`)
	if err != nil {
		return nil, err
	}
	oldest := map[sharing.StateCode]time.Time{}
	var partner sharing.StateCode
	var created time.Time
	_, err = pgx.ForEachRow(rows, []any{&partner, &created}, func() error {
		oldest[partner] = created.UTC()
		return nil
	})
	return oldest, err
}

// SaveContact keeps that a partner answered, or what went wrong.
func (s *Store) SaveContact(ctx context.Context, partner sharing.StateCode, at time.Time, problem string) error {
	_, err := s.db.Exec(ctx, `
		INSERT INTO partner_contact (partner, contact_time, problem)
		VALUES (@partner, CASE WHEN @problem = '' THEN @at::timestamptz END, @problem)
		ON CONFLICT (partner) DO UPDATE
		SET contact_time = coalesce(excluded.contact_time, partner_contact.contact_time), problem = excluded.problem`,
		pgx.NamedArgs{"partner": partner, "at": at, "problem": problem})
	return err
}
