package postgres

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/statistics"
)

// transaction is a statistics.Transaction.
type transaction struct {
	reader
	parts map[statistics.Part]*lockedPart
	added int // rows of cur
}

// lockedPart is a part that this transaction alone changes.
type lockedPart struct {
	id       int32
	dataflow int32
	rev      int64 // of the part, that its changes get
	written  bool  // this transaction changed it
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

// analyzeAbove is how many rows of cur a transaction adds before it looks whether the planner knows.
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

const (
	batchRuns = 20_000 // runs that are compared and changed at a time
	maxLayers = 4      // rows of a run; where one more would come, they become one
)

// runEdit is a run with cells that a table sets.
type runEdit struct {
	key    []byte
	blk    int32
	series int // of the table
	from   int // in the series' track: its cells from here
	to     int // until before here
}

// Apply changes the cells of a part, and keeps what they were.
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
	w := &writer{transaction: t, part: part, table: table, ids: table.FurtherAttributes(), notes: map[uint32][]byte{}}
	edits := runEdits(table, codes)
	if part.rev == 1 && !part.written {
		err = w.fill(ctx, edits)
	} else {
		for batch := range slices.Chunk(edits, batchRuns) {
			if err = w.change(ctx, batch); err != nil {
				break
			}
		}
	}
	part.written = true
	return err
}

// runEdits cuts the series of a table into runs, in the order of keys.
func runEdits(table *statistics.Table, codes [][]uint16) []runEdit {
	width := 2 * len(codes)
	keys := make([]byte, 0, width*table.SeriesCount())
	order := make([]int32, table.SeriesCount())
	for s := range order {
		order[s] = int32(s)
		for i, code := range table.Key(s) {
			keys = binary.BigEndian.AppendUint16(keys, codes[i][code])
		}
	}
	key := func(s int32) []byte { return keys[int(s)*width : (int(s)+1)*width : (int(s)+1)*width] }
	slices.SortFunc(order, func(a, b int32) int { return bytes.Compare(key(a), key(b)) })
	edits := make([]runEdit, 0, len(order))
	for _, s := range order {
		frequency, track := table.Frequency(int(s)), table.Track(int(s))
		for from := 0; from < track.Len(); {
			blk, at := place(frequency, track.Periods[from])
			end := track.Periods[from] - int32(at) + run(frequency) //nolint:gosec // a place in a run
			to := from + 1
			for to < track.Len() && track.Periods[to] < end {
				to++
			}
			edits = append(edits, runEdit{key: key(s), blk: blk, series: int(s), from: from, to: to})
			from = to
		}
	}
	return edits
}

// writer writes the cells of a table to a part.
type writer struct {
	*transaction
	part  *lockedPart
	table *statistics.Table
	ids   []string          // of the further attributes
	notes map[uint32][]byte // as they are stored, of cells that all have the set of further attributes
	image image
	layer layer
}

// fill writes the cells to a part that is empty.
func (w *writer) fill(ctx context.Context, edits []runEdit) error {
	edits = slices.DeleteFunc(edits, func(e runEdit) bool {
		return !slices.ContainsFunc(w.table.Track(e.series).Cells[e.from:e.to], statistics.Cell.Present)
	})
	var keys [][]byte
	for i := range edits {
		if i == 0 || edits[i].series != edits[i-1].series {
			keys = append(keys, edits[i].key)
		}
	}
	if err := w.copySeries(ctx, keys); err != nil {
		return err
	}
	w.added += len(edits)
	return w.copyCur(ctx, len(edits), func(i int) (*runEdit, *layer, error) {
		err := w.pack(&edits[i], nil)
		return &edits[i], &w.layer, err
	})
}

// pack makes the layer of the cells of an edit; changed says which of them count, nil: all.
func (w *writer) pack(e *runEdit, changed func(i int) bool) error {
	w.image.reset()
	frequency, track := w.table.Frequency(e.series), w.table.Track(e.series)
	set, uniform := track.Cells[e.from].Attributes, true
	for _, cell := range track.Cells[e.from:e.to] {
		uniform = uniform && cell.Attributes == set
	}
	for i := e.from; i < e.to; i++ {
		if changed != nil && !changed(i) {
			continue
		}
		_, at := place(frequency, track.Periods[i])
		var further []string
		if !uniform {
			further = w.further(track.Cells[i])
		}
		w.image.set(at, w.part.rev, track.Cells[i], w.ids, further)
	}
	if err := w.image.pack(w.image.mask, &w.layer); err != nil {
		return err
	}
	if uniform && set != 0 {
		notes, known := w.notes[set]
		if !known {
			var one image
			one.set(0, 1, statistics.Cell{ObsStatus: statistics.NormalValue}, w.ids, w.table.Attributes(set))
			var err error
			if notes, err = one.packNotes(1); err != nil {
				return err
			}
			w.notes[set] = notes
		}
		w.layer.notes = notes
	}
	return nil
}

// further returns the values of a cell's further attributes; nil where it has none.
func (w *writer) further(c statistics.Cell) []string {
	if c.Attributes == 0 {
		return nil
	}
	return w.table.Attributes(c.Attributes)
}

// storedLayer is a row of cur, of the run with the number in a batch.
type storedLayer struct {
	run int
	layer
}

// past is cells that are taken out of cur.
type past struct {
	edit  *runEdit
	layer layer
}

// change compares the cells of some runs with what is stored, and writes those that differ.
func (w *writer) change(ctx context.Context, edits []runEdit) error {
	stored, err := w.stored(ctx, edits)
	if err != nil {
		return fmt.Errorf("reading the blocks: %w", err)
	}
	if err := w.addSeries(ctx, edits, stored); err != nil {
		return err
	}
	type row struct {
		edit  *runEdit
		layer layer
	}
	var fresh []row
	var folded []*runEdit
	var gone []past
	for i := range edits {
		e := &edits[i]
		n := 0
		for n < len(stored) && stored[n].run == i {
			n++
		}
		layers := stored[:n]
		stored = stored[n:]
		fold, differs, err := w.compare(e, layers)
		if err != nil {
			return err
		}
		if !differs {
			continue
		}
		if fold {
			if gone, err = w.takeOut(e, layers, gone); err != nil {
				return err
			}
			folded = append(folded, e)
			if w.image.mask == 0 {
				continue
			}
			if err := w.image.pack(w.image.mask, &w.layer); err != nil {
				return err
			}
		}
		fresh = append(fresh, row{e, w.layer})
		w.layer = layer{}
	}
	if err := w.clear(ctx, folded); err != nil {
		return err
	}
	if err := w.copyHist(ctx, gone); err != nil {
		return err
	}
	w.added += len(fresh)
	return w.copyCur(ctx, len(fresh), func(i int) (*runEdit, *layer, error) { return fresh[i].edit, &fresh[i].layer, nil })
}

// compare works out what an edit changes of a run. Where fold is true, all rows of the run become the one of w.image, which
// may be empty; else w.layer comes beside them.
func (w *writer) compare(e *runEdit, layers []storedLayer) (fold, differs bool, err error) {
	w.image.reset()
	for i := range layers {
		if err := w.image.lay(&layers[i].layer, math.MaxInt64); err != nil {
			return false, false, err
		}
		fold = fold || layers[i].rev == w.part.rev
	}
	fold = fold || len(layers) >= maxLayers
	frequency, track := w.table.Frequency(e.series), w.table.Track(e.series)
	var changed uint64 // by place
	for i := e.from; i < e.to; i++ {
		_, at := place(frequency, track.Periods[i])
		cell := track.Cells[i]
		if w.image.holds(at, cell, w.ids, w.further(cell)) {
			continue
		}
		changed |= 1 << at
		fold = fold || !cell.Present()
	}
	if changed == 0 {
		return false, false, nil
	}
	if !fold {
		return false, true, w.pack(e, func(i int) bool {
			_, at := place(frequency, track.Periods[i])
			return changed&(1<<at) != 0
		})
	}
	for i := e.from; i < e.to; i++ {
		if _, at := place(frequency, track.Periods[i]); changed&(1<<at) != 0 {
			w.image.set(at, w.part.rev, track.Cells[i], w.ids, w.further(track.Cells[i]))
		}
	}
	return true, true, nil
}

// takeOut adds to gone the cells of the layers that w.image does not have any more: some state had them, and has to find
// them. Cells of this revision are no state that anybody saw.
func (w *writer) takeOut(e *runEdit, layers []storedLayer, gone []past) ([]past, error) {
	for i := range layers {
		l := &layers[i].layer
		n, cell, mask := l.cells(), 0, uint64(0)
		for rest := l.mask; rest != 0; rest &= rest - 1 {
			at := bits.TrailingZeros64(rest)
			rev := l.revision(cell, n)
			stays := w.image.mask&(1<<at) != 0 && w.image.revs[at] == rev
			if !stays && rev < w.part.rev {
				mask |= 1 << at
			}
			cell++
		}
		if mask == 0 {
			continue
		}
		var was image
		if err := was.lay(l, math.MaxInt64); err != nil {
			return nil, err
		}
		p := past{edit: e}
		if err := was.pack(mask, &p.layer); err != nil {
			return nil, err
		}
		gone = append(gone, p)
	}
	return gone, nil
}

// stored reads the rows of cur of the runs, in their order and that of revisions.
func (w *writer) stored(ctx context.Context, edits []runEdit) ([]storedLayer, error) {
	keys, blks := runKeys(edits)
	rows, err := w.tx.Query(ctx, `
		SELECT w.n, `+layerColumns+`
		FROM unnest(@keys::bytea[], @blks::int[]) WITH ORDINALITY AS w (key, blk, n)
		JOIN cur c ON c.part = @part AND c.key = w.key AND c.blk = w.blk`,
		pgx.NamedArgs{"part": w.part.id, "keys": keys, "blks": blks})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var stored []storedLayer
	for rows.Next() {
		raw := rows.RawValues()
		s := storedLayer{run: int(binary.BigEndian.Uint64(raw[0])) - 1, layer: readLayer(raw[1:], true)} //nolint:gosec // an ordinal
		if err := s.check(); err != nil {
			return nil, err
		}
		stored = append(stored, s)
	}
	slices.SortFunc(stored, func(a, b storedLayer) int { return cmp.Or(cmp.Compare(a.run, b.run), cmp.Compare(a.rev, b.rev)) })
	return stored, rows.Err()
}

func runKeys(edits []runEdit) (keys [][]byte, blks []int32) {
	keys, blks = make([][]byte, len(edits)), make([]int32, len(edits))
	for i := range edits {
		keys[i], blks[i] = edits[i].key, edits[i].blk
	}
	return keys, blks
}

// addSeries stores the series that are new.
func (w *writer) addSeries(ctx context.Context, edits []runEdit, stored []storedLayer) error {
	known := make(map[int]bool) // by number in the table
	for i := range stored {
		known[edits[stored[i].run].series] = true
	}
	var keys [][]byte
	for i := range edits {
		if e := &edits[i]; (i == 0 || e.series != edits[i-1].series) && !known[e.series] {
			keys = append(keys, e.key)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	rows, err := w.tx.Query(ctx, `
		SELECT w.n
		FROM unnest(@keys::bytea[]) WITH ORDINALITY AS w (key, n)
		JOIN series s ON s.part = @part AND s.key = w.key`,
		pgx.NamedArgs{"part": w.part.id, "keys": keys})
	if err != nil {
		return fmt.Errorf("reading the series: %w", err)
	}
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&n}, func() error { keys[n-1] = nil; return nil }); err != nil {
		return fmt.Errorf("reading the series: %w", err)
	}
	return w.copySeries(ctx, slices.DeleteFunc(keys, func(key []byte) bool { return key == nil }))
}

func (w *writer) copySeries(ctx context.Context, keys [][]byte) error {
	if len(keys) == 0 {
		return nil
	}
	dimensions := len(keys[0]) / 2
	columns := []string{"part", "key"}
	for i := range dimensions {
		columns = append(columns, fmt.Sprintf("d%d", i+1))
	}
	return copyFrom(ctx, w.tx, "series", columns, func(r *copyRows) (bool, error) {
		if len(keys) == 0 {
			return false, nil
		}
		r.int4(w.part.id)
		r.bytes(keys[0])
		for i := range dimensions {
			r.int2(int16(binary.BigEndian.Uint16(keys[0][2*i:]))) //nolint:gosec // codes fit
		}
		keys = keys[1:]
		return true, nil
	})
}

func (w *writer) copyCur(ctx context.Context, count int, row func(i int) (*runEdit, *layer, error)) error {
	if count == 0 {
		return nil
	}
	columns := []string{"rev", "mask", "part", "blk", "key", "vals", "obs", "conf", "ages", "notes"}
	i := 0
	return copyFrom(ctx, w.tx, "cur", columns, func(r *copyRows) (bool, error) {
		if i == count {
			return false, nil
		}
		e, l, err := row(i)
		i++
		if err != nil {
			return false, err
		}
		r.int8(l.rev)
		r.int8(int64(l.mask)) //nolint:gosec // at most 53 bits
		r.int4(w.part.id)
		r.int4(e.blk)
		r.bytes(e.key)
		r.layer(l)
		return true, nil
	})
}

func (w *writer) copyHist(ctx context.Context, gone []past) error {
	if len(gone) == 0 {
		return nil
	}
	columns := []string{"rev", "rev_to", "mask", "part", "blk", "key", "vals", "obs", "conf", "ages", "notes"}
	return copyFrom(ctx, w.tx, "hist", columns, func(r *copyRows) (bool, error) {
		if len(gone) == 0 {
			return false, nil
		}
		p := &gone[0]
		gone = gone[1:]
		r.int8(p.layer.rev)
		r.int8(w.part.rev)
		r.int8(int64(p.layer.mask)) //nolint:gosec // at most 53 bits
		r.int4(w.part.id)
		r.int4(p.edit.blk)
		r.bytes(p.edit.key)
		r.layer(&p.layer)
		return true, nil
	})
}

// clear takes the rows of the runs out of cur.
func (w *writer) clear(ctx context.Context, runs []*runEdit) error {
	if len(runs) == 0 {
		return nil
	}
	keys, blks := make([][]byte, len(runs)), make([]int32, len(runs))
	for i, e := range runs {
		keys[i], blks[i] = e.key, e.blk
	}
	_, err := w.tx.Exec(ctx, `
		DELETE FROM cur c
		USING unnest(@keys::bytea[], @blks::int[]) AS w (key, blk)
		WHERE c.part = @part AND c.key = w.key AND c.blk = w.blk`,
		pgx.NamedArgs{"part": w.part.id, "keys": keys, "blks": blks})
	if err != nil {
		return fmt.Errorf("taking out blocks: %w", err)
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
