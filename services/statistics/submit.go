package statistics

import (
	"context"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

const maxIdempotencyKey = 128 // characters

// Submit reads an upload, checks it, and accepts or rejects it whole. An accepted one is stored in one transaction with
// what is derived from it; a rejected one is stored with its findings alone. Faults are of the request: what is wrong
// with the rows is in the findings of the submission.
func (s *Service) Submit(ctx context.Context, header Header, content Content) (*Submission, error) {
	if err := s.writable(ctx); err != nil {
		return nil, err
	}
	if header.Provider == "" {
		header.Provider = s.state
	}
	catalogue, err := s.Catalogue(ctx)
	if err != nil {
		return nil, err
	}
	flow, layout, err := s.target(ctx, catalogue, &header, content)
	if err != nil {
		return nil, err
	}
	upload, err := load(flow, layout, &header, content)
	if err != nil {
		return nil, err
	}
	rules, err := s.rulesOf(ctx, flow.Ref)
	if err != nil {
		return nil, err
	}
	submission := upload.submission(&header)
	submission.ID = s.newID()
	err = s.steadily(ctx, catalogue, flow, func(catalogue *Catalogue, flow *Flow) error {
		return s.decide(ctx, catalogue, flow, &header, upload, rules, submission)
	})
	if err != nil {
		return nil, err
	}
	return submission, nil
}

// decide accepts or rejects what was read, and stores it with the submission.
func (s *Service) decide(ctx context.Context, catalogue *Catalogue, flow *Flow, header *Header, upload *loader, rules Rules, submission *Submission) error {
	return s.store.Update(ctx, func(ctx context.Context, tx Transaction) error {
		change, err := newChange(catalogue, flow, header.Provider)
		if err != nil {
			return err
		}
		if err := hold(ctx, tx, catalogue, false); err != nil {
			return err
		}
		if err := tx.Lock(ctx, change.parts()...); err != nil {
			return err
		}
		if header.IdempotencyKey != "" {
			before, err := tx.SubmissionByKey(ctx, change.source, header.IdempotencyKey)
			if err == nil {
				return s.replay(before, submission)
			}
			if !fault.Is(err, fault.NotFound) {
				return err
			}
		}
		submission.CreateTime = s.moment()
		if submission.State == Accepted {
			if err := change.merge(ctx, tx, upload, header); err != nil {
				return err
			}
			verdict, err := s.judge(ctx, tx, catalogue, change, upload, header, rules.Rules, submission.Digest)
			if err != nil {
				return err
			}
			if !upload.report.Blocking() {
				if err := change.derive(ctx, tx, upload.report); err != nil {
					return err
				}
			}
			if upload.report.Blocking() {
				submission.State, submission.Observations = Rejected, 0
			} else {
				change.describe(submission, upload.report)
				if submission.Revision, err = change.apply(ctx, tx, submission.ID); err != nil {
					return err
				}
				if err := change.putTerms(ctx, tx, header.KeepDays); err != nil {
					return err
				}
				if err := verdict.keep(ctx, tx, submission); err != nil {
					return err
				}
			}
		}
		submission.Findings = upload.report.Findings()
		return tx.PutSubmission(ctx, submission)
	})
}

// replay makes submission the one that was stored with its idempotency key.
func (s *Service) replay(before Submission, submission *Submission) error {
	if before.Digest != submission.Digest {
		return fault.New(fault.Exists, "IDEMPOTENCY_CONFLICT", "the idempotency key %q was used for another upload", submission.IdempotencyKey).
			With("submission", "submissions/"+before.ID)
	}
	*submission = before
	return nil
}

// target checks the header and returns what it names.
func (s *Service) target(ctx context.Context, catalogue *Catalogue, header *Header, content Content) (*Flow, *Layout, error) {
	flow, err := catalogue.Flow(header.Dataflow)
	if err != nil {
		return nil, nil, err
	}
	if len([]rune(header.IdempotencyKey)) > maxIdempotencyKey {
		return nil, nil, fault.InvalidField("header.idempotencyKey", "is longer than %d characters", maxIdempotencyKey)
	}
	for _, named := range []struct{ field, text string }{
		{"idempotencyKey", header.IdempotencyKey}, {"layout", header.Layout}, {"provider", header.Provider}, {"release", header.Release},
	} {
		if len(named.text) > maxTextLength || !isText(named.text) {
			return nil, nil, fault.InvalidField("header."+named.field, "%q is no text of at most %d bytes", shown(named.text), maxTextLength)
		}
	}
	if header.Action != Replace && header.Action != Delete && !header.Scope.IsTrue() {
		return nil, nil, fault.InvalidField("header.scope", "only REPLACE and DELETE have a scope")
	}
	if err := header.Scope.Check(); err != nil {
		return nil, nil, fault.InvalidField("header.scope", "%v", err)
	}
	for _, component := range header.Scope.Components() {
		if component != block.TimePeriod && flow.Structure.Dimension(component) < 0 {
			return nil, nil, fault.InvalidField("header.scope", "%q is no dimension of %s", component, flow.Structure.Ref)
		}
	}
	if header.Layout == "" {
		if content.Blocks == nil {
			return nil, nil, fault.InvalidField("header.layout", "a national file needs one")
		}
		return flow, nil, nil
	}
	if content.File == nil {
		return nil, nil, fault.InvalidField("header.layout", "blocks have none")
	}
	layout, err := s.store.Layout(ctx, header.Layout)
	if err != nil {
		return nil, nil, err
	}
	if filled, err := catalogue.Flow(layout.Dataflow); err != nil || filled.Ref != flow.Ref {
		return nil, nil, fault.InvalidField("header.layout", "the layout %s fills %s, not %s", layout.ID, layout.Dataflow, flow.Ref)
	}
	return flow, &layout, nil
}
