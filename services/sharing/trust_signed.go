package sharing

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// TrustListType is the media type of a trust list that is signed.
const TrustListType = "application/vnd.comity.trust.v1+json"

// maxTrustList bounds a signed trust list: hundreds of states have room.
const maxTrustList = 8 << 20 // bytes

// SignedTrustList is a trust list with the exact bytes that its officers sign, and their signatures. In a file it is a
// DSSE envelope in JSON:
//
//	{
//	  "payloadType": "application/vnd.comity.trust.v1+json",
//	  "payload": "…base64 of the list in JSON…",
//	  "signatures": [{"keyid": "9f86d081884c7d65", "sig": "…base64 of 64 bytes…"}, …]
//	}
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
	if len(data) > maxTrustList {
		return nil, fmt.Errorf("the signed trust list has more than %d bytes", maxTrustList)
	}
	var envelope dsse.Envelope
	if err := json.Unmarshal(data, &envelope); err != nil {
		return nil, fmt.Errorf("reading the signed trust list: %w", err)
	}
	if envelope.PayloadType != TrustListType {
		return nil, fmt.Errorf("the trust list is not signed: its payload type is %q, not %q", envelope.PayloadType, TrustListType)
	}
	// A list in the place of an old one carries the signatures of both lists' officers.
	if len(envelope.Signatures) > 2*maxOfficers {
		return nil, fmt.Errorf("the trust list has more than %d signatures", 2*maxOfficers)
	}
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		return nil, fmt.Errorf("reading the signed trust list: its payload: %w", err)
	}
	signed := Signed{PayloadType: TrustListType, Payload: payload}
	for _, signature := range envelope.Signatures {
		raw, err := base64.StdEncoding.DecodeString(signature.Sig)
		if err != nil {
			return nil, fmt.Errorf("reading the signed trust list: the signature of %s: %w", signature.KeyID, err)
		}
		signed.Signatures = append(signed.Signatures, Signature{KeyID: signature.KeyID, Signature: raw})
	}
	list, err := ParseTrustList(payload)
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
	envelope := dsse.Envelope{
		PayloadType: s.signed.PayloadType, Payload: base64.StdEncoding.EncodeToString(s.signed.Payload), Signatures: []dsse.Signature{},
	}
	for _, signature := range s.signed.Signatures {
		envelope.Signatures = append(envelope.Signatures, dsse.Signature{
			KeyID: signature.KeyID, Sig: base64.StdEncoding.EncodeToString(signature.Signature),
		})
	}
	text, err := json.MarshalIndent(envelope, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("writing the signed trust list: %w", err)
	}
	return append(text, '\n'), nil
}

// Sign adds the signature of the officer with the key, where it is not there yet.
func (s *SignedTrustList) Sign(key ed25519.PrivateKey) {
	made := Keys{Signing: key}.sign(TrustListType, s.signed.Payload).Signatures[0]
	for i, signature := range s.signed.Signatures {
		if signature.KeyID == made.KeyID {
			s.signed.Signatures[i] = made
			return
		}
	}
	s.signed.Signatures = append(s.signed.Signatures, made)
}

// Signers returns the names of the officers of the list by who s is signed, in the list's order.
func (s *SignedTrustList) Signers(list *TrustList) []string {
	var names []string
	signed := dsse.PAE(s.signed.PayloadType, s.signed.Payload)
	for _, officer := range list.Officers {
		for _, signature := range s.signed.Signatures {
			if signature.KeyID == officer.ID && ed25519.Verify(officer.PublicKey, signed, signature.Signature) {
				names = append(names, officer.Name)
				break
			}
		}
	}
	return names
}

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
