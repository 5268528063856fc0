package mtls

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"google.golang.org/grpc/credentials"
)

// NewServer returns the credentials of a server that shows the pair and wants a certificate of every client. A client
// whose chain is in order but whom accept refuses is turned away in the handshake; a nil accept refuses nobody.
func NewServer(pair *Pair, roots Roots, accept func(Identity) error, options ...Option) credentials.TransportCredentials {
	return newTransport(&transport{pair: pair, roots: roots, usage: x509.ExtKeyUsageClientAuth, accept: accept}, options)
}

// NewClient returns the credentials of a client that shows the pair and talks to no server but the named one.
func NewClient(pair *Pair, roots Roots, server Identity, options ...Option) credentials.TransportCredentials {
	return newTransport(&transport{pair: pair, roots: roots, usage: x509.ExtKeyUsageServerAuth, accept: func(found Identity) error {
		if found != server {
			return fmt.Errorf("%s answers in the place of %s", found, server)
		}
		return nil
	}}, options)
}

func newTransport(t *transport, options []Option) *transport {
	for _, option := range options {
		option(t)
	}
	return t
}

// transport makes a configuration for each handshake, so that it can hand over what VerifyConnection found.
type transport struct {
	pair   *Pair
	roots  Roots
	usage  x509.ExtKeyUsage // of the other end
	accept func(Identity) error

	refused Refusal      // nil: none is
	among   *Connections // nil: nobody keeps the connections
}

// authInfo says who is at the other end of a connection.
type authInfo struct {
	credentials.TLSInfo
	verified
}

func (t *transport) config(found *verified) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// The check is VerifyConnection, which runs in resumed sessions too. The standard one knows one pool of roots
		// for all names, and would let any state's root vouch for every other state.
		InsecureSkipVerify:     true, //nolint:gosec // see above
		ClientAuth:             tls.RequireAnyClientCert,
		SessionTicketsDisabled: true,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return t.pair.Current(), nil
		},
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return t.pair.Current(), nil
		},
		VerifyConnection: func(connection tls.ConnectionState) (err error) {
			if *found, err = verify(connection.PeerCertificates, t.roots, t.usage, t.refused); err != nil {
				return err
			}
			if t.accept != nil {
				return t.accept(found.identity)
			}
			return nil
		},
	}
}

// ClientHandshake is of credentials.TransportCredentials.
func (t *transport) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	var found verified
	conn, info, err := credentials.NewTLS(t.config(&found)).ClientHandshake(ctx, authority, raw)
	return t.finish(raw, conn, info, &found, false, err)
}

// ServerHandshake is of credentials.TransportCredentials.
func (t *transport) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	var found verified
	conn, info, err := credentials.NewTLS(t.config(&found)).ServerHandshake(raw)
	return t.finish(raw, conn, info, &found, true, err)
}

func (t *transport) finish(raw, conn net.Conn, info credentials.AuthInfo, found *verified, guest bool, err error) (net.Conn, credentials.AuthInfo, error) {
	if err != nil {
		return nil, nil, err
	}
	tlsInfo, ok := info.(credentials.TLSInfo)
	if !ok || found.notAfter.Equal(time.Time{}) {
		_ = conn.Close()
		return nil, nil, fmt.Errorf("handshake ended without a verified peer")
	}
	if t.among != nil {
		kept := &connection{Conn: conn, raw: raw, peer: found.identity, guest: guest, still: func() (time.Time, error) {
			now, err := verify(tlsInfo.State.PeerCertificates, t.roots, t.usage, t.refused)
			return now.notAfter, err
		}}
		if err := t.among.add(kept); err != nil {
			return nil, nil, err
		}
		conn = kept
	}
	return conn, authInfo{TLSInfo: tlsInfo, verified: *found}, nil
}

// Info is of credentials.TransportCredentials.
func (t *transport) Info() credentials.ProtocolInfo {
	return credentials.NewTLS(t.config(&verified{})).Info()
}

// Clone is of credentials.TransportCredentials.
func (t *transport) Clone() credentials.TransportCredentials {
	clone := *t
	return &clone
}

// OverrideServerName is of credentials.TransportCredentials. The server is known by its URI, so there is nothing to
// override.
func (t *transport) OverrideServerName(string) error { return nil }
