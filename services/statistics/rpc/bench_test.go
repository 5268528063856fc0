package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

const cube = "X:CUBE(1.0.0)"

// cubeDimensions are the sizes of the dimensions of the cube after FREQ.
var cubeDimensions = []string{"REF_AREA", "INDICATOR", "SECTION", "BORDER_TYPE", "CITIZENSHIP", "SEX", "AGE", "DETAIL"} //nolint:gochecknoglobals // of the benchmarks

// filled returns a node with so many series of so many months.
func filled(b *testing.B, pool *pgxpool.Pool, series, months int) *node {
	b.Helper()
	n := newNodeOn(b, "x", pool)
	structure := &statisticspb.DataStructure{
		Agency: "X", Id: "CUBE", Version: "1.0.0", Dimensions: []*statisticspb.Component{{Id: "FREQ"}},
		Attributes: []*statisticspb.Component{{Id: "OBS_STATUS"}, {Id: "CONF_STATUS"}, {Id: "UNIT_MEASURE"}},
	}
	for _, id := range cubeDimensions {
		structure.Dimensions = append(structure.Dimensions, &statisticspb.Component{Id: id})
	}
	n.create(b, &statisticspb.Structures{
		DataStructures: []*statisticspb.DataStructure{structure},
		Dataflows:      []*statisticspb.Dataflow{{Agency: "X", Id: "CUBE", Version: "1.0.0", Structure: cube}},
	})
	for from := 0; from < series; from += 50_000 {
		n.fill(b, from, min(from+50_000, series), months)
	}
	return n
}

// fill stores the series of a run, as an accepted submission would be.
func (n *node) fill(b *testing.B, from, to, months int) {
	b.Helper()
	catalogue, err := n.service.Catalogue(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	flow, err := catalogue.Flow(statistics.Ref{Agency: "X", ID: "CUBE", Version: "1.0.0"})
	if err != nil {
		b.Fatal(err)
	}
	table := statistics.NewTable(flow.Structure)
	cell := statistics.Cell{ObsStatus: 'A', ConfStatus: 'F', Attributes: table.AttributeSet([]string{"PERSONS"})}
	codes := make([]uint32, len(flow.Structure.Dimensions))
	for s := from; s < to; s++ {
		for i, code := range append([]string{"M"}, cubeKey(s)...) {
			codes[i] = table.Code(i, code)
		}
		series := table.Series(codes)
		for month := range months {
			cell.Value = float64((s*31 + month*7) % 5000)
			table.Put(series, int32(2020*12+month), cell)
		}
	}
	err = n.store.Update(b.Context(), func(ctx context.Context, tx statistics.Transaction) error {
		part := statistics.Part{Dataflow: flow.Ref, Provider: "x"}
		if err := tx.Lock(ctx, part); err != nil {
			return err
		}
		changes, err := tx.Compare(ctx, flow, "x", table)
		if err != nil {
			return err
		}
		if err := tx.Apply(ctx, flow, "x", changes); err != nil {
			return err
		}
		_, err = tx.Publish(ctx, "", []statistics.Part{part})
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// cubeKey returns the codes of a series after FREQ.
func cubeKey(s int) []string {
	return []string{
		"US", fmt.Sprint("I", s/100_000), fmt.Sprint("S", s%50), fmt.Sprint("B", s/50%4), fmt.Sprintf("C%03d", s/200%250), fmt.Sprint("X", s/50_000%2), "_T", "_T",
	}
}

// take reads an answer to its end, and returns how many rows it has.
func (n *node) take(b *testing.B, request *statisticspb.QueryRequest) int {
	b.Helper()
	stream, err := n.Query(b.Context(), request)
	if err != nil {
		b.Fatal(err)
	}
	rows := 0
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return rows
		}
		if err != nil {
			b.Fatal(err)
		}
		rows += int(response.GetBlock().GetRows())
	}
}

// BenchmarkStream streams a million figures out, beside COPY of a flat table with the same.
func BenchmarkStream(b *testing.B) {
	pool := postgrestest.New(b, postgres.Migrations)
	const series, months = 100_000, 10
	n := filled(b, pool, series, months)
	_, err := pool.Exec(b.Context(), `
		CREATE TABLE flat (freq text, ref_area text, indicator text, section text, border_type text, citizenship text, sex text, age text, detail text,
			time_period text, obs_value float8, obs_status text, conf_status text)`)
	if err != nil {
		b.Fatal(err)
	}
	_, err = pool.Exec(b.Context(), `
		INSERT INTO flat
		SELECT 'M', 'US', 'I0', 'S' || s % 50, 'B' || s / 50 % 4, 'C' || lpad((s / 200 % 250)::text, 3, '0'), 'X' || s / 50000 % 2, '_T', '_T',
			2020 + m / 12 || '-' || lpad((m % 12 + 1)::text, 2, '0'), (s * 31 + m * 7) % 5000, 'A', 'F'
		FROM generate_series(0, 99999) s, generate_series(0, 9) m`)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := pool.Exec(b.Context(), `VACUUM ANALYZE`); err != nil {
		b.Logf("vacuum: %v", err)
	}
	var copied, streamed []time.Duration
	for b.Loop() {
		begin := time.Now()
		conn, err := pool.Acquire(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		if _, err := conn.Conn().PgConn().CopyTo(b.Context(), io.Discard, `COPY (SELECT * FROM flat) TO STDOUT`); err != nil {
			b.Fatal(err)
		}
		conn.Release()
		copied = append(copied, time.Since(begin))
		begin = time.Now()
		if rows := n.take(b, &statisticspb.QueryRequest{Dataflow: cube}); rows != series*months {
			b.Fatalf("%d rows", rows)
		}
		streamed = append(streamed, time.Since(begin))
	}
	slices.Sort(copied)
	slices.Sort(streamed)
	copying, streaming := copied[len(copied)/2].Seconds(), streamed[len(streamed)/2].Seconds()
	b.ReportMetric(copying, "s/copy")
	b.ReportMetric(streaming, "s/stream")
	b.ReportMetric(copying/streaming, "times-copy")
}

// BenchmarkTenMillion asks small questions of ten million figures, and makes sums of all.
func BenchmarkTenMillion(b *testing.B) {
	pool := postgrestest.New(b, postgres.Migrations)
	n := filled(b, pool, 300_000, 34)
	if _, err := pool.Exec(b.Context(), `VACUUM ANALYZE`); err != nil {
		b.Logf("vacuum: %v", err)
	}
	one := func(s int) *statisticspb.QueryRequest {
		request := &statisticspb.QueryRequest{Dataflow: cube, Selections: []*statisticspb.Selection{pick("FREQ", "M")}}
		for i, code := range cubeKey(s) {
			request.Selections = append(request.Selections, pick(cubeDimensions[i], code))
		}
		return request
	}
	b.Run("one series", func(b *testing.B) {
		var took []time.Duration
		for i := 0; b.Loop(); i++ {
			begin := time.Now()
			if rows := n.take(b, one(i*7919%300_000)); rows != 34 {
				b.Fatalf("%d rows", rows)
			}
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs/p50")
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "µs/p99")
	})
	b.Run("availability", func(b *testing.B) {
		request := &statisticspb.GetAvailabilityRequest{
			Dataflow: cube, Dimensions: []string{"CITIZENSHIP"}, Filter: wire.FilterToProto(filter.Eq("SECTION", "S7")),
		}
		for b.Loop() {
			answer, err := n.GetAvailability(b.Context(), request)
			if err != nil || answer.GetObservations() != 300_000*34/50 {
				b.Fatal(answer, err)
			}
		}
	})
	b.Run("sum of all by year", func(b *testing.B) {
		for b.Loop() {
			rows := n.take(b, &statisticspb.QueryRequest{Dataflow: cube, Selections: []*statisticspb.Selection{pick("FREQ", "A")}})
			if rows != 300_000*3 {
				b.Fatalf("%d rows", rows)
			}
		}
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		b.ReportMetric(float64(memory.Sys)/(1<<20), "MiB/sys")
	})
}
