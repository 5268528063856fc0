package sharing

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/services/fault"
)

// Keyring has the keys that this state signs with. They may change while the service runs.
type Keyring interface {
	// Current returns the keys to sign with now.
	Current() Keys
}

// Keys are what this state signs with.
type Keys struct {
	Signing     ed25519.PrivateKey // envelopes, receipts, agreements
	Log         note.Signer        // checkpoints of the log, by the name "comity/<state>/log"
	LogVerifier string             // the note verifier key that belongs to Log
}

// Current returns the keys themselves, which makes them a [Keyring] that never changes.
func (k Keys) Current() Keys { return k }

// sign returns the payload with a signature by the key.
func (k Keys) sign(payloadType string, payload []byte) Signed {
	public, _ := k.Signing.Public().(ed25519.PublicKey)
	return Signed{
		PayloadType: payloadType,
		Payload:     payload,
		Signatures: []Signature{{
			KeyID:     KeyID(public),
			Signature: ed25519.Sign(k.Signing, dsse.PAE(payloadType, payload)),
		}},
	}
}

// sign returns the payload with this state's signature. It fails while the trust list in force does not have the key as one
// that is valid: no partner would believe it.
func (s *Service) sign(payloadType string, payload []byte) (Signed, error) {
	signed := s.Keys.Current().sign(payloadType, payload)
	id, now := signed.Signatures[0].KeyID, s.now()
	own, _ := s.Trust.State(s.State)
	if !slices.ContainsFunc(own.SigningKeys, func(k SigningKey) bool { return k.ID == id && k.ValidAt(now) }) {
		return Signed{}, fault.New(fault.Unavailable, "UNAVAILABLE", "the signing key %s of %s is not valid now, by the trust list", id, s.State)
	}
	return signed, nil
}

// superseded reports whether the partner would refuse an envelope of ours because the key that has signed it is not valid any
// more.
func (s *Service) superseded(envelope []byte) (bool, error) {
	own, _ := s.Trust.State(s.State)
	now := s.now()
	if !slices.ContainsFunc(own.SigningKeys, func(k SigningKey) bool { return !k.ValidAt(now) }) {
		return false, nil // as nearly always
	}
	opened, err := s.Codec.DecodeEnvelope(envelope)
	if err != nil {
		return false, fmt.Errorf("reading an envelope of ours: %w", err)
	}
	return !slices.ContainsFunc(opened.Header.Signatures, func(made Signature) bool {
		return slices.ContainsFunc(own.SigningKeys, func(k SigningKey) bool { return k.ID == made.KeyID && k.ValidAt(now) })
	}), nil
}

// LogKey is a note verifier key that verified the checkpoints of a state's log before the one that does now.
type LogKey struct {
	Key      string    `json:"key"`
	NotAfter time.Time `json:"notAfter"` // from then on it verifies only what was kept before
}

// LogKeys returns the note verifier keys of the state's log, the newest first, those that have ended among them.
func (s TrustedState) LogKeys() []string {
	keys := []string{s.LogKey}
	for _, former := range s.FormerLogKeys {
		keys = append(keys, former.Key)
	}
	return keys
}

// LogKeyCounts reports whether checkpoints may be signed by the log key at the time.
func (s TrustedState) LogKeyCounts(key string, at time.Time) bool {
	return key == s.LogKey || slices.ContainsFunc(s.FormerLogKeys, func(f LogKey) bool { return f.Key == key && at.Before(f.NotAfter) })
}

// logKeysAt returns the note verifier keys that may sign at the time.
func (s TrustedState) logKeysAt(at time.Time) []string {
	return slices.DeleteFunc(s.LogKeys(), func(key string) bool { return !s.LogKeyCounts(key, at) })
}

// openCheckpointBy reads a signed checkpoint of the named log, and fails unless one of the note verifier keys has signed it.
// It returns that key too.
func openCheckpointBy(signedNote, name string, keys []string) (opened checkpoint, text *note.Note, key string, err error) {
	err = errors.New("there is no key")
	for _, key = range keys {
		verifier, bad := note.NewVerifier(key)
		if bad != nil {
			return checkpoint{}, nil, "", fmt.Errorf("the log key %q: %w", key, bad)
		}
		if opened, text, err = openCheckpoint(signedNote, name, verifier); err == nil {
			return opened, text, key, nil
		}
	}
	return checkpoint{}, nil, "", err
}

// ownLogKeys returns the note verifier keys of this state's log, the one that it signs with first.
func (s *Service) ownLogKeys() []string {
	own, _ := s.Trust.State(s.State)
	return slices.Compact(append([]string{s.Keys.Current().LogVerifier}, own.LogKeys()...))
}
