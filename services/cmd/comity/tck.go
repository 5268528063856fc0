package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/tck"
)

// newTCKCommand returns the command that tests whether a node keeps to the protocol of the exchange.
func newTCKCommand() *cobra.Command {
	o := tck.Options{}
	var directory, trust, junit string
	list := false
	cmd := &cobra.Command{
		Use:   "exchange-tck --peer HOST:PORT",
		Short: "Test whether a node, whoever wrote it, keeps to the protocol between states",
		Long: `Test whether a node, whoever wrote it, keeps to the protocol between states (comity.exchange.v1), and whether it withstands
a partner that does not.

The kit is a partner state of its own, which ` + "`comity exchange-tck init`" + ` makes and which the node must trust. It calls the
node, and is called by it. The report goes to standard output in the Test Anything Protocol, version 14. The command fails
where the node does not keep what is required, or where that could not be tried.

Test a node that nobody relies on: it is flooded, and what the kit sends it ends up in its figures.`,
		Example: `  comity exchange-tck init --state tck --peer-state gb --address tck.example.org:8495 --ref-area NO --indicator 1A
  comity exchange-tck --trust trust.json --peer exchange.example.gov.uk:8415 --junit report.xml`,
		Args: cobra.NoArgs,
	}
	flags := cmd.PersistentFlags()
	flags.StringVar(&directory, "dir", "tck", "the `DIRECTORY` of the kit's state")
	flags = cmd.Flags()
	flags.StringVar(&o.Peer, "peer", "", "where the node's exchange answers, `HOST:PORT`; else where the trust list says")
	flags.StringVar(&trust, "trust", "trust.json", "the `FILE` with the trust list")
	flags.StringVar(&junit, "junit", "", "also write the report to a `FILE`, as JUnit's XML")
	flags.StringVar(&o.Only, "only", "", "run the cases alone whose id matches the `EXPRESSION`")
	flags.BoolVar(&o.Aftermath, "aftermath", false, "also what people clean up behind: a stream is quarantined, an agreement ended")
	flags.IntVar(&o.Frames, "frames", 1_000_000, "how many messages of a few bytes to flood the node with")
	flags.DurationVar(&o.Wait, "wait", 2*time.Minute, "how long to wait for somebody to sign the kit's agreements at the node")
	flags.DurationVar(&o.Patience, "patience", 30*time.Second, "how long to wait for what the node does in its own time")
	flags.BoolVar(&list, "list", false, "list the cases, and run none")
	cmd.AddCommand(newTCKInitCommand(&directory))
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if list {
			return listCases(cmd)
		}
		if o.State, err = tck.OpenState(directory); err != nil {
			return err
		}
		if o.Trust, err = os.ReadFile(trust); err != nil { //nolint:gosec // the operator names the file
			return fmt.Errorf("reading the trust list: %w", err)
		}
		o.Say = func(text string) { fmt.Fprintln(cmd.ErrOrStderr(), "comity:", text) }
		report, err := tck.Run(cmd.Context(), o)
		if err != nil {
			return err
		}
		if junit != "" {
			if err := writeReport(junit, report); err != nil {
				return err
			}
		}
		if err := report.WriteTAP(cmd.OutOrStdout()); err != nil {
			return err
		}
		return report.Verdict()
	}
	return cmd
}

func writeReport(path string, report *tck.Report) (err error) {
	file, err := os.Create(path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return report.WriteJUnit(file)
}

func listCases(cmd *cobra.Command) error {
	table := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
	for _, c := range tck.Cases() {
		fmt.Fprintf(table, "%s\t%s\t%s\tthe node %s\n", c.ID, c.Level, strings.Join(c.Faults, " "), c.Expected)
	}
	return table.Flush()
}

func newTCKInitCommand(directory *string) *cobra.Command {
	settings := tck.Settings{}
	terms := sharing.Terms{}
	var code, peer, indicator, frequency string
	var codes, detail map[string]string
	cmd := &cobra.Command{
		Use:   "init --state CODE --peer-state CODE --address HOST:PORT --ref-area CODE --indicator CODE",
		Short: "Make the kit's state: its keys, its entry on a trust list, and two agreements",
		Long: `Make the kit's state: its keys, its entry on a trust list, and two agreements with the node's state, one in each
direction. What the kit sends is one figure for each of two periods; --code says where in the dataflow. All of it stands in
files of the directory, and can be changed there.`,
		Args: cobra.NoArgs,
	}
	flags := cmd.Flags()
	flags.StringVar(&code, "state", "tck", "the `CODE` of the kit's state, which no other state has")
	flags.StringVar(&settings.Name, "name", "Conformance kit", "its `NAME`")
	flags.StringVar(&peer, "peer-state", "", "the `CODE` of the node's state")
	flags.StringVar(&settings.Address, "address", "127.0.0.1:8495", "where the node calls the kit, `HOST:PORT`")
	flags.StringVar(&settings.Listen, "listen", "", "where the kit listens, `HOST:PORT`; else at the address")
	flags.StringSliceVar(&settings.RefAreas, "ref-area", nil, "a REF_AREA `CODE` that no other state reports, for the kit's figures")
	flags.StringVar(&terms.Dataflow, "dataflow", "COMITY:BORDER(1.0.0)", "the `DATAFLOW` that the agreements are about")
	flags.StringVar(&indicator, "indicator", "", "the `CODE` of an indicator of which the node has figures")
	flags.StringVar(&frequency, "frequency", "A", "the finest frequency that is agreed, and that of the kit's figures")
	flags.StringSliceVar(&settings.Periods, "period", []string{"2019", "2020"}, "two periods of that frequency")
	flags.StringToStringVar(&codes, "code", nil, "the code of another dimension, `DIMENSION=CODE`; of COMITY:BORDER the totals, unless said otherwise")
	flags.StringToStringVar(&detail, "detail", nil, "the level to which the node gives detail, `DIMENSION=LEVEL`; else totals")
	for _, name := range []string{"peer-state", "ref-area", "indicator"} {
		_ = cmd.MarkFlagRequired(name) // it fails for a flag that is not there
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		settings.Code, settings.Peer = sharing.StateCode(code), sharing.StateCode(peer)
		if settings.Listen == "" {
			settings.Listen = settings.Address
		}
		settings.Row = map[string]string{"FREQ": frequency, "REF_AREA": settings.RefAreas[0], "INDICATOR": indicator}
		if strings.HasPrefix(terms.Dataflow, "COMITY:BORDER(") {
			for _, dimension := range []string{"SECTION", "BORDER_TYPE", "CITIZENSHIP", "SEX", "AGE", "DETAIL"} {
				settings.Row[dimension] = "_T"
			}
		}
		for dimension, code := range codes {
			settings.Row[dimension] = code
		}
		terms.Version, terms.Indicators, terms.Purposes, terms.MinimumFrequency = 1, []string{indicator}, []string{"conformance"}, 3
		terms.ValidFrom = time.Now().UTC().AddDate(0, 0, -1).Format(time.DateOnly)
		terms.Text = "For the conformance kit, with a node that is tested. The figures are of no meaning."
		provided, received := terms, terms
		provided.ID, provided.Provider, provided.Receiver = sharing.AgreementID(peer+"-"+code+"-conformance"), settings.Peer, settings.Code
		received.ID, received.Provider, received.Receiver = sharing.AgreementID(code+"-"+peer+"-conformance"), settings.Code, settings.Peer
		provided.Detail, received.Detail = map[string]string{"FREQ": frequency}, map[string]string{"FREQ": frequency}
		for dimension, level := range detail {
			provided.Detail[dimension] = level
		}
		received.RetentionDays = 1
		state, err := tck.Init(*directory, settings, provided, received)
		if err != nil {
			return err
		}
		return show(cmd, fmt.Sprintf(`%s is made in %s.

Its entry on the trust list of the node under test is in %s. Where that list is one of comity's:

  comity trust join --list trust.json %s
  comity trust sign --list trust.json --key OFFICER.key      # each officer

The first run proposes the agreements %s and %s, and waits for somebody to sign both at the node. Then:

  comity exchange-tck --dir %s --trust trust.json --peer HOST:PORT
`, code, *directory, filepath.Join(*directory, "trust-entry.json"), quoted(state.JoinArguments()), provided.ID, received.ID, *directory))
	}
	return cmd
}

// quoted returns arguments as a shell reads them.
func quoted(arguments []string) string {
	words := make([]string, len(arguments))
	for i, word := range arguments {
		if words[i] = word; word == "" || strings.ContainsAny(word, " '\"$`\\*?;&|<>()") {
			words[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(words, " ")
}
