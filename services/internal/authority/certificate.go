package authority

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	rootLifetime = 10 * 365 * 24 * time.Hour
	leafLifetime = 90 * 24 * time.Hour
	leafRenewal  = 30 * 24 * time.Hour // before the end
	clockSkew    = 5 * time.Minute
)

// Certificate returns the files of a workload's certificate and key. The certificate names comity://{state}/{service},
// localhost and 127.0.0.1, serves both ends of TLS, lasts 90 days and is renewed in the last 30.
func (a *Authority) Certificate(service string) (certificate, key string, err error) {
	certificate = filepath.Join(a.Certificates(), service+".pem")
	key = filepath.Join(a.Certificates(), service+".key")
	if err := a.certify(service, certificate, key); err != nil {
		return "", "", fmt.Errorf("the certificate of %s/%s: %w", a.State, service, err)
	}
	return certificate, key, nil
}

// RootFile returns the file of the state's own root.
func (a *Authority) RootFile() string { return filepath.Join(a.Certificates(), "ca.pem") }

func (a *Authority) openRoot() error {
	key, err := a.rootKey()
	if err != nil {
		return err
	}
	text, err := os.ReadFile(a.RootFile())
	if errors.Is(err, os.ErrNotExist) {
		text, err = a.makeRoot(key)
	}
	a.Root = string(text)
	return err
}

func (a *Authority) rootKey() (*ecdsa.PrivateKey, error) {
	return ecdsaKey(filepath.Join(a.Certificates(), "ca.key"))
}

func (a *Authority) makeRoot(key *ecdsa.PrivateKey) ([]byte, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "Comity root of " + a.State},
		NotBefore:             time.Now().Add(-clockSkew),
		NotAfter:              time.Now().Add(rootLifetime),
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid: true,
		IsCA:                  true,
		MaxPathLenZero:        true,
	}
	return issue(a.RootFile(), template, template, key, key)
}

func (a *Authority) certify(service, certificate, keyFile string) error {
	root, err := parse([]byte(a.Root))
	if err != nil {
		return err
	}
	rootKey, err := a.rootKey()
	if err != nil {
		return err
	}
	key, err := ecdsaKey(keyFile)
	if err != nil {
		return err
	}
	name := &url.URL{Scheme: "comity", Host: a.State, Path: "/" + service}
	if text, err := os.ReadFile(certificate); err == nil && good(text, root, key, name) { //nolint:gosec // our own file
		return nil
	}
	_, err = issue(certificate, &x509.Certificate{
		Subject:               pkix.Name{CommonName: service + " of " + a.State},
		NotBefore:             time.Now().Add(-clockSkew),
		NotAfter:              time.Now().Add(leafLifetime),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		BasicConstraintsValid: true,
		URIs:                  []*url.URL{name},
		DNSNames:              []string{"localhost"},
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
	}, root, key, rootKey)
	return err
}

// good reports whether a certificate still serves: for this name and key, under this root, for a while.
func good(text []byte, root *x509.Certificate, key *ecdsa.PrivateKey, name *url.URL) bool {
	certificate, err := parse(text)
	return err == nil &&
		certificate.CheckSignatureFrom(root) == nil &&
		key.PublicKey.Equal(certificate.PublicKey) &&
		slices.ContainsFunc(certificate.URIs, func(u *url.URL) bool { return *u == *name }) &&
		time.Until(certificate.NotAfter) > leafRenewal
}

// issue signs a certificate for key and writes it.
func issue(path string, template, parent *x509.Certificate, key, parentKey *ecdsa.PrivateKey) ([]byte, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	template.SerialNumber = serial
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return text, write(path, text)
}

func parse(text []byte) (*x509.Certificate, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	return x509.ParseCertificate(block.Bytes)
}

func ecdsaKey(path string) (*ecdsa.PrivateKey, error) {
	key, err := keep(path, newECDSA)
	if err != nil {
		return nil, err
	}
	private, ok := key.(*ecdsa.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s is no ECDSA key", path)
	}
	return private, nil
}
