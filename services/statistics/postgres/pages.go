package postgres

import (
	"context"
	"maps"
	"slices"

	"github.com/jackc/pgx/v5"
)

const (
	leastPage = 64     // blocks
	mostPage  = 65_536 // blocks
)

// readPages reads the rows of a statement, which are in the order of key, place and blk, in pages that grow: who has enough
// after a few rows does not make the server read them all.
func (r *reader) readPages(ctx context.Context, c *collector, statement string, args pgx.NamedArgs, enough int) error {
	paged := maps.Clone(args)
	limit := min(max(enough, leastPage), mostPage)
	from := []byte{} // the key to go on with
	for {
		paged["page_from"], paged["page_limit"] = from, limit
		rows, err := r.db.Query(ctx, `
		SELECT *
		FROM (`+statement+`
		) page
		WHERE key >= @page_from
		ORDER BY key, place, blk
		LIMIT @page_limit`, paged)
		if err != nil {
			return err
		}
		held, err := holdRows(rows)
		if err != nil {
			return err
		}
		last := len(held) < limit
		if !last {
			// The last key may go on; it comes again with the next page.
			next := held[len(held)-1][0]
			whole := slices.IndexFunc(held, func(raw [][]byte) bool { return string(raw[0]) == string(next) })
			held, from = held[:whole], next
		}
		for _, raw := range held {
			if more, err := c.add(raw); err != nil || !more {
				return err
			}
		}
		if last {
			c.flush()
			return nil
		}
		if !c.flush() {
			return nil
		}
		c.begun = false
		limit = min(2*limit, mostPage)
		if len(held) == 0 {
			limit *= 2 // one key fills the page
		}
	}
}

// holdRows reads all rows.
func holdRows(rows pgx.Rows) ([][][]byte, error) {
	defer rows.Close()
	var held [][][]byte
	for rows.Next() {
		raw := slices.Clone(rows.RawValues())
		for i := range raw {
			raw[i] = slices.Clone(raw[i])
		}
		held = append(held, raw)
	}
	return held, rows.Err()
}
