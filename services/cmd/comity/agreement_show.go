package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

func newShowCommand(node *target) *cobra.Command {
	all := false
	cmd := &cobra.Command{
		Use:   "show ID [--all]",
		Short: "Show what an agreement says, and how each of its versions stands",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, err := node.open()
			if err != nil {
				return err
			}
			answer := &sharingpb.ListAgreementVersionsResponse{}
			if err := client.get(cmd.Context(), agreementPath(args[0])+"/versions", nil, answer); err != nil {
				return fmt.Errorf("showing %s: %w", args[0], err)
			}
			text := &strings.Builder{}
			for _, agreement := range answer.GetAgreements() {
				over := agreement.GetState() == sharingpb.Agreement_SUPERSEDED || agreement.GetState() == sharingpb.Agreement_TERMINATED
				describe(text, agreement, all || !over)
			}
			return show(cmd, text.String())
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "the terms of versions that are over too")
	return cmd
}

// describe writes how a version of an agreement stands, and what it says.
func describe(text *strings.Builder, agreement *sharingpb.Agreement, whole bool) {
	fmt.Fprintf(text, "%s: %s\n", title(agreement), agreement.GetState())
	for _, signature := range agreement.GetSignatures() {
		fmt.Fprintf(text, "  signed by %s, here since %s%s\n", signature.GetState(), signature.GetCreateTime().AsTime().Format("2006-01-02 15:04"),
			rejected(signature.GetRejection()))
	}
	if end := agreement.GetEnd(); end != nil {
		fmt.Fprintf(text, "  ended by %s: %s%s\n", end.GetState(), end.GetReason(), rejected(end.GetRejection()))
	}
	for _, w := range agreement.GetWithdrawals() {
		fmt.Fprintf(text, "  %s taken out on %s\n", strings.Join(w.GetIndicators(), " "), w.GetCreateTime().AsTime().Format("2006-01-02 15:04"))
	}
	if !whole {
		return
	}
	terms := agreement.GetTerms()
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(text, "  %-14s %s\n", name, value)
		}
	}
	line("goes", terms.GetProvider()+" to "+terms.GetReceiver()+", tier "+cmp.Or(terms.GetTier(), "PARTNERS"))
	line("figures of", terms.GetSource())
	line("dataflow", terms.GetDataflow())
	line("indicators", strings.Join(terms.GetIndicators(), " "))
	var details []string
	for _, dimension := range slices.Sorted(maps.Keys(terms.GetDetail())) {
		details = append(details, dimension+"="+terms.GetDetail()[dimension])
	}
	line("detail", strings.Join(details, " "))
	line("periods", timeSpans(terms.GetPeriods()))
	line("purposes", strings.Join(terms.GetPurposes(), ", "))
	line("no cell under", fmt.Sprint(terms.GetMinimumFrequency()))
	line("in force", inForce(terms))
	if days := terms.GetRetentionDays(); days > 0 {
		line("removed after", fmt.Sprintf("%d days", days))
	}
	line("passed on", cmp.Or(strings.Join(terms.GetOnwardTo(), " "), map[bool]string{true: "yes, but no state is named", false: "no"}[terms.GetOnward()]))
	line("afterwards", terms.GetAfterwards())
	line("legal basis", terms.GetLegalBasis())
	if terms.GetText() != "" {
		fmt.Fprintf(text, "\n    %s\n\n", strings.ReplaceAll(strings.TrimSpace(terms.GetText()), "\n", "\n    "))
	}
}

// rejected says why a partner does not take something; "" where it does.
func rejected(r *sharingpb.Rejection) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("; the partner rejects it: %s (%s)", r.GetText(), r.GetCode())
}

// inForce says from when until when terms are in force.
func inForce(terms *sharingpb.Terms) string {
	return fmt.Sprintf("%s until %s", terms.GetValidFrom(), cmp.Or(terms.GetValidTo(), "terminated"))
}

// timeSpans says which times figures may be of.
func timeSpans(list []*sharingpb.TimeSpan) string {
	if len(list) == 0 {
		return "all"
	}
	texts := make([]string, len(list))
	for i, span := range list {
		switch {
		case span.GetFrom() == "":
			texts[i] = "until " + span.GetTo()
		case span.GetTo() == "":
			texts[i] = "from " + span.GetFrom()
		default:
			texts[i] = span.GetFrom() + " to " + span.GetTo()
		}
	}
	return strings.Join(texts, ", ")
}
