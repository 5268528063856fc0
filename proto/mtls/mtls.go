// Package mtls gives gRPC credentials for mutual TLS 1.3 between the workloads of Comity, and says who is at the other
// end.
//
// A workload is named by the one URI in its certificate:
//
//	comity://<state>/<service>
//
// and the certificate counts only where a root of that very state anchors it: another state's root, however trusted for
// its own name, vouches for nobody else. Certificates, keys and roots are PEM files, and a changed file counts from the
// next handshake on.
package mtls

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/peer"
)

// Identity names a workload.
type Identity struct {
	State   string // the code of the state, for example "us"
	Service string // for example "sharing"
}

// String returns the URI that names the workload, such as "comity://us/sharing".
func (i Identity) String() string { return "comity://" + i.State + "/" + i.Service }

// Roots returns the roots that may anchor certificates in the name of a state; nil: none may. It is called for each
// handshake, from several goroutines.
type Roots func(state string) *x509.CertPool

// Option changes what credentials believe.
type Option func(*transport)

// Refusal gives the reason why a chain in the name of a state does not count, though it leads to a root of that state; nil:
// it counts. The chain begins with the leaf and ends with the root. It is called for each chain in each handshake, from
// several goroutines.
type Refusal func(state string, chain []*x509.Certificate) error

// Refusing has credentials refuse the chains that refused gives a reason against.
func Refusing(refused Refusal) Option {
	return func(t *transport) { t.refused = refused }
}

// Among keeps the connections that are made with the credentials among others.
func Among(connections *Connections) Option {
	return func(t *transport) { t.among = connections }
}

// Peer returns the state and service of the workload that makes the call of ctx. It is not ok outside of a call, for a
// connection that was not made with credentials of this package, and once the certificate has expired.
func Peer(ctx context.Context) (state, service string, ok bool) {
	p, found := peer.FromContext(ctx)
	if !found {
		return "", "", false
	}
	info, ours := p.AuthInfo.(authInfo)
	if !ours || time.Now().After(info.notAfter) {
		return "", "", false
	}
	return info.identity.State, info.identity.Service, true
}

var name = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// identify returns the workload that a certificate names. It does not say whether the certificate may be believed.
func identify(leaf *x509.Certificate) (Identity, error) {
	if len(leaf.URIs) != 1 {
		return Identity{}, fmt.Errorf("certificate names %d URIs, not one", len(leaf.URIs))
	}
	return parseIdentity(leaf.URIs[0])
}

func parseIdentity(uri *url.URL) (Identity, error) {
	identity := Identity{State: uri.Host, Service: strings.TrimPrefix(uri.Path, "/")}
	if !name.MatchString(identity.State) || !name.MatchString(identity.Service) || uri.String() != identity.String() {
		return Identity{}, fmt.Errorf("%q is not of the form comity://<state>/<service>", uri)
	}
	return identity, nil
}

// verified is what a chain of certificates proves.
type verified struct {
	identity Identity
	notAfter time.Time // when the first certificate of the chain expires
}

// Verify returns whom a chain of certificates, the leaf first, names for the usage, and until when it counts; or why it does
// not. A nil refused refuses nothing.
func Verify(shown []*x509.Certificate, roots Roots, usage x509.ExtKeyUsage, refused Refusal) (who Identity, notAfter time.Time, err error) {
	v, err := verify(shown, roots, usage, refused)
	return v.identity, v.notAfter, err
}

// verify returns who the other end of a connection is. The chain must lead from a leaf for the usage to a root of the
// state that the leaf names, and refused must give no reason against it; a nil refused has none.
func verify(shown []*x509.Certificate, roots Roots, usage x509.ExtKeyUsage, refused Refusal) (verified, error) {
	if len(shown) == 0 {
		return verified{}, errors.New("no certificate was shown")
	}
	leaf := shown[0]
	identity, err := identify(leaf)
	if err != nil {
		return verified{}, err
	}
	// Verify takes a leaf without any extended usage for one of every usage.
	if !slices.Contains(leaf.ExtKeyUsage, usage) || leaf.KeyUsage&x509.KeyUsageDigitalSignature == 0 || leaf.IsCA {
		return verified{}, fmt.Errorf("certificate of %s is not for this use", identity)
	}
	anchors := roots(identity.State)
	if anchors == nil {
		return verified{}, fmt.Errorf("no root is known that vouches for %s", identity)
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range shown[1:] {
		intermediates.AddCert(certificate)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: anchors, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage},
	})
	if err != nil {
		return verified{}, fmt.Errorf("certificate of %s: %w", identity, err)
	}
	v := verified{identity: identity}
	var refusal error
	for _, chain := range chains {
		if refused != nil {
			if err := refused(identity.State, chain); err != nil {
				refusal = err
				continue
			}
		}
		if end := firstEnd(chain); end.After(v.notAfter) {
			v.notAfter = end
		}
	}
	if v.notAfter.IsZero() {
		return verified{}, fmt.Errorf("certificate of %s: %w", identity, refusal)
	}
	return v, nil
}

func firstEnd(chain []*x509.Certificate) time.Time {
	end := chain[0].NotAfter
	for _, certificate := range chain[1:] {
		if certificate.NotAfter.Before(end) {
			end = certificate.NotAfter
		}
	}
	return end
}
