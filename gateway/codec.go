package main

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"

	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
)

// codec is the JSON of the API: default-valued fields are printed, absent messages are left out, unknown fields are an
// error, and nothing may follow the one value of a body.
type codec struct{ runtime.JSONPb }

func newCodec() *codec {
	return &codec{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true}}}
}

// NewDecoder returns a decoder of the whole of r.
func (c *codec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(body)) == 0 {
			return io.EOF
		}
		return c.Unmarshal(body, v)
	})
}

// maxJSON is the largest body of a call with JSON, in bytes.
const maxJSON = 8 << 20

// limitedBody is a body of at most maxJSON bytes that remembers whether it was longer.
type limitedBody struct {
	io.ReadCloser
	exceeded bool
}

// Read reads from the body, or fails once it is too long.
func (b *limitedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	var limit *http.MaxBytesError
	if err != nil && errors.As(err, &limit) {
		b.exceeded = true
	}
	return n, err
}

// jsonBodies refuses bodies that are not JSON or too long, before they are read where their length is known.
func jsonBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && r.Method != http.MethodGet {
			if t := mediaType(r); t != "" && t != "application/json" {
				newProblem(http.StatusUnsupportedMediaType, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST,
					"The body must be application/json.").write(w)
				return
			}
			if r.Header.Get("Content-Encoding") != "" {
				newProblem(http.StatusUnsupportedMediaType, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST,
					"The body must not be compressed.").write(w)
				return
			}
			if r.ContentLength > maxJSON {
				tooLarge(maxJSON).write(w)
				return
			}
		}
		r.Body = &limitedBody{ReadCloser: http.MaxBytesReader(w, r.Body, maxJSON)}
		next.ServeHTTP(w, r)
	})
}
