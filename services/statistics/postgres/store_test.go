package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

var _ statistics.Store = (*postgres.Store)(nil)

// flow is a dataflow of three dimensions with a further attribute.
func flow(name string) *statistics.Flow {
	structure := &statistics.DataStructure{
		Ref:        statistics.Ref{Agency: "X", ID: "S", Version: "1.0.0"},
		Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "D"}, {ID: "E"}},
		Attributes: []statistics.Component{{ID: "OBS_STATUS"}, {ID: "UNIT"}, {ID: "COMMENT"}},
	}
	return &statistics.Flow{
		Dataflow:  statistics.Dataflow{Ref: statistics.Ref{Agency: "X", ID: name, Version: "1.0.0"}, Structure: structure.Ref},
		Structure: structure, Dimensions: make([]*statistics.Hierarchy, 3),
	}
}

// state is what a part holds: a text for each figure, by key and period.
type state map[string]string

// table makes a table of the state. A key is "FREQ D E PERIOD", a text "VALUE STATUS UNIT COMMENT".
func table(t rapid.TB, f *statistics.Flow, s state) *statistics.Table {
	t.Helper()
	made := statistics.NewTable(f.Structure)
	for _, key := range slices.Sorted(maps.Keys(s)) {
		var status, unit, comment string
		var value float64
		if _, err := fmt.Sscanf(s[key], "%g %s %s %s", &value, &status, &unit, &comment); err != nil {
			t.Fatal(err)
		}
		attributes := []string{unit, comment}
		for i := range attributes {
			if attributes[i] == "-" {
				attributes[i] = ""
			}
		}
		series, period := place(t, made, key)
		made.Put(series, period, statistics.Cell{Value: value, ObsStatus: status[0], ConfStatus: 'F', Attributes: made.AttributeSet(attributes)})
	}
	return made
}

// place returns the series and the period of a key.
func place(t rapid.TB, table *statistics.Table, key string) (series int, index int32) {
	t.Helper()
	var codes [3]string
	var at string
	if _, err := fmt.Sscanf(key, "%s %s %s %s", &codes[0], &codes[1], &codes[2], &at); err != nil {
		t.Fatal(err)
	}
	p, err := period.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	return table.Series([]uint32{table.Code(0, codes[0]), table.Code(1, codes[1]), table.Code(2, codes[2])}), p.Index
}

// put makes cells come in the place of what is stored.
func put(ctx context.Context, tx statistics.Transaction, f *statistics.Flow, provider string, cells *statistics.Table) error {
	changes, err := tx.Compare(ctx, f, provider, cells)
	if err != nil {
		return err
	}
	return tx.Apply(ctx, f, provider, changes)
}

func read(t rapid.TB, ctx context.Context, r statistics.Reader, f *statistics.Flow, s statistics.Selector, providers ...string) state {
	t.Helper()
	got, err := tryRead(ctx, r, f, s, providers...)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func tryRead(ctx context.Context, r statistics.Reader, f *statistics.Flow, s statistics.Selector, providers ...string) (state, error) {
	got := state{}
	dictionary, err := r.Dictionary(ctx, f)
	if err != nil {
		return nil, err
	}
	for series, err := range r.Read(ctx, f, providers, s) {
		if err != nil {
			return nil, err
		}
		key := ""
		for i, code := range series.Key {
			key += dictionary.Text(i, code) + " "
		}
		for i, index := range series.Track.Periods {
			cell := series.Track.Cells[i]
			unit, comment := "-", "-"
			if further := series.Further[index]; further != nil {
				if further[0] != "" {
					unit = further[0]
				}
				if further[1] != "" {
					comment = further[1]
				}
			}
			period := statistics.Period{Frequency: statistics.Frequency(key[0]), Index: index}
			got[key+period.String()] = fmt.Sprintf("%g %c %s %s", cell.Value, cell.ObsStatus, unit, comment)
		}
	}
	return got, nil
}

// change makes the figures of the provider p what now says, as a revision.
func change(t rapid.TB, ctx context.Context, store *postgres.Store, f *statistics.Flow, now state) int64 {
	t.Helper()
	var number int64
	err := store.Update(ctx, func(ctx context.Context, tx statistics.Transaction) error {
		part := statistics.Part{Dataflow: f.Ref, Provider: "p"}
		if err := tx.Lock(ctx, part); err != nil {
			return err
		}
		cells := table(t, f, now)
		for key := range read(t, ctx, tx, f, statistics.Selector{}, "p") {
			if _, stays := now[key]; !stays {
				series, period := place(t, cells, key)
				cells.Remove(series, period, 0)
			}
		}
		changes, err := tx.Compare(ctx, f, "p", cells)
		if err != nil {
			return err
		}
		if changes.Len() == 0 {
			return nil
		}
		if err := tx.Apply(ctx, f, "p", changes); err != nil {
			return err
		}
		number, err = tx.Publish(ctx, "", []statistics.Part{part})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return number
}

func TestHistory(t *testing.T) {
	t.Parallel()
	store := postgres.New(postgrestest.New(t, postgres.Migrations))
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		f := flow(fmt.Sprintf("F%d", run))
		ctx := t.Context()
		cells := rapid.MapOfN(
			rapid.Custom(func(t *rapid.T) string {
				at := rapid.SampledFrom([]string{"M %s 2023-11", "M %s 2023-12", "M %s 2024-01", "M %s 2031-06", "Q %s 2024-Q1", "A %s 1999", "D %s 2024-02-29", "W %s 2020-W53"}).Draw(t, "period")
				return fmt.Sprintf(at, rapid.SampledFrom([]string{"a x", "a y", "b x", "c z"}).Draw(t, "codes"))
			}),
			rapid.SampledFrom([]string{"0 A - -", "1 A - -", "2.5 E - -", "3 A PERSONS -", "4 A PERSONS why", "5 B - why", "NaN M - -", "NaN L PERSONS why"}),
			0, 20)
		var states []state
		var numbers []int64
		now := state{}
		for range rapid.IntRange(1, 9).Draw(rt, "revisions") {
			next := state(cells.Draw(rt, "cells"))
			number := change(rt, ctx, store, f, next)
			if maps.Equal(next, now) != (number == 0) {
				rt.Fatalf("revision %d where the state changed from %v to %v", number, now, next)
			}
			if now = next; number > 0 {
				states, numbers = append(states, next), append(numbers, number)
			}
		}
		for i, number := range numbers {
			err := store.View(ctx, statistics.Moment{Revision: number}, func(ctx context.Context, s statistics.Snapshot) error {
				if diff := cmp.Diff(states[i], read(rt, ctx, s, f, statistics.Selector{}, "p")); diff != "" {
					rt.Fatalf("as of revision %d (-want +got):\n%s", number, diff)
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
		}
		err := store.View(ctx, statistics.Moment{}, func(ctx context.Context, s statistics.Snapshot) error {
			if diff := cmp.Diff(now, read(rt, ctx, s, f, statistics.Selector{}, "p")); diff != "" {
				rt.Fatalf("now (-want +got):\n%s", diff)
			}
			return nil
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
}

func TestSelector(t *testing.T) {
	t.Parallel()
	store := postgres.New(postgrestest.New(t, postgres.Migrations))
	f := flow("F")
	all := state{}
	for _, codes := range []string{"a x", "a y", "b x", "10 z", "9 z"} {
		for _, period := range []string{"M %s 2023-11", "M %s 2024-01", "Q %s 2023-Q4", "A %s 2024"} {
			all[fmt.Sprintf(period, codes)] = "1 A - -"
		}
	}
	change(t, t.Context(), store, f, all)

	t.Run("it passes the rows that the filter passes in memory", func(t *testing.T) {
		t.Parallel()
		leaf := rapid.Custom(func(t *rapid.T) filter.Filter {
			component := rapid.SampledFrom([]string{"FREQ", "D", "E"}).Draw(t, "component")
			value := rapid.SampledFrom([]string{"M", "a", "b", "x", "z", "9", "10", "'", ""})
			op := rapid.SampledFrom([]filter.Op{
				filter.OpEq, filter.OpNe, filter.OpLt, filter.OpLe, filter.OpGt, filter.OpGe, filter.OpContains, filter.OpNotContains,
				filter.OpStartsWith, filter.OpEndsWith, filter.OpIn,
			}).Draw(t, "operator")
			if op == filter.OpIn {
				return filter.In(component, rapid.SliceOfN(value, 0, 3).Draw(t, "values")...)
			}
			return filter.Compare(op, component, value.Draw(t, "value"))
		})
		tree := rapid.Custom(func(t *rapid.T) filter.Filter {
			operands := rapid.SliceOfN(leaf, 0, 3).Draw(t, "operands")
			return rapid.SampledFrom([]filter.Filter{filter.And(operands...), filter.Or(operands...), filter.Not(filter.Or(operands...))}).Draw(t, "tree")
		})
		rapid.Check(t, func(rt *rapid.T) {
			condition := filter.And(tree.Draw(rt, "left"), filter.Or(tree.Draw(rt, "a"), tree.Draw(rt, "b")))
			want := state{}
			for key, text := range all {
				var freq, d, e string
				_, _ = fmt.Sscanf(key, "%s %s %s", &freq, &d, &e)
				if condition.Match(func(id string) string { return map[string]string{"FREQ": freq, "D": d, "E": e}[id] }) {
					want[key] = text
				}
			}
			err := store.View(t.Context(), statistics.Moment{}, func(ctx context.Context, s statistics.Snapshot) error {
				if diff := cmp.Diff(want, read(rt, ctx, s, f, statistics.Selector{Filter: condition}, "p")); diff != "" {
					rt.Fatalf("%v (-want +got):\n%s", condition, diff)
				}
				return nil
			})
			if err != nil {
				rt.Fatal(err)
			}
		})
	})
	t.Run("it reads the periods asked for", func(t *testing.T) {
		t.Parallel()
		month, _ := period.Parse("2023-11")
		quarter, _ := period.Parse("2023-Q4")
		spans := []statistics.Span{{Frequency: 'M', First: month.Index, Last: month.Index + 1}, {Frequency: 'Q', First: quarter.Index + 1, Last: quarter.Index + 9}}
		want := maps.Clone(all)
		maps.DeleteFunc(want, func(key, _ string) bool { return key[len(key)-8:] != " 2023-11" })
		err := store.View(t.Context(), statistics.Moment{}, func(ctx context.Context, s statistics.Snapshot) error {
			if diff := cmp.Diff(want, read(t, ctx, s, f, statistics.Selector{Spans: spans}, "p")); diff != "" {
				t.Errorf("periods (-want +got):\n%s", diff)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestTransaction(t *testing.T) {
	t.Parallel()
	store := postgres.New(postgrestest.New(t, postgres.Migrations))
	f := flow("F")

	t.Run("it leaves no trace of one that fails, not even its codes", func(t *testing.T) {
		failed := errors.New("failed")
		err := store.Update(t.Context(), func(ctx context.Context, tx statistics.Transaction) error {
			part := statistics.Part{Dataflow: f.Ref, Provider: "p"}
			if err := tx.Lock(ctx, part); err != nil {
				return err
			}
			now := table(t, f, state{"M lost x 2024-01": "1 A - -"})
			if err := put(ctx, tx, f, "p", now); err != nil {
				return err
			}
			if _, err := tx.Publish(ctx, "", []statistics.Part{part}); err != nil {
				return err
			}
			return failed
		})
		if !errors.Is(err, failed) {
			t.Fatal(err)
		}
		want := state{"M found x 2024-01": "1 A - -"}
		change(t, t.Context(), store, f, want)
		err = store.View(t.Context(), statistics.Moment{}, func(ctx context.Context, s statistics.Snapshot) error {
			if diff := cmp.Diff(want, read(t, ctx, s, f, statistics.Selector{}, "p")); diff != "" {
				t.Errorf("figures (-want +got):\n%s", diff)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("it shows revisions in the order of their numbers, however many commit at once", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		listening := make(chan error, 1)
		go func() { listening <- store.Listen(ctx) }()
		const writers, each = 4, 8
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				for i := range each {
					change(t, ctx, store, flow(fmt.Sprintf("W%d", w)), state{"M a x 2024-01": fmt.Sprintf("%d A - -", i+1)})
				}
			})
		}
		var seen []int64
		cursor := ""
		for deadline := time.Now().Add(time.Minute); len(seen) < writers*each+1 && time.Now().Before(deadline); {
			revisions, err := store.Revisions(ctx, cursor, 5)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range revisions {
				seen, cursor = append(seen, r.Number), r.Cursor
			}
			if len(revisions) == 0 {
				store.Wait(ctx)
			}
		}
		group.Wait()
		for i, number := range seen {
			if number != int64(i+1) {
				t.Fatalf("revisions %v", seen)
			}
		}
		if len(seen) != writers*each+1 {
			t.Errorf("%d revisions, want %d", len(seen), writers*each+1)
		}
		cancel()
		if err := <-listening; err != nil {
			t.Error(err)
		}
	})
	t.Run("it takes figures and tells of them while slow readers hold all views", func(t *testing.T) {
		pool := postgrestest.New(t, postgres.Migrations)
		slow := postgres.New(pool)
		reading, enough := make(chan struct{}), make(chan struct{})
		var readers sync.WaitGroup
		views := int(pool.Config().MaxConns) - 3
		for range views {
			readers.Go(func() {
				err := slow.View(t.Context(), statistics.Moment{}, func(context.Context, statistics.Snapshot) error {
					reading <- struct{}{}
					<-enough
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			})
		}
		for range views {
			<-reading
		}
		change(t, t.Context(), slow, f, state{"M a x 2024-01": "1 A - -"})
		if news, err := slow.Revisions(t.Context(), "", 5); err != nil || len(news) != 1 {
			t.Errorf("news %v, %v", news, err)
		}
		waiting, stop := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer stop()
		err := slow.View(waiting, statistics.Moment{}, func(context.Context, statistics.Snapshot) error { return nil })
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("one view more: %v", err)
		}
		close(enough)
		readers.Wait()
	})
	t.Run("it takes the first figures of several providers at once", func(t *testing.T) {
		shared := flow("SHARED")
		change(t, t.Context(), store, shared, state{"M a x 2024-01": "1 A - -"})
		const providers = 3
		var locked, group sync.WaitGroup
		locked.Add(providers)
		errs := make([]error, providers)
		for i := range providers {
			group.Go(func() {
				provider := fmt.Sprintf("first%d", i)
				errs[i] = store.Update(t.Context(), func(ctx context.Context, tx statistics.Transaction) error {
					err := tx.Lock(ctx, statistics.Part{Dataflow: shared.Ref, Provider: provider})
					locked.Done()
					locked.Wait() // every part is new, and none is committed
					if err != nil {
						return err
					}
					now := table(t, shared, state{"M " + provider + " x 2024-01": "1 A - -"})
					return put(ctx, tx, shared, provider, now)
				})
			})
		}
		group.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Error(err)
		}
	})
	t.Run("it refuses a cursor that is none", func(t *testing.T) {
		if _, err := store.Revisions(t.Context(), "tomorrow", 1); !fault.Is(err, fault.Invalid) {
			t.Errorf("error %v", err)
		}
	})
}
