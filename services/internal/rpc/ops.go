package rpc

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

const readyTimeout = 5 * time.Second

// newOps returns the server of what operators and their tools ask: /metrics for Prometheus, /healthz (the process is
// there), /readyz (it can do its work, and by which revision of the policies; else 503 with the reason in a sentence).
func (s *Server) newOps() *http.Server {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{Registry: s.registry}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := s.isReady(r.Context()); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		_, _ = fmt.Fprintf(w, "ready, with policies %s\n", s.policies.Revision())
	})
	return &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute}
}

func (s *Server) isReady(ctx context.Context) error {
	if err := s.policies.Err(); err != nil {
		return fmt.Errorf("the policies are not as they should be, and the last good ones stay: %w", err)
	}
	if s.ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := s.ready(ctx); err != nil {
		return fmt.Errorf("not ready: %w", err)
	}
	return nil
}
