package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/comity-federation/comity/services/bench"
)

// newSoakCommand returns the command behind `make soak`. It is for those who change the program.
func newSoakCommand() *cobra.Command {
	o, kills := bench.SoakOptions{}, bench.KillOptions{Every: 50}
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "Run nodes under load for long, kill parts of them, and see that figures are right and nothing leaks",
		Long: `Run a node under load for --for, and then two nodes that exchange figures until there were --kills kills. Parts of them are
killed, and all they hold is compared with what it should be.`,
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			if o.Program, err = filepath.EvalSymlinks(o.Program); err != nil {
				return err
			}
			if o.Directory, err = os.MkdirTemp("", "comity-soak-"); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, os.RemoveAll(o.Directory)) }()
			if o.Seed == 0 {
				o.Seed = uint64(time.Now().UnixNano())
			}
			kills.Program, kills.BasePort, kills.Seed = o.Program, o.BasePort, o.Seed
			kills.Directory = o.Directory + "-kills"
			fmt.Fprintf(cmd.ErrOrStderr(), "  seed %d\n", o.Seed)
			for _, run := range []struct {
				wanted bool
				soak   func() (string, error)
			}{
				{o.For > 0, func() (string, error) { return bench.Soak(cmd.Context(), o, cmd.ErrOrStderr()) }},
				{kills.Kills > 0, func() (string, error) { return bench.Kills(cmd.Context(), kills, cmd.ErrOrStderr()) }},
			} {
				if !run.wanted {
					continue
				}
				line, err := run.soak()
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), line)
			}
			return nil
		},
	}
	cmd.Flags().DurationVar(&o.For, "for", time.Hour, "how long one node runs; 0: not at all")
	cmd.Flags().IntVar(&kills.Kills, "kills", 1_000, "how many kills two nodes that exchange survive; 0: they do not run")
	cmd.Flags().StringVar(&kills.Policies, "policies", "", "the `DIRECTORY` of the policies of the two nodes (default policies/ beside bin/)")
	cmd.Flags().IntVar(&o.BasePort, "base-port", 9500, "the `PORT` of PostgreSQL; those of the nodes follow")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "of what is sent and killed; 0: another one each time")
	return cmd
}
