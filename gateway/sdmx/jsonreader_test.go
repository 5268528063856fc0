package sdmx

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

func TestJSONIsReadBackAsItWasWritten(t *testing.T) {
	want := []string{
		"1204@1 FREQ=M SECTION=Small boats CITIZENSHIP=SYR TIME_PERIOD=2023-01 OBS_STATUS=A COMMENT=",
		"NaN@1 FREQ=M SECTION=Small boats CITIZENSHIP=SYR TIME_PERIOD=2023-02 OBS_STATUS= COMMENT=a \"note\" </script>",
		"0.25@1 FREQ=M SECTION=_T CITIZENSHIP=AFG TIME_PERIOD=2023-01 OBS_STATUS=P COMMENT=",
	}
	for _, at := range []string{TimeSeries, AllDimensions} {
		message := writeJSON(t, JSONOptions{DimensionAtObservation: at})
		for name, in := range map[string]io.Reader{"whole": bytes.NewReader(message), "in bytes": iotest.OneByteReader(bytes.NewReader(message))} {
			reader := NewJSONReader(in)
			rows, err := readRows(reader)
			if diff := cmp.Diff(want, rows); diff != "" || err != nil {
				t.Errorf("%s %s: %v %s", at, name, err, diff)
			}
			if kind, ref := reader.Dataflow(); kind != "dataflow" || ref != "COMITY:BORDER(1.0.0)" || reader.Action() != Information {
				t.Errorf("%s: %s %s %c", at, kind, ref, reader.Action())
			}
		}
	}
}

func TestJSONReadsThePublishedExamples(t *testing.T) {
	for name, want := range map[string]string{
		"exr_exr-time-series":     "1.5931 FREQ=D CURRENCY_DENOM=EUR EXR_TYPE=SP00 EXR_SUFFIX=A CURRENCY=NZD TIME_PERIOD=2013-01-18 …",
		"exr_exr-flat":            "1.5931 FREQ=D CURRENCY_DENOM=EUR EXR_TYPE=SP00 EXR_SUFFIX=A CURRENCY=NZD TIME_PERIOD=2013-01-18 …",
		"exr_exr-cross-section":   "1.5931 FREQ=D CURRENCY_DENOM=EUR EXR_TYPE=SP00 EXR_SUFFIX=A TIME_PERIOD=2013-01-18 CURRENCY=NZD …",
		"exr_exr-action-delete":   "column OBS_STATUS: points to value 1, there are 1",
		"constructed-sample-full": "DESCRIPTION: has several values",
		"agri":                    "SOURCE: has several values",
		"generated-sample":        "no component TIME_PERIOD",
	} {
		for _, version := range []string{"2.0.0", "2.1.0"} {
			file, err := os.Open(shared(t, "samples/json-"+version+"/data-message_samples_"+name+".json"))
			if err != nil {
				t.Fatal(err)
			}
			rows, err := readRows(NewJSONReader(file))
			_ = file.Close()
			if prefix, ok := strings.CutSuffix(want, "…"); ok {
				if err != nil || len(rows) != 4 {
					t.Errorf("%s %s: %d rows, %v", name, version, len(rows), err)
					continue
				}
				parts := strings.Fields(rows[0])
				if have, wanted := parts[1:], strings.Fields(prefix)[1:]; !slicesHave(have, wanted) || !strings.HasPrefix(rows[0], "1.5931@") {
					t.Errorf("%s %s: %s, want %s", name, version, rows[0], prefix)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s %s: %d rows, %v, want %q", name, version, len(rows), err, want)
			}
		}
	}
}

func slicesHave(have, want []string) bool {
	all := " " + strings.Join(have, " ") + " "
	for _, w := range want {
		if !strings.Contains(all, " "+w+" ") {
			return false
		}
	}
	return true
}

// jsonMessage is a message of two data sets, with the structure before or after them.
func jsonMessage(first, second string, structureFirst bool) string {
	structure := `"structures": [{"links": [{"urn": "urn:sdmx:org.sdmx.infomodel.datastructure.DataStructure=A:D(1)"},
		{"urn": "urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=A:B(1.0.0)", "rel": "dataflow"}],
	"dimensions": {"dataSet": [{"id": "FREQ", "keyPosition": 0, "values": [{"id": "A"}]}],
		"series": [{"id": "SEX", "keyPosition": 1, "values": [{"id": "F"}, {"id": "M"}]}],
		"observation": [{"id": "TIME_PERIOD", "keyPosition": 2, "values": [{"value": "2022"}, "2023"]}]},
	"measures": {"observation": [{"id": "OBS_VALUE"}]},
	"attributes": {"dataSet": [{"id": "UNIT", "values": [{"id": "PERSONS"}]}], "series": [{"id": "TITLE"}],
		"dimensionGroup": [{"id": "SOURCE", "values": [{"id": "POLICE"}, {"id": "GUARD"}]}],
		"observation": [{"id": "OBS_STATUS", "values": [{"id": "A"}, {"id": "P"}]}, {"id": "COMMENT"}]}}]`
	sets := fmt.Sprintf("\"dataSets\": [%s,\n%s]", first, second)
	if structureFirst {
		return fmt.Sprintf("\uFEFF{\"meta\": {\"x\": [1, {\"y\": null}]}, \"data\": {%s,\n%s}}", structure, sets)
	}
	return fmt.Sprintf("{\"data\": {%s,\n%s}, \"meta\": {}}", sets, structure)
}

func TestJSONReadsAttributesWhereverTheyStand(t *testing.T) {
	first := `{"structure": 0, "action": "Append", "attributes": [0], "dimensionGroupAttributes": {":0:0": [1], "::1": [0]},
"series": {"0": {"attributes": ["Women"],
"observations": {"0": [5, 1, "a\u00e9\n\"b\""],
"1": [null]}}}}`
	second := `{"action": "Append", "series": {"1": {"observations": {"0": ["7.5", "X"], "1": [-3e1, 0, null, 9]}, "attributes": ["Men"]}}}`
	for _, structureFirst := range []bool{true, false} {
		reader := NewJSONReader(strings.NewReader(jsonMessage(first, second, structureFirst)))
		rows, err := readRows(reader)
		line := 10
		if !structureFirst {
			line = 1
		}
		at := func(n int) string { return fmt.Sprint(line + n) }
		want := []string{
			"5@" + at(2) + " FREQ=A SEX=F TIME_PERIOD=2022 UNIT=PERSONS TITLE=Women OBS_STATUS=P COMMENT=aé\n\"b\" SOURCE=GUARD",
			"NaN@" + at(3) + " FREQ=A SEX=F TIME_PERIOD=2023 UNIT=PERSONS TITLE=Women OBS_STATUS= COMMENT= SOURCE=POLICE",
			"7.5@" + at(4) + " FREQ=A SEX=M TIME_PERIOD=2022 UNIT= TITLE=Men OBS_STATUS=X COMMENT= SOURCE=",
			"-30@" + at(4) + " FREQ=A SEX=M TIME_PERIOD=2023 UNIT= TITLE=Men OBS_STATUS=A COMMENT= SOURCE=",
		}
		if diff := cmp.Diff(want, rows); diff != "" || err != nil || reader.Action() != Append {
			t.Errorf("structure first %v: %v %s", structureFirst, err, diff)
		}
	}
}

func TestJSONSaysWhatIsWrong(t *testing.T) {
	good := `{"series": {"0": {"observations": {"0": [5]}}}}`
	nested := strings.Repeat("[", 100_000)
	for _, test := range []struct{ name, message, want string }{
		{"nothing", "", "line 1: the message ends in the middle"},
		{"an array", "[]", "line 1: '[' stands where '{' is expected"},
		{"no JSON", `{"meta": tru}`, `line 1: "tru" is no value`},
		{"half a message", jsonMessage(good, good, true)[:950], "ends in the middle"},
		{"more than a message", jsonMessage(good, good, true) + "\n{}", "something stands after"},
		{"a deep message", `{"x": ` + nested, "more than 32 deep"},
		{"a long string", `{"x": "` + strings.Repeat("x", maxText+100) + `"}`, "longer than"},
		{"a long number", `{"x": ` + strings.Repeat("1", maxText+100) + `}`, "longer than"},
		{"bytes that are no text", "{\"x\": \"\xff\"}", "not UTF-8"},
		{"UTF-16", "\xff\xfe{\x00", "line 1"},
		{"a character of none", `{"x": "\u0000"}`, "U+0000"},
		{"half a character", `{"x": "\ud800x"}`, "half of a character"},
		{"an open quotation mark", "{\"x\": \"a\n\"}", "control character"},
		{"a number of another form", `{"x": 01}`, "no value"},
		{"not a number", `{"x": NaN}`, "no value"},
		{"no structure", `{"data": {"dataSets": [` + good + `]}}`, "have no structure"},
		{"a data set of another structure", jsonMessage(`{"structure": 1, "series": {}}`, good, true), "of structure 1, there are 1"},
		{"a series of nothing", jsonMessage(`{"series": {"7": {"observations": {"0": [5]}}}}`, good, true), "SEX points to value 7, there are 2"},
		{"a key with too much", jsonMessage(`{"series": {"0:1": {"observations": {"0": [5]}}}}`, good, true), `the series "0:1"`},
		{"a period of nothing", jsonMessage(`{"series": {"0": {"observations": {"2": [5]}}}}`, good, false), "TIME_PERIOD points to value 2"},
		{"observations without series", jsonMessage(`{"observations": {"0": [5]}}`, good, true), "stands at no series"},
		{"a figure that is none", jsonMessage(good, "\n"+`{"series": {"0": {"observations": {"0": ["many"]}}}}`, true), `line 12, column OBS_VALUE: "many" is no number`},
		{"a figure of several", jsonMessage(good, `{"series": {"0": {"observations": {"0": [[1, 2]]}}}}`, true), "column OBS_VALUE: has several values"},
		{"a status of nothing", jsonMessage(good, `{"series": {"0": {"observations": {"0": [1, 5]}}}}`, true), "column OBS_STATUS: points to value 5"},
		{"two actions", jsonMessage(`{"action": "Merge", "series": {"0": {"observations": {"0": [5]}}}}`, "\n"+`{"action": "Delete", "series": {"0": {"observations": {"0": []}}}}`, true), "line 12: the data set has the action Delete, after Merge"},
		{"an unknown action", jsonMessage(`{"action": "Upsert"}`, good, true), `"Upsert" is none of`},
		{"a whole series to delete", jsonMessage(`{"action": "Delete", "series": {"0": {}}}`, `{"action": "Delete", "series": {"0": {"observations": {"0": []}}}}`, true), "deletes a whole series"},
		{"attributes after observations", jsonMessage(`{"series": {"0": {"observations": {"0": [5]}}}, "attributes": [0]}`, good, true), "attributes stands after the observations"},
		{"an id that is none", strings.Replace(jsonMessage(good, good, true), `"SEX"`, `"S X"`, 1), "no id of a component"},
		{"no periods", strings.Replace(jsonMessage(good, good, true), `"TIME_PERIOD"`, `"TIME"`, 1), "no component TIME_PERIOD"},
	} {
		rows, err := readRows(NewJSONReader(strings.NewReader(test.message)))
		var one *FileError
		var all FileErrors
		if err == nil || !strings.Contains(err.Error(), test.want) || !errors.As(err, &one) && !errors.As(err, &all) {
			t.Errorf("%s: %d rows, %v, want %q", test.name, len(rows), err, test.want)
		}
	}
}

func TestJSONFindsAllThatIsWrong(t *testing.T) {
	_, err := readRows(NewJSONReader(strings.NewReader(jsonMessage(
		`{"series": {"0": {"observations": {"0": ["x"], "5": [1], "1": [2]}}, "9": {"observations": {"0": [5]}}}}`,
		`{"series": {"0": {"observations": {"0": [1, 9]}}}}`, true))))
	var wrong FileErrors
	if !errors.As(err, &wrong) || len(wrong) != 4 {
		t.Errorf("%v", err)
	}
}

func TestJSONBoundsWhatItHolds(t *testing.T) {
	head, tail, _ := strings.Cut(jsonMessage(`{"series": {"0": {"attributes": ["x"], "observations": {"0": [5]%s}}}}`, "{}", true), "%s")
	more := strings.NewReader(strings.Repeat(`,"1": [1234567, 1, "a comment"]`, 1<<16))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	rows, most := 0, uint64(0)
	for b, err := range NewJSONReader(io.MultiReader(strings.NewReader(head), more, strings.NewReader(tail))).Blocks() {
		if err != nil {
			t.Fatal(err)
		}
		if rows += b.Rows; rows%(2*blockRows) == 0 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			most = max(most, after.HeapAlloc-min(after.HeapAlloc, before.HeapAlloc))
		}
	}
	if rows != 1<<16+1 || most > 32<<20 {
		t.Errorf("%d rows, %d MiB held", rows, most>>20)
	}

	head, _, _ = strings.Cut(jsonMessage(`{"series": {"0": {"observations": {"0": [5]%s}}}}`, "{}", false), "%s")
	reader := NewJSONReader(io.MultiReader(strings.NewReader(head), &repeated{text: `,"1": [1]`}))
	reader.most = 1 << 20
	_, err := readRows(reader)
	if err == nil || !strings.Contains(err.Error(), "let structures come first") {
		t.Error(err)
	}
}

// repeated is a text without end.
type repeated struct {
	text string
	at   int
}

func (r *repeated) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = r.text[r.at]
		r.at = (r.at + 1) % len(r.text)
	}
	return len(p), nil
}

func FuzzJSONReader(f *testing.F) {
	f.Add(jsonMessage(`{"attributes": [0], "series": {"0": {"observations": {"0": [5, 1]}}}}`, `{"series": {"1": {"observations": {"1": [5]}, "attributes": ["\u00e9"]}}}`, true))
	f.Add(jsonMessage(`{"dimensionGroupAttributes": {":0:": [1]}, "series": {"0": {"observations": {"0": [5, 1]}}}}`, `{"action": "Delete"}`, false))
	f.Add(jsonMessage(`{"series": {"0": {"observations": {"0": [null, 0], "1": ["NaN", 1]}}}}`, `{"series": {"1": {"observations": {"1": []}}}}`, true))
	f.Add(`{"dataSets": [{"observations": {"0:0": [1]}}], "structure": {"dimensions": {"observation": [{"id": "S", "values": [{"id": "x"}]}, {"id": "TIME_PERIOD", "values": ["2020"]}]}}}`)
	f.Fuzz(func(t *testing.T, message string) { tryReader(t, NewJSONReader(strings.NewReader(message))) })
}

// tryReader holds a reader of a made-up message against what readers promise.
func tryReader(t *testing.T, reader Reader) {
	t.Helper()
	_, err := readRows(reader)
	var one *FileError
	var all FileErrors
	if err != nil && !errors.As(err, &one) && !errors.As(err, &all) {
		t.Errorf("%T says not where: %v", err, err)
	}
	for _, e := range all {
		if e.Line < 1 || e.Problem == "" {
			t.Errorf("%#v", e)
		}
	}
}

func BenchmarkJSONReader(b *testing.B) {
	var message bytes.Buffer
	w := NewJSONWriter(&message, testStructure(), JSONOptions{DimensionAtObservation: TimeSeries})
	const rows = 8192
	if err := w.Write(benchmarkBlock()); err != nil {
		b.Fatal(err)
	}
	if err := w.Close(); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(message.Len()))
	for b.Loop() {
		for _, err := range NewJSONReader(bytes.NewReader(message.Bytes())).Blocks() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
