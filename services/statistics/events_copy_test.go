package statistics_test

import (
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// copyRows copies the rows of blocks into a plain table and returns how many a second.
func copyRows(b *testing.B, columns []string, blocks []*block.Block) float64 {
	b.Helper()
	pool := postgrestest.New(b, postgres.Migrations)
	columns = append(append([]string{}, columns...), block.TimePeriod, "record_key")
	if _, err := pool.Exec(b.Context(), `CREATE TABLE plain (`+strings.Join(columns[:len(columns)-1], " text, ")+` text, record_key bigint)`); err != nil {
		b.Fatal(err)
	}
	for i := range columns {
		columns[i] = strings.ToLower(columns[i])
	}
	at, row, rows := 0, -1, 0
	source := pgx.CopyFromFunc(func() ([]any, error) {
		if row++; row == blocks[at].Rows {
			if at, row = at+1, 0; at == len(blocks) {
				return nil, nil
			}
		}
		rows++
		values := make([]any, len(columns))
		for i := range blocks[at].Columns {
			if c := &blocks[at].Columns[i]; c.IsNumber() {
				values[i] = int64(c.Numbers[row])
			} else {
				values[i] = c.Text(row)
			}
		}
		return values, nil
	})
	begin := time.Now()
	if _, err := pool.CopyFrom(b.Context(), pgx.Identifier{"plain"}, columns, source); err != nil {
		b.Fatal(err)
	}
	return float64(rows) / time.Since(begin).Seconds()
}
