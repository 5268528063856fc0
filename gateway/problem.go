package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/protoadapt"

	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
)

// errorDomain is the domain of every ErrorInfo that this system makes.
const errorDomain = "comity"

// problem is an error as a client sees it: a google.rpc.Status with an ErrorInfo, and the HTTP status it goes with.
type problem struct {
	HTTP   int
	Status *status.Status
	cause  error // for the log
}

// Error returns the message, with the cause.
func (p *problem) Error() string {
	if p.cause != nil {
		return p.Status.Message() + ": " + p.cause.Error()
	}
	return p.Status.Message()
}

// Unwrap returns the cause.
func (p *problem) Unwrap() error { return p.cause }

// Reason returns the machine-readable reason.
func (p *problem) Reason() string {
	for _, detail := range p.Status.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return ""
}

// newProblem returns a problem that the gateway itself found.
func newProblem(httpStatus int, code codes.Code, reason typespb.ErrorReason_Code, message string, more ...protoadapt.MessageV1) *problem {
	details := append([]protoadapt.MessageV1{&errdetails.ErrorInfo{Reason: reason.String(), Domain: errorDomain}}, more...)
	s, err := status.New(code, message).WithDetails(details...)
	if err != nil { // only an OK status takes no details
		s = status.New(code, message)
	}
	return &problem{HTTP: httpStatus, Status: s}
}

// invalid says that a field of the request is wrong.
func invalid(field, format string, args ...any) *problem {
	description := fmt.Sprintf(format, args...)
	return newProblem(http.StatusBadRequest, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST,
		field+": "+description, violations(field, description))
}

func violations(field, description string) *errdetails.BadRequest {
	return &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: field, Description: description}}}
}

// tooLarge says that a body is longer than is taken.
func tooLarge(limit int64) *problem {
	return newProblem(http.StatusRequestEntityTooLarge, codes.ResourceExhausted, typespb.ErrorReason_LIMIT_EXCEEDED,
		fmt.Sprintf("The body is larger than %d bytes.", limit))
}

// problemOf returns what the client learns of an error of a call. What carries a reason of ours goes as it is, all else
// becomes a fixed sentence: it may speak of addresses.
func problemOf(err error) *problem {
	var found *problem
	if errors.As(err, &found) {
		return found
	}
	s := status.Convert(err)
	if public, ok := publicStatus(s); ok {
		return &problem{HTTP: runtime.HTTPStatusFromCode(s.Code()), Status: public}
	}
	found = fixedProblem(s.Code())
	if errors.Is(err, context.Canceled) {
		found = fixedProblem(codes.Canceled)
	}
	found.cause = err
	return found
}

func fixedProblem(code codes.Code) *problem {
	switch code {
	case codes.Unavailable:
		return newProblem(http.StatusServiceUnavailable, codes.Unavailable, typespb.ErrorReason_UNAVAILABLE,
			"A service that answers this call cannot be reached. Try again.")
	case codes.DeadlineExceeded:
		return newProblem(http.StatusGatewayTimeout, codes.DeadlineExceeded, typespb.ErrorReason_UNAVAILABLE,
			"The call took too long.")
	case codes.Canceled:
		return newProblem(statusClientClosed, codes.Canceled, typespb.ErrorReason_UNAVAILABLE, "The call was given up.")
	case codes.ResourceExhausted:
		return newProblem(http.StatusTooManyRequests, codes.ResourceExhausted, typespb.ErrorReason_LIMIT_EXCEEDED,
			"A limit of size or rate was reached.")
	case codes.Unimplemented:
		return newProblem(http.StatusNotImplemented, codes.Unimplemented, typespb.ErrorReason_UNAVAILABLE,
			"The service behind this call does not offer it.")
	}
	return newProblem(http.StatusInternalServerError, codes.Internal, typespb.ErrorReason_INTERNAL,
		"The fault is ours. The log has it under the request id.")
}

// statusClientClosed is what proxies log for a client that went away.
const statusClientClosed = 499

// publicStatus returns s with only those details that clients may see, if it carries a reason of ours.
func publicStatus(s *status.Status) (*status.Status, bool) {
	var details []protoadapt.MessageV1
	ours := false
	for _, detail := range s.Details() {
		switch d := detail.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() == errorDomain {
				ours = true
				details = append(details, d)
			}
		case *errdetails.BadRequest:
			details = append(details, d)
		case *errdetails.RetryInfo:
			details = append(details, d)
		}
	}
	if !ours {
		return nil, false
	}
	public, err := status.New(s.Code(), s.Message()).WithDetails(details...)
	return public, err == nil
}

// write answers with the problem as JSON.
func (p *problem) write(w http.ResponseWriter) {
	p.headers(w)
	w.Header().Set("Content-Type", "application/json")
	body, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(p.Status.Proto())
	if err != nil {
		body = []byte(`{"code":13,"message":"The fault is ours.","details":[]}`)
	}
	w.WriteHeader(p.HTTP)
	_, _ = w.Write(body)
}

// headers sets what goes with the problem, whatever the form of its body.
func (p *problem) headers(w http.ResponseWriter) {
	h := w.Header()
	for _, name := range []string{"Content-Length", "Content-Encoding", "Trailer", "Transfer-Encoding"} {
		h.Del(name)
	}
	h.Set("Cache-Control", "no-store")
	if p.HTTP == http.StatusUnauthorized {
		challenge := `Bearer realm="comity"`
		if p.Reason() == typespb.ErrorReason_TOKEN_INVALID.String() {
			challenge += `, error="invalid_token"`
		}
		h.Set("WWW-Authenticate", challenge)
	}
	for _, detail := range p.Status.Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			seconds := retry.GetRetryDelay().AsDuration().Seconds()
			h.Set("Retry-After", strconv.Itoa(max(1, int(seconds+0.999))))
		}
	}
}

// fieldInMessage finds the field that protojson complains about.
var fieldInMessage = regexp.MustCompile(`(?:unknown (?:field|parameter) "([^"]+)"|field ([\w.]+))`)

// badBody says what is wrong with a body or parameter that grpc-gateway could not read.
func badBody(message string) *problem {
	// protojson varies the space after "proto:" so that nobody compares its messages.
	message = strings.TrimSpace(strings.ReplaceAll(message, "\u00a0", " "))
	message = strings.TrimPrefix(message, "proto: ")
	field := "body"
	if match := fieldInMessage.FindStringSubmatch(message); match != nil {
		field = match[1] + match[2]
	}
	return newProblem(http.StatusBadRequest, codes.InvalidArgument, typespb.ErrorReason_INVALID_REQUEST,
		"The request cannot be read: "+message, violations(field, message))
}
