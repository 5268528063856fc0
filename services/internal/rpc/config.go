package rpc

import (
	"context"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/internal/policy"
)

// Config is what every service needs to know of its place. It is embedded in each main's own Config.
type Config struct {
	State       string `env:"COMITY_STATE,required,notEmpty"`       // the code of this state, for example "us"
	Listen      string `env:"COMITY_LISTEN,required,notEmpty"`      // where gRPC answers, "host:port"
	OpsListen   string `env:"COMITY_OPS_LISTEN,required,notEmpty"`  // where /metrics, /healthz and /readyz answer, plain HTTP on loopback
	Certificate string `env:"COMITY_CERTIFICATE,required,notEmpty"` // PEM file: this process's certificate, then its intermediates
	Key         string `env:"COMITY_KEY,required,notEmpty"`         // PEM file: the certificate's private key
	Root        string `env:"COMITY_ROOT,required,notEmpty"`        // PEM file: this state's own roots
	Policies    string `env:"COMITY_POLICIES,required,notEmpty"`    // directories separated by ":"; the first is shared, the others are this state's. Or the file of a signed bundle
	PolicyKeys  string `env:"COMITY_POLICY_KEYS"`                   // PEM files separated by ":": the public keys of who signs bundles; empty: there is no bundle
	PolicyKept  string `env:"COMITY_POLICY_KEPT"`                   // file of this process's own, in which the last good bundle is kept; needed with keys
	JWKS        string `env:"COMITY_JWKS,required,notEmpty"`        // JSON Web Key Set file of the token issuer
	Issuer      string `env:"COMITY_ISSUER,required,notEmpty"`      // the issuer that tokens must name
	Audience    string `env:"COMITY_AUDIENCE,required,notEmpty"`    // the audience that tokens must name
}

// OpenPolicies opens the policies: the signed bundle where there are keys, else the directories.
func (c Config) OpenPolicies(ctx context.Context, log *slog.Logger) (*policy.Engine, error) {
	if c.PolicyKeys == "" {
		return policy.Open(ctx, filepath.SplitList(c.Policies), log)
	}
	return policy.OpenBundled(ctx, policy.Bundled{File: c.Policies, Keys: filepath.SplitList(c.PolicyKeys), Kept: c.PolicyKept}, log)
}

// credentials loads the certificate and this state's roots, and checks that they fit each other: a process whose own
// certificate no peer would accept should say so at once.
func (c Config) credentials() (*mtls.Pair, mtls.Roots, error) {
	pair, err := mtls.LoadPair(c.Certificate, c.Key)
	if err != nil {
		return nil, nil, err
	}
	identity, err := pair.Identity()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", c.Certificate, err)
	}
	if identity.State != c.State {
		return nil, nil, fmt.Errorf("%s is the certificate of %s, but this is state %q", c.Certificate, identity, c.State)
	}
	roots, err := mtls.RootFile(c.State, c.Root)
	if err != nil {
		return nil, nil, err
	}
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if err := pair.Check(roots, usage); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.Certificate, err)
		}
	}
	return pair, roots, nil
}

// onLoopback says that an address is not for this machine alone.
func onLoopback(address string) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("ops address %q: %w", address, err)
	}
	if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		return fmt.Errorf("ops address %q is not on loopback: plain HTTP is served nowhere else", address)
	}
	return nil
}
