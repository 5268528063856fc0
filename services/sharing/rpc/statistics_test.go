package rpc

import (
	"context"
	"reflect"
	"slices"
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

// ListStructures answers the maps where nothing but maps is asked for.
func (m *mirroring) ListStructures(_ context.Context, request *statisticspb.ListStructuresRequest, _ ...grpc.CallOption) (*statisticspb.ListStructuresResponse, error) {
	if !slices.Equal(request.GetKinds(), []statisticspb.Artefact_Kind{statisticspb.Artefact_STRUCTURE_MAP}) {
		return &statisticspb.ListStructuresResponse{}, nil
	}
	return &statisticspb.ListStructuresResponse{Structures: &statisticspb.Structures{StructureMaps: []*statisticspb.StructureMap{
		{Agency: "X", Id: "M", Version: "1.0.0", Source: "X:A(1.0.0)", Target: "X:B(2.0.0)"}, {Agency: "X", Id: "N", Source: "X:C", Target: "X:B"},
	}}}, nil
}

func TestDerivations(t *testing.T) {
	t.Parallel()
	got, err := (&Statistics{client: &mirroring{}}).Derivations(t.Context())
	want := []sharing.Derivation{{Source: "X:A(1.0.0)", Target: "X:B(2.0.0)"}, {Source: "X:C", Target: "X:B"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
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
