package statistics_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// ferries is a small data structure, and ferryLayout the layout of a file of it.
func ferries() *statistics.DataStructure {
	return &statistics.DataStructure{
		Ref:        statistics.Ref{Agency: "XX", ID: "FERRIES", Version: "1.0.0"},
		Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "PORT"}, {ID: "FLAG"}},
		Attributes: []statistics.Component{{ID: "OBS_STATUS"}, {ID: "COMMENT"}},
	}
}

func ferryLayout() statistics.Layout {
	return statistics.Layout{
		ID:        "ferries",
		Delimiter: ";",
		Columns: []statistics.LayoutColumn{
			{Header: "port", Component: "PORT"},
			{Header: "flag", Component: "FLAG", Blank: "none"},
			{Header: "note", Component: "COMMENT"},
			{Header: "clerk"},
			{Header: "persons", Component: "OBS_VALUE"},
		},
		Constants: map[string]string{"FREQ": "M"},
		Period:    statistics.LayoutPeriod{Headers: []string{"month"}, Format: "YYYY-MM"},
	}
}

func TestLayoutCheck(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(*statistics.Layout)
		fields []string // of the violations
	}{
		{"it accepts one that fits", func(*statistics.Layout) {}, nil},
		{"it accepts any single character as the delimiter", func(l *statistics.Layout) { l.Delimiter = "¦" }, nil},
		{"it accepts a period that is a known column too", func(l *statistics.Layout) {
			l.Columns = append(l.Columns, statistics.LayoutColumn{Header: "month"})
		}, nil},
		{"it accepts a frequency from a column", func(l *statistics.Layout) {
			l.Constants = nil
			l.Columns = append(l.Columns, statistics.LayoutColumn{Header: "freq", Component: "FREQ"})
		}, nil},
		{"it refuses an id with a colon", func(l *statistics.Layout) { l.ID = "a:b" }, []string{"layout.id"}},
		{"it refuses a delimiter of two characters", func(l *statistics.Layout) { l.Delimiter = ";;" }, []string{"layout.delimiter"}},
		{"it refuses a quote as the delimiter", func(l *statistics.Layout) { l.Delimiter = `"` }, []string{"layout.delimiter"}},
		{"it refuses a component that the structure does not have", func(l *statistics.Layout) { l.Columns[3].Component = "CLERK" }, []string{"layout.columns[3].component"}},
		{"it refuses two columns for one component", func(l *statistics.Layout) { l.Columns[3].Component = "PORT" }, []string{"layout.columns[3].component"}},
		{"it refuses a column and a constant for one component", func(l *statistics.Layout) { l.Constants["PORT"] = "Nord" }, []string{"layout.constants.PORT"}},
		{"it refuses a header that stands twice", func(l *statistics.Layout) { l.Columns[3].Header = "note" }, []string{"layout.columns[3].header"}},
		{"it refuses a column without a header", func(l *statistics.Layout) { l.Columns[3].Header = "" }, []string{"layout.columns[3].header"}},
		{"it refuses a dimension that nothing fills", func(l *statistics.Layout) { l.Columns[1].Component = "" }, []string{"layout.columns"}},
		{"it refuses figures that nothing fills", func(l *statistics.Layout) { l.Columns[4].Component = "" }, []string{"layout.columns"}},
		{"it refuses figures that are a constant", func(l *statistics.Layout) { l.Constants["OBS_VALUE"] = "1" }, []string{"layout.constants.OBS_VALUE"}},
		{"it refuses a blank figure that is no number", func(l *statistics.Layout) { l.Columns[4].Blank = "-" }, []string{"layout.columns[4].blank"}},
		{"it refuses an empty constant", func(l *statistics.Layout) { l.Constants["OBS_STATUS"] = "" }, []string{"layout.constants.OBS_STATUS"}},
		{"it refuses an unknown form of period", func(l *statistics.Layout) { l.Period.Format = "DD.MM.YYYY" }, []string{"layout.period.format"}},
		{"it refuses a period without a column", func(l *statistics.Layout) { l.Period.Headers = nil }, []string{"layout.period.headers"}},
		{"it refuses a frequency that the period cannot tell", func(l *statistics.Layout) { l.Period.Format = "YYYY" }, []string{"layout.constants.FREQ"}},
		{"it shows everything that is wrong at once", func(l *statistics.Layout) { l.ID, l.Delimiter, l.Period.Format = "", "\n", "" }, []string{"layout.id", "layout.delimiter", "layout.period.format"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			layout := ferryLayout()
			test.change(&layout)
			if got := violationFields(t, layout.Check(ferries())); !slices.Equal(got, test.fields) {
				t.Errorf("the violations are of %q, want %q", got, test.fields)
			}
		})
	}

	t.Run("it refuses a structure that does not begin with FREQ", func(t *testing.T) {
		t.Parallel()
		s := ferries()
		slices.Reverse(s.Dimensions)
		if err := ferryLayout().Check(s); err == nil || !strings.Contains(err.Error(), "FREQ") {
			t.Errorf("the error is %v", err)
		}
	})
}

// violationFields returns the fields of a fault's violations, none for no error.
func violationFields(t *testing.T, err error) (fields []string) {
	t.Helper()
	if err == nil {
		return nil
	}
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Invalid {
		t.Fatalf("%v is no fault of an invalid request", err)
	}
	for _, v := range f.Violations {
		fields = append(fields, v.Field)
	}
	return fields
}
