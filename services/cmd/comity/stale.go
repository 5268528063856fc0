package main

import (
	"fmt"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// newStaleCommand returns the command that says who holds stale figures.
func newStaleCommand() *cobra.Command {
	var partner string
	var all bool
	cmd := &cobra.Command{
		Use:   "stale",
		Short: "Say which partners hold stale figures of a state",
		Long: `Say which partners have not acknowledged the newest release of a state's figures, such as a correction, and which of
them have not said that they took out what no agreement covers any more. With --all, say it of every partner.`,
		Example: `  comity stale --state us
  comity stale --state us --all --partner gb`,
		Args: cobra.NoArgs,
	}
	node := addTarget(cmd, "officer")
	cmd.Flags().StringVar(&partner, "partner", "", "only the holdings of this `PARTNER`")
	cmd.Flags().BoolVar(&all, "all", false, "also those who hold the newest figures")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := node.open()
		if err != nil {
			return err
		}
		query := url.Values{}
		if partner != "" {
			query.Set("partner", partner)
		}
		if !all {
			query.Set("staleOnly", "true")
		}
		answer := &sharingpb.ListHoldingsResponse{}
		if err := client.get(cmd.Context(), "/v1/holdings", query, answer); err != nil {
			return fmt.Errorf("asking what partners hold: %w", err)
		}
		return show(cmd, holdings(answer.GetHoldings(), all, time.Now()))
	}
	return cmd
}

// holdings returns holdings for people.
func holdings(list []*sharingpb.Holding, all bool, now time.Time) string {
	switch {
	case len(list) == 0 && all:
		return "nothing went to a partner so far\n"
	case len(list) == 0:
		return "no partner holds stale figures, as far as their receipts say\n"
	}
	text := &strings.Builder{}
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	row(table, "PARTNER", "AGREEMENT", "NEWEST", "HOLDS", "ACKNOWLEDGED", "STALE FOR")
	for _, h := range list {
		holds, acknowledged, stale := "nothing", "", "not stale"
		if held := h.GetHeld(); held != nil {
			holds, acknowledged = fmt.Sprintf("revision %d", held.GetStatisticsRevision()), minute(h.GetAcknowledgeTime())
		}
		if h.GetStale() {
			stale = fmt.Sprintf("%s, %d behind", now.Sub(h.GetStaleSince().AsTime()).Round(time.Second), h.GetBehind())
		}
		agreement := fmt.Sprintf("%s version %d", h.GetAgreement(), h.GetAgreementVersion())
		if !h.GetInForce() {
			agreement += ", over"
		}
		row(table, h.GetPartner(), agreement, fmt.Sprintf("revision %d", h.GetNewest().GetStatisticsRevision()), holds, acknowledged, stale)
		for _, r := range h.GetRetractions() {
			row(table, "", "", "not covered: "+strings.Join(r.GetIndicators(), " "), retracted(r))
		}
	}
	_ = table.Flush() // a builder takes everything
	return text.String()
}

// retracted says what became of figures that no agreement covers any more.
func retracted(r *sharingpb.Retraction) string {
	switch {
	case r.GetAcknowledgeTime() != nil:
		return "taken out, by its word, " + minute(r.GetAcknowledgeTime())
	case r.GetAfterwards() != "":
		return "to be taken out; it has not said so"
	default:
		return "kept until their retention is over, as agreed"
	}
}

func minute(at *timestamppb.Timestamp) string { return at.AsTime().Format("2006-01-02 15:04Z") }
