package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/comity-federation/comity/gateway/ndjson"
	"github.com/comity-federation/comity/gateway/sdmx"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/proto/wire"
)

// events answers POST /v1/events:record: it streams records of events, one JSON object a line, to the statistics service,
// and never holds more than a block of them. Nothing that stands in a record is ever answered or logged.
type events struct {
	statistics statisticspb.StatisticsServiceClient
}

// ServeHTTP answers one batch.
func (e *events) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	response, err := e.record(w, r)
	if err != nil {
		p := problemOf(err)
		noteProblem(r.Context(), p)
		p.write(w)
		return
	}
	body, err := newCodec().Marshal(response)
	if err != nil {
		p := fixedProblem(codes.Internal)
		p.cause = fmt.Errorf("writing the answer: %w", err)
		noteProblem(r.Context(), p)
		p.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func (e *events) record(w http.ResponseWriter, r *http.Request) (*statisticspb.RecordEventsResponse, error) {
	header, err := eventsHeader(r)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(mediaType(r), "multipart/") {
		return nil, unsupported("The body must be the records themselves, one JSON object a line, not a form.")
	}
	body, err := openBody(w, r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // a batch that ends early is one that statistics forgets
	stream, err := e.statistics.RecordEvents(ctx)
	if err != nil {
		return nil, err
	}
	reader := ndjson.NewReader(body)
	message := &statisticspb.RecordEventsRequest{Part: &statisticspb.RecordEventsRequest_Header{Header: header}}
	for {
		if err := stream.Send(message); errors.Is(err, io.EOF) {
			break // statistics has answered before the end; CloseAndRecv says what
		} else if err != nil {
			return nil, err
		}
		b, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, badLine(body, err)
		}
		message = &statisticspb.RecordEventsRequest{Part: &statisticspb.RecordEventsRequest_Block{Block: wire.BlockToProto(b)}}
	}
	return stream.CloseAndRecv()
}

// badLine says what is wrong with a line, or with the body as such.
func badLine(body *upload, err error) error {
	var line *ndjson.Error
	if !errors.As(err, &line) {
		return body.explain(err)
	}
	bad := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
		{Field: fmt.Sprintf("line %d", line.Line), Description: line.Problem},
	}}
	return newProblem(http.StatusBadRequest, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST,
		"The records cannot be read: "+line.Error()+".", bad)
}

// eventsHeader reads the parameters and headers of a batch.
func eventsHeader(r *http.Request) (*statisticspb.EventsHeader, error) {
	header := &statisticspb.EventsHeader{}
	fields := map[string]*string{
		"dataflow": &header.Dataflow, "batch": &header.Batch, "retracts": &header.Retracts, "frequency": &header.Frequency,
	}
	for name, values := range r.URL.Query() {
		field, ok := fields[name]
		if !ok {
			return nil, invalid(name, "is no parameter of this call; there are dataflow, batch, retracts and frequency")
		}
		if len(values) > 1 {
			return nil, invalid(name, "stands twice")
		}
		*field = values[0]
	}
	if _, err := sdmx.ParseRef(header.GetDataflow()); err != nil {
		return nil, invalid("dataflow", "%v", err)
	}
	keys := r.Header.Values("Idempotency-Key")
	switch {
	case len(keys) == 0:
	case len(keys) > 1 || keys[0] == "" || utf8.RuneCountInString(keys[0]) > maxKeyLength || strings.ContainsFunc(keys[0], notPrintable):
		return nil, invalid("Idempotency-Key", "must be one header of 1 to %d printable ASCII characters", maxKeyLength)
	case header.GetBatch() != "" && header.GetBatch() != keys[0]:
		return nil, invalid("Idempotency-Key", "is another id than the parameter batch")
	default:
		header.Batch = keys[0]
	}
	if header.GetBatch() == "" {
		return nil, invalid("batch", "is missing, as a parameter or as an Idempotency-Key: a batch counts once for its id")
	}
	return header, nil
}
