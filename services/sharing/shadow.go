package sharing

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// ShadowReport says what a candidate would have decided otherwise than what was decided.
type ShadowReport struct {
	Revision    string // of the candidate
	Decisions   int    // that it was asked about
	Questions   int    // in them
	Same        int    // questions with the same answer
	Stopped     int    // questions that a switch had answered: policy is not asked
	NotKept     int    // decisions whose data are not kept
	Differences []PolicyDifference
}

// PolicyDifference is what changes in the answers to one partner about one indicator.
type PolicyDifference struct {
	Partner   StateCode // "": the public
	Indicator string
	Use       string // of the decisions: "release", "explain", "publish" or "preview"
	Change    PolicyChange
	Questions int // how many answers
	First     time.Time
	Last      time.Time
	Example   DecisionID // the last of them
	Before    string     // in the example; JSON of what changes
	After     string
}

// PolicyChange says what kind of a difference it is.
type PolicyChange string

// The changes, the gravest first.
const (
	ChangeReleased    PolicyChange = "RELEASED"    // it did not go, and would
	ChangeUnanswered  PolicyChange = "UNANSWERED"  // the candidate cannot be evaluated, so that nothing would go
	ChangeWithheld    PolicyChange = "WITHHELD"    // it went, and would not
	ChangeDetail      PolicyChange = "DETAIL"      // it would go in another detail
	ChangeCells       PolicyChange = "CELLS"       // other cells would be left out
	ChangeObligations PolicyChange = "OBLIGATIONS" // it would be bound to other obligations
	ChangeAgreement   PolicyChange = "AGREEMENT"   // it would rest on another agreement
	ChangeReasons     PolicyChange = "REASONS"     // it would not go either, for other reasons
)

// gravity orders changes.
func gravity(c PolicyChange) int {
	return slices.Index([]PolicyChange{
		ChangeReleased, ChangeUnanswered, ChangeWithheld, ChangeDetail, ChangeCells, ChangeObligations, ChangeAgreement, ChangeReasons,
	}, c)
}

// Shadow asks the policy of a bundle, which passes its tests, about every decision since then, with the data and for the day
// that the decision was made with, and says what it would have decided otherwise. Nothing is activated, kept or sent.
func (s *Service) Shadow(ctx context.Context, bundle []byte, since time.Time) (ShadowReport, error) {
	if s.Past == nil {
		return ShadowReport{}, errors.New("this service cannot open other policies")
	}
	candidate, err := s.Past.OpenCandidate(ctx, bundle)
	if ctx.Err() != nil {
		return ShadowReport{}, ctx.Err()
	}
	if err != nil {
		return ShadowReport{}, fault.InvalidField("bundle", "it would not be activated: %v", err)
	}
	shadow := shadow{service: s, candidate: candidate, found: map[PolicyDifference]*PolicyDifference{}}
	shadow.report.Revision = candidate.Revision()
	if err := s.eachDecision(ctx, since, func(document []byte) error { return shadow.decision(ctx, document) }); err != nil {
		return ShadowReport{}, err
	}
	for _, d := range shadow.found {
		shadow.report.Differences = append(shadow.report.Differences, *d)
	}
	slices.SortFunc(shadow.report.Differences, func(a, b PolicyDifference) int {
		return cmp.Or(
			cmp.Compare(gravity(a.Change), gravity(b.Change)),
			cmp.Compare(a.Partner, b.Partner), cmp.Compare(a.Indicator, b.Indicator), cmp.Compare(a.Use, b.Use),
		)
	})
	return shadow.report, nil
}

// shadow asks a candidate.
type shadow struct {
	service   *Service
	candidate Policy
	data      string          // that it has, by their SHA-256
	missing   map[string]bool // data that are not kept
	found     map[PolicyDifference]*PolicyDifference
	report    ShadowReport
}

// decision asks the questions of a decision again.
func (h *shadow) decision(ctx context.Context, document []byte) error {
	var decision Decision
	if err := json.Unmarshal(document, &decision); err != nil {
		return fmt.Errorf("reading a decision: %w", err)
	}
	h.report.Decisions++
	if err := h.give(ctx, decision.PolicyData); err != nil {
		if missing := (*notKeptError)(nil); errors.As(err, &missing) {
			h.report.NotKept++
			return nil
		}
		return err
	}
	for _, before := range decision.Indicators {
		h.report.Questions++
		if before.Stopped != "" {
			h.report.Stopped++
			continue
		}
		after, err := h.ask(ctx, before.Question)
		if err != nil {
			return err
		}
		same := true
		for change, texts := range compared(before, after) {
			h.note(decision, before.Question, change, texts)
			same = false
		}
		if same {
			h.report.Same++
		}
	}
	return nil
}

// give gives the candidate the data that a decision was made with.
func (h *shadow) give(ctx context.Context, data string) error {
	if data == h.data && data != "" {
		return nil
	}
	if h.missing[data] {
		return &notKeptError{"the data are not kept"}
	}
	h.data = ""
	err := h.service.giveData(ctx, h.candidate, data)
	if missing := (*notKeptError)(nil); errors.As(err, &missing) {
		if h.missing == nil {
			h.missing = map[string]bool{}
		}
		h.missing[data] = true
	}
	if err == nil {
		h.data = data
	}
	return err
}

// ask returns what the candidate answers.
func (h *shadow) ask(ctx context.Context, question Question) (DecidedRequest, error) {
	answer, _, _ := ask(ctx, h.candidate, question) // an error is an answer
	return answer, ctx.Err()
}

// note counts a difference.
func (h *shadow) note(decision Decision, question Question, change PolicyChange, texts [2]string) {
	key := PolicyDifference{Partner: question.Partner, Indicator: question.Indicator, Use: decision.Use, Change: change}
	d := h.found[key]
	if d == nil {
		d = &PolicyDifference{Partner: key.Partner, Indicator: key.Indicator, Use: key.Use, Change: change, First: decision.Created}
		h.found[key] = d
	}
	d.Questions++
	d.Last, d.Example, d.Before, d.After = decision.Created, decision.ID, texts[0], texts[1]
}

// compared returns in what two answers differ, as JSON.
func compared(before, after DecidedRequest) map[PolicyChange][2]string {
	pair := func(a, b any) [2]string {
		text := func(value any) string {
			data, err := json.Marshal(value)
			if err != nil {
				return err.Error()
			}
			return string(data)
		}
		return [2]string{text(a), text(b)}
	}
	a, b := before.Ruling, after.Ruling
	switch {
	case after.Unanswered && !before.Unanswered:
		return map[PolicyChange][2]string{ChangeUnanswered: pair(a.Reasons, b.Reasons)}
	case !a.Allow && b.Allow:
		return map[PolicyChange][2]string{ChangeReleased: pair(a.Reasons, b.Detail)}
	case a.Allow && !b.Allow:
		return map[PolicyChange][2]string{ChangeWithheld: pair(a.Detail, b.Reasons)}
	case !a.Allow:
		if reflect.DeepEqual(codes(a.Reasons), codes(b.Reasons)) {
			return nil
		}
		return map[PolicyChange][2]string{ChangeReasons: pair(a.Reasons, b.Reasons)}
	}
	different := map[PolicyChange][2]string{}
	if !maps.Equal(a.Detail, b.Detail) {
		different[ChangeDetail] = pair(unlike(a.Detail, b.Detail), unlike(b.Detail, a.Detail))
	}
	if texts := pair(before.Include, after.Include); texts[0] != texts[1] {
		different[ChangeCells] = texts
	}
	if texts := pair(a.Obligations, b.Obligations); texts[0] != texts[1] {
		different[ChangeObligations] = texts
	}
	if a.Agreement != b.Agreement {
		different[ChangeAgreement] = pair(a.Agreement, b.Agreement)
	}
	return different
}

// codes returns the codes of reasons with the agreements that they are about, sorted.
func codes(reasons []Reason) []string {
	var all []string
	for _, r := range reasons {
		all = append(all, r.Code+" "+string(r.Agreement))
	}
	slices.Sort(all)
	return all
}

// unlike returns what of a is not so in b.
func unlike(a, b map[string]string) map[string]string {
	own := map[string]string{}
	for key, value := range a {
		if b[key] != value {
			own[key] = value
		}
	}
	return own
}
