package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/internal/region"
)

// newAgreementCommand returns the commands about agreements between states.
func newAgreementCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "agreement",
		Short: "Propose, read, sign, renew and end agreements with other states",
		Args:  cobra.NoArgs,
	}
	node := addTarget(cmd, "officer")
	cmd.AddCommand(
		newProposeCommand(node), newListCommand(node), newShowCommand(node), newSignCommand(node), newAcceptCommand(node),
		newCounterCommand(node), newRenewCommand(node), newDeclineCommand(node), newTerminateCommand(node),
	)
	return cmd
}

func newProposeCommand(node *target) *cobra.Command {
	return &cobra.Command{
		Use:   "propose FILE",
		Short: "Draft an agreement from a file of terms",
		Long: `Draft an agreement from a file of terms, in JSON or YAML. It binds nobody before both states have signed it; the
partner learns of it with the first signature.`,
		Example: `  comity agreement propose --state us terms.yaml

with terms.yaml such as

  id: us-gb-1a
  version: 1
  provider: us
  receiver: gb
  dataflow: COMITY:BORDER(1.0.0)
  indicators: [1A]
  detail: {FREQ: M, CITIZENSHIP: country}
  purposes: [ANALYSIS]
  minimumFrequency: 3
  periods: [{from: "2020"}]
  validFrom: "2026-01-01"`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			terms, err := readTerms(args[0])
			if err != nil {
				return err
			}
			client, err := node.open()
			if err != nil {
				return err
			}
			agreement := &sharingpb.Agreement{}
			if err := client.post(cmd.Context(), "/v1/agreements", terms, agreement); err != nil {
				return fmt.Errorf("proposing %s: %w", terms.GetId(), err)
			}
			return show(cmd, fmt.Sprintf("%s is drafted; `comity agreement sign %s` signs it and sends it to the partner\n",
				title(agreement), agreement.GetTerms().GetId()))
		},
	}
}

func newSignCommand(node *target) *cobra.Command {
	return &cobra.Command{
		Use:   "sign ID",
		Short: "Sign an agreement for this state, and send the signature to the partner",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			agreement, err := act(cmd, node, args[0], "sign", &sharingpb.SignAgreementRequest{})
			if err != nil {
				return err
			}
			text := fmt.Sprintf("%s is signed by %s: %s\n", title(agreement), signers(agreement), agreement.GetState())
			if agreement.GetState() == sharingpb.Agreement_PROPOSED {
				text += "it comes into force when the partner has signed it too\n"
			}
			return show(cmd, text)
		},
	}
}

func newListCommand(node *target) *cobra.Command {
	ended := false
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the agreements with other states",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := node.open()
			if err != nil {
				return err
			}
			query := url.Values{}
			if ended {
				query.Set("showEnded", "true")
			}
			answer := &sharingpb.ListAgreementsResponse{}
			if err := client.get(cmd.Context(), "/v1/agreements", query, answer); err != nil {
				return fmt.Errorf("listing agreements: %w", err)
			}
			table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			rows := []string{"AGREEMENT\tSTATE\tFROM\tTO\tINDICATORS\tSIGNED BY\tIN FORCE"}
			for _, agreement := range answer.GetAgreements() {
				terms := agreement.GetTerms()
				rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s\t%s", title(agreement), agreement.GetState(),
					terms.GetProvider(), terms.GetReceiver(), strings.Join(terms.GetIndicators(), " "), signers(agreement), inForce(terms)))
			}
			if _, err := fmt.Fprintln(table, strings.Join(rows, "\n")); err != nil {
				return err
			}
			return table.Flush()
		},
	}
	cmd.Flags().BoolVar(&ended, "ended", false, "also those that are superseded or terminated")
	return cmd
}

func newTerminateCommand(node *target) *cobra.Command {
	request := &sharingpb.TerminateAgreementRequest{}
	cmd := &cobra.Command{
		Use:   "terminate ID --reason TEXT",
		Short: "End an agreement at once, and tell the partner",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			agreement, err := act(cmd, node, args[0], "terminate", request)
			if err != nil {
				return err
			}
			return show(cmd, fmt.Sprintf("%s is %s\n", title(agreement), agreement.GetState()))
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for the partner and the log")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

// readTerms reads terms as JSON or YAML, with the field names of the API.
func readTerms(path string) (*sharingpb.Terms, error) {
	terms := &sharingpb.Terms{}
	if err := region.ReadMessage(path, terms); err != nil {
		return nil, fmt.Errorf("reading the terms of an agreement: %w", err)
	}
	return terms, nil
}

// agreementPath returns where the API has the agreement; "agreements/ID" is as good as "ID".
func agreementPath(id string) string {
	return "/v1/agreements/" + url.PathEscape(strings.TrimPrefix(id, "agreements/"))
}

// title returns the id and version of an agreement.
func title(agreement *sharingpb.Agreement) string {
	return fmt.Sprintf("%s version %d", agreement.GetTerms().GetId(), agreement.GetTerms().GetVersion())
}

// signers returns the states that signed.
func signers(agreement *sharingpb.Agreement) string {
	states := make([]string, 0, 2)
	for _, signature := range agreement.GetSignatures() {
		states = append(states, signature.GetState())
	}
	if len(states) == 0 {
		return "nobody"
	}
	return strings.Join(states, " and ")
}
