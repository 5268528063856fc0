package bench

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// copyText copies a file of CSV with a header, as \copy does, into a new flat table with a text column for each dimension and its
// primary key over them and the period.
func (n *node) copyText(ctx context.Context, table string, columns []string, content []byte) (time.Duration, error) {
	statements := fmt.Sprintf(`
		CREATE TABLE %s (
			%s text NOT NULL,
			time_period text NOT NULL,
			obs_value float8,
			obs_status text,
			PRIMARY KEY (%s, time_period)
		)`, table, strings.Join(columns, " text NOT NULL, "), strings.Join(columns, ", "))
	if _, err := n.plain.Exec(ctx, statements); err != nil {
		return 0, err
	}
	begin := time.Now()
	_, err := n.plain.PgConn().CopyFrom(ctx, bytes.NewReader(content), `COPY `+table+` FROM STDIN (FORMAT csv, HEADER)`)
	return time.Since(begin), err
}

// copyNumbers copies figures of the cube into a new flat table that has a small number for each code, which is the least that a
// flat table can hold.
func (n *node) copyNumbers(ctx context.Context, table string, r rows) (time.Duration, error) {
	_, err := n.plain.Exec(ctx, `
		CREATE TABLE `+table+` (
			d1 int2, d2 int2, d3 int2, d4 int2, d5 int2, d6 int2, d7 int2, d8 int2, d9 int2,
			period int4, value float8, status "char",
			PRIMARY KEY (d1, d2, d3, d4, d5, d6, d7, d8, d9, period)
		)`)
	if err != nil {
		return 0, err
	}
	text := &bytes.Buffer{}
	for i := r.from; i < r.from+r.series; i++ {
		p := r.placeOf(i)
		for m := range r.months {
			fmt.Fprintf(text, "0\t0\t0\t%d\t%d\t%d\t%d\t%d\t0\t%d\t%d\tA\n", p.section, p.section%3, p.citizenship, p.sex, p.age,
				monthNumber(r.month+m), r.value(i, r.month+m, r.edition))
		}
	}
	begin := time.Now()
	_, err = n.plain.PgConn().CopyFrom(ctx, text, `COPY `+table+` FROM STDIN`)
	return time.Since(begin), err
}

// copyOut reads a flat table as text.
func (n *node) copyOut(ctx context.Context, table string, columns []string) (time.Duration, error) {
	begin := time.Now()
	_, err := n.plain.PgConn().CopyTo(ctx, io.Discard,
		`COPY (SELECT `+strings.Join(columns, ", ")+`, time_period, obs_value, obs_status FROM `+table+`) TO STDOUT`)
	return time.Since(begin), err
}

// drop removes tables of the comparison.
func (n *node) drop(ctx context.Context, tables ...string) error {
	for _, table := range tables {
		if _, err := n.plain.Exec(ctx, `DROP TABLE IF EXISTS `+pgx.Identifier{table}.Sanitize()); err != nil {
			return err
		}
	}
	return nil
}
