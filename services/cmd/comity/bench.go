package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/comity-federation/comity/services/bench"
)

// newBenchCommand returns the command behind `make bench`. It is for those who change the program.
func newBenchCommand() *cobra.Command {
	o := bench.Options{}
	strict, layouts, disclosure, exchange := false, false, false, false
	cmd := &cobra.Command{
		Use:    "bench",
		Short:  "Measure a node against the limits of its speed",
		Args:   cobra.NoArgs,
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if o.Program, err = os.Executable(); err != nil {
				return err
			}
			if o.Program, err = filepath.EvalSymlinks(o.Program); err != nil {
				return err
			}
			if o.Data == "" {
				root := filepath.Dir(filepath.Dir(o.Program))
				o.Data = filepath.Join(cmp.Or(os.Getenv("COMITY_SHARED"), filepath.Join(root, "..", "shared")), "data")
			}
			if o.Directory, err = os.MkdirTemp("", "comity-bench-"); err != nil {
				return err
			}
			if layouts {
				comparison, err := bench.CompareLayouts(cmd.Context(), o, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				return comparison.Print(cmd.OutOrStdout())
			}
			measure := bench.Run
			if disclosure {
				measure = bench.Disclosure
			}
			if exchange {
				measure = bench.Exchange
			}
			table, err := measure(cmd.Context(), o, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			if err := table.Print(cmd.OutOrStdout()); err != nil {
				return err
			}
			if strict && table.Missed() > 0 {
				return fmt.Errorf("%d limits were missed", table.Missed())
			}
			return nil
		},
	}
	cmd.Flags().IntVar(&o.BasePort, "base-port", 9400, "the `PORT` of PostgreSQL; those of the node follow")
	cmd.Flags().Float64Var(&o.Scale, "scale", 1, "by what all sizes are multiplied; the limits are for 1")
	cmd.Flags().IntVar(&o.Rounds, "rounds", 3, "how often what is short is measured; the median counts")
	cmd.Flags().StringVar(&o.Data, "data", "", "a `DIRECTORY` of published files; without them tables are made up")
	cmd.Flags().StringVar(&o.Only, "only", "", "measure only what has a name that the `REGEXP` is in, such as freshness")
	cmd.Flags().BoolVar(&disclosure, "disclosure", false, "measure disclosure control alone")
	cmd.Flags().BoolVar(&exchange, "exchange", false, "measure the exchange between states alone")
	cmd.Flags().BoolVar(&layouts, "layouts", false, "compare the store with other ways to keep figures in tables instead")
	cmd.Flags().BoolVar(&strict, "strict", false, "fail where a limit is missed")
	return cmd
}
