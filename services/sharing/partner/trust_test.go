package partner_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

func writeTrustList(t *testing.T, states ...map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"states": states})
	must(t, err)
	path := filepath.Join(t.TempDir(), "trust.json")
	must(t, os.WriteFile(path, text, 0o600))
	return path
}

func TestTrustList(t *testing.T) {
	good := trusted(t)
	t.Run("reads what is whole", func(t *testing.T) {
		list, err := partner.ReadTrustList(writeTrustList(t, good), "aa")
		must(t, err)
		if diff := cmp.Diff([]string{"AA"}, list.States[0].RefAreas); diff != "" {
			t.Error(diff)
		}
		roots := partner.Roots(list)
		if roots("aa") == nil || roots("zz") != nil {
			t.Error("the roots are not those of the list")
		}
	})
	for want, change := range map[string]func(map[string]any){
		"the address":             func(s map[string]any) { s["address"] = "nowhere" },
		"the roots hold no":       func(s map[string]any) { s["roots"] = "none" },
		"there is no signing key": func(s map[string]any) { s["signingKeys"] = nil },
		"the log key":             func(s map[string]any) { s["logKey"] = "x" },
		"is not on the list":      func(s map[string]any) { s["code"] = "bb" },
		"unknown field":           func(s map[string]any) { s["more"] = 1 },
	} {
		t.Run("says what is wrong: "+want, func(t *testing.T) {
			bad := maps.Clone(good)
			change(bad)
			_, err := partner.ReadTrustList(writeTrustList(t, bad), "aa")
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}
