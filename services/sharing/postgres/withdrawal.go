package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/sharing"
)

// Withdrawals returns what was withdrawn under the agreement, or all with the id "".
func (r reader) Withdrawals(ctx context.Context, id sharing.AgreementID) ([]sharing.KeptWithdrawal, error) {
	rows, err := r.db.Query(ctx, `
		SELECT signed, delivered
		FROM withdrawal
		WHERE $1 IN ('', agreement)
		ORDER BY entry`, string(id))
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[sharing.KeptWithdrawal])
}

// AddWithdrawal keeps what was withdrawn; false where it is there already.
func (t tx) AddWithdrawal(ctx context.Context, w sharing.Withdrawal, signed []byte, leaf sharing.Leaf) (bool, error) {
	args := pgx.NamedArgs{"id": w.ID, "agreement": w.Agreement, "version": w.Version, "state": w.State, "signed": signed}
	// The document's row is the lock under which two that bring the same come one after the other.
	if _, err := t.db.Exec(ctx, `SELECT FROM agreement WHERE id = @agreement AND version = @version FOR UPDATE`, args); err != nil {
		return false, err
	}
	there, _, err := one(ctx, t.db, pgx.RowTo[bool], `SELECT count(*) > 0 FROM withdrawal WHERE id = @id`, args)
	if err != nil || there {
		return false, err
	}
	if args["entry"], err = t.addLeaf(ctx, leaf); err != nil {
		return false, err
	}
	return changed(t.db.Exec(ctx, `
		INSERT INTO withdrawal (id, agreement, version, state, signed, entry)
		VALUES (@id, @agreement, @version, @state, @signed, @entry)`, args))
}

// WithdrawalDelivered marks a withdrawal as known to the provider.
func (t tx) WithdrawalDelivered(ctx context.Context, id string) error {
	_, err := t.db.Exec(ctx, `UPDATE withdrawal SET delivered = true WHERE id = $1`, id)
	return err
}
