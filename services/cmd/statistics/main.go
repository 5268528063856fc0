// Command statistics holds a state's figures: their structures, their history, and what partners sent.
package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/google/uuid"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/database"
	"github.com/comity-federation/comity/services/internal/onthespot"
	"github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
	statisticsrpc "github.com/comity-federation/comity/services/statistics/rpc"
)

// Config is what the process is told by its environment.
type Config struct {
	rpc.Config
	DatabaseURL string `env:"COMITY_DATABASE_URL,required,notEmpty"` // the service's own database, "postgres://…"
	ReplicaURL  string `env:"COMITY_REPLICA_URL"`                    // a streaming replica of it, which answers queries; empty: there is none
	Switches    string `env:"COMITY_SWITCHES"`                       // directory where a file "read-only" keeps everything as it is
	CellSecret  string `env:"COMITY_CELL_SECRET"`                    // file with 32 bytes in hexadecimal, which make the keys of cells and may never change; empty: no tables with noise

	// How often events are closed, which makes a revision of what was counted; 0: only when somebody asks for it.
	EventsCloseEvery time.Duration `env:"COMITY_EVENTS_CLOSE_EVERY" envDefault:"1h"`
	// How often figures are removed whose time is over; 0: never.
	RetentionEvery time.Duration `env:"COMITY_RETENTION_EVERY" envDefault:"1h"`
}

func main() {
	ballast := settleHeap()
	defer runtime.KeepAlive(ballast)
	log := slog.New(slog.NewJSONHandler(os.Stderr, nil))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, log)
	stop()
	if err != nil {
		log.Error("statistics ends", "error", err)
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
	store := postgres.New(pool)
	if cfg.ReplicaURL != "" {
		replica, err := database.OpenReplica(ctx, cfg.ReplicaURL)
		if err != nil {
			return fmt.Errorf("opening the replica: %w", err)
		}
		defer replica.Close()
		store.ReadFrom(replica)
	}
	service := statistics.NewService(store, cfg.State, time.Now, newID)

	if cfg.CellSecret != "" {
		secret, err := readSecret(cfg.CellSecret)
		if err != nil {
			return fmt.Errorf("reading the secret of cells: %w", err)
		}
		if err := service.KeyCellsBy(ctx, secret); err != nil {
			return fmt.Errorf("%s: %w", cfg.CellSecret, err)
		}
	}

	server, err := rpc.NewServer(cfg.Config, policies, log, pool.Ping)
	if err != nil {
		return fmt.Errorf("setting the server up: %w", err)
	}
	statisticspb.RegisterStatisticsServiceServer(server, statisticsrpc.NewServer(service, policies))
	onTheSpot := onthespot.Files{Directory: cfg.Switches, Log: log, Hold: map[string]func(context.Context, string) error{
		"read-only": service.HoldReadOnly,
	}}
	onTheSpot.Look(ctx) // before anything can be changed
	server.Background(onTheSpot.Run)
	server.Background(policies.Watch)
	server.Background(store.Listen)
	if cfg.EventsCloseEvery > 0 {
		server.Background(func(ctx context.Context) error { return service.CloseEventsEvery(ctx, cfg.EventsCloseEvery, log) })
	}
	if cfg.RetentionEvery > 0 {
		server.Background(func(ctx context.Context) error { return service.RemoveExpiredEvery(ctx, cfg.RetentionEvery, log) })
	}
	return server.Serve(ctx)
}

// newID returns an id that ascends in time, see RFC 9562, section 5.7.
func newID() string { return uuid.Must(uuid.NewV7()).String() }

// readSecret returns the bytes that a file holds in hexadecimal.
func readSecret(path string) ([]byte, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	return hex.DecodeString(strings.TrimSpace(string(text)))
}
