package main

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// equivocation begins the reason of a delivery that is kept as evidence of two envelopes for one place.
const equivocation = "EQUIVOCATION"

// newQuarantineCommand returns the commands about streams that are taken no further.
func newQuarantineCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "quarantine",
		Short: "See which partners' streams are quarantined, and let one go on",
		Args:  cobra.NoArgs,
	}
	node := addTarget(cmd, "admin")
	cmd.AddCommand(newQuarantineListCommand(node), newQuarantineLiftCommand(node))
	return cmd
}

func newQuarantineListCommand(node *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the quarantined streams, with the envelopes that are kept as evidence",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := node.open()
			if err != nil {
				return err
			}
			partners := &sharingpb.ListPartnersResponse{}
			if err := client.get(cmd.Context(), "/v1/partners", nil, partners); err != nil {
				return fmt.Errorf("listing partners: %w", err)
			}
			text := &strings.Builder{}
			for _, partner := range partners.GetPartners() {
				if !partner.GetQuarantined() {
					continue
				}
				evidence, err := evidenceAgainst(cmd.Context(), client, partner.GetCode())
				if err != nil {
					return err
				}
				fmt.Fprintf(text, "%s (%s): the stream is quarantined after place %.0f\n", partner.GetCode(), partner.GetDisplayName(), partner.GetReceivedSequence())
				writeEvidence(text, evidence)
			}
			if text.Len() == 0 {
				text.WriteString("no stream is quarantined\n")
			}
			return show(cmd, text.String())
		},
	}
}

func newQuarantineLiftCommand(node *target) *cobra.Command {
	request := &sharingpb.LiftQuarantineRequest{}
	cmd := &cobra.Command{
		Use:   "lift PARTNER --reason TEXT",
		Short: "Let the quarantined stream from a partner go on",
		Long: `Let the quarantined stream from a partner go on after the last envelope that was kept. Do so when it is known why the
partner has signed two envelopes for one place. Who decided, when and why stays in the transparency log.`,
		Example: `  comity quarantine lift gb --state us --reason 'A test system had their key; letter 2026-114.'`,
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := node.open()
			if err != nil {
				return err
			}
			lifted := &sharingpb.LiftQuarantineResponse{}
			if err := client.post(cmd.Context(), "/v1/partners/"+url.PathEscape(args[0])+":liftQuarantine", request, lifted); err != nil {
				return fmt.Errorf("lifting the quarantine of %s: %w", args[0], err)
			}
			return show(cmd, fmt.Sprintf("the stream from %s goes on after place %.0f of epoch %s; the log keeps the decision as %s\n",
				args[0], lifted.GetSequence(), lifted.GetEpoch(), lifted.GetEntry()))
		},
	}
	cmd.Flags().StringVar(&request.Reason, "reason", "", "why, for those who read the log later")
	_ = cmd.MarkFlagRequired("reason")
	return cmd
}

// evidenceAgainst returns the deliveries of a partner that are kept as evidence of two envelopes for one place, the newest
// first.
func evidenceAgainst(ctx context.Context, client *client, partner string) ([]*sharingpb.Delivery, error) {
	var evidence []*sharingpb.Delivery
	for query := (url.Values{"partner": {partner}, "pageSize": {"1000"}}); ; {
		page := &sharingpb.ListDeliveriesResponse{}
		if err := client.get(ctx, "/v1/deliveries", query, page); err != nil {
			return nil, fmt.Errorf("listing what came from %s: %w", partner, err)
		}
		for _, d := range page.GetDeliveries() {
			if strings.HasPrefix(d.GetReason(), equivocation) {
				evidence = append(evidence, d)
			}
		}
		if page.GetNextPageToken() == "" {
			return evidence, nil
		}
		query.Set("pageToken", page.GetNextPageToken())
	}
}

// writeEvidence writes a line for each envelope.
func writeEvidence(text *strings.Builder, evidence []*sharingpb.Delivery) {
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	for _, d := range evidence {
		row(table, d.GetCreateTime().AsTime().Format("2006-01-02 15:04:05Z"), fmt.Sprintf("%s/%s/%.0f", d.GetStream(), d.GetEpoch(), d.GetSequence()),
			fmt.Sprintf("SHA-256 %x", d.GetEnvelopeSha256()))
	}
	_ = table.Flush() // a builder takes everything
}
