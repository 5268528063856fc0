package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// addLeaf keeps a leaf without a place, and returns the number of its arrival.
func (t tx) addLeaf(ctx context.Context, leaf sharing.Leaf) (int64, error) {
	hash := leaf.Hash()
	entry, _, err := one(ctx, t.db, pgx.RowTo[int64], `
		INSERT INTO log_entry (kind, subject, create_time, salt, content_sha256, leaf_hash)
		VALUES (@kind, @subject, @created, @salt, @content, @leaf)
		RETURNING arrival`,
		pgx.NamedArgs{
			"kind": int16(leaf.Kind), "subject": leaf.Subject, "created": leaf.Created,
			"salt": leaf.Salt, "content": leaf.ContentSHA256, "leaf": hash[:],
		})
	return entry, err
}

// addLeaves keeps leaves without a place, and returns the numbers of their arrival, in their order.
func (t tx) addLeaves(ctx context.Context, leaves []sharing.Leaf) ([]int64, error) {
	kinds, subjects := make([]int16, len(leaves)), make([]string, len(leaves))
	created, salts := make([]time.Time, len(leaves)), make([][]byte, len(leaves))
	contents, hashes := make([][]byte, len(leaves)), make([][]byte, len(leaves))
	for i, leaf := range leaves {
		hash := leaf.Hash()
		kinds[i], subjects[i], created[i] = int16(leaf.Kind), leaf.Subject, leaf.Created
		salts[i], contents[i], hashes[i] = leaf.Salt, leaf.ContentSHA256, hash[:]
	}
	rows, err := t.db.Query(ctx, `
		INSERT INTO log_entry (kind, subject, create_time, salt, content_sha256, leaf_hash)
		SELECT n.*
		FROM unnest(@kinds::smallint[], @subjects::text[], @created::timestamptz[], @salts::bytea[], @contents::bytea[], @leaves::bytea[]) n
		RETURNING kind, subject, arrival`,
		pgx.NamedArgs{"kinds": kinds, "subjects": subjects, "created": created, "salts": salts, "contents": contents, "leaves": hashes})
	if err != nil {
		return nil, err
	}
	arrivals := make(map[sharing.EntryName]int64, len(leaves))
	var name sharing.EntryName
	var arrival int64
	if _, err := pgx.ForEachRow(rows, []any{&name.Kind, &name.Subject, &arrival}, func() error {
		arrivals[name] = arrival
		return nil
	}); err != nil {
		return nil, err
	}
	entries := make([]int64, len(leaves))
	for i, leaf := range leaves {
		entries[i] = arrivals[sharing.EntryName{Kind: leaf.Kind, Subject: leaf.Subject}]
	}
	return entries, nil
}

// Checkpoint returns the newest checkpoint; "" where there is none.
func (r reader) Checkpoint(ctx context.Context) (string, error) {
	note, _, err := one(ctx, r.db, pgx.RowTo[string], `SELECT note FROM checkpoint`)
	return note, err
}

// SaveCheckpoint replaces the checkpoint.
func (t tx) SaveCheckpoint(ctx context.Context, note string) error {
	_, err := t.db.Exec(ctx, `
		INSERT INTO checkpoint (note)
		VALUES ($1)
		ON CONFLICT (single) DO UPDATE SET note = excluded.note`, note)
	return err
}

// pageBytes bounds the content of a page of entries; one entry may exceed it.
const pageBytes = 2 << 20

// filled continues a WITH whose page has rows of log_entry: each gets its content from the row that names it, and has
// the columns that scanEntry reads.
const filled = `, filled AS (
		SELECT l.*, coalesce(a.document, g.signed, n.signed, d.document, r.document, o.envelope, p.receipt, i.envelope, q.receipt, v.envelope, u.document, k.document, c.document, b.document, w.document, x.signed, ad.document, ag.signed, ae.document, y.document, j.document) AS content
		FROM page l
		LEFT JOIN agreement a ON l.kind = 1 AND a.entry = l.arrival
			AND l.subject = concat_ws('/', a.id, a.version, 'document')
		LEFT JOIN agreement_signature g ON l.kind = 1 AND g.entry = l.arrival
			AND l.subject = concat_ws('/', g.id, g.version, 'signature', g.state)
		LEFT JOIN agreement_end n ON l.kind = 1 AND n.entry = l.arrival
			AND l.subject = concat_ws('/', n.id, n.version, 'end', n.state)
		LEFT JOIN amendment ad ON l.kind = 14 AND ad.entry = l.arrival
			AND l.subject = concat_ws('/', ad.id, 'document')
		LEFT JOIN amendment_signature ag ON l.kind = 14 AND ag.entry = l.arrival
			AND l.subject = concat_ws('/', ag.id, 'signature', ag.state)
		LEFT JOIN amendment_effect ae ON l.kind = 14 AND ae.entry = l.arrival
			AND l.subject = concat_ws('/', ae.id, 'effect')
		LEFT JOIN decision d ON l.kind = 2 AND d.entry = l.arrival
			AND l.subject = d.id::text
		LEFT JOIN outbox o ON l.kind = 3 AND o.entry = l.arrival
			AND l.subject = concat_ws('/', o.stream, o.epoch, o.sequence)
		LEFT JOIN outbox p ON l.kind = 4 AND p.receipt_entry = l.arrival
			AND l.subject = concat_ws('/', p.stream, p.epoch, p.sequence)
		LEFT JOIN inbox i ON l.kind = CASE WHEN i.refusal IS NULL THEN 5 ELSE 7 END AND i.entry = l.arrival
			AND l.subject = concat_ws('/', i.stream, i.epoch, i.sequence)
		LEFT JOIN inbox q ON l.kind = 6 AND q.receipt_entry = l.arrival
			AND l.subject = concat_ws('/', q.stream, q.epoch, q.sequence)
		LEFT JOIN evidence v ON l.kind = 7 AND v.entry = l.arrival
			AND l.subject = concat_ws('/', v.stream, v.epoch, v.sequence, encode(sha256(v.envelope), 'hex'))
		LEFT JOIN release r ON l.kind = 8 AND r.entry = l.arrival
			AND l.subject = concat_ws('/', r.partner, r.agreement, r.version, r.id)
		LEFT JOIN publication u ON l.kind = 9 AND u.entry = l.arrival
			AND l.subject = u.id::text
		LEFT JOIN announcement c ON l.kind = 9 AND c.entry = l.arrival
			AND l.subject = concat_ws('/', c.id, 'announcement')
		LEFT JOIN notice b ON l.kind = 9 AND b.entry = l.arrival
			AND l.subject = concat_ws('/', b.id, 'notice')
		LEFT JOIN quarantine_lift k ON l.kind = 10 AND k.entry = l.arrival
			AND l.subject = concat_ws('/', k.stream, k.id)
		LEFT JOIN switch w ON l.kind = 11 AND w.entry = l.arrival
			AND l.subject = w.id::text
		LEFT JOIN removal y ON l.kind = 13 AND y.entry = l.arrival
			AND l.subject = y.id::text
		LEFT JOIN acceptance j ON l.kind = 17 AND j.entry = l.arrival
			AND l.subject = concat_ws('/', j.log, j.id)
		LEFT JOIN withdrawal x ON l.kind = 1 AND x.entry = l.arrival
			AND l.subject = concat_ws('/', x.agreement, x.version, 'withdrawal', x.state, x.id)
	)`

func scanEntry(row pgx.CollectableRow) (e sharing.LogEntry, err error) {
	err = row.Scan(&e.Index, &e.Kind, &e.Subject, &e.Created, &e.Salt, &e.ContentSHA256, &e.LeafHash, &e.Content, &e.TreeHashes)
	e.Created = e.Created.UTC()
	return e, err
}

// LogEntries returns entries in order from an index on.
func (r reader) LogEntries(ctx context.Context, from int64, limit int) ([]sharing.LogEntry, error) {
	rows, err := r.db.Query(ctx, `
		WITH page AS (
			SELECT *
			FROM log_entry
			WHERE index >= @from
			ORDER BY index
			LIMIT @limit
		)`+filled+`, measured AS (
			SELECT *, sum(octet_length(content)) OVER (ORDER BY index) - octet_length(content) AS before
			FROM filled
		)
		SELECT index, kind, subject, create_time, salt, content_sha256, leaf_hash, content, tree_hashes
		FROM measured
		WHERE coalesce(before, 0) < @bytes
		ORDER BY index`,
		pgx.NamedArgs{"from": from, "limit": limit, "bytes": pageBytes})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanEntry)
}

// NamedEntries returns the entries of these names that have their place.
func (r reader) NamedEntries(ctx context.Context, names []sharing.EntryName) ([]sharing.LogEntry, error) {
	kinds, subjects := make([]int16, len(names)), make([]string, len(names))
	for i, name := range names {
		kinds[i], subjects[i] = int16(name.Kind), name.Subject
	}
	rows, err := r.db.Query(ctx, `
		WITH page AS (
			SELECT l.*
			FROM log_entry l
			JOIN unnest(@kinds::smallint[], @subjects::text[]) AS n (kind, subject) USING (kind, subject)
			WHERE l.index IS NOT NULL
		)`+filled+`
		SELECT index, kind, subject, create_time, salt, content_sha256, leaf_hash, content, tree_hashes
		FROM filled
		ORDER BY index`,
		pgx.NamedArgs{"kinds": kinds, "subjects": subjects})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanEntry)
}

// TreeHashes returns the hashes of the tree that were stored with each of the entries.
func (r reader) TreeHashes(ctx context.Context, indexes []int64) (map[int64][]byte, error) {
	rows, err := r.db.Query(ctx, `
		SELECT index, tree_hashes
		FROM log_entry
		WHERE index = ANY($1)`, indexes)
	if err != nil {
		return nil, err
	}
	hashes := make(map[int64][]byte, len(indexes))
	var index int64
	var bundle []byte
	_, err = pgx.ForEachRow(rows, []any{&index, &bundle}, func() error {
		hashes[index] = append([]byte{}, bundle...)
		return nil
	})
	return hashes, err
}

// LockLog keeps other sequencers away until the transaction ends, and returns what has arrived.
func (t tx) LockLog(ctx context.Context, limit int) (checkpoint string, size int64, arrived []sharing.Arrived, err error) {
	if _, err := t.db.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended('comity sharing log', 0))`); err != nil {
		return "", 0, nil, err
	}
	// A statement of its own: it sees what was committed while the lock was waited for.
	rows, err := t.db.Query(ctx, `
		SELECT arrival, leaf_hash
		FROM log_entry
		WHERE index IS NULL
		ORDER BY arrival
		LIMIT $1`, limit)
	if err != nil {
		return "", 0, nil, err
	}
	arrived, err = pgx.CollectRows(rows, pgx.RowToStructByPos[sharing.Arrived])
	if err != nil || len(arrived) == 0 {
		return "", 0, nil, err
	}
	size, _, err = one(ctx, t.db, pgx.RowTo[int64], `SELECT coalesce(max(index) + 1, 0) FROM log_entry`)
	if err != nil {
		return "", 0, nil, err
	}
	checkpoint, err = t.Checkpoint(ctx)
	return checkpoint, size, arrived, err
}

// Sequence gives entries their places.
func (t tx) Sequence(ctx context.Context, entries []sharing.Sequenced) error {
	arrivals, indexes, hashes := make([]int64, len(entries)), make([]int64, len(entries)), make([][]byte, len(entries))
	for i, e := range entries {
		arrivals[i], indexes[i], hashes[i] = e.Arrival, e.Index, e.TreeHashes
	}
	_, err := t.db.Exec(ctx, `
		UPDATE log_entry l
		SET index = s.index, tree_hashes = s.hashes
		FROM unnest(@arrivals::bigint[], @indexes::bigint[], @hashes::bytea[]) AS s (arrival, index, hashes)
		WHERE l.arrival = s.arrival`,
		pgx.NamedArgs{"arrivals": arrivals, "indexes": indexes, "hashes": hashes})
	return err
}

// Witnessed returns what the states have seen of each other's logs.
func (r reader) Witnessed(ctx context.Context, partner sharing.StateCode) (sharing.Witnessed, error) {
	seen, _, err := one(ctx, r.db, pgx.RowToStructByPos[sharing.Witnessed], `
		SELECT size, root, shown, cosigned, refused, objection
		FROM witness
		WHERE partner = $1`, partner)
	return seen, err
}

// LockWitnessed returns what the states have seen of each other's logs, and locks the row.
func (t tx) LockWitnessed(ctx context.Context, partner sharing.StateCode) (sharing.Witnessed, error) {
	_, err := t.db.Exec(ctx, `
		INSERT INTO witness (partner, size, root, shown, cosigned)
		VALUES (@partner, 0, '', 0, '')
		ON CONFLICT (partner) DO NOTHING`,
		pgx.NamedArgs{"partner": partner})
	if err != nil {
		return sharing.Witnessed{}, err
	}
	seen, _, err := one(ctx, t.db, pgx.RowToStructByPos[sharing.Witnessed], `
		SELECT size, root, shown, cosigned, refused, objection
		FROM witness
		WHERE partner = $1
		FOR UPDATE`, partner)
	return seen, err
}

// SaveWitnessed keeps what the states have seen of each other's logs.
func (t tx) SaveWitnessed(ctx context.Context, partner sharing.StateCode, seen sharing.Witnessed) error {
	_, err := t.db.Exec(ctx, `
		UPDATE witness
		SET size = @size, root = @root, shown = @shown, cosigned = @cosigned, refused = @refused, objection = @objection
		WHERE partner = @partner`,
		pgx.NamedArgs{
			"partner": partner, "size": seen.Size, "root": seen.Root, "shown": seen.Shown, "cosigned": seen.Cosigned,
			"refused": seen.Refused, "objection": seen.Objection,
		})
	return err
}
