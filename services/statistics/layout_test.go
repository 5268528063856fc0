package statistics_test

import (
	"errors"
	"fmt"
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
		{"it accepts a blank figure that is missing", func(l *statistics.Layout) { l.Columns[4].Blank = "NaN" }, nil},
		{"it refuses a missing total", func(l *statistics.Layout) {
			l.Columns = append(l.Columns, statistics.LayoutColumn{Header: "all", Total: true, Blank: "NaN"})
		}, []string{"layout.columns[5].blank"}},
		{"it refuses an empty constant", func(l *statistics.Layout) { l.Constants["OBS_STATUS"] = "" }, []string{"layout.constants.OBS_STATUS"}},
		{"it refuses an unknown form of period", func(l *statistics.Layout) { l.Period.Format = "DD.MM.YY" }, []string{"layout.period.format"}},
		{"it refuses a period without a column", func(l *statistics.Layout) { l.Period.Headers = nil }, []string{"layout.period.headers"}},
		{"it refuses a frequency that the period cannot tell", func(l *statistics.Layout) { l.Period.Format = "YYYY" }, []string{"layout.constants.FREQ"}},
		{"it refuses an unknown encoding", func(l *statistics.Layout) { l.Encoding = "EBCDIC" }, []string{"layout.encoding"}},
		{"it accepts an encoding in any case", func(l *statistics.Layout) { l.Encoding = "Windows-1252" }, nil},
		{"it refuses one mark for decimals and thousands", func(l *statistics.Layout) { l.Numbers.Thousands = "." }, []string{"layout.numbers.thousands"}},
		{"it refuses a decimal mark of two characters", func(l *statistics.Layout) { l.Numbers.Decimal = ".," }, []string{"layout.numbers.decimal"}},
		{"it refuses a digit as a mark", func(l *statistics.Layout) { l.Numbers.Decimal = "0" }, []string{"layout.numbers.decimal"}},
		{"it accepts a blank figure in the file's own form", func(l *statistics.Layout) { l.Numbers.Decimal, l.Columns[4].Blank = ",", "0,5" }, nil},
		{"it accepts a total", func(l *statistics.Layout) { l.Columns[3].Total = true }, nil},
		{"it refuses a total that is a component", func(l *statistics.Layout) { l.Columns[2].Total = true }, []string{"layout.columns[2].total"}},
		{"it refuses a total that is the figure", func(l *statistics.Layout) { l.Columns[4].Total = true }, []string{"layout.columns[4].total"}},
		{"it refuses to leave out what is no figure", func(l *statistics.Layout) { l.Columns[2].SkipBlank = true }, []string{"layout.columns[2].skipBlank"}},
		{"it refuses two meanings of a blank figure", func(l *statistics.Layout) { l.Columns[4].Blank, l.Columns[4].SkipBlank = "0", true }, []string{"layout.columns[4].skipBlank"}},
		{"it refuses constants of what is no figure", func(l *statistics.Layout) { l.Columns[3].Constants = map[string]string{"COMMENT": "x"} }, []string{"layout.columns[3].constants"}},
		{"it accepts columns of several codes", func(l *statistics.Layout) { widen(l, "FLAG", "NO", "SE") }, nil},
		{"it accepts columns of several periods", func(l *statistics.Layout) {
			l.Columns[1].Component = "FLAG"
			l.Columns[4].Constants = map[string]string{"TIME_PERIOD": "2023-01"}
			l.Period = statistics.LayoutPeriod{}
		}, nil},
		{"it refuses a period beside columns of several periods", func(l *statistics.Layout) { l.Columns[4].Constants = map[string]string{"TIME_PERIOD": "2023-01"} }, []string{"layout.period"}},
		{"it refuses a constant period that is none", func(l *statistics.Layout) {
			l.Columns[4].Constants = map[string]string{"TIME_PERIOD": "January"}
			l.Period = statistics.LayoutPeriod{}
		}, []string{"layout.columns[4].constants.TIME_PERIOD"}},
		{"it refuses two columns of one code", func(l *statistics.Layout) { widen(l, "FLAG", "NO", "NO") }, []string{"layout.columns[5].constants"}},
		{"it refuses columns of different components", func(l *statistics.Layout) {
			widen(l, "FLAG", "NO", "SE")
			l.Columns[5].Constants["COMMENT"] = "x"
		}, []string{"layout.columns[5].constants"}},
		{"it refuses columns of an unknown component", func(l *statistics.Layout) { widen(l, "SIZE", "S", "L") }, []string{"layout.columns[4].constants.SIZE", "layout.columns"}},
		{"it refuses columns of an empty code", func(l *statistics.Layout) { widen(l, "FLAG", "NO", "") }, []string{"layout.columns[5].constants.FLAG"}},
		{"it refuses columns of several frequencies", func(l *statistics.Layout) {
			widen(l, "FREQ", "M", "Q")
			l.Columns[1].Component, l.Constants = "FLAG", nil
		}, []string{"layout.columns[4].constants.FREQ", "layout.columns[5].constants.FREQ"}},
		{"it refuses very many columns of figures", func(l *statistics.Layout) {
			codes := make([]string, 513)
			for i := range codes {
				codes[i] = fmt.Sprint(i)
			}
			widen(l, "FLAG", codes...)
		}, []string{"layout.columns"}},
		{"it accepts a filter", func(l *statistics.Layout) {
			l.Filters = []statistics.LayoutFilter{{Header: "clerk", Keep: []string{"a"}}, {Header: "port", LeaveOut: []string{"all"}}}
		}, nil},
		{"it refuses a filter of no column", func(l *statistics.Layout) {
			l.Filters = []statistics.LayoutFilter{{Header: "pier", Keep: []string{"a"}}}
		}, []string{"layout.filters[0].header"}},
		{"it refuses a filter without values", func(l *statistics.Layout) { l.Filters = []statistics.LayoutFilter{{Header: "port"}} }, []string{"layout.filters[0]"}},
		{"it refuses a filter that keeps and leaves out", func(l *statistics.Layout) {
			l.Filters = []statistics.LayoutFilter{{Header: "port", Keep: []string{"a"}, LeaveOut: []string{"b"}}}
		}, []string{"layout.filters[0]"}},
		{"it accepts a file without a header", withoutHeader, nil},
		{"it refuses a period that is nowhere", func(l *statistics.Layout) { l.NoHeader = true }, []string{"layout.period.headers[0]"}},
		{"it accepts another quote", func(l *statistics.Layout) { l.Quote = "'" }, nil},
		{"it refuses a quote of two characters", func(l *statistics.Layout) { l.Quote = "''" }, []string{"layout.quote"}},
		{"it refuses a quote that separates", func(l *statistics.Layout) { l.Quote = ";" }, []string{"layout.quote"}},
		{"it refuses a quote where there are none", func(l *statistics.Layout) { l.Quote, l.NoQuotes = "'", true }, []string{"layout.noQuotes"}},
		{"it refuses to skip very many lines", func(l *statistics.Layout) { l.SkipLines = 1001 }, []string{"layout.skipLines"}},
		{"it refuses to skip less than nothing", func(l *statistics.Layout) { l.SkipLines = -1 }, []string{"layout.skipLines"}},
		{"it refuses a footer that every line begins with", func(l *statistics.Layout) { l.Footers = []string{"Source", ""} }, []string{"layout.footers[1]"}},
		{"it refuses a footer of two lines", func(l *statistics.Layout) { l.Footers = []string{"a\nb"} }, []string{"layout.footers[0]"}},
		{"it refuses very many footers", func(l *statistics.Layout) { l.Footers = slices.Repeat([]string{"x"}, 65) }, []string{"layout.footers"}},
		{"it refuses very many columns", func(l *statistics.Layout) {
			for i := range 4096 {
				l.Columns = append(l.Columns, statistics.LayoutColumn{Header: fmt.Sprint(i)})
			}
		}, []string{"layout.columns"}},
		{"it refuses letters of figures", func(l *statistics.Layout) { l.Columns[4].Case = statistics.UpperCase }, []string{"layout.columns[4].letterCase"}},
		{"it refuses an unknown case of letters", func(l *statistics.Layout) { l.Columns[0].Case = 9 }, []string{"layout.columns[0].letterCase"}},
		{"it refuses a blank that is blank", func(l *statistics.Layout) { l.Columns[0].Blanks = []string{"-", " "} }, []string{"layout.columns[0].blanks[1]"}},
		{"it accepts every duplicate rule", func(l *statistics.Layout) { l.Duplicates = statistics.KeepLast }, nil},
		{"it refuses an unknown duplicate rule", func(l *statistics.Layout) { l.Duplicates = 4 }, []string{"layout.duplicates"}},
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

// widen makes the layout one with a column of figures for each code of the component, in place of the flag's.
func widen(l *statistics.Layout, component string, codes ...string) {
	l.Columns[1].Component, l.Columns[1].Blank = "", ""
	l.Columns = l.Columns[:4]
	for i, code := range codes {
		l.Columns = append(l.Columns, statistics.LayoutColumn{
			Header: fmt.Sprintf("persons %d", i), Component: "OBS_VALUE", Constants: map[string]string{component: code},
		})
	}
}

func TestLayoutCheckPeriod(t *testing.T) {
	t.Parallel()
	months := strings.Fields("jan feb mar apr maj jun jul aug sep okt nov des")
	fiscal := statistics.FiscalYear{FirstMonth: 10}
	for _, test := range []struct {
		name   string
		period statistics.LayoutPeriod
		field  string // of the violation
	}{
		{"it accepts a date in another order", statistics.LayoutPeriod{Format: "DD.MM.YYYY"}, ""},
		{"it accepts a time of day", statistics.LayoutPeriod{Format: "MM/DD/YYYY hh:mm:ss AM"}, ""},
		{"it accepts names of months", statistics.LayoutPeriod{Format: "D. MONTH YYYY", Months: months}, ""},
		{"it accepts fiscal months", statistics.LayoutPeriod{Format: "YYYY-FF", FiscalYear: fiscal}, ""},
		{"it refuses letters that mean nothing", statistics.LayoutPeriod{Format: "YYYY-MM-DDThh"}, "layout.period.format"},
		{"it refuses a period without a year", statistics.LayoutPeriod{Format: "MM"}, "layout.period.format"},
		{"it refuses a year that stands twice", statistics.LayoutPeriod{Format: "YYYY YYYY-MM"}, "layout.period.format"},
		{"it refuses a month in two ways", statistics.LayoutPeriod{Format: "YYYY-MM MONTH", Months: months}, "layout.period.format"},
		{"it refuses a month and a quarter", statistics.LayoutPeriod{Format: "YYYY-MM QQ"}, "layout.period.format"},
		{"it refuses a day of a quarter", statistics.LayoutPeriod{Format: "YYYY QQ DD"}, "layout.period.format"},
		{"it refuses AM without hours", statistics.LayoutPeriod{Format: "YYYY-MM AM"}, "layout.period.format"},
		{"it refuses a fiscal month without a fiscal year", statistics.LayoutPeriod{Format: "YYYY-FF"}, "layout.period.format"},
		{"it refuses years of weeks", statistics.LayoutPeriod{Format: "YYYY-WWW"}, "layout.constants.FREQ"},
		{"it refuses a day of a week", statistics.LayoutPeriod{Format: "YYYY-WW-D"}, "layout.period.format"},
		{"it refuses a week and a month", statistics.LayoutPeriod{Format: "YYYY-MM W"}, "layout.period.format"},
		{"it refuses a week in two ways", statistics.LayoutPeriod{Format: "YYYY-WWW W"}, "layout.period.format"},
		{"it refuses fiscal numbers of days", statistics.LayoutPeriod{Format: "SERIAL", FiscalYear: fiscal}, "layout.period.fiscalYear"},
		{"it accepts numbers of days", statistics.LayoutPeriod{Format: "SERIAL"}, ""},
		{"it refuses a number of a day beside a year", statistics.LayoutPeriod{Format: "SERIAL YYYY"}, "layout.period.format"},
		{"it refuses a year of less than twelve months", statistics.LayoutPeriod{Format: "YYYY MONTH", Months: months[:11]}, "layout.period.months"},
		{"it refuses two months of one name", statistics.LayoutPeriod{Format: "YYYY MONTH", Months: append([]string{"JUN"}, months[1:]...)}, "layout.period.months"},
		{"it refuses names that it does not need", statistics.LayoutPeriod{Format: "YYYY-MM", Months: months}, "layout.period.months"},
		{"it refuses a thirteenth month", statistics.LayoutPeriod{Format: "YYYY-MM", FiscalYear: statistics.FiscalYear{FirstMonth: 13}}, "layout.period.fiscalYear"},
		{"it refuses quarters that are none of the calendar", statistics.LayoutPeriod{Format: "YYYY QQ", FiscalYear: statistics.FiscalYear{FirstMonth: 9}}, "layout.period.fiscalYear"},
		{"it refuses fiscal years alone", statistics.LayoutPeriod{Format: "YYYY", FiscalYear: fiscal}, "layout.period.fiscalYear"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			layout := ferryLayout()
			test.period.Headers = []string{"month"}
			layout.Period, layout.Constants["FREQ"] = test.period, "A"
			var want []string
			if test.field != "" {
				want = []string{test.field}
			}
			if got := violationFields(t, layout.Check(ferries())); !slices.Equal(got, want) {
				t.Errorf("the violations are of %q, want %q", got, want)
			}
		})
	}
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
