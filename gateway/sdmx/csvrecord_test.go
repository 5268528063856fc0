package sdmx

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// records returns what the file's records are, each with its line.
func records(file io.Reader) (all []string, err error) {
	in := csvRecords{in: file, delimiter: ',', line: 1}
	for {
		fields, line, err := in.next()
		if err != nil {
			return all, err
		}
		texts := make([]string, len(fields))
		for i, field := range fields {
			texts[i] = string(field)
		}
		all = append(all, fmt.Sprintf("%d %q", line, texts))
	}
}

// standard returns the same by encoding/csv.
func standard(file io.Reader) (all []string, err error) {
	in := csv.NewReader(file)
	in.FieldsPerRecord = -1
	for {
		fields, err := in.Read()
		if err != nil {
			return all, err
		}
		line, _ := in.FieldPos(0)
		all = append(all, fmt.Sprintf("%d %q", line, fields))
	}
}

func FuzzCSVRecordsAreThoseOfTheStandardLibrary(f *testing.F) {
	for _, seed := range []string{
		"a,b\n1,2\n", "a,b\r\n\r\n\n1,2", "\"a\"\"b\",c\n\"x\ny\r\nz\",\"\"\n", "a\rb,c\r\n\"q\"\r\n", "a,\"b", "a\"b,c", "\"a\"b,c\n", "\"a\" ,b\n",
		"\"a\"\r", "a\r", ",,\n,\"\",\n", "\"\r\n\"\r\n", "\"a\"\rb\n", "\n\"x\n\n\n\n\"\n\"y\"", "é,\xff,\x00\n",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, file string) {
		want, wantErr := standard(strings.NewReader(file))
		for name, in := range map[string]io.Reader{"whole": strings.NewReader(file), "in bytes": iotest.OneByteReader(strings.NewReader(file))} {
			have, err := records(in)
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("%s: %q: %s", name, file, diff)
			}
			var wrong *FileError
			if errors.Is(wantErr, io.EOF) != errors.Is(err, io.EOF) || !errors.Is(err, io.EOF) && !errors.As(err, &wrong) {
				t.Errorf("%s: %q: %v, want %v", name, file, err, wantErr)
			}
		}
	})
}

func TestCSVRecordsAreReadInTimeHoweverTheyCome(t *testing.T) {
	field := strings.Repeat("\"\"", maxRecord/8)
	file := "a,\"" + field + "\"\n" + strings.Repeat("x", maxRecord/2) + "\n"
	have, err := records(iotest.OneByteReader(strings.NewReader(file))) // a million reads: without care, a thousand passes over the record
	if !errors.Is(err, io.EOF) || len(have) != 2 {
		t.Errorf("%d records, %v", len(have), err)
	}
}

func TestNumbersAreThoseOfTheStandardLibrary(t *testing.T) {
	for _, field := range []string{
		"0", "-0", "1", "-17", "0.1", "123456789012345", "1234567890.12345", "0.000000000000001", ".5", "5.", "1e3", "-1.5E-7", "+4",
		"9007199254740993", "0.30000000000000004", "1.7976931348623157e308", "123456789.123456789",
	} {
		want, err := strconv.ParseFloat(field, 64)
		if err != nil {
			t.Fatal(err)
		}
		have, err := parseNumber([]byte(field))
		if err != nil || have != want || math.Signbit(have) != math.Signbit(want) {
			t.Errorf("%s: %v %v, want %v", field, have, err, want)
		}
	}
	for _, field := range []string{"", "NaN", "-"} {
		if have, err := parseNumber([]byte(field)); err != nil || !math.IsNaN(have) {
			t.Errorf("%q: %v %v", field, have, err)
		}
	}
	for _, field := range []string{"3,137", "1 000", "0x10", "1_000", "Inf", "-Infinity", "nan", "1e999", ".", "-.", "--1", "1.2.3", "1p4", "٣"} {
		if have, err := parseNumber([]byte(field)); err == nil {
			t.Errorf("%q is read as %v", field, have)
		}
	}
}

func TestNumbersAreWrittenAsTheyAreRead(t *testing.T) {
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -17, 1204, 0.1, 1e15, 1 << 53, 1<<53 + 2, 1e21, -1e300, 5e-324, math.MaxFloat64} {
		text := formatNumber(v)
		if want := strconv.FormatFloat(v, 'f', -1, 64); text != want {
			t.Errorf("%v is written %s, want %s", v, text, want)
		}
		if have, err := parseNumber([]byte(text)); err != nil || math.Float64bits(have) != math.Float64bits(v) {
			t.Errorf("%s is read as %v %v", text, have, err)
		}
	}
}

// bigCSV gives a file of border statistics with so many rows: 100,000 series of ten months, in the order of the key.
func bigCSV(rows int) []byte {
	var out strings.Builder
	out.WriteString("STRUCTURE,STRUCTURE_ID,ACTION,FREQ,REF_AREA,INDICATOR,SECTION,BORDER_TYPE,CITIZENSHIP,SEX,AGE,DETAIL,TIME_PERIOD,OBS_VALUE,OBS_STATUS\n")
	sexes, ages := []string{"F", "M", "_T", "_U"}, []string{"Y_LT14", "Y14T17", "Y18T24", "Y25T39", "Y_GE40"}
	for i := range rows {
		series := i / 10
		fmt.Fprintf(&out, "dataflow,COMITY:BORDER(1.0.0),M,M,EU,1A,S%03d,SEA,C%02d,%s,%s,_T,2023-%02d,%d,A\n",
			series/1000%100, series/20%50, sexes[series/5%4], ages[series%5], i%10+1, (i*7919)%5000)
	}
	return []byte(out.String())
}

func TestCSVReadsABigFile(t *testing.T) {
	reader, err := NewCSVReader(bytes.NewReader(bigCSV(30_000)))
	if err != nil {
		t.Fatal(err)
	}
	rows, sum := 0, 0.0
	for b, err := range reader.Blocks() {
		if err == nil {
			err = b.Check()
		}
		if err != nil {
			t.Fatal(err)
		}
		rows += b.Rows
		for i, v := range b.Column("OBS_VALUE").Numbers {
			sum += v
			if line := b.Column("_LINE").Numbers[i]; line != float64(rows-b.Rows+i+2) {
				t.Fatalf("row %d is of line %v", rows-b.Rows+i, line)
			}
		}
		for c := range b.Columns {
			sorted := slices.Sorted(slices.Values(b.Columns[c].Dictionary))
			if len(slices.Compact(sorted)) != len(b.Columns[c].Dictionary) {
				t.Errorf("the dictionary of %s has a value twice", b.Columns[c].Component)
			}
		}
	}
	want := 0.0
	for i := range 30_000 {
		want += float64(i * 7919 % 5000)
	}
	if rows != 30_000 || sum != want {
		t.Errorf("%d rows with the sum %v, want %v", rows, sum, want)
	}
}

func BenchmarkCSVReader(b *testing.B) {
	const rows = 200_000
	file := bigCSV(rows)
	read := func(b *testing.B) {
		reader, err := NewCSVReader(bytes.NewReader(file))
		if err != nil {
			b.Fatal(err)
		}
		for _, err := range reader.Blocks() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	compare := func(b *testing.B) {
		in := csv.NewReader(bytes.NewReader(file))
		in.ReuseRecord = true
		for {
			if _, err := in.Read(); errors.Is(err, io.EOF) {
				return
			} else if err != nil {
				b.Fatal(err)
			}
		}
	}
	for name, run := range map[string]func(*testing.B){"blocks": read, "encoding-csv": compare} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				run(b)
			}
			b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
