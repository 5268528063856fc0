package partner_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/proto/block"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/internal/region"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	sharingpostgres "github.com/comity-federation/comity/services/sharing/postgres"
	sharingrpc "github.com/comity-federation/comity/services/sharing/rpc"
	"github.com/comity-federation/comity/services/sharing/wire"
	"github.com/comity-federation/comity/services/statistics"
	statisticspostgres "github.com/comity-federation/comity/services/statistics/postgres"
	statisticsrpc "github.com/comity-federation/comity/services/statistics/rpc"
)

const dataflow = "TEST:CROSSINGS(1.0.0)"

// state is a made-up state in this process: its statistics and its sharing service, on real sockets with mutual TLS and
// on databases of their own. Partners reach it through a proxy, which a test can cut.
type state struct {
	t         *testing.T
	code      sharing.StateCode
	authority *mtlstest.Authority
	cfg       rpc.Config     // but for certificate and addresses
	keys      sharing.Keys   // the first ones
	signing   string         // the file of signing keys
	logKeys   string         // the file of log keys
	files     mtlstest.Files // of the sharing service, of the last start
	trustFile string         // the same for all
	officers  officers       // who sign it
	crls      string         // the directory of revocation lists
	trust     *sharing.Trust // of the last start
	keeper    *partner.Keeper
	policies  *policy.Engine
	log       *slog.Logger
	proxy     *proxy
	database  string

	figureStore       *statisticspostgres.Store // of the statistics
	statistics        *statistics.Service
	statisticsAddress string

	spoil    *spoiling        // spoils what the node says and does; nil: nothing does
	patience time.Duration    // with a partner that is silent; 0: as nodes have
	service  *sharing.Service // of the last start
	national string           // its address
	exchange string           // the address of its exchange, past the proxy
	stop     func()           // ends the sharing service; nil: it is not running
}

// newWorld returns states that trust each other, with statistics running and sharing not yet.
func newWorld(t *testing.T, codes ...sharing.StateCode) []*state {
	t.Helper()
	var list []map[string]any
	states := make([]*state, len(codes))
	for i, code := range codes {
		s := &state{t: t, code: code, authority: mtlstest.NewAuthority(t, string(code)), proxy: newProxy(t)}
		states[i] = s
		public, private, err := ed25519.GenerateKey(rand.Reader)
		must(t, err)
		signerKey, verifierKey, err := note.GenerateKey(rand.Reader, "comity/"+string(code)+"/log")
		must(t, err)
		signer, err := note.NewSigner(signerKey)
		must(t, err)
		s.keys = sharing.Keys{Signing: private, Log: signer, LogVerifier: verifierKey}
		s.signing, s.logKeys = filepath.Join(t.TempDir(), "signing.key"), filepath.Join(t.TempDir(), "log.key")
		put(t, s.signing, pkcs8(t, private))
		put(t, s.logKeys, []byte(signerKey+"\n"))
		roots, err := os.ReadFile(s.authority.Root)
		must(t, err)
		list = append(list, map[string]any{
			"code": code, "name": strings.ToUpper(string(code)), "address": s.proxy.address(),
			"refAreas": []string{strings.ToUpper(string(code))}, "roots": string(roots), "logKey": verifierKey,
			"signingKeys": []map[string]any{{"id": sharing.KeyID(public), "publicKey": public}},
		})
	}
	by := newOfficers(t, 2)
	trustList := writeTrustList(t, by, list...)
	keySet := filepath.Join(t.TempDir(), "keys.json")
	must(t, os.WriteFile(keySet, fmt.Appendf(nil,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","alg":"EdDSA","use":"sig","x":%q}]}`,
		base64.RawURLEncoding.EncodeToString(states[0].keys.Signing.Public().(ed25519.PublicKey)),
	), 0o600))
	policies := policytest.Untested(t, filepath.Join("..", "..", "..", "policies"))
	for _, s := range states {
		var err error
		s.trustFile, s.officers, s.crls = trustList, by, t.TempDir()
		s.cfg = rpc.Config{
			State: string(s.code), Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", Root: s.authority.Root,
			JWKS: keySet, Issuer: "issuer", Audience: "comity",
		}
		s.log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn})).With("state", s.code)
		s.policies, err = policy.Open(t.Context(), []string{policies}, s.log)
		must(t, err)
		s.database = postgrestest.URL(t, sharingpostgres.Migrations)
		s.startStatistics()
		t.Cleanup(s.halt)
	}
	return states
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// config returns the configuration of one of the state's services, with a fresh certificate.
func (s *state) config(service string) rpc.Config {
	cfg := s.cfg
	files := s.authority.Issue(service)
	cfg.Certificate, cfg.Key = files.Certificate, files.Key
	return cfg
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

// startStatistics runs the statistics until the test ends.
func (s *state) startStatistics() {
	store := statisticspostgres.New(postgrestest.New(s.t, statisticspostgres.Migrations))
	s.figureStore = store
	s.statistics = statistics.NewService(store, string(s.code), time.Now, newID)
	server, err := rpc.NewServer(s.config("statistics"), s.policies, s.log, nil)
	must(s.t, err)
	service := statisticsrpc.NewServer(s.statistics, s.policies)
	statisticspb.RegisterStatisticsServiceServer(server, service)
	server.Background(store.Listen)
	must(s.t, server.Listen(s.t.Context()))
	s.statisticsAddress = server.Address()
	serve(s.t, server)

	structures := &statisticspb.Structures{}
	must(s.t, region.ReadMessage(filepath.Join("testdata", "structures.yaml"), structures))
	_, err = service.CreateStructures(s.t.Context(), &statisticspb.CreateStructuresRequest{Structures: structures})
	must(s.t, err)
}

// serve runs the server until the returned function is called, or the test ends.
func serve(t *testing.T, server *rpc.Server) (stop func()) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("serving: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// start runs the sharing service, on what its database holds.
func (s *state) start() {
	s.t.Helper()
	cfg := s.config("sharing")
	pair, err := mtls.LoadPair(cfg.Certificate, cfg.Key)
	must(s.t, err)
	connections, err := pgxpool.ParseConfig(s.database)
	must(s.t, err)
	connections.MaxConns = 8 // as the service has: three loops hold one while they work, and one listens
	pool, err := pgxpool.NewWithConfig(s.t.Context(), connections)
	must(s.t, err)
	figures, err := rpc.Dial(cfg, "statistics", s.statisticsAddress)
	must(s.t, err)
	store := sharingpostgres.NewStore(pool)
	keeper, err := partner.OpenKeeper(s.t.Context(), s.trustFile, s.code, store, s.log, partner.CRLs(s.crls))
	must(s.t, err)
	s.trust, s.keeper, s.files = keeper.Trust(), keeper, mtlstest.Files{Certificate: cfg.Certificate, Key: cfg.Key}
	keys, err := partner.OpenKeyring(s.signing, s.logKeys, s.code, s.trust, s.log)
	must(s.t, err)
	partners := partner.NewConnector(s.trust, pair, keeper.Options()...)
	s.service = sharing.New(sharing.Config{
		State: s.code, Dataflow: "TEST:USUAL(1.0.0)", Trust: s.trust, Keys: keys, Policy: s.policies, Log: s.log,
		Store: store, Statistics: sharingrpc.NewStatistics(figures),
		Codec: wire.Codec{}, Courier: partner.NewCourier(partners), Registry: sharingrpc.NewStatistics(figures),
	})
	puller := partner.NewPuller(s.code, s.spoil.node(s.service), partners, s.log)
	puller.Patience = s.patience
	exchange := sharingrpc.NewExchange(s.code, s.service, puller.Wake, s.log)
	server, err := rpc.NewServer(cfg, s.policies, s.log, pool.Ping)
	must(s.t, err)
	sharingpb.RegisterSharingServiceServer(server, sharingrpc.NewServer(s.service))
	abroad, err := server.Exchange("127.0.0.1:0", partner.Roots(s.trust), keeper.Options()...)
	must(s.t, err)
	s.spoil.register(abroad, exchange)
	server.Background(func(ctx context.Context) error {
		return s.service.CutStopped(ctx, keeper.Cut)
	})
	for _, loop := range []func(context.Context) error{
		keeper.Watch, keys.Watch, exchange.Run, puller.Run, s.service.SequenceLog, s.service.FollowRevisions, s.service.HandOver, s.service.DeliverAgreements,
	} {
		server.Background(loop)
	}
	must(s.t, server.Listen(s.t.Context()))
	s.national = server.Address()
	s.exchange = server.ExchangeAddress()
	s.proxy.lead(s.exchange)
	stop := serve(s.t, server)
	s.stop = func() {
		stop()
		_ = figures.Close()
		pool.Close()
	}
}

// halt ends the sharing service; what it was about to do, it does no more.
func (s *state) halt() {
	if s.stop != nil {
		s.proxy.lead("")
		s.stop()
		s.stop = nil
	}
}

// citizenships are the finest codes of the test's figures.
var citizenships = []string{
	"AFG", "ALB", "DZA", "ERI", "GEO", "HTI", "IND", "IRN", "IRQ", "MAR", "PAK", "SDN", "SYR", "TUR", "VEN", "VNM",
}

// pkcs8 returns a private key in PEM.
func pkcs8(t *testing.T, key ed25519.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	must(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// submit makes the state's own figures: for each month of the years and each citizenship, the value, and a little more
// for each code.
func (s *state) submit(years int, value float64) {
	s.t.Helper()
	must(s.t, s.trySubmit(s.t.Context(), years, value))
}

// trySubmit is submit for who may not end the test.
func (s *state) trySubmit(ctx context.Context, years int, value float64) error {
	rows := func(yield func(*block.Block, error) bool) {
		b := block.NewBuilder([]string{"FREQ", "REF_AREA", "INDICATOR", "CITIZENSHIP", block.TimePeriod}, []string{block.ObsValue})
		for year := range years {
			for month := range 12 {
				for i, code := range citizenships {
					period := fmt.Sprintf("%04d-%02d", 2000+year, 1+month)
					b.Append([]string{"M", strings.ToUpper(string(s.code)), "1A", code, period}, []float64{value + float64(i)})
				}
			}
		}
		yield(b.Block(), nil)
	}
	flow, err := statistics.ParseRef(dataflow)
	if err != nil {
		return err
	}
	submission, err := s.statistics.Submit(ctx, statistics.Header{Dataflow: flow, Scope: filter.True()},
		statistics.Content{Blocks: iter.Seq2[*block.Block, error](rows)})
	if err == nil && submission.State != statistics.Accepted {
		err = fmt.Errorf("the figures of %s are rejected: %v", s.code, submission.Findings)
	}
	return err
}

// figures returns the provider's figures as the state's statistics have them, by "1A SYR 2001-03".
func (s *state) figures(provider sharing.StateCode) map[string]float64 {
	s.t.Helper()
	cfg := s.config("sharing")
	connection, err := rpc.Dial(cfg, "statistics", s.statisticsAddress)
	must(s.t, err)
	defer connection.Close()
	figures := map[string]float64{}
	query := sharing.Query{Dataflow: dataflow, Providers: []sharing.StateCode{provider}, Filter: filter.True()}
	_, err = sharingrpc.NewStatistics(connection).Query(s.t.Context(), query, func(b *block.Block) error {
		for i := range b.Rows {
			key := strings.Join([]string{b.Column("INDICATOR").Text(i), b.Column("CITIZENSHIP").Text(i), b.Column(block.TimePeriod).Text(i)}, " ")
			if _, twice := figures[key]; twice {
				return fmt.Errorf("%s stands twice", key)
			}
			figures[key] = b.Column(block.ObsValue).Numbers[i]
		}
		return nil
	})
	must(s.t, err)
	return figures
}

// keepDays is how long what is provided under the agreement is kept.
const keepDays = 30

// agree brings the agreement "aa-bb" into force: from provides 1A to to, by month and citizenship.
func agree(from, to *state) {
	from.t.Helper()
	t := from.t
	const id sharing.AgreementID = "aa-bb"
	_, err := from.service.Draft(t.Context(), sharing.Terms{
		ID: id, Version: 1, Provider: from.code, Receiver: to.code, Dataflow: dataflow, Indicators: []string{"1A"},
		Detail: map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}, Purposes: []string{"statistics"},
		MinimumFrequency: 3, RetentionDays: keepDays, ValidFrom: "2024-01-01", Text: "For a test.",
	})
	must(t, err)
	_, err = from.service.Sign(t.Context(), id)
	must(t, err)
	eventually(t, "the proposal arrives", func() bool {
		agreement, err := to.service.Agreement(t.Context(), id)
		return err == nil && len(agreement.Signatures) == 1
	})
	_, err = to.service.Sign(t.Context(), id)
	must(t, err)
	eventually(t, "the answer arrives", func() bool {
		agreement, err := from.service.Agreement(t.Context(), id)
		return err == nil && agreement.State == sharing.Active
	})
}

// eventually waits until it holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited in vain: %s", what)
}

// proxy stands before a state's exchange.
type proxy struct {
	listener net.Listener
	running  sync.WaitGroup
	weather  weather // between it and both ends

	mu     sync.Mutex
	target string // "": connections are refused
	budget []int  // bytes after which each of the next connections is cut
	live   map[net.Conn]bool
}

func newProxy(t *testing.T) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	p := &proxy{listener: listener, live: map[net.Conn]bool{}}
	p.running.Go(p.accept)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		p.running.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// lead makes new connections lead to the address, and cuts the others.
func (p *proxy) lead(address string) {
	p.mu.Lock()
	p.target = address
	p.mu.Unlock()
	p.cut()
}

// cut cuts every connection.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for connection := range p.live {
		_ = connection.Close()
	}
}

// cutAfter cuts each of the next connections after so many bytes from the state.
func (p *proxy) cutAfter(bytes ...int) {
	p.mu.Lock()
	p.budget = bytes
	p.mu.Unlock()
	p.cut()
}

// cutting returns how many connections are still to be cut.
func (p *proxy) cutting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.budget)
}

func (p *proxy) accept() {
	for {
		caller, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target, budget := p.target, 1<<40
		if len(p.budget) > 0 && target != "" {
			budget, p.budget = p.budget[0], p.budget[1:]
		}
		p.mu.Unlock()
		called, err := net.Dial("tcp", target)
		if target == "" || err != nil {
			_ = caller.Close()
			continue
		}
		caller, called = p.weather.over(caller), p.weather.over(called)
		if !p.keep(target, caller, called) {
			_ = caller.Close()
			_ = called.Close()
			continue
		}
		p.running.Go(func() {
			_, _ = io.Copy(called, caller)
			_ = called.Close()
		})
		p.running.Go(func() {
			_, _ = io.CopyN(caller, called, int64(budget))
			_ = caller.Close()
			_ = called.Close()
			p.forget(caller, called)
		})
	}
}

// keep lets connections be cut later. It reports false where they lead to a target of before, and should have been cut.
func (p *proxy) keep(target string, connections ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.target != target {
		return false
	}
	for _, connection := range connections {
		p.live[connection] = true
	}
	return true
}

func (p *proxy) forget(connections ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, connection := range connections {
		delete(p.live, connection)
	}
}
