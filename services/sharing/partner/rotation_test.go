package partner_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// signers returns the ids of the keys that have signed what the state received, in order.
func (s *state) signers() (ids []string) {
	s.t.Helper()
	var codec wire.Codec
	for from := int64(0); ; {
		page, err := s.service.LogEntries(s.t.Context(), from, 100)
		must(s.t, err)
		if len(page) == 0 {
			return ids
		}
		for _, entry := range page {
			if entry.Kind == sharing.EntryEnvelopeReceived {
				envelope, err := codec.DecodeEnvelope(entry.Content)
				must(s.t, err)
				ids = append(ids, envelope.Header.Signatures[0].KeyID)
			}
		}
		from = page[len(page)-1].Index + 1
	}
}

func TestRotationOfLeafThenAuthorityThenKeysUnderLoadFailsNoTransferAndRefusesTheOldAfter(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	heard := []*lines{aa.caught(), bb.caught()}
	aa.start()
	bb.start()
	agree(aa, bb)

	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	load.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := aa.trySubmit(ctx, 1, float64(1000+i)); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			select {
			case <-ctx.Done():
			case <-time.After(200 * time.Millisecond):
			}
		}
	})
	stop := sync.OnceFunc(func() { cancel(); load.Wait() })
	defer stop()
	goesOn := func(after string) {
		t.Helper()
		aa.proxy.cut() // what rests on old certificates alone would not come again
		bb.proxy.cut()
		before := len(bb.signers())
		eventually(t, "the exchange goes on after "+after, func() bool { return len(bb.signers()) > before+1 })
	}
	goesOn("the beginning")

	aa.authority.Renew(aa.files, "sharing")
	bb.authority.Renew(bb.files, "sharing")
	goesOn("new leaves")

	before, after := bb.authority, mtlstest.NewAuthority(t, "bb")
	both := slices.Concat(before.Certificate(), after.Certificate())
	put(t, before.Root, both) // the state's own services believe both for now
	aa.next(func(l *sharing.TrustList) { l.States[1].Roots = string(both) })
	eventually(t, "both nodes have the list", func() bool {
		return aa.trust.List().Version == 2 && bb.trust.List().Version == 2
	})
	after.Renew(bb.files, "sharing")
	goesOn("a leaf of the new authority")
	aa.next(func(l *sharing.TrustList) { l.States[1].Roots = string(after.Certificate()) })
	eventually(t, "the old authority counts no more", func() bool { return !aa.believes(before.Issue("sharing")) })
	goesOn("the end of the old authority")
	for i, log := range heard {
		if all, old := log.with("handshake refused"), log.with("handshake refused", "unknown authority"); len(all) != len(old) {
			t.Errorf("%s refused a handshake: %s", states[i].code, all)
		}
	}

	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	next := sharing.KeyID(public)
	aa.next(func(l *sharing.TrustList) {
		l.States[0].SigningKeys[0].NotAfter = time.Now().Add(time.Hour)
		l.States[0].SigningKeys = append(l.States[0].SigningKeys, sharing.SigningKey{ID: next, PublicKey: public})
	})
	eventually(t, "both nodes have the list", func() bool {
		return aa.trust.List().Version == 4 && bb.trust.List().Version == 4
	})
	put(t, aa.signing, pkcs8(t, private))
	eventually(t, "envelopes come under the new key", func() bool { return slices.Contains(bb.signers(), next) })
	aa.next(func(l *sharing.TrustList) { l.States[0].SigningKeys[0].NotAfter = time.Now() })
	eventually(t, "the old key ends", func() bool { return bb.trust.List().Version == 5 && aa.trust.List().Version == 5 })
	goesOn("the end of the old signing key")
	ids := bb.signers()
	if slices.Contains(ids[slices.Index(ids, next):], ids[0]) {
		t.Error("the old key has signed after the new one")
	}

	secret, verifier, err := note.GenerateKey(rand.Reader, "comity/aa/log")
	must(t, err)
	aa.next(func(l *sharing.TrustList) {
		l.States[0].FormerLogKeys = []sharing.LogKey{{Key: l.States[0].LogKey, NotAfter: time.Now().Add(time.Hour)}}
		l.States[0].LogKey = verifier
	})
	eventually(t, "both nodes have the list", func() bool {
		return aa.trust.List().Version == 6 && bb.trust.List().Version == 6
	})
	text, err := os.ReadFile(aa.logKeys)
	must(t, err)
	put(t, aa.logKeys, append(text, secret+"\n"...)) // beside the one before
	eventually(t, "checkpoints come under the new key", func() bool {
		_, key, err := aa.service.Checkpoint(t.Context())
		must(t, err)
		return key == verifier
	})
	goesOn("a new log key")
	stop()
	eventually(t, "all figures arrive", func() bool { return arrived(aa, bb) })
	for i, s := range states {
		if refused := heard[i].with("UNTRUSTED_SIGNER"); len(refused) > 0 {
			t.Errorf("%s refused a signature: %s", s.code, refused[0])
		}
		if kinds := proven(s); kinds[sharing.EntryEnvelopeRefused] > 0 {
			t.Errorf("%s has refused %d envelopes", s.code, kinds[sharing.EntryEnvelopeRefused])
		}
	}
}

func TestChooseSigningKey(t *testing.T) {
	t.Parallel()
	now := time.Now()
	var keys []ed25519.PrivateKey
	for range 2 {
		_, key, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		keys = append(keys, key)
	}
	// valid makes the entry of a key that is valid from and to so many minutes from now; 0: without a limit.
	valid := func(key ed25519.PrivateKey, from, to int) sharing.SigningKey {
		public, _ := key.Public().(ed25519.PublicKey)
		entry := sharing.SigningKey{ID: sharing.KeyID(public), PublicKey: public}
		if from != 0 {
			entry.NotBefore = now.Add(time.Duration(from) * time.Minute)
		}
		if to != 0 {
			entry.NotAfter = now.Add(time.Duration(to) * time.Minute)
		}
		return entry
	}
	for name, test := range map[string]struct {
		trusted []sharing.SigningKey
		want    int // -1: none
	}{
		"takes the one that has no end":                          {[]sharing.SigningKey{valid(keys[0], 0, 60), valid(keys[1], 0, 0)}, 1},
		"takes the last of several alike":                        {[]sharing.SigningKey{valid(keys[0], 0, 0), valid(keys[1], 0, 0)}, 1},
		"waits until partners' clocks have the next one's begin": {[]sharing.SigningKey{valid(keys[0], 0, 60), valid(keys[1], -2, 0)}, 0},
		"takes one that has just begun where there is no other":  {[]sharing.SigningKey{valid(keys[0], 0, -1), valid(keys[1], -2, 0)}, 1},
		"takes none that is still to begin":                      {[]sharing.SigningKey{valid(keys[0], 0, 60), valid(keys[1], 10, 0)}, 0},
		"takes none where all have ended":                        {[]sharing.SigningKey{valid(keys[0], 0, -1), valid(keys[1], 0, -1)}, -1},
		"takes none that is not on the list":                     {nil, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, ok := partner.ChooseSigningKey(sharing.TrustedState{SigningKeys: test.trusted}, keys, now)
			if ok != (test.want >= 0) || ok && !got.Equal(keys[test.want]) {
				t.Errorf("it takes another one, %t", ok)
			}
		})
	}
}
