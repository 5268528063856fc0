package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// plainArrangement is tables that SQL alone reads and writes. Figures come by COPY: new ones straight into the table, others
// by a temporary table "staged" of the same form, which merge takes over.
//
// Where there is a table of series, whoever writes knows the numbers of the series already, which is more than most do.
type plainArrangement struct {
	cube
	conn *pgx.Conn

	id         string // also the name of the table of figures
	others     []string
	schema     string
	withSeries bool                                              // there is a table ID_series
	line       func(text *bytes.Buffer, r rows, i, revision int) // writes the figures of a series as COPY takes them
	arguments  func(i int) []any                                 // of readOne
	code       func(citizenship int) any                         // of readSlice

	merge     string // @revision
	readOne   string // $1 …; the first column is how many figures a row has
	readSlice string // $1; the first column is the sum
	readSums  string // as readSlice
	readPast  string // as readSlice, of the state that $1 made
	readAll   string
}

func (p *plainArrangement) name() string { return p.id }

func (p *plainArrangement) tables() []string { return append([]string{p.id}, p.others...) }

func (p *plainArrangement) put(r rows, revision int, isNew bool) func(context.Context) error {
	figures, series := &bytes.Buffer{}, &bytes.Buffer{}
	for i := r.from; i < r.from+r.series; i++ {
		p.line(figures, r, i, revision)
		if p.withSeries && isNew {
			fmt.Fprintf(series, "%d", i)
			for _, code := range p.numbers(i) {
				fmt.Fprintf(series, "\t%d", code)
			}
			series.WriteByte('\n')
		}
	}
	return func(ctx context.Context) error {
		return pgx.BeginFunc(ctx, p.conn, func(tx pgx.Tx) error {
			if series.Len() > 0 {
				if err := copyInto(ctx, tx, p.id+"_series", series); err != nil {
					return err
				}
			}
			if isNew {
				return copyInto(ctx, tx, p.id, figures)
			}
			if _, err := tx.Exec(ctx, `CREATE TEMPORARY TABLE staged (LIKE `+p.id+`) ON COMMIT DROP`); err != nil {
				return err
			}
			if err := copyInto(ctx, tx, "staged", figures); err != nil {
				return err
			}
			if _, err := tx.Exec(ctx, `ANALYZE staged`); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, p.merge, pgx.NamedArgs{"revision": revision})
			return err
		})
	}
}

func copyInto(ctx context.Context, tx pgx.Tx, table string, text io.Reader) error {
	_, err := tx.Conn().PgConn().CopyFrom(ctx, text, `COPY `+table+` FROM STDIN`)
	return err
}

func (p *plainArrangement) series(ctx context.Context, i int) (figures int, err error) {
	rows, err := p.conn.Query(ctx, p.readOne, p.arguments(i)...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return 0, err
		}
		n, _ := values[0].(int32)
		figures += int(n)
	}
	return figures, rows.Err()
}

// total returns the sum of the sums that a statement gives.
func (p *plainArrangement) total(ctx context.Context, statement string, arguments ...any) (sum float64, err error) {
	rows, err := p.conn.Query(ctx, statement, arguments...)
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return 0, err
		}
		one, _ := values[0].(float64)
		sum += one
	}
	return sum, rows.Err()
}

func (p *plainArrangement) slice(ctx context.Context, wanted int) (float64, error) {
	return p.total(ctx, p.readSlice, p.code(wanted))
}

func (p *plainArrangement) sums(ctx context.Context) (float64, error) {
	return p.total(ctx, p.readSums)
}

func (p *plainArrangement) sumsAsOf(ctx context.Context, revision int) (float64, error) {
	return p.total(ctx, p.readPast, revision)
}

func (p *plainArrangement) stream(ctx context.Context) error {
	_, err := p.conn.PgConn().CopyTo(ctx, io.Discard, `COPY (`+p.readAll+`) TO STDOUT`)
	return err
}

// numbers returns small numbers for the codes of a series.
func (c cube) numbers(i int) []int {
	p := c.placeOf(i)
	return []int{0, 0, 0, p.section, p.section % 3, p.citizenship, p.sex, p.age, 0}
}

// numberColumns are the columns of the codes as numbers.
const numberColumns = `d1, d2, d3, d4, d5, d6, d7, d8, d9`

// byNumbers is the condition for one series by these, and its arguments.
const byNumbers = `d1 = $1 AND d2 = $2 AND d3 = $3 AND d4 = $4 AND d5 = $5 AND d6 = $6 AND d7 = $7 AND d8 = $8 AND d9 = $9`

func (c cube) numberArguments(i int) []any {
	arguments := make([]any, 0, len(dimensions()))
	for _, code := range c.numbers(i) {
		arguments = append(arguments, code)
	}
	return arguments
}

// seriesTable is the statement for a table of the numbers of series.
func seriesTable(of string) string {
	return `
		CREATE TABLE ` + of + `_series (
			id int PRIMARY KEY,
			d1 int2, d2 int2, d3 int2, d4 int2, d5 int2, d6 int2, d7 int2, d8 int2, d9 int2,
			UNIQUE (` + numberColumns + `)
		);
		CREATE INDEX ON ` + of + `_series (d6);`
}

// plainArrangements returns those that the store is compared with. Each has an index for the citizenship, which slices ask for.
func plainArrangements(conn *pgx.Conn, c cube) []*plainArrangement {
	all := []*plainArrangement{flat(c), narrow(c), versions(c), arrays(c)}
	for _, p := range all {
		p.cube, p.conn = c, conn
		if p.withSeries {
			p.schema += seriesTable(p.id)
			p.others = append(p.others, p.id+"_series")
			p.arguments, p.code = c.numberArguments, func(citizenship int) any { return citizenship }
		}
	}
	return all
}

// flat has a row for each figure, with the codes as texts; rows that were replaced are in a table beside it.
func flat(c cube) *plainArrangement {
	columns := dimensions()
	for i := range columns {
		columns[i] = strings.ToLower(columns[i])
	}
	key := strings.Join(columns, ", ")
	conditions := make([]string, len(columns))
	for i, column := range columns {
		conditions[i] = column + ` = $` + strconv.Itoa(i+1)
	}
	return &plainArrangement{
		id: "flat", others: []string{"flat_hist"},
		schema: `
			CREATE TABLE flat (
				` + strings.Join(columns, " text NOT NULL, ") + ` text NOT NULL,
				time_period text NOT NULL, obs_value float8, obs_status text, rev int NOT NULL,
				PRIMARY KEY (` + key + `, time_period)
			);
			CREATE INDEX ON flat (citizenship);
			CREATE TABLE flat_hist (LIKE flat, rev_to int NOT NULL);
			CREATE INDEX ON flat_hist (` + key + `, time_period);`,
		line: func(text *bytes.Buffer, r rows, i, revision int) {
			front := strings.Join(r.key(i), "\t")
			for m := r.month; m < r.month+r.months; m++ {
				fmt.Fprintf(text, "%s\t%s\t%d\tA\t%d\n", front, period(m), r.value(i, m, r.edition), revision)
			}
		},
		arguments: func(i int) []any {
			var arguments []any
			for _, code := range c.key(i) {
				arguments = append(arguments, code)
			}
			return arguments
		},
		code: func(i int) any { return citizenship(i) },
		merge: `
			WITH replaced AS (
				INSERT INTO flat_hist
				SELECT f.*, @revision::int
				FROM flat f
				JOIN staged s USING (` + key + `, time_period)
			)
			INSERT INTO flat
			SELECT *
			FROM staged
			ON CONFLICT (` + key + `, time_period) DO UPDATE
			SET obs_value = excluded.obs_value, obs_status = excluded.obs_status, rev = excluded.rev`,
		readOne: `
			SELECT 1, time_period, obs_value, obs_status
			FROM flat
			WHERE ` + strings.Join(conditions, " AND "),
		readSlice: `
			SELECT sum(obs_value), time_period
			FROM flat
			WHERE citizenship = $1
			GROUP BY time_period`,
		readSums: `
			SELECT sum(obs_value), citizenship, left(time_period, 4)
			FROM flat
			GROUP BY 2, 3`,
		readPast: `
			SELECT sum(obs_value), citizenship, left(time_period, 4)
			FROM (
				SELECT citizenship, time_period, obs_value
				FROM flat
				WHERE rev <= $1
				UNION ALL
				SELECT citizenship, time_period, obs_value
				FROM flat_hist
				WHERE rev <= $1 AND rev_to > $1
			) past
			GROUP BY 2, 3`,
		readAll: `SELECT ` + key + `, time_period, obs_value, obs_status FROM flat`,
	}
}

// monthLine writes a row for each figure, with the number of the series and that of the month.
func monthLine(text *bytes.Buffer, r rows, i, revision int) {
	for m := r.month; m < r.month+r.months; m++ {
		fmt.Fprintf(text, "%d\t%d\t%d\t%d\tA\n", i, monthNumber(m), revision, r.value(i, m, r.edition))
	}
}

// narrow has a row for each figure, with the number of its series; rows that were replaced are in a table beside it.
func narrow(cube) *plainArrangement {
	return &plainArrangement{
		id: "narrow", others: []string{"narrow_hist"}, withSeries: true, line: monthLine,
		schema: `
			CREATE TABLE narrow (
				series int NOT NULL, period int NOT NULL, rev int NOT NULL, value float8, status "char",
				PRIMARY KEY (series, period)
			);
			CREATE TABLE narrow_hist (LIKE narrow, rev_to int NOT NULL);
			CREATE INDEX ON narrow_hist (series, period);`,
		merge: `
			WITH replaced AS (
				INSERT INTO narrow_hist
				SELECT n.*, @revision::int
				FROM narrow n
				JOIN staged s USING (series, period)
			)
			INSERT INTO narrow
			SELECT *
			FROM staged
			ON CONFLICT (series, period) DO UPDATE
			SET rev = excluded.rev, value = excluded.value, status = excluded.status`,
		readOne: `
			SELECT 1, n.period, n.value, n.status
			FROM narrow_series s
			JOIN narrow n ON n.series = s.id
			WHERE ` + byNumbers,
		readSlice: `
			SELECT sum(n.value), n.period
			FROM narrow_series s
			JOIN narrow n ON n.series = s.id
			WHERE s.d6 = $1
			GROUP BY n.period`,
		readSums: `
			SELECT sum(n.value), s.d6, n.period / 12
			FROM narrow n
			JOIN narrow_series s ON s.id = n.series
			GROUP BY 2, 3`,
		readPast: `
			SELECT sum(n.value), s.d6, n.period / 12
			FROM (
				SELECT series, period, value
				FROM narrow
				WHERE rev <= $1
				UNION ALL
				SELECT series, period, value
				FROM narrow_hist
				WHERE rev <= $1 AND rev_to > $1
			) n
			JOIN narrow_series s ON s.id = n.series
			GROUP BY 2, 3`,
		readAll: `
			SELECT ` + numberColumns + `, n.period, n.value, n.status
			FROM narrow n
			JOIN narrow_series s ON s.id = n.series`,
	}
}

// versions is narrow with all that ever was in one table, of which the latest counts: nothing is changed or moved.
func versions(cube) *plainArrangement {
	const newest = `
				SELECT DISTINCT ON (series, period) series, period, value, status
				FROM versions
				ORDER BY series, period, rev DESC`
	return &plainArrangement{
		id: "versions", withSeries: true, line: monthLine,
		schema: `
			CREATE TABLE versions (
				series int NOT NULL, period int NOT NULL, rev int NOT NULL, value float8, status "char",
				PRIMARY KEY (series, period, rev)
			);`,
		merge: `
			INSERT INTO versions
			SELECT *
			FROM staged
			WHERE rev = @revision`,
		readOne: `
			SELECT DISTINCT ON (v.period) 1, v.period, v.value, v.status
			FROM versions_series s
			JOIN versions v ON v.series = s.id
			WHERE ` + byNumbers + `
			ORDER BY v.period, v.rev DESC`,
		readSlice: `
			SELECT sum(value), period
			FROM (
				SELECT DISTINCT ON (v.series, v.period) v.period, v.value
				FROM versions_series s
				JOIN versions v ON v.series = s.id
				WHERE s.d6 = $1
				ORDER BY v.series, v.period, v.rev DESC
			) newest
			GROUP BY period`,
		readSums: `
			SELECT sum(n.value), s.d6, n.period / 12
			FROM (` + newest + `
			) n
			JOIN versions_series s ON s.id = n.series
			GROUP BY 2, 3`,
		readPast: `
			SELECT sum(n.value), s.d6, n.period / 12
			FROM (
				SELECT DISTINCT ON (series, period) series, period, value
				FROM versions
				WHERE rev <= $1
				ORDER BY series, period, rev DESC
			) n
			JOIN versions_series s ON s.id = n.series
			GROUP BY 2, 3`,
		readAll: `
			SELECT ` + numberColumns + `, n.period, n.value, n.status
			FROM (` + newest + `
			) n
			JOIN versions_series s ON s.id = n.series`,
	}
}

// arrays has a row for each series, with all its months from the first on; rows that were replaced are in a table beside it.
// What is staged is a run of months without a hole, none of which is before the first or leaves one after the last.
func arrays(cube) *plainArrangement {
	// sums adds what is in a table n of series, first and vals.
	sums := func(of string) string {
		return `
			SELECT sum(v.value), s.d6, (n.first + v.ordinal - 1) / 12
			FROM ` + of + ` n
			JOIN arrays_series s ON s.id = n.series
			CROSS JOIN unnest(n.vals) WITH ORDINALITY AS v (value, ordinal)
			GROUP BY 2, 3`
	}
	return &plainArrangement{
		id: "arrays", others: []string{"arrays_hist"}, withSeries: true,
		schema: `
			CREATE TABLE arrays (series int PRIMARY KEY, first int NOT NULL, rev int NOT NULL, vals float8[] NOT NULL, status text NOT NULL);
			CREATE TABLE arrays_hist (LIKE arrays, rev_to int NOT NULL);
			CREATE INDEX ON arrays_hist (series);`,
		line: func(text *bytes.Buffer, r rows, i, revision int) {
			values := make([]string, r.months)
			for m := range values {
				values[m] = strconv.Itoa(r.value(i, r.month+m, r.edition))
			}
			fmt.Fprintf(text, "%d\t%d\t%d\t{%s}\t%s\n", i, monthNumber(r.month), revision, strings.Join(values, ","), strings.Repeat("A", r.months))
		},
		merge: `
			WITH replaced AS (
				INSERT INTO arrays_hist
				SELECT a.*, @revision::int
				FROM arrays a
				JOIN staged s USING (series)
			)
			INSERT INTO arrays AS a
			SELECT *
			FROM staged
			ON CONFLICT (series) DO UPDATE
			SET
				rev = excluded.rev,
				vals = a.vals[:excluded.first - a.first] || excluded.vals || a.vals[excluded.first - a.first + cardinality(excluded.vals) + 1:],
				status = overlay(a.status PLACING excluded.status FROM excluded.first - a.first + 1)`,
		readOne: `
			SELECT cardinality(a.vals), a.first, a.vals, a.status
			FROM arrays_series s
			JOIN arrays a ON a.series = s.id
			WHERE ` + byNumbers,
		readSlice: `
			SELECT sum(v.value), a.first + v.ordinal
			FROM arrays_series s
			JOIN arrays a ON a.series = s.id
			CROSS JOIN unnest(a.vals) WITH ORDINALITY AS v (value, ordinal)
			WHERE s.d6 = $1
			GROUP BY 2`,
		readSums: sums(`arrays`),
		readPast: sums(`(
				SELECT series, first, vals
				FROM arrays
				WHERE rev <= $1
				UNION ALL
				SELECT series, first, vals
				FROM arrays_hist
				WHERE rev <= $1 AND rev_to > $1
			)`),
		readAll: `
			SELECT ` + numberColumns + `, a.first, a.vals, a.status
			FROM arrays a
			JOIN arrays_series s ON s.id = a.series`,
	}
}
