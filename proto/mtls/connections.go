package mtls

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// Connections are those alive that were made with credentials [Among] them, so that the ones whose other end is believed
// no more can be cut. Its methods may be called from several goroutines.
type Connections struct {
	mu   sync.Mutex
	live map[*connection]bool
}

// NewConnections returns connections, of which there are none yet.
func NewConnections() *Connections { return &Connections{live: map[*connection]bool{}} }

// Cut is a connection that was ended.
type Cut struct {
	Peer   Identity
	Reason error
}

// Recheck looks at the certificates of all connections again, as if they were shown just now, and cuts the connections where
// they would be refused.
func (c *Connections) Recheck() (cut []Cut) {
	for _, conn := range c.all() {
		if err := conn.recheck(); err != nil {
			cut = append(cut, Cut{conn.peer, err})
		}
	}
	return cut
}

// CutGuests cuts the connections that workloads of the state made to this one, or those of all states with "". What waits in
// their buffers does not go. They may connect again: whether they get anything is for whoever serves them to say.
func (c *Connections) CutGuests(state string) {
	c.mu.Lock()
	var guests []*connection
	for conn := range c.live {
		if conn.guest && (state == "" || state == conn.peer.State) {
			guests = append(guests, conn)
		}
	}
	c.mu.Unlock()
	for _, conn := range guests {
		conn.cut()
	}
}

// Expire cuts the connections with a certificate that has expired at the time. It looks at nothing else, and so takes next to
// no time.
func (c *Connections) Expire(at time.Time) (cut []Cut) {
	for _, conn := range c.all() {
		c.mu.Lock()
		end := conn.notAfter
		c.mu.Unlock()
		if !end.IsZero() && at.After(end) { // zero: it is being added
			conn.cut()
			cut = append(cut, Cut{conn.peer, fmt.Errorf("its certificate expired at %s", end.Format(time.RFC3339))})
		}
	}
	return cut
}

func (c *Connections) all() []*connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Collect(maps.Keys(c.live))
}

// connection is a connection with what it takes to end it.
type connection struct {
	net.Conn // of TLS
	raw      net.Conn
	peer     Identity
	guest    bool                                   // the other end made it
	still    func() (notAfter time.Time, err error) // says why the other end is believed no more, or until when it is
	among    *Connections
	notAfter time.Time // guarded by among.mu
}

// add keeps a connection until it is closed. What changed since its handshake counts for it too.
func (c *Connections) add(conn *connection) error {
	conn.among = c
	c.mu.Lock()
	c.live[conn] = true
	c.mu.Unlock()
	return conn.recheck()
}

// recheck cuts the connection if the other end is believed no more, and says why.
func (c *connection) recheck() error {
	notAfter, err := c.still()
	if err != nil {
		c.cut()
		return err
	}
	c.among.mu.Lock()
	c.notAfter = notAfter
	c.among.mu.Unlock()
	return nil
}

// Close is of net.Conn.
func (c *connection) Close() error {
	c.forget()
	return c.Conn.Close()
}

// cut ends the connection at once: what was written and is still on its way is dropped. TLS would say goodbye first, and
// wait for a peer that does not read.
func (c *connection) cut() {
	c.forget()
	if tcp, ok := c.raw.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // where it fails, the connection is broken already
	}
	_ = c.raw.Close()
}

func (c *connection) forget() {
	c.among.mu.Lock()
	delete(c.among.live, c)
	c.among.mu.Unlock()
}
