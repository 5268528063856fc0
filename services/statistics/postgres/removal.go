package postgres

import (
	"context"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/statistics"
)

// expiry is which cells of a part have had their time, in its revisions and runs.
type expiry struct {
	received   int64                           // of these revisions and those before, by the rule
	superseded int64                           // not the newest any more since this revision, or one before
	terms      map[int64]bool                  // of these revisions, by their terms
	ended      map[uint16]int32                // by code of the frequency: of these periods and those before
	frequency  map[uint16]statistics.Frequency // by its code
	span       [2]time.Time                    // the first and the last day of what was removed
}

// RemoveExpired removes what has expired of some blocks of a part. The blocks are found before the part is locked, and looked
// at again under the lock, which is held for them alone.
func (s *Store) RemoveExpired(ctx context.Context, of statistics.Part, id string, e *statistics.Expiry, cursor string, blocks int) (next string, err error) {
	edits, err := s.expired(ctx, of, e, cursor, blocks)
	if err != nil {
		return "", fmt.Errorf("looking for what has expired: %w", err)
	}
	if len(edits) == 0 {
		return "", nil
	}
	err = s.Update(ctx, func(ctx context.Context, tx statistics.Transaction) error {
		t := tx.(*transaction)
		if err := t.Lock(ctx, of); err != nil {
			return err
		}
		r := &remover{transaction: t, part: t.parts[of]}
		if r.expiry, err = t.expiry(ctx, r.part.id, r.part.dataflow, e); err != nil {
			return err
		}
		return r.remove(ctx, of, id, e.Rule, edits)
	})
	if err != nil {
		return "", fmt.Errorf("removing what has expired: %w", err)
	}
	last := edits[len(edits)-1]
	return blockCursor(last.key, last.blk), nil
}

// expiry works out which revisions and periods have had their time.
func (r *reader) expiry(ctx context.Context, part, dataflow int32, e *statistics.Expiry) (*expiry, error) {
	x := &expiry{terms: map[int64]bool{}, ended: map[uint16]int32{}, frequency: map[uint16]statistics.Frequency{}}
	until := func(at time.Time) *time.Time {
		if at.IsZero() {
			return nil
		}
		return &at
	}
	var terms []int64
	err := r.db.QueryRow(ctx, `
		SELECT
			coalesce(max(v.rev) FILTER (WHERE v.committed_at <= @received), 0),
			coalesce(max(v.rev) FILTER (WHERE v.committed_at <= @superseded), 0),
			coalesce(array_agg(v.rev) FILTER (WHERE v.committed_at + t.keep_days * interval '24 hours' <= @terms), '{}')
		FROM revision v
		LEFT JOIN terms t ON t.part = v.part AND t.rev = v.rev
		WHERE v.part = @part`,
		pgx.NamedArgs{"part": part, "received": until(e.Received), "superseded": until(e.Superseded), "terms": until(e.TermsAt)}).
		Scan(&x.received, &x.superseded, &terms)
	if err != nil {
		return nil, fmt.Errorf("reading the revisions: %w", err)
	}
	for _, rev := range terms {
		x.terms[rev] = true
	}
	rows, err := r.db.Query(ctx, `
		SELECT code, text
		FROM code
		WHERE dataflow = $1 AND dimension = 1`, dataflow)
	if err != nil {
		return nil, fmt.Errorf("reading the frequencies: %w", err)
	}
	var code int16
	var text string
	_, err = pgx.ForEachRow(rows, []any{&code, &text}, func() error {
		frequency, number := statistics.Frequency(text[0]), uint16(code) //nolint:gosec // not negative
		x.frequency[number] = frequency
		if e.Ended.IsZero() {
			return nil
		}
		running, err := period.At(frequency, e.Ended)
		x.ended[number] = running.Index - 1
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the frequencies: %w", err)
	}
	return x, nil
}

// expired finds blocks that may have cells whose time is over, in the order of keys and runs.
func (s *Store) expired(ctx context.Context, of statistics.Part, e *statistics.Expiry, cursor string, limit int) (edits []runEdit, err error) {
	key, blk, err := parseBlockCursor(cursor)
	if err != nil {
		return nil, err
	}
	err = pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		r := &reader{store: s, db: tx}
		var part, dataflow int32
		err := tx.QueryRow(ctx, `
			SELECT p.id, p.dataflow
			FROM part p
			JOIN dataflow d ON d.id = p.dataflow
			WHERE d.ref = @dataflow AND p.provider = @provider AND p.bucket = 0`,
			pgx.NamedArgs{"dataflow": of.Dataflow.String(), "provider": of.Provider}).Scan(&part, &dataflow)
		if err != nil {
			return err
		}
		x, err := r.expiry(ctx, part, dataflow, e)
		if err != nil || x.received == 0 && x.superseded == 0 && len(x.terms) == 0 && len(x.ended) == 0 {
			return err
		}
		args := pgx.NamedArgs{
			"part": part, "key": key, "blk": blk, "limit": limit, "received": x.received, "superseded": x.superseded,
			"aged": x.received > 0 || len(x.terms) > 0,
		}
		terms, codes, lasts := []int64{}, [][]byte{}, []int32{}
		for rev := range x.terms {
			terms = append(terms, rev)
		}
		for code, last := range x.ended {
			blk, _ := place(x.frequency[code], last)
			codes, lasts = append(codes, appendKey(nil, code)), append(lasts, blk)
		}
		args["terms"], args["codes"], args["lasts"] = terms, codes, lasts
		// Each of the two is in the order of an index, so that it ends at the limit.
		const perhaps = `
				c.rev <= @received OR c.rev = ANY(@terms::bigint[]) OR @aged AND c.ages <> ''
				OR EXISTS (
					SELECT
					FROM unnest(@codes::bytea[], @lasts::int[]) AS p (code, last)
					WHERE substring(c.key FROM 1 FOR 2) = p.code AND c.blk <= p.last
				)`
		rows, err := tx.Query(ctx, `
			(SELECT DISTINCT c.key, c.blk
			FROM cur c
			WHERE c.part = @part AND (c.key, c.blk) > (@key, @blk) AND (`+perhaps+`
				OR c.rev <= @superseded AND EXISTS (
					SELECT
					FROM cur o
					WHERE o.part = @part AND o.key = c.key AND o.blk = c.blk AND o.rev < c.rev
				))
			ORDER BY c.key, c.blk
			LIMIT @limit)
			UNION
			(SELECT DISTINCT c.key, c.blk
			FROM hist c
			WHERE c.part = @part AND (c.key, c.blk) > (@key, @blk) AND (`+perhaps+` OR c.rev_to <= @superseded)
			ORDER BY c.key, c.blk
			LIMIT @limit)
			ORDER BY key, blk
			LIMIT @limit`, args)
		if err != nil {
			return err
		}
		edits, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (e runEdit, err error) {
			err = row.Scan(&e.key, &e.blk)
			return e, err
		})
		return err
	})
	return edits, err
}

// remover removes cells of a part.
type remover struct {
	*transaction
	*expiry
	part    *lockedPart
	removal statistics.Removal
}

// kept is a row that stays, without the cells that are removed.
type kept struct {
	edit  *runEdit
	revTo int64 // 0: of cur
	layer layer
}

// remove takes the cells out of the runs, numbers the change where the newest state has others now, and logs it.
func (r *remover) remove(ctx context.Context, of statistics.Part, id string, rule *statistics.RetentionRule, edits []runEdit) error {
	r.removal.ID, r.removal.Rule = id, rule
	runs, err := r.rows(ctx, edits)
	if err != nil {
		return err
	}
	var touched []runEdit
	var stay []kept
	for i := range edits {
		less, err := r.purge(&edits[i], runs[i], &stay)
		if err != nil {
			return err
		}
		if less {
			touched = append(touched, edits[i])
		}
	}
	if len(touched) == 0 {
		return nil
	}
	if err := r.rewrite(ctx, touched, stay); err != nil {
		return err
	}
	rev := int64(0)
	if r.removal.Figures > 0 {
		if _, err := r.Publish(ctx, "", []statistics.Part{of}); err != nil {
			return err
		}
		rev = r.part.rev
	}
	r.removal.FirstDay, r.removal.LastDay = r.span[0], r.span[1]
	return r.logRemoval(ctx, r.part, of, &r.removal, rev)
}

// rows reads the rows of cur and hist of each run.
func (r *remover) rows(ctx context.Context, edits []runEdit) ([][]kept, error) {
	keys, blks := runKeys(edits)
	rows, err := r.db.Query(ctx, `
		SELECT w.n, 0::bigint AS rev_to, `+layerColumns+`
		FROM unnest(@keys::bytea[], @blks::int[]) WITH ORDINALITY AS w (key, blk, n)
		JOIN cur c ON c.part = @part AND c.key = w.key AND c.blk = w.blk
		UNION ALL
		SELECT w.n, c.rev_to, `+layerColumns+`
		FROM unnest(@keys::bytea[], @blks::int[]) WITH ORDINALITY AS w (key, blk, n)
		JOIN hist c ON c.part = @part AND c.key = w.key AND c.blk = w.blk`,
		pgx.NamedArgs{"part": r.part.id, "keys": keys, "blks": blks})
	if err != nil {
		return nil, fmt.Errorf("reading the blocks: %w", err)
	}
	defer rows.Close()
	runs := make([][]kept, len(edits))
	for rows.Next() {
		raw := rows.RawValues()
		n := binary.BigEndian.Uint64(raw[0]) - 1
		k := kept{edit: &edits[n], revTo: int64(binary.BigEndian.Uint64(raw[1])), layer: readLayer(raw[2:], true)} //nolint:gosec // an int8
		if err := k.layer.check(); err != nil {
			return nil, err
		}
		runs[n] = append(runs[n], k)
	}
	return runs, rows.Err()
}

// storedCell is a cell of a place of a run: a revision that it is from, and until when some state had it.
type storedCell struct{ rev, revTo int64 } // revTo MaxInt64: the newest state may have it

// purge adds to stay what is left of the rows of a run, and reports whether that is less than there was.
//
// Of the cells in one place, all that are older than an expired one go with it: without it they would stand in its place.
func (r *remover) purge(edit *runEdit, rows []kept, stay *[]kept) (less bool, err error) {
	var places [maxRun][]storedCell
	for i := range rows {
		l := &rows[i].layer
		n, cell := l.cells(), 0
		for rest := l.mask; rest != 0; rest &= rest - 1 {
			at := bits.TrailingZeros64(rest)
			c := storedCell{rev: l.revision(cell, n), revTo: rows[i].revTo}
			if c.revTo == 0 {
				c.revTo = math.MaxInt64
			}
			places[at] = append(places[at], c)
			cell++
		}
	}
	var cut [maxRun]int64 // by place: cells up to that revision go
	for at := range places {
		if len(places[at]) > 0 {
			cut[at] = r.cut(edit, at, places[at])
		}
	}
	for i := range rows {
		k := &rows[i]
		n, cell, mask := k.layer.cells(), 0, k.layer.mask
		for rest := k.layer.mask; rest != 0; rest &= rest - 1 {
			if at := bits.TrailingZeros64(rest); k.layer.revision(cell, n) <= cut[at] {
				mask &^= 1 << at
			}
			cell++
		}
		if mask != k.layer.mask {
			less = true
			var was image
			if err := was.lay(&k.layer, math.MaxInt64); err != nil {
				return false, err
			}
			k.layer = layer{}
			if mask != 0 {
				if err := was.pack(mask, &k.layer); err != nil {
					return false, err
				}
			}
		}
	}
	if less {
		*stay = append(*stay, slices.DeleteFunc(rows, func(k kept) bool { return k.layer.mask == 0 })...)
	}
	return less, nil
}

// cut returns up to which revision the cells of a place are removed, 0: none is; and counts them.
func (r *remover) cut(edit *runEdit, at int, cells []storedCell) int64 {
	slices.SortFunc(cells, func(a, b storedCell) int { return int(a.rev - b.rev) })
	code := binary.BigEndian.Uint16(edit.key)
	frequency := r.frequency[code]
	index := edit.blk*run(frequency) + int32(at) //nolint:gosec // a place in a run
	last, limited := r.ended[code]
	var byRule, all int64
	for i, c := range cells {
		until := c.revTo
		if i+1 < len(cells) {
			until = min(until, cells[i+1].rev)
		}
		if c.rev <= r.received || until <= r.superseded || limited && index <= last {
			byRule = c.rev
		}
		if byRule == c.rev || r.terms[c.rev] {
			all = c.rev
		}
	}
	if all == 0 {
		return 0
	}
	for i, c := range cells {
		if c.rev > all || i > 0 && cells[i-1].rev == c.rev {
			continue
		}
		if c.rev > byRule {
			r.removal.ByTerms++
		}
		if i == len(cells)-1 && c.revTo == math.MaxInt64 {
			r.removal.Figures++
		} else {
			r.removal.Superseded++
		}
	}
	p := frequency.Period(index)
	if first := p.Start(); r.span[0].IsZero() || first.Before(r.span[0]) {
		r.span[0] = first
	}
	if end := p.End(); end.After(r.span[1]) {
		r.span[1] = end
	}
	return all
}

// rewrite puts what stays in the place of all rows of the runs, and takes out the series that have none any more.
func (r *remover) rewrite(ctx context.Context, runs []runEdit, stay []kept) error {
	w := &writer{transaction: r.transaction, part: r.part}
	if err := w.clear(ctx, runs); err != nil {
		return err
	}
	keys, blks := runKeys(runs)
	args := pgx.NamedArgs{"part": r.part.id, "keys": keys, "blks": blks}
	_, err := r.tx.Exec(ctx, `
		DELETE FROM hist c
		USING unnest(@keys::bytea[], @blks::int[]) AS w (key, blk)
		WHERE c.part = @part AND c.key = w.key AND c.blk = w.blk`, args)
	if err != nil {
		return fmt.Errorf("taking out history: %w", err)
	}
	var cur []kept
	for revTo, rows := range byRevTo(stay) {
		if revTo == 0 {
			cur = rows
			continue
		}
		gone := make([]row, len(rows))
		for i := range rows {
			gone[i] = row{edit: rows[i].edit, layer: rows[i].layer}
		}
		was := &writer{transaction: r.transaction, part: &lockedPart{id: r.part.id, rev: revTo}}
		if err := was.copyHist(ctx, gone); err != nil {
			return err
		}
	}
	err = w.copyCur(ctx, len(cur), func(i int) (*runEdit, *layer, error) { return cur[i].edit, &cur[i].layer, nil })
	if err != nil {
		return err
	}
	tag, err := r.tx.Exec(ctx, `
		DELETE FROM series s
		WHERE s.part = @part AND s.key = ANY(@keys::bytea[])
			AND NOT EXISTS (SELECT FROM cur c WHERE c.part = @part AND c.key = s.key)
			AND NOT EXISTS (SELECT FROM hist c WHERE c.part = @part AND c.key = s.key)`, args)
	if err != nil {
		return fmt.Errorf("taking out series: %w", err)
	}
	r.removal.Series = tag.RowsAffected()
	return nil
}

// byRevTo groups rows by the revision that they were until; 0 is those of cur.
func byRevTo(rows []kept) map[int64][]kept {
	groups := map[int64][]kept{}
	for _, k := range rows {
		groups[k.revTo] = append(groups[k.revTo], k)
	}
	return groups
}
