package postgres_test

import (
	"context"
	"errors"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"golang.org/x/sync/errgroup"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/disclosure/ledger/ledgertest"
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
	recall := func(audience string) []ledger.Past {
		t.Helper()
		past, err := ledger.Recall(t.Context(), []ledger.Reader{store.Seen(audience)}, 1, append(simple(1).Cells, ledger.Cell{Key: "x"}))
		if err != nil {
			t.Fatal(err)
		}
		return past
	}
	if diff := cmp.Diff(make([]ledger.Past, 5), recall("PARTNERS")); diff != "" {
		t.Error(diff)
	}
	write(t, store, func(ctx context.Context, tx sharing.Tx) error {
		stacks, err := tx.Ledgers(ctx)
		if err != nil {
			return err
		}
		return admit(ctx, stacks, simple(1))
	})
	want := []ledger.Past{
		{Seen: ledger.Shown, Told: 1},
		{Seen: ledger.Refused, Told: 1, Width: 3},
		{Seen: ledger.Refused, Told: 1},
		{Seen: ledger.Shown, Told: 1},
		{},
	}
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

// ledgers plays on a store.
type ledgers struct{ *postgres.Store }

func (l ledgers) Ledger(ctx context.Context, audience string, work func(ledger.Stack) error) error {
	return l.Write(ctx, func(tx sharing.Tx) error {
		s, err := tx.Ledger(ctx, audience)
		if err != nil {
			return err
		}
		return work(s)
	})
}

func (l ledgers) Ledgers(ctx context.Context, work func([]ledger.Stack) error) error {
	return l.Write(ctx, func(tx sharing.Tx) error {
		stacks, err := tx.Ledgers(ctx)
		if err != nil {
			return err
		}
		return work(stacks)
	})
}

func TestLedger_decides_as_one_in_memory_does(t *testing.T) {
	sequences := uint64(4)
	if os.Getenv("COMITY_LONG") != "" {
		sequences = 100
	}
	for seed := range sequences {
		want := ledgertest.Play(t, ledgertest.InMemory(), seed)
		got := ledgertest.Play(t, ledgers{newStore(t)}, seed)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("seed %d: %s", seed, diff)
		}
	}
}

func TestLedger_forgets_what_was_not_committed(t *testing.T) {
	store := newStore(t)
	died := errors.New("died")
	for _, end := range []error{died, nil} {
		err := store.Write(t.Context(), func(tx sharing.Tx) error {
			for _, audience := range []string{"PARTNERS", "OTHERS"} {
				s, err := tx.Ledger(t.Context(), audience)
				if err != nil {
					return err
				}
				if next, err := s.Next(t.Context()); err != nil || next != 1 {
					t.Errorf("got %d, %v", next, err)
				}
				if err := admit(t.Context(), []ledger.Stack{s}, simple(1)); err != nil {
					return err
				}
			}
			return end
		})
		if !errors.Is(err, end) {
			t.Fatal(err)
		}
		seen, err := store.Seen("PARTNERS").Cells(t.Context(), []string{"T", "a"})
		if err != nil || (len(seen) > 0) != (end == nil) {
			t.Errorf("after %v: got %v, %v", end, seen, err)
		}
	}
}

func TestLedger_tells_what_cells_are_in_a_revision(t *testing.T) {
	store, memory := newStore(t), ledger.NewMemory()
	for _, revision := range []int64{2, 5, 9} {
		release := simple(revision)
		release.Cells[2].Value, release.Cells[3].Value = 18-revision, 20+revision // b and c are revised, T and a are not
		err := store.Write(t.Context(), func(tx sharing.Tx) error {
			stack, err := tx.Ledger(t.Context(), "PARTNERS")
			if err != nil {
				return err
			}
			return errors.Join(admit(t.Context(), []ledger.Stack{stack}, release), admit(t.Context(), []ledger.Stack{memory}, release))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for revision, want := range map[int64][]int64{1: {2, 2}, 2: {2, 2, 5}, 4: {2, 2, 5}, 5: {2, 5, 9}, 8: {2, 5, 9}, 9: {2, 9}, 12: {2, 9}} {
		for name, reader := range map[string]ledger.Reader{"the store": store.Seen("PARTNERS"), "memory": memory} {
			found, err := reader.CellsIn(t.Context(), revision, []string{"T", "b", "b", "x"})
			var got []int64
			for _, u := range found {
				got = append(got, u.Revision)
			}
			slices.Sort(got)
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s has of T and b in revision %d those of %v, want %v: %v", name, revision, got, want, err)
			}
		}
	}
}

func TestLedger_has_one_writer_at_a_time(t *testing.T) {
	store := newStore(t)
	var group errgroup.Group
	for i := range 8 {
		group.Go(func() error {
			// Some begin an audience while others publish.
			if i%4 == 3 {
				return ledgers{store}.Ledgers(t.Context(), func(stacks []ledger.Stack) error {
					return admit(t.Context(), stacks, simple(1))
				})
			}
			return ledgers{store}.Ledger(t.Context(), "PARTNERS", func(s ledger.Stack) error {
				release := simple(int64(i + 2))
				release.Cells[2].Value, release.Cells[3].Value = release.Cells[2].Value-int64(i), release.Cells[3].Value+int64(i)
				return admit(t.Context(), []ledger.Stack{s}, release)
			})
		})
	}
	if err := group.Wait(); err != nil {
		t.Error(err)
	}
}

func longOnly(t testing.TB) {
	t.Helper()
	if os.Getenv("COMITY_LONG") == "" {
		t.Skip("COMITY_LONG is not set")
	}
}

func TestLedger_of_ten_years_takes_what_comes_next_in_seconds(t *testing.T) {
	longOnly(t)
	decade, err := ledgertest.NewDecade(t.Context(), ledgers{newStore(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(decade)
	for _, step := range decade.Steps() {
		start := time.Now()
		if err := step.Decide(t.Context()); err != nil {
			t.Fatal(step.Name, err)
		}
		spent := time.Since(start)
		t.Logf("%s: %v", step.Name, spent.Round(time.Millisecond))
		if spent > step.Within {
			t.Errorf("%s takes %v", step.Name, spent)
		}
	}
}
