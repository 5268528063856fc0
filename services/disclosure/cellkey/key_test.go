package cellkey_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
)

// cell is a count and the key of the cell.
type cell struct {
	count int64
	key   cellkey.Key
}

func keys(t testing.TB, secret byte) *cellkey.Keys {
	t.Helper()
	keys, err := cellkey.NewKeys(bytes.Repeat([]byte{secret}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestRecordKeysAreTheFirstBitsOfTheHMACOfTheID(t *testing.T) {
	mac := hmac.New(sha256.New, bytes.Repeat([]byte{7}, 32))
	mac.Write([]byte("record 1"))
	want := cellkey.Key(binary.BigEndian.Uint64(mac.Sum(nil)))
	maker := keys(t, 7)
	if got := maker.Record("record 1"); got != want {
		t.Errorf("%x, want %x", got, want)
	}
	if maker.Record("record 2"); maker.Record("record 1") != want {
		t.Error("the key depends on those made before")
	}
	if keys(t, 8).Record("record 1") == want {
		t.Error("the key does not depend on the secret")
	}
	if _, err := cellkey.NewKeys(make([]byte, 31)); err == nil {
		t.Error("a short secret is taken")
	}
}

func TestKeysOfBaseCellsDependOnAllThatTheCellIs(t *testing.T) {
	maker := keys(t, 7)
	cell := cellkey.Base{Dataflow: "AA:FLOW(1.0.0)", Codes: []string{"M", "EAST"}, Period: "2024-01", Count: 5}
	key := maker.Base(cell)
	if maker.Base(cell) != key {
		t.Error("the same cell has another key")
	}
	for _, other := range []cellkey.Base{
		{Dataflow: "AA:FLOW(1.0.1)", Codes: cell.Codes, Period: cell.Period, Count: 5},
		{Dataflow: cell.Dataflow, Codes: []string{"M", "WEST"}, Period: cell.Period, Count: 5},
		{Dataflow: cell.Dataflow, Codes: []string{"ME", "AST"}, Period: cell.Period, Count: 5},
		{Dataflow: cell.Dataflow, Codes: []string{"M"}, Period: "EAST2024-01", Count: 5},
		{Dataflow: cell.Dataflow, Codes: cell.Codes, Period: "2024-02", Count: 5},
		{Dataflow: cell.Dataflow, Codes: cell.Codes, Period: cell.Period, Count: 6},
	} {
		if maker.Base(other) == key {
			t.Errorf("%v has the key of %v", other, cell)
		}
	}
	cell.Count = 0
	if maker.Base(cell) != 0 {
		t.Error("an empty cell has a key, so a total of one cell and empty ones has not that of the cell")
	}
}

func TestCellKeysAreTheSameInAnyOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := rapid.SliceOf(rapid.Uint64()).Draw(t, "record keys")
		counters := rapid.SliceOfN(rapid.Uint32(), len(records), len(records)).Draw(t, "keys of counters")
		fractions := rapid.SliceOfN(rapid.Uint64Max(999_999_999_999_999_999), len(records), len(records)).Draw(t, "decimals")
		order := rapid.Permutation(records).Draw(t, "order")
		var forth, back, of64 cellkey.Key
		var sum32 uint32
		var decimals, reversed cellkey.DecimalSum
		total := new(big.Int)
		for i := range records {
			forth += cellkey.Key(records[i])
			back += cellkey.Key(order[i])
			sum32 += counters[i]
			of64 += cellkey.FromCounter(counters[i])
			text := func(n uint64) string { return "0." + pad(n) }
			if decimals.Add(text(fractions[i])) != nil || reversed.Add(text(fractions[len(fractions)-1-i])) != nil {
				t.Fatal("a decimal is refused")
			}
			total.Add(total, new(big.Int).SetUint64(fractions[i]))
		}
		if forth != back {
			t.Error("the order matters")
		}
		if cellkey.FromCounter(sum32) != of64 {
			t.Error("the key of summed counters is not the sum of their keys")
		}
		one := big.NewInt(1_000_000_000_000_000_000)
		exact := total.Mod(total, one)
		exact.Lsh(exact, 64).Div(exact, one)
		if decimals.Key() != reversed.Key() || uint64(decimals.Key()) != exact.Uint64() {
			t.Error("the sum of decimals is not exact")
		}
	})
}

// pad writes a fraction in units of 10⁻¹⁸ behind the point.
func pad(n uint64) string {
	digits := strconv.FormatUint(n, 10)
	for len(digits) < 18 {
		digits = "0" + digits
	}
	return digits
}

func TestFractionsBecomeKeys(t *testing.T) {
	for fraction, want := range map[float64]cellkey.Key{0: 0, 0.25: 1 << 62, 0.5: 1 << 63, 1 - 0x1p-53: math.MaxUint64 - 1<<11 + 1, 0x1p-64: 1, 0x1p-65: 0} {
		if got, ok := cellkey.FromFloat(fraction); !ok || got != want {
			t.Errorf("%v: %x, want %x", fraction, got, want)
		}
	}
	for _, fraction := range []float64{1, -0x1p-60, math.Inf(1), math.Inf(-1), math.NaN()} {
		if _, ok := cellkey.FromFloat(fraction); ok {
			t.Errorf("%v is taken", fraction)
		}
	}
}

func FuzzDecimalsAreReadExactly(f *testing.F) {
	for _, seed := range []string{"0.99310182", "4.2e-05", ".5", "0", "1", "0.", "", ".", "-0.1", "1e-18", "0.0000000000000000001", "9e-1", "10e-2", "1e999999999", "0x.8", "0_1", "+0.5", "00.5", "1e1", "0.5e", "12e-19"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var sum cellkey.DecimalSum
		if sum.Add(text) != nil {
			if sum.Key() != 0 {
				t.Errorf("%q is refused and counted", text)
			}
			return
		}
		want, ok := new(big.Rat).SetString(text)
		if !ok || want.Sign() < 0 || want.Cmp(big.NewRat(1, 1)) >= 0 {
			t.Fatalf("%q is taken", text)
		}
		key := new(big.Int).Lsh(want.Num(), 64)
		if key.Div(key, want.Denom()); uint64(sum.Key()) != key.Uint64() {
			t.Errorf("%q has the key %x, want %x", text, sum.Key(), key)
		}
	})
}

func TestDecimalsThatAreNoneAreRefused(t *testing.T) {
	for _, text := range []string{"", ".", "1", "1.0", "-0.1", "0.1.2", "0.0000000000000000001", "1e-19", "0.5e1", "0x1p-2", "NaN", "0,5", "1e-9999999999999999999"} {
		if (&cellkey.DecimalSum{}).Add(text) == nil {
			t.Errorf("%q is taken", text)
		}
	}
	for _, text := range []string{"0", "0.0", "0.5", ".5", "5e-1", "1e-18", "0.999999999999999999", "0.50000000000000000000000", "12e-3", "0e0"} {
		if err := (&cellkey.DecimalSum{}).Add(text); err != nil {
			t.Error(err)
		}
	}
}

// A population in tables of any shape: cells of the same records have the same noise, whatever they are called, in whatever
// order their records are summed, and from sums of parts.
func TestEqualCellsHaveEqualNoiseInEveryTable(t *testing.T) {
	noise := table(t, cellkey.Parameters{Maximum: 5, Variance: 3, SmallestReleased: 2})
	rapid.Check(t, func(t *rapid.T) {
		maker, err := cellkey.NewKeys(bytes.Repeat([]byte{rapid.Byte().Draw(t, "secret")}, 32))
		if err != nil {
			t.Fatal(err)
		}
		records := rapid.IntRange(1, 12).Draw(t, "records")
		groupings := rapid.SliceOfN(rapid.SliceOfN(rapid.IntRange(0, 3), records, records), 1, 8).Draw(t, "groupings")
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
		cells := map[uint]cell{} // by the set of their records
		perturbed := map[uint]int64{}
		for _, grouping := range groupings {
			table, sets := map[int]cell{}, map[int]uint{}
			for _, record := range random.Perm(records) {
				group := grouping[record]
				before := table[group]
				table[group] = cell{before.count + 1, before.key + maker.Record(strconv.Itoa(record))}
				sets[group] |= 1 << record
			}
			var total cell
			var all uint
			for group, part := range table {
				total = cell{total.count + part.count, total.key + part.key}
				all |= sets[group]
			}
			table[-1], sets[-1] = total, all
			for group, part := range table {
				figure := noise.Perturb(part.count, part.key)
				if before, ok := perturbed[sets[group]]; ok && (before != figure || cells[sets[group]] != part) {
					t.Errorf("records %b were %d, and are %d in another table", sets[group], before, figure)
				}
				cells[sets[group]], perturbed[sets[group]] = part, figure
			}
		}
	})
}

func BenchmarkRecordKeys(b *testing.B) {
	maker := keys(b, 7)
	var sum cellkey.Key
	for b.Loop() {
		sum += maker.Record("2024-000123456")
	}
	_ = sum
}

func BenchmarkBaseKeys(b *testing.B) {
	maker := keys(b, 7)
	cell := cellkey.Base{Dataflow: "AA:FLOW(1.0.0)", Codes: []string{"M", "AA", "ENTRIES", "EAST", "LAND", "XX", "_T", "_T", "_T"}, Period: "2024-01", Count: 5}
	var sum cellkey.Key
	for b.Loop() {
		sum += maker.Base(cell)
	}
	_ = sum
}
