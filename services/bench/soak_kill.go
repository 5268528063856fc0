package bench

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// killOne kills a process of the database, or, while it may, the statistics, the gateway or the whole database server, and brings
// back what does not come by itself.
func (s *soak) killOne(ctx context.Context, random *rand.Rand, whole bool) error {
	s.work.RLock()
	defer s.work.RUnlock()
	s.kills.Add(1)
	victim := s.node.pids["statistics"]
	switch random.IntN(4) {
	case 0:
		victim = s.node.pids["gateway"]
	case 1:
		victim = s.node.cluster.PID
	case 2:
		whole = false
	}
	if !whole {
		return s.killBackend(ctx)
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		return err
	}
	if err := s.node.up(ctx, s.region, s.BasePort); err != nil {
		return err
	}
	_, err := s.node.describe()
	return err
}

// killBackend kills a process that works for the statistics, upon which the server ends all others and recovers.
func (s *soak) killBackend(ctx context.Context) (err error) {
	conn, err := s.node.cluster.Admin(ctx, "postgres")
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }() // it ends with the others
	var pid int
	err = conn.QueryRow(ctx, `
		SELECT pid
		FROM pg_stat_activity
		WHERE usename = $1 AND backend_type = 'client backend'
		ORDER BY state = 'idle', query_start DESC
		LIMIT 1`, "comity_"+state+"_statistics").Scan(&pid)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding a process of the database: %w", err)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}
