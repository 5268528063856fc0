package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"github.com/grpc-ecosystem/grpc-gateway/v2/utilities"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

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
		var whole json.RawMessage
		if err := json.Unmarshal(body, &whole); err != nil {
			return err
		}
		return c.Unmarshal(body, v)
	})
}

// queryParser reads the parameters of a call, and refuses those that it does not have: a filter that is spelt wrongly
// must not answer everything.
type queryParser struct{ runtime.DefaultQueryParser }

// Parse sets the fields of a request.
func (q *queryParser) Parse(request proto.Message, values url.Values, filter *utilities.DoubleArray) error {
	fields := request.ProtoReflect().Descriptor().Fields()
	for key := range values {
		name, _, _ := strings.Cut(key, ".")
		field := fields.ByTextName(name)
		if field == nil {
			field = fields.ByJSONName(name)
		}
		if field == nil || filter.HasCommonPrefix([]string{string(field.Name())}) {
			return fmt.Errorf("unknown parameter %q", key)
		}
	}
	return q.DefaultQueryParser.Parse(request, values, filter)
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

// mayBeJSON reports whether a body of the media type is read as JSON. `curl -d` calls every body a form, unless told
// otherwise.
func mayBeJSON(mediaType string) bool {
	switch mediaType {
	case "", "application/json", "application/x-www-form-urlencoded":
		return true
	}
	return strings.HasSuffix(mediaType, "+json")
}

// jsonBodies refuses bodies that are not JSON or too long, before they are read where their length is known.
func jsonBodies(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength != 0 && r.Method != http.MethodGet {
			if !mayBeJSON(mediaType(r)) {
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
		r.Header.Del("Grpc-Timeout") // grpc-gateway would take it from the client
		r.Body = &limitedBody{ReadCloser: http.MaxBytesReader(w, r.Body, maxJSON)}
		next.ServeHTTP(w, r)
	})
}
