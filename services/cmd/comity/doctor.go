package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/comity-federation/comity/services/sharing/doctor"
	"github.com/comity-federation/comity/services/sharing/postgres"
)

// The exit codes of doctor, beside 1 for when it cannot look.
const (
	exitWarnings exitCode = 2
	exitErrors   exitCode = 3
)

// exitCode ends the program without a word: all is said.
type exitCode int

// Error is of error.
func (e exitCode) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

func newDoctorCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "doctor [--env FILE | --state CODE]",
		Short: "Find what is wrong with a node's sharing service, or will be soon, and say what to do",
		Long: `Find what is wrong with a node's sharing service, or will be soon, and say what to do.

It looks at the service's certificate, keys, trust list, revocation lists and policies, asks whether it is ready, reads in
its database which agreements end and what waits for partners, and calls each partner as the service does. It changes
nothing. What the service is told comes from the environment, as for the service itself, or from a file with a line NAME=VALUE
for each variable, or from a state of the region that runs in --dir.

It ends with 0 if it finds nothing, with 2 if there are only warnings, with 3 if there are errors, and with 1 if it cannot look.`,
		Args: cobra.NoArgs,
	}
	file := cmd.Flags().String("env", "", "a `FILE` with the service's environment")
	state := cmd.Flags().String("state", "", "the `CODE` of a state of the region that runs in --dir")
	directory := cmd.Flags().String("dir", ".comity", "the `DIRECTORY` of the running region")
	notice := cmd.Flags().Int("notice", int(doctor.Usual.Notice.Hours()/24), "how many days before the end of anything to warn")
	limits := doctor.Usual
	cmd.Flags().DurationVar(&limits.Queue, "queue", limits.Queue, "how old what waits for a partner may be; 24 times of it are an error")
	cmd.Flags().DurationVar(&limits.Skew, "skew", limits.Skew, "how far a partner's clock may differ")
	asJSON := cmd.Flags().Bool("json", false, "print the findings as a JSON array")
	cmd.MarkFlagsMutuallyExclusive("env", "state")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		limits.Notice = time.Duration(*notice) * 24 * time.Hour
		variables, err := environment(*file, *state, *directory)
		if err != nil {
			return err
		}
		cfg, err := env.ParseAsWithOptions[doctor.Config](env.Options{Environment: variables})
		if err != nil {
			return fmt.Errorf("reading what the service is told: %w", err)
		}
		var pool *pgxpool.Pool
		findings := doctor.Examine(cmd.Context(), cfg, limits, func(ctx context.Context) (doctor.Store, error) {
			if pool, err = pgxpool.New(ctx, cfg.DatabaseURL); err != nil {
				return nil, err
			}
			ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			return postgres.NewStore(pool), pool.Ping(ctx)
		})
		if pool != nil {
			pool.Close()
		}
		return printFindings(cmd, findings, *asJSON)
	}
	return cmd
}

// printFindings prints the findings, and returns how the program ends.
func printFindings(cmd *cobra.Command, findings []doctor.Finding, asJSON bool) error {
	errorCount, text := 0, &strings.Builder{}
	for _, f := range findings {
		if f.Severity == doctor.Error {
			errorCount++
		}
		fmt.Fprintf(text, "%-8s %-12s %s\n  %s\n  → %s\n", f.Severity, f.Check, f.Subject, f.Problem, f.Advice)
	}
	if fmt.Fprintf(text, "%d errors, %d warnings\n", errorCount, len(findings)-errorCount); asJSON {
		text.Reset()
		encoder := json.NewEncoder(text)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if findings == nil {
			findings = []doctor.Finding{}
		}
		if err := encoder.Encode(findings); err != nil {
			return err
		}
	}
	if err := show(cmd, text.String()); err != nil {
		return err
	}
	switch {
	case errorCount > 0:
		return exitErrors
	case len(findings) > 0:
		return exitWarnings
	default:
		return nil
	}
}

// environment returns what the sharing service is told: by a file, by the running process of a state, or as this process is.
func environment(file, state, directory string) (map[string]string, error) {
	var pairs []string
	switch {
	case file != "":
		text, err := os.Open(file) //nolint:gosec // the operator names the file
		if err != nil {
			return nil, err
		}
		defer func() { _ = text.Close() }()
		return readEnvironment(text)
	case state != "":
		states, err := runningStates(directory)
		if err != nil {
			return nil, err
		}
		for _, s := range states {
			if s.Code == state {
				pairs = environmentOf(s.PIDs["sharing"])
			}
		}
		if len(pairs) == 0 {
			return nil, fmt.Errorf("no sharing service of %q runs in %s: start it with `comity sandbox up`, or name its environment with --env", state, directory)
		}
	default:
		pairs = os.Environ()
	}
	variables := map[string]string{}
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		variables[name] = value
	}
	return variables, nil
}

// readEnvironment reads lines NAME=VALUE. A value may stand in double or single quotes; empty lines and those that begin with
// # or ; are passed over, as systemd does with an EnvironmentFile.
func readEnvironment(text io.Reader) (map[string]string, error) {
	variables := map[string]string{}
	lines := bufio.NewScanner(text)
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, errors.New("a line of the environment is not of the form NAME=VALUE")
		}
		if len(value) >= 2 && (value[0] == '"' || value[0] == '\'') && value[len(value)-1] == value[0] {
			value = value[1 : len(value)-1]
		}
		variables[strings.TrimSpace(name)] = value
	}
	return variables, lines.Err()
}
