package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	mathrand "math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/cellkey"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/disclosure/specimen"
	"github.com/comity-federation/comity/services/fault"
)

// What disclosure control must keep.
const (
	disclosureMemory = 256              // MiB
	tableTime        = 10 * time.Minute // after which a table is given up
	intervalTime     = 30 * time.Second
)

// Disclosure measures disclosure control alone, which needs no node, and returns the table.
func Disclosure(ctx context.Context, o Options, progress io.Writer) (*Table, error) {
	b := &bench{Options: o, progress: progress, table: &Table{
		Machine: fmt.Sprintf("%d processors, %s", runtime.GOMAXPROCS(0), runtime.Version()),
	}}
	return b.table, b.measure(ctx, b.disclosures())
}

// disclosures are how long it takes to protect tables, what that costs, and what an audience's ledger adds to it.
func (b *bench) disclosures() []step {
	return []step{
		{"small tables", b.smallTables},
		{"large tables", b.largeTables},
		{"a table with too many margins", b.tooManyMargins},
		{"growing tables", b.growingTables},
		{"ten years of months and one more", b.ledgers},
		{"perturbing", b.perturbing},
	}
}

// smallTables protects tables of at most a hundred cells.
func (b *bench) smallTables(ctx context.Context) error {
	const limit = 50 * time.Millisecond
	var longest time.Duration
	count, refused := 0, 0
	for seed := range uint64(20) {
		for _, shape := range []specimen.Shape{
			{Sizes: []int{4, 4}, Leaves: 14, Median: 12, Spread: 1.5},
			{Sizes: []int{9, 9}, Leaves: 60, Median: 12, Spread: 1.5},
			{Sizes: []int{4, 3, 3}, Leaves: 30, Median: 12, Spread: 1.5},
			{Sizes: []int{2, 2, 2, 2}, Leaves: 16, Median: 12, Spread: 1.5},
		} {
			table := shape.MakeUp(specimen.All, seed)
			begin := time.Now()
			_, err := disclosure.Protect(ctx, table, disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}, disclosure.Options{})
			longest = max(longest, time.Since(begin))
			if count++; fault.Is(err, fault.Precondition) {
				refused++
			} else if err != nil {
				return err
			}
		}
	}
	b.table.add(Row{
		What: "protect tables of at most 100 cells, the slowest", Figure: milliseconds(longest), Limit: "< 50 ms",
		Ratio: fmt.Sprintf("%.2f", longest.Seconds()/limit.Seconds()), Kept: longest < limit,
		Detail: fmt.Sprintf("%d tables, %d of which cannot be protected", count, refused),
	})
	return nil
}

// read returns the table of an example, and a name that says where it is from.
func (b *bench) read(s specimen.Example) (table *disclosure.Table, name string, err error) {
	table, err = s.Read(os.DirFS(b.Data))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.MakeUp(), s.Name + " (made up)", nil
	case err != nil:
		return nil, "", err
	}
	return table, s.Name, nil
}

// largeTables protects the examples that can be.
func (b *bench) largeTables(ctx context.Context) error {
	for i, s := range specimen.Tables()[:4] {
		limit := []time.Duration{10 * time.Second, 10 * time.Second, time.Minute, 0}[i]
		table, name, err := b.read(s)
		if err != nil {
			return err
		}
		p, err := protect(ctx, table, s.Rules, disclosure.Options{})
		if err != nil {
			b.table.fail("protect "+name, err)
			continue
		}
		row := Row{What: "protect " + name, Figure: seconds(p.took), Kept: true, Memory: p.memory, Detail: p.String()}
		if limit > 0 {
			row.Limit = fmt.Sprintf("≤ %.0f s, ≤ %d MiB", limit.Seconds(), disclosureMemory)
			row.Ratio = fmt.Sprintf("%.2f", p.took.Seconds()/limit.Seconds())
			row.Kept = p.took <= limit && p.memory <= disclosureMemory && p.report.Clean
		}
		b.table.add(row)
	}
	return nil
}

// tooManyMargins protects a table of which little would be left. It must be refused, or lose a dimension's parts. Any
// pattern will do for that: cheaper ones of every table on the way would take longer than a table may.
func (b *bench) tooManyMargins(ctx context.Context) error {
	s := specimen.Tables()[4]
	table, name, err := b.read(s)
	if err != nil {
		return err
	}
	o := disclosure.Options{MinimumKept: 0.75, Quick: true}
	p, err := protect(ctx, table, s.Rules, o)
	row := Row{What: "protect " + name + ", three quarters of the value kept", Limit: "refused", Kept: fault.Is(err, fault.Precondition)}
	switch {
	case row.Kept:
		row.Figure, row.Detail = "refused after "+seconds(p.took), err.Error()
	case err != nil:
		return err
	default:
		row.Figure, row.Detail = seconds(p.took), p.String()
	}
	b.table.add(row)
	for _, d := range slices.Backward(table.Dimensions) {
		o.Coarsenings = append(o.Coarsenings, disclosure.Coarsening{Dimension: d.ID})
	}
	if p, err = protect(ctx, table, s.Rules, o); err != nil {
		return err
	}
	detail := p.String()
	for _, c := range p.result.Coarsened {
		detail += "; without the parts of " + c.Dimension
	}
	b.table.add(Row{
		What: "the same, leaving out what it takes", Figure: seconds(p.took), Limit: "clean", Memory: p.memory,
		Kept: p.report.Clean && len(p.result.Coarsened) > 0, Detail: detail,
	})
	return nil
}

// growingTables protects made-up tables of one kind and ever more cells, about a quarter of them not 0, by any pattern: how
// long a cheaper one is looked for is bounded, and would hide how time grows.
func (b *bench) growingTables(ctx context.Context) error {
	var before *protection
	for _, shape := range []specimen.Shape{
		{Sizes: []int{6, 4, 2, 12}, Leaves: 150},
		{Sizes: []int{8, 6, 2, 24}, Leaves: 600},
		{Sizes: []int{12, 8, 2, 48}, Leaves: 2_400},
		{Sizes: []int{20, 12, 2, 75}, Leaves: 9_000},
		{Sizes: []int{36, 16, 2, 115}, Leaves: 33_000},
	} {
		if shape.Leaves = int(float64(shape.Leaves) * b.Scale); shape.Leaves < 100 {
			continue
		}
		shape.Median, shape.Spread = 9, 2.3
		table := shape.MakeUp(specimen.All, 1)
		what := fmt.Sprintf("protect %d made-up cells, by any pattern", len(table.Cells))
		p, err := protect(ctx, table, disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2}, disclosure.Options{Quick: true})
		if err != nil {
			b.table.add(Row{What: what, Figure: "none in " + seconds(p.took), Limit: "clean", Detail: err.Error()})
			continue
		}
		row := Row{What: what, Figure: seconds(p.took), Limit: "clean", Memory: p.memory, Kept: p.report.Clean, Detail: p.String()}
		if before != nil {
			row.Ratio = fmt.Sprintf("%.1f × for %.1f ×", p.took.Seconds()/before.took.Seconds(), float64(len(table.Cells))/float64(before.cells))
		}
		b.table.add(row)
		before = p
	}
	return nil
}

// protection is a table that was protected, and audited.
type protection struct {
	cells   int
	result  *disclosure.Result
	report  *disclosure.Report
	took    time.Duration // to protect it
	audited time.Duration
	memory  float64 // MiB, of both
}

// protect protects a table and audits the outcome. It returns what it took even where it fails.
func protect(ctx context.Context, table *disclosure.Table, rules disclosure.Rules, o disclosure.Options) (*protection, error) {
	ctx, cancel := context.WithTimeout(ctx, tableTime)
	defer cancel()
	p := &protection{cells: len(table.Cells)}
	var err error
	p.memory = peak(func() {
		begin := time.Now()
		p.result, err = disclosure.Protect(ctx, table, rules, o)
		if p.took = time.Since(begin); err != nil {
			return
		}
		begin = time.Now()
		enough, cancel := context.WithTimeout(context.WithoutCancel(ctx), intervalTime)
		defer cancel()
		p.report, err = disclosure.Audit(context.WithoutCancel(ctx), p.result.Table, rules, disclosure.Auditing{
			Iterations: 20_000, Workers: runtime.GOMAXPROCS(0), Stop: enough.Done(), Points: p.result.Points, Random: rand.Reader,
		})
		p.audited = time.Since(begin)
	})
	return p, err
}

// String says what is left of the table, and how the audit judged that.
func (p *protection) String() string {
	var primary, shown, withheld, exact int
	for i, c := range p.result.Table.Cells {
		switch {
		case !c.Status.Suppressed():
			shown++
			continue
		case c.Status == disclosure.Primary:
			primary++
		}
		if withheld++; p.report.Cells[i].Exact() {
			exact++
		}
	}
	verdict := "clean"
	if !p.report.Clean {
		verdict = "NOT CLEAN"
	}
	return fmt.Sprintf("%d primary, %d secondary worth %d; %.1f %% of %d cells and %.1f %% of the value shown; audit %s in %s, %d of %d intervals exact",
		primary, p.result.SecondaryCount, p.result.SecondaryValue, 100*float64(shown)/float64(len(p.result.Table.Cells)), len(p.result.Table.Cells),
		100*p.result.Kept, verdict, seconds(p.audited), exact, withheld)
}

// peak runs something and returns how much memory the process had meanwhile, in MiB, at most.
func peak(run func()) float64 {
	debug.FreeOSMemory()
	done, most := make(chan struct{}), make(chan uint64)
	go func() {
		held := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		var largest uint64
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			metrics.Read(held)
			largest = max(largest, held[0].Value.Uint64()-held[1].Value.Uint64())
			select {
			case <-tick.C:
			case <-done:
				tick.Stop()
				most <- largest
				return
			}
		}
	}()
	run()
	close(done)
	return float64(<-most) / (1 << 20)
}

// ledgers admits ten years of months to an empty ledger, protected by any pattern, and measures the month after them.
func (b *bench) ledgers(ctx context.Context) error {
	const limit = 10 * time.Second
	months, rules, published, err := specimen.Months(os.DirFS(b.Data))
	if err != nil {
		return err
	}
	name := ""
	if !published {
		name = " (made up)"
	}
	stacks := []ledger.Stack{ledger.NewMemory()}
	cells := 0
	for m, table := range months[:len(months)-1] {
		verdict, _, err := admit(ctx, stacks, fmt.Sprintf("%03d", m), table, rules, disclosure.Options{Quick: true})
		if err != nil {
			return fmt.Errorf("month %d: %w", m, err)
		}
		cells += len(verdict.Release.Cells)
	}
	last := months[len(months)-1]
	var verdict *ledger.Verdict
	var protected, took time.Duration
	memory := peak(func() {
		begin := time.Now()
		verdict, protected, err = admit(ctx, stacks, "last", last, rules, disclosure.Options{})
		took = time.Since(begin)
	})
	if err != nil {
		return err
	}
	b.table.add(Row{
		What: "a month's increment to a ledger of ten years" + name, Figure: milliseconds(took), Limit: "≤ 10 s", Memory: memory,
		Ratio: fmt.Sprintf("%.2f", took.Seconds()/limit.Seconds()), Kept: took <= limit,
		Detail: fmt.Sprintf("%d cells to %d, %s of it to protect the month by itself; %d protected figures looked at, %d sought anew, %d cells cut",
			len(verdict.Release.Cells), cells, milliseconds(protected), verdict.Checked, verdict.Sought, len(verdict.Cuts)),
	})
	return nil
}

// admit protects a month and adds it to the stacks. It returns how long the protection took.
func admit(ctx context.Context, stacks []ledger.Stack, month string, table *disclosure.Table, rules disclosure.Rules, o disclosure.Options) (*ledger.Verdict, time.Duration, error) {
	begin := time.Now()
	result, err := disclosure.Protect(ctx, table, rules, o)
	if err != nil {
		return nil, 0, err
	}
	protected := time.Since(begin)
	release, err := ledger.FromTable(result.Table, result.Points, rules, 1, func(c disclosure.Cell) string { return month + "." + c.Name() })
	if err != nil {
		return nil, 0, err
	}
	release.ID = month
	verdict, err := ledger.Admit(ctx, stacks, release, ledger.Options{Random: rand.Reader})
	if err != nil {
		return nil, 0, err
	}
	return verdict, protected, verdict.Record(ctx, stacks)
}

// perturbing adds noise to a million counts.
func (b *bench) perturbing(context.Context) error {
	r := mathrand.New(mathrand.NewPCG(1, 1)) //nolint:gosec // the same figures every time
	questions := make([]cellkey.Question, b.scaled(million))
	for i := range questions {
		questions[i] = cellkey.Question{Count: float64(r.IntN(1 << r.IntN(20))), Key: r.Float64()}
	}
	took, err := b.median(func(int) (time.Duration, error) {
		begin := time.Now()
		_, _, err := cellkey.Perturb(cellkey.Parameters{Maximum: 5, Variance: 3, SmallestReleased: 2}, questions)
		return time.Since(begin), err
	})
	if err != nil {
		return err
	}
	b.table.add(Row{
		What: "perturb 1 M counts", Figure: seconds(took), Limit: "≤ 1 s",
		Ratio: fmt.Sprintf("%.2f", took.Seconds()), Kept: took <= time.Second,
	})
	return nil
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
