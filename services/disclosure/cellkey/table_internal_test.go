package cellkey

import (
	"math"
	"testing"
)

func TestIntervalsHoldTheirFirstKeyAndNotTheNext(t *testing.T) {
	table, err := NewTable(Parameters{Maximum: 4, Variance: 3, SmallestReleased: 2})
	if err != nil {
		t.Fatal(err)
	}
	for count, r := range table.rows {
		for i, upper := range r.upper {
			if last, next := table.Noise(int64(count), upper-1), table.Noise(int64(count), upper); last != r.noises[i] || next != r.noises[i+1] {
				t.Errorf("count %d: noises %d and %d at the bound of %d and %d", count, last, next, r.noises[i], r.noises[i+1])
			}
		}
		if first, last := table.Noise(int64(count), 0), table.Noise(int64(count), math.MaxUint64); first != r.noises[0] || last != r.noises[len(r.noises)-1] {
			t.Errorf("count %d: noises from %d to %d", count, first, last)
		}
	}
	for _, key := range []Key{0, 1 << 62, math.MaxUint64} {
		if got, want := table.Noise(1<<53, key), table.Noise(int64(len(table.rows)-1), key); got != want {
			t.Errorf("a count above the last row has noise %d, the last row %d", got, want)
		}
	}
}

func TestNoisesOfNoProbabilityAreNeverGiven(t *testing.T) {
	r := newRow([]int{-2, -1, 0, 1, 2}, []float64{0, 0.5, 0, 0.5, 0})
	table := Table{rows: []row{{noises: []int{0}}, r}}
	for _, c := range []struct {
		key  Key
		want int
	}{{0, -1}, {1<<63 - 1, -1}, {1 << 63, 1}, {math.MaxUint64 - 1, 1}} {
		if got := table.Noise(1, c.key); got != c.want {
			t.Errorf("key %v: noise %d, want %d", c.key.Float(), got, c.want)
		}
	}
}
