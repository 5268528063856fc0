package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// newExplainCommand returns the command that asks what policy would let go to a partner.
func newExplainCommand() *cobra.Command {
	request := &sharingpb.ExplainPolicyRequest{}
	cmd := &cobra.Command{
		Use:     "explain --partner CODE --indicator CODE",
		Short:   "Say what would go to a partner, and why not more",
		Long:    "Say what would go to a partner under the policies and agreements of this moment, and why not more. Nothing is sent.",
		Example: "  comity explain --state us --partner gb --indicator 5",
		Args:    cobra.NoArgs,
	}
	node := addTarget(cmd, "officer")
	cmd.Flags().StringVar(&request.Partner, "partner", "", "the `CODE` of the partner state")
	cmd.Flags().StringVar(&request.Indicator, "indicator", "", "the `CODE` of the indicator, for example 1A")
	cmd.Flags().StringVar(&request.Purpose, "purpose", "", "the `PURPOSE` it would be used for; without it, any that the agreement allows")
	cells := false
	cmd.Flags().BoolVar(&cells, "cells", false, "say of the first 100 cells that would be withheld why")
	_ = cmd.MarkFlagRequired("partner")
	_ = cmd.MarkFlagRequired("indicator")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := node.open()
		if err != nil {
			return err
		}
		answer := &sharingpb.ExplainPolicyResponse{}
		if err := client.post(cmd.Context(), "/v1/policy:explain", request, answer); err != nil {
			return fmt.Errorf("asking about %s for %s: %w", request.GetIndicator(), request.GetPartner(), err)
		}
		text := &strings.Builder{}
		text.WriteString(explanation(request, answer))
		if cells {
			writeCells(text, answer.GetCells())
		}
		return show(cmd, text.String())
	}
	return cmd
}

// explanation returns the answer for people.
func explanation(request *sharingpb.ExplainPolicyRequest, answer *sharingpb.ExplainPolicyResponse) string {
	text := &strings.Builder{}
	if answer.GetAllowed() {
		fmt.Fprintf(text, "Indicator %s may go to %s: %s cells would go, %s are withheld by policy, %s because they are small or would give small ones away.\n",
			request.GetIndicator(), request.GetPartner(), grouped(answer.GetReleased()), grouped(answer.GetWithheld()), grouped(answer.GetSuppressed()))
	} else {
		fmt.Fprintf(text, "Indicator %s may not go to %s.\n", request.GetIndicator(), request.GetPartner())
	}
	for _, reason := range answer.GetReasons() {
		fmt.Fprintf(text, "  %s: %s", reason.GetCode(), reason.GetText())
		if reason.GetAgreement() != "" {
			fmt.Fprintf(text, " (agreement %s)", reason.GetAgreement())
		}
		text.WriteByte('\n')
	}
	if answer.GetAllowed() {
		writePairs(text, "rolled up", answer.GetCoarsened())
		writeRules(text, answer.GetRules())
		for _, note := range answer.GetNotes() {
			fmt.Fprintf(text, "  %s %s in %s: %s", note.GetArea(), note.GetIndicator(), periods(note.GetPeriods()), note.GetReason())
			if len(note.GetDetail()) == 0 {
				text.WriteString("; nothing goes")
			}
			text.WriteByte('\n')
			writePairs(text, "  so rolled up", note.GetDetail())
		}
		if o := answer.GetObligations(); o != nil {
			fmt.Fprintf(text, "  bound to: no cell under %d", o.GetMinimumFrequency())
			if len(o.GetPurposes()) > 0 {
				fmt.Fprintf(text, "; for %s", strings.Join(o.GetPurposes(), ", "))
			}
			if o.GetRetentionDays() > 0 {
				fmt.Fprintf(text, "; deleted after %d days", o.GetRetentionDays())
			}
			if !o.GetOnward() {
				text.WriteString("; not passed on")
			}
			if o.GetTier() != "" {
				fmt.Fprintf(text, "; for the tier %s", o.GetTier())
			}
			text.WriteByte('\n')
		}
	}
	fmt.Fprintf(text, "  by policy revision %s\n", answer.GetPolicyRevision())
	return text.String()
}

// confStatuses says what codes of CL_CONF_STATUS mean for a cell that is withheld.
var confStatuses = map[string]string{
	"A": "for a small count", "O": "for one dominant contributor", "T": "for two dominant contributors",
	"G": "for few dominant contributors", "M": "for what it tells of a contributor", "N": "by policy", "D": "to protect others",
}

// writeRules writes how many cells are withheld for which reason.
func writeRules(text *strings.Builder, rules map[string]int32) {
	if len(rules) == 0 {
		return
	}
	parts := make([]string, 0, len(rules))
	for _, code := range slices.Sorted(maps.Keys(rules)) {
		why := confStatuses[code]
		if why == "" {
			why = "as they are restricted here"
		}
		parts = append(parts, fmt.Sprintf("%s %s (%s)", grouped(rules[code]), why, code))
	}
	fmt.Fprintf(text, "  withheld: %s\n", strings.Join(parts, ", "))
}

// periods says which periods, where there are many the first and how many more.
func periods(of []string) string {
	if len(of) <= 3 {
		return strings.Join(of, ", ")
	}
	return fmt.Sprintf("%s and %d more", of[0], len(of)-1)
}

// writeCells writes why the first cells are withheld.
func writeCells(text *strings.Builder, cells []*sharingpb.WithheldCell) {
	for _, cell := range cells {
		var key []string
		for _, dimension := range slices.Sorted(maps.Keys(cell.GetKey())) {
			if code := cell.GetKey()[dimension]; code != "_T" {
				key = append(key, dimension+"="+code)
			}
		}
		fmt.Fprintf(text, "  %s %s: %s %s\n", strings.Join(key, " "), cell.GetTimePeriod(), cell.GetConfStatus(), cell.GetExplanation())
	}
}

// writePairs writes "title: K to V, …", in the order of keys; nothing where there are none.
func writePairs(text *strings.Builder, title string, pairs map[string]string) {
	if len(pairs) == 0 {
		return
	}
	parts := make([]string, 0, len(pairs))
	for _, key := range slices.Sorted(maps.Keys(pairs)) {
		parts = append(parts, key+" to "+pairs[key])
	}
	fmt.Fprintf(text, "  %s: %s\n", title, strings.Join(parts, ", "))
}
