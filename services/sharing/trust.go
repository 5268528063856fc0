package sharing

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
)

// TrustList names the states that exchange with each other, this one among them, with their keys.
type TrustList struct {
	States []TrustedState `json:"states"`
}

// TrustedState is a state of the trust list.
type TrustedState struct {
	Code        StateCode    `json:"code"`
	Name        string       `json:"name"`
	Address     string       `json:"address"`  // where its exchange answers, "host:port"
	RefAreas    []string     `json:"refAreas"` // the REF_AREA codes that are its own to report
	Roots       string       `json:"roots"`    // PEM: the roots of its certificates, and of no other state's
	SigningKeys []SigningKey `json:"signingKeys"`
	LogKey      string       `json:"logKey"` // the note verifier key of its transparency log
}

// SigningKey is an Ed25519 public key that a state signs with.
type SigningKey struct {
	ID        string            `json:"id"` // see [KeyID]
	PublicKey ed25519.PublicKey `json:"publicKey"`
}

var stateCode = regexp.MustCompile(`^[a-z][a-z0-9]{1,15}$`)

// ParseTrustList reads a trust list from JSON. It fails on a field it does not know, a state that stands twice, a code
// that is not 2 to 16 lower-case letters and digits, and a key whose id is not its own.
func ParseTrustList(data []byte) (*TrustList, error) {
	var list TrustList
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("reading the trust list: %w", err)
	}
	seen := map[StateCode]bool{}
	for _, state := range list.States {
		if !stateCode.MatchString(string(state.Code)) {
			return nil, fmt.Errorf("trust list: state code %q is not 2 to 16 lower-case letters and digits", state.Code)
		}
		if seen[state.Code] {
			return nil, fmt.Errorf("trust list: state %s stands twice", state.Code)
		}
		seen[state.Code] = true
		for _, key := range state.SigningKeys {
			if len(key.PublicKey) != ed25519.PublicKeySize || key.ID != KeyID(key.PublicKey) {
				return nil, fmt.Errorf("trust list: signing key %q of %s is no Ed25519 key of that id", key.ID, state.Code)
			}
		}
	}
	return &list, nil
}

// State returns the state of the code, and whether it is on the list.
func (t *TrustList) State(code StateCode) (TrustedState, bool) {
	i := slices.IndexFunc(t.States, func(s TrustedState) bool { return s.Code == code })
	if i < 0 {
		return TrustedState{}, false
	}
	return t.States[i], true
}
