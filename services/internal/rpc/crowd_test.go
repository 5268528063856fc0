package rpc_test

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
)

// connections returns how many connections the node says that its exchange has.
func (n *node) connections(t *testing.T) int {
	t.Helper()
	found := regexp.MustCompile(`comity_rpc_connections\{[^}]*\} (\d+)`).FindStringSubmatch(get(t, "http://"+n.OpsAddress()+"/metrics").body)
	if found == nil {
		t.Fatal("the number of connections is not told")
	}
	count, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	return count
}

// idle opens a connection to the exchange, shows a certificate, says that it speaks HTTP/2, and nothing more.
func (n *node) idle(t *testing.T, files mtlstest.Files) net.Conn {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(files.Certificate, files.Key)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tls.Dial("tcp", n.ExchangeAddress(), &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, NextProtos: []string{"h2"}, InsecureSkipVerify: true, //nolint:gosec // what the node is matters to no test here
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_, err = conn.Write([]byte(http2.ClientPreface))
	if err = errors.Join(err, http2.NewFramer(conn, conn).WriteSettings()); err != nil {
		t.Fatal(err)
	}
	return conn
}

// descriptors returns how many of so many connections this process may hold.
func descriptors(t *testing.T, wanted int) int {
	t.Helper()
	const others = 1_000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if limit.Cur < 2*others { // the runtime has raised it as far as it may
		t.Skipf("this process may open %d files", limit.Cur)
	}
	if limit.Cur < uint64(wanted+others) {
		wanted = int(limit.Cur) - others
		t.Logf("this process may open %d files: %d connections", limit.Cur, wanted)
	}
	return wanted
}

func TestThousandsOfIdleConnectionsTakeABoundedNumberOfPlaces(t *testing.T) {
	const places, ofState = 512 + 2*32, 32 // of strangers, and of two states
	n := start(t)
	count := descriptors(t, 5_000)
	files := n.gb.Issue("sharing")
	served := func(state string, files mtlstest.Files) {
		t.Helper()
		if _, err := exchangepb.NewExchangeServiceClient(n.dial(t, n.ExchangeAddress(), files)).Describe(t.Context(), &exchangepb.DescribeRequest{}); err != nil {
			t.Errorf("%s is not served: %v", state, err)
		}
	}
	steady := exchangepb.NewExchangeServiceClient(n.dial(t, n.ExchangeAddress(), files))
	stream, err := steady.Sync(t.Context()) // which must last
	if err != nil {
		t.Fatal(err)
	}
	said := func() {
		t.Helper()
		err := stream.Send(&exchangepb.SyncRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if err != nil {
			t.Errorf("a stream that was there before ends: %v", err)
		}
	}
	said()
	runtime.GC()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	routines := runtime.NumGoroutine()

	var mu sync.Mutex
	var held []net.Conn
	defer func() {
		for _, conn := range held {
			_ = conn.Close()
		}
	}()
	from := &net.Dialer{}
	if runtime.GOOS == "linux" { // where the loopback has more addresses than one
		from.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	}
	silent := func(count int) {
		var dialing sync.WaitGroup
		for range 8 {
			dialing.Go(func() {
				for range count / 8 {
					conn, err := from.DialContext(t.Context(), "tcp", n.ExchangeAddress())
					if err != nil {
						t.Errorf("connecting: %v", err)
						return
					}
					mu.Lock()
					held = append(held, conn)
					mu.Unlock()
				}
			})
		}
		dialing.Wait()
	}
	for range 10 {
		silent(count / 10)
		served("a partner", n.fr.Issue("sharing"))
		said()
		if got := n.connections(t); got > places {
			t.Fatalf("there are %d connections, with places for %d", got, places)
		}
	}
	var idle []net.Conn
	for range 3 * ofState { // of the state that also has a stream
		idle = append(idle, n.idle(t, files))
	}
	served("a partner", n.fr.Issue("sharing"))
	served("the one with many connections", files)
	said()
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapInuse) - int64(before.HeapInuse); grown > 64<<20 {
		t.Errorf("they take %d MiB", grown>>20)
	}
	if more := runtime.NumGoroutine() - routines; more > 10*places {
		t.Errorf("they take %d goroutines", more)
	}
	for i := range len(idle) - ofState { // the oldest go
		_ = idle[i].SetReadDeadline(time.Now().Add(20 * time.Second))
		for err := error(nil); err == nil; {
			if _, err = idle[i].Read(make([]byte, 1<<16)); errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatalf("a state keeps connection %d of %d", i, len(idle))
			}
		}
	}
}

func TestGarbageInsteadOfHTTP2EndsTheConnectionAlone(t *testing.T) {
	n := start(t)
	files := n.gb.Issue("sharing")
	partner := exchangepb.NewExchangeServiceClient(n.dial(t, n.ExchangeAddress(), n.fr.Issue("sharing")))
	for name, garbage := range map[string][]byte{
		"a frame of a length beyond all": {0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1},
		"headers that cannot be read":    {0, 0, 4, 1, 5, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff},
		"settings that are none":         {0, 0, 5, 4, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5},
	} {
		t.Run(name, func(t *testing.T) {
			conn := n.idle(t, files)
			for range 1_000 {
				if _, err := conn.Write(garbage); err != nil {
					break
				}
			}
			_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
			for {
				if _, err := conn.Read(make([]byte, 1<<16)); errors.Is(err, os.ErrDeadlineExceeded) {
					t.Fatal("the connection stays")
				} else if err != nil {
					break
				}
			}
			if _, err := partner.Describe(t.Context(), &exchangepb.DescribeRequest{}); status.Code(err) != codes.OK {
				t.Errorf("another partner hears %v", err)
			}
		})
	}
}
