package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// publishing is what the flags of `comity publish` ask for.
type publishing struct {
	dataflow   string
	indicators []string
	preview    bool
	at         string // RFC 3339
	title      string
	correction string
	withdraw   string // the name of a publication
	cancel     string // the name of an announcement
	calendar   bool
	reason     string
}

// newPublishCommand returns the command that shows figures to everybody.
func newPublishCommand() *cobra.Command {
	asked := &publishing{}
	cmd := &cobra.Command{
		Use:   "publish [INDICATOR…]",
		Short: "Show figures to everybody",
		Long: `Show figures to everybody, as far as policy lets them be published and disclosure control does not withhold them. They
take the place of what was published of the same indicators before. Without indicators, all go that policy lets.

With --at they are announced to everybody, and go in that minute by themselves.`,
		Example: `  comity publish --state us 1A
  comity publish --state us --preview 1A
  comity publish --state us --at 2026-03-02T09:30:00Z --title 'Detections in January' 1A
  comity publish --state us --correction 'January 2026 was too low.' --reason 'A point reported late.' 1A
  comity publish --state us --withdraw publications/01a2093a-… --reason 'A point was counted twice.'
  comity publish --state us --calendar`,
	}
	node := addTarget(cmd, "officer")
	flags := cmd.Flags()
	flags.StringVar(&asked.dataflow, "dataflow", "", "the `DATAFLOW` that they are of; without it, the one that states share")
	flags.BoolVar(&asked.preview, "preview", false, "say what would be shown, and show it to nobody")
	flags.StringVar(&asked.at, "at", "", "announce them for this `MINUTE`, such as 2026-03-02T09:30:00Z (with --title)")
	flags.StringVar(&asked.title, "title", "", "what is announced, in `WORDS`")
	flags.StringVar(&asked.correction, "correction", "", "tell everybody `WHAT` is corrected (with --reason)")
	flags.StringVar(&asked.withdraw, "withdraw", "", "take this `PUBLICATION` back (with --reason)")
	flags.StringVar(&asked.cancel, "cancel", "", "cancel this `ANNOUNCEMENT` (with --reason)")
	flags.BoolVar(&asked.calendar, "calendar", false, "show what is announced")
	flags.StringVar(&asked.reason, "reason", "", "tell everybody `WHY`")
	cmd.MarkFlagsMutuallyExclusive("preview", "at", "withdraw", "cancel", "calendar")
	cmd.MarkFlagsRequiredTogether("at", "title")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := node.open()
		if err != nil {
			return err
		}
		asked.indicators = args
		text, err := asked.do(cmd.Context(), client)
		if err != nil {
			return fmt.Errorf("publishing: %w", err)
		}
		return show(cmd, text)
	}
	return cmd
}

// do does what is asked for, and returns for people what came of it.
func (p *publishing) do(ctx context.Context, client *client) (string, error) {
	var correction *sharingpb.Correction
	if p.correction != "" {
		correction = &sharingpb.Correction{Text: p.correction, Reason: p.reason}
	}
	switch {
	case p.calendar:
		listed := &sharingpb.ListAnnouncementsResponse{}
		err := client.get(ctx, "/v1/announcements", nil, listed)
		return calendar(listed.GetAnnouncements()), err
	case p.withdraw != "":
		return p.tell(ctx, client, p.withdraw, "publications/", ":withdraw")
	case p.cancel != "":
		return p.tell(ctx, client, p.cancel, "announcements/", ":cancel")
	case p.preview:
		answer := &sharingpb.PreviewPublicationResponse{}
		request := &sharingpb.PreviewPublicationRequest{Dataflow: p.dataflow, Indicators: p.indicators}
		err := client.post(ctx, "/v1/publications:preview", request, answer)
		return publication(answer.GetPublication()), err
	case p.at != "":
		at, err := time.Parse(time.RFC3339, p.at)
		if err != nil {
			return "", fmt.Errorf("--at %q is not a minute such as 2026-03-02T09:30:00Z", p.at)
		}
		announced := &sharingpb.Announcement{}
		err = client.post(ctx, "/v1/announcements", &sharingpb.Announcement{
			Title: p.title, Dataflow: p.dataflow, Indicators: p.indicators, ReleaseTime: timestamppb.New(at), Correction: correction,
		}, announced)
		return calendar([]*sharingpb.Announcement{announced}), err
	default:
		published := &sharingpb.Publication{}
		request := &sharingpb.CreatePublicationRequest{Dataflow: p.dataflow, Indicators: p.indicators, Correction: correction}
		err := client.post(ctx, "/v1/publications", request, published)
		return publication(published), err
	}
}

// tell makes a call that ends in a notice.
func (p *publishing) tell(ctx context.Context, client *client, name, collection, verb string) (string, error) {
	if !strings.HasPrefix(name, collection) {
		return "", errors.New(name + " is not a name as they are listed: " + collection + "…")
	}
	given := &sharingpb.Notice{}
	// Both requests have a reason; the name is in the path.
	if err := client.post(ctx, "/v1/"+name+verb, &sharingpb.WithdrawPublicationRequest{Reason: p.reason}, given); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s of %s: everybody is told by %s\n", given.GetKind(), given.GetSubject(), given.GetName()), nil
}

// calendar returns announcements for people.
func calendar(announcements []*sharingpb.Announcement) string {
	text := &strings.Builder{}
	table := tabwriter.NewWriter(text, 0, 0, 2, ' ', 0)
	row(table, "MINUTE", "STATE", "TITLE", "INDICATORS", "NAME")
	for _, a := range announcements {
		row(table, a.GetReleaseTime().AsTime().Format("2006-01-02 15:04Z"), a.GetState(), a.GetTitle(), strings.Join(a.GetIndicators(), " "), a.GetName())
		if a.GetProblem() != "" {
			row(table, "", "", a.GetProblem(), "", "")
		}
	}
	_ = table.Flush() // a builder takes everything
	return text.String()
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
