package statistics

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/period"
)

// FuzzRows reads texts as encoding/csv does, which is stricter about nothing.
func FuzzRows(f *testing.F) {
	for _, seed := range []string{"", "a,b\n1,2\r\n", "\"a\nb\",\"c\"\"d\"\n", "\n\r\n,\n", "a\"b\n\"c\"d\n", "\"open\n", "a,\"b\"", "x\r", "\"\r\n\"\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) || strings.Contains(strings.ReplaceAll(text, "\r\n", ""), "\r") {
			return // a lone CR at the end of a line is read otherwise
		}
		theirs := csv.NewReader(strings.NewReader(text))
		theirs.FieldsPerRecord = -1
		ours := newRowReader(iotest.HalfReader(strings.NewReader(text)), ",", `"`, nil)
		for {
			want, wantErr := theirs.Read()
			got, err := ours.read()
			var wrong *quoteError
			var malformed *csv.ParseError
			switch {
			case errors.As(wantErr, &malformed):
				if !errors.As(err, &wrong) || ours.start != malformed.StartLine {
					t.Fatalf("%q: %v at line %d, want %v", text, err, ours.start, wantErr)
				}
			case !errors.Is(err, wantErr):
				t.Fatalf("%q: error %v, want %v", text, err, wantErr)
			case err != nil:
				return
			default:
				line, _ := theirs.FieldPos(0)
				if !slices.Equal(got, want) || ours.start != line {
					t.Fatalf("%q: row %q of line %d, want %q of %d", text, got, ours.start, want, line)
				}
			}
		}
	})
}

// FuzzNumber reads numbers: a plain one as strconv does, and a grouped one as if its groups were not.
func FuzzNumber(f *testing.F) {
	for _, seed := range []string{"0", "-0", "1204", "-3.5", "1,204", "1.204,5", "12,34", "9007199254740993", "999999999999999", "1e5", "NaN", "", "-", "٣"} {
		f.Add(seed, "", "")
		f.Add(seed, ",", ".")
		f.Add(seed, ".", ",")
	}
	f.Fuzz(func(t *testing.T, text, decimal, thousands string) {
		numbers := LayoutNumbers{Decimal: decimal, Thousands: thousands}
		var wrong violations
		if numbers.check(&wrong); len(wrong) > 0 {
			return
		}
		figure, ok := numbers.parse(text)
		if !ok {
			return
		}
		plain := text
		if thousands != "" {
			plain = strings.ReplaceAll(plain, thousands, "")
		}
		want, err := strconv.ParseFloat(strings.Replace(plain, numbers.decimal(), ".", 1), 64)
		if err != nil || figure != want || math.IsInf(figure, 0) || math.Signbit(figure) && figure == 0 {
			t.Fatalf("%q is read as %v, want %v (%v)", text, figure, want, err)
		}
	})
}

// FuzzPeriodFormat reads periods in any form. What a form reads of a day has that day in it.
func FuzzPeriodFormat(f *testing.F) {
	for _, seed := range [][2]string{
		{"YYYY-MM", "2023-12"},
		{"DD-MM-YYYY", "31-12-2019"},
		{"YYYY QQ", "2018 Q1"},
		{"YYYY-WWW", "2020-W53"},
		{"SERIAL", "44927.5"},
		{"YYYY MONTH", "2016 Mayo"},
		{"FF/YYYY", "12/2018"},
		{"MM/DD/YYYY hh:mm:ss AM", "12/01/2018 12:00:00 AM"},
		{"YYYY-MM-DD", "9999-12-31"},
		{"YYYY-MM-DD", "0000-00-00"},
	} {
		f.Add(seed[0], seed[1], 10, true)
		f.Add(seed[0], seed[1], 0, false)
	}
	months := strings.Fields("Enero Febrero Marzo Abril Mayo Junio Julio Agosto Septiembre Octubre Noviembre Diciembre")
	f.Fuzz(func(t *testing.T, form, text string, firstMonth int, byStart bool) {
		format, err := newPeriodFormat(LayoutPeriod{Format: form, Months: months, FiscalYear: FiscalYear{FirstMonth: firstMonth, NamedByStart: byStart}})
		if err != nil || format.checkFiscalYear() != nil {
			return
		}
		for _, frequency := range format.frequencies() {
			p, err := format.parse(text, Frequency(frequency))
			if err != nil {
				continue
			}
			if again, err := period.Parse(p.String()); err != nil || again != p || p.Frequency != Frequency(frequency) {
				t.Fatalf("%q in the form %q is read as %v (%v)", text, form, p, err)
			}
			if day, err := time.Parse("2006-01-02", text); err == nil && form == "YYYY-MM-DD" && firstMonth == 0 && (day.Before(p.Start()) || day.After(p.End())) {
				t.Fatalf("%q is read as %v", text, p)
			}
		}
	})
}

// FuzzDecode decodes bytes in every encoding, in any pieces, and UTF-16 as the standard library does.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "a;b\n", "\xef\xbb\xbfa", "\xff\xfea\x00", "\xfe\xff\x00a", "\x00\xd8\x00\xdc", "\x00\xd8", "a\x81\x9f\xff", "\xd8\x3d\xde\x00x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		for _, encoding := range append(encodings(), "") {
			layout := Layout{Encoding: encoding}
			read := func(r io.Reader) ([]byte, bool) {
				decoded, watch, err := layout.decode(r)
				if err != nil {
					return nil, false
				}
				all, err := io.ReadAll(decoded)
				if err != nil {
					t.Fatal(err)
				}
				ascii := bytes.IndexFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
				if watch != nil && watch.foreign() != (utf8.Valid(text) && !ascii) {
					t.Fatalf("%q is taken for UTF-8: %t", text, watch.foreign())
				}
				return all, true
			}
			whole, ok := read(bytes.NewReader(text))
			pieces, okToo := read(iotest.OneByteReader(bytes.NewReader(text)))
			if ok != okToo || !bytes.Equal(whole, pieces) {
				t.Fatalf("%s: %q, in pieces %q", encoding, whole, pieces)
			}
			if mark, _ := byteOrderMark(text); encoding != encodingUTF16BE || mark != "" || len(text)%2 > 0 {
				continue
			}
			var units []uint16
			for i := 0; i < len(text); i += 2 {
				units = append(units, uint16(text[i])<<8|uint16(text[i+1]))
			}
			want := string(utf16.Decode(units))
			if got := strings.ReplaceAll(string(whole), "\xff", "\uFFFD"); got != want {
				t.Fatalf("%q, want %q", got, want)
			}
		}
	})
}

// FuzzMapper maps labels with up to three mappings, and looks them up as naively as can be.
func FuzzMapper(f *testing.F) {
	f.Add("a", "*", "b", "2021-10", "2021-09", "a", "2021-10", true)
	f.Add("18-24", "18 to 24", "*", "", "2022-Q4", "18-24", "2023-Q1", false)
	f.Add("*", "*", "*", "2023", "2022", "", "2023-W01", true)
	f.Fuzz(func(t *testing.T, one, two, three, from, to, label, at string, identity bool) {
		p, err := period.Parse(at)
		if err != nil {
			return
		}
		codes := &Codelist{Codes: []Code{{ID: "X"}, {ID: "Y"}, {ID: label}}}
		m := RepresentationMap{Identity: identity, Mappings: []Mapping{
			{Sources: []string{one}, Targets: []string{"X"}, ValidFrom: from},
			{Sources: []string{two}, Targets: []string{"Y"}, ValidTo: to},
			{Sources: []string{three}},
		}}
		var wrong violations
		made := newMapper(m, 1, []*Codelist{codes}, &wrong)
		if len(wrong) > 0 {
			return
		}
		want, wantKnown := []string(nil), false
		for _, mapping := range m.Mappings {
			fits := mapping.Sources[0] == anyValue || mapping.Sources[0] == label
			if first, err := period.Parse(mapping.ValidFrom); err == nil && p.Start().Before(first.Start()) {
				fits = false
			}
			if last, err := period.Parse(mapping.ValidTo); err == nil && p.End().After(last.End()) {
				fits = false
			}
			if fits {
				want, wantKnown = mapping.Targets, true
				break
			}
		}
		if !wantKnown && identity {
			want, wantKnown = []string{label}, true
		}
		if got, known := made.apply([]string{label}, p); known != wantKnown || !slices.Equal(got, want) {
			t.Fatalf("%q in %s is mapped to %q (%t), want %q (%t)", label, at, got, known, want, wantKnown)
		}
	})
}

// FuzzLayoutRead reads any file with layouts of any shape: whatever the pieces in which it comes, it makes the same
// blocks, and every one of them is in order.
func FuzzLayoutRead(f *testing.F) {
	add := func(file string, flags uint8, skip int, delimiter, quote, encoding, footer string) {
		f.Add([]byte(file), flags, skip, delimiter, quote, encoding, footer)
	}
	add("month,port,women,men,all\n2023-01,Nord,1,2,3\n", 0, 0, "", "", "", "")
	add("title\nmonth;port;women;men;all\n2023-01;'No;rd';1;;1\nSource\n", 0, 1, ";", "'", "", "Source")
	add("2023-01|nord|1|2|3\n2023-01|nord|1|2|3\n", 1|4, 0, "|", "", "utf-8", "")
	add("\xff\xfe2\x000\x00", 1|2, 0, "\t", "", "UTF-16", "")
	add("month,port,women,men,all\n2023-01,Nord,-,2,9\n2023-02,Nord,n/a,,x\n", 16, 0, "", "", "", "")
	add("2023-01,\"No\nrd\",-,2,2\n", 1|2|8, 0, "", "", "windows-1252", "x")
	structure := &DataStructure{
		Ref: Ref{Agency: "XX", ID: "FERRIES", Version: "1.0.0"}, Dimensions: []Component{{ID: "FREQ"}, {ID: "PORT"}, {ID: "SEX"}},
	}
	f.Fuzz(func(t *testing.T, file []byte, flags uint8, skip int, delimiter, quote, encoding, footer string) {
		layout := Layout{
			ID: "x", Delimiter: delimiter, Quote: quote, Encoding: encoding, SkipLines: skip, NoHeader: flags&1 > 0, Trim: flags&2 > 0, NoQuotes: flags&4 > 0,
			Columns: []LayoutColumn{
				{Header: "month"},
				{Header: "port", Component: "PORT", Case: LetterCase(flags >> 6 % 3)},
				{Header: "women", Component: block.ObsValue, Constants: map[string]string{"SEX": "F"}, Blanks: []string{"-"}, SkipBlank: flags&8 > 0},
				{Header: "men", Component: block.ObsValue, Constants: map[string]string{"SEX": "M"}, Blank: "0"},
				{Header: "all", Total: true},
			},
			Constants: map[string]string{"FREQ": "M"}, Period: LayoutPeriod{Headers: []string{"month"}, Format: "YYYY-MM"},
		}
		if flags&16 > 0 {
			layout.Columns[2].SkipBlank, layout.Columns[2].Blank = false, noValue
		}
		if footer != "" {
			layout.Footers = []string{footer}
		}
		if layout.Check(structure) != nil {
			return
		}
		read := func(r io.Reader) (rows []string, report Report) {
			for b, err := range layout.Read(r, structure, &report) {
				if err != nil {
					t.Fatal(err)
				}
				if err := b.Check(); err != nil {
					t.Fatal(err)
				}
				lines := b.Column(block.Line).Numbers
				if !slices.IsSorted(lines) || lines[0] < 1 || lines[len(lines)-1] > float64(bytes.Count(file, []byte("\n"))+len(file)+1) {
					t.Fatalf("rows begin on lines %v", lines)
				}
				for row := range b.Rows {
					if _, err := period.Parse(b.Column(block.TimePeriod).Text(row)); err != nil {
						t.Fatal(err)
					}
					port := b.Column("PORT").Text(row)
					if !utf8.ValidString(port) || strings.ContainsAny(port, "\x00\n") || strings.TrimSpace(port) == "" {
						t.Fatalf("a port is called %q", port)
					}
					rows = append(rows, port+" "+figureText(b.Column(block.ObsValue).Numbers[row]))
				}
			}
			return rows, report
		}
		whole, report := read(bytes.NewReader(file))
		pieces, again := read(iotest.OneByteReader(bytes.NewReader(file)))
		if !slices.Equal(whole, pieces) || len(report.Findings()) != len(again.Findings()) {
			t.Fatalf("in one piece %q with %v, in many %q with %v", whole, report.Findings(), pieces, again.Findings())
		}
		for _, finding := range report.Findings() {
			if !utf8.ValidString(finding.Message) || finding.Message == "" || finding.Rule == "" {
				t.Fatalf("the finding %+v", finding)
			}
		}
	})
}
