package sharing

import (
	"cmp"
	"context"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/disclosuretest"
	"github.com/comity-federation/comity/services/fault"
)

// coast is a structure with hierarchies: sections of which one is on no coast, countries of which one is in no region, and
// groups of ages that overlap.
func coast() *Structures {
	codes := func(lines ...string) map[string]Code {
		known := map[string]Code{}
		for _, line := range lines {
			code, rest, _ := strings.Cut(line, " ")
			parent, level, _ := strings.Cut(rest, " ")
			known[code] = Code{Parent: strings.Trim(parent, "-"), Level: level}
		}
		return known
	}
	ages := codes("_T - total", "YOUNG _T group", "CHILD _T group", "YOUTH _T group", "OLD _T group")
	ages["YOUNG"] = Code{Parent: Total, Level: "group", Covers: []string{"CHILD", "YOUTH"}}
	return &Structures{Dataflow: "T:T(1.0.0)", Dimensions: []Dimension{
		{ID: freq},
		{ID: refArea},
		{ID: indicator},
		{ID: "SECTION", Levels: []string{"total", "coast", "section"}, Codes: codes(
			"_T - total", "W _T coast", "E _T coast", "W1 W section", "W2 W section", "W3 W section", "E1 E section", "E2 E section", "_O _T section")},
		{ID: "CITIZENSHIP", Levels: []string{"total", "region", "country"}, Codes: codes(
			"_T - total", "R _T region", "Q _T region", "R1 R country", "R2 R country", "R3 R country", "Q1 Q country", "Q2 Q country", "XXX _T country")},
		{ID: "AGE", Levels: []string{"total", "group"}, Codes: ages},
	}}
}

// archive is statistics that hold figures in memory, by "W1,R1,_T,2024".
type archive struct {
	structures  *Structures
	derivations []Derivation
	constraints []Constraint
	stored      map[string]figure
	frequency   string
	before      map[string]figure // in the first revision, where this is the second
	queries     []Query
}

func newArchive(figures map[string]float64) *archive {
	a := &archive{structures: coast(), stored: map[string]figure{}, frequency: "A"}
	for key, value := range figures {
		f := figure{value: value, status: "A", conf: free}
		if math.IsNaN(value) {
			f.status = "M"
		}
		a.stored[key] = f
	}
	return a
}

// at returns a figure: the stored one, else the sum of its parts along the first dimension that has any.
func (a *archive) at(key []string) (figure, bool) {
	if f, ok := a.stored[strings.Join(key, ",")]; ok {
		return f, true
	}
	for d := range key[:len(key)-1] {
		dimension, sum, found := a.structures.Dimensions[3+d], figure{status: "A", conf: free}, false
		var parts []string
		for code, c := range dimension.Codes {
			if c.Parent == key[d] {
				parts = append(parts, code)
			}
		}
		covered := func(part string) bool {
			return slices.ContainsFunc(parts, func(p string) bool {
				_, there := a.at(slices.Replace(slices.Clone(key), d, d+1, p))
				return there && slices.Contains(dimension.Codes[p].Covers, part)
			})
		}
		for _, part := range parts {
			f, ok := a.at(slices.Replace(slices.Clone(key), d, d+1, part))
			if !ok || covered(part) {
				continue
			}
			found = true
			if sum.value += f.value; math.IsNaN(f.value) {
				sum.status = "M"
			}
			if f.conf != free {
				sum.conf = f.conf
			}
		}
		if found {
			return sum, true
		}
	}
	return figure{}, false
}

func (a *archive) Structures(context.Context, string) (*Structures, error) { return a.structures, nil }

func (a *archive) Constraints(context.Context, string, StateCode) ([]Constraint, error) {
	return a.constraints, nil
}

func (a *archive) Derivations(context.Context) ([]Derivation, error) { return a.derivations, nil }

func (a *archive) Trace(context.Context, TraceQuery) ([]Origin, int64, error) { return nil, 1, nil }

func (a *archive) Query(ctx context.Context, query Query, each func(*block.Block) error) (int64, error) {
	a.queries = append(a.queries, query)
	revision := int64(1)
	if a.before != nil {
		if query.Revision == revision {
			return (&archive{structures: a.structures, stored: a.before, frequency: a.frequency}).Query(ctx, query, each)
		}
		revision = 2
	}
	names := make([]string, len(a.structures.Dimensions))
	asked := make([][]string, len(names))
	for i, d := range a.structures.Dimensions {
		names[i] = d.ID
		for _, s := range query.Selections {
			if s.Dimension == d.ID {
				asked[i] = s.Codes
			}
		}
	}
	rows := block.NewBuilder(append(names, block.TimePeriod, block.ObsStatus, block.ConfStatus), []string{block.ObsValue})
	add := func(key []string, f figure) {
		codes := append([]string{a.frequency, "AA", "1A"}, key...)
		rows.Append(append(codes, f.status, f.conf), []float64{f.value})
	}
	periods := map[string]bool{}
	for _, stored := range sorted(a.stored) {
		key := strings.Split(stored, ",")
		periods[key[len(key)-1]] = true
		if len(query.Selections) == 0 {
			add(key, a.stored[stored])
		}
	}
	if len(query.Selections) > 0 && slices.Contains(asked[0], a.frequency) {
		for _, section := range asked[3] {
			for _, country := range asked[4] {
				for _, age := range asked[5] {
					for period := range periods {
						key := []string{section, country, age, period}
						if f, ok := a.at(key); ok {
							add(key, f)
						}
					}
				}
			}
		}
	}
	return revision, each(rows.Block())
}

func sorted[V any](m map[string]V) []string {
	var keys []string
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

func (a *archive) Watch(context.Context, string, func(Revision) error) error { return nil }

func (a *archive) Submit(context.Context, Submission, iter.Seq2[*block.Block, error]) (Submitted, error) {
	return Submitted{}, nil
}

// make makes the tables of the archive at the detail.
func (a *archive) make(t interface {
	Helper()
	Fatal(args ...any)
}, detail map[string]string, change ...func(*DecidedRequest),
) table {
	t.Helper()
	decided := DecidedRequest{
		Question: Question{Indicator: "1A"}, Include: Condition{filter.True()},
		Ruling: Ruling{Detail: detail, Obligations: Obligations{MinimumFrequency: 3, RelativeWidth: 0.2}},
	}
	for _, c := range change {
		c(&decided)
	}
	service := New(Config{State: "aa", Statistics: a})
	made, err := service.tables(context.Background(), a.structures, []DecidedRequest{decided}, []string{"AA"}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(made.rows, func(a, b row) int { return cmp.Or(slices.Compare(a.codes, b.codes), cmp.Compare(a.period, b.period)) })
	return made
}

// show writes the rows as "W1 R1 = 12", "W1 R2 = Q", with the codes of the dimensions that are told apart.
func (t *table) show(told ...int) []string {
	var lines []string
	for _, r := range t.rows {
		var codes []string
		for _, d := range told {
			codes = append(codes, r.codes[d])
		}
		value := fmt.Sprint(r.value)
		if math.IsNaN(r.value) {
			value = r.status
		}
		lines = append(lines, strings.Join(codes, " ")+" = "+value)
	}
	return lines
}

const inSections, inCountries, inAges = 3, 4, 5

func TestMake(t *testing.T) {
	sections := map[string]string{freq: "A", "SECTION": "section"}
	countries := map[string]string{freq: "A", "CITIZENSHIP": "country"}
	ages := map[string]string{freq: "A", "AGE": "group"}
	tests := map[string]struct {
		figures map[string]float64
		detail  map[string]string
		told    int
		want    []string
	}{
		"goes with all totals between the whole and the agreed level": {
			figures: map[string]float64{"W1,_T,_T,2024": 10, "W2,_T,_T,2024": 20, "E1,_T,_T,2024": 30},
			detail:  sections, told: inSections,
			want: []string{"E = 30", "E1 = 30", "W = 30", "W1 = 10", "W2 = 20", "_T = 60"},
		},
		"goes no finer than agreed": {
			figures: map[string]float64{"W1,_T,_T,2024": 10, "W2,_T,_T,2024": 20, "E1,_T,_T,2024": 30},
			detail:  map[string]string{freq: "A", "SECTION": "coast"}, told: inSections,
			want: []string{"E = 30", "W = 30", "_T = 60"},
		},
		"withholds what is small, and what would give it away": {
			figures: map[string]float64{"W1,_T,_T,2024": 2, "W2,_T,_T,2024": 20, "W3,_T,_T,2024": 9, "E1,_T,_T,2024": 30},
			detail:  sections, told: inSections,
			want: []string{"E = 30", "E1 = 30", "W = 31", "W1 = Q", "W2 = 20", "W3 = Q", "_T = 61"},
		},
		"calls other what the parts leave of a whole": {
			figures: map[string]float64{"_T,_T,_T,2024": 100, "W1,_T,_T,2024": 40, "E1,_T,_T,2024": 30},
			detail:  sections, told: inSections,
			want: []string{"E = 30", "E1 = 30", "W = 40", "W1 = 40", "_O = 30", "_T = 100"},
		},
		"withholds what is left where that is small": {
			figures: map[string]float64{"_T,_T,_T,2024": 72, "W1,_T,_T,2024": 40, "E1,_T,_T,2024": 30},
			detail:  sections, told: inSections,
			want: []string{"E = Q", "E1 = Q", "W = 40", "W1 = 40", "_O = Q", "_T = 72"},
		},
		"withholds what would tell a small rest that has no code": {
			figures: map[string]float64{"_T,_T,_T,2024": 72, "_T,R1,_T,2024": 40, "_T,Q1,_T,2024": 30},
			detail:  countries, told: inCountries,
			want: []string{"Q = Q", "Q1 = Q", "R = 40", "R1 = 40", "_T = 72"},
		},
		"says other of what is called so, and keeps the rest to itself": {
			figures: map[string]float64{"_T,_T,_T,2024": 100, "W1,_T,_T,2024": 40, "_O,_T,_T,2024": 20},
			detail:  sections, told: inSections,
			want: []string{"W = 40", "W1 = 40", "_O = 20", "_T = 100"},
		},
		"goes without parts that exceed the whole": {
			figures: map[string]float64{"_T,_T,_T,2024": 20, "W1,_T,_T,2024": 15, "E1,_T,_T,2024": 12},
			detail:  sections, told: inSections,
			want: []string{"_T = 20"},
		},
		"goes as a whole alone where there are no parts": {
			figures: map[string]float64{"_T,_T,_T,2024": 20},
			detail:  sections, told: inSections,
			want: []string{"_T = 20"},
		},
		"counts in decimals": {
			figures: map[string]float64{"W1,_T,_T,2024": 2.5, "W2,_T,_T,2024": 3.25, "W3,_T,_T,2024": 10},
			detail:  sections, told: inSections,
			want: []string{"W = 15.75", "W1 = Q", "W2 = Q", "W3 = 10", "_T = 15.75"},
		},
		"keeps a table with a negative figure, and says that it does": {
			figures: map[string]float64{"W1,_T,_T,2024": -1, "W2,_T,_T,2024": 30, "_T,_T,_T,2024": 29},
			detail:  sections, told: inSections,
			want: []string{"_T = Q"},
		},
		"keeps a table with more decimals than it can count in": {
			figures: map[string]float64{"W1,_T,_T,2024": 10.123456789, "_T,_T,_T,2024": 29},
			detail:  sections, told: inSections,
			want: []string{"_T = Q"},
		},
		"says what is missing, and protects what can be computed of it": {
			figures: map[string]float64{"_T,_T,_T,2024": 62, "W1,_T,_T,2024": 10, "W2,_T,_T,2024": math.NaN(), "E1,_T,_T,2024": 50},
			detail:  sections, told: inSections,
			want: []string{"E = 50", "E1 = 50", "W = M", "W1 = Q", "W2 = M", "_T = 62"},
		},
		"knows of groups which contains which": {
			figures: map[string]float64{"_T,_T,YOUNG,2024": 30, "_T,_T,CHILD,2024": 2, "_T,_T,YOUTH,2024": 28, "_T,_T,OLD,2024": 40},
			detail:  ages, told: inAges,
			want: []string{"CHILD = Q", "OLD = 40", "YOUNG = 30", "YOUTH = Q", "_T = 70"},
		},
		"knows of countries that are in no region": {
			figures: map[string]float64{"_T,R1,_T,2024": 20, "_T,R2,_T,2024": 30, "_T,XXX,_T,2024": 1},
			detail:  countries, told: inCountries,
			want: []string{"R = Q", "R1 = Q", "R2 = 30", "XXX = Q", "_T = 51"},
		},
		"tells a zero that is stored": {
			figures: map[string]float64{"W1,_T,_T,2024": 2, "W2,_T,_T,2024": 0, "W3,_T,_T,2024": 50},
			detail:  sections, told: inSections,
			want: []string{"W = 52", "W1 = Q", "W2 = 0", "W3 = Q", "_T = 52"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			made := newArchive(test.figures).make(t, test.detail)
			if diff := gocmp.Diff(test.want, made.show(test.told)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestMakeNotes(t *testing.T) {
	both := map[string]string{freq: "A", "SECTION": "section", "CITIZENSHIP": "country"}
	t.Run("says which tables it keeps, and why", func(t *testing.T) {
		figures := map[string]float64{"W1,_T,_T,2023": 20, "W1,_T,_T,2024": -1, "W1,_T,_T,2025": -2}
		made := newArchive(figures).make(t, map[string]string{freq: "A", "SECTION": "section"})
		want := []Note{{Area: "AA", Indicator: "1A", Periods: []string{"2024", "2025"}, Reason: "a figure is negative, so that it is no count"}}
		if diff := gocmp.Diff(want, made.Notes); diff != "" {
			t.Error(diff)
		}
		if made.Suppressed != 6 || made.Released != 3 {
			t.Errorf("%d withheld, %d released", made.Suppressed, made.Released)
		}
	})
	t.Run("rolls a table up that would keep too little, and says so", func(t *testing.T) {
		figures := map[string]float64{"W1,R1,_T,2024": 2, "W1,R2,_T,2024": 2, "E1,R3,_T,2024": 2, "E1,Q1,_T,2024": 40, "W2,Q2,_T,2024": 50}
		made := newArchive(figures).make(t, both, func(d *DecidedRequest) { d.Ruling.Obligations.MinimumKept = 0.9 })
		if len(made.Notes) != 1 || made.Notes[0].Detail["CITIZENSHIP"] == "" || made.Coarsened["CITIZENSHIP"] != made.Notes[0].Detail["CITIZENSHIP"] {
			t.Errorf("%+v, %v", made.Notes, made.Coarsened)
		}
		for _, r := range made.rows {
			if made.Notes[0].Detail["CITIZENSHIP"] == Total && r.codes[inCountries] != Total {
				t.Errorf("%v goes", r.codes)
			}
		}
	})
	t.Run("rolls a table up that is too large", func(t *testing.T) {
		figures := map[string]float64{}
		a := newArchive(nil)
		sections, countries := a.structures.Dimensions[inSections].Codes, a.structures.Dimensions[inCountries].Codes
		for i := range 150 {
			sections[fmt.Sprint("S", i)], countries[fmt.Sprint("C", i)] = Code{Parent: "W", Level: "section"}, Code{Parent: "R", Level: "country"}
		}
		for i := range 150 {
			for j := range 150 {
				figures[fmt.Sprintf("S%d,C%d,_T,2024", i, j)] = 5
			}
		}
		a.stored = newArchive(figures).stored
		one := &sheet{frequency: "A", area: "AA", indicator: "1A", period: "2024"}
		for key, f := range a.stored {
			f.key = strings.Split(key, ",")[:2]
			one.figures = append(one.figures, f)
		}
		for i := range 150 {
			one.figures = append(one.figures, figure{key: []string{fmt.Sprint("S", i), "R"}, value: 750, conf: free})
		}
		m := maker{structures: a.structures, ruling: Ruling{Detail: both, Obligations: Obligations{MinimumFrequency: 3}}, patterns: &patterns{}}
		if err := m.tell(); err != nil {
			t.Fatal(err)
		}
		made := newTable()
		if err := m.protect(t.Context(), &made, []*sheet{one}, nil); err != nil {
			t.Fatal(err)
		}
		if len(made.rows) != 150 || made.Coarsened["CITIZENSHIP"] != "region" || !strings.Contains(made.Notes[0].Reason, "20000") {
			t.Errorf("%d rows, %v, %+v", len(made.rows), made.Coarsened, made.Notes)
		}
	})
	t.Run("asks once for all levels, and always for the same revision", func(t *testing.T) {
		a := newArchive(map[string]float64{"W1,R1,_T,2024": 20})
		a.make(t, both)
		if len(a.queries) != 2 || a.queries[0].Revision != 0 || a.queries[1].Revision != 1 {
			t.Errorf("%+v", a.queries)
		}
	})
	t.Run("goes at a coarser frequency where none is as fine as agreed", func(t *testing.T) {
		a := newArchive(map[string]float64{"W1,_T,_T,2024-Q1": 20})
		a.frequency = "Q"
		made := a.make(t, map[string]string{freq: "D", "SECTION": "coast"})
		if diff := gocmp.Diff([]string{"Q W = 20", "Q _T = 20"}, made.show(0, inSections)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPatterns(t *testing.T) {
	table := func(value int64) *disclosure.Table {
		return &disclosure.Table{
			Dimensions: []disclosure.Dimension{{ID: "D", Codes: []disclosure.Code{{Code: Total}, {Code: "A", Parent: Total}, {Code: "B", Parent: Total}, {Code: "C", Parent: Total}}}},
			Cells: []disclosure.Cell{
				{Key: []string{Total}, Value: value + 50}, {Key: []string{"A"}, Value: value}, {Key: []string{"B"}, Value: 20}, {Key: []string{"C"}, Value: 30},
			},
		}
	}
	rules := disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}
	p := &patterns{}
	first, err := p.protect(t.Context(), table(2), rules, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("are found once", func(t *testing.T) {
		if again, err := p.protect(t.Context(), table(2), rules, nil, 0); err != nil || again != first {
			t.Errorf("%v, %v", again, err)
		}
	})
	t.Run("are found anew for other figures, rules or another share to keep", func(t *testing.T) {
		if other, err := p.protect(t.Context(), table(1), rules, nil, 0); err != nil || other == first {
			t.Errorf("%v, %v", other, err)
		}
		if other, err := p.protect(t.Context(), table(2), disclosure.Rules{MinimumFrequency: 5}, nil, 0); err != nil || other == first {
			t.Errorf("%v, %v", other, err)
		}
		for range 2 {
			if _, err := p.protect(t.Context(), table(2), rules, nil, 1); !fault.Is(err, fault.Precondition) {
				t.Error(err)
			}
		}
	})
	t.Run("are kept for a while when there are many", func(t *testing.T) {
		p.grow(maxPatterns + 1)
		if again, err := p.protect(t.Context(), table(2), rules, nil, 0); err != nil || again != first {
			t.Errorf("%v, %v", again, err)
		}
		p.grow(maxPatterns + 1)
		p.grow(maxPatterns + 1)
		if again, err := p.protect(t.Context(), table(2), rules, nil, 0); err != nil || again == first {
			t.Errorf("%v, %v", again, err)
		}
	})
	t.Run("are not kept of a search that was given up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := p.protect(ctx, table(0), rules, nil, 0); err == nil {
			t.Skip("it was found before anybody looked")
		}
		if _, err := p.protect(t.Context(), table(0), rules, nil, 0); err != nil {
			t.Error(err)
		}
	})
}

func TestMakeRestricted(t *testing.T) {
	sections := map[string]string{freq: "A", "SECTION": "section"}
	figures := map[string]float64{"W1,_T,_T,2024": 10, "W2,_T,_T,2024": 20, "E1,_T,_T,2024": 30, "E2,_T,_T,2024": 40}
	restrict := func(a *archive, key, conf string) {
		f := a.stored[key]
		f.conf = conf
		a.stored[key] = f
	}
	t.Run("withholds a figure that is restricted here, but not what it is summed into", func(t *testing.T) {
		a := newArchive(figures)
		restrict(a, "E2,_T,_T,2024", "S")
		made := a.make(t, sections)
		want := []string{"E = 70", "E1 = Q", "E2 = Q", "W = 30", "W1 = 10", "W2 = 20", "_T = 100"}
		if diff := gocmp.Diff(want, made.show(inSections)); diff != "" {
			t.Error(diff)
		}
		if diff := gocmp.Diff(map[string]int{"S": 1, "D": 1}, made.Rules); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("withholds a total that is itself stored as restricted", func(t *testing.T) {
		a := newArchive(figures)
		a.stored["E,_T,_T,2024"] = figure{value: 70, status: "A", conf: "C"}
		made := a.make(t, sections)
		if lines := made.show(inSections); !slices.Contains(lines, "E = Q") || !slices.Contains(lines, "W = Q") {
			t.Error(lines)
		}
	})
	t.Run("counts nothing that is restricted in the share that goes", func(t *testing.T) {
		for name, total := range map[string]float64{"as agreed": 100, "not at all": -1} {
			shares := map[float64]bool{}
			for _, secret := range []float64{20, 21} {
				a := newArchive(figures)
				a.stored["W2,_T,_T,2024"] = figure{value: secret, status: "A", conf: "C"}
				if total < 0 {
					a.stored["E1,_T,_T,2024"] = figure{value: total, status: "A", conf: free}
				}
				made := a.make(t, sections)
				shares[made.tally().ValueKept] = true
			}
			if len(shares) != 1 {
				t.Errorf("%s: the shares are %v", name, shares)
			}
		}
	})
	t.Run("does not explain a restricted figure by its size", func(t *testing.T) {
		obligations := Obligations{MinimumFrequency: 3, RelativeWidth: 0.2}
		explained := map[float64]Explanation{}
		for _, secret := range []float64{2, 20} {
			a := newArchive(figures)
			a.stored["W2,_T,_T,2024"] = figure{value: secret, status: "A", conf: "C"}
			var e Explanation
			if err := e.count(a.structures, obligations, a.make(t, sections), filter.True()); err != nil {
				t.Fatal(err)
			}
			explained[secret] = e
		}
		if diff := gocmp.Diff(explained[20], explained[2]); diff != "" {
			t.Error(diff)
		}
		if diff := gocmp.Diff(map[string]int{"C": 1, "D": 1}, explained[2].Rules); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("withholds what is summed of restricted figures in more detail than goes", func(t *testing.T) {
		a := newArchive(map[string]float64{"W1,R1,_T,2024": 10, "W1,R2,_T,2024": 20, "W2,R1,_T,2024": 50, "E1,R1,_T,2024": 60})
		restrict(a, "W1,R2,_T,2024", "C")
		made := a.make(t, sections)
		if lines := made.show(inSections); !slices.Contains(lines, "W1 = Q") || !slices.Contains(lines, "_T = 140") {
			t.Error(lines)
		}
	})
}

// onlookerOf gives all rows of a table to somebody who knows nothing but them and the codelists.
func (a *archive) onlookerOf(t interface {
	Helper()
	Fatal(args ...any)
}, made table,
) *disclosuretest.Onlooker {
	t.Helper()
	parts := make([]map[string][]string, 3)
	for d := range parts {
		parts[d] = map[string][]string{}
		for code, c := range a.structures.Dimensions[3+d].Codes {
			parts[d][c.Parent] = append(parts[d][c.Parent], code)
		}
	}
	rows := map[string][]disclosuretest.Row{}
	for _, r := range made.rows {
		if r.from == nil {
			continue // it has no value here either
		}
		truth := r.from.table.Cells[r.cell].Value
		if f, ok := a.at(append(slices.Clone(r.codes[3:]), r.period)); ok && int64(f.value) != truth {
			t.Fatal(r.codes, "is", f.value, "and was made", truth)
		}
		rows[r.period] = append(rows[r.period], disclosuretest.Row{Key: r.codes[3:], Value: r.value, Truth: truth})
	}
	o := disclosuretest.NewOnlooker()
	for period, of := range rows {
		if err := o.See(period, parts, of); err != nil {
			t.Fatal(err)
		}
	}
	return o
}

func TestMakeProtectsWhatIsLeftOfWhatIsLeft(t *testing.T) {
	a := newArchive(map[string]float64{
		"_T,_T,_T,2024": 34, "_T,R,_T,2024": 34, "W,_T,_T,2024": 3, "W1,_T,_T,2024": 5, "W1,R1,_T,2024": 1, "W1,R2,_T,2024": 3,
	})
	made := a.make(t, map[string]string{freq: "A", "SECTION": "section", "CITIZENSHIP": "country"})
	known, err := a.onlookerOf(t, made).Withheld(1, 2, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range known {
		if k.Width() < 3 {
			t.Errorf("%s lies between %v and %v, of %v", k.Cell, k.Low, k.High, made.show(inSections, inCountries))
		}
	}
}

func TestWhatIsReceivedTellsNoSmallCount(t *testing.T) {
	detail := map[string]string{freq: "A", "SECTION": "section", "CITIZENSHIP": "country"}
	value := rapid.SampledFrom([]float64{0, 1, 1, 2, 2, 3, 4, 5, 9, 20, 70})
	sections := []string{"W1", "W2", "W3", "E1", "E2", "_O"}
	countries := []string{"R1", "R2", "R3", "Q1", "Q2", "XXX"}
	whole := 0
	rapid.Check(t, func(t *rapid.T) {
		figures := map[string]float64{}
		for _, section := range rapid.SliceOfNDistinct(rapid.SampledFrom(sections), 1, 6, rapid.ID).Draw(t, "sections") {
			for _, country := range rapid.SliceOfNDistinct(rapid.SampledFrom(countries), 1, 6, rapid.ID).Draw(t, "countries") {
				figures[section+","+country+",_T,2024"] = value.Draw(t, "value")
			}
		}
		a := newArchive(figures)
		for _, total := range []string{"_T,_T", "W,_T", "_T,R", "W,R", "W1,_T", "_T,R1"} {
			off := rapid.SampledFrom([]float64{0, 0, 0, 0, 0, 0, 1, 2, 30, -1}).Draw(t, "off")
			if f, ok := a.at(append(strings.Split(total, ","), Total, "2024")); ok && off != 0 && f.value+off >= 0 {
				f.value += off
				a.stored[total+",_T,2024"] = f
			}
		}
		refused := rapid.SampledFrom(append(countries, "", "", "", "")).Draw(t, "refused")
		made := a.make(t, detail, func(d *DecidedRequest) { d.Include = Condition{filter.Compare(filter.OpNe, "CITIZENSHIP", refused)} })
		for _, r := range made.rows {
			if r.codes[inCountries] == refused && !math.IsNaN(r.value) {
				t.Errorf("%v is refused, and goes", r.codes)
			}
			if r.value > 0 && r.value < 3 {
				t.Errorf("%v goes with %v", r.codes, r.value)
			}
		}
		if len(made.Notes) == 0 {
			whole++
		}
		known, err := a.onlookerOf(t, made).Withheld(1, 2, 10_000)
		if err != nil {
			t.Fatal(err)
		}
		for _, k := range known {
			if k.Width() < 3 {
				t.Errorf("%s lies between %v and %v", k.Cell, k.Low, k.High)
			}
		}
	})
	if whole == 0 {
		t.Error("every table was rolled up")
	}
}
