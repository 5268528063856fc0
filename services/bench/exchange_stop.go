package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"golang.org/x/mod/sumdb/note"
	"google.golang.org/grpc"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/postgres"
	sharingrpc "github.com/comity-federation/comity/services/sharing/rpc"
	"github.com/comity-federation/comity/services/sharing/wire"
)

const (
	streams     = 30 // of as many partners
	envelopes   = 8  // that each partner draws again and again
	stopLimit   = time.Second
	stopWatched = 2 * time.Second // after the stop: nothing may come any more
)

// stop measures how long envelopes still come to thirty partners once a switch is thrown, and once their certificates are revoked.
func (x *exchange) stop(ctx context.Context) error {
	h, err := x.newHub(ctx, "stop")
	if err != nil {
		return err
	}
	defer h.end()
	for _, g := range h.guests {
		h.work.Go(func() { h.draw(h.running, g) })
	}
	var revoked time.Duration
	for range x.Rounds {
		after, err := h.after(ctx, func() error { return h.revoke(h.serials) })
		if err != nil {
			return fmt.Errorf("revocation: %w", err)
		}
		revoked = max(revoked, after)
		if err := h.revoke(make([]string, streams)); err != nil {
			return err
		}
	}
	killed, err := h.after(ctx, func() error { return h.kill(ctx) }) // once: what waited before it never goes again
	if err != nil {
		return fmt.Errorf("the kill switch: %w", err)
	}
	worst := max(killed, revoked)
	x.table.add(Row{
		What:   fmt.Sprintf("kill switch or revocation → last byte, %d streams", streams),
		Figure: milliseconds(worst), Limit: "≤ 1 s", Ratio: fmt.Sprintf("%.2f", worst.Seconds()/stopLimit.Seconds()), Kept: worst <= stopLimit,
		Detail: fmt.Sprintf("kill switch %s, the slowest of %d revocations %s", milliseconds(killed), x.Rounds, milliseconds(revoked)),
	})
	return nil
}

// hub is the sharing service of a state, in this process, with partners that draw from it without a pause.
type hub struct {
	*sharing.Service
	store    *postgres.Store
	trust    *sharing.TrustList // in force, or about to be
	officers []ed25519.PrivateKey
	file     string // of the trust list
	guests   []*guest
	serials  []string // of the guests' certificates
	roots    mtls.Roots
	address  string
	running  context.Context // of all that works
	work     sync.WaitGroup
	end      func()

	last  atomic.Int64 // when an envelope came to any partner last, in nanoseconds since 1970
	count atomic.Int64 // of envelopes that came
}

// guest is a partner.
type guest struct {
	code    sharing.StateCode
	signing ed25519.PrivateKey
	pair    *mtls.Pair
}

// newHub brings the state and its partners up, with an agreement with each, and envelopes that wait for each.
func (x *exchange) newHub(ctx context.Context, name string) (h *hub, err error) {
	log := slog.New(slog.DiscardHandler)
	directory := filepath.Join(x.Directory, name)
	running, cancel := context.WithCancel(ctx)
	h = &hub{file: filepath.Join(directory, "trust.json"), running: running}
	h.end = func() { cancel(); h.work.Wait() }
	defer func() {
		if err != nil {
			h.end()
		}
	}()
	own, keys, err := h.join(directory, state, fmt.Sprintf("127.0.0.1:%d", x.BasePort))
	if err != nil {
		return nil, err
	}
	for i := range streams {
		if err := h.invite(directory, fmt.Sprintf("p%02d", i)); err != nil {
			return nil, err
		}
	}
	if err := h.sign(); err != nil {
		return nil, err
	}
	pool, err := x.database(ctx, name, postgres.Migrations)
	if err != nil {
		return nil, err
	}
	h.work.Go(func() { <-running.Done(); pool.Close() })
	policies, err := policy.Open(ctx, []string{x.policies()}, log)
	if err != nil {
		return nil, err
	}
	h.store = postgres.NewStore(pool)
	keeper, err := partner.OpenKeeper(ctx, h.file, state, h.store, log)
	if err != nil {
		return nil, err
	}
	h.Service = sharing.New(sharing.Config{
		State: state, Dataflow: pairFlow, Trust: keeper.Trust(), Keys: keys, Policy: policies, Log: log, Store: h.store,
		Statistics: noStatistics{x.cube}, Codec: wire.Codec{},
	})
	var payloads [][]byte
	for i := range envelopes {
		payload, err := wire.Codec{}.EncodePayload(x.block(i*sharing.MaxBatch, sharing.MaxBatch))
		if err != nil {
			return nil, err
		}
		payloads = append(payloads, payload)
	}
	for _, g := range h.guests {
		if err := h.fill(ctx, g, keys, payloads); err != nil {
			return nil, fmt.Errorf("filling the stream to %s: %w", g.code, err)
		}
	}
	certificate, key, err := own.Certificate("sharing")
	if err != nil {
		return nil, err
	}
	_, keySet, err := own.Tokens([]string{"officer"})
	if err != nil {
		return nil, err
	}
	issuer, audience := own.Issuer()
	server, err := rpc.NewServer(rpc.Config{
		State: state, Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", Certificate: certificate, Key: key, Root: own.RootFile(),
		JWKS: keySet, Issuer: issuer, Audience: audience,
	}, policies, log, nil)
	if err != nil {
		return nil, err
	}
	service := sharingrpc.NewExchange(state, h.Service, func(sharing.StateCode) {}, log)
	h.roots, h.address = partner.Roots(keeper.Trust()), h.trust.States[0].Address
	abroad, err := server.Exchange(h.address, partner.Roots(keeper.Trust()), keeper.Options()...)
	if err != nil {
		return nil, err
	}
	exchangepb.RegisterExchangeServiceServer(abroad, service)
	for _, loop := range []func(context.Context) error{
		service.Run, h.SequenceLog, keeper.Watch, func(ctx context.Context) error { return h.CutStopped(ctx, keeper.Cut) },
	} {
		server.Background(loop)
	}
	if err := server.Listen(ctx); err != nil {
		return nil, err
	}
	h.work.Go(func() { _ = server.Serve(running) })
	return h, nil
}

// join makes a state and puts it on the list.
func (h *hub) join(directory, code, address string) (*authority.Authority, sharing.Keys, error) {
	a, err := authority.Open(filepath.Join(directory, code), code)
	if err != nil {
		return nil, sharing.Keys{}, err
	}
	signing, err := authority.Ed25519(a.SigningKey())
	if err != nil {
		return nil, sharing.Keys{}, err
	}
	secret, verifier, err := note.GenerateKey(rand.Reader, sharing.LogName(sharing.StateCode(code)))
	if err != nil {
		return nil, sharing.Keys{}, err
	}
	signer, err := note.NewSigner(secret)
	if err != nil {
		return nil, sharing.Keys{}, err
	}
	if h.trust == nil {
		h.trust = &sharing.TrustList{Expires: time.Now().Add(24 * time.Hour), Threshold: 2}
		for _, name := range []string{"first", "second"} {
			public, private, err := ed25519.GenerateKey(rand.Reader)
			if err != nil {
				return nil, sharing.Keys{}, err
			}
			h.officers = append(h.officers, private)
			h.trust.Officers = append(h.trust.Officers, sharing.Officer{Name: name, ID: sharing.KeyID(public), PublicKey: public})
		}
	}
	public, _ := signing.Public().(ed25519.PublicKey)
	h.trust.States = append(h.trust.States, sharing.TrustedState{
		Code: sharing.StateCode(code), Name: code, Address: address, Roots: a.Root, LogKey: verifier,
		SigningKeys: []sharing.SigningKey{{ID: sharing.KeyID(public), PublicKey: public}},
	})
	return a, sharing.Keys{Signing: signing, Log: signer, LogVerifier: verifier}, nil
}

// invite makes a partner.
func (h *hub) invite(directory, code string) error {
	a, keys, err := h.join(directory, code, "127.0.0.1:1")
	if err != nil {
		return err
	}
	certificate, key, err := a.Certificate("sharing")
	if err != nil {
		return err
	}
	pair, err := mtls.LoadPair(certificate, key)
	if err != nil {
		return err
	}
	h.guests = append(h.guests, &guest{code: sharing.StateCode(code), signing: keys.Signing, pair: pair})
	h.serials = append(h.serials, pair.Current().Leaf.SerialNumber.Text(16))
	return nil
}

// sign puts the next trust list in force.
func (h *hub) sign() error {
	h.trust.Version++
	list, err := sharing.NewSignedTrustList(h.trust)
	if err != nil {
		return err
	}
	for _, key := range h.officers {
		list.Sign(key)
	}
	data, err := list.Encode()
	if err != nil {
		return err
	}
	if err := os.WriteFile(h.file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(h.file+".new", h.file)
}

// revoke has each partner's certificate of the serial number revoked; "": none.
func (h *hub) revoke(serials []string) error {
	for i, serial := range serials {
		revoked := sharing.Revoked{}
		if serial != "" {
			revoked.Serials = []string{serial}
		}
		h.trust.States[1+i].Revoked = revoked
	}
	return h.sign()
}

// kill stops everything.
func (h *hub) kill(ctx context.Context) error {
	_, err := h.Throw(ctx, sharing.SwitchRequest{Mode: sharing.Kill, By: "bench", Reason: "A measurement."})
	return err
}

// fill puts an agreement with the partner in force, and envelopes out for it.
func (h *hub) fill(ctx context.Context, g *guest, keys sharing.Keys, payloads [][]byte) error {
	var codec wire.Codec
	now := time.Now().UTC().Truncate(time.Microsecond)
	id := sharing.AgreementID("bench-" + string(g.code))
	document, err := sharing.Terms{
		ID: id, Version: 1, Provider: state, Receiver: g.code, Dataflow: pairFlow, Indicators: []string{"1A"}, Detail: map[string]string{"FREQ": "M"},
		Purposes: []string{"statistics"}, MinimumFrequency: 3, ValidFrom: "2024-01-01", Text: "A measurement.",
	}.Document()
	if err != nil {
		return err
	}
	var batches []sharing.SentEnvelope
	total, stream, epoch := sha256.New(), sharing.StreamName(state, g.code), uuid.Must(uuid.NewV7()).String()
	for _, payload := range payloads {
		sum := sha256.Sum256(payload)
		total.Write(sum[:])
	}
	decision := sharing.Decision{ID: sharing.DecisionID(uuid.Must(uuid.NewV7()).String()), Created: now, Use: "release"}
	scope := filter.Eq("INDICATOR", "1A")
	release := sharing.Release{
		ID: sharing.ReleaseID(uuid.Must(uuid.NewV7()).String()), Partner: g.code, Agreement: id, AgreementVersion: 1, Dataflow: pairFlow,
		Indicators: []string{"1A"}, Decision: decision.ID, Scope: sharing.Condition{Filter: scope}, Batches: envelopes, SHA256: total.Sum(nil), Created: now,
	}
	header := sharing.Header{
		Sender: state, Receiver: g.code, Agreement: id, AgreementVersion: 1, Decision: decision.ID, Stream: stream, Epoch: epoch,
		Created: now, Expires: now.Add(h.Lifetime), Release: release.ID, BatchCount: envelopes, ReleaseSHA256: release.SHA256,
		Dataflow: pairFlow, Scope: scope,
	}
	for i, payload := range payloads {
		header.Sequence, header.BatchIndex = header.Sequence+1, i
		sealed, err := h.Seal(header, payload, sharing.MaxBatch)
		if err != nil {
			return err
		}
		header.Previous = sealed.Leaf.ContentSHA256
		batches = append(batches, sealed)
	}
	decided, err := json.Marshal(decision)
	if err != nil {
		return err
	}
	released, err := json.Marshal(release)
	if err != nil {
		return err
	}
	return h.store.Write(ctx, func(tx sharing.Tx) error {
		about := string(id) + "/1/"
		if err := tx.AddAgreement(ctx, id, 1, document, newLeaf(sharing.EntryAgreement, about+"document", now, document)); err != nil {
			return err
		}
		for code, key := range map[sharing.StateCode]ed25519.PrivateKey{state: keys.Signing, g.code: g.signing} {
			public, _ := key.Public().(ed25519.PublicKey)
			signed, err := codec.EncodeSigned(sharing.Signed{
				PayloadType: sharing.AgreementType, Payload: document,
				Signatures: []sharing.Signature{{KeyID: sharing.KeyID(public), Signature: ed25519.Sign(key, dsse.PAE(sharing.AgreementType, document))}},
			})
			if err != nil {
				return err
			}
			if _, err := tx.AddSignature(ctx, id, 1, code, signed, newLeaf(sharing.EntryAgreement, about+"signature/"+string(code), now, signed)); err != nil {
				return err
			}
		}
		if _, err := tx.LockOutbound(ctx, stream, g.code, epoch); err != nil {
			return err
		}
		if err := tx.AddDecision(ctx, decision.ID, decided, newLeaf(sharing.EntryDecision, string(decision.ID), now, decided)); err != nil {
			return err
		}
		subject := fmt.Sprintf("%s/%s/1/%s", g.code, id, release.ID)
		if err := tx.AddRelease(ctx, release, released, newLeaf(sharing.EntryRelease, subject, now, released)); err != nil {
			return err
		}
		return tx.AddEnvelopes(ctx, stream, epoch, batches)
	})
}

// draw has a partner draw all its envelopes from the first on, again and again, until ctx ends. What breaks is begun anew.
func (h *hub) draw(ctx context.Context, g *guest) {
	for ctx.Err() == nil {
		connection, err := h.connect(g)
		if err != nil {
			return
		}
		for err == nil && ctx.Err() == nil {
			err = h.drawOnce(ctx, g, exchangepb.NewExchangeServiceClient(connection))
		}
		_ = connection.Close()
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// connect returns a connection of a guest's own.
func (h *hub) connect(g *guest) (*grpc.ClientConn, error) {
	credentials := mtls.NewClient(g.pair, h.roots, mtls.Identity{State: state, Service: "sharing"})
	return grpc.NewClient("passthrough:///"+h.address, grpc.WithTransportCredentials(credentials))
}

func (h *hub) drawOnce(ctx context.Context, g *guest, client exchangepb.ExchangeServiceClient) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := client.Sync(ctx)
	if err != nil {
		return err
	}
	_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Resume{
		Resume: wire.Cursor(sharing.Cursor{Stream: sharing.StreamName(state, g.code)}),
	}})
	_ = stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Credit{Credit: envelopes}})
	for drawn := 0; drawn < envelopes; {
		said, err := stream.Recv()
		if err != nil {
			return err
		}
		if said.GetEnvelope() != nil {
			h.last.Store(time.Now().UnixNano())
			h.count.Add(1)
			drawn++
		}
	}
	return nil
}

// after returns how long after the stop began an envelope came last. Before it each partner, on average, draws all of its own.
func (h *hub) after(ctx context.Context, stop func() error) (time.Duration, error) {
	from := h.count.Load()
	if err := await(ctx, "envelopes", func() (bool, error) { return h.count.Load() >= from+streams*envelopes, nil }); err != nil {
		return 0, err
	}
	begin := time.Now()
	if err := stop(); err != nil {
		return 0, err
	}
	select {
	case <-ctx.Done():
		return 0, ctx.Err()
	case <-time.After(stopLimit + stopWatched):
	}
	last := time.Unix(0, h.last.Load())
	if time.Since(last) < stopWatched {
		return 0, errors.New("envelopes come still")
	}
	return max(last.Sub(begin), 0), nil
}
