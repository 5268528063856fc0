package sharing

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
)

// The rules of policy that this package asks.
const (
	ruleDecision = "data.comity.exchange.decision"
	ruleInclude  = "data.comity.exchange.include"
	ruleReceive  = "data.comity.receive.decision"
	unknownCell  = "input.cell"

	rulePublication        = "data.comity.publication.decision"
	rulePublicationInclude = "data.comity.publication.include"
)

// The directions of a question.
const (
	sending    = "send"
	publishing = "publish" // to nobody in particular
)

// Reason is why policy says no.
type Reason struct {
	Code      string      `json:"code"` // a value of comity.types.v1.ErrorReason.Code by name
	Text      string      `json:"text"`
	Agreement AgreementID `json:"agreement"` // "" where it is about none
}

// Question is what policy is asked: may this indicator go to this partner, or be published, at this detail?
type Question struct {
	State     StateCode                  `json:"state"`
	Partner   StateCode                  `json:"partner"`
	Direction string                     `json:"direction"` // "send" or "publish"
	Dataflow  string                     `json:"dataflow"`
	Indicator string                     `json:"indicator"`
	Purpose   string                     `json:"purpose"`   // "": any that the agreement allows
	Date      string                     `json:"date"`      // the day of the evaluation, "YYYY-MM-DD"
	Requested map[string][]RequestedCode `json:"requested"` // by component; one that is not named: whatever was agreed
}

// RequestedCode is a code that is asked for, with its level in the codelist.
type RequestedCode struct {
	Code  string `json:"code"`
	Level string `json:"level"` // "" where the codelist does not know the code, or has no levels
}

// Ruling is what policy said to a [Question].
type Ruling struct {
	Allow       bool              `json:"allow"`
	Reasons     []Reason          `json:"reasons"`
	Agreement   RuledAgreement    `json:"agreement"`
	Detail      map[string]string `json:"detail"` // by dimension: a level, "_T", or for FREQ a frequency
	Obligations Obligations       `json:"obligations"`
	Periods     Spans             `json:"periods,omitempty"` // of which figures go; none: of all
}

// RuledAgreement is the agreement that a ruling rests on; the zero value is none.
type RuledAgreement struct {
	ID      AgreementID `json:"id"`
	Version int         `json:"version"`
}

// Decision is what policy said about one request. Its JSON is kept, and has a leaf in the log: a question and the
// ruling for each indicator, so that it can be evaluated again.
type Decision struct {
	ID             DecisionID       `json:"id"`
	Created        time.Time        `json:"created"`
	Use            string           `json:"use"` // "release", "explain", "publish" or "preview"
	PolicyRevision string           `json:"policyRevision"`
	Indicators     []DecidedRequest `json:"indicators"`
}

// DecidedRequest is a question with its ruling.
type DecidedRequest struct {
	Question Question  `json:"question"`
	Ruling   Ruling    `json:"ruling"`
	Include  Condition `json:"include"` // the condition that a cell must pass

	agreed Spans // the periods of the agreement, which bound what policy says
}

// policyError is the ruling where policy has none.
func policyError() Ruling {
	return Ruling{Reasons: []Reason{{Code: "POLICY_ERROR", Text: "Policy could not be evaluated, so the answer is no."}}}
}

// decide asks policy each question under one revision of it. What cannot be evaluated is refused.
func (s *Service) decide(ctx context.Context, use string, questions []Question) (Decision, error) {
	if _, err := s.refreshPolicy(ctx); err != nil {
		return Decision{}, err
	}
	stopped, err := s.stops(ctx, s.Store)
	if err != nil {
		return Decision{}, err
	}
	now := s.now()
	decision := Decision{ID: DecisionID(newID(now)), Created: now, Use: use}
	for attempt := 0; ; attempt++ {
		decision.PolicyRevision, decision.Indicators = "", nil
		steady := true
		for _, question := range questions {
			question.State, question.Direction, question.Date = s.State, cmp.Or(question.Direction, sending), now.Format(time.DateOnly)
			if question.Requested == nil {
				question.Requested = map[string][]RequestedCode{}
			}
			decided, revision := s.rule(ctx, stopped, question)
			if err := ctx.Err(); err != nil {
				return Decision{}, err
			}
			steady = steady && (decision.PolicyRevision == "" || decision.PolicyRevision == revision)
			decision.PolicyRevision = revision
			decision.Indicators = append(decision.Indicators, decided)
		}
		if steady {
			return decision, nil
		}
		if attempt == 2 { // policy changes faster than it answers
			for i := range decision.Indicators {
				decision.Indicators[i].Ruling, decision.Indicators[i].Include = policyError(), Condition{filter.False()}
			}
			return decision, nil
		}
	}
}

// rule asks policy one question, unless the answer is no in any case.
func (s *Service) rule(ctx context.Context, stopped stops, question Question) (DecidedRequest, string) {
	if by, found := stopped.kill(question.Partner, question.Indicator); found {
		return DecidedRequest{
			Question: question, Ruling: Ruling{Reasons: []Reason{by.reason()}}, Include: Condition{filter.False()},
		}, s.Policy.Revision()
	}
	decision, include := ruleDecision, ruleInclude
	if question.Direction == publishing {
		decision, include = rulePublication, rulePublicationInclude
	}
	decided := DecidedRequest{Question: question, Include: Condition{filter.False()}}
	revision, err := s.Policy.Evaluate(ctx, decision, question, &decided.Ruling)
	if err != nil {
		s.Log.ErrorContext(ctx, "policy could not be evaluated", "rule", decision, "partner", question.Partner, "indicator", question.Indicator, "error", err)
		decided.Ruling = policyError()
		return decided, s.Policy.Revision()
	}
	if !decided.Ruling.Allow {
		if len(decided.Ruling.Reasons) == 0 {
			decided.Ruling = policyError()
		}
		return decided, revision
	}
	condition, err := s.Policy.Condition(ctx, include, question, unknownCell)
	if err != nil {
		s.Log.ErrorContext(ctx, "policy's condition could not be evaluated", "rule", include, "partner", question.Partner, "indicator", question.Indicator, "error", err)
		decided.Ruling = policyError()
		return decided, revision
	}
	decided.Include = Condition{condition}
	return decided, revision
}

// keepDecision keeps a decision with its leaf.
func (s *Service) keepDecision(ctx context.Context, tx Tx, decision Decision) error {
	document, err := json.Marshal(decision)
	if err != nil {
		return err
	}
	return tx.AddDecision(ctx, decision.ID, document, newLeaf(EntryDecision, string(decision.ID), decision.Created, document))
}

// refreshPolicy gives policy the agreements in force that this state provides under, and the levels of the dimensions of
// all in force, where they have changed. It returns the agreements.
func (s *Service) refreshPolicy(ctx context.Context) ([]Agreement, error) {
	s.policyMu.Lock() // also while reading, so that policy is never told of an earlier state after a later one
	defer s.policyMu.Unlock()
	all, err := s.agreements(ctx, "")
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(a Agreement) bool { return a.State != Active })
	levels, err := s.levels(ctx, all) // what comes in is judged by them as well
	if err != nil {
		return nil, err
	}
	active := slices.DeleteFunc(all, func(a Agreement) bool { return a.Terms.Provider != s.State })
	agreed := map[StateCode]map[string][]Terms{}
	for _, a := range active {
		partner := a.Terms.Receiver
		if agreed[partner] == nil {
			agreed[partner] = map[string][]Terms{}
		}
		for _, indicator := range a.Terms.Indicators {
			agreed[partner][indicator] = append(agreed[partner][indicator], a.Terms)
		}
	}
	data, err := json.Marshal([]any{agreed, levels})
	if err != nil {
		return nil, err
	}
	if bytes.Equal(data, s.policyData) {
		return active, nil
	}
	s.policyData = nil
	if err := s.Policy.SetData(ctx, "agreements", agreed); err != nil {
		return nil, err
	}
	if err := s.Policy.SetData(ctx, "levels", levels); err != nil {
		return nil, err
	}
	s.policyData = data
	return active, nil
}

// levels returns the levels of each dimension's codelist, from the coarsest to the finest. Where dataflows differ in a
// dimension, the one of [Config.Dataflow] counts. A dataflow that the statistics do not know has none: nothing goes of it.
func (s *Service) levels(ctx context.Context, active []Agreement) (map[string][]string, error) {
	dataflows := []string{s.Dataflow}
	for _, a := range active {
		if !slices.Contains(dataflows, a.Terms.Dataflow) {
			dataflows = append(dataflows, a.Terms.Dataflow)
		}
	}
	levels := map[string][]string{}
	for _, dataflow := range dataflows {
		structures, err := s.structuresOf(ctx, dataflow)
		if fault.Is(err, fault.NotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, dimension := range structures.Dimensions {
			if _, known := levels[dimension.ID]; !known {
				levels[dimension.ID] = append([]string{}, dimension.Levels...)
			}
		}
	}
	return levels, nil
}
