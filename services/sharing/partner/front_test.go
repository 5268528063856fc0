package partner_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
)

// front stands before a server. It passes everything on as it is; with gullible set, it ends TLS itself, believes
// whoever comes, and goes on to the server in the name of somebody whom that believes.
type front struct {
	listener net.Listener
	target   string

	mu       sync.Mutex
	gullible *gullible // nil: it passes on
	most     int       // connections at once, beyond which nobody is answered; 0: any number
	live     int
}

// gullible believes everybody: who comes in, and who answers.
type gullible struct{ inward, outward *tls.Config }

func newGullible(shows, as tls.Certificate) *gullible {
	return &gullible{
		inward: &tls.Config{
			Certificates: []tls.Certificate{shows}, MinVersion: tls.VersionTLS12, ClientAuth: tls.RequestClientCert, NextProtos: []string{"h2"},
		},
		outward: &tls.Config{
			Certificates: []tls.Certificate{as}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2"},
			InsecureSkipVerify: true, //nolint:gosec // that is the defect
		},
	}
}

func newFront(t *testing.T, target string) *front {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	f := &front{listener: listener, target: target}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			caller, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() { f.serve(caller) })
		}
	})
	t.Cleanup(func() { _ = listener.Close() })
	return f
}

func (f *front) address() string { return f.listener.Addr().String() }

// set makes the next connections be served so.
func (f *front) set(g *gullible, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.gullible, f.most = g, most
}

func (f *front) serve(caller net.Conn) {
	defer caller.Close()
	f.mu.Lock()
	f.live++
	g, silent := f.gullible, f.most > 0 && f.live > f.most
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.live--
	}()
	if silent {
		_, _ = io.Copy(io.Discard, caller)
		return
	}
	if g == nil {
		if called, err := net.Dial("tcp", f.target); err == nil {
			pipe(caller, called)
		}
		return
	}
	called, err := tls.Dial("tcp", f.target, g.outward)
	if err != nil {
		return
	}
	reader := bufio.NewReader(caller)
	first, err := reader.Peek(1)
	if err != nil {
		_ = called.Close()
		return
	}
	spoken := net.Conn(peeked{caller, reader})
	if first[0] == 0x16 { // the record of a handshake
		spoken = tls.Server(spoken, g.inward)
	}
	pipe(spoken, called)
}

// peeked is a connection of which something was read already.
type peeked struct {
	net.Conn
	reader io.Reader
}

// Read is of net.Conn.
func (p peeked) Read(into []byte) (int, error) { return p.reader.Read(into) }

// pipe carries everything both ways until one of them ends.
func pipe(one, other net.Conn) {
	var both sync.WaitGroup
	for _, way := range [][2]net.Conn{{one, other}, {other, one}} {
		both.Go(func() {
			_, _ = io.Copy(way[1], way[0])
			_ = one.Close()
			_ = other.Close()
		})
	}
	both.Wait()
}
