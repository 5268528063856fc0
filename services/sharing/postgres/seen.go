package postgres

import (
	"context"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// SeenCheckpoints returns a page of the checkpoints that were shown, the oldest first.
func (r reader) SeenCheckpoints(ctx context.Context, page sharing.Page) (seen []sharing.SeenCheckpoint, next string, err error) {
	_, limit, err := bounds(sharing.Page{Limit: page.Limit})
	if err != nil {
		return nil, "", err
	}
	after := int64(0)
	if page.Token != "" {
		if after, err = strconv.ParseInt(page.Token, 10, 64); err != nil {
			return nil, "", fault.InvalidField("pageToken", "it is not the nextPageToken of a page")
		}
	}
	rows, err := r.db.Query(ctx, `
		SELECT s.id, s.log, s.partner, s.size, s.note, s.create_time, a.document
		FROM seen_checkpoint s
		LEFT JOIN acceptance a ON a.checkpoint = s.id
		WHERE s.id > @after
		ORDER BY s.id
		LIMIT @limit`,
		pgx.NamedArgs{"after": after, "limit": limit + 1})
	if err != nil {
		return nil, "", err
	}
	var ids []int64
	seen, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (c sharing.SeenCheckpoint, err error) {
		var id int64
		err = row.Scan(&id, &c.Log, &c.Partner, &c.Size, &c.Note, &c.Created, &c.Acceptance)
		c.Created = c.Created.UTC()
		ids = append(ids, id)
		return c, err
	})
	if err != nil {
		return nil, "", err
	}
	if len(seen) > limit {
		seen, next = seen[:limit], strconv.FormatInt(ids[limit-1], 10)
	}
	return seen, next, nil
}

// AddSeenCheckpoint keeps a checkpoint that was shown.
func (t tx) AddSeenCheckpoint(ctx context.Context, seen sharing.SeenCheckpoint) error {
	_, err := t.db.Exec(ctx, `
		INSERT INTO seen_checkpoint (log, partner, size, note)
		VALUES (@log, @partner, @size, @note)
		ON CONFLICT DO NOTHING`,
		pgx.NamedArgs{"log": seen.Log, "partner": seen.Partner, "size": seen.Size, "note": seen.Note})
	return err
}

// CheckpointsAt returns the checkpoints of so many entries that a partner has shown of its log.
func (r reader) CheckpointsAt(ctx context.Context, partner sharing.StateCode, size int64) ([]string, error) {
	rows, err := r.db.Query(ctx, `
		SELECT note
		FROM seen_checkpoint
		WHERE log = @partner AND partner = @partner AND size = @size
		ORDER BY id`,
		pgx.NamedArgs{"partner": partner, "size": size})
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// AddAcceptance keeps an acceptance at the checkpoint that the log goes on from.
func (t tx) AddAcceptance(ctx context.Context, acceptance sharing.Acceptance, document []byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO acceptance (id, log, checkpoint, document, entry)
		SELECT @id, @log, s.id, @document, @entry
		FROM seen_checkpoint s
		WHERE s.log = @log AND s.partner = @log AND s.note = @from`,
		pgx.NamedArgs{"id": acceptance.ID, "log": acceptance.Log, "from": acceptance.From, "document": document, "entry": entry})
	return err
}
