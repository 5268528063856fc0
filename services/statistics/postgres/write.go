package postgres

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/statistics"
)

// transaction is a statistics.Transaction.
type transaction struct {
	reader
	parts   map[statistics.Part]*lockedPart
	staging bool // the temporary table is there
	added   int  // blocks that are new
}

// lockedPart is a part that this transaction alone changes.
type lockedPart struct {
	id       int32
	dataflow int32
	rev      int64 // of the part, that its changes get
}

// Lock takes the parts in one order everywhere, so that no two transactions wait for each other.
func (t *transaction) Lock(ctx context.Context, parts ...statistics.Part) error {
	wanted := slices.SortedFunc(slices.Values(parts), func(a, b statistics.Part) int {
		return cmp.Or(cmp.Compare(a.Dataflow.String(), b.Dataflow.String()), cmp.Compare(a.Provider, b.Provider))
	})
	for _, part := range slices.Compact(wanted) {
		if t.parts[part] != nil {
			continue
		}
		locked, err := t.lock(ctx, part)
		if err != nil {
			return fmt.Errorf("locking %s of %s: %w", part.Dataflow, part.Provider, err)
		}
		t.parts[part] = locked
	}
	return nil
}

func (t *transaction) lock(ctx context.Context, part statistics.Part) (*lockedPart, error) {
	locked := &lockedPart{}
	find := func() error {
		return t.tx.QueryRow(ctx, `
			SELECT p.id, p.dataflow
			FROM part p
			JOIN dataflow d ON d.id = p.dataflow
			WHERE d.ref = @dataflow AND p.provider = @provider AND p.bucket = 0`,
			pgx.NamedArgs{"dataflow": part.Dataflow.String(), "provider": part.Provider}).Scan(&locked.id, &locked.dataflow)
	}
	err := find()
	if errors.Is(err, pgx.ErrNoRows) {
		_, err = t.tx.Exec(ctx, `
			INSERT INTO dataflow (ref)
			VALUES (@dataflow)
			ON CONFLICT DO NOTHING`,
			pgx.NamedArgs{"dataflow": part.Dataflow.String()})
		if err != nil {
			return nil, err
		}
		_, err = t.tx.Exec(ctx, `
			INSERT INTO part (dataflow, provider)
			SELECT id, @provider
			FROM dataflow
			WHERE ref = @dataflow
			ON CONFLICT DO NOTHING`,
			pgx.NamedArgs{"dataflow": part.Dataflow.String(), "provider": part.Provider})
		if err != nil {
			return nil, err
		}
		err = find()
	}
	if err != nil {
		return nil, err
	}
	if _, err := t.tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1, $2)`, lockPart, locked.id); err != nil {
		return nil, err
	}
	err = t.tx.QueryRow(ctx, `
		SELECT coalesce(max(rev), 0) + 1
		FROM revision
		WHERE part = $1`, locked.id).Scan(&locked.rev)
	return locked, err
}

// analyzeAbove is how many blocks a transaction adds before it looks whether the planner knows.
const analyzeAbove = 500

// analyze tells the planner of tables that have grown by more than a tenth. Autovacuum would do so a minute later, and until
// then the planner takes a table that was filled at once for an empty one, and joins it row by row.
func (t *transaction) analyze(ctx context.Context) error {
	if t.added < analyzeAbove {
		return nil
	}
	var known float64
	if err := t.tx.QueryRow(ctx, `SELECT reltuples FROM pg_class WHERE oid = 'cur'::regclass`).Scan(&known); err != nil {
		return fmt.Errorf("asking what the planner knows: %w", err)
	}
	if float64(t.added) < known/10 {
		return nil
	}
	if _, err := t.tx.Exec(ctx, `ANALYZE (SKIP_LOCKED) series, cur`); err != nil {
		return fmt.Errorf("telling the planner: %w", err)
	}
	return nil
}

// batchBlocks is how many blocks are changed at a time.
const batchBlocks = 20_000

// blockEdit is a block with cells that change.
type blockEdit struct {
	key    []byte
	blk    int32
	series int // of the table
	from   int // in the series' track: its cells from here
	to     int // until before here
	stored bool
	image  *image
}

// Apply changes the blocks of a part, and keeps what they were.
func (t *transaction) Apply(ctx context.Context, flow *statistics.Flow, provider string, c *statistics.Changes) error {
	part := t.parts[statistics.Part{Dataflow: flow.Ref, Provider: provider}]
	if part == nil {
		return errors.New("the part is not locked")
	}
	table := c.Table()
	codes, err := t.intern(ctx, flow, part.dataflow, table.Dictionary())
	if err != nil {
		return err
	}
	edits := blockEdits(table, codes)
	if err := t.addSeries(ctx, part, edits, len(flow.Structure.Dimensions)); err != nil {
		return err
	}
	for batch := range slices.Chunk(edits, batchBlocks) {
		if err := t.applyBatch(ctx, part, table, batch); err != nil {
			return err
		}
	}
	return nil
}

// blockEdits cuts the series of a table into blocks, in the order of keys.
func blockEdits(table *statistics.Table, codes [][]uint16) []blockEdit {
	var edits []blockEdit
	numbers := make([]uint16, len(codes))
	for s := range table.SeriesCount() {
		for i, code := range table.Key(s) {
			numbers[i] = codes[i][code]
		}
		key := appendKey(make([]byte, 0, 2*len(codes)), numbers...)
		frequency, track := table.Frequency(s), table.Track(s)
		for from := 0; from < track.Len(); {
			blk, _ := place(frequency, track.Periods[from])
			to := from + 1
			for to < track.Len() {
				if next, _ := place(frequency, track.Periods[to]); next != blk {
					break
				}
				to++
			}
			edits = append(edits, blockEdit{key: key, blk: blk, series: s, from: from, to: to})
			from = to
		}
	}
	slices.SortFunc(edits, func(a, b blockEdit) int {
		return cmp.Or(bytes.Compare(a.key, b.key), cmp.Compare(a.blk, b.blk))
	})
	return edits
}

// addSeries stores the series that are new.
func (t *transaction) addSeries(ctx context.Context, part *lockedPart, edits []blockEdit, dimensions int) error {
	columns := []string{"part", "key"}
	for i := range dimensions {
		columns = append(columns, fmt.Sprintf("d%d", i+1))
	}
	var keys [][]byte
	for i := range edits {
		if i == 0 || !bytes.Equal(edits[i].key, edits[i-1].key) {
			keys = append(keys, edits[i].key)
		}
	}
	rows, err := t.tx.Query(ctx, `
		SELECT key
		FROM series
		WHERE part = $1 AND key = ANY($2)`, part.id, keys)
	if err != nil {
		return fmt.Errorf("reading the series: %w", err)
	}
	known := map[string]bool{}
	var key []byte
	if _, err := pgx.ForEachRow(rows, []any{&key}, func() error { known[string(key)] = true; return nil }); err != nil {
		return fmt.Errorf("reading the series: %w", err)
	}
	keys = slices.DeleteFunc(keys, func(key []byte) bool { return known[string(key)] })
	_, err = t.tx.CopyFrom(ctx, pgx.Identifier{"series"}, columns, pgx.CopyFromSlice(len(keys), func(i int) ([]any, error) {
		row := []any{part.id, keys[i]}
		for j := range dimensions {
			row = append(row, int16(keys[i][2*j])<<8|int16(keys[i][2*j+1]))
		}
		return row, nil
	}))
	if err != nil {
		return fmt.Errorf("storing the series: %w", err)
	}
	return nil
}

func (t *transaction) applyBatch(ctx context.Context, part *lockedPart, table *statistics.Table, edits []blockEdit) error {
	if err := t.readImages(ctx, part, table, edits); err != nil {
		return fmt.Errorf("reading the blocks: %w", err)
	}
	ids := table.FurtherAttributes()
	for i := range edits {
		e := &edits[i]
		frequency, track := table.Frequency(e.series), table.Track(e.series)
		if e.image == nil {
			e.image = newImage(frequency)
		}
		for j := e.from; j < e.to; j++ {
			_, at := place(frequency, track.Periods[j])
			cell := track.Cells[j]
			var further []string
			if cell.Attributes != 0 {
				further = table.Attributes(cell.Attributes)
			}
			e.image.set(at, cell, ids, further)
		}
	}
	fresh := slices.DeleteFunc(slices.Clone(edits), func(e blockEdit) bool { return e.stored })
	changed := slices.DeleteFunc(slices.Clone(edits), func(e blockEdit) bool { return !e.stored })
	if err := t.copyBlocks(ctx, "cur", part, fresh); err != nil {
		return fmt.Errorf("storing blocks: %w", err)
	}
	t.added += len(fresh)
	if len(changed) == 0 {
		return nil
	}
	if err := t.stage(ctx); err != nil {
		return fmt.Errorf("making room for changed blocks: %w", err)
	}
	if err := t.copyBlocks(ctx, "pg_temp.staged", part, changed); err != nil {
		return fmt.Errorf("staging changed blocks: %w", err)
	}
	return t.replaceBlocks(ctx, part)
}

// readImages reads the blocks that are stored.
func (t *transaction) readImages(ctx context.Context, part *lockedPart, table *statistics.Table, edits []blockEdit) error {
	keys, blks := make([][]byte, len(edits)), make([]int32, len(edits))
	for i := range edits {
		keys[i], blks[i] = edits[i].key, edits[i].blk
	}
	rows, err := t.tx.Query(ctx, `
		SELECT w.n, c.mask, c.vals, c.obs, c.conf, c.notes::text
		FROM unnest(@keys::bytea[], @blks::int[]) WITH ORDINALITY AS w (key, blk, n)
		JOIN cur c ON c.part = @part AND c.key = w.key AND c.blk = w.blk`,
		pgx.NamedArgs{"part": part.id, "keys": keys, "blks": blks})
	if err != nil {
		return err
	}
	var n int
	var read image
	var notes *string
	_, err = pgx.ForEachRow(rows, []any{&n, &read.mask, &read.vals, &read.obs, &read.conf, &notes}, func() error {
		e := &edits[n-1]
		e.stored = true
		made := newImage(table.Frequency(e.series))
		made.mask = read.mask
		copy(made.vals, read.vals)
		copy(made.obs, read.obs)
		copy(made.conf, read.conf)
		if notes != nil {
			unpacked, err := unpackNotes([]byte(*notes), len(made.vals))
			if err != nil {
				return err
			}
			made.notes = unpacked
		}
		e.image = made
		return nil
	})
	return err
}

func (t *transaction) copyBlocks(ctx context.Context, table string, part *lockedPart, edits []blockEdit) error {
	if len(edits) == 0 {
		return nil
	}
	name := pgx.Identifier{table}
	if table == "pg_temp.staged" {
		name = pgx.Identifier{"pg_temp", "staged"}
	}
	columns := []string{"part", "key", "blk", "rev", "mask", "vals", "obs", "conf", "notes"}
	_, err := t.tx.CopyFrom(ctx, name, columns, pgx.CopyFromSlice(len(edits), func(i int) ([]any, error) {
		e := &edits[i]
		notes, err := e.image.packNotes()
		return []any{part.id, e.key, e.blk, part.rev, e.image.mask, e.image.vals, e.image.obs, e.image.conf, notes}, err
	}))
	return err
}

// stage makes the temporary table that changed blocks come through; it goes with the transaction.
func (t *transaction) stage(ctx context.Context) error {
	statement := `TRUNCATE pg_temp.staged`
	if !t.staging {
		statement = `CREATE TEMPORARY TABLE staged (LIKE cur) ON COMMIT DROP`
	}
	_, err := t.tx.Exec(ctx, statement)
	t.staging = err == nil
	return err
}

// replaceBlocks puts what is staged in the place of what is there. A block that this transaction has changed already is
// no state that anybody saw, and is not kept.
func (t *transaction) replaceBlocks(ctx context.Context, part *lockedPart) error {
	args := pgx.NamedArgs{"part": part.id, "rev": part.rev}
	_, err := t.tx.Exec(ctx, `
		INSERT INTO hist (part, key, blk, rev, rev_to, mask, vals, obs, conf, notes)
		SELECT c.part, c.key, c.blk, c.rev, @rev, c.mask, c.vals, c.obs, c.conf, c.notes
		FROM pg_temp.staged n
		JOIN cur c ON c.part = @part AND c.key = n.key AND c.blk = n.blk
		WHERE c.rev < @rev`, args)
	if err != nil {
		return fmt.Errorf("keeping the old blocks: %w", err)
	}
	_, err = t.tx.Exec(ctx, `
		UPDATE cur c
		SET rev = n.rev, mask = n.mask, vals = n.vals, obs = n.obs, conf = n.conf, notes = n.notes
		FROM pg_temp.staged n
		WHERE c.part = @part AND c.key = n.key AND c.blk = n.blk`, args)
	if err != nil {
		return fmt.Errorf("changing blocks: %w", err)
	}
	return nil
}

// Publish numbers the changes. The number is given under a lock that is held until the commit, so that numbers become
// visible in their order and nobody who reads up to one misses a lower one.
func (t *transaction) Publish(ctx context.Context, submission string, parts []statistics.Part) (int64, error) {
	if _, err := t.tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1, 0)`, lockNews); err != nil {
		return 0, fmt.Errorf("locking the news: %w", err)
	}
	var number int64
	var committed time.Time
	err := t.tx.QueryRow(ctx, `
		SELECT
			coalesce(max(number), 0) + 1,
			greatest(clock_timestamp(), max(committed_at) + interval '1 microsecond')
		FROM news
		WHERE number = (SELECT max(number) FROM news)`).Scan(&number, &committed)
	if err != nil {
		return 0, fmt.Errorf("numbering the revision: %w", err)
	}
	batch := &pgx.Batch{}
	for i, part := range parts {
		locked := t.parts[part]
		args := pgx.NamedArgs{
			"part": locked.id, "rev": locked.rev, "number": number, "ordinal": i + 1, "dataflow": part.Dataflow.String(),
			"provider": part.Provider, "submission": submission, "committed_at": committed,
		}
		batch.Queue(`
			INSERT INTO revision (part, rev, number, committed_at)
			VALUES (@part, @rev, @number, @committed_at)`, args)
		batch.Queue(`
			INSERT INTO news (number, ordinal, dataflow, provider, submission, committed_at)
			VALUES (@number, @ordinal, @dataflow, @provider, nullif(@submission::text, '')::uuid, @committed_at)`, args)
	}
	batch.Queue(`SELECT pg_notify($1, $2::bigint::text)`, newsChannel, number)
	if err := t.tx.SendBatch(ctx, batch).Close(); err != nil {
		return 0, fmt.Errorf("publishing the revision: %w", err)
	}
	return number, nil
}
