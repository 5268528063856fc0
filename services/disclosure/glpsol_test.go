package disclosure_test

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/fault"
)

// linked is a table of all margins over dimensions whose codes are grouped in several ways, and what the inner cells are
// that each of its cells consists of. It is made without the package that is tested.
type linked struct {
	*disclosure.Table
	inner int
	of    [][]int
}

// linkedTables draws tables of up to four dimensions, as far as they have at most most inner cells.
func linkedTables(most int) *rapid.Generator[linked] {
	return rapid.Custom(func(t *rapid.T) linked {
		l := linked{Table: &disclosure.Table{}, inner: 1}
		keys, of := [][]string{nil}, [][]int{{0}}
		for d := range rapid.IntRange(1, 4).Draw(t, "dimensions") {
			n := rapid.IntRange(2, 5).Draw(t, "leaves")
			if l.inner*n > most {
				break
			}
			dimension, leaves := hierarchies(t, string(rune('P'+d)), n)
			l.Dimensions = append(l.Dimensions, dimension)
			var longer [][]string
			var parts [][]int
			for k, key := range keys {
				for _, code := range codesOf(dimension) {
					longer = append(longer, append(slices.Clone(key), code))
					var cells []int
					for _, i := range of[k] {
						for _, leaf := range leaves[code] {
							cells = append(cells, i*n+leaf)
						}
					}
					parts = append(parts, cells)
				}
			}
			keys, of, l.inner = longer, parts, l.inner*n
		}
		values := make([]int64, l.inner)
		for i := range values {
			values[i] = rapid.SampledFrom([]int64{0, 1, 2, 3, 5, 8, 20, 50}).Draw(t, "value")
		}
		l.of = of
		for k, key := range keys {
			c := disclosure.Cell{Key: key}
			for _, i := range of[k] {
				c.Value += values[i]
			}
			l.Cells = append(l.Cells, c)
		}
		return l
	})
}

// hierarchies returns a dimension of n leaves under one total, grouped in up to two ways, and the leaves of each code.
func hierarchies(t *rapid.T, id string, n int) (disclosure.Dimension, map[string][]int) {
	d := disclosure.Dimension{ID: id, Codes: []disclosure.Code{{Code: "T"}}}
	leaves := map[string][]int{}
	for i := range n {
		leaves["T"] = append(leaves["T"], i)
		leaves[fmt.Sprint("l", i)] = []int{i}
	}
	for way := range rapid.IntRange(0, 2).Draw(t, "ways") {
		groups := map[string]bool{}
		for i := range n {
			group := fmt.Sprintf("g%d%d", way, rapid.IntRange(0, 1).Draw(t, "group"))
			leaves[group] = append(leaves[group], i)
			if !groups[group] {
				groups[group] = true
				d.Codes = append(d.Codes, disclosure.Code{Code: group, Parent: "T", Hierarchy: fmt.Sprint(way)})
			}
			d.Codes = append(d.Codes, disclosure.Code{Code: fmt.Sprint("l", i), Parent: group})
		}
	}
	if len(d.Codes) == 1 {
		for i := range n {
			d.Codes = append(d.Codes, disclosure.Code{Code: fmt.Sprint("l", i), Parent: "T"})
		}
	}
	return d, leaves
}

// codesOf returns each code once.
func codesOf(d disclosure.Dimension) []string {
	var codes []string
	for _, c := range d.Codes {
		if !slices.Contains(codes, c.Code) {
			codes = append(codes, c.Code)
		}
	}
	return codes
}

// glpsol returns how far apart the ends of a cell's interval are by GLPK, which is told of the inner cells alone: that
// none is negative, what each shown cell is the sum of, and that all together are no more than the grand total.
func (l linked) glpsol(t *rapid.T, program string, cell int) float64 {
	var text strings.Builder
	sum := func(cell int) string {
		var terms strings.Builder
		for _, i := range l.of[cell] {
			fmt.Fprintf(&terms, " + x%d", i)
		}
		return terms.String()
	}
	top := slices.IndexFunc(l.of, func(of []int) bool { return len(of) == l.inner })
	fmt.Fprintf(&text, "Subject To\n%s <= %d\n", sum(top), l.GrandTotal())
	for k, c := range l.Cells {
		if !c.Status.Suppressed() {
			fmt.Fprintf(&text, "%s = %d\n", sum(k), c.Value)
		}
	}
	text.WriteString("End\n")
	directory, err := os.MkdirTemp("", "glpsol-")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(directory) }()
	file, answer := filepath.Join(directory, "program.lp"), filepath.Join(directory, "answer")
	var ends [2]float64
	for i, goal := range []string{"Minimize", "Maximize"} {
		if err := os.WriteFile(file, []byte(goal+"\n cell:"+sum(cell)+"\n"+text.String()), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(context.Background(), program, "--lp", file, "-o", answer).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		out, err := os.ReadFile(answer)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`Status:\s+OPTIMAL\nObjective:\s+cell = (\S+)`).FindSubmatch(out)
		if found == nil {
			t.Fatalf("no optimum in %s", out[:min(len(out), 500)])
		}
		if ends[i], err = strconv.ParseFloat(string(found[1]), 64); err != nil {
			t.Fatal(err)
		}
	}
	return ends[1] - ends[0]
}

func TestProtectedTablesPassGLPK(t *testing.T) {
	program, err := exec.LookPath("glpsol")
	if err != nil {
		t.Skip("glpsol, of the Debian package glpk-utils, is not installed")
	}
	protected, primaries := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		l := linkedTables(24).Draw(t, "table")
		rules := disclosure.Rules{MinimumFrequency: rapid.Int64Range(2, 5).Draw(t, "minimum"), RelativeWidth: 0.2}
		result, err := disclosure.Protect(context.Background(), l.Table, rules, disclosure.Options{})
		if fault.Is(err, fault.Precondition) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		protected++
		report := audit(t, result.Table, rules)
		if !report.Clean {
			t.Errorf("the audit finds %v, %v, %v", report.Computable, report.Narrow, report.Singletons)
		}
		looked := linked{result.Table, l.inner, l.of}
		most := 4
		if long() {
			most = len(result.Table.Cells)
		}
		for i, c := range result.Table.Cells {
			if c.Status != disclosure.Primary {
				continue
			}
			if most--; most < 0 {
				break
			}
			primaries++
			width := looked.glpsol(t, program, i)
			if need := min(rules.Width(c.Value), l.GrandTotal()); width < float64(need)-1e-6 {
				t.Errorf("%s has an interval of %v, and needs %d", c.Name(), width, need)
			}
			k := report.Cells[i]
			low, _ := k.Low.Float64()
			if high, _ := k.High.Float64(); math.Abs(high-low-width) > 1e-6 {
				t.Errorf("%s is in %v … %v, an interval of %v", c.Name(), low, high, width)
			}
		}
	})
	t.Logf("%d tables were protected, with %d primary cells", protected, primaries)
}
