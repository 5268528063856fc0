package statistics

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// Override lets a submission pass rules that it breaks.
type Override struct {
	Rules      []string
	Officer    string // who decided so
	Reason     string
	CreateTime time.Time
}

// OverrideStore keeps overrides, and what is changed of a submission that was decided.
type OverrideStore interface {
	// HoldSubmission returns a submission, which nobody else changes until the transaction ends; NotFound where there is
	// none.
	HoldSubmission(ctx context.Context, id string) (Submission, error)
	// AnnotateSubmission stores the findings and overrides of a submission that is held.
	AnnotateSubmission(ctx context.Context, s *Submission) error
	// PutOverride stores an override of submissions with this content to the part.
	PutOverride(ctx context.Context, part Part, digest [32]byte, o *Override) error
	// TakeOverrides returns the overrides of the content that no submission has used yet.
	TakeOverrides(ctx context.Context, part Part, digest [32]byte) ([]Override, error)
	// UseOverrides makes the overrides of the content those of a submission that is stored.
	UseOverrides(ctx context.Context, part Part, digest [32]byte, submission string) error
	// Profile returns the margins of a part as they were kept for its newest revision; nil where there are none.
	Profile(ctx context.Context, part Part) ([]byte, error)
	// PutProfile keeps the margins of a part that is locked, for the revision that this transaction makes of it.
	PutProfile(ctx context.Context, part Part, profile []byte) error
}

const (
	maxComment = 2000 // characters
	minReason  = 10   // characters
	maxReason  = 2000 // characters
)

// CommentFinding sets the provider's comment on a finding of a submission, by its position from 0; "" takes it away.
func (s *Service) CommentFinding(ctx context.Context, id string, finding int, comment string) (*Submission, error) {
	comment = strings.TrimSpace(comment)
	if len([]rune(comment)) > maxComment {
		return nil, fault.InvalidField("comment", "is longer than %d characters", maxComment)
	}
	if strings.ContainsRune(comment, 0) {
		return nil, fault.InvalidField("comment", "has characters that are not text")
	}
	return s.annotate(ctx, id, func(_ Transaction, submission *Submission) error {
		if finding < 0 || finding >= len(submission.Findings) {
			return fault.InvalidField("finding", "the submission has %d findings, numbered from 0: there is no number %d", len(submission.Findings), finding)
		}
		submission.Findings[finding].Comment = comment
		return nil
	})
}

// OverrideSubmission lets the content of a rejected submission pass rules that it breaks, once: submitted again to the same
// dataflow, with another idempotency key, it is accepted in spite of them. Only quality rules can be overridden. What
// keeps the store whole, such as that codes are known and keys stand once, cannot.
func (s *Service) OverrideSubmission(ctx context.Context, id string, rules []string, reason, officer string) (*Submission, error) {
	reason = strings.TrimSpace(reason)
	if n := len([]rune(reason)); n < minReason || n > maxReason || strings.ContainsRune(reason, 0) {
		return nil, fault.InvalidField("reason", "must have %d to %d characters", minReason, maxReason)
	}
	rules = slices.Compact(slices.Sorted(slices.Values(rules)))
	if len(rules) == 0 {
		return nil, fault.InvalidField("rules", "name those that the submission may break")
	}
	return s.annotate(ctx, id, func(tx Transaction, submission *Submission) error {
		if submission.State != Rejected {
			return fault.New(fault.Precondition, "WRONG_STATE", "the submission is not rejected: there is nothing to override")
		}
		for _, rule := range rules {
			if err := overridable(submission, rule); err != nil {
				return err
			}
		}
		o := Override{Rules: rules, Officer: officer, Reason: reason, CreateTime: s.moment()}
		submission.Overrides = append(submission.Overrides, o)
		return tx.PutOverride(ctx, Part{Dataflow: submission.Dataflow, Provider: submission.Provider}, submission.Digest, &o)
	})
}

// overridable returns a fault where a rule did not reject the submission, or must.
func overridable(submission *Submission, rule string) error {
	blocking := false
	for _, f := range submission.Findings {
		if f.Rule != rule || f.Severity != Blocking {
			continue
		}
		if f.Check == "" {
			return fault.InvalidField("rules", "%s keeps the store whole and cannot be overridden: correct the file", shown(rule))
		}
		blocking = true
	}
	if !blocking {
		return fault.InvalidField("rules", "%s did not reject the submission", shown(rule))
	}
	return nil
}

func (s *Service) annotate(ctx context.Context, id string, change func(Transaction, *Submission) error) (*Submission, error) {
	var submission Submission
	err := s.store.Update(ctx, func(ctx context.Context, tx Transaction) (err error) {
		if submission, err = tx.HoldSubmission(ctx, id); err != nil {
			return err
		}
		if err := change(tx, &submission); err != nil {
			return err
		}
		return tx.AnnotateSubmission(ctx, &submission)
	})
	if err != nil {
		return nil, err
	}
	return &submission, nil
}

// moment returns the time as the store keeps it.
func (s *Service) moment() time.Time { return s.now().UTC().Truncate(time.Microsecond) }
