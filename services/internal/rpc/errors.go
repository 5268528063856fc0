package rpc

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/comity-federation/comity/services/fault"
)

// domain is that of every ErrorInfo.
const domain = "comity"

// kinds says which code a fault becomes, and its reason where it names none.
var kinds = map[fault.Kind]struct {
	code   codes.Code
	reason string
}{
	fault.Invalid:         {codes.InvalidArgument, "INVALID_REQUEST"},
	fault.NotFound:        {codes.NotFound, "NOT_FOUND"},
	fault.Exists:          {codes.AlreadyExists, "ALREADY_EXISTS"},
	fault.Precondition:    {codes.FailedPrecondition, "WRONG_STATE"},
	fault.Denied:          {codes.PermissionDenied, "ACCESS_DENIED"},
	fault.Unauthenticated: {codes.Unauthenticated, "TOKEN_INVALID"},
	fault.Exhausted:       {codes.ResourceExhausted, "LIMIT_EXCEEDED"},
	fault.Unavailable:     {codes.Unavailable, "UNAVAILABLE"},
}

// plain holds the statuses that gRPC itself makes, and that may pass with a text of ours.
var plain = map[codes.Code]struct{ reason, message string }{
	codes.Canceled:          {"UNSPECIFIED", "the caller gave up"},
	codes.DeadlineExceeded:  {"UNAVAILABLE", "there was not enough time for an answer"},
	codes.ResourceExhausted: {"LIMIT_EXCEEDED", "a limit was reached"},
	codes.Unavailable:       {"UNAVAILABLE", "something that this service rests on does not answer; try again"},
	codes.Unimplemented:     {"INVALID_REQUEST", "there is no such method"},
}

// Status makes a gRPC status of an error. A fault keeps its message, its reason (in an ErrorInfo of the domain "comity")
// its violations (in a BadRequest), and when it may succeed (in a RetryInfo). A context that ended, a database or service that does not answer, and a limit of
// gRPC become the codes for these. Everything else is Internal, and says nothing of the cause. Status(nil) is nil.
func Status(err error) error {
	if err == nil {
		return nil
	}
	return toStatus(err, "").Err()
}

func toStatus(err error, requestID string) *status.Status {
	var f *fault.Error
	if errors.As(err, &f) {
		if kind, ok := kinds[f.Kind]; ok {
			reason := f.Reason
			if reason == "" {
				reason = kind.reason
			}
			return withDetails(status.New(kind.code, f.Message), reason, requestID, f.Metadata, f.Violations, f.RetryAfter)
		}
	}
	code := codeOf(err)
	if p, ok := plain[code]; ok {
		return withDetails(status.New(code, p.message), p.reason, requestID, nil, nil, 0)
	}
	return withDetails(status.New(codes.Internal, "the fault is ours; the log has it under the request id"), "INTERNAL", requestID, nil, nil, 0)
}

func codeOf(err error) codes.Code {
	switch {
	case errors.Is(err, context.Canceled):
		return codes.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return codes.DeadlineExceeded
	case databaseAway(err):
		return codes.Unavailable
	}
	if s, ok := status.FromError(err); ok {
		return s.Code()
	}
	return codes.Unknown
}

// databaseAway reports whether PostgreSQL cannot be reached or takes no work, and may again later.
func databaseAway(err error) bool {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		switch refused.Code {
		case "57P01", "57P02", "57P03", // shut down, crashed, starting
			"58030", "25006", "42501", // a disk that fails, read only, may not be written
			"55P03": // locked by somebody else
			return true
		}
		// The connection broke; the disk is full, there is no memory, there are too many connections.
		return strings.HasPrefix(refused.Code, "08") || strings.HasPrefix(refused.Code, "53")
	}
	var unreachable *pgconn.ConnectError
	var network net.Error
	return errors.As(err, &unreachable) || errors.As(err, &network) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed)
}

func withDetails(s *status.Status, reason, requestID string, facts map[string]string, violations []fault.Violation, retryAfter time.Duration) *status.Status {
	info := &errdetails.ErrorInfo{Reason: reason, Domain: domain, Metadata: map[string]string{}}
	for key, value := range facts {
		info.Metadata[key] = value
	}
	if requestID != "" {
		info.Metadata["requestId"] = requestID
	}
	details := []protoadapt.MessageV1{info}
	if len(violations) > 0 {
		bad := &errdetails.BadRequest{}
		for _, v := range violations {
			bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field: v.Field, Description: v.Description,
			})
		}
		details = append(details, bad)
	}
	if retryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(retryAfter)})
	}
	detailed, err := s.WithDetails(details...)
	if err != nil {
		return s
	}
	return detailed
}
