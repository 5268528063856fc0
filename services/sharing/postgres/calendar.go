package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// AddAnnouncement keeps an announcement that is to come.
func (t tx) AddAnnouncement(ctx context.Context, announcement sharing.Announcement, document []byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO announcement (id, release_time, document, entry)
		VALUES (@id, @at, @document, @entry)`,
		pgx.NamedArgs{"id": announcement.ID, "at": announcement.At, "document": document, "entry": entry})
	return err
}

// An announcement with what became of the publication that came of it.
const selectAnnouncement = `
	SELECT a.id::text, a.document, a.state, a.problem, coalesce(a.publication::text, ''), coalesce(p.state, 0), coalesce(p.problem, ''), a.entry
	FROM announcement a
	LEFT JOIN publication p ON p.id = a.publication`

// Announcement returns an announcement; false where there is none of that id.
func (r reader) Announcement(ctx context.Context, id sharing.AnnouncementID) (sharing.KeptAnnouncement, bool, error) {
	return one(ctx, r.db, keptAnnouncement, selectAnnouncement+`
		WHERE a.id::text = $1`, id)
}

// OpenAnnouncements returns the announcements that are to come, the soonest first.
func (r reader) OpenAnnouncements(ctx context.Context) ([]sharing.KeptAnnouncement, error) {
	rows, err := r.db.Query(ctx, selectAnnouncement+`
		WHERE a.state = 1
		ORDER BY a.release_time, a.entry`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, keptAnnouncement)
}

// Announcements returns a page of announcements, what was announced last first.
func (r reader) Announcements(ctx context.Context, page sharing.Page) (announcements []sharing.KeptAnnouncement, next string, err error) {
	return pageOf(ctx, r.db, page, selectAnnouncement+`
		WHERE a.entry < @before
		ORDER BY a.entry DESC
		LIMIT @limit`,
		pgx.NamedArgs{}, scanAnnouncement)
}

// keptAnnouncement reads an announcement.
func keptAnnouncement(row pgx.CollectableRow) (sharing.KeptAnnouncement, error) {
	return scanAnnouncement(row, new(int64))
}

// scanAnnouncement reads an announcement and its entry.
func scanAnnouncement(row pgx.CollectableRow, entry *int64) (k sharing.KeptAnnouncement, err error) {
	err = row.Scan(&k.ID, &k.Document, &k.State, &k.Problem, &k.Publication, &k.Became, &k.BecameProblem, entry)
	return k, err
}

// PublishAnnouncement keeps which publication came of an announcement that is to come.
func (t tx) PublishAnnouncement(ctx context.Context, id sharing.AnnouncementID, publication sharing.PublicationID) (bool, error) {
	return changed(t.db.Exec(ctx, `
		UPDATE announcement
		SET state = 2, publication = @publication
		WHERE id = @id AND state = 1`,
		pgx.NamedArgs{"id": id, "publication": publication}))
}

// RefuseAnnouncement keeps why nothing came of an announcement that is to come.
func (t tx) RefuseAnnouncement(ctx context.Context, id sharing.AnnouncementID, problem string) error {
	_, err := t.db.Exec(ctx, `
		UPDATE announcement
		SET state = 3, problem = @problem
		WHERE id = @id AND state = 1`,
		pgx.NamedArgs{"id": id, "problem": problem})
	return err
}

// CancelAnnouncement marks an announcement as cancelled. What was published stays so, unless the statistics rejected it.
func (t tx) CancelAnnouncement(ctx context.Context, id sharing.AnnouncementID) (bool, error) {
	return changed(t.db.Exec(ctx, `
		UPDATE announcement
		SET state = 4, publication = NULL
		WHERE id = @id AND (state IN (1, 3)
			OR state = 2 AND EXISTS (SELECT FROM publication p WHERE p.id = announcement.publication AND p.state = 3))`,
		pgx.NamedArgs{"id": id}))
}
