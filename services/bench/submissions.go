package bench

import (
	"context"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"
)

// million is how many figures the limits of submissions are about.
const million = 1_000_000

// newFigures are a million figures: 100,000 series of ten months.
func (b *bench) newFigures() rows { return rows{cube: b.cube, series: b.series() / 3, months: 10} }

// submissions measures new figures of a shared dataflow as SDMX-CSV through REST, against the same rows as \copy puts them into a
// flat table.
func (b *bench) submissions(ctx context.Context) error {
	// What is read as one series of a million: 30,000 series of 34 months.
	first := rows{cube: b.cube, series: b.series() / 10, months: historyMonths}
	if err := b.node.submit(ctx, small, "", first.csv(small, dimensions(), b.key)); err != nil {
		return err
	}
	if err := b.readSeries(ctx, small, first.series); err != nil {
		return err
	}
	r := b.newFigures()
	file := r.csv("", dimensions(), b.key)
	flat, err := b.median(func(round int) (time.Duration, error) {
		return b.node.copyText(ctx, fmt.Sprintf("flat%d", round), dimensions(), file)
	})
	if err != nil {
		return err
	}
	numbers, err := b.median(func(round int) (time.Duration, error) {
		return b.node.copyNumbers(ctx, fmt.Sprintf("numbers%d", round), r)
	})
	if err != nil {
		return err
	}
	b.node.forgetPeaks()
	took, err := b.median(func(round int) (time.Duration, error) {
		dataflow := fmt.Sprintf(plain, round)
		file := r.csv(dataflow, dimensions(), b.key)
		begin := time.Now()
		err := b.node.submit(ctx, dataflow, "", file)
		return time.Since(begin), err
	})
	if err != nil {
		return err
	}
	b.rate("submit 1 M as SDMX-CSV, against \\copy of the same rows", r.count(), took, flat, 1)
	b.table.add(Row{
		What:   "submit 1 M as SDMX-CSV, by itself",
		Figure: fmt.Sprintf("%.0f obs/s", perSecond(r.count(), took)), Limit: "≥ 150000 obs/s",
		Ratio: fmt.Sprintf("%.2f", perSecond(r.count(), took)/150_000), Kept: perSecond(r.count(), took) >= 150_000,
	})
	b.table.note("the same, against \\copy of codes as small numbers", fmt.Sprintf("%.0f obs/s", perSecond(r.count(), numbers)),
		fmt.Sprintf("%.2f", numbers.Seconds()/took.Seconds()))
	return nil
}

// rate adds a row of figures a second that must be share times as many as those of the comparison, with the peak of memory.
func (b *bench) rate(what string, figures int, took, compared time.Duration, share float64) {
	limit := share * perSecond(figures, compared)
	b.table.add(Row{
		What:   what,
		Figure: fmt.Sprintf("%.0f obs/s", perSecond(figures, took)),
		Limit:  fmt.Sprintf("≥ %g × %.0f", share, perSecond(figures, compared)),
		Ratio:  fmt.Sprintf("%.2f", compared.Seconds()/took.Seconds()),
		Kept:   perSecond(figures, took) >= limit,
		Memory: b.node.peak(),
	})
}

// derivations measures new figures of a national dataflow with what is derived from them, once as SDMX-CSV and once in a national
// file that a layout reads.
func (b *bench) derivations(ctx context.Context) error {
	r := b.newFigures()
	file := r.csv("", nativeDimensions(), b.nativeKey)
	flat, err := b.median(func(round int) (time.Duration, error) {
		return b.node.copyText(ctx, fmt.Sprintf("native%d", round), nativeDimensions(), file)
	})
	if err != nil {
		return err
	}
	for i, kind := range []string{"SDMX-CSV", "national CSV"} {
		b.node.forgetPeaks()
		took, err := b.median(func(round int) (time.Duration, error) {
			dataflow, id := fmt.Sprintf(native, round+i*maxRounds), ""
			upload := file
			if i == 0 {
				upload = r.csv(dataflow, nativeDimensions(), b.nativeKey)
			} else {
				id = fmt.Sprintf(layout, round+i*maxRounds)
			}
			begin := time.Now()
			err := b.node.submit(ctx, dataflow, id, upload)
			return time.Since(begin), err
		})
		if err != nil {
			return err
		}
		b.rate("submit 1 M native as "+kind+" and derive the shared 1 M", r.count(), took, flat, 0.4)
	}
	return b.node.dropRounds(ctx, "native", b.Rounds)
}

func (n *node) dropRounds(ctx context.Context, prefix string, rounds int) error {
	for round := range rounds {
		if err := n.drop(ctx, fmt.Sprintf("%s%d", prefix, round)); err != nil {
			return err
		}
	}
	return nil
}

// atOnce measures four submissions to four dataflows, one after another and at once.
func (b *bench) atOnce(ctx context.Context) error {
	const lanes = 4
	r := rows{cube: b.cube, series: b.series() / 3 / lanes, months: 10}
	next := 0
	files := func() (dataflows []string, content [][]byte) {
		for range lanes {
			dataflow := fmt.Sprintf(quarter, next)
			next++
			dataflows, content = append(dataflows, dataflow), append(content, r.csv(dataflow, dimensions(), b.key))
		}
		return dataflows, content
	}
	inTurn, together := make([]time.Duration, b.Rounds), make([]time.Duration, b.Rounds)
	b.node.forgetPeaks()
	for round := range b.Rounds {
		dataflows, content := files()
		begin := time.Now()
		for i := range dataflows {
			if err := b.node.submit(ctx, dataflows[i], "", content[i]); err != nil {
				return err
			}
		}
		inTurn[round] = time.Since(begin)
		dataflows, content = files()
		begin = time.Now()
		group, ctx := errgroup.WithContext(ctx)
		for i := range dataflows {
			group.Go(func() error { return b.node.submit(ctx, dataflows[i], "", content[i]) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		together[round] = time.Since(begin)
	}
	ratio := quantile(inTurn, 0.5).Seconds() / quantile(together, 0.5).Seconds()
	b.table.add(Row{
		What:   "four submissions of 250,000 at once, against one after another",
		Figure: fmt.Sprintf("%.2f s", quantile(together, 0.5).Seconds()),
		Limit:  fmt.Sprintf("≤ %.2f s", quantile(inTurn, 0.5).Seconds()),
		Ratio:  fmt.Sprintf("%.2f", ratio), Kept: ratio >= 1, Memory: b.node.peak(),
	})
	return nil
}
