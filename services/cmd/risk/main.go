// Command risk keeps a state's risk register, and offers the methods of risk analysis. It reads the figures that it needs
// from the statistics service of the same state.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/google/uuid"

	riskpb "github.com/comity-federation/comity/proto/comity/risk/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/database"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/risk"
	"github.com/comity-federation/comity/services/risk/postgres"
	riskrpc "github.com/comity-federation/comity/services/risk/rpc"
)

// Config is what the process is told by its environment.
type Config struct {
	rpc.Config
	DatabaseURL string `env:"COMITY_DATABASE_URL,required,notEmpty"` // the service's own database, "postgres://…"
	Statistics  string `env:"COMITY_STATISTICS,required,notEmpty"`   // where the statistics service answers, "host:port"
}

func main() {
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, log)
	stop()
	if err != nil {
		log.Error("risk ends", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, log *slog.Logger) error {
	cfg, err := env.ParseAs[Config]()
	if err != nil {
		return fmt.Errorf("reading the configuration: %w", err)
	}
	pool, err := database.Open(ctx, cfg.DatabaseURL, postgres.Migrations)
	if err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	defer pool.Close()
	policies, err := cfg.OpenPolicies(ctx, log)
	if err != nil {
		return fmt.Errorf("loading the policies: %w", err)
	}
	statistics, err := rpc.Dial(cfg.Config, "statistics", cfg.Statistics)
	if err != nil {
		return fmt.Errorf("connecting to the statistics service: %w", err)
	}
	defer statistics.Close() //nolint:errcheck // the process ends

	figures := riskrpc.NewStatistics(statisticspb.NewStatisticsServiceClient(statistics))
	register := risk.NewRegister(postgres.NewStore(pool), figures, now, newID)

	server, err := rpc.NewServer(cfg.Config, policies, log, pool.Ping)
	if err != nil {
		return fmt.Errorf("setting the server up: %w", err)
	}
	riskpb.RegisterRiskServiceServer(server, riskrpc.NewServer(register))
	riskpb.RegisterMethodsServiceServer(server, riskrpc.Methods{})
	server.Background(policies.Watch)
	return server.Serve(ctx)
}

// now is to the microsecond, which is what the database keeps.
func now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func newID() string { return uuid.Must(uuid.NewV7()).String() }
