package postgres_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// januaries makes a state of so many monthly series with the years' Januaries and a value.
func januaries(series, value int, years ...int) state {
	s := state{}
	for i := range series {
		for _, year := range years {
			s[fmt.Sprintf("M d%03d e %d-01", i, year)] = fmt.Sprintf("%d A - -", value)
		}
	}
	return s
}

func newest(t *testing.T, store *postgres.Store, f *statistics.Flow, at statistics.Moment) (got state) {
	t.Helper()
	err := store.View(t.Context(), at, func(ctx context.Context, s statistics.Snapshot) error {
		got = read(t, ctx, s, f, statistics.Selector{}, "p")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// merge adds figures to those of the provider p.
func merge(t *testing.T, ctx context.Context, tx statistics.Transaction, f *statistics.Flow, more state) error {
	t.Helper()
	changes, err := tx.Compare(ctx, f, "p", table(t, f, more))
	if err != nil {
		return err
	}
	return tx.Apply(ctx, f, "p", changes)
}

// removing is a store that removes so many blocks at a time, and fails after some chunks, as one whose process is killed.
type removing struct {
	*postgres.Store
	blocks, chunks int
}

func (r *removing) RemoveExpired(ctx context.Context, part statistics.Part, id string, e *statistics.Expiry, cursor string, _ int) (string, error) {
	if r.chunks == 0 {
		return "", context.Canceled
	}
	r.chunks--
	return r.Store.RemoveExpired(ctx, part, id, e, cursor, r.blocks)
}

func retention(store statistics.Store, now time.Time) *statistics.Service {
	return statistics.NewService(store, "own", func() time.Time { return now }, func() string { return uuid.Must(uuid.NewV7()).String() })
}

func TestRemovesByReceptionFromHistoryTooAndLogsIt(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, f := postgres.New(postgrestest.New(t, postgres.Migrations)), flow("F")
	first := change(t, ctx, store, f, januaries(20, 1, 2020, 2021))
	change(t, ctx, store, f, januaries(20, 2, 2020, 2021))
	received := time.Now()
	if _, err := retention(store, received).SetRetention(ctx, statistics.RetentionRule{AfterReceived: "P30D"}); err != nil {
		t.Fatal(err)
	}
	if err := retention(store, received.AddDate(0, 0, 29)).RemoveExpired(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(januaries(20, 2, 2020, 2021), newest(t, store, f, statistics.Moment{})); diff != "" {
		t.Fatal("removed too early", diff)
	}
	available := func() (n int) {
		err := store.View(ctx, statistics.Moment{}, func(ctx context.Context, s statistics.Snapshot) error {
			return s.Index(ctx, f, "p", func(*statistics.Index) error { n++; return nil })
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	available()
	late := received.AddDate(0, 0, 31)
	killed := &removing{Store: store, blocks: 7, chunks: 2}
	if err := retention(killed, late).RemoveExpired(ctx); err == nil {
		t.Fatal("it was not killed")
	}
	if got := newest(t, store, f, statistics.Moment{}); len(got) != 40-14 {
		t.Fatalf("%d figures after two chunks of 7 blocks", len(got))
	}
	if err := retention(&removing{Store: store, blocks: 7, chunks: -1}, late).RemoveExpired(ctx); err != nil {
		t.Fatal(err)
	}
	for _, at := range []statistics.Moment{{}, {Revision: first}, {Revision: first + 1}} {
		if got := newest(t, store, f, at); len(got) != 0 {
			t.Errorf("at %+v there are %d figures", at, len(got))
		}
	}
	removals, err := store.Removals(ctx, 10, "")
	if err != nil || len(removals) != 2 {
		t.Fatalf("%d entries, %v", len(removals), err)
	}
	var sum statistics.Removal
	for _, r := range removals {
		sum.Figures, sum.Superseded, sum.Series, sum.Chunks = sum.Figures+r.Figures, sum.Superseded+r.Superseded, sum.Series+r.Series, sum.Chunks+r.Chunks
		if r.Rule.AfterReceived != "P30D" || r.Part.Provider != "p" || r.FirstDay.Year() != 2020 || r.LastDay.Format(time.DateOnly) != "2021-01-31" {
			t.Errorf("the entry is %+v", r)
		}
	}
	if sum.Figures != 40 || sum.Superseded != 40 || sum.Series != 20 || sum.Chunks != 6 {
		t.Errorf("logged %+v", sum)
	}
	again := januaries(3, 5, 2022)
	change(t, ctx, store, f, again)
	if diff := cmp.Diff(again, newest(t, store, f, statistics.Moment{})); diff != "" {
		t.Error("after the removal it stores", diff)
	}
}

func TestRemovesByPeriodAndBySuperseding(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, f := postgres.New(postgrestest.New(t, postgres.Migrations)), flow("F")
	first := change(t, ctx, store, f, januaries(3, 1, 2019, 2020, 2021))
	change(t, ctx, store, f, januaries(3, 2, 2019, 2020, 2021))
	now := time.Now()
	set := func(r statistics.RetentionRule) {
		t.Helper()
		if _, err := retention(store, now).SetRetention(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	set(statistics.RetentionRule{AfterSuperseded: "10"})
	if err := retention(store, now.AddDate(0, 0, 11)).RemoveExpired(ctx); err != nil {
		t.Fatal(err)
	}
	if got := newest(t, store, f, statistics.Moment{Revision: first}); len(got) != 0 {
		t.Errorf("%d superseded figures are left", len(got))
	}
	if diff := cmp.Diff(januaries(3, 2, 2019, 2020, 2021), newest(t, store, f, statistics.Moment{})); diff != "" {
		t.Error(diff)
	}
	set(statistics.RetentionRule{AfterPeriod: "P1Y"})
	if err := retention(store, time.Date(2021, 1, 31, 0, 0, 0, 0, time.UTC)).RemoveExpired(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(januaries(3, 2, 2020, 2021), newest(t, store, f, statistics.Moment{})); diff != "" {
		t.Error("a year after the last day of 2020-01 is not over on its last day", diff)
	}
}

func TestTermsRemoveWhatNoRuleWould(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, f := postgres.New(postgrestest.New(t, postgres.Migrations)), flow("F")
	change(t, ctx, store, f, januaries(2, 1, 2020))
	part := statistics.Part{Dataflow: f.Ref, Provider: "p"}
	err := store.Update(ctx, func(ctx context.Context, tx statistics.Transaction) error {
		if err := tx.Lock(ctx, part); err != nil {
			return err
		}
		if err := merge(t, ctx, tx, f, januaries(1, 9, 2020)); err != nil {
			return err
		}
		if err := tx.PutTerms(ctx, part, 5); err != nil {
			return err
		}
		_, err := tx.Publish(ctx, "", []statistics.Part{part})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := retention(store, time.Now().AddDate(0, 0, 6)).RemoveExpired(ctx); err != nil {
		t.Fatal(err)
	}
	want := state{"M d001 e 2020-01": "1 A - -"}
	if diff := cmp.Diff(want, newest(t, store, f, statistics.Moment{})); diff != "" {
		t.Error("the figure before must not stand in its place", diff)
	}
	removals, err := store.Removals(ctx, 10, "")
	if err != nil || len(removals) != 1 || removals[0].ByTerms != 2 || removals[0].Rule != nil {
		t.Errorf("%+v, %v", removals, err)
	}
}

func TestSubmissionsAndQueriesGoOnWhileChunksAreRemoved(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	store, f := postgres.New(postgrestest.New(t, postgres.Migrations)), flow("F")
	change(t, ctx, store, f, januaries(200, 1, 2000))
	if _, err := retention(store, time.Now()).SetRetention(ctx, statistics.RetentionRule{AfterPeriod: "P10Y"}); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		if err := retention(&removing{Store: store, blocks: 5, chunks: -1}, time.Now()).RemoveExpired(ctx); err != nil {
			t.Error(err)
		}
	})
	now := time.Now().Year()
	for i := range 20 {
		err := store.Update(ctx, func(ctx context.Context, tx statistics.Transaction) error {
			part := statistics.Part{Dataflow: f.Ref, Provider: "p"}
			if err := tx.Lock(ctx, part); err != nil {
				return err
			}
			if err := merge(t, ctx, tx, f, januaries(3, i+1, now)); err != nil {
				return err
			}
			_, err := tx.Publish(ctx, "", []statistics.Part{part})
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		got := newest(t, store, f, statistics.Moment{})
		if key := fmt.Sprintf("M d002 e %d-01", now); got[key] != fmt.Sprintf("%d A - -", i+1) {
			t.Errorf("%s is %q after submission %d", key, got[key], i+1)
		}
	}
	group.Wait()
	if diff := cmp.Diff(januaries(3, 20, now), newest(t, store, f, statistics.Moment{})); diff != "" {
		t.Error(diff)
	}
}
