package tck

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"time"

	"github.com/comity-federation/comity/services/sharing"
)

// issuer signs certificates.
type issuer struct {
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	through     [][]byte // the certificates between its own and the root, its own first
}

// own returns the issuer that the trust list names for the kit's state.
func (s *State) own() issuer { return issuer{certificate: s.root, key: s.rootKey} }

const rootLifetime = 365 * 24 * time.Hour

// newRoot returns an issuer that nobody has heard of.
func newRoot(name string, lifetime time.Duration) (issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuer{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(lifetime),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	certificate, err := create(template, template, key, key)
	return issuer{certificate: certificate, key: key}, err
}

// intermediate returns an issuer whose certificate this one has signed. With isCA false it must not sign any.
func (i issuer) intermediate(isCA bool) (issuer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return issuer{}, err
	}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "conformance intermediate"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if isCA {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	certificate, err := create(template, i.certificate, key, i.key)
	if err != nil {
		return issuer{}, err
	}
	return issuer{certificate: certificate, key: key, through: append([][]byte{certificate.Raw}, i.through...)}, nil
}

// leaf returns a certificate for the workload comity://<state>/<service>, valid for an hour; change may spoil it.
func (i issuer) leaf(state, service string, change func(*x509.Certificate)) (*tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		Subject:   pkix.Name{CommonName: service + " of " + state},
		NotBefore: time.Now().Add(-5 * time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{{Scheme: "comity", Host: state, Path: "/" + service}},
	}
	if change != nil {
		change(template)
	}
	certificate, err := create(template, i.certificate, key, i.key)
	if err != nil {
		return nil, err
	}
	return &tls.Certificate{Certificate: append([][]byte{certificate.Raw}, i.through...), PrivateKey: key, Leaf: certificate}, nil
}

func create(template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// verifyPeer returns what is wrong with the certificates that the node has shown for the usage.
func (k *kit) verifyPeer(shown []*x509.Certificate, usage x509.ExtKeyUsage) error {
	if len(shown) == 0 {
		return errors.New("it shows no certificate")
	}
	leaf, want := shown[0], "comity://"+string(k.peer.Code)+"/sharing"
	if len(leaf.URIs) != 1 || leaf.URIs[0].String() != want {
		return fmt.Errorf("its certificate names %v, not %s", leaf.URIs, want)
	}
	intermediates := x509.NewCertPool()
	for _, certificate := range shown[1:] {
		intermediates.AddCert(certificate)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: k.peerRoots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{usage}})
	if err != nil {
		return fmt.Errorf("its certificate: %w", err)
	}
	return nil
}

// isOther reports whether the certificates name another state of the trust list than the node's.
func (k *kit) isOther(shown []*x509.Certificate) bool {
	if len(shown) == 0 || len(shown[0].URIs) != 1 {
		return false
	}
	state := sharing.StateCode(shown[0].URIs[0].Host)
	_, known := k.list.State(state)
	return known && state != k.peer.Code
}
