package bench

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/sync/errgroup"

	"github.com/comity-federation/comity/proto/block"
	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/internal/database"
	"github.com/comity-federation/comity/services/internal/pgcluster"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/postgres"
	sharingrpc "github.com/comity-federation/comity/services/sharing/rpc"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// neighbours are the sharing services of two states, in this process, each on a database of its own: the provider has batches for the
// receiver. They speak as any two nodes do. Nobody stands behind them: what has come and is receipted stays there.
type neighbours struct {
	provider, receiver *sharingNode
	stop               context.CancelFunc
	running            *errgroup.Group
}

// sharingNode is the sharing service of a state.
type sharingNode struct {
	*sharing.Service
	pool  *pgxpool.Pool
	store *postgres.Store
}

const (
	receiverCode = "au"
	pairFlow     = "BENCH:LARGE(1.0.0)"
	pairTerms    = sharing.AgreementID("bench")
	patience     = 2 * time.Minute
)

// newNeighbours brings the two up, with an agreement between them.
func (x *exchange) newNeighbours(ctx context.Context, name string) (p *neighbours, err error) {
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	p = &neighbours{}
	var states []sharing.TrustedState
	keys := map[string]sharing.Keys{}
	authorities := map[string]*authority.Authority{}
	ports := map[string]int{state: x.BasePort, receiverCode: x.BasePort + 1}
	for _, code := range []string{state, receiverCode} {
		a, err := authority.Open(filepath.Join(x.Directory, name, code), code)
		if err != nil {
			return nil, err
		}
		authorities[code] = a
		signing, err := authority.Ed25519(a.SigningKey())
		if err != nil {
			return nil, err
		}
		secret, verifier, err := note.GenerateKey(rand.Reader, sharing.LogName(sharing.StateCode(code)))
		if err != nil {
			return nil, err
		}
		signer, err := note.NewSigner(secret)
		if err != nil {
			return nil, err
		}
		keys[code] = sharing.Keys{Signing: signing, Log: signer, LogVerifier: verifier}
		public := signing.Public().(ed25519.PublicKey)
		states = append(states, sharing.TrustedState{
			Code: sharing.StateCode(code), Name: code, Address: fmt.Sprintf("127.0.0.1:%d", ports[code]), RefAreas: []string{map[string]string{state: "NZ", receiverCode: "AU"}[code]},
			Roots: a.Root, SigningKeys: []sharing.SigningKey{{ID: sharing.KeyID(public), PublicKey: public}}, LogKey: verifier,
		})
	}
	running, stop := context.WithCancel(ctx)
	p.stop = stop
	p.running, running = errgroup.WithContext(running)
	for _, code := range []string{state, receiverCode} {
		n, err := x.startSharing(running, p, name, code, authorities[code], keys[code], states, log)
		if err != nil {
			return nil, errors.Join(err, p.end())
		}
		if code == state {
			p.provider = n
		} else {
			p.receiver = n
		}
	}
	if err := p.agree(ctx); err != nil {
		return nil, errors.Join(err, p.end())
	}
	return p, nil
}

// startSharing brings up the sharing service of a state.
func (x *exchange) startSharing(ctx context.Context, p *neighbours, name, code string, a *authority.Authority, keys sharing.Keys, states []sharing.TrustedState, log *slog.Logger) (*sharingNode, error) {
	policies, err := policy.Open(ctx, []string{x.policies()}, log)
	if err != nil {
		return nil, err
	}
	certificate, key, err := a.Certificate("sharing")
	if err != nil {
		return nil, err
	}
	_, keySet, err := a.Tokens([]string{"officer"})
	if err != nil {
		return nil, err
	}
	pool, err := x.database(ctx, name+"_"+code, postgres.Migrations)
	if err != nil {
		return nil, err
	}
	pair, err := mtls.LoadPair(certificate, key)
	if err != nil {
		return nil, err
	}
	trust := sharing.NewTrust(&sharing.TrustList{Version: 1, Expires: time.Now().Add(time.Hour), States: states})
	partners := partner.NewConnector(trust, pair)
	n := &sharingNode{pool: pool, store: postgres.NewStore(pool)}
	n.Service = sharing.New(sharing.Config{
		State: sharing.StateCode(code), Dataflow: pairFlow, Trust: trust, Keys: keys, Policy: policies, Log: log, Store: n.store,
		Statistics: noStatistics{x.cube}, Codec: wire.Codec{}, Courier: partner.NewCourier(partners),
	})
	puller := partner.NewPuller(sharing.StateCode(code), n.Service, partners, log)
	service := sharingrpc.NewExchange(sharing.StateCode(code), n.Service, puller.Wake, log)
	issuer, audience := a.Issuer()
	server, err := rpc.NewServer(rpc.Config{
		State: code, Listen: "127.0.0.1:0", OpsListen: "127.0.0.1:0", Certificate: certificate, Key: key, Root: a.RootFile(),
		JWKS: keySet, Issuer: issuer, Audience: audience,
	}, policies, log, nil)
	if err != nil {
		return nil, err
	}
	own, _ := trust.State(sharing.StateCode(code))
	abroad, err := server.Exchange(own.Address, partner.Roots(trust))
	if err != nil {
		return nil, err
	}
	exchangepb.RegisterExchangeServiceServer(abroad, service)
	for _, loop := range []func(context.Context) error{service.Run, puller.Run, n.SequenceLog, n.DeliverAgreements} {
		server.Background(loop)
	}
	if err := server.Listen(ctx); err != nil {
		return nil, err
	}
	p.running.Go(func() error {
		defer pool.Close()
		return server.Serve(ctx)
	})
	return n, nil
}

// database makes a database with the migrations.
func (x *exchange) database(ctx context.Context, name string, migrations fs.FS) (*pgxpool.Pool, error) {
	admin, err := x.cluster.Admin(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	_, err = admin.Exec(ctx, `CREATE DATABASE "`+name+`"`)
	if err = errors.Join(err, admin.Close(ctx)); err != nil {
		return nil, err
	}
	return database.Open(ctx, x.cluster.URL(pgcluster.Superuser, x.cluster.Password, name), migrations)
}

// end ends both.
func (p *neighbours) end() error {
	p.stop()
	return p.running.Wait()
}

// agree brings the agreement into force.
func (p *neighbours) agree(ctx context.Context) error {
	detail := map[string]string{"FREQ": "M"}
	for _, dimension := range pairDimensions(cube{1}) {
		if len(dimension.Levels) > 1 {
			detail[dimension.ID] = "item"
		}
	}
	_, err := p.provider.Draft(ctx, sharing.Terms{
		ID: pairTerms, Version: 1, Provider: state, Receiver: receiverCode, Dataflow: pairFlow, Indicators: []string{"1A"},
		Detail: detail, Purposes: []string{"statistics"}, MinimumFrequency: 3, ValidFrom: "2024-01-01", Text: "A measurement.",
	})
	if err != nil {
		return err
	}
	for _, side := range []*sharingNode{p.provider, p.receiver} {
		if err := await(ctx, "the agreement", func() (bool, error) {
			_, err := side.Sign(ctx, pairTerms)
			return err == nil, nil
		}); err != nil {
			return err
		}
	}
	err = await(ctx, "the agreement in force", func() (bool, error) {
		a, err := p.provider.Agreement(ctx, pairTerms)
		return a.State == sharing.Active, err
	})
	if err != nil {
		return err
	}
	// Policy hears of agreements when it is asked. There are no figures to explain.
	_, err = p.provider.Explain(ctx, sharing.ExplainRequest{Partner: receiverCode, Indicator: "1A", Filter: filter.True()})
	if !errors.Is(err, errNone) {
		return err
	}
	return nil
}

// await asks until it is true, every few milliseconds.
func await(ctx context.Context, what string, done func() (bool, error)) error {
	return awaitEvery(ctx, 10*time.Millisecond, what, done)
}

// awaitEvery asks until it is true, with such pauses.
func awaitEvery(ctx context.Context, pause time.Duration, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, ctx.Err())
		case <-time.After(pause):
		}
	}
}

// noStatistics knows the structure of the cube, and has no figures.
type noStatistics struct{ cube }

var errNone = errors.New("there are no statistics here")

func (s noStatistics) Structures(context.Context, string) (*sharing.Structures, error) {
	return &sharing.Structures{Dataflow: pairFlow, Codelists: []string{"BENCH:CL_SECTION(1.0.0)"}, Dimensions: pairDimensions(s.cube)}, nil
}
func (noStatistics) Derivations(context.Context) ([]sharing.Derivation, error) { return nil, nil }
func (noStatistics) Constraints(context.Context, string, sharing.StateCode) ([]sharing.Constraint, error) {
	return nil, nil
}

func (noStatistics) Query(context.Context, sharing.Query, func(*block.Block) error) (int64, error) {
	return 0, errNone
}

func (noStatistics) Trace(context.Context, sharing.TraceQuery) ([]sharing.Origin, int64, error) {
	return nil, 0, errNone
}

func (noStatistics) Watch(context.Context, string, func(sharing.Revision) error) error {
	return errNone
}

func (noStatistics) Submit(context.Context, sharing.Submission, iter.Seq2[*block.Block, error]) (sharing.Submitted, error) {
	return sharing.Submitted{}, errNone
}

// pairDimensions are the dimensions of the cube as sharing knows them.
func pairDimensions(c cube) []sharing.Dimension {
	all := map[string][]string{"FREQ": {"M"}, "REF_AREA": {"NZ"}, "INDICATOR": {"1A"}, "BORDER_TYPE": {"LAND", "SEA", "AIR"}, "SEX": sexes(), "AGE": ages()}
	for i := range sections {
		all["SECTION"] = append(all["SECTION"], section(i))
	}
	for i := range c.citizenships {
		all["CITIZENSHIP"] = append(all["CITIZENSHIP"], citizenship(i))
	}
	var list []sharing.Dimension
	for _, id := range dimensions() {
		d := sharing.Dimension{ID: id, Levels: []string{"total", "item"}, Codes: map[string]sharing.Code{"_T": {Level: "total"}}}
		if id == "FREQ" || id == "REF_AREA" || id == "INDICATOR" {
			d.Levels, d.Codes = []string{"item"}, map[string]sharing.Code{}
		}
		for _, code := range all[id] {
			d.Codes[code] = sharing.Code{Parent: "_T", Level: "item"}
		}
		list = append(list, d)
	}
	return list
}
