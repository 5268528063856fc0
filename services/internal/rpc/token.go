package rpc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	"github.com/lestrrat-go/jwx/v3/jwt"
	"google.golang.org/grpc/metadata"

	"github.com/comity-federation/comity/services/fault"
)

const (
	maxToken      = 16 << 10         // bytes
	tokenSkew     = 30 * time.Second // that the issuer's clock and ours may differ
	leastRSABytes = 256
)

// tokens verifies bearer tokens: JSON Web Tokens (RFC 7519) signed with one of the issuer's keys.
type tokens struct {
	path, issuer, audience string
	log                    *slog.Logger

	mu      sync.Mutex
	keys    []verificationKey
	changed time.Time // of the file, as it was read last
	size    int64
}

// verificationKey is a public key with the one algorithm that it may verify: the key decides, not the token.
type verificationKey struct {
	id        string
	algorithm jwa.SignatureAlgorithm
	key       jwk.Key
}

func openTokens(path, issuer, audience string, log *slog.Logger) (*tokens, error) {
	t := &tokens{path: path, issuer: issuer, audience: audience, log: log}
	if err := t.reload(); err != nil {
		return nil, err
	}
	return t, nil
}

// person returns who the call is made for: nil where it carries no token.
func (t *tokens) person(ctx context.Context) (*Person, error) {
	values := metadata.ValueFromIncomingContext(ctx, "authorization")
	if len(values) == 0 {
		return nil, nil // nobody
	}
	person, err := t.verify(ctx, values)
	if err != nil {
		return nil, fault.New(fault.Unauthenticated, "TOKEN_INVALID", "the token is not valid here").Because(err)
	}
	return person, nil
}

func (t *tokens) verify(ctx context.Context, values []string) (*Person, error) {
	if len(values) != 1 {
		return nil, fmt.Errorf("%d authorization headers", len(values))
	}
	scheme, text, found := strings.Cut(values[0], " ")
	if !found || !strings.EqualFold(scheme, "Bearer") {
		return nil, errors.New("no bearer token")
	}
	if len(text) > maxToken {
		return nil, fmt.Errorf("token has %d bytes, more than %d", len(text), maxToken)
	}
	token, err := jwt.ParseString(text,
		jwt.WithKeyProvider(jws.KeyProviderFunc(t.candidates)),
		jwt.WithContext(ctx),
		jwt.WithIssuer(t.issuer),
		jwt.WithAudience(t.audience),
		jwt.WithAcceptableSkew(tokenSkew),
		jwt.WithRequiredClaim(jwt.ExpirationKey),
		jwt.WithRequiredClaim(jwt.SubjectKey),
	)
	if err != nil {
		return nil, err
	}
	person := &Person{}
	if person.Subject, _ = token.Subject(); person.Subject == "" {
		return nil, errors.New("token has no subject")
	}
	if token.Has("roles") {
		var roles []any
		if err := token.Get("roles", &roles); err != nil {
			return nil, fmt.Errorf("claim roles: %w", err)
		}
		for _, value := range roles {
			role, ok := value.(string)
			if !ok {
				return nil, fmt.Errorf("claim roles holds %v, which is no string", value)
			}
			person.Roles = append(person.Roles, role)
		}
	}
	if token.Has("agency") {
		if err := token.Get("agency", &person.Agency); err != nil || !agencyID.MatchString(person.Agency) {
			return nil, errors.New("claim agency is none")
		}
	}
	return person, nil
}

// agencyID is an agency of the state: what stands behind the "/" of its code among parties.
var agencyID = regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$`)

// candidates offers the keys that a signature may be checked with: those of its key id, or all where it names none, and
// of these only the ones that are for its algorithm. "none" is no key's algorithm. A token with critical headers has no
// key.
func (t *tokens) candidates(_ context.Context, sink jws.KeySink, signature *jws.Signature, _ *jws.Message) error {
	if err := t.reload(); err != nil {
		t.log.Error("the last keys for tokens stay", "error", err)
	}
	if signature.ProtectedHeaders().Has(jws.CriticalKey) {
		return nil // it has terms that must be understood (RFC 7515, section 4.1.11), and none are here
	}
	algorithm, _ := signature.ProtectedHeaders().Algorithm()
	id, named := signature.ProtectedHeaders().KeyID()
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, key := range t.keys {
		if key.algorithm == algorithm && (!named || key.id == id) {
			sink.Key(key.algorithm, key.key)
		}
	}
	return nil
}

// reload reads the keys where the file has changed.
func (t *tokens) reload() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("reading the keys for tokens: %w", err)
	}
	if info.ModTime().Equal(t.changed) && info.Size() == t.size {
		return nil
	}
	content, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("reading the keys for tokens: %w", err)
	}
	keys, err := parseKeys(content)
	if err != nil {
		return fmt.Errorf("reading the keys for tokens from %s: %w", t.path, err)
	}
	t.keys, t.changed, t.size = keys, info.ModTime(), info.Size()
	return nil
}

// parseKeys returns the keys of a JSON Web Key Set that can verify tokens: Ed25519 for EdDSA, P-256 for ES256, RSA of at
// least 2048 bits for RS256. Others are passed over.
func parseKeys(content []byte) ([]verificationKey, error) {
	set, err := jwk.Parse(content)
	if err != nil {
		return nil, err
	}
	var keys []verificationKey
	for i := range set.Len() {
		key, _ := set.Key(i)
		algorithm, ok := algorithmOf(key)
		if !ok {
			continue
		}
		public, err := key.PublicKey()
		if err != nil {
			return nil, err
		}
		id, _ := key.KeyID()
		keys = append(keys, verificationKey{id: id, algorithm: algorithm, key: public})
	}
	if len(keys) == 0 {
		return nil, errors.New("no key in it can verify tokens with EdDSA, ES256 or RS256")
	}
	return keys, nil
}

// algorithmOf returns the one algorithm that a key is for, which must be what the key itself declares, if it does.
func algorithmOf(key jwk.Key) (algorithm jwa.SignatureAlgorithm, ok bool) {
	if use, given := key.KeyUsage(); given && use != "sig" {
		return algorithm, false
	}
	switch key := key.(type) {
	case jwk.ECDSAPublicKey: // before OKP, whose methods it has as well
		curve, _ := key.Crv()
		algorithm, ok = jwa.ES256(), curve == jwa.P256()
	case jwk.OKPPublicKey:
		curve, _ := key.Crv()
		algorithm, ok = jwa.EdDSA(), curve == jwa.Ed25519()
	case jwk.RSAPublicKey:
		modulus, _ := key.N()
		algorithm, ok = jwa.RS256(), len(modulus) >= leastRSABytes
	}
	if declared, given := key.Algorithm(); given && declared.String() != algorithm.String() {
		return algorithm, false
	}
	return algorithm, ok
}
