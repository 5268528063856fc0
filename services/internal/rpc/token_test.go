package rpc_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

const (
	issuerName = "https://sign-in.example"
	audience   = "comity"
)

// issuer signs tokens with an Ed25519 key, and publishes the key set.
type issuer struct {
	path string
	key  any
	id   string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	i := &issuer{path: filepath.Join(t.TempDir(), "jwks.json"), key: key, id: "first"}
	publish(t, i.path, publicKey(t, key, i.id, "", ""))
	return i
}

// publicKey returns the public half of a key, with an id; use and algorithm are declared where they are not empty.
func publicKey(t *testing.T, private any, id, use, algorithm string) jwk.Key {
	t.Helper()
	key, err := jwk.PublicKeyOf(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]string{jwk.KeyIDKey: id, jwk.KeyUsageKey: use, jwk.AlgorithmKey: algorithm} {
		if value == "" {
			continue
		}
		if err := key.Set(name, value); err != nil {
			t.Fatal(err)
		}
	}
	return key
}

func publish(t *testing.T, path string, keys ...jwk.Key) {
	t.Helper()
	set := jwk.NewSet()
	for _, key := range keys {
		if err := set.AddKey(key); err != nil {
			t.Fatal(err)
		}
	}
	content, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}

func claims(roles ...string) map[string]any {
	now := time.Now().Unix()
	return map[string]any{
		"iss": issuerName, "aud": audience, "sub": "ada", "roles": append([]string{}, roles...),
		"iat": now, "nbf": now, "exp": now + 60,
	}
}

// token is of somebody called ada, and valid for a minute.
func (i *issuer) token(t *testing.T, roles ...string) string {
	t.Helper()
	return sign(t, jwa.EdDSA(), i.key, i.id, claims(roles...))
}

func sign(t *testing.T, algorithm jwa.SignatureAlgorithm, key any, id string, content map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(content)
	if err != nil {
		t.Fatal(err)
	}
	headers := jws.NewHeaders()
	if id != "" {
		if err := headers.Set(jws.KeyIDKey, id); err != nil {
			t.Fatal(err)
		}
	}
	signed, err := jws.Sign(payload, jws.WithKey(algorithm, key, jws.WithProtectedHeaders(headers)))
	if err != nil {
		t.Fatal(err)
	}
	return string(signed)
}

func TestTokens(t *testing.T) {
	n := start(t)
	client := n.gateway(t)
	call := func(t *testing.T, authorization ...string) error {
		t.Helper()
		ctx := t.Context()
		for _, value := range authorization {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", value)
		}
		_, err := client.ListSubmissions(ctx, &statisticspb.ListSubmissionsRequest{})
		return err
	}
	second, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	third, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	_, stranger, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	first := publicKey(t, n.issuer.key, "first", "", "")
	publish(t, n.issuer.path, first, publicKey(t, second, "second", "", "ES256"), publicKey(t, third, "third", "sig", ""),
		publicKey(t, stranger, "for encryption", "enc", ""))

	with := func(change map[string]any) map[string]any {
		c := claims("auditor")
		maps.Copy(c, change)
		return c
	}
	eddsa := func(c map[string]any) string { return "Bearer " + sign(t, jwa.EdDSA(), n.issuer.key, "first", c) }
	good := claims("auditor")
	now := time.Now().Unix()
	for name, token := range map[string]string{
		"EdDSA":                 eddsa(good),
		"ES256":                 "Bearer " + sign(t, jwa.ES256(), second, "second", good),
		"RS256":                 "Bearer " + sign(t, jwa.RS256(), third, "third", good),
		"without a key id":      "Bearer " + sign(t, jwa.EdDSA(), n.issuer.key, "", good),
		"for several audiences": eddsa(with(map[string]any{"aud": []string{"other", audience}})),
		"a clock a bit ahead":   eddsa(with(map[string]any{"nbf": now + 10, "iat": now + 10})),
		"a clock a bit behind":  eddsa(with(map[string]any{"exp": now - 10})),
		"the scheme in small":   "bearer " + sign(t, jwa.EdDSA(), n.issuer.key, "first", good),
	} {
		t.Run("it accepts "+name, func(t *testing.T) {
			if err := call(t, token); err != nil {
				t.Error(err)
			}
		})
	}

	valid := strings.TrimPrefix(eddsa(good), "Bearer ")
	parts := strings.Split(valid, ".")
	critical := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"EdDSA","kid":"first","crit":["twice"],"twice":true}`)) + "." + parts[1]
	critical += "." + base64.RawURLEncoding.EncodeToString(ed25519.Sign(n.issuer.key.(ed25519.PrivateKey), []byte(critical)))
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + parts[1] + "."
	officer, err := json.Marshal(claims("officer"))
	if err != nil {
		t.Fatal(err)
	}
	without := func(claim string) map[string]any {
		c := claims("auditor")
		delete(c, claim)
		return c
	}
	secret, err := json.Marshal(publicKey(t, second, "second", "", ""))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range map[string][]string{
		"another issuer":               {eddsa(with(map[string]any{"iss": "https://elsewhere.example"}))},
		"no issuer":                    {eddsa(without("iss"))},
		"another audience":             {eddsa(with(map[string]any{"aud": "other"}))},
		"no audience":                  {eddsa(without("aud"))},
		"one that has expired":         {eddsa(with(map[string]any{"exp": now - 60}))},
		"one that never expires":       {eddsa(without("exp"))},
		"one that is not valid yet":    {eddsa(with(map[string]any{"nbf": now + 60}))},
		"no subject":                   {eddsa(without("sub"))},
		"an empty subject":             {eddsa(with(map[string]any{"sub": ""}))},
		"roles that are no list":       {eddsa(with(map[string]any{"roles": "auditor"}))},
		"roles that are no text":       {eddsa(with(map[string]any{"roles": []any{"auditor", 1}}))},
		"an agency that is no text":    {eddsa(with(map[string]any{"agency": []string{"border"}}))},
		"an agency that is none":       {eddsa(with(map[string]any{"agency": "../aa"}))},
		"an empty agency":              {eddsa(with(map[string]any{"agency": ""}))},
		"an unknown key":               {"Bearer " + sign(t, jwa.EdDSA(), stranger, "first", good)},
		"an unknown key id":            {"Bearer " + sign(t, jwa.EdDSA(), n.issuer.key, "fourth", good)},
		"a key for encryption":         {"Bearer " + sign(t, jwa.EdDSA(), stranger, "for encryption", good)},
		"an algorithm not of the key":  {"Bearer " + sign(t, jwa.RS512(), third, "third", good)},
		"a public key taken as secret": {"Bearer " + sign(t, jwa.HS256(), secret, "second", good)},
		"no signature":                 {"Bearer " + unsigned},
		"terms that it does not know":  {"Bearer " + critical},
		"an empty signature":           {"Bearer " + parts[0] + "." + parts[1] + "."},
		"another payload":              {"Bearer " + parts[0] + "." + base64.RawURLEncoding.EncodeToString(officer) + "." + parts[2]},
		"no token":                     {"Bearer "},
		"no scheme":                    {valid},
		"another scheme":               {"Basic " + valid},
		"two headers":                  {"Bearer " + valid, "Bearer " + valid},
		"a very long one":              {"Bearer " + strings.Repeat("x", 17<<10)},
		"an empty header":              {""},
	} {
		t.Run("it refuses "+name, func(t *testing.T) {
			expect(t, call(t, values...), codes.Unauthenticated, "TOKEN_INVALID")
		})
	}

	t.Run("it reads the keys again when they change", func(t *testing.T) {
		if err := os.WriteFile(n.issuer.path, []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := call(t, "Bearer "+valid); err != nil {
			t.Errorf("with a broken file, the last keys do not stay: %v", err)
		}
		publish(t, n.issuer.path, publicKey(t, second, "second", "", ""))
		expect(t, call(t, "Bearer "+valid), codes.Unauthenticated, "TOKEN_INVALID")
		if err := call(t, "Bearer "+sign(t, jwa.ES256(), second, "second", good)); err != nil {
			t.Error(err)
		}
	})
}
