package tck

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
)

const most = 16 // envelopes that are looked at

// drawn are envelopes that the node provides, in their order.
type drawn struct {
	envelopes [][]byte
	headers   []*exchangepb.Header
	signed    []*exchangepb.Envelope
}

// cursor returns the place of an envelope; before the first: that of who has nothing.
func (k *kit) cursor(i int) *exchangepb.Cursor {
	if i < 0 {
		return &exchangepb.Cursor{Stream: k.toKit()}
	}
	h := k.drawn.headers[i]
	return &exchangepb.Cursor{Stream: k.toKit(), Epoch: h.GetEpoch(), Sequence: h.GetSequence()}
}

// draw returns what the node provides from the beginning of its stream on, at most a few. It asks once in a run.
func (k *kit) draw(ctx context.Context) (*drawn, error) {
	if k.drawn == nil {
		return k.drawAll(ctx, 1)
	}
	return k.drawn, nil
}

// drawTwo is draw for who needs two envelopes at least.
func (k *kit) drawTwo(ctx context.Context) (*drawn, error) {
	if d, err := k.draw(ctx); err != nil || len(d.envelopes) > 1 {
		return d, err
	}
	if !k.waited {
		k.waited = true
		k.Say(fmt.Sprintf("%s has provided one envelope; the kit waits for a second one: somebody submits a figure more under agreement %s",
			k.peer.Code, k.provided.terms.ID))
		if d, err := k.drawAll(ctx, 2); err != nil || len(d.envelopes) > 1 {
			return d, err
		}
	}
	return nil, skipped("%s provides one envelope only, and nothing follows that", k.peer.Code)
}

// drawAll asks for envelopes, and waits patiently for the first few.
func (k *kit) drawAll(ctx context.Context, few int) (*drawn, error) {
	s, err := k.open(ctx, k.connection, resume(&exchangepb.Cursor{Stream: k.toKit()}), credit(most))
	if err != nil {
		return nil, err
	}
	defer s.leave()
	d := &drawn{}
	for len(d.envelopes) < most {
		wait := k.Quiet
		if len(d.envelopes) < few {
			wait = k.patience
		}
		said, err := s.next(wait)
		if errors.Is(err, errNothing) {
			break
		}
		if err != nil {
			return nil, err
		}
		if said.GetResync() != nil {
			continue
		}
		data := said.GetEnvelope()
		envelope, header := &exchangepb.Envelope{}, &exchangepb.Header{}
		if err := proto.Unmarshal(data, envelope); err != nil {
			return nil, fmt.Errorf("an envelope cannot be read: %w", err)
		}
		if err := proto.Unmarshal(envelope.GetHeader().GetPayload(), header); err != nil {
			return nil, fmt.Errorf("a header cannot be read: %w", err)
		}
		d.envelopes, d.headers, d.signed = append(d.envelopes, data), append(d.headers, header), append(d.signed, envelope)
	}
	if len(d.envelopes) == 0 {
		return nil, skipped("%s provides nothing under agreement %s: it has no such figures, or none that may go", k.peer.Code, k.provided.terms.ID)
	}
	k.drawn = d
	return d, nil
}

// errNothing says that nothing came in time.
var errNothing = errors.New("nothing comes")

// calling is a stream of envelopes that the kit draws from the node.
type calling struct {
	stream grpc.BidiStreamingClient[exchangepb.SyncRequest, exchangepb.SyncResponse]
	leave  context.CancelFunc
	said   chan *exchangepb.SyncResponse // what the node says, but for heartbeats
	heard  chan struct{}                 // closed when it has said something, or has ended the stream

	mu    sync.Mutex
	beats int
	err   error // why the stream has ended, once said is closed
}

func resume(cursor *exchangepb.Cursor) *exchangepb.SyncRequest {
	return &exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Resume{Resume: cursor}}
}

func credit(n uint32) *exchangepb.SyncRequest {
	return &exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Credit{Credit: n}}
}

func receipted(signed *exchangepb.Signed) *exchangepb.SyncRequest {
	return &exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Receipt{Receipt: signed}}
}

// open opens a stream and says the words. Where the node limits how often it is called, it is called again later.
func (k *kit) open(ctx context.Context, connection grpc.ClientConnInterface, words ...*exchangepb.SyncRequest) (*calling, error) {
	for end := time.Now().Add(limited); ; {
		c, err := k.openOnce(ctx, connection, words...)
		if err != nil {
			return nil, err
		}
		select {
		case <-c.heard:
		case <-time.After(max(k.Quiet/2, 250*time.Millisecond)): // it has nothing to say
		}
		c.mu.Lock()
		pause := retryDelay(c.err)
		c.mu.Unlock()
		if pause == 0 || time.Now().Add(pause).After(end) || ctx.Err() != nil {
			return c, nil
		}
		c.leave()
		time.Sleep(pause)
	}
}

func (k *kit) openOnce(ctx context.Context, connection grpc.ClientConnInterface, words ...*exchangepb.SyncRequest) (*calling, error) {
	ctx, cancel := context.WithCancel(ctx)
	stream, err := exchangepb.NewExchangeServiceClient(connection).Sync(ctx)
	if err != nil {
		cancel()
		return nil, err
	}
	c := &calling{stream: stream, leave: cancel, said: make(chan *exchangepb.SyncResponse, 64), heard: make(chan struct{})}
	go c.listen(ctx)
	for _, word := range words {
		if err := stream.Send(word); err != nil {
			break // why it takes no more is what it says
		}
	}
	return c, nil
}

func (c *calling) listen(ctx context.Context) {
	defer close(c.said)
	for first := true; ; first = false {
		said, err := c.stream.Recv()
		c.mu.Lock()
		c.err = err
		if said.GetHeartbeat() != nil {
			c.beats++
		}
		c.mu.Unlock()
		if first {
			close(c.heard)
		}
		if err != nil {
			return
		}
		if said.GetHeartbeat() != nil {
			continue
		}
		select {
		case c.said <- said:
		case <-ctx.Done():
			return
		}
	}
}

// next returns what the node says next; errNothing where it says nothing for so long; io.EOF, or a status, where it has
// ended the stream.
func (c *calling) next(wait time.Duration) (*exchangepb.SyncResponse, error) {
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case said, ok := <-c.said:
		if ok {
			return said, nil
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		return nil, c.err
	case <-timeout.C:
		return nil, errNothing
	}
}

// envelope returns the envelope that comes next.
func (c *calling) envelope(wait time.Duration) ([]byte, error) {
	said, err := c.next(wait)
	switch {
	case errors.Is(err, io.EOF):
		return nil, errors.New("it ends the stream")
	case err != nil:
		return nil, err
	case said.GetEnvelope() == nil:
		return nil, fmt.Errorf("%v comes, and no envelope", said)
	}
	return said.GetEnvelope(), nil
}

func (c *calling) heartbeats() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.beats
}

// idle is a stream on which the kit says nothing after its first words.
type idle struct {
	calling    *calling
	connection *grpc.ClientConn
	began      time.Time
}

func (i *idle) end() {
	i.calling.leave()
	_ = i.connection.Close()
}

// watch begins what takes its time, while other cases run.
func (k *kit) watch(ctx context.Context, cases []Case) {
	for _, c := range cases {
		if c.ID != "sync.heartbeat" {
			continue
		}
		connection, err := k.dial(k.leaf)
		if err != nil {
			return
		}
		stream, err := k.open(ctx, connection, resume(&exchangepb.Cursor{Stream: k.toKit()}))
		if err != nil {
			_ = connection.Close()
			return
		}
		k.idle = &idle{calling: stream, connection: connection, began: time.Now()}
	}
}

func hash(data []byte) []byte {
	sum := sha256.Sum256(data)
	return sum[:]
}
