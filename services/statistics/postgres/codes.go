package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// dictionary is what is known of the codes of a dataflow.
type dictionary struct {
	*statistics.Dictionary
	count int // of all codes, as the dataflow's row has it
}

// dictionaries remembers committed codes. They are only ever added to, so that one with the right count is the right one.
type dictionaries struct {
	mu    sync.Mutex
	known map[int32]dictionary // by dataflow
}

func (d *dictionaries) get(dataflow int32, count int) *statistics.Dictionary {
	d.mu.Lock()
	defer d.mu.Unlock()
	if found := d.known[dataflow]; found.Dictionary != nil && found.count == count {
		return found.Dictionary
	}
	return nil
}

func (d *dictionaries) put(dataflow int32, made dictionary) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known[dataflow].count <= made.count {
		d.known[dataflow] = made
	}
}

// dataflowID returns the number of a dataflow, 0 where it has no figures, and how many codes it has.
func (r *reader) dataflowID(ctx context.Context, dataflow statistics.Ref) (id int32, codes int, err error) {
	if r.opened.is(dataflow) {
		return r.opened.ID, r.opened.Codes, nil
	}
	err = r.db.QueryRow(ctx, `
		SELECT id, code_count
		FROM dataflow
		WHERE ref = $1`, dataflow.String()).Scan(&id, &codes)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, fmt.Errorf("reading the dataflow %s: %w", dataflow, err)
	}
	return id, codes, nil
}

// Dictionary returns the numbers of the codes of a dataflow.
func (r *reader) Dictionary(ctx context.Context, flow *statistics.Flow) (*statistics.Dictionary, error) {
	id, count, err := r.dataflowID(ctx, flow.Ref)
	if err != nil {
		return nil, err
	}
	if own := r.own[id]; own != nil {
		return own, nil
	}
	if known := r.store.codes.get(id, count); known != nil && id != 0 {
		return known, nil
	}
	made, err := r.readDictionary(ctx, id, len(flow.Structure.Dimensions))
	if err != nil {
		return nil, err
	}
	if id != 0 {
		r.store.codes.put(id, dictionary{made, count})
	}
	return made, nil
}

func (r *reader) readDictionary(ctx context.Context, id int32, dimensions int) (*statistics.Dictionary, error) {
	made := statistics.NewDictionary(dimensions)
	rows, err := r.db.Query(ctx, `
		SELECT dimension, code, text
		FROM code
		WHERE dataflow = $1
		ORDER BY dimension, code`, id)
	if err != nil {
		return nil, fmt.Errorf("reading codes: %w", err)
	}
	var dimension, code int16
	var text string
	_, err = pgx.ForEachRow(rows, []any{&dimension, &code, &text}, func() error {
		if int(dimension) > dimensions {
			return fmt.Errorf("dimension %d of %d", dimension, dimensions)
		}
		if n := made.Add(int(dimension)-1, text); int(n) != int(code) {
			return fmt.Errorf("code %d of dimension %d is the %dth", code, dimension, n)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading codes: %w", err)
	}
	return made, nil
}

// intern returns, for each dimension, the stored number of each code of a table, giving new ones to those that have none.
func (t *transaction) intern(ctx context.Context, flow *statistics.Flow, dataflow int32, table *statistics.Dictionary) ([][]uint16, error) {
	stored, err := t.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	if !knowsAll(stored, table, len(flow.Structure.Dimensions)) {
		if stored, err = t.addCodes(ctx, flow, dataflow, table); err != nil {
			return nil, err
		}
	}
	numbers := make([][]uint16, len(flow.Structure.Dimensions))
	for i := range numbers {
		numbers[i] = make([]uint16, table.Len(i))
		for code := range numbers[i] {
			n, _ := stored.Find(i, table.Text(i, uint32(code)))
			numbers[i][code] = uint16(n) //nolint:gosec // at most math.MaxInt16, see addCodes
		}
	}
	return numbers, nil
}

func knowsAll(stored, table *statistics.Dictionary, dimensions int) bool {
	for i := range dimensions {
		if len(unknown(stored, table, i, nil)) > 0 {
			return false
		}
	}
	return true
}

// addCodes numbers the codes that have no number yet. The row of the dataflow is locked, so that two providers' parts do
// not number the same dimension at once; what this transaction adds is its own until it is committed. A part that is new
// holds the key of that row, so a lock that wants the key too would let two new parts wait for each other.
func (t *transaction) addCodes(ctx context.Context, flow *statistics.Flow, dataflow int32, table *statistics.Dictionary) (*statistics.Dictionary, error) {
	var count int
	err := t.tx.QueryRow(ctx, `
		SELECT code_count
		FROM dataflow
		WHERE id = $1
		FOR NO KEY UPDATE`, dataflow).Scan(&count)
	if err != nil {
		return nil, fmt.Errorf("locking the codes: %w", err)
	}
	known, err := t.Dictionary(ctx, flow)
	if err != nil {
		return nil, err
	}
	known = known.Clone()
	var added [][]any
	for i, dimension := range flow.Structure.Dimensions {
		for _, text := range unknown(known, table, i, flow.Dimensions[i]) {
			n := known.Add(i, text)
			if n > math.MaxInt16 {
				return nil, fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the dimension %s of %s has more than %d codes", dimension.ID, flow.Ref, math.MaxInt16+1)
			}
			added = append(added, []any{dataflow, int16(i + 1), int16(n), text})
		}
	}
	_, err = t.tx.CopyFrom(ctx, pgx.Identifier{"code"}, []string{"dataflow", "dimension", "code", "text"}, pgx.CopyFromRows(added))
	if err != nil {
		return nil, fmt.Errorf("storing codes: %w", err)
	}
	_, err = t.tx.Exec(ctx, `
		UPDATE dataflow
		SET code_count = code_count + @added
		WHERE id = @id`,
		pgx.NamedArgs{"id": dataflow, "added": len(added)})
	if err != nil {
		return nil, fmt.Errorf("counting codes: %w", err)
	}
	t.own[dataflow] = known
	return known, nil
}

// unknown returns the codes of a table that have no number, in the order of the codelist where there is one, so that the
// order of keys, which is that of numbers, follows it as far as it can.
func unknown(known, table *statistics.Dictionary, dimension int, codelist *statistics.Hierarchy) []string {
	var texts []string
	for code := range table.Len(dimension) {
		text := table.Text(dimension, uint32(code))
		if _, ok := known.Find(dimension, text); !ok {
			texts = append(texts, text)
		}
	}
	if codelist != nil {
		slices.SortFunc(texts, codelist.Compare)
	}
	return texts
}
