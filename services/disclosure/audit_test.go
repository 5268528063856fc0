package disclosure_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure"
)

func auditing() disclosure.Auditing {
	return disclosure.Auditing{Iterations: 10_000, Words: 100, Random: bytes.NewReader(make([]byte, 256))}
}

func audit(t interface {
	Helper()
	Fatal(...any)
}, table *disclosure.Table, rules disclosure.Rules,
) *disclosure.Report {
	t.Helper()
	report, err := disclosure.Audit(context.Background(), table, rules, auditing())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestAuditFindsTheIntervalsOfSdcTable(t *testing.T) {
	for _, p := range []pattern{microdata, trap} {
		for column, name := range map[string]string{
			"primary": "primary_only", "OPT": "OPT", "HITAS": "HITAS", "HYPERCUBE": "HYPERCUBE", "GAUSS": "GAUSS",
			"SIMPLEHEURISTIC": "SIMPLEHEURISTIC", "SIMPLEHEURISTIC_OLD": "SIMPLEHEURISTIC_OLD",
		} {
			t.Run(p.file+" "+name, func(t *testing.T) {
				table := p.table(t, column)
				report := audit(t, table, disclosure.Rules{})
				protected := true
				for _, row := range readCSV(t, p.file+"_audit_"+name+".csv") {
					i := int(number(t, row["id"])) - 1
					k := report.Cells[i]
					if got := []string{k.Low.RatString(), k.High.RatString()}; !slices.Equal(got, []string{row["low"], row["up"]}) {
						t.Errorf("%s is in %v, want %s … %s", table.Cells[i].Name(), got, row["low"], row["up"])
					}
					protected = protected && row["protected"] == "TRUE"
					if k.Computable == (row["protected"] == "TRUE") {
						t.Errorf("%s is computable: %v", table.Cells[i].Name(), k.Computable)
					}
				}
				if report.Clean != protected {
					t.Errorf("clean: %v, want %v", report.Clean, protected)
				}
			})
		}
	}
}

// withStatuses returns a table of cells such as "T.F 5 P": the key, the value, and the first letter of the status unless
// it is published.
func withStatuses(dimensions []disclosure.Dimension, lines ...string) *disclosure.Table {
	table := &disclosure.Table{Dimensions: dimensions}
	for _, line := range lines {
		fields := strings.Fields(line)
		c := cells(strings.Join(fields[:2], " "))[0]
		c.Status = disclosure.Published
		if len(fields) > 2 {
			c.Status = map[string]disclosure.Status{"P": disclosure.Primary, "S": disclosure.Secondary, "E": disclosure.Empty}[fields[2]]
		}
		table.Cells = append(table.Cells, c)
	}
	return table
}

func TestAuditSaysWhatFollowsFromWhat(t *testing.T) {
	square := []disclosure.Dimension{dimension("R", "T A<T B<T"), dimension("S", "T F<T M<T")}
	for name, c := range map[string]struct {
		table    *disclosure.Table
		computed []string
	}{
		"of one line": {
			withStatuses(square, "T.T 10", "T.F 6", "T.M 4", "A.T 7", "A.F 5 P", "A.M 2", "B.T 3", "B.F 1", "B.M 2"),
			[]string{"A.F = T.F − B.F because T.F = A.F + B.F; A.F = A.T − A.M because A.T = A.F + A.M"},
		},
		"of a chain": {
			withStatuses([]disclosure.Dimension{dimension("R", "T A<T B<T a<A b<A")}, "T 10", "A 7 S", "B 3", "a 5 P", "b 2"),
			[]string{"A = T − B because T = A + B", "a = T − B − b because A = a + b, T = A + B"},
		},
		"of what is empty besides": {
			withStatuses([]disclosure.Dimension{dimension("R", "T A<T B<T C<T")}, "T 7", "A 7 P", "B 0 E", "C 0 E"),
			[]string{"A = T because T = A + B + C"},
		},
		"of nothing where it is told": {
			withStatuses([]disclosure.Dimension{dimension("R", "T A<T B<T")}, "T 7 S", "A 4 P", "B 3 S"), nil,
		},
		"of a weighted sum": {
			// Each pair adds up to a published total, so each of the three is half of a sum.
			withStatuses([]disclosure.Dimension{dimension("R", "T U V a<T b<T b<U c<U a<V c<V")}, "T 3", "U 5", "V 4", "a 1 P", "b 2 S", "c 3 S"),
			[]string{"a = 1/2·T + 1/2·V − 1/2·U because", "b = 1/2·T + 1/2·U − 1/2·V because", "c = 1/2·U + 1/2·V − 1/2·T because"},
		},
		"of counts that cannot be negative": {
			withStatuses([]disclosure.Dimension{dimension("R", "T A<T B<T C<T")}, "T 7", "A 7", "B 0 P", "C 0 S"),
			[]string{"", ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			report := audit(t, c.table, disclosure.Rules{})
			if len(report.Computable) != len(c.computed) {
				t.Fatalf("%d are computable, want %d: %v", len(report.Computable), len(c.computed), report.Computable)
			}
			for k, computation := range report.Computable {
				var because []string
				for _, e := range computation.Because {
					because = append(because, c.table.Sentence(e))
				}
				got := c.table.Formula(computation)
				if got != "" {
					got += " because " + strings.Join(because, ", ")
				}
				if !slices.ContainsFunc(strings.Split(c.computed[k], "; "), func(way string) bool { return strings.HasPrefix(got, way) && (got == "") == (way == "") }) {
					t.Errorf("%q, want %q", got, c.computed[k])
				}
				value := new(big.Rat)
				for _, s := range computation.Terms {
					value.Add(value, new(big.Rat).Mul(s.Weight, new(big.Rat).SetInt64(c.table.Cells[s.Cell].Value)))
				}
				if computation.ByBounds != (got == "") {
					t.Errorf("%q follows from bounds: %v", got, computation.ByBounds)
				}
				if want := new(big.Rat).SetInt64(c.table.Cells[computation.Cell].Value); got != "" && value.Cmp(want) != 0 {
					t.Errorf("%s gives %v, want %v", got, value, want)
				}
			}
		})
	}
}

func TestAudit(t *testing.T) {
	line := []disclosure.Dimension{dimension("R", "T A<T B<T C<T")}
	t.Run("tells who knows more because of knowing itself", func(t *testing.T) {
		table := withStatuses(line, "T 10", "A 1 P", "B 2 P", "C 7")
		report := audit(t, table, disclosure.Rules{MinimumFrequency: 3})
		want := []disclosure.Finding{{Cell: 2, Message: "The one contributor of A knows it, and can compute B."}}
		if diff := cmp.Diff(want, report.Singletons); diff != "" || report.Clean {
			t.Error(diff, report.Clean)
		}
	})
	t.Run("tells who else is alone where the cell has one contributor itself", func(t *testing.T) {
		table := withStatuses(line, "T 9", "A 1 P", "B 1 S", "C 7")
		if report := audit(t, table, disclosure.Rules{}); len(report.Singletons) != 1 || report.Singletons[0].Cell != 1 {
			t.Errorf("%+v", report.Singletons)
		}
	})
	t.Run("finds nothing where a third is withheld", func(t *testing.T) {
		table := withStatuses(line, "T 10", "A 1 P", "B 2 P", "C 7 S")
		if report := audit(t, table, disclosure.Rules{MinimumFrequency: 3}); !report.Clean {
			t.Errorf("%+v", report)
		}
	})
	t.Run("knows who is alone by contributions too", func(t *testing.T) {
		table := withStatuses(line, "T 99", "A 40 P", "B 50 P", "C 9")
		table.Cells[1].Contributions = []float64{40}
		if report := audit(t, table, disclosure.Rules{}); len(report.Singletons) != 1 {
			t.Errorf("%+v", report.Singletons)
		}
	})
	t.Run("is not content with an interval that is too narrow", func(t *testing.T) {
		table := withStatuses(line, "T 100", "A 2 P", "B 2 S", "C 96")
		if report := audit(t, table, disclosure.Rules{MinimumFrequency: 4}); !report.Clean {
			t.Errorf("4 is wide enough: %+v", report)
		}
		report := audit(t, table, disclosure.Rules{MinimumFrequency: 5})
		if report.Clean || len(report.Computable) > 0 || report.Cells[1].Required != 5 || report.Cells[2].Required != 0 {
			t.Errorf("%+v", report)
		}
	})
	t.Run("says which cells should not be shown", func(t *testing.T) {
		report := audit(t, withStatuses(line, "T 100", "A 2", "B 2 P", "C 96 S"), disclosure.Rules{MinimumFrequency: 3})
		want := []disclosure.Finding{{Cell: 1, Message: "A is shown, and counts fewer than 3."}}
		if diff := cmp.Diff(want, report.Exposed); diff != "" || report.Clean {
			t.Error(diff, report.Clean)
		}
	})
	t.Run("gives a cell away that is shown by another name", func(t *testing.T) {
		table := withStatuses([]disclosure.Dimension{dimension("R", "T A<T B<T a<A")}, "T 10", "A 4", "a 4 P", "B 6")
		report := audit(t, table, disclosure.Rules{})
		if report.Clean || len(report.Computable) != 1 || table.Formula(report.Computable[0]) != "a = A" {
			t.Errorf("%+v", report)
		}
	})
	t.Run("claims no more than it proved where it was not let finish", func(t *testing.T) {
		table := grid([][]int64{{3, 1, 4, 1}, {5, 9, 2, 6}, {5, 3, 5, 8}, {9, 7, 9, 3}}, nil)
		for i := range table.Cells {
			if !slices.Contains(table.Cells[i].Key, "_T") {
				table.Cells[i].Status = disclosure.Primary
			}
		}
		whole := audit(t, table, disclosure.Rules{})
		how, stopped := auditing(), auditing()
		how.Iterations = 0
		closed := make(chan struct{})
		close(closed)
		stopped.Stop = closed
		for _, how := range []disclosure.Auditing{how, stopped} {
			report, err := disclosure.Audit(t.Context(), table, disclosure.Rules{}, how)
			if err != nil {
				t.Fatal(err)
			}
			inexact := 0
			for i, k := range report.Cells {
				exact := whole.Cells[i]
				if k.Least.Cmp(exact.Low) > 0 || k.Low.Cmp(exact.Low) < 0 || k.High.Cmp(exact.High) > 0 || k.Most.Cmp(exact.High) < 0 {
					t.Errorf("%s is in %v … %v, and is said to be in %v (%v) … %v (%v)", table.Cells[i].Name(), exact.Low, exact.High, k.Low, k.Least, k.High, k.Most)
				}
				if !k.Exact() {
					inexact++
				}
			}
			if report.Clean || inexact == 0 || len(report.Computable) != len(whole.Computable) {
				t.Errorf("clean: %v, %d inexact, %v is computable", report.Clean, inexact, report.Computable)
			}
		}
	})
	t.Run("takes the word of points that prove the pattern, and of no others", func(t *testing.T) {
		result, err := disclosure.Protect(t.Context(), trap.table(t, "primary"), widths, disclosure.Options{})
		if err != nil {
			t.Fatal(err)
		}
		how := auditing()
		how.Iterations = 0
		how.Points = result.Points
		if report, err := disclosure.Audit(t.Context(), result.Table, widths, how); err != nil || !report.Clean {
			t.Error(report, err)
		}
		for _, spoil := range []func(p *disclosure.Point){
			func(p *disclosure.Point) { p.Moves = slices.Clone(p.Moves); p.Moves[0]++ },
			func(p *disclosure.Point) { p.Denominator = -p.Denominator },
			func(p *disclosure.Point) { p.Moves = p.Moves[:1] },
			func(p *disclosure.Point) { p.Cells = slices.Clone(p.Cells); p.Cells[0] = 1000 },
			func(p *disclosure.Point) { p.Cells = slices.Clone(p.Cells); p.Cells[0] = -1 },
			func(p *disclosure.Point) { p.Denominator = 1 },
		} {
			how := auditing()
			how.Iterations = 0
			for _, p := range result.Points {
				spoil(&p)
				how.Points = append(how.Points, p)
			}
			if report, err := disclosure.Audit(t.Context(), result.Table, widths, how); err != nil || report.Clean {
				t.Error("spoilt points prove the pattern", err)
			}
		}
	})
	t.Run("ends with its context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := disclosure.Audit(ctx, trap.table(t, "OPT"), disclosure.Rules{}, auditing())
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestExplain(t *testing.T) {
	rules := disclosure.Rules{MinimumFrequency: 3}
	table := withStatuses([]disclosure.Dimension{dimension("R", "T A<T B<T C<T"), dimension("S", "T F<T M<T U<T")},
		"T.T 60", "T.F 20", "T.M 20", "T.U 20",
		"A.T 20", "A.F 2 P", "A.M 8 S", "A.U 10",
		"B.T 20", "B.F 8", "B.M 2 P", "B.U 10 S",
		"C.T 20", "C.F 10", "C.M 10", "C.U 0 S",
	)
	table.Cells[10].Status, table.Cells[10].Rule = disclosure.Primary, disclosure.ByCaller
	rules.Name(table)
	got, err := disclosure.Explain(table, rules)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"A.F": "It counts fewer than 3.",
		"A.M": "With the total over S it would tell a cell that counts fewer than 3.",
		"B.M": "It is withheld by whoever made the table.",
		"B.U": "With the total over S it would tell a cell that is withheld by whoever made the table.",
		"C.U": "With the total over R it would tell others that are withheld to protect a cell that is withheld by whoever made the table.",
	}
	for i, c := range table.Cells {
		if got[i] != want[c.Name()] {
			t.Errorf("%s: %q, want %q", c.Name(), got[i], want[c.Name()])
		}
	}
}

// trees draws a dimension of up to n codes.
func trees(id string, n int) *rapid.Generator[disclosure.Dimension] {
	return rapid.Custom(func(t *rapid.T) disclosure.Dimension {
		d := disclosure.Dimension{ID: id, Codes: []disclosure.Code{{Code: id}}}
		for i := range rapid.IntRange(0, n-1).Draw(t, "codes") {
			parent := d.Codes[rapid.IntRange(0, i).Draw(t, "parent")].Code
			d.Codes = append(d.Codes, disclosure.Code{Code: fmt.Sprint(id, i), Parent: parent})
		}
		return d
	})
}

// leavesOf returns the codes that a code consists of.
func leavesOf(d disclosure.Dimension, code string) []string {
	var leaves []string
	for _, c := range d.Codes {
		if c.Parent == code {
			leaves = append(leaves, leavesOf(d, c.Code)...)
		}
	}
	if leaves == nil {
		return []string{code}
	}
	return leaves
}

// keys returns all keys of dimensions of which some codes are given.
func keys(codes [][]string) [][]string {
	all := [][]string{nil}
	for _, some := range codes {
		var longer [][]string
		for _, key := range all {
			for _, code := range some {
				longer = append(longer, append(slices.Clone(key), code))
			}
		}
		all = longer
	}
	return all
}

// tables draws tables of all margins over small counts, with any pattern, as far as they have at most most inner cells.
func tables(dimensions, codes, most int) *rapid.Generator[*disclosure.Table] {
	return rapid.Custom(func(t *rapid.T) *disclosure.Table {
		table := &disclosure.Table{}
		var inner, all [][]string
		size := 1
		for d := range rapid.IntRange(1, dimensions).Draw(t, "dimensions") {
			dim := trees(string(rune('P'+d)), codes).Draw(t, "tree")
			leaves := leavesOf(dim, dim.ID)
			if size *= len(leaves); size > most {
				break
			}
			table.Dimensions = append(table.Dimensions, dim)
			inner = append(inner, leaves)
			var listed []string
			for _, c := range dim.Codes {
				listed = append(listed, c.Code)
			}
			all = append(all, listed)
		}
		if len(table.Dimensions) == 0 {
			table.Dimensions = []disclosure.Dimension{dimension("R", "T A<T B<T")}
			inner, all = [][]string{{"A", "B"}}, [][]string{{"T", "A", "B"}}
		}
		values := map[string]int64{}
		for _, key := range keys(inner) {
			values[strings.Join(key, ".")] = rapid.SampledFrom([]int64{0, 0, 1, 1, 2, 3}).Draw(t, "value")
		}
		for _, key := range keys(all) {
			c := disclosure.Cell{Key: key, Status: rapid.SampledFrom([]disclosure.Status{disclosure.Published, disclosure.Published, disclosure.Primary, disclosure.Secondary}).Draw(t, "status")}
			var below [][]string
			for d, code := range key {
				below = append(below, leavesOf(table.Dimensions[d], code))
			}
			for _, leaf := range keys(below) {
				c.Value += values[strings.Join(leaf, ".")]
			}
			if c.Value == 0 && rapid.Bool().Draw(t, "structural") {
				c.Status = disclosure.Empty
			}
			table.Cells = append(table.Cells, c)
		}
		return table
	})
}

func TestPropertiesOfTables(t *testing.T) {
	t.Run("classes have one value each, and their equations hold", rapid.MakeCheck(func(t *rapid.T) {
		table := tables(4, 5, 40).Draw(t, "table")
		equations, findings, err := table.Equations()
		if err != nil || len(findings) > 0 {
			t.Fatal(findings, err)
		}
		classes := disclosure.Merge(table, equations)
		for class, members := range classes.Members {
			for _, i := range members {
				if table.Cells[i].Value != classes.Values[class] {
					t.Errorf("%s is %d, its class %d", table.Cells[i].Name(), table.Cells[i].Value, classes.Values[class])
				}
			}
		}
		system := classes.System()
		if err := system.Check(); err != nil || !system.Holds(classes.Values) {
			t.Errorf("%v does not hold: %v", system, err)
		}
	}))
	t.Run("margins that are missing take no equation away that still holds", rapid.MakeCheck(func(t *rapid.T) {
		table := tables(3, 5, 20).Draw(t, "table")
		kept := &disclosure.Table{Dimensions: table.Dimensions}
		for _, c := range table.Cells {
			if rapid.Bool().Draw(t, "kept") {
				kept.Cells = append(kept.Cells, c)
			}
		}
		equations, findings, err := kept.Equations()
		if err != nil || len(findings) > 0 {
			t.Fatal(findings, err)
		}
		for _, e := range equations {
			var sum int64
			for _, p := range e.Parts {
				sum += kept.Cells[p].Value
			}
			if sum != kept.Cells[e.Total].Value {
				t.Errorf("%s: %d is not %d", kept.Sentence(e), sum, kept.Cells[e.Total].Value)
			}
		}
	}))
}

func TestPropertiesOfAudits(t *testing.T) {
	t.Run("intervals hold every table that the reader can think of", rapid.MakeCheck(func(t *rapid.T) {
		table := tables(2, 4, 5).Draw(t, "table")
		report := audit(t, table, disclosure.Rules{})
		low, high := imagine(table)
		for i, c := range table.Cells {
			k := report.Cells[i]
			if k.Low.Cmp(new(big.Rat).SetInt64(low[i])) > 0 || k.High.Cmp(new(big.Rat).SetInt64(high[i])) < 0 {
				t.Errorf("%s can be %d … %d, and is said to be in %v … %v", c.Name(), low[i], high[i], k.Low, k.High)
			}
			if table.Cells[i].Status.Suppressed() && k.Computable != (k.Low.Cmp(k.High) == 0) {
				t.Errorf("%s is in %v … %v, and computable: %v", c.Name(), k.Low, k.High, k.Computable)
			}
		}
	}))
	t.Run("intervals of tables with one tree are attained by counts", rapid.MakeCheck(func(t *rapid.T) {
		table := tables(1, 6, 5).Draw(t, "table")
		report := audit(t, table, disclosure.Rules{})
		low, high := imagine(table)
		for i, c := range table.Cells {
			k := report.Cells[i]
			if k.Low.Cmp(new(big.Rat).SetInt64(low[i])) != 0 || k.High.Cmp(new(big.Rat).SetInt64(high[i])) != 0 {
				t.Errorf("%s can be %d … %d, and is said to be in %v … %v", c.Name(), low[i], high[i], k.Low, k.High)
			}
		}
	}))
	t.Run("one more published cell widens no interval", rapid.MakeCheck(func(t *rapid.T) {
		table := tables(3, 4, 12).Draw(t, "table")
		more := table.Clone()
		shown := rapid.IntRange(0, len(table.Cells)-1).Draw(t, "shown")
		if more.Cells[shown].Status != disclosure.Empty {
			more.Cells[shown].Status = disclosure.Published
		}
		before, after := audit(t, table, disclosure.Rules{}), audit(t, more, disclosure.Rules{})
		for i, c := range table.Cells {
			if after.Cells[i].Low.Cmp(before.Cells[i].Low) < 0 || after.Cells[i].High.Cmp(before.Cells[i].High) > 0 {
				t.Errorf("%s was in %v … %v, and is in %v … %v", c.Name(), before.Cells[i].Low, before.Cells[i].High, after.Cells[i].Low, after.Cells[i].High)
			}
		}
	}))
	t.Run("what is written down gives the value", rapid.MakeCheck(func(t *rapid.T) {
		table := tables(3, 4, 12).Draw(t, "table")
		for _, c := range audit(t, table, disclosure.Rules{}).Computable {
			if len(c.Because) == 0 {
				continue
			}
			value := new(big.Rat)
			for _, s := range c.Terms {
				if table.Cells[s.Cell].Status.Suppressed() {
					t.Errorf("%s is not published", table.Cells[s.Cell].Name())
				}
				value.Add(value, new(big.Rat).Mul(s.Weight, new(big.Rat).SetInt64(table.Cells[s.Cell].Value)))
			}
			if value.Cmp(new(big.Rat).SetInt64(table.Cells[c.Cell].Value)) != 0 {
				t.Errorf("%s is %d, not %v", table.Formula(c), table.Cells[c.Cell].Value, value)
			}
		}
	}))
}

// imagine goes through all inner cells that would give the published figures, and returns the least and the greatest value
// of each cell in them.
func imagine(table *disclosure.Table) (low, high []int64) {
	var inner []int    // the cells of which all others consist
	var within [][]int // for each cell, which of the inner cells it consists of
	for i, c := range table.Cells {
		leaf := true
		for d, code := range c.Key {
			leaf = leaf && slices.Equal(leavesOf(table.Dimensions[d], code), []string{code})
		}
		if leaf {
			inner = append(inner, i)
		}
	}
	for _, c := range table.Cells {
		var parts []int
		for k, i := range inner {
			below := true
			for d, code := range table.Cells[i].Key {
				below = below && slices.Contains(leavesOf(table.Dimensions[d], c.Key[d]), code)
			}
			if below {
				parts = append(parts, k)
			}
		}
		within = append(within, parts)
	}
	low, high = make([]int64, len(table.Cells)), make([]int64, len(table.Cells))
	for i := range low {
		low[i], high[i] = table.GrandTotal(), 0
	}
	values := make([]int64, len(inner))
	total := table.GrandTotal()
	var fill func(k int, left int64)
	fill = func(k int, left int64) {
		if k < len(values) {
			for v := range left + 1 {
				values[k] = v
				fill(k+1, left-v)
			}
			return
		}
		sums := make([]int64, len(table.Cells))
		for i, parts := range within {
			for _, k := range parts {
				sums[i] += values[k]
			}
			if !table.Cells[i].Status.Suppressed() && sums[i] != table.Cells[i].Value {
				return
			}
		}
		for i, sum := range sums {
			low[i], high[i] = min(low[i], sum), max(high[i], sum)
		}
	}
	fill(0, total)
	return low, high
}
