package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
)

type recordStream = grpc.ClientStreamingServer[statisticspb.RecordEventsRequest, statisticspb.RecordEventsResponse]

// countAll makes the fake count every batch. What came last is in the two it returns.
func countAll(f *fakeStatistics) (*statisticspb.EventsHeader, *[]string) {
	header, rows := &statisticspb.EventsHeader{}, &[]string{}
	f.record = func(stream recordStream) error {
		proto.Reset(header)
		*rows = nil
		for {
			message, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return stream.SendAndClose(&statisticspb.RecordEventsResponse{
					Batch: header.GetBatch(), Records: int32(len(*rows)), Cells: 1,
				})
			}
			if err != nil {
				return err
			}
			if message.GetHeader() != nil {
				proto.Merge(header, message.GetHeader())
				continue
			}
			b, err := wire.BlockFromProto(message.GetBlock())
			if err != nil {
				return err
			}
			for i := range b.Rows {
				*rows = append(*rows, fmt.Sprintf("%s@%v", b.Column("SEX").Text(i), b.Column(block.Line).Numbers[i]))
			}
		}
	}
	return header, rows
}

func TestRecordEvents(t *testing.T) {
	n := newNode(t)
	header, rows := countAll(n.statistics)
	const path = "/v1/events:record?dataflow=X:Y(1.0.0)"
	const body = "{\"SEX\":\"F\"}\n{\"SEX\":\"M\"}\n"
	answer, text := n.do(t, http.MethodPost, path+"&batch=b1&retracts=b0&frequency=M", body, "Authorization", "Bearer abc")
	if text = strings.ReplaceAll(text, " ", ""); answer.StatusCode != http.StatusOK || text != `{"batch":"b1","records":2,"cells":1,"duplicate":false}` {
		t.Errorf("the answer is %d %s", answer.StatusCode, text)
	}
	want := &statisticspb.EventsHeader{Dataflow: "X:Y(1.0.0)", Batch: "b1", Retracts: "b0", Frequency: "M"}
	if !proto.Equal(header, want) || strings.Join(*rows, " ") != "F@1 M@2" {
		t.Errorf("statistics is sent %v and %v", header, *rows)
	}
	if got := n.received().Get("authorization"); len(got) != 1 || got[0] != "Bearer abc" {
		t.Errorf("the token is %v", got)
	}
	answer, _ = n.do(t, http.MethodPost, path, zipped(t, body), "Idempotency-Key", "b2", "Content-Encoding", "gzip")
	if answer.StatusCode != http.StatusOK || header.GetBatch() != "b2" || len(*rows) != 2 {
		t.Errorf("packed, statistics is sent %v and %v", header, *rows)
	}

	for _, test := range []struct {
		name, path, body, says string
		headers                []string
	}{
		{"no id", path, body, "batch", nil},
		{"two ids", path + "&batch=b", body, "Idempotency-Key", []string{"Idempotency-Key", "c"}},
		{"no dataflow", "/v1/events:record?batch=b", body, "dataflow", nil},
		{"a parameter that is none", path + "&batch=b&layout=l", body, "layout", nil},
		{"a parameter twice", path + "&batch=b&batch=b", body, "twice", nil},
		{"a line that is none", path + "&batch=b", body + "{\"SEX\":\"Zaphod\"", "line 3", nil},
		{"a damaged archive", path + "&batch=b", "Zaphod", "gzip", []string{"Content-Encoding", "gzip"}},
	} {
		answer, text := n.do(t, http.MethodPost, test.path, test.body, test.headers...)
		if answer.StatusCode != http.StatusBadRequest || !strings.Contains(text, test.says) || strings.Contains(text, "Zaphod") {
			t.Errorf("%s: %d %s", test.name, answer.StatusCode, text)
		}
	}
	if answer, _ := n.do(t, http.MethodPost, path+"&batch=b", body, "Content-Type", "multipart/form-data; boundary=x"); answer.StatusCode != http.StatusUnsupportedMediaType {
		t.Errorf("a form gives %d", answer.StatusCode)
	}
	if answer, _ := n.do(t, http.MethodGet, path, ""); answer.StatusCode != http.StatusMethodNotAllowed && answer.StatusCode != http.StatusNotFound {
		t.Errorf("GET gives %d", answer.StatusCode)
	}
}

func TestRecordEventsEndsWhenStatisticsRefuses(t *testing.T) {
	n := newNode(t)
	n.statistics.record = func(recordStream) error {
		return reasoned(codes.InvalidArgument, "IDENTITY_FIELD", "first_name: records carry no identity")
	}
	answer, text := n.do(t, http.MethodPost, "/v1/events:record?dataflow=X:Y&batch=b", strings.Repeat("{\"SEX\":\"F\"}\n", 200_000))
	if answer.StatusCode != http.StatusBadRequest || !strings.Contains(text, "IDENTITY_FIELD") {
		t.Errorf("the answer is %d %s", answer.StatusCode, text)
	}
}
