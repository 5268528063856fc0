package rpc_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// BenchmarkJudgement prints how fast observations are submitted with the default rules, and with none: all figures of
// 100,000 series in ten months at once, then one further month of all.
func BenchmarkJudgement(b *testing.B) {
	const series, months = 100_000, 10
	dimensions := []string{"FREQ", "REF_AREA", "SECTION", "CITIZENSHIP", "SEX", "AGE"}
	structure := statistics.DataStructure{Ref: statistics.Ref{Agency: "X", ID: "S", Version: "1.0.0"}}
	for _, id := range dimensions {
		structure.Dimensions = append(structure.Dimensions, statistics.Component{ID: id})
	}
	flow := statistics.Dataflow{Ref: statistics.Ref{Agency: "X", ID: "F", Version: "1.0.0"}, Structure: structure.Ref}
	rows := func(first, last int) iter.Seq2[*block.Block, error] {
		return func(yield func(*block.Block, error) bool) {
			builder := block.NewBuilder(append(append([]string{}, dimensions...), block.TimePeriod), []string{block.ObsValue})
			for s := range series {
				key := []string{"M", "XX", fmt.Sprint("S", s%50), fmt.Sprint("C", s/50%200), fmt.Sprint("X", s/10_000%2), fmt.Sprint("A", s/20_000), ""}
				for month := first; month <= last; month++ {
					key[len(key)-1] = fmt.Sprintf("%d-%02d", 2015+month/12, month%12+1)
					builder.Append(key, []float64{float64(s%97 + month)})
				}
				if builder.Rows() >= 4096 {
					if !yield(builder.Block(), nil) {
						return
					}
					builder.Reset()
				}
			}
			if builder.Rows() > 0 {
				yield(builder.Block(), nil)
			}
		}
	}
	for _, judged := range []bool{true, false} {
		b.Run(fmt.Sprintf("rules=%t", judged), func(b *testing.B) {
			for b.Loop() {
				store := postgres.New(postgrestest.New(b, postgres.Migrations))
				service := statistics.NewService(store, "x", time.Now, func() string { return uuid.Must(uuid.NewV7()).String() })
				ctx := context.Background()
				_, err := service.CreateStructures(ctx, &statistics.Structures{DataStructures: []statistics.DataStructure{structure}, Dataflows: []statistics.Dataflow{flow}})
				if err != nil {
					b.Fatal(err)
				}
				if !judged {
					if _, err := service.SetQualityRules(ctx, flow.Ref, nil, "nobody"); err != nil {
						b.Fatal(err)
					}
				}
				for _, step := range []struct {
					name        string
					first, last int
				}{{"first", 0, months - 1}, {"month", months, months}} {
					start := time.Now()
					s, err := service.Submit(ctx, statistics.Header{Dataflow: flow.Ref}, statistics.Content{Blocks: rows(step.first, step.last)})
					if err != nil || s.State != statistics.Accepted {
						b.Fatal(err, s)
					}
					b.ReportMetric(float64(s.Observations)/time.Since(start).Seconds(), step.name+"-obs/s")
				}
			}
		})
	}
}
