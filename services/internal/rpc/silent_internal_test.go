package rpc

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/health"

	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
)

func TestAConnectionThatSaysNothingIsCut(t *testing.T) {
	us := mtlstest.NewAuthority(t, "us")
	files := us.Issue("sharing")
	pair, err := mtls.LoadPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	s := &Server{log: slog.New(slog.DiscardHandler), registry: registry, metrics: newMetrics(registry), health: health.NewServer()}
	l := exchangeLimits
	l.handshake = 200 * time.Millisecond
	p := s.newPort("127.0.0.1:0", l, mtls.NewServer(pair, func(string) *x509.CertPool { return us.Pool() }, nil))
	listener, err := net.Listen("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = p.server.Serve(listener) }()
	defer p.server.Stop()

	silent, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	shown, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	known, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{shown}, NextProtos: []string{"h2"}, InsecureSkipVerify: true, //nolint:gosec // what the node is matters to no test here
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]net.Conn{"without a handshake": silent, "after its handshake": known} {
		_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
		for {
			if _, err := conn.Read(make([]byte, 1<<10)); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("%s, the connection stays", name)
			} else if err != nil {
				break
			}
		}
		_ = conn.Close()
	}
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		p.crowd.mu.Lock()
		left := len(p.crowd.byAddress) + len(p.crowd.strangers) + len(p.crowd.known)
		p.crowd.mu.Unlock()
		if left == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d connections are held to be there", left)
		}
	}
}
