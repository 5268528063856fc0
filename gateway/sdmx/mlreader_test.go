package sdmx

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// mlMessage is a message of two data sets.
func mlMessage(first, second string) string {
	return `<?xml version="1.0" encoding="UTF-8"?>
<mes:StructureSpecificData xmlns:mes="m" xmlns:ss="s" xmlns:com="c" xmlns:xsi="x">
<mes:Header><mes:ID>X</mes:ID>
<mes:Structure structureID="S1" dimensionAtObservation="TIME_PERIOD"><com:StructureUsage>urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=A:B(1.0.0)</com:StructureUsage></mes:Structure>
<mes:Structure structureID="S2"><com:Structure><Ref agencyID="A" id="D" version="1.0"/></com:Structure></mes:Structure>
<mes:DataSetAction>Append</mes:DataSetAction></mes:Header>
` + first + "\n" + second + "\n</mes:StructureSpecificData>"
}

func TestMLReadsSeriesAndObservations(t *testing.T) {
	message := mlMessage(`<mes:DataSet ss:structureRef="S1" xsi:type="n:DataSetType" UNIT="PERSONS" ss:dataScope="DataStructure">
<Series FREQ="A" SEX="F" TITLE="a &amp; &#233;">
<Obs TIME_PERIOD="2022" OBS_VALUE="5"/>
<Obs TIME_PERIOD="2023" OBS_VALUE="NaN" OBS_STATUS="P"/></Series></mes:DataSet>`,
		`<mes:DataSet ss:structureRef="S1"><Obs FREQ="A" SEX="M" TIME_PERIOD="2022" OBS_VALUE="7.5"><!-- x --></Obs></mes:DataSet>`)
	want := []string{
		"5@9 UNIT=PERSONS FREQ=A SEX=F TITLE=a & é TIME_PERIOD=2022 OBS_STATUS=",
		"NaN@10 UNIT=PERSONS FREQ=A SEX=F TITLE=a & é TIME_PERIOD=2023 OBS_STATUS=P",
		"7.5@11 UNIT= FREQ=A SEX=M TITLE= TIME_PERIOD=2022 OBS_STATUS=",
	}
	for name, in := range map[string]io.Reader{"whole": strings.NewReader(message), "in bytes": iotest.OneByteReader(strings.NewReader(message)), "with a mark": strings.NewReader(byteOrderMark + message)} {
		reader := NewMLReader(in)
		var rows []string
		for b, err := range reader.Blocks() {
			if err != nil {
				t.Fatal(err)
			}
			for i := range b.Rows {
				text := fmt.Sprintf("%v@%v", b.Column("OBS_VALUE").Numbers[i], b.Column("_LINE").Numbers[i])
				for _, id := range strings.Fields("UNIT FREQ SEX TITLE TIME_PERIOD OBS_STATUS") {
					value := ""
					if c := b.Column(id); c != nil {
						value = c.Text(i)
					}
					text += " " + id + "=" + value
				}
				rows = append(rows, text)
			}
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if kind, ref := reader.Dataflow(); kind != "dataflow" || ref != "A:B(1.0.0)" || reader.Action() != Append {
			t.Errorf("%s: %s %s %s", name, kind, ref, reader.Action())
		}
	}
}

func TestMLReadsThePublishedExamples(t *testing.T) {
	for name, want := range map[string]string{
		"ml-3.0/Data - Simple Data Attributes/ECB_EXR.xml":     "",
		"ml-3.1/ECB_EXR_data.xml":                              "",
		"ml-3.0/Data - Complex Data Attributes/ECB_EXR_CA.xml": "several values",
		"ml-3.0/Codelist/codelist.xml":                         `begins with "Structure"`,
	} {
		file, err := os.Open(shared(t, filepath.Join("samples", name)))
		if err != nil {
			t.Fatal(err)
		}
		reader := NewMLReader(file)
		rows, err := readRows(reader)
		_ = file.Close()
		_, ref := reader.Dataflow()
		if want == "" && (err != nil || len(rows) < 21 || ref != "ECB:EXR(1.0)") || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %d rows of %s, %v, want %q", name, len(rows), ref, err, want)
		}
	}
}

func TestMLSaysWhatIsWrong(t *testing.T) {
	set := func(text string) string {
		return `<mes:DataSet ss:structureRef="S1" ss:action="Merge">` + text + `</mes:DataSet>`
	}
	good := set(`<Obs FREQ="A" TIME_PERIOD="2022" OBS_VALUE="7"/>`)
	for _, test := range []struct{ name, message, want string }{
		{"nothing", "", "line 1: the message ends in the middle"},
		{"no XML", "PK", "ends in the middle"},
		{"a page", "<html></html>", `begins with "html"`},
		{"a generic message", "<GenericData/>", `begins with "GenericData"`},
		{"half a message", mlMessage(good, good)[:750], "is no XML: unexpected EOF"},
		{"tags that cross", mlMessage(good, "<a><b></a></b>"), "line 8: is no XML"},
		{"a document type", `<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><x>&a;</x>`, "document type"},
		{"an entity", mlMessage(set(`<Obs FREQ="&a;"/>`), good), "line 7: is no XML"},
		{"another encoding", `<?xml version="1.0" encoding="ISO-8859-1"?><a/>`, "only UTF-8 is read"},
		{"bytes that are no text", mlMessage(set("<Obs FREQ=\"\xff\"/>"), good), "line 7: is no XML: invalid UTF-8"},
		{"a deep message", "<StructureSpecificData>" + strings.Repeat("<a>", 100), "more than 16 deep"},
		{"a long value", mlMessage(set(`<Obs FREQ="`+strings.Repeat("x", 3*maxToken)+`"/>`), good), "longer than"},
		{"many attributes", "<StructureSpecificData " + strings.Repeat(`a="" `, 2000) + "/>", "more than 1000 attributes"},
		{"a structure of nothing", mlMessage(`<mes:DataSet ss:structureRef="S9"/>`, good), `line 7: the data set is of the structure "S9"`},
		{"two dataflows", mlMessage(good, `<mes:DataSet ss:structureRef="S2" ss:action="Merge"/>`), "line 8: the data set is of datastructure A:D(1.0), after dataflow A:B(1.0.0)"},
		{"two actions", mlMessage(good, `<mes:DataSet ss:structureRef="S1" ss:action="Delete"/>`), "line 8: the data set has the action Delete, after Merge"},
		{"an unknown action", mlMessage(`<mes:DataSet ss:structureRef="S1" ss:action="Upsert"/>`, good), `"Upsert" is none of`},
		{"a figure that is none", mlMessage(good, set(`<Obs FREQ="A" OBS_VALUE="many"/>`)), `line 8, column OBS_VALUE: "many" is no number`},
		{"a whole series to delete", mlMessage(`<mes:DataSet ss:structureRef="S1" ss:action="Delete"><Series FREQ="A"/></mes:DataSet>`, ""), "deletes a whole series"},
		{"attributes of groups", mlMessage(set(`<Group FREQ="A" TITLE="x"/>`), good), "attributes of a group"},
		{"several values", mlMessage(set(`<Series FREQ="A"><Comp id="TITLE"/></Series>`), good), "several values"},
		{"an id that is none", mlMessage(set(`<Obs a.b="A"/>`), good), "no id of a component"},
		{"a header without a structure", strings.Replace(mlMessage(good, good), "Dataflow=", "Codelist=", 1), "has no URN"},
	} {
		rows, err := readRows(NewMLReader(strings.NewReader(test.message)))
		var one *FileError
		var all FileErrors
		if err == nil || !strings.Contains(err.Error(), test.want) || !errors.As(err, &one) && !errors.As(err, &all) {
			t.Errorf("%s: %d rows, %v, want %q", test.name, len(rows), err, test.want)
		}
	}
}

func TestReadersHandOnWhatTheConnectionSays(t *testing.T) {
	broken := errors.New("the client went away")
	for name, head := range map[string]string{
		"csv": "DATAFLOW,FREQ,TIME_PERIOD,OBS_VALUE\nA:B(1),A,2023,1\nA:B(1),A,2", "json": jsonMessage("{", "", true)[:800], "ml": mlMessage("", "")[:500],
	} {
		for _, err := range []error{broken, io.ErrUnexpectedEOF} {
			in := io.MultiReader(strings.NewReader(head), iotest.ErrReader(err))
			var rows []string
			var have error
			switch name {
			case "csv":
				rows, _, have = readCSV(in)
			case "json":
				rows, have = readRows(NewJSONReader(in))
			default:
				rows, have = readRows(NewMLReader(in))
			}
			if !errors.Is(have, err) || len(rows) != 0 {
				t.Errorf("%s: %d rows, %v, want %v", name, len(rows), have, err)
			}
		}
	}
}

func FuzzMLReader(f *testing.F) {
	f.Add(mlMessage(`<mes:DataSet ss:structureRef="S1"><Series FREQ="A"><Obs TIME_PERIOD="2022" OBS_VALUE="5"/></Series></mes:DataSet>`, `<mes:DataSet ss:structureRef="S1"><Obs FREQ="A" TIME_PERIOD="2022" OBS_VALUE="x"/></mes:DataSet>`))
	f.Add(mlMessage(`<mes:DataSet structureRef="S2" action="Delete"><Group/></mes:DataSet>`, ""))
	f.Add(mlMessage(`<mes:DataSet ss:structureRef="S1"><Series FREQ="A"><Obs TIME_PERIOD="2022" OBS_VALUE="NaN" OBS_STATUS="M"/><Obs TIME_PERIOD="2023" OBS_STATUS="L"/></Series></mes:DataSet>`, ""))
	f.Fuzz(func(t *testing.T, message string) { tryReader(t, NewMLReader(strings.NewReader(message))) })
}

func BenchmarkMLReader(b *testing.B) {
	const rows = 10_000
	message := mlMessage(`<mes:DataSet ss:structureRef="S1"><Series FREQ="A" SEX="F">`+strings.Repeat(`<Obs TIME_PERIOD="2022" OBS_VALUE="1204" OBS_STATUS="A"/>`, rows)+`</Series></mes:DataSet>`, "")
	b.SetBytes(int64(len(message)))
	for b.Loop() {
		for _, err := range NewMLReader(strings.NewReader(message)).Blocks() {
			if err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
