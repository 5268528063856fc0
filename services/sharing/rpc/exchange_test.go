package rpc

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const epoch = "0198c0de-0000-7000-8000-000000000001"

// node is a domain of one stream for each partner, held in memory.
type node struct {
	mu       sync.Mutex
	sent     [][]byte // the envelopes of the stream, the first at sequence 1
	withheld bool     // nothing may go
	changed  chan struct{}
	asked    map[sharing.StateCode]int // how often an envelope was asked for
	receipts []sharing.Signed
	Node     // what a test does not need
}

func newNode(envelopes ...[]byte) *node {
	return &node{sent: envelopes, changed: make(chan struct{}), asked: map[sharing.StateCode]int{}}
}

func (n *node) put(envelope []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.sent = append(n.sent, envelope)
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *node) Head(_ context.Context, partner sharing.StateCode) (sharing.Cursor, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return sharing.Cursor{Stream: sharing.StreamName("aa", partner), Epoch: epoch, Sequence: uint64(len(n.sent))}, nil
}

func (n *node) Outgoing(_ context.Context, partner sharing.StateCode, after sharing.Cursor, limit int) ([]sharing.Outgoing, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked[partner]++
	fresh := after.Epoch == "" && after.Sequence == 0
	if !fresh && (after.Epoch != epoch || after.Sequence > uint64(len(n.sent))) {
		return nil, &sharing.ResyncError{From: sharing.Cursor{Stream: after.Stream, Epoch: epoch}}
	}
	var outgoing []sharing.Outgoing
	for i := after.Sequence; i < uint64(len(n.sent)) && len(outgoing) < limit && !n.withheld; i++ {
		outgoing = append(outgoing, sharing.Outgoing{Sequence: i + 1, Envelope: n.sent[i]})
	}
	return outgoing, nil
}

func (n *node) OutgoingChanged(sharing.StateCode) <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.changed
}

func (n *node) AcceptReceipts(_ context.Context, _ sharing.StateCode, receipts []sharing.Signed) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, receipt := range receipts {
		if len(receipt.Signatures) > 0 { // another means nothing
			n.receipts = append(n.receipts, receipt)
		}
	}
	return nil
}

func (n *node) asks(partner sharing.StateCode) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.asked[partner]
}

// envelope returns an envelope of the epoch with a payload of so many bytes.
func envelope(t testing.TB, sequence uint64, size int) []byte {
	t.Helper()
	var codec wire.Codec
	now := time.Now().UTC()
	header, err := codec.EncodeHeader(sharing.Header{Sender: "aa", Receiver: "bb", Epoch: epoch, Sequence: sequence, Created: now, Expires: now})
	if err != nil {
		t.Fatal(err)
	}
	data, err := codec.EncodeEnvelope(sharing.Envelope{
		Header:  sharing.Signed{PayloadType: sharing.HeaderType, Payload: header},
		Payload: bytes.Repeat([]byte{byte(sequence)}, size),
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// serve starts the exchange of state "aa" and returns it with a client. The client says who it is by metadata; in its
// place stands, outside of tests, a certificate.
func serve(t *testing.T, n Node, heartbeat time.Duration) (*Exchange, exchangepb.ExchangeServiceClient) {
	t.Helper()
	exchange := NewExchange("aa", n, func(sharing.StateCode) {}, slog.New(slog.DiscardHandler))
	exchange.heartbeat = heartbeat
	identify := func(ctx context.Context) context.Context {
		md, _ := metadata.FromIncomingContext(ctx)
		return rpc.WithCaller(ctx, rpc.Caller{State: md.Get("state")[0], Service: md.Get("service")[0]})
	}
	server := grpc.NewServer(
		grpc.UnaryInterceptor(func(ctx context.Context, request any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			answer, err := handle(identify(ctx), request)
			return answer, rpc.Status(err)
		}),
		grpc.StreamInterceptor(func(service any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return rpc.Status(handle(service, identified{stream, identify(stream.Context())}))
		}))
	exchangepb.RegisterExchangeServiceServer(server, exchange)
	listener := bufconn.Listen(64 << 10)
	go func() { _ = server.Serve(listener) }()
	connection, err := grpc.NewClient("passthrough:///aa", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return listener.DialContext(ctx) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = connection.Close()
		server.Stop()
	})
	return exchange, exchangepb.NewExchangeServiceClient(connection)
}

type identified struct {
	grpc.ServerStream
	ctx context.Context
}

func (s identified) Context() context.Context { return s.ctx }

// as returns the context of a call by the service of a state; it ends with the test, or after a while.
func as(t *testing.T, state, service string) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return metadata.AppendToOutgoingContext(ctx, "state", state, "service", service)
}

type syncClient = grpc.BidiStreamingClient[exchangepb.SyncRequest, exchangepb.SyncResponse]

func open(t *testing.T, ctx context.Context, client exchangepb.ExchangeServiceClient, parts ...*exchangepb.SyncRequest) syncClient {
	t.Helper()
	stream, err := client.Sync(ctx)
	if err != nil {
		t.Fatal(err)
	}
	say(t, stream, parts...)
	return stream
}

func say(t *testing.T, stream syncClient, parts ...*exchangepb.SyncRequest) {
	t.Helper()
	for _, part := range parts {
		if err := stream.Send(part); err != nil {
			t.Fatal(err)
		}
	}
}

func resume(stream, epoch string, sequence uint64) *exchangepb.SyncRequest {
	return &exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Resume{
		Resume: &exchangepb.Cursor{Stream: stream, Epoch: epoch, Sequence: sequence},
	}}
}

func credit(n uint32) *exchangepb.SyncRequest {
	return &exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Credit{Credit: n}}
}

func receipt(signatures ...*exchangepb.Signature) *exchangepb.SyncRequest {
	return &exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Receipt{Receipt: &exchangepb.Signed{Signatures: signatures}}}
}

func hear(t *testing.T, stream syncClient) *exchangepb.SyncResponse {
	t.Helper()
	said, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	return said
}

func wantEnvelope(t *testing.T, stream syncClient, want []byte) {
	t.Helper()
	if got := hear(t, stream).GetEnvelope(); !bytes.Equal(got, want) {
		t.Fatalf("got another envelope, of %d bytes", len(got))
	}
}

func wantCode(t *testing.T, err error, want codes.Code) {
	t.Helper()
	if got := status.Code(err); got != want {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
}

func TestSync(t *testing.T) {
	one, two, three := envelope(t, 1, 10), envelope(t, 2, 10), envelope(t, 3, 10)

	t.Run("sends what follows the cursor, and what comes later", func(t *testing.T) {
		n := newNode(one, two)
		_, client := serve(t, n, time.Minute)
		stream := open(t, as(t, "bb", "sharing"), client, resume("aa-bb", epoch, 1), credit(10))
		wantEnvelope(t, stream, two)
		n.put(three)
		wantEnvelope(t, stream, three)
	})
	t.Run("begins at the start for a receiver that has nothing", func(t *testing.T) {
		_, client := serve(t, newNode(one, two), time.Minute)
		stream := open(t, as(t, "bb", "sharing"), client, resume("aa-bb", "", 0), credit(10))
		wantEnvelope(t, stream, one)
		wantEnvelope(t, stream, two)
	})
	t.Run("sends no more than there is credit for", func(t *testing.T) {
		_, client := serve(t, newNode(one, two, three), 50*time.Millisecond)
		stream := open(t, as(t, "bb", "sharing"), client, resume("aa-bb", "", 0), credit(1))
		wantEnvelope(t, stream, one)
		for range 3 {
			if hear(t, stream).GetHeartbeat().GetHead() != 3 {
				t.Fatal("something else than a heartbeat came without credit")
			}
		}
		say(t, stream, credit(1))
		for {
			said := hear(t, stream)
			if said.GetHeartbeat() == nil {
				if !bytes.Equal(said.GetEnvelope(), two) {
					t.Fatal("the second envelope did not follow")
				}
				return
			}
		}
	})
	t.Run("stops before the next where nothing may go any more", func(t *testing.T) {
		n := newNode(one, two)
		_, client := serve(t, n, 50*time.Millisecond)
		stream := open(t, as(t, "bb", "sharing"), client, resume("aa-bb", "", 0), credit(1))
		wantEnvelope(t, stream, one)
		n.mu.Lock()
		n.withheld = true
		n.mu.Unlock()
		say(t, stream, credit(1))
		for range 3 {
			if hear(t, stream).GetHeartbeat() == nil {
				t.Fatal("an envelope went that may not go")
			}
		}
	})
	t.Run("keeps receipts in their order, and goes on after one that means nothing", func(t *testing.T) {
		n := newNode(one)
		_, client := serve(t, n, time.Minute)
		stream := open(t, as(t, "bb", "sharing"), client, resume("aa-bb", epoch, 0),
			receipt(&exchangepb.Signature{KeyId: "1"}), receipt(), receipt(&exchangepb.Signature{KeyId: "2"}), credit(1))
		wantEnvelope(t, stream, one) // the credit came after the receipts
		n.mu.Lock()
		defer n.mu.Unlock()
		if len(n.receipts) != 2 || n.receipts[0].Signatures[0].KeyID != "1" || n.receipts[1].Signatures[0].KeyID != "2" {
			t.Errorf("kept %v", n.receipts)
		}
	})
	for name, cursor := range map[string]*exchangepb.SyncRequest{
		"of another epoch":     resume("aa-bb", "0198c0de-0000-7000-8000-00000000000f", 1),
		"from the future":      resume("aa-bb", epoch, 9),
		"without its epoch":    resume("aa-bb", "", 1),
		"with a wild epoch":    resume("aa-bb", "\x00'; --", 1),
		"at the largest place": resume("aa-bb", epoch, 1<<64-1),
	} {
		t.Run("says where to begin again to a cursor "+name, func(t *testing.T) {
			_, client := serve(t, newNode(one), time.Minute)
			stream := open(t, as(t, "bb", "sharing"), client, cursor, credit(10))
			if from := hear(t, stream).GetResync(); from.GetEpoch() != epoch || from.GetSequence() != 0 {
				t.Fatalf("got %v", from)
			}
			wantEnvelope(t, stream, one)
		})
	}
	for name, parts := range map[string][]*exchangepb.SyncRequest{
		"credit first":            {credit(1)},
		"a receipt first":         {receipt()},
		"nothing in a message":    {{}},
		"the stream of another":   {resume("aa-cc", "", 0)},
		"a second cursor":         {resume("aa-bb", "", 0), resume("aa-bb", "", 0)},
		"nothing after its place": {resume("aa-bb", "", 0), {}},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, client := serve(t, newNode(), time.Minute)
			stream := open(t, as(t, "bb", "sharing"), client, parts...)
			_, err := stream.Recv()
			wantCode(t, err, codes.InvalidArgument)
		})
	}
	t.Run("ends when the receiver leaves without a word", func(t *testing.T) {
		_, client := serve(t, newNode(), time.Minute)
		stream := open(t, as(t, "bb", "sharing"), client)
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		_, err := stream.Recv()
		wantCode(t, err, codes.InvalidArgument)
	})
	t.Run("ends when the receiver leaves", func(t *testing.T) {
		_, client := serve(t, newNode(), time.Minute)
		stream := open(t, as(t, "bb", "sharing"), client, resume("aa-bb", "", 0), credit(1))
		if err := stream.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("ends when the node stops", func(t *testing.T) {
		exchange, client := serve(t, newNode(one), time.Minute)
		stream := open(t, as(t, "bb", "sharing"), client, resume("aa-bb", "", 0), credit(9))
		wantEnvelope(t, stream, one)
		ctx, stop := context.WithCancel(t.Context())
		stop()
		if err := exchange.Run(ctx); err != nil {
			t.Fatal(err)
		}
		_, err := stream.Recv()
		wantCode(t, err, codes.Unavailable)
	})
	t.Run("holds no more for a slow reader than its window, and does not slow others", func(t *testing.T) {
		const count, window = 50, 16 // MiB; the window is the reader's own memory, and grows no further

		n := newNode()
		for i := range count {
			n.sent = append(n.sent, envelope(t, uint64(i+1), sharing.MaxPayload))
		}
		_, client := serve(t, n, time.Minute)
		open(t, as(t, "bb", "sharing"), client, resume("aa-bb", "", 0), credit(1<<31))
		quick := open(t, as(t, "cc", "sharing"), client, resume("aa-cc", "", 0), credit(count))
		for i := range count {
			wantEnvelope(t, quick, n.sent[i])
		}
		if asked := n.asks("bb"); asked > window+2 {
			t.Errorf("%d envelopes were taken for a reader that reads nothing", asked)
		}
	})
}

func TestExchange(t *testing.T) {
	for name, who := range map[string][2]string{
		"another service of a partner": {"bb", "gateway"},
		"a service of its own state":   {"aa", "sharing"},
		"somebody without a name":      {"", ""},
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			_, client := serve(t, newNode(), time.Minute)
			ctx := as(t, who[0], who[1])
			_, err := client.Describe(ctx, &exchangepb.DescribeRequest{})
			wantCode(t, err, codes.PermissionDenied)
			stream, err := client.Sync(ctx)
			if err != nil {
				t.Fatal(err)
			}
			_, err = stream.Recv()
			wantCode(t, err, codes.PermissionDenied)
		})
	}
	t.Run("answers what follows a cursor, up to what a message holds", func(t *testing.T) {
		n := newNode()
		for i := range 5 {
			n.sent = append(n.sent, envelope(t, uint64(i+1), sharing.MaxPayload/2))
		}
		_, client := serve(t, n, time.Minute)
		answer, err := client.Fetch(as(t, "bb", "sharing"), &exchangepb.FetchRequest{Resume: &exchangepb.Cursor{Stream: "aa-bb"}})
		if err != nil {
			t.Fatal(err)
		}
		if len(answer.GetEnvelopes()) != 3 || !bytes.Equal(answer.GetEnvelopes()[1], n.sent[1]) {
			t.Errorf("got %d envelopes", len(answer.GetEnvelopes()))
		}
	})
	t.Run("says where to begin again to a fetcher whose cursor does not fit", func(t *testing.T) {
		_, client := serve(t, newNode(envelope(t, 1, 1)), time.Minute)
		answer, err := client.Fetch(as(t, "bb", "sharing"), &exchangepb.FetchRequest{
			Resume: &exchangepb.Cursor{Stream: "aa-bb", Epoch: epoch, Sequence: 7},
		})
		if err != nil {
			t.Fatal(err)
		}
		if answer.GetResync().GetEpoch() != epoch || len(answer.GetEnvelopes()) != 0 {
			t.Errorf("got %v", answer)
		}
	})
	t.Run("refuses an answer about nothing", func(t *testing.T) {
		_, client := serve(t, newNode(), time.Minute)
		_, err := client.Answer(as(t, "bb", "sharing"), &exchangepb.AnswerRequest{})
		wantCode(t, err, codes.InvalidArgument)
	})
}
