package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/rpc"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// maxLine bounds a line of an exported file, in bytes: an entry holds an envelope at most.
const maxLine = 16 << 20

// verifyFiles checks exported logs and proofs, and asks no node. Each file is checked, also where one before is bad.
func verifyFiles(cmd *cobra.Command, files []string, trustList string) error {
	if trustList == "" {
		return errors.New("files need --trust FILE: they prove nothing by keys that they name themselves")
	}
	trust, err := partner.ReadTrustList(trustList)
	if err != nil {
		return err
	}
	var problems []error
	var logs sharing.Comparison
	var seen []sharing.SeenCheckpoint
	for _, file := range files {
		seen = append(seen, seenIn(file)...)
	}
	for _, file := range files {
		verified, err := verifyFile(cmd.Context(), file, trust.TrustList, &logs, seen)
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %w", file, err))
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

// seenIn returns the checkpoints that an exported log has from sessions with partners. A proof has none; a file that cannot be
// read has none either, and is complained about when it is verified.
func seenIn(path string) []sharing.SeenCheckpoint {
	file, err := os.Open(path) //nolint:gosec // the auditor names the file
	if err != nil {
		return nil
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	lines.Scan() // the head
	var seen []*sharingpb.SeenCheckpoint
	for lines.Scan() {
		checkpoint := &sharingpb.SeenCheckpoint{}
		if readLine(lines.Bytes(), checkpoint) != nil || checkpoint.GetLog() == "" {
			break
		}
		seen = append(seen, checkpoint)
	}
	return rpc.SeenFromProto(seen)
}

// within leaves out the checkpoints of more entries than a log had when it was exported: somebody has seen them later.
func within(head *sharingpb.GetCheckpointResponse, seen []sharing.SeenCheckpoint) []sharing.SeenCheckpoint {
	size := checkpointSize(head.GetCheckpoint())
	return slices.DeleteFunc(slices.Clone(seen), func(c sharing.SeenCheckpoint) bool { return checkpointSize(c.Note) > size })
}

// checkpointSize returns how many entries a checkpoint says that there are (C2SP tlog-checkpoint: its second line); 0 where it
// says nothing.
func checkpointSize(checkpoint string) int64 {
	lines := strings.SplitN(checkpoint, "\n", 3)
	if len(lines) < 3 {
		return 0
	}
	size, _ := strconv.ParseInt(lines[1], 10, 64)
	return size
}

// verifyFile checks a log or a proof, as its first line says, and returns a line that says so.
func verifyFile(ctx context.Context, path string, trust *sharing.TrustList, logs *sharing.Comparison, seen []sharing.SeenCheckpoint) (string, error) {
	file, err := os.Open(path) //nolint:gosec // the auditor names the file
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	if !lines.Scan() {
		return "", fmt.Errorf("it has no first line: %w", endOf(lines))
	}
	var form map[string]json.RawMessage
	if err := json.Unmarshal(lines.Bytes(), &form); err != nil {
		return "", fmt.Errorf("it is neither a log nor a proof: %w", err)
	}
	if form["proof"] != nil {
		answer := &sharingpb.GetDeliveryProofResponse{}
		if err := readLine(lines.Bytes(), answer); err != nil {
			return "", err
		}
		return verifyProof(rpc.ProofFromProto(answer.GetProof()), trust)
	}
	head := &sharingpb.GetCheckpointResponse{}
	if err := readLine(lines.Bytes(), head); err != nil {
		return "", err
	}
	begun := false // the entries
	return verifyEntries(ctx, trust, head, logs, within(head, seen), func(yield func(*sharingpb.LogEntry, error) bool) {
		for lines.Scan() {
			if checkpoint := (&sharingpb.SeenCheckpoint{}); !begun && readLine(lines.Bytes(), checkpoint) == nil && checkpoint.GetLog() != "" {
				continue // it is among those that were seen
			}
			begun = true
			entry := &sharingpb.LogEntry{}
			err := readLine(lines.Bytes(), entry)
			if !yield(entry, err) || err != nil {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield(nil, err)
		}
	})
}

// verifyProof checks the proof of a delivery and returns what it says.
func verifyProof(proof sharing.Proof, trust *sharing.TrustList) (string, error) {
	proven, err := proof.Verify(trust, wire.Codec{})
	if err != nil {
		return "", err
	}
	h := proven.Header
	text := &strings.Builder{}
	fmt.Fprintf(text, "%s/%s/%d: batch %d of %d of release %s, sent by %s to %s on %s under agreement %s, version %d\n",
		h.Stream, h.Epoch, h.Sequence, h.BatchIndex+1, h.BatchCount, h.Release, h.Sender, h.Receiver, h.Created.Format(time.RFC3339),
		h.Agreement, h.AgreementVersion)
	switch {
	case proven.Receipt != nil:
		fmt.Fprintf(text, "  receipt: signed by %s on %s\n", h.Receiver, proven.Receipt.Received.Format(time.RFC3339))
	case proven.Kind == sharing.EntryEnvelopeRefused:
		fmt.Fprintf(text, "  receipt: none, %s has refused it\n", h.Receiver)
	default:
		text.WriteString("  receipt: none in the log yet\n")
	}
	if proven.Figures {
		text.WriteString("  figures: here, and those that were signed\n")
	} else {
		fmt.Fprintf(text, "  figures: left out, their SHA-256 is %x\n", h.PayloadSHA256)
	}
	if len(proven.Witnesses) == 0 {
		fmt.Fprintf(text, "  log of %s: contains all of it, co-signed by nobody so far\n", proof.State)
	} else {
		fmt.Fprintf(text, "  log of %s: contains all of it, co-signed since by %s\n", proof.State, joined(proven.Witnesses))
	}
	text.WriteString("  verified\n")
	return text.String(), nil
}

func joined(states []sharing.StateCode) string {
	names := make([]string, len(states))
	for i, state := range states {
		names[i] = string(state)
	}
	return strings.Join(names, " and ")
}

// readLine reads a line of a file. It may have fields that this program does not know.
func readLine(line []byte, message proto.Message) error {
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, message); err != nil {
		return fmt.Errorf("a line cannot be read: %w", err)
	}
	return nil
}

// endOf returns why there is no line.
func endOf(lines *bufio.Scanner) error {
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
