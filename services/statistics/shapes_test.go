package statistics_test

import (
	"encoding/binary"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/statistics"
)

// encode returns the text in UTF-16.
func encode(order binary.AppendByteOrder, text string) string {
	var encoded []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		encoded = order.AppendUint16(encoded, unit)
	}
	return string(encoded)
}

// TestReadShapes reads one row of figures from files of many shapes.
func TestReadShapes(t *testing.T) {
	t.Parallel()
	little, big := binary.LittleEndian, binary.BigEndian
	const plain = ferryHeader + "2023-01;Sør;NO;first;x;12\n"
	const mark = "\uFEFF"
	sor := []string{"M", "Sør", "NO", "2023-01", "first", "12"}
	for _, test := range []struct {
		name, file string
		change     func(*statistics.Layout)
		want       []string // the row, but for its line; nil: none is read
		findings   []found
	}{
		{"it reads tabs", strings.ReplaceAll(plain, ";", "\t"), func(l *statistics.Layout) { l.Delimiter = "\t" }, sor, nil},
		{"it reads pipes", strings.ReplaceAll(plain, ";", "|"), func(l *statistics.Layout) { l.Delimiter = "|" }, sor, nil},
		{"it reads Windows line ends", strings.ReplaceAll(plain, "\n", "\r\n"), nil, sor, nil},
		{"it reads UTF-8 with a byte order mark", mark + plain, nil, sor, nil},
		{"it reads UTF-8 with a byte order mark that is declared", mark + plain, func(l *statistics.Layout) { l.Encoding = "UTF-8" }, sor, nil},
		{"it knows UTF-16 by its byte order mark, little end first", encode(little, mark+plain), nil, sor, nil},
		{"it knows UTF-16 by its byte order mark, big end first", encode(big, mark+plain), nil, sor, nil},
		{"it reads UTF-16 in the order that the mark tells", encode(little, mark+plain), func(l *statistics.Layout) { l.Encoding = "UTF-16" }, sor, nil},
		{"it reads UTF-16 without a mark as RFC 2781 says", encode(big, plain), func(l *statistics.Layout) { l.Encoding = "utf-16" }, sor, nil},
		{"it reads UTF-16LE without a mark", encode(little, plain), func(l *statistics.Layout) { l.Encoding = "UTF-16LE" }, sor, nil},
		{"it reads UTF-16BE with its mark", encode(big, mark+plain), func(l *statistics.Layout) { l.Encoding = "UTF-16BE" }, sor, nil},
		{"it reads characters of four bytes in UTF-16", encode(little, mark+strings.Replace(plain, "first", "𐍈", 1)), nil, []string{"M", "Sør", "NO", "2023-01", "𐍈", "12"}, nil},
		{"it refuses half a character in UTF-16", encode(little, mark+ferryHeader+"2023-01;S") + "\x00\xd8" + encode(little, ";NO;;x;1\n"), nil, nil, []found{{Rule: "ENCODING", Line: 2, Column: "port"}}},
		{"it refuses half a unit at the end of UTF-16", encode(little, mark+ferryHeader+"2023-01;N;NO;;x;1") + "\x00", nil, nil, []found{{Rule: "ENCODING", Line: 2, Column: "persons"}}},
		{"it refuses a mark of another encoding", mark + plain, func(l *statistics.Layout) { l.Encoding = "windows-1252" }, nil, []found{{Rule: "ENCODING", Line: 1}}},
		{"it refuses UTF-8 that is declared as something else", plain, func(l *statistics.Layout) { l.Encoding = "ISO-8859-1" }, []string{"M", "SÃ¸r", "NO", "2023-01", "first", "12"}, []found{{Rule: "ENCODING"}}},
		{"it refuses a mark of the other order", encode(big, mark+plain), func(l *statistics.Layout) { l.Encoding = "UTF-16LE" }, nil, []found{{Rule: "ENCODING", Line: 1}}},
		{"it reads columns by their place where there is no header", "Sør;NO;first;x;12;2023-01\n", withoutHeader, sor, nil},
		{"it counts the cells of a file without a header", "Sør;NO;first;x;12\n", withoutHeader, nil, []found{{Rule: "ROW", Line: 1}}},
		{"it skips lines before the header, whatever they hold", "Ferries; \"2023\n\nissued by x\n" + plain, func(l *statistics.Layout) { l.SkipLines = 3 }, sor, nil},
		{"it skips lines where there is no header", "a\nb\nSør;NO;first;x;12;2023-01\n", func(l *statistics.Layout) { withoutHeader(l); l.SkipLines = 2 }, sor, nil},
		{"it misses the header where lines are missing", "a\n", func(l *statistics.Layout) { l.SkipLines = 3 }, nil, []found{{Rule: "HEADER", Line: 4}}},
		{"it ends before the footer", plain + "\nSource: \"x;\n2023-01;Vest;DK;;x;3\n", func(l *statistics.Layout) { l.Footers = []string{"Total;", "Source:"} }, sor, []found{{Rule: "FOOTER", Line: 4}}},
		{"it needs no footer", plain, func(l *statistics.Layout) { l.Footers = []string{"Source:"} }, sor, nil},
		{"it reads other quotes", strings.Replace(plain, "first", "'a;''b\"'", 1), func(l *statistics.Layout) { l.Quote = "'" }, []string{"M", "Sør", "NO", "2023-01", "a;'b\"", "12"}, nil},
		{"it reads quotes that are none", strings.Replace(plain, "first", `"a" b"`, 1), func(l *statistics.Layout) { l.NoQuotes = true }, []string{"M", "Sør", "NO", "2023-01", `"a" b"`, "12"}, nil},
		{"it reads line breaks in labels as spaces", strings.Replace(plain, "first", "\"a \r\n\n b\n\"", 1), nil, []string{"M", "Sør", "NO", "2023-01", "a b", "12"}, []found{{Rule: "LINE_BREAK", Column: "note"}}},
		{"it says nothing of line breaks in what is not read", strings.Replace(plain, ";x;", ";\"x\ny\";", 1), nil, sor, nil},
		{"it trims blanks", " month ; port;flag;note;clerk;persons\n2023-01 ; Sør\u00a0;NO;\tfirst;x; 12\n", func(l *statistics.Layout) { l.Trim = true }, sor, nil},
		{"it reads labels in upper case", strings.Replace(plain, ";NO;", ";no;", 1), func(l *statistics.Layout) { l.Columns[1].Case = statistics.UpperCase }, sor, nil},
		{"it reads labels in lower case", strings.Replace(plain, "Sør", "SØR", 1), func(l *statistics.Layout) { l.Columns[0].Case = statistics.LowerCase }, []string{"M", "sør", "NO", "2023-01", "first", "12"}, nil},
		{"it knows what means as much as a blank", strings.NewReplacer("NO", "-", "first", "n/a").Replace(plain), func(l *statistics.Layout) {
			l.Columns[1].Blanks, l.Columns[2].Blanks = []string{"-"}, []string{"..", "n/a"}
		}, []string{"M", "Sør", "none", "2023-01", "", "12"}, nil},
		{"it leaves out figures that mean as much as a blank", plain + "2023-01;Vest;DK;;x;..\n", func(l *statistics.Layout) {
			l.Columns[4].Blanks, l.Columns[4].SkipBlank = []string{".."}, true
		}, sor, []found{{Rule: "BLANK", Column: "persons"}}},
		{"it reads ISO weeks", strings.Replace(plain, "2023-01", "2023-W01", 1), week("YYYY-WWW"), []string{"W", "Sør", "NO", "2023-W01", "first", "12"}, nil},
		{"it reads the numbers of weeks", strings.Replace(plain, "2023-01", "52/2023", 1), week("W/YYYY"), []string{"W", "Sør", "NO", "2023-W52", "first", "12"}, nil},
		{"it refuses a week that its year does not have", strings.Replace(plain, "2023-01", "2023-53", 1), week("YYYY-WW"), nil, []found{{Rule: "PERIOD", Line: 2, Column: "month", Values: []string{"2023-53"}}}},
		{"it reads days as spreadsheets count them", strings.Replace(plain, "2023-01", "44957", 1), serial, sor, nil},
		{"it reads days with their time", strings.Replace(plain, "2023-01", "44927.75", 1), serial, sor, nil},
		{"it refuses a number that is no day", strings.Replace(plain, "2023-01", "60", 1), serial, nil, []found{{Rule: "PERIOD", Line: 2, Column: "month", Values: []string{"60"}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			layout := ferryLayout()
			if test.change != nil {
				test.change(&layout)
			}
			if err := layout.Check(ferries()); err != nil {
				t.Fatal(err)
			}
			rows, findings := readAll(t, layout, ferries(), iotest.HalfReader(strings.NewReader(test.file)))
			var want [][]string
			if test.want != nil {
				want = [][]string{test.want}
			}
			for i := range rows {
				rows[i] = rows[i][:len(rows[i])-1]
			}
			if diff := cmp.Diff(want, rows); diff != "" {
				t.Errorf("the rows differ (-want +got):\n%s", diff)
			}
			var got []found
			for _, f := range findings {
				got = append(got, found{f.Rule, f.Line, f.Column, f.Values})
			}
			if diff := cmp.Diff(test.findings, got); diff != "" {
				t.Errorf("the findings differ (-want +got):\n%s\n%v", diff, findings)
			}
		})
	}
}

// withoutHeader makes the layout one of a file without a header row, in which the month comes last.
func withoutHeader(l *statistics.Layout) {
	l.NoHeader = true
	l.Columns = append(l.Columns, statistics.LayoutColumn{Header: "month"})
}

func week(format string) func(*statistics.Layout) {
	return func(l *statistics.Layout) { l.Constants["FREQ"], l.Period.Format = "W", format }
}

func serial(l *statistics.Layout) { l.Period.Format = "SERIAL" }

// BenchmarkReadAndDerive reads a national file and derives what its maps say.
func BenchmarkReadAndDerive(b *testing.B) {
	const rows = 100_000
	var file strings.Builder
	file.WriteString("Station;Lane;Nation;Sex;Month;Count\n")
	for i := range rows {
		file.WriteString([]string{"Nord", "Sund"}[i%2] + ";" + []string{"bus", "bike", "quay"}[i%3] + ";" + []string{"DNK", "Dania", "SWE"}[i/2%3] + ";F;20")
		file.WriteString([]string{"10", "11", "12", "13"}[i/6%4] + "-0" + string(rune('1'+i/24%9)) + ";1204\n")
	}
	s := newTolls()
	layout := statistics.Layout{
		ID: "tolls", Delimiter: ";", Constants: map[string]string{"FREQ": "M"}, Period: statistics.LayoutPeriod{Headers: []string{"Month"}, Format: "YYYY-MM"},
		Columns: []statistics.LayoutColumn{
			{Header: "Station", Component: "STATION"},
			{Header: "Lane", Component: "LANE"},
			{Header: "Nation", Component: "NATION"},
			{Header: "Sex", Component: "SEX"},
			{Header: "Count", Component: "OBS_VALUE"},
		},
	}
	if err := layout.Check(&s.source); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(file.Len()))
	for b.Loop() {
		d, err := s.deriver()
		if err != nil {
			b.Fatal(err)
		}
		var report statistics.Report
		for made, err := range layout.Read(strings.NewReader(file.String()), &s.source, &report) {
			if err != nil {
				b.Fatal(err)
			}
			if err := d.Add(made); err != nil {
				b.Fatal(err)
			}
		}
		if findings := report.Findings(); len(findings) > 0 {
			b.Fatal(findings[0])
		}
	}
	b.ReportMetric(rows*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
