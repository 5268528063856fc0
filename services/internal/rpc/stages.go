package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"runtime/debug"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/fault"
)

// call is one call, unary or streaming, on its way through the stages.
type call struct {
	service, method string
	id              string // of the request
	start           time.Time
}

type next func(context.Context) error

func (s *Server) unary(ctx context.Context, request any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (response any, err error) {
	err = s.serve(ctx, info.FullMethod, func(ctx context.Context) error {
		if err := readable(request); err != nil {
			return err
		}
		response, err = handler(ctx, request)
		return err
	})
	if err != nil {
		return nil, err
	}
	return response, nil
}

func (s *Server) stream(service any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return s.serve(stream.Context(), info.FullMethod, func(ctx context.Context) error {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		defer context.AfterFunc(s.streams, cancel)()
		err := handler(service, streamWith{stream, ctx})
		if err != nil && s.streams.Err() != nil && stream.Context().Err() == nil {
			return fault.New(fault.Unavailable, "UNAVAILABLE", "the service is ending; call again").Because(err)
		}
		return err
	})
}

// streamWith is a stream with the context that the stages made.
type streamWith struct {
	grpc.ServerStream
	ctx context.Context // as Context returns it
}

// Context is of grpc.ServerStream.
func (s streamWith) Context() context.Context { return s.ctx }

func (s *Server) serve(ctx context.Context, fullMethod string, handler next) error {
	service, method, _ := strings.Cut(strings.TrimPrefix(fullMethod, "/"), "/")
	c := &call{service: service, method: method, start: time.Now()}
	if s.exchange != nil {
		defer s.exchange.crowd.calling(ctx)()
	}
	for _, stage := range []func(*call, next) next{s.errors, s.access, s.identity, s.recover, s.measure, s.identify} {
		handler = stage(c, handler)
	}
	return handler(ctx)
}

var saneRequestID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

type requestIDKey struct{}

// RequestID returns the id of the request that ctx belongs to; "" outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

// identify gives the request an id.
func (s *Server) identify(c *call, handler next) next {
	return func(ctx context.Context) error {
		if given := metadata.ValueFromIncomingContext(ctx, "x-request-id"); len(given) == 1 && saneRequestID.MatchString(given[0]) {
			c.id = given[0]
		} else {
			c.id = uuid.Must(uuid.NewV7()).String()
		}
		// It fails only where the headers are out already, which they cannot be.
		_ = grpc.SetHeader(ctx, metadata.Pairs("x-request-id", c.id))
		return handler(context.WithValue(ctx, requestIDKey{}, c.id))
	}
}

// measure counts the call under the code that it ends with, and logs it.
func (s *Server) measure(c *call, handler next) next {
	return func(ctx context.Context) error {
		err := handler(ctx)
		code, took := status.Code(err), time.Since(c.start)
		s.metrics.requests.WithLabelValues(c.service, c.method, code.String()).Inc()
		s.metrics.duration.WithLabelValues(c.service, c.method).Observe(took.Seconds())
		level := slog.LevelDebug
		if code == codes.PermissionDenied || code == codes.Unauthenticated {
			level = slog.LevelInfo
		}
		s.log.Log(ctx, level, "call", "service", c.service, "method", c.method, "code", code.String(), "took", took, "request", c.id)
		return err
	}
}

// recover makes an error of a panic. It stands inside measure, so that panics are counted.
func (s *Server) recover(c *call, handler next) next {
	return func(ctx context.Context) (err error) {
		defer func() {
			if r := recover(); r != nil {
				s.log.ErrorContext(ctx, "panic", "service", c.service, "method", c.method, "request", c.id,
					"panic", fmt.Sprint(r), "stack", string(debug.Stack()))
				err = s.status(ctx, c, fmt.Errorf("panic: %v", r))
			}
		}()
		return handler(ctx)
	}
}

// identity finds out who calls. A token that is not valid ends the call: it never makes its bearer anonymous.
func (s *Server) identity(c *call, handler next) next {
	return func(ctx context.Context) error {
		state, service, ok := mtls.Peer(ctx)
		if !ok {
			return s.status(ctx, c, fault.New(fault.Unauthenticated, "ACCESS_DENIED", "the caller's certificate does not count any more"))
		}
		person, err := s.tokens.person(ctx)
		if err != nil {
			return s.status(ctx, c, err)
		}
		return handler(WithCaller(ctx, Caller{State: state, Service: service, Person: person}))
	}
}

// errors makes a status of what the method returns.
func (s *Server) errors(c *call, handler next) next {
	return func(ctx context.Context) error {
		if err := handler(ctx); err != nil {
			return s.status(ctx, c, err)
		}
		return nil
	}
}

// status is [Status] with the request's id, and a line in the log where the caller does not learn the cause.
func (s *Server) status(ctx context.Context, c *call, err error) error {
	result := toStatus(err, c.id)
	switch result.Code() {
	case codes.Internal:
		s.log.ErrorContext(ctx, "call failed", "service", c.service, "method", c.method, "request", c.id, "error", err)
	case codes.Unavailable:
		s.log.WarnContext(ctx, "call failed", "service", c.service, "method", c.method, "request", c.id, "error", err)
	case codes.PermissionDenied, codes.Unauthenticated:
		s.log.InfoContext(ctx, "call refused", "service", c.service, "method", c.method, "request", c.id, "error", err)
	}
	return result.Err()
}
