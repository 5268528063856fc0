package rpc

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/fault"
)

// Dial returns a connection to another service of the same state, which must show that it is comity://<state>/<service>.
// It connects when it is first used, and again whenever the connection is lost; a call waits up to [patience] for that, since
// the services of a state start and restart side by side.
//
// Errors of its calls are statuses, as gRPC has them. Those that the first caller can act upon (invalid, not found,
// exists, precondition, exhausted, unavailable) are also a [fault.Error] with the reason and message of the service, so
// that returning them passes them on. A refusal is not: what one service may not ask of another is no fault of the caller.
func Dial(cfg Config, service, address string) (*grpc.ClientConn, error) {
	pair, roots, err := cfg.credentials()
	if err != nil {
		return nil, err
	}
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = 100*time.Millisecond, patience/2
	connection, err := grpc.NewClient(address,
		grpc.WithTransportCredentials(mtls.NewClient(pair, roots, mtls.Identity{State: cfg.State, Service: service})),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: 5 * time.Second}),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(nationalLimits.message), grpc.MaxCallSendMsgSize(nationalLimits.message),
		),
		grpc.WithUnaryInterceptor(func(ctx context.Context, method string, request, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
			await(ctx, conn)
			return Fault(invoke(passRequestID(ctx), method, request, reply, conn, options...))
		}),
		grpc.WithStreamInterceptor(func(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, options ...grpc.CallOption) (grpc.ClientStream, error) {
			await(ctx, conn)
			stream, err := open(passRequestID(ctx), desc, conn, method, options...)
			if err != nil {
				return nil, Fault(err)
			}
			return faultStream{stream}, nil
		}),
	)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s at %s: %w", service, address, err)
	}
	return connection, nil
}

// patience is how long a call waits for a lost connection.
const patience = 2 * time.Second

// await waits until there is a connection, patience has run out, or ctx ends. The call that follows says what is wrong.
func await(ctx context.Context, conn *grpc.ClientConn) {
	state := conn.GetState()
	if state == connectivity.Ready {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ; state != connectivity.Ready; state = conn.GetState() {
		conn.Connect()
		if !conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}

// passRequestID lets the calls that a request causes have its id.
func passRequestID(ctx context.Context) context.Context {
	if id := RequestID(ctx); id != "" {
		return metadata.AppendToOutgoingContext(ctx, "x-request-id", id)
	}
	return ctx
}

type faultStream struct{ grpc.ClientStream }

// RecvMsg is of grpc.ClientStream.
func (s faultStream) RecvMsg(message any) error { return Fault(s.ClientStream.RecvMsg(message)) }

// remote is an error of another service: a status, and a fault that can be passed on.
type remote struct {
	status *status.Status
	fault  *fault.Error
}

func (r *remote) Error() string              { return r.status.Err().Error() }
func (r *remote) GRPCStatus() *status.Status { return r.status }
func (r *remote) Unwrap() error              { return r.fault }

var passedOn = map[codes.Code]fault.Kind{
	codes.InvalidArgument:    fault.Invalid,
	codes.NotFound:           fault.NotFound,
	codes.AlreadyExists:      fault.Exists,
	codes.FailedPrecondition: fault.Precondition,
	codes.ResourceExhausted:  fault.Exhausted,
	codes.Unavailable:        fault.Unavailable,
}

// Fault returns the error of a call, as a fault too where it is one that can be passed on. io.EOF and the like stay as they are.
func Fault(err error) error {
	s, isStatus := status.FromError(err)
	if err == nil || !isStatus {
		return err
	}
	kind, ok := passedOn[s.Code()]
	if !ok {
		return err
	}
	f := &fault.Error{Kind: kind}
	for _, detail := range s.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == domain {
				f.Reason, f.Message, f.Metadata = detail.GetReason(), s.Message(), detail.GetMetadata()
			}
		case *errdetails.RetryInfo:
			f.RetryAfter = detail.GetRetryDelay().AsDuration()
		case *errdetails.BadRequest:
			for _, v := range detail.GetFieldViolations() {
				f.Violations = append(f.Violations, fault.Violation{Field: v.GetField(), Description: v.GetDescription()})
			}
		}
	}
	if f.Reason == "" { // made by gRPC itself, whose text may name addresses
		p, ok := plain[s.Code()]
		if !ok {
			return err
		}
		f.Reason, f.Message = p.reason, p.message
	}
	return &remote{status: s, fault: f}
}
