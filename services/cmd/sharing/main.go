// Command sharing decides which figures go to which partner state, exchanges them with the partners' nodes, and keeps
// the proof of what went and what came. It reads the figures from the statistics service of the same state.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/caarlos0/env/v11"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/internal/database"
	"github.com/comity-federation/comity/services/internal/onthespot"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/postgres"
	sharingrpc "github.com/comity-federation/comity/services/sharing/rpc"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// Config is what the process is told by its environment.
type Config struct {
	rpc.Config
	DatabaseURL    string `env:"COMITY_DATABASE_URL,required,notEmpty"`             // the service's own database, "postgres://…"
	Statistics     string `env:"COMITY_STATISTICS,required,notEmpty"`               // where the statistics service answers, "host:port"
	ExchangeListen string `env:"COMITY_EXCHANGE_LISTEN,required,notEmpty"`          // where partner states call, "host:port"
	SigningKey     string `env:"COMITY_SIGNING_KEY,required,notEmpty"`              // PEM file, PKCS #8, Ed25519: signs agreements, envelopes, receipts; a later key counts at once
	LogKey         string `env:"COMITY_LOG_KEY,required,notEmpty"`                  // file with the note signer key of the transparency log; a later key counts at once
	TrustList      string `env:"COMITY_TRUST_LIST,required,notEmpty"`               // JSON file, signed by officers: the states that exchange, and their keys; a later list counts at once
	Switches       string `env:"COMITY_SWITCHES"`                                   // directory where a file "kill" or "read-only" stops the service at once
	CRLs           string `env:"COMITY_CRLS"`                                       // directory with the revocation lists of partners' authorities, <state>.crl; a later list counts at once
	Dataflow       string `env:"COMITY_DATAFLOW" envDefault:"COMITY:BORDER(1.0.0)"` // of questions that no agreement answers
	ExpiryNotice   int    `env:"COMITY_EXPIRY_NOTICE" envDefault:"60"`              // days before its last one from which an agreement is said to end
}

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, log)
	stop()
	if err != nil {
		log.Error("sharing ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger) error {
	cfg, err := env.ParseAs[Config]()
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	state := sharing.StateCode(cfg.State)
	pair, err := mtls.LoadPair(cfg.Certificate, cfg.Key)
	if err != nil {
		return err
	}
	pool, err := database.Open(ctx, cfg.DatabaseURL, postgres.Migrations)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	defer pool.Close()
	store := postgres.NewStore(pool)
	keeper, err := partner.OpenKeeper(ctx, cfg.TrustList, state, store, log, partner.CRLs(cfg.CRLs))
	if err != nil {
		return fmt.Errorf("opening the trust list: %w", err)
	}
	trust := keeper.Trust()
	keys, err := partner.OpenKeyring(cfg.SigningKey, cfg.LogKey, state, trust, log)
	if err != nil {
		return err
	}
	policies, err := cfg.OpenPolicies(ctx, log)
	if err != nil {
		return fmt.Errorf("loading the policies: %w", err)
	}
	statistics, err := rpc.Dial(cfg.Config, "statistics", cfg.Statistics)
	if err != nil {
		return fmt.Errorf("connecting to the statistics service: %w", err)
	}
	defer statistics.Close() //nolint:errcheck // the process ends

	figures := sharingrpc.NewStatistics(statistics)
	partners := partner.NewConnector(trust, pair, keeper.Options()...)
	service := sharing.New(sharing.Config{
		State: state, Dataflow: cfg.Dataflow, Trust: trust, Keys: keys, Policy: policies, Past: otherPolicies{inForce: policies, log: log}, Log: log,
		Store: store, Statistics: figures, Registry: figures, Cells: figures, Accounts: postgres.NewAccounts(pool),
		Codec: wire.Codec{}, Courier: partner.NewCourier(partners), Notice: cfg.ExpiryNotice,
	})
	puller := partner.NewPuller(state, service, partners, log)
	exchange := sharingrpc.NewExchange(state, service, puller.Wake, log)

	server, err := rpc.NewServer(cfg.Config, policies, log, func(ctx context.Context) error {
		return errors.Join(keeper.Err(), keys.Err(), pool.Ping(ctx))
	})
	if err != nil {
		return fmt.Errorf("setting the server up: %w", err)
	}
	if err := errors.Join(
		server.Registry().Register(sharingrpc.NewAgreementMetrics(service, log)),
		server.Registry().Register(sharingrpc.NewTransferMetrics(service, log)),
	); err != nil {
		return fmt.Errorf("registering metrics: %w", err)
	}
	sharingpb.RegisterSharingServiceServer(server, sharingrpc.NewServer(service))
	sharingpb.RegisterDisclosureServiceServer(server, sharingrpc.NewDisclosure())
	sharingpb.RegisterGovernanceServiceServer(server, sharingrpc.NewGovernance(service))
	keeper.Register(server.Registry())
	abroad, err := server.Exchange(cfg.ExchangeListen, partner.Roots(trust), keeper.Options()...)
	if err != nil {
		return fmt.Errorf("setting the exchange up: %w", err)
	}
	exchangepb.RegisterExchangeServiceServer(abroad, exchange)
	hold := func(mode sharing.Mode) func(context.Context, string) error {
		return func(ctx context.Context, reason string) error { return service.Hold(ctx, mode, reason) }
	}
	onTheSpot := onthespot.Files{Directory: cfg.Switches, Log: log, Hold: map[string]func(context.Context, string) error{
		"kill": hold(sharing.Kill), "read-only": hold(sharing.ReadOnly),
	}}
	onTheSpot.Look(ctx) // before anything can leave
	server.Background(func(ctx context.Context) error {
		return service.CutStopped(ctx, keeper.Cut)
	})
	for _, loop := range []func(context.Context) error{
		policies.Watch, onTheSpot.Run, keeper.Watch, keys.Watch, exchange.Run, puller.Run,
		service.SequenceLog, service.FollowRevisions, service.HandOver, service.DeliverAgreements, service.WarnOfExpiry, service.RemoveExpired,
		service.HandOverPublications, service.KeepCalendar,
	} {
		server.Background(loop)
	}
	defer onHangup(func() {
		keeper.Reload()
		keys.Reload()
	})()
	return server.Serve(ctx)
}

// onHangup calls reload whenever the process gets SIGHUP, until the returned function is called.
func onHangup(reload func()) (stop func()) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	go func() {
		for range hangups {
			reload()
		}
	}()
	return func() {
		signal.Stop(hangups)
		close(hangups)
	}
}
