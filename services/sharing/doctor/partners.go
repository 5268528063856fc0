package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
)

// dialTimeout is how long a partner may take to answer.
const dialTimeout = 10 * time.Second

// partners calls every partner as the service does, all at once.
func (e *examiner) partners(ctx context.Context) {
	if e.trust == nil || e.pair == nil {
		return
	}
	found := make([]examiner, len(e.trust.States))
	var calls sync.WaitGroup
	for i, state := range e.trust.States {
		if state.Code == e.state {
			continue
		}
		found[i] = *e
		found[i].findings = nil
		calls.Go(func() { found[i].partner(ctx, state) })
	}
	calls.Wait()
	for _, one := range found {
		e.findings = append(e.findings, one.findings...)
	}
}

// partner calls a partner: first to see its certificate, then to see whether it believes ours.
func (e *examiner) partner(ctx context.Context, state sharing.TrustedState) {
	const check = "partner"
	subject := fmt.Sprintf("%s at %s", state.Code, state.Address)
	chain, err := e.shown(ctx, state.Address)
	if network := net.Error(nil); err != nil && (errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded)) {
		e.fail(check, subject, fmt.Sprintf("it cannot be reached: %v", err),
			"see whether the address is right on both ends and no firewall is between; ask its operator whether the node runs")
		return
	}
	if err != nil {
		e.fail(check, subject, fmt.Sprintf("it does not complete a handshake of TLS 1.3: %v", err), "ask its operator whether the exchange listens there, and not something else")
		return
	}
	trust := sharing.NewTrust(e.trust)
	who, notAfter, err := mtls.Verify(chain, partner.Roots(trust), x509.ExtKeyUsageServerAuth, nil)
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case e.trust.Ended(e.now):
		return // that is said already, and nobody is believed
	case errors.As(err, &unknown):
		e.fail(check, subject, fmt.Sprintf("wrong root: its certificate, issued by %q, does not hang from the roots of %s on the trust list: %v", chain[0].Issuer, state.Code, err),
			"ask its operator by another way whether its authority changed; if so the officers sign the new root in, if not somebody else answers there")
		return
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		e.fail(check, subject, fmt.Sprintf("its certificate, valid from %s to %s, does not count now", stamp(chain[0].NotBefore), stamp(chain[0].NotAfter)),
			"tell its operator to renew it; if the time looks right, look at this machine's clock")
		return
	case err != nil || who != (mtls.Identity{State: string(state.Code), Service: "sharing"}):
		e.fail(check, subject, fmt.Sprintf("it shows a certificate that does not count: %s, %v", who, err), "ask its operator which certificate its sharing service has")
		return
	}
	e.ends(check, subject, "its certificate", notAfter, "tell its operator to renew it")

	before := time.Now()
	described, err := partner.NewConnector(trust, e.pair).Describe(ctx, state.Code)
	took := time.Since(before)
	if err != nil {
		e.fail(check, subject, fmt.Sprintf("it refuses this node: %s", status.Convert(err).Message()),
			"ask its operator for the line in its log: its trust list may be older, lack this state's root, or have this certificate as revoked, or its access policy refuses")
		return
	}
	if described.GetAnswerTime() == nil {
		return // an older node
	}
	skew := described.GetAnswerTime().AsTime().Sub(before.Add(took / 2))
	if off := skew.Abs(); off >= e.limits.Skew {
		problem := fmt.Sprintf("its clock differs from ours by %s", skew.Round(time.Millisecond))
		advice := "see that both machines follow a time server: compare this one with a third (chronyc tracking, or timedatectl)"
		if off >= fatalSkew {
			e.fail(check, subject, problem+", so that keys and lists begin and end at the wrong time", advice)
		} else {
			e.warn(check, subject, problem, advice)
		}
	}
}

// shown returns the certificates that a server shows. It believes nothing yet.
func (e *examiner) shown(ctx context.Context, address string) ([]*x509.Certificate, error) {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	dialer := &tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{"h2"}, Certificates: []tls.Certificate{*e.pair.Current()},
		InsecureSkipVerify: true, //nolint:gosec // the certificate is what is examined
	}}
	connection, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	defer connection.Close() //nolint:errcheck // nothing was said
	return connection.(*tls.Conn).ConnectionState().PeerCertificates, nil
}
