package sharing

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"iter"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/services/fault"
)

// passOn makes the releases of what a source gave and lets be passed on under an agreement, and takes back what it does no more. It
// returns the code of why something is not passed on; "": everything is.
func (s *Service) passOn(ctx context.Context, a Agreement) (refusal string, err error) {
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return "", err
	}
	last, err := s.lastPassed(ctx, a.Terms.ID)
	if err != nil {
		return "", err
	}
	sources := granting(agreements, a.Terms, s.now().Format(time.DateOnly))
	if len(sources) == 0 {
		refusal = notGranted
		s.Log.InfoContext(ctx, "nothing is passed on: no agreement in force grants it", "partner", a.Terms.Receiver, "agreement", a.Terms.ID, "source", a.Terms.Source)
	}
	var covered []string
	for _, source := range sources {
		covered = append(covered, source.Terms.Indicators...)
		reason, err := s.passFrom(ctx, a, source, last[source.Terms.ID])
		if err != nil {
			return "", fmt.Errorf("passing on what came under %s: %w", source.Terms.ID, err)
		}
		if reason != nil {
			refusal = reason.Code
		}
	}
	for _, before := range last {
		i := slices.IndexFunc(agreements, func(x Agreement) bool {
			return x.Terms.ID == before.Passed.Agreement && x.Terms.Version == before.Passed.Version
		})
		if i < 0 || agreements[i].Terms.Afterwards != Withdraw || len(common(agreements[i].Terms.Indicators, covered)) > 0 {
			continue
		}
		if err := s.takeBack(ctx, a, agreements[i], before); err != nil {
			return "", fmt.Errorf("taking back what came under %s: %w", before.Passed.Agreement, err)
		}
	}
	return refusal, nil
}

// lastPassed returns the newest releases under the agreement, by the agreement by which what they pass on came.
func (s *Service) lastPassed(ctx context.Context, id AgreementID) (map[AgreementID]*Release, error) {
	documents, err := s.Store.LastPassed(ctx, id)
	if err != nil {
		return nil, err
	}
	last := make(map[AgreementID]*Release, len(documents))
	for _, document := range documents {
		r := &Release{}
		if err := json.Unmarshal(document, r); err != nil || r.Passed == nil {
			return nil, fmt.Errorf("reading what was passed on last: %w", err)
		}
		last[r.Passed.Agreement] = r
	}
	return last, nil
}

// passes reports whether a release has passed on the same in the epoch already.
func (r *Release) passes(p Passed, a Agreement, epoch string) bool {
	return r != nil && *r.Passed == p && r.Epoch == epoch && r.AgreementVersion == a.Terms.Version
}

// passFrom passes on the newest release that came under the source's agreement, unless it is what went last. Where it may not go,
// what went before it is taken back: it is not what the source says any more. It returns why it may not go; nil: it may.
func (s *Service) passFrom(ctx context.Context, a, source Agreement, last *Release) (*Reason, error) {
	newest, found, err := s.Store.NewestStored(ctx, source.Terms.ID)
	if err != nil || !found {
		return nil, err
	}
	place, err := s.Store.Outbound(ctx, StreamName(s.State, a.Terms.Receiver))
	if err != nil {
		return nil, err
	}
	passed := Passed{Provider: source.Terms.Provider, Agreement: source.Terms.ID, Version: source.Terms.Version, Release: newest.ID}
	if last.passes(passed, a, place.Epoch) {
		return nil, nil
	}
	d, err := s.draftPassed(ctx, a, source, passed, newest)
	if err != nil || d.release.ID == "" {
		return nil, err
	}
	refusal, lasting, err := s.mayPass(ctx, a, source, &d)
	if err != nil {
		return nil, err
	}
	if refusal != nil {
		s.Log.WarnContext(ctx, "a release is not passed on", "partner", a.Terms.Receiver, "agreement", a.Terms.ID,
			"release", newest.ID, "reason", refusal.Code, "text", refusal.Text)
		err := s.Store.Write(ctx, func(tx Tx) error { return s.keepDecision(ctx, tx, d.decision) })
		if err == nil && lasting && last != nil {
			err = s.takeBack(ctx, a, source, last)
		}
		return refusal, err
	}
	return nil, s.putPassed(ctx, a, d, append([]string{}, source.Terms.Indicators...))
}

// draftPassed reads the release of a source, and returns it as one of this state that nobody has looked at. Without an id it cannot
// be passed on: it came under another version, as a part, or is removed.
func (s *Service) draftPassed(ctx context.Context, a, source Agreement, passed Passed, newest InboundRelease) (draft, error) {
	var d draft
	for batch := range newest.Batches {
		envelope, err := s.kept(ctx, newest, batch)
		if err != nil {
			return draft{}, err
		}
		header, err := s.Codec.DecodeHeader(envelope.Header.Payload)
		if err != nil {
			return draft{}, err
		}
		if header.AgreementVersion != source.Terms.Version || header.Base != "" || len(header.TermsSHA256) == 0 || len(envelope.Payload) == 0 ||
			!inRange(header.Dataflow, a.Terms.Dataflow) {
			return draft{}, nil
		}
		warrant, err := s.encodeWarrant(&envelope.Header, source)
		if err != nil {
			return draft{}, err
		}
		d.warrants, d.payloads = append(d.warrants, warrant), append(d.payloads, envelope.Payload)
		if batch == 0 {
			d.release = s.passedRelease(a, passed, header)
		}
	}
	return d, nil
}

// rows returns what is in a draft, batch by batch: all of it at once may not fit into memory.
func (s *Service) rows(d *draft) iter.Seq2[*block.Block, error] {
	return s.contents(len(d.payloads), func(batch int) ([]byte, error) { return d.payloads[batch], nil })
}

// passedRelease returns a release under the agreement that has what a header of the source says.
func (s *Service) passedRelease(a Agreement, passed Passed, header Header) Release {
	now := s.now()
	return Release{
		ID: ReleaseID(newID(now)), Partner: a.Terms.Receiver, Agreement: a.Terms.ID, AgreementVersion: a.Terms.Version, Dataflow: header.Dataflow,
		Scope: Condition{header.Scope}, Whole: Condition{header.Scope}, Content: header.ReleaseSHA256,
		Batches: header.BatchCount, SHA256: header.ReleaseSHA256, Created: now, Passed: &passed,
	}
}

// encodeWarrant returns the proof by the source's header, or, without one, that what came under its agreement is taken back.
func (s *Service) encodeWarrant(header *Signed, source Agreement) ([]byte, error) {
	document := Signed{PayloadType: AgreementType, Payload: source.Document}
	for _, signature := range source.Signatures {
		document.Signatures = append(document.Signatures, signature.Signature)
	}
	return s.Codec.EncodeWarrant(Warrant{Header: header, Agreement: document})
}

// mayPass decides about a draft, and returns why its figures may not be passed on; nil: they may. It is lasting but where a switch
// stops it, policy has no answer, or it goes under another agreement.
func (s *Service) mayPass(ctx context.Context, a, source Agreement, d *draft) (refusal *Reason, lasting bool, err error) {
	structures, err := s.structuresOf(ctx, d.release.Dataflow)
	if err != nil {
		return nil, false, err
	}
	var about summary
	for content, err := range s.rows(d) {
		if err != nil {
			return nil, false, err
		}
		one, err := summarise(structures, content, Header{Scope: d.release.Scope.Filter})
		if err != nil {
			return nil, false, err
		}
		if d.cells = append(d.cells, content.Rows); len(d.cells) == 1 {
			about = one
		} else {
			about = about.with(one)
		}
	}
	questions := make([]Question, len(source.Terms.Indicators))
	for i, code := range source.Terms.Indicators {
		questions[i] = Question{
			Partner: a.Terms.Receiver, Dataflow: d.release.Dataflow, Indicator: code, Source: source.Terms.Provider, Requested: about.requested(),
		}
	}
	if d.decision, err = s.decide(ctx, "onward", questions); err != nil {
		return nil, false, err
	}
	d.release.Decision, d.release.PolicyRevision = d.decision.ID, d.decision.PolicyRevision
	minimum := max(a.Terms.MinimumFrequency, source.Terms.MinimumFrequency)
	for _, decided := range d.decision.Indicators {
		ruled := decided.Ruling
		if !ruled.Allow {
			return &ruled.Reasons[0], decided.denied(), nil
		}
		if ruled.Agreement.ID != a.Terms.ID || ruled.Agreement.Version != a.Terms.Version {
			text := fmt.Sprintf("%s goes under agreement %s", decided.Question.Indicator, ruled.Agreement.ID)
			return &Reason{Code: "NO_AGREEMENT", Text: text, Agreement: a.Terms.ID}, false, nil
		}
		minimum = max(minimum, ruled.Obligations.MinimumFrequency)
		d.release.Indicators = append(d.release.Indicators, decided.Question.Indicator)
	}
	if reason := s.unfit(structures, source.Terms, about, minimum); reason != nil {
		return reason, true, nil
	}
	for content, err := range s.rows(d) {
		if err != nil {
			return nil, false, err
		}
		if reason := d.count(content, structures, []Spans{a.Terms.Periods, source.Terms.Periods}); reason != nil {
			return reason, true, nil
		}
	}
	return nil, false, nil
}

// requested returns the detail of what is in a batch, as policy is asked for it.
func (a summary) requested() map[string][]RequestedCode {
	requested := map[string][]RequestedCode{}
	for _, code := range a.Frequencies {
		requested[freq] = append(requested[freq], RequestedCode{Code: code, Level: code})
	}
	for dimension, levels := range a.Finest {
		if dimension == refArea || dimension == indicator {
			continue
		}
		for _, level := range levels {
			requested[dimension] = append(requested[dimension], RequestedCode{Code: level, Level: level})
		}
	}
	return requested
}

// unfit returns why figures of a source may go to nobody from here; nil: they may.
func (s *Service) unfit(structures *Structures, source Terms, about summary, minimum int) *Reason {
	bad := func(code, format string, args ...any) *Reason {
		return &Reason{Code: code, Text: fmt.Sprintf(format, args...), Agreement: source.ID}
	}
	state, _ := s.Trust.State(source.Provider)
	own, _ := s.Trust.State(s.State)
	for _, area := range about.RefAreas {
		if !slices.Contains(state.RefAreas, area) {
			return bad("RECEIVE_REFUSED", "%s does not speak for %s", source.Provider, area)
		}
	}
	// What adds up with this state's own figures tells of them; nobody has looked at both together.
	if i := structures.place(refArea); i >= 0 {
		used := map[string]bool{}
		for code := range structures.Dimensions[i].Codes {
			used[code] = true
		}
		nested := newTree(newAxis(i, structures.Dimensions[i], len(structures.Dimensions[i].Levels)), used)
		for _, theirs := range state.RefAreas {
			for _, ours := range own.RefAreas {
				if theirs == ours || nested.above[theirs][ours] || nested.above[ours][theirs] {
					return bad("DISCLOSED_TOGETHER", "figures of %s add up with those of %s, which this state tells itself", theirs, ours)
				}
			}
		}
	}
	if len(about.UnknownCodes) > 0 {
		return bad("RECEIVE_REFUSED", "%s is unknown here", strings.Join(about.UnknownCodes, ", "))
	}
	if about.Minimum > 0 && about.Minimum < float64(minimum) {
		return bad("CANNOT_PROTECT", "a cell counts %v, and none goes that counts under %d", about.Minimum, minimum)
	}
	return nil
}

// count counts the rows of a batch, and returns why one of them may not go, by policy's condition or its period; nil: all may.
func (d *draft) count(content *block.Block, structures *Structures, periods []Spans) *Reason {
	bad := func(code, format string, args ...any) *Reason {
		return &Reason{Code: code, Text: fmt.Sprintf(format, args...), Agreement: d.release.Agreement}
	}
	for _, decided := range d.decision.Indicators {
		for _, spans := range append(slices.Clone(periods), decided.Ruling.Periods) {
			if outside := spans.outside(content); outside != "" {
				return bad("PERIOD_NOT_COVERED", "%s is not covered", outside)
			}
		}
	}
	values, codes := content.Column(block.ObsValue), content.Column(indicator)
	for i := range content.Rows {
		text := func(component string) string {
			if column := content.Column(component); column != nil && !column.IsNumber() {
				return column.Text(i)
			}
			return ""
		}
		if math.IsNaN(values.Numbers[i]) {
			d.release.Suppressed++ // or it is missing: the source does not say which
			continue
		}
		for _, decided := range d.decision.Indicators {
			if codes != nil && structures.has(indicator) && codes.Text(i) != decided.Question.Indicator {
				continue
			}
			if !decided.Include.Match(text) {
				return bad("LAW", "a condition of policy refuses a figure, and what came is passed on whole")
			}
		}
		d.release.Released++
	}
	d.release.Candidates = d.release.Released + d.release.Suppressed
	return nil
}

// putPassed gives a draft of what is passed on its places in the stream.
func (s *Service) putPassed(ctx context.Context, a Agreement, d draft, indicators []string) error {
	total := sha256.New()
	for _, payload := range d.payloads {
		sum := sha256.Sum256(payload)
		total.Write(sum[:])
	}
	if sum := total.Sum(nil); string(sum) != string(d.release.SHA256) {
		return fault.New(fault.Unavailable, "UNAVAILABLE", "the release that came is not what its header names")
	}
	err := s.Store.Write(ctx, func(tx Tx) error {
		for _, partner := range []StateCode{a.Terms.Receiver, a.Terms.Source} {
			if err := s.stillLeaves(ctx, tx, partner, indicators); err != nil {
				return err
			}
		}
		stream := StreamName(s.State, a.Terms.Receiver)
		place, err := tx.LockOutbound(ctx, stream, a.Terms.Receiver, newID(s.now()))
		if err != nil {
			return err
		}
		if d.decision.ID != "" {
			if err := s.keepDecision(ctx, tx, d.decision); err != nil {
				return err
			}
		}
		d.release.Stream, d.release.Epoch = stream, place.Epoch
		return s.put(ctx, tx, d, place, a.Terms)
	})
	if err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "passed on", "partner", d.release.Partner, "agreement", d.release.Agreement, "release", d.release.ID,
		"source", d.release.Passed.Provider, "source_release", d.release.Passed.Release)
	return nil
}

// takeBack tells the receiver that what came before is not to be passed on any more, unless it went last.
func (s *Service) takeBack(ctx context.Context, a, source Agreement, last *Release) error {
	place, err := s.Store.Outbound(ctx, StreamName(s.State, a.Terms.Receiver))
	if err != nil {
		return err
	}
	passed := *last.Passed
	passed.Release = ""
	if last.passes(passed, a, place.Epoch) {
		return nil
	}
	structures, err := s.structuresOf(ctx, last.Dataflow)
	if err != nil {
		return err
	}
	var d draft
	if d.batches, err = s.encodeBatches(ctx, structures, nil); err != nil {
		return err
	}
	warrant, err := s.encodeWarrant(nil, source)
	if err != nil {
		return err
	}
	d.warrants, d.decision = [][]byte{warrant}, Decision{}
	d.release = *last
	d.release.ID, d.release.Created, d.release.Passed = ReleaseID(newID(s.now())), s.now(), &passed
	d.release.AgreementVersion, d.release.Tally = a.Terms.Version, Tally{}
	d.release.Batches, d.release.SHA256, d.release.Content = len(d.payloads), d.sha256, d.sha256
	return s.putPassed(ctx, a, d, nil)
}

// stillGranted reports whether an envelope that waits may be passed on as things are now.
func (s *Service) stillGranted(ctx context.Context, k KeptEnvelope, terms Terms, stopped stops) (bool, error) {
	envelope, err := s.Codec.DecodeEnvelope(k.Envelope)
	if err != nil {
		return false, fmt.Errorf("reading an envelope of ours: %w", err)
	}
	warrant, err := readWarrant(s.Codec, envelope.Warrant)
	if err != nil {
		return false, fmt.Errorf("reading the warrant of an envelope of ours: %w", err)
	}
	if warrant.takesBack() {
		return true, nil
	}
	if stopped.overtook(warrant.terms.Provider, warrant.terms.Indicators, k.Created) {
		return false, nil
	}
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(granting(agreements, terms, s.now().Format(time.DateOnly)), func(a Agreement) bool {
		return a.Terms.ID == warrant.terms.ID && a.Terms.Version == warrant.terms.Version
	}), nil
}

// sourceCircumstances returns a text that changes whenever something else may be passed on under the terms.
func (s *Service) sourceCircumstances(ctx context.Context, terms Terms) (string, error) {
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return "", err
	}
	text := ""
	for _, source := range granting(agreements, terms, s.now().Format(time.DateOnly)) {
		newest, _, err := s.Store.NewestStored(ctx, source.Terms.ID)
		if err != nil {
			return "", err
		}
		text += fmt.Sprintf("<%s/%d/%s", source.Terms.ID, source.Terms.Version, newest.ID)
	}
	return text, nil
}
