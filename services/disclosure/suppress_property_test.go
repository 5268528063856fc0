package disclosure_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/verify"
	"github.com/comity-federation/comity/services/fault"
)

// shapes are the dimensions of random tables: flat ones, one of two levels, one of two levels in which a branch ends
// early, and one whose codes are parts of two hierarchies.
var shapes = []string{
	"T A<T B<T",
	"T A<T B<T C<T",
	"T A<T B<T C<T D<T",
	"T A<T B<T a<A b<A c<B d<B",
	"T A<T B<T a<A b<A",
	"T N<T/1 S<T/1 X<T/2 Y<T/2 a<N b<N c<S d<S a<X c<X b<Y d<Y",
}

// size returns how many cells random tables have at most, of so many where there is time.
func size(most int) int {
	if long() {
		return most
	}
	return most / 2
}

// withTotals draws a table of one to four dimensions with at most so many cells, which has all totals.
func withTotals(most int) *rapid.Generator[*disclosure.Table] {
	return rapid.Custom(func(t *rapid.T) *disclosure.Table {
		table := &disclosure.Table{}
		var codes [][]string
		size := 1
		for d := range rapid.IntRange(1, 4).Draw(t, "dimensions") {
			shape := rapid.SampledFrom(shapes).Draw(t, "shape")
			drawn := dimension(string(rune('P'+d)), shape)
			var names []string
			for _, c := range drawn.Codes {
				if !slices.Contains(names, c.Code) {
					names = append(names, c.Code)
				}
			}
			if size *= len(names); size > most {
				break
			}
			table.Dimensions = append(table.Dimensions, drawn)
			codes = append(codes, names)
		}
		if codes == nil {
			table.Dimensions, codes = []disclosure.Dimension{dimension("P", shapes[0])}, [][]string{{"T", "A", "B"}}
		}
		value := rapid.Custom(func(t *rapid.T) int64 {
			top := rapid.SampledFrom([]int64{0, 4, 4, 30, 30, 30, 2000}).Draw(t, "top")
			return rapid.Int64Range(min(top, 1), top).Draw(t, "value")
		})
		values := map[string]int64{}
		for _, key := range keys(codes) {
			values[strings.Join(key, ".")] = -1
		}
		var sum func(key []string) int64
		sum = func(key []string) int64 {
			name := strings.Join(key, ".")
			if values[name] >= 0 {
				return values[name]
			}
			for d, code := range key {
				if parts := breakdown(table.Dimensions[d], code); parts != nil {
					total := int64(0)
					for _, part := range parts {
						inner := slices.Clone(key)
						inner[d] = part
						total += sum(inner)
					}
					values[name] = total
					return total
				}
			}
			values[name] = value.Draw(t, name)
			return values[name]
		}
		for _, key := range keys(codes) {
			table.Cells = append(table.Cells, disclosure.Cell{Key: key, Value: sum(key)})
		}
		return table
	})
}

// breakdown returns the parts of one breakdown of a code; nil: it has none.
func breakdown(d disclosure.Dimension, code string) []string {
	var parts []string
	first := ""
	for _, c := range d.Codes {
		if c.Parent == code && (parts == nil || c.Hierarchy == first) {
			first = c.Hierarchy
			parts = append(parts, c.Code)
		}
	}
	return parts
}

// randomTables draws tables with or without all totals, with zeros that are no structural ones, and cells that are preset.
func randomTables(most int) *rapid.Generator[*disclosure.Table] {
	return rapid.Custom(func(t *rapid.T) *disclosure.Table {
		table := withTotals(most).Draw(t, "table")
		if rapid.IntRange(0, 3).Draw(t, "incomplete") == 0 {
			var kept []disclosure.Cell
			for _, c := range table.Cells {
				if !slices.Contains(c.Key, "T") || rapid.IntRange(0, 4).Draw(t, "kept") > 0 {
					kept = append(kept, c)
				}
			}
			table.Cells = kept
		}
		for i := range table.Cells {
			c := &table.Cells[i]
			switch lot := rapid.IntRange(0, 29).Draw(t, "preset"); {
			case c.Value == 0 && lot < 5:
				c.Status = disclosure.Published
			case c.Value > 0 && lot == 0:
				c.Status = disclosure.Primary
			case c.Value > 0 && lot == 1:
				c.Status = disclosure.Secondary
			}
		}
		return table
	})
}

// protect protects a table, or skips it where nothing does; that nothing does is checked.
func protect(t *rapid.T, table *disclosure.Table, o disclosure.Options) *disclosure.Result {
	r, err := disclosure.Protect(t.Context(), table, widths, o)
	if fault.Is(err, fault.Precondition) && o.Pinned == nil {
		most := table.Clone()
		widths.Apply(most)
		for i := range most.Cells {
			if c := &most.Cells[i]; c.Status == disclosure.Published {
				c.Status = disclosure.Secondary
			}
		}
		if audited(t, most).Clean {
			t.Fatalf("it is refused, and everything could be withheld: %v", err)
		}
	}
	if fault.Is(err, fault.Precondition) {
		t.Skip("nothing protects this one")
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// audited audits a table, whose primary cells need no interval beyond the grand total.
func audited(t *rapid.T, table *disclosure.Table) *disclosure.Report {
	report := audit(t, table, widths)
	total := table.GrandTotal()
	wide := len(report.Computable) == 0 && len(report.Singletons) == 0 && len(report.Exposed) == 0
	for i := range report.Cells {
		k := &report.Cells[i]
		k.Required = min(k.Required, total)
		wide = wide && k.Wide()
	}
	report.Clean = wide
	return report
}

func TestProtectLeavesNothingToCompute(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := randomTables(size(120)).Draw(t, "table")
		r := protect(t, table, disclosure.Options{})
		report := audited(t, r.Table)
		for _, i := range slices.Concat(report.Singletons, report.Exposed) {
			t.Error(i.Message)
		}
		for i, k := range report.Cells {
			c := r.Table.Cells[i]
			if k.Computable || !k.Wide() {
				t.Errorf("%s is between %s and %s, which must be %d apart", c.Name(), k.Low.RatString(), k.High.RatString(), k.Required)
			}
			if c.Value != table.Cells[i].Value || !slices.Equal(c.Key, table.Cells[i].Key) {
				t.Errorf("%s = %d became %s = %d", table.Cells[i].Name(), table.Cells[i].Value, c.Name(), c.Value)
			}
			if table.Cells[i].Status.Suppressed() && !c.Status.Suppressed() {
				t.Errorf("%s is shown, which was withheld beforehand", c.Name())
			}
		}
		equations, _, err := r.Table.Equations()
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range equations {
			sum, all := int64(0), !r.Table.Cells[e.Total].Status.Suppressed()
			for _, part := range e.Parts {
				sum += r.Table.Cells[part].Value
				all = all && !r.Table.Cells[part].Status.Suppressed()
			}
			if all && sum != r.Table.Cells[e.Total].Value {
				t.Errorf("%s does not hold", r.Table.Sentence(e))
			}
		}
	})
}

func TestProtectShowsWhatIsPinned(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := randomTables(size(60)).Draw(t, "table")
		decided := table.Clone()
		widths.Apply(decided)
		equations, _, err := decided.Equations()
		if err != nil {
			t.Fatal(err)
		}
		classes := disclosure.Merge(decided, equations)
		withheld := func(i int) bool {
			return classes.Of[i] >= 0 && slices.ContainsFunc(classes.Members[classes.Of[i]], func(j int) bool {
				return decided.Cells[j].Status.Suppressed()
			})
		}
		pinned := make([]bool, len(table.Cells))
		for i := range pinned {
			pinned[i] = !withheld(i) && rapid.IntRange(0, 9).Draw(t, "pinned") == 0
		}
		r := protect(t, table, disclosure.Options{Pinned: pinned})
		for i, c := range r.Table.Cells {
			if pinned[i] && c.Status.Suppressed() {
				t.Errorf("%s is pinned, and withheld", c.Name())
			}
		}
		report := audited(t, r.Table)
		for i, k := range report.Cells {
			if c := r.Table.Cells[i]; c.Status == disclosure.Primary && !k.Wide() {
				t.Errorf("%s is between %s and %s", c.Name(), k.Low.RatString(), k.High.RatString())
			}
		}
		for _, s := range report.Singletons {
			t.Error(s.Message)
		}
	})
}

// seen returns the table of a result as its readers know it.
func seen(r *disclosure.Result) verify.Table {
	v := verify.Table{GrandTotal: r.Table.GrandTotal()}
	for _, d := range r.Table.Dimensions {
		var codes []verify.Code
		for _, c := range d.Codes {
			codes = append(codes, verify.Code(c))
		}
		v.Dimensions = append(v.Dimensions, codes)
	}
	for _, c := range r.Table.Cells {
		cell := verify.Cell{Key: c.Key, Value: c.Value, Withheld: c.Status.Suppressed(), Single: c.Value == 1}
		if c.Status == disclosure.Primary {
			cell.Need = min(widths.Width(c.Value), v.GrandTotal)
		}
		v.Cells = append(v.Cells, cell)
	}
	return v
}

func TestCheckRejectsWhatIsAltered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := protect(t, withTotals(size(80)).Draw(t, "table"), disclosure.Options{Quick: true})
		if len(r.Certificates) == 0 {
			t.Skip("nothing is primary")
		}
		if err := verify.Check(seen(r), r.Points, r.Certificates); err != nil {
			t.Fatalf("the pattern itself: %v", err)
		}
		point := rapid.IntRange(0, len(r.Points)-1).Draw(t, "point")
		k := rapid.IntRange(0, len(r.Points[point].Cells)-1).Draw(t, "cell")
		table := seen(r)
		table.Cells[r.Points[point].Cells[k]].Withheld = false
		if err := verify.Check(table, r.Points, r.Certificates); !errors.Is(err, verify.ErrPoint) {
			t.Errorf("with a cell shown that a point moves: %v", err)
		}
		points := slices.Clone(r.Points)
		points[point].Moves = slices.Clone(points[point].Moves)
		points[point].Moves[k] += rapid.SampledFrom([]int64{-1, 1}).Draw(t, "by")
		if err := verify.Check(seen(r), points, r.Certificates); !errors.Is(err, verify.ErrPoint) {
			t.Errorf("with a move altered: %v", err)
		}
		certificates := slices.Clone(r.Certificates)
		at := rapid.IntRange(0, len(certificates)-1).Draw(t, "certificate")
		certificates[at].Low, certificates[at].High = -1, -1
		if err := verify.Check(seen(r), r.Points, certificates); !errors.Is(err, verify.ErrNarrow) {
			t.Errorf("with a certificate of nothing: %v", err)
		}
		if err := verify.Check(seen(r), r.Points, slices.Delete(slices.Clone(r.Certificates), at, at+1)); !errors.Is(err, verify.ErrNarrow) {
			t.Errorf("with a certificate less: %v", err)
		}
	})
}

func TestProtectDoesNotDependOnTheOrderForItsSafety(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := withTotals(size(80)).Draw(t, "table")
		r := protect(t, table, disclosure.Options{Quick: true})
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		dimensions, cells := random.Perm(len(table.Dimensions)), random.Perm(len(table.Cells))
		shuffled := verify.Table{GrandTotal: table.GrandTotal()}
		original := seen(r)
		for _, d := range dimensions {
			codes := slices.Clone(original.Dimensions[d])
			random.Shuffle(len(codes), func(i, j int) { codes[i], codes[j] = codes[j], codes[i] })
			shuffled.Dimensions = append(shuffled.Dimensions, codes)
		}
		place := make([]int, len(cells))
		for to, from := range cells {
			place[from] = to
			c := original.Cells[from]
			key := make([]string, len(dimensions))
			for n, d := range dimensions {
				key[n] = c.Key[d]
			}
			c.Key = key
			shuffled.Cells = append(shuffled.Cells, c)
		}
		var points []disclosure.Point
		for _, p := range r.Points {
			moved := disclosure.Point{Moves: p.Moves, Denominator: p.Denominator}
			for _, i := range p.Cells {
				moved.Cells = append(moved.Cells, place[i])
			}
			points = append(points, moved)
		}
		var certificates []disclosure.Certificate
		for _, c := range r.Certificates {
			certificates = append(certificates, disclosure.Certificate{Cell: place[c.Cell], Low: c.Low, High: c.High})
		}
		if err := verify.Check(shuffled, points, certificates); err != nil {
			t.Errorf("the same pattern in another order: %v", err)
		}
		again := &disclosure.Table{}
		for _, d := range dimensions {
			again.Dimensions = append(again.Dimensions, table.Dimensions[d])
		}
		for _, from := range cells {
			c := table.Cells[from]
			c.Key = shuffled.Cells[place[from]].Key
			again.Cells = append(again.Cells, c)
		}
		if report := audited(t, protect(t, again, disclosure.Options{Quick: true}).Table); !report.Clean {
			t.Errorf("the table in another order: %v", report.Computable)
		}
	})
}

func TestProtectIsDeterministic(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		table := randomTables(size(80)).Draw(t, "table")
		o := disclosure.Options{Seed: rapid.Uint64().Draw(t, "seed")}
		r, again := protect(t, table, o), protect(t, table, o)
		for i, c := range r.Table.Cells {
			if again.Table.Cells[i].Status != c.Status {
				t.Fatalf("%s is %v and then %v", c.Name(), c.Status, again.Table.Cells[i].Status)
			}
		}
		if got, want := fmt.Sprint(again.Points, again.Certificates), fmt.Sprint(r.Points, r.Certificates); got != want {
			t.Errorf("%s and then %s", want, got)
		}
	})
}
