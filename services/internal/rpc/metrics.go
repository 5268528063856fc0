package rpc

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are of the calls that a server answers.
type metrics struct {
	requests   *prometheus.CounterVec
	duration   *prometheus.HistogramVec
	handshakes *prometheus.CounterVec
}

func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		collectors.NewBuildInfoCollector(),
	)
	return registry
}

func newMetrics(registry prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "comity_rpc_requests_total", Help: "Calls answered, by gRPC code.",
		}, []string{"service", "method", "code"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "comity_rpc_duration_seconds", Help: "Time from the start of a call to its end; a stream's is its life.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 9),
		}, []string{"service", "method"}),
		handshakes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "comity_rpc_handshakes_refused_total", Help: "TLS handshakes that failed, by the address listened on.",
		}, []string{"address"}),
	}
	registry.MustRegister(m.requests, m.duration, m.handshakes)
	return m
}
