package cellkey_test

import (
	"encoding/csv"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
)

// rows returns the rows of a file of testdata, by the names of its columns.
func rows(t testing.TB, name string) []map[string]string {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	lines, err := csv.NewReader(file).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []map[string]string
	for _, line := range lines[1:] {
		row := map[string]string{}
		for i, column := range lines[0] {
			row[column] = line[i]
		}
		rows = append(rows, row)
	}
	return rows
}

func number(t testing.TB, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func table(t testing.TB, parameters cellkey.Parameters) *cellkey.Table {
	t.Helper()
	table, err := cellkey.NewTable(parameters)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// mixed is what the second table of testdata is made with.
func mixed() cellkey.Parameters {
	return cellkey.Parameters{Maximum: 2, Variance: 1.05, SmallestReleased: 1, Monotone: []bool{true, true, false, true}}
}

func TestTablesAreThoseOfPtable(t *testing.T) {
	free := mixed()
	free.Monotone = []bool{false} // binds for no count of that table but the third
	for _, c := range []struct {
		file       string
		parameters cellkey.Parameters
	}{
		{"ptable_D2_V1.csv", cellkey.Parameters{Maximum: 2, Variance: 1}},
		{"ptable_D2_V1.05_js1_mixedmono.csv", mixed()},
		{"ptable_D2_V1.05_js1_mixedmono.csv", free},
	} {
		want, got := rows(t, c.file), table(t, c.parameters).Transitions()
		if len(got) != len(want) {
			t.Fatalf("%s: %d entries, want %d", c.file, len(got), len(want))
		}
		digits := func(x float64) float64 { return math.Round(x*1e8) / 1e8 }
		for i, row := range want {
			if g := got[i]; float64(g.Count) != number(t, row["i"]) || float64(g.Count+g.Noise) != number(t, row["j"]) ||
				float64(g.Noise) != number(t, row["v"]) ||
				digits(g.Lower) != number(t, row["p_int_lb"]) || digits(g.Upper) != number(t, row["p_int_ub"]) ||
				digits(digits(g.Upper)-digits(g.Lower)) != number(t, row["p"]) { // ptable rounds the bounds, then takes p from them
				t.Errorf("%s: %+v, want %v", c.file, g, row)
			}
		}
	}
}

func TestCellsArePerturbedAsByTheCellKeyPackage(t *testing.T) {
	type place struct{ section, nationality string }
	counts, sums := map[place]int64{}, map[place]*cellkey.DecimalSum{}
	for _, record := range rows(t, "ck_microdata.csv") {
		section := record["section"]
		region := map[byte]string{'N': "North", 'S': "South"}[section[0]]
		for _, s := range []string{section, region, "ALL"} {
			for _, n := range []string{record["nat"], "AnyNat"} {
				at := place{s, n}
				counts[at]++
				if sums[at] == nil {
					sums[at] = &cellkey.DecimalSum{}
				}
				if err := sums[at].Add(record["rkey"]); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	perturbed := map[place]map[string]string{}
	for _, row := range rows(t, "ck_freqtab_D2.csv") {
		perturbed[place{row["section"], row["nat"]}] = row
	}
	noise := table(t, mixed())
	for _, row := range rows(t, "ck_mods_D2.csv") {
		at := place{row["section"], row["nat"]}
		var key cellkey.Key
		if sum := sums[at]; sum != nil {
			key = sum.Key()
		}
		if want := number(t, row["ckey"]); math.Abs(key.Float()-want) > 1e-12 {
			t.Errorf("%v: cell key %v, want %v", at, key.Float(), want)
		}
		if got, want := noise.Noise(counts[at], key), number(t, row["pert"]); float64(got) != want {
			t.Errorf("%v: noise %d, want %v", at, got, want)
		}
		want := perturbed[at]
		if float64(counts[at]) != number(t, want["uwc"]) || float64(noise.Perturb(counts[at], key)) != number(t, want["puwc"]) {
			t.Errorf("%v: %d becomes %d, want %v", at, counts[at], noise.Perturb(counts[at], key), want)
		}
		if n, err := strconv.Atoi(row["row_nr"]); err != nil || n > 0 {
			entry := noise.Transitions()[n-1]
			if key := key.Float(); key < entry.Lower || key >= entry.Upper || int64(entry.Count) != min(counts[at], 4) {
				t.Errorf("%v: row %+v is not that of count %d and key %v", at, entry, counts[at], key)
			}
		}
	}
	if len(counts) == 0 || len(perturbed) != 50 || !strings.HasPrefix(rows(t, "ptable_D2_V1.csv")[0]["type"], "all") {
		t.Error("testdata is not what this test is about")
	}
}
