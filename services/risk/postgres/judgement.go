package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/risk"
)

// count is the form in which evidence is kept.
type count struct {
	Period   string  `json:"period"`
	Events   float64 `json:"events"`
	Provider string  `json:"provider,omitempty"`
	Status   string  `json:"status,omitempty"`
	LeftOut  bool    `json:"leftOut,omitempty"`
}

// CreateJudgement stores j.
func (s *Store) CreateJudgement(ctx context.Context, j risk.Judgement) error {
	counts := make([]count, len(j.Evidence))
	for i, c := range j.Evidence {
		counts[i] = count{c.Period.String(), c.Events, c.Provider, c.Status, c.LeftOut}
	}
	evidence, err := json.Marshal(counts)
	if err != nil {
		return fmt.Errorf("encoding the evidence: %w", err)
	}
	const insert = `
		INSERT INTO judgement (
			id, assumption, judge_time, revision, method, evidence, events, exposure,
			posterior_shape, posterior_rate, mean, q05, q50, q95, under_estimated, over_estimated, within,
			surprise_upper, surprise_lower, log_bayes_factor, outcome, exposure_needed
		) VALUES (
			@id, @assumption, @judge_time, @revision, @method, @evidence, @events, @exposure,
			@posterior_shape, @posterior_rate, @mean, @q05, @q50, @q95, @under_estimated, @over_estimated, @within,
			@surprise_upper, @surprise_lower, @log_bayes_factor, @outcome, NULLIF(@exposure_needed::float8, 0)
		)`
	r := j.Result
	_, err = s.pool.Exec(ctx, insert, pgx.NamedArgs{
		"id":               j.ID,
		"assumption":       j.Assumption.ID,
		"judge_time":       j.Time,
		"revision":         j.Revision,
		"method":           j.Method,
		"evidence":         evidence,
		"events":           j.Events,
		"exposure":         j.Exposure,
		"posterior_shape":  r.Posterior.Shape,
		"posterior_rate":   r.Posterior.Rate,
		"mean":             r.Mean,
		"q05":              r.Q05,
		"q50":              r.Q50,
		"q95":              r.Q95,
		"under_estimated":  r.UnderEstimated,
		"over_estimated":   r.OverEstimated,
		"within":           r.Within,
		"surprise_upper":   r.SurpriseUpper,
		"surprise_lower":   r.SurpriseLower,
		"log_bayes_factor": r.LogBayesFactor,
		"outcome":          r.Outcome,
		"exposure_needed":  r.ExposureNeeded,
	})
	if err != nil {
		return fmt.Errorf("inserting: %w", err)
	}
	return nil
}
