package main

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"

	"github.com/comity-federation/comity/gateway/sdmx"
	"github.com/comity-federation/comity/proto/block"
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
// and goes on as Blocks. The answer is the submission, with status 200 whether it was accepted or rejected: the call
// worked, and `state` says what became of the file. A file that cannot be read at all is 400, and nothing is recorded.
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
	header, err := submissionHeader(r)
	if err != nil {
		return nil, err
	}
	w.Header().Set("Idempotency-Key", header.GetIdempotencyKey())
	body, err := openBody(w, r)
	if err != nil {
		return nil, err
	}
	source, err := openSource(r, body, header)
	if err != nil {
		return nil, body.explain(err)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel() // an upload that ends early is one that statistics forgets
	stream, err := s.statistics.Submit(ctx)
	if err != nil {
		return nil, err
	}
	for message, err := source.first, error(nil); ; message, err = source.next() {
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, body.explain(err)
		}
		if err := stream.Send(message); errors.Is(err, io.EOF) {
			break // statistics has answered before the end; CloseAndRecv says what
		} else if err != nil {
			return nil, err
		}
	}
	answer, err := stream.CloseAndRecv()
	if err != nil {
		return nil, err
	}
	return answer.GetSubmission(), nil
}

// submissionHeader reads the parameters and headers of an upload.
func submissionHeader(r *http.Request) (*statisticspb.SubmissionHeader, error) {
	query := r.URL.Query()
	for name, values := range query {
		if name != "dataflow" && name != "layout" {
			return nil, invalid(name, "is no parameter of this call; there are dataflow and layout")
		}
		if len(values) > 1 {
			return nil, invalid(name, "stands twice")
		}
	}
	header := &statisticspb.SubmissionHeader{
		Dataflow: query.Get("dataflow"), Layout: query.Get("layout"), Action: statisticspb.SubmissionHeader_MERGE,
	}
	if header.GetDataflow() != "" {
		if _, err := sdmx.ParseRef(header.GetDataflow()); err != nil {
			return nil, invalid("dataflow", "%v", err)
		}
	}
	keys := r.Header.Values("Idempotency-Key")
	switch {
	case len(keys) == 0:
		header.IdempotencyKey = rand.Text() // whoever wants to repeat a call safely gives a key
	case len(keys) > 1 || keys[0] == "" || utf8.RuneCountInString(keys[0]) > maxKeyLength || strings.ContainsFunc(keys[0], notPrintable):
		return nil, invalid("Idempotency-Key", "must be one header of 1 to %d printable ASCII characters", maxKeyLength)
	default:
		header.IdempotencyKey = keys[0]
	}
	return header, nil
}

func notPrintable(r rune) bool { return r < 0x20 || r > 0x7e }

// source gives the messages of an upload.
type source struct {
	first *statisticspb.SubmitRequest
	next  func() (*statisticspb.SubmitRequest, error)
}

func openSource(r *http.Request, body io.Reader, header *statisticspb.SubmissionHeader) (*source, error) {
	t := mediaType(r)
	if strings.HasPrefix(t, "multipart/") {
		return nil, unsupported("The body must be the file itself, not a form.")
	}
	if header.GetLayout() != "" {
		return bytesSource(body, header), nil
	}
	switch t {
	case "application/vnd.sdmx.data+csv", "text/csv":
		return csvSource(body, header)
	}
	return nil, unsupported("Without the parameter layout, the body must be SDMX-CSV: application/vnd.sdmx.data+csv or text/csv.")
}

func unsupported(message string) error {
	return newProblem(http.StatusUnsupportedMediaType, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST, message)
}

// bytesSource gives a file as it comes.
func bytesSource(body io.Reader, header *statisticspb.SubmissionHeader) *source {
	next := func() (*statisticspb.SubmitRequest, error) {
		chunk := make([]byte, chunkSize) // the message keeps it
		n, err := io.ReadFull(body, chunk)
		if n == 0 {
			return nil, err
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		return &statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Data{Data: chunk[:n]}}, nil
	}
	return &source{first: headerMessage(header), next: next}
}

func headerMessage(header *statisticspb.SubmissionHeader) *statisticspb.SubmitRequest {
	return &statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Header{Header: header}}
}

// csvSource gives SDMX-CSV as blocks. Its first block is read at once, because it says which dataflow and action the
// file is of.
func csvSource(body io.Reader, header *statisticspb.SubmissionHeader) (*source, error) {
	reader, err := sdmx.NewCSVReader(body)
	if err != nil {
		return nil, err
	}
	read, err := reader.Next()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if read == nil {
		return nil, &sdmx.FileError{Line: 2, Problem: "is missing: the file has a header and no rows"}
	}
	if err := agree(header, reader); err != nil {
		return nil, err
	}
	next := func() (*statisticspb.SubmitRequest, error) {
		b := read
		read = nil
		if b == nil {
			var err error
			if b, err = reader.Next(); err != nil {
				return nil, err
			}
		}
		return blockMessage(b), nil
	}
	return &source{first: headerMessage(header), next: next}, nil
}

func blockMessage(b *block.Block) *statisticspb.SubmitRequest {
	return &statisticspb.SubmitRequest{Part: &statisticspb.SubmitRequest_Block{Block: wire.BlockToProto(b)}}
}

// agree holds what the file says of itself against the parameters, and fills in what these leave open.
func agree(header *statisticspb.SubmissionHeader, reader *sdmx.CSVReader) error {
	if reader.Action() != sdmx.Merge {
		return &sdmx.FileError{Line: 2, Column: "ACTION", Problem: fmt.Sprintf("%c is not taken; there are A, M and I, which add rows or replace them one by one", reader.Action())}
	}
	kind, text := reader.Dataflow()
	if kind != "" && kind != "dataflow" {
		if header.GetDataflow() == "" {
			return invalid("dataflow", "is missing: the file names a %s", kind)
		}
		return nil
	}
	file, err := sdmx.ParseRef(text)
	if err != nil {
		return &sdmx.FileError{Line: 2, Column: "STRUCTURE_ID", Problem: err.Error()}
	}
	if header.GetDataflow() == "" {
		header.Dataflow = file.String()
		return nil
	}
	asked, err := sdmx.ParseRef(header.GetDataflow())
	if err != nil {
		return invalid("dataflow", "%v", err)
	}
	versions := []string{"", file.Version}
	if asked.Agency != file.Agency || asked.ID != file.ID || file.Version != "" && !slices.Contains(versions, asked.Version) {
		return invalid("dataflow", "is %s, but the file is of %s", asked, file)
	}
	if asked.Version == "" {
		header.Dataflow = file.String()
	}
	return nil
}

// upload is the body of an upload, unpacked, within its limits.
type upload struct {
	in       io.Reader
	packed   *countingReader
	unpacked int64
	gzipped  bool
}

// errUploadTooLarge and errUploadRatio are limits that a body went over.
var (
	errUploadTooLarge = errors.New("upload too large")
	errUploadRatio    = errors.New("upload packed too densely")
)

func openBody(w http.ResponseWriter, r *http.Request) (*upload, error) {
	packed := &countingReader{in: r.Body, deadline: http.NewResponseController(w).SetReadDeadline}
	u := &upload{in: packed, packed: packed}
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
	case u.unpacked > maxUpload:
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
	case errors.Is(err, errUploadTooLarge):
		return tooLarge(maxUpload)
	case errors.Is(err, errUploadRatio):
		return newProblem(http.StatusRequestEntityTooLarge, codes.ResourceExhausted, typespb.ErrorReason_LIMIT_EXCEEDED,
			fmt.Sprintf("The body is more than %d times as large unpacked as packed.", maxGzipRatio))
	case errors.As(err, &files):
		return badFile(files)
	case errors.As(err, &file):
		return badFile(sdmx.FileErrors{file})
	case u.packed.err != nil:
		p := newProblem(http.StatusBadRequest, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST, "The body ended before its end.")
		p.cause = err
		return p
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
