package authority

import (
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jwt"
)

const (
	tokenLifetime = 30 * 24 * time.Hour
	tokenRenewal  = 10 * 24 * time.Hour // before the end
)

// Issuer returns the issuer and the audience that the state's tokens name.
func (a *Authority) Issuer() (issuer, audience string) {
	return "comity://" + a.State + "/issuer", "comity://" + a.State
}

// Tokens returns, for each role, the file of a token of somebody who has that role alone, and the file of the key set
// that verifies them (RFC 7517). A token (RFC 7519, ES256) carries the claim "roles", a list, lasts 30 days and is
// renewed in the last 10.
func (a *Authority) Tokens(roles []string) (tokens map[string]string, keySet string, err error) {
	private, public, err := a.issuerKeys()
	if err != nil {
		return nil, "", fmt.Errorf("the token issuer of %s: %w", a.State, err)
	}
	set := jwk.NewSet()
	if err := set.AddKey(public); err != nil {
		return nil, "", err
	}
	text, err := json.MarshalIndent(set, "", "  ")
	if err != nil {
		return nil, "", err
	}
	keySet = a.path("jwks.json")
	if old, err := os.ReadFile(keySet); err != nil || string(old) != string(text) { //nolint:gosec // our own file
		if err := write(keySet, text); err != nil {
			return nil, "", err
		}
	}
	tokens = map[string]string{}
	for _, role := range roles {
		path := a.path("tokens", role)
		if err := a.token(path, role, private, public); err != nil {
			return nil, "", fmt.Errorf("the token of the %s of %s: %w", role, a.State, err)
		}
		tokens[role] = path
	}
	return tokens, keySet, nil
}

// issuerKeys returns the key that signs tokens and the one that verifies them, both named by their thumbprint.
func (a *Authority) issuerKeys() (private, public jwk.Key, err error) {
	raw, err := ecdsaKey(a.path("issuer.key"))
	if err != nil {
		return nil, nil, err
	}
	if private, err = jwk.Import(raw); err != nil {
		return nil, nil, err
	}
	if err := jwk.AssignKeyID(private); err != nil {
		return nil, nil, err
	}
	if err := private.Set(jwk.AlgorithmKey, jwa.ES256()); err != nil {
		return nil, nil, err
	}
	if public, err = private.PublicKey(); err != nil {
		return nil, nil, err
	}
	return private, public, public.Set(jwk.KeyUsageKey, jwk.ForSignature)
}

// token writes a token for the role, if the one there is not valid for a while.
func (a *Authority) token(path, role string, private, public jwk.Key) error {
	issuer, audience := a.Issuer()
	now := time.Now()
	if old, err := os.ReadFile(path); err == nil { //nolint:gosec // our own file
		_, err := jwt.Parse(old, jwt.WithKey(jwa.ES256(), public), jwt.WithIssuer(issuer), jwt.WithAudience(audience),
			jwt.WithClock(jwt.ClockFunc(func() time.Time { return now.Add(tokenRenewal) })))
		if err == nil {
			return nil
		}
	}
	token, err := jwt.NewBuilder().
		Issuer(issuer).
		Audience([]string{audience}).
		Subject(role+"@"+a.State).
		Claim("roles", []string{role}).
		IssuedAt(now).
		NotBefore(now.Add(-clockSkew)).
		Expiration(now.Add(tokenLifetime)).
		Build()
	if err != nil {
		return err
	}
	signed, err := jwt.Sign(token, jwt.WithKey(jwa.ES256(), private))
	if err != nil {
		return err
	}
	return write(path, signed)
}
