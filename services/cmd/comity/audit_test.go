package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/proto/mtls/mtlstest"
)

func TestAuditVerify(t *testing.T) {
	_, logKey, err := note.GenerateKey(rand.Reader, "comity/aa/log")
	if err != nil {
		t.Fatal(err)
	}
	roots, err := os.ReadFile(mtlstest.NewAuthority(t, "aa").Root)
	if err != nil {
		t.Fatal(err)
	}
	list, err := json.Marshal(map[string]any{"states": []map[string]any{{
		"code": "aa", "name": "Alpha", "address": "127.0.0.1:1", "roots": string(roots), "logKey": logKey,
		"signingKeys": []map[string]any{{"id": "66687aadf862bd77", "publicKey": make([]byte, 32)}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	trust := filepath.Join(t.TempDir(), "trust.json")
	if err := os.WriteFile(trust, list, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Run("believes no key that the log names itself", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"checkpoint":"","verifierKey":"comity/aa/log+00000000+AAAA"}`)
		})
		_, err := comity(t, "audit", "verify", "--dir", directory, "--state", "aa", "--role", "officer", "--trust", trust)
		wantError(t, err, "no state of the trust list has the log key")
	})
	t.Run("wants a trust list for a node outside of a region", func(t *testing.T) {
		token := filepath.Join(t.TempDir(), "token")
		if err := os.WriteFile(token, []byte("t"), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := comity(t, "audit", "verify", "--gateway", "http://127.0.0.1:1", "--token", token)
		wantError(t, err, "--trust FILE")
	})
	t.Run("says so where the region has no trust list", func(t *testing.T) {
		_, err := comity(t, "audit", "verify", "--dir", regionOf(t, "http://127.0.0.1:1"), "--role", "officer")
		wantError(t, err, "trust list", "trust.json")
	})
}
