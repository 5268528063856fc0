package sharing

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// Terms are what two states agree upon, in one direction. Their JSON, with the fields in this order, is the document
// that both sign.
type Terms struct {
	ID               AgreementID       `json:"id"`
	Version          int               `json:"version"` // from 1; a higher one takes the place of a lower one once both have signed
	Provider         StateCode         `json:"provider"`
	Receiver         StateCode         `json:"receiver"`
	Dataflow         string            `json:"dataflow"` // "AGENCY:ID(1.0.0)"; "AGENCY:ID(1.0+.0)": any compatible version from that one on
	Indicators       []string          `json:"indicators"`
	Detail           map[string]string `json:"detail"` // by dimension: a level of its codelist, "_T", or for FREQ a frequency; not named: "_T"
	Purposes         []string          `json:"purposes"`
	MinimumFrequency int               `json:"minimumFrequency"` // no cell that counts fewer goes
	ValidFrom        string            `json:"validFrom"`        // the first day, "YYYY-MM-DD"
	ValidTo          string            `json:"validTo"`          // the last day, "YYYY-MM-DD"; "": until terminated
	RetentionDays    int               `json:"retentionDays"`    // 0: no limit
	Onward           bool              `json:"onward"`           // whether the receiver may pass the figures on, to those that OnwardTo names
	Text             string            `json:"text"`
	Tier             Tier              `json:"tier,omitempty"`       // the receiver's clearance; "": Partners
	Afterwards       Afterwards        `json:"afterwards,omitempty"` // what becomes of an indicator's figures that nothing covers any more
	LegalBasis       string            `json:"legalBasis,omitempty"` // by what law figures may go; a text, which decides nothing
	Periods          Spans             `json:"periods,omitempty"`    // of which figures go; none: of all
	Schedule         Schedule          `json:"schedule,omitempty"`   // when what changed goes; "": at once
	Quota            *Quota            `json:"quota,omitempty"`      // nil: any amount may go
	OnwardTo         []StateCode       `json:"onwardTo,omitempty"`   // to whom the receiver may pass the figures on; none: to nobody
	Source           StateCode         `json:"source,omitempty"`     // whose figures they are where the provider passes them on; "": its own
}

// Tier is a clearance: those who are in one are taken to pool what they get, and are one audience. It is an upper-case
// identifier; [Public] is that of no agreement.
type Tier string

// Partners is the tier of who has an agreement that names no other.
const Partners Tier = "PARTNERS"

// AgreementState says how an agreement stands.
type AgreementState uint8

// The states of an agreement.
const (
	Proposed   AgreementState = iota + 1 // a signature is missing
	Active                               // both states have signed
	Superseded                           // a later version was signed by both; of what was proposed only, by one
	Terminated                           // one of the states has ended it
)

// Agreement is a set of terms with the signatures under it.
type Agreement struct {
	State      AgreementState
	Terms      Terms
	Document   []byte // the exact bytes that are signed
	Signatures []AgreementSignature
	Ended      *AgreementEnd // nil: nobody has terminated it
	Withdrawn  []Withdrawal  // what the receiver took out of its statistics, by its word; said by [Service.Versions] alone
	unspoken   error         // why no figures can go; said by refreshPolicy alone
	Created    time.Time     // when this node first saw it
	Updated    time.Time     // when it last changed here
}

// AgreementSignature is a state's signature under an agreement.
type AgreementSignature struct {
	State     StateCode
	Signature Signature
	Created   time.Time  // when it reached this node
	Delivered bool       // for this state's own: the partner has it
	Rejection *Rejection // for this state's own: why the partner does not take it; nil: it has not said so
}

// AgreementEnd is a state's termination of an agreement.
type AgreementEnd struct {
	State     StateCode
	Reason    string
	Created   time.Time
	Delivered bool       // for this state's own: the partner has it
	Rejection *Rejection // for this state's own: why the partner does not take it; nil: it has not said so
}

// maxDocument bounds an agreement's document, and maxReason why one is ended, in bytes.
const (
	maxDocument = 64 << 10
	maxReason   = 4 << 10
)

var (
	agreementID = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)
	tierName    = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,62}$`)
	dataflowRef = regexp.MustCompile(`^[A-Za-z0-9_.-]+:[A-Za-z0-9_@$-]+\([0-9]+\.[0-9]+\.[0-9]+\)$`)
)

// Document returns the bytes that are signed: the terms as JSON.
func (t Terms) Document() ([]byte, error) {
	if t.Indicators == nil {
		t.Indicators = []string{}
	}
	if t.Detail == nil {
		t.Detail = map[string]string{}
	}
	if t.Purposes == nil {
		t.Purposes = []string{}
	}
	return json.Marshal(t)
}

// ParseDocument reads the terms of a document. It refuses one that is not written exactly as [Terms.Document] writes
// it: whoever signs it must have read all of it.
func ParseDocument(document []byte) (Terms, error) {
	return parseSigned[Terms]("agreement", document, maxDocument)
}

// check reports everything that is wrong with the terms, for a state that is a party to them.
func (s *Service) check(terms Terms) error {
	wrong := fault.New(fault.Invalid, "INVALID_REQUEST", "the terms are not valid")
	say := func(field, format string, args ...any) {
		wrong.Violations = append(wrong.Violations, fault.InvalidField("terms."+field, format, args...).Violations...)
	}
	if !agreementID.MatchString(string(terms.ID)) {
		say("id", "%q is not 1 to 63 lower-case letters, digits and hyphens", terms.ID)
	}
	if terms.Version < 1 {
		say("version", "%d is below 1", terms.Version)
	}
	for _, problem := range s.wrongParties(terms) {
		say("provider", "%s", problem)
	}
	if !dataflowRef.MatchString(terms.Dataflow) && !isRange(terms.Dataflow) {
		say("dataflow", "%q is not of the form AGENCY:ID(1.0.0) or AGENCY:ID(1.0+.0)", terms.Dataflow)
	}
	if len(terms.Indicators) == 0 || repeats(terms.Indicators) {
		say("indicators", "there is at least one, and none stands twice")
	}
	if terms.Detail[freq] == "" {
		say("detail", "it names the finest frequency under FREQ")
	}
	for dimension, detail := range terms.Detail {
		if dimension == "" || detail == "" {
			say("detail", "a dimension and its detail are not empty")
		}
	}
	if repeats(terms.Purposes) {
		say("purposes", "one is empty or stands twice")
	}
	if terms.MinimumFrequency < 1 {
		say("minimumFrequency", "%d is below 1", terms.MinimumFrequency)
	}
	if tier := terms.tier(); tier == Public || !tierName.MatchString(string(tier)) {
		say("tier", "%q is not 1 to 63 upper-case letters, digits and underscores, or is %s", tier, Public)
	}
	if terms.Afterwards != Keep && terms.Afterwards != Withdraw {
		say("afterwards", "%q is neither empty nor %s", terms.Afterwards, Withdraw)
	}
	if len(terms.Periods) > maxSpans {
		say("periods", "there are more than %d", maxSpans)
	}
	for _, span := range terms.Periods {
		if err := span.check(); err != nil {
			say("periods", "%v", err)
		}
	}
	for _, problem := range s.wrongOnward(terms) {
		say(problem.field, "%s", problem.text)
	}
	if terms.Schedule != "" {
		if _, err := terms.Schedule.parse(); err != nil {
			say("schedule", "%v", err)
		}
	}
	if terms.Quota != nil {
		if err := terms.Quota.check(); err != nil {
			say("quota", "%v", err)
		}
	}
	if terms.RetentionDays < 0 {
		say("retentionDays", "%d is below 0", terms.RetentionDays)
	}
	if _, err := time.Parse(time.DateOnly, terms.ValidFrom); err != nil {
		say("validFrom", "%q is no day such as 2026-01-31", terms.ValidFrom)
	}
	if _, err := time.Parse(time.DateOnly, terms.ValidTo); terms.ValidTo != "" && (err != nil || terms.ValidTo < terms.ValidFrom) {
		say("validTo", "%q is no day from %q on", terms.ValidTo, terms.ValidFrom)
	}
	if len(wrong.Violations) > 0 {
		wrong.Message = wrong.Violations[0].Field + ": " + wrong.Violations[0].Description
		return wrong
	}
	return nil
}

func repeats(codes []string) bool {
	sorted := slices.Sorted(slices.Values(codes))
	return slices.Contains(sorted, "") || len(slices.Compact(sorted)) != len(codes)
}

// tier returns the clearance that the receiver has under the terms.
func (t Terms) tier() Tier { return cmp.Or(t.Tier, Partners) }

// other returns the other party.
func (t Terms) other(state StateCode) StateCode {
	if t.Provider == state {
		return t.Receiver
	}
	return t.Provider
}

// signedBy reports whether the state has signed.
func (a Agreement) signedBy(state StateCode) bool {
	return slices.ContainsFunc(a.Signatures, func(s AgreementSignature) bool { return s.State == state })
}

// covers reports whether the day, "YYYY-MM-DD", is one on which the agreement is in force.
func (a Agreement) covers(day string) bool {
	return a.State == Active && a.Terms.ValidFrom <= day && (a.Terms.ValidTo == "" || day <= a.Terms.ValidTo)
}

// agreements returns every version of the agreement, or of all with the id "", by id and version.
func (s *Service) agreements(ctx context.Context, id AgreementID) ([]Agreement, error) {
	changes, err := s.Store.AgreementChanges(ctx) // before they are read: what changes in between is read again
	if err != nil {
		return nil, err
	}
	all, known := s.agreed.at(changes)
	if !known {
		if all, err = s.readAgreements(ctx); err != nil {
			return nil, err
		}
		s.agreed.keep(changes, all)
	}
	if id == "" {
		return all, nil
	}
	return slices.DeleteFunc(all, func(a Agreement) bool { return a.Terms.ID != id }), nil
}

// readAgreements reads every version of every agreement.
func (s *Service) readAgreements(ctx context.Context) ([]Agreement, error) {
	kept, err := s.Store.Agreements(ctx, "")
	if err != nil {
		return nil, err
	}
	agreements := make([]Agreement, len(kept))
	for i, k := range kept {
		if agreements[i], err = s.readAgreement(k); err != nil {
			return nil, fmt.Errorf("reading agreement %s, version %d: %w", k.ID, k.Version, err)
		}
	}
	for i, later := range agreements {
		for j := range agreements[:i] {
			if agreements[j].supersededBy(later) {
				agreements[j].State = Superseded
			}
		}
	}
	return agreements, nil
}

// supersededBy reports whether a later version takes the place of this one: one that both have signed of what is not ended,
// and one that anybody has signed of what only waited to be signed.
func (a Agreement) supersededBy(later Agreement) bool {
	if a.Terms.ID != later.Terms.ID || a.State == Terminated {
		return false
	}
	return later.wasActive() || a.State == Proposed && len(later.Signatures) > 0
}

// mayBind reports whether the state has signed what the other one has not, and may sign as long as it knows of nothing later.
func (a Agreement) mayBind(state StateCode) bool {
	return !a.wasActive() && a.State != Terminated && a.signedBy(state)
}

// wasActive reports whether both states have signed.
func (a Agreement) wasActive() bool {
	return a.signedBy(a.Terms.Provider) && a.signedBy(a.Terms.Receiver)
}

func (s *Service) readAgreement(kept KeptAgreement) (Agreement, error) {
	terms, err := ParseDocument(kept.Document)
	if err != nil {
		return Agreement{}, err
	}
	if terms.ID != kept.ID || terms.Version != kept.Version {
		return Agreement{}, fmt.Errorf("its document is of %s, version %d", terms.ID, terms.Version)
	}
	a := Agreement{State: Proposed, Terms: terms, Document: kept.Document, Created: kept.Created, Updated: kept.Created}
	for _, k := range kept.Signatures {
		signed, err := s.Codec.DecodeSigned(k.Signed)
		if err != nil || len(signed.Signatures) == 0 {
			return Agreement{}, fmt.Errorf("the signature of %s cannot be read", k.State)
		}
		a.Signatures = append(a.Signatures, AgreementSignature{
			State: k.State, Signature: signed.Signatures[0], Created: k.Created, Delivered: k.Delivered, Rejection: k.Rejection,
		})
		a.Updated = later(a.Updated, k.Created)
	}
	if a.wasActive() {
		a.State = Active
	}
	for _, k := range kept.Ends {
		signed, err := s.Codec.DecodeSigned(k.Signed)
		if err != nil {
			return Agreement{}, fmt.Errorf("the termination by %s cannot be read", k.State)
		}
		end, err := s.Codec.DecodeTermination(signed.Payload)
		if err != nil {
			return Agreement{}, fmt.Errorf("the termination by %s cannot be read: %w", k.State, err)
		}
		if a.Ended == nil || k.Created.Before(a.Ended.Created) {
			a.Ended = &AgreementEnd{
				State: k.State, Reason: end.Reason, Created: k.Created, Delivered: k.Delivered, Rejection: k.Rejection,
			}
		}
		a.State = Terminated
		a.Updated = later(a.Updated, k.Created)
	}
	return a, nil
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Agreement returns the version in force of the agreement, else the newest.
func (s *Service) Agreement(ctx context.Context, id AgreementID) (Agreement, error) {
	versions, err := s.agreements(ctx, id)
	if err != nil {
		return Agreement{}, err
	}
	return current(id, versions)
}

// current returns of all versions of the agreement the one in force, else the newest.
func current(id AgreementID, versions []Agreement) (Agreement, error) {
	if len(versions) == 0 {
		return Agreement{}, fault.Missing("there is no agreement %q", id)
	}
	if i := slices.IndexFunc(versions, func(a Agreement) bool { return a.State == Active }); i >= 0 {
		return versions[i], nil
	}
	return versions[len(versions)-1], nil
}

// Agreements returns the agreements by id and version, those that are superseded or terminated only where asked for.
func (s *Service) Agreements(ctx context.Context, ended bool) ([]Agreement, error) {
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return nil, err
	}
	if !ended {
		agreements = slices.DeleteFunc(agreements, func(a Agreement) bool { return a.State != Proposed && a.State != Active })
	}
	return agreements, nil
}

// Draft keeps terms that bind nobody before both states have signed them. The same terms again are the same draft;
// other terms of the same version are a fault of kind Exists.
func (s *Service) Draft(ctx context.Context, terms Terms) (Agreement, error) {
	if err := s.writable(ctx); err != nil {
		return Agreement{}, err
	}
	if err := s.check(terms); err != nil {
		return Agreement{}, err
	}
	if err := s.keepsClear(ctx, terms); err != nil {
		return Agreement{}, err
	}
	document, err := terms.Document()
	if err != nil {
		return Agreement{}, err
	}
	if err := s.keepDocument(ctx, document, terms); err != nil {
		return Agreement{}, err
	}
	return s.version(ctx, terms.ID, terms.Version)
}

// keepDocument keeps a document that is not known yet.
func (s *Service) keepDocument(ctx context.Context, document []byte, terms Terms) error {
	versions, err := s.Store.Agreements(ctx, terms.ID)
	if err != nil {
		return err
	}
	for _, known := range versions {
		if known.Version == terms.Version && bytes.Equal(known.Document, document) {
			return nil
		}
	}
	if err := s.fitsBefore(ctx, terms); err != nil {
		return err
	}
	return s.Store.Write(ctx, func(tx Tx) error {
		leaf := newLeaf(EntryAgreement, agreementSubject(terms.ID, terms.Version, "document"), s.now(), document)
		return tx.AddAgreement(ctx, terms.ID, terms.Version, document, leaf)
	})
}

// fitsBefore returns a fault unless the terms are a later version of an agreement between the same states, or the first.
func (s *Service) fitsBefore(ctx context.Context, terms Terms) error {
	versions, err := s.Store.Agreements(ctx, terms.ID)
	if err != nil {
		return err
	}
	for _, known := range versions {
		if known.Version >= terms.Version {
			return fault.New(fault.Exists, "ALREADY_EXISTS", "agreement %s has a version %d with other terms", terms.ID, known.Version)
		}
		before, err := ParseDocument(known.Document)
		if err != nil {
			return err
		}
		if before.Provider != terms.Provider || before.Receiver != terms.Receiver {
			return fault.New(fault.Exists, "ALREADY_EXISTS", "agreement %s is between other states", terms.ID)
		}
	}
	return nil
}

func agreementSubject(id AgreementID, version int, what ...string) string {
	return fmt.Sprintf("%s/%d/%s", id, version, strings.Join(what, "/"))
}

// version returns a version of an agreement that is there.
func (s *Service) version(ctx context.Context, id AgreementID, version int) (Agreement, error) {
	versions, err := s.agreements(ctx, id)
	if err != nil {
		return Agreement{}, err
	}
	for _, a := range versions {
		if a.Terms.Version == version {
			return a, nil
		}
	}
	return Agreement{}, fault.Missing("there is no version %d of agreement %q", version, id)
}

// Sign signs the newest version of the agreement that lacks this state's signature, and sends the signature to the
// partner. Where there is none, it returns what there is, and a signature that the partner has rejected is sent again.
// The dataflow must be known here.
func (s *Service) Sign(ctx context.Context, id AgreementID) (Agreement, error) {
	if err := s.writable(ctx); err != nil {
		return Agreement{}, err
	}
	versions, err := s.agreements(ctx, id)
	if err != nil {
		return Agreement{}, err
	}
	for _, a := range slices.Backward(versions) {
		if a.State == Proposed && !a.signedBy(s.State) {
			return s.signVersion(ctx, a)
		}
	}
	known, err := current(id, versions) // of these: what came in between nobody has signed here
	if err != nil {
		return Agreement{}, err
	}
	if err := s.sendAgain(ctx, versions); err != nil {
		return Agreement{}, err
	}
	return s.version(ctx, id, known.Terms.Version)
}

// signVersion signs a version of an agreement that lacks this state's signature, and sends the signature to the partner.
func (s *Service) signVersion(ctx context.Context, a Agreement) (Agreement, error) {
	if err := international(a.Terms); err != nil {
		return Agreement{}, err
	}
	if err := s.understands(ctx, a.Terms); err != nil {
		return Agreement{}, err
	}
	if err := s.keepsClear(ctx, a.Terms); err != nil {
		return Agreement{}, err
	}
	signed, err := s.sign(AgreementType, a.Document)
	if err != nil {
		return Agreement{}, err
	}
	if err := s.addSignature(ctx, a.Terms, s.State, signed); err != nil {
		return Agreement{}, err
	}
	wake(s.toDeliver)
	return s.version(ctx, a.Terms.ID, a.Terms.Version)
}

// understands returns what the terms name that this state's structures do not have: who signs that would promise, or
// expect, what never comes. Indicators are not among it: a state may have its own. Structures stay once they are there, so
// that this needs to be asked before signing only.
func (s *Service) understands(ctx context.Context, terms Terms) error {
	refuse := func(format string, args ...any) error {
		return fault.New(fault.Precondition, "WRONG_STATE", "agreement %s "+format, append([]any{terms.ID}, args...)...)
	}
	structures, err := s.structuresOf(ctx, terms.Dataflow)
	if fault.Is(err, fault.NotFound) {
		return refuse("is of the dataflow %s, which is not known here", terms.Dataflow)
	}
	if err != nil {
		return err
	}
	for _, named := range slices.Sorted(maps.Keys(terms.Detail)) {
		i := structures.place(named)
		if i < 0 {
			return refuse("is about the detail of %s, which is no dimension of %s", named, terms.Dataflow)
		}
		levels := append([]string{Total}, structures.Dimensions[i].Levels...)
		if named == freq {
			levels = frequencies
		}
		if detail := terms.Detail[named]; !slices.Contains(levels, detail) {
			return refuse("is about the detail %q of %s, which is none of %s", detail, named, strings.Join(levels, ", "))
		}
	}
	return nil
}

// keepsClear returns a fault where the terms cannot stand beside what was agreed, or told, otherwise.
func (s *Service) keepsClear(ctx context.Context, terms Terms) error {
	if err := s.keepsTier(ctx, terms); err != nil {
		return err
	}
	return s.keepsDataflow(ctx, terms)
}

// keepsTier returns a fault where one of the readers is in another tier already: what it has seen there it would read beside what
// it sees here. It is in the tier of every agreement that both have signed, also of one that is over, and of what this
// state has signed and the other one still may.
func (s *Service) keepsTier(ctx context.Context, terms Terms) error {
	all, err := s.agreements(ctx, "")
	if err != nil {
		return err
	}
	for _, a := range all {
		binding := a.wasActive() || a.mayBind(s.State)
		if !binding || a.Terms.Provider.state() != terms.Provider.state() || a.Terms.tier() == terms.tier() {
			continue
		}
		for _, reader := range a.Terms.readers() {
			if slices.Contains(terms.readers(), reader) {
				return fault.New(fault.Precondition, "WRONG_STATE",
					"%s is in the tier %s of %s by agreement %s, and cannot be in %s", reader, a.Terms.tier(), terms.Provider, a.Terms.ID, terms.tier())
			}
		}
	}
	return nil
}

func (s *Service) addSignature(ctx context.Context, terms Terms, state StateCode, signed Signed) error {
	data, err := s.Codec.EncodeSigned(signed)
	if err != nil {
		return err
	}
	err = s.Store.Write(ctx, func(tx Tx) error {
		leaf := newLeaf(EntryAgreement, agreementSubject(terms.ID, terms.Version, "signature", string(state)), s.now(), data)
		added, err := tx.AddSignature(ctx, terms.ID, terms.Version, state, data, leaf)
		if err != nil || !added {
			return err
		}
		return tx.Notify(ctx)
	})
	if err != nil {
		return err
	}
	wake(s.toRelease)
	return nil
}

// Terminate ends the version in force of the agreement at once, or else its newest draft, and tells the partner.
func (s *Service) Terminate(ctx context.Context, id AgreementID, reason string) (Agreement, error) {
	a, err := s.Agreement(ctx, id)
	if err != nil {
		return Agreement{}, err
	}
	if a.State == Terminated || a.State == Superseded {
		return Agreement{}, fault.New(fault.Precondition, "WRONG_STATE", "agreement %s is over already", id)
	}
	return s.end(ctx, a, reason)
}

// end ends a version of an agreement, and tells the partner.
func (s *Service) end(ctx context.Context, a Agreement, reason string) (Agreement, error) {
	if err := international(a.Terms); err != nil {
		return Agreement{}, err
	}
	return s.endAs(ctx, a, s.State, reason)
}

// endAs ends a version of an agreement for one of its parties.
func (s *Service) endAs(ctx context.Context, a Agreement, party StateCode, reason string) (Agreement, error) {
	if len(reason) > maxReason {
		return Agreement{}, fault.InvalidField("reason", "it has more than %d bytes", maxReason)
	}
	end := Termination{Agreement: a.Terms.ID, Version: a.Terms.Version, State: party, Reason: reason, Created: s.now()}
	payload, err := s.Codec.EncodeTermination(end)
	if err != nil {
		return Agreement{}, err
	}
	signed, err := s.sign(TerminationType, payload)
	if err != nil {
		return Agreement{}, err
	}
	if err := s.addEnd(ctx, end, signed); err != nil {
		return Agreement{}, err
	}
	wake(s.toDeliver)
	return s.version(ctx, a.Terms.ID, a.Terms.Version)
}

func (s *Service) addEnd(ctx context.Context, end Termination, signed Signed) error {
	data, err := s.Codec.EncodeSigned(signed)
	if err != nil {
		return err
	}
	err = s.Store.Write(ctx, func(tx Tx) error {
		leaf := newLeaf(EntryAgreement, agreementSubject(end.Agreement, end.Version, "end", string(end.State)), s.now(), data)
		added, err := tx.AddEnd(ctx, end.Agreement, end.Version, end.State, data, leaf)
		if err != nil || !added {
			return err
		}
		return tx.Notify(ctx)
	})
	if err != nil {
		return err
	}
	s.changes.announce()
	wake(s.toRelease)
	return nil
}

// ReceiveProposal keeps an agreement that the partner has signed, and its signature. The same again changes nothing.
func (s *Service) ReceiveProposal(ctx context.Context, from StateCode, agreement Signed) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	terms, err := s.readSigned(from, agreement)
	if err != nil {
		return err
	}
	if err := s.check(terms); err != nil {
		return err
	}
	if err := s.keepsClear(ctx, terms); err != nil {
		return err
	}
	if err := s.keepDocument(ctx, agreement.Payload, terms); err != nil {
		return err
	}
	return s.addSignature(ctx, terms, from, agreement)
}

// ReceiveAnswer keeps the partner's signature under an agreement that is here. The same again changes nothing.
func (s *Service) ReceiveAnswer(ctx context.Context, from StateCode, agreement Signed) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	terms, err := s.readSigned(from, agreement)
	if err != nil {
		return err
	}
	known, err := s.version(ctx, terms.ID, terms.Version)
	if err != nil {
		return err
	}
	if !bytes.Equal(known.Document, agreement.Payload) {
		return fault.New(fault.Exists, "ALREADY_EXISTS", "version %d of agreement %s has other terms here", terms.Version, terms.ID)
	}
	return s.addSignature(ctx, terms, from, agreement)
}

// readSigned returns the terms that a party to them has signed, as the only one: a signature is kept as it came.
func (s *Service) readSigned(from StateCode, agreement Signed) (Terms, error) {
	signature, err := s.Trust.Verify(from, AgreementType, agreement, s.now())
	if err != nil {
		return Terms{}, err
	}
	if len(agreement.Signatures) != 1 || agreement.Signatures[0].KeyID != signature.KeyID {
		return Terms{}, fault.InvalidField("agreement", "it has one signature, its sender's")
	}
	terms, err := ParseDocument(agreement.Payload)
	if err != nil {
		return Terms{}, err
	}
	if from != terms.Provider && from != terms.Receiver {
		return Terms{}, fault.New(fault.Denied, "ACCESS_DENIED", "%s is no party to agreement %s", from, terms.ID)
	}
	return terms, nil
}

// ReceiveTermination ends an agreement by the partner's word. The same again changes nothing.
func (s *Service) ReceiveTermination(ctx context.Context, from StateCode, termination Signed) error {
	if _, err := s.Trust.Verify(from, TerminationType, termination, s.now()); err != nil {
		return err
	}
	end, err := s.Codec.DecodeTermination(termination.Payload)
	if err != nil {
		return fault.InvalidField("termination", "it cannot be read: %v", err)
	}
	a, err := s.version(ctx, end.Agreement, end.Version)
	if err != nil {
		return err
	}
	if end.State != from || from != a.Terms.Provider && from != a.Terms.Receiver {
		return fault.New(fault.Denied, "ACCESS_DENIED", "%s is no party to agreement %s", from, end.Agreement)
	}
	return s.addEnd(ctx, end, termination)
}
