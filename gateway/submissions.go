package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/comity-federation/comity/gateway/sdmx"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/proto/wire"
)

const (
	submissionsPath = "/v1/submissions"

	maxUpload    = 8 << 30   // bytes of a file, unpacked
	chunkSize    = 256 << 10 // bytes of a national file in one message
	maxKeyLength = 128       // characters of an Idempotency-Key
	idleUpload   = time.Minute

	// A gzip file of figures is seldom more than 30 times as large unpacked. More than this is an attack, once it is
	// large at all.
	maxGzipRatio  = 300
	freeGzipBytes = 16 << 20
)

// submissions answers POST /v1/submissions: it streams a file to the statistics service, and never holds it.
//
// With the parameter layout, the body is a national file and goes on as bytes. Without, it is a data message of SDMX,
// and goes on as Blocks, while the service works on those before. The answer is the submission, with status 200 whether it
// was accepted or rejected: the call worked, and `state` says what became of the file. A file that cannot be read at all is
// 400, and nothing is recorded.
type submissions struct {
	statistics statisticspb.StatisticsServiceClient
}

// ServeHTTP answers one upload.
func (s *submissions) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	submission, err := s.submit(w, r)
	if err != nil {
		p := problemOf(err)
		noteProblem(r.Context(), p)
		p.write(w)
		return
	}
	body, err := newCodec().Marshal(submission)
	if err != nil {
		p := fixedProblem(codes.Internal)
		p.cause = fmt.Errorf("writing the submission: %w", err)
		noteProblem(r.Context(), p)
		p.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

func (s *submissions) submit(w http.ResponseWriter, r *http.Request) (*statisticspb.Submission, error) {
	asked, err := readAsked(r)
	if err != nil {
		return nil, err
	}
	w.Header().Set("Idempotency-Key", asked.header.GetIdempotencyKey())
	kind := mediaType(r)
	if strings.HasPrefix(kind, "multipart/") {
		return nil, unsupported("The body must be the file itself, not a form.")
	}
	body, err := openBody(w, r)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // an upload that ends early is one that statistics forgets
	out := &submitting{statistics: s.statistics, ctx: ctx, asked: asked}
	if asked.header.GetLayout() != "" {
		err = out.bytes(body)
	} else {
		err = out.message(kind, body)
	}
	if errors.Is(err, errAnswered) {
		err = nil
	}
	if err != nil {
		return nil, body.explain(err)
	}
	answer, err := out.stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	return answer.GetSubmission(), nil
}

// errAnswered says that statistics has answered before the end of the upload.
var errAnswered = errors.New("statistics has answered")

// submitting is an upload on its way to the statistics service.
type submitting struct {
	statistics statisticspb.StatisticsServiceClient
	ctx        context.Context // of the one call that this is
	asked      *asked
	stream     grpc.ClientStreamingClient[statisticspb.SubmitRequest, statisticspb.SubmitResponse] // nil: the header is not sent
}

// open sends the header.
func (s *submitting) open() error {
	if err := s.asked.bound(s.ctx, s.statistics); err != nil {
		return err
	}
	var err error
	if s.stream, err = s.statistics.Submit(s.ctx); err != nil {
		return err
	}
	return s.send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Header{Header: s.asked.header}})
}

func (s *submitting) send(message *statisticspb.SubmitRequest) error {
	err := s.stream.Send(message)
	if errors.Is(err, io.EOF) {
		return errAnswered // CloseAndRecv says what
	}
	return err
}

// bytes sends a file as it comes.
func (s *submitting) bytes(body io.Reader) error {
	if err := s.open(); err != nil {
		return err
	}
	for {
		chunk := make([]byte, chunkSize) // the message keeps it
		n, err := io.ReadFull(body, chunk)
		switch {
		case n > 0 && (err == nil || errors.Is(err, io.ErrUnexpectedEOF)): // of the file or of its packing: the next read says
			err = s.send(&statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Data{Data: chunk[:n]}})
		case errors.Is(err, io.EOF):
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// message sends a data message of SDMX as blocks. The header waits for the first of them, because the message says which
// dataflow and action it is of.
func (s *submitting) message(kind string, body *upload) error {
	if s.asked.withoutBody {
		return s.open()
	}
	reader, err := newReader(kind, body)
	if err != nil {
		return err
	}
	for b, err := range reader.Blocks() {
		if err != nil {
			return err
		}
		if s.stream == nil {
			if err := s.asked.agree(reader); err != nil {
				return err
			}
			if err := s.open(); err != nil {
				return err
			}
		}
		message := &statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Block{Block: wire.BlockToProto(b)}}
		if err := s.send(message); err != nil {
			return err
		}
	}
	if s.stream != nil {
		return nil
	}
	if len(s.asked.conditions) == 0 {
		return &sdmx.FileError{Line: 1, Problem: "the message has no rows"}
	}
	return s.open() // all that passes c[…] goes
}

// newReader returns what reads a data message of the media type.
func newReader(kind string, body io.Reader) (sdmx.Reader, error) {
	switch kind {
	case "application/vnd.sdmx.data+csv", "text/csv":
		return sdmx.NewCSVReader(body)
	case "application/vnd.sdmx.data+json", "application/vnd.sdmx.draft-sdmx-json", "application/json":
		return sdmx.NewJSONReader(body), nil
	case "application/vnd.sdmx.data+xml", "application/vnd.sdmx.structurespecificdata+xml", "application/xml", "text/xml":
		return sdmx.NewMLReader(body), nil
	}
	return nil, unsupported("Without the parameter layout, the body must be a data message of SDMX: application/vnd.sdmx.data+csv or text/csv, application/vnd.sdmx.data+json or application/json, application/vnd.sdmx.data+xml or application/xml.")
}

func unsupported(message string) error {
	return newProblem(http.StatusUnsupportedMediaType, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST, message)
}

// upload is the body of an upload, unpacked, within its limits.
type upload struct {
	in       io.Reader
	packed   *countingReader
	unpacked int64
	limit    int64 // bytes, unpacked
	gzipped  bool
}

// errUploadTooLarge and errUploadRatio are limits that a body went over.
var (
	errUploadTooLarge = errors.New("upload too large")
	errUploadRatio    = errors.New("upload packed too densely")
)

func openBody(w http.ResponseWriter, r *http.Request) (*upload, error) {
	packed := &countingReader{in: r.Body, deadline: http.NewResponseController(w).SetReadDeadline}
	u := &upload{in: packed, packed: packed, limit: maxUpload}
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		unpacker, err := gzip.NewReader(packed)
		if err != nil {
			return nil, u.explain(err)
		}
		u.in, u.gzipped = unpacker, true
	default:
		return nil, unsupported("Content-Encoding may be gzip or absent.")
	}
	return u, nil
}

// Read reads the unpacked body.
func (u *upload) Read(p []byte) (int, error) {
	n, err := u.in.Read(p)
	u.unpacked += int64(n)
	switch {
	case u.unpacked > u.limit:
		return 0, errUploadTooLarge
	case u.gzipped && u.unpacked > freeGzipBytes && u.unpacked/maxGzipRatio > u.packed.bytes:
		return 0, errUploadRatio
	}
	return n, err
}

// explain returns the problem that an error of reading the body is.
func (u *upload) explain(err error) error {
	var file *sdmx.FileError
	var files sdmx.FileErrors
	var found *problem
	switch {
	case errors.As(err, &found):
		return found
	case u.packed.err != nil:
		p := newProblem(http.StatusBadRequest, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST, "The body ended before its end.")
		p.cause = err
		return p
	case errors.Is(err, errUploadTooLarge):
		return tooLarge(u.limit)
	case errors.Is(err, errUploadRatio):
		return newProblem(http.StatusRequestEntityTooLarge, codes.ResourceExhausted, typespb.ErrorReason_LIMIT_EXCEEDED,
			fmt.Sprintf("The body is more than %d times as large unpacked as packed.", maxGzipRatio))
	case errors.As(err, &files):
		return badFile(files)
	case errors.As(err, &file):
		return badFile(sdmx.FileErrors{file})
	case u.gzipped || u.unpacked == 0:
		return invalid("body", "is no gzip file, or a damaged one")
	}
	return err
}

// badFile says what is wrong with a file, line by line.
func badFile(found sdmx.FileErrors) *problem {
	bad := &errdetails.BadRequest{}
	for _, e := range found {
		field := fmt.Sprintf("line %d", e.Line)
		if e.Column != "" {
			field += ", column " + e.Column
		}
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{Field: field, Description: e.Problem})
	}
	return newProblem(http.StatusBadRequest, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST,
		"The file cannot be read: "+found.Error()+".", bad)
}

// countingReader counts the bytes of a body as they come, and gives up on a client that sends none for idleUpload.
type countingReader struct {
	in       io.Reader
	deadline func(time.Time) error
	bytes    int64
	err      error // of the connection
}

// Read reads from the body.
func (c *countingReader) Read(p []byte) (int, error) {
	_ = c.deadline(time.Now().Add(idleUpload)) // a connection without deadlines, as in tests, waits for ever
	n, err := c.in.Read(p)
	c.bytes += int64(n)
	if errors.Is(err, io.EOF) {
		_ = c.deadline(time.Time{}) // the answer may take longer
	} else if err != nil {
		c.err = err
	}
	return n, err
}
