// Package bench measures a node as its users meet it: the built programs with their certificates, tokens and policies, on a
// durable PostgreSQL, in a region of one made-up state. Each figure stands beside the limit that it must keep, and what it is
// compared with is measured in the same run on the same machine.
//
// All figures are made up, the same in every run.
package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Options say what is measured.
type Options struct {
	Program   string  // the comity program; the others lie beside it
	Directory string  // where the region lives; it is made, and removed at the end
	BasePort  int     // of the region
	Scale     float64 // of the numbers of figures: 1 is what the limits are for
	Rounds    int     // how often what is short is measured; its median counts
	Data      string  // the directory of published files; where it has none, tables are made up
	Only      string  // a regular expression for the names of what is measured; "": everything
}

// bench is a run.
type bench struct {
	Options
	cube
	node     *node
	progress io.Writer
	table    *Table

	lookups []time.Duration // the p50 of one series in the service: at a million, at ten million
	outside time.Duration   // and over gRPC, at the last
}

// maxRounds is the most rounds there may be: each has dataflows of its own.
const maxRounds = 5

// Run measures everything, and returns the table. progress is told what is being done. What fails stands in the table as missed;
// an error means that there is nothing to measure.
func Run(ctx context.Context, o Options, progress io.Writer) (table *Table, err error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	region := filepath.Join(o.Directory, "region")
	if err := writeRegion(region, filepath.Join(filepath.Dir(filepath.Dir(o.Program)), "deploy")); err != nil {
		return nil, fmt.Errorf("describing the region: %w", err)
	}
	b := &bench{Options: o, cube: o.cube(), progress: progress, table: &Table{}}
	if b.node, err = startNode(ctx, o.Program, filepath.Join(o.Directory, "sandbox"), region, o.BasePort); err != nil {
		return nil, fmt.Errorf("starting the node: %w", err)
	}
	defer func() { err = errors.Join(err, b.node.end(), os.RemoveAll(o.Directory)) }()
	if b.table.Machine, err = b.node.machine(ctx, o.Scale); err != nil {
		return nil, err
	}
	// The order counts: the first reads are of a store with a tenth of the figures of the last ones.
	err = b.measure(ctx, append([]step{
		{"submissions of new figures", b.submissions},
		{"a native dataflow and its derivation", b.derivations},
		{"four submissions at once", b.atOnce},
		{"streaming out", b.stream},
		{"events", b.events},
		{"filling the store", b.fill},
		{"one series, and what there is", b.reads},
		{"revisions", b.revisions},
	}, b.disclosures()...))
	if err != nil {
		return nil, err
	}
	b.table.memory()
	return b.table, nil
}

// prepare checks the options, and makes the directory.
func (o Options) prepare() error {
	if o.Scale <= 0 || o.Scale > 1 || o.Rounds < 1 || o.Rounds > maxRounds {
		return fmt.Errorf("the scale must be above 0 and at most 1, and there must be 1 to %d rounds", maxRounds)
	}
	if err := os.MkdirAll(o.Directory, 0o755); err != nil { //nolint:gosec // see below
		return err
	}
	return os.Chmod(o.Directory, 0o755) //nolint:gosec // PostgreSQL, which may run as another user, passes through
}

// cube returns the figures of a run. A smaller one has all sections with fewer citizenships: at a hundredth, two of them.
func (o Options) cube() cube { return cube{max(int(citizenships*o.Scale), 2)} }

// scaled returns a number of events at the scale of the run.
func (b *bench) scaled(n int) int { return max(int(float64(n)*b.Scale), 1000) }

// median returns the median duration of the rounds of run, which is told the round.
func (b *bench) median(run func(round int) (time.Duration, error)) (time.Duration, error) {
	took := make([]time.Duration, b.Rounds)
	for round := range took {
		var err error
		if took[round], err = run(round); err != nil {
			return 0, err
		}
	}
	return quantile(took, 0.5), nil
}

// quantile returns the q-quantile of durations: the least that is not less than the share q of them.
func quantile(d []time.Duration, q float64) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func perSecond(n int, d time.Duration) float64 { return float64(n) / d.Seconds() }

func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000)
}
