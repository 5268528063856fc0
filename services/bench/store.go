package bench

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	historyMonths = 34 // of each series of the large dataflow
	fills         = 10 // submissions that fill it
)

// fill puts ten million figures into the large dataflow, asks for a small one all the while, and measures what they take on disk.
func (b *bench) fill(ctx context.Context) error {
	before, err := b.node.stored(ctx)
	if err != nil {
		return err
	}
	asking, stop := context.WithCancel(ctx)
	defer stop()
	type asked struct {
		took []time.Duration
		err  error
	}
	answers := make(chan asked, 1)
	go func() {
		var a asked
		a.took, a.err = b.askSmall(asking)
		answers <- a
	}()
	b.node.forgetPeaks()
	series := b.series() / fills
	took := time.Duration(0)
	for i := range fills {
		r := rows{cube: b.cube, from: i * series, series: series, months: historyMonths}
		file := r.csv(large, dimensions(), b.key)
		begin := time.Now()
		if err := b.node.submit(ctx, large, "", file); err != nil {
			return fmt.Errorf("part %d: %w", i+1, err)
		}
		took += time.Since(begin)
	}
	stop()
	small := <-answers
	figures := fills * series * historyMonths
	b.table.add(Row{
		What: "fill 10 M as ten SDMX-CSV files", Figure: fmt.Sprintf("%.0f obs/s", perSecond(figures, took)),
		Kept: true, Memory: b.node.peak(),
	})
	switch {
	case small.err != nil:
		b.table.fail("a small query under full ingest", small.err)
	case len(small.took) > 0:
		p99 := quantile(small.took, 0.99)
		b.table.add(Row{
			What:   fmt.Sprintf("a small query under full ingest, p99 of %d (p50 %s)", len(small.took), milliseconds(quantile(small.took, 0.5))),
			Figure: milliseconds(p99), Limit: "≤ 20 ms", Ratio: fmt.Sprintf("%.2f", p99.Seconds()/0.020),
			Kept: p99 <= 20*time.Millisecond,
		})
	}
	after, err := b.node.stored(ctx)
	if err != nil {
		return err
	}
	each := float64(after-before) / float64(figures)
	b.table.add(Row{
		What: "disk with indexes at 10 M", Figure: fmt.Sprintf("%.1f bytes/obs", each), Limit: "≤ 35",
		Ratio: fmt.Sprintf("%.2f", each/35), Kept: each <= 35,
	})
	return nil
}

// askSmall asks for one series of the small dataflow every few milliseconds, until ctx ends.
func (b *bench) askSmall(ctx context.Context) ([]time.Duration, error) {
	var took []time.Duration
	for i := 0; ctx.Err() == nil; i++ {
		begin := time.Now()
		_, err := b.node.query(ctx, b.seriesRequest(small, i*7919%(b.series()/10)))
		if ctx.Err() != nil {
			break
		}
		if err != nil {
			return took, err
		}
		took = append(took, time.Since(begin))
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Millisecond):
		}
	}
	return took, nil
}

// stored returns how many bytes all tables of the service take, with their indexes.
func (n *node) stored(ctx context.Context) (bytes int64, err error) {
	conn, err := pgx.Connect(ctx, n.database)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	err = conn.QueryRow(ctx, `
		SELECT sum(pg_total_relation_size(oid))
		FROM pg_class
		WHERE relkind IN ('r', 'm') AND relnamespace = 'public'::regnamespace`).Scan(&bytes)
	return bytes, err
}

// revisions measures figures that change what is stored in the large dataflow.
func (b *bench) revisions(ctx context.Context) error {
	all := b.series()
	tenth := all / 10
	for _, each := range []struct {
		what   string
		rounds []rows // each other figures
	}{
		{"revise 10 % of 10 M: a tenth of the series", []rows{{cube: b.cube, series: tenth, months: historyMonths, edition: 1}}},
		{"revise 9 % of 10 M: three months of all series", []rows{{cube: b.cube, series: all, months: 3, month: historyMonths - 3, edition: 2}}},
		{"one new month for 100,000 series", []rows{
			{cube: b.cube, series: all / 3, months: 1, month: historyMonths},
			{cube: b.cube, from: all / 3, series: all / 3, months: 1, month: historyMonths},
			{cube: b.cube, from: 2 * (all / 3), series: all / 3, months: 1, month: historyMonths},
		}},
		{"one new month for 100,000 series, the first of a year", []rows{
			{cube: b.cube, series: all / 3, months: 1, month: historyMonths + 2},
			{cube: b.cube, from: all / 3, series: all / 3, months: 1, month: historyMonths + 2},
			{cube: b.cube, from: 2 * (all / 3), series: all / 3, months: 1, month: historyMonths + 2},
		}},
	} {
		b.node.forgetPeaks()
		took := make([]time.Duration, len(each.rounds))
		for round, r := range each.rounds {
			file := r.csv(large, dimensions(), b.key)
			begin := time.Now()
			if err := b.node.submit(ctx, large, "", file); err != nil {
				return fmt.Errorf("%s: %w", each.what, err)
			}
			took[round] = time.Since(begin)
		}
		speed := perSecond(each.rounds[0].count(), quantile(took, 0.5))
		b.table.add(Row{
			What: each.what, Figure: fmt.Sprintf("%.0f obs/s", speed), Limit: "≥ 50000 obs/s",
			Ratio: fmt.Sprintf("%.2f", speed/50_000), Kept: speed >= 50_000, Memory: b.node.peak(),
		})
	}
	return nil
}
