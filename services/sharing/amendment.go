package sharing

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// AmendmentID is the id of an amendment, the same at all states.
type AmendmentID string

// Change is what an amendment says. Its JSON, with the fields in this order, is the document that states sign.
type Change struct {
	ID         AmendmentID     `json:"id"`
	Proposer   StateCode       `json:"proposer"`
	Text       string          `json:"text"`       // what it is for
	Structures json.RawMessage `json:"structures"` // JSON of comity.statistics.v1.Structures
}

// AmendmentState says how an amendment stands.
type AmendmentState uint8

// The states of an amendment.
const (
	Open     AmendmentState = iota + 1 // signatures are missing
	Ratified                           // enough states have signed; this one has not stored it yet
	InEffect                           // enough states have signed, and this one has stored it
)

// Amendment is a change of the structures that states share, with the signatures under it.
type Amendment struct {
	Change
	State      AmendmentState
	Artefacts  []Artefact
	Document   []byte // the exact bytes that are signed
	Signatures []AmendmentSignature
	Quorum     int // how many states have to sign
	Created    time.Time
	Effect     time.Time           // when it took effect here; zero: it has not
	Problem    string              // why it is ratified and not in effect; "": nothing is wrong
	Deliveries []AmendmentDelivery // of this state's signature, to those who have not got it
}

// AmendmentSignature is a state's signature under an amendment.
type AmendmentSignature struct {
	State     StateCode
	Signature Signature
	Created   time.Time // when it reached this node
}

// AmendmentDelivery is how this state's signature stands with another state.
type AmendmentDelivery struct {
	State     StateCode
	Delivered bool
	Rejection *Rejection // nil: it does not say that it does not take it
}

// AmendmentEffect is that an amendment took effect at this node. Its JSON is kept, and has a leaf in the log.
type AmendmentEffect struct {
	ID      AmendmentID `json:"id"`
	Signers []StateCode `json:"signers"` // sorted
	Quorum  int         `json:"quorum"`  // how many had to be
	Created time.Time   `json:"created"`
}

// Artefact is a structural artefact, as far as versions of it are compared.
type Artefact struct {
	Kind    string   // such as "Codelist"
	Name    string   // "AGENCY:ID"
	Version string   // such as "1.1.0"
	Parts   []string // what every later version with the same major number has too, in words
}

// String returns "Codelist AGENCY:ID(1.1.0)".
func (a Artefact) String() string { return a.Kind + " " + a.Name + "(" + a.Version + ")" }

// agency returns the agency that maintains the artefact.
func (a Artefact) agency() string {
	agency, _, _ := strings.Cut(a.Name, ":")
	return agency
}

// Registry is where this state keeps its structures. It reads and takes them as JSON.
type Registry interface {
	// Read returns the artefacts of structures; a fault of kind Invalid where they cannot be read.
	Read(structures []byte) ([]Artefact, error)
	// Artefacts returns what is kept of the agencies.
	Artefacts(ctx context.Context, agencies []string) ([]Artefact, error)
	// Check returns a fault unless structures could be kept, such as one that says to what a reference does not lead.
	Check(ctx context.Context, structures []byte) error
	// Keep keeps structures, all or none. The same again changes nothing.
	Keep(ctx context.Context, structures []byte) error
}

// maxChange bounds the document of an amendment, and maxChangeText its text, in bytes.
const (
	maxChange     = 1 << 20
	maxChangeText = 16 << 10
)

// Document returns the bytes that are signed: the change as JSON.
func (c Change) Document() ([]byte, error) { return json.Marshal(c) }

// ParseChange reads a document. It refuses one that is not written exactly as [Change.Document] writes it.
func ParseChange(document []byte) (Change, error) {
	return parseSigned[Change]("amendment", document, maxChange)
}

// checkChange returns a fault where the change is none that this state could put into effect. It names what is missing.
func (s *Service) checkChange(ctx context.Context, change Change) error {
	if !agreementID.MatchString(string(change.ID)) {
		return fault.InvalidField("id", "%q is not 1 to 63 lower-case letters, digits and hyphens", change.ID)
	}
	if _, ok := s.Trust.State(change.Proposer); !ok {
		return fault.InvalidField("proposer", "state %q is not on the trust list", change.Proposer)
	}
	if change.Text == "" || len(change.Text) > maxChangeText {
		return fault.InvalidField("text", "it has not between 1 and %d bytes", maxChangeText)
	}
	if s.Registry == nil {
		return fault.New(fault.Unavailable, "UNAVAILABLE", "this node keeps no structures")
	}
	artefacts, err := s.Registry.Read(change.Structures)
	if err != nil {
		return err
	}
	if len(artefacts) == 0 {
		return fault.InvalidField("structures", "there are none")
	}
	shared := s.sharedAgencies()
	for _, a := range artefacts {
		if !slices.Contains(shared, a.agency()) {
			return fault.InvalidField("structures", "%s is not of an agency whose structures are shared: %s", a, strings.Join(shared, ", "))
		}
		if _, ok := parseVersion(a.Version); !ok {
			return fault.InvalidField("structures", "%s: its version is not of the form 1.0.0, or is a draft", a)
		}
	}
	known, err := s.Registry.Artefacts(ctx, shared)
	if err != nil {
		return err
	}
	if err := compatible(artefacts, known); err != nil {
		return err
	}
	return s.Registry.Check(ctx, change.Structures)
}

// sharedAgencies returns the agencies whose structures states share.
func (s *Service) sharedAgencies() []string {
	if agencies := s.Trust.List().Governance.Agencies; len(agencies) > 0 {
		return agencies
	}
	agency, _, _ := strings.Cut(s.Dataflow, ":")
	return []string{agency}
}

// maxMissing is of how many missing parts a refusal names.
const maxMissing = 10

// compatible returns a fault where an artefact lacks what the latest version before it has, of those with the same major
// number (Semantic Versioning 2.0.0): whoever knows that one could not read it.
func compatible(artefacts, known []Artefact) error {
	for _, a := range artefacts {
		own, _ := parseVersion(a.Version)
		var before Artefact
		var latest semver
		for _, b := range slices.Concat(known, artefacts) {
			version, ok := parseVersion(b.Version)
			if ok && b.Kind == a.Kind && b.Name == a.Name && version[0] == own[0] && version.compare(own) < 0 && version.compare(latest) >= 0 {
				before, latest = b, version
			}
		}
		var missing []string
		for _, part := range before.Parts {
			if !slices.Contains(a.Parts, part) {
				missing = append(missing, part)
			}
		}
		if n := len(missing); n > 0 {
			if n > maxMissing {
				missing = append(missing[:maxMissing], fmt.Sprintf("and %d more", n-maxMissing))
			}
			return fault.New(fault.Precondition, "INCOMPATIBLE", "%s lacks what %s has, and would have to be version %d.0.0: %s",
				a, before.Version, own[0]+1, strings.Join(missing, "; "))
		}
	}
	return nil
}

// semver is a version that is no draft: its three numbers.
type semver [3]int

var stableVersion = regexp.MustCompile(`^([1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})\.(0|[1-9][0-9]{0,5})$`)

// parseVersion reads a version such as "1.2.0"; false for a draft, and for what is none.
func parseVersion(text string) (v semver, ok bool) {
	numbers := stableVersion.FindStringSubmatch(text)
	if numbers == nil {
		return v, false
	}
	for i := range v {
		v[i], _ = strconv.Atoi(numbers[i+1]) // six digits
	}
	return v, true
}

func (v semver) compare(other semver) int { return slices.Compare(v[:], other[:]) }

// Amendments returns the amendments, the oldest first.
func (s *Service) Amendments(ctx context.Context) ([]Amendment, error) {
	kept, err := s.Store.Amendments(ctx)
	if err != nil {
		return nil, err
	}
	amendments := make([]Amendment, len(kept))
	for i, k := range kept {
		if amendments[i], err = s.readAmendment(k); err != nil {
			return nil, fmt.Errorf("reading amendment %s: %w", k.ID, err)
		}
	}
	return amendments, nil
}

// Amendment returns an amendment. Of one that is ratified and not in effect, it says why.
func (s *Service) Amendment(ctx context.Context, id AmendmentID) (Amendment, error) {
	all, err := s.Amendments(ctx)
	if err != nil {
		return Amendment{}, err
	}
	i := slices.IndexFunc(all, func(a Amendment) bool { return a.ID == id })
	if i < 0 {
		return Amendment{}, fault.Missing("there is no amendment %q", id)
	}
	if a := &all[i]; a.State == Ratified {
		if err := s.Registry.Check(ctx, a.Structures); err != nil {
			a.Problem = err.Error()
		}
	}
	return all[i], nil
}

func (s *Service) readAmendment(kept KeptAmendment) (Amendment, error) {
	change, err := ParseChange(kept.Document)
	if err != nil {
		return Amendment{}, err
	}
	if change.ID != kept.ID {
		return Amendment{}, fmt.Errorf("its document is of %s", change.ID)
	}
	a := Amendment{Change: change, State: Open, Document: kept.Document, Created: kept.Created, Effect: kept.Effect, Deliveries: kept.Deliveries}
	if s.Registry != nil {
		if a.Artefacts, err = s.Registry.Read(change.Structures); err != nil {
			return Amendment{}, err
		}
	}
	for _, k := range kept.Signatures {
		signed, err := s.Codec.DecodeSigned(k.Signed)
		if err != nil || len(signed.Signatures) == 0 {
			return Amendment{}, fmt.Errorf("the signature of %s cannot be read", k.State)
		}
		a.Signatures = append(a.Signatures, AmendmentSignature{State: k.State, Signature: signed.Signatures[0], Created: k.Created})
	}
	list := s.Trust.List()
	if a.Quorum, err = list.Governance.needs(len(list.States)); err != nil {
		return Amendment{}, err
	}
	signers := a.signers(list)
	switch {
	case !a.Effect.IsZero():
		a.State = InEffect
	case len(signers) >= a.Quorum && slices.Contains(signers, a.Proposer):
		a.State = Ratified
	}
	return a, nil
}

// signers returns the states on the list that have signed, sorted.
func (a Amendment) signers(list *TrustList) []StateCode {
	var signers []StateCode
	for _, signature := range a.Signatures {
		if _, ok := list.State(signature.State); ok {
			signers = append(signers, signature.State)
		}
	}
	slices.SortFunc(signers, cmp.Compare[StateCode])
	return signers
}

// signedBy reports whether the state has signed.
func (a Amendment) signedBy(state StateCode) bool {
	return slices.ContainsFunc(a.Signatures, func(s AmendmentSignature) bool { return s.State == state })
}
