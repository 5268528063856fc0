package rpc

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/comity-federation/comity/services/sharing"
)

// TransferMetrics are gauges of what waits for partners, read when they are asked for.
type TransferMetrics struct {
	service *sharing.Service
	log     *slog.Logger
	waiting *prometheus.Desc
	oldest  *prometheus.Desc
	contact *prometheus.Desc
	held    *prometheus.Desc
}

// NewTransferMetrics returns the gauges.
func NewTransferMetrics(service *sharing.Service, log *slog.Logger) *TransferMetrics {
	return &TransferMetrics{
		service: service, log: log,
		waiting: prometheus.NewDesc("comity_sharing_waiting_batches", "Batches that wait for the partner.", []string{"partner"}, nil),
		oldest: prometheus.NewDesc("comity_sharing_waiting_oldest_seconds",
			"How long the oldest batch has waited for the partner; 0 where none waits.", []string{"partner"}, nil),
		contact: prometheus.NewDesc("comity_sharing_last_contact_seconds",
			"How long ago the partner last answered; absent where it never has.", []string{"partner"}, nil),
		held: prometheus.NewDesc("comity_sharing_release_held",
			"1 where what changed does not go under an agreement for now: SCHEDULE, it waits for an occurrence; QUOTA, for the next period; else why a source's figures are not passed on.",
			[]string{"agreement", "partner", "reason"}, nil),
	}
}

// Describe is of prometheus.Collector.
func (m *TransferMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.waiting, m.oldest, m.contact, m.held} {
		descriptions <- d
	}
}

// Collect is of prometheus.Collector.
func (m *TransferMetrics) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	partners, err := m.service.Partners(ctx)
	if err != nil {
		m.log.WarnContext(ctx, "reading partners for their metrics", "error", err)
		return
	}
	ages, err := m.service.WaitingSince(ctx)
	if err != nil {
		m.log.WarnContext(ctx, "reading what waits for its metrics", "error", err)
		return
	}
	for _, p := range partners {
		code := string(p.Code)
		metrics <- prometheus.MustNewConstMetric(m.waiting, prometheus.GaugeValue, float64(p.Waiting), code)
		metrics <- prometheus.MustNewConstMetric(m.oldest, prometheus.GaugeValue, ages[p.Code].Seconds(), code)
		if !p.LastContact.IsZero() {
			metrics <- prometheus.MustNewConstMetric(m.contact, prometheus.GaugeValue, time.Since(p.LastContact).Seconds(), code)
		}
	}
	for _, held := range m.service.Held() {
		metrics <- prometheus.MustNewConstMetric(m.held, prometheus.GaugeValue, 1, string(held.Agreement), string(held.Partner), held.Reason)
	}
}
