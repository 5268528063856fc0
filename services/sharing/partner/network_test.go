package partner_test

import (
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/comity-federation/comity/services/sharing"
)

// once fails unless each release that the state has was stored once, in the order of its stream.
func once(t *testing.T, s *state) {
	t.Helper()
	for release, times := range stored(s) {
		if times != 1 {
			t.Errorf("release %s was stored %d times", release, times)
		}
	}
	received := slices.DeleteFunc(s.deliveries(), func(d sharing.Delivery) bool { return d.Direction != sharing.Received })
	for i, d := range received { // the newest first
		if want := uint64(len(received) - i); d.Sequence != want {
			t.Errorf("batch %d came as number %d", d.Sequence, want)
		}
	}
	proven(s)
}

func TestNetwork(t *testing.T) {
	t.Parallel()
	start := func(t *testing.T, patience time.Duration) (aa, bb *state) {
		t.Helper()
		states := newWorld(t, "aa", "bb")
		aa, bb = states[0], states[1]
		bb.patience = patience
		aa.start()
		bb.start()
		aa.submit(5, 100)
		agree(aa, bb)
		eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })
		return aa, bb
	}

	t.Run("delays, loss, and cuts in the middle of frames keep nothing back for good", func(t *testing.T) {
		t.Parallel()
		aa, bb := start(t, 0)
		for _, s := range []*state{aa, bb} {
			s.proxy.weather.change(func(w *weather) { w.latency, w.loss, w.cuts = 10*time.Millisecond, 0.1, 0.03 })
		}
		for round := range 5 {
			aa.submit(20, float64(110+10*round))
			time.Sleep(500 * time.Millisecond)
		}
		eventually(t, "the last figures arrive", func() bool { return arrived(aa, bb) })
		once(t, bb)
		proven(aa)
	})

	t.Run("a partition is caught up with in order", func(t *testing.T) {
		t.Parallel()
		aa, bb := start(t, 0)
		join := []func(){aa.proxy.weather.part(), bb.proxy.weather.part()}
		before := len(bb.deliveries())
		for round := range 3 {
			aa.submit(5, float64(110+10*round))
			eventually(t, "the release waits", func() bool { return len(aa.deliveries()) == before+1+round })
		}
		if got := len(bb.deliveries()); got != before {
			t.Errorf("%d batches got through", got-before)
		}
		for _, join := range join {
			join()
		}
		eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })
		if got := len(bb.deliveries()); got != before+3 {
			t.Errorf("%d of 3 batches arrived", got-before)
		}
		once(t, bb)
		proven(aa)
	})

	t.Run("a connection that leads nowhere is found by its silence, and the stream goes on with another", func(t *testing.T) {
		t.Parallel()
		aa, bb := start(t, 3*time.Second)
		aa.proxy.weather.forsake()
		aa.submit(5, 110)
		eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })
		once(t, bb)
		proven(aa)
	})
}

// TestNetworkNamespace has the exchange go through a namespace of its own, whose link goes down under it.
func TestNetworkNamespace(t *testing.T) {
	t.Parallel()
	link := newNamespace(t)
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	aa.start()
	aa.proxy.lead(link.relay(t, aa.exchange))
	bb.start()
	aa.submit(5, 100)
	agree(aa, bb)
	eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })

	link.ip(t, "link", "set", link.here, "down")
	before := len(bb.deliveries())
	aa.submit(5, 110)
	eventually(t, "the release waits", func() bool { return len(aa.deliveries()) > before })
	time.Sleep(time.Second)
	if got := len(bb.deliveries()); got != before {
		t.Errorf("%d batches got through", got-before)
	}
	link.ip(t, "link", "set", link.here, "up")
	eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })
	once(t, bb)
	proven(aa)

	t.Run("also through loss and delay", func(t *testing.T) {
		text, err := exec.CommandContext(t.Context(), "tc", "qdisc", "add", "dev", link.here, "root", "netem", "delay", "50ms", "10ms", "loss", "10%").CombinedOutput()
		if err != nil {
			t.Skipf("the kernel has no netem: %v: %s", err, text)
		}
		aa.submit(5, 120)
		eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })
		once(t, bb)
	})
}

// namespace is a network namespace with a link to it.
type namespace struct{ name, here, address string }

// newNamespace makes a network namespace, where this process may.
func newNamespace(t *testing.T) namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	id := os.Getpid() % 32_000
	network := fmt.Sprintf("10.231.%d.", id/125)
	host := 2 * (id % 125)
	n := namespace{name: fmt.Sprintf("comity-%d", id), here: fmt.Sprintf("cmt%d", id), address: network + strconv.Itoa(host+1)}
	there := n.here + "n"
	if text, err := exec.CommandContext(t.Context(), "ip", "netns", "add", n.name).CombinedOutput(); err != nil {
		t.Skipf("this system makes no network namespace: %v: %s", err, text)
	}
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", n.here).Run()
		_ = exec.Command("ip", "netns", "del", n.name).Run()
	})
	if text, err := exec.CommandContext(t.Context(), "ip", "link", "add", n.here, "type", "veth", "peer", "name", there, "netns", n.name).CombinedOutput(); err != nil {
		t.Skipf("this system makes no link into a network namespace: %v: %s", err, text)
	}
	n.ip(t, "address", "add", network+strconv.Itoa(host)+"/31", "dev", n.here)
	n.ip(t, "link", "set", n.here, "up")
	n.ip(t, "-n", n.name, "address", "add", n.address+"/31", "dev", there)
	n.ip(t, "-n", n.name, "link", "set", there, "up")
	return n
}

func (n namespace) ip(t *testing.T, arguments ...string) {
	t.Helper()
	if text, err := exec.CommandContext(t.Context(), "ip", arguments...).CombinedOutput(); err != nil {
		t.Fatalf("ip %v: %v: %s", arguments, err, text)
	}
}

// relay returns an address in the namespace that leads to a target outside of it.
func (n namespace) relay(t *testing.T, target string) string {
	t.Helper()
	listener := n.listen(t)
	var running sync.WaitGroup
	var mu sync.Mutex
	var live []net.Conn
	running.Go(func() {
		for {
			caller, err := listener.Accept()
			if err != nil {
				return
			}
			called, err := net.Dial("tcp", target)
			if err != nil {
				_ = caller.Close()
				continue
			}
			mu.Lock()
			live = append(live, caller, called)
			mu.Unlock()
			for _, way := range [][2]net.Conn{{caller, called}, {called, caller}} {
				running.Go(func() {
					_, _ = io.Copy(way[0], way[1])
					_ = caller.Close()
					_ = called.Close()
				})
			}
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		mu.Lock()
		for _, connection := range live {
			_ = connection.Close()
		}
		mu.Unlock()
		running.Wait()
	})
	return listener.Addr().String()
}

// listen opens a port in the namespace. A socket stays in the namespace of the thread that made it.
func (n namespace) listen(t *testing.T) net.Listener {
	t.Helper()
	type opened struct {
		net.Listener
		err error
	}
	done := make(chan opened)
	go func() {
		runtime.LockOSThread() // and never unlocks it: the thread, which is elsewhere now, ends with the goroutine
		into, err := os.Open("/var/run/netns/" + n.name)
		if err == nil {
			err = unix.Setns(int(into.Fd()), unix.CLONE_NEWNET)
			_ = into.Close()
		}
		if err != nil {
			done <- opened{nil, err}
			return
		}
		listener, err := net.Listen("tcp", net.JoinHostPort(n.address, "0"))
		done <- opened{listener, err}
	}()
	o := <-done
	if o.err != nil {
		t.Skipf("this process may not enter the namespace: %v", o.err)
	}
	return o.Listener
}
