package rpc_test

import (
	"fmt"
	"iter"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// codelist returns structures with one codelist of one code.
func codelist(id, code string) *statisticspb.Structures {
	return &statisticspb.Structures{Codelists: []*statisticspb.Codelist{{Agency: "X", Id: id, Version: "1.0.0", Codes: []*statisticspb.Code{{Id: code}}}}}
}

func TestStructuresStoredAtOnce(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	var wait sync.WaitGroup
	answers := make([]error, 8)
	for i := range answers {
		wait.Go(func() {
			_, answers[i] = n.CreateStructures(t.Context(), &statisticspb.CreateStructuresRequest{Structures: codelist("CL_RACE", fmt.Sprint("C", i%2))})
		})
	}
	wait.Wait()
	for i, err := range answers {
		if code := status.Code(err); code != codes.OK && code != codes.AlreadyExists {
			t.Errorf("call %d says %v", i, err)
		}
	}
	if list := n.list(t, &statisticspb.ListStructuresRequest{Ids: []string{"CL_RACE"}}); len(list.GetCodelists()) != 1 {
		t.Errorf("stored: %v", list)
	}
}

func TestSubmitWhileStructuresChange(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	submit := func(key string, meanwhile func()) (*statistics.Submission, error) {
		rows := block.NewBuilder([]string{"FREQ", "PLACE", block.TimePeriod}, []string{block.ObsValue})
		rows.Append([]string{"M", "N1", "2024-01"}, []float64{5})
		blocks := func(yield func(*block.Block, error) bool) {
			meanwhile()
			yield(rows.Block(), nil)
		}
		flow, err := statistics.ParseRef(places)
		if err != nil {
			t.Fatal(err)
		}
		return n.service.Submit(t.Context(), statistics.Header{Dataflow: flow, IdempotencyKey: key},
			statistics.Content{Blocks: iter.Seq2[*block.Block, error](blocks)})
	}
	t.Run("it keeps an upload where others are stored", func(t *testing.T) {
		submission, err := submit("a", func() { n.create(t, codelist("CL_OTHER", "A")) })
		if err != nil || submission.State != statistics.Accepted {
			t.Errorf("%v, %v", submission, err)
		}
	})
	t.Run("it says so where those of the dataflow change", func(t *testing.T) {
		_, err := submit("b", func() {
			n.create(t, &statisticspb.Structures{ContentConstraints: []*statisticspb.ContentConstraint{
				constraint("CC", func(c *statisticspb.ContentConstraint) {
					c.Dataflows = []string{places}
					c.CubeRegions = []*statisticspb.CubeRegion{{Keys: []*statisticspb.CubeRegionKey{{Component: "PLACE", Values: values("S1")}}}}
				}),
			}})
		})
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("it says %v", err)
		}
	})
}
