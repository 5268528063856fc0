package sharing_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"slices"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// rekey gives aa another signing key on everybody's trust list, ends the one before at the time, and returns the keys to
// sign with from now on.
func (w *world) rekey(t *testing.T, end time.Time) sharing.Keys {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	list := *w.aa.Trust.List()
	list.States = slices.Clone(list.States)
	list.States[0].SigningKeys = append(slices.Clone(list.States[0].SigningKeys), sharing.SigningKey{ID: sharing.KeyID(public), PublicKey: public})
	list.States[0].SigningKeys[0].NotAfter = end
	w.aa.Trust.Replace(&list)
	w.bb.Trust.Replace(&list)
	keys := w.aa.Keys.Current()
	keys.Signing = private
	return keys
}

func TestEnvelopeUnderAnExpiredKeyIsUntrustedAndNotStoredAndItsContentComesUnderTheNextKey(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w, outgoing := waiting(t, 1)
	before, err := w.bb.Cursor(ctx, "aa")
	if err != nil {
		t.Fatal(err)
	}
	next := w.rekey(t, w.now())
	if _, err := w.bb.Receive(ctx, "aa", outgoing[0].Envelope); fault.Reason(err) != "UNTRUSTED_SIGNER" {
		t.Errorf("an envelope under a key that has ended is answered %v", err)
	}
	if cursor, err := w.bb.Cursor(ctx, "aa"); err != nil || cursor != before {
		t.Errorf("it is stored: %v, %v", cursor, err)
	}
	if _, err := w.aa.Terminate(ctx, "aa-bb-1a", "x"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("with a key that has ended it signs: %v", err)
	}

	w.aa.Keys = next
	w.run(t)
	if after, err := w.bb.Cursor(ctx, "aa"); err != nil || after.Epoch == before.Epoch || w.bb.figures.received["M,AA,1A,EAST,AFG,_T,2024-01"] != 500 {
		t.Error("what waited under the key that has ended does not come under the next one")
	}
	for _, s := range []*state{w.aa, w.bb} {
		if _, err := s.verify(ctx); err != nil {
			t.Errorf("the log of %s: %v", s.code, err)
		}
	}
}

func TestEnvelopeThatWaitsGoesAsItIsWhileItsKeyIsValid(t *testing.T) {
	t.Parallel()
	w, outgoing := waiting(t, 1)
	w.aa.Keys = w.rekey(t, w.now().Add(time.Hour))
	if again := w.next(t); len(again) != 1 || string(again[0].Envelope) != string(outgoing[0].Envelope) {
		t.Errorf("it is made anew: %d envelopes", len(again))
	}
}
