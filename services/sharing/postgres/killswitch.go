package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

const switchLock = `hashtextextended('comity sharing switches', 0)`

// LockSwitches keeps others from throwing a switch, and waits for those who rely on none being thrown.
func (t tx) LockSwitches(ctx context.Context) error {
	_, err := t.db.Exec(ctx, `SELECT pg_advisory_xact_lock(`+switchLock+`)`)
	return err
}

// ShareSwitches keeps others from throwing a switch.
func (t tx) ShareSwitches(ctx context.Context) error {
	_, err := t.db.Exec(ctx, `SELECT pg_advisory_xact_lock_shared(`+switchLock+`)`)
	return err
}

// AddSwitch keeps a switch.
func (t tx) AddSwitch(ctx context.Context, thrown sharing.Switch, document []byte, leaf sharing.Leaf) error {
	entry, err := t.addLeaf(ctx, leaf)
	if err != nil {
		return err
	}
	_, err = t.db.Exec(ctx, `
		INSERT INTO switch (id, mode, partner, indicator, document, entry)
		VALUES (@id, @mode, @partner, @indicator, @document, @entry)`,
		pgx.NamedArgs{
			"id": thrown.ID, "mode": thrown.Mode, "partner": thrown.Partner, "indicator": thrown.Indicator,
			"document": document, "entry": entry,
		})
	return err
}

// Switches returns the newest switch of each mode, partner and indicator.
func (r reader) Switches(ctx context.Context) ([][]byte, error) {
	rows, err := r.db.Query(ctx, `
		SELECT DISTINCT ON (mode, partner, indicator) document
		FROM switch
		ORDER BY mode, partner, indicator, entry DESC`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[[]byte])
}
