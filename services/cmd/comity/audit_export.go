package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
)

// newExportCommand returns the command that writes what others verify.
func newExportCommand() *cobra.Command {
	var delivery, out string
	var figures bool
	cmd := &cobra.Command{
		Use:   "export --state CODE --out FILE [--delivery STREAM/EPOCH/SEQUENCE]",
		Short: "Write a log, or the proof of one delivery, to a file that can be verified anywhere",
		Long: `Write a state's whole transparency log to a file, or with --delivery all that proves one delivery: the agreement with
both signatures, the decision, the release, the envelope's header with the hash of its payload, the receipt, the proofs
that the log contains each of them, and its checkpoint with the co-signatures of partners.

Who has the file and a trust list of his own checks it with ` + "`comity audit verify --trust LIST FILE`" + `. A log has the figures
that went and came in it; a proof has them with --figures only.`,
		Example: `  comity audit export --state us --out us.log
  comity audit export --state us --delivery us-gb/0197a3c2-5b1e-7d40-8f6a-2b9c4e1d7f03/4 --out us-gb-4.proof`,
		Args: cobra.NoArgs,
	}
	node := addTarget(cmd, "auditor")
	cmd.Flags().StringVar(&delivery, "delivery", "", "the `PLACE` of the delivery, as `GET /v1/deliveries` lists it")
	cmd.Flags().BoolVar(&figures, "figures", false, "with the figures of the delivery")
	cmd.Flags().StringVar(&out, "out", "", "the `FILE` to write")
	_ = cmd.MarkFlagRequired("out")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if figures && delivery == "" {
			return errors.New("--figures goes with --delivery: a log has its figures in it")
		}
		client, err := node.open()
		if err != nil {
			return err
		}
		var written int
		err = writeWhole(out, func(w io.Writer) error {
			if delivery == "" {
				written, err = exportLog(cmd.Context(), client, w)
				return err
			}
			return exportProof(cmd.Context(), client, w, delivery, figures)
		})
		if err != nil {
			return err
		}
		if delivery == "" {
			return show(cmd, fmt.Sprintf("%s: a log of %d entries\n", out, written))
		}
		return show(cmd, fmt.Sprintf("%s: the proof of %s\n", out, delivery))
	}
	return cmd
}

// exportLog writes a log, a message of JSON on each line: first what GetCheckpoint answers, then the checkpoints that
// were shown in sessions with partners, then the entries. It returns how many entries there are.
func exportLog(ctx context.Context, client *client, w io.Writer) (int, error) {
	head, err := logHead(ctx, client)
	if err != nil {
		return 0, err
	}
	if err := writeLine(w, head); err != nil {
		return 0, err
	}
	seen, err := seenCheckpoints(ctx, client)
	if err != nil {
		return 0, err
	}
	for _, checkpoint := range seen {
		if err := writeLine(w, checkpoint); err != nil {
			return 0, err
		}
	}
	written := 0
	for entry, err := range logEntries(ctx, client) {
		if err != nil {
			return written, err
		}
		if err := writeLine(w, entry); err != nil {
			return written, err
		}
		written++
	}
	return written, nil
}

// exportProof writes what GetDeliveryProof answers, on one line.
func exportProof(ctx context.Context, client *client, w io.Writer, delivery string, figures bool) error {
	parts := strings.Split(delivery, "/")
	if len(parts) != 3 {
		return fmt.Errorf("%q is not of the form STREAM/EPOCH/SEQUENCE", delivery)
	}
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	query := url.Values{}
	if figures {
		query.Set("includeFigures", "true")
	}
	proof := &sharingpb.GetDeliveryProofResponse{}
	if err := client.get(ctx, "/v1/deliveries/"+strings.Join(parts, "/")+"/proof", query, proof); err != nil {
		return fmt.Errorf("asking %s for the proof of %s: %w", client.gateway, delivery, err)
	}
	return writeLine(w, proof)
}

func writeLine(w io.Writer, message proto.Message) error {
	line, err := protojson.Marshal(message)
	if err != nil {
		return fmt.Errorf("encoding: %w", err)
	}
	_, err = w.Write(append(line, '\n'))
	return err
}

// writeWhole has a file written whole or not at all: it comes to its name once it is on the disk.
func writeWhole(path string, write func(io.Writer) error) error {
	file, err := renameio.NewPendingFile(path, renameio.WithPermissions(0o600))
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	defer func() { _ = file.Cleanup() }() // does nothing once the file is in place
	buffered := bufio.NewWriter(file)
	if err := write(buffered); err != nil {
		return err
	}
	if err := errors.Join(buffered.Flush(), file.CloseAtomicallyReplace()); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return nil
}
