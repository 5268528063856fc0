package postgres

import (
	"context"
	"fmt"
	"math"

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
	var source *sharing.AgreementID
	if release.Passed != nil {
		source = &release.Passed.Agreement
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO release (id, partner, agreement, version, document, entry, source)
		VALUES (@id, @partner, @agreement, @version, @document, @entry, @source)`,
		pgx.NamedArgs{
			"id": release.ID, "partner": release.Partner, "agreement": release.Agreement, "version": release.AgreementVersion,
			"document": document, "entry": entry, "source": source,
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

// AddEnvelopes keeps envelopes at the next places of the stream.
func (t tx) AddEnvelopes(ctx context.Context, stream, epoch string, envelopes []sharing.SentEnvelope) error {
	if len(envelopes) == 0 {
		return nil
	}
	leaves := make([]sharing.Leaf, len(envelopes))
	sequences, releases := make([]int64, len(envelopes)), make([]string, len(envelopes))
	cells, contents := make([]int32, len(envelopes)), make([][]byte, len(envelopes))
	for i, e := range envelopes {
		leaves[i], sequences[i], releases[i] = e.Leaf, int64(e.Sequence), string(e.Release) //nolint:gosec // places are counted from 1
		cells[i], contents[i] = int32(e.Cells), e.Envelope                                  //nolint:gosec // a batch is small
	}
	entries, err := t.addLeaves(ctx, leaves)
	if err != nil {
		return err
	}
	last := envelopes[len(envelopes)-1]
	args := pgx.NamedArgs{
		"stream": stream, "epoch": epoch, "sequences": sequences, "releases": releases, "cells": cells, "envelopes": contents,
		"entries": entries, "sequence": last.Sequence, "before": envelopes[0].Sequence - 1, "sha256": last.Leaf.ContentSHA256,
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO outbox (stream, epoch, sequence, release, cells, envelope, entry)
		SELECT @stream, @epoch, n.*
		FROM unnest(@sequences::bigint[], @releases::uuid[], @cells::int[], @envelopes::bytea[], @entries::bigint[]) n`, args)
	if err != nil {
		return err
	}
	moved, err := changed(t.db.Exec(ctx, `
		UPDATE outbound
		SET sequence = @sequence, sha256 = @sha256
		WHERE stream = @stream AND epoch = @epoch AND sequence = @before`, args))
	if err == nil && !moved {
		err = fmt.Errorf("%d is not the next place of stream %s", envelopes[0].Sequence, stream)
	}
	return err
}

// Envelopes returns the envelopes after the cursor whose entries have their place in the log. An entry gets its place
// in the transaction that signs the checkpoint over it.
//
// An epoch has no gaps, so that the next places are known; what is joined is looked up for each. Left to choose, the planner reads
// all that waits, for every few that go.
func (r reader) Envelopes(ctx context.Context, after sharing.Cursor, limit, bytes int) ([]sharing.KeptEnvelope, error) {
	rows, err := r.db.Query(ctx, `
		WITH next AS (
			SELECT sequence, release, entry, envelope,
				sum(octet_length(envelope)) OVER (ORDER BY sequence) AS upto, min(sequence) OVER () AS first
			FROM outbox
			WHERE stream = @stream AND epoch = @epoch AND sequence > @sequence AND sequence <= @sequence + @limit::int
		)
		SELECT n.sequence, r.agreement, r.version, l.create_time, n.envelope, l.index IS NOT NULL
		FROM next n
		CROSS JOIN LATERAL (
			SELECT agreement, version
			FROM release
			WHERE id = n.release
			OFFSET 0
		) r
		CROSS JOIN LATERAL (
			SELECT create_time, index
			FROM log_entry
			WHERE arrival = n.entry
			OFFSET 0
		) l
		WHERE n.sequence = n.first OR n.upto <= @bytes
		ORDER BY n.sequence`,
		pgx.NamedArgs{"stream": after.Stream, "epoch": after.Epoch, "sequence": after.Sequence, "limit": limit, "bytes": bytes})
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

// SentHashes returns the SHA-256 of sent envelopes, as their entries in the log have it.
func (r reader) SentHashes(ctx context.Context, stream, epoch string, sequences []uint64) (map[uint64][]byte, error) {
	rows, err := r.db.Query(ctx, `
		SELECT o.sequence, l.content_sha256
		FROM outbox o
		CROSS JOIN LATERAL (
			SELECT content_sha256
			FROM log_entry
			WHERE arrival = o.entry
			OFFSET 0
		) l
		WHERE o.stream = @stream AND o.epoch = nullif(@epoch::text, '')::uuid AND o.sequence = ANY(@sequences::bigint[])`,
		pgx.NamedArgs{"stream": stream, "epoch": epoch, "sequences": places(sequences)})
	if err != nil {
		return nil, err
	}
	hashes := make(map[uint64][]byte, len(sequences))
	var sequence uint64
	var hash []byte
	_, err = pgx.ForEachRow(rows, []any{&sequence, &hash}, func() error {
		hashes[sequence] = append([]byte{}, hash...)
		return nil
	})
	return hashes, err
}

// places returns places of a stream as the database counts them; those that it cannot have are none.
func places(sequences []uint64) []int64 {
	known := make([]int64, 0, len(sequences))
	for _, sequence := range sequences {
		if sequence <= math.MaxInt64 {
			known = append(known, int64(sequence))
		}
	}
	return known
}

// AddReceipts keeps a partner's receipts, but those that are there already.
func (t tx) AddReceipts(ctx context.Context, stream, epoch string, receipts []sharing.KeptReceipt) error {
	bySequence := make(map[int64]sharing.KeptReceipt, len(receipts))
	sequences := make([]int64, 0, len(receipts))
	for _, r := range receipts {
		sequence := int64(r.Sequence) //nolint:gosec // it is the place of an envelope that is here
		if _, twice := bySequence[sequence]; !twice {
			bySequence[sequence] = r
			sequences = append(sequences, sequence)
		}
	}
	args := pgx.NamedArgs{"stream": stream, "epoch": epoch, "sequences": sequences}
	rows, err := t.db.Query(ctx, `
		SELECT sequence
		FROM outbox
		WHERE stream = @stream AND epoch = @epoch AND sequence = ANY(@sequences) AND receipt IS NULL
		ORDER BY sequence
		FOR UPDATE`, args)
	if err != nil {
		return err
	}
	open, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil || len(open) == 0 {
		return err
	}
	leaves, contents := make([]sharing.Leaf, len(open)), make([][]byte, len(open))
	for i, sequence := range open {
		leaves[i], contents[i] = bySequence[sequence].Leaf, bySequence[sequence].Receipt
	}
	if args["entries"], err = t.addLeaves(ctx, leaves); err != nil {
		return err
	}
	args["sequences"], args["receipts"] = open, contents
	_, err = t.db.Exec(ctx, `
		UPDATE outbox o
		SET receipt = n.receipt, receipt_entry = n.entry
		FROM unnest(@sequences::bigint[], @receipts::bytea[], @entries::bigint[]) AS n (sequence, receipt, entry)
		WHERE o.stream = @stream AND o.epoch = @epoch AND o.sequence = n.sequence`, args)
	return err
}
