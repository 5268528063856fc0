package sharing

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"
)

// TrustList names the states that exchange with each other, this one among them, with their keys, and the officers who
// sign the next list.
type TrustList struct {
	Version    uint64         `json:"version"`    // from 1; a later list has a higher one
	Expires    time.Time      `json:"expires"`    // from then on a new list is due
	GraceHours int            `json:"graceHours"` // for which the list still counts after it has expired
	Threshold  int            `json:"threshold"`  // how many officers sign a list, at least two
	Officers   []Officer      `json:"officers"`
	States     []TrustedState `json:"states"`
	Governance Governance     `json:"governance,omitzero"`
}

// Officer is a person who signs trust lists.
type Officer struct {
	Name      string            `json:"name"`
	ID        string            `json:"id"` // see [KeyID]
	PublicKey ed25519.PublicKey `json:"publicKey"`
}

// TrustedState is a state of the trust list.
type TrustedState struct {
	Code          StateCode    `json:"code"`
	Name          string       `json:"name"`
	Address       string       `json:"address"`  // where its exchange answers, "host:port"
	RefAreas      []string     `json:"refAreas"` // the REF_AREA codes that are its own to report
	Roots         string       `json:"roots"`    // PEM: the roots of its certificates, one or more, and of no other state's
	SigningKeys   []SigningKey `json:"signingKeys"`
	LogKey        string       `json:"logKey"`                  // the note verifier key of its transparency log
	FormerLogKeys []LogKey     `json:"formerLogKeys,omitempty"` // those before it
	Revoked       Revoked      `json:"revoked,omitzero"`
	CRL           *CRLPolicy   `json:"crl,omitempty"` // nil: its authorities publish no revocation lists
}

// CRLPolicy says that every authority of a state publishes certificate revocation lists. None of its certificates counts
// without one.
type CRLPolicy struct {
	GraceHours int `json:"graceHours"` // for which a list still counts after its successor was due
}

// Grace returns the grace of the lists.
func (c *CRLPolicy) Grace() time.Duration { return time.Duration(c.GraceHours) * time.Hour }

// SigningKey is an Ed25519 public key that a state signs with. One that has ended stays on the list: what it signed is
// still verified with it when the log is audited.
type SigningKey struct {
	ID        string            `json:"id"` // see [KeyID]
	PublicKey ed25519.PublicKey `json:"publicKey"`
	NotBefore time.Time         `json:"notBefore,omitzero"`
	NotAfter  time.Time         `json:"notAfter,omitzero"` // zero: it has no end yet
}

// Revoked names certificates of a state, leaves and intermediates, that count no more, though they have not expired.
type Revoked struct {
	Serials    []string `json:"serials,omitempty"`    // in lower-case hexadecimal digits without leading zeros
	PublicKeys []string `json:"publicKeys,omitempty"` // SHA-256 of the SubjectPublicKeyInfo, 64 lower-case hexadecimal digits
}

// KeptCRL is a revocation list as it is kept.
type KeptCRL struct {
	State     StateCode
	Authority string // SHA-256 of the SubjectPublicKeyInfo of who signed it, 64 lower-case hexadecimal digits
	Number    string // in decimal digits
	DER       []byte
}

// Limits of a trust list.
const (
	leastThreshold = 2
	maxOfficers    = 16
	maxGraceHours  = 90 * 24
	maxVersion     = 1<<53 - 1 // what every reader of JSON can tell apart
)

var (
	stateCode    = regexp.MustCompile(`^[a-z][a-z0-9]{1,15}$`)
	serialNumber = regexp.MustCompile(`^(0|[1-9a-f][0-9a-f]{0,39})$`) // at most 20 bytes (RFC 5280, section 4.1.2.2)
	publicKeySum = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// ParseTrustList reads the content of a trust list from JSON, without looking at signatures; see [OpenTrustList]. It
// fails on a field that it does not know, a list without version or end, fewer than two officers to sign it, an officer
// or a state that stands twice, a code that is not 2 to 16 lower-case letters and digits, and a key whose id is not its
// own.
func ParseTrustList(data []byte) (*TrustList, error) {
	var list TrustList
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("reading the trust list: %w", err)
	}
	if decoder.More() {
		return nil, errors.New("reading the trust list: something follows it")
	}
	if err := list.check(); err != nil {
		return nil, fmt.Errorf("trust list: %w", err)
	}
	return &list, nil
}

func (t *TrustList) check() error {
	switch {
	case t.Version < 1 || t.Version > maxVersion:
		return fmt.Errorf("its version %d is not between 1 and %d", t.Version, uint64(maxVersion))
	case t.Expires.IsZero():
		return errors.New("it does not say when it expires")
	case t.GraceHours < 0 || t.GraceHours > maxGraceHours:
		return fmt.Errorf("its grace of %d hours is not between 0 and %d", t.GraceHours, maxGraceHours)
	case t.Threshold < leastThreshold:
		return fmt.Errorf("it wants %d signatures, and at least %d officers sign", t.Threshold, leastThreshold)
	case t.Threshold > len(t.Officers):
		return fmt.Errorf("it wants %d signatures and has %d officers", t.Threshold, len(t.Officers))
	case len(t.Officers) > maxOfficers:
		return fmt.Errorf("it has more than %d officers", maxOfficers)
	}
	if err := t.Governance.check(); err != nil {
		return err
	}
	officers := map[string]bool{}
	for _, officer := range t.Officers {
		if err := checkKey(officer.ID, officer.PublicKey); err != nil {
			return fmt.Errorf("officer %q: %w", officer.Name, err)
		}
		// A name for each key, and a key for each name: two signatures are two persons'.
		if officer.Name == "" || officers[officer.Name] || officers[officer.ID] {
			return fmt.Errorf("officer %q with the key %s has no name or stands twice", officer.Name, officer.ID)
		}
		officers[officer.Name], officers[officer.ID] = true, true
	}
	states := map[StateCode]bool{}
	for _, state := range t.States {
		if states[state.Code] {
			return fmt.Errorf("state %s stands twice", state.Code)
		}
		states[state.Code] = true
		if err := state.check(); err != nil {
			return err
		}
	}
	return nil
}

func (s TrustedState) check() error {
	if !stateCode.MatchString(string(s.Code)) {
		return fmt.Errorf("state code %q is not 2 to 16 lower-case letters and digits", s.Code)
	}
	for _, key := range s.SigningKeys {
		if err := checkKey(key.ID, key.PublicKey); err != nil {
			return fmt.Errorf("signing key of %s: %w", s.Code, err)
		}
	}
	if s.CRL != nil && (s.CRL.GraceHours < 0 || s.CRL.GraceHours > maxGraceHours) {
		return fmt.Errorf("the grace of %d hours of the revocation lists of %s is not between 0 and %d", s.CRL.GraceHours, s.Code, maxGraceHours)
	}
	for _, serial := range s.Revoked.Serials {
		if !serialNumber.MatchString(serial) {
			return fmt.Errorf("revoked serial number %q of %s is not in lower-case hexadecimal digits", serial, s.Code)
		}
	}
	for _, sum := range s.Revoked.PublicKeys {
		if !publicKeySum.MatchString(sum) {
			return fmt.Errorf("revoked public key %q of %s is no SHA-256 in lower-case hexadecimal digits", sum, s.Code)
		}
	}
	return nil
}

func checkKey(id string, key ed25519.PublicKey) error {
	if len(key) != ed25519.PublicKeySize || id != KeyID(key) {
		return fmt.Errorf("%q is no Ed25519 key of that id", id)
	}
	return nil
}

// State returns the state of the code, and whether it is on the list.
func (t *TrustList) State(code StateCode) (TrustedState, bool) {
	i := slices.IndexFunc(t.States, func(s TrustedState) bool { return s.Code == code })
	if i < 0 {
		return TrustedState{}, false
	}
	return t.States[i], true
}

// ValidAt reports whether the key may sign at the time.
func (k SigningKey) ValidAt(at time.Time) bool {
	return !at.Before(k.NotBefore) && (k.NotAfter.IsZero() || at.Before(k.NotAfter))
}

// Ended reports whether the list counts no more at the time: it has expired, and the grace is over. Then nobody is
// believed until there is a new one.
func (t *TrustList) Ended(at time.Time) bool {
	return !t.Expires.IsZero() && !at.Before(t.Expires.Add(time.Duration(t.GraceHours)*time.Hour))
}
