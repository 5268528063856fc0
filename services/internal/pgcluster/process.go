package pgcluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// postmaster is what a running server writes of itself into postmaster.pid.
type postmaster struct {
	pid  int
	port int
}

// running returns the server that runs on the data directory, or nil. A postmaster.pid that a crash left behind, with
// no process or another's, is removed: the server itself would refuse to start where its old number has been given to
// another process of the same user.
func running(data string) (*postmaster, error) {
	path := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(path) //nolint:gosec // the path is ours
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // nil is "none runs"
	}
	if err != nil {
		return nil, err
	}
	// The lines are: number, data directory, start time, port, …
	lines := strings.Split(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil || len(lines) < 4 || !serves(pid, data) {
		return nil, os.Remove(path)
	}
	port, err := strconv.Atoi(strings.TrimSpace(lines[3]))
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return &postmaster{pid: pid, port: port}, nil
}

// serves reports whether the process is a server on the data directory: a server works in it.
func serves(pid int, data string) bool {
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	return err == nil && cwd == data
}

// stop ends the server on the data directory, and returns when it is gone. It asks for a fast shutdown, and after
// patience for an immediate one, from which the next start recovers.
func stop(data string, patience time.Duration) error {
	server, err := running(data)
	if err != nil || server == nil {
		return err
	}
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(server.pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending PostgreSQL, process %d: %w", server.pid, err)
		}
		for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			if !serves(server.pid, data) {
				return nil
			}
		}
	}
	return fmt.Errorf("PostgreSQL, process %d, does not end", server.pid)
}

// discard ends the server of a cluster and removes the cluster.
func discard(place string) error {
	if err := stop(filepath.Join(place, dataDirectory), 10*time.Second); err != nil {
		return err
	}
	return os.RemoveAll(place)
}
