package partner_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// spoiling makes a node break the protocol in one way at a time, while it runs.
type spoiling struct {
	keys sharing.Keys
	how  atomic.Pointer[defect]
}

// defect is one way to break the protocol. What is nil is as it should be.
type defect struct {
	name     string
	fails    []string      // the cases that must find it
	patience time.Duration // of the kit; 0: enough for everything
	inward   *gullible     // answers in the node's place
	outward  *gullible     // calls in the node's place
	most     int           // connections at once

	// as the one who is called
	describe  func(context.Context, *exchangepb.DescribeResponse)
	propose   func(error) error
	answer    func(error) error
	ratify    func(error) error
	witness   func(s *spoiling, r *exchangepb.WitnessRequest, answer *exchangepb.WitnessResponse, err error) (*exchangepb.WitnessResponse, error)
	fetchIn   func(*exchangepb.FetchRequest)
	fetch     func(*exchangepb.FetchResponse, error) (*exchangepb.FetchResponse, error)
	hear      func(*exchangepb.SyncRequest) (*exchangepb.SyncRequest, error) // nil: it was never said
	unread    func(error) error                                              // of a word that cannot be read; nil: it is passed over
	clings    bool                                                           // to streams that their receivers have left
	calls     func() error                                                   // before each call of Describe
	deafTo    error                                                          // of a request with fields that it does not know
	boundless bool                                                           // answers Describe as often as it is called
	offers    bool                                                           // what is not of the exchange
	say       func(s *spoiling, said *exchangepb.SyncResponse) *exchangepb.SyncResponse
	busy      chan struct{} // one call at a time has it

	// as the one who calls
	cursor  func(sharing.Cursor) sharing.Cursor
	receive func(s *spoiling, from sharing.StateCode, envelope []byte, receipt sharing.Signed, err error) (sharing.Signed, error)
	again   func(s *spoiling, receipts []sharing.Signed) []sharing.Signed
	offer   func(proof [][]byte, checkpoint string) ([][]byte, string)
}

// current returns the defect of the moment.
func (s *spoiling) current() *defect {
	if how := s.how.Load(); how != nil {
		return how
	}
	return &defect{}
}

// sign signs as the node does, and as it should not.
func (s *spoiling) sign(payloadType string, payload []byte) sharing.Signed {
	public, _ := s.keys.Signing.Public().(ed25519.PublicKey)
	return sharing.Signed{PayloadType: payloadType, Payload: payload, Signatures: []sharing.Signature{{
		KeyID: sharing.KeyID(public), Signature: ed25519.Sign(s.keys.Signing, dsse.PAE(payloadType, payload)),
	}}}
}

// receiptFor returns a receipt for whatever it is.
func (s *spoiling) receiptFor(from sharing.StateCode, envelope []byte) (sharing.Signed, error) {
	var header sharing.Header
	if opened, err := (wire.Codec{}).DecodeEnvelope(envelope); err == nil {
		header, _ = wire.Codec{}.DecodeHeader(opened.Header.Payload)
	}
	sum := sha256.Sum256(envelope)
	payload, err := wire.Codec{}.EncodeReceipt(sharing.Receipt{
		Sender: from, Receiver: "aa", Stream: sharing.StreamName(from, "aa"), Epoch: header.Epoch, Sequence: header.Sequence,
		EnvelopeSHA256: sum[:], Received: time.Now(),
	})
	return s.sign(sharing.ReceiptType, payload), err
}

// resign changes an envelope, and signs it as if it were the right one.
func (s *spoiling) resign(data []byte, change func(*exchangepb.Header, *exchangepb.Envelope)) []byte {
	envelope, header := &exchangepb.Envelope{}, &exchangepb.Header{}
	if proto.Unmarshal(data, envelope) != nil || proto.Unmarshal(envelope.GetHeader().GetPayload(), header) != nil {
		return data
	}
	change(header, envelope)
	signed, err := proto.Marshal(header)
	if err != nil {
		return data
	}
	envelope.Header = wire.Signed(s.sign(sharing.HeaderType, signed))
	if data, err = proto.Marshal(envelope); err != nil {
		return nil
	}
	return data
}

// exchange returns the exchange, spoiled.
func (s *spoiling) exchange(sound exchangepb.ExchangeServiceServer) exchangepb.ExchangeServiceServer {
	return spoiledExchange{ExchangeServiceServer: sound, s: s}
}

type spoiledExchange struct {
	exchangepb.ExchangeServiceServer
	s *spoiling
}

func (x spoiledExchange) Describe(ctx context.Context, r *exchangepb.DescribeRequest) (*exchangepb.DescribeResponse, error) {
	d := x.s.current()
	if d.calls != nil {
		if err := d.calls(); err != nil {
			return nil, err
		}
	}
	if d.deafTo != nil && len(r.ProtoReflect().GetUnknown()) > 0 {
		return nil, d.deafTo
	}
	if d.boundless {
		return &exchangepb.DescribeResponse{State: "aa"}, nil
	}
	if d.busy != nil {
		select {
		case d.busy <- struct{}{}:
			defer func() { <-d.busy }()
		case <-ctx.Done():
			return nil, fault.New(fault.Unavailable, "UNAVAILABLE", "somebody else is served")
		}
	}
	answer, err := x.ExchangeServiceServer.Describe(ctx, r)
	if err == nil && d.describe != nil {
		d.describe(ctx, answer)
	}
	return answer, err
}

func (x spoiledExchange) Propose(ctx context.Context, r *exchangepb.ProposeRequest) (*exchangepb.ProposeResponse, error) {
	answer, err := x.ExchangeServiceServer.Propose(ctx, r)
	if d := x.s.current(); d.propose != nil {
		return &exchangepb.ProposeResponse{}, d.propose(err)
	}
	return answer, err
}

func (x spoiledExchange) Answer(ctx context.Context, r *exchangepb.AnswerRequest) (*exchangepb.AnswerResponse, error) {
	answer, err := x.ExchangeServiceServer.Answer(ctx, r)
	if d := x.s.current(); d.answer != nil {
		return &exchangepb.AnswerResponse{}, d.answer(err)
	}
	return answer, err
}

func (x spoiledExchange) Ratify(ctx context.Context, r *exchangepb.RatifyRequest) (*exchangepb.RatifyResponse, error) {
	answer, err := x.ExchangeServiceServer.Ratify(ctx, r)
	if d := x.s.current(); d.ratify != nil {
		return &exchangepb.RatifyResponse{}, d.ratify(err)
	}
	return answer, err
}

func (x spoiledExchange) Witness(ctx context.Context, r *exchangepb.WitnessRequest) (*exchangepb.WitnessResponse, error) {
	answer, err := x.ExchangeServiceServer.Witness(ctx, r)
	if d := x.s.current(); d.witness != nil {
		return d.witness(x.s, r, answer, err)
	}
	return answer, err
}

func (x spoiledExchange) Fetch(ctx context.Context, r *exchangepb.FetchRequest) (*exchangepb.FetchResponse, error) {
	d := x.s.current()
	if d.fetchIn != nil {
		d.fetchIn(r)
	}
	answer, err := x.ExchangeServiceServer.Fetch(ctx, r)
	if d.fetch != nil {
		return d.fetch(answer, err)
	}
	return answer, err
}

func (x spoiledExchange) Sync(stream exchangepb.ExchangeService_SyncServer) error {
	if d := x.s.current(); d.busy != nil {
		d.busy <- struct{}{}
		defer func() { <-d.busy }()
	}
	return x.ExchangeServiceServer.Sync(spoiledStream{stream, x.s})
}

type spoiledStream struct {
	grpc.BidiStreamingServer[exchangepb.SyncRequest, exchangepb.SyncResponse]
	s *spoiling
}

func (x spoiledStream) Recv() (*exchangepb.SyncRequest, error) {
	for {
		said, err := x.BidiStreamingServer.Recv()
		d := x.s.current()
		if err == nil && d.hear != nil {
			if said, err = d.hear(said); said == nil && err == nil {
				continue
			}
		}
		if fault.Is(err, fault.Invalid) && d.unread != nil {
			if err = d.unread(err); err == nil {
				continue
			}
		}
		if errors.Is(err, io.EOF) && d.clings {
			<-x.Context().Done()
			err = x.Context().Err()
		}
		return said, err
	}
}

func (x spoiledStream) Send(said *exchangepb.SyncResponse) error {
	if d := x.s.current(); d.say != nil {
		if said = d.say(x.s, said); said == nil {
			return nil
		}
	}
	return x.BidiStreamingServer.Send(said)
}

// register offers the exchange, spoiled, and beside it what should not be there, which says that it is not unless the node
// is to offer it.
func (s *spoiling) register(on grpc.ServiceRegistrar, sound exchangepb.ExchangeServiceServer) {
	if s == nil {
		exchangepb.RegisterExchangeServiceServer(on, sound)
		return
	}
	method := func(name string) grpc.MethodDesc {
		return grpc.MethodDesc{MethodName: name, Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
			if !s.current().offers {
				return nil, status.Error(codes.Unimplemented, "there is no such method")
			}
			return &exchangepb.DescribeResponse{}, decode(&exchangepb.DescribeRequest{})
		}}
	}
	exchange := exchangepb.ExchangeService_ServiceDesc
	exchange.Methods = append(slices.Clone(exchange.Methods), method("Surrender"))
	on.RegisterService(&exchange, s.exchange(sound))
	on.RegisterService(&grpc.ServiceDesc{
		ServiceName: "comity.sharing.v1.SharingService", HandlerType: (*any)(nil), Methods: []grpc.MethodDesc{method("ListPartners")},
	}, nil)
}

// node returns what a puller asks, spoiled.
func (s *spoiling) node(sound *sharing.Service) partner.Node {
	if s == nil {
		return sound
	}
	return spoiledNode{sound, s}
}

type spoiledNode struct {
	partner.Node
	s *spoiling
}

func (n spoiledNode) Cursor(ctx context.Context, from sharing.StateCode) (sharing.Cursor, error) {
	cursor, err := n.Node.Cursor(ctx, from)
	if d := n.s.current(); d.cursor != nil {
		cursor = d.cursor(cursor)
	}
	return cursor, err
}

func (n spoiledNode) ReceiveAll(ctx context.Context, from sharing.StateCode, envelopes [][]byte) ([]sharing.Outcome, error) {
	d := n.s.current()
	if d.receive == nil {
		return n.Node.ReceiveAll(ctx, from, envelopes)
	}
	var outcomes []sharing.Outcome
	for _, envelope := range envelopes {
		one := sharing.Outcome{}
		received, err := n.Node.ReceiveAll(ctx, from, [][]byte{envelope})
		if err == nil {
			one, err = received[0], received[0].Refused
		}
		one.Receipt, one.Refused = d.receive(n.s, from, envelope, one.Receipt, err)
		if one.Refused != nil && fault.Reason(one.Refused) != "RECEIVE_REFUSED" {
			return outcomes, one.Refused
		}
		outcomes = append(outcomes, one)
	}
	return outcomes, nil
}

func (n spoiledNode) Receipts(ctx context.Context, from sharing.StateCode, limit int) ([]sharing.Signed, error) {
	receipts, err := n.Node.Receipts(ctx, from, limit)
	if d := n.s.current(); d.again != nil {
		receipts = d.again(n.s, receipts)
	}
	return receipts, err
}

func (n spoiledNode) WitnessOffer(ctx context.Context, to sharing.StateCode) (string, int64, [][]byte, error) {
	checkpoint, size, proof, err := n.Node.WitnessOffer(ctx, to)
	if d := n.s.current(); d.offer != nil {
		proof, checkpoint = d.offer(proof, checkpoint)
	}
	return checkpoint, size, proof, err
}
