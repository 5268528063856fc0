package sdmx

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/comity-federation/comity/proto/block"
)

// shared returns a file of the published SDMX artefacts, which are no part of this repository.
func shared(t *testing.T, path string) string {
	t.Helper()
	root := os.Getenv("COMITY_SHARED")
	if root == "" {
		root = filepath.Join("..", "..", "..", "shared")
	}
	path = filepath.Join(root, "sdmx", path)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("the published SDMX artefacts are not here; set COMITY_SHARED to where they are: %v", err)
	}
	return path
}

func dataSchemaOf(t *testing.T, version string) *jsonschema.Schema {
	t.Helper()
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	schema, err := compiler.Compile(shared(t, "schemas/json-"+version+"/sdmx-json-data-schema.json"))
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func validate(t *testing.T, schema *jsonschema.Schema, message []byte) {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(message))
	if err == nil {
		err = schema.Validate(value)
	}
	if err != nil {
		t.Errorf("%v\n%s", err, message)
	}
}

// testBlocks are two blocks of one answer; the first series goes over both.
func testBlocks() []*block.Block {
	builder := func() *block.Builder {
		return block.NewBuilder([]string{"FREQ", "SECTION", "CITIZENSHIP", block.TimePeriod, block.ObsStatus, block.Comment, block.Provider}, []string{block.ObsValue})
	}
	a, b := builder(), builder()
	a.Append([]string{"M", "Small boats", "SYR", "2023-01", "A", "", "eu"}, []float64{1204})
	b.Append([]string{"M", "Small boats", "SYR", "2023-02", "", "a \"note\" </script>", "eu"}, []float64{math.NaN()})
	b.Append([]string{"M", "_T", "AFG", "2023-01", "P", "", "gb"}, []float64{0.25})
	return []*block.Block{a.Block(), b.Block()}
}

func writeJSON(t *testing.T, options JSONOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	options.ID, options.Sender, options.Prepared = "X-1", "us", time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	w := NewJSONWriter(&out, testStructure(), options)
	for _, b := range testBlocks() {
		if err := w.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// readJSON reads observations back: "SECTION CITIZENSHIP TIME_PERIOD" to the value and attributes.
func readJSON(t *testing.T, message []byte) map[string]string {
	t.Helper()
	type component struct {
		ID     string
		Values []struct{ ID, Value string }
	}
	var m struct {
		Data struct {
			DataSets []struct {
				Series       map[string]struct{ Observations map[string][]any }
				Observations map[string][]any
			}
			Structures []struct {
				Dimensions struct{ Series, Observation []component }
				Attributes struct{ Observation []component }
			}
		}
	}
	if err := json.Unmarshal(message, &m); err != nil {
		t.Fatalf("%v in %s", err, message)
	}
	set, structure := m.Data.DataSets[0], m.Data.Structures[0]
	value := func(c component, position string) string {
		var i int
		if _, err := fmt.Sscan(position, &i); err != nil {
			t.Fatal(err)
		}
		return c.Values[i].ID + c.Values[i].Value
	}
	rows := map[string]string{}
	add := func(dimensions []component, key string, cells []any) {
		var names []string
		for i, position := range strings.Split(key, ":") {
			names = append(names, value(dimensions[i], position))
		}
		for i, a := range structure.Attributes.Observation {
			if position, ok := cells[i+1].(float64); ok {
				cells[i+1] = a.Values[int(position)].ID + a.Values[int(position)].Value
			}
		}
		rows[strings.Join(names, " ")] = fmt.Sprint(cells...)
	}
	for key, series := range set.Series {
		for period, cells := range series.Observations {
			add(append(append([]component{}, structure.Dimensions.Series...), structure.Dimensions.Observation...), key+":"+period, cells)
		}
	}
	for key, cells := range set.Observations {
		add(structure.Dimensions.Observation, key, cells)
	}
	return rows
}

func TestJSONReadsBackAsItWasWritten(t *testing.T) {
	want := map[string]string{
		"M Small boats SYR 2023-01": fmt.Sprint(1204.0, "A", nil),
		"M Small boats SYR 2023-02": fmt.Sprint(nil, nil, "a \"note\" </script>"),
		"M _T AFG 2023-01":          fmt.Sprint(0.25, "P", nil),
	}
	for _, at := range []string{TimeSeries, AllDimensions} {
		if diff := cmp.Diff(want, readJSON(t, writeJSON(t, JSONOptions{DimensionAtObservation: at}))); diff != "" {
			t.Errorf("%s: %s", at, diff)
		}
	}
}

func TestJSONIsValid(t *testing.T) {
	schema := dataSchemaOf(t, "2.1.0")
	for _, at := range []string{TimeSeries, AllDimensions} {
		for _, language := range []string{"", "fr"} {
			validate(t, schema, writeJSON(t, JSONOptions{DimensionAtObservation: at, Language: language}))
		}
		validate(t, schema, writeJSON(t, JSONOptions{DimensionAtObservation: at, WithoutData: true})) // rows without a value
		var empty bytes.Buffer
		if err := NewJSONWriter(&empty, testStructure(), JSONOptions{ID: "e", Sender: "us", DimensionAtObservation: at}).Close(); err != nil {
			t.Fatal(err)
		}
		validate(t, schema, empty.Bytes())
	}
	message, err := ErrorMessage(JSONOptions{ID: "x", Sender: "us", Prepared: time.Now()}, 404, "There is no such dataflow.", "NOT_FOUND")
	if err != nil {
		t.Fatal(err)
	}
	validate(t, schema, message)
}

// changedBlock says of two rows that they changed, and of so many that they are gone.
func changedBlock(gone int) *block.Block {
	b := block.NewBuilder([]string{"FREQ", "SECTION", "CITIZENSHIP", block.TimePeriod, block.ObsStatus, actionColumn}, []string{block.ObsValue})
	b.Append([]string{"M", "_T", "AFG", "2023-01", "A", "M"}, []float64{5})
	for i := range gone {
		b.Append([]string{"M", "_T", "AFG", fmt.Sprintf("%d-%02d", 1000+i/12%8000, i%12+1), "A", "D"}, []float64{7})
	}
	b.Append([]string{"M", "_T", "SYR", "2023-01", "A", "M"}, []float64{math.NaN()})
	return b.Block()
}

func TestJSONTellsWhatIsGoneInADataSetOfItsOwn(t *testing.T) {
	for _, at := range []string{TimeSeries, AllDimensions} {
		var out bytes.Buffer
		w := NewJSONWriter(&out, testStructure(), JSONOptions{ID: "X", Sender: "us", DimensionAtObservation: at})
		if err := w.Write(changedBlock(2)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		validate(t, dataSchemaOf(t, "2.1.0"), out.Bytes())
		if _, err := readRows(NewJSONReader(&out)); err == nil || !strings.Contains(err.Error(), "has the action Delete, after Merge") {
			t.Errorf("two actions are read back: %v", err)
		}
	}
}

func TestJSONHoldsLittleOfWhatIsGone(t *testing.T) {
	var out bytes.Buffer
	w := NewJSONWriter(&out, testStructure(), JSONOptions{ID: "X", Sender: "us", DimensionAtObservation: AllDimensions})
	gone := changedBlock(20_000)
	for range 8 {
		if err := w.Write(gone); err != nil {
			t.Fatal(err)
		}
		if w.gone.Len() > maxGone+1<<20 {
			t.Fatalf("%d bytes are held", w.gone.Len())
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var m struct {
		Data struct {
			DataSets   []struct{ Action string }
			Structures []struct{ DataSets []int }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &m); err != nil {
		t.Fatal(err)
	}
	if have := fmt.Sprint(m.Data.DataSets, m.Data.Structures[0].DataSets); have != "[{Merge} {Delete} {Merge} {Delete} {Merge}] [0 1 2 3 4]" {
		t.Error(have)
	}
}

func TestJSONDescribesDimensionsWithPositionAndName(t *testing.T) {
	var m struct {
		Data struct {
			Structures []struct {
				Name       string
				Dimensions map[string][]struct {
					ID, Name    string
					KeyPosition int
					Values      []struct{ ID, Name, Value, Start, End string }
				}
			}
		}
	}
	if err := json.Unmarshal(writeJSON(t, JSONOptions{DimensionAtObservation: AllDimensions, Language: "fr"}), &m); err != nil {
		t.Fatal(err)
	}
	s := m.Data.Structures[0]
	var have []string
	for _, d := range s.Dimensions["observation"] {
		have = append(have, fmt.Sprintf("%d %s %s %v", d.KeyPosition, d.ID, d.Name, d.Values))
	}
	want := []string{
		"0 FREQ FREQ [{M M   }]",
		"1 SECTION Section [{  Small boats  } {_T _T   }]",
		"2 CITIZENSHIP Citoyenneté [{SYR Syrie   } {AFG Afghanistan   }]",
		"3 TIME_PERIOD TIME_PERIOD [{2023-01 2023-01  2023-01-01T00:00:00Z 2023-01-31T23:59:59Z} {2023-02 2023-02  2023-02-01T00:00:00Z 2023-02-28T23:59:59Z}]",
	}
	if diff := cmp.Diff(want, have); diff != "" || s.Name != "Frontière" || len(s.Dimensions["series"]) != 0 {
		t.Errorf("%s %s", s.Name, diff)
	}
}

func TestCSVHasLabelsWhereAsked(t *testing.T) {
	for labels, want := range map[string]string{
		"both": `STRUCTURE,STRUCTURE_ID,ACTION,FREQ,SECTION: Section,CITIZENSHIP: Citizenship,TIME_PERIOD,OBS_VALUE,OBS_STATUS,COMMENT
dataflow,COMITY:BORDER(1.0.0): Border,I,M,Small boats,SYR: Syria,2023-01,1204,A,
`,
		"name": `STRUCTURE,STRUCTURE_ID,STRUCTURE_NAME,ACTION,FREQ,FREQ,SECTION,Section,CITIZENSHIP,Citizenship,TIME_PERIOD,TIME_PERIOD,OBS_VALUE,OBS_VALUE,OBS_STATUS,OBS_STATUS,COMMENT,COMMENT
dataflow,COMITY:BORDER(1.0.0),Border,I,M,,Small boats,,SYR,Syria,2023-01,,1204,,A,,,
`,
	} {
		var out bytes.Buffer
		w := NewCSVWriter(&out, testStructure(), CSVOptions{Labels: labels, Language: "en"})
		if err := w.Write(testBlocks()[0]); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("%s: %s", labels, diff)
		}
	}
}

// readCSV returns the rows that a reader gives, in a line each.
func readCSV(file io.Reader) (rows []string, reader *CSVReader, err error) {
	if reader, err = NewCSVReader(file); err != nil {
		return nil, nil, err
	}
	rows, err = readRows(reader)
	return rows, reader, err
}

// readRows returns the rows of a message, in a line each.
func readRows(reader Reader) (rows []string, err error) {
	for b, err := range reader.Blocks() {
		if err != nil {
			return rows, err
		}
		if err := b.Check(); err != nil {
			return rows, err
		}
		for i := range b.Rows {
			text := fmt.Sprintf("%v@%v", b.Column(block.ObsValue).Numbers[i], b.Column(block.Line).Numbers[i])
			for c := range b.Columns {
				if !b.Columns[c].IsNumber() {
					text += " " + b.Columns[c].Component + "=" + b.Columns[c].Text(i)
				}
			}
			rows = append(rows, text)
		}
	}
	return rows, nil
}

func TestCSVReadsBackAsItWasWritten(t *testing.T) {
	for _, labels := range []string{"id", "both", "name"} {
		var out bytes.Buffer
		w := NewCSVWriter(&out, testStructure(), CSVOptions{Labels: labels})
		for _, b := range testBlocks() {
			if err := w.Write(b); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		rows, reader, err := readCSV(&out)
		if err != nil {
			t.Fatalf("%s: %v", labels, err)
		}
		want := []string{
			"1204@2 FREQ=M SECTION=Small boats CITIZENSHIP=SYR TIME_PERIOD=2023-01 OBS_STATUS=A COMMENT=",
			"NaN@3 FREQ=M SECTION=Small boats CITIZENSHIP=SYR TIME_PERIOD=2023-02 OBS_STATUS= COMMENT=a \"note\" </script>",
			"0.25@4 FREQ=M SECTION=_T CITIZENSHIP=AFG TIME_PERIOD=2023-01 OBS_STATUS=P COMMENT=",
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("%s: %s", labels, diff)
		}
		if kind, ref := reader.Dataflow(); kind != "dataflow" || ref != "COMITY:BORDER(1.0.0)" || reader.Action() != Information {
			t.Errorf("%s: %s %s %c", labels, kind, ref, reader.Action())
		}
	}
}

func TestCSVReadsThePublishedExamples(t *testing.T) {
	for name, want := range map[string]string{
		"csv-2.1/data_v21.csv":                      "",
		"csv-2.1/data_v21_datetime.csv":             "",
		"csv-2.1/csv_keys_both.csv":                 "",
		"csv-2.1/csv_labels_both.csv":               "",
		"csv-2.1/csv_labels_name.csv":               "",
		"csv-2.1/data_v21_no_freq_cols.csv":         "",
		"csv-2.1/data_v21_exception.csv":            "line 1: is no header",
		"csv-2.1/data_v21_action_col.csv":           "fields",
		"csv-2.1/data_v21_structures_exception.csv": "TIME_PERIOD",
		"csv-2.0/example-01.csv":                    "no column TIME_PERIOD",
		"csv-2.0/example-02.csv":                    "ATTR_1[]",
	} {
		file, err := os.Open(shared(t, "samples/"+name))
		if err != nil {
			t.Fatal(err)
		}
		rows, _, err := readCSV(file)
		_ = file.Close()
		if want == "" && (err != nil || len(rows) == 0) || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %d rows, %v, want %q", name, len(rows), err, want)
		}
	}
}

func TestCSVFindsAllThatIsWrong(t *testing.T) {
	header, good := "DATAFLOW,FREQ,TIME_PERIOD,OBS_VALUE\n", strings.Repeat("A:B(1),A,2023,1\n", 2*blockRows)
	rows, _, err := readCSV(strings.NewReader(header + "A:B(1),A,2023,x\nA:B(1)\n" + good + "A:C(1),A,2023,1\nA:B(1),A,2023,1e999\n"))
	var wrong FileErrors
	if !errors.As(err, &wrong) || len(rows) != 0 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	var have []string
	for _, e := range wrong {
		have = append(have, fmt.Sprintf("%d %s", e.Line, e.Column))
	}
	last := 4 + 2*blockRows
	want := []string{"2 OBS_VALUE", "3 ", fmt.Sprint(last, " DATAFLOW"), fmt.Sprint(last+1, " OBS_VALUE")}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
	_, _, err = readCSV(strings.NewReader(header + strings.Repeat("A:B(1),A,2023,x\n", 2*MaxFileErrors)))
	if !errors.As(err, &wrong) || len(wrong) != MaxFileErrors {
		t.Errorf("%d errors", len(wrong))
	}
}

func TestCSVBoundsWhatItHolds(t *testing.T) {
	header := "DATAFLOW,FREQ,TIME_PERIOD,OBS_VALUE,COMMENT\n"
	long := io.MultiReader(strings.NewReader(header+`A:B(1),A,2023,1,"`), io.LimitReader(zeroes{}, 64<<20))
	_, _, err := readCSV(long)
	var wrong FileErrors
	if !errors.As(err, &wrong) || wrong[0].Line != 2 {
		t.Errorf("%v", err)
	}
	reader, err := NewCSVReader(strings.NewReader(header + strings.Repeat("A:B(1),A,2023,1,x\n", 3*blockRows)))
	if err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for b, err := range reader.Blocks() {
		if blocks++; err != nil || b.Rows > blockRows {
			t.Errorf("%v %v", b, err)
		}
	}
	if blocks != 3 {
		t.Errorf("%d blocks", blocks)
	}
}

type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

func FuzzCSVReader(f *testing.F) {
	f.Add("STRUCTURE,STRUCTURE_ID,ACTION,FREQ,TIME_PERIOD,OBS_VALUE\ndataflow,A:B(1.0.0),I,A,2023,5\n")
	f.Add("STRUCTURE,STRUCTURE_ID,ACTION,FREQ,TIME_PERIOD,OBS_VALUE,OBS_STATUS\ndataflow,A:B(1.0.0),I,A,2023,,M\ndataflow,A:B(1.0.0),I,A,2024,NaN,L\n")
	f.Add("\uFEFFDATAFLOW;FREQ: F;TIME_PERIOD;OBS_VALUE;C\nA:B(1): x;A: a;2023;\"1\";\"\n\"\n")
	f.Add("STRUCTURE[;],STRUCTURE_ID,STRUCTURE_NAME,TIME_PERIOD,T,OBS_VALUE,V\ndataflow,A:B(1),n,2023,t,5,v\n")
	f.Fuzz(func(t *testing.T, file string) {
		rows, reader, err := readCSV(strings.NewReader(file))
		var problem *FileError
		var problems FileErrors
		if err != nil && !errors.As(err, &problem) && !errors.As(err, &problems) {
			t.Errorf("%T says not where: %v", err, err)
		}
		if err == nil && len(rows) > 0 {
			if _, ref := reader.Dataflow(); ref == "" {
				t.Error("rows of no dataflow")
			}
		}
	})
}

// benchmarkBlock is a block of series of 120 months.
func benchmarkBlock() *block.Block {
	builder := block.NewBuilder([]string{"FREQ", "SECTION", "CITIZENSHIP", block.TimePeriod, block.ObsStatus, block.Comment}, []string{block.ObsValue})
	for i := range 8192 {
		builder.Append([]string{"M", fmt.Sprint("s", i/120), "SYR", fmt.Sprintf("%d-%02d", 2010+i%120/12, i%12+1), "A", ""}, []float64{float64(i)})
	}
	return builder.Block()
}

func BenchmarkWriters(b *testing.B) {
	rows := benchmarkBlock()
	for name, open := range map[string]func(io.Writer) Writer{
		"csv": func(w io.Writer) Writer { return NewCSVWriter(w, testStructure(), CSVOptions{}) },
		"json": func(w io.Writer) Writer {
			return NewJSONWriter(w, testStructure(), JSONOptions{DimensionAtObservation: TimeSeries})
		},
		"flat": func(w io.Writer) Writer {
			return NewJSONWriter(w, testStructure(), JSONOptions{DimensionAtObservation: AllDimensions})
		},
	} {
		b.Run(name, func(b *testing.B) {
			w := open(io.Discard)
			for b.Loop() {
				if err := w.Write(rows); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)*8192/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
