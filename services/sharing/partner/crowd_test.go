package partner_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/net/http2"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
)

// guest is a partner of which there is no more than what calls.
type guest struct {
	code    sharing.StateCode
	signing ed25519.PrivateKey
	files   mtlstest.Files
	trusted sharing.TrustedState
}

// invite makes partners of a state that runs, with an agreement that provides each, and as many envelopes for each as there
// are payloads.
func (s *state) invite(count int, payloads func(i int) [][]byte) []*guest {
	t := s.t
	t.Helper()
	guests := make([]*guest, count)
	for i := range guests {
		code := sharing.StateCode(fmt.Sprintf("p%02d", i))
		public, private, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		authority := mtlstest.NewAuthority(t, string(code))
		roots, err := os.ReadFile(authority.Root)
		must(t, err)
		guests[i] = &guest{code: code, signing: private, files: authority.Issue("sharing"), trusted: sharing.TrustedState{
			Code: code, Name: string(code), Address: "127.0.0.1:1", Roots: string(roots), LogKey: s.keys.LogVerifier,
			SigningKeys: []sharing.SigningKey{{ID: sharing.KeyID(public), PublicKey: public}},
		}}
	}
	s.next(func(list *sharing.TrustList) {
		for _, g := range guests {
			list.States = append(list.States, g.trusted)
		}
	})
	eventually(t, "the partners are known", func() bool { _, ok := s.trust.State(guests[count-1].code); return ok })
	for i, g := range guests {
		s.fill(g, payloads(i))
	}
	return guests
}

// fill puts an agreement with a guest in force, and envelopes out for it, as if they had passed disclosure control.
func (s *state) fill(g *guest, payloads [][]byte) {
	t := s.t
	t.Helper()
	id := sharing.AgreementID("aa-" + string(g.code))
	agreement, err := s.service.Draft(t.Context(), sharing.Terms{
		ID: id, Version: 1, Provider: s.code, Receiver: g.code, Dataflow: dataflow, Indicators: []string{"1A"}, Detail: map[string]string{"FREQ": "M"},
		Purposes: []string{"statistics"}, MinimumFrequency: 3, ValidFrom: "2024-01-01", Text: "For a test.",
	})
	must(t, err)
	_, err = s.service.Sign(t.Context(), id)
	must(t, err)
	document, err := agreement.Terms.Document()
	must(t, err)
	public, _ := g.signing.Public().(ed25519.PublicKey)
	must(t, s.service.ReceiveAnswer(t.Context(), g.code, sharing.Signed{
		PayloadType: sharing.AgreementType, Payload: document,
		Signatures: []sharing.Signature{{KeyID: sharing.KeyID(public), Signature: ed25519.Sign(g.signing, dsse.PAE(sharing.AgreementType, document))}},
	}))

	now := time.Now().UTC().Truncate(time.Microsecond)
	leaf := func(kind sharing.EntryKind, subject string, content []byte) sharing.Leaf {
		sum := sha256.Sum256(content)
		return sharing.Leaf{Kind: kind, Subject: subject, Created: now, Salt: make([]byte, sha256.Size), ContentSHA256: sum[:]}
	}
	decision := sharing.Decision{ID: sharing.DecisionID(newID()), Created: now, Use: "release"}
	decided, err := json.Marshal(decision)
	must(t, err)
	release := sharing.Release{
		ID: sharing.ReleaseID(newID()), Partner: g.code, Agreement: id, AgreementVersion: 1, Dataflow: dataflow, Indicators: []string{"1A"},
		Decision: decision.ID, Scope: sharing.Condition{Filter: filter.Eq("INDICATOR", "1A")}, Batches: len(payloads), Created: now,
		SHA256: make([]byte, sha256.Size),
	}
	released, err := json.Marshal(release)
	must(t, err)
	stream, epoch := sharing.StreamName(s.code, g.code), newID()
	header := sharing.Header{
		Sender: s.code, Receiver: g.code, Agreement: id, AgreementVersion: 1, Decision: decision.ID, Stream: stream, Epoch: epoch,
		Created: now, Expires: now.Add(time.Hour), Release: release.ID, BatchCount: len(payloads), ReleaseSHA256: release.SHA256,
		Dataflow: dataflow, Scope: release.Scope.Filter,
	}
	var sealed []sharing.SentEnvelope
	for i, payload := range payloads {
		header.Sequence, header.BatchIndex = header.Sequence+1, i
		one, err := s.service.Seal(header, payload, 1)
		must(t, err)
		header.Previous = one.Leaf.ContentSHA256
		sealed = append(sealed, one)
	}
	must(t, s.service.Store.Write(t.Context(), func(tx sharing.Tx) error {
		_, err := tx.LockOutbound(t.Context(), stream, g.code, epoch)
		return errors.Join(err,
			tx.AddDecision(t.Context(), decision.ID, decided, leaf(sharing.EntryDecision, string(decision.ID), decided)),
			tx.AddRelease(t.Context(), release, released, leaf(sharing.EntryRelease, string(release.ID), released)),
			tx.AddEnvelopes(t.Context(), stream, epoch, sealed))
	}))
}

// client returns a connection of a guest's own to the state.
func (g *guest) client(s *state) exchangepb.ExchangeServiceClient {
	s.t.Helper()
	pair, err := mtls.LoadPair(g.files.Certificate, g.files.Key)
	must(s.t, err)
	credentials := mtls.NewClient(pair, partner.Roots(s.trust), mtls.Identity{State: string(s.code), Service: "sharing"})
	connection, err := grpc.NewClient("passthrough:///"+s.exchange, grpc.WithTransportCredentials(credentials))
	must(s.t, err)
	s.t.Cleanup(func() { _ = connection.Close() })
	return exchangepb.NewExchangeServiceClient(connection)
}

// stream opens the stream to a guest from its beginning, with credit.
func (g *guest) stream(ctx context.Context, s *state, client exchangepb.ExchangeServiceClient, credit uint32) (exchangepb.ExchangeService_SyncClient, error) {
	stream, err := client.Sync(ctx)
	if err != nil {
		return nil, err
	}
	_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Resume{Resume: g.start(s)}})
	return stream, stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Credit{Credit: credit}})
}

func (g *guest) start(s *state) *exchangepb.Cursor {
	return &exchangepb.Cursor{Stream: sharing.StreamName(s.code, g.code)}
}

// take takes so many envelopes.
func take(stream exchangepb.ExchangeService_SyncClient, count int) error {
	for count > 0 {
		said, err := stream.Recv()
		if err != nil {
			return err
		}
		if said.GetEnvelope() != nil {
			count--
		}
	}
	return nil
}

// flood is what a partner does that asks for everything all the time.
type flood struct {
	refused  atomic.Int64 // calls that it was told to make later
	cut      atomic.Int64 // connections that were ended for their pings
	strange  atomic.Pointer[error]
	flooding sync.WaitGroup
}

// by floods the state until ctx ends.
func (f *flood) by(ctx context.Context, g *guest, s *state) {
	client := g.client(s)
	told := func(err error) {
		if status.Code(err) != codes.ResourceExhausted {
			if err != nil && ctx.Err() == nil {
				f.strange.Store(&err)
			}
			return
		}
		for _, detail := range status.Convert(err).Details() {
			if retry, ok := detail.(*errdetails.RetryInfo); ok && retry.GetRetryDelay().AsDuration() > 0 {
				f.refused.Add(1)
				return
			}
		}
		f.strange.Store(&err)
	}
	for range 2 {
		f.flooding.Go(func() {
			for ctx.Err() == nil {
				_, err := client.Fetch(ctx, &exchangepb.FetchRequest{Resume: g.start(s)})
				told(err)
			}
		})
		f.flooding.Go(func() {
			for ctx.Err() == nil {
				stream, err := g.stream(ctx, s, client, 1)
				if err == nil {
					_, err = stream.Recv()
				}
				told(err)
			}
		})
	}
	shown, err := tls.LoadX509KeyPair(g.files.Certificate, g.files.Key)
	must(s.t, err)
	f.flooding.Go(func() {
		for ctx.Err() == nil {
			if f.ping(ctx, s.exchange, shown) {
				f.cut.Add(1)
			}
			time.Sleep(50 * time.Millisecond) // the others have this machine too
		}
	})
}

// ping pings until the connection is ended; it reports whether it was.
func (f *flood) ping(ctx context.Context, address string, shown tls.Certificate) bool {
	dialer := &tls.Dialer{Config: &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{shown}, NextProtos: []string{"h2"}, InsecureSkipVerify: true, //nolint:gosec // what the node is matters to no test here
	}}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return false
	}
	defer conn.Close()
	framer := http2.NewFramer(conn, conn)
	_, err = conn.Write([]byte(http2.ClientPreface))
	if err = errors.Join(err, framer.WriteSettings()); err != nil {
		return false
	}
	reading := make(chan struct{})
	go func() { // so that the answers do not stop it
		defer close(reading)
		for {
			if _, err := framer.ReadFrame(); err != nil {
				return
			}
		}
	}()
	for ctx.Err() == nil {
		if framer.WritePing(false, [8]byte{}) != nil {
			<-reading
			return true
		}
	}
	return false
}

// TestThirtyPartnersOneSlowOneFlooding has one partner take an envelope and no more, and one ask for everything all the time,
// while the others draw all that is theirs.
func TestThirtyPartnersOneSlowOneFlooding(t *testing.T) {
	t.Parallel()
	const partners, envelopes, rounds = 30, 8, 3
	aa := newWorld(t, "aa")[0]
	aa.start()
	guests := aa.invite(partners, func(i int) [][]byte {
		size := 16 << 10
		if i == 0 {
			size = sharing.MaxPayload // no window has room for what the slow one does not take
		}
		all := make([][]byte, envelopes)
		for k := range all {
			all[k] = make([]byte, size)
			_, _ = rand.Read(all[k]) // it never fails
		}
		return all
	})
	slow, flooding, others := guests[0], guests[1], guests[2:]

	stuck, err := slow.stream(t.Context(), aa, slow.client(aa), 1_000)
	must(t, err)
	eventually(t, "the slow one has its first envelope", func() bool { return take(stuck, 1) == nil })

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var f flood
	f.by(ctx, flooding, aa)
	defer f.flooding.Wait()
	defer stop()
	eventually(t, "the flooding one is told to come later, and its pings end its connection", func() bool {
		return f.refused.Load() > 0 && f.cut.Load() > 0
	})

	before := f.refused.Load()
	var drawing sync.WaitGroup
	for _, g := range others {
		client := g.client(aa)
		drawing.Go(func() {
			for round := range rounds {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				stream, err := g.stream(ctx, aa, client, envelopes)
				if err == nil {
					err = take(stream, envelopes)
				}
				cancel()
				if err != nil {
					t.Errorf("%s, in round %d: %v", g.code, round, err)
				}
			}
		})
	}
	drawing.Wait()
	eventually(t, "the flood went on all the time", func() bool { return f.refused.Load() > before })
	stop()
	f.flooding.Wait()
	if err := f.strange.Load(); err != nil {
		t.Errorf("the flooding one hears something else than when to come again: %v", *err)
	}
	if err := take(stuck, envelopes-1); err != nil {
		t.Errorf("the slow one, when it goes on: %v", err)
	}
	t.Logf("%d calls were refused and %d connections ended", f.refused.Load(), f.cut.Load())
}
