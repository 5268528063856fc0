package main

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/sharing"
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
	sandbox := &sandbox{directory: t.TempDir()}
	if err := sandbox.makeTrustList([]sharing.TrustedState{{
		Code: "aa", Name: "Alpha", Address: "127.0.0.1:1", Roots: string(roots), LogKey: logKey,
		SigningKeys: []sharing.SigningKey{{ID: "66687aadf862bd77", PublicKey: make([]byte, 32)}},
	}}); err != nil {
		t.Fatal(err)
	}
	trust := sandbox.path("trust.json")
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
	t.Run("checks files by a trust list that the auditor has, not by theirs", func(t *testing.T) {
		_, err := comity(t, "audit", "verify", filepath.Join(t.TempDir(), "log"))
		wantError(t, err, "files need --trust FILE")
	})
	t.Run("says what is wrong with a file", func(t *testing.T) {
		head := fmt.Sprintf(`{"checkpoint":"","verifierKey":%q}`, logKey)
		for name, test := range map[string]struct{ content, want string }{
			"that is empty":                     {"", "no first line"},
			"that is garbage":                   {"\x00\xff\x1f\x8b", "neither a log nor a proof"},
			"that is a list":                    {"[]\n", "neither a log nor a proof"},
			"of a log that nobody trusts":       {`{"verifierKey":"comity/zz/log+00000000+AAAA"}` + "\n", "no state of the trust list has the log key"},
			"of a proof without anything":       {`{"proof":{}}` + "\n", "the checkpoint"},
			"of a proof that is a number":       {`{"proof":1}` + "\n", "cannot be read"},
			"of a proof at no place":            {`{"proof":{"state":"aa","sequence":"NaN"}}` + "\n", "the checkpoint"},
			"with a line that is no entry":      {head + "\nentry\n", "reading entry 0"},
			"with an entry that is empty":       {head + "\n{}\n", "entry 0"},
			"with an entry out of place":        {head + "\n" + `{"index":7}` + "\n", "entry 0: it is missing: entry 7 follows"},
			"with an entry at no place":         {head + "\n" + `{"index":"NaN"}` + "\n", "entry 0"},
			"with a line that does not end":     {head + "\n" + strings.Repeat("x", maxLine+1), "token too long"},
			"with a checkpoint that is nothing": {fmt.Sprintf(`{"checkpoint":"x","verifierKey":%q}`, logKey) + "\n", "the checkpoint"},
		} {
			file := filepath.Join(t.TempDir(), "file")
			if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := comity(t, "audit", "verify", "--trust", trust, file)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("a file %s: %v", name, err)
			}
		}
	})
	t.Run("leaves no half of a file", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/v1/log/checkpoint" {
				fmt.Fprintf(w, `{"verifierKey":%q}`, logKey)
				return
			}
			w.WriteHeader(http.StatusServiceUnavailable)
		})
		out := filepath.Join(t.TempDir(), "aa.log")
		if _, err := comity(t, "audit", "export", "--dir", directory, "--state", "aa", "--role", "officer", "--out", out); err == nil {
			t.Error("it succeeded")
		}
		if left, err := os.ReadDir(filepath.Dir(out)); err != nil || len(left) > 0 {
			t.Errorf("%v, %v", left, err)
		}
	})
}
