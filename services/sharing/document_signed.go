package sharing

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
)

// What officers sign is in a file as a DSSE envelope in JSON:
//
//	{
//	  "payloadType": "application/vnd.comity.trust.v1+json",
//	  "payload": "…base64 of a document in JSON…",
//	  "signatures": [{"keyid": "9f86d081884c7d65", "sig": "…base64 of 64 bytes…"}, …]
//	}

// maxOfficerSignatures bounds the signatures under a document: a list in the place of an old one carries those of both lists'
// officers.
const maxOfficerSignatures = 2 * maxOfficers

// readSigned reads what officers have signed, of at most so many bytes. It does not say whether the signatures are enough, or
// anybody's.
func readSigned(data []byte, payloadType string, most int) (Signed, error) {
	if len(data) > most {
		return Signed{}, fmt.Errorf("it has more than %d bytes", most)
	}
	var envelope dsse.Envelope
	if err := json.Unmarshal(data, &envelope); err != nil {
		return Signed{}, err
	}
	if envelope.PayloadType != payloadType {
		return Signed{}, fmt.Errorf("it is not signed: its payload type is %q, not %q", envelope.PayloadType, payloadType)
	}
	if len(envelope.Signatures) > maxOfficerSignatures {
		return Signed{}, fmt.Errorf("it has more than %d signatures", maxOfficerSignatures)
	}
	payload, err := base64.StdEncoding.DecodeString(envelope.Payload)
	if err != nil {
		return Signed{}, fmt.Errorf("its payload: %w", err)
	}
	signed := Signed{PayloadType: payloadType, Payload: payload}
	for _, signature := range envelope.Signatures {
		raw, err := base64.StdEncoding.DecodeString(signature.Sig)
		if err != nil {
			return Signed{}, fmt.Errorf("the signature of %s: %w", signature.KeyID, err)
		}
		signed.Signatures = append(signed.Signatures, Signature{KeyID: signature.KeyID, Signature: raw})
	}
	return signed, nil
}

// file returns what officers have signed as a file holds it.
func (s Signed) file() ([]byte, error) {
	envelope := dsse.Envelope{
		PayloadType: s.PayloadType, Payload: base64.StdEncoding.EncodeToString(s.Payload), Signatures: []dsse.Signature{},
	}
	for _, signature := range s.Signatures {
		envelope.Signatures = append(envelope.Signatures, dsse.Signature{
			KeyID: signature.KeyID, Sig: base64.StdEncoding.EncodeToString(signature.Signature),
		})
	}
	text, err := json.MarshalIndent(envelope, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// add adds the signature of the officer with the key, or puts it in the place of the one that is there.
func (s *Signed) add(key ed25519.PrivateKey) {
	made := Keys{Signing: key}.sign(s.PayloadType, s.Payload).Signatures[0]
	for i, signature := range s.Signatures {
		if signature.KeyID == made.KeyID {
			s.Signatures[i] = made
			return
		}
	}
	s.Signatures = append(s.Signatures, made)
}

// signers returns the names of the list's officers by who s is signed, in the list's order.
func (t *TrustList) signers(s Signed) []string {
	var names []string
	text := dsse.PAE(s.PayloadType, s.Payload)
	for _, officer := range t.Officers {
		for _, signature := range s.Signatures {
			if signature.KeyID == officer.ID && ed25519.Verify(officer.PublicKey, text, signature.Signature) {
				names = append(names, officer.Name)
				break
			}
		}
	}
	return names
}

// enough reports whether so many officers sign a trust list.
func (t *TrustList) enough(names []string) bool {
	return len(names) >= max(t.Threshold, leastThreshold)
}
