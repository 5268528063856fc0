package statistics_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/statistics"
)

func TestReadOfObservationsWithoutAValue(t *testing.T) {
	t.Parallel()
	layout := func(change func(*statistics.Layout)) statistics.Layout {
		l := statistics.Layout{
			ID: "ferries",
			Columns: []statistics.LayoutColumn{
				{Header: "month"},
				{Header: "port", Component: "PORT"},
				{Header: "women", Component: block.ObsValue, Constants: map[string]string{"SEX": "F"}, Blank: "NaN", Blanks: []string{"-", "n/a"}},
				{Header: "men", Component: block.ObsValue, Constants: map[string]string{"SEX": "M"}, SkipBlank: true},
			},
			Constants: map[string]string{"FREQ": "M"}, Period: statistics.LayoutPeriod{Headers: []string{"month"}, Format: "YYYY-MM"},
		}
		if change != nil {
			change(&l)
		}
		return l
	}
	structure := &statistics.DataStructure{
		Ref: statistics.Ref{Agency: "XX", ID: "FERRIES", Version: "1.0.0"}, Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "PORT"}, {ID: "SEX"}},
		Attributes: []statistics.Component{{ID: block.ObsStatus}},
	}
	flagged := func(l *statistics.Layout) {
		l.Columns = append(l.Columns, statistics.LayoutColumn{Header: "flag", Component: block.ObsStatus})
	}
	for name, test := range map[string]struct {
		layout statistics.Layout
		file   string
		want   [][]string // FREQ, PORT, SEX, TIME_PERIOD, OBS_STATUS, OBS_VALUE, _LINE
		rule   string
	}{
		"it keeps what the layout says is missing, and leaves out what it says is nothing": {
			layout(nil), "month,port,women,men\n2023-01,Nord,-,3\n2023-02,Nord,,\n2023-03,Nord,4,n/a\n",
			[][]string{{"M", "Nord", "F", "2023-01", "O", "NaN", "2"}, {"M", "Nord", "M", "2023-01", "", "3", "2"}, {"M", "Nord", "F", "2023-02", "O", "NaN", "3"}},
			"VALUE",
		},
		"it keeps the status of the row": {
			layout(flagged), "month,port,women,men,flag\n2023-01,Nord,n/a,,L\n2023-02,Nord,-,2,\n",
			[][]string{{"M", "Nord", "F", "2023-01", "L", "NaN", "2"}, {"M", "Nord", "F", "2023-02", "O", "NaN", "3"}, {"M", "Nord", "M", "2023-02", "", "2", "3"}},
			"",
		},
		"it does not hold a total against what is missing": {
			layout(func(l *statistics.Layout) {
				l.Columns = append(l.Columns, statistics.LayoutColumn{Header: "all", Total: true})
			}), "month,port,women,men,all\n2023-01,Nord,-,3,9\n2023-02,Nord,1,3,9\n",
			[][]string{{"M", "Nord", "F", "2023-01", "O", "NaN", "2"}, {"M", "Nord", "M", "2023-01", "", "3", "2"}},
			"TOTAL_MISMATCH",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := test.layout.Check(structure); err != nil {
				t.Fatal(err)
			}
			rows, findings := readAll(t, test.layout, structure, strings.NewReader(test.file))
			if diff := cmp.Diff(test.want, rows); diff != "" {
				t.Errorf("the rows differ (-want +got):\n%s", diff)
			}
			found := ""
			for _, f := range findings {
				if f.Severity == statistics.Blocking {
					found = f.Rule
				}
			}
			if found != test.rule {
				t.Errorf("the findings are %v", findings)
			}
		})
	}
}
