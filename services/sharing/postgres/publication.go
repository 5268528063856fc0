package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// AddPublication keeps a publication that waits, with its content.
func (t tx) AddPublication(ctx context.Context, publication sharing.Publication, document []byte, payloads [][]byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO publication (id, dataflow, document, entry)
		VALUES (@id, @dataflow, @document, @entry)`,
		pgx.NamedArgs{"id": publication.ID, "dataflow": publication.Dataflow, "document": document, "entry": entry})
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO publication_batch (publication, batch, payload)
		SELECT @id, place - 1, payload
		FROM unnest(@payloads::bytea[]) WITH ORDINALITY AS p (payload, place)`,
		pgx.NamedArgs{"id": publication.ID, "payloads": payloads})
	return err
}

const publicationColumns = `id::text, document, state, problem, update_time, withdraw_time`

// Publication returns a publication; false where there is none of that id.
func (r reader) Publication(ctx context.Context, id sharing.PublicationID) (sharing.KeptPublication, bool, error) {
	return one(ctx, r.db, keptPublication, `
		SELECT `+publicationColumns+`
		FROM publication
		WHERE id::text = $1`, id)
}

// LastPublication returns the newest publication of the dataflow; false where there is none.
func (r reader) LastPublication(ctx context.Context, dataflow string) (sharing.KeptPublication, bool, error) {
	return one(ctx, r.db, keptPublication, `
		SELECT `+publicationColumns+`
		FROM publication
		WHERE dataflow = $1
		ORDER BY entry DESC
		LIMIT 1`, dataflow)
}

// WaitingPublications returns the publications that the statistics do not have yet, the oldest first.
func (r reader) WaitingPublications(ctx context.Context) ([]sharing.KeptPublication, error) {
	rows, err := r.db.Query(ctx, `
		SELECT `+publicationColumns+`
		FROM publication
		WHERE state = 1 AND withdraw_time IS NULL
		ORDER BY entry`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, keptPublication)
}

// Publications returns a page of publications, the newest first.
func (r reader) Publications(ctx context.Context, page sharing.Page) (publications []sharing.KeptPublication, next string, err error) {
	return pageOf(ctx, r.db, page, `
		SELECT `+publicationColumns+`, entry
		FROM publication
		WHERE entry < @before
		ORDER BY entry DESC
		LIMIT @limit`,
		pgx.NamedArgs{}, func(row pgx.CollectableRow, entry *int64) (sharing.KeptPublication, error) {
			return scanPublication(row, entry)
		})
}

func keptPublication(row pgx.CollectableRow) (sharing.KeptPublication, error) {
	return scanPublication(row)
}

func scanPublication(row pgx.CollectableRow, more ...any) (k sharing.KeptPublication, err error) {
	var updated, withdrawn *time.Time
	err = row.Scan(append([]any{&k.ID, &k.Document, &k.State, &k.Problem, &updated, &withdrawn}, more...)...)
	if updated != nil {
		k.Updated = updated.UTC()
	}
	if withdrawn != nil {
		k.Withdrawn = withdrawn.UTC()
	}
	return k, err
}

// PublicationPayload returns a batch of a publication's content.
func (r reader) PublicationPayload(ctx context.Context, id sharing.PublicationID, batch int) ([]byte, error) {
	payload, found, err := one(ctx, r.db, pgx.RowTo[[]byte], `
		SELECT payload
		FROM publication_batch
		WHERE publication = @id AND batch = @batch`,
		pgx.NamedArgs{"id": id, "batch": batch})
	if err == nil && !found {
		err = fmt.Errorf("batch %d of publication %s is not here", batch, id)
	}
	return payload, err
}

// SavePublication keeps what became of a publication that waits.
func (t tx) SavePublication(ctx context.Context, id sharing.PublicationID, state sharing.PublicationState, problem string, at time.Time) error {
	_, err := t.db.Exec(ctx, `
		UPDATE publication
		SET state = @state, problem = @problem, update_time = @at
		WHERE id = @id AND state = 1`,
		pgx.NamedArgs{"id": id, "state": int16(state), "problem": problem, "at": at})
	return err
}

// WithdrawPublication marks a publication as taken back.
func (t tx) WithdrawPublication(ctx context.Context, id sharing.PublicationID, at time.Time) error {
	_, err := t.db.Exec(ctx, `
		UPDATE publication
		SET withdraw_time = @at
		WHERE id = @id`,
		pgx.NamedArgs{"id": id, "at": at})
	return err
}
