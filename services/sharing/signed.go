package sharing

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/comity-federation/comity/services/fault"
)

// The media types of what is signed.
const (
	AgreementType   = "application/vnd.comity.agreement.v1+json"
	AmendmentType   = "application/vnd.comity.amendment.v1+json"
	HeaderType      = "application/vnd.comity.header.v1+protobuf"
	ReceiptType     = "application/vnd.comity.receipt.v1+protobuf"
	TerminationType = "application/vnd.comity.termination.v1+protobuf"
	WithdrawalType  = "application/vnd.comity.withdrawal.v1+protobuf"
)

// maxSignatures bounds what a stranger can make us verify.
const maxSignatures = 8

// Signed is a message with the signatures over it. They are over DSSE's pre-authentication encoding of the payload type
// and the exact bytes of the payload.
type Signed struct {
	PayloadType string
	Payload     []byte
	Signatures  []Signature
}

// Signature is an Ed25519 signature by the key of the id.
type Signature struct {
	KeyID     string
	Signature []byte
}

// parseSigned reads a document of at most so many bytes that is signed as JSON. It refuses one that is not written exactly
// as T's Document writes it: whoever signs it must have read all of it.
func parseSigned[T interface{ Document() ([]byte, error) }](name string, document []byte, most int) (T, error) {
	var none, read T
	if len(document) > most {
		return none, fault.InvalidField(name, "the document has %d bytes, at most %d are allowed", len(document), most)
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		return none, fault.InvalidField(name, "the document cannot be read: %v", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return none, fault.InvalidField(name, "something follows the document")
	}
	again, err := read.Document()
	if err != nil {
		return none, err
	}
	if !bytes.Equal(again, document) {
		return none, fault.InvalidField(name, "the document is not written in the one form that is signed")
	}
	return read, nil
}

// KeyID returns the id of a signing key: the first 16 hexadecimal digits of the SHA-256 of the raw public key.
func KeyID(key ed25519.PublicKey) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:8])
}

// Verify returns the first signature of s that a signing key of the state has made over a payload of the type. Where
// there is none, it is a fault with the reason UNTRUSTED_SIGNER. A key counts here if it was valid at the time, give or take
// an hour: this is for what was signed, or arrived, then. For what arrives now see [Trust.Verify].
func (t *TrustList) Verify(state StateCode, payloadType string, s Signed, at time.Time) (Signature, error) {
	return t.verify(state, payloadType, s, func(key SigningKey) bool {
		return key.ValidAt(at) || key.ValidAt(at.Add(-keyTolerance)) || key.ValidAt(at.Add(keyTolerance))
	})
}

// keyTolerance is how far what is logged may lie outside of the time of its key: clocks differ, and a list that ends a key
// takes its time to get everywhere.
const keyTolerance = time.Hour

func (t *TrustList) verify(state StateCode, payloadType string, s Signed, counts func(SigningKey) bool) (Signature, error) {
	if s.PayloadType != payloadType {
		return Signature{}, fault.New(fault.Invalid, "ENVELOPE_INVALID", "the payload type is %q, not %q", s.PayloadType, payloadType)
	}
	if len(s.Signatures) > maxSignatures {
		return Signature{}, fault.New(fault.Invalid, "ENVELOPE_INVALID", "more than %d signatures", maxSignatures)
	}
	trusted, _ := t.State(state)
	signed := dsse.PAE(s.PayloadType, s.Payload)
	for _, signature := range s.Signatures {
		for _, key := range trusted.SigningKeys {
			if key.ID == signature.KeyID && counts(key) && ed25519.Verify(key.PublicKey, signed, signature.Signature) {
				return signature, nil
			}
		}
	}
	return Signature{}, fault.New(fault.Denied, "UNTRUSTED_SIGNER", "no trusted key of %s has signed this", state)
}
