// Command gateway is the HTTP side of a node: the national REST API, SDMX REST, and their description.
//
// It holds no figures and decides nothing. It turns HTTP into calls of the statistics, risk and sharing services, hands
// on the caller's token and nothing else of what the caller sent, and turns answers into JSON, SDMX-JSON and SDMX-CSV.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/caarlos0/env/v11"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/keepalive"

	"github.com/comity-federation/comity/proto/mtls"
)

// Config is read from the environment, once.
type Config struct {
	State       string `env:"COMITY_STATE,required,notEmpty"`       // the code of this state, for example "us"
	Listen      string `env:"COMITY_LISTEN,required,notEmpty"`      // where HTTP answers, "host:port"
	Certificate string `env:"COMITY_CERTIFICATE,required,notEmpty"` // PEM file: this process's certificate inside the node, then its intermediates
	Key         string `env:"COMITY_KEY,required,notEmpty"`         // PEM file: its private key
	Root        string `env:"COMITY_ROOT,required,notEmpty"`        // PEM file: this state's own roots
	Statistics  string `env:"COMITY_STATISTICS,required,notEmpty"`  // the address of the statistics service, "host:port"
	Risk        string `env:"COMITY_RISK,required,notEmpty"`        // the address of the risk service
	Sharing     string `env:"COMITY_SHARING,required,notEmpty"`     // the address of the sharing service

	TLSCertificate string `env:"COMITY_TLS_CERTIFICATE"` // PEM file: the certificate that HTTP clients see; without it, plain HTTP on loopback
	TLSKey         string `env:"COMITY_TLS_KEY"`         // PEM file: its private key
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	if err := run(ctx, log); err != nil {
		log.LogAttrs(ctx, slog.LevelError, "the gateway ends", slog.String("error", err.Error()))
		os.Exit(1)
	}
}

// run serves until ctx ends.
func run(ctx context.Context, log *slog.Logger) error {
	cfg, err := env.ParseAs[Config]()
	if err != nil {
		return err
	}
	log = log.With(slog.String("service", "gateway"), slog.String("state", cfg.State))
	if err := checkListen(cfg); err != nil {
		return err
	}
	services, closeAll, err := dial(cfg)
	if err != nil {
		return err
	}
	defer closeAll()
	handler, err := newHandler(ctx, cfg.State, services, log)
	if err != nil {
		return err
	}
	listener, err := listen(ctx, cfg)
	if err != nil {
		return err
	}
	log.LogAttrs(ctx, slog.LevelInfo, "listening", slog.String("address", listener.Addr().String()), slog.Bool("tls", cfg.TLSCertificate != ""))
	return serve(ctx, newServer(handler, log), listener)
}

// dial connects to the three services, each of which must prove that it is that service of this state.
func dial(cfg Config) (services Services, closeAll func(), err error) {
	pair, err := mtls.LoadPair(cfg.Certificate, cfg.Key)
	if err != nil {
		return Services{}, nil, err
	}
	roots, err := mtls.RootFile(cfg.State, cfg.Root)
	if err != nil {
		return Services{}, nil, err
	}
	var open []*grpc.ClientConn
	closeAll = func() {
		for _, conn := range open {
			_ = conn.Close()
		}
	}
	for _, s := range []struct {
		name, address string
		conn          **grpc.ClientConn
	}{
		{"statistics", cfg.Statistics, &services.Statistics},
		{"risk", cfg.Risk, &services.Risk},
		{"sharing", cfg.Sharing, &services.Sharing},
	} {
		conn, err := grpc.NewClient(s.address, append(dialOptions(),
			grpc.WithTransportCredentials(mtls.NewClient(pair, roots, mtls.Identity{State: cfg.State, Service: s.name})),
		)...)
		if err != nil {
			closeAll()
			return Services{}, nil, fmt.Errorf("connecting to %s: %w", s.name, err)
		}
		open = append(open, conn)
		*s.conn = conn
	}
	return services, closeAll, nil
}

// maxMessage is the largest message taken from a service, in bytes.
const maxMessage = 64 << 20

// dialOptions are what every connection to a service has, whatever its credentials.
func dialOptions() []grpc.DialOption {
	// A service that starts later than the gateway, or again, is found soon: by itself gRPC would wait up to two minutes.
	reconnect := backoff.DefaultConfig
	reconnect.BaseDelay, reconnect.MaxDelay = 100*time.Millisecond, 2*time.Second
	return []grpc.DialOption{
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: 5 * time.Second}),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 5 * time.Minute, Timeout: 20 * time.Second}),
		grpc.WithUnaryInterceptor(unaryMetadata),
		grpc.WithStreamInterceptor(streamMetadata),
		grpc.WithUserAgent("comity-gateway"),
	}
}

// newServer returns a server that is patient with long uploads and downloads, whose handlers set deadlines of their
// own, and with nothing else.
func newServer(handler http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// serve serves until ctx ends, then lets the calls at hand finish for a while.
func serve(ctx context.Context, server *http.Server, listener net.Listener) error {
	done := make(chan error, 1)
	go func() { done <- server.Serve(listener) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
	defer cancel()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close()
	}
	if err := <-done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
