package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
	"github.com/spf13/cobra"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// newSubmitCommand returns the command that uploads a file.
func newSubmitCommand() *cobra.Command {
	var dataflow, layout, key string
	cmd := &cobra.Command{
		Use:   "submit --dataflow AGENCY:ID(VERSION) [--layout ID] FILE",
		Short: "Upload a file of figures and print its quality report",
		Long: `Upload a file of figures to a state's gateway and print its quality report.

With --layout the file is a national CSV; without it, SDMX-CSV, or SDMX-JSON (.json) or SDMX-ML (.xml) by its name.
A file that is compressed with gzip is decompressed on the way. The command fails where the file is rejected.`,
		Example: `  comity submit --state us --dataflow "US:ENCOUNTERS(1.0.0)" --layout us-encounters encounters.csv.gz`,
		Args:    cobra.ExactArgs(1),
	}
	node := addTarget(cmd, "statistician")
	cmd.Flags().StringVar(&dataflow, "dataflow", "", "the dataflow that the figures are of, `AGENCY:ID(VERSION)`")
	cmd.Flags().StringVar(&layout, "layout", "", "the `ID` of the layout of a national file")
	cmd.Flags().StringVar(&key, "idempotency-key", "", "give the `KEY` of an upload that may have arrived, to repeat it safely")
	_ = cmd.MarkFlagRequired("dataflow")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		client, err := node.open()
		if err != nil {
			return err
		}
		file, err := os.Open(args[0])
		if err != nil {
			return fmt.Errorf("opening the file: %w", err)
		}
		defer file.Close() //nolint:errcheck // it is only read
		content, err := decompress(file)
		if err != nil {
			return fmt.Errorf("reading %s: %w", args[0], err)
		}
		if key == "" {
			key = uuid.NewString()
		}
		query := url.Values{"dataflow": {dataflow}}
		if layout != "" {
			query.Set("layout", layout)
		}
		submission := &statisticspb.Submission{}
		header := http.Header{"Content-Type": {mediaType(args[0], layout)}, "Idempotency-Key": {key}}
		if err := client.do(cmd.Context(), http.MethodPost, "/v1/submissions?"+query.Encode(), content, header, submission); err != nil {
			return fmt.Errorf("submitting %s: %w", args[0], err)
		}
		if err := show(cmd, report(submission)); err != nil {
			return err
		}
		if submission.GetState() != statisticspb.Submission_ACCEPTED {
			return fmt.Errorf("%s was rejected: nothing of it is stored", args[0])
		}
		return nil
	}
	return cmd
}

// decompress returns the content of a file that may be compressed with gzip (RFC 1952: it begins with 1f 8b).
func decompress(file io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(file, 64<<10)
	magic, err := buffered.Peek(2)
	if err != nil || !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return buffered, nil //nolint:nilerr // a file of one byte is for the gateway to judge
	}
	return gzip.NewReader(buffered)
}

// mediaType returns what the gateway is told that the file is.
func mediaType(path, layout string) string {
	switch extension := filepath.Ext(strings.TrimSuffix(path, ".gz")); {
	case layout != "":
		return "text/csv"
	case extension == ".json":
		return "application/vnd.sdmx.data+json"
	case extension == ".xml":
		return "application/vnd.sdmx.data+xml"
	default:
		return "application/vnd.sdmx.data+csv"
	}
}

// report returns the quality report for people: the counts, then a line for each finding.
func report(s *statisticspb.Submission) string {
	text := &strings.Builder{}
	fmt.Fprintf(text, "%s  %s  %s rows, %s observations", s.GetName(), s.GetState(), grouped(s.GetRows()), grouped(s.GetObservations()))
	if s.GetRevision() > 0 {
		fmt.Fprintf(text, ", revision %d", s.GetRevision())
	}
	text.WriteByte('\n')
	for _, d := range s.GetDerivations() {
		fmt.Fprintf(text, "  %s: %s observations by %s, %s labels unmapped, %s observations left out\n", d.GetDataflow(),
			grouped(d.GetObservations()), d.GetStructureMap(), grouped(d.GetUnmappedLabels()), grouped(d.GetLeftOut()))
	}
	for _, f := range s.GetFindings() {
		place := ""
		if f.GetLine() > 0 {
			place = fmt.Sprintf("line %d ", f.GetLine())
		}
		if f.GetColumn() != "" {
			place += f.GetColumn() + " "
		}
		fmt.Fprintf(text, "  %-8s %s%s: %s\n", f.GetSeverity(), place, f.GetRule(), f.GetMessage())
		for _, value := range f.GetValues() {
			fmt.Fprintf(text, "           %s\n", value)
		}
	}
	return text.String()
}

// grouped returns n with a comma between thousands.
func grouped(n int32) string {
	text := fmt.Sprint(n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
