package sharing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// PolicyKeeper keeps what decisions were made under, and the decisions.
type PolicyKeeper interface {
	// KeepPolicy keeps a policy under its revision and data under their SHA-256, where they are not kept already.
	KeepPolicy(ctx context.Context, policy KeptPolicy) error
	// PolicyArchive returns the policy of a revision; nil where it is not kept.
	PolicyArchive(ctx context.Context, revision string) ([]byte, error)
	// PolicyData returns the data of a SHA-256; nil where they are not kept.
	PolicyData(ctx context.Context, sha256 string) ([]byte, error)
	// Decision returns a decision as JSON; nil where there is none of that id.
	Decision(ctx context.Context, id DecisionID) ([]byte, error)
	// Decisions returns as JSON at most limit decisions made since then, in the order of their ids, after the one with the id;
	// "": from the first.
	Decisions(ctx context.Context, since time.Time, after DecisionID, limit int) (documents [][]byte, err error)
}

// KeptPolicy is a policy with data that it was given.
type KeptPolicy struct {
	Revision   string
	Archive    []byte
	DataSHA256 string // in hexadecimal digits
	Data       []byte // JSON
}

// policyData is what policy is given.
type policyData struct {
	content []byte // JSON: an object of the names
	sha256  string // of the content, in hexadecimal digits
}

// keepPolicy makes certain that the policy of the revision is in the store with the data. It reports false where another one is
// in force by now.
func (s *Service) keepPolicy(ctx context.Context, revision string, given *policyData) (bool, error) {
	if revision == "" { // there is no policy, and every answer was no
		return true, nil
	}
	name := revision + " " + given.sha256
	if s.keptPolicy.Load() == name {
		return true, nil
	}
	now, archive, err := s.Policy.Archive()
	if err != nil || now != revision {
		return false, err
	}
	err = s.Store.KeepPolicy(ctx, KeptPolicy{Revision: revision, Archive: archive, DataSHA256: given.sha256, Data: given.content})
	if err != nil {
		return false, fmt.Errorf("keeping what is decided by: %w", err)
	}
	s.keptPolicy.Store(name)
	return true, nil
}

// Replayed is a decision that was made again from what is kept.
type Replayed struct {
	Decision DecisionID
	Created  time.Time
	Outcome  ReplayOutcome
	Text     string // what is different, or why it could not be made again; "" where it is the same
	Kept     []byte // JSON
	Again    []byte // JSON; nil where it could not be made again
}

// ReplayOutcome says what came of it.
type ReplayOutcome uint8

// The outcomes.
const (
	ReplaySame       ReplayOutcome = iota + 1 // bit for bit
	ReplayDifferent                           // the policy that is kept does not give this decision
	ReplayNotKept                             // what it was made under is not kept, or is not what it was
	ReplayUnanswered                          // policy could not be evaluated then, in time or at all
)

// replayPage is how many decisions are read at once.
const replayPage = 200

// ReplayDecision makes a decision again from the question, the policy and the data that are kept.
func (s *Service) ReplayDecision(ctx context.Context, id DecisionID) (Replayed, error) {
	document, err := s.decisionDocument(ctx, id)
	if err != nil {
		return Replayed{}, err
	}
	return s.replay(ctx, &pastPolicy{service: s}, document)
}

func (s *Service) decisionDocument(ctx context.Context, id DecisionID) ([]byte, error) {
	if !uuid.MatchString(string(id)) {
		return nil, fault.InvalidField("decision", "%q is no id of a decision", id)
	}
	document, err := s.Store.Decision(ctx, id)
	if err == nil && document == nil {
		err = fault.Missing("there is no decision %q", id)
	}
	return document, err
}

// ReplaySince makes every decision since then again, and calls each with what came of it, in the order of their ids.
func (s *Service) ReplaySince(ctx context.Context, since time.Time, each func(Replayed) error) error {
	past := &pastPolicy{service: s}
	return s.eachDecision(ctx, since, func(document []byte) error {
		replayed, err := s.replay(ctx, past, document)
		if err != nil {
			return err
		}
		return each(replayed)
	})
}

// eachDecision calls each with every decision since then.
func (s *Service) eachDecision(ctx context.Context, since time.Time, each func(document []byte) error) error {
	for after := DecisionID(""); ; {
		documents, err := s.Store.Decisions(ctx, since, after, replayPage)
		if err != nil {
			return fmt.Errorf("reading decisions: %w", err)
		}
		for _, document := range documents {
			if err := each(document); err != nil {
				return err
			}
		}
		if len(documents) < replayPage {
			return nil
		}
		var last struct {
			ID DecisionID `json:"id"`
		}
		if err := json.Unmarshal(documents[len(documents)-1], &last); err != nil {
			return fmt.Errorf("reading a decision: %w", err)
		}
		after = last.ID
	}
}

// replay makes a decision again.
func (s *Service) replay(ctx context.Context, past *pastPolicy, document []byte) (Replayed, error) {
	var decision Decision
	if err := json.Unmarshal(document, &decision); err != nil {
		return Replayed{}, fmt.Errorf("reading a decision: %w", err)
	}
	replayed := Replayed{Decision: decision.ID, Created: decision.Created, Kept: document}
	policy, err := past.open(ctx, decision.PolicyRevision, decision.PolicyData)
	if missing := (*notKeptError)(nil); errors.As(err, &missing) {
		replayed.Outcome, replayed.Text = ReplayNotKept, missing.Error()
		return replayed, nil
	}
	if err != nil {
		return Replayed{}, err
	}
	decision.Indicators = slices.Clone(decision.Indicators)
	unanswered := ""
	for i, decided := range decision.Indicators {
		if decided.Stopped != "" { // by a switch, which policy knows nothing of
			continue
		}
		if decided.Unanswered {
			unanswered = decided.Question.Indicator
		}
		decision.Indicators[i], _, err = ask(ctx, policy, decided.Question)
		if ctx.Err() != nil {
			return Replayed{}, ctx.Err()
		}
		if err != nil {
			unanswered = decided.Question.Indicator
		}
	}
	if replayed.Again, err = json.Marshal(decision); err != nil {
		return Replayed{}, err
	}
	switch {
	case bytes.Equal(replayed.Again, document):
		replayed.Outcome = ReplaySame
	case unanswered != "":
		replayed.Outcome, replayed.Text = ReplayUnanswered, "policy could not be evaluated for "+unanswered
	default:
		replayed.Outcome, replayed.Text = ReplayDifferent, firstDifference(document, replayed.Again)
	}
	return replayed, nil
}

// firstDifference says where two documents part.
func firstDifference(kept, again []byte) string {
	const around = 60
	at := 0
	for at < len(kept) && at < len(again) && kept[at] == again[at] {
		at++
	}
	from := max(at-around/2, 0)
	cut := func(document []byte) string {
		return string(bytes.ToValidUTF8(document[min(from, len(document)):min(from+around, len(document))], []byte("?")))
	}
	return fmt.Sprintf("at byte %d: %q was kept, and it is %q now", at, cut(kept), cut(again))
}

// notKeptError says why a decision cannot be made again.
type notKeptError struct{ what string }

// Error is of error.
func (e *notKeptError) Error() string { return e.what }

// pastPolicy opens policies as they were; the last one stays open.
type pastPolicy struct {
	service        *Service
	revision, data string
	opened         Policy
}

// open returns the policy of the revision with the data. It is a [*notKeptError] where they are not kept.
func (p *pastPolicy) open(ctx context.Context, revision, data string) (Policy, error) {
	s := p.service
	if s.Past == nil {
		return nil, errors.New("this service cannot open policies of the past")
	}
	if p.opened == nil || p.revision != revision {
		archive, err := s.Store.PolicyArchive(ctx, revision)
		if err != nil {
			return nil, fmt.Errorf("reading a policy of the past: %w", err)
		}
		if archive == nil {
			return nil, &notKeptError{fmt.Sprintf("the policy of revision %q is not kept", revision)}
		}
		opened, err := s.Past.OpenArchive(ctx, archive)
		if err != nil {
			return nil, &notKeptError{fmt.Sprintf("the policy of revision %q cannot be opened: %v", revision, err)}
		}
		if opened.Revision() != revision {
			return nil, &notKeptError{fmt.Sprintf("what is kept as the policy of revision %q is of revision %q", revision, opened.Revision())}
		}
		p.opened, p.revision, p.data = opened, revision, ""
	}
	if p.data != data {
		if err := s.giveData(ctx, p.opened, data); err != nil {
			p.opened = nil
			return nil, err
		}
		p.data = data
	}
	return p.opened, nil
}

// giveData gives a policy the data that are kept under a SHA-256. It is a [*notKeptError] where they are not.
func (s *Service) giveData(ctx context.Context, policy Policy, name string) error {
	content, err := s.Store.PolicyData(ctx, name)
	if err != nil {
		return fmt.Errorf("reading data of the past: %w", err)
	}
	if sum := sha256.Sum256(content); content == nil || hex.EncodeToString(sum[:]) != name {
		return &notKeptError{fmt.Sprintf("the data %q that policy had are not kept", name)}
	}
	var data map[string]json.RawMessage
	if err := json.Unmarshal(content, &data); err != nil {
		return &notKeptError{fmt.Sprintf("the data %q that policy had cannot be read: %v", name, err)}
	}
	for name, value := range data {
		if err := policy.SetData(ctx, name, value); err != nil {
			return fmt.Errorf("giving policy data of the past: %w", err)
		}
	}
	return nil
}
