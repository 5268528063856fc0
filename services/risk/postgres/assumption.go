package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/risk"
)

// CreateAssumption stores a, or returns what is stored under its id.
func (s *Store) CreateAssumption(ctx context.Context, a risk.Assumption) (risk.Assumption, error) {
	const insert = `
		INSERT INTO assumption (
			id, title, rationale, author, assumed_rate, strength, tolerance,
			dataflow, key, provider, start_period, end_period, create_time
		) VALUES (
			@id, @title, @rationale, @author, @assumed_rate, @strength, @tolerance,
			@dataflow, @key, @provider, @start_period, @end_period, @create_time
		)
		ON CONFLICT (id) DO NOTHING`
	_, err := s.pool.Exec(ctx, insert, pgx.NamedArgs{
		"id":           a.ID,
		"title":        a.Title,
		"rationale":    a.Rationale,
		"author":       a.Author,
		"assumed_rate": a.AssumedRate,
		"strength":     a.Strength,
		"tolerance":    a.Tolerance,
		"dataflow":     a.Evidence.Dataflow,
		"key":          a.Evidence.Key,
		"provider":     a.Evidence.Provider,
		"start_period": a.Evidence.Start,
		"end_period":   a.Evidence.End,
		"create_time":  a.CreateTime,
	})
	if err != nil {
		return risk.Assumption{}, fmt.Errorf("inserting: %w", err)
	}
	return s.Assumption(ctx, a.ID)
}

// Assumption returns an assumption, or a fault of kind NotFound.
func (s *Store) Assumption(ctx context.Context, id risk.AssumptionID) (risk.Assumption, error) {
	const query = `
		SELECT id, title, rationale, author, assumed_rate, strength, tolerance,
			dataflow, key, provider, start_period, end_period, create_time
		FROM assumption
		WHERE id = @id`
	rows, err := s.pool.Query(ctx, query, pgx.NamedArgs{"id": id})
	if err != nil {
		return risk.Assumption{}, fmt.Errorf("reading assumption %s: %w", id, err)
	}
	a, err := pgx.CollectExactlyOneRow(rows, scanAssumption)
	if errors.Is(err, pgx.ErrNoRows) {
		return risk.Assumption{}, fault.Missing("no assumption is registered as %q", id)
	}
	if err != nil {
		return risk.Assumption{}, fmt.Errorf("reading assumption %s: %w", id, err)
	}
	return a, nil
}

// Assumptions returns the assumptions after an id, at most limit, by id.
func (s *Store) Assumptions(ctx context.Context, after risk.AssumptionID, limit int) ([]risk.Assumption, error) {
	const query = `
		SELECT id, title, rationale, author, assumed_rate, strength, tolerance,
			dataflow, key, provider, start_period, end_period, create_time
		FROM assumption
		WHERE id > @after
		ORDER BY id
		LIMIT @limit`
	rows, err := s.pool.Query(ctx, query, pgx.NamedArgs{"after": after, "limit": limit})
	if err != nil {
		return nil, fmt.Errorf("reading assumptions: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanAssumption)
	if err != nil {
		return nil, fmt.Errorf("reading assumptions: %w", err)
	}
	return list, nil
}

func scanAssumption(row pgx.CollectableRow) (risk.Assumption, error) {
	var a risk.Assumption
	var created time.Time
	err := row.Scan(
		&a.ID, &a.Title, &a.Rationale, &a.Author, &a.AssumedRate, &a.Strength, &a.Tolerance,
		&a.Evidence.Dataflow, &a.Evidence.Key, &a.Evidence.Provider, &a.Evidence.Start, &a.Evidence.End, &created,
	)
	a.CreateTime = created.UTC()
	return a, err
}
