package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
)

// received is what a fake statistics service was sent.
type received struct {
	header *statisticspb.SubmissionHeader
	data   []byte
	rows   []string
}

// accept makes the fake take every upload. It returns what gives the last one that came to its end, or nil.
func accept(f *fakeStatistics) func() *received {
	var last atomic.Pointer[received]
	f.submit = func(stream grpc.ClientStreamingServer[statisticspb.SubmitRequest, statisticspb.SubmitResponse]) error {
		got := &received{}
		for {
			message, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				last.Store(got)
				return stream.SendAndClose(&statisticspb.SubmitResponse{Submission: &statisticspb.Submission{
					Name: "submissions/s1", State: statisticspb.Submission_ACCEPTED, IdempotencyKey: got.header.GetIdempotencyKey(), Revision: 9,
				}})
			}
			if err != nil {
				return err
			}
			switch {
			case message.GetHeader() != nil:
				got.header = message.GetHeader()
			case message.GetBlock() != nil:
				b, err := wire.BlockFromProto(message.GetBlock())
				if err != nil {
					return err
				}
				for i := range b.Rows {
					text := fmt.Sprintf("%v@%v", b.Column(block.ObsValue).Numbers[i], b.Column(block.Line).Numbers[i])
					for c := range b.Columns {
						if !b.Columns[c].IsNumber() {
							text += " " + b.Columns[c].Component + "=" + b.Columns[c].Text(i)
						}
					}
					got.rows = append(got.rows, text)
				}
			default:
				got.data = append(got.data, message.GetData()...)
			}
		}
	}
	return last.Load
}

func zipped(t *testing.T, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestSubmissionsStreamANationalFile(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	file := strings.Repeat("a;b;c\n", 200_000)
	answer, body := n.do(t, "POST", "/v1/submissions?dataflow=US:ENCOUNTERS(1.0.0)&layout=us", file, "Idempotency-Key", "k 1", "Authorization", "Bearer t")
	if answer.StatusCode != 200 || answer.Header.Get("Idempotency-Key") != "k 1" || !strings.Contains(strings.ReplaceAll(body, " ", ""), `"state":"ACCEPTED"`) {
		t.Errorf("%d %v %s", answer.StatusCode, answer.Header, body)
	}
	got := last()
	if string(got.data) != file || got.header.GetLayout() != "us" || got.header.GetIdempotencyKey() != "k 1" || got.header.GetDataflow() != "US:ENCOUNTERS(1.0.0)" {
		t.Errorf("%d bytes under %v", len(got.data), got.header)
	}
	if token := n.received().Get("authorization"); len(token) != 1 || token[0] != "Bearer t" {
		t.Errorf("token %v", token)
	}
	_, _ = n.do(t, "POST", "/v1/submissions?layout=us", zipped(t, file), "Content-Encoding", "gzip")
	if got = last(); string(got.data) != file || got.header.GetIdempotencyKey() == "" {
		t.Errorf("%d bytes unpacked under %v", len(got.data), got.header)
	}
}

func TestSubmissionsReadSDMXCSV(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	file := "\uFEFFSTRUCTURE,STRUCTURE_ID,ACTION,FREQ: Frequency,SECTION: Section,TIME_PERIOD,OBS_VALUE,COMMENT\r\n" +
		"dataflow,COMITY:BORDER(1.0.0): Border,M,M: Monthly,_T: Total,2023-01,5,\"two\nlines\"\r\n" +
		"dataflow,COMITY:BORDER(1.0.0): Border,M,M: Monthly,_T: Total,2023-02,NaN,\r\n"
	answer, body := n.do(t, "POST", "/v1/submissions", file, "Content-Type", "text/csv; charset=utf-8")
	if answer.StatusCode != 200 {
		t.Fatalf("%d %s", answer.StatusCode, body)
	}
	want := []string{"5@2 FREQ=M SECTION=_T TIME_PERIOD=2023-01 COMMENT=two\nlines", "NaN@4 FREQ=M SECTION=_T TIME_PERIOD=2023-02 COMMENT="}
	got := last()
	if strings.Join(got.rows, "|") != strings.Join(want, "|") || got.header.GetDataflow() != "COMITY:BORDER(1.0.0)" || got.header.GetLayout() != "" {
		t.Errorf("%q under %v", got.rows, got.header)
	}
	_, _ = n.do(t, "POST", "/v1/submissions?dataflow=COMITY:BORDER", "DATAFLOW;FREQ;TIME_PERIOD;OBS_VALUE\nCOMITY:BORDER(1.0.0);A;2023;1.5\n", "Content-Type", "application/vnd.sdmx.data+csv;version=1.0.0")
	if got = last(); strings.Join(got.rows, "|") != "1.5@2 FREQ=A TIME_PERIOD=2023" || got.header.GetDataflow() != "COMITY:BORDER(1.0.0)" {
		t.Errorf("%q under %v", got.rows, got.header)
	}
}

func TestSubmissionsSayWhatIsWrong(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	const header = "STRUCTURE,STRUCTURE_ID,ACTION,FREQ,TIME_PERIOD,OBS_VALUE\n"
	const good = "dataflow,COMITY:BORDER(1.0.0),M,A,2023,1\n"
	csvType := []string{"Content-Type", "text/csv"}
	for _, test := range []struct {
		name, query, body string
		headers           []string
		status            int
		field             string
	}{
		{"an unknown parameter", "?laiout=x", "", csvType, 400, "laiout"},
		{"a dataflow in another form", "?dataflow=BORDER", "", csvType, 400, "dataflow"},
		{"an idempotency key that is too long", "", "", []string{"Content-Type", "text/csv", "Idempotency-Key", strings.Repeat("k", 129)}, 400, "Idempotency-Key"},
		{"no media type", "", header + good, nil, 415, ""},
		{"something else", "", "PK", []string{"Content-Type", "application/zip"}, 415, ""},
		{"other XML", "", "<a/>", []string{"Content-Type", "application/xml"}, 400, "line 1"},
		{"other JSON", "", "[1]", []string{"Content-Type", "application/json"}, 400, "line 1"},
		{"a form", "?layout=x", "--", []string{"Content-Type", "multipart/form-data; boundary=x"}, 415, ""},
		{"an unknown packing", "?layout=x", "", []string{"Content-Encoding", "br"}, 415, ""},
		{"no gzip", "?layout=x", "plain", []string{"Content-Encoding", "gzip"}, 400, "body"},
		{"damaged gzip", "?layout=x", zipped(t, strings.Repeat("abc", 1000))[:30], []string{"Content-Encoding", "gzip"}, 400, "body"},
		{"no header of SDMX-CSV", "", "a,b\n1,2\n", csvType, 400, "line 1"},
		{"nothing", "", "", csvType, 400, "line 1"},
		{"no rows", "", header, csvType, 400, "line 1"},
		{"a short row", "", header + good + "dataflow,x\n", csvType, 400, "line 3"},
		{"no number", "", header + good + "dataflow,COMITY:BORDER(1.0.0),M,A,2024,\"3,137\"\n", csvType, 400, "line 3, column OBS_VALUE"},
		{"an open quotation mark", "", header + "dataflow,\"COMITY\n", csvType, 400, "line 2"},
		{"two dataflows", "", header + good + "dataflow,COMITY:OTHER(1.0.0),M,A,2024,1\n", csvType, 400, "line 3, column STRUCTURE_ID"},
		{"another dataflow", "?dataflow=US:ENCOUNTERS(1.0.0)", header + good, csvType, 400, "dataflow"},
		{"another version", "?dataflow=COMITY:BORDER(2.0.0)", header + good, csvType, 400, "dataflow"},
		{"two actions", "", header + good + strings.Replace(good, ",M,", ",D,", 1), csvType, 400, "line 3, column ACTION"},
		{"an action other than the parameter's", "?action=REPLACE", header + good, csvType, 400, "action"},
		{"no action of all", "?action=UPSERT", header + good, csvType, 400, "action"},
		{"an action in small letters", "?action=merge", header + good, csvType, 400, "action"},
		{"a scope without a use", "?c[SECTION]=_T", header + good, csvType, 400, "c[SECTION]"},
		{"a scope without a use for the parameter", "?action=APPEND&c[SECTION]=_T", header + good, csvType, 400, "c[SECTION]"},
		{"a scope of no component", "?action=REPLACE&c[COLOUR]=red", header + strings.Replace(good, ",M,", ",R,", 1), csvType, 400, "c[…]"},
		{"a scope of no form", "?action=REPLACE&c[SECTION=_T", header + good, csvType, 400, "c[SECTION"},
		{"a scope without a value", "?action=REPLACE&c[SECTION]=", header + good, csvType, 400, "c[SECTION]"},
		{"a scope of no dataflow", "?action=REPLACE&layout=x&c[SECTION]=_T", "x", nil, 400, "dataflow"},
		{"a parameter that stands twice", "?layout=x&layout=y", "x", nil, 400, "query"},
		{"an unknown action", "", header + strings.Replace(good, ",M,", ",X,", 1), csvType, 400, "line 2, column ACTION"},
		{"no measure", "", strings.Replace(header, "OBS_VALUE", "VALUE", 1) + good, csvType, 400, "line 1"},
		{"bytes that are no text", "", header + strings.Replace(good, "2023", "\xff\xfe", 1), csvType, 400, "line 2, column TIME_PERIOD"},
	} {
		t.Run(test.name, func(t *testing.T) {
			answer, body := n.do(t, "POST", "/v1/submissions"+test.query, test.body, test.headers...)
			e, reason := readError(t, body)
			if answer.StatusCode != test.status || reason != "INVALID_REQUEST" || last() != nil {
				t.Errorf("%d %s, ended %v: %s", answer.StatusCode, reason, last() != nil, body)
			}
			field := ""
			for _, d := range e.Details {
				for _, v := range d.FieldViolations {
					field = v.Field
				}
			}
			if field != test.field {
				t.Errorf("field %q, want %q: %s", field, test.field, body)
			}
		})
	}
}

func TestSubmissionsGiveUpOnAGzipBomb(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	bomb := zipped(t, strings.Repeat("\x00", 20<<20))
	answer, body := n.do(t, "POST", "/v1/submissions?layout=x", bomb, "Content-Encoding", "gzip")
	if _, reason := readError(t, body); answer.StatusCode != http.StatusRequestEntityTooLarge || reason != "LIMIT_EXCEEDED" || last() != nil {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestUploadsHaveALimitThatPackingDoesNotMove(t *testing.T) {
	for name, body := range map[string]string{"plain": strings.Repeat("x", 1001), "packed": zipped(t, strings.Repeat("x", 1001))} {
		request := httptest.NewRequestWithContext(t.Context(), "POST", "/", strings.NewReader(body))
		if name == "packed" {
			request.Header.Set("Content-Encoding", "gzip")
		}
		u, err := openBody(httptest.NewRecorder(), request)
		if err != nil {
			t.Fatal(err)
		}
		u.limit = 1000
		_, err = io.Copy(io.Discard, u)
		var p *problem
		if err = u.explain(err); !errors.As(err, &p) || p.HTTP != http.StatusRequestEntityTooLarge || p.Reason() != "LIMIT_EXCEEDED" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSubmissionsHandOnARefusalBeforeTheEnd(t *testing.T) {
	n := newNode(t)
	n.statistics.submit = func(grpc.ClientStreamingServer[statisticspb.SubmitRequest, statisticspb.SubmitResponse]) error {
		return reasoned(codes.PermissionDenied, "ACCESS_DENIED", "Statisticians only.")
	}
	answer, body := n.do(t, "POST", "/v1/submissions?layout=x", strings.Repeat("x", 200<<10))
	if _, reason := readError(t, body); answer.StatusCode != 403 || reason != "ACCESS_DENIED" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestSubmissionsTakeActionsFromParameterAndFile(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	const header, row = "STRUCTURE,STRUCTURE_ID,ACTION,FREQ,SECTION,CITIZENSHIP,TIME_PERIOD,OBS_VALUE\n", "dataflow,COMITY:BORDER(1.0.0),?,M,_T,SYR,2023-01,1\n"
	for _, test := range []struct {
		name, query, rows, action string
		scope                     *typespb.Filter
	}{
		{"nothing", "", "I", "MERGE", nil},
		{"merge", "", "MM", "MERGE", nil},
		{"append", "", "A", "APPEND", nil},
		{"delete", "", "D", "DELETE", nil},
		{"replace, observation by observation", "", "R", "MERGE", nil},
		{"replace what is in the scope", "?c[SECTION]=_T", "R", "REPLACE", wire.FilterToProto(filter.Eq("SECTION", "_T"))},
		{"replace all", "?action=REPLACE", "RR", "REPLACE", nil},
		{"a parameter alone", "?action=APPEND", "I", "APPEND", nil},
		{
			"a parameter with a scope", "?action=REPLACE&c%5BCITIZENSHIP%5D=SYR,AFG&c[SECTION]=sw:S+ne:S1", "I", "REPLACE",
			wire.FilterToProto(filter.And(filter.In("CITIZENSHIP", "SYR", "AFG"), filter.And(filter.Compare(filter.OpStartsWith, "SECTION", "S"), filter.Compare(filter.OpNe, "SECTION", "S1")))),
		},
		{"no rows, but a scope", "?dataflow=COMITY:BORDER(1.0.0)&action=REPLACE&c[SECTION]=S1", "", "REPLACE", wire.FilterToProto(filter.Eq("SECTION", "S1"))},
		{"nothing at all, but a scope", "?dataflow=COMITY:BORDER(1.0.0)&action=DELETE&c[SECTION]=S1", "-", "DELETE", wire.FilterToProto(filter.Eq("SECTION", "S1"))},
	} {
		t.Run(test.name, func(t *testing.T) {
			file := header
			for _, action := range test.rows {
				file += strings.Replace(row, "?", string(action), 1)
			}
			rows := len(test.rows)
			if test.rows == "-" {
				file, rows = "", 0
			}
			answer, body := n.do(t, "POST", "/v1/submissions"+test.query, file, "Content-Type", "text/csv")
			if answer.StatusCode != 200 {
				t.Fatalf("%d %s", answer.StatusCode, body)
			}
			got := last()
			if got.header.GetAction().String() != test.action || len(got.rows) != rows || got.header.GetDataflow() != "COMITY:BORDER(1.0.0)" {
				t.Errorf("%d rows under %v", len(got.rows), got.header)
			}
			if diff := cmp.Diff(test.scope, got.header.GetScope(), protocmp.Transform()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSubmissionsReadSDMXJSONAndML(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	const dataSets = `"dataSets": [{"action": "Append", "series": {"0": {"observations": {"0": [5]}}}}]`
	const structures = `"structures": [{"links": [{"urn": "urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=COMITY:BORDER(1.0.0)"}],
		"dimensions": {"series": [{"id": "SECTION", "values": [{"id": "_T"}]}], "observation": [{"id": "TIME_PERIOD", "values": [{"id": "2023"}]}]}}]`
	const xml = `<StructureSpecificData><Header><Structure structureID="S"><StructureUsage>urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=COMITY:BORDER(1.0.0)</StructureUsage></Structure></Header>
<DataSet structureRef="S" action="Append"><Obs SECTION="_T" TIME_PERIOD="2023" OBS_VALUE="5"/></DataSet></StructureSpecificData>`
	for name, test := range map[string]struct{ kind, file string }{
		"JSON":               {"application/vnd.sdmx.data+json;version=2.1.0", `{"data": {` + structures + `,` + dataSets + `}}`},
		"JSON of old":        {"application/json", `{` + dataSets + `,` + structures + `}`},
		"ML":                 {"application/vnd.sdmx.data+xml;version=3.0.0", xml},
		"ML by another name": {"application/xml", xml},
	} {
		answer, body := n.do(t, "POST", "/v1/submissions", test.file, "Content-Type", test.kind)
		got := last()
		if answer.StatusCode != 200 || len(got.rows) != 1 || !strings.HasSuffix(got.rows[0], " SECTION=_T TIME_PERIOD=2023") ||
			got.header.GetDataflow() != "COMITY:BORDER(1.0.0)" || got.header.GetAction() != statisticspb.SubmissionHeader_APPEND {
			t.Errorf("%s: %d %s: %q under %v", name, answer.StatusCode, body, got.rows, got.header)
		}
	}
}

func TestSubmissionsStoreNothingOfAMessageWhoseSecondDataSetIsBad(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	const head = `<StructureSpecificData><Header><Structure structureID="S"><StructureUsage>urn:sdmx:org.sdmx.infomodel.datastructure.Dataflow=COMITY:BORDER(1.0.0)</StructureUsage></Structure></Header>
<DataSet structureRef="S">`
	obs := strings.Repeat(`<Obs SECTION="_T" TIME_PERIOD="2023" OBS_VALUE="5"/>`+"\n", 20_000) // more than a block: the first is on its way
	answer, body := n.do(t, "POST", "/v1/submissions", head+obs+"</DataSet><DataSet structureRef=\"S\">"+`<Obs SECTION="_T" OBS_VALUE="many"/></DataSet></StructureSpecificData>`, "Content-Type", "application/xml")
	if answer.StatusCode != 400 || last() != nil || !strings.Contains(body, "line 20002, column OBS_VALUE") {
		t.Errorf("%d, ended %v: %s", answer.StatusCode, last() != nil, body)
	}
}

func TestSubmissionsHandOnAConflictOfKeys(t *testing.T) {
	n := newNode(t)
	n.statistics.submit = func(stream grpc.ClientStreamingServer[statisticspb.SubmitRequest, statisticspb.SubmitResponse]) error {
		for {
			if _, err := stream.Recv(); err != nil {
				return reasoned(codes.AlreadyExists, "IDEMPOTENCY_CONFLICT", "The key was used for another upload.")
			}
		}
	}
	answer, body := n.do(t, "POST", "/v1/submissions?layout=x", "another body", "Idempotency-Key", "k")
	if _, reason := readError(t, body); answer.StatusCode != http.StatusConflict || reason != "IDEMPOTENCY_CONFLICT" {
		t.Errorf("%d %s", answer.StatusCode, body)
	}
}

func TestSubmissionsForgetWhatAClientStopsSending(t *testing.T) {
	n := newNode(t)
	ended := make(chan error, 10)
	last := accept(n.statistics)
	take := n.statistics.submit
	n.statistics.submit = func(stream grpc.ClientStreamingServer[statisticspb.SubmitRequest, statisticspb.SubmitResponse]) error {
		err := take(stream)
		ended <- err
		return err
	}
	csv := "DATAFLOW,SECTION,TIME_PERIOD,OBS_VALUE\n" + strings.Repeat("COMITY:BORDER(1.0.0),_T,2023,1\n", 20_000)
	for name, test := range map[string]struct{ path, kind, body string }{
		"a national file": {"/v1/submissions?layout=x", "text/csv", strings.Repeat("a;b;c\n", 200_000)},
		"SDMX-CSV":        {"/v1/submissions", "text/csv", csv},
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(n.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", test.path, test.kind, len(test.body)+1, test.body)
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil || last() != nil {
			t.Errorf("%s: ended %v with %v", name, last() != nil, err)
		}
	}
}

func TestSubmissionsBoundWhatTheyHold(t *testing.T) {
	n := newNode(t)
	last := accept(n.statistics)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for name, test := range map[string]struct{ kind, head string }{
		"a line of CSV":             {"text/csv", "DATAFLOW,SECTION,TIME_PERIOD,OBS_VALUE\nCOMITY:BORDER(1.0.0),"},
		"a quoted field":            {"text/csv", "DATAFLOW,SECTION,TIME_PERIOD,OBS_VALUE\nCOMITY:BORDER(1.0.0),\""},
		"a header":                  {"text/csv", "DATAFLOW,"},
		"a string of JSON":          {"application/json", `{"x": "`},
		"an attribute of XML":       {"application/xml", `<StructureSpecificData a="`},
		"data sets without an end":  {"application/json", `{"dataSets": "`},
		"an element without an end": {"application/xml", `<StructureSpecificData><Header><ID>`},
	} {
		body := io.MultiReader(strings.NewReader(test.head), io.LimitReader(letters{}, 200<<20))
		request, err := http.NewRequestWithContext(t.Context(), "POST", n.url+"/v1/submissions", body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", test.kind)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			continue // the connection was closed while the rest was sent
		}
		text, _ := io.ReadAll(answer.Body)
		_ = answer.Body.Close()
		if answer.StatusCode != 400 || last() != nil || !strings.Contains(string(text), "longer than") {
			t.Errorf("%s: %d %s", name, answer.StatusCode, text)
		}
	}
	runtime.ReadMemStats(&after)
	if held := (after.Sys - before.Sys) >> 20; held > 128 {
		t.Errorf("%d MiB were taken from the system", held)
	}
}

// letters are letters without end.
type letters struct{}

func (letters) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

func BenchmarkSubmissions(b *testing.B) {
	n := newNode(b)
	n.statistics.submit = func(stream grpc.ClientStreamingServer[statisticspb.SubmitRequest, statisticspb.SubmitResponse]) error {
		rows := int32(0)
		for {
			message, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return stream.SendAndClose(&statisticspb.SubmitResponse{Submission: &statisticspb.Submission{Rows: rows}})
			}
			if err != nil {
				return err
			}
			rows += int32(message.GetBlock().GetRows())
		}
	}
	const rows = 1_000_000 // 100,000 series of ten months
	var file strings.Builder
	file.WriteString("STRUCTURE,STRUCTURE_ID,ACTION,FREQ,REF_AREA,INDICATOR,SECTION,BORDER_TYPE,CITIZENSHIP,SEX,AGE,DETAIL,TIME_PERIOD,OBS_VALUE,OBS_STATUS\n")
	for i := range rows {
		series := i / 10
		fmt.Fprintf(&file, "dataflow,COMITY:BORDER(1.0.0),M,M,EU,1A,S%03d,SEA,C%02d,X%d,Y%d,_T,2023-%02d,%d,A\n", series/1000, series/20%50, series/5%4, series%5, i%10+1, i*7919%5000)
	}
	text := file.String()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		answer, body := n.do(b, "POST", "/v1/submissions", text, "Content-Type", "text/csv")
		if answer.StatusCode != 200 || !strings.Contains(strings.ReplaceAll(body, " ", ""), `"rows":1000000`) {
			b.Fatalf("%d %s", answer.StatusCode, body)
		}
	}
	b.ReportMetric(float64(b.N)*rows/b.Elapsed().Seconds(), "rows/s")
}
