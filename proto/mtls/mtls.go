// Package mtls gives credentials for mutual TLS.
package mtls

import "crypto/x509"

// Roots returns the roots that may anchor certificates of a state; nil: none may.
type Roots func(state string) *x509.CertPool
