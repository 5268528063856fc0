package partner

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/sharing"
)

// ReadTrustList reads a trust list that enough of its own officers have signed from a file, see
// [sharing.SignedTrustList]. What they sign is JSON:
//
//	{
//	  "version": 3, "expires": "2027-01-01T00:00:00Z", "graceHours": 168,
//	  "threshold": 2, "officers": [{"name": "A. Jones", "id": "2c26b46b68ffc68f", "publicKey": "…base64 of 32 bytes…"}, …],
//	  "states": [{
//	    "code": "gb", "name": "United Kingdom", "address": "127.0.0.1:8415", "refAreas": ["GB"],
//	    "roots": "-----BEGIN CERTIFICATE-----\n…",
//	    "signingKeys": [{"id": "9f86d081884c7d65", "publicKey": "…base64 of 32 bytes…", "notAfter": "2026-06-01T00:00:00Z"}, …],
//	    "logKey": "comity/gb/log+33d7b496+A…",
//	    "revoked": {"serials": ["1f03"], "publicKeys": []}
//	  }, …]
//	}
//
// Besides what [sharing.ParseTrustList] asks for, every state has an address, roots that are certificates, a signing key
// and a log key.
func ReadTrustList(path string) (*sharing.SignedTrustList, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("reading the trust list: %w", err)
	}
	list, err := openTrustList(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}

func openTrustList(data []byte) (*sharing.SignedTrustList, error) {
	list, err := sharing.OpenTrustList(data)
	if err != nil {
		return nil, err
	}
	for _, trusted := range list.States {
		if err := check(trusted); err != nil {
			return nil, fmt.Errorf("state %s: %w", trusted.Code, err)
		}
	}
	return list, nil
}

func check(trusted sharing.TrustedState) error {
	if _, _, err := net.SplitHostPort(trusted.Address); err != nil {
		return fmt.Errorf("the address %q is not of the form host:port", trusted.Address)
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(trusted.Roots)) {
		return errors.New("the roots hold no certificate in PEM")
	}
	if len(trusted.SigningKeys) == 0 {
		return errors.New("there is no signing key")
	}
	for _, key := range trusted.LogKeys() {
		if _, err := note.NewVerifier(key); err != nil {
			return fmt.Errorf("the log key %q is no note verifier key: %w", key, err)
		}
	}
	return nil
}

// Roots returns, for each state of the list in force, the pool of its own roots; nil for a state that is not on it, and
// for all once the list has ended.
func Roots(trust *sharing.Trust) mtls.Roots {
	var (
		mu    sync.Mutex
		of    *sharing.TrustList
		pools map[string]*x509.CertPool
	)
	return func(state string) *x509.CertPool {
		list := trust.List()
		if list.Ended(time.Now()) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if of != list {
			of, pools = list, poolsOf(list)
		}
		return pools[state]
	}
}

func poolsOf(list *sharing.TrustList) map[string]*x509.CertPool {
	pools := make(map[string]*x509.CertPool, len(list.States))
	for _, trusted := range list.States {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(trusted.Roots))
		pools[string(trusted.Code)] = pool
	}
	return pools
}

// revoked returns why a certificate of a state counts no more by the trust list; nil: it counts.
func revoked(state sharing.TrustedState, certificate *x509.Certificate) error {
	serial := certificate.SerialNumber.Text(16)
	sum := sha256.Sum256(certificate.RawSubjectPublicKeyInfo)
	if slices.Contains(state.Revoked.Serials, serial) || slices.Contains(state.Revoked.PublicKeys, hex.EncodeToString(sum[:])) {
		return fmt.Errorf("the certificate with the serial number %s is revoked", serial)
	}
	return nil
}
