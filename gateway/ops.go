package main

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// metrics are what /metrics tells of the answers.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	bytes    *prometheus.CounterVec
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "comity_http_requests_total", Help: "Requests answered.",
		}, []string{"part", "method", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "comity_http_request_seconds", Help: "Time from the first byte of a request to the last of its answer.",
			Buckets: []float64{.002, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 30, 120},
		}, []string{"part"}),
		bytes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "comity_http_response_bytes_total", Help: "Bytes of the bodies of answers.",
		}, []string{"part"}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.bytes,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

func (m *metrics) observe(r *http.Request, answer *recorder, took time.Duration) {
	part := partOf(r.URL.Path)
	method := r.Method
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodOptions:
	default:
		method = "other" // a client can make up any number of methods
	}
	m.requests.WithLabelValues(part, method, strconv.Itoa(answer.code())).Inc()
	m.duration.WithLabelValues(part).Observe(took.Seconds())
	m.bytes.WithLabelValues(part).Add(float64(answer.bytes))
}

func partOf(path string) string {
	switch {
	case path == submissionsPath:
		return "submissions"
	case strings.HasPrefix(path, sdmxPath):
		return "sdmx"
	case strings.HasPrefix(path, "/v1/"):
		return "api"
	case path == "/metrics", path == "/healthz", path == "/readyz":
		return "ops"
	}
	return "pages"
}

// readiness answers 200 where all three services serve, else 503 with which do not.
func readiness(services Services) http.Handler {
	all := []struct {
		name string
		conn *grpc.ClientConn
	}{{"statistics", services.Statistics}, {"risk", services.Risk}, {"sharing", services.Sharing}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
		defer cancel()
		states := make([]string, len(all))
		var checks sync.WaitGroup
		for i, service := range all {
			checks.Go(func() { states[i] = healthOf(ctx, service.conn) })
		}
		checks.Wait()
		status, text := http.StatusOK, ""
		for i, state := range states {
			if state != "serving" {
				status = http.StatusServiceUnavailable
			}
			text += all[i].name + ": " + state + "\n"
		}
		answerText(w, status, text)
	})
}

func healthOf(ctx context.Context, conn *grpc.ClientConn) string {
	answer, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	switch {
	case err != nil:
		return "does not answer"
	case answer.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING:
		return "not serving"
	}
	return "serving"
}
