package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/rpc"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// auditPage is how many entries of a log are asked for at once.
const auditPage = 200

// newAuditCommand returns the commands that check what states cannot take back.
func newAuditCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Check the transparency logs",
		Args:  cobra.NoArgs,
	}
	cmd.AddCommand(newVerifyCommand(), newExportCommand())
	return cmd
}

func newVerifyCommand() *cobra.Command {
	var trustList string
	cmd := &cobra.Command{
		Use:   "verify [--state CODE | FILE...]",
		Short: "Check a state's transparency log, or what was exported of it",
		Long: `Check a state's transparency log from its first entry to its checkpoint: each entry's content, leaf and place in the
tree, the signatures on every agreement, envelope and receipt in it, the checkpoint over all of it, and every one that
was shown in a session with a partner, by the keys of the trust list. Several logs are held against each other as well, and
against the checkpoints that the others keep of them. Without --state, every state of the running region is checked.

With files that ` + "`comity audit export`" + ` has written, no node is asked: --trust FILE is all that is needed besides.

The command fails where a log or a proof is not what it must be, and names the first thing that is wrong.`,
		Example: `  comity audit verify --state us
  comity audit verify --trust trust.json us.log gb.log us-gb-4.proof`,
		Args: cobra.ArbitraryArgs,
	}
	node := addTarget(cmd, "auditor")
	cmd.Flags().StringVar(&trustList, "trust", "", "the `FILE` with the trust list; for a running region, its own")
	cmd.RunE = func(cmd *cobra.Command, files []string) error {
		if len(files) > 0 {
			return verifyFiles(cmd, files, trustList)
		}
		clients, err := audited(node)
		if err != nil {
			return err
		}
		if trustList == "" {
			if node.gateway != "" {
				return errors.New("--gateway needs --trust FILE: a log proves nothing by keys that it names itself")
			}
			trustList = filepath.Join(node.directory, "trust.json")
		}
		trust, err := partner.ReadTrustList(trustList)
		if err != nil {
			return err
		}
		var problems []error
		var logs sharing.Comparison
		var seen []sharing.SeenCheckpoint
		for _, client := range clients {
			checkpoints, err := seenCheckpoints(cmd.Context(), client)
			if err != nil {
				return err
			}
			seen = append(seen, rpc.SeenFromProto(checkpoints)...)
		}
		for _, client := range clients {
			verified, err := verifyLog(cmd.Context(), client, trust.TrustList, &logs, seen)
			if err != nil {
				problems = append(problems, err)
				continue
			}
			if err := show(cmd, verified); err != nil {
				return err
			}
		}
		if err := showAcceptances(cmd, trust.TrustList, seen); err != nil {
			return err
		}
		return errors.Join(append(problems, contradictions(&logs), split(trust.TrustList, seen))...)
	}
	return cmd
}

// showAcceptances says which logs go on otherwise than somebody has seen, since officers accepted it.
func showAcceptances(cmd *cobra.Command, trust *sharing.TrustList, seen []sharing.SeenCheckpoint) error {
	for _, said := range sharing.Acceptances(trust, seen) {
		if err := show(cmd, said+"\n"); err != nil {
			return err
		}
	}
	return nil
}

// contradictions returns what logs that were compared contradict each other in; nil: nothing.
func contradictions(logs *sharing.Comparison) error {
	found := logs.Contradictions()
	if len(found) == 0 {
		return nil
	}
	return fmt.Errorf("the logs contradict each other at %d places, first at %s", len(found), found[0])
}

// split returns which states have shown several logs, by the checkpoints that their partners keep; nil: none.
func split(trust *sharing.TrustList, seen []sharing.SeenCheckpoint) error {
	var problems []error
	for _, problem := range sharing.SplitViews(trust, seen) {
		problems = append(problems, errors.New(problem))
	}
	return errors.Join(problems...)
}

// seenCheckpoints asks for all checkpoints that were shown in sessions with the node's partners.
func seenCheckpoints(ctx context.Context, client *client) ([]*sharingpb.SeenCheckpoint, error) {
	var seen []*sharingpb.SeenCheckpoint
	for query := (url.Values{"pageSize": {"1000"}}); ; {
		page := &sharingpb.ListCheckpointsResponse{}
		if err := client.get(ctx, "/v1/log/checkpoints", query, page); err != nil {
			return nil, fmt.Errorf("asking %s for the checkpoints that partners have seen: %w", client.gateway, err)
		}
		seen = append(seen, page.GetCheckpoints()...)
		if page.GetNextPageToken() == "" {
			return seen, nil
		}
		query.Set("pageToken", page.GetNextPageToken())
	}
}

// audited returns a client for the node that the flags name, or for every state of the running region.
func audited(target *target) ([]*client, error) {
	if target.gateway != "" || target.state != "" {
		named, err := target.open()
		if err != nil {
			return nil, err
		}
		return []*client{named}, nil
	}
	states, err := runningStates(target.directory)
	if err != nil {
		return nil, err
	}
	clients := make([]*client, len(states))
	for i, state := range states {
		if clients[i], err = state.open(target.role); err != nil {
			return nil, err
		}
	}
	return clients, nil
}

// verifyLog checks the log of the node and returns a line that says so. Whose log it is follows from the key on the
// trust list that its checkpoint is signed with.
func verifyLog(ctx context.Context, client *client, trust *sharing.TrustList, logs *sharing.Comparison, seen []sharing.SeenCheckpoint) (string, error) {
	head, err := logHead(ctx, client)
	if err != nil {
		return "", err
	}
	verified, err := verifyEntries(ctx, trust, head, logs, seen, logEntries(ctx, client))
	if err != nil {
		return "", fmt.Errorf("%s: %w", client.gateway, err)
	}
	return verified, nil
}

// verifyEntries checks a log by its head, the checkpoints that partners have seen, and its entries, adds these to the logs that
// are compared, and returns a line that says so.
func verifyEntries(ctx context.Context, trust *sharing.TrustList, head *sharingpb.GetCheckpointResponse, logs *sharing.Comparison, seen []sharing.SeenCheckpoint, entries iter.Seq2[*sharingpb.LogEntry, error]) (string, error) {
	owner := slices.IndexFunc(trust.States, func(s sharing.TrustedState) bool { return slices.Contains(s.LogKeys(), head.GetVerifierKey()) })
	if owner < 0 {
		return "", fmt.Errorf("no state of the trust list has the log key %q", head.GetVerifierKey())
	}
	kinds := map[sharing.EntryKind]int{}
	log := sharing.Log{
		State: trust.States[owner].Code, Checkpoint: head.GetCheckpoint(), VerifierKey: head.GetVerifierKey(),
		Cosigned: map[sharing.StateCode]string{}, Seen: seen,
		Entries: func(yield func(sharing.LogEntry, error) bool) {
			for received, err := range entries {
				entry := rpc.LogEntryFromProto(received)
				kinds[entry.Kind]++
				logs.Add(entry)
				if !yield(entry, err) {
					return
				}
			}
		},
	}
	witnesses := []string{}
	for _, witness := range head.GetWitnesses() {
		log.Cosigned[sharing.StateCode(witness.GetState())] = witness.GetCosigned()
		witnesses = append(witnesses, witness.GetState())
	}
	size, err := sharing.Verify(ctx, trust, wire.Codec{}, log)
	if err != nil {
		return "", fmt.Errorf("%s: %w", log.State, err)
	}
	cosigned := cmp.Or(strings.Join(witnesses, " and "), "nobody")
	return fmt.Sprintf("%s: %d entries, root %s, co-signed by %s, %d envelopes and %d receipts sent, %d envelopes and %d receipts received: verified\n",
		log.State, size, root(head.GetCheckpoint()), cosigned,
		kinds[sharing.EntryEnvelopeSent], kinds[sharing.EntryReceiptSent],
		kinds[sharing.EntryEnvelopeReceived], kinds[sharing.EntryReceiptReceived]), nil
}

// logHead asks for the checkpoint of a log, and for those that partners have co-signed.
func logHead(ctx context.Context, client *client) (*sharingpb.GetCheckpointResponse, error) {
	head := &sharingpb.GetCheckpointResponse{}
	if err := client.get(ctx, "/v1/log/checkpoint", nil, head); err != nil {
		return nil, fmt.Errorf("asking %s for the checkpoint: %w", client.gateway, err)
	}
	return head, nil
}

// logEntries asks for the entries of a log from the first on, page by page.
func logEntries(ctx context.Context, client *client) iter.Seq2[*sharingpb.LogEntry, error] {
	return func(yield func(*sharingpb.LogEntry, error) bool) {
		query := url.Values{"pageSize": {fmt.Sprint(auditPage)}}
		for {
			page := &sharingpb.ListLogEntriesResponse{}
			if err := client.get(ctx, "/v1/log/entries", query, page); err != nil {
				yield(nil, fmt.Errorf("asking %s for the log: %w", client.gateway, err))
				return
			}
			for _, entry := range page.GetEntries() {
				if !yield(entry, nil) {
					return
				}
			}
			if page.GetNextPageToken() == "" {
				return
			}
			query.Set("pageToken", page.GetNextPageToken())
		}
	}
}

// root returns the root hash of a checkpoint that was verified (C2SP tlog-checkpoint: its third line).
func root(checkpoint string) string {
	lines := strings.SplitN(checkpoint, "\n", 4)
	if len(lines) < 4 {
		return "of nothing"
	}
	return lines[2]
}
