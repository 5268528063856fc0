package main

import (
	"github.com/spf13/cobra"

	"github.com/comity-federation/comity/services/sharing"
)

func newTrustGovernCommand(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "govern --quorum N|A/B [--agency ID]",
		Short: "Propose how many states ratify a change of the structures that are shared",
		Long: `Propose how many states ratify a change of the structures that are shared before it takes effect: a number, or a part of
those on the list such as 2/3; without --quorum, all. Only structures of the agencies named can be changed so; without
--agency, those of the agency of COMITY_DATAFLOW.`,
		Args: cobra.NoArgs,
	}
	var governance sharing.Governance
	cmd.Flags().StringVar(&governance.Quorum, "quorum", "", "how many states, `N or A/B`")
	cmd.Flags().StringSliceVar(&governance.Agencies, "agency", nil, "an agency whose structures are shared; may be repeated")
	expire := lifetime(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		file := trustFile(*file)
		return proposed(cmd, file, file.propose(func(list *sharing.TrustList) error {
			list.Governance = governance
			expire(list)
			return nil
		}))
	}
	return cmd
}
