package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
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
	bomb := zipped(t, strings.Repeat("\x00", 64<<20))
	answer, body := n.do(t, "POST", "/v1/submissions?layout=x", bomb, "Content-Encoding", "gzip")
	if _, reason := readError(t, body); answer.StatusCode != http.StatusRequestEntityTooLarge || reason != "LIMIT_EXCEEDED" || last() != nil {
		t.Errorf("%d %s", answer.StatusCode, body)
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
