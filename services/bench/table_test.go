package bench

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTable(t *testing.T) {
	t.Parallel()
	table := &Table{Machine: "a machine"}
	table.add(Row{What: "stream", Figure: "10 obs/s", Limit: "≥ 5 obs/s", Ratio: "2.00", Kept: true, Memory: 600})
	table.note("aside", "3 ms", "")
	table.add(Row{What: "table", Figure: "1 s", Kept: true, Detail: "so many cells, and what became of them, in as many words as it takes"})
	table.fail("events", errors.New("no route"))
	table.memory()
	text := &strings.Builder{}
	if err := table.Print(text); err != nil {
		t.Fatal(err)
	}
	want := `a machine

what                                              figure             limit      ratio  peak MiB
stream                                            10 obs/s           ≥ 5 obs/s  2.00   600       ok
aside                                             3 ms
table                                             1 s
    so many cells, and what became of them, in as many words as it takes
events                                            failed, see below  to work                     MISSED
memory: the largest peak of a process, in stream  600 MiB            ≤ 512 MiB  1.17             MISSED

2 of the limits MISSED

events: no route
`
	if text.String() != want {
		t.Errorf("it prints\n%s", text)
	}
}

func TestQuantile(t *testing.T) {
	t.Parallel()
	durations := make([]time.Duration, 100)
	for i := range durations {
		durations[i] = time.Duration((i*37 + 11) % 100)
	}
	for q, want := range map[float64]time.Duration{0: 0, 0.5: 50, 0.99: 99, 1: 99} {
		if got := quantile(durations, q); got != want {
			t.Errorf("it takes %d for the quantile %g of 0 to 99", got, q)
		}
	}
}

func TestCube(t *testing.T) {
	t.Parallel()
	c := cube{citizenships}
	t.Run("it has no series twice, in either structure", func(t *testing.T) {
		t.Parallel()
		for _, key := range []func(int) []string{c.key, c.nativeKey} {
			seen := map[string]bool{}
			for i := range c.series() {
				seen[strings.Join(key(i), ".")] = true
			}
			if len(seen) != c.series() {
				t.Errorf("%d keys of %d series", len(seen), c.series())
			}
		}
	})
	t.Run("it writes a row for each figure, and a revised one differs", func(t *testing.T) {
		t.Parallel()
		r := rows{cube: c, from: 5, series: 2, month: 11, months: 2}
		first := string(r.csv(large, dimensions(), c.key))
		if n := strings.Count(first, "\n"); n != 1+r.count() {
			t.Errorf("%d lines for %d figures", n, r.count())
		}
		if !strings.Contains(first, "\ndataflow,BENCH:LARGE(1.0.0),M,M,NZ,1A,XB_00,LAND,C000,F,UNK,_T,2020-12,") {
			t.Errorf("it writes\n%s", first)
		}
		before := strings.Split(first, "\n")
		r.edition = 1
		for i, line := range strings.Split(string(r.csv(large, dimensions(), c.key)), "\n")[1 : 1+r.count()] {
			if line == before[i+1] {
				t.Errorf("%s is not revised", line)
			}
		}
	})
}
