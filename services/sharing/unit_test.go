package sharing

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/disclosure/ledger/ledgertest"
)

// revised returns counts of a month, and has them revised: another section has a small one, and a figure a fraction.
func revised() (f *months, revise func()) {
	at := func(section, country string) [3]string { return [3]string{"2025-02", section, country} }
	f = newMonths(map[[3]string]float64{at("W1", "R1"): 4, at("W2", "R1"): 6, at("E1", "R1"): 50, at("E1", "Q1"): 60})
	return f, func() {
		f.at++
		f.counts[at("W3", "R1")], f.counts[at("E1", "Q1")] = 1, 60.5
	}
}

// values returns what goes, by "W1 R1 2025-02"; NaN: without a value.
func (t table) values() map[string]float64 {
	values := map[string]float64{}
	for _, r := range t.rows {
		values[strings.Join(append(r.codes[3:5:5], r.period), " ")] = r.value
	}
	return values
}

// refusals returns why tables do not go, with their periods.
func (t table) refusals() []string {
	var all []string
	for _, n := range t.Notes {
		if n.Detail == nil {
			all = append(all, strings.Join(n.Periods, " ")+" "+n.Reason)
		}
	}
	return all
}

func TestUnit(t *testing.T) {
	t.Parallel()
	t.Run("of what was told before stays, and what does not fit it does not go", func(t *testing.T) {
		f, revise := revised()
		stack := ledger.NewMemory()
		if first := f.give(t, monthly, stack); len(first.made) != 1 || first.values()["W1 R1 2025-02"] != 4 {
			t.Fatalf("%+v", first.Notes)
		}
		revise()
		f.counts[[3]string{"2025-03", "W1", "R1"}] = 70
		next := f.give(t, monthly, stack)
		if len(next.made) != 1 || next.made[0].sheet.period != "2025-03" || !math.IsNaN(next.values()["_T _T 2025-02"]) {
			t.Errorf("%v", next.values())
		}
		refusals := next.refusals()
		if len(refusals) != 1 || !strings.Contains(refusals[0], "1A counts in units of 0.1 in 2025-02, and was told in units of 1 before") {
			t.Errorf("%q", refusals)
		}
		f.at++
		f.counts[[3]string{"2025-02", "E1", "Q1"}] = 61
		if last := f.give(t, monthly, stack); len(last.made) != 2 || len(last.refusals()) != 0 {
			t.Errorf("it stays away: %v", last.refusals())
		}
	})
	t.Run("may be finer than the first figures ask for, so that later ones go and what went before counts", func(t *testing.T) {
		f, revise := revised()
		f.least = 1
		stack, reader := ledger.NewMemory(), ledgertest.NewReader(ledgertest.NewArchive())
		for range 2 {
			given := f.give(t, monthly, stack)
			if len(given.made) != 1 {
				t.Fatalf("%+v", given.Notes)
			}
			given.made[0].read(t, reader, f.at)
			for _, cell := range []string{"W1 R1 2025-02", "W2 R1 2025-02"} {
				if math.IsNaN(given.values()[cell]) { // what was shown protects nothing
					t.Errorf("%s is withheld in revision %d", cell, f.at)
				}
			}
			if f.at > 1 && (!math.IsNaN(given.values()["W3 R1 2025-02"]) || given.values()["_T _T 2025-02"] != 121.5) {
				t.Errorf("%v", given.values())
			}
			revise()
		}
		if findings := reader.Findings(t); len(findings) > 0 {
			t.Error(strings.Join(findings, "\n"))
		}
	})
	t.Run("is the same in all periods, so that a year is still the sum of its months", func(t *testing.T) {
		counts := map[[3]string]float64{}
		for at, n := range map[string]float64{"2024-01": 2, "2024-02": 30.25, "2024-03": 40} {
			counts[[3]string{at, "W1", "R1"}] = n
			counts[[3]string{at, "W2", "R1"}], counts[[3]string{at, "W1", "Q1"}], counts[[3]string{at, "W2", "Q1"}] = 50, 60, 70
		}
		f, stack := newMonths(counts), ledger.NewMemory()
		first := f.give(t, monthly, stack).values()
		joined := f.give(t, yearly, stack)
		if first["W1 R1 2024-02"] != 30.25 || first["W1 R1 2024-03"] != 40 || !math.IsNaN(first["W1 R1 2024-01"]) {
			t.Errorf("%v", first)
		}
		if value := joined.values()["W1 R1 2024"]; !math.IsNaN(value) || len(joined.made) != 1 {
			t.Errorf("%v, %v", value, joined.Notes)
		}
	})
	t.Run("keeps a year back whose months do not fit it", func(t *testing.T) {
		f, stack := newMonths(map[[3]string]float64{{"2024-01", "W1", "R1"}: 40, {"2024-02", "W1", "R1"}: 50}), ledger.NewMemory()
		f.give(t, monthly, stack)
		f.at++
		f.counts[[3]string{"2024-01", "W1", "R1"}], f.counts[[3]string{"2024-02", "W1", "R1"}] = 40.5, 50.5
		year := f.give(t, yearly, stack)
		if refusals := year.refusals(); len(year.made) != 0 || len(refusals) != 1 || !strings.Contains(refusals[0], "in 2024-01") {
			t.Errorf("%d tables, %q", len(year.made), refusals)
		}
	})
	t.Run("is agreed among audiences, and they are told nothing where they were told in several", func(t *testing.T) {
		f, one, two := newMonths(map[[3]string]float64{{"2024-01", "W1", "R1"}: 40}), ledger.NewMemory(), ledger.NewMemory()
		f.give(t, monthly, one)
		f.counts[[3]string{"2024-02", "W1", "R1"}] = 50.5
		f.at++
		if both := f.give(t, monthly, one, two); len(both.made) != 1 || !strings.HasPrefix(both.refusals()[0], "2024-02 ") {
			t.Errorf("%d tables, %q", len(both.made), both.refusals())
		}
		if later := f.give(t, monthly, two); len(later.made) != 1 {
			t.Error("the second audience is told in another unit than with the first one")
		}
		three := ledger.NewMemory()
		f.give(t, monthly, three)
		none := f.give(t, monthly, one, three)
		if refusals := none.refusals(); len(none.made) != 0 || len(refusals) != 1 ||
			refusals[0] != "2024-01 2024-02 some were told of 1A in units of 1 and others in units of 0.1, which cannot be compared" {
			t.Errorf("%d tables, %q", len(none.made), refusals)
		}
	})
	t.Run("is the same for indicators that go together, if they share it", func(t *testing.T) {
		all, other := newTable(), newTable()
		all.units = []ledger.Cell{{Key: "decimals of 1", Value: 0}, {Key: "decimals of 2", Value: 1}}
		other.units = []ledger.Cell{{Key: "decimals of 2", Value: 1}}
		other.made = []*made{{sheet: &sheet{indicator: "2A"}}}
		if all.add(other); len(all.units) != 2 || all.made[0].refusal != nil {
			t.Errorf("%+v", all.made[0].refusal)
		}
		other.units[0].Value = 2
		if all.add(other); len(all.units) != 2 || all.made[1].refusal == nil {
			t.Error("both units go")
		}
	})
	t.Run("has at most six decimal places, and room for the largest figure", func(t *testing.T) {
		for name, test := range map[string]struct {
			figure float64
			least  int
			want   string
		}{
			"policy asks for more": {40, 7, "policy asks for 7 decimal places"},
			"and for fewer":        {40, -1, "policy asks for -1 decimal places"},
			"a figure has more":    {40.1234567, 0, "a figure has more than 6 decimal places"},
			"a figure is larger":   {2e9, 3, "a figure is above 1000000000, which is too large in units of 0.001"},
		} {
			f := newMonths(map[[3]string]float64{{"2024-01", "W1", "R1"}: test.figure})
			f.least = test.least
			given := f.give(t, monthly, ledger.NewMemory())
			if refusals := given.refusals(); (test.want == "") != (len(refusals) == 0) || test.want != "" && !strings.Contains(refusals[0], test.want) {
				t.Errorf("%s: %q", name, refusals)
			}
		}
	})
	t.Run("has who is counted as one taken for alone", func(t *testing.T) {
		f := newMonths(map[[3]string]float64{{"2024-01", "W1", "R1"}: 1, {"2024-01", "W2", "R1"}: 60, {"2024-01", "E1", "R1"}: 70.5})
		given := f.give(t, monthly, ledger.NewMemory())
		alone := 0
		for _, c := range given.made[0].table.Cells {
			if slices.Equal(c.Contributions, []float64{10}) {
				alone++
			}
		}
		if alone == 0 {
			t.Error("nobody is")
		}
	})
}
