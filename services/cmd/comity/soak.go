package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/comity-federation/comity/services/bench"
)

// newSoakCommand returns the command behind `make soak`. It is for those who change the program.
func newSoakCommand() *cobra.Command {
	o := bench.SoakOptions{}
	cmd := &cobra.Command{
		Use:    "soak",
		Short:  "Run a node under load for long, kill parts of it, and see that its figures are right and nothing leaks",
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
			if o.Seed == 0 {
				o.Seed = uint64(time.Now().UnixNano())
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "  seed %d\n", o.Seed)
			line, err := bench.Soak(cmd.Context(), o, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), line)
			return nil
		},
	}
	cmd.Flags().DurationVar(&o.For, "for", time.Hour, "how long")
	cmd.Flags().IntVar(&o.BasePort, "base-port", 9500, "the `PORT` of PostgreSQL; those of the node follow")
	cmd.Flags().Uint64Var(&o.Seed, "seed", 0, "of what is sent and killed; 0: another one each time")
	return cmd
}
