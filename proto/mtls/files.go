package mtls

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"sync"
)

// Pair is a certificate and its private key in two PEM files. It may be used from several goroutines.
type Pair struct {
	certificateFile, keyFile string

	mu               sync.Mutex
	certificate, key []byte
	current          *tls.Certificate
}

// LoadPair reads a certificate, followed by its intermediates, and its private key.
func LoadPair(certificate, key string) (*Pair, error) {
	p := &Pair{certificateFile: certificate, keyFile: key}
	if _, err := p.reload(); err != nil {
		return nil, err
	}
	return p, nil
}

// Current returns the certificate as the files have it now. While they hold no whole pair, as in the moment between
// writing one and the other, it returns the last one that they held.
func (p *Pair) Current() *tls.Certificate {
	current, err := p.reload()
	if err != nil {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.current
	}
	return current
}

// Identity returns the workload that the certificate names.
func (p *Pair) Identity() (Identity, error) {
	return identify(p.Current().Leaf)
}

func (p *Pair) reload() (*tls.Certificate, error) {
	certificate, err := os.ReadFile(p.certificateFile)
	if err != nil {
		return nil, fmt.Errorf("reading the certificate: %w", err)
	}
	key, err := os.ReadFile(p.keyFile)
	if err != nil {
		return nil, fmt.Errorf("reading the private key: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil && bytes.Equal(certificate, p.certificate) && bytes.Equal(key, p.key) {
		return p.current, nil
	}
	pair, err := tls.X509KeyPair(certificate, key)
	if err != nil {
		return nil, fmt.Errorf("reading %s and %s: %w", p.certificateFile, p.keyFile, err)
	}
	p.certificate, p.key, p.current = certificate, key, &pair
	return p.current, nil
}

// RootFile returns roots for one state from a PEM file. A file that cannot be read any more, or holds no certificate,
// leaves the last roots in place.
func RootFile(state, path string) (Roots, error) {
	var (
		mu      sync.Mutex
		content []byte
		pool    *x509.CertPool
	)
	load := func() error {
		now, err := os.ReadFile(path) //nolint:gosec // the operator names the file
		if err != nil {
			return fmt.Errorf("reading the roots of %s: %w", state, err)
		}
		if pool != nil && bytes.Equal(now, content) {
			return nil
		}
		fresh := x509.NewCertPool()
		if !fresh.AppendCertsFromPEM(now) {
			return fmt.Errorf("reading the roots of %s: %s holds no certificate", state, path)
		}
		content, pool = now, fresh
		return nil
	}
	if err := load(); err != nil {
		return nil, err
	}
	return func(asked string) *x509.CertPool {
		if asked != state {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		_ = load() // the last roots stay
		return pool
	}, nil
}

// Check says why a peer that trusts the roots would refuse the pair's certificate for the usage.
func (p *Pair) Check(roots Roots, usage x509.ExtKeyUsage) error {
	chain := make([]*x509.Certificate, 0, len(p.Current().Certificate))
	for _, raw := range p.Current().Certificate {
		certificate, err := x509.ParseCertificate(raw)
		if err != nil {
			return fmt.Errorf("parsing a certificate: %w", err)
		}
		chain = append(chain, certificate)
	}
	_, err := verify(chain, roots, usage, nil)
	return err
}
