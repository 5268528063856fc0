package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

const submissionColumns = `
	id::text, dataflow, provider, coalesce(idempotency_key, ''), digest, state, layout, release, submitter, row_count,
	observations, revision, derivations, overrides, action, changes, created_at`

func scanSubmission(row pgx.Row, more ...any) (s statistics.Submission, err error) {
	var dataflow, state, action string
	var digest []byte
	err = row.Scan(append([]any{
		&s.ID, &dataflow, &s.Provider, &s.IdempotencyKey, &digest, &state, &s.Layout, &s.Release, &s.Submitter, &s.Rows,
		&s.Observations, &s.Revision, &s.Derivations, &s.Overrides, &action, &s.Changes, &s.CreateTime,
	}, more...)...)
	if err != nil {
		return s, err
	}
	s.State = statistics.Rejected
	if state == stateText(statistics.Accepted) {
		s.State = statistics.Accepted
	}
	s.Action = statistics.Action(max(slices.Index(actions[:], action), 0)) //nolint:gosec // one of a few
	copy(s.Digest[:], digest)
	s.CreateTime = s.CreateTime.UTC()
	s.Dataflow, err = statistics.ParseRef(dataflow)
	return s, err
}

var actions = [...]string{statistics.Merge: "MERGE", statistics.Replace: "REPLACE", statistics.Append: "APPEND", statistics.Delete: "DELETE"}

func stateText(s statistics.State) string {
	if s == statistics.Accepted {
		return "ACCEPTED"
	}
	return "REJECTED"
}

// Submission returns a submission.
func (s *Store) Submission(ctx context.Context, id string) (statistics.Submission, error) {
	missing := fault.Missing("there is no submission %q", id)
	if _, err := uuid.Parse(id); err != nil {
		return statistics.Submission{}, missing
	}
	var findings []statistics.Finding
	row := s.pool.QueryRow(ctx, `
		SELECT `+submissionColumns+`, findings
		FROM submission
		WHERE id = $1`, id)
	submission, err := scanSubmission(row, &findings)
	if errors.Is(err, pgx.ErrNoRows) {
		return submission, missing
	}
	if err != nil {
		return submission, fmt.Errorf("reading the submission %s: %w", id, err)
	}
	submission.Findings = findings
	return submission, nil
}

// Submissions returns submissions, the newest first.
func (s *Store) Submissions(ctx context.Context, limit int, after string) ([]statistics.Submission, error) {
	last, err := lastOfPage(after)
	if err != nil {
		return nil, err
	}
	rows, err := s.pool.Query(ctx, `
		SELECT `+submissionColumns+`
		FROM submission
		WHERE id < @last
		ORDER BY id DESC
		LIMIT @limit`,
		pgx.NamedArgs{"last": last.String(), "limit": limit})
	if err != nil {
		return nil, fmt.Errorf("listing submissions: %w", err)
	}
	submissions, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (statistics.Submission, error) {
		return scanSubmission(row)
	})
	if err != nil {
		return nil, fmt.Errorf("listing submissions: %w", err)
	}
	return submissions, nil
}

// SubmissionByKey returns the submission with an idempotency key.
func (t *transaction) SubmissionByKey(ctx context.Context, part statistics.Part, key string) (statistics.Submission, error) {
	var findings []statistics.Finding
	row := t.tx.QueryRow(ctx, `
		SELECT `+submissionColumns+`, findings
		FROM submission
		WHERE dataflow = @dataflow AND provider = @provider AND idempotency_key = @key`,
		pgx.NamedArgs{"dataflow": part.Dataflow.String(), "provider": part.Provider, "key": key})
	submission, err := scanSubmission(row, &findings)
	if errors.Is(err, pgx.ErrNoRows) {
		return submission, fault.Missing("there is no submission with the idempotency key %q", key)
	}
	if err != nil {
		return submission, fmt.Errorf("reading the submission with the idempotency key %q: %w", key, err)
	}
	submission.Findings = findings
	return submission, nil
}

// PutSubmission stores a submission.
func (t *transaction) PutSubmission(ctx context.Context, s *statistics.Submission) error {
	findings, derivations := s.Findings, s.Derivations
	if findings == nil {
		findings = []statistics.Finding{}
	}
	if derivations == nil {
		derivations = []statistics.Derivation{}
	}
	_, err := t.tx.Exec(ctx, `
		INSERT INTO submission (
			id, dataflow, provider, idempotency_key, digest, state, layout, release, submitter, row_count,
			observations, revision, findings, derivations, overrides, action, changes, created_at)
		VALUES (
			@id, @dataflow, @provider, nullif(@key, ''), @digest, @state, @layout, @release, @submitter, @rows,
			@observations, @revision, @findings, @derivations, @overrides, @action, @changes, @created_at)`,
		pgx.NamedArgs{
			"id": s.ID, "dataflow": s.Dataflow.String(), "provider": s.Provider, "key": s.IdempotencyKey,
			"digest": s.Digest[:], "state": stateText(s.State), "layout": s.Layout, "release": s.Release,
			"submitter": s.Submitter, "rows": s.Rows, "observations": s.Observations, "revision": s.Revision,
			"findings": findings, "derivations": derivations, "overrides": orEmpty(s.Overrides), "action": actions[s.Action],
			"changes": s.Changes, "created_at": s.CreateTime,
		})
	if err != nil {
		return fmt.Errorf("storing the submission %s: %w", s.ID, err)
	}
	return nil
}

// lastOfPage returns the id after which a list that ends with the oldest goes on; of "", the one before the newest.
func lastOfPage(token string) (uuid.UUID, error) {
	if token == "" {
		return uuid.Max, nil
	}
	last, err := uuid.Parse(token)
	if err != nil {
		return last, fault.InvalidField("pageToken", "%q is not a token of this list", token)
	}
	return last, nil
}
