package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/comity-federation/comity/services/internal/pgcluster"
)

// upAndStay brings the sandbox up and leaves it running; in the foreground it ends it when ctx ends.
func (s *sandbox) upAndStay(ctx context.Context, foreground bool) error {
	if err := s.up(ctx); err != nil {
		return err
	}
	s.progress.say("\nReady after %.0f s. Try next:\n", time.Since(s.progress.begin).Seconds())
	for _, command := range s.nextCommands() {
		s.progress.say("  %s", command)
	}
	if !foreground {
		s.progress.say("\nIt keeps running; `%s sandbox down%s` ends it.", s.program(), s.dirFlag())
		return nil
	}
	s.progress.say("\nCtrl-C ends it.")
	<-ctx.Done()
	n, err := down(s.directory)
	s.progress.say("\n%d processes ended.", n)
	return err
}

// once brings the sandbox up and ends it again.
func (s *sandbox) once(ctx context.Context) error {
	if s.running() {
		return fmt.Errorf("a sandbox runs in %s already: --once would end it; `comity sandbox down` does", s.directory)
	}
	if err := s.up(ctx); err != nil {
		return err
	}
	n, err := down(s.directory)
	if err != nil {
		return err
	}
	s.progress.say("\nDone in %.0f s: %d processes ended, nothing runs any more.", time.Since(s.progress.begin).Seconds(), n)
	return nil
}

// up brings up what is not, step by step, and prints what came of it. If it fails or is interrupted, it ends what it
// started; what ran before stays.
func (s *sandbox) up(ctx context.Context) (err error) {
	var startedPostgres bool
	defer func() {
		if err == nil {
			return
		}
		_, ending := endAll(s.started)
		if startedPostgres && !s.anyRuns() {
			_, stopping := down(s.directory)
			ending = errors.Join(ending, stopping)
		}
		err = errors.Join(err, ending)
	}()

	s.progress.say("%s: %d states\n", s.region.Name, len(s.region.States))
	s.addNodes()
	if err := s.writeJSON("settings.json", s.settings); err != nil {
		return err
	}
	err = s.progress.step("PostgreSQL", func() (string, error) {
		startedPostgres, err = s.startPostgres(ctx)
		return fmt.Sprintf("on port %d, durable", s.settings.BasePort), err
	})
	if err != nil {
		return err
	}
	err = s.progress.step("keys, certificates, databases", func() (string, error) {
		if err := s.makeSecrets(); err != nil {
			return "", err
		}
		return fmt.Sprintf("%d roots, %d databases", len(s.nodes), len(s.nodes)*len(storing())), s.makeDatabases(ctx)
	})
	if err != nil {
		return err
	}
	if err := s.progress.step("nodes", func() (string, error) { return s.startNodes(ctx) }); err != nil {
		return err
	}
	// From here on other programs can find the nodes, also to see what is wrong where a step fails.
	if err := s.writeRegionFile(); err != nil {
		return err
	}
	if err := s.feed(ctx); err != nil {
		return err
	}
	return s.printOutcome(ctx)
}

// anyRuns reports whether a process of the sandbox runs.
func (s *sandbox) anyRuns() bool {
	processes, err := found(s.directory)
	return err != nil || slices.ContainsFunc(processes, func(p process) bool { return p.pid() != 0 })
}

// startPostgres starts the cluster, and reports whether it did not run before.
func (s *sandbox) startPostgres(ctx context.Context) (bool, error) {
	before, err := pgcluster.Find(s.path("pg"))
	if err != nil {
		return false, err
	}
	if before == nil || before.Port != s.settings.BasePort {
		if err := checkPort(ctx, s.settings.BasePort, "PostgreSQL"); err != nil {
			return false, err
		}
	}
	s.postgres, err = pgcluster.Start(ctx, pgcluster.Options{
		Directory: s.path("pg"), Port: s.settings.BasePort, Durable: true,
	})
	return before == nil && err == nil, err
}

// startNodes starts the processes that do not run, or that run with yesterday's binary or settings.
func (s *sandbox) startNodes(ctx context.Context) (string, error) {
	var all, stale, missing []process
	for _, n := range s.nodes {
		for _, p := range s.processes(n) {
			all = append(all, p)
			switch pid := p.pid(); {
			case pid == 0:
				missing = append(missing, p)
			case !p.current(pid):
				stale = append(stale, p)
				missing = append(missing, p)
			}
		}
	}
	// A state that the region has no more keeps its data, but runs no more.
	known, err := found(s.directory)
	if err != nil {
		return "", err
	}
	for _, p := range known {
		if !slices.ContainsFunc(all, func(q process) bool { return q.pidFile() == p.pidFile() }) {
			stale = append(stale, p)
		}
	}
	if _, err := endAll(stale); err != nil {
		return "", err
	}
	for _, p := range missing {
		for what, port := range p.ports {
			if err := checkPort(ctx, port, "the "+what+" of "+p.state); err != nil {
				return "", err
			}
		}
	}
	for _, p := range missing {
		if err := s.start(p); err != nil {
			return "", err
		}
	}
	if err := s.awaitReady(ctx, all); err != nil {
		return "", err
	}
	switch len(s.started) {
	case 0:
		return fmt.Sprintf("%d processes, all running already", len(all)), nil
	case len(all):
		return fmt.Sprintf("%d processes started, ready", len(all)), nil
	default:
		return fmt.Sprintf("%d processes, %d of them started anew, ready", len(all), len(s.started)), nil
	}
}
