package partner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

const (
	version = 1 // of the protocol

	window          = 64               // envelopes that a partner may send ahead of their receipts, see draw
	maxUnkept       = 2 << 20          // bytes of envelopes that were heard and not kept, but one envelope in any case
	maxSilence      = 30 * time.Second // a partner that says nothing for so long is left, and called again; its heart beats every 10
	witnessInterval = time.Minute
	notifyInterval  = time.Second // at least, between two hints to a partner
	complaint       = time.Minute // between two lines in the log about a partner that stays away

	// A session is ended and begun again after it, so that certificates are looked at again; an exchange port would cut
	// it after half an hour.
	sessionAge = 20 * time.Minute

	// The pauses between sessions that led nowhere; each is drawn from half of it to the whole.
	firstPause = 200 * time.Millisecond
	maxPause   = 5 * time.Second

	maxRest = 10 * time.Minute // that a partner is left alone which has sent more than its quota
)

// Node is what a [Puller] asks of this state's domain. [sharing.Service] is one.
type Node interface {
	// Cursor returns where the stream from the partner stands here.
	Cursor(ctx context.Context, partner sharing.StateCode) (sharing.Cursor, error)
	// ReceiveAll keeps envelopes, in order, and returns what became of each. After an error nothing is moved by the first
	// one that nothing is returned for.
	ReceiveAll(ctx context.Context, from sharing.StateCode, envelopes [][]byte) ([]sharing.Outcome, error)
	// Receipts returns again the receipts for the last places of the stream from the partner, at most limit, in order.
	Receipts(ctx context.Context, partner sharing.StateCode, limit int) ([]sharing.Signed, error)
	// Contact keeps that the partner answered just now, or what went wrong.
	Contact(ctx context.Context, partner sharing.StateCode, problem error) error
	// Speaks keeps which shared dataflows the partner has.
	Speaks(ctx context.Context, partner sharing.StateCode, dataflows []string) error
	// OutgoingChanged returns a channel that is closed when there may be something new to send.
	OutgoingChanged(partner sharing.StateCode) <-chan struct{}
	// Incomplete returns the agreements whose figures the partner is asked for as a whole again.
	Incomplete(ctx context.Context, partner sharing.StateCode) ([]sharing.AgreementID, error)
	// Head returns the newest place of the stream to the partner.
	Head(ctx context.Context, partner sharing.StateCode) (sharing.Cursor, error)
	// WitnessOffer returns this state's newest checkpoint, with a proof that it extends the one of oldSize.
	WitnessOffer(ctx context.Context, partner sharing.StateCode) (checkpoint string, oldSize int64, proof [][]byte, err error)
	// Cosigned keeps what the partner answered: its co-signature, or "" and the size that it has seen.
	Cosigned(ctx context.Context, partner sharing.StateCode, cosigned string, seen int64) error
	// Objected keeps why the partner does not co-sign.
	Objected(ctx context.Context, partner sharing.StateCode, objection string) error
}

var _ Node = (*sharing.Service)(nil)

// Puller draws what the partners have for this state.
type Puller struct {
	Patience time.Duration // with a partner that says nothing; 0: 30 seconds

	state     sharing.StateCode
	node      Node
	connector *Connector
	log       *slog.Logger

	mu    sync.Mutex                          // guards what follows
	hints map[sharing.StateCode]chan struct{} // each holds one element while the partner has something for us
}

// NewPuller returns a puller for every state of the trust list but this one, as the list changes.
func NewPuller(state sharing.StateCode, node Node, connector *Connector, log *slog.Logger) *Puller {
	return &Puller{state: state, node: node, connector: connector, log: log, hints: map[sharing.StateCode]chan struct{}{}}
}

// hint returns the channel of hints about the partner.
func (p *Puller) hint(partner sharing.StateCode) chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.hints[partner] == nil {
		p.hints[partner] = make(chan struct{}, 1)
	}
	return p.hints[partner]
}

// Wake says that the partner has something for us: it is called at once, not after the pause. It never blocks.
func (p *Puller) Wake(partner sharing.StateCode) {
	select {
	case p.hint(partner) <- struct{}{}:
	default: // it is known already
	}
}

// Run draws from all partners until ctx ends: from one that joins the trust list from then on, and from one that leaves
// it no more.
func (p *Puller) Run(ctx context.Context) error {
	var partners sync.WaitGroup
	defer partners.Wait()
	following := map[sharing.StateCode]context.CancelFunc{}
	for {
		changed := p.connector.trust.Changed()
		list := p.connector.trust.List()
		for partner, stop := range following {
			if _, ok := list.State(partner); !ok {
				stop()
				delete(following, partner)
			}
		}
		for _, trusted := range list.States {
			if _, ok := following[trusted.Code]; ok || trusted.Code == p.state {
				continue
			}
			followed, stop := context.WithCancel(ctx)
			following[trusted.Code] = stop
			partners.Go(func() { p.follow(followed, trusted.Code) })
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// follow holds a session with the partner, again and again.
func (p *Puller) follow(ctx context.Context, partner sharing.StateCode) {
	pause := firstPause
	var complained time.Time
	for {
		s := &session{Puller: p, partner: partner}
		err := s.run(ctx)
		if ctx.Err() != nil {
			return
		}
		if s.progressed || err == nil {
			pause, complained = firstPause, time.Time{}
		}
		if err == nil {
			continue
		}
		if time.Since(complained) > complaint {
			p.log.WarnContext(ctx, "the exchange with a partner broke off, and is tried again", "partner", partner, "error", err)
			complained = time.Now()
		}
		if err := p.node.Contact(ctx, partner, err); err != nil && ctx.Err() == nil {
			p.log.ErrorContext(ctx, "keeping how the exchange stands", "partner", partner, "error", err)
		}
		hint, wait := p.hint(partner), pause/2+rand.N(pause/2) //nolint:gosec // it only keeps nodes from calling in step
		if over, ok := errors.AsType[*fault.Error](err); ok && over.Reason == "LIMIT_EXCEEDED" && over.RetryAfter > 0 {
			hint, wait = nil, min(over.RetryAfter, maxRest) // the same would only come again
		}
		select {
		case <-ctx.Done():
			return
		case <-hint:
		case <-time.After(wait):
		}
		pause = min(2*pause, maxPause)
	}
}

// errAged ends a session that has lasted long enough.
var errAged = errors.New("the session is begun again")

// session is one connection to a partner.
type session struct {
	*Puller
	partner    sharing.StateCode
	progressed bool // an envelope was kept
}

// run connects, finds out whom to, and draws until something breaks, or until the session is so old that it returns nil.
func (s *session) run(ctx context.Context) error {
	connection, err := s.connector.connect(s.partner)
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // nothing is left to say
	client := exchangepb.NewExchangeServiceClient(connection)
	if err := s.greet(ctx, client); err != nil {
		return err
	}
	limited, cancel := context.WithTimeoutCause(ctx, sessionAge, errAged)
	defer cancel()
	group, working := errgroup.WithContext(limited)
	group.Go(func() error { return s.draw(working, client) })
	group.Go(func() error { s.witness(working, client); return nil })
	group.Go(func() error { s.notify(working, client); return nil })
	err = group.Wait()
	if errors.Is(context.Cause(limited), errAged) {
		return nil
	}
	return err
}

// greet asks who answers and what it speaks, and tells it that this node is there.
func (s *session) greet(ctx context.Context, client exchangepb.ExchangeServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	described, err := client.Describe(ctx, &exchangepb.DescribeRequest{})
	if err != nil {
		return fmt.Errorf("calling %s: %w", s.partner, err)
	}
	if described.GetState() != string(s.partner) {
		return fmt.Errorf("%s answers for %s", described.GetState(), s.partner)
	}
	if !slices.Contains(described.GetProtocolVersions(), version) {
		return fmt.Errorf("%s speaks the versions %v of the protocol, this node %d", s.partner, described.GetProtocolVersions(), version)
	}
	if err := s.node.Contact(ctx, s.partner, nil); err != nil {
		return err
	}
	if dataflows := described.GetDataflows(); len(dataflows) > 0 {
		if err := s.node.Speaks(ctx, s.partner, dataflows); err != nil {
			return err
		}
	}
	return nil
}

// notify tells the partner where the stream to it stands, now and when that has changed while the session lasts. One whose
// last attempts to reach this node failed would wait on; it need not any more.
func (s *session) notify(ctx context.Context, client exchangepb.ExchangeServiceClient) {
	var told sharing.Cursor
	for first := true; ; first = false {
		changed := s.node.OutgoingChanged(s.partner)
		head, err := s.node.Head(ctx, s.partner)
		var lacking []sharing.AgreementID
		if err == nil {
			lacking, err = s.node.Incomplete(ctx, s.partner)
		}
		if err == nil && (first || head != told || len(lacking) > 0) {
			err = s.tell(ctx, client, head, lacking)
			told = head
		}
		if err != nil && ctx.Err() == nil {
			s.log.DebugContext(ctx, "a partner was not notified", "partner", s.partner, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(notifyInterval):
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

// tell notifies the partner, and asks it for what this state lacks.
func (s *session) tell(ctx context.Context, client exchangepb.ExchangeServiceClient, head sharing.Cursor, lacking []sharing.AgreementID) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request := &exchangepb.NotifyRequest{Head: wire.Cursor(head)}
	for _, id := range lacking {
		request.Renew = append(request.Renew, string(id))
	}
	_, err := client.Notify(ctx, request)
	return err
}

// draw takes envelopes and answers each with its receipt.
//
// Credit for another envelope follows each receipt, so no more than window receipts are ever on their way. Those for
// the last window places are therefore said again first: a sender that stopped too early to keep them has them now.
func (s *session) draw(ctx context.Context, client exchangepb.ExchangeServiceClient) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	cursor, err := s.node.Cursor(ctx, s.partner)
	if err != nil {
		return err
	}
	receipts, err := s.node.Receipts(ctx, s.partner, window)
	if err != nil {
		return err
	}
	stream, err := client.Sync(ctx)
	if err != nil {
		return fmt.Errorf("opening the stream of %s: %w", s.partner, err)
	}
	// Why a stream takes no more is what Recv says.
	_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Resume{Resume: wire.Cursor(cursor)}})
	for _, receipt := range receipts {
		_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Receipt{Receipt: wire.Signed(receipt)}})
	}
	_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Credit{Credit: window}})
	patience := cmp.Or(s.Patience, maxSilence)
	heard := newHearing(stream, patience, func() { cancel(fmt.Errorf("%s was silent for %s", s.partner, patience)) })
	go heard.run(ctx)
	for {
		envelopes, other, err := heard.next()
		if err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = cause
			}
			return fmt.Errorf("drawing from %s: %w", s.partner, err)
		}
		if err := s.keep(ctx, stream, envelopes); err != nil {
			return err
		}
		if err := s.take(ctx, other); err != nil {
			return err
		}
	}
}

// keep keeps envelopes, answers each with its receipt, and asks for as many more.
func (s *session) keep(ctx context.Context, stream exchangepb.ExchangeService_SyncClient, envelopes [][]byte) error {
	if len(envelopes) == 0 {
		return nil
	}
	outcomes, err := s.node.ReceiveAll(ctx, s.partner, envelopes)
	for _, outcome := range outcomes {
		s.progressed = true
		if outcome.Refused != nil {
			s.log.WarnContext(ctx, "an envelope was refused", "partner", s.partner, "error", outcome.Refused)
			continue
		}
		_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Receipt{Receipt: wire.Signed(outcome.Receipt)}})
	}
	if err != nil {
		return fmt.Errorf("receiving from %s: %w", s.partner, err)
	}
	_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Credit{Credit: uint32(len(outcomes))}}) //nolint:gosec // at most window
	return nil
}

// take handles a message of the partner that is no envelope; nil: there is none.
func (s *session) take(ctx context.Context, said *exchangepb.SyncResponse) error {
	switch part := said.GetPart().(type) {
	case *exchangepb.SyncResponse_Heartbeat:
		return s.node.Contact(ctx, s.partner, nil)
	case *exchangepb.SyncResponse_Resync:
		// Whether the stream may go on from there is for ReceiveAll to judge, by the next envelope.
		s.log.WarnContext(ctx, "a partner's stream goes on from another place", "partner", s.partner,
			"epoch", part.Resync.GetEpoch(), "sequence", part.Resync.GetSequence())
		return nil
	default:
		return nil // a later version may say more
	}
}

// witness has the partner co-sign this state's newest checkpoint, now and while the session lasts.
func (s *session) witness(ctx context.Context, client exchangepb.ExchangeServiceClient) {
	again := time.NewTicker(witnessInterval)
	defer again.Stop()
	for {
		if err := s.cosign(ctx, client); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "a partner did not co-sign the log", "partner", s.partner, "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
			s.listenForDataflows(ctx, client)
		}
	}
}

// listenForDataflows asks which shared dataflows the partner has now.
func (s *session) listenForDataflows(ctx context.Context, client exchangepb.ExchangeServiceClient) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	described, err := client.Describe(ctx, &exchangepb.DescribeRequest{})
	if err == nil && len(described.GetDataflows()) > 0 {
		err = s.node.Speaks(ctx, s.partner, described.GetDataflows())
	}
	if err != nil && ctx.Err() == nil {
		s.log.WarnContext(ctx, "asking a partner for its dataflows", "partner", s.partner, "error", err)
	}
}

// cosign hands over the newest checkpoint; where the partner has seen another size than thought, once again from there.
func (s *session) cosign(ctx context.Context, client exchangepb.ExchangeServiceClient) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for range 2 {
		checkpoint, oldSize, proof, err := s.node.WitnessOffer(ctx, s.partner)
		if err != nil {
			return err
		}
		if checkpoint == "" {
			return nil // the log is empty
		}
		answer, err := client.Witness(ctx, &exchangepb.WitnessRequest{
			Checkpoint: checkpoint, OldSize: uint64(oldSize), Proof: proof, //nolint:gosec // a size is not negative
		})
		if said, ok := errors.AsType[*fault.Error](rpc.Fault(err)); ok && said.Reason == "EQUIVOCATION" {
			return errors.Join(err, s.node.Objected(ctx, s.partner, said.Message))
		}
		if err != nil {
			return err
		}
		if answer.GetSeenSize() > math.MaxInt64 {
			return fmt.Errorf("%s claims to have seen a log of %d entries", s.partner, answer.GetSeenSize())
		}
		if err := s.node.Cosigned(ctx, s.partner, answer.GetCosigned(), int64(answer.GetSeenSize())); err != nil { //nolint:gosec // it was just bounded
			return err
		}
		if answer.GetCosigned() != "" {
			return nil
		}
	}
	return fmt.Errorf("%s has seen another log than this", s.partner)
}
