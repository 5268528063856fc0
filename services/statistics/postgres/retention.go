package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// dataflowText returns the dataflow of a rule as it is stored: "" for all.
func dataflowText(ref statistics.Ref) string {
	if ref == (statistics.Ref{}) {
		return ""
	}
	return ref.String()
}

// RetentionRules returns the rules of retention.
func (s *Store) RetentionRules(ctx context.Context) ([]statistics.RetentionRule, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT dataflow, provider, after_received, after_period, after_superseded, author, created_at
		FROM retention
		ORDER BY dataflow, provider`)
	if err != nil {
		return nil, fmt.Errorf("reading the rules of retention: %w", err)
	}
	rules, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r statistics.RetentionRule, err error) {
		var dataflow string
		err = row.Scan(&dataflow, &r.Provider, &r.AfterReceived, &r.AfterPeriod, &r.AfterSuperseded, &r.Author, &r.CreateTime)
		if err != nil || dataflow == "" {
			return r, err
		}
		r.Dataflow, err = statistics.ParseRef(dataflow)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the rules of retention: %w", err)
	}
	return rules, nil
}

// PutRetentionRule stores a rule in place of the one for its dataflow and provider.
func (s *Store) PutRetentionRule(ctx context.Context, r *statistics.RetentionRule) error {
	err := s.alter(ctx, `
		INSERT INTO retention (dataflow, provider, after_received, after_period, after_superseded, author, created_at)
		VALUES (@dataflow, @provider, @received, @period, @superseded, @author, @created_at)
		ON CONFLICT (dataflow, provider) DO UPDATE SET
			after_received = excluded.after_received,
			after_period = excluded.after_period,
			after_superseded = excluded.after_superseded,
			author = excluded.author,
			created_at = excluded.created_at`,
		pgx.NamedArgs{
			"dataflow": dataflowText(r.Dataflow), "provider": r.Provider, "received": r.AfterReceived, "period": r.AfterPeriod,
			"superseded": r.AfterSuperseded, "author": r.Author, "created_at": r.CreateTime,
		})
	if err != nil {
		return fmt.Errorf("storing a rule of retention: %w", err)
	}
	return nil
}

// DeleteRetentionRule takes a rule away.
func (s *Store) DeleteRetentionRule(ctx context.Context, dataflow statistics.Ref, provider string) error {
	err := s.alter(ctx, `
		DELETE FROM retention
		WHERE dataflow = @dataflow AND provider = @provider`,
		pgx.NamedArgs{"dataflow": dataflowText(dataflow), "provider": provider})
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("taking a rule of retention away: %w", err)
	}
	if err != nil {
		return fault.Missing("there is no rule for the dataflow %q and the provider %q", dataflowText(dataflow), provider)
	}
	return nil
}

// Parts returns every part that ever had a figure.
func (s *Store) Parts(ctx context.Context) ([]statistics.Part, error) {
	rows, err := s.pool.Query(ctx, `
		SELECT d.ref, p.provider
		FROM part p
		JOIN dataflow d ON d.id = p.dataflow
		WHERE p.bucket = 0 AND EXISTS (SELECT FROM revision r WHERE r.part = p.id)
		ORDER BY d.ref, p.provider`)
	if err != nil {
		return nil, fmt.Errorf("reading the parts: %w", err)
	}
	parts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (p statistics.Part, err error) {
		var dataflow string
		if err := row.Scan(&dataflow, &p.Provider); err != nil {
			return p, err
		}
		p.Dataflow, err = statistics.ParseRef(dataflow)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the parts: %w", err)
	}
	return parts, nil
}

// PutTerms keeps the terms of the revision that this transaction makes of a part.
func (t *transaction) PutTerms(ctx context.Context, part statistics.Part, keepDays int) error {
	locked := t.parts[part]
	if locked == nil {
		return errors.New("the part is not locked")
	}
	_, err := t.tx.Exec(ctx, `
		INSERT INTO terms (part, rev, keep_days)
		VALUES (@part, @rev, @days)
		ON CONFLICT (part, rev) DO UPDATE SET keep_days = excluded.keep_days`,
		pgx.NamedArgs{"part": locked.id, "rev": locked.rev, "days": keepDays})
	if err != nil {
		return fmt.Errorf("keeping the terms of %s of %s: %w", part.Dataflow, part.Provider, err)
	}
	return nil
}

// removedSince reports whether figures of the part were removed after a revision of it, in what this snapshot sees.
func (s *snapshot) removedSince(ctx context.Context, part seenPart, rev int64) (removed bool, err error) {
	err = s.db.QueryRow(ctx, `
		SELECT EXISTS (
			SELECT
			FROM removal
			WHERE part = @part AND rev > @rev
		)`, pgx.NamedArgs{"part": part.ID, "rev": rev}).Scan(&removed)
	if err != nil {
		return false, fmt.Errorf("asking what was removed: %w", err)
	}
	return removed, nil
}

// logRemoval adds what a chunk removed to the entry of the log.
func (t *transaction) logRemoval(ctx context.Context, part *lockedPart, of statistics.Part, r *statistics.Removal, rev int64) error {
	_, err := t.tx.Exec(ctx, `
		INSERT INTO removal AS r (
			part, id, dataflow, provider, rule, figures, superseded, by_terms, series, first_day, last_day, chunks, rev,
			started_at, ended_at)
		VALUES (
			@part, @id, @dataflow, @provider, @rule, @figures, @superseded, @by_terms, @series, @first, @last, 1, @rev,
			clock_timestamp(), clock_timestamp())
		ON CONFLICT (part, id) DO UPDATE SET
			figures = r.figures + excluded.figures,
			superseded = r.superseded + excluded.superseded,
			by_terms = r.by_terms + excluded.by_terms,
			series = r.series + excluded.series,
			first_day = least(r.first_day, excluded.first_day),
			last_day = greatest(r.last_day, excluded.last_day),
			chunks = r.chunks + 1,
			rev = greatest(r.rev, excluded.rev),
			ended_at = excluded.ended_at`,
		pgx.NamedArgs{
			"part": part.id, "id": r.ID, "dataflow": of.Dataflow.String(), "provider": of.Provider, "rule": r.Rule,
			"figures": r.Figures, "superseded": r.Superseded, "by_terms": r.ByTerms, "series": r.Series,
			"first": r.FirstDay, "last": r.LastDay, "rev": rev,
		})
	if err != nil {
		return fmt.Errorf("logging what was removed: %w", err)
	}
	return nil
}

// Removals returns entries of the log, the newest first.
func (s *Store) Removals(ctx context.Context, limit int, after string) ([]statistics.Removal, error) {
	last, err := lastOfPage(after)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT
			id::text, dataflow, provider, rule, figures, superseded, by_terms, series, first_day, last_day, chunks,
			started_at, ended_at
		FROM removal
		WHERE id < @last
		ORDER BY id DESC
		LIMIT @limit`,
		pgx.NamedArgs{"last": last.String(), "limit": limit})
	if err != nil {
		return nil, fmt.Errorf("listing removals: %w", err)
	}
	removals, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (r statistics.Removal, err error) {
		var dataflow string
		err = row.Scan(&r.ID, &dataflow, &r.Part.Provider, &r.Rule, &r.Figures, &r.Superseded, &r.ByTerms, &r.Series,
			&r.FirstDay, &r.LastDay, &r.Chunks, &r.StartTime, &r.EndTime)
		if err != nil {
			return r, err
		}
		r.StartTime, r.EndTime = r.StartTime.UTC(), r.EndTime.UTC()
		r.Part.Dataflow, err = statistics.ParseRef(dataflow)
		return r, err
	})
	if err != nil {
		return nil, fmt.Errorf("listing removals: %w", err)
	}
	return removals, nil
}
