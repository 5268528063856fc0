package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/internal/policy"
)

// newPolicyCommand returns the commands that make bundles of policies, and say what policies decide.
func newPolicyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "policy",
		Short: "Build, sign and check bundles of policies, and say what they would decide",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newPolicyBuildCommand(), newPolicySignCommand(), newPolicyVerifyCommand(), newPolicyReplayCommand(), newPolicyShadowCommand())
	return cmd
}

func newPolicyBuildCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "build --directory DIR... --revision N FILE",
		Short: "Make a bundle of directories of policies, once their tests pass",
		Long: `Make a bundle of directories of policies: the first is that which all states share, the others are this state's own. It is not
made unless it compiles and its tests pass.

A node takes a bundle only if its revision is higher than that of the one in force, and only before its time is over.`,
		Example: `  comity policy build --directory policies --directory own --revision 17 --days 90 bundle.tar.gz`,
		Args:    cobra.ExactArgs(1),
	}
	directories := cmd.Flags().StringArray("directory", nil, "a `DIR` of policies; the later ones add to those before")
	revision := cmd.Flags().Int64("revision", 0, "the `NUMBER` of the bundle, higher than that of any before")
	days := cmd.Flags().Int("days", 90, "how many days the bundle counts")
	for _, name := range []string{"directory", "revision"} {
		if err := cmd.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is not there
		}
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if *revision < 1 || *days < 1 {
			return errors.New("--revision and --days are at least 1")
		}
		data, err := policy.Build(*directories, *revision, time.Now().AddDate(0, 0, *days))
		if err != nil {
			return err
		}
		if _, err := policy.OpenCandidate(cmd.Context(), data, slog.New(slog.DiscardHandler)); err != nil {
			return err
		}
		if err := renameio.WriteFile(args[0], data, 0o644); err != nil {
			return err
		}
		return show(cmd, fmt.Sprintf("%s: revision %d, not signed yet\n", args[0], *revision))
	}
	return cmd
}

func newPolicySignCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign --key KEY FILE",
		Short: "Sign a bundle of policies",
		Long: `Sign a bundle of policies, in place of any signature that it has. KEY is a PEM file with an Ed25519 private key, which is made
where there is no file; FILE.pub then holds the public one, for COMITY_POLICY_KEYS.`,
		Example: `  comity policy sign --key policy.pem bundle.tar.gz`,
		Args:    cobra.ExactArgs(1),
	}
	keyFile := cmd.Flags().String("key", "", "the PEM `FILE` of the private key")
	if err := cmd.MarkFlagRequired("key"); err != nil {
		panic(err) // the flag is not there
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		key, err := policyKey(*keyFile)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		signed, err := policy.Sign(data, key)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if err := renameio.WriteFile(args[0], signed, 0o644); err != nil {
			return err
		}
		return show(cmd, fmt.Sprintf("%s: signed by %s\n", args[0], policy.KeyID(key.Public().(ed25519.PublicKey))))
	}
	return cmd
}

// policyKey returns the key in a file. Where there is none, it makes one, with the public key beside it.
func policyKey(file string) (ed25519.PrivateKey, error) {
	_, err := os.Stat(file)
	if err == nil {
		block, err := readPEM(file)
		if err != nil {
			return nil, err
		}
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		private, ok := key.(ed25519.PrivateKey)
		if !ok {
			return nil, fmt.Errorf("%s holds no Ed25519 key", file)
		}
		return private, nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	key, err := authority.Ed25519(file)
	if err != nil {
		return nil, err
	}
	public, err := policy.EncodeKey(key.Public().(ed25519.PublicKey))
	if err != nil {
		return nil, err
	}
	return key, renameio.WriteFile(file+".pub", public, 0o644)
}

func newPolicyVerifyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "verify --key PUBLIC... FILE",
		Short:   "Say whether a node with these keys would take a bundle",
		Example: `  comity policy verify --key policy.pem.pub bundle.tar.gz`,
		Args:    cobra.ExactArgs(1),
	}
	keyFiles := cmd.Flags().StringArray("key", nil, "a PEM `FILE` of public keys")
	if err := cmd.MarkFlagRequired("key"); err != nil {
		panic(err) // the flag is not there
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		keys, err := policy.ReadKeys(*keyFiles)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(args[0])
		if err != nil {
			return err
		}
		bundle, err := policy.OpenBundle(data, keys)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		if !time.Now().Before(bundle.NotAfter) {
			return fmt.Errorf("%s: it expired at %s", args[0], bundle.NotAfter.Format(time.RFC3339))
		}
		if _, err := policy.OpenCandidate(cmd.Context(), data, slog.New(slog.DiscardHandler)); err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		return show(cmd, fmt.Sprintf("%s: revision %d, until %s, signed by %s; its tests pass; policies %s\n",
			args[0], bundle.Revision, bundle.NotAfter.Format(time.RFC3339), bundle.SignedBy, bundle.PolicyRevision()))
	}
	return cmd
}

func newPolicyReplayCommand() *cobra.Command {
	request := &sharingpb.ReplayDecisionsRequest{}
	cmd := &cobra.Command{
		Use:   "replay [--decision ID | --days N]",
		Short: "Make decisions again, and say whether they are the same bit for bit",
		Long: `Make decisions again, under the policies, the agreements and the day that they were made under, and say whether they are the same
bit for bit. It fails where one is not, or cannot be made again.`,
		Example: `  comity policy replay --state us --days 30
  comity policy replay --state us --decision 0198c0de-0000-7000-8000-000000000000`,
		Args: cobra.NoArgs,
	}
	node := addTarget(cmd, "auditor")
	cmd.Flags().StringVar(&request.Decision, "decision", "", "the `ID` of one decision")
	cmd.Flags().Int32Var(&request.Days, "days", 0, "the decisions of how many days; 1 where nothing is said")
	cmd.MarkFlagsMutuallyExclusive("decision", "days")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		client, err := node.open()
		if err != nil {
			return err
		}
		answer := &sharingpb.ReplayDecisionsResponse{}
		if err := client.post(cmd.Context(), "/v1/policy:replay", request, answer); err != nil {
			return fmt.Errorf("replaying decisions: %w", err)
		}
		text := &strings.Builder{}
		for _, r := range answer.GetReplayed() {
			fmt.Fprintf(text, "%s of %s: %s", r.GetDecision(), r.GetCreateTime().AsTime().Format(time.RFC3339), r.GetOutcome())
			if r.GetText() != "" {
				fmt.Fprintf(text, ": %s", r.GetText())
			}
			text.WriteByte('\n')
		}
		fmt.Fprintf(text, "%d of %d decisions are the same, bit for bit\n", answer.GetSame(), answer.GetDecisions())
		if err := show(cmd, text.String()); err != nil {
			return err
		}
		if others := answer.GetDecisions() - answer.GetSame(); others > 0 {
			return fmt.Errorf("%d decisions are not", others)
		}
		return nil
	}
	return cmd
}

func newPolicyShadowCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "shadow --bundle FILE | --directory DIR...",
		Short: "Say what other policies would have decided otherwise in the last days",
		Long: `Say what other policies would have decided otherwise in the last days: they are asked the questions of every decision again, with
the agreements and the day of that decision. Nothing is activated, kept or sent. They have to pass their tests, and a bundle
need not be signed.`,
		Example: `  comity policy shadow --state us --directory policies --directory own --days 30
  comity policy shadow --state us --bundle bundle.tar.gz`,
		Args: cobra.NoArgs,
	}
	node := addTarget(cmd, "officer")
	bundle := cmd.Flags().String("bundle", "", "the `FILE` of a bundle")
	directories := cmd.Flags().StringArray("directory", nil, "a `DIR` of policies; the later ones add to those before")
	days := cmd.Flags().Int32("days", 30, "the decisions of how many days")
	cmd.MarkFlagsMutuallyExclusive("bundle", "directory")
	cmd.MarkFlagsOneRequired("bundle", "directory")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		var data []byte
		var err error
		if *bundle != "" {
			data, err = os.ReadFile(*bundle)
		} else {
			data, err = policy.Build(*directories, 1, time.Now().AddDate(0, 0, 1))
		}
		if err != nil {
			return err
		}
		client, err := node.open()
		if err != nil {
			return err
		}
		answer := &sharingpb.ShadowPolicyResponse{}
		request := &sharingpb.ShadowPolicyRequest{Bundle: data, Days: *days}
		if err := client.post(cmd.Context(), "/v1/policy:shadow", request, answer); err != nil {
			return fmt.Errorf("asking other policies: %w", err)
		}
		return showShadow(cmd, answer)
	}
	return cmd
}

// changesInWords says what the changes of a candidate mean.
var changesInWords = map[sharingpb.PolicyDifference_Change]string{
	sharingpb.PolicyDifference_RELEASED:    "withheld → released",
	sharingpb.PolicyDifference_UNANSWERED:  "no answer, so nothing goes",
	sharingpb.PolicyDifference_WITHHELD:    "released → withheld",
	sharingpb.PolicyDifference_DETAIL:      "another detail",
	sharingpb.PolicyDifference_CELLS:       "other cells left out",
	sharingpb.PolicyDifference_OBLIGATIONS: "other obligations",
	sharingpb.PolicyDifference_AGREEMENT:   "under another agreement",
	sharingpb.PolicyDifference_REASONS:     "withheld for other reasons",
}

func showShadow(cmd *cobra.Command, answer *sharingpb.ShadowPolicyResponse) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	if len(answer.GetDifferences()) > 0 {
		if _, err := fmt.Fprintln(table, "PARTNER\tINDICATOR\tUSE\tCHANGE\tANSWERS\tLAST\tBEFORE\tAFTER"); err != nil {
			return err
		}
	}
	for _, d := range answer.GetDifferences() {
		partner := d.GetPartner()
		if partner == "" {
			partner = "the public"
		}
		_, err := fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", partner, d.GetIndicator(), d.GetUse(), changesInWords[d.GetChange()],
			d.GetQuestions(), d.GetLastTime().AsTime().Format(time.RFC3339), shortly(d.GetBefore()), shortly(d.GetAfter()))
		if err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	text := fmt.Sprintf("%d of %d answers in %d decisions would be the same", answer.GetSame(), answer.GetQuestions(), answer.GetDecisions())
	if n := answer.GetStopped(); n > 0 {
		text += fmt.Sprintf("; %d were a switch's", n)
	}
	if n := answer.GetNotKept(); n > 0 {
		text += fmt.Sprintf("; of %d decisions too little is kept", n)
	}
	return show(cmd, text+"\n")
}

// shortly cuts a text that is too long for a column.
func shortly(text string) string {
	const most = 80
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}
