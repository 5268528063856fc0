package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/internal/database"
	"github.com/comity-federation/comity/services/internal/pgcluster"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// arrangement is a way to keep the figures of the cube, with all their revisions, in tables. Revisions are numbered from 1.
type arrangement interface {
	name() string
	// tables are those that hold the figures, and what they need to be found.
	tables() []string
	// put returns what stores figures as a revision, in one transaction. What it is made of was made before, so that the
	// time is that of the database and of what packs for it. Where new is true, the series are new.
	put(r rows, revision int, isNew bool) func(context.Context) error
	// series reads all of one series, and returns how many figures that are.
	series(ctx context.Context, i int) (figures int, err error)
	// slice sums the figures of a citizenship by month, and returns the sum of that.
	slice(ctx context.Context, citizenship int) (sum float64, err error)
	// sums sums all figures by citizenship and year, and returns the sum of that.
	sums(ctx context.Context) (sum float64, err error)
	// sumsAsOf is sums of the state that a revision made.
	sumsAsOf(ctx context.Context, revision int) (sum float64, err error)
	// stream reads everything, in any order.
	stream(ctx context.Context) error
}

// contest is a run of the comparison.
type contest struct {
	Options
	cube
	admin        *pgx.Conn
	arrangements []arrangement
	revision     int // the last one
	comparison   *Comparison
}

// CompareLayouts measures ways to keep figures in one PostgreSQL, each step with all of them in turn. It needs no node: of the
// options, neither Program nor BasePort counts. Where two of them do not give the same sums, it is an error.
func CompareLayouts(ctx context.Context, o Options, progress io.Writer) (result *Comparison, err error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(o.Directory)) }()
	cluster, err := pgcluster.Start(ctx, pgcluster.Options{Directory: filepath.Join(o.Directory, "pg"), Durable: true, Attached: true})
	if err != nil {
		return nil, fmt.Errorf("starting the database server: %w", err)
	}
	defer func() { err = errors.Join(err, cluster.Remove()) }()
	pool, err := database.Open(ctx, cluster.URL(pgcluster.Superuser, cluster.Password, "postgres"), postgres.Migrations)
	if err != nil {
		return nil, err
	}
	defer pool.Close()
	admin, err := cluster.Admin(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, admin.Close(context.WithoutCancel(ctx))) }()

	c := &contest{Options: o, cube: o.cube(), admin: admin}
	for _, plain := range plainArrangements(admin, c.cube) {
		if _, err := admin.Exec(ctx, plain.schema); err != nil {
			return nil, fmt.Errorf("making the tables of %s: %w", plain.id, err)
		}
		c.arrangements = append(c.arrangements, plain)
	}
	c.arrangements = append(c.arrangements, newBlockArrangement(pool, c.cube))
	if c.comparison, err = c.newComparison(ctx); err != nil {
		return nil, err
	}
	err = walk(ctx, progress, []step{
		{"filling", c.fill},
		{"reading", c.read},
		{"revising", c.revise},
		{"reading the past", c.readPast},
	}, func(step string, err error) error { return fmt.Errorf("%s: %w", step, err) })
	if err != nil {
		return nil, err
	}
	return c.comparison, nil
}

func (c *contest) newComparison(ctx context.Context) (*Comparison, error) {
	on, err := machine(ctx, c.admin)
	if err != nil {
		return nil, err
	}
	comparison := &Comparison{Machine: fmt.Sprintf("%s\n%d series of %d months", on, c.series(), historyMonths)}
	for _, a := range c.arrangements {
		comparison.Layouts = append(comparison.Layouts, a.name())
	}
	return comparison, nil
}

// all returns every figure of the first edition.
func (c *contest) all() rows {
	return rows{cube: c.cube, series: c.series(), months: historyMonths}
}

// settle gives every measurement the same start: nothing is left to be cleaned or written, and the planner knows the tables.
func (c *contest) settle(ctx context.Context) error {
	for _, statement := range []string{`VACUUM (ANALYZE)`, `CHECKPOINT`} {
		if _, err := c.admin.Exec(ctx, statement); err != nil {
			return err
		}
	}
	return nil
}

// fill stores everything in several revisions.
func (c *contest) fill(ctx context.Context) error {
	all := c.all()
	took := make([]time.Duration, len(c.arrangements))
	for range fills {
		part := all
		part.series /= fills
		part.from = c.revision * part.series
		c.revision++
		if err := c.store(ctx, part, true, took); err != nil {
			return err
		}
	}
	c.rates("load, in 10 revisions", all.count(), took)
	if err := c.settle(ctx); err != nil {
		return err
	}
	return c.sizes(ctx, "disk with indexes", all.count())
}

// store stores figures in every arrangement, as the last revision, and adds how long that took.
func (c *contest) store(ctx context.Context, r rows, isNew bool, took []time.Duration) error {
	for i, a := range c.arrangements {
		put := a.put(r, c.revision, isNew)
		if _, err := c.admin.Exec(ctx, `CHECKPOINT`); err != nil {
			return err
		}
		begin := time.Now()
		if err := put(ctx); err != nil {
			return fmt.Errorf("storing in %s: %w", a.name(), err)
		}
		took[i] += time.Since(begin)
	}
	return nil
}

// rates adds a row of figures a second.
func (c *contest) rates(what string, figures int, took []time.Duration) {
	c.comparison.add(what, "obs/s", func(i int) string { return fmt.Sprintf("%.0f", perSecond(figures, took[i])) })
}

func (c *contest) times(what string, took []time.Duration) {
	c.comparison.add(what, "ms", func(i int) string { return fmt.Sprintf("%.2f", float64(took[i].Microseconds())/1000) })
}

// sizes adds a row of what a figure takes on disk.
func (c *contest) sizes(ctx context.Context, what string, figures int) error {
	sizes := make([]int64, len(c.arrangements))
	for i, a := range c.arrangements {
		err := c.admin.QueryRow(ctx, `SELECT sum(pg_total_relation_size(name::regclass)) FROM unnest($1::text[]) AS name`, a.tables()).Scan(&sizes[i])
		if err != nil {
			return err
		}
	}
	c.comparison.add(what, "bytes/obs", func(i int) string { return fmt.Sprintf("%.1f", float64(sizes[i])/float64(figures)) })
	return nil
}

// read measures what is read of the newest state.
func (c *contest) read(ctx context.Context) error {
	took := make([]time.Duration, len(c.arrangements))
	for i, a := range c.arrangements {
		each := make([]time.Duration, 0, lookups)
		for n := range lookups + lookups/10 {
			wanted := spread(n, c.series())
			begin := time.Now()
			figures, err := a.series(ctx, wanted)
			if err != nil || figures != historyMonths {
				return fmt.Errorf("series %d of %s has %d figures: %w", wanted, a.name(), figures, err)
			}
			if n >= lookups/10 { // the first fill caches
				each = append(each, time.Since(begin))
			}
		}
		took[i] = quantile(each, 0.5)
	}
	c.times("one series, p50", took)
	wanted := c.citizenships / 2
	err := c.measureSums("sum by month of a citizenship", func(a arrangement) (float64, error) { return a.slice(ctx, wanted) })
	if err != nil {
		return err
	}
	if err := c.measureSums("sum of all by citizenship and year", func(a arrangement) (float64, error) { return a.sums(ctx) }); err != nil {
		return err
	}
	took, err = c.measure(func(a arrangement) error { return a.stream(ctx) })
	c.rates("stream all out", c.all().count(), took)
	return err
}

// measure returns the median times of the rounds of do, by arrangement. Each round is of all arrangements, so that what else
// goes on in the machine meets them alike.
func (c *contest) measure(do func(arrangement) error) ([]time.Duration, error) {
	rounds := make([][]time.Duration, len(c.arrangements))
	for range c.Rounds {
		for i, a := range c.arrangements {
			begin := time.Now()
			if err := do(a); err != nil {
				return nil, fmt.Errorf("%s: %w", a.name(), err)
			}
			rounds[i] = append(rounds[i], time.Since(begin))
		}
	}
	took := make([]time.Duration, len(rounds))
	for i := range rounds {
		took[i] = quantile(rounds[i], 0.5)
	}
	return took, nil
}

// measureSums adds a row of how long sums take, which all arrangements have to agree on.
func (c *contest) measureSums(what string, sum func(arrangement) (float64, error)) error {
	sums := map[float64]string{}
	took, err := c.measure(func(a arrangement) error {
		s, err := sum(a)
		sums[s] = a.name()
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if len(sums) != 1 {
		return fmt.Errorf("%s: they do not agree: %v", what, sums)
	}
	c.times(what, took)
	return nil
}

// revise measures figures that change what is stored.
func (c *contest) revise(ctx context.Context) error {
	all := c.all()
	month, tenth, late := all, all, all
	month.month, month.months = historyMonths, 1
	tenth.series, tenth.edition = all.series/10, 1
	late.month, late.months, late.edition = historyMonths-3, 3, 2
	next, again := month, late
	next.month, again.edition = historyMonths+1, 3
	for _, each := range []struct {
		what string
		rows
	}{
		{"one new month for all series", month},
		{"revise a tenth of the series", tenth},
		{"revise three months of all series", late},
		{"the next month for all series", next},
		{"revise the three months again", again}, // which the store folds: nine tenths have four layers by now
	} {
		c.revision++
		took := make([]time.Duration, len(c.arrangements))
		if err := c.store(ctx, each.rows, false, took); err != nil {
			return fmt.Errorf("%s: %w", each.what, err)
		}
		c.rates(each.what, each.count(), took)
		if err := c.settle(ctx); err != nil {
			return err
		}
	}
	return c.sizes(ctx, "disk after these, of the figures that count", all.count()+month.count()+next.count())
}

// readPast measures what is read of the state before the revisions, against the newest one.
func (c *contest) readPast(ctx context.Context) error {
	err := c.measureSums("sum of all by citizenship and year, after these", func(a arrangement) (float64, error) { return a.sums(ctx) })
	if err != nil {
		return err
	}
	return c.measureSums("the same as of before these", func(a arrangement) (float64, error) { return a.sumsAsOf(ctx, fills) })
}
