package postgres

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// The bounds of a page.
const (
	defaultPage = 100
	largestPage = 1_000
)

// bounds returns the entry that a page begins before, and how many it has.
func bounds(page sharing.Page) (before int64, limit int, err error) {
	before, limit = 1<<62, page.Limit
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, largestPage)
	if page.Token != "" {
		if before, err = strconv.ParseInt(page.Token, 10, 64); err != nil {
			return 0, 0, fault.InvalidField("pageToken", "it is not the nextPageToken of a page")
		}
	}
	return before, limit, nil
}

// pageOf reads a page, and returns the token of the next one; "" on the last. The statement lists what has entries before
// @before, the newest first, at most @limit; scan reads a row of it, with its entry.
func pageOf[T any](ctx context.Context, db querier, page sharing.Page, sql string, args pgx.NamedArgs, scan func(row pgx.CollectableRow, entry *int64) (T, error)) (list []T, next string, err error) {
	before, limit, err := bounds(page)
	if err != nil {
		return nil, "", err
	}
	args["before"], args["limit"] = before, limit+1
	rows, err := db.Query(ctx, sql, args)
	if err != nil {
		return nil, "", err
	}
	var entries []int64
	list, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (T, error) {
		var entry int64
		one, err := scan(row, &entry)
		entries = append(entries, entry)
		return one, err
	})
	if err == nil && len(list) > limit {
		list, next = list[:limit], strconv.FormatInt(entries[limit-1], 10)
	}
	return list, next, err
}

// scanDocument reads a document and its entry.
func scanDocument(row pgx.CollectableRow, entry *int64) (document []byte, err error) {
	err = row.Scan(&document, entry)
	return document, err
}
