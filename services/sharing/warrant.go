package sharing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

// notGranted is the reason of what may not be passed on.
const notGranted = "ONWARD_NOT_GRANTED"

// incomingWarrant is a warrant that was read.
type incomingWarrant struct {
	Warrant
	terms  Terms  // of the agreement by which the figures came
	header Header // the source's; zero where they are taken back
}

// takesBack reports whether what came before is taken back.
func (o *incomingWarrant) takesBack() bool { return o.Header == nil }

// KeptWarrant is whose figures a received release has.
type KeptWarrant struct {
	Release   ReleaseID
	Agreement AgreementID // with who passed it on
	Source    AgreementID // of the source with who passed it on
	Version   int         // of that
	Released  time.Time   // by the source; zero: what came before is taken back
}

// readWarrant reads a warrant, without believing it.
func readWarrant(codec Codec, data []byte) (*incomingWarrant, error) {
	warrant, err := codec.DecodeWarrant(data)
	if err != nil {
		return nil, err
	}
	o := &incomingWarrant{Warrant: warrant}
	if o.terms, err = ParseDocument(warrant.Agreement.Payload); err != nil {
		return nil, err
	}
	if o.Header == nil {
		return o, nil
	}
	if len(o.Header.Payload) > MaxHeader {
		return nil, fmt.Errorf("its header has %d bytes", len(o.Header.Payload))
	}
	o.header, err = codec.DecodeHeader(o.Header.Payload)
	return o, err
}

// openWarrant reads the warrant of an envelope, if it has one, and fails unless it is the one that the header names.
func (s *Service) openWarrant(in *incoming, data []byte) error {
	if len(data) == 0 && len(in.header.WarrantSHA256) == 0 {
		return nil
	}
	if sum := sha256.Sum256(data); len(data) > MaxWarrant || !bytes.Equal(sum[:], in.header.WarrantSHA256) {
		return invalid("the warrant is not the one that the header names")
	}
	var err error
	if in.warrant, err = readWarrant(s.Codec, data); err != nil {
		return invalid("the warrant cannot be read: %v", err)
	}
	return nil
}

// fitsWarrant returns why the figures of an envelope are not such as their source lets its sender pass on, for good; nil: they
// are, or are the sender's own. It relies on nothing that the sender says.
func (s *Service) fitsWarrant(ctx context.Context, in *incoming, terms Terms, content *block.Block) (*Reason, error) {
	bad := func(code, format string, args ...any) (*Reason, error) {
		return &Reason{Code: code, Text: fmt.Sprintf(format, args...), Agreement: terms.ID}, nil
	}
	o := in.warrant
	switch {
	case o == nil && terms.Source == "":
		return nil, nil
	case o == nil:
		return bad(notGranted, "agreement %s is about figures of %s, and nothing proves that these are", terms.ID, terms.Source)
	case terms.Source == "":
		return bad(notGranted, "agreement %s is about figures of %s, not of %s", terms.ID, in.from, o.terms.Provider)
	}
	if why := o.terms.grants(terms); why != "" && !o.takesBack() {
		return bad(notGranted, "%s", why)
	}
	if o.terms.Provider != terms.Source || o.terms.Receiver != in.from {
		return bad(notGranted, "agreement %s is none of %s with %s", o.terms.ID, terms.Source, in.from)
	}
	for _, party := range []StateCode{terms.Source, in.from} {
		if !s.everSigned(party, o.Agreement) {
			return bad("UNTRUSTED_SIGNER", "no key of %s has signed agreement %s, version %d", party, o.terms.ID, o.terms.Version)
		}
	}
	if o.takesBack() {
		if content.Rows > 0 {
			return bad("ENVELOPE_INVALID", "it takes figures back, and has some")
		}
		if len(common(o.terms.Indicators, terms.Indicators)) == 0 {
			return bad(notGranted, "agreement %s is about other indicators", o.terms.ID)
		}
		return s.elsewhere(ctx, terms, o)
	}
	if why := o.misfit(in.header); why != "" {
		return bad("ENVELOPE_INVALID", "%s", why)
	}
	if s.ahead(o.header.Created) {
		return bad("ENVELOPE_INVALID", "its figures were released at %s, and the clock here says %s",
			o.header.Created.Format(time.RFC3339), s.now().Format(time.RFC3339))
	}
	if _, err := s.Trust.Verify(terms.Source, HeaderType, *o.Header, s.now()); err != nil {
		return bad("UNTRUSTED_SIGNER", "no trusted key of %s has signed these figures", terms.Source)
	}
	if outside := o.terms.Periods.outside(content); outside != "" {
		return bad("PERIOD_NOT_COVERED", "agreement %s covers %s, not %s", o.terms.ID, o.terms.Periods, outside)
	}
	return s.fitsPast(ctx, terms, o)
}

// everSigned reports whether a key of the party, if of one that has ended since, signed the document. The source's header, which
// names the document by its hash, is by a key that is valid now.
func (s *Service) everSigned(party StateCode, agreement Signed) bool {
	now := s.now()
	_, err := s.Trust.List().verify(party, AgreementType, agreement, func(k SigningKey) bool { return !now.Before(k.NotBefore) })
	return err == nil
}

// misfit returns what of an envelope with the header is not as the source has signed it; "": nothing.
func (o *incomingWarrant) misfit(ours Header) string {
	theirs := o.header
	document := sha256.Sum256(o.Agreement.Payload)
	same, err := Condition{theirs.Scope}.equal(Condition{ours.Scope})
	switch {
	case theirs.Sender != o.terms.Provider || theirs.Receiver != o.terms.Receiver || theirs.Stream != StreamName(theirs.Sender, theirs.Receiver):
		return fmt.Sprintf("its figures went from %s to %s, not by agreement %s", theirs.Sender, theirs.Receiver, o.terms.ID)
	case theirs.Agreement != o.terms.ID || theirs.AgreementVersion != o.terms.Version || !bytes.Equal(theirs.TermsSHA256, document[:]):
		return fmt.Sprintf("its figures did not come under agreement %s, version %d, as it is shown", o.terms.ID, o.terms.Version)
	case !bytes.Equal(theirs.PayloadSHA256, ours.PayloadSHA256) || !bytes.Equal(theirs.ReleaseSHA256, ours.ReleaseSHA256) ||
		theirs.BatchIndex != ours.BatchIndex || theirs.BatchCount != ours.BatchCount || theirs.Dataflow != ours.Dataflow || err != nil || !same:
		return fmt.Sprintf("its figures are not those that %s has signed", theirs.Sender)
	case theirs.Base != "" || !uuid.MatchString(string(theirs.Release)):
		return "its figures are a part of a release only"
	}
	return ""
}

// fitsPast holds what is passed on against what is known here: the source's agreement has to be in force, nothing newer may have
// come, and nobody else may be the one who brings the figures.
func (s *Service) fitsPast(ctx context.Context, terms Terms, o *incomingWarrant) (*Reason, error) {
	bad := func(code, format string, args ...any) (*Reason, error) {
		return &Reason{Code: code, Text: fmt.Sprintf(format, args...), Agreement: terms.ID}, nil
	}
	today := s.now().Format(time.DateOnly)
	if !(Agreement{State: Active, Terms: o.terms}).covers(today) {
		return bad("EXPIRED", "agreement %s, version %d, by which %s let them be passed on, is not in force", o.terms.ID, o.terms.Version, terms.Source)
	}
	released, err := s.Store.WarrantSeen(ctx, terms.ID, o.terms.ID)
	if err != nil {
		return nil, err
	}
	if o.header.Created.Before(released) {
		return bad("OUT_OF_SEQUENCE", "%s has corrected these figures at %s", terms.Source, released.Format(time.RFC3339))
	}
	return s.elsewhere(ctx, terms, o)
}

// elsewhere returns why figures of the source are not for who passes them on to bring; nil: they are.
func (s *Service) elsewhere(ctx context.Context, terms Terms, o *incomingWarrant) (*Reason, error) {
	bad := func(format string, args ...any) (*Reason, error) {
		return &Reason{Code: notGranted, Text: fmt.Sprintf(format, args...), Agreement: terms.ID}, nil
	}
	all, err := s.agreements(ctx, "")
	if err != nil {
		return nil, err
	}
	today := s.now().Format(time.DateOnly)
	for _, other := range all {
		t := other.Terms
		if t.Receiver != s.State || t.giver() != terms.Source {
			continue
		}
		if t.Source == "" && t.tier() != terms.tier() && (other.wasActive() || other.mayBind(s.State)) {
			return bad("%s has %s in the tier %s, by agreement %s", terms.Source, s.State, t.tier(), t.ID)
		}
		first := t.Source == "" || t.ID < terms.ID // what comes from the source itself, before what others pass on
		if t.ID == terms.ID || !first || !other.covers(today) || flowOf(t.Dataflow) != flowOf(terms.Dataflow) {
			continue
		}
		if both := common(o.terms.Indicators, t.Indicators); len(both) > 0 {
			return bad("figures of %s come by agreement %s", strings.Join(both, ", "), t.ID)
		}
	}
	return nil, nil
}

// sameSource reports whether two envelopes are of one source, by the same agreement and out of the same release.
func (in *incoming) sameSource(other *incoming) bool {
	if in.warrant == nil || other.warrant == nil {
		return in.warrant == other.warrant
	}
	return bytes.Equal(in.warrant.Agreement.Payload, other.warrant.Agreement.Payload) && in.warrant.header.Release == other.warrant.header.Release
}

// keptWarrant returns whose figures the release of an envelope has, as it is kept.
func (in *incoming) keptWarrant() KeptWarrant {
	return KeptWarrant{
		Release: in.header.Release, Agreement: in.header.Agreement, Source: in.warrant.terms.ID, Version: in.warrant.terms.Version,
		Released: in.warrant.header.Created,
	}
}

// receiveWarrant is what policy is told about whose figures come.
type receiveWarrant struct {
	Provider  StateCode `json:"provider"`
	Agreement Terms     `json:"agreement"` // by which it let them be passed on
	TakenBack bool      `json:"takenBack"`
}

// replacedBy returns what a release that was passed on replaces. What it takes back is said by the source's agreement, not by who
// passed it on.
func (s *Service) replacedBy(ctx context.Context, header Header, terms Terms, warrant *incomingWarrant) (filter.Filter, error) {
	if !warrant.takesBack() {
		return warrant.header.Scope, nil
	}
	structures, err := s.structuresOf(ctx, header.Dataflow)
	if err != nil {
		return filter.Filter{}, err
	}
	source, _ := s.Trust.State(warrant.terms.Provider)
	return scopeOf(structures, source.RefAreas, common(warrant.terms.Indicators, terms.Indicators)), nil
}

// warrant holds the warrant of an envelope against its header, and against what the source has signed.
func (a *auditor) warrant(envelope Envelope, header Header, at time.Time) error {
	if len(envelope.Warrant) == 0 && len(header.WarrantSHA256) == 0 {
		return nil
	}
	if sum := sha256.Sum256(envelope.Warrant); !bytes.Equal(sum[:], header.WarrantSHA256) {
		return errors.New("its warrant is not the one that its header names")
	}
	w, err := readWarrant(a.codec, envelope.Warrant)
	if err != nil {
		return fmt.Errorf("its warrant cannot be read: %w", err)
	}
	if w.takesBack() {
		return nil
	}
	if why := w.misfit(header); why != "" {
		return errors.New(why)
	}
	_, err = a.trust.Verify(w.terms.Provider, HeaderType, *w.Header, at)
	return err
}
