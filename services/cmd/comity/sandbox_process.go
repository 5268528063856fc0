package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/renameio/v2"

	"github.com/comity-federation/comity/services/internal/pgcluster"
	"github.com/comity-federation/comity/services/internal/policy"
)

const (
	policyPatience = 20 * time.Second // until policies that a process refuses are taken for its last word
	readyPatience  = 2 * time.Minute  // until a process answers
	endPatience    = 10 * time.Second // until a process that was asked to end is killed
)

// process is one of a node's processes.
type process struct {
	state       string
	service     string
	directory   string   // of the state
	binary      string   // absolute
	environment []string // all of it
	ports       map[string]int
	ready       string   // the URL that answers 200 when it is ready
	policies    []string // the directories whose policies it follows; none: it follows no policies
}

func (p process) String() string      { return p.service + " of " + p.state }
func (p process) pidFile() string     { return filepath.Join(p.directory, "run", p.service+".pid") }
func (p process) logFile() string     { return filepath.Join(p.directory, "logs", p.service+".log") }
func (p process) certificate() string { return certificateFile(p.directory, p.service) }

// certificateFile is where a process has its certificate from. No other process is started with it, so it tells ours.
func certificateFile(directory, service string) string {
	return filepath.Join(directory, "certificates", service+".pem")
}

// pid returns the number of the running process, or 0.
func (p process) pid() int {
	text, err := os.ReadFile(p.pidFile())
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || pid <= 0 || !slices.Contains(environmentOf(pid), "COMITY_CERTIFICATE="+p.certificate()) {
		return 0 // its number may belong to another program by now
	}
	return pid
}

// current reports whether the running process is of today's binary and settings.
func (p process) current(pid int) bool {
	binary, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "exe"))
	if err != nil || binary != p.binary { // a replaced binary reads "… (deleted)"
		return false
	}
	running, wanted := environmentOf(pid), slices.Sorted(slices.Values(p.environment))
	slices.Sort(running)
	return slices.Equal(running, wanted)
}

// environmentOf returns what a running process was started with, or nothing where there is none or it is not ours.
func environmentOf(pid int) []string {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "environ"))
	if err != nil || len(text) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(text), "\x00"), "\x00")
}

// start starts the process in a session of its own, so that it outlives this one.
func (p process) start() (err error) {
	for _, file := range []string{p.pidFile(), p.logFile()} {
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return err
		}
	}
	log, err := os.OpenFile(p.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, log.Close()) }()
	cmd := exec.Command(p.binary) //nolint:gosec,noctx // our own program, which is to outlive every context of this one
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = p.environment, "/", log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s: %w", p, err)
	}
	if err := renameio.WriteFile(p.pidFile(), []byte(strconv.Itoa(cmd.Process.Pid)+"\n"), 0o600); err != nil {
		return errors.Join(err, cmd.Process.Kill(), cmd.Wait())
	}
	go func() { _ = cmd.Wait() }() // so that it leaves no zombie
	return nil
}

// awaitReady returns when all of the processes are ready. One that this command started and that ends is an error; one
// that ran before may have been dying when it was found, and is started.
func (s *sandbox) awaitReady(ctx context.Context, processes []process) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyPatience, errors.New("it takes too long"))
	defer cancel()
	begin := time.Now()
	for _, p := range processes {
		for {
			answer, err := p.probe(ctx)
			if err == nil {
				break
			}
			if strings.HasPrefix(answer, "policies ") && time.Since(begin) > policyPatience {
				return fmt.Errorf("%s: %s", p, answer)
			}
			if p.pid() == 0 {
				if s.hasStarted(p) {
					return fmt.Errorf("%s ended: %s", p, p.lastWords())
				}
				if err := s.start(p); err != nil {
					return err
				}
			}
			select {
			case <-ctx.Done():
				if errors.Is(ctx.Err(), context.Canceled) {
					return ctx.Err()
				}
				return fmt.Errorf("%s is not ready after %v: %w %s; its log is %s", p, readyPatience, err, answer, p.logFile())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// start starts a process, and keeps in mind that this command did.
func (s *sandbox) start(p process) error {
	if err := p.start(); err != nil {
		return err
	}
	s.started = append(s.started, p)
	return nil
}

func (s *sandbox) hasStarted(p process) bool {
	return slices.ContainsFunc(s.started, func(q process) bool { return q.pidFile() == p.pidFile() })
}

// probe asks a process whether it is ready, and follows the policies that its directories hold now.
func (p process) probe(ctx context.Context) (answer string, err error) {
	answer, err = probe(ctx, p.ready)
	if err != nil || len(p.policies) == 0 {
		return answer, err
	}
	revision, err := policy.RevisionOf(p.policies)
	if err == nil && !strings.Contains(answer, revision) {
		err = errors.New("it follows older policies")
	}
	return answer, err
}

// probe asks a URL for 200.
func probe(ctx context.Context, url string) (answer string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err != nil {
		return "", err
	}
	answer = strings.TrimSpace(string(text))
	if response.StatusCode != http.StatusOK {
		return answer, errors.New(response.Status)
	}
	return answer, nil
}

// lastWords returns the error in the last line of the log, else the line.
func (p process) lastWords() string {
	text, err := os.ReadFile(p.logFile())
	if err != nil {
		return "it left no log"
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	words := lines[len(lines)-1]
	var line struct {
		Error string `json:"error"`
	}
	if err := json.Unmarshal([]byte(words), &line); err == nil && line.Error != "" {
		words = line.Error
	}
	return words + " (its log is " + p.logFile() + ")"
}

// endAll asks the processes to end, and returns when they are gone. It returns how many there were.
func endAll(processes []process) (int, error) {
	pids := map[int]process{}
	for _, p := range processes {
		if pid := p.pid(); pid != 0 {
			pids[pid] = p
		}
	}
	n := len(pids)
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		for pid, p := range pids {
			if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
				return n, fmt.Errorf("ending %s, process %d: %w", p, pid, err)
			}
		}
		for deadline := time.Now().Add(endPatience); len(pids) > 0 && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			for pid, p := range pids {
				if p.pid() != pid {
					delete(pids, pid)
				}
			}
		}
	}
	if len(pids) > 0 {
		return n, fmt.Errorf("%d processes do not end, not even when killed", len(pids))
	}
	for _, p := range processes {
		if err := os.Remove(p.pidFile()); err != nil && !errors.Is(err, os.ErrNotExist) {
			return n, err
		}
	}
	return n, nil
}

// found returns the processes that a sandbox's directory knows the numbers of. It needs no region.
func found(directory string) ([]process, error) {
	files, err := filepath.Glob(filepath.Join(directory, "*", "run", "*.pid"))
	if err != nil {
		return nil, err
	}
	processes := make([]process, 0, len(files))
	for _, file := range files {
		state := filepath.Dir(filepath.Dir(file))
		processes = append(processes, process{
			state: filepath.Base(state), directory: state, service: strings.TrimSuffix(filepath.Base(file), ".pid"),
		})
	}
	return processes, nil
}

// down ends everything that runs in a sandbox's directory, and returns how many processes that was.
func down(directory string) (int, error) {
	processes, err := found(directory)
	if err != nil {
		return 0, err
	}
	n, err := endAll(processes)
	if err != nil {
		return n, err
	}
	cluster, err := pgcluster.Find(filepath.Join(directory, "pg"))
	if err != nil {
		return n, err
	}
	if cluster != nil {
		if err := cluster.Stop(); err != nil {
			return n, err
		}
		n++
	}
	if err := os.Remove(filepath.Join(directory, "region.json")); err != nil && !errors.Is(err, os.ErrNotExist) {
		return n, err
	}
	return n, nil
}

// checkPort returns one clear sentence where another program listens on the port.
func checkPort(ctx context.Context, port int, purpose string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(pgcluster.Host, strconv.Itoa(port)))
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port %d, wanted for %s, is used by another program: stop it, or choose other ports with --base-port", port, purpose)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("port %d, wanted for %s, is not allowed to this user: choose a --base-port above 1024", port, purpose)
	case err != nil:
		return fmt.Errorf("port %d, wanted for %s: %w", port, purpose, err)
	}
	return listener.Close()
}
