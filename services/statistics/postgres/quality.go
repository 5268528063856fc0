package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// Rules returns the newest quality rules of a dataflow.
func (s *Store) Rules(ctx context.Context, dataflow statistics.Ref) (statistics.Rules, error) {
	rules := statistics.Rules{Dataflow: dataflow}
	err := s.pool.QueryRow(ctx, `
		SELECT version, content, author, created_at
		FROM quality_rules
		WHERE dataflow = $1
		ORDER BY version DESC
		LIMIT 1`, dataflow.String()).Scan(&rules.Version, &rules.Rules, &rules.Author, &rules.CreateTime)
	if errors.Is(err, pgx.ErrNoRows) {
		return rules, fault.Missing("%s has no quality rules of its own", dataflow)
	}
	if err != nil {
		return rules, fmt.Errorf("reading the quality rules of %s: %w", dataflow, err)
	}
	rules.CreateTime = rules.CreateTime.UTC()
	return rules, nil
}

// PutRules stores quality rules as the newest of their dataflow.
func (s *Store) PutRules(ctx context.Context, rules *statistics.Rules) error {
	content := rules.Rules
	if content == nil {
		content = []statistics.Rule{}
	}
	// Two who do so at once get the same version, and the second waits for the first and then fails: once more.
	const attempts = 5
	for attempt := 1; ; attempt++ {
		err := s.begin(ctx, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, `
			INSERT INTO quality_rules (dataflow, version, content, author, created_at)
			SELECT @dataflow, coalesce(max(version), 0) + 1, @content, @author, @created_at
			FROM quality_rules
			WHERE dataflow = @dataflow
			ON CONFLICT DO NOTHING
			RETURNING version`,
				pgx.NamedArgs{
					"dataflow": rules.Dataflow.String(), "content": content, "author": rules.Author, "created_at": rules.CreateTime,
				}).Scan(&rules.Version)
		})
		if errors.Is(err, pgx.ErrNoRows) && attempt < attempts {
			continue
		}
		if err != nil {
			return fmt.Errorf("storing the quality rules of %s: %w", rules.Dataflow, err)
		}
		return nil
	}
}

// HoldSubmission returns a submission that nobody else changes meanwhile.
func (t *transaction) HoldSubmission(ctx context.Context, id string) (statistics.Submission, error) {
	missing := fault.Missing("there is no submission %q", id)
	if _, err := uuid.Parse(id); err != nil {
		return statistics.Submission{}, missing
	}
	var findings []statistics.Finding
	row := t.tx.QueryRow(ctx, `
		SELECT `+submissionColumns+`, findings
		FROM submission
		WHERE id = $1
		FOR UPDATE`, id)
	submission, err := scanSubmission(row, &findings)
	if errors.Is(err, pgx.ErrNoRows) {
		return submission, missing
	}
	if err != nil {
		return submission, fmt.Errorf("holding the submission %s: %w", id, err)
	}
	submission.Findings = findings
	return submission, nil
}

// AnnotateSubmission stores the findings and overrides of a submission.
func (t *transaction) AnnotateSubmission(ctx context.Context, s *statistics.Submission) error {
	_, err := t.tx.Exec(ctx, `
		UPDATE submission
		SET findings = @findings, overrides = @overrides
		WHERE id = @id`,
		pgx.NamedArgs{"id": s.ID, "findings": orEmpty(s.Findings), "overrides": orEmpty(s.Overrides)})
	if err != nil {
		return fmt.Errorf("annotating the submission %s: %w", s.ID, err)
	}
	return nil
}

// orEmpty keeps a list from being stored as null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func overrideArgs(part statistics.Part, digest [32]byte) pgx.NamedArgs {
	return pgx.NamedArgs{"dataflow": part.Dataflow.String(), "provider": part.Provider, "digest": digest[:]}
}

// PutOverride stores an override of a content.
func (t *transaction) PutOverride(ctx context.Context, part statistics.Part, digest [32]byte, o *statistics.Override) error {
	args := overrideArgs(part, digest)
	args["content"], args["created_at"] = o, o.CreateTime
	_, err := t.tx.Exec(ctx, `
		INSERT INTO override (dataflow, provider, digest, ordinal, content, created_at)
		SELECT @dataflow, @provider, @digest, coalesce(max(ordinal), 0) + 1, @content, @created_at
		FROM override
		WHERE dataflow = @dataflow AND provider = @provider AND digest = @digest`, args)
	if err != nil {
		return fmt.Errorf("storing an override: %w", err)
	}
	return nil
}

// TakeOverrides returns the overrides of a content that are not used yet.
func (t *transaction) TakeOverrides(ctx context.Context, part statistics.Part, digest [32]byte) ([]statistics.Override, error) {
	rows, err := t.tx.Query(ctx, `
		SELECT content
		FROM override
		WHERE dataflow = @dataflow AND provider = @provider AND digest = @digest AND used_by IS NULL
		ORDER BY ordinal
		FOR UPDATE`, overrideArgs(part, digest))
	if err != nil {
		return nil, fmt.Errorf("reading overrides: %w", err)
	}
	overrides, err := pgx.CollectRows(rows, pgx.RowTo[statistics.Override])
	if err != nil {
		return nil, fmt.Errorf("reading overrides: %w", err)
	}
	return overrides, nil
}

// UseOverrides uses up the overrides of a content.
func (t *transaction) UseOverrides(ctx context.Context, part statistics.Part, digest [32]byte, submission string) error {
	args := overrideArgs(part, digest)
	args["submission"] = submission
	_, err := t.tx.Exec(ctx, `
		UPDATE override
		SET used_by = @submission
		WHERE dataflow = @dataflow AND provider = @provider AND digest = @digest AND used_by IS NULL`, args)
	if err != nil {
		return fmt.Errorf("using overrides: %w", err)
	}
	return nil
}

// Profile returns the margins of a part, nil where those that were kept are not of its newest revision.
func (t *transaction) Profile(ctx context.Context, part statistics.Part) (profile []byte, err error) {
	locked := t.parts[part]
	if locked == nil {
		return nil, errors.New("the part is not locked")
	}
	err = t.tx.QueryRow(ctx, `
		SELECT content
		FROM margin
		WHERE part = $1 AND rev = $2`, locked.id, locked.rev-1).Scan(&profile)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the margins of %s of %s: %w", part.Dataflow, part.Provider, err)
	}
	return profile, nil
}

// PutProfile keeps the margins of a part for the revision that this transaction makes.
func (t *transaction) PutProfile(ctx context.Context, part statistics.Part, profile []byte) error {
	locked := t.parts[part]
	if locked == nil {
		return errors.New("the part is not locked")
	}
	_, err := t.tx.Exec(ctx, `
		INSERT INTO margin (part, rev, content)
		VALUES (@part, @rev, @content)
		ON CONFLICT (part) DO UPDATE SET rev = excluded.rev, content = excluded.content`,
		pgx.NamedArgs{"part": locked.id, "rev": locked.rev, "content": profile})
	if err != nil {
		return fmt.Errorf("keeping the margins of %s of %s: %w", part.Dataflow, part.Provider, err)
	}
	return nil
}
