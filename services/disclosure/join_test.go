package disclosure_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/fault"
)

func TestJoin(t *testing.T) {
	bySex := withStatuses([]disclosure.Dimension{dimension("R", "T A<T B<T"), dimension("S", "T F<T M<T")},
		"T.T 10", "T.F 6", "T.M 4", "A.T 7", "A.F 5 P", "A.M 2 S", "B.T 3", "B.F 1 S", "B.M 2 S")
	byAge := withStatuses([]disclosure.Dimension{dimension("AGE", "T Y<T O<T"), dimension("R", "T N<T S<T B<S C<S")},
		"T.T 10", "T.N 4", "T.S 6", "T.B 3", "T.C 3", "Y.T 1", "O.T 9")
	t.Run("joins cells that mean the same, and keeps every way to add up", func(t *testing.T) {
		joined, err := disclosure.Join(bySex, byAge)
		if err != nil {
			t.Fatal(err)
		}
		if len(joined.Cells) != 14 {
			t.Errorf("%d cells", len(joined.Cells))
		}
		equations, findings, err := joined.Equations()
		if err != nil || len(findings) > 0 {
			t.Fatal(findings, err)
		}
		got := map[string]bool{}
		for _, e := range equations {
			got[joined.Sentence(e)] = true
		}
		for _, want := range []string{
			"T.T.T = A.T.T + B.T.T", "T.T.T = N.T.T + S.T.T", "S.T.T = B.T.T + C.T.T", "T.T.T = T.T.Y + T.T.O", "A.T.T = A.F.T + A.M.T",
		} {
			if !got[want] {
				t.Errorf("%s does not hold", want)
			}
		}
		if len(got) != 9 {
			t.Errorf("%d equations: %v", len(got), got)
		}
	})
	t.Run("finds what only both tables tell", func(t *testing.T) {
		line := []disclosure.Dimension{dimension("R", "T A<T B<T C<T")}
		one := withStatuses(line, "T 10", "A 2 P", "B 3 S", "C 5")
		two := withStatuses([]disclosure.Dimension{dimension("R", "N A<N D<N")}, "N 9", "A 2 P", "D 7")
		if report := audit(t, one, disclosure.Rules{}); !report.Clean {
			t.Errorf("%+v", report)
		}
		joined, err := disclosure.Join(one, two)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range audit(t, joined, disclosure.Rules{}).Computable {
			got = append(got, joined.Formula(c))
		}
		if diff := cmp.Diff([]string{"A = N − D", "B = T + D − C − N"}, got); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("keeps what one table has decided", func(t *testing.T) {
		line := []disclosure.Dimension{dimension("R", "T A<T B<T")}
		one, two := withStatuses(line, "T 10", "A 2 P", "B 8"), withStatuses(line, "T 10", "A 2 S", "B 8")
		one.Cells[2].Status = disclosure.Undecided
		for _, order := range [][]*disclosure.Table{{one, two}, {two, one}} {
			joined, err := disclosure.Join(order...)
			if err != nil {
				t.Fatal(err)
			}
			if joined.Cells[1].Status != disclosure.Primary || joined.Cells[2].Status != disclosure.Published {
				t.Errorf("%+v", joined.Cells)
			}
		}
	})
	line := []disclosure.Dimension{dimension("R", "T A<T")}
	for name, c := range map[string]struct {
		one, two *disclosure.Table
		says     string
	}{
		"different values": {
			withStatuses(line, "T 10"), withStatuses(line, "T 11"), "T is 10 in one table and 11 in another",
		},
		"a cell that is shown elsewhere": {
			withStatuses(line, "T 10 P"), withStatuses(line, "T 10"), "T is PRIMARY in one table and PUBLISHED in another",
		},
		"a dimension with several tops that a table lacks": {
			withStatuses(line, "T 10"), withStatuses([]disclosure.Dimension{dimension("S", "F M")}, "F 1"), "it does not have S, which has more than one top",
		},
		"codes that are parts of each other": {
			withStatuses(line, "T 10"), withStatuses([]disclosure.Dimension{dimension("R", "A T<A")}, "A 10"), "is a part of itself",
		},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, err := disclosure.Join(c.one, c.two)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want …%s…", err, c.says)
			}
		})
	}
}

func TestPropertiesOfJoinedTables(t *testing.T) {
	// two draws a table and two parts of it, each with the grand total and with all zeros: a table that lacks a cell says of
	// it that it is 0 where the others add up without it, and then it is not withheld in another one.
	two := func(t *rapid.T) (table *disclosure.Table, parts [2]*disclosure.Table) {
		table = tables(3, 4, 12).Draw(t, "table")
		top := slices.IndexFunc(table.Cells, func(c disclosure.Cell) bool { return c.Value == table.GrandTotal() })
		for k := range parts {
			parts[k] = &disclosure.Table{Dimensions: table.Dimensions}
			for i, c := range table.Cells {
				if i == top || c.Value == 0 || rapid.Bool().Draw(t, "kept") {
					parts[k].Cells = append(parts[k].Cells, c)
				}
			}
		}
		return table, parts
	}
	join := func(t *rapid.T, tables ...*disclosure.Table) *disclosure.Table {
		joined, err := disclosure.Join(tables...)
		if err != nil {
			t.Fatal(err)
		}
		return joined
	}
	names := func(table *disclosure.Table) map[string]disclosure.Cell {
		cells := map[string]disclosure.Cell{}
		for _, c := range table.Cells {
			cells[c.Name()] = c
		}
		return cells
	}
	sentences := func(t *rapid.T, table *disclosure.Table) []string {
		equations, _, err := table.Equations()
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for _, e := range equations {
			parts := strings.Split(strings.TrimPrefix(table.Sentence(e), table.Cells[e.Total].Name()+" = "), " + ")
			slices.Sort(parts)
			all = append(all, table.Cells[e.Total].Name()+" = "+strings.Join(parts, " + "))
		}
		slices.Sort(all)
		return all
	}
	t.Run("a table joined with itself, or alone, says the same", rapid.MakeCheck(func(t *rapid.T) {
		table, _ := two(t)
		for _, joined := range []*disclosure.Table{join(t, table), join(t, table, table)} {
			if diff := cmp.Diff(names(table), names(joined)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(sentences(t, table), sentences(t, joined)); diff != "" {
				t.Error(diff)
			}
		}
	}))
	t.Run("the order of tables does not matter, nor what is joined first", rapid.MakeCheck(func(t *rapid.T) {
		table, parts := two(t)
		one := join(t, parts[0], parts[1], table)
		for _, other := range []*disclosure.Table{join(t, table, parts[1], parts[0]), join(t, join(t, parts[0], parts[1]), table)} {
			if diff := cmp.Diff(names(one), names(other)); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(sentences(t, one), sentences(t, other)); diff != "" {
				t.Error(diff)
			}
		}
	}))
	t.Run("nobody knows less by seeing another table too", rapid.MakeCheck(func(t *rapid.T) {
		table, parts := two(t)
		truth := names(table)
		joined := join(t, parts[0], parts[1])
		both := audit(t, joined, disclosure.Rules{})
		at := map[string]int{}
		for i, c := range joined.Cells {
			at[c.Name()] = i
		}
		for _, part := range parts {
			completed, err := part.Complete(bytes.NewReader(make([]byte, 256)))
			if err != nil {
				t.Fatal(err)
			}
			// Cells that a table lacks are looked at for what they make computable. That they bound others too comes with
			// it, and need not do so in another table.
			bounds := completed == part
			// Another table can also show that it was wrong to take for nothing what this one lacks.
			misled := slices.ContainsFunc(completed.Cells, func(c disclosure.Cell) bool { return c.Absent && truth[c.Name()].Value != c.Value })
			for i, alone := range audit(t, part, disclosure.Rules{}).Cells {
				k := both.Cells[at[part.Cells[i].Name()]]
				if bounds && (k.Low.Cmp(alone.Low) < 0 || k.High.Cmp(alone.High) > 0) || alone.Computable && !k.Computable && !misled {
					t.Errorf("%s was in %v … %v, and is in %v … %v", part.Cells[i].Name(), alone.Low, alone.High, k.Low, k.High)
				}
			}
		}
	}))
	t.Run("whoever knows one cell of a class knows all", rapid.MakeCheck(func(t *rapid.T) {
		table, _ := two(t)
		equations, _, err := table.Equations()
		if err != nil {
			t.Fatal(err)
		}
		classes := disclosure.Merge(table, equations)
		report := audit(t, table, disclosure.Rules{})
		for i := range table.Cells {
			if table.Cells[i].Status == disclosure.Empty {
				if classes.Of[i] >= 0 {
					t.Errorf("%s is empty, and in a class", table.Cells[i].Name())
				}
				continue
			}
			if members := classes.Members[classes.Of[i]]; !slices.Contains(members, i) {
				t.Errorf("%s is not in its class", table.Cells[i].Name())
			} else if first := report.Cells[members[0]]; first.Low.Cmp(report.Cells[i].Low) != 0 || first.High.Cmp(report.Cells[i].High) != 0 {
				t.Errorf("%s and %s are known differently", table.Cells[i].Name(), table.Cells[members[0]].Name())
			}
		}
	}))
}
