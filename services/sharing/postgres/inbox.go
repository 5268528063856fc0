package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

const inboundColumns = `coalesce(epoch::text, ''), sequence, sha256, quarantined`

// Inbound returns the stream's newest place.
func (r reader) Inbound(ctx context.Context, stream string) (sharing.Place, error) {
	place, _, err := one(ctx, r.db, pgx.RowToStructByPos[sharing.Place], `
		SELECT `+inboundColumns+`
		FROM inbound
		WHERE stream = $1`, stream)
	return place, err
}

// LockInbound returns the stream's newest place, and locks its row.
func (t tx) LockInbound(ctx context.Context, stream string, sender sharing.StateCode) (sharing.Place, error) {
	_, err := t.db.Exec(ctx, `
		INSERT INTO inbound (stream, sender)
		VALUES (@stream, @sender)
		ON CONFLICT (stream) DO NOTHING`,
		pgx.NamedArgs{"stream": stream, "sender": sender})
	if err != nil {
		return sharing.Place{}, err
	}
	place, _, err := one(ctx, t.db, pgx.RowToStructByPos[sharing.Place], `
		SELECT `+inboundColumns+`
		FROM inbound
		WHERE stream = $1
		FOR UPDATE`, stream)
	return place, err
}

// ReceivedAt returns the envelope that was kept at a place; false where there is none.
func (r reader) ReceivedAt(ctx context.Context, at sharing.Cursor) (sharing.KeptReceived, bool, error) {
	return one(ctx, r.db, func(row pgx.CollectableRow) (k sharing.KeptReceived, err error) {
		var code, text *string
		if err = row.Scan(&k.Envelope, &k.Receipt, &code, &text); err == nil && code != nil {
			k.Refusal = &sharing.Reason{Code: *code, Text: *text}
		}
		return k, err
	}, `
		SELECT envelope, receipt, refusal, refusal_text
		FROM inbox
		WHERE stream = @stream AND epoch = @epoch AND sequence = @sequence`,
		pgx.NamedArgs{"stream": at.Stream, "epoch": at.Epoch, "sequence": at.Sequence})
}

// AddReceived keeps envelopes, and the receipts for them, at the next places of a stream.
func (t tx) AddReceived(ctx context.Context, stream, epoch string, received []sharing.ReceivedEnvelope) error {
	n := len(received)
	if n == 0 {
		return nil
	}
	var leaves []sharing.Leaf
	for _, r := range received {
		leaves = append(leaves, r.Leaf)
		if r.Receipt != nil {
			leaves = append(leaves, r.ReceiptLeaf)
		}
	}
	arrivals, err := t.addLeaves(ctx, leaves)
	if err != nil {
		return err
	}
	sequences, batches, cells, made := make([]int64, n), make([]int32, n), make([]int32, n), make([]time.Time, n)
	releases, agreements := make([]string, n), make([]string, n)
	hashes, envelopes, receipts := make([][]byte, n), make([][]byte, n), make([][]byte, n)
	refusals, texts := make([]*string, n), make([]*string, n)
	entries, receiptEntries := make([]int64, n), make([]*int64, n)
	for i, r := range received {
		sequences[i], batches[i], cells[i] = int64(r.Sequence), int32(r.Batch), int32(r.Cells) //nolint:gosec // they were checked when it was opened
		releases[i], agreements[i], made[i] = string(r.Release), string(r.Agreement), r.Made
		hashes[i], envelopes[i], receipts[i] = r.PayloadSHA256, r.Envelope, r.Receipt
		if r.Refusal != nil {
			refusals[i], texts[i] = &r.Refusal.Code, &r.Refusal.Text
		}
		entries[i], arrivals = arrivals[0], arrivals[1:]
		if r.Receipt != nil {
			receiptEntries[i], arrivals = &arrivals[0], arrivals[1:]
		}
	}
	last := received[n-1]
	args := pgx.NamedArgs{
		"stream": stream, "epoch": epoch, "sequences": sequences, "releases": releases, "agreements": agreements, "batches": batches,
		"cells": cells, "made": made, "hashes": hashes, "envelopes": envelopes, "refusals": refusals, "texts": texts, "entries": entries,
		"receipts": receipts, "receiptEntries": receiptEntries,
		"first": received[0].Sequence, "sequence": last.Sequence, "sha256": last.Leaf.ContentSHA256,
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO inbox (stream, epoch, sequence, release, agreement, batch, cells, made, payload_sha256, envelope,
			refusal, refusal_text, entry, receipt, receipt_entry)
		SELECT @stream, @epoch, n.*
		FROM unnest(@sequences::bigint[], @releases::uuid[], @agreements::text[], @batches::int[], @cells::int[], @made::timestamptz[],
			@hashes::bytea[], @envelopes::bytea[], @refusals::text[], @texts::text[], @entries::bigint[], @receipts::bytea[], @receiptEntries::bigint[]) n`, args)
	if err != nil {
		return err
	}
	moved, err := changed(t.db.Exec(ctx, `
		UPDATE inbound
		SET epoch = @epoch, sequence = @sequence, sha256 = @sha256
		WHERE stream = @stream AND (epoch = @epoch AND sequence + 1 = @first OR epoch IS DISTINCT FROM @epoch AND @first = 1)`, args))
	if err == nil && !moved {
		err = fmt.Errorf("%d is not the next place of stream %s", received[0].Sequence, stream)
	}
	return err
}

// ReceivedSince returns how much came under the agreement of what was made since the time.
func (r reader) ReceivedSince(ctx context.Context, agreement sharing.AgreementID, since time.Time) (sharing.Usage, error) {
	used, _, err := one(ctx, r.db, pgx.RowToStructByPos[sharing.Usage], `
		SELECT coalesce(sum(cells), 0), coalesce(sum(octet_length(envelope)), 0)
		FROM inbox
		WHERE agreement = @agreement AND made >= @since`,
		pgx.NamedArgs{"agreement": agreement, "since": since})
	return used, err
}

// ReceiptsAfter returns the receipts for the envelopes after a place.
func (r reader) ReceiptsAfter(ctx context.Context, after sharing.Cursor) ([][]byte, error) {
	rows, err := r.db.Query(ctx, `
		SELECT receipt
		FROM inbox
		WHERE stream = @stream AND epoch = nullif(@epoch::text, '')::uuid AND sequence > @sequence AND receipt IS NOT NULL
		ORDER BY sequence`,
		pgx.NamedArgs{"stream": after.Stream, "epoch": after.Epoch, "sequence": after.Sequence})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

// PayloadHashes returns the SHA-256 of the payloads of a release, by batch.
func (r reader) PayloadHashes(ctx context.Context, release sharing.ReleaseID) ([][]byte, error) {
	rows, err := r.db.Query(ctx, `
		SELECT payload_sha256
		FROM inbox
		WHERE release = $1 AND refusal IS NULL
		ORDER BY batch`, release)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}

// Quarantine stops a stream.
func (t tx) Quarantine(ctx context.Context, stream string) error {
	_, err := t.db.Exec(ctx, `UPDATE inbound SET quarantined = true WHERE stream = $1`, stream)
	return err
}

// AddEvidence keeps an envelope that has no place in its stream; false where it is kept already.
func (t tx) AddEvidence(ctx context.Context, evidence sharing.Evidence, leaf sharing.Leaf) (bool, error) {
	known, _, err := one(ctx, t.db, pgx.RowTo[bool], `
		SELECT count(*) > 0
		FROM log_entry
		WHERE kind = @kind AND subject = @subject`,
		pgx.NamedArgs{"kind": int16(leaf.Kind), "subject": leaf.Subject})
	if err != nil || known {
		return false, err
	}
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return false, err
	}
	return changed(t.db.Exec(ctx, `
		INSERT INTO evidence (stream, epoch, sequence, sender, envelope, refusal, refusal_text, entry)
		VALUES (@stream, @epoch, @sequence, @sender, @envelope, @refusal, @text, @entry)`,
		pgx.NamedArgs{
			"stream": evidence.At.Stream, "epoch": evidence.At.Epoch, "sequence": evidence.At.Sequence, "sender": evidence.Sender,
			"envelope": evidence.Envelope, "refusal": evidence.Refusal.Code, "text": evidence.Refusal.Text, "entry": entry,
		}))
}

const releaseColumns = `id::text, sender, agreement, state, batches, received, sha256, reason`

// InboundRelease returns what is known of a partner's release; false where nothing is.
func (r reader) InboundRelease(ctx context.Context, release sharing.ReleaseID) (sharing.InboundRelease, bool, error) {
	return one(ctx, r.db, pgx.RowToStructByPos[sharing.InboundRelease], `
		SELECT `+releaseColumns+`
		FROM inbound_release
		WHERE id = $1`, release)
}

// WholeReleases returns the releases that are whole and not stored, in the order in which they became whole.
func (r reader) WholeReleases(ctx context.Context) ([]sharing.InboundRelease, error) {
	rows, err := r.db.Query(ctx, `
		SELECT `+releaseColumns+`
		FROM inbound_release w
		WHERE state = 3 AND received = batches
		ORDER BY (SELECT max(entry) FROM inbox WHERE release = w.id AND refusal IS NULL)`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[sharing.InboundRelease])
}

// ReleaseEnvelope returns the envelope of a batch.
func (r reader) ReleaseEnvelope(ctx context.Context, release sharing.ReleaseID, batch int) ([]byte, error) {
	envelope, found, err := one(ctx, r.db, pgx.RowTo[[]byte], `
		SELECT envelope
		FROM inbox
		WHERE release = @release AND batch = @batch AND refusal IS NULL`,
		pgx.NamedArgs{"release": release, "batch": batch})
	if err == nil && !found {
		err = fmt.Errorf("batch %d of release %s is not here", batch, release)
	}
	return envelope, err
}

// SaveInboundRelease keeps how far a partner's release got.
func (t tx) SaveInboundRelease(ctx context.Context, release sharing.InboundRelease) error {
	_, err := t.db.Exec(ctx, `
		INSERT INTO inbound_release (id, sender, agreement, state, batches, received, sha256, reason)
		VALUES (@id, @sender, @agreement, @state, @batches, @received, @sha256, @reason)
		ON CONFLICT (id) DO UPDATE
		SET state = excluded.state, received = excluded.received, reason = excluded.reason`,
		pgx.NamedArgs{
			"id": release.ID, "sender": release.Sender, "agreement": release.Agreement, "state": int16(release.State),
			"batches": release.Batches, "received": release.Received, "sha256": release.SHA256, "reason": release.Reason,
		})
	return err
}

// SupersedeReleases marks the sender's other releases under the agreement that are not whole as superseded.
func (t tx) SupersedeReleases(ctx context.Context, sender sharing.StateCode, agreement sharing.AgreementID, except sharing.ReleaseID) ([]sharing.ReleaseID, error) {
	rows, err := t.db.Query(ctx, `
		UPDATE inbound_release
		SET state = 6, reason = 'superseded by ' || @except
		WHERE sender = @sender AND agreement = @agreement AND id::text <> @except AND state = 3 AND received < batches
		RETURNING id::text`,
		pgx.NamedArgs{"sender": sender, "agreement": agreement, "except": string(except)})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[sharing.ReleaseID])
}
