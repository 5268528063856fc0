package sharing

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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

	Source StateCode `json:"source,omitempty"` // whose figures are to be passed on; "": they are this state's own
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
	Use            string           `json:"use"` // "release", "onward", "explain", "publish" or "preview"
	PolicyRevision string           `json:"policyRevision"`
	PolicyData     string           `json:"policyData"` // SHA-256 of the data that policy was given, in hexadecimal digits
	Indicators     []DecidedRequest `json:"indicators"`
}

// DecidedRequest is a question with its ruling.
type DecidedRequest struct {
	Question Question  `json:"question"`
	Ruling   Ruling    `json:"ruling"`
	Include  Condition `json:"include"` // the condition that a cell must pass

	agreed Spans // the periods of the agreement, which bound what policy says

	Stopped    SwitchID `json:"stopped,omitempty"`    // the switch that said no in place of policy; "": policy was asked
	Unanswered bool     `json:"unanswered,omitempty"` // policy could not be evaluated
}

// denied reports whether policy was asked and said no, and why. A switch that stops an indicator, and a failure, leave things as
// they are.
func (d DecidedRequest) denied() bool {
	return !d.Ruling.Allow && d.Stopped == "" && !d.Unanswered && d.Ruling.Reasons[0].Code != "POLICY_ERROR"
}

// policyError is the ruling where policy has none.
func policyError() Ruling {
	return Ruling{Reasons: []Reason{{Code: "POLICY_ERROR", Text: "Policy could not be evaluated, so the answer is no."}}}
}

// decide asks policy each question under one revision of it and of its data, which are kept, so that the same can be asked again.
// What cannot be evaluated is refused.
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
	for i := range questions {
		questions[i].State, questions[i].Direction = s.State, cmp.Or(questions[i].Direction, sending)
		questions[i].Date = now.Format(time.DateOnly)
		if questions[i].Requested == nil {
			questions[i].Requested = map[string][]RequestedCode{}
		}
	}
	for range 3 {
		given, steady := s.askAll(ctx, stopped, questions, &decision)
		if err := ctx.Err(); err != nil {
			return Decision{}, err
		}
		if !steady {
			continue
		}
		kept, err := s.keepPolicy(ctx, decision.PolicyRevision, given)
		if err != nil {
			return Decision{}, err
		}
		if kept {
			return decision, nil
		}
	}
	for i := range decision.Indicators { // policy changes faster than it answers
		decision.Indicators[i].Ruling, decision.Indicators[i].Include = policyError(), Condition{filter.False()}
		decision.Indicators[i].Unanswered = true
	}
	return decision, nil
}

// askAll puts the answers to all questions into the decision, and returns the data that policy had meanwhile. It reports false where
// they are of several revisions.
func (s *Service) askAll(ctx context.Context, stopped stops, questions []Question, decision *Decision) (given *policyData, steady bool) {
	s.givenMu.RLock()
	defer s.givenMu.RUnlock()
	decision.PolicyRevision, decision.PolicyData, decision.Indicators = s.Policy.Revision(), "", nil
	if given = s.given; given != nil {
		decision.PolicyData = given.sha256
	}
	steady = given != nil
	for _, question := range questions {
		by, found := stopped.kill(question.Partner, question.Indicator)
		if !found && question.Source != "" {
			by, found = stopped.kill(question.Source, question.Indicator)
		}
		if found {
			decision.Indicators = append(decision.Indicators, DecidedRequest{
				Question: question, Ruling: Ruling{Reasons: []Reason{by.reason()}}, Include: Condition{filter.False()},
				Stopped: cmp.Or(by.ID, onTheSpot),
			})
			continue
		}
		decided, revision, err := ask(ctx, s.Policy, question)
		if err != nil && ctx.Err() == nil {
			s.Log.ErrorContext(ctx, "policy could not be evaluated", "partner", question.Partner, "indicator", question.Indicator, "error", err)
		}
		steady = steady && revision == decision.PolicyRevision
		decision.Indicators = append(decision.Indicators, decided)
	}
	return given, steady
}

// ask asks policy one question. Where it has no answer, the ruling says so, and the error says why. The revision is "" where the
// answer is of several.
func ask(ctx context.Context, policy Policy, question Question) (decided DecidedRequest, revision string, err error) {
	decision, include := ruleDecision, ruleInclude
	if question.Direction == publishing {
		decision, include = rulePublication, rulePublicationInclude
	}
	decided = DecidedRequest{Question: question, Include: Condition{filter.False()}}
	if revision, err = policy.Evaluate(ctx, decision, question, &decided.Ruling); err != nil {
		decided.Ruling, decided.Unanswered = policyError(), true
		return decided, revision, fmt.Errorf("asking %s: %w", decision, err)
	}
	if !decided.Ruling.Allow {
		if len(decided.Ruling.Reasons) == 0 {
			decided.Ruling = policyError()
		}
		return decided, revision, nil
	}
	condition, also, err := policy.Condition(ctx, include, question, unknownCell)
	if also != revision {
		revision = ""
	}
	if err != nil {
		decided.Ruling, decided.Unanswered = policyError(), true
		return decided, revision, fmt.Errorf("asking %s: %w", include, err)
	}
	decided.Include = Condition{condition}
	return decided, revision, nil
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
// all in force, where they have changed. It returns the agreements, with the versions of dataflows in which figures go; nobody
// changes them.
func (s *Service) refreshPolicy(ctx context.Context) ([]Agreement, error) {
	changes, err := s.Store.AgreementChanges(ctx)
	if err != nil {
		return nil, err
	}
	s.policyMu.Lock() // also while reading, so that policy is never told of an earlier state after a later one
	defer s.policyMu.Unlock()
	if s.refreshed.whole && s.refreshed.changes >= changes {
		return s.refreshed.active, nil
	}
	all, err := s.agreements(ctx, "")
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(a Agreement) bool { return a.State != Active })
	levels, whole, err := s.levels(ctx, all) // what comes in is judged by them as well
	if err != nil {
		return nil, err
	}
	grants := granted(all, s.State)
	active := slices.DeleteFunc(all, func(a Agreement) bool { return !s.provides(a.Terms) })
	agreed := map[StateCode]map[string][]Terms{}
	for i := range active {
		a := &active[i]
		whole = whole && !isRange(a.Terms.Dataflow) // what partners have changes as well
		spoken, err := s.spoken(ctx, a.Terms)
		if err != nil {
			a.unspoken = err
			continue
		}
		a.Terms.Dataflow = spoken
		partner := a.Terms.Receiver
		if agreed[partner] == nil {
			agreed[partner] = map[string][]Terms{}
		}
		for _, indicator := range a.Terms.Indicators {
			agreed[partner][indicator] = append(agreed[partner][indicator], a.Terms)
		}
	}
	data := map[string]any{"agreements": agreed, "grants": grants, "levels": levels}
	content, err := json.Marshal(data)
	if err != nil {
		return nil, err
	}
	s.refreshed.whole = false
	if s.given == nil || !bytes.Equal(content, s.given.content) {
		if err := s.give(ctx, data, content); err != nil {
			return nil, err
		}
	}
	s.refreshed = refreshed{whole: whole, changes: changes, active: active}
	return active, nil
}

// refreshed is what policy was told last.
type refreshed struct {
	whole   bool // nothing else is to be told until agreements change
	changes int64
	active  []Agreement
}

// give gives policy data in place of what it had.
func (s *Service) give(ctx context.Context, data map[string]any, content []byte) error {
	s.givenMu.Lock() // nobody asks policy meanwhile
	defer s.givenMu.Unlock()
	s.given = nil
	for name, value := range data {
		if err := s.Policy.SetData(ctx, name, value); err != nil {
			return err
		}
	}
	sum := sha256.Sum256(content)
	s.given = &policyData{content: content, sha256: hex.EncodeToString(sum[:])}
	return nil
}

// levels returns the levels of each dimension's codelist, from the coarsest to the finest. Where dataflows differ in a
// dimension, the one of [Config.Dataflow] counts. A dataflow that the statistics do not know has none: nothing goes of it, and
// they are not whole.
func (s *Service) levels(ctx context.Context, active []Agreement) (levels map[string][]string, whole bool, err error) {
	dataflows := []string{s.Dataflow}
	for _, a := range active {
		if !slices.Contains(dataflows, a.Terms.Dataflow) {
			dataflows = append(dataflows, a.Terms.Dataflow)
		}
	}
	levels, whole = map[string][]string{}, true
	for _, dataflow := range dataflows {
		structures, err := s.structuresOf(ctx, dataflow)
		if fault.Is(err, fault.NotFound) {
			whole = false
			continue
		}
		if err != nil {
			return nil, false, err
		}
		for _, dimension := range structures.Dimensions {
			if _, known := levels[dimension.ID]; !known {
				levels[dimension.ID] = append([]string{}, dimension.Levels...)
			}
		}
	}
	return levels, whole, nil
}
