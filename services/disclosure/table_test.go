package disclosure_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/fault"
)

// dimension reads codes from "T A<T B<T": a code, and behind "<" its parent, and behind "/" its hierarchy.
func dimension(id, codes string) disclosure.Dimension {
	d := disclosure.Dimension{ID: id}
	for _, listed := range strings.Fields(codes) {
		listed, hierarchy, _ := strings.Cut(listed, "/")
		code, parent, _ := strings.Cut(listed, "<")
		d.Codes = append(d.Codes, disclosure.Code{Code: code, Parent: parent, Hierarchy: hierarchy})
	}
	return d
}

// cells reads cells from "T.F 5": the key, the value.
func cells(lines ...string) []disclosure.Cell {
	var list []disclosure.Cell
	for _, line := range lines {
		var key string
		var c disclosure.Cell
		if _, err := fmt.Sscan(line, &key, &c.Value); err != nil {
			panic(err)
		}
		c.Key = strings.Split(key, ".")
		list = append(list, c)
	}
	return list
}

func TestEquations(t *testing.T) {
	for name, c := range map[string]struct {
		dimensions []disclosure.Dimension
		cells      []disclosure.Cell
		equations  []string
		findings   []string
	}{
		"hold for each line of a table": {
			dimensions: []disclosure.Dimension{dimension("R", "T A<T B<T"), dimension("S", "T F<T M<T")},
			cells:      cells("T.T 10", "T.F 6", "T.M 4", "A.T 7", "A.F 5", "A.M 2", "B.T 3", "B.F 1", "B.M 2"),
			equations: []string{
				"T.T = A.T + B.T", "T.T = T.F + T.M", "T.F = A.F + B.F", "T.M = A.M + B.M", "A.T = A.F + A.M", "B.T = B.F + B.M",
			},
		},
		"hold at each level": {
			dimensions: []disclosure.Dimension{dimension("R", "T A<T B<T a<A b<A")},
			cells:      cells("T 10", "A 7", "B 3", "a 5", "b 2"),
			equations:  []string{"T = A + B", "A = a + b"},
		},
		"take a part that is missing for empty where the rest adds up": {
			dimensions: []disclosure.Dimension{dimension("R", "T A<T B<T C<T")},
			cells:      cells("T 10", "A 7", "B 3"),
			equations:  []string{"T = A + B"},
		},
		"do not hold where a part is missing that counts": {
			dimensions: []disclosure.Dimension{dimension("R", "T A<T B<T C<T")},
			cells:      cells("T 12", "A 7", "B 3"),
		},
		"take the parts of a part that is missing": {
			dimensions: []disclosure.Dimension{dimension("R", "T A<T B<T a<A b<A")},
			cells:      cells("T 10", "B 3", "a 5", "b 2"),
			equations:  []string{"T = a + b + B"},
		},
		"know linked hierarchies by what overlaps": {
			dimensions: []disclosure.Dimension{dimension("R", "T N<T S<T X<T Y<T a<N b<N c<S d<S a<X c<X b<Y d<Y")},
			cells:      cells("T 10", "N 3", "S 7", "X 4", "Y 6", "a 1", "b 2", "c 3", "d 4"),
			equations:  []string{"T = N + S", "T = X + Y", "N = a + b", "S = c + d", "X = a + c", "Y = b + d"},
		},
		"know linked hierarchies by name": {
			dimensions: []disclosure.Dimension{dimension("R", "T N<T/1 S<T/1 X<T/2 Y<T/2")},
			cells:      cells("T 10", "N 3", "S 7", "X 4", "Y 6"),
			equations:  []string{"T = N + S", "T = X + Y"},
		},
		"complete an overlapping group with what it lacks": {
			dimensions: []disclosure.Dimension{dimension("AGE", "T Y<T M<T O<T GE18<T M<GE18 O<GE18")},
			cells:      cells("T 10", "Y 1", "M 4", "O 5", "GE18 9"),
			equations:  []string{"T = Y + M + O", "T = GE18 + Y", "GE18 = M + O"},
		},
		"do not hold for a group that lacks something": {
			dimensions: []disclosure.Dimension{dimension("AGE", "T m<T o<T x<T G<T m<G o<G H<T o<H x<H")},
			cells:      cells("T 10", "m 1", "o 4", "x 5", "G 5", "H 9"),
			equations:  []string{"T = m + o + x", "T = G + x", "T = H + m", "G = m + o", "H = o + x"},
		},
		"hold under each of several tops": {
			dimensions: []disclosure.Dimension{dimension("R", "T A<T B<T U C<U")},
			cells:      cells("T 10", "A 7", "B 3", "U 4", "C 4"),
			equations:  []string{"T = A + B", "U = C"},
		},
		"do not hold where totals are wrong, which is said": {
			dimensions: []disclosure.Dimension{dimension("R", "T A<T B<T")},
			cells:      cells("T 10", "A 7", "B 4"),
			findings:   []string{"T = A + B: the parts add up to 11, not to 10"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := disclosure.Table{Dimensions: c.dimensions, Cells: c.cells}
			equations, findings, err := table.Equations()
			if err != nil {
				t.Fatal(err)
			}
			var got, messages []string
			for _, e := range equations {
				got = append(got, table.Sentence(e))
			}
			for _, f := range findings {
				messages = append(messages, f.Message)
			}
			if diff := cmp.Diff(c.equations, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.findings, messages); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	flat := []disclosure.Dimension{dimension("R", "T A<T")}
	for name, c := range map[string]struct {
		table disclosure.Table
		says  string
	}{
		"no dimensions":             {disclosure.Table{}, "dimensions: a table has 1 to 12 of them, not 0"},
		"a dimension without codes": {disclosure.Table{Dimensions: []disclosure.Dimension{{ID: "R"}}}, "R has 0 codes"},
		"a dimension that comes twice": {
			disclosure.Table{Dimensions: slices.Concat(flat, flat)}, `dimensions[1].id: the id "R" is empty, or another dimension's`,
		},
		"a code without a name":       {disclosure.Table{Dimensions: []disclosure.Dimension{{ID: "R", Codes: []disclosure.Code{{}}}}}, "a code has a name"},
		"a code listed twice":         {disclosure.Table{Dimensions: []disclosure.Dimension{dimension("R", "T A<T A<T")}}, `dimensions[0].codes[2]: A is listed twice with the parent "T"`},
		"a parent that is no code":    {disclosure.Table{Dimensions: []disclosure.Dimension{dimension("R", "T A<B")}}, `the parent "B" of A is no code of R`},
		"a code that is its own part": {disclosure.Table{Dimensions: []disclosure.Dimension{dimension("R", "T A<T B<A A<B")}}, "R: A is a part of itself"},
		"a key that is too long":      {disclosure.Table{Dimensions: flat, Cells: cells("A.T 1")}, "the key [A T] has 2 codes; the table has 1 dimensions"},
		"a code that nobody listed":   {disclosure.Table{Dimensions: flat, Cells: cells("T 1", "X 1")}, `cells[1].key: dimension R has no code "X"`},
		"a cell that comes twice":     {disclosure.Table{Dimensions: flat, Cells: cells("T 1", "A 1", "A 1")}, "cells[2].key: A is there twice; the first is cells[1]"},
		"a negative count":            {disclosure.Table{Dimensions: flat, Cells: cells("T -1")}, "cells[0].frequency: T has the value -1"},
		"a count beyond all":          {disclosure.Table{Dimensions: flat, Cells: cells("T 1000000000001")}, "which is above 1000000000000"},
		"something in an empty cell": {
			disclosure.Table{Dimensions: flat, Cells: []disclosure.Cell{{Key: []string{"T"}, Value: 1, Status: disclosure.Empty}}}, "is said to be empty",
		},
		"a negative contribution": {
			disclosure.Table{Dimensions: flat, Cells: []disclosure.Cell{{Key: []string{"T"}, Value: 1, Contributions: []float64{-1}}}}, "contribution of -1",
		},
		"a parent with countless breakdowns": {
			disclosure.Table{Dimensions: []disclosure.Dimension{overlapping(40)}}, "has more than 16 breakdowns",
		},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			err := c.table.Check()
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want …%s…", err, c.says)
			}
		})
	}
}

// overlapping returns a total with n parts that all have one part in common.
func overlapping(n int) disclosure.Dimension {
	d := dimension("R", "T c")
	for i := range n {
		code := fmt.Sprint("p", i)
		d.Codes = append(d.Codes, disclosure.Code{Code: code, Parent: "T"}, disclosure.Code{Code: "c", Parent: code})
	}
	return d
}

func TestMerge(t *testing.T) {
	for name, c := range map[string]struct {
		dimension disclosure.Dimension
		cells     []disclosure.Cell
		classes   string
		equations int
	}{
		"puts a total and its one part together": {
			dimension("R", "T A<T B<T a<A"), cells("T 5", "A 3", "B 2", "a 3"), "T; A a; B", 1,
		},
		"leaves out what is empty": {
			dimension("R", "T A<T B<T C<T"), cells("T 5", "A 5", "B 0", "C 0"), "T A", 0,
		},
		"puts totals of the same parts together": {
			dimension("R", "T A<T B<T U A<U B<U"), cells("T 5", "U 5", "A 3", "B 2"), "T U; A; B", 1,
		},
		"follows chains": {
			dimension("R", "T A<T U B<U a<A a<B b<A b<B"), cells("T 5", "A 5", "U 5", "B 5", "a 2", "b 3"), "T A U B; a; b", 1,
		},
	} {
		t.Run(name, func(t *testing.T) {
			table := &disclosure.Table{Dimensions: []disclosure.Dimension{c.dimension}, Cells: c.cells}
			new(disclosure.Rules).Apply(table)
			equations, _, err := table.Equations()
			if err != nil {
				t.Fatal(err)
			}
			classes := disclosure.Merge(table, equations)
			var names []string
			for _, members := range classes.Members {
				var codes []string
				for _, i := range members {
					codes = append(codes, table.Cells[i].Name())
				}
				names = append(names, strings.Join(codes, " "))
			}
			if got := strings.Join(names, "; "); got != c.classes || len(classes.Equations) != c.equations {
				t.Errorf("%s with %d equations, want %s with %d", got, len(classes.Equations), c.classes, c.equations)
			}
			if system := classes.System(); system.Check() != nil || !system.Holds(classes.Values) {
				t.Errorf("%v does not hold for %v: %v", system, classes.Values, system.Check())
			}
		})
	}
	t.Run("says of a zero that is not structural that it is 0", func(t *testing.T) {
		table := &disclosure.Table{Dimensions: []disclosure.Dimension{dimension("R", "T A<T B<T C<T")}, Cells: cells("T 0", "A 0", "B 0", "C 0")}
		table.Cells[1].Status, table.Cells[2].Status = disclosure.Published, disclosure.Secondary
		new(disclosure.Rules).Apply(table)
		equations, _, err := table.Equations()
		if err != nil {
			t.Fatal(err)
		}
		want := []disclosure.Equation{{Total: 0}, {Total: 1}}
		if diff := cmp.Diff(want, disclosure.Merge(table, equations).Equations); diff != "" {
			t.Error(diff)
		}
	})
}
