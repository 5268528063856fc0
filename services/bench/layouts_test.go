package bench

import (
	"io"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

func TestArrangements(t *testing.T) {
	t.Parallel()
	c := cube{2}
	pool := postgrestest.New(t, postgres.Migrations)
	conn, err := pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Release)
	arrangements := []arrangement{newBlockArrangement(pool, c)}
	for _, plain := range plainArrangements(conn.Conn(), c) {
		if _, err := conn.Exec(t.Context(), plain.schema); err != nil {
			t.Fatal(err)
		}
		arrangements = append(arrangements, plain)
	}
	first := rows{cube: c, series: 30, months: 10}
	revisions := []struct {
		rows
		isNew bool
	}{
		{first, true},
		{rows{cube: c, from: 30, series: 18, months: 10}, true},
		{rows{cube: c, series: 48, month: 10, months: 1}, false},
		{rows{cube: c, series: 5, month: 3, months: 4, edition: 1}, false},
		{rows{cube: c, series: 48, month: 8, months: 5, edition: 2}, false},
	}
	// What has to be read, counted out by hand.
	type figure struct{ series, month int }
	held := map[figure]int{}
	past := make([]float64, len(revisions)+1) // the sum of all, by revision
	ofOne := 0.0                              // citizenship
	for i, r := range revisions {
		for s := r.from; s < r.from+r.series; s++ {
			for m := r.month; m < r.month+r.months; m++ {
				held[figure{s, m}] = c.value(s, m, r.edition)
			}
		}
		ofOne = 0
		for f, value := range held {
			past[i+1] += float64(value)
			if c.placeOf(f.series).citizenship == 1 {
				ofOne += float64(value)
			}
		}
	}
	for _, a := range arrangements {
		for i, r := range revisions {
			if err := a.put(r.rows, i+1, r.isNew)(t.Context()); err != nil {
				t.Fatalf("revision %d of %s: %v", i+1, a.name(), err)
			}
		}
	}
	for _, a := range arrangements {
		t.Run(a.name(), func(t *testing.T) {
			check := func(t *testing.T, got float64, err error, want float64) {
				t.Helper()
				if err != nil || got != want {
					t.Errorf("%g, want %g: %v", got, want, err)
				}
			}
			t.Run("it reads all figures of a series", func(t *testing.T) {
				n, err := a.series(t.Context(), 31)
				check(t, float64(n), err, 13)
			})
			t.Run("it sums the newest figures", func(t *testing.T) {
				sum, err := a.sums(t.Context())
				check(t, sum, err, past[len(revisions)])
				sum, err = a.slice(t.Context(), 1)
				check(t, sum, err, ofOne)
			})
			t.Run("it sums what each revision made", func(t *testing.T) {
				for i := range revisions {
					sum, err := a.sumsAsOf(t.Context(), i+1)
					check(t, sum, err, past[i+1])
				}
			})
			t.Run("it streams, and takes room", func(t *testing.T) {
				if err := a.stream(t.Context()); err != nil {
					t.Error(err)
				}
				for _, table := range a.tables() {
					var size int64
					if err := pool.QueryRow(t.Context(), `SELECT pg_total_relation_size($1::regclass)`, table).Scan(&size); err != nil || size == 0 {
						t.Errorf("%s takes %d bytes: %v", table, size, err)
					}
				}
			})
		})
	}
}

func TestCompareLayoutsRefusesSizes(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{Scale: 0, Rounds: 1}, {Scale: 2, Rounds: 1}, {Scale: 1}, {Scale: 1, Rounds: maxRounds + 1}} {
		o.Directory = t.TempDir()
		if _, err := CompareLayouts(t.Context(), o, io.Discard); err == nil {
			t.Errorf("it takes a scale of %g and %d rounds", o.Scale, o.Rounds)
		}
	}
}

func TestComparison(t *testing.T) {
	t.Parallel()
	c := &Comparison{Machine: "a machine", Layouts: []string{"flat", "blocks"}}
	figures := []string{"3", "12"}
	c.add("load", "obs/s", func(i int) string { return figures[i] })
	text := &strings.Builder{}
	if err := c.Print(text); err != nil {
		t.Fatal(err)
	}
	want := `a machine

what  unit   flat  blocks
load  obs/s  3     12
`
	if text.String() != want {
		t.Errorf("it prints\n%s", text)
	}
}
