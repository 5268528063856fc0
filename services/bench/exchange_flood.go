package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

const (
	drawEvery = 500 * time.Millisecond // of each partner that keeps to its place
	drawFor   = 15 * time.Second
)

// flood measures how long a draw takes the others while one partner stands still and one asks for everything all the time,
// against how long it takes without them. The partners are in this process, so the flood takes its share of the machine as well.
func (x *exchange) flood(ctx context.Context) error {
	h, err := x.newHub(ctx, "flood")
	if err != nil {
		return err
	}
	defer h.end()
	slow, flooding, others := h.guests[0], h.guests[1], h.guests[2:]
	alone, err := h.drawRegularly(ctx, others)
	if err != nil {
		return err
	}
	beside, stop := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer stop()
	var refused atomic.Int64
	for _, run := range []func() error{func() error { return h.standStill(beside, slow) }, func() error { return h.floodWith(beside, flooding, &refused) }} {
		work.Go(func() {
			if err := run(); err != nil && beside.Err() == nil {
				x.table.fail("a partner that floods", err)
			}
		})
	}
	flooded, err := h.drawRegularly(ctx, others)
	if err != nil {
		return err
	}
	if refused.Load() == 0 {
		return errors.New("the flood was not refused once, so it was none")
	}
	x.table.note(fmt.Sprintf("p99 of %d partners that draw, while one stands still and one floods, against without", len(others)),
		fmt.Sprintf("%s for %s", milliseconds(flooded), milliseconds(alone)), fmt.Sprintf("%.2f", flooded.Seconds()/alone.Seconds()))
	return nil
}

// drawRegularly has the guests draw all that is theirs, twice a second, and returns the 99th percentile of the time that it takes.
func (h *hub) drawRegularly(ctx context.Context, guests []*guest) (p99 time.Duration, err error) {
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	var drawing sync.WaitGroup
	end := time.Now().Add(drawFor)
	for i, g := range guests {
		connection, err := h.connect(g)
		if err != nil {
			return 0, err
		}
		defer connection.Close() //nolint:errcheck // all is drawn
		client := exchangepb.NewExchangeServiceClient(connection)
		drawing.Go(func() {
			time.Sleep(drawEvery * time.Duration(i) / time.Duration(len(guests))) // not all at once
			for time.Now().Before(end) {
				begin := time.Now()
				err := h.drawOnce(ctx, g, client)
				mu.Lock()
				took, failed = append(took, time.Since(begin)), errors.Join(failed, err)
				mu.Unlock()
				if err != nil {
					return
				}
				time.Sleep(time.Until(begin.Add(drawEvery)))
			}
		})
	}
	drawing.Wait()
	if failed != nil {
		return 0, failed
	}
	slices.Sort(took)
	return took[len(took)*99/100], nil
}

// standStill has a guest ask for everything, and take nothing, until ctx ends.
func (h *hub) standStill(ctx context.Context, g *guest) error {
	connection, err := h.connect(g)
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // nothing is said
	stream, err := exchangepb.NewExchangeServiceClient(connection).Sync(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Resume{Resume: g.start()}})
	_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Credit{Credit: envelopes}})
	<-ctx.Done()
	return nil
}

// floodWith has a guest fetch and open streams as fast as it can, until ctx ends, and counts how often it is refused.
func (h *hub) floodWith(ctx context.Context, g *guest, refused *atomic.Int64) error {
	connection, err := h.connect(g)
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // all was said
	client := exchangepb.NewExchangeServiceClient(connection)
	fetch := func() error {
		_, err := client.Fetch(ctx, &exchangepb.FetchRequest{Resume: g.start()})
		return err
	}
	open := func() error { return h.drawOnce(ctx, g, client) }
	var flooding sync.WaitGroup
	var strange atomic.Pointer[error]
	for _, call := range []func() error{fetch, fetch, open, open} {
		flooding.Go(func() {
			for ctx.Err() == nil && strange.Load() == nil {
				switch err := call(); {
				case status.Code(err) == codes.ResourceExhausted:
					refused.Add(1)
				case err != nil && ctx.Err() == nil:
					strange.Store(&err)
				}
			}
		})
	}
	flooding.Wait()
	if err := strange.Load(); err != nil {
		return fmt.Errorf("the one that floods: %w", *err)
	}
	return nil
}

// start is the beginning of the stream to a guest.
func (g *guest) start() *exchangepb.Cursor {
	return wire.Cursor(sharing.Cursor{Stream: sharing.StreamName(state, g.code)})
}
