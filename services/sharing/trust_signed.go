package sharing

import (
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"time"
)

// TrustListType is the media type of a trust list that is signed.
const TrustListType = "application/vnd.comity.trust.v1+json"

// maxTrustList bounds a signed trust list: hundreds of states have room.
const maxTrustList = 8 << 20 // bytes

// SignedTrustList is a trust list with the exact bytes that its officers sign, and their signatures.
//
// Lists follow each other as the root files of The Update Framework do (its specification, section 5.3): the first is
// pinned, and each later one is signed by enough officers of the one before it as well as by enough of its own.
type SignedTrustList struct {
	*TrustList
	signed Signed
}

// NewSignedTrustList returns the list without any signature.
func NewSignedTrustList(list *TrustList) (*SignedTrustList, error) {
	payload, err := json.MarshalIndent(list, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the trust list: %w", err)
	}
	parsed, err := ParseTrustList(payload)
	if err != nil {
		return nil, err
	}
	return &SignedTrustList{TrustList: parsed, signed: Signed{PayloadType: TrustListType, Payload: payload}}, nil
}

// ReadSignedTrustList reads a list with its signatures. It does not say whether they are enough.
func ReadSignedTrustList(data []byte) (*SignedTrustList, error) {
	signed, err := readSigned(data, TrustListType, maxTrustList)
	if err != nil {
		return nil, fmt.Errorf("reading the signed trust list: %w", err)
	}
	list, err := ParseTrustList(signed.Payload)
	if err != nil {
		return nil, err
	}
	return &SignedTrustList{TrustList: list, signed: signed}, nil
}

// OpenTrustList reads a list that enough of its own officers have signed.
func OpenTrustList(data []byte) (*SignedTrustList, error) {
	list, err := ReadSignedTrustList(data)
	if err != nil {
		return nil, err
	}
	if err := list.signedBy(list.TrustList, "its own"); err != nil {
		return nil, err
	}
	return list, nil
}

// Encode returns the list as a file holds it.
func (s *SignedTrustList) Encode() ([]byte, error) {
	text, err := s.signed.file()
	if err != nil {
		return nil, fmt.Errorf("writing the signed trust list: %w", err)
	}
	return text, nil
}

// Sign adds the signature of the officer with the key, where it is not there yet.
func (s *SignedTrustList) Sign(key ed25519.PrivateKey) { s.signed.add(key) }

// Signers returns the names of the officers of the list by who s is signed, in the list's order.
func (s *SignedTrustList) Signers(list *TrustList) []string { return list.signers(s.signed) }

func (s *SignedTrustList) signedBy(list *TrustList, whose string) error {
	if names := s.Signers(list); len(names) < list.Threshold {
		return fmt.Errorf("version %d of the trust list has the signatures of %d of %s officers, not of %d", s.Version, len(names), whose, list.Threshold)
	}
	return nil
}

// Succeed returns an error unless the list may take the place of the one in force at the time: it has a later version, has
// not expired, and enough officers of that list, and of its own, have signed it.
func (s *SignedTrustList) Succeed(inForce *TrustList, at time.Time) error {
	if s.Version <= inForce.Version {
		return fmt.Errorf("version %d of the trust list is not later than version %d, which is in force", s.Version, inForce.Version)
	}
	if !at.Before(s.Expires) {
		return fmt.Errorf("version %d of the trust list expired at %s", s.Version, s.Expires.Format(time.RFC3339))
	}
	if err := s.signedBy(inForce, fmt.Sprintf("version %d's", inForce.Version)); err != nil {
		return err
	}
	return s.signedBy(s.TrustList, "its own")
}
