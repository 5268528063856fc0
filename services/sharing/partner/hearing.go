package partner

import (
	"context"
	"time"

	"golang.org/x/sync/semaphore"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
)

// hearing takes what a partner says on a stream, ahead of what is done about it, and bounds how much that can be.
type hearing struct {
	stream   exchangepb.ExchangeService_SyncClient
	silence  *time.Timer   // runs while the partner is waited for
	patience time.Duration // with it
	said     chan *exchangepb.SyncResponse
	failed   error               // why no more is heard; once said is closed
	room     *semaphore.Weighted // for bytes of envelopes
}

// newHearing returns a hearing of the stream. It calls silent where the partner says nothing for so long.
func newHearing(stream exchangepb.ExchangeService_SyncClient, patience time.Duration, silent func()) *hearing {
	silence := time.AfterFunc(patience, silent)
	silence.Stop()
	return &hearing{
		stream: stream, silence: silence, patience: patience, said: make(chan *exchangepb.SyncResponse, window), room: semaphore.NewWeighted(maxUnkept),
	}
}

// run hears until the stream or the context ends.
func (h *hearing) run(ctx context.Context) {
	defer close(h.said)
	defer h.silence.Stop()
	for {
		h.silence.Reset(h.patience)
		said, err := h.stream.Recv()
		h.silence.Stop() // the time that we take is not the partner's
		if err == nil {
			err = h.room.Acquire(ctx, weight(said))
		}
		if err != nil {
			h.failed = err
			return
		}
		select {
		case h.said <- said:
		case <-ctx.Done():
			h.failed = ctx.Err()
			return
		}
	}
}

// weight returns how much of the room a message takes.
func weight(said *exchangepb.SyncResponse) int64 {
	return min(int64(len(said.GetEnvelope())), maxUnkept)
}

// next returns the envelopes that were heard one behind the other, after waiting for the first, and the message after
// those where it is none; nil: nothing else was heard yet.
func (h *hearing) next() (envelopes [][]byte, other *exchangepb.SyncResponse, err error) {
	size := int64(0)
	said, open := <-h.said
	for open {
		h.room.Release(weight(said))
		if said.GetEnvelope() == nil {
			return envelopes, said, nil
		}
		size += weight(said)
		if envelopes = append(envelopes, said.GetEnvelope()); len(envelopes) == window || size >= maxUnkept {
			return envelopes, nil, nil
		}
		select {
		case said, open = <-h.said:
		default:
			return envelopes, nil, nil
		}
	}
	if len(envelopes) > 0 {
		return envelopes, nil, nil
	}
	return nil, nil, h.failed
}
