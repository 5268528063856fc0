package rpc_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
)

func TestStatus(t *testing.T) {
	if err := rpc.Status(nil); err != nil {
		t.Errorf("of nothing it makes %v", err)
	}
	for name, test := range map[string]struct {
		err    error
		code   codes.Code
		reason string
	}{
		"invalid":             {fault.InvalidField("key", "is too long"), codes.InvalidArgument, "INVALID_REQUEST"},
		"not found":           {fault.Missing("submission x"), codes.NotFound, "NOT_FOUND"},
		"exists":              {fault.New(fault.Exists, "IDEMPOTENCY_CONFLICT", "x"), codes.AlreadyExists, "IDEMPOTENCY_CONFLICT"},
		"precondition":        {fault.New(fault.Precondition, "WRONG_STATE", "x"), codes.FailedPrecondition, "WRONG_STATE"},
		"denied":              {fault.New(fault.Denied, "POLICY_ERROR", "x"), codes.PermissionDenied, "POLICY_ERROR"},
		"unauthenticated":     {fault.New(fault.Unauthenticated, "TOKEN_MISSING", "x"), codes.Unauthenticated, "TOKEN_MISSING"},
		"exhausted":           {fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "x"), codes.ResourceExhausted, "LIMIT_EXCEEDED"},
		"unavailable":         {fault.New(fault.Unavailable, "UNAVAILABLE", "x"), codes.Unavailable, "UNAVAILABLE"},
		"without a reason":    {&fault.Error{Kind: fault.Precondition, Message: "x"}, codes.FailedPrecondition, "WRONG_STATE"},
		"without a kind":      {&fault.Error{Message: "x"}, codes.Internal, "INTERNAL"},
		"wrapped":             {fmt.Errorf("doing: %w", fault.Missing("x")), codes.NotFound, "NOT_FOUND"},
		"joined":              {errors.Join(errors.New("x"), fault.Missing("x")), codes.NotFound, "NOT_FOUND"},
		"canceled":            {fmt.Errorf("x: %w", context.Canceled), codes.Canceled, "UNSPECIFIED"},
		"too late":            {fmt.Errorf("x: %w", context.DeadlineExceeded), codes.DeadlineExceeded, "UNAVAILABLE"},
		"database stops":      {fmt.Errorf("x: %w", &pgconn.PgError{Code: "57P01"}), codes.Unavailable, "UNAVAILABLE"},
		"database broke":      {&pgconn.PgError{Code: "08006"}, codes.Unavailable, "UNAVAILABLE"},
		"database full":       {&pgconn.PgError{Code: "53100"}, codes.Unavailable, "UNAVAILABLE"},
		"database read-only":  {&pgconn.PgError{Code: "25006"}, codes.Unavailable, "UNAVAILABLE"},
		"database may not":    {&pgconn.PgError{Code: "42501"}, codes.Unavailable, "UNAVAILABLE"},
		"database's disk":     {&pgconn.PgError{Code: "58030"}, codes.Unavailable, "UNAVAILABLE"},
		"database complains":  {&pgconn.PgError{Code: "42P01"}, codes.Internal, "INTERNAL"},
		"connection closed":   {fmt.Errorf("x: %w", pgconn.ErrConnClosed), codes.Unavailable, "UNAVAILABLE"},
		"connection refused":  {&net.OpError{Op: "dial", Err: errors.New("refused")}, codes.Unavailable, "UNAVAILABLE"},
		"connection lost":     {fmt.Errorf("x: %w", io.ErrUnexpectedEOF), codes.Unavailable, "UNAVAILABLE"},
		"limit of gRPC":       {status.Error(codes.ResourceExhausted, "secret"), codes.ResourceExhausted, "LIMIT_EXCEEDED"},
		"no such method":      {status.Error(codes.Unimplemented, "secret"), codes.Unimplemented, "INVALID_REQUEST"},
		"status of another":   {fmt.Errorf("x: %w", status.Error(codes.PermissionDenied, "secret")), codes.Internal, "INTERNAL"},
		"status of a service": {fmt.Errorf("x: %w", status.Error(codes.Unavailable, "secret")), codes.Unavailable, "UNAVAILABLE"},
		"anything else":       {errors.New("secret"), codes.Internal, "INTERNAL"},
		"a fault's cause":     {fault.Missing("x").Because(errors.New("secret")), codes.NotFound, "NOT_FOUND"},
	} {
		t.Run(name, func(t *testing.T) {
			got := rpc.Status(test.err)
			expect(t, got, test.code, test.reason)
			if strings.Contains(got.Error(), "secret") || strings.Contains(got.Error(), "refused") {
				t.Errorf("the caller learns the cause: %v", got)
			}
			if _, known := typespb.ErrorReason_Code_value[test.reason]; !known {
				t.Errorf("%s is no reason", test.reason)
			}
		})
	}
}

func TestStatusNamesFieldsAndFacts(t *testing.T) {
	err := rpc.Status(fault.InvalidField("filter.operands", "has %d nodes", 3).With("limit", "2"))
	details := status.Convert(err).Details()
	if len(details) != 2 {
		t.Fatalf("it has %v", details)
	}
	if got := details[0].(*errdetails.ErrorInfo).GetMetadata()["limit"]; got != "2" {
		t.Errorf("the limit is %q", got)
	}
	violation := details[1].(*errdetails.BadRequest).GetFieldViolations()[0]
	if violation.GetField() != "filter.operands" || violation.GetDescription() != "has 3 nodes" {
		t.Errorf("the violation is %v", violation)
	}
}
