package rpc

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/sharing"
)

// constrained answers structures with constraints.
type constrained struct {
	tablesOf
	constraints []*statisticspb.BindingConstraint
}

func (c *constrained) GetStructures(ctx context.Context, request *statisticspb.GetStructuresRequest, _ ...grpc.CallOption) (*statisticspb.GetStructuresResponse, error) {
	answer, err := c.tablesOf.GetStructures(ctx, request)
	answer.Constraints = c.constraints
	return answer, err
}

func TestConstraints(t *testing.T) {
	t.Parallel()
	sex := func(cascade statisticspb.CubeRegionValue_Cascade, code string) *statisticspb.CubeRegionKey {
		return &statisticspb.CubeRegionKey{Component: "SEX", Values: []*statisticspb.CubeRegionValue{{Value: code, Cascade: cascade}}}
	}
	const alone = statisticspb.CubeRegionValue_UNSPECIFIED
	region := func(exclude bool, keys ...*statisticspb.CubeRegionKey) *statisticspb.ContentConstraint {
		return &statisticspb.ContentConstraint{CubeRegions: []*statisticspb.CubeRegion{{Exclude: exclude, Keys: keys}}}
	}
	during := func(first, last string) *statisticspb.CubeRegionKey {
		return &statisticspb.CubeRegionKey{
			Component: block.TimePeriod, Exclude: true, TimeRange: &statisticspb.TimeRange{StartPeriod: first, EndPeriod: last},
		}
	}
	estimates := &statisticspb.CubeRegionKey{Component: block.ObsStatus, Values: []*statisticspb.CubeRegionValue{{Value: "E"}}}
	keys := func(id, code string) *statisticspb.ContentConstraint {
		return &statisticspb.ContentConstraint{KeySets: []*statisticspb.DataKeySet{
			{Exclude: true, Keys: []*statisticspb.DataKey{{Values: map[string]string{id: code}}}},
		}}
	}
	of := func(codes ...string) sharing.Region {
		bound := sharing.Bound{Dimension: "SEX", Codes: map[string]bool{}}
		for _, code := range codes {
			bound.Codes[code] = true
		}
		return sharing.Region{bound}
	}
	for name, c := range map[string]struct {
		of       *statisticspb.ContentConstraint
		provider string
		want     []sharing.Constraint
		wrong    bool
	}{
		"it reads a code":                         {of: region(false, sex(alone, "F")), want: []sharing.Constraint{{Include: []sharing.Region{of("F")}}}},
		"it reads a code with its parts":          {of: region(true, sex(statisticspb.CubeRegionValue_DESCENDANTS, "_T")), want: []sharing.Constraint{{Exclude: []sharing.Region{of("_T", "F", "M")}}}},
		"it reads the parts of a code":            {of: region(true, sex(statisticspb.CubeRegionValue_ONLY_DESCENDANTS, "_T")), want: []sharing.Constraint{{Exclude: []sharing.Region{of("F", "M")}}}},
		"it reads keys":                           {of: keys("SEX", "M"), want: []sharing.Constraint{{Exclude: []sharing.Region{of("M")}}}},
		"it excludes nothing because of statuses": {of: region(true, sex(alone, "F"), estimates), want: []sharing.Constraint{{}}},
		"it includes what has another status":     {of: region(false, sex(alone, "F"), estimates), want: []sharing.Constraint{{Include: []sharing.Region{of("F")}}}},
		"it reads the provider's own":             {of: keys("SEX", "M"), provider: "aa", want: []sharing.Constraint{{Exclude: []sharing.Region{of("M")}}}},
		"it leaves out those of others":           {of: keys("SEX", "M"), provider: "bb"},
		"it reads a time": {of: region(false, during("2023-02", "2024")), want: []sharing.Constraint{{Include: []sharing.Region{{{
			First: time.Date(2023, time.February, 1, 0, 0, 0, 0, time.UTC), Last: time.Date(2024, time.December, 31, 0, 0, 0, 0, time.UTC), Negated: true,
		}}}}}},
		"it refuses a time that it cannot read":    {of: region(true, during("soon", "")), wrong: true},
		"it refuses an end that it cannot read":    {of: region(true, during("", "late")), wrong: true},
		"it refuses a cascade that it cannot read": {of: region(true, sex(9, "F")), wrong: true},
		"it refuses keys of another structure":     {of: keys("GATE", "M"), wrong: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := &constrained{constraints: []*statisticspb.BindingConstraint{{Constraint: c.of, Provider: c.provider}}}
			got, err := (&Statistics{client: client}).Constraints(t.Context(), "X:F", "aa")
			if (err != nil) != c.wrong {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}
