// Package mtlstest makes certificate authorities and certificates for tests, in PEM files of the test's directory.
//
//	us := mtlstest.NewAuthority(t, "us")
//	files := us.Issue("sharing")
//	pair, err := mtls.LoadPair(files.Certificate, files.Key)
package mtlstest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority issues certificates in the name of a state.
type Authority struct {
	State string
	Root  string // PEM file with the root

	t           testing.TB
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
	through     []byte // PEM of the intermediate that issues, if one does
}

// Files are a certificate and its private key.
type Files struct{ Certificate, Key string }

// NewAuthority returns an authority with a root of its own, valid for a year.
func NewAuthority(t testing.TB, state string, options ...Option) *Authority {
	t.Helper()
	key := newKey(t)
	template := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: "root of " + state},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	for _, option := range options {
		option(template)
	}
	der := sign(t, template, template, key, key)
	root := filepath.Join(t.TempDir(), "root.pem")
	write(t, root, encode("CERTIFICATE", der))
	return &Authority{State: state, Root: root, t: t, certificate: parse(t, der), key: key}
}

// Pool returns the root, as it anchors certificates.
func (a *Authority) Pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.certificate)
	return pool
}

// Intermediate returns an authority that issues through an intermediate of a; with isCA false, the intermediate is a
// certificate that must not issue any.
func (a *Authority) Intermediate(isCA bool) *Authority {
	a.t.Helper()
	key := newKey(a.t)
	template := &x509.Certificate{
		SerialNumber: serial(a.t), Subject: pkix.Name{CommonName: "intermediate of " + a.State},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: isCA, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if isCA {
		template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	der := sign(a.t, template, a.certificate, key, a.key)
	return &Authority{
		State: a.State, Root: a.Root, t: a.t, certificate: parse(a.t, der), key: key,
		through: append(encode("CERTIFICATE", der), a.through...),
	}
}

// CRL returns a revocation list of the authority with the number, whose successor is due at the time, as DER. It has the
// certificates in the files; options change the list before it is signed.
func (a *Authority) CRL(number int64, next time.Time, revoked []Files, options ...func(*x509.RevocationList)) []byte {
	a.t.Helper()
	list := &x509.RevocationList{Number: big.NewInt(number), ThisUpdate: next.Add(-24 * time.Hour), NextUpdate: next}
	if list.ThisUpdate.After(time.Now()) {
		list.ThisUpdate = time.Now().Add(-time.Minute)
	}
	for _, files := range revoked {
		text, err := os.ReadFile(files.Certificate)
		if err != nil {
			a.t.Fatal(err)
		}
		block, _ := pem.Decode(text)
		list.RevokedCertificateEntries = append(list.RevokedCertificateEntries, x509.RevocationListEntry{
			SerialNumber: parse(a.t, block.Bytes).SerialNumber, RevocationTime: time.Now(),
		})
	}
	for _, option := range options {
		option(list)
	}
	der, err := x509.CreateRevocationList(rand.Reader, list, a.certificate, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return der
}

// Certificate returns the authority's certificate in PEM: its root, or the intermediate that it issues through.
func (a *Authority) Certificate() []byte { return encode("CERTIFICATE", a.certificate.Raw) }

// Option changes a certificate before it is signed.
type Option func(*x509.Certificate)

// Named names URIs in the place of comity://<the authority's state>/<service>.
func Named(uris ...string) Option {
	return func(c *x509.Certificate) {
		c.URIs = nil
		for _, text := range uris {
			uri, err := url.Parse(text)
			if err != nil {
				panic(err)
			}
			c.URIs = append(c.URIs, uri)
		}
	}
}

// Valid limits the certificate's time.
func Valid(from, to time.Time) Option {
	return func(c *x509.Certificate) { c.NotBefore, c.NotAfter = from, to }
}

// Usable limits what the certificate is for; without any usage, it names none.
func Usable(usages ...x509.ExtKeyUsage) Option {
	return func(c *x509.Certificate) { c.ExtKeyUsage = usages }
}

// Issue writes a certificate for the workload comity://<state>/<service>, for servers and clients, valid for an hour.
func (a *Authority) Issue(service string, options ...Option) Files {
	a.t.Helper()
	directory := a.t.TempDir()
	files := Files{Certificate: filepath.Join(directory, "certificate.pem"), Key: filepath.Join(directory, "key.pem")}
	a.Renew(files, service, options...)
	return files
}

// Renew writes another certificate, with another key, to the files of one that was issued before.
func (a *Authority) Renew(files Files, service string, options ...Option) {
	a.t.Helper()
	template := &x509.Certificate{
		SerialNumber: serial(a.t), Subject: pkix.Name{CommonName: service + " of " + a.State},
		NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	Named("comity://" + a.State + "/" + service)(template)
	for _, option := range options {
		option(template)
	}
	key := newKey(a.t)
	der := sign(a.t, template, a.certificate, key, a.key)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	write(a.t, files.Key, encode("PRIVATE KEY", secret))
	write(a.t, files.Certificate, append(encode("CERTIFICATE", der), a.through...))
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func sign(t testing.TB, template, parent *x509.Certificate, key, issuer *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), issuer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func parse(t testing.TB, der []byte) *x509.Certificate {
	t.Helper()
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return certificate
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func write(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
