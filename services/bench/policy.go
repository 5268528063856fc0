package bench

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/sharing"
)

// The agreements that policy knows while its decisions are measured, and what goes under one of them in a day.
const (
	policyPartners   = 30
	policyIndicators = 100 // for each partner: an agreement each
	policyReleases   = 24  // an hour
	policyBatches    = 16  // of a release
)

// policyTerms are the terms of one agreement.
func policyTerms(partner sharing.StateCode, indicator string) sharing.Terms {
	return sharing.Terms{
		ID: sharing.AgreementID(fmt.Sprintf("us-%s-%s", partner, indicator)), Version: 1, Provider: "us", Receiver: partner,
		Dataflow: "COMITY:BORDER(1.0.0)", Indicators: []string{indicator}, Purposes: []string{"risk analysis"},
		Detail:           map[string]string{"FREQ": "M", "REF_AREA": "area", "SECTION": "section", "CITIZENSHIP": "country"},
		MinimumFrequency: 3, ValidFrom: "2020-01-01", Text: "Monthly counts by section and citizenship.",
	}
}

// policyDecisions measures what policy decides on the way of a day's releases under one of 3,000 agreements: once for each release
// whether it may go, and for each batch whether it becomes data.
func (x *exchange) policyDecisions(ctx context.Context) error {
	const limit = 50 * time.Microsecond
	engine, err := policy.Open(ctx, []string{filepath.Clean(x.policies())}, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	agreed := map[sharing.StateCode]map[string][]sharing.Terms{}
	for p := range policyPartners {
		partner := sharing.StateCode(fmt.Sprint("p", p))
		agreed[partner] = map[string][]sharing.Terms{}
		for i := range policyIndicators {
			indicator := fmt.Sprint("I", i)
			agreed[partner][indicator] = []sharing.Terms{policyTerms(partner, indicator)}
		}
	}
	levels := map[string][]string{
		"FREQ": {}, "REF_AREA": {"area"}, "INDICATOR": {}, "SECTION": {"total", "section"}, "CITIZENSHIP": {"total", "country"},
	}
	for name, data := range map[string]any{"agreements": agreed, "levels": levels} {
		if err := engine.SetData(ctx, name, data); err != nil {
			return err
		}
	}
	day := &policyDay{engine: engine}
	begin := time.Now()
	for release := range policyReleases {
		if err := day.release(ctx, release); err != nil {
			return err
		}
	}
	took := time.Since(begin)
	each := took / (policyReleases * policyBatches)
	x.table.add(Row{
		What:   fmt.Sprintf("policy decisions, a batch, with %d agreements", policyPartners*policyIndicators),
		Figure: fmt.Sprintf("%.1f µs", float64(each.Nanoseconds())/1000), Limit: "≤ 50 µs",
		Ratio: fmt.Sprintf("%.2f", each.Seconds()/limit.Seconds()), Kept: each <= limit,
		Detail: fmt.Sprintf("%d releases of %d batches in a day; the first release's decision takes %s, the last one's %s",
			policyReleases, policyBatches, milliseconds(day.first), milliseconds(day.last)),
	})
	return nil
}

// policyDay asks policy what is asked in a day.
type policyDay struct {
	engine      *policy.Engine
	first, last time.Duration // of the decisions on releases
}

func (d *policyDay) release(ctx context.Context, n int) error {
	terms := policyTerms("p3", "I7")
	question := sharing.Question{
		State: terms.Provider, Partner: terms.Receiver, Direction: "send", Dataflow: terms.Dataflow, Indicator: terms.Indicators[0],
		Date: "2026-03-01", Requested: map[string][]sharing.RequestedCode{},
	}
	begin := time.Now()
	var ruling sharing.Ruling
	if _, err := d.engine.Evaluate(ctx, "data.comity.exchange.decision", question, &ruling); err != nil {
		return err
	}
	if !ruling.Allow {
		return fmt.Errorf("policy refuses: %v", ruling.Reasons)
	}
	if _, _, err := d.engine.Condition(ctx, "data.comity.exchange.include", question, "input.cell"); err != nil {
		return err
	}
	if d.last = time.Since(begin); n == 0 {
		d.first = d.last
	}
	for batch := range policyBatches {
		received := map[string]any{
			"state": terms.Receiver, "sender": terms.Provider, "refAreas": []string{"US"}, "date": question.Date, "agreement": terms,
			"header": map[string]any{"agreement": terms.ID, "version": terms.Version, "dataflow": terms.Dataflow},
			"summary": map[string]any{
				"refAreas": []string{"US"}, "indicators": terms.Indicators, "unknownCodes": []string{}, "frequencies": []string{"M"},
				"components": []string{"FREQ", "REF_AREA", "INDICATOR", "SECTION", "CITIZENSHIP", "TIME_PERIOD", "OBS_STATUS", "CONF_STATUS", "OBS_VALUE"},
				"finest":     map[string][]string{"REF_AREA": {"area"}, "SECTION": {"section"}, "CITIZENSHIP": {"country"}},
				"minimum":    3 + (n+batch)%5, // of so many cells the smallest is near the threshold
			},
		}
		var verdict struct {
			Allow   bool             `json:"allow"`
			Reasons []sharing.Reason `json:"reasons"`
		}
		if _, err := d.engine.Evaluate(ctx, "data.comity.receive.decision", received, &verdict); err != nil {
			return err
		}
		if !verdict.Allow {
			return fmt.Errorf("policy does not accept: %v", verdict.Reasons)
		}
	}
	return nil
}
