package authority_test

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"testing"

	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/comity-federation/comity/services/internal/authority"
)

func open(t *testing.T, dir, state string) *authority.Authority {
	t.Helper()
	a, err := authority.Open(dir, state)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	t.Run("it hangs from its own state's root and from no other", func(t *testing.T) {
		t.Parallel()
		na, so := open(t, t.TempDir(), "na"), open(t, t.TempDir(), "so")
		path, _, err := na.Certificate("gateway")
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool(na), KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
				t.Errorf("under its own root: %v", err)
			}
			if _, err := leaf.Verify(x509.VerifyOptions{Roots: pool(so), KeyUsages: []x509.ExtKeyUsage{usage}}); err == nil {
				t.Error("it verifies under another state's root")
			}
		}
		if got := leaf.URIs[0].String(); got != "comity://na/gateway" {
			t.Errorf("name %q", got)
		}
	})
}

func pool(a *authority.Authority) *x509.CertPool {
	p := x509.NewCertPool()
	p.AppendCertsFromPEM([]byte(a.Root))
	return p
}

func TestTokens(t *testing.T) {
	t.Parallel()
	t.Run("it issues what its key set verifies", func(t *testing.T) {
		t.Parallel()
		a := open(t, t.TempDir(), "na")
		tokens, keySet, err := a.Tokens([]string{"analyst"})
		if err != nil {
			t.Fatal(err)
		}
		set, err := jwk.ReadFile(keySet)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(tokens["analyst"])
		if err != nil {
			t.Fatal(err)
		}
		issuer, audience := a.Issuer()
		token, err := jwt.Parse(text, jwt.WithKeySet(set), jwt.WithIssuer(issuer), jwt.WithAudience(audience))
		if err != nil {
			t.Fatal(err)
		}
		var roles []any
		if err := token.Get("roles", &roles); err != nil || len(roles) != 1 || roles[0] != "analyst" {
			t.Errorf("roles %v, %v", roles, err)
		}
		for i := range set.Len() {
			key, _ := set.Key(i)
			if private, err := jwk.IsPrivateKey(key); err != nil || private {
				t.Error("the key set holds the private key")
			}
		}
	})
}

func TestOpen(t *testing.T) {
	t.Parallel()
	t.Run("it keeps what is there, readable by the owner alone", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		read := func() map[string]string {
			a := open(t, dir, "na")
			if _, _, err := a.Certificate("gateway"); err != nil {
				t.Fatal(err)
			}
			if _, _, err := a.Tokens([]string{"analyst", "officer"}); err != nil {
				t.Fatal(err)
			}
			files := map[string]string{}
			err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
				if err != nil || entry.IsDir() {
					return err
				}
				if info, err := entry.Info(); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%s is %v, %v", path, info.Mode(), err)
				}
				text, err := os.ReadFile(path) //nolint:gosec // a directory of the test
				files[path] = string(text)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return files
		}
		first, second := read(), read()
		if len(first) != 12 || len(second) != len(first) {
			t.Errorf("%d files, then %d", len(first), len(second))
		}
		for path, text := range first {
			if second[path] != text {
				t.Errorf("%s changed", path)
			}
		}
	})
}
