// Package rpc is what every service has around its own methods: gRPC on mutual TLS, who is calling and whether they may,
// errors that a caller can act upon, metrics, health, and an orderly end.
//
// A call passes these stages, the first outermost:
//
//  1. request id: taken from x-request-id where it is sane, else made; in the log, in the answer's headers and errors
//  2. metrics: counts the call and measures it, with the code that all later stages gave
//  3. recover: a panic becomes an error, and its stack goes to the log
//  4. identity: the workload from the verified certificate, the person from a verified token
//  5. access: the rule data.comity.access.allow
//  6. errors: what the method returns becomes a status; see [Status]. A message that cannot be read is refused here
//
// Identity comes from nowhere else: no header, and no field of a message, says who is calling.
package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/internal/policy"
)

const (
	handshakeTimeout = 10 * time.Second
	handshakeLines   = 10              // a second, in the log
	maxHeaders       = 64 << 10        // bytes of a call's headers: a token has some thousand
	streamsTimeout   = 2 * time.Second // for streams under way when the server ends: many never end by themselves
	stopTimeout      = 5 * time.Second // for all calls under way when the server ends
)

// limits bound what one connection of a port can ask of the server.
type limits struct {
	message   int           // bytes of a message, either way
	streams   uint32        // calls at the same time
	pings     time.Duration // the least time between two of the client's pings
	age       time.Duration // a connection is ended after it, so that certificates are looked at again
	grace     time.Duration // for calls under way at that age
	handshake time.Duration // and for the first words after it
	room      room          // for connections; the zero value: for any number
}

var (
	nationalLimits = limits{message: 8 << 20, streams: 256, pings: 10 * time.Second, age: time.Hour, grace: 5 * time.Minute, handshake: handshakeTimeout}
	exchangeLimits = limits{message: 2 << 20, streams: 16, pings: 20 * time.Second, age: 30 * time.Minute, grace: time.Minute, handshake: handshakeTimeout, room: room{strangers: 512, ofState: 32}}
)

// Server serves a service's methods on the national port, and perhaps on the exchange port; and its metrics, health and
// readiness on the ops port.
type Server struct {
	cfg      Config
	log      *slog.Logger
	policies *policy.Engine
	ready    func(context.Context) error
	pair     *mtls.Pair
	tokens   *tokens
	registry *prometheus.Registry
	metrics  *metrics
	health   *health.Server

	national   port
	exchange   *port
	ops        *http.Server
	opsPort    net.Listener
	background []func(context.Context) error

	streams    context.Context // of all streams; ends when they have had their time
	endStreams context.CancelFunc
}

// port is a gRPC server with the address that it listens on.
type port struct {
	address  string
	server   *grpc.Server
	listener net.Listener
	crowd    *crowd // nil: it has room for any number of connections
}

// NewServer checks everything that the server rests on, and returns it; it does not listen yet. ready says whether the
// service's own parts are there, such as its database; nil: they always are.
func NewServer(cfg Config, policies *policy.Engine, log *slog.Logger, ready func(context.Context) error) (*Server, error) {
	if policies == nil {
		return nil, errors.New("there are no policies")
	}
	pair, roots, err := cfg.credentials()
	if err != nil {
		return nil, err
	}
	if err := onLoopback(cfg.OpsListen); err != nil {
		return nil, err
	}
	tokens, err := openTokens(cfg.JWKS, cfg.Issuer, cfg.Audience, log)
	if err != nil {
		return nil, err
	}
	s := &Server{
		cfg: cfg, log: log, policies: policies, ready: ready, pair: pair, tokens: tokens,
		registry: newRegistry(), health: health.NewServer(),
	}
	s.streams, s.endStreams = context.WithCancel(context.Background())
	s.metrics = newMetrics(s.registry)
	s.ops = s.newOps()
	s.national = s.newPort(cfg.Listen, nationalLimits, mtls.NewServer(pair, roots, nil))
	reflection.Register(s.national.server)
	return s, nil
}

func (s *Server) newPort(address string, l limits, c credentials.TransportCredentials) port {
	var most *crowd
	if l.room != (room{}) {
		most = newCrowd(l.room, address, s.registry)
		c = crowded{c, most}
	}
	server := grpc.NewServer(
		grpc.Creds(loggedHandshakes{
			TransportCredentials: c, log: s.log, failures: s.metrics.handshakes.WithLabelValues(address),
			lines: rate.NewLimiter(handshakeLines, 10*handshakeLines),
		}),
		grpc.ForceServerCodecV2(newCodec()),
		grpc.ConnectionTimeout(l.handshake),
		grpc.MaxRecvMsgSize(l.message),
		grpc.MaxSendMsgSize(l.message),
		grpc.MaxHeaderListSize(maxHeaders),
		grpc.MaxConcurrentStreams(l.streams),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: l.pings, PermitWithoutStream: true}),
		grpc.KeepaliveParams(keepalive.ServerParameters{
			MaxConnectionAge: l.age, MaxConnectionAgeGrace: l.grace, Time: 30 * time.Second, Timeout: 10 * time.Second,
		}),
		grpc.ChainUnaryInterceptor(s.unary),
		grpc.ChainStreamInterceptor(s.stream),
	)
	healthpb.RegisterHealthServer(server, s.health)
	return port{address: address, server: server, crowd: most}
}

// RegisterService offers a service on the national port. It makes Server a grpc.ServiceRegistrar.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) {
	s.national.server.RegisterService(desc, impl)
}

// Exchange opens a second port, on which other states' `sharing` workloads call, and nobody else: a certificate of this
// state, or of another service, is refused in the handshake. roots returns each partner's own roots; options say what else
// is refused. What is registered with the result is offered there; [Server.Serve] serves both ports.
func (s *Server) Exchange(listen string, roots mtls.Roots, options ...mtls.Option) (grpc.ServiceRegistrar, error) {
	if s.exchange != nil {
		return nil, errors.New("the exchange port is there already")
	}
	accept := func(peer mtls.Identity) error {
		if peer.State == s.cfg.State || peer.Service != "sharing" {
			return fmt.Errorf("%s has no business on the exchange port", peer)
		}
		return nil
	}
	exchange := s.newPort(listen, exchangeLimits, mtls.NewServer(s.pair, roots, accept, options...))
	s.exchange = &exchange
	return s.exchange.server, nil
}

// Background adds a loop that runs while the server serves; its context ends when the server ends. If it returns an
// error before that, the server ends with that error. It must be called before [Server.Serve].
func (s *Server) Background(loop func(context.Context) error) {
	s.background = append(s.background, loop)
}

// Registry is where a service registers metrics of its own.
func (s *Server) Registry() prometheus.Registerer { return s.registry }

// Listen opens the ports without serving them yet. [Server.Serve] does so itself; a caller that wants to know the
// addresses first may.
func (s *Server) Listen(ctx context.Context) error {
	if s.opsPort != nil {
		return nil
	}
	var opened []net.Listener
	open := func(address string) (net.Listener, error) {
		listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err == nil {
			opened = append(opened, listener)
			return listener, nil
		}
		for _, l := range opened {
			_ = l.Close()
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, fmt.Errorf("address %s is in use: another process listens there", address)
		}
		return nil, fmt.Errorf("listening: %w", err)
	}
	var err error
	if s.national.listener, err = open(s.national.address); err != nil {
		return err
	}
	if s.exchange != nil {
		if s.exchange.listener, err = open(s.exchange.address); err != nil {
			return err
		}
	}
	s.opsPort, err = open(s.cfg.OpsListen)
	return err
}

// Address returns where the national port listens, after [Server.Listen].
func (s *Server) Address() string { return s.national.listener.Addr().String() }

// ExchangeAddress returns where the exchange port listens, after [Server.Exchange] and [Server.Listen].
func (s *Server) ExchangeAddress() string { return s.exchange.listener.Addr().String() }

// OpsAddress returns where the ops port listens, after [Server.Listen].
func (s *Server) OpsAddress() string { return s.opsPort.Addr().String() }

// Serve listens, and serves until parent ends; then it lets the calls under way come to their end, for five seconds at
// most. It returns nil if parent ended, and otherwise what went wrong. It can be called once.
func (s *Server) Serve(parent context.Context) error {
	if err := s.Listen(parent); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	var running sync.WaitGroup
	run := func(what string, f func() error) {
		running.Go(func() {
			if err := f(); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("%s: %w", what, err))
			}
		})
	}
	run("serving the national port", func() error { return s.national.server.Serve(s.national.listener) })
	if s.exchange != nil {
		run("serving the exchange port", func() error { return s.exchange.server.Serve(s.exchange.listener) })
	}
	run("serving the ops port", func() error {
		if err := s.ops.Serve(s.opsPort); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	for _, loop := range s.background {
		run("working in the background", func() error { return loop(ctx) })
	}
	s.health.Resume()
	s.log.InfoContext(ctx, "serving", "state", s.cfg.State, "address", s.Address(), "policies", s.policies.Revision())

	<-ctx.Done()
	s.stop()
	running.Wait()
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// stop ends the ports: first no new calls, then, when those under way are through or have had their time, none at all.
func (s *Server) stop() {
	s.health.Shutdown()
	ports := []port{s.national}
	if s.exchange != nil {
		ports = append(ports, *s.exchange)
	}
	hurry := time.AfterFunc(stopTimeout, func() {
		for _, p := range ports {
			p.server.Stop()
		}
	})
	defer hurry.Stop()
	defer time.AfterFunc(streamsTimeout, s.endStreams).Stop()
	defer s.endStreams()
	var stopping sync.WaitGroup
	for _, p := range ports {
		stopping.Go(p.server.GracefulStop)
	}
	stopping.Wait()
	_ = s.ops.Close()
}

// loggedHandshakes tells of handshakes that fail, which gRPC itself keeps quiet about.
type loggedHandshakes struct {
	credentials.TransportCredentials
	log      *slog.Logger
	failures prometheus.Counter // all of them
	lines    *rate.Limiter      // of the log: whoever can connect could fill it
}

// ServerHandshake is of credentials.TransportCredentials.
func (l loggedHandshakes) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	conn, info, err := l.TransportCredentials.ServerHandshake(raw)
	if err != nil {
		l.failures.Inc()
		if !l.lines.Allow() {
			return conn, info, err
		}
		if errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) {
			l.log.Warn("the other side left in the handshake", "peer", raw.RemoteAddr().String(), "error", err)
		} else {
			l.log.Warn("handshake refused", "peer", raw.RemoteAddr().String(), "error", err)
		}
	}
	return conn, info, err
}

// Clone is of credentials.TransportCredentials.
func (l loggedHandshakes) Clone() credentials.TransportCredentials {
	l.TransportCredentials = l.TransportCredentials.Clone()
	return l
}
