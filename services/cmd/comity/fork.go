package main

import (
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/sharing"
)

// newForkCommand returns the commands about logs that do not extend what was seen of them.
func newForkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fork",
		Short: "See which partners' logs do not extend what was seen of them, and let one go on",
		Long: `A partner's log that does not extend what was seen of it is not co-signed: its database was restored from an old
backup, or it shows several logs. Once people know which, officers who sign the trust list may accept that it goes on from
what it shows now:

  comity fork accept gb --state us --reason '…' --out gb.acceptance    an admin of the node writes what is to be signed
  comity fork sign --key jones.key gb.acceptance                       each officer, where the key is
  comity fork settle gb.acceptance --state us                          an admin hands it in

Both checkpoints stay as evidence, and the acceptance is an entry of the node's log.`,
		Args: cobra.NoArgs,
	}
	node := addTarget(cmd, "admin")
	cmd.AddCommand(newForkListCommand(node), newForkAcceptCommand(node), newForkSignCommand(), newForkSettleCommand(node))
	return cmd
}

func newForkListCommand(node *target) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the partners whose logs do not extend what was seen of them, and those who say so of ours",
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
				if fork := partner.GetLogFork(); fork != nil {
					fmt.Fprintf(text, "%s (%s): %.0f entries were seen of its log; it shows %.0f that do not extend them\n",
						partner.GetCode(), partner.GetDisplayName(), fork.GetSeenSize(), fork.GetShownSize())
				}
				if objection := partner.GetLogObjection(); objection != "" {
					fmt.Fprintf(text, "%s (%s) does not co-sign our log: %s\n", partner.GetCode(), partner.GetDisplayName(), objection)
				}
			}
			if text.Len() == 0 {
				text.WriteString("every log extends what was seen of it\n")
			}
			return show(cmd, text.String())
		},
	}
}

func newForkAcceptCommand(node *target) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "accept PARTNER --reason TEXT --out FILE",
		Short:   "Write what officers sign to let a partner's log go on from what it shows now",
		Example: `  comity fork accept gb --state us --reason 'Restored after a fire on 3 March; letter 2026-114.' --out gb.acceptance`,
		Args:    cobra.ExactArgs(1),
	}
	reason := cmd.Flags().String("reason", "", "why, for those who read the log later")
	out := cmd.Flags().String("out", "", "the `FILE` to write")
	for _, name := range []string{"reason", "out"} {
		_ = cmd.MarkFlagRequired(name) // it fails for a flag that is not there
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := node.open()
		if err != nil {
			return err
		}
		partners := &sharingpb.ListPartnersResponse{}
		if err := client.get(cmd.Context(), "/v1/partners", nil, partners); err != nil {
			return fmt.Errorf("listing partners: %w", err)
		}
		at := slices.IndexFunc(partners.GetPartners(), func(p *sharingpb.Partner) bool { return p.GetCode() == args[0] })
		if at < 0 || partners.GetPartners()[at].GetLogFork() == nil {
			return fmt.Errorf("%s shows no log that does not extend what was seen of it", args[0])
		}
		fork := partners.GetPartners()[at].GetLogFork()
		acceptance, err := sharing.NewAcceptance(sharing.StateCode(args[0]),
			sharing.Fork{State: sharing.StateCode(fork.GetState()), Seen: fork.GetSeen(), Shown: fork.GetShown()}, *reason, time.Now())
		if err != nil {
			return err
		}
		if err := saveAcceptance(*out, acceptance); err != nil {
			return err
		}
		return show(cmd, fmt.Sprintf("%s: officers sign that the log of %s goes on from %.0f entries, though %.0f others were seen\n",
			*out, args[0], fork.GetShownSize(), fork.GetSeenSize()))
	}
	return cmd
}

func newForkSignCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign --key KEY FILE...",
		Short: "Sign, as an officer, that a partner's log goes on",
		Args:  cobra.MinimumNArgs(1),
	}
	key := cmd.Flags().String("key", "", "the PEM `FILE` with the officer's private key")
	_ = cmd.MarkFlagRequired("key") // it fails for a flag that is not there
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		if _, err := os.Stat(*key); err != nil {
			return err
		}
		private, err := authority.Ed25519(*key)
		if err != nil {
			return err
		}
		for _, file := range files {
			acceptance, err := readAcceptance(file)
			if err != nil {
				return err
			}
			acceptance.Sign(private)
			if err := saveAcceptance(file, acceptance); err != nil {
				return err
			}
			said := fmt.Sprintf("%s: signed that %s accepts the log of %s from %d entries on, though it had seen %d others: %s\n", file,
				acceptance.State, acceptance.Log, checkpointSize(acceptance.From), checkpointSize(acceptance.Seen), acceptance.Reason)
			if err := show(cmd, said); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

func newForkSettleCommand(node *target) *cobra.Command {
	return &cobra.Command{
		Use:   "settle FILE",
		Short: "Hand in what officers have signed, so that a partner's log goes on",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			acceptance, err := readAcceptance(args[0])
			if err != nil {
				return err
			}
			data, err := acceptance.Encode()
			if err != nil {
				return err
			}
			client, err := node.open()
			if err != nil {
				return err
			}
			accepted := &sharingpb.AcceptLogResponse{}
			path := "/v1/partners/" + url.PathEscape(string(acceptance.Log)) + ":acceptLog"
			if err := client.post(cmd.Context(), path, &sharingpb.AcceptLogRequest{Acceptance: data}, accepted); err != nil {
				return fmt.Errorf("accepting the log of %s: %w", acceptance.Log, err)
			}
			return show(cmd, fmt.Sprintf("the log of %s goes on from %.0f entries, by %s; our log keeps that as %s\n",
				acceptance.Log, accepted.GetFromSize(), strings.Join(accepted.GetOfficers(), " and "), accepted.GetEntry()))
		},
	}
}

func readAcceptance(file string) (*sharing.SignedAcceptance, error) {
	data, err := os.ReadFile(file) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	acceptance, err := sharing.ReadAcceptance(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return acceptance, nil
}

func saveAcceptance(file string, acceptance *sharing.SignedAcceptance) error {
	data, err := acceptance.Encode()
	if err != nil {
		return err
	}
	return renameio.WriteFile(file, data, 0o644)
}
