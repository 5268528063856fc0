package statistics_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/statistics"
)

const ferryHeader = "month;port;flag;note;clerk;persons\n"

// readAll reads a file into rows of texts, one for each column of the blocks.
func readAll(t *testing.T, l statistics.Layout, s *statistics.DataStructure, r io.Reader) (rows [][]string, findings []statistics.Finding) {
	t.Helper()
	var report statistics.Report
	for b, err := range l.Read(r, s, &report) {
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, textRows(t, b)...)
	}
	return rows, report.Findings()
}

func textRows(t testing.TB, b *block.Block) (rows [][]string) {
	t.Helper()
	if err := b.Check(); err != nil {
		t.Fatal(err)
	}
	for i := range b.Rows {
		row := make([]string, 0, len(b.Columns))
		for _, c := range b.Columns {
			if c.IsNumber() {
				row = append(row, fmt.Sprint(c.Numbers[i]))
			} else {
				row = append(row, c.Text(i))
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func TestRead(t *testing.T) {
	t.Parallel()
	// FREQ, PORT, FLAG, TIME_PERIOD, COMMENT, OBS_VALUE, _LINE
	for _, test := range []struct {
		name, file string
		want       [][]string
	}{
		{"it reads rows with the line they begin on", "2023-01;Nord;NO;first;x;12\n2023-02;Sund;SE;;x;-3.5\n", [][]string{
			{"M", "Nord", "NO", "2023-01", "first", "12", "2"}, {"M", "Sund", "SE", "2023-02", "", "-3.5", "3"},
		}},
		{"it counts quoted line breaks and blank lines", "2023-01;Nord;NO;;\"x\ny\";1\n\n2023-02;Sund;SE;;\"a\n\nb\";2\r\n2023-03;Vest;DK;;x;3", [][]string{
			{"M", "Nord", "NO", "2023-01", "", "1", "2"}, {"M", "Sund", "SE", "2023-02", "", "2", "5"}, {"M", "Vest", "DK", "2023-03", "", "3", "8"},
		}},
		{"it takes a blank cell for what the layout says", "2023-01;Nord; ;;x;1\n", [][]string{{"M", "Nord", "none", "2023-01", "", "1", "2"}}},
		{"it leaves labels as they are", "2023-01;\" N;\"\"d\";No , way ;;x;1\n", [][]string{{"M", " N;\"d", "No , way ", "2023-01", "", "1", "2"}}},
		{"it reads a file without rows", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for _, start := range []string{"", "\uFEFF"} {
				rows, findings := readAll(t, ferryLayout(), ferries(), strings.NewReader(start+ferryHeader+test.file))
				if diff := cmp.Diff(test.want, rows); diff != "" {
					t.Errorf("the rows differ (-want +got):\n%s", diff)
				}
				if len(findings) > 0 {
					t.Errorf("the findings are %v", findings)
				}
			}
		})
	}

	t.Run("it makes blocks of 4,096 rows in any chunks of input", func(t *testing.T) {
		t.Parallel()
		text := "\uFEFF\"month\"" + ferryHeader[5:] + strings.Repeat("2023-01;Nord;NO;\"\n\";x;1\n", 10_000)
		var report statistics.Report
		var sizes []int
		var last float64
		for b, err := range ferryLayout().Read(iotest.OneByteReader(strings.NewReader(text)), ferries(), &report) {
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, b.Rows)
			last = b.Column(block.Line).Numbers[b.Rows-1]
		}
		if !slices.Equal(sizes, []int{4096, 4096, 1808}) || last != 20_000 || report.Blocking() {
			t.Errorf("blocks of %v rows up to line %v, findings %v", sizes, last, report.Findings())
		}
	})

	t.Run("it passes on an error of the connection", func(t *testing.T) {
		t.Parallel()
		lost := errors.New("the connection is lost")
		for _, text := range []string{"", "mon", ferryHeader, ferryHeader + "2023-01;Nord;NO;;x;1\n2023"} {
			var report statistics.Report
			var got error
			for _, err := range ferryLayout().Read(io.MultiReader(strings.NewReader(text), iotest.ErrReader(lost)), ferries(), &report) {
				got = err
			}
			if !errors.Is(got, lost) || report.Blocking() {
				t.Errorf("after %q: %v, findings %v", text, got, report.Findings())
			}
		}
	})

	t.Run("it stops when the caller does", func(t *testing.T) {
		t.Parallel()
		var report statistics.Report
		for b, err := range ferryLayout().Read(strings.NewReader(ferryHeader+strings.Repeat("2023-01;Nord;NO;;x;1\n", 9000)), ferries(), &report) {
			if err != nil || b.Rows == 0 {
				t.Errorf("the first block has %d rows, with error %v", b.Rows, err)
			}
			break
		}
	})
}

// found is what a test wants to know of a finding.
type found struct {
	Rule   string
	Line   int
	Column string
	Values []string
}

func TestReadFindings(t *testing.T) {
	t.Parallel()
	const good = "2023-01;Nord;NO;;x;1\n"
	for _, test := range []struct {
		name, file string
		want       []found
		says       string // part of the first message
		rows       int    // read all the same
	}{
		{"it names the columns of an empty file", "", []found{{Rule: "HEADER", Line: 1}}, `"persons"`, 0},
		{"it names a missing column and the unknown one", "month;port;flag;note;clerk;people\n" + good, []found{{Rule: "HEADER", Line: 1, Column: "people"}, {Rule: "HEADER", Line: 1, Column: "persons"}}, `expected "port", "flag", "note", "clerk", "persons", "month"`, 0},
		{"it names a column that stands twice", "port;" + ferryHeader, []found{{Rule: "HEADER", Line: 1, Column: "port"}}, "twice", 0},
		{"it names the separator that it expects", "month,port\n", []found{
			{Rule: "HEADER", Line: 1, Column: "month,port"},
			{Rule: "HEADER", Line: 1, Column: "port"},
			{Rule: "HEADER", Line: 1, Column: "flag"},
			{Rule: "HEADER", Line: 1, Column: "note"},
			{Rule: "HEADER", Line: 1, Column: "clerk"},
			{Rule: "HEADER", Line: 1, Column: "persons"},
			{Rule: "HEADER", Line: 1, Column: "month"},
		}, `separated by ";"`, 0},
		{"it refuses UTF-16 that does not say so", "m\x00o\x00n\x00", []found{
			{Rule: "ENCODING", Line: 1, Column: "column 1"},
			{Rule: "HEADER", Line: 1, Column: "port"},
			{Rule: "HEADER", Line: 1, Column: "flag"},
			{Rule: "HEADER", Line: 1, Column: "note"},
			{Rule: "HEADER", Line: 1, Column: "clerk"},
			{Rule: "HEADER", Line: 1, Column: "persons"},
			{Rule: "HEADER", Line: 1, Column: "month"},
		}, "UTF-8", 0},
		{"it refuses a cell in Latin-1", ferryHeader + "2023-01;Nord;NO;;\"a\nb\";1\n2023-01;S\xf8r;NO;;x;1\n" + good, []found{{Rule: "ENCODING", Line: 4, Column: "port"}}, "UTF-8", 2},
		{"it refuses a cell in Latin-1 that is not read", ferryHeader + "2023-01;Nord;NO;;\xe6;1\n" + good, []found{{Rule: "ENCODING", Line: 2, Column: "clerk"}}, "UTF-8", 1},
		{"it refuses a cell with U+0000", ferryHeader + "2023-01;N\x00rd;NO;;x;1\n" + good, []found{{Rule: "ENCODING", Line: 2, Column: "port"}}, "U+0000", 1},
		{"it refuses a row with too few cells, and one with too many", ferryHeader + "2023-01;Nord;NO\n" + good + "2023-01;Nord;NO;;x;1;2\n", []found{{Rule: "ROW", Line: 2}, {Rule: "ROW", Line: 4}}, "has 3 cells, the header row 6", 1},
		{"it refuses a quote in mid-cell", ferryHeader + good + "2023-01;No\"rd;NO;;x;1\n" + good, []found{{Rule: "ROW", Line: 3}}, "line 3, byte 11", 2},
		{"it refuses a quote that is not closed", ferryHeader + good + "2023-01;\"Nord;NO;;x;1\n" + good, []found{{Rule: "ROW", Line: 3}}, "quote", 1},
		{"it refuses a blank cell", ferryHeader + "2023-01; ;NO;;x;1\n;Nord;NO;;x;1\n2023-01;Nord;NO;;x;\n", []found{{Rule: "BLANK", Line: 2, Column: "port"}, {Rule: "BLANK", Line: 3, Column: "month"}, {Rule: "BLANK", Line: 4, Column: "persons"}}, "expected a value for PORT", 0},
		{"it finds all that is wrong with a row", ferryHeader + "2023-13;;NO;;x;many\n", []found{{Rule: "BLANK", Line: 2, Column: "port"}, {Rule: "VALUE", Line: 2, Column: "persons", Values: []string{"many"}}, {Rule: "PERIOD", Line: 2, Column: "month", Values: []string{"2023-13"}}}, "PORT", 0},
		{"it refuses a cell that is too long", ferryHeader + "2023-01;" + strings.Repeat("N", 4097) + ";NO;;x;1\n" + good, []found{{Rule: "VALUE", Line: 2, Column: "port", Values: []string{strings.Repeat("N", 80) + "…"}}}, "4096 bytes", 1},
		{"it refuses a row that is too long", ferryHeader + good + strings.Repeat("x", 2<<20), []found{{Rule: "ROW", Line: 3}}, "longer than 1048576 bytes", 1},
		{"it refuses a quote that swallows the file", ferryHeader + "2023-01;Nord;NO;;\"a\nb\";1\n\"" + strings.Repeat(good, 1<<17), []found{{Rule: "ROW", Line: 4}}, "a quote that is not closed", 1},
		{"it refuses a header row that is too long", strings.Repeat(";", 2<<20), []found{{Rule: "ROW", Line: 1}}, "longer than", 0},
		{"it refuses rows of very many cells", ferryHeader + strings.Repeat(";", 1<<19) + "\n" + good, []found{{Rule: "ROW", Line: 2}}, "has 524289 cells", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			rows, findings := readAll(t, ferryLayout(), ferries(), strings.NewReader(test.file))
			var got []found
			for _, f := range findings {
				if f.Severity != statistics.Blocking {
					t.Errorf("%s does not reject the file", f.Rule)
				}
				got = append(got, found{f.Rule, f.Line, f.Column, f.Values})
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("the findings differ (-want +got):\n%s", diff)
			}
			if len(findings) > 0 && !strings.Contains(findings[0].Message, test.says) {
				t.Errorf("the message is %q, without %q", findings[0].Message, test.says)
			}
			if len(rows) != test.rows {
				t.Errorf("%d rows are read, want %d", len(rows), test.rows)
			}
		})
	}

	t.Run("it stops once the report is full", func(t *testing.T) {
		t.Parallel()
		_, findings := readAll(t, ferryLayout(), ferries(), io.MultiReader(strings.NewReader(ferryHeader), endless("x\n")))
		if len(findings) < statistics.MaxFindings {
			t.Errorf("%d findings", len(findings))
		}
	})
}

// endless repeats the text for ever.
type endless string

func (e endless) Read(p []byte) (int, error) {
	n := 0
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

func TestReadFigures(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{
		"0": 0, "-0": 0, "007": 7, "1204": 1204, "-3.5": -3.5, "0.25": 0.25, "9007199254740993": 9007199254740992,
		"3,137": math.NaN(), "1 204": math.NaN(), " 12": math.NaN(), "+1": math.NaN(), "1e5": math.NaN(), ".5": math.NaN(), "5.": math.NaN(), "1.2.3": math.NaN(),
		"0x1p4": math.NaN(), "1_000": math.NaN(), "NaN": math.NaN(), "Inf": math.NaN(), "-": math.NaN(), "--1": math.NaN(), "<5": math.NaN(), "١٢": math.NaN(), strings.Repeat("9", 400): math.NaN(),
	} {
		rows, findings := readAll(t, ferryLayout(), ferries(), strings.NewReader(ferryHeader+"2023-01;Nord;NO;;x;"+text+"\n"))
		switch {
		case math.IsNaN(want):
			if len(findings) != 1 || findings[0].Rule != "VALUE" || findings[0].Line != 2 || findings[0].Column != "persons" {
				t.Errorf("%q is read as %v with findings %v", text, rows, findings)
			}
		case len(rows) != 1 || rows[0][5] != fmt.Sprint(want):
			t.Errorf("%q is read as %v with findings %v, want %v", text, rows, findings, want)
		}
	}
}

func TestReadPeriods(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ format, frequency, text, want, frequencies string }{
		{"YYYY", "A", "2023", "2023", "A"},
		{"YYYY", "A", "23", "", "A"},
		{"YYYY", "A", "0999", "", "A"},
		{"YYYY", "A", "3000", "", "A"},
		{"YYYY", "Q", "2023", "", "A"},
		{"YYYY Q", "Q", "2018 1", "2018-Q1", "AQ"},
		{"YYYY Q", "Q", "2018 4", "2018-Q4", "AQ"},
		{"YYYY Q", "A", "2018 4", "2018", "AQ"},
		{"YYYY Q", "Q", "2018 5", "", "AQ"},
		{"YYYY Q", "Q", "2018", "", "AQ"},
		{"YYYY Q", "Q", "2018-1 1", "", "AQ"},
		{"YYYY Q", "M", "2018 1", "", "AQ"},
		{"YYYY-MM", "M", "2023-12", "2023-12", "AQM"},
		{"YYYY-MM", "Q", "2023-12", "2023-Q4", "AQM"},
		{"YYYY-MM", "M", "2023-13", "", "AQM"},
		{"YYYY-MM", "M", "2023-1", "", "AQM"},
		{"YYYY-MM", "D", "2023-12", "", "AQM"},
		{"YYYY-MM-DD", "Q", "2018-03-31", "2018-Q1", "AQMWD"},
		{"YYYY-MM-DD", "Q", "2018-01-01", "2018-Q1", "AQMWD"},
		{"YYYY-MM-DD", "W", "2021-01-01", "2020-W53", "AQMWD"},
		{"YYYY-MM-DD", "D", "2020-02-29", "2020-02-29", "AQMWD"},
		{"YYYY-MM-DD", "D", "2021-02-29", "", "AQMWD"},
		{"YYYY-MM-DD", "M", "2021-02-28T00:00", "", "AQMWD"},
		{"YYYY-MM-DD", "S", "2021-02-28", "", "AQMWD"},
		{"YYYY-MM-DD", "MM", "2021-02-28", "", "AQMWD"},
	} {
		layout := ferryLayout()
		layout.Constants = nil
		layout.Columns = append(layout.Columns, statistics.LayoutColumn{Header: "freq", Component: "FREQ"})
		layout.Period = statistics.LayoutPeriod{Headers: []string{"time"}, Format: test.format}
		text := strings.ReplaceAll(test.text, " ", ";")
		if parts := strings.Count(text, ";"); parts > 0 {
			layout.Period.Headers = []string{"time", "part"}
		}
		file := "freq;port;flag;note;clerk;persons;" + strings.Join(layout.Period.Headers, ";") + "\n" + test.frequency + ";Nord;NO;;x;1;" + text + "\n"
		rows, findings := readAll(t, layout, ferries(), strings.NewReader(file))
		switch {
		case test.want == "":
			column := strings.Join(layout.Period.Headers, " ")
			if !strings.Contains(test.frequencies, test.frequency) {
				column = "freq"
			}
			if len(findings) != 1 || findings[0].Rule != "PERIOD" || findings[0].Line != 2 || findings[0].Column != column {
				t.Errorf("%+v: read as %v with findings %v", test, rows, findings)
			}
		case len(rows) != 1 || rows[0][3] != test.want:
			t.Errorf("%+v: read as %v with findings %v", test, rows, findings)
		}
	}
}

func TestReadPeriodFormats(t *testing.T) {
	t.Parallel()
	months := strings.Split("Enero Febrero Marzo Abril Mayo Junio Julio Agosto Septiembre Octubre Noviembre Diciembre", " ")
	october, octoberStart := statistics.FiscalYear{FirstMonth: 10}, statistics.FiscalYear{FirstMonth: 10, NamedByStart: true}
	for _, test := range []struct {
		period                statistics.LayoutPeriod
		frequency, text, want string
	}{
		{statistics.LayoutPeriod{Format: "YYYY-M"}, "M", "2020-2", "2020-02"},
		{statistics.LayoutPeriod{Format: "YYYY-M"}, "M", "2020-12", "2020-12"},
		{statistics.LayoutPeriod{Format: "YYYY-M"}, "M", "2020-0", ""},
		{statistics.LayoutPeriod{Format: "YYYY-M"}, "M", "2020-123", ""},
		{statistics.LayoutPeriod{Format: "DD-MM-YYYY"}, "M", "31-12-2019", "2019-12"},
		{statistics.LayoutPeriod{Format: "DD-MM-YYYY"}, "D", "29-02-2019", ""},
		{statistics.LayoutPeriod{Format: "DD-MM-YYYY"}, "D", "12-31-2019", ""},
		{statistics.LayoutPeriod{Format: "D.M.YYYY"}, "D", "1.3.2019", "2019-03-01"},
		{statistics.LayoutPeriod{Format: "MM/DD/YYYY"}, "Q", "12/31/2019", "2019-Q4"},
		{statistics.LayoutPeriod{Format: "MM/DD/YYYY hh:mm:ss AM"}, "M", "12/01/2018 12:00:00 AM", "2018-12"},
		{statistics.LayoutPeriod{Format: "MM/DD/YYYY hh:mm:ss AM"}, "M", "12/01/2018 01:59:59 PM", "2018-12"},
		{statistics.LayoutPeriod{Format: "MM/DD/YYYY hh:mm:ss AM"}, "M", "12/01/2018 13:00:00 PM", ""},
		{statistics.LayoutPeriod{Format: "MM/DD/YYYY hh:mm:ss AM"}, "M", "12/01/2018 12:00:00", ""},
		{statistics.LayoutPeriod{Format: "YYYY-MM-DD hh:mm"}, "D", "2018-12-01 23:59", "2018-12-01"},
		{statistics.LayoutPeriod{Format: "YYYY-MM-DD hh:mm"}, "D", "2018-12-01 24:00", ""},
		{statistics.LayoutPeriod{Format: "YYYY QQ"}, "Q", "2018 Q1", "2018-Q1"},
		{statistics.LayoutPeriod{Format: "YYYY QQ"}, "Q", "2018 1", ""},
		{statistics.LayoutPeriod{Format: "YYYY QQ"}, "Q", "2018 Q5", ""},
		{statistics.LayoutPeriod{Format: "QQ/YYYY"}, "Q", "Q4/2018", "2018-Q4"},
		{statistics.LayoutPeriod{Format: "MONTH YYYY", Months: months}, "M", "Noviembre 2016", "2016-11"},
		{statistics.LayoutPeriod{Format: "MONTH YYYY", Months: months}, "M", "MAYO 2016", "2016-05"},
		{statistics.LayoutPeriod{Format: "YYYY MONTH", Months: months}, "Q", "2016 agosto", "2016-Q3"},
		{statistics.LayoutPeriod{Format: "YYYY MONTH", Months: months}, "M", "2016 August", ""},
		{statistics.LayoutPeriod{Format: "YYYY MONTH", Months: months}, "M", "2016 Mayor", ""},
		{statistics.LayoutPeriod{Format: "YYYY-MM", FiscalYear: october}, "M", "2018-10", "2017-10"},
		{statistics.LayoutPeriod{Format: "YYYY-MM", FiscalYear: october}, "M", "2018-09", "2018-09"},
		{statistics.LayoutPeriod{Format: "YYYY-MM", FiscalYear: octoberStart}, "M", "2018-10", "2018-10"},
		{statistics.LayoutPeriod{Format: "YYYY-MM", FiscalYear: octoberStart}, "M", "2018-09", "2019-09"},
		{statistics.LayoutPeriod{Format: "YYYY-FF", FiscalYear: october}, "M", "2018-01", "2017-10"},
		{statistics.LayoutPeriod{Format: "YYYY-FF", FiscalYear: october}, "M", "2018-12", "2018-09"},
		{statistics.LayoutPeriod{Format: "YYYY/F", FiscalYear: octoberStart}, "M", "2018/4", "2019-01"},
		{statistics.LayoutPeriod{Format: "YYYY/F", FiscalYear: statistics.FiscalYear{FirstMonth: 1}}, "M", "2018/4", "2018-04"},
		{statistics.LayoutPeriod{Format: "YYYY QQ", FiscalYear: october}, "Q", "2018 Q1", "2017-Q4"},
		{statistics.LayoutPeriod{Format: "YYYY QQ", FiscalYear: october}, "Q", "2018 Q4", "2018-Q3"},
		{statistics.LayoutPeriod{Format: "YYYY QQ", FiscalYear: statistics.FiscalYear{FirstMonth: 4, NamedByStart: true}}, "Q", "2018 Q4", "2019-Q1"},
	} {
		layout := ferryLayout()
		layout.Constants["FREQ"] = test.frequency
		layout.Period = test.period
		layout.Period.Headers = []string{"month"}
		if err := layout.Check(ferries()); err != nil {
			t.Error(err)
			continue
		}
		rows, findings := readAll(t, layout, ferries(), strings.NewReader(ferryHeader+test.text+";Nord;NO;;x;1\n"))
		switch {
		case test.want == "" && (len(findings) != 1 || findings[0].Rule != "PERIOD" || findings[0].Line != 2 || findings[0].Column != "month"):
			t.Errorf("%+v: read as %v with findings %v", test, rows, findings)
		case test.want != "" && (len(rows) != 1 || rows[0][3] != test.want):
			t.Errorf("%+v: read as %v with findings %v", test, rows, findings)
		}
	}
}

func TestReadNumberFormats(t *testing.T) {
	t.Parallel()
	english, german := statistics.LayoutNumbers{Thousands: ","}, statistics.LayoutNumbers{Decimal: ",", Thousands: "."}
	for _, test := range []struct {
		numbers statistics.LayoutNumbers
		text    string
		want    float64
	}{
		{english, "3,137", 3137},
		{english, "3137", 3137},
		{english, "-1,234,567.5", -1234567.5},
		{english, "3,13", math.NaN()},
		{english, "3137,000", math.NaN()},
		{english, ",137", math.NaN()},
		{english, "3,,137", math.NaN()},
		{english, "3,137,", math.NaN()},
		{english, "1.234,5", math.NaN()},
		{german, "1.204,5", 1204.5},
		{german, "1204,5", 1204.5},
		{german, "1.204", 1204},
		{german, "1.2", math.NaN()},
		{german, "1,204.5", math.NaN()},
		{german, "1,2,3", math.NaN()},
		{statistics.LayoutNumbers{Thousands: "\u00a0"}, "12\u00a0345", 12345},
	} {
		layout := ferryLayout()
		layout.Numbers = test.numbers
		if err := layout.Check(ferries()); err != nil {
			t.Error(err)
			continue
		}
		rows, findings := readAll(t, layout, ferries(), strings.NewReader(ferryHeader+"2023-01;Nord;NO;;x;"+test.text+"\n"))
		switch {
		case math.IsNaN(test.want) && (len(findings) != 1 || findings[0].Rule != "VALUE" || findings[0].Column != "persons"):
			t.Errorf("%+v: read as %v with findings %v", test, rows, findings)
		case !math.IsNaN(test.want) && (len(rows) != 1 || rows[0][5] != fmt.Sprint(test.want)):
			t.Errorf("%+v: read as %v with findings %v", test, rows, findings)
		}
	}
}

func TestReadEncodings(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ encoding, port, want, rule string }{
		{"", "S\xc3\xb8r", "Sør", ""},
		{"utf-8", "S\xc3\xb8r", "Sør", ""},
		{"ISO-8859-1", "S\xf8r", "Sør", ""},
		{"windows-1252", "S\xf8r \x80 \x9f", "Sør € Ÿ", ""},
		{"windows-1252", "S\x81r", "", "ENCODING"},
		{"", "S\xf8r", "", "ENCODING"},
	} {
		layout := ferryLayout()
		layout.Encoding = test.encoding
		if err := layout.Check(ferries()); err != nil {
			t.Error(err)
		}
		file := ferryHeader + strings.Repeat("2023-01;"+test.port+";NO;;x;1\n", 300)
		rows, findings := readAll(t, layout, ferries(), iotest.HalfReader(strings.NewReader(file)))
		switch {
		case test.rule != "" && (len(findings) != 300 || findings[299].Rule != test.rule || findings[299].Line != 301):
			t.Errorf("%+v: %d rows with %d findings", test, len(rows), len(findings))
		case test.rule == "" && (len(rows) != 300 || rows[299][1] != test.want || len(findings) > 0):
			t.Errorf("%+v: read as %v with findings %v", test, rows, findings)
		}
	}
}

func TestReadWide(t *testing.T) {
	t.Parallel()
	const header = "month;port;flag;note;clerk;persons 0;persons 1;all\n"
	wide := func(change func(*statistics.Layout)) statistics.Layout {
		layout := ferryLayout()
		widen(&layout, "FLAG", "NO", "SE")
		layout.Columns = append(layout.Columns, statistics.LayoutColumn{Header: "all", Total: true})
		change(&layout)
		return layout
	}
	for _, test := range []struct {
		name, file string
		layout     statistics.Layout
		want       [][]string
		findings   []found
	}{
		{
			"it makes a row of each column", "2023-01;Nord;x;a;y;1;2;3\n2023-02;Sund;x;;y;0;4;4\n", wide(func(*statistics.Layout) {}), [][]string{
				{"M", "Nord", "NO", "2023-01", "a", "1", "2"},
				{"M", "Nord", "SE", "2023-01", "a", "2", "2"},
				{"M", "Sund", "NO", "2023-02", "", "0", "3"},
				{"M", "Sund", "SE", "2023-02", "", "4", "3"},
			}, nil,
		},
		{
			"it holds the total against the sum", "2023-01;Nord;x;;y;1;2;3\n2023-01;Sund;x;;y;1;2;4\n2023-01;Vest;x;;y;1;2;\n", wide(func(*statistics.Layout) {}),
			[][]string{{"M", "Nord", "NO", "2023-01", "", "1", "2"}, {"M", "Nord", "SE", "2023-01", "", "2", "2"}},
			[]found{{Rule: "TOTAL_MISMATCH", Line: 3, Column: "all", Values: []string{"4", "3"}}, {Rule: "BLANK", Line: 4, Column: "all"}},
		},
		{
			"it sums decimals", "2023-01;Nord;x;;y;0.1;0.2;0.3\n", wide(func(*statistics.Layout) {}),
			[][]string{{"M", "Nord", "NO", "2023-01", "", "0.1", "2"}, {"M", "Nord", "SE", "2023-01", "", "0.2", "2"}},
			nil,
		},
		{
			"it counts blank cells that are no figures", "2023-01;Nord;x;;y;1;;1\n2023-01;Sund;x;;y;; ;\n", wide(func(l *statistics.Layout) {
				l.Columns[4].SkipBlank, l.Columns[5].SkipBlank, l.Columns[6].SkipBlank = true, true, true
			}),
			[][]string{{"M", "Nord", "NO", "2023-01", "", "1", "2"}},
			[]found{{Rule: "BLANK", Column: "persons 0"}, {Rule: "BLANK", Column: "persons 1"}, {Rule: "BLANK", Column: "all"}},
		},
		{
			"it reads a period from each column", "Nord;NO;;y;1;2;3\n", wide(func(l *statistics.Layout) {
				l.Columns[1].Component = "FLAG"
				l.Columns[4].Constants = map[string]string{"TIME_PERIOD": "2023-01"}
				l.Columns[5].Constants = map[string]string{"TIME_PERIOD": "2023-02"}
				l.Period = statistics.LayoutPeriod{}
			}),
			[][]string{{"M", "Nord", "NO", "2023-01", "", "1", "2"}, {"M", "Nord", "NO", "2023-02", "", "2", "2"}},
			nil,
		},
		{
			"it counts the rows that filters leave out", "2023-01;Nord;x;;a;1;2;3\n2023-01;all;x;;a;1;2;3\n2023-01;Sund;x;;b;1;2;3\n2023-01;Vest;x;;c;;2;\n", wide(func(l *statistics.Layout) {
				l.Filters = []statistics.LayoutFilter{{Header: "clerk", Keep: []string{"a"}}, {Header: "port", LeaveOut: []string{"all", "none"}}}
			}),
			[][]string{{"M", "Nord", "NO", "2023-01", "", "1", "2"}, {"M", "Nord", "SE", "2023-01", "", "2", "2"}},
			[]found{{Rule: "FILTER", Column: "clerk", Values: []string{"b", "c"}}, {Rule: "FILTER", Column: "port", Values: []string{"all"}}},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if err := test.layout.Check(ferries()); err != nil {
				t.Fatal(err)
			}
			first := header
			if len(test.layout.Period.Headers) == 0 {
				_, first, _ = strings.Cut(header, ";")
			}
			rows, findings := readAll(t, test.layout, ferries(), strings.NewReader(first+test.file))
			if diff := cmp.Diff(test.want, rows); diff != "" {
				t.Errorf("the rows differ (-want +got):\n%s", diff)
			}
			var got []found
			for _, f := range findings {
				if note := f.Line == 0; note != (f.Severity == statistics.Note) {
					t.Errorf("%s has severity %v", f.Rule, f.Severity)
				}
				got = append(got, found{f.Rule, f.Line, f.Column, f.Values})
			}
			if diff := cmp.Diff(test.findings, got); diff != "" {
				t.Errorf("the findings differ (-want +got):\n%s", diff)
			}
		})
	}

	t.Run("it keeps to 4,096 rows in a block", func(t *testing.T) {
		t.Parallel()
		layout := wide(func(l *statistics.Layout) { widen(l, "FLAG", "NO", "SE", "DK") })
		file := "month;port;flag;note;clerk;persons 0;persons 1;persons 2\n" + strings.Repeat("2023-01;Nord;x;;y;1;2;3\n", 2000)
		var report statistics.Report
		var sizes []int
		for b, err := range layout.Read(strings.NewReader(file), ferries(), &report) {
			if err != nil {
				t.Fatal(err)
			}
			sizes = append(sizes, b.Rows)
		}
		if !slices.Equal(sizes, []int{4095, 1905}) || len(report.Findings()) > 0 {
			t.Errorf("blocks of %v rows, findings %v", sizes, report.Findings())
		}
	})
}

// FuzzRead looks for a file that breaks the reader: every row is either in a block or behind a finding.
func FuzzRead(f *testing.F) {
	for _, seed := range []string{
		"", "\uFEFF", ferryHeader, ferryHeader + "2023-01;Nord;NO;;x;1\n", ferryHeader + "2023-01;\"No\nrd\";;;x;1\n2023-13;;;;;\n",
		ferryHeader + "\"\n", ferryHeader + "a\"b;\n", ferryHeader + "\xff;;;;;\n", "month;port\n1;2\n", ferryHeader + ";\r\n;;\r",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		var report statistics.Report
		before := 0.0
		for b, err := range ferryLayout().Read(iotest.HalfReader(strings.NewReader(string(file))), ferries(), &report) {
			if err != nil {
				t.Fatal(err)
			}
			if err := b.Check(); err != nil {
				t.Fatal(err)
			}
			for row, line := range b.Column(block.Line).Numbers {
				if line <= before || line > float64(strings.Count(string(file), "\n")+1) {
					t.Fatalf("a row begins on line %v, after %v", line, before)
				}
				before = line
				if _, err := period.Parse(b.Column(block.TimePeriod).Text(row)); err != nil {
					t.Fatal(err)
				}
			}
		}
		lines := strings.Count(string(file), "\n") + 1
		for _, finding := range report.Findings() {
			if finding.Line < 0 || finding.Line > lines || finding.Message == "" || finding.Severity != statistics.Blocking && finding.Rule != "LINE_BREAK" {
				t.Fatalf("finding %+v in a file of %d lines", finding, lines)
			}
		}
	})
}

// FuzzReadFormats looks for a layout that passes its check and breaks the reader.
func FuzzReadFormats(f *testing.F) {
	f.Add("YYYY MONTH", "2016 Mayo", 0, false, ",", ".", "3.137,5")
	f.Add("MM/DD/YYYY hh:mm:ss AM", "12/01/2018 12:00:00 AM", 0, false, "", ",", "3,137")
	f.Add("YYYY QQ", "2018 Q1", 10, true, ".", "", "-1")
	f.Add("FF-YYYY", "12-2018", 7, false, "٫", "\u00a0", "1\u00a0000٫5")
	f.Add("YYYY\xff", "2018\xff", 0, false, "", "", "1")
	f.Fuzz(func(t *testing.T, format, text string, firstMonth int, namedByStart bool, decimal, thousands, figure string) {
		layout := ferryLayout()
		layout.Constants["FREQ"] = "A"
		layout.Period = statistics.LayoutPeriod{
			Headers: []string{"month"}, Format: format, FiscalYear: statistics.FiscalYear{FirstMonth: firstMonth, NamedByStart: namedByStart},
		}
		if strings.Contains(format, "MONTH") {
			layout.Period.Months = strings.Fields("Enero Febrero Marzo Abril Mayo Junio Julio Agosto Septiembre Octubre Noviembre Diciembre")
		}
		layout.Numbers = statistics.LayoutNumbers{Decimal: decimal, Thousands: thousands}
		if layout.Check(ferries()) != nil {
			return
		}
		rows, _ := readAll(t, layout, ferries(), strings.NewReader(ferryHeader+text+";Nord;NO;;x;"+figure+"\n"))
		for _, row := range rows {
			if p, err := period.Parse(row[3]); err != nil || p.Frequency != period.Annual {
				t.Fatalf("%q is read as %q (%v)", text, row[3], err)
			}
			if strings.ContainsAny(row[5], "NI") {
				t.Fatalf("%q is read as %s", figure, row[5])
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	file := ferryHeader + strings.Repeat("2023-01;Nord;NO;;x;1204\n", 100_000)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		var report statistics.Report
		for _, err := range ferryLayout().Read(strings.NewReader(file), ferries(), &report) {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
}
