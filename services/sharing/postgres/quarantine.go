package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// LiftQuarantine lets a stream go on, and keeps the decision.
func (t tx) LiftQuarantine(ctx context.Context, lift sharing.Lift, document []byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	args := pgx.NamedArgs{"id": lift.ID, "stream": lift.Stream, "document": document, "entry": entry}
	_, err = t.db.Exec(ctx, `
		INSERT INTO quarantine_lift (id, stream, document, entry)
		VALUES (@id, @stream, @document, @entry)`, args)
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `UPDATE inbound SET quarantined = false WHERE stream = @stream`, args)
	return err
}
