package postgres

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"math/bits"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/statistics"
)

// querier is a transaction, or the connection that has it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// reader reads figures in a transaction.
type reader struct {
	store  *Store
	db     querier
	past   bool                             // read the state of revision number, else the newest
	number int64                            // of the node
	own    map[int32]*statistics.Dictionary // by dataflow: with codes that this transaction added
	opened *opened                          // what is known of the dataflow that is read; nil: nothing
	guess  *guess                           // that this is the newest state; nil: it is sure which one is read
}

// seenPart is a part as a reader sees it.
type seenPart struct {
	ID       int32  `json:"id"`
	Provider string `json:"provider"`
	Rev      int64  `json:"rev"` // of the part, that is seen; for the newest state of no meaning
}

// seen returns the parts of the providers that hold something in the state that is read, in the order of the providers.
func (r *reader) seen(ctx context.Context, dataflow statistics.Ref, providers []string) ([]seenPart, error) {
	if r.opened.is(dataflow) {
		parts := r.opened.seen(providers, r.past)
		if len(parts) == 0 { // nothing will be read, by which it would come out
			return nil, r.ensure(ctx)
		}
		return parts, nil
	}
	rows, err := r.db.Query(ctx, `
		SELECT p.id, p.provider, coalesce(max(v.rev), 0)
		FROM part p
		JOIN dataflow d ON d.id = p.dataflow
		LEFT JOIN revision v ON v.part = p.id AND (NOT @past OR v.number <= @number)
		WHERE d.ref = @dataflow AND p.provider = ANY(@providers)
		GROUP BY p.id, p.provider
		HAVING NOT @past OR count(v.rev) > 0
		ORDER BY array_position(@providers::text[], p.provider), p.id`,
		pgx.NamedArgs{"past": r.past, "number": r.number, "dataflow": dataflow.String(), "providers": providers})
	if err != nil {
		return nil, fmt.Errorf("reading the parts of %s: %w", dataflow, err)
	}
	parts, err := pgx.CollectRows(rows, pgx.RowToStructByPos[seenPart])
	if err != nil {
		return nil, fmt.Errorf("reading the parts of %s: %w", dataflow, err)
	}
	return parts, nil
}

// ensure fails where the state is not the one that it was taken for.
func (r *reader) ensure(ctx context.Context) error {
	if r.guess == nil {
		return nil
	}
	return r.guess.ensure(ctx)
}

// from returns the rows of a part that may have cells of the state that is read, as a table c. In a state of the past, a row
// has also cells that are later, see [branch.upTo].
func (r *reader) from(part seenPart, args pgx.NamedArgs) string {
	name := fmt.Sprintf("part%d", part.ID)
	args[name] = part.ID
	const columns = `c.part, c.key, c.blk, ` + layerColumns
	if !r.past {
		return `(SELECT ` + columns + ` FROM cur c WHERE c.part = @` + name + `) c`
	}
	rev := fmt.Sprintf("rev%d", len(args)) // two states of a part may be read at once
	args[rev] = part.Rev
	return `(
			SELECT ` + columns + `
			FROM cur c
			WHERE c.part = @` + name + ` AND (c.rev <= @` + rev + ` OR c.ages <> '')
			UNION ALL
			SELECT ` + columns + `
			FROM hist c
			WHERE c.part = @` + name + ` AND c.rev_to > @` + rev + ` AND (c.rev <= @` + rev + ` OR c.ages <> '')
		) c`
}

// Read gives the series of the providers in the order of keys, then of providers.
func (r *reader) Read(ctx context.Context, flow *statistics.Flow, providers []string, s statistics.Selector) iter.Seq2[*statistics.Series, error] {
	return func(yield func(*statistics.Series, error) bool) {
		err := r.read(ctx, flow, providers, s, func(series *statistics.Series) bool { return yield(series, nil) })
		if err != nil {
			yield(nil, fmt.Errorf("reading %s: %w", flow.Ref, err))
		}
	}
}

func (r *reader) read(ctx context.Context, flow *statistics.Flow, providers []string, s statistics.Selector, yield func(*statistics.Series) bool) error {
	parts, err := r.seen(ctx, flow.Ref, providers)
	if err != nil || len(parts) == 0 {
		return err
	}
	w, err := r.where(ctx, flow, s)
	if err != nil {
		return err
	}
	branches := make([]branch, len(parts))
	for i, part := range parts {
		branches[i] = r.branch(part, w.args)
	}
	return r.readBranches(ctx, flow, branches, w, s, yield)
}

// branch is the rows of a part in one state, as a table c.
type branch struct {
	part seenPart
	past bool   // the state is that of part.Rev, else the newest
	from string // perhaps joined with what chooses among the blocks
}

func (r *reader) branch(part seenPart, args pgx.NamedArgs) branch {
	return branch{part: part, past: r.past, from: r.from(part, args)}
}

// upTo returns the last revision of the part whose cells count.
func (b *branch) upTo() int64 {
	if b.past {
		return b.part.Rev
	}
	return math.MaxInt64
}

// readBranches gives the series of the branches in the order of keys, then of branches.
func (r *reader) readBranches(ctx context.Context, flow *statistics.Flow, branches []branch, w *where, s statistics.Selector, yield func(*statistics.Series) bool) error {
	selects := make([]string, len(branches))
	for i, b := range branches {
		// Each branch is in the order of the primary key, so that the server merges them without sorting.
		selects[i] = fmt.Sprintf(`(
		SELECT c.key, %d::int AS place, c.blk, `+layerColumns+`
		FROM %s%s
		WHERE %s)`, i, b.from, w.series, w.condition)
	}
	c := newCollector(flow, w.dictionary, branches, s, yield)
	statement := strings.Join(selects, `
		UNION ALL`) + `
		ORDER BY key, place, blk`
	if s.Enough > 0 {
		return r.readPages(ctx, c, statement, w.args, s.Enough)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := r.db.Query(ctx, statement, w.args)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		more, err := c.add(rows.RawValues())
		if err != nil || !more {
			cancel() // what is left need not be read
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return err
	}
	c.flush()
	return nil
}

// collector makes series of rows, which come in the order of keys, branches and runs.
type collector struct {
	flow       *statistics.Flow
	dictionary *statistics.Dictionary
	branches   []branch
	spans      []statistics.Span // nil: all periods
	yield      func(*statistics.Series) bool

	key       []byte
	place     uint32
	frequency statistics.Frequency
	span      statistics.Span
	blk       int32
	image     image // of the run
	series    *statistics.Series
	begun     bool // there is a series

	ids    []string // of the further attributes
	wanted [][]byte // how those that are wanted stand in notes; nil: all are
}

func newCollector(flow *statistics.Flow, dictionary *statistics.Dictionary, branches []branch, s statistics.Selector, yield func(*statistics.Series) bool) *collector {
	c := &collector{
		flow: flow, dictionary: dictionary, branches: branches, spans: s.Spans, yield: yield,
		series: &statistics.Series{Key: make([]uint32, len(flow.Structure.Dimensions))}, ids: flow.Structure.FurtherAttributes(),
	}
	for _, id := range s.Attributes {
		c.wanted = append(c.wanted, []byte(`"`+id+`":`))
	}
	return c
}

// wants reports whether notes may have a further attribute that is wanted.
func (c *collector) wants(notes []byte) bool {
	return c.wanted == nil || slices.ContainsFunc(c.wanted, func(id []byte) bool { return bytes.Contains(notes, id) })
}

// add takes a row of key, place, blk and layerColumns in their binary forms. It reports false when the taker wants no more.
func (c *collector) add(raw [][]byte) (more bool, err error) {
	key, place, blk := raw[0], binary.BigEndian.Uint32(raw[1]), int32(binary.BigEndian.Uint32(raw[2])) //nolint:gosec // an int4
	if !c.begun || place != c.place || string(key) != string(c.key) {
		if !c.flush() {
			return false, nil
		}
		if err := c.start(key, place); err != nil {
			return false, err
		}
	} else if blk != c.blk {
		c.endRun()
	}
	c.blk = blk
	row := readLayer(raw[3:], false)
	if err := row.check(); err != nil {
		return false, err
	}
	if len(row.notes) > 0 && !c.wants(row.notes) {
		row.notes = nil
	}
	return true, c.image.lay(&row, c.branches[place].upTo())
}

// endRun adds the cells of a run to the series.
func (c *collector) endRun() {
	first := c.blk * run(c.frequency)
	for rest := c.image.mask; rest != 0; rest &= rest - 1 {
		at := bits.TrailingZeros64(rest)
		period := first + int32(at) //nolint:gosec // a place in a run
		if period < c.span.First || period > c.span.Last {
			continue
		}
		c.series.Track.Periods = append(c.series.Track.Periods, period)
		c.series.Track.Cells = append(c.series.Track.Cells, statistics.Cell{
			Value: c.image.vals[at], ObsStatus: c.image.obs[at], ConfStatus: c.image.conf[at],
		})
		c.further(period, at)
	}
	c.image.reset()
}

func (c *collector) start(key []byte, place uint32) error {
	dimensions := len(c.flow.Structure.Dimensions)
	if len(key) != 2*dimensions {
		return fmt.Errorf("a key of %d bytes for %d dimensions", len(key), dimensions)
	}
	c.key, c.place = append(c.key[:0], key...), place
	// The series is used again: it is valid until the next one.
	c.series.Provider, c.series.Place, c.series.Further, c.begun = c.branches[place].part.Provider, int(place), nil, true
	c.series.Track.Periods, c.series.Track.Cells = c.series.Track.Periods[:0], c.series.Track.Cells[:0]
	for i := range c.series.Key {
		c.series.Key[i] = uint32(binary.BigEndian.Uint16(key[2*i:]))
		if int(c.series.Key[i]) >= c.dictionary.Len(i) {
			return fmt.Errorf("dimension %d has no code %d", i+1, c.series.Key[i])
		}
	}
	c.frequency = statistics.Frequency(c.dictionary.Text(0, c.series.Key[0])[0])
	c.span = statistics.Span{First: -1 << 31, Last: 1<<31 - 1}
	for _, span := range c.spans {
		if span.Frequency == c.frequency {
			c.span = span
		}
	}
	return nil
}

// further keeps the further attributes of a cell, where it has any, in the order of the structure.
func (c *collector) further(period int32, at int) {
	for i := range c.image.notes {
		n := &c.image.notes[i]
		if n.texts[at] == "" {
			continue
		}
		for i, id := range c.ids {
			if id != n.id {
				continue
			}
			if c.series.Further == nil {
				c.series.Further = map[int32][]string{}
			}
			if c.series.Further[period] == nil {
				c.series.Further[period] = make([]string, len(c.ids))
			}
			c.series.Further[period][i] = n.texts[at]
		}
	}
}

// flush hands over the series, if it has any cell, and reports whether more are wanted.
func (c *collector) flush() bool {
	if c.begun {
		c.endRun()
	}
	return !c.begun || c.series.Track.Len() == 0 || c.yield(c.series)
}
