package partner_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
)

// trusted returns the entry of state "aa" on a trust list.
func trusted(t *testing.T) map[string]any {
	t.Helper()
	public, _, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	_, logKey, err := note.GenerateKey(rand.Reader, "comity/aa/log")
	must(t, err)
	roots, err := os.ReadFile(mtlstest.NewAuthority(t, "aa").Root)
	must(t, err)
	return map[string]any{
		"code": "aa", "name": "Alpha", "address": "127.0.0.1:8405", "refAreas": []string{"AA"}, "roots": string(roots),
		"signingKeys": []map[string]any{{"id": sharing.KeyID(public), "publicKey": public}}, "logKey": logKey,
	}
}

// officers sign trust lists.
type officers []ed25519.PrivateKey

// newOfficers returns as many officers.
func newOfficers(t *testing.T, count int) officers {
	t.Helper()
	keys := make(officers, count)
	for i := range keys {
		var err error
		_, keys[i], err = ed25519.GenerateKey(rand.Reader)
		must(t, err)
	}
	return keys
}

// list returns a trust list with these officers, not signed.
func (o officers) list(t *testing.T, version uint64, states ...map[string]any) *sharing.TrustList {
	t.Helper()
	text, err := json.Marshal(map[string]any{"states": states})
	must(t, err)
	list := &sharing.TrustList{}
	must(t, json.Unmarshal(text, list))
	list.Version, list.Expires, list.Threshold = version, time.Now().Add(time.Hour), 2
	for i, key := range o {
		public, _ := key.Public().(ed25519.PublicKey)
		list.Officers = append(list.Officers, sharing.Officer{Name: fmt.Sprint("officer ", i), ID: sharing.KeyID(public), PublicKey: public})
	}
	return list
}

// sign returns the list with the signatures of these officers, as a file holds it.
func (o officers) sign(t *testing.T, list *sharing.TrustList) []byte {
	t.Helper()
	signed, err := sharing.NewSignedTrustList(list)
	must(t, err)
	for _, key := range o {
		signed.Sign(key)
	}
	data, err := signed.Encode()
	must(t, err)
	return data
}

// put puts a file in place whole.
func put(t *testing.T, path string, data []byte) {
	t.Helper()
	must(t, os.WriteFile(path+".new", data, 0o600))
	must(t, os.Rename(path+".new", path))
}

func writeTrustList(t *testing.T, by officers, states ...map[string]any) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "trust.json")
	put(t, path, by.sign(t, by.list(t, 1, states...)))
	return path
}

func TestTrustList(t *testing.T) {
	good := trusted(t)
	two := newOfficers(t, 2)
	t.Run("reads what is whole", func(t *testing.T) {
		list, err := partner.ReadTrustList(writeTrustList(t, two, good))
		must(t, err)
		if diff := cmp.Diff([]string{"AA"}, list.States[0].RefAreas); diff != "" {
			t.Error(diff)
		}
		roots := partner.Roots(sharing.NewTrust(list.TrustList))
		if roots("aa") == nil || roots("zz") != nil {
			t.Error("the roots are not those of the list")
		}
	})
	for want, change := range map[string]func(map[string]any){
		"the address":             func(s map[string]any) { s["address"] = "nowhere" },
		"the roots hold no":       func(s map[string]any) { s["roots"] = "none" },
		"there is no signing key": func(s map[string]any) { s["signingKeys"] = nil },
		"the log key":             func(s map[string]any) { s["logKey"] = "x" },
	} {
		t.Run("says what is wrong: "+want, func(t *testing.T) {
			bad := maps.Clone(good)
			change(bad)
			_, err := partner.ReadTrustList(writeTrustList(t, two, bad))
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
