// Package rpc sets a service up on gRPC.
package rpc

import (
	"context"
	"errors"
	"log/slog"

	"google.golang.org/grpc"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/internal/policy"
)

// Server is a gRPC server.
type Server struct{ server *grpc.Server }

// NewServer returns a server that is not listening yet.
func NewServer(_ Config, _ *policy.Engine, _ *slog.Logger, _ func(context.Context) error) (*Server, error) {
	return &Server{server: grpc.NewServer()}, nil
}

// RegisterService makes Server a grpc.ServiceRegistrar.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, impl any) { s.server.RegisterService(desc, impl) }

// Exchange adds the port on which other states' sharing services call. What is registered with the result is served
// there, by Serve.
func (s *Server) Exchange(_ string, _ mtls.Roots) (grpc.ServiceRegistrar, error) { return s.server, nil }

// Background adds a loop that lives as long as the server.
func (s *Server) Background(_ func(context.Context) error) {}

// Serve listens and serves until ctx ends.
func (s *Server) Serve(_ context.Context) error { return errors.ErrUnsupported }

// Dial connects to another service of the same state.
func Dial(_ Config, _, _ string) (*grpc.ClientConn, error) { return nil, errors.ErrUnsupported }

// Status turns an error into a gRPC status.
func Status(err error) error { return err }
