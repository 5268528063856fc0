package tck

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/sharing"
)

const beat = 5 * time.Second // between the kit's heartbeats

// session is a stream of envelopes that the node draws from the kit.
type session struct {
	stream exchangepb.ExchangeService_SyncServer
	cursor *exchangepb.Cursor
	ended  chan struct{} // closed when the node is heard no more
	finish chan error    // makes the kit end it
	mouth  sync.Mutex    // held while something is said

	mu       sync.Mutex
	credit   uint64
	spent    uint64
	receipts []*receipt
	changed  chan struct{} // closed when something of this has changed
}

// receipt is a receipt of the node's, as it came.
type receipt struct {
	signed *exchangepb.Signed
	said   *exchangepb.Receipt
	err    error // why it is none
}

func newSession(stream exchangepb.ExchangeService_SyncServer, cursor *exchangepb.Cursor) *session {
	return &session{
		stream: stream, cursor: cursor, ended: make(chan struct{}), finish: make(chan error, 1), changed: make(chan struct{}),
	}
}

// serve listens to the node until the stream ends.
func (s *session) serve(d *desk) error {
	go func() {
		defer close(s.ended)
		for {
			said, err := s.stream.Recv()
			if err != nil {
				return
			}
			s.hear(d, said)
		}
	}()
	heartbeat := time.NewTicker(beat)
	defer heartbeat.Stop()
	for {
		select {
		case <-s.ended:
			return nil
		case err := <-s.finish:
			return err
		case <-heartbeat.C:
			_ = s.say(&exchangepb.SyncResponse{Part: &exchangepb.SyncResponse_Heartbeat{Heartbeat: &exchangepb.Heartbeat{}}})
		}
	}
}

// hear takes what the node says.
func (s *session) hear(d *desk, said *exchangepb.SyncRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch part := said.GetPart().(type) {
	case *exchangepb.SyncRequest_Credit:
		s.credit += uint64(part.Credit)
	case *exchangepb.SyncRequest_Receipt:
		r := d.kit.openReceipt(part.Receipt)
		if r.err != nil {
			d.note("receipt", r.err)
		}
		s.receipts = append(s.receipts, r)
	default:
		d.note("cursor", errors.New("it says a second cursor, or nothing, on a stream"))
	}
	close(s.changed)
	s.changed = make(chan struct{})
}

// openReceipt reads a receipt, and says what is wrong with it.
func (k *kit) openReceipt(signed *exchangepb.Signed) *receipt {
	r := &receipt{signed: signed, said: &exchangepb.Receipt{}}
	if err := proto.Unmarshal(signed.GetPayload(), r.said); err != nil {
		r.err = fmt.Errorf("a receipt cannot be read: %w", err)
		return r
	}
	if err := k.verify(sharing.ReceiptType, signed); err != nil {
		r.err = fmt.Errorf("a receipt: %w", err)
		return r
	}
	switch said := r.said; {
	case said.GetSender() != string(k.own.Code) || said.GetReceiver() != string(k.peer.Code) || said.GetStream() != k.toNode():
		r.err = fmt.Errorf("a receipt is about the stream %q from %q to %q", said.GetStream(), said.GetSender(), said.GetReceiver())
	case said.GetReceiveTime().CheckValid() != nil:
		r.err = errors.New("a receipt has no time")
	}
	return r
}

// of returns the receipts for an envelope, among those that have come.
func (s *session) of(envelope []byte) []*receipt {
	sum := sha256.Sum256(envelope)
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*receipt
	for _, r := range s.receipts {
		if slices.Equal(r.said.GetEnvelopeSha256(), sum[:]) {
			found = append(found, r)
		}
	}
	return found
}

// at returns the receipt for the envelope, or else for its place; nil: none has come.
func (s *session) at(envelope []byte) *receipt {
	if found := s.of(envelope); len(found) > 0 {
		return found[0]
	}
	read, header := &exchangepb.Envelope{}, &exchangepb.Header{}
	if proto.Unmarshal(envelope, read) != nil || proto.Unmarshal(read.GetHeader().GetPayload(), header) != nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.receipts {
		if r.said.GetEpoch() == header.GetEpoch() && r.said.GetSequence() == header.GetSequence() {
			return r
		}
	}
	return nil
}

// await waits until it holds, the stream ends or ctx does. It reports whether it held.
func (s *session) await(ctx context.Context, holds func() bool) bool {
	for {
		s.mu.Lock()
		changed := s.changed
		s.mu.Unlock()
		if holds() {
			return true
		}
		select {
		case <-changed:
		case <-s.ended:
			return holds()
		case <-ctx.Done():
			return false
		}
	}
}

func (s *session) say(said *exchangepb.SyncResponse) error {
	s.mouth.Lock()
	defer s.mouth.Unlock()
	return s.stream.Send(said)
}

// send sends an envelope once the node has credit for it.
func (s *session) send(ctx context.Context, envelope []byte) error {
	granted := s.await(ctx, func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.spent < s.credit
	})
	if !granted {
		return errors.New("the node gives no credit")
	}
	s.mu.Lock()
	s.spent++
	s.mu.Unlock()
	if err := s.say(&exchangepb.SyncResponse{Part: &exchangepb.SyncResponse_Envelope{Envelope: envelope}}); err != nil {
		s.awaitEnd()
		return err
	}
	return nil
}

// awaitEnd waits for the end of a stream that breaks.
func (s *session) awaitEnd() {
	select {
	case <-s.ended:
	case <-time.After(promptly):
	}
}

// over reports whether the stream has ended.
func (s *session) over() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// session returns the stream that the node holds open. Where there is none, the node is told that there is something to
// fetch, until it comes or patience has run out.
func (k *kit) session(ctx context.Context) (*session, error) {
	k.desk.mu.Lock()
	live := k.desk.live
	k.desk.mu.Unlock()
	if live != nil && !live.over() {
		return live, nil
	}
	timeout := time.NewTimer(k.patience)
	defer timeout.Stop()
	for {
		k.notify(ctx)
		select {
		case s := <-k.desk.sessions:
			if !s.over() {
				return s, nil
			}
		case <-time.After(500 * time.Millisecond):
		case <-timeout.C:
			return nil, fmt.Errorf("the node opens no stream at %s within %s, though it is told that there is something to fetch", k.own.Address, k.patience)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// cut cuts the node's connections, and returns when its stream has ended.
func (k *kit) cut() {
	k.desk.mu.Lock()
	live := k.desk.live
	k.desk.mu.Unlock()
	k.desk.front.show(k.leaf, tls.VersionTLS13)
	if live != nil {
		live.awaitEnd()
	}
}

// notify tells the node that there is something to fetch.
func (k *kit) notify(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, promptly)
	defer cancel()
	_, _ = k.client.Notify(ctx, &exchangepb.NotifyRequest{Head: &exchangepb.Cursor{Stream: k.toNode(), Epoch: k.line.epoch, Sequence: k.line.sequence + 1}})
}
