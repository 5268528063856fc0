package rpc

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/testing/protocmp"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

func TestLayoutFromProto(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		layout *statisticspb.Layout
	}{
		{"it keeps all of a layout", &statisticspb.Layout{
			Id: "gates", Dataflow: "XX:GATES(1.0.0)", Delimiter: ";", Encoding: "windows-1252",
			Quote: "'", NoQuotes: true, NoHeader: true, SkipLines: 3, Footers: []string{"Source"}, Trim: true,
			Columns: []*statisticspb.LayoutColumn{
				{Header: "gate", Component: "GATE", Blank: "none", Blanks: []string{"-"}, LetterCase: statisticspb.LayoutColumn_UPPER},
				{Header: "lane", Component: "LANE", LetterCase: statisticspb.LayoutColumn_LOWER},
				{Header: "women", Component: "OBS_VALUE", Constants: map[string]string{"SEX": "F"}, SkipBlank: true},
				{Header: "all", Total: true},
			},
			Constants: map[string]string{"FREQ": "M"},
			Period: &statisticspb.LayoutPeriod{
				Headers: []string{"year", "month"}, Format: "YYYY MONTH", Months: []string{"I", "II"},
				FiscalYear: &statisticspb.LayoutPeriod_FiscalYear{FirstMonth: 10, NamedByStart: true},
			},
			Numbers:    &statisticspb.LayoutNumbers{Decimal: ",", Thousands: "."},
			Filters:    []*statisticspb.LayoutFilter{{Header: "gate", Keep: []string{"East"}}, {Header: "all", LeaveOut: []string{"0"}}},
			Duplicates: statisticspb.Layout_SUM,
		}},
		{"it keeps the first", &statisticspb.Layout{Id: "gates", Period: &statisticspb.LayoutPeriod{}, Duplicates: statisticspb.Layout_FIRST}},
		{"it keeps the last", &statisticspb.Layout{Id: "gates", Period: &statisticspb.LayoutPeriod{}, Duplicates: statisticspb.Layout_LAST}},
		{"it leaves absent what is absent", &statisticspb.Layout{Id: "gates", Period: &statisticspb.LayoutPeriod{}, Duplicates: statisticspb.Layout_REJECT}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			layout, err := layoutFromProto(test.layout)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.layout, layoutToProto(layout), protocmp.Transform()); diff != "" {
				t.Errorf("the layout differs (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLayoutFromProtoRefuses(t *testing.T) {
	t.Parallel()
	for name, layout := range map[string]*statisticspb.Layout{
		"it refuses an unknown duplicate rule":  {Duplicates: 99},
		"it refuses an unknown case of letters": {Columns: []*statisticspb.LayoutColumn{{LetterCase: 257}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := layoutFromProto(layout); err == nil {
				t.Error("it is accepted")
			}
		})
	}
}
