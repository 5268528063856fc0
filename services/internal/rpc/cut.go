package rpc

import (
	"context"
	"net"
	"sync"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/comity-federation/comity/proto/mtls"
)

// Cut breaks the connections that workloads of other states have to the exchange port: those of the state, or all with "".
// What waits in their buffers does not go. They may connect again: whether they get anything is for what they call to say.
func (s *Server) Cut(state string) { s.guests.cut(state) }

// connections are those of a port that are open.
type connections struct {
	mu   sync.Mutex
	open map[*connection]string // the state at the other end
}

// connection is one that is forgotten when it is closed.
type connection struct {
	net.Conn
	raw net.Conn
	all *connections
}

// keep returns the connection over raw, known until it is closed.
func (c *connections) keep(conn, raw net.Conn, info credentials.AuthInfo) net.Conn {
	state, _, _ := mtls.Peer(peer.NewContext(context.Background(), &peer.Peer{AuthInfo: info}))
	kept := &connection{Conn: conn, raw: raw, all: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*connection]string{}
	}
	c.open[kept] = state
	return kept
}

// Close closes the connection.
func (c *connection) Close() error {
	c.all.mu.Lock()
	delete(c.all.open, c)
	c.all.mu.Unlock()
	return c.Conn.Close()
}

// cut breaks the connections with the state, or all with "".
func (c *connections) cut(state string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for kept, with := range c.open {
		if state != "" && state != with {
			continue
		}
		if tcp, ok := kept.raw.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // what the system still holds is thrown away
		}
		_ = kept.raw.Close() // whoever reads or writes ends, and closes the rest
	}
}
