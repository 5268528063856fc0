package rpc

import (
	"context"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// What a partner may ask of the exchange. The limits are each partner's own: who reaches one slows nobody else down.
const (
	callsPerSecond = 20
	callsAtOnce    = 100 // in a burst
	syncsAtOnce    = 4   // streams that are open
	bytesPerSecond = 32 << 20
	bytesAtOnce    = 4 << 20 // more than an envelope has

	refusalPause = 100 * time.Millisecond // before it is said that there were too many, so that a flood of calls costs little
)

// limits are what the partners have asked for.
type limits struct {
	mu       sync.Mutex // guards what follows
	partners map[sharing.StateCode]*allowance
}

// allowance is what is left to a partner.
type allowance struct {
	calls *rate.Limiter
	bytes *rate.Limiter
	syncs chan struct{} // holds an element for each open stream
}

// of returns the allowance of a partner.
func (l *limits) of(partner sharing.StateCode) *allowance {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.partners == nil {
		l.partners = map[sharing.StateCode]*allowance{}
	}
	if l.partners[partner] == nil {
		l.partners[partner] = &allowance{
			calls: rate.NewLimiter(callsPerSecond, callsAtOnce), bytes: rate.NewLimiter(bytesPerSecond, bytesAtOnce),
			syncs: make(chan struct{}, syncsAtOnce),
		}
	}
	return l.partners[partner]
}

// call takes one call, or says when there may be another one.
func (a *allowance) call(ctx context.Context) error {
	next := a.calls.Reserve()
	if wait := next.Delay(); wait > 0 {
		next.Cancel()
		return exhausted(ctx, "CALLS", max(wait, time.Millisecond), "more than %d calls a second", callsPerSecond)
	}
	return nil
}

// open takes one stream, which close gives back.
func (a *allowance) open(ctx context.Context) (end func(), err error) {
	select {
	case a.syncs <- struct{}{}:
		return func() { <-a.syncs }, nil
	default:
		return nil, exhausted(ctx, "STREAMS", time.Second, "more than %d streams are open", syncsAtOnce)
	}
}

// exhausted keeps the caller waiting a little, and returns that it has reached a limit.
func exhausted(ctx context.Context, limit string, after time.Duration, format string, args ...any) error {
	select {
	case <-ctx.Done():
	case <-time.After(refusalPause):
	}
	wrong := fault.New(fault.Exhausted, "LIMIT_EXCEEDED", format, args...).With("limit", limit)
	wrong.RetryAfter = after
	return wrong
}
