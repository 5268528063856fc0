package disclosure_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/fault"
)

func complete(t interface {
	Helper()
	Fatal(...any)
}, table *disclosure.Table,
) *disclosure.Table {
	t.Helper()
	full, err := table.Complete(bytes.NewReader(make([]byte, 96)))
	if err != nil {
		t.Fatal(err)
	}
	return full
}

func TestComplete(t *testing.T) {
	square := []disclosure.Dimension{dimension("R", "T A<T B<T"), dimension("S", "T F<T M<T")}
	for name, c := range map[string]struct {
		dimensions []disclosure.Dimension
		cells      string
		absent     string
	}{
		"adds the total of two margins":                        {square, "A.T 7, B.T 3, T.F 6, T.M 4", "T.T"},
		"adds a part that two totals lack":                     {[]disclosure.Dimension{dimension("R", "T U a<T b<T b<U c<U")}, "T 5, a 3, U 9, c 7", "b"},
		"adds a total that is nobody's but others' part":       {[]disclosure.Dimension{dimension("R", "W V T<W x<W T<V y<V a<T b<T")}, "W 9, x 4, V 6, y 1, a 2, b 3", ""},
		"adds nothing to a table that is whole":                {square, "T.T 10, T.F 6, T.M 4, A.T 7, A.F 5, A.M 2, B.T 3, B.F 1, B.M 2", ""},
		"adds no total that inner cells say all about":         {square, "A.F 5, A.M 2, B.F 1, B.M 2, A.T 7, B.T 3, T.F 6, T.M 4", ""},
		"adds no total of sums that differ, so one is partial": {square, "A.T 7, B.T 3, T.F 6", ""},
		"adds nothing where it knows one way to add up":        {[]disclosure.Dimension{dimension("R", "T A<T B<T")}, "A 7, B 3", ""},
	} {
		t.Run(name, func(t *testing.T) {
			table := &disclosure.Table{Dimensions: c.dimensions, Cells: cells(strings.Split(c.cells, ", ")...)}
			full := complete(t, table)
			var absent []string
			for _, cell := range full.Cells[len(table.Cells):] {
				absent = append(absent, cell.Name())
				if !cell.Absent || !cell.Status.Suppressed() {
					t.Errorf("%+v is shown", cell)
				}
			}
			if got := strings.Join(absent, " "); got != c.absent {
				t.Errorf("%q, want %q", got, c.absent)
			}
		})
	}
	t.Run("lets an audit find what margins without their total tell", func(t *testing.T) {
		table := withStatuses(square, "A.T 7", "B.T 3 P", "T.F 6", "T.M 4")
		report := audit(t, table, disclosure.Rules{})
		if len(report.Computable) != 1 || table.Formula(report.Computable[0]) != "B.T = T.F + T.M − A.T" || len(report.Cells) != 4 {
			t.Errorf("%+v", report)
		}
	})
	t.Run("refuses a table with countless totals", func(t *testing.T) {
		table := &disclosure.Table{}
		for d := range disclosure.MaxDimensions {
			table.Dimensions = append(table.Dimensions, dimension(fmt.Sprint("D", d), "T a<T b<T c<T"))
		}
		for i := range 200 {
			c := disclosure.Cell{Value: 1}
			for d := range disclosure.MaxDimensions {
				c.Key = append(c.Key, string("abc"[(i>>d&1)+(i*d)%2]))
			}
			if !slices.ContainsFunc(table.Cells, func(o disclosure.Cell) bool { return slices.Equal(o.Key, c.Key) }) {
				table.Cells = append(table.Cells, c)
			}
		}
		if _, err := table.Complete(bytes.NewReader(make([]byte, 96))); !fault.Is(err, fault.Exhausted) {
			t.Error(err)
		}
	})
	t.Run("adds what is true", rapid.MakeCheck(func(t *rapid.T) {
		table := tables(3, 5, 20).Draw(t, "table")
		values := map[string]int64{}
		kept := &disclosure.Table{Dimensions: table.Dimensions}
		for _, c := range table.Cells {
			values[c.Name()] = c.Value
			if rapid.Bool().Draw(t, "kept") {
				kept.Cells = append(kept.Cells, c)
			}
		}
		full := complete(t, kept)
		equations, findings, err := full.Equations()
		if err != nil || len(findings) > 0 {
			t.Fatal(findings, err)
		}
		system := disclosure.Merge(full, equations)
		if !system.System().Holds(system.Values) {
			t.Errorf("%v does not hold", full)
		}
		if len(full.Cells) == len(kept.Cells) && full != kept {
			t.Error("a table to which nothing was added is a copy")
		}
	}))
}
