package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

const (
	lookups    = 1000 // of one series, for a quantile
	discovered = 50   // availability, for a median
)

// seriesRequest asks for one series.
func (b *bench) seriesRequest(dataflow string, i int) *statisticspb.QueryRequest {
	request := &statisticspb.QueryRequest{Dataflow: dataflow}
	for at, code := range b.key(i) {
		request.Selections = append(request.Selections, &statisticspb.Selection{Dimension: dimensions()[at], Codes: []string{code}})
	}
	return request
}

// query reads an answer to its end, and returns how many rows it has.
func (n *node) query(ctx context.Context, request *statisticspb.QueryRequest) (rows int, err error) {
	stream, err := n.statistics.Query(as(ctx, n.reading), request)
	if err != nil {
		return 0, err
	}
	for {
		answer, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		if err != nil {
			return rows, err
		}
		rows += int(answer.GetBlock().GetRows())
	}
}

// stream measures a million figures that go out over gRPC, against COPY of the same out of a flat table.
func (b *bench) stream(ctx context.Context) error {
	figures := b.newFigures().count()
	flat, err := b.median(func(round int) (time.Duration, error) {
		return b.node.copyOut(ctx, fmt.Sprintf("flat%d", round), dimensions())
	})
	if err != nil {
		return err
	}
	b.node.forgetPeaks()
	took, err := b.median(func(round int) (time.Duration, error) {
		begin := time.Now()
		rows, err := b.node.query(ctx, &statisticspb.QueryRequest{Dataflow: fmt.Sprintf(plain, round)})
		if err == nil && rows != figures {
			err = fmt.Errorf("the answer has %d rows of %d", rows, figures)
		}
		return time.Since(begin), err
	})
	if err != nil {
		return err
	}
	b.rate("stream 1 M out over gRPC, against COPY of the flat table", figures, took, flat, 2)
	if err := b.node.dropRounds(ctx, "numbers", b.Rounds); err != nil {
		return err
	}
	return b.node.dropRounds(ctx, "flat", b.Rounds)
}

// spread returns which of the series is the nth to be read: all over the store, the same in every run.
func spread(n, series int) int {
	return int(uint64(n) * 2654435761 % uint64(series)) //nolint:gosec // none is negative
}

// readSeries measures how long one series takes, in the service and over gRPC, and remembers the former by dataflow.
func (b *bench) readSeries(ctx context.Context, dataflow string, series int) error {
	pool, err := pgxpool.New(ctx, b.node.database)
	if err != nil {
		return err
	}
	defer pool.Close()
	service := statistics.NewService(postgres.New(pool), state, time.Now, uuid.NewString)
	ref, err := statistics.ParseRef(dataflow)
	if err != nil {
		return err
	}
	inside, outside := make([]time.Duration, 0, lookups), make([]time.Duration, 0, lookups)
	for i := range lookups + lookups/10 {
		wanted := spread(i, series)
		q := statistics.Query{Dataflow: ref, Sight: statistics.Everything()}
		for at, code := range b.key(wanted) {
			q.Selections = append(q.Selections, statistics.Selection{Dimension: dimensions()[at], Codes: []string{code}})
		}
		rows := 0
		begin := time.Now()
		err := service.Query(ctx, q, func(p *statistics.Page) error { rows += p.Block.Rows; return nil })
		within := time.Since(begin)
		if err != nil || rows != historyMonths {
			return fmt.Errorf("series %d has %d figures: %w", wanted, rows, err)
		}
		begin = time.Now()
		if _, err := b.node.query(ctx, b.seriesRequest(dataflow, wanted)); err != nil {
			return err
		}
		if i >= lookups/10 { // the first fill caches
			inside, outside = append(inside, within), append(outside, time.Since(begin))
		}
	}
	b.lookups = append(b.lookups, quantile(inside, 0.5))
	b.outside = quantile(outside, 0.5)
	return nil
}

// reads measures one series at ten million, against the same at a million, and what there is under a condition.
func (b *bench) reads(ctx context.Context) error {
	if err := b.readSeries(ctx, large, b.series()); err != nil {
		return err
	}
	at10, at1 := b.lookups[1], b.lookups[0]
	b.table.add(Row{
		What: "one series at 10 M, p50 in the service", Figure: milliseconds(at10), Limit: "≤ 0.5 ms",
		Ratio: fmt.Sprintf("%.2f", at10.Seconds()/0.0005), Kept: at10 <= 500*time.Microsecond,
	})
	b.table.add(Row{
		What: "one series at 10 M, against the same at 1 M", Figure: milliseconds(at10), Limit: "≤ 1.2 × " + milliseconds(at1),
		Ratio: fmt.Sprintf("%.2f", at10.Seconds()/at1.Seconds()), Kept: at10.Seconds() <= 1.2*at1.Seconds(),
	})
	b.table.note("one series at 10 M, p50 over gRPC", milliseconds(b.outside), "")

	b.node.forgetPeaks()
	took := make([]time.Duration, discovered)
	for i := range took {
		begin := time.Now()
		answer, err := b.node.statistics.GetAvailability(as(ctx, b.node.reading), &statisticspb.GetAvailabilityRequest{
			Dataflow: large, Dimensions: []string{"CITIZENSHIP"},
			Filter: &typespb.Filter{Operator: typespb.Filter_EQ, Component: "SEX", Values: []string{sexes()[i%2]}},
		})
		if err != nil {
			return fmt.Errorf("availability: %w", err)
		}
		took[i] = time.Since(begin)
		if d := answer.GetDimensions(); len(d) != 1 || len(d[0].GetCodes()) != b.citizenships {
			return errors.New("availability: other citizenships are there than were submitted")
		}
	}
	p50 := quantile(took, 0.5)
	b.table.add(Row{
		What: "availability of a dimension at 10 M, another filtered, p50", Figure: milliseconds(p50), Limit: "≤ 10 ms",
		Ratio: fmt.Sprintf("%.2f", p50.Seconds()/0.010), Kept: p50 <= 10*time.Millisecond, Memory: b.node.peak(),
	})
	b.table.note("the same, the first time", milliseconds(took[0]), "")
	return nil
}
