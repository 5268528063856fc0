package main

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/internal/region"
)

// newStructureCommand returns the commands about the structures that states share.
func newStructureCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "structure",
		Short: "Propose, read and ratify changes of the structures that states share",
		Args:  cobra.NoArgs,
	}
	node := addTarget(cmd, "officer")
	cmd.AddCommand(newAmendCommand(node), newRatifyCommand(node), newAmendmentsCommand(node))
	return cmd
}

func newAmendCommand(node *target) *cobra.Command {
	request := &sharingpb.ProposeAmendmentRequest{}
	cmd := &cobra.Command{
		Use:   "propose --id ID --text TEXT FILE…",
		Short: "Propose new versions of shared structures to all states",
		Long: `Propose new versions of shared structures to all states, from files as for POST /v1/structures, in JSON or YAML. They are
signed for this state, and take effect at each node once as many states as the trust list asks for have ratified them.`,
		Example: `  comity structure propose --state us --id sections-1-1 --text "Two new crossing points" sections.yaml`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			request.Structures = &statisticspb.Structures{}
			for _, path := range args {
				structures := &statisticspb.Structures{}
				if err := region.ReadMessage(path, structures); err != nil {
					return fmt.Errorf("reading structures: %w", err)
				}
				proto.Merge(request.GetStructures(), structures)
			}
			client, err := node.open()
			if err != nil {
				return err
			}
			amendment := &sharingpb.Amendment{}
			if err := client.post(cmd.Context(), "/v1/amendments", request, amendment); err != nil {
				return fmt.Errorf("proposing %s: %w", request.GetId(), err)
			}
			return show(cmd, describeAmendment(amendment))
		},
	}
	cmd.Flags().StringVar(&request.Id, "id", "", "the id of the amendment, the same at all states")
	cmd.Flags().StringVar(&request.Text, "text", "", "what it is for, in words for the other states")
	_ = cmd.MarkFlagRequired("id")
	_ = cmd.MarkFlagRequired("text")
	return cmd
}

func newRatifyCommand(node *target) *cobra.Command {
	return &cobra.Command{
		Use:   "ratify ID",
		Short: "Sign a change of shared structures that another state has proposed",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := node.open()
			if err != nil {
				return err
			}
			amendment := &sharingpb.Amendment{}
			if err := client.post(cmd.Context(), amendmentPath(args[0])+":ratify", &sharingpb.RatifyAmendmentRequest{}, amendment); err != nil {
				return fmt.Errorf("ratifying %s: %w", args[0], err)
			}
			return show(cmd, describeAmendment(amendment))
		},
	}
}

func newAmendmentsCommand(node *target) *cobra.Command {
	return &cobra.Command{
		Use:   "show [ID]",
		Short: "Show the changes of shared structures and who has signed them, or one of them",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := node.open()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				amendment := &sharingpb.Amendment{}
				if err := client.get(cmd.Context(), amendmentPath(args[0]), nil, amendment); err != nil {
					return fmt.Errorf("showing %s: %w", args[0], err)
				}
				return show(cmd, describeAmendment(amendment))
			}
			answer := &sharingpb.ListAmendmentsResponse{}
			if err := client.get(cmd.Context(), "/v1/amendments", nil, answer); err != nil {
				return fmt.Errorf("listing the changes of shared structures: %w", err)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			rows := []string{"AMENDMENT\tSTATE\tPROPOSER\tSIGNED BY\tOF"}
			for _, amendment := range answer.GetAmendments() {
				rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%d", strings.TrimPrefix(amendment.GetName(), "amendments/"),
					amendment.GetState(), amendment.GetProposer(), amendmentSigners(amendment), amendment.GetQuorum()))
			}
			if _, err := fmt.Fprintln(table, strings.Join(rows, "\n")); err != nil {
				return err
			}
			return table.Flush()
		},
	}
}

// amendmentPath returns where the API has the amendment; "amendments/ID" is as good as "ID".
func amendmentPath(id string) string {
	return "/v1/amendments/" + url.PathEscape(strings.TrimPrefix(id, "amendments/"))
}

// amendmentSigners returns the states that signed.
func amendmentSigners(amendment *sharingpb.Amendment) string {
	states := make([]string, 0, len(amendment.GetSignatures()))
	for _, signature := range amendment.GetSignatures() {
		states = append(states, signature.GetState())
	}
	return cmp.Or(strings.Join(states, " "), "nobody")
}

// describeAmendment says what an amendment changes, and how it stands.
func describeAmendment(amendment *sharingpb.Amendment) string {
	text := &strings.Builder{}
	fmt.Fprintf(text, "%s: %s, signed by %s; %d have to sign\n", strings.TrimPrefix(amendment.GetName(), "amendments/"),
		amendment.GetState(), amendmentSigners(amendment), amendment.GetQuorum())
	fmt.Fprintf(text, "  %s proposes: %s\n", amendment.GetProposer(), amendment.GetText())
	for _, artefact := range amendment.GetArtefacts() {
		fmt.Fprintf(text, "  %s\n", artefact)
	}
	if problem := amendment.GetProblem(); problem != "" {
		fmt.Fprintf(text, "  it cannot take effect here: %s\n", problem)
	}
	for _, missed := range amendment.GetUndelivered() {
		if r := missed.GetRejection(); r != nil {
			fmt.Fprintf(text, "  %s does not take it: %s (%s)\n", missed.GetState(), r.GetText(), r.GetCode())
		}
	}
	return text.String()
}
