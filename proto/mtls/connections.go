package mtls

import (
	"net"
	"sync"
)

// Connections are those alive that were made with credentials [Among] them, so that the ones whose other end is believed
// no more can be cut. Its methods may be called from several goroutines.
type Connections struct {
	mu   sync.Mutex
	live map[*connection]bool
}

// NewConnections returns connections, of which there are none yet.
func NewConnections() *Connections { return &Connections{live: map[*connection]bool{}} }

// Recheck looks at the certificates of all connections again, as if they were shown just now, cuts the connections where
// they would be refused, and returns why, by the workload at the other end.
func (c *Connections) Recheck() map[Identity]error {
	c.mu.Lock()
	all := make([]*connection, 0, len(c.live))
	for conn := range c.live {
		all = append(all, conn)
	}
	c.mu.Unlock()
	cut := map[Identity]error{}
	for _, conn := range all {
		if err := conn.still(); err != nil {
			conn.cut()
			cut[conn.peer] = err
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

// connection is a connection with what it takes to end it.
type connection struct {
	net.Conn // of TLS
	raw      net.Conn
	peer     Identity
	guest    bool         // the other end made it
	still    func() error // says why the other end is believed no more; nil: it is
	among    *Connections
}

// add keeps a connection until it is closed. What changed since its handshake counts for it too.
func (c *Connections) add(conn *connection) error {
	conn.among = c
	c.mu.Lock()
	c.live[conn] = true
	c.mu.Unlock()
	if err := conn.still(); err != nil {
		conn.cut()
		return err
	}
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
