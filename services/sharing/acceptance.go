package sharing

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/comity-federation/comity/services/fault"
)

// AcceptanceType is the media type of an acceptance that is signed.
const AcceptanceType = "application/vnd.comity.acceptance.v1+json"

// maxAcceptance bounds a signed acceptance, in bytes, and maxAcceptanceReason its reason, in characters.
const (
	maxAcceptance       = 64 << 10
	maxAcceptanceReason = 2_000
)

// Acceptance says from which checkpoint a state accepts a partner's log though it does not extend the one that it saw last:
// the partner's database was restored from an old backup, for example. Its JSON, with the fields in this order, is what
// officers sign.
type Acceptance struct {
	ID      string    `json:"id"`    // a UUIDv7
	State   StateCode `json:"state"` // that accepts
	Log     StateCode `json:"log"`   // whose log
	Seen    string    `json:"seen"`  // the checkpoint that was seen last, a signed note
	From    string    `json:"from"`  // the one that the log goes on from, a signed note
	Reason  string    `json:"reason"`
	Created time.Time `json:"createTime"`
}

// SignedAcceptance is an acceptance with the exact bytes that officers sign, and their signatures. It is kept as a file holds
// it, and is an entry of the log of the state that accepts.
type SignedAcceptance struct {
	Acceptance
	signed Signed
}

// NewAcceptance returns an acceptance of a log as a fork shows it, at the time, without any signature.
func NewAcceptance(log StateCode, fork Fork, reason string, now time.Time) (*SignedAcceptance, error) {
	now = now.UTC().Truncate(time.Second)
	payload, err := json.MarshalIndent(Acceptance{
		ID: newID(now), State: fork.State, Log: log, Seen: fork.Seen, From: fork.Shown, Reason: strings.TrimSpace(reason), Created: now,
	}, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the acceptance: %w", err)
	}
	return readAcceptance(Signed{PayloadType: AcceptanceType, Payload: payload})
}

// ReadAcceptance reads an acceptance with its signatures. It does not say whether they are enough.
func ReadAcceptance(data []byte) (*SignedAcceptance, error) {
	signed, err := readSigned(data, AcceptanceType, maxAcceptance)
	if err != nil {
		return nil, fmt.Errorf("reading the acceptance: %w", err)
	}
	return readAcceptance(signed)
}

func readAcceptance(signed Signed) (*SignedAcceptance, error) {
	a := &SignedAcceptance{signed: signed}
	decoder := json.NewDecoder(bytes.NewReader(signed.Payload))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&a.Acceptance); err != nil {
		return nil, fmt.Errorf("reading the acceptance: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("reading the acceptance: something follows it")
	}
	switch {
	case !uuid.MatchString(a.ID):
		return nil, fmt.Errorf("the acceptance has no id, but %q", a.ID)
	case a.Created.IsZero():
		return nil, errors.New("the acceptance does not say when it was made")
	case a.Reason == "" || !utf8.ValidString(a.Reason) || strings.ContainsRune(a.Reason, 0) || utf8.RuneCountInString(a.Reason) > maxAcceptanceReason:
		return nil, fmt.Errorf("the acceptance has no reason of 1 to %d characters: it is kept in the log", maxAcceptanceReason)
	}
	return a, nil
}

// Encode returns the acceptance as a file holds it.
func (a *SignedAcceptance) Encode() ([]byte, error) { return a.signed.file() }

// Sign adds the signature of the officer with the key, where it is not there yet.
func (a *SignedAcceptance) Sign(key ed25519.PrivateKey) { a.signed.add(key) }

// Signers returns the names of the officers of the list by who the acceptance is signed, in the list's order.
func (a *SignedAcceptance) Signers(list *TrustList) []string { return list.signers(a.signed) }

// checkpoints returns what both checkpoints say, which the log's own state must have signed with one of the keys.
func (a *SignedAcceptance) checkpoints(keys []string) (seen, from checkpoint, err error) {
	if seen, _, _, err = openCheckpointBy(a.Seen, LogName(a.Log), keys); err != nil {
		return seen, from, fmt.Errorf("the checkpoint that was seen: %w", err)
	}
	if from, _, _, err = openCheckpointBy(a.From, LogName(a.Log), keys); err != nil {
		return seen, from, fmt.Errorf("the checkpoint that the log goes on from: %w", err)
	}
	return seen, from, nil
}

func (a *SignedAcceptance) subject() string { return string(a.Log) + "/" + a.ID }

// Fork is how a partner's log stands that does not extend what was seen of it. Both checkpoints are signed notes.
type Fork struct {
	State               StateCode // that has seen it: this one
	Seen, Shown         string    // the one that was seen last, and the newest that was refused
	SeenSize, ShownSize int64
}

// fork returns how a partner's log stands; nil: it extends what was seen of it.
func (s *Service) fork(ctx context.Context, partner TrustedState, known Witnessed) (*Fork, error) {
	if known.Refused == "" {
		return nil, nil //nolint:nilnil // nil is "there is none"
	}
	shown, _, _, err := openCheckpointBy(known.Refused, LogName(partner.Code), partner.LogKeys())
	if err != nil {
		return nil, fmt.Errorf("opening the checkpoint of %s that was refused: %w", partner.Code, err)
	}
	notes, err := s.Store.CheckpointsAt(ctx, partner.Code, known.Size)
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoints of %s of %d entries: %w", partner.Code, known.Size, err)
	}
	for _, seen := range notes {
		opened, _, _, err := openCheckpointBy(seen, LogName(partner.Code), partner.LogKeys())
		if err == nil && bytes.Equal(opened.root[:], known.Root) {
			return &Fork{State: s.State, Seen: seen, Shown: known.Refused, SeenSize: known.Size, ShownSize: shown.size}, nil
		}
	}
	return nil, fmt.Errorf("the checkpoint of %s of %d entries, which was seen, is not kept", partner.Code, known.Size)
}

// AcceptedLog is what became of an acceptance.
type AcceptedLog struct {
	Entry              string // of the log, by its subject
	Officers           []string
	SeenSize, FromSize int64 // entries of both checkpoints
}

// AcceptLog lets a partner's log go on from a checkpoint that does not extend the one seen last, by the word of as many
// officers as sign a trust list. Both checkpoints stay as evidence. From then on the partner's checkpoints are co-signed that
// extend the accepted one, and no others.
//
// An acceptance for another state, of another log, or with checkpoints that the log's state has not signed is a fault of kind
// Invalid; one with too few officers' signatures has the reason UNTRUSTED_SIGNER; one that does not name what was seen last has
// the reason WRONG_STATE. person is who hands it in.
func (s *Service) AcceptLog(ctx context.Context, partner StateCode, data []byte, person string) (AcceptedLog, error) {
	if err := s.writable(ctx); err != nil {
		return AcceptedLog{}, err
	}
	if err := s.checkPartner(partner); err != nil {
		return AcceptedLog{}, err
	}
	a, err := ReadAcceptance(data)
	if err != nil {
		return AcceptedLog{}, fault.InvalidField("acceptance", "%v", err)
	}
	if a.State != s.State || a.Log != partner {
		return AcceptedLog{}, fault.InvalidField("acceptance", "it is %s's, of the log of %s", a.State, a.Log)
	}
	list := s.Trust.List()
	if list.Ended(s.now()) {
		return AcceptedLog{}, fault.New(fault.Denied, "UNTRUSTED_SIGNER", "the trust list has expired, so nobody's signature counts")
	}
	if names := a.Signers(list); !list.enough(names) {
		return AcceptedLog{}, fault.New(fault.Denied, "UNTRUSTED_SIGNER", "%d officers of the trust list have signed, not %d", len(names), list.Threshold)
	}
	owner, _ := list.State(partner)
	seen, from, err := a.checkpoints(owner.LogKeys())
	if err != nil {
		return AcceptedLog{}, fault.InvalidField("acceptance", "%v", err)
	}
	if from == seen {
		return AcceptedLog{}, fault.InvalidField("acceptance", "both checkpoints are the same")
	}
	if data, err = a.Encode(); err != nil { // in the one form
		return AcceptedLog{}, err
	}
	now := s.now()
	err = s.Store.Write(ctx, func(tx Tx) error {
		last, err := tx.LockWitnessed(ctx, partner)
		if err != nil {
			return err
		}
		if last.Size != seen.size || !bytes.Equal(last.Root, seen.root[:]) {
			return wrongState("another checkpoint of %s was seen last, of %d entries", partner, last.Size)
		}
		shown := SeenCheckpoint{Log: partner, Partner: partner, Size: from.size, Note: a.From}
		if err := tx.AddSeenCheckpoint(ctx, shown); err != nil {
			return err
		}
		if err := tx.AddAcceptance(ctx, a.Acceptance, data, newLeaf(EntryAcceptance, a.subject(), now, data)); err != nil {
			return err
		}
		last.Size, last.Root, last.Refused = from.size, from.root[:], ""
		return tx.SaveWitnessed(ctx, partner, last)
	})
	if err != nil {
		return AcceptedLog{}, err
	}
	s.Log.WarnContext(ctx, "a partner's log is accepted though it does not extend what was seen", "partner", partner,
		"seen", seen.size, "from", from.size, "officers", a.Signers(list), "person", person, "reason", a.Reason)
	return AcceptedLog{Entry: a.subject(), Officers: a.Signers(list), SeenSize: seen.size, FromSize: from.size}, nil
}

// accepted is an acceptance that counts: enough officers have signed it.
type accepted struct {
	*SignedAcceptance
	seen, from checkpoint
	since      time.Time // when the checkpoint came that the log goes on from
	officers   []string
}

// acceptances returns those among the checkpoints that count. One that does not is left: it changes nothing.
func acceptances(trust *TrustList, checkpoints []SeenCheckpoint) []accepted {
	var found []accepted
	known := map[string]bool{}
	for _, c := range checkpoints {
		if len(c.Acceptance) == 0 {
			continue
		}
		a, err := ReadAcceptance(c.Acceptance)
		if err != nil || a.Log != c.Log || known[a.ID] {
			continue
		}
		owner, _ := trust.State(a.Log)
		seen, from, err := a.checkpoints(owner.LogKeys())
		officers := a.Signers(trust)
		if err != nil || !trust.enough(officers) {
			continue
		}
		known[a.ID] = true
		found = append(found, accepted{a, seen, from, c.Created, officers})
	}
	return found
}

// settled reports whether officers have accepted that a checkpoint may be of another log than the one that goes on: it is not
// of more entries than what was seen last, and came before the one that the log goes on from. That one itself always counts.
func settled(all []accepted, c SeenCheckpoint, says checkpoint) bool {
	return slices.ContainsFunc(all, func(a accepted) bool {
		return c.Log == a.Log && says != a.from && says.size <= a.seen.size && !c.Created.After(a.since)
	})
}

// Acceptances says of which logs officers have accepted that they go on from a checkpoint though somebody had seen another
// log: who, when and why. Those that too few officers of the trust list have signed are not among them.
func Acceptances(trust *TrustList, checkpoints []SeenCheckpoint) []string {
	var said []string
	for _, a := range acceptances(trust, checkpoints) {
		said = append(said, fmt.Sprintf("%s: goes on from %d entries, though %s had seen %d others of it: accepted by %s on %s: %s",
			a.Log, a.from.size, a.State, a.seen.size, strings.Join(a.officers, " and "), a.Created.Format(time.DateOnly), a.Reason))
	}
	slices.Sort(said)
	return said
}

// acceptance holds an entry of the log that accepts another one against its subject.
func (a *auditor) acceptance(entry LogEntry) error {
	signed, err := ReadAcceptance(entry.Content)
	if err != nil {
		return err
	}
	if signed.State != a.state {
		return fmt.Errorf("it is an acceptance by %s", signed.State)
	}
	return same(entry.Subject, signed.subject())
}
