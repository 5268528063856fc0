package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
)

// passages is a made-up dataflow of events: who came through which gate.
const passages = "X:PASSAGES(1.0.0)"

func passageStructures() *statisticspb.Structures {
	code := func(id string) *statisticspb.Code { return &statisticspb.Code{Id: id} }
	return &statisticspb.Structures{
		Codelists: []*statisticspb.Codelist{
			{Agency: "X", Id: "CL_GATE", Version: "1.0.0", Codes: []*statisticspb.Code{code("EAST"), code("WEST")}},
			{Agency: "X", Id: "CL_SEX", Version: "1.0.0", Codes: []*statisticspb.Code{code("F"), code("M")}},
		},
		DataStructures: []*statisticspb.DataStructure{{
			Agency: "X", Id: "PASSAGES", Version: "1.0.0",
			Dimensions: []*statisticspb.Component{
				{Id: "FREQ"}, {Id: "GATE", Codelist: "X:CL_GATE(1.0.0)"}, {Id: "SEX", Codelist: "X:CL_SEX(1.0.0)"},
			},
			Attributes: []*statisticspb.Component{{Id: "OBS_STATUS"}, {Id: "CONF_STATUS"}, {Id: "COMMENT"}},
		}},
		Dataflows: []*statisticspb.Dataflow{{Agency: "X", Id: "PASSAGES", Version: "1.0.0", Structure: "X:PASSAGES(1.0.0)"}},
	}
}

func newPassages(t *testing.T) *node {
	t.Helper()
	n := newNode(t, "xx")
	if _, err := n.CreateStructures(t.Context(), &statisticspb.CreateStructuresRequest{Structures: passageStructures()}); err != nil {
		t.Fatal(err)
	}
	return n
}

// eventRow is "GATE SEX TIME", and where there is more, " KEY SIGN".
func eventBlock(t *testing.T, rows ...string) *block.Block {
	t.Helper()
	numbers := []string{}
	if len(rows) > 0 && len(strings.Fields(rows[0])) > 3 {
		numbers = []string{"_RECORD_KEY", "_SIGN"}
	}
	builder := block.NewBuilder([]string{"GATE", "SEX", "TIME_PERIOD"}, numbers)
	for _, row := range rows {
		fields := strings.Fields(row)
		figures := make([]float64, len(numbers))
		for i := range numbers {
			if _, err := fmt.Sscan(fields[3+i], &figures[i]); err != nil {
				t.Fatal(err)
			}
		}
		builder.Append(fields[:3], figures)
	}
	return builder.Block()
}

func (n *node) record(t *testing.T, header *statisticspb.EventsHeader, blocks ...*block.Block) (*statisticspb.RecordEventsResponse, error) {
	t.Helper()
	if header.GetDataflow() == "" {
		header.Dataflow = passages
	}
	if header.GetFrequency() == "" {
		header.Frequency = "M"
	}
	stream, err := n.RecordEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	messages := []*statisticspb.RecordEventsRequest{{Part: &statisticspb.RecordEventsRequest_Header{Header: header}}}
	for _, b := range blocks {
		messages = append(messages, &statisticspb.RecordEventsRequest{Part: &statisticspb.RecordEventsRequest_Block{Block: wire.BlockToProto(b)}})
	}
	for _, message := range messages {
		if err := stream.Send(message); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	return stream.CloseAndRecv()
}

// mustRecord records a batch that is good, and returns whether it was counted before.
func (n *node) mustRecord(t *testing.T, header *statisticspb.EventsHeader, blocks ...*block.Block) bool {
	t.Helper()
	response, err := n.record(t, header, blocks...)
	if err != nil {
		t.Fatalf("the batch %q is refused: %v", header.GetBatch(), err)
	}
	return response.GetDuplicate()
}

func (n *node) closeEvents(t *testing.T, before string) *statisticspb.CloseEventsResponse {
	t.Helper()
	response, err := n.CloseEvents(t.Context(), &statisticspb.CloseEventsRequest{Dataflow: passages, Before: before})
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// figures returns what the dataflow holds: "GATE SEX PERIOD VALUE".
func (n *node) figures(t *testing.T) []string {
	t.Helper()
	stream, err := n.Query(t.Context(), &statisticspb.QueryRequest{Dataflow: passages})
	if err != nil {
		t.Fatal(err)
	}
	var figures []string
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			slices.Sort(figures)
			return figures
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := wire.BlockFromProto(response.GetBlock())
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows {
			figures = append(figures, fmt.Sprintf("%s %s %s %v", b.Column("GATE").Text(i), b.Column("SEX").Text(i), b.Column("TIME_PERIOD").Text(i), b.Column("OBS_VALUE").Numbers[i]))
		}
	}
}

func reasonOf(err error) string {
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

func TestEventsAreCounted(t *testing.T) {
	t.Parallel()
	n := newPassages(t)
	response, err := n.record(t, &statisticspb.EventsHeader{Batch: "1"},
		eventBlock(t, "EAST F 2023-01", "EAST F 2023-01-31", "WEST M 2023-02-01T00:30:00+09:00"), eventBlock(t, "EAST F 2023-W03"))
	if err != nil {
		t.Fatal(err)
	}
	if response.GetRecords() != 4 || response.GetCells() != 2 || response.GetDuplicate() || response.GetBatch() != "1" {
		t.Errorf("the answer is %v", response)
	}
	if got := n.figures(t); got != nil {
		t.Errorf("before they are closed there are %v", got)
	}
	closed := n.closeEvents(t, "")
	if closed.GetCells() != 2 || closed.GetRevision() == 0 || closed.GetSubmission() == "" {
		t.Errorf("the closing is %v", closed)
	}
	if diff := cmp.Diff([]string{"EAST F 2023-01 3", "WEST M 2023-02 1"}, n.figures(t)); diff != "" {
		t.Error(diff)
	}
	if again := n.closeEvents(t, ""); again.GetCells() != 0 || again.GetRevision() != 0 || again.GetSubmission() != "" {
		t.Errorf("closing again gives %v", again)
	}

	t.Run("late ones make another revision", func(t *testing.T) {
		n.mustRecord(t, &statisticspb.EventsHeader{Batch: "late"}, eventBlock(t, "EAST F 2023-01"))
		if late := n.closeEvents(t, ""); late.GetCells() != 1 || late.GetRevision() <= closed.GetRevision() {
			t.Errorf("the closing is %v", late)
		}
		if diff := cmp.Diff([]string{"EAST F 2023-01 4", "WEST M 2023-02 1"}, n.figures(t)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("a figure that was there before comes back", func(t *testing.T) {
		n.mustRecord(t, &statisticspb.EventsHeader{Batch: "off", Retracts: "late"}, eventBlock(t, "EAST F 2023-01"))
		n.closeEvents(t, "")
		if diff := cmp.Diff([]string{"EAST F 2023-01 3", "WEST M 2023-02 1"}, n.figures(t)); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("only periods that are over are closed", func(t *testing.T) {
		n.mustRecord(t, &statisticspb.EventsHeader{Batch: "march"}, eventBlock(t, "WEST F 2023-03", "WEST F 2023-04"))
		if closed := n.closeEvents(t, "2023-04-30"); closed.GetCells() != 1 {
			t.Errorf("%d cells are closed before April is over", closed.GetCells())
		}
		if closed := n.closeEvents(t, "2023-05-01"); closed.GetCells() != 1 {
			t.Errorf("%d cells are closed when April is over", closed.GetCells())
		}
	})
}

func TestABatchCountsOnce(t *testing.T) {
	t.Parallel()
	n := newPassages(t)
	first := []string{"EAST F 2023-01", "EAST F 2023-01", "WEST M 2023-01"}
	n.mustRecord(t, &statisticspb.EventsHeader{Batch: "b"}, eventBlock(t, first...))
	if !n.mustRecord(t, &statisticspb.EventsHeader{Batch: "b"}, eventBlock(t, first[2], first[0]), eventBlock(t, first[1])) {
		t.Error("the same records in another order and other blocks are counted again")
	}
	constant := block.NewBuilder([]string{"FREQ", "SEX", "GATE", "TIME_PERIOD"}, nil)
	for _, row := range first {
		fields := strings.Fields(row)
		constant.Append([]string{"M", fields[1], fields[0], fields[2]}, nil)
	}
	stream := &statisticspb.EventsHeader{Batch: "b", Dataflow: passages}
	if got := n.recordRaw(t, stream, constant.Block()); !got.GetDuplicate() {
		t.Error("the same records with FREQ as a column are counted again")
	}
	for _, other := range [][]string{first[:2], {first[0], first[2], first[2]}, append(first[:3:3], first[0])} {
		_, err := n.record(t, &statisticspb.EventsHeader{Batch: "b"}, eventBlock(t, other...))
		if status.Code(err) != codes.AlreadyExists || reasonOf(err) != "IDEMPOTENCY_CONFLICT" {
			t.Errorf("other records under the id give %v", err)
		}
	}
	n.closeEvents(t, "")
	if diff := cmp.Diff([]string{"EAST F 2023-01 2", "WEST M 2023-01 1"}, n.figures(t)); diff != "" {
		t.Error(diff)
	}
}

// recordRaw records with the header as it is.
func (n *node) recordRaw(t *testing.T, header *statisticspb.EventsHeader, b *block.Block) *statisticspb.RecordEventsResponse {
	t.Helper()
	stream, err := n.RecordEvents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&statisticspb.RecordEventsRequest{Part: &statisticspb.RecordEventsRequest_Header{Header: header}})
	_ = stream.Send(&statisticspb.RecordEventsRequest{Part: &statisticspb.RecordEventsRequest_Block{Block: wire.BlockToProto(b)}})
	response, err := stream.CloseAndRecv()
	if err != nil {
		t.Fatal(err)
	}
	return response
}

func TestEventsAreTakenBack(t *testing.T) {
	t.Parallel()
	n := newPassages(t)
	n.mustRecord(t, &statisticspb.EventsHeader{Batch: "keyed"}, eventBlock(t, "EAST F 2023-01 7 1", "EAST F 2023-01 4294967295 1", "WEST F 2023-01 5 1"))
	n.mustRecord(t, &statisticspb.EventsHeader{Batch: "plain"}, eventBlock(t, "EAST M 2023-01", "EAST M 2023-01"))
	n.closeEvents(t, "")

	refused := func(name, batch, retracts, reason string, code codes.Code, rows ...string) {
		t.Helper()
		_, err := n.record(t, &statisticspb.EventsHeader{Batch: batch, Retracts: retracts}, eventBlock(t, rows...))
		if status.Code(err) != code || reasonOf(err) != reason {
			t.Errorf("%s: %v", name, err)
		}
	}
	refused("more than was counted", "r1", "", "WRONG_STATE", codes.FailedPrecondition, "WEST F 2023-01 5 -1", "WEST F 2023-01 5 -1")
	refused("in a cell that nothing counts to", "r2", "", "WRONG_STATE", codes.FailedPrecondition, "WEST M 2023-01 5 -1")
	refused("with another record key", "r3", "", "WRONG_STATE", codes.FailedPrecondition, "WEST F 2023-01 6 -1")
	refused("a batch that is not known", "r4", "nothing", "NOT_FOUND", codes.NotFound, "WEST F 2023-01 5 1")
	refused("a batch with other records", "r5", "keyed", "WRONG_STATE", codes.FailedPrecondition, "WEST F 2023-01 5 1")
	refused("itself", "r6", "r6", "INVALID_REQUEST", codes.InvalidArgument, "WEST F 2023-01 5 1")
	if closed := n.closeEvents(t, ""); closed.GetCells() != 0 {
		t.Errorf("a batch that was refused opened %d cells", closed.GetCells())
	}

	n.mustRecord(t, &statisticspb.EventsHeader{Batch: "one"}, eventBlock(t, "EAST F 2023-01 7 -1"))
	n.mustRecord(t, &statisticspb.EventsHeader{Batch: "two", Retracts: "plain"}, eventBlock(t, "EAST M 2023-01"), eventBlock(t, "EAST M 2023-01"))
	refused("a batch taken back twice", "three", "plain", "WRONG_STATE", codes.FailedPrecondition, "EAST M 2023-01", "EAST M 2023-01")
	refused("a batch that takes back", "four", "two", "WRONG_STATE", codes.FailedPrecondition, "EAST M 2023-01", "EAST M 2023-01")
	if !n.mustRecord(t, &statisticspb.EventsHeader{Batch: "two", Retracts: "plain"}, eventBlock(t, "EAST M 2023-01", "EAST M 2023-01")) {
		t.Error("the same retraction again is no duplicate")
	}
	if closed := n.closeEvents(t, ""); closed.GetCells() != 2 || closed.GetRevision() == 0 {
		t.Errorf("the closing is %v", closed)
	}
	if diff := cmp.Diff([]string{"EAST F 2023-01 1", "EAST M 2023-01 0", "WEST F 2023-01 1"}, n.figures(t)); diff != "" {
		t.Error(diff)
	}
}

func TestEventsAreRefused(t *testing.T) {
	t.Parallel()
	n := newPassages(t)
	const secret = "Zaphod Beeblebrox"
	with := func(column string, texts ...string) *block.Block {
		coded := []string{"GATE", "SEX", "TIME_PERIOD"}
		values := []string{"EAST", "F", "2023-01"}
		if i := slices.Index(coded, column); i >= 0 {
			values[i] = texts[0]
		} else {
			coded, values = append(coded, column), append(values, texts...)
		}
		builder := block.NewBuilder(coded, nil)
		builder.Append(values, nil)
		return builder.Block()
	}
	numbers := func(column string, number float64) *block.Block {
		b := with("GATE", "EAST")
		b.Columns = append(b.Columns, block.Column{Component: column, Numbers: []float64{number}})
		return b
	}
	for _, test := range []struct {
		name, reason, says string
		block              *block.Block
	}{
		{"a name", "IDENTITY_FIELD", "no identity", with("first_name", secret)},
		{"a document", "IDENTITY_FIELD", "no identity", with("PassportNo", secret)},
		{"a text", "INVALID_REQUEST", "is no dimension", with("COMMENT", secret)},
		{"a status", "INVALID_REQUEST", "is no dimension", with("OBS_STATUS", "A")},
		{"a column that nobody knows", "INVALID_REQUEST", "no other columns", with("COLOUR", secret)},
		{"a column that is a value", "INVALID_REQUEST", "no other columns", with("Zaphod 42", "1")},
		{"an identity in the place of a code", "INVALID_REQUEST", "record 1, column SEX", with("SEX", secret)},
		{"a blank", "INVALID_REQUEST", "record 1, column SEX", with("SEX", "")},
		{"a year that is none", "INVALID_REQUEST", "record 1, column TIME_PERIOD", with("TIME_PERIOD", "12023-01-01")},
		{"the year 9999", "INVALID_REQUEST", "is no period", with("TIME_PERIOD", "9999-12-31T23:59:59Z")},
		{"a day that is none", "INVALID_REQUEST", "is no period", with("TIME_PERIOD", "2023-02-30")},
		{"the future", "INVALID_REQUEST", "future", with("TIME_PERIOD", "2950-01")},
		{"a period too long", "INVALID_REQUEST", "longer", with("TIME_PERIOD", "2023-Q1")},
		{"a figure", "INVALID_REQUEST", "counts as one", numbers("OBS_VALUE", 3)},
		{"a code as a number", "INVALID_REQUEST", "SEX", numbers("SEX", 1)},
		{"a key too large", "INVALID_REQUEST", "whole number", numbers("_RECORD_KEY", math.MaxUint32+1)},
		{"a broken key", "INVALID_REQUEST", "whole number", numbers("_RECORD_KEY", 1.5)},
		{"a negative key", "INVALID_REQUEST", "whole number", numbers("_RECORD_KEY", -1)},
		{"a sign that is none", "INVALID_REQUEST", "neither", numbers("_SIGN", 2)},
		{"a provider", "INVALID_REQUEST", "no other columns", with("_PROVIDER", "yy")},
	} {
		_, err := n.record(t, &statisticspb.EventsHeader{Batch: "b"}, eventBlock(t, "EAST F 2023-01"), test.block)
		if status.Code(err) != codes.InvalidArgument || reasonOf(err) != test.reason {
			t.Errorf("%s: %v, reason %s", test.name, err, reasonOf(err))
		}
		text := fmt.Sprint(err, status.Convert(err).Details())
		want := strings.Replace(test.says, "record 1,", "record 2,", 1)
		if !strings.Contains(text, want) {
			t.Errorf("%s: %s does not say %q", test.name, text, want)
		}
		if strings.Contains(text, "Zaphod") {
			t.Errorf("%s: what stands in the record is shown: %s", test.name, text)
		}
	}
	for name, header := range map[string]*statisticspb.EventsHeader{
		"no id":                   {},
		"an id too long":          {Batch: strings.Repeat("b", 129)},
		"an id that is no text":   {Batch: "a\x00b"},
		"a constant that is none": {Batch: "b", Constants: map[string]string{"PHONE": "1"}},
		"a constant twice":        {Batch: "b", Constants: map[string]string{"SEX": "F"}},
		"no such frequency":       {Batch: "b", Frequency: "H"},
	} {
		if _, err := n.record(t, header, eventBlock(t, "EAST F 2023-01")); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := n.record(t, &statisticspb.EventsHeader{Batch: "b"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("no record: %v", err)
	}
	if n.mustRecord(t, &statisticspb.EventsHeader{Batch: "b"}, eventBlock(t, "EAST F 2023-01")) {
		t.Error("a batch that was refused left its id")
	}
	n.closeEvents(t, "")
	if diff := cmp.Diff([]string{"EAST F 2023-01 1"}, n.figures(t)); diff != "" {
		t.Error(diff)
	}
}

func TestEventsTakeOnlyKnownLabelsWhereThereIsNoCodelist(t *testing.T) {
	t.Parallel()
	n := newNode(t, "xx")
	structures := passageStructures()
	structures.DataStructures[0].Dimensions[1].Codelist = ""
	if _, err := n.CreateStructures(t.Context(), &statisticspb.CreateStructuresRequest{Structures: structures}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.record(t, &statisticspb.EventsHeader{Batch: "b"}, eventBlock(t, "NORTH F 2023-01")); status.Code(err) != codes.InvalidArgument {
		t.Errorf("a label that no figure has gives %v", err)
	}
	figure := block.NewBuilder([]string{"FREQ", "GATE", "SEX", "TIME_PERIOD"}, []string{"OBS_VALUE"})
	figure.Append([]string{"M", "NORTH", "F", "2022-12"}, []float64{3})
	stream, err := n.Submit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_ = stream.Send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Header{Header: &statisticspb.SubmissionHeader{Dataflow: passages}}})
	_ = stream.Send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Block{Block: wire.BlockToProto(figure.Block())}})
	if _, err := stream.CloseAndRecv(); err != nil {
		t.Fatal(err)
	}
	n.mustRecord(t, &statisticspb.EventsHeader{Batch: "b"}, eventBlock(t, "NORTH F 2023-01"))
}

func TestEventsAreExactWhateverHappensAtOnce(t *testing.T) {
	t.Parallel()
	n := newPassages(t)
	const writers, batches = 4, 12
	var wait sync.WaitGroup
	for writer := range writers {
		wait.Go(func() {
			for batch := range batches {
				id := fmt.Sprintf("%d/%d", writer, batch)
				rows := []string{"EAST F 2023-01", "WEST M 2023-02", "EAST M 2023-03", "EAST F 2023-01"}
				if writer%2 == 1 {
					slices.Reverse(rows)
				}
				for range 2 { // the second time it is a duplicate
					if _, err := n.record(t, &statisticspb.EventsHeader{Batch: id}, eventBlock(t, rows...)); err != nil {
						t.Errorf("the batch %s is refused: %v", id, err)
					}
				}
				if batch%3 == 0 {
					if _, err := n.record(t, &statisticspb.EventsHeader{Batch: "-" + id, Retracts: id}, eventBlock(t, rows...)); err != nil {
						t.Errorf("taking %s back is refused: %v", id, err)
					}
				}
			}
		})
	}
	for range 2 {
		wait.Go(func() {
			for range 5 {
				if _, err := n.CloseEvents(t.Context(), &statisticspb.CloseEventsRequest{Dataflow: passages}); err != nil {
					t.Errorf("closing meanwhile: %v", err)
				}
			}
		})
	}
	wait.Wait()
	n.closeEvents(t, "")
	const left = writers * batches * 2 / 3
	want := []string{fmt.Sprintf("EAST F 2023-01 %d", 2*left), fmt.Sprintf("EAST M 2023-03 %d", left), fmt.Sprintf("WEST M 2023-02 %d", left)}
	if diff := cmp.Diff(want, n.figures(t)); diff != "" {
		t.Error(diff)
	}
}
