package sharing

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/comity-federation/comity/services/fault"
)

// Lift is a person's decision that a quarantined stream goes on. It is kept as JSON, and is an entry of the log.
type Lift struct {
	ID       string    `json:"id"` // a UUIDv7
	Stream   string    `json:"stream"`
	Epoch    string    `json:"epoch"`
	Sequence uint64    `json:"sequence"` // of the last envelope that was kept: the next one has to follow it
	Person   string    `json:"person"`   // by the subject of the token
	Reason   string    `json:"reason"`
	Created  time.Time `json:"createTime"`
}

// maxLiftReason bounds the reason, in characters.
const maxLiftReason = 2_000

// LiftQuarantine lets the quarantined stream from a partner go on after its last envelope that was kept, by the decision
// of a person, and returns the decision. What had no place in the stream stays evidence. A partner that goes on to
// contradict what it has signed is quarantined again: one that has lost its database begins a new epoch.
//
// The reason is a sentence for those who read the log later. A stream that is not quarantined is a fault with the
// reason WRONG_STATE.
func (s *Service) LiftQuarantine(ctx context.Context, partner StateCode, person, reason string) (Lift, error) {
	if err := s.writable(ctx); err != nil {
		return Lift{}, err
	}
	if err := s.checkPartner(partner); err != nil {
		return Lift{}, err
	}
	reason = strings.TrimSpace(reason)
	switch {
	case reason == "":
		return Lift{}, fault.InvalidField("reason", "is missing: it is kept in the log")
	case !utf8.ValidString(reason) || strings.ContainsRune(reason, 0) || utf8.RuneCountInString(reason) > maxLiftReason:
		return Lift{}, fault.InvalidField("reason", "is not a text of at most %d characters", maxLiftReason)
	}
	stream := StreamName(partner, s.State)
	lift := Lift{ID: newID(s.now()), Stream: stream, Person: person, Reason: reason, Created: s.now()}
	err := s.Store.Write(ctx, func(tx Tx) error {
		place, err := tx.LockInbound(ctx, stream, partner)
		if err != nil {
			return err
		}
		if !place.Quarantined {
			return fault.New(fault.Precondition, "WRONG_STATE", "stream %s is not quarantined", stream)
		}
		lift.Epoch, lift.Sequence = place.Epoch, place.Sequence
		document, err := json.Marshal(lift)
		if err != nil {
			return fmt.Errorf("encoding the decision: %w", err)
		}
		return tx.LiftQuarantine(ctx, lift, document, newLeaf(EntryQuarantineLifted, lift.subject(), lift.Created, document))
	})
	if err != nil {
		return Lift{}, err
	}
	s.Log.WarnContext(ctx, "a quarantine was lifted", "partner", partner, "stream", stream, "person", person, "reason", reason)
	return lift, nil
}

func (l Lift) subject() string { return l.Stream + "/" + l.ID }
