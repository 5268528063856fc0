package postgres_test

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/sharing/postgres"
)

// cell returns the address of a cell.
func cell(i int) cellkey.Address {
	return cellkey.AddressOf("AA:FLOW(1.0.0)", [][]string{{strconv.Itoa(i)}}, []string{"2024-01"})
}

func TestAccountsOfSeveralProcesses(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, postgres.Migrations)
	processes := []*postgres.Accounts{postgres.NewAccounts(pool), postgres.NewAccounts(pool), postgres.NewAccounts(pool)}
	budget, now := cellkey.Budget{Window: time.Hour, Capacity: 50}, time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	var told, refused atomic.Int64
	var work errgroup.Group
	for i := range 20 {
		work.Go(func() error { // ten cells each, of which five are those of the one before
			var cells []cellkey.Address
			for n := range 10 {
				cells = append(cells, cell(5*i+n))
			}
			err := processes[i%len(processes)].Charge(t.Context(), "ann", func(account *cellkey.Account) error {
				before := account.Left(budget, now)
				err := account.Charge(budget, now, cells)
				told.Add(int64(before - account.Left(budget, now)))
				return err
			})
			if fault.Is(err, fault.Exhausted) {
				refused.Add(1)
				return nil
			}
			return err
		})
	}
	if err := work.Wait(); err != nil {
		t.Fatal(err)
	}
	if told.Load() < 46 || told.Load() > 50 || refused.Load() == 0 {
		t.Errorf("with a budget of 50, %d cells were told, and %d tables refused", told.Load(), refused.Load())
	}
	left := func(caller string) (left int) {
		t.Helper()
		err := postgres.NewAccounts(pool).Charge(t.Context(), caller, func(account *cellkey.Account) error {
			left = account.Left(budget, now)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return left
	}
	if got := left("ann"); got != 50-int(told.Load()) {
		t.Errorf("%d are left after %d", got, told.Load())
	}
	if got := left("bob"); got != 50 {
		t.Errorf("another caller has %d", got)
	}
}

func TestAnAccountThatCannotBeRead(t *testing.T) {
	t.Parallel()
	pool := postgrestest.New(t, postgres.Migrations)
	if _, err := pool.Exec(t.Context(), `INSERT INTO cell_account (caller, told) VALUES ('ann', '\x01ff')`); err != nil {
		t.Fatal(err)
	}
	err := postgres.NewAccounts(pool).Charge(t.Context(), "ann", func(*cellkey.Account) error {
		t.Error("it is charged all the same")
		return nil
	})
	if err == nil {
		t.Error("it is taken for one")
	}
}
