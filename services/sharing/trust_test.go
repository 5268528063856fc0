package sharing_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

func newKey(t *testing.T) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicKey(key ed25519.PrivateKey) (ed25519.PublicKey, string) {
	public, _ := key.Public().(ed25519.PublicKey)
	return public, sharing.KeyID(public)
}

// listOf returns a trust list that two of the officers sign.
func listOf(version uint64, officers ...ed25519.PrivateKey) *sharing.TrustList {
	list := &sharing.TrustList{Version: version, Expires: time.Now().Add(time.Hour), Threshold: 2}
	for i, key := range officers {
		public, id := publicKey(key)
		list.Officers = append(list.Officers, sharing.Officer{Name: fmt.Sprint("officer ", i), ID: id, PublicKey: public})
	}
	return list
}

// signedBy returns the list as a file holds it.
func signedBy(t *testing.T, list *sharing.TrustList, by ...ed25519.PrivateKey) []byte {
	t.Helper()
	signed, err := sharing.NewSignedTrustList(list)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range by {
		signed.Sign(key)
	}
	data, err := signed.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSignedTrustList(t *testing.T) {
	t.Parallel()
	a, b, c, d := newKey(t), newKey(t), newKey(t), newKey(t)
	inForce := listOf(4, a, b, c)
	late := listOf(5, a, b, c)
	late.Expires = time.Now().Add(-time.Second)
	flipped := signedBy(t, listOf(5, a, b, c), a, b)
	at := bytes.Index(flipped, []byte(`"sig": "`)) + 20
	flipped[at] ^= 1
	list := bytes.Index(flipped, []byte(`"payload": "`)) + 40
	payload := bytes.Clone(signedBy(t, listOf(5, a, b, c), a, b))
	payload[list] ^= 1

	for name, test := range map[string]struct {
		data []byte
		want string // "": it follows
	}{
		"takes a list that two of the officers signed":          {signedBy(t, listOf(5, a, b, c), a, c), ""},
		"takes a list that skips versions":                      {signedBy(t, listOf(9, a, b, c), b, c), ""},
		"takes new officers whom two of the old ones signed in": {signedBy(t, listOf(5, c, d), a, b, c, d), ""},
		"refuses a list that one officer signed":                {signedBy(t, listOf(5, a, b, c), a), "signatures of 1"},
		"refuses a list that one officer signed twice":          {signedBy(t, listOf(5, a, b, c), a, a), "signatures of 1"},
		"refuses a list without signatures":                     {signedBy(t, listOf(5, a, b, c)), "signatures of 0"},
		"refuses new officers who sign for themselves":          {signedBy(t, listOf(5, c, d), c, d), "version 4's officers"},
		"refuses new officers who did not sign":                 {signedBy(t, listOf(5, c, d), a, b), "its own officers"},
		"refuses the same version again":                        {signedBy(t, listOf(4, a, b, c), a, b), "not later"},
		"refuses an older version":                              {signedBy(t, listOf(3, a, b, c), a, b), "not later"},
		"refuses a list that has expired":                       {signedBy(t, late, a, b), "expired"},
		"refuses a flipped bit in a signature":                  {flipped, "trust list"},
		"refuses a flipped bit in the list":                     {payload, "trust list"},
		"refuses a truncated file":                              {signedBy(t, listOf(5, a, b, c), a, b)[:200], "trust list"},
		"refuses a list that is not in an envelope":             {[]byte(`{"states":[]}`), "not signed"},
	} {
		t.Run("it "+name, func(t *testing.T) {
			t.Parallel()
			next, err := sharing.OpenTrustList(test.data)
			if err == nil {
				err = next.Succeed(inForce, time.Now())
			}
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v", err)
			}
		})
	}

	for name, change := range map[string]func(*sharing.TrustList){
		"one officer's signature is enough":      func(l *sharing.TrustList) { l.Threshold = 1 },
		"more officers must sign than there are": func(l *sharing.TrustList) { l.Threshold = 4 },
		"an officer stands twice":                func(l *sharing.TrustList) { l.Officers[1] = l.Officers[0] },
		"two officers have one key": func(l *sharing.TrustList) {
			l.Officers[1].PublicKey, l.Officers[1].ID = l.Officers[0].PublicKey, l.Officers[0].ID
		},
		"a key has another's id":   func(l *sharing.TrustList) { l.Officers[1].ID = l.Officers[0].ID },
		"it never expires":         func(l *sharing.TrustList) { l.Expires = time.Time{} },
		"it has no version":        func(l *sharing.TrustList) { l.Version = 0 },
		"its grace is without end": func(l *sharing.TrustList) { l.GraceHours = 1 << 20 },
		"a state's code is none":   func(l *sharing.TrustList) { l.States = []sharing.TrustedState{{Code: "A"}} },
		"a state stands twice":     func(l *sharing.TrustList) { l.States = []sharing.TrustedState{{Code: "aa"}, {Code: "aa"}} },
		"a revoked serial number is none": func(l *sharing.TrustList) {
			l.States = []sharing.TrustedState{{Code: "aa", Revoked: sharing.Revoked{Serials: []string{"0A"}}}}
		},
		"the hash of a revoked public key is none": func(l *sharing.TrustList) {
			l.States = []sharing.TrustedState{{Code: "aa", Revoked: sharing.Revoked{PublicKeys: []string{"ab"}}}}
		},
	} {
		t.Run("it refuses a list where "+name, func(t *testing.T) {
			t.Parallel()
			bad := listOf(5, a, b, c)
			change(bad)
			if _, err := sharing.NewSignedTrustList(bad); err == nil {
				t.Error("it is taken")
			}
		})
	}
}

func TestSigningKeysEnd(t *testing.T) {
	t.Parallel()
	old, young := newKey(t), newKey(t)
	oldPublic, oldID := publicKey(old)
	youngPublic, youngID := publicKey(young)
	now := time.Now()
	list := &sharing.TrustList{
		Expires: now.Add(time.Hour), GraceHours: 2,
		States: []sharing.TrustedState{{Code: "aa", SigningKeys: []sharing.SigningKey{
			{ID: oldID, PublicKey: oldPublic, NotAfter: now.Add(10 * time.Minute)},
			{ID: youngID, PublicKey: youngPublic, NotBefore: now.Add(5 * time.Minute)},
		}}},
	}
	trust := sharing.NewTrust(list)
	for name, test := range map[string]struct {
		key  ed25519.PrivateKey
		at   time.Duration
		want bool
	}{
		"the old key counts before the rotation":        {old, 0, true},
		"the new key does not count before it is valid": {young, 0, false},
		"the old key counts while both are valid":       {old, 7 * time.Minute, true},
		"the new key counts while both are valid":       {young, 7 * time.Minute, true},
		"the old key is refused after its end":          {old, 10 * time.Minute, false},
		"the new key counts after the rotation":         {young, 30 * time.Minute, true},
		"a key counts in the grace of the list":         {young, 2 * time.Hour, true},
		"no key counts after the grace of the list":     {young, 3 * time.Hour, false},
		"a key that is not on the list is refused":      {newKey(t), 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			signed := sharing.Keys{Signing: test.key}.Sign(sharing.HeaderType, []byte("header"))
			_, err := trust.Verify("aa", sharing.HeaderType, signed, now.Add(test.at))
			if test.want != (err == nil) || err != nil && fault.Reason(err) != "UNTRUSTED_SIGNER" {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("an audit verifies what an ended key signed in its time, and nothing of a later time", func(t *testing.T) {
		t.Parallel()
		list := *list
		end := now.Add(-48 * time.Hour)
		list.States = []sharing.TrustedState{{Code: "aa", SigningKeys: []sharing.SigningKey{{ID: oldID, PublicKey: oldPublic, NotAfter: end}}}}
		signed := sharing.Keys{Signing: old}.Sign(sharing.HeaderType, []byte("header"))
		for at, want := range map[time.Duration]bool{-24 * time.Hour: true, 30 * time.Minute: true, 2 * time.Hour: false} {
			if _, err := list.Verify("aa", sharing.HeaderType, signed, end.Add(at)); want != (err == nil) {
				t.Errorf("what was logged %s after the key's end is judged %v", at, err)
			}
		}
	})
}

func FuzzOpenTrustList(f *testing.F) {
	f.Add([]byte(`{"payloadType":"application/vnd.comity.trust.v1+json","payload":"` + base64.StdEncoding.EncodeToString([]byte(`{"version":1}`)) + `","signatures":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if list, err := sharing.OpenTrustList(data); err == nil {
			t.Errorf("a list without officers is taken: %v", list.Signers(list.TrustList))
		}
	})
}
