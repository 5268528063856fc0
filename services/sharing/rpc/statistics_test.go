package rpc

import (
	"context"
	"reflect"
	"testing"

	"google.golang.org/grpc"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/sharing"
)

// mirroring answers structures with a design of mirror statistics.
type mirroring struct {
	tablesOf
	design *statisticspb.MirrorDesign
}

func (m *mirroring) GetStructures(ctx context.Context, request *statisticspb.GetStructuresRequest, _ ...grpc.CallOption) (*statisticspb.GetStructuresResponse, error) {
	answer, err := m.tablesOf.GetStructures(ctx, request)
	answer.Mirror = m.design
	return answer, err
}

func TestStructures(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		design *statisticspb.MirrorDesign
		want   *sharing.Mirror
	}{
		"it says that nothing counts the same from two ends": {},
		"it says what counts the same from two ends": {
			&statisticspb.MirrorDesign{
				AreaDimension: "REF_AREA", FlowDimension: "INDICATOR", CounterpartDimension: "SECTION",
				Flows: []*statisticspb.MirrorFlow{{Exits: "OUT", Entries: "IN"}},
				Areas: []*statisticspb.MirrorArea{{Code: "FRA", Area: "FR"}},
			},
			&sharing.Mirror{
				Area: "REF_AREA", Flow: "INDICATOR", Counterpart: "SECTION",
				Flows: map[string]string{"OUT": "IN", "IN": "OUT"}, Areas: map[string]string{"FRA": "FR"},
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			structures, err := (&Statistics{client: &mirroring{design: c.design}}).Structures(t.Context(), "X:F")
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(structures.Mirror, c.want) {
				t.Errorf("got %+v", structures.Mirror)
			}
		})
	}
}
