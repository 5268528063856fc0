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
	tx    pgx.Tx
	parts map[statistics.Part]*lockedPart
	added int // rows of cur
}

// lockedPart is a part that this transaction alone changes.
type lockedPart struct {
	id       int32
	dataflow int32
	rev      int64 // of the part, that its changes get
	changes  int   // that this transaction made
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
// then the planner takes a table that was filled at once for an empty one, and joins it row by row. What was added is committed:
// where this fails, there is autovacuum still.
func (s *Store) analyze(ctx context.Context, added int) {
	if added < analyzeAbove {
		return
	}
	var known, pages, size float64
	err := s.pool.QueryRow(ctx, `
		SELECT reltuples, relpages, pg_relation_size(oid) / current_setting('block_size')::int
		FROM pg_class
		WHERE oid = 'cur'::regclass`).Scan(&known, &pages, &size)
	grown := size == 0 || size > 1.1*pages // a distributed table has no size here
	if err != nil || float64(added) < known/10 || !grown {
		return
	}
	_, _ = s.pool.Exec(ctx, `ANALYZE (SKIP_LOCKED) series, cur, hist`)
}

const (
	batchRuns = 20_000 // runs that are compared or changed at a time
	maxLayers = 4      // rows of a run; where one more would come, they become one
	newCode   = 0xffff // stands in a key for a code that has no number yet; numbers are below
)

// runEdit is a run with cells of a table.
type runEdit struct {
	key     []byte
	blk     int32
	series  int32  // of the table
	from    int32  // in the series' track: its cells from here
	to      int32  // until before here
	changed uint64 // by place: the cells that change
	layers  int8   // rows that there are
	fold    bool   // all of them become one row, or none
}

// compared is what Compare found out for Apply.
type compared struct {
	part  *lockedPart
	state int // how often the transaction had changed the part
	fresh bool
	keys  []byte // of the runs
	edits []runEdit
}

// Compare works out what cells make otherwise in a part.
func (t *transaction) Compare(ctx context.Context, flow *statistics.Flow, provider string, cells *statistics.Table) (*statistics.Changes, error) {
	part := t.parts[statistics.Part{Dataflow: flow.Ref, Provider: provider}]
	if part == nil {
		return nil, errors.New("the part is not locked")
	}
	known, err := t.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	c := &compared{part: part, state: part.changes, fresh: part.rev == 1 && part.changes == 0}
	c.edits, c.keys = runEdits(cells, numbersOf(known, cells.Dictionary()))
	changes := statistics.NewChanges(cells)
	changes.Stored = c
	w := newWriter(t, part, cells)
	if c.fresh {
		for i := range c.edits {
			c.edits[i].changed = w.present(&c.edits[i])
		}
		return changes, nil
	}
	for batch := range slices.Chunk(c.edits, batchRuns) {
		stored, err := w.stored(ctx, batch)
		if err != nil {
			return nil, fmt.Errorf("reading the blocks: %w", err)
		}
		for i := range batch {
			n := 0
			for n < len(stored) && stored[n].run == i {
				n++
			}
			if err := w.compare(&batch[i], stored[:n], changes); err != nil {
				return nil, err
			}
			stored = stored[n:]
		}
	}
	return changes, nil
}

// Apply makes changes.
func (t *transaction) Apply(ctx context.Context, flow *statistics.Flow, provider string, changes *statistics.Changes) error {
	part := t.parts[statistics.Part{Dataflow: flow.Ref, Provider: provider}]
	c, ok := changes.Stored.(*compared)
	if !ok || c.part != part || c.state != part.changes {
		return errors.New("the changes are not of this state of the part")
	}
	edits := slices.DeleteFunc(c.edits, func(e runEdit) bool { return e.changed == 0 })
	if len(edits) == 0 {
		return nil
	}
	part.changes++
	table := changes.Table()
	numbers, err := t.intern(ctx, flow, part.dataflow, table.Dictionary())
	if err != nil {
		return err
	}
	rekey(edits, c.keys, table, numbers)
	w := newWriter(t, part, table)
	if err := w.addSeries(ctx, edits, c.fresh); err != nil {
		return err
	}
	folds := slices.DeleteFunc(slices.Clone(edits), func(e runEdit) bool { return !e.fold })
	for batch := range slices.Chunk(folds, batchRuns) {
		if err := w.fold(ctx, batch); err != nil {
			return err
		}
	}
	edits = slices.DeleteFunc(edits, func(e runEdit) bool { return e.fold })
	return w.copyCur(ctx, len(edits), func(i int) (*runEdit, *layer, error) {
		err := w.pack(&edits[i])
		return &edits[i], &w.layer, err
	})
}

// numbersOf returns, for each dimension, the number of each code of a table; newCode where it has none.
func numbersOf(known, table *statistics.Dictionary) [][]uint16 {
	numbers := make([][]uint16, table.Dimensions())
	for d := range numbers {
		numbers[d] = make([]uint16, table.Len(d))
		for code := range numbers[d] {
			numbers[d][code] = newCode
			if n, ok := known.Find(d, table.Text(d, uint32(code))); ok {
				numbers[d][code] = uint16(n) //nolint:gosec // see addCodes
			}
		}
	}
	return numbers
}

// runEdits cuts the series of a table into runs, in the order of keys, which are in the memory that is returned.
func runEdits(table *statistics.Table, numbers [][]uint16) (edits []runEdit, keys []byte) {
	width := 2 * len(numbers)
	keys = make([]byte, width*table.SeriesCount())
	order := make([]int32, table.SeriesCount())
	ascending := true
	for s := range order {
		order[s] = int32(s)
		writeKey(keyOf(keys, width, s), table.Key(s), numbers)
		ascending = ascending && (s == 0 || bytes.Compare(keyOf(keys, width, s-1), keyOf(keys, width, s)) <= 0)
	}
	if !ascending {
		slices.SortFunc(order, func(a, b int32) int {
			return bytes.Compare(keyOf(keys, width, int(a)), keyOf(keys, width, int(b)))
		})
	}
	edits = make([]runEdit, 0, len(order))
	for _, s := range order {
		frequency, track := table.Frequency(int(s)), table.Track(int(s))
		for from := 0; from < track.Len(); {
			blk, at := place(frequency, track.Periods[from])
			end := track.Periods[from] - int32(at) + run(frequency) //nolint:gosec // a place in a run
			to := from + 1
			for to < track.Len() && track.Periods[to] < end {
				to++
			}
			edits = append(edits, runEdit{key: keyOf(keys, width, int(s)), blk: blk, series: s, from: int32(from), to: int32(to)})
			from = to
		}
	}
	return edits, keys
}

func keyOf(keys []byte, width, series int) []byte {
	return keys[series*width : (series+1)*width : (series+1)*width]
}

func writeKey(key []byte, codes []uint32, numbers [][]uint16) {
	for d, code := range codes {
		binary.BigEndian.PutUint16(key[2*d:], numbers[d][code])
	}
}

// rekey gives the runs their keys where codes have got numbers meanwhile.
func rekey(edits []runEdit, keys []byte, table *statistics.Table, numbers [][]uint16) {
	width, changed := 2*len(numbers), false
	was := make([]byte, width)
	for s := range table.SeriesCount() {
		key := keyOf(keys, width, s)
		copy(was, key)
		writeKey(key, table.Key(s), numbers)
		changed = changed || !bytes.Equal(was, key)
	}
	if changed {
		slices.SortFunc(edits, func(a, b runEdit) int {
			return cmp.Or(bytes.Compare(a.key, b.key), cmp.Compare(a.blk, b.blk))
		})
	}
}

// writer compares the cells of a table with a part, and writes them to it.
type writer struct {
	*transaction
	part    *lockedPart
	table   *statistics.Table
	ids     []string            // of the further attributes
	further map[uint32][]string // their values by set
	notes   map[uint32][]byte   // as they are stored, of cells that all have the set
	image   image
	layer   layer
}

func newWriter(t *transaction, part *lockedPart, table *statistics.Table) *writer {
	return &writer{
		transaction: t, part: part, table: table, ids: table.FurtherAttributes(),
		further: map[uint32][]string{0: nil}, notes: map[uint32][]byte{0: nil},
	}
}

// cell returns a cell of an edit, its place in the run and its further attributes.
func (w *writer) cell(e *runEdit, i int32) (at int, c statistics.Cell, further []string) {
	track := w.table.Track(int(e.series))
	_, at = place(w.table.Frequency(int(e.series)), track.Periods[i])
	c = track.Cells[i]
	further, known := w.further[c.Attributes]
	if !known {
		further = w.table.Attributes(c.Attributes)
		w.further[c.Attributes] = further
	}
	return at, c, further
}

// present returns the places of the cells of an edit that are there.
func (w *writer) present(e *runEdit) (places uint64) {
	track := w.table.Track(int(e.series))
	_, first := place(w.table.Frequency(int(e.series)), track.Periods[e.from])
	for i := e.from; i < e.to; i++ {
		if track.Cells[i].Present() {
			places |= 1 << (first + int(track.Periods[i]-track.Periods[e.from]))
		}
	}
	return places
}

// storedLayer is a row of cur, of the run with the number in a batch.
type storedLayer struct {
	run int
	layer
}

// compare works out what an edit changes of a run, and what is to become of its rows.
func (w *writer) compare(e *runEdit, layers []storedLayer, changes *statistics.Changes) error {
	w.image.reset()
	e.layers = int8(len(layers)) //nolint:gosec // at most maxLayers
	e.fold = len(layers) >= maxLayers
	for i := range layers {
		if err := w.image.lay(&layers[i].layer, math.MaxInt64); err != nil {
			return err
		}
		e.fold = e.fold || layers[i].rev == w.part.rev
	}
	for i := e.from; i < e.to; i++ {
		at, cell, further := w.cell(e, i)
		stored := w.image.mask&(1<<at) != 0
		if w.image.holds(at, cell, w.ids, further) {
			if stored {
				changes.Same(int(e.series), int(i))
			}
			continue
		}
		e.changed |= 1 << at
		if stored {
			changes.Was(int(e.series), int(i), w.image.cell(at, w.table))
		}
		e.fold = e.fold || !cell.Present()
	}
	return nil
}

// pack makes the layer of the cells of an edit that change.
func (w *writer) pack(e *runEdit) error {
	w.image.reset()
	set, uniform := uint32(0), true
	for i := e.from; i < e.to; i++ {
		at, cell, _ := w.cell(e, i)
		if e.changed&(1<<at) == 0 {
			continue
		}
		uniform = uniform && (w.image.mask == 0 || cell.Attributes == set)
		set = cell.Attributes
		w.image.set(at, w.part.rev, cell, nil, nil)
	}
	if !uniform {
		w.image.reset()
		w.setChanged(e)
	}
	if err := w.image.pack(w.image.mask, &w.layer); err != nil {
		return err
	}
	if uniform {
		notes, err := w.notesOf(set)
		if err != nil {
			return err
		}
		w.layer.notes = notes
	}
	return nil
}

// setChanged puts the cells of an edit that change on the image.
func (w *writer) setChanged(e *runEdit) {
	for i := e.from; i < e.to; i++ {
		if at, cell, further := w.cell(e, i); e.changed&(1<<at) != 0 {
			w.image.set(at, w.part.rev, cell, w.ids, further)
		}
	}
}

// notesOf returns the notes of cells that all have the set of further attributes.
func (w *writer) notesOf(set uint32) ([]byte, error) {
	notes, known := w.notes[set]
	if known {
		return notes, nil
	}
	var one image
	one.set(0, w.part.rev, statistics.Cell{ObsStatus: statistics.NormalValue}, w.ids, w.table.Attributes(set))
	notes, err := one.packNotes(one.mask)
	w.notes[set] = notes
	return notes, err
}

// row is a row to be written.
type row struct {
	edit  *runEdit
	layer layer
}

// fold puts one row, or none, in the place of those of each run.
func (w *writer) fold(ctx context.Context, edits []runEdit) error {
	stored, err := w.stored(ctx, edits)
	if err != nil {
		return fmt.Errorf("reading the blocks: %w", err)
	}
	var fresh, gone []row
	for i := range edits {
		n := 0
		for n < len(stored) && stored[n].run == i {
			n++
		}
		e, layers := &edits[i], stored[:n]
		stored = stored[n:]
		w.image.reset()
		for i := range layers {
			if err := w.image.lay(&layers[i].layer, math.MaxInt64); err != nil {
				return err
			}
		}
		w.setChanged(e)
		if gone, err = w.takeOut(e, layers, gone); err != nil {
			return err
		}
		if w.image.mask == 0 {
			continue
		}
		fresh = append(fresh, row{edit: e})
		if err := w.image.pack(w.image.mask, &fresh[len(fresh)-1].layer); err != nil {
			return err
		}
	}
	if err := w.clear(ctx, edits); err != nil {
		return err
	}
	if err := w.copyHist(ctx, gone); err != nil {
		return err
	}
	return w.copyCur(ctx, len(fresh), func(i int) (*runEdit, *layer, error) { return fresh[i].edit, &fresh[i].layer, nil })
}

// takeOut adds to gone the cells of the layers that w.image does not have any more: some state had them, and has to find
// them. Cells of this revision are no state that anybody saw.
func (w *writer) takeOut(e *runEdit, layers []storedLayer, gone []row) ([]row, error) {
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
		gone = append(gone, row{edit: e})
		if err := was.pack(mask, &gone[len(gone)-1].layer); err != nil {
			return nil, err
		}
	}
	return gone, nil
}

// stored reads the rows of cur of the runs, in their order and that of revisions.
func (w *writer) stored(ctx context.Context, edits []runEdit) ([]storedLayer, error) {
	keys, blks := runKeys(edits)
	// With OFFSET, each run is looked up in the index, whatever the planner knows of the table.
	rows, err := w.tx.Query(ctx, `
		SELECT w.n, `+layerColumns+`
		FROM unnest(@keys::bytea[], @blks::int[]) WITH ORDINALITY AS w (key, blk, n)
		CROSS JOIN LATERAL (
			SELECT *
			FROM cur
			WHERE part = @part AND key = w.key AND blk = w.blk
			OFFSET 0
		) c`,
		pgx.NamedArgs{"part": w.part.id, "keys": keys, "blks": blks})
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	stored := make([]storedLayer, 0, len(edits))
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

// addSeries stores the series that are new. Those of runs with rows are not.
func (w *writer) addSeries(ctx context.Context, edits []runEdit, fresh bool) error {
	var keys [][]byte
	for i := 0; i < len(edits); {
		series, known := edits[i].series, false
		key := edits[i].key
		for ; i < len(edits) && edits[i].series == series; i++ {
			known = known || edits[i].layers > 0
		}
		if !known {
			keys = append(keys, key)
		}
	}
	if fresh {
		return w.copySeries(ctx, keys)
	}
	var added [][]byte
	for batch := range slices.Chunk(keys, batchRuns) {
		rows, err := w.tx.Query(ctx, `
			SELECT w.n
			FROM unnest(@keys::bytea[]) WITH ORDINALITY AS w (key, n)
			CROSS JOIN LATERAL (
				SELECT
				FROM series
				WHERE part = @part AND key = w.key
				OFFSET 0
			) s`,
			pgx.NamedArgs{"part": w.part.id, "keys": batch})
		if err != nil {
			return fmt.Errorf("reading the series: %w", err)
		}
		there := make([]bool, len(batch))
		var n int
		if _, err := pgx.ForEachRow(rows, []any{&n}, func() error { there[n-1] = true; return nil }); err != nil {
			return fmt.Errorf("reading the series: %w", err)
		}
		for i, key := range batch {
			if !there[i] {
				added = append(added, key)
			}
		}
	}
	return w.copySeries(ctx, added)
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
	w.added += count
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
		r.int4(int32(l.rev))  //nolint:gosec // see the table revision
		r.int8(int64(l.mask)) //nolint:gosec // at most 53 bits
		r.int4(w.part.id)
		r.int4(e.blk)
		r.bytes(e.key)
		r.layer(l)
		return true, nil
	})
}

func (w *writer) copyHist(ctx context.Context, gone []row) error {
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
		r.int4(int32(p.layer.rev))  //nolint:gosec // see the table revision
		r.int4(int32(w.part.rev))   //nolint:gosec // as above
		r.int8(int64(p.layer.mask)) //nolint:gosec // at most 53 bits
		r.int4(w.part.id)
		r.int4(p.edit.blk)
		r.bytes(p.edit.key)
		r.layer(&p.layer)
		return true, nil
	})
}

// clear takes the rows of the runs out of cur.
func (w *writer) clear(ctx context.Context, edits []runEdit) error {
	keys, blks := runKeys(edits)
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
