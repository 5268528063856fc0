package rpc

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/comity-federation/comity/services/sharing"
)

const scrapeTimeout = 5 * time.Second

// AgreementMetrics are gauges of how the agreements stand, read when they are asked for.
type AgreementMetrics struct {
	service  *sharing.Service
	log      *slog.Logger
	daysLeft *prometheus.Desc
	rejected *prometheus.Desc
}

// NewAgreementMetrics returns the gauges.
func NewAgreementMetrics(service *sharing.Service, log *slog.Logger) *AgreementMetrics {
	return &AgreementMetrics{
		service: service, log: log,
		daysLeft: prometheus.NewDesc("comity_sharing_agreement_days_left",
			"Days that an agreement with a last day is in force after today; below 0 when it is over.",
			[]string{"agreement", "provider", "receiver"}, nil),
		rejected: prometheus.NewDesc("comity_sharing_agreement_rejected",
			"1 where the partner has rejected what this state signed of an agreement.", []string{"agreement", "provider", "receiver"}, nil),
	}
}

// Describe is of prometheus.Collector.
func (m *AgreementMetrics) Describe(descriptions chan<- *prometheus.Desc) {
	descriptions <- m.daysLeft
	descriptions <- m.rejected
}

// Collect is of prometheus.Collector.
func (m *AgreementMetrics) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	agreements, err := m.service.Agreements(ctx, false)
	if err != nil {
		m.log.WarnContext(ctx, "reading agreements for their metrics", "error", err)
		return
	}
	rejected := map[sharing.AgreementID]bool{}
	for _, a := range agreements {
		labels := []string{string(a.Terms.ID), string(a.Terms.Provider), string(a.Terms.Receiver)}
		if days, ok := m.service.DaysLeft(a); ok {
			metrics <- prometheus.MustNewConstMetric(m.daysLeft, prometheus.GaugeValue, float64(days), labels...)
		}
		for _, signed := range a.Signatures {
			if signed.Rejection != nil && !rejected[a.Terms.ID] {
				rejected[a.Terms.ID] = true
				metrics <- prometheus.MustNewConstMetric(m.rejected, prometheus.GaugeValue, 1, labels...)
			}
		}
	}
}
