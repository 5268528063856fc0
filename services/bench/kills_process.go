package bench

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/comity-federation/comity/services/internal/pgcluster"
)

// supervised is a process of a node that is started again when it has died, as a service manager does it.
type supervised struct {
	name        string
	binary      string
	environment []string
	pidFile     string
	logFile     string
	pid         int
}

// supervise takes a process over as it runs.
func supervise(state, service, directory string, pid int) (*supervised, error) {
	place := filepath.Join("/proc", strconv.Itoa(pid))
	binary, err := os.Readlink(filepath.Join(place, "exe"))
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(filepath.Join(place, "environ")) //nolint:gosec // of our own process
	if err != nil {
		return nil, err
	}
	p := &supervised{
		name: service + " of " + state, binary: binary, pid: pid,
		pidFile: filepath.Join(directory, state, "run", service+".pid"),
		logFile: filepath.Join(directory, state, "logs", service+".log"),
	}
	for variable := range bytes.SplitSeq(bytes.TrimSuffix(text, []byte{0}), []byte{0}) {
		p.environment = append(p.environment, string(variable))
	}
	return p, nil
}

// kill ends the process as a crash does.
func (p *supervised) kill() error {
	if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("%s has ended by itself: %w", p.name, err)
	}
	return nil
}

// revive starts the process again. Whether it answers is for who needs it to see.
func (p *supervised) revive() (err error) {
	log, err := os.OpenFile(p.logFile, os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	cmd := exec.Command(p.binary) //nolint:gosec,noctx // our own program, which is ended with its region
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = p.environment, "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p.name, err)
	}
	p.pid = cmd.Process.Pid
	go func() { _ = cmd.Wait() }() // so that it leaves no zombie
	return os.WriteFile(p.pidFile, []byte(strconv.Itoa(p.pid)+"\n"), 0o600)
}

// lives reports whether the process is there.
func (p *supervised) lives() bool {
	binary, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(p.pid), "exe"))
	return err == nil && binary == p.binary
}

// lastWords are the end of what the process has said.
func (p *supervised) lastWords() string {
	text, _ := os.ReadFile(p.logFile)
	return string(text[max(0, len(text)-2_000):])
}

// server is the PostgreSQL of the region.
type server struct {
	directory string
	cluster   *pgcluster.Cluster
}

// kill kills the whole server, or a process of it, upon which it ends all the others and recovers.
func (s *server) kill(ctx context.Context, whole bool) error {
	if whole {
		return syscall.Kill(s.cluster.PID, syscall.SIGKILL)
	}
	conn, err := s.cluster.Admin(ctx, "postgres")
	if err != nil {
		return fmt.Errorf("reaching the database server: %w", err)
	}
	defer func() { _ = conn.Close(ctx) }() // it ends with the others
	var pid int
	err = conn.QueryRow(ctx, `
		SELECT pid
		FROM pg_stat_activity
		WHERE usename LIKE 'comity%' AND backend_type = 'client backend'
		ORDER BY state = 'idle', random()
		LIMIT 1`).Scan(&pid)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("finding a process of the database: %w", err)
	}
	return syscall.Kill(pid, syscall.SIGKILL)
}

// revive returns when the server answers again.
func (s *server) revive(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, outage)
	defer cancel()
	for {
		port := s.cluster.Port
		s.cluster, err = pgcluster.Start(ctx, pgcluster.Options{Directory: s.directory, Port: port, Durable: true})
		if err == nil {
			return nil
		}
		if s.cluster == nil {
			s.cluster = &pgcluster.Cluster{Port: port}
		}
		if ctx.Err() != nil {
			return fmt.Errorf("starting the database server again: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
}
