package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// newKillCommand returns the command that stops a node, or lets it go on.
func newKillCommand() *cobra.Command {
	request := &sharingpb.SetKillSwitchRequest{}
	var readOnly, ofStatistics, list bool
	var directory string
	cmd := &cobra.Command{
		Use:   "kill --reason TEXT",
		Short: "Stop what leaves a node, at once, or let it go on again",
		Long: `Stop what leaves a node, at once: no release, no envelope and no publication goes any more, and streams to partners are
cut. It stays so, also after a restart, until it is lifted. Who did it and why is in the transparency log.

Without --partner and --indicator nothing leaves at all. With --read-only what was released before still goes, but nothing
is changed: no agreements, releases, publications, and nothing from partners. With --statistics that is the node's statistics
instead: nothing is submitted, recorded, set or removed in them, and queries are answered.

Where the gateway does not answer, --on-the-spot DIRECTORY does the same on the machine of the sharing service itself: it
writes a file to the directory that its COMITY_SWITCHES names, and needs no network. To let it go on, remove the file with
--lift, and then lift the switch by a call.`,
		Example: `  comity kill --state us --reason "a wrong table went out"
  comity kill --state us --partner gb --indicator 1A --reason "to be looked at"
  comity kill --state us --read-only --statistics --reason "the database moves"
  comity kill --state us --lift --reason "it was mended"
  comity kill --on-the-spot /var/lib/comity/switches --reason "the gateway is down"
  comity kill --state us --list`,
		Args: cobra.NoArgs,
	}
	node := addTarget(cmd, "admin")
	flags := cmd.Flags()
	flags.StringVar(&request.Partner, "partner", "", "the `CODE` of the partner whom it concerns; without it, all and the public")
	flags.StringVar(&request.Indicator, "indicator", "", "the `CODE` of the indicator that it concerns; without it, all")
	flags.BoolVar(&readOnly, "read-only", false, "let nothing be changed, instead of letting nothing leave")
	flags.BoolVar(&ofStatistics, "statistics", false, "with --read-only: let nothing be changed in the statistics")
	flags.BoolVar(&request.Lift, "lift", false, "let it go on again")
	flags.StringVar(&request.Reason, "reason", "", "why, for the log")
	flags.StringVar(&directory, "on-the-spot", "", "the `DIRECTORY` of the switches, on the machine of the service itself")
	flags.BoolVar(&list, "list", false, "only show what is stopped")
	cmd.MarkFlagsMutuallyExclusive("list", "reason")
	cmd.MarkFlagsMutuallyExclusive("list", "on-the-spot")
	cmd.MarkFlagsMutuallyExclusive("read-only", "partner")
	cmd.MarkFlagsMutuallyExclusive("read-only", "indicator")
	cmd.MarkFlagsMutuallyExclusive("on-the-spot", "partner")
	cmd.MarkFlagsMutuallyExclusive("on-the-spot", "indicator")
	cmd.MarkFlagsMutuallyExclusive("on-the-spot", "statistics") // there, one file stops every service that looks
	cmd.MarkFlagsOneRequired("list", "reason")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if directory != "" {
			text, err := holdOnTheSpot(directory, readOnly, request.GetLift(), request.GetReason())
			if err != nil {
				return err
			}
			return show(cmd, text)
		}
		client, err := node.open()
		if err != nil {
			return err
		}
		if list {
			answer := &sharingpb.ListKillSwitchesResponse{}
			if err := client.get(cmd.Context(), "/v1/killswitch", url.Values{"showLifted": {"true"}}, answer); err != nil {
				return fmt.Errorf("listing what is stopped: %w", err)
			}
			figures := &statisticspb.ReadOnly{}
			if err := client.get(cmd.Context(), "/v1/readonly", nil, figures); err != nil {
				return fmt.Errorf("asking whether the statistics are read-only: %w", err)
			}
			return listSwitches(cmd, answer.GetKillSwitches(), figures)
		}
		if ofStatistics {
			if !readOnly {
				return errors.New("--statistics goes with --read-only: figures do not leave a node from there")
			}
			now := &statisticspb.ReadOnly{}
			ask := &statisticspb.SetReadOnlyRequest{Lift: request.GetLift(), Reason: request.GetReason()}
			if err := client.post(cmd.Context(), "/v1/readonly", ask, now); err != nil {
				return fmt.Errorf("throwing the switch: %w", err)
			}
			return show(cmd, fmt.Sprintf("%s: %s\n", changesOfStatistics, standing(now.GetOn())))
		}
		request.Mode = sharingpb.KillSwitch_KILL
		if readOnly {
			request.Mode = sharingpb.KillSwitch_READ_ONLY
		}
		thrown := &sharingpb.KillSwitch{}
		if err := client.post(cmd.Context(), "/v1/killswitch", request, thrown); err != nil {
			return fmt.Errorf("throwing the switch: %w", err)
		}
		return show(cmd, fmt.Sprintf("%s: %s\n", about(thrown), standing(thrown.GetOn())))
	}
	return cmd
}

// holdOnTheSpot writes or removes the file that stops a service, and says what that means.
func holdOnTheSpot(directory string, readOnly, lift bool, reason string) (string, error) {
	name := "kill"
	if readOnly {
		name = "read-only"
	}
	path := filepath.Join(directory, name)
	if lift {
		if err := os.Remove(path); err != nil {
			return "", fmt.Errorf("lifting the hold: %w", err)
		}
		return "the file is gone; the switch stays until it is lifted by a call: `comity kill --lift` with the node's name\n", nil
	}
	if strings.TrimSpace(reason) == "" {
		return "", errors.New("say why: --reason")
	}
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return "", fmt.Errorf("stopping on the spot: %w", err)
	}
	// Whole at once, so that the service never reads half a reason.
	if err := renameio.WriteFile(path, []byte(reason+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("stopping on the spot: %w", err)
	}
	return fmt.Sprintf("%s is written: a sharing service that looks there stops within a second\n", path), nil
}

// changesOfStatistics is what a switch of the statistics is about.
const changesOfStatistics = "whatever changes the statistics"

func listSwitches(cmd *cobra.Command, switches []*sharingpb.KillSwitch, figures *statisticspb.ReadOnly) error {
	if len(switches) == 0 && figures.GetCreateTime() == nil {
		return show(cmd, "nothing is stopped, nor ever was\n")
	}
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	rows := []string{"WHAT\tSTANDS\tSINCE\tBY\tREASON"}
	for _, w := range switches {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s", about(w), standing(w.GetOn()),
			w.GetCreateTime().AsTime().Format(time.RFC3339), w.GetBy(), w.GetReason()))
	}
	if figures.GetCreateTime() != nil {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s", changesOfStatistics, standing(figures.GetOn()),
			figures.GetCreateTime().AsTime().Format(time.RFC3339), figures.GetBy(), figures.GetReason()))
	}
	if _, err := fmt.Fprintln(table, strings.Join(rows, "\n")); err != nil {
		return err
	}
	return table.Flush()
}

// about says what a switch is about.
func about(w *sharingpb.KillSwitch) string {
	switch {
	case w.GetMode() == sharingpb.KillSwitch_READ_ONLY:
		return "whatever changes what is shared"
	case w.GetPartner() != "" && w.GetIndicator() != "":
		return w.GetIndicator() + " for " + w.GetPartner()
	case w.GetPartner() != "":
		return "all for " + w.GetPartner()
	case w.GetIndicator() != "":
		return w.GetIndicator() + " for all"
	}
	return "whatever leaves"
}

func standing(on bool) string {
	if on {
		return "stopped"
	}
	return "goes on"
}
