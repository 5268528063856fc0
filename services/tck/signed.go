package tck

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/proto"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/sharing"
)

// sign returns the payload with a signature by the key, under the key's own id.
func sign(key ed25519.PrivateKey, payloadType string, payload []byte) *exchangepb.Signed {
	public, _ := key.Public().(ed25519.PublicKey)
	return signAs(key, sharing.KeyID(public), payloadType, payload)
}

// signAs returns the payload with a signature by the key under any id.
func signAs(key ed25519.PrivateKey, id, payloadType string, payload []byte) *exchangepb.Signed {
	return &exchangepb.Signed{
		PayloadType: payloadType, Payload: payload,
		Signatures: []*exchangepb.Signature{{KeyId: id, Signature: ed25519.Sign(key, dsse.PAE(payloadType, payload))}},
	}
}

// verify returns what is wrong with what the node has signed.
func (k *kit) verify(payloadType string, signed *exchangepb.Signed) error {
	if signed.GetPayloadType() != payloadType {
		return fmt.Errorf("its payload type is %q, not %q", signed.GetPayloadType(), payloadType)
	}
	if len(signed.GetSignatures()) == 0 {
		return errors.New("nobody has signed it")
	}
	text := dsse.PAE(payloadType, signed.GetPayload())
	for _, signature := range signed.GetSignatures() {
		for _, key := range k.peer.SigningKeys {
			if key.ID == signature.GetKeyId() && key.ValidAt(time.Now()) && ed25519.Verify(key.PublicKey, text, signature.GetSignature()) {
				return nil
			}
		}
	}
	return fmt.Errorf("no signing key of %s that the trust list has, and that is valid now, has signed it", k.peer.Code)
}

// encode returns the bytes of a message. What is signed is kept as the bytes that it was, so any encoding will do.
func encode(message proto.Message) []byte {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(message)
	if err != nil {
		panic(err) // the kit makes these messages itself
	}
	return data
}
