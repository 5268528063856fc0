package rpc_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
)

// keyedCells returns cells as "codes period count", each with its key.
func (n *node) keyedCells(t *testing.T, request *statisticspb.CountCellsRequest) (map[string]uint64, error) {
	t.Helper()
	stream, err := n.CountCells(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	cells := map[string]uint64{}
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return cells, nil
		}
		if err != nil {
			return nil, err
		}
		b, err := wire.BlockFromProto(part.GetBlock())
		if err != nil {
			t.Fatal(err)
		}
		if len(part.GetKeys()) != b.Rows {
			t.Fatalf("%d keys of %d rows", len(part.GetKeys()), b.Rows)
		}
		for i, key := range part.GetKeys() {
			name := ""
			for _, column := range b.Columns[:len(b.Columns)-1] {
				name += column.Text(i) + " "
			}
			cells[fmt.Sprint(name, b.Column("OBS_VALUE").Numbers[i])] = key
		}
	}
}

func TestCountCells(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	n.put(t, false, "N1 2023-01 4", "N2 2023-01 6", "S 2023-01 5", "S1 2023-01 0", "S2 2023-01 7 C", "N1 2023-02 1")
	ask := &statisticspb.CountCellsRequest{
		Dataflow: places, StartPeriod: "2023-01", EndPeriod: "2023-12",
		Dimensions: []*statisticspb.CodeSet{{Dimension: "FREQ", Codes: []string{"M"}}, {Dimension: "PLACE", Codes: []string{"N", "N1", "N2", "S", "S1", "S2"}}},
	}
	if _, err := n.keyedCells(t, ask); status.Code(err) != codes.FailedPrecondition {
		t.Errorf("a node without a secret answers %v", err)
	}
	if err := n.service.KeyCellsBy(t.Context(), bytes.Repeat([]byte{1}, 32)); err != nil {
		t.Fatal(err)
	}
	cells, err := n.keyedCells(t, ask)
	if err != nil {
		t.Fatal(err)
	}
	n1, n2 := cells["M N1 2023-01 4"], cells["M N2 2023-01 6"]
	february := cells["M N1 2023-02 1"]
	want := map[string]uint64{
		"M N 2023-01 10": n1 + n2, "M N1 2023-01 4": n1, "M N2 2023-01 6": n2, "M N 2023-02 1": february, "M N1 2023-02 1": february,
		"M S1 2023-01 0": 0, // S would give the hidden S2 away
	}
	if diff := cmp.Diff(want, cells); diff != "" || n1 == 0 || n1 == n2 || n1 == february {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	if err := n.service.KeyCellsBy(t.Context(), bytes.Repeat([]byte{2}, 32)); err == nil {
		t.Error("another secret takes the place of the first")
	}
	ask.EndPeriod = ""
	if _, err := n.keyedCells(t, ask); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a question without an end gives %v", err)
	}
}

func TestCellsOfEvents(t *testing.T) {
	t.Parallel()
	n := newPassages(t)
	if err := n.service.KeyCellsBy(t.Context(), bytes.Repeat([]byte{1}, 32)); err != nil {
		t.Fatal(err)
	}
	n.mustRecord(t, &statisticspb.EventsHeader{Batch: "1"}, eventBlock(t, "EAST F 2023-01 7 1", "EAST F 2023-01 4294967295 1", "WEST F 2023-01 3 1"))
	n.closeEvents(t, "")
	n.mustRecord(t, &statisticspb.EventsHeader{Batch: "2"}, eventBlock(t, "EAST F 2023-01 9 1")) // not closed yet
	ask := &statisticspb.CountCellsRequest{
		Dataflow: passages, StartPeriod: "2023", EndPeriod: "2023",
		Dimensions: []*statisticspb.CodeSet{
			{Dimension: "FREQ", Codes: []string{"A"}}, {Dimension: "GATE", Codes: []string{"EAST", "WEST"}}, {Dimension: "SEX", Codes: []string{"F"}},
		},
	}
	cells, err := n.keyedCells(t, ask)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]uint64{"A EAST F 2023 2": 6 << 32, "A WEST F 2023 1": 3 << 32}, cells); diff != "" {
		t.Errorf("cells (-want +got):\n%s", diff)
	}
	n.closeEvents(t, "")
	if cells, err = n.keyedCells(t, ask); err != nil || cells["A EAST F 2023 3"] != 15<<32 {
		t.Errorf("after the next closing: %v, %v", cells, err)
	}
}
