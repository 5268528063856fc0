package partner

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/sharing"
)

// ReadTrustList reads the trust list of the state from a JSON file:
//
//	{"states": [{
//	  "code": "gb", "name": "United Kingdom", "address": "127.0.0.1:8415", "refAreas": ["GB"],
//	  "roots": "-----BEGIN CERTIFICATE-----\n…",
//	  "signingKeys": [{"id": "9f86d081884c7d65", "publicKey": "…base64 of 32 bytes…"}],
//	  "logKey": "comity/gb/log+33d7b496+A…"
//	}, …]}
//
// Besides what [sharing.ParseTrustList] asks for, every state has an address, roots that are certificates, a signing key
// and a log key, and the state itself is on the list; with state "", whoever reads it need not be.
func ReadTrustList(path string, state sharing.StateCode) (*sharing.TrustList, error) {
	data, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, fmt.Errorf("reading the trust list: %w", err)
	}
	list, err := sharing.ParseTrustList(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, trusted := range list.States {
		if err := check(trusted); err != nil {
			return nil, fmt.Errorf("%s: state %s: %w", path, trusted.Code, err)
		}
	}
	if _, ok := list.State(state); state != "" && !ok {
		return nil, fmt.Errorf("%s: this state, %s, is not on the list", path, state)
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
	if _, err := note.NewVerifier(trusted.LogKey); err != nil {
		return fmt.Errorf("the log key is no note verifier key: %w", err)
	}
	return nil
}

// Roots returns, for each state of the list, the pool of its own roots; nil for a state that is not on it.
func Roots(list *sharing.TrustList) mtls.Roots {
	pools := make(map[string]*x509.CertPool, len(list.States))
	for _, trusted := range list.States {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM([]byte(trusted.Roots))
		pools[string(trusted.Code)] = pool
	}
	return func(state string) *x509.CertPool { return pools[state] }
}
