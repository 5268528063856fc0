package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// newPublishCommand returns the command that shows figures to everybody.
func newPublishCommand() *cobra.Command {
	request := &sharingpb.CreatePublicationRequest{}
	cmd := &cobra.Command{
		Use:   "publish [INDICATOR…]",
		Short: "Show figures to everybody",
		Long: `Show figures to everybody, as far as policy lets them be published and disclosure control does not withhold them. They
take the place of what was published of the same indicators before. Without indicators, all go that policy lets.`,
		Example: "  comity publish --state us 1A",
	}
	node := addTarget(cmd, "officer")
	cmd.Flags().StringVar(&request.Dataflow, "dataflow", "", "the `DATAFLOW` that they are of; without it, the one that states share")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := node.open()
		if err != nil {
			return err
		}
		request.Indicators = args
		published := &sharingpb.Publication{}
		if err := client.post(cmd.Context(), "/v1/publications", request, published); err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
		return show(cmd, publication(published))
	}
	return cmd
}

// publication returns a publication for people.
func publication(p *sharingpb.Publication) string {
	text := &strings.Builder{}
	fmt.Fprintf(text, "%s of %s: %s cells, %s more without their values: %s\n", strings.Join(p.GetIndicators(), ", "), p.GetDataflow(),
		grouped(p.GetReleased()), grouped(p.GetWithheld()+p.GetSuppressed()), p.GetState())
	if p.GetProblem() != "" {
		fmt.Fprintf(text, "  %s\n", p.GetProblem())
	}
	for _, reason := range p.GetReasons() {
		fmt.Fprintf(text, "  %s: %s\n", reason.GetCode(), reason.GetText())
	}
	writePairs(text, "rolled up", p.GetCoarsened())
	fmt.Fprintf(text, "  %s, by policy revision %s\n", p.GetName(), p.GetPolicyRevision())
	return text.String()
}
