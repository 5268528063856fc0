package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// AddDecision keeps a decision.
func (t tx) AddDecision(ctx context.Context, id sharing.DecisionID, document []byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO decision (id, document, entry)
		VALUES (@id, @document, @entry)`,
		pgx.NamedArgs{"id": id, "document": document, "entry": entry})
	return err
}

// AddRelease keeps a release.
func (t tx) AddRelease(ctx context.Context, release sharing.Release, document []byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO release (id, partner, agreement, version, document, entry)
		VALUES (@id, @partner, @agreement, @version, @document, @entry)`,
		pgx.NamedArgs{
			"id": release.ID, "partner": release.Partner, "agreement": release.Agreement, "version": release.AgreementVersion,
			"document": document, "entry": entry,
		})
	return err
}

// LastRelease returns the newest release under the agreement; nil where there is none.
func (r reader) LastRelease(ctx context.Context, agreement sharing.AgreementID) ([]byte, error) {
	document, _, err := one(ctx, r.db, pgx.RowTo[[]byte], `
		SELECT document
		FROM release
		WHERE agreement = $1
		ORDER BY entry DESC
		LIMIT 1`, agreement)
	return document, err
}

// Releases returns a page of releases, the newest first.
func (r reader) Releases(ctx context.Context, page sharing.Page) (documents [][]byte, next string, err error) {
	return pageOf(ctx, r.db, page, `
		SELECT document, entry
		FROM release
		WHERE entry < @before AND @partner IN ('', partner)
		ORDER BY entry DESC
		LIMIT @limit`,
		pgx.NamedArgs{"partner": string(page.Partner)}, scanDocument)
}

// LockOutbound returns the stream's newest place, and locks its row.
func (t tx) LockOutbound(ctx context.Context, stream string, receiver sharing.StateCode, epoch string) (sharing.Place, error) {
	_, err := t.db.Exec(ctx, `
		INSERT INTO outbound (stream, receiver, epoch, sequence)
		VALUES (@stream, @receiver, @epoch, 0)
		ON CONFLICT (stream) DO NOTHING`,
		pgx.NamedArgs{"stream": stream, "receiver": receiver, "epoch": epoch})
	if err != nil {
		return sharing.Place{}, err
	}
	place, _, err := one(ctx, t.db, pgx.RowToStructByPos[sharing.Place], `
		SELECT epoch::text, sequence, sha256, false
		FROM outbound
		WHERE stream = $1
		FOR UPDATE`, stream)
	return place, err
}

// Outbound returns the stream's newest place.
func (r reader) Outbound(ctx context.Context, stream string) (sharing.Place, error) {
	place, _, err := one(ctx, r.db, pgx.RowToStructByPos[sharing.Place], `
		SELECT epoch::text, sequence, sha256, false
		FROM outbound
		WHERE stream = $1`, stream)
	return place, err
}

// BeginEpoch begins the stream anew.
func (t tx) BeginEpoch(ctx context.Context, stream, epoch string) error {
	_, err := t.db.Exec(ctx, `
		UPDATE outbound
		SET epoch = @epoch, sequence = 0, sha256 = NULL
		WHERE stream = @stream`,
		pgx.NamedArgs{"stream": stream, "epoch": epoch})
	return err
}

// AddEnvelope keeps an envelope at the next place of the stream.
func (t tx) AddEnvelope(ctx context.Context, at sharing.Cursor, envelope sharing.SentEnvelope, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	args := pgx.NamedArgs{
		"stream": at.Stream, "epoch": at.Epoch, "sequence": at.Sequence, "before": at.Sequence - 1,
		"release": envelope.Release, "cells": envelope.Cells, "envelope": envelope.Envelope, "entry": entry,
		"sha256": leaf.ContentSHA256,
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO outbox (stream, epoch, sequence, release, cells, envelope, entry)
		VALUES (@stream, @epoch, @sequence, @release, @cells, @envelope, @entry)`, args)
	if err != nil {
		return err
	}
	moved, err := changed(t.db.Exec(ctx, `
		UPDATE outbound
		SET sequence = @sequence, sha256 = @sha256
		WHERE stream = @stream AND epoch = @epoch AND sequence = @before`, args))
	if err == nil && !moved {
		err = fmt.Errorf("%d is not the next place of stream %s", at.Sequence, at.Stream)
	}
	return err
}

// Envelopes returns the envelopes after the cursor whose entries have their place in the log. An entry gets its place
// in the transaction that signs the checkpoint over it.
func (r reader) Envelopes(ctx context.Context, after sharing.Cursor, limit int) ([]sharing.KeptEnvelope, error) {
	rows, err := r.db.Query(ctx, `
		SELECT o.sequence, r.agreement, r.version, l.create_time, o.envelope, l.index IS NOT NULL
		FROM outbox o
		JOIN release r ON r.id = o.release
		JOIN log_entry l ON l.arrival = o.entry
		WHERE o.stream = @stream AND o.epoch = @epoch AND o.sequence > @sequence
		ORDER BY o.sequence
		LIMIT @limit`,
		pgx.NamedArgs{"stream": after.Stream, "epoch": after.Epoch, "sequence": after.Sequence, "limit": limit})
	if err != nil {
		return nil, err
	}
	sequenced := true
	kept, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (k sharing.KeptEnvelope, err error) {
		var there bool
		err = row.Scan(&k.Sequence, &k.Agreement, &k.Version, &k.Created, &k.Envelope, &there)
		if sequenced = sequenced && there; !sequenced {
			k.Sequence = 0
		}
		return k, err
	})
	for i, k := range kept {
		if k.Sequence == 0 {
			return kept[:i], err
		}
	}
	return kept, err
}

// SentHash returns the SHA-256 of a sent envelope; nil where there is none.
func (r reader) SentHash(ctx context.Context, at sharing.Cursor) ([]byte, error) {
	hash, _, err := one(ctx, r.db, pgx.RowTo[[]byte], `
		SELECT sha256(envelope)
		FROM outbox
		WHERE stream = @stream AND epoch::text = @epoch AND sequence = @sequence`,
		pgx.NamedArgs{"stream": at.Stream, "epoch": at.Epoch, "sequence": int64(min(at.Sequence, 1<<62))})
	return hash, err
}

// AddReceipt keeps a partner's receipt; false where there is one already.
func (t tx) AddReceipt(ctx context.Context, at sharing.Cursor, receipt []byte, leaf sharing.Leaf) (bool, error) {
	args := pgx.NamedArgs{"stream": at.Stream, "epoch": at.Epoch, "sequence": at.Sequence, "receipt": receipt}
	open, _, err := one(ctx, t.db, pgx.RowTo[bool], `
		SELECT receipt IS NULL
		FROM outbox
		WHERE stream = @stream AND epoch = @epoch AND sequence = @sequence
		FOR UPDATE`, args)
	if err != nil || !open {
		return false, err
	}
	if args["entry"], err = t.addLeaf(ctx, leaf); err != nil {
		return false, err
	}
	return changed(t.db.Exec(ctx, `
		UPDATE outbox
		SET receipt = @receipt, receipt_entry = @entry
		WHERE stream = @stream AND epoch = @epoch AND sequence = @sequence`, args))
}
