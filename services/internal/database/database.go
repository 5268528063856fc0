// Package database opens a service's own database: it waits for the server, brings the schema up to date, and returns
// a small pool of connections.
package database

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

const (
	// patience is how long Open waits for a server that does not answer yet.
	patience = 30 * time.Second
	// maxConns bounds the pool. A node has three services on one server, and a sandbox has several nodes.
	maxConns = 8
	// readOnly is the SQLSTATE of what a server says that may not write (read_only_sql_transaction).
	readOnly = "25006"
)

// Open connects to the database at url, applies the migrations that it lacks, and returns the pool.
//
// The migrations are goose files named "00001_what.sql", at the root of the file system or in its directory
// "migrations". They are applied in order under an advisory lock, so that processes which start together do not race.
// A server that is starting is waited for, half a minute at most; then the last error is returned. A wrong password, a
// database that does not exist or a migration that fails is an error at once.
func Open(ctx context.Context, url string, migrations fs.FS) (*pgxpool.Pool, error) {
	cfg, err := configuration(url)
	if err != nil {
		return nil, err
	}
	if err := await(ctx, cfg.ConnConfig); err != nil {
		return nil, fmt.Errorf("reaching the database %s at %s:%d: %w",
			cfg.ConnConfig.Database, cfg.ConnConfig.Host, cfg.ConnConfig.Port, err)
	}
	if err := migrate(ctx, cfg.ConnConfig, migrations); err != nil {
		return nil, fmt.Errorf("migrating the database %s: %w", cfg.ConnConfig.Database, err)
	}
	var opened atomic.Pointer[pgxpool.Pool]
	keeps := cfg.ConnConfig.OnPgError
	cfg.ConnConfig.OnPgError = func(conn *pgconn.PgConn, answer *pgconn.PgError) bool {
		if pool := opened.Load(); pool != nil && answer.Code == readOnly {
			pool.Reset()
		}
		return keeps(conn, answer)
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the pool: %w", err)
	}
	opened.Store(pool)
	return pool, nil
}

// OpenReplica returns a pool of connections to a server that follows the one of [Open], and cannot be written to. It is not
// waited for: who uses the pool has to do without it while it does not answer.
func OpenReplica(ctx context.Context, url string) (*pgxpool.Pool, error) {
	cfg, err := configuration(url)
	if err != nil {
		return nil, err
	}
	cfg.PingTimeout = time.Second // a connection to a server that fell silent is given up
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the pool: %w", err)
	}
	return pool, nil
}

func configuration(url string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the database URL: %w", err)
	}
	cfg.MaxConns = maxConns
	cfg.MaxConnIdleTime = 5 * time.Minute
	cfg.ConnConfig.ConnectTimeout = 5 * time.Second
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	cfg.ConnConfig.RuntimeParams["jit"] = "off" // to compile a statement takes longer than any of ours
	return cfg, nil
}

// await returns when the server takes a connection, or with the error that waiting does not mend.
func await(ctx context.Context, cfg *pgx.ConnConfig) error {
	deadline := time.Now().Add(patience)
	for {
		conn, err := pgx.ConnectConfig(ctx, cfg)
		if err == nil {
			return conn.Close(ctx)
		}
		if !transient(err) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), err)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// transient reports whether a connection may succeed later: nobody listens, or the server is starting or is full.
func transient(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return true
	}
	switch answer.Code {
	case "57P03", "57P01", "57P02", "53300": // cannot_connect_now, admin_shutdown, crash_shutdown, too_many_connections
		return true
	}
	return false
}

// migrate brings the schema up to date.
func migrate(ctx context.Context, cfg *pgx.ConnConfig, migrations fs.FS) (err error) {
	if _, err := fs.Stat(migrations, "migrations"); err == nil {
		if migrations, err = fs.Sub(migrations, "migrations"); err != nil {
			return err
		}
	}
	// One process migrates, the others try again every second for two minutes.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 120))
	if err != nil {
		return err
	}
	db := stdlib.OpenDB(*cfg)
	defer func() { err = errors.Join(err, db.Close()) }()
	return up(ctx, db, migrations, locker)
}

func up(ctx context.Context, db *sql.DB, migrations fs.FS, locker lock.SessionLocker) error {
	provider, err := goose.NewProvider(goose.DialectPostgres, db, migrations,
		goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = provider.Up(ctx)
	return err
}
