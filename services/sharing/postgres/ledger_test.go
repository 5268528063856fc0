package postgres_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/postgres"
)

func newStore(t testing.TB) *postgres.Store {
	t.Helper()
	return postgres.NewStore(postgrestest.New(t, postgres.Migrations))
}

// write runs work in a transaction, and fails on an error.
func write(t testing.TB, store *postgres.Store, work func(ctx context.Context, tx sharing.Tx) error) {
	t.Helper()
	if err := store.Write(t.Context(), func(tx sharing.Tx) error { return work(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// simple returns a release of T = a + b + c, of which a and b are withheld.
func simple(revision int64) ledger.Release {
	return ledger.Release{ID: "simple", Revision: revision, Ceiling: 40, Cells: []ledger.Cell{
		{Key: "T", Value: 40, Status: disclosure.Published},
		{Key: "a", Value: 2, Status: disclosure.Primary, Width: 3},
		{Key: "b", Value: 18, Status: disclosure.Secondary},
		{Key: "c", Value: 20, Status: disclosure.Published},
	}, Equations: []ledger.Equation{{Total: "T", Parts: []string{"a", "b", "c"}}}}
}

// admit decides a release, and records it.
func admit(ctx context.Context, stacks []ledger.Stack, release ledger.Release) error {
	verdict, err := ledger.Admit(ctx, stacks, release, ledger.Options{Random: zeros{}})
	if err != nil {
		return err
	}
	return verdict.Record(ctx, stacks)
}

// zeros is randomness without surprises.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestLedger_begins_with_what_is_published(t *testing.T) {
	store := newStore(t)
	recall := func(audience string) []ledger.Seen {
		t.Helper()
		seen, err := ledger.Recall(t.Context(), []ledger.Reader{store.Seen(audience)}, 1, append(simple(1).Cells, ledger.Cell{Key: "x"}))
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	if diff := cmp.Diff(make([]ledger.Seen, 5), recall("PARTNERS")); diff != "" {
		t.Error(diff)
	}
	write(t, store, func(ctx context.Context, tx sharing.Tx) error {
		stacks, err := tx.Ledgers(ctx)
		if err != nil {
			return err
		}
		return admit(ctx, stacks, simple(1))
	})
	want := []ledger.Seen{ledger.Shown, ledger.Refused, ledger.Refused, ledger.Shown, ledger.New}
	for range 2 { // before it has a ledger of its own, and when it has
		if diff := cmp.Diff(want, recall("PARTNERS")); diff != "" {
			t.Error(diff)
		}
		write(t, store, func(ctx context.Context, tx sharing.Tx) error {
			s, err := tx.Ledger(ctx, "PARTNERS")
			if err != nil {
				return err
			}
			lines, err := s.Lines(ctx, []ledger.ID{2})
			if err != nil {
				return err
			}
			points, err := s.Points(ctx, []ledger.ID{3})
			if diff := cmp.Diff([]ledger.Line{{Total: 1, Parts: []ledger.ID{2, 3, 4}}}, lines, cmpopts.IgnoreFields(ledger.Line{}, "ID")); diff != "" || len(points) == 0 {
				t.Error(diff, points)
			}
			return err
		})
	}
	audiences, err := store.Audiences(t.Context())
	if diff := cmp.Diff([]string{"PARTNERS", sharing.Public}, audiences); diff != "" || err != nil {
		t.Error(diff, err)
	}
}
