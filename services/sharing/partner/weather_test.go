package partner_test

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"
)

// weather is what connections go through. The zero value lets everything pass.
type weather struct {
	mu      sync.Mutex
	latency time.Duration // of everything
	loss    float64       // of packets, which are then sent again, and keep back what follows
	cuts    float64       // of packets in the middle of which the connection is reset
	apart   chan struct{} // closed when a partition ends; nil: there is none
	deaf    int           // connections of before this generation lead nowhere, and nobody is told
	began   int           // the generation of the next connection
}

const resend = 200 * time.Millisecond // as TCP waits before it sends again

func (w *weather) change(to func(*weather)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	to(w)
}

// part lets nothing through until the returned function is called. What was sent meanwhile arrives then.
func (w *weather) part() (join func()) {
	apart := make(chan struct{})
	w.change(func(w *weather) { w.apart = apart })
	return sync.OnceFunc(func() {
		w.change(func(w *weather) { w.apart = nil })
		close(apart)
	})
}

// forsake lets the connections that there are lead nowhere from now on, as if the other end had lost its power.
func (w *weather) forsake() { w.change(func(w *weather) { w.began++; w.deaf = w.began }) }

// over returns the connection as it is in this weather.
func (w *weather) over(connection net.Conn) net.Conn {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &weathered{Conn: connection, weather: w, generation: w.began, closed: make(chan struct{})}
}

// weathered is a connection that delays, keeps back, swallows or cuts what is written to it.
type weathered struct {
	net.Conn
	weather    *weather
	generation int
	once       sync.Once
	closed     chan struct{}
}

var errCut = errors.New("the connection was reset")

func (c *weathered) Write(packet []byte) (int, error) {
	w := c.weather
	w.mu.Lock()
	wait, apart, deaf := w.latency, w.apart, c.generation < w.deaf
	if rand.Float64() < w.loss {
		wait += resend
	}
	cut := rand.Float64() < w.cuts
	w.mu.Unlock()
	if deaf {
		return len(packet), nil
	}
	if apart != nil {
		select {
		case <-apart:
		case <-c.closed:
			return 0, net.ErrClosed
		}
	}
	select {
	case <-time.After(wait):
	case <-c.closed:
		return 0, net.ErrClosed
	}
	if cut {
		n, _ := c.Conn.Write(packet[:len(packet)/2])
		_ = c.Close()
		return n, errCut
	}
	return c.Conn.Write(packet)
}

// Close closes the connection, of which the other end hears nothing where it leads nowhere.
func (c *weathered) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}
