package rpc

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/comity-federation/comity/proto/mtls"
)

// crowd bounds the connections of a port. One too many makes another give way: of those that have not shown yet who they are,
// the oldest from the address that has most; of a state's, the one on which nothing was called for the longest time. So
// whoever opens many pushes out its own, and who comes anew is let in.
type crowd struct {
	most room

	mu        sync.Mutex // guards what follows, and what visitors say
	strangers []*visitor // the oldest first
	known     map[string][]*visitor
	byAddress map[string]*visitor // both ends' addresses

	cut prometheus.Counter
}

// room is how many connections a port has room for.
type room struct {
	strangers int // that have not shown who they are
	ofState   int // of those that have
}

// visitor is a connection.
type visitor struct {
	raw     net.Conn
	address string // without its port
	state   string // "": it has not shown who it is
	calls   int    // under way
	called  time.Time
	cut     bool
}

var errCrowd = errors.New("the connection gave way to another one: there were too many")

func newCrowd(most room, address string, registry prometheus.Registerer) *crowd {
	c := &crowd{most: most, known: map[string][]*visitor{}, byAddress: map[string]*visitor{}}
	labels := prometheus.Labels{"address": address}
	c.cut = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "comity_rpc_connections_cut_total", Help: "Connections that gave way to others, by the address listened on.", ConstLabels: labels,
	})
	registry.MustRegister(c.cut, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "comity_rpc_connections", Help: "Connections that there are, by the address listened on.", ConstLabels: labels,
	}, func() float64 {
		c.mu.Lock()
		defer c.mu.Unlock()
		return float64(len(c.byAddress))
	}))
	return c
}

// enter takes a connection in that has not shown who it is.
func (c *crowd) enter(raw net.Conn) *visitor {
	v := &visitor{raw: raw, address: raw.RemoteAddr().String()}
	if host, _, err := net.SplitHostPort(v.address); err == nil {
		v.address = host
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.byAddress[ends(raw.LocalAddr(), raw.RemoteAddr())] = v
	c.strangers = append(c.strangers, v)
	if len(c.strangers) > c.most.strangers {
		c.push(c.fromTheBusiest())
	}
	return v
}

// fromTheBusiest returns the oldest stranger from the address that most are from.
func (c *crowd) fromTheBusiest() *visitor {
	count := map[string]int{}
	for _, s := range c.strangers {
		count[s.address]++
	}
	return slices.MaxFunc(c.strangers, func(a, b *visitor) int { return count[a.address] - count[b.address] }) // the first of them
}

// prove notes of which state a connection is.
func (c *crowd) prove(v *visitor, state string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.cut {
		return errCrowd
	}
	if all := c.known[state]; len(all) >= c.most.ofState {
		idle := slices.DeleteFunc(slices.Clone(all), func(k *visitor) bool { return k.calls > 0 })
		if len(idle) == 0 {
			return errCrowd
		}
		c.push(slices.MinFunc(idle, func(a, b *visitor) int { return a.called.Compare(b.called) }))
	}
	c.strangers = slices.DeleteFunc(c.strangers, func(s *visitor) bool { return s == v })
	v.state, v.called = state, time.Now()
	c.known[state] = append(c.known[state], v)
	return nil
}

// push makes a connection give way. The lock is held.
func (c *crowd) push(v *visitor) {
	v.cut = true
	c.forget(v)
	c.cut.Inc()
	_ = v.raw.Close()
}

// leave forgets a connection that has ended, and returns why it has.
func (c *crowd) leave(v *visitor, err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.forget(v)
	if v.cut {
		return errCrowd
	}
	return err
}

func (c *crowd) forget(v *visitor) {
	is := func(other *visitor) bool { return other == v }
	c.strangers = slices.DeleteFunc(c.strangers, is)
	if left := slices.DeleteFunc(c.known[v.state], is); len(left) > 0 {
		c.known[v.state] = left
	} else {
		delete(c.known, v.state)
	}
	if key := ends(v.raw.LocalAddr(), v.raw.RemoteAddr()); c.byAddress[key] == v {
		delete(c.byAddress, key)
	}
}

// calling notes that a call is under way on its connection, until the returned function is called.
func (c *crowd) calling(ctx context.Context) (end func()) {
	from, ok := peer.FromContext(ctx)
	if c == nil || !ok || from.LocalAddr == nil {
		return func() {}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.byAddress[ends(from.LocalAddr, from.Addr)]
	if v == nil {
		return func() {}
	}
	v.calls++
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		v.calls--
		v.called = time.Now()
	}
}

// ends names a connection.
func ends(local, remote net.Addr) string { return local.String() + " " + remote.String() }

// crowded are credentials that keep a port from more connections than it has room for.
type crowded struct {
	credentials.TransportCredentials
	crowd *crowd
}

// ServerHandshake is of credentials.TransportCredentials.
func (c crowded) ServerHandshake(raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	v := c.crowd.enter(raw)
	conn, info, err := c.TransportCredentials.ServerHandshake(raw)
	if err == nil {
		state, _, _ := mtls.Peer(peer.NewContext(context.Background(), &peer.Peer{AuthInfo: info}))
		if err = c.crowd.prove(v, state); err != nil {
			_ = conn.Close()
		}
	}
	if err != nil {
		return nil, nil, c.crowd.leave(v, err)
	}
	return visiting{Conn: conn, leave: sync.OnceFunc(func() { _ = c.crowd.leave(v, nil) })}, info, nil
}

// Clone is of credentials.TransportCredentials.
func (c crowded) Clone() credentials.TransportCredentials {
	c.TransportCredentials = c.TransportCredentials.Clone()
	return c
}

// visiting is a connection that is forgotten when it ends.
type visiting struct {
	net.Conn
	leave func()
}

// Close is of net.Conn.
func (v visiting) Close() error {
	v.leave()
	return v.Conn.Close()
}
