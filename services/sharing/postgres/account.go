package postgres

import (
	"bytes"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/sharing"
)

// chargesAtOnce is how many accounts are charged at a time. Who waits for another to charge the same account holds a
// connection meanwhile, and the rest of the service needs some too.
const chargesAtOnce = 2

// Accounts keep in PostgreSQL what callers were told.
type Accounts struct {
	pool  pool
	turns chan struct{}
}

var _ sharing.Accounts = (*Accounts)(nil)

// NewAccounts returns the accounts in the database of the pool, which has the migrations.
func NewAccounts(connections *pgxpool.Pool) *Accounts {
	return &Accounts{pool: pool{connections, patience}, turns: make(chan struct{}, chargesAtOnce)}
}

// Charge runs charge on the account of a caller, in a transaction that alone holds it.
func (a *Accounts) Charge(ctx context.Context, caller string, charge func(*cellkey.Account) error) error {
	select {
	case a.turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-a.turns }()
	return pgx.BeginFunc(ctx, a.pool, func(tx pgx.Tx) error {
		// There may be no row yet that could be locked.
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(hashtextextended($1, 0))`, "comity sharing account "+caller); err != nil {
			return fmt.Errorf("locking the account: %w", err)
		}
		before, _, err := one(ctx, tx, pgx.RowTo[[]byte], `SELECT told FROM cell_account WHERE caller = $1`, caller)
		if err != nil {
			return fmt.Errorf("reading the account: %w", err)
		}
		var account cellkey.Account
		if err := account.UnmarshalBinary(before); err != nil {
			return fmt.Errorf("account %q: %w", caller, err)
		}
		if err := charge(&account); err != nil {
			return err
		}
		after, err := account.MarshalBinary()
		if err != nil || bytes.Equal(before, after) {
			return err
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO cell_account (caller, told)
			VALUES (@caller, @told)
			ON CONFLICT (caller) DO UPDATE SET told = excluded.told, update_time = now()`,
			pgx.NamedArgs{"caller": caller, "told": after})
		if err != nil {
			return fmt.Errorf("keeping the account: %w", err)
		}
		return nil
	})
}
