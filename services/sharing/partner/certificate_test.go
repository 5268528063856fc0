package partner_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
)

// lines are what a service has logged.
type lines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write is of io.Writer.
func (l *lines) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(line)
}

// with returns the lines that contain all the parts.
func (l *lines) with(parts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
next:
	for line := range strings.Lines(l.text.String()) {
		for _, part := range parts {
			if !strings.Contains(line, part) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// caught has the state's services log into the returned lines from the next start on.
func (s *state) caught() *lines {
	l := &lines{}
	s.log = slog.New(slog.NewTextHandler(io.MultiWriter(s.t.Output(), l), nil)).With("state", s.code)
	return l
}

// knock shows a certificate to an exchange, says what HTTP/2 begins with, and returns how many bytes of the application came
// back. A cache may hold a session of before, and resumed says whether it was taken up again.
func knock(t *testing.T, address string, files mtlstest.Files, cache tls.ClientSessionCache) (answered int, resumed bool) {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	must(t, err)
	raw, err := net.DialTimeout("tcp", address, 10*time.Second)
	must(t, err)
	defer raw.Close()
	must(t, raw.SetDeadline(time.Now().Add(10*time.Second)))
	connection := tls.Client(raw, &tls.Config{
		InsecureSkipVerify: true, ServerName: "localhost", Certificates: []tls.Certificate{pair}, //nolint:gosec // the test is about the server
		NextProtos: []string{"h2"}, ClientSessionCache: cache,
	})
	_, err = io.WriteString(connection, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
	if err == nil {
		answered, err = connection.Read(make([]byte, 1024))
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal("the exchange neither answers nor refuses")
	}
	return answered, connection.ConnectionState().DidResume
}

// pretender is a server that shows a certificate.
type pretender struct {
	address string
	heard   <-chan int // how many bytes of the application came in at once, of each connection
}

// pretend starts a server that shows a certificate, whoever calls.
func pretend(t *testing.T, files mtlstest.Files) pretender {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	must(t, err)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, NextProtos: []string{"h2"},
	})
	must(t, err)
	heard := make(chan int, 16)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			_ = connection.SetDeadline(time.Now().Add(10 * time.Second))
			n, _ := connection.Read(make([]byte, 1024))
			_ = connection.Close()
			heard <- n
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		running.Wait()
	})
	return pretender{address: listener.Addr().String(), heard: heard}
}

func TestHandshakeIsRefusedForACertificate(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	third, now := mtlstest.NewAuthority(t, "cc"), time.Now()
	root, err := os.ReadFile(third.Root)
	must(t, err)
	aa.next(func(list *sharing.TrustList) {
		cc := list.States[1]
		cc.Code, cc.Roots = "cc", string(root)
		list.States = append(list.States, cc)
	})
	log := aa.caught()
	aa.start()
	// What knock and pretend would hear of whoever is believed.
	for name, files := range map[string]mtlstest.Files{
		"of a partner":                 bb.authority.Issue("sharing"),
		"through an intermediate":      bb.authority.Intermediate(true).Issue("sharing"),
		"of another state on the list": third.Issue("sharing"),
	} {
		if answered, _ := knock(t, aa.exchange, files, nil); answered == 0 {
			t.Fatalf("nothing comes back for a certificate %s", name)
		}
	}
	own := aa.authority.Issue("sharing")
	pair, err := mtls.LoadPair(own.Certificate, own.Key)
	must(t, err)
	courier := partner.NewCourier(partner.NewConnector(aa.trust, pair))
	good := pretend(t, bb.authority.Issue("sharing"))
	bb.proxy.lead(good.address)
	_ = courier.Propose(t.Context(), "bb", sharing.Signed{}) // which that server does not answer
	if <-good.heard == 0 {
		t.Fatal("it does not speak to a partner's server")
	}

	for name, test := range map[string]struct {
		files mtlstest.Files
		why   string // in the log
	}{
		"that has expired":           {bb.authority.Issue("sharing", mtlstest.Valid(now.Add(-2*time.Hour), now.Add(-time.Hour))), "expired or is not yet valid"},
		"that is not valid yet":      {bb.authority.Issue("sharing", mtlstest.Valid(now.Add(time.Hour), now.Add(2*time.Hour))), "expired or is not yet valid"},
		"of an unknown authority":    {mtlstest.NewAuthority(t, "bb").Issue("sharing"), "unknown authority"},
		"of a state not on the list": {mtlstest.NewAuthority(t, "zz").Issue("sharing"), "no root is known"},
		"for signing code":           {bb.authority.Issue("sharing", mtlstest.Usable(x509.ExtKeyUsageCodeSigning)), "not for this use"},
		"whose key must not sign": {bb.authority.Issue("sharing", func(c *x509.Certificate) {
			c.KeyUsage = x509.KeyUsageKeyEncipherment
		}), "not for this use"},
		"through an intermediate that is no authority":            {bb.authority.Intermediate(false).Issue("sharing"), "cannot sign this kind"},
		"with another state's name by this state's authority":     {bb.authority.Issue("sharing", mtlstest.Named("comity://cc/sharing")), "unknown authority"},
		"with the name of this very state by another's authority": {bb.authority.Issue("sharing", mtlstest.Named("comity://aa/sharing")), "unknown authority"},
	} {
		t.Run(name, func(t *testing.T) {
			before := len(log.with("handshake refused", test.why))
			if answered, _ := knock(t, aa.exchange, test.files, nil); answered > 0 {
				t.Errorf("%d bytes come back from the exchange", answered)
			}
			eventually(t, "it logs why", func() bool { return len(log.with("handshake refused", test.why)) > before })

			server := pretend(t, test.files)
			bb.proxy.lead(server.address)
			if err := courier.Propose(t.Context(), "bb", sharing.Signed{}); err == nil {
				t.Error("it speaks to a server that shows it")
			}
			if heard := <-server.heard; heard > 0 {
				t.Errorf("a server that shows it hears %d bytes of the application", heard)
			}
		})
	}
}

func TestRevokedCertificateIsRefusedOnNewConnectionLiveStreamAndResumedSession(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	log := aa.caught()
	aa.start()
	files := bb.authority.Issue("sharing")
	cache := tls.NewLRUClientSessionCache(1)
	for range 2 { // the second would take the first one's session up again
		if answered, resumed := knock(t, aa.exchange, files, cache); answered == 0 || resumed {
			t.Fatalf("before it is revoked %d bytes come back, resumed: %t", answered, resumed)
		}
	}
	stream := hold(t, aa, files)

	began := time.Now()
	aa.next(func(list *sharing.TrustList) {
		list.States[1].Revoked.Serials = []string{serialOf(t, files.Certificate)}
	})
	select {
	case <-stream:
		t.Logf("the live stream was cut after %s", time.Since(began))
	case <-time.After(10 * time.Second):
		t.Fatal("the live stream goes on")
	}
	for _, session := range []tls.ClientSessionCache{nil, cache} {
		before := len(log.with("handshake refused", "revoked"))
		if answered, resumed := knock(t, aa.exchange, files, session); answered > 0 || resumed {
			t.Errorf("%d bytes come back on a new connection, resumed: %t", answered, resumed)
		}
		eventually(t, "it logs why", func() bool { return len(log.with("handshake refused", "revoked")) > before })
	}
}
