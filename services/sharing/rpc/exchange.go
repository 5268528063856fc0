package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// Version is the version of the protocol that this node speaks.
const Version = 1

const (
	heartbeatInterval = 10 * time.Second // how long a stream is silent at most
	helloTimeout      = 20 * time.Second // how long a receiver may take to say where it stands
	maxCredit         = 1 << 16          // what a receiver can ask for ahead
	maxFetch          = 2<<20 - 16<<10   // bytes that a Fetch answers at most: a message of the exchange holds 2 MiB
)

// Node is what the exchange asks of this state's domain. [sharing.Service] is one. The partner is the caller, as its
// certificate names it.
type Node interface {
	Head(ctx context.Context, partner sharing.StateCode) (sharing.Cursor, error)
	Outgoing(ctx context.Context, partner sharing.StateCode, after sharing.Cursor, limit int) ([]sharing.Outgoing, error)
	OutgoingChanged(partner sharing.StateCode) <-chan struct{}
	AcceptReceipts(ctx context.Context, from sharing.StateCode, receipts []sharing.Signed) error
	ReleaseAnew(ctx context.Context, partner sharing.StateCode, agreements []sharing.AgreementID) error
	Checkpoint(ctx context.Context) (checkpoint, verifierKey string, err error)
	Witness(ctx context.Context, from sharing.StateCode, checkpoint string, oldSize int64, proof [][]byte) (cosigned string, seen int64, err error)
	ReceiveProposal(ctx context.Context, from sharing.StateCode, agreement sharing.Signed) error
	ReceiveAnswer(ctx context.Context, from sharing.StateCode, agreement sharing.Signed) error
	ReceiveTermination(ctx context.Context, from sharing.StateCode, termination sharing.Signed) error
	ReceiveWithdrawal(ctx context.Context, from sharing.StateCode, withdrawal sharing.Signed) error
	ReceiveAmendment(ctx context.Context, from sharing.StateCode, amendment sharing.Signed) error
	SharedDataflows(ctx context.Context) ([]string, error)
}

var _ Node = (*sharing.Service)(nil)

// Exchange is the ExchangeService.
type Exchange struct {
	exchangepb.UnimplementedExchangeServiceServer
	state     sharing.StateCode
	node      Node
	notified  func(partner sharing.StateCode)
	log       *slog.Logger
	heartbeat time.Duration
	limits    limits

	closing sync.Once
	closed  chan struct{}
}

// NewExchange returns the ExchangeService of the state. Notified is called when a partner says that it has something
// for us; it must not block.
func NewExchange(state sharing.StateCode, node Node, notified func(partner sharing.StateCode), log *slog.Logger) *Exchange {
	return &Exchange{
		state: state, node: node, notified: notified, log: log,
		heartbeat: heartbeatInterval, closed: make(chan struct{}),
	}
}

// Run keeps the exchange open until ctx ends. Then every stream ends, so that the server can stop gracefully.
func (e *Exchange) Run(ctx context.Context) error {
	<-ctx.Done()
	e.closing.Do(func() { close(e.closed) })
	return nil
}

// caller returns the partner that calls, from nothing but its certificate, unless it calls too often.
func (e *Exchange) caller(ctx context.Context) (sharing.StateCode, error) {
	caller := rpc.CallerFrom(ctx)
	partner := sharing.StateCode(caller.State)
	if partner == "" || partner == e.state || caller.Service != "sharing" {
		return "", fault.New(fault.Denied, "ACCESS_DENIED", "only the sharing services of other states exchange here")
	}
	return partner, e.limits.of(partner).call(ctx)
}

// Describe says who answers.
func (e *Exchange) Describe(ctx context.Context, _ *exchangepb.DescribeRequest) (*exchangepb.DescribeResponse, error) {
	partner, err := e.caller(ctx)
	if err != nil {
		return nil, err
	}
	head, err := e.node.Head(ctx, partner)
	if err != nil {
		return nil, err
	}
	checkpoint, _, err := e.node.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	return &exchangepb.DescribeResponse{
		State: string(e.state), ProtocolVersions: []uint32{Version}, Head: wire.Cursor(head), Checkpoint: checkpoint,
		AnswerTime: timestamppb.Now(), Dataflows: e.dataflows(ctx),
	}, nil
}

// dataflows returns the shared dataflows that this node has; none while the statistics do not answer.
func (e *Exchange) dataflows(ctx context.Context) []string {
	dataflows, err := e.node.SharedDataflows(ctx)
	if err != nil {
		e.log.WarnContext(ctx, "asking which dataflows are shared", "error", err)
	}
	return dataflows
}

// Sync sends envelopes as long as the receiver stays, never more than it gave credit for. What the receiver says is
// taken in its order: a receiver that gives credit for the next envelope only behind the receipt for one before never
// has more receipts on their way than the credit that it began with.
//
// Envelopes are asked for only when there is credit for them and those before are on their way: however slow its reader is,
// a stream holds no more than [Node.Outgoing] returns at once. What may have changed since, such as an agreement that has
// ended, is looked at before each of them.
func (e *Exchange) Sync(stream exchangepb.ExchangeService_SyncServer) error {
	partner, err := e.caller(stream.Context())
	if err != nil {
		return err
	}
	end, err := e.limits.of(partner).open(stream.Context())
	if err != nil {
		return err
	}
	defer end()
	s := &syncing{
		Exchange: e, stream: stream, partner: partner, said: make(chan *exchangepb.SyncRequest, maxUnheard),
		hello: make(chan sharing.Cursor, 1), credit: make(chan struct{}, 1), left: make(chan error, 1),
	}
	ended := make(chan error, 1)
	go func() {
		ended <- s.hear()
		close(s.said)
	}()
	go func() {
		err := s.listen()
		if err == nil {
			err = <-ended
		}
		s.left <- err
	}()
	return s.send()
}

// syncing is a stream of envelopes to a partner. One goroutine hears what the partner says, one acts on it, one sends.
type syncing struct {
	*Exchange
	stream  grpc.BidiStreamingServer[exchangepb.SyncRequest, exchangepb.SyncResponse]
	partner sharing.StateCode

	said   chan *exchangepb.SyncRequest // what was heard and not acted on
	hello  chan sharing.Cursor          // where the receiver stands: once
	credit chan struct{}                // holds one element while granted may have grown
	left   chan error                   // why the receiver is heard no more: once; nil: it has left

	mu      sync.Mutex
	granted uint64 // how many more envelopes the receiver can take
}

// maxUnheard bounds what a receiver may have said before it is acted on.
const maxUnheard = 64

// hear takes what the receiver says until it leaves, or the stream ends.
func (s *syncing) hear() error {
	for {
		said, err := s.stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case s.said <- said:
		case <-s.stream.Context().Done():
			return s.stream.Context().Err()
		}
	}
}

// listen acts on what the receiver says until it leaves. Receipts that came one behind the other are kept together, and
// before what was said after them.
func (s *syncing) listen() error {
	first := true
	var receipts []sharing.Signed
	credit := uint64(0)
	for {
		said, open := <-s.said
		for open {
			switch part := said.GetPart().(type) {
			case *exchangepb.SyncRequest_Resume:
				if !first {
					return fault.InvalidField("resume", "is said once, first")
				}
				s.hello <- wire.CursorFromProto(part.Resume)
			case *exchangepb.SyncRequest_Credit:
				if first {
					return fault.InvalidField("resume", "must come first")
				}
				credit = min(credit+uint64(part.Credit), maxCredit)
			case *exchangepb.SyncRequest_Receipt:
				if first {
					return fault.InvalidField("resume", "must come first")
				}
				receipts = append(receipts, wire.SignedFromProto(part.Receipt))
			default:
				if first {
					return fault.InvalidField("resume", "must come first")
				}
				return fault.InvalidField("part", "is missing")
			}
			first = false
			if len(receipts) >= maxUnheard {
				break
			}
			select {
			case said, open = <-s.said:
				continue
			default:
			}
			break
		}
		if len(receipts) > 0 {
			if err := s.node.AcceptReceipts(s.stream.Context(), s.partner, receipts); err != nil {
				return err
			}
		}
		if credit > 0 {
			s.grant(credit)
		}
		if !open {
			return nil
		}
		receipts, credit = nil, 0
	}
}

// grant adds credit.
func (s *syncing) grant(credit uint64) {
	s.mu.Lock()
	s.granted = min(s.granted+credit, maxCredit)
	s.mu.Unlock()
	select {
	case s.credit <- struct{}{}:
	default: // the sender is told already
	}
}

// affordable returns how many envelopes the receiver can take.
func (s *syncing) affordable() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.granted) //nolint:gosec // it is at most maxCredit
}

// spend takes one credit. Only the sender spends, so what it saw granted is still there.
func (s *syncing) spend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.granted--
}

// resume waits for the receiver to say where it stands.
func (s *syncing) resume() (sharing.Cursor, error) {
	timeout := time.NewTimer(helloTimeout)
	defer timeout.Stop()
	select {
	case cursor := <-s.hello:
		if stream := sharing.StreamName(s.state, s.partner); cursor.Stream != stream {
			return sharing.Cursor{}, fault.InvalidField("resume.stream", "is not %q", stream)
		}
		return cursor, nil
	case err := <-s.left:
		if err == nil {
			err = fault.InvalidField("resume", "must come first")
		}
		return sharing.Cursor{}, err
	case <-timeout.C:
		return sharing.Cursor{}, fault.InvalidField("resume", "did not come in %s", helloTimeout)
	case <-s.closed:
		return sharing.Cursor{}, closing()
	}
}

// send sends until the receiver leaves or the exchange closes.
func (s *syncing) send() error {
	after, err := s.resume()
	if err != nil {
		return err
	}
	ctx := s.stream.Context()
	heartbeat := time.NewTicker(s.heartbeat)
	defer heartbeat.Stop()
	for {
		changed := s.node.OutgoingChanged(s.partner)
		more, err := s.next(ctx, changed, &after)
		if err != nil {
			return err
		}
		if stop, err := s.stopped(); stop {
			return err
		}
		if more {
			continue
		}
		select {
		case <-changed:
		case <-s.credit:
		case <-heartbeat.C: // then also asks again: another process on this store may have put something out
			head, err := s.node.Head(ctx, s.partner)
			if err != nil {
				return err
			}
			if err := s.stream.Send(&exchangepb.SyncResponse{Part: &exchangepb.SyncResponse_Heartbeat{
				Heartbeat: &exchangepb.Heartbeat{Head: head.Sequence},
			}}); err != nil {
				return err
			}
		case err := <-s.left:
			return err
		case <-s.closed:
			return closing()
		}
	}
}

// next sends the next envelopes after the cursor and moves the cursor there, until there is no credit or something has
// changed. It reports whether there may be more to send now. A cursor that does not fit the stream is mended, and the
// receiver told.
func (s *syncing) next(ctx context.Context, changed <-chan struct{}, after *sharing.Cursor) (more bool, err error) {
	limit := s.affordable()
	if limit == 0 {
		return false, nil
	}
	next, err := s.node.Outgoing(ctx, s.partner, *after, limit)
	if resync, ok := errors.AsType[*sharing.ResyncError](err); ok {
		if resync.From == *after {
			return false, fmt.Errorf("the stream to %s cannot go on from where it says: %w", s.partner, err)
		}
		s.log.WarnContext(ctx, "a partner's cursor does not fit its stream", "partner", s.partner,
			"epoch", after.Epoch, "sequence", after.Sequence, "from_epoch", resync.From.Epoch, "from_sequence", resync.From.Sequence)
		*after = resync.From
		return true, s.stream.Send(&exchangepb.SyncResponse{Part: &exchangepb.SyncResponse_Resync{Resync: wire.Cursor(resync.From)}})
	}
	if err != nil {
		return false, fmt.Errorf("asking for what goes to %s: %w", s.partner, err)
	}
	for i, one := range next {
		if i > 0 {
			select {
			case <-changed: // what is left may not go any more
				return true, nil
			case <-s.closed:
				return true, nil
			default:
			}
		}
		if err := s.limits.of(s.partner).bytes.WaitN(ctx, min(len(one.Envelope), bytesAtOnce)); err != nil {
			return false, err
		}
		s.spend()
		if err := s.stream.Send(&exchangepb.SyncResponse{Part: &exchangepb.SyncResponse_Envelope{Envelope: one.Envelope}}); err != nil {
			return false, err
		}
		if err := advance(after, one); err != nil {
			return false, err
		}
	}
	return len(next) > 0, nil
}

// advance moves the cursor to the envelope. A receiver that had nothing begins without an epoch; the envelope has it.
func advance(cursor *sharing.Cursor, sent sharing.Outgoing) error {
	cursor.Sequence = sent.Sequence
	if cursor.Epoch != "" {
		return nil
	}
	var codec wire.Codec
	envelope, err := codec.DecodeEnvelope(sent.Envelope)
	if err != nil {
		return fmt.Errorf("reading an envelope of ours: %w", err)
	}
	header, err := codec.DecodeHeader(envelope.Header.Payload)
	if err != nil {
		return fmt.Errorf("reading a header of ours: %w", err)
	}
	cursor.Epoch = header.Epoch
	return nil
}

// stopped reports whether the stream is over, without waiting.
func (s *syncing) stopped() (bool, error) {
	select {
	case err := <-s.left:
		return true, err
	case <-s.closed:
		return true, closing()
	default:
		return false, nil
	}
}

// closing is what a stream ends with where this node stops: the partner comes again.
func closing() error {
	return fault.New(fault.Unavailable, "UNAVAILABLE", "this node is stopping; come again")
}

// Fetch answers the envelopes after a cursor.
func (e *Exchange) Fetch(ctx context.Context, r *exchangepb.FetchRequest) (*exchangepb.FetchResponse, error) {
	partner, err := e.caller(ctx)
	if err != nil {
		return nil, err
	}
	receipts := make([]sharing.Signed, len(r.GetReceipts()))
	for i, receipt := range r.GetReceipts() {
		receipts[i] = wire.SignedFromProto(receipt)
	}
	if err := e.node.AcceptReceipts(ctx, partner, receipts); err != nil {
		return nil, err
	}
	after := wire.CursorFromProto(r.GetResume())
	if stream := sharing.StreamName(e.state, partner); after.Stream != stream {
		return nil, fault.InvalidField("resume.stream", "is not %q", stream)
	}
	answer := &exchangepb.FetchResponse{}
	for size := 0; ; {
		next, err := e.node.Outgoing(ctx, partner, after, 1) // one: those that do not fit were read in vain
		if resync, ok := errors.AsType[*sharing.ResyncError](err); ok {
			answer.Resync = wire.Cursor(resync.From)
			return answer, nil
		}
		if err != nil {
			return nil, fmt.Errorf("asking for what goes to %s: %w", partner, err)
		}
		if len(next) == 0 || size+len(next[0].Envelope) > maxFetch {
			return answer, nil
		}
		if err := e.limits.of(partner).bytes.WaitN(ctx, min(len(next[0].Envelope), bytesAtOnce)); err != nil {
			return nil, err
		}
		size += len(next[0].Envelope)
		answer.Envelopes = append(answer.Envelopes, next[0].Envelope)
		if err := advance(&after, next[0]); err != nil {
			return nil, err
		}
	}
}

// Notify takes a hint that there is something to fetch, and what the partner wants again.
func (e *Exchange) Notify(ctx context.Context, r *exchangepb.NotifyRequest) (*exchangepb.NotifyResponse, error) {
	partner, err := e.caller(ctx)
	if err != nil {
		return nil, err
	}
	if renew := r.GetRenew(); len(renew) > 0 {
		agreements := make([]sharing.AgreementID, len(renew))
		for i, id := range renew {
			agreements[i] = sharing.AgreementID(id)
		}
		if err := e.node.ReleaseAnew(ctx, partner, agreements); err != nil {
			return nil, err
		}
	}
	e.notified(partner)
	return &exchangepb.NotifyResponse{}, nil
}

// Propose takes an agreement that the caller has signed.
func (e *Exchange) Propose(ctx context.Context, r *exchangepb.ProposeRequest) (*exchangepb.ProposeResponse, error) {
	partner, err := e.caller(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.node.ReceiveProposal(ctx, partner, wire.SignedFromProto(r.GetAgreement())); err != nil {
		return nil, err
	}
	return &exchangepb.ProposeResponse{}, nil
}

// Answer takes the caller's signature under an agreement, its termination, or that figures were taken out after it.
func (e *Exchange) Answer(ctx context.Context, r *exchangepb.AnswerRequest) (*exchangepb.AnswerResponse, error) {
	partner, err := e.caller(ctx)
	if err != nil {
		return nil, err
	}
	switch answer := r.GetAnswer().(type) {
	case *exchangepb.AnswerRequest_Agreement:
		err = e.node.ReceiveAnswer(ctx, partner, wire.SignedFromProto(answer.Agreement))
	case *exchangepb.AnswerRequest_Termination:
		err = e.node.ReceiveTermination(ctx, partner, wire.SignedFromProto(answer.Termination))
	case *exchangepb.AnswerRequest_Withdrawal:
		err = e.node.ReceiveWithdrawal(ctx, partner, wire.SignedFromProto(answer.Withdrawal))
	default:
		err = fault.InvalidField("answer", "is missing")
	}
	if err != nil {
		return nil, err
	}
	return &exchangepb.AnswerResponse{}, nil
}

// Ratify takes an amendment of shared structures that the caller has signed.
func (e *Exchange) Ratify(ctx context.Context, r *exchangepb.RatifyRequest) (*exchangepb.RatifyResponse, error) {
	partner, err := e.caller(ctx)
	if err != nil {
		return nil, err
	}
	if err := e.node.ReceiveAmendment(ctx, partner, wire.SignedFromProto(r.GetAmendment())); err != nil {
		return nil, err
	}
	return &exchangepb.RatifyResponse{}, nil
}

// Witness co-signs the caller's checkpoint where it extends the one seen before.
func (e *Exchange) Witness(ctx context.Context, r *exchangepb.WitnessRequest) (*exchangepb.WitnessResponse, error) {
	partner, err := e.caller(ctx)
	if err != nil {
		return nil, err
	}
	if r.GetOldSize() > math.MaxInt64 {
		return nil, fault.InvalidField("oldSize", "is too large")
	}
	cosigned, seen, err := e.node.Witness(ctx, partner, r.GetCheckpoint(), int64(r.GetOldSize()), r.GetProof()) //nolint:gosec // it was just bounded
	if err != nil {
		return nil, err
	}
	return &exchangepb.WitnessResponse{Cosigned: cosigned, SeenSize: uint64(seen)}, nil //nolint:gosec // a size is not negative
}
