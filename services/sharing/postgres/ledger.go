package postgres

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/sharing"
)

// Audiences returns the audiences, sorted.
func (r reader) Audiences(ctx context.Context) ([]string, error) {
	rows, err := r.db.Query(ctx, `
		SELECT audience
		FROM ledger
		ORDER BY audience COLLATE "C"`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Seen reads what an audience has seen.
func (r reader) Seen(audience string) ledger.Reader { return seen{r.db, audience} }

// Ledger locks the audience's row. Where there is none it copies what is published, while nothing is being published.
func (t tx) Ledger(ctx context.Context, audience string) (ledger.Stack, error) {
	s := stack{seen: seen{t.db, audience}, tx: t.pgx}
	number, found, err := s.lock(ctx)
	if err != nil {
		return nil, err
	}
	if !found {
		if err := s.begin(ctx); err != nil {
			return nil, fmt.Errorf("beginning the ledger of %s: %w", audience, err)
		}
		if number, _, err = s.lock(ctx); err != nil {
			return nil, err
		}
	}
	s.number = number
	return s, nil
}

// Ledgers locks the rows of all audiences, that of the public first: from then on nobody begins another.
func (t tx) Ledgers(ctx context.Context) ([]ledger.Stack, error) {
	public, err := t.Ledger(ctx, sharing.Public)
	if err != nil {
		return nil, err
	}
	audiences, err := t.Audiences(ctx)
	if err != nil {
		return nil, err
	}
	stacks := []ledger.Stack{public}
	for _, audience := range audiences {
		if audience == sharing.Public {
			continue
		}
		s, err := t.Ledger(ctx, audience)
		if err != nil {
			return nil, err
		}
		stacks = append(stacks, s)
	}
	return stacks, nil
}

// seen is a [ledger.Reader] of an audience, and of the public while the audience has no ledger.
type seen struct {
	db       querier
	audience string
}

// whose is the number of the ledger that a statement reads, as its first argument names the audience.
const whose = `(SELECT id ` + whoseRow + `)`

// whoseNewest is the newest revision of which anything is in that ledger.
const whoseNewest = `(SELECT newest ` + whoseRow + `)`

const whoseRow = `FROM ledger WHERE audience IN ($1, '` + sharing.Public + `') ORDER BY audience = $1 DESC LIMIT 1`

// Next returns the first free id.
func (s seen) Next(ctx context.Context) (ledger.ID, error) {
	next, _, err := one(ctx, s.db, pgx.RowTo[ledger.ID], `
		SELECT next
		FROM ledger
		WHERE id = `+whose, s.audience)
	return next, err
}

// Cells returns all unknowns that are revisions of the cells.
func (s seen) Cells(ctx context.Context, keys []string) ([]ledger.Unknown, error) {
	return unknowns(ctx, s.db, `
		SELECT id, cell, revision, value, ceiling, open, untold, width, single, exposed
		FROM ledger_unknown
		WHERE ledger = `+whose+` AND cell = ANY ($2::text[])`, s.audience, keys)
}

// CellsIn returns the unknowns that stand for the cells in a revision, and the next ones.
func (s seen) CellsIn(ctx context.Context, revision int64, keys []string) ([]ledger.Unknown, error) {
	keys = slices.Compact(slices.Sorted(slices.Values(keys))) // in the order of the index
	return unknowns(ctx, s.db, `
		SELECT u.*
		FROM unnest($2::text[]) AS k (cell)
		CROSS JOIN LATERAL (
			(
				SELECT id, cell, revision, value, ceiling, open, untold, width, single, exposed
				FROM ledger_unknown
				WHERE ledger = `+whose+` AND cell = k.cell AND revision <= $3
				ORDER BY revision DESC
				LIMIT 1
			)
			UNION ALL (
				SELECT id, cell, revision, value, ceiling, open, untold, width, single, exposed
				FROM ledger_unknown
				WHERE ledger = `+whose+` AND cell = k.cell AND revision > $3 AND `+whoseNewest+` > $3
				ORDER BY revision
				LIMIT 1
			)
		) u`, s.audience, keys, revision)
}

// asItIs has a statement planned anew each time. A plan that is kept was made for a ledger that was small, and for short lists: with
// it a longer list is held against each row of a table that has grown since. For the same reason lists are joined one by one.
const asItIs = pgx.QueryExecModeCacheDescribe

// Unknowns returns unknowns by their ids.
func (s seen) Unknowns(ctx context.Context, ids []ledger.ID) ([]ledger.Unknown, error) {
	return unknowns(ctx, s.db, `
		SELECT u.*
		FROM (SELECT DISTINCT id FROM unnest($2::bigint[]) AS k (id)) k
		CROSS JOIN LATERAL (
			SELECT id, cell, revision, value, ceiling, open, untold, width, single, exposed
			FROM ledger_unknown
			WHERE ledger = `+whose+` AND id = k.id
			LIMIT 1
		) u`, s.audience, ids)
}

func unknowns(ctx context.Context, db querier, sql string, args ...any) ([]ledger.Unknown, error) {
	rows, err := db.Query(ctx, sql, append([]any{asItIs}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ledger.Unknown])
}

// Lines returns the lines that have any of the unknowns.
func (s seen) Lines(ctx context.Context, unknowns []ledger.ID) ([]ledger.Line, error) {
	rows, err := s.db.Query(ctx, `
		SELECT id, total, parts
		FROM ledger_line
		WHERE ledger = `+whose+` AND id IN (
			SELECT t.line
			FROM unnest($2::bigint[]) AS k (id)
			CROSS JOIN LATERAL (
				SELECT line
				FROM ledger_term
				WHERE ledger = `+whose+` AND unknown = k.id
				OFFSET 0
			) t
		)`, asItIs, s.audience, unknowns)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ledger.Line])
}

// Points returns the points that move any of the unknowns.
func (s seen) Points(ctx context.Context, unknowns []ledger.ID) ([]ledger.Point, error) {
	rows, err := s.db.Query(ctx, `
		SELECT id, unknowns, moves
		FROM ledger_point
		WHERE ledger = `+whose+` AND id IN (
			SELECT m.point
			FROM unnest($2::bigint[]) AS k (id)
			CROSS JOIN LATERAL (
				SELECT point
				FROM ledger_move
				WHERE ledger = `+whose+` AND unknown = k.id
				OFFSET 0
			) m
		)`, asItIs, s.audience, unknowns)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[ledger.Point])
}

// stack is a [ledger.Stack] whose row is locked.
type stack struct {
	seen
	tx     pgx.Tx
	number int
}

// lock locks the row of the audience, and returns its number; false where there is none.
func (s stack) lock(ctx context.Context) (number int, found bool, err error) {
	return one(ctx, s.tx, pgx.RowTo[int], `
		SELECT id
		FROM ledger
		WHERE audience = $1
		FOR UPDATE`, s.audience)
}

// begin copies the ledger of the public, which nobody adds to in the meantime.
func (s stack) begin(ctx context.Context) error {
	public, _, err := one(ctx, s.tx, pgx.RowTo[int], `
		SELECT id
		FROM ledger
		WHERE audience = $1
		FOR SHARE`, sharing.Public)
	if err != nil {
		return err
	}
	number, made, err := one(ctx, s.tx, pgx.RowTo[int], `
		INSERT INTO ledger (audience, next, newest)
		SELECT $1, next, newest
		FROM ledger
		WHERE id = $2
		ON CONFLICT (audience) DO NOTHING
		RETURNING id`, s.audience, public)
	if err != nil || !made {
		return err
	}
	for table, columns := range ledgerTables {
		if _, err := s.tx.Exec(ctx, `
			INSERT INTO `+table+` (ledger, `+columns+`)
			SELECT $1, `+columns+`
			FROM `+table+`
			WHERE ledger = $2`, number, public); err != nil {
			return err
		}
	}
	return nil
}

// ledgerTables are the columns of the tables that a ledger is kept in, without that of the ledger.
var ledgerTables = map[string]string{
	"ledger_release": "first, next, release, revision, create_time",
	"ledger_unknown": "id, cell, revision, value, ceiling, open, untold, width, single, exposed",
	"ledger_line":    "id, total, parts",
	"ledger_term":    "unknown, line",
	"ledger_point":   "id, unknowns, moves",
	"ledger_move":    "unknown, point",
}

// Append adds a release.
func (s stack) Append(ctx context.Context, i ledger.Increment) error {
	moved, err := changed(s.tx.Exec(ctx, `
		UPDATE ledger
		SET next = @next, newest = greatest(newest, @revision)
		WHERE id = @ledger AND next = @first`,
		pgx.NamedArgs{"ledger": s.number, "first": i.First, "next": i.Next, "revision": i.Revision}))
	if err != nil {
		return err
	}
	if !moved {
		return fmt.Errorf("the ledger of %s has grown since the release %s was decided", s.audience, i.Release)
	}
	_, err = s.tx.Exec(ctx, `
		INSERT INTO ledger_release (ledger, first, next, release, revision)
		VALUES (@ledger, @first, @next, @release, @revision)`,
		pgx.NamedArgs{"ledger": s.number, "first": i.First, "next": i.Next, "release": i.Release, "revision": i.Revision})
	if err != nil {
		return err
	}
	if err := s.change(ctx, i); err != nil {
		return err
	}
	var terms, moves [][2]ledger.ID
	for _, l := range i.Lines {
		terms = append(terms, [2]ledger.ID{l.Total, l.ID})
		for _, p := range l.Parts {
			terms = append(terms, [2]ledger.ID{p, l.ID})
		}
	}
	for _, p := range i.Points {
		for _, u := range p.Unknowns {
			moves = append(moves, [2]ledger.ID{u, p.ID})
		}
	}
	pair := func(p [2]ledger.ID) []any { return []any{s.number, p[0], p[1]} }
	err = add(ctx, s.tx, "ledger_unknown", i.Unknowns, func(u ledger.Unknown) []any {
		return []any{s.number, u.ID, u.Cell, u.Revision, u.Value, u.Ceiling, u.Open, u.Untold, u.Width, u.Single, u.Exposed}
	}, "ledger", "id", "cell", "revision", "value", "ceiling", "open", "untold", "width", "single", "exposed")
	if err != nil {
		return err
	}
	err = add(ctx, s.tx, "ledger_line", i.Lines, func(l ledger.Line) []any {
		return []any{s.number, l.ID, l.Total, l.Parts}
	}, "ledger", "id", "total", "parts")
	if err != nil {
		return err
	}
	if err := add(ctx, s.tx, "ledger_term", terms, pair, "ledger", "unknown", "line"); err != nil {
		return err
	}
	err = add(ctx, s.tx, "ledger_point", i.Points, func(p ledger.Point) []any {
		return []any{s.number, p.ID, p.Unknowns, p.Moves}
	}, "ledger", "id", "unknowns", "moves")
	if err != nil {
		return err
	}
	return add(ctx, s.tx, "ledger_move", moves, pair, "ledger", "unknown", "point")
}

// change keeps what an increment says of things that are there already.
func (s stack) change(ctx context.Context, i ledger.Increment) error {
	if len(i.Changed) > 0 {
		var ids, revisions, ceilings, widths []int64
		var open, untold, single, exposed []bool
		for _, u := range i.Changed {
			ids, revisions = append(ids, int64(u.ID)), append(revisions, u.Revision)
			ceilings, widths = append(ceilings, u.Ceiling), append(widths, u.Width)
			open, single, exposed = append(open, u.Open), append(single, u.Single), append(exposed, u.Exposed)
			untold = append(untold, u.Untold)
		}
		_, err := s.tx.Exec(ctx, `
			UPDATE ledger_unknown u
			SET revision = c.revision, ceiling = c.ceiling, open = c.open, untold = c.untold, width = c.width,
				single = c.single, exposed = c.exposed
			FROM unnest(@ids::bigint[], @revisions::bigint[], @ceilings::bigint[], @open::boolean[], @untold::boolean[],
				@widths::bigint[], @single::boolean[], @exposed::boolean[])
				AS c (id, revision, ceiling, open, untold, width, single, exposed)
			WHERE u.ledger = @ledger AND u.id = c.id`,
			pgx.NamedArgs{
				"ledger": s.number, "ids": ids, "revisions": revisions, "ceilings": ceilings, "open": open, "untold": untold, "widths": widths,
				"single": single, "exposed": exposed,
			})
		if err != nil {
			return err
		}
	}
	if len(i.Dead) == 0 {
		return nil
	}
	_, err := s.tx.Exec(ctx, `
		WITH dead AS (
			DELETE FROM ledger_point
			WHERE ledger = @ledger AND id = ANY (@ids::bigint[])
		)
		DELETE FROM ledger_move
		WHERE ledger = @ledger AND point = ANY (@ids::bigint[])`,
		pgx.NamedArgs{"ledger": s.number, "ids": i.Dead})
	return err
}

// add copies rows into a table.
func add[T any](ctx context.Context, tx pgx.Tx, table string, list []T, row func(T) []any, columns ...string) error {
	if len(list) == 0 {
		return nil
	}
	_, err := tx.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromSlice(len(list), func(k int) ([]any, error) {
		return row(list[k]), nil
	}))
	return err
}
