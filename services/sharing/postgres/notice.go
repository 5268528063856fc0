package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// AddNotice keeps a notice.
func (t tx) AddNotice(ctx context.Context, notice sharing.Notice, document []byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO notice (id, dataflow, replacement, document, entry)
		VALUES (@id, @dataflow, nullif(@replacement, '')::uuid, @document, @entry)`,
		pgx.NamedArgs{
			"id": notice.ID, "dataflow": notice.Dataflow, "replacement": string(notice.Replacement), "document": document, "entry": entry,
		})
	return err
}

// Notices returns a page of the notices about the dataflow, or about all with "", the newest first.
func (r reader) Notices(ctx context.Context, dataflow string, page sharing.Page) (documents [][]byte, next string, err error) {
	return pageOf(ctx, r.db, page, `
		SELECT n.document, n.entry
		FROM notice n
		LEFT JOIN publication p ON p.id = n.replacement
		WHERE n.entry < @before AND (@dataflow = '' OR n.dataflow = @dataflow) AND (n.replacement IS NULL OR p.state = 2)
		ORDER BY n.entry DESC
		LIMIT @limit`,
		pgx.NamedArgs{"dataflow": dataflow}, scanDocument)
}
