package sharing_test

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/postgres"
)

// ruledTables is policy in Go for tables: what it says to everybody.
type ruledTables struct {
	*rules
	ruling    sharing.TableRuling
	questions []sharing.TableQuestion
}

func (r *ruledTables) Evaluate(ctx context.Context, rule string, input, output any) (string, error) {
	question, ok := input.(sharing.TableQuestion)
	if !ok {
		return r.rules.Evaluate(ctx, rule, input, output)
	}
	r.questions = append(r.questions, question)
	if r.failing != nil {
		return "", r.failing
	}
	return "r1", remarshal(r.ruling, output)
}

// CountCells counts the figures: a cell's key is the sum of those of its figures.
func (f *figures) CountCells(_ context.Context, query sharing.CellQuery, each func(sharing.KeyedCell) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failing != nil {
		return f.failing
	}
	cells := map[string]*sharing.KeyedCell{}
	for key, value := range f.own {
		hash := fnv.New64a()
		_, _ = fmt.Fprint(hash, key, value)
		fields := strings.Split(key, ",")
		period := fields[len(fields)-1]
		if period < query.Start || period > query.End {
			continue
		}
		for _, codes := range cellsWith(fields[:len(fields)-1], query.Dimensions) {
			name := strings.Join(codes, ",") + period
			if cells[name] == nil {
				cells[name] = &sharing.KeyedCell{Codes: codes, Period: period}
			}
			cells[name].Count += int64(value)
			if value != 0 {
				cells[name].Key += cellkey.Key(hash.Sum64() * 0x9e3779b97f4a7c15)
			}
		}
	}
	for _, cell := range cells {
		if err := each(*cell); err != nil {
			return err
		}
	}
	return nil
}

// cellsWith returns the cells of the dimensions that a figure counts to.
func cellsWith(codes []string, dimensions []sharing.Selection) [][]string {
	if len(dimensions) == 0 {
		return [][]string{nil}
	}
	var cells [][]string
	for _, rest := range cellsWith(codes[1:], dimensions[1:]) {
		for _, code := range dimensions[0].Codes {
			if code == codes[0] || code == "_T" {
				cells = append(cells, append([]string{code}, rest...))
			}
		}
	}
	return cells
}

// desk is a state that answers tables.
type desk struct {
	*state
	rules *ruledTables
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	w := newWorld(t)
	d := &desk{state: w.aa, rules: &ruledTables{rules: w.aa.rules, ruling: sharing.TableRuling{
		Allow: true, Budget: sharing.TableBudget{Cells: 1000, Hours: 24},
		Perturbation: sharing.TablePerturbation{Maximum: 5, Variance: 3, SmallestReleased: 2},
	}}}
	d.reopen(w.now)
	return d
}

// reopen makes the service anew, as after a restart.
func (d *desk) reopen(now func() time.Time) {
	config := d.Config
	config.Cells, config.Accounts, config.Policy, config.Clock = d.figures, postgres.NewAccounts(d.pool), d.rules, now
	d.Service = sharing.New(config)
}

func ask(dimensions ...sharing.Selection) sharing.TableRequest {
	return sharing.TableRequest{Caller: "ann", Indicator: "1A", Frequency: "M", Start: "2023-01", End: "2023-03", Dimensions: dimensions}
}

func byLevel(dimension, level string) sharing.Selection {
	return sharing.Selection{Dimension: dimension, Level: level}
}

func byCodes(dimension string, codes ...string) sharing.Selection {
	return sharing.Selection{Dimension: dimension, Codes: codes}
}

// tell returns the cells of a table by keys and period.
func (d *desk) tell(t *testing.T, request sharing.TableRequest) map[string]int64 {
	t.Helper()
	table, err := d.Tabulate(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string]int64{}
	for _, cell := range table.Cells {
		if cell.Count <= 0 {
			t.Errorf("%v is not above 0", cell)
		}
		cells[strings.Join(append(cell.Key, cell.Period), " ")] = cell.Count
	}
	return cells
}

func TestTabulate(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for key, value := range map[string]float64{
		"M,AA,1A,NORTH,SYR,F,2023-01": 40, "M,AA,1A,NORTH,SYR,M,2023-01": 60, "M,AA,1A,NORTH,AFG,M,2023-01": 0,
		"M,AA,1A,SOUTH,SYR,F,2023-01": 7, "M,AA,1A,SOUTH,IRQ,F,2023-02": 300, "M,AA,5,SOUTH,IRQ,F,2023-02": 300,
	} {
		d.figures.set(key, value)
	}
	whole := ask(byLevel("SECTION", "section"), byLevel("CITIZENSHIP", "country"))
	table, err := d.Tabulate(t.Context(), whole)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("it says how it was made", func(t *testing.T) {
		want := sharing.NoisyTable{
			Dataflow: dataflow, Dimensions: []string{"SECTION", "CITIZENSHIP"}, Asked: 4 * 4 * 3, Left: 1000 - 4*4*3,
			Budget: sharing.TableBudget{Cells: 1000, Hours: 24}, Perturbation: cellkey.Parameters{Maximum: 5, Variance: 3, SmallestReleased: 2},
		}
		if diff := cmp.Diff(want, table, cmpopts.IgnoreFields(sharing.NoisyTable{}, "Cells")); diff != "" {
			t.Errorf("table (-want +got):\n%s", diff)
		}
	})
	t.Run("it leaves out what is 0, and gives the rest with noise within the bounds", func(t *testing.T) {
		counts := map[string]int64{"NORTH SYR 2023-01": 100, "SOUTH SYR 2023-01": 7, "SOUTH IRQ 2023-02": 300}
		for _, cell := range table.Cells {
			name := strings.Join(append(cell.Key, cell.Period), " ")
			if noise := cell.Count - counts[name]; counts[name] == 0 || noise < -5 || noise > 5 || cell.Count < 3 {
				t.Errorf("%s is %d, of %d", name, cell.Count, counts[name])
			}
			delete(counts, name)
		}
		delete(counts, "SOUTH SYR 2023-01") // which noise may have made 0
		if len(counts) > 0 {
			t.Errorf("not told: %v", counts)
		}
	})
	t.Run("it gives a cell the same noise in every table", func(t *testing.T) {
		all := d.tell(t, whole)
		for _, other := range []sharing.TableRequest{
			ask(byCodes("CITIZENSHIP", "SYR", "IRQ"), byLevel("SECTION", "section")),
			ask(byCodes("SECTION", "SOUTH", "NORTH", "SOUTH"), byCodes("CITIZENSHIP", "IRQ", "SYR")),
			{Caller: "bob", Indicator: "1A", Frequency: "M", Start: "2023", End: "2023", Dimensions: whole.Dimensions},
		} {
			found := 0
			for name, count := range d.tell(t, other) {
				if all[name] != count {
					t.Errorf("%s was %d and is %d", name, all[name], count)
				}
				found++
			}
			if found < 2 {
				t.Errorf("%d cells in %+v", found, other)
			}
		}
		one := d.tell(t, ask(byCodes("SECTION", "NORTH"), byCodes("CITIZENSHIP", "SYR"), byLevel("SEX", "total")))
		if one["NORTH SYR _T 2023-01"] != all["NORTH SYR 2023-01"] {
			t.Errorf("with another dimension told apart by its total: %v", one)
		}
	})
	t.Run("it rounds what has noise", func(t *testing.T) {
		for _, base := range []int64{3, 5} {
			request := whole
			request.Rounding = base
			plain := d.tell(t, whole)
			for name, count := range d.tell(t, request) {
				if count%base != 0 || count-plain[name] >= base || plain[name]-count >= base {
					t.Errorf("%s is %d, of %d with noise", name, count, plain[name])
				}
			}
		}
	})
	t.Run("a revision changes the cells that it touches alone", func(t *testing.T) {
		before := d.tell(t, whole)
		d.figures.set("M,AA,1A,SOUTH,IRQ,F,2023-02", 301)
		after := d.tell(t, whole)
		delete(before, "SOUTH IRQ 2023-02")
		delete(after, "SOUTH IRQ 2023-02")
		if diff := cmp.Diff(before, after); diff != "" {
			t.Errorf("others changed (-before +after):\n%s", diff)
		}
	})
}

func TestTabulateAsksPolicy(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	request := ask(byLevel("CITIZENSHIP", "country"), byCodes("SECTION", "_T", "NORTH", "SOUTH"))
	request.Roles = []string{"analyst"}
	d.tell(t, request)
	request.Caller, request.Roles = "", []string{"officer"} // who has no subject has no roles
	d.tell(t, request)
	want := sharing.TableQuestion{
		State: "aa", Direction: "publish", Dataflow: dataflow, Indicator: "1A", Date: time.Now().UTC().Format(time.DateOnly),
		Requested: map[string][]sharing.RequestedCode{
			"FREQ": {{Code: "M", Level: "frequency"}}, "REF_AREA": {{Code: "AA", Level: "area"}}, "INDICATOR": {{Code: "1A"}},
			"SECTION": {{Code: "NORTH", Level: "section"}, {Code: "_T", Level: "total"}}, "CITIZENSHIP": {{Code: "AFG", Level: "country"}},
			"SEX": {{Code: "_T", Level: "total"}},
		},
		Person: &sharing.TablePerson{Roles: []string{"analyst"}},
	}
	for _, got := range d.rules.questions {
		for id, codes := range got.Requested { // of a level, any code
			if id == "CITIZENSHIP" && len(codes) == 1 {
				codes[0].Code = "AFG"
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("question (-want +got):\n%s", diff)
		}
		want.Person = nil
	}
	for name, test := range map[string]struct {
		change func(*sharing.TableRuling)
		reason string
	}{
		"what policy refuses":               {func(r *sharing.TableRuling) { r.Allow, r.Reasons = false, []sharing.Reason{{Code: "LAW", Text: "no"}} }, "LAW"},
		"what policy refuses for no reason": {func(r *sharing.TableRuling) { r.Allow = false }, "POLICY_ERROR"},
		"noise that there cannot be":        {func(r *sharing.TableRuling) { r.Perturbation.Variance = 1000 }, "POLICY_ERROR"},
		"no noise":                          {func(r *sharing.TableRuling) { r.Perturbation = sharing.TablePerturbation{} }, "POLICY_ERROR"},
		"no budget":                         {func(r *sharing.TableRuling) { r.Budget = sharing.TableBudget{} }, "POLICY_ERROR"},
		"a budget that never ends":          {func(r *sharing.TableRuling) { r.Budget.Hours = math.Inf(1) }, "POLICY_ERROR"},
	} {
		t.Run("it refuses "+name, func(t *testing.T) {
			before := d.rules.ruling
			defer func() { d.rules.ruling = before }()
			test.change(&d.rules.ruling)
			if math.IsInf(d.rules.ruling.Budget.Hours, 1) {
				d.rules.ruling.Budget.Hours = 1e300 // as JSON has it
			}
			_, err := d.Tabulate(t.Context(), request)
			if !fault.Is(err, fault.Denied) || fault.Reason(err) != test.reason {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("it rounds as policy wants it, and no other way", func(t *testing.T) {
		d.rules.ruling.Rounding = 5
		defer func() { d.rules.ruling.Rounding = 0 }()
		d.figures.set("M,AA,1A,NORTH,SYR,F,2023-01", 1001)
		for name, count := range d.tell(t, request) {
			if count%5 != 0 {
				t.Errorf("%s is %d", name, count)
			}
		}
		request.Rounding = 3
		if _, err := d.Tabulate(t.Context(), request); !fault.Is(err, fault.Invalid) {
			t.Errorf("to multiples of 3 as well: %v", err)
		}
		request.Rounding = 0
	})
	d.rules.failing = errors.New("broken")
	if _, err := d.Tabulate(t.Context(), request); fault.Reason(err) != "POLICY_ERROR" {
		t.Errorf("without policy: %v", err)
	}
}

func TestTheBudgetOfACaller(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	begin := time.Now()
	at := func(hours float64) func() time.Time {
		return func() time.Time { return begin.Add(time.Duration(hours * float64(time.Hour))) }
	}
	d.figures.set("M,AA,1A,NORTH,SYR,F,2023-01", 100)
	d.rules.ruling.Budget = sharing.TableBudget{Cells: 20, Hours: 24}
	left := func(t *testing.T, hours float64, request sharing.TableRequest, want int) {
		t.Helper()
		d.reopen(at(hours)) // each time in another process
		table, err := d.Tabulate(t.Context(), request)
		if err != nil || table.Left != want {
			t.Errorf("%d are left, %v; want %d", table.Left, err, want)
		}
	}
	refused := func(t *testing.T, hours float64, request sharing.TableRequest, retry string) {
		t.Helper()
		d.reopen(at(hours))
		_, err := d.Tabulate(t.Context(), request)
		var refusal *fault.Error
		if !errors.As(err, &refusal) || refusal.Kind != fault.Exhausted || refusal.Reason != "LIMIT_EXCEEDED" || refusal.Metadata["retryAt"] != retry {
			t.Errorf("got %v, %+v; want to try again at %q", err, refusal, retry)
		}
	}
	sections := ask(byLevel("SECTION", "section")) // 4 sections, 3 months
	total := ask()
	left(t, 0, sections, 8)
	left(t, 1, sections, 8)
	left(t, 1, ask(byCodes("SECTION", "NORTH", "_T")), 5) // the total is new
	left(t, 1, total, 5)                                  // and is a cell of its own no more
	refused(t, 2, ask(byLevel("CITIZENSHIP", "country")), begin.Add(24*time.Hour).UTC().Format(time.RFC3339))
	left(t, 2, total, 5) // what was refused cost nothing
	other := total
	other.Caller = "bob"
	left(t, 2, other, 17)
	other.Caller = ""
	left(t, 2, other, 17)
	left(t, 24.1, ask(byLevel("CITIZENSHIP", "country")), 5)
	refused(t, 24.1, ask(byLevel("CITIZENSHIP", "country"), byLevel("SECTION", "section")), "") // never enough
}

func TestWithoutAccountsThereIsNoTable(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.figures.set("M,AA,1A,NORTH,SYR,F,2023-01", 100)
	d.pool.Close()
	if table, err := d.Tabulate(t.Context(), ask()); err == nil || len(table.Cells) > 0 {
		t.Errorf("got %+v, %v", table, err)
	}
}

func TestTabulateRefuses(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	for name, test := range map[string]struct {
		change func(*sharing.TableRequest)
		kind   fault.Kind
	}{
		"an unknown dataflow":         {func(r *sharing.TableRequest) { r.Dataflow = "X:Y(1.0.0)" }, fault.NotFound},
		"no indicator":                {func(r *sharing.TableRequest) { r.Indicator = "" }, fault.Invalid},
		"an unknown indicator":        {func(r *sharing.TableRequest) { r.Indicator = "99" }, fault.Invalid},
		"an unknown dimension":        {func(r *sharing.TableRequest) { r.Dimensions[0].Dimension = "NAME" }, fault.Invalid},
		"a frequency as a dimension":  {func(r *sharing.TableRequest) { r.Dimensions[0].Dimension = "FREQ" }, fault.Invalid},
		"an indicator as a dimension": {func(r *sharing.TableRequest) { r.Dimensions[0].Dimension = "INDICATOR" }, fault.Invalid},
		"a dimension twice":           {func(r *sharing.TableRequest) { r.Dimensions = append(r.Dimensions, r.Dimensions[0]) }, fault.Invalid},
		"neither level nor codes":     {func(r *sharing.TableRequest) { r.Dimensions[0].Level = "" }, fault.Invalid},
		"both level and codes":        {func(r *sharing.TableRequest) { r.Dimensions[0].Codes = []string{"NORTH"} }, fault.Invalid},
		"an unknown level":            {func(r *sharing.TableRequest) { r.Dimensions[0].Level = "village" }, fault.Invalid},
		"an unknown code":             {func(r *sharing.TableRequest) { r.Dimensions[0] = byCodes("SECTION", "MOON") }, fault.Invalid},
		"no frequency":                {func(r *sharing.TableRequest) { r.Frequency = "" }, fault.Invalid},
		"an unknown frequency":        {func(r *sharing.TableRequest) { r.Frequency = "X" }, fault.Invalid},
		"no start":                    {func(r *sharing.TableRequest) { r.Start = "" }, fault.Invalid},
		"no end":                      {func(r *sharing.TableRequest) { r.End = "soon" }, fault.Invalid},
		"an end before the start":     {func(r *sharing.TableRequest) { r.End = "2022" }, fault.Invalid},
		"no whole period":             {func(r *sharing.TableRequest) { r.Start, r.End = "2023-01-02", "2023-01-30" }, fault.Invalid},
		"another rounding":            {func(r *sharing.TableRequest) { r.Rounding = 10 }, fault.Invalid},
		"too many cells":              {func(r *sharing.TableRequest) { r.Frequency, r.Start, r.End = "D", "1000", "2999" }, fault.Exhausted},
		"too many cells together":     {func(r *sharing.TableRequest) { r.Frequency, r.Start, r.End = "D", "1900", "1999" }, fault.Exhausted},
	} {
		t.Run(name, func(t *testing.T) {
			request := ask(byLevel("SECTION", "section"))
			test.change(&request)
			if _, err := d.Tabulate(t.Context(), request); !fault.Is(err, test.kind) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestAveragingEquivalentQuestions asks for one cell in many ways, as Asghar and Kaafar (2020) do.
func TestAveragingEquivalentQuestions(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.figures.set("M,AA,1A,NORTH,SYR,F,2023-01", 250)
	for _, code := range []string{"SOUTH", "EAST"} {
		d.figures.set("M,AA,1A,"+code+",SYR,F,2023-01", 0)
	}
	told := map[int64]int{}
	for _, section := range [][]string{{"NORTH"}, {"NORTH", "SOUTH"}, {"EAST", "NORTH"}, {"_T", "NORTH", "_O"}, {"_T"}} {
		for _, citizenship := range []sharing.Selection{{}, byCodes("CITIZENSHIP", "SYR"), byLevel("CITIZENSHIP", "country"), byLevel("CITIZENSHIP", "total")} {
			for _, sex := range []sharing.Selection{{}, byCodes("SEX", "F"), byLevel("SEX", "sex"), byCodes("SEX", "_T", "M")} {
				for _, caller := range []string{"", "ann", "bob"} {
					request := ask(byCodes("SECTION", section...))
					request.Caller = caller
					for _, more := range []sharing.Selection{citizenship, sex} {
						if more.Dimension != "" {
							request.Dimensions = append(request.Dimensions, more)
						}
					}
					for _, count := range d.tell(t, request) {
						told[count]++
					}
				}
			}
		}
	}
	if len(told) != 1 {
		t.Errorf("240 questions of the same records tell %v", told)
	}
}

// TestTablesThatDifferByASmallCell subtracts two cells that differ by one record.
func TestTablesThatDifferByASmallCell(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	d.rules.ruling.Budget.Cells = 100_000
	const months = 2000
	start := time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	var last string
	for month := range months {
		last = start.AddDate(0, month, 0).Format("2006-01")
		d.figures.set("M,AA,1A,NORTH,SYR,F,"+last, 200)
		d.figures.set("M,AA,1A,NORTH,AFG,F,"+last, 1)
	}
	request := ask(byCodes("CITIZENSHIP", "_T", "SYR"))
	request.Start, request.End = "1900-01", last
	cells := d.tell(t, request)
	var sum, squares float64
	for name, total := range cells {
		period, ok := strings.CutPrefix(name, "_T ")
		if !ok {
			continue
		}
		difference := float64(total - cells["SYR "+period])
		sum += difference
		squares += (difference - 1) * (difference - 1)
	}
	// The noises are independent, so the difference has the mean of the true one and twice their variance.
	mean, variance := sum/months, squares/months
	if math.Abs(mean-1) > 4*math.Sqrt(6./months) || math.Abs(variance-6) > 0.8 {
		t.Errorf("differences have the mean %.3f and the variance %.3f, want 1 and 6", mean, variance)
	}
}
