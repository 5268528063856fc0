package main

import (
	"cmp"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/comity-federation/comity/services/sharing"
)

func newTrustShowCommand(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "show [--next]",
		Short: "Say what a list says, for people to compare",
		Long: `Say what the list in force says, for people to compare, or the proposed one with --next: lines that begin with + are new in
it, lines that begin with - are gone. Roots are named by the SHA-256 of the certificate, keys by their ids.`,
		Args: cobra.NoArgs,
	}
	proposed := cmd.Flags().Bool("next", false, "the proposed list, held against the one in force")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		file := trustFile(*file)
		inForce, err := file.inForce()
		if err != nil {
			return err
		}
		if !*proposed {
			if inForce == nil {
				return fmt.Errorf("there is no trust list in %s", file)
			}
			return show(cmd, fmt.Sprintf("%s\nsigned by %s\n", strings.Join(describeList(inForce.TrustList), "\n"), strings.Join(inForce.Signers(inForce.TrustList), " and ")))
		}
		next, err := file.proposed()
		if err != nil {
			return err
		}
		if next == nil {
			return fmt.Errorf("there is no proposed list in %s", file.next())
		}
		var before []string
		officers := next.TrustList
		if inForce != nil {
			before, officers = describeList(inForce.TrustList), inForce.TrustList
		}
		signers := "nobody"
		if names := next.Signers(officers); len(names) > 0 {
			signers = strings.Join(names, " and ")
		}
		return show(cmd, fmt.Sprintf("%s\nsigned by %s so far\n", strings.Join(compareLines(before, describeList(next.TrustList)), "\n"), signers))
	}
	return cmd
}

// compareLines returns the lines after, marked where they are not among those before, and where those that are gone stood.
func compareLines(before, after []string) (lines []string) {
	rest := before
	for _, line := range after {
		at := slices.Index(rest, line)
		if at < 0 {
			lines = append(lines, "+ "+line)
			continue
		}
		for _, gone := range rest[:at] {
			lines = append(lines, "- "+gone)
		}
		rest = rest[at+1:]
		lines = append(lines, "  "+line)
	}
	for _, gone := range rest {
		lines = append(lines, "- "+gone)
	}
	return lines
}

// describeList says what a list says, in lines that each make sense without the others.
func describeList(list *sharing.TrustList) []string {
	day := func(at time.Time, zero string) string {
		if at.IsZero() {
			return zero
		}
		return at.UTC().Format(time.RFC3339)
	}
	lines := []string{
		fmt.Sprintf("version %d, until %s, and %d hours more", list.Version, day(list.Expires, ""), list.GraceHours),
		fmt.Sprintf("officers: %d of %d sign", list.Threshold, len(list.Officers)),
	}
	if governance := list.Governance; governance.Quorum != "" || len(governance.Agencies) > 0 {
		lines = append(lines, fmt.Sprintf("shared structures: those of %s, changed by %s of the states",
			cmp.Or(strings.Join(governance.Agencies, ", "), "the usual agency"), cmp.Or(governance.Quorum, "all")))
	}
	for _, officer := range list.Officers {
		lines = append(lines, fmt.Sprintf("officer %s: key %s", officer.Name, officer.ID))
	}
	for _, state := range list.States {
		add := func(format string, arguments ...any) {
			lines = append(lines, fmt.Sprintf("%s: "+format, append([]any{state.Code}, arguments...)...))
		}
		add("%s at %s, reports for %s", state.Name, state.Address, cmp.Or(strings.Join(state.RefAreas, ", "), "no area"))
		for _, root := range fingerprints(state.Roots) {
			add("root %s", root)
		}
		for _, key := range state.SigningKeys {
			add("signing key %s, from %s to %s", key.ID, day(key.NotBefore, "ever"), day(key.NotAfter, "an open end"))
		}
		add("log key %s", state.LogKey)
		for _, former := range state.FormerLogKeys {
			add("log key %s, until %s", former.Key, day(former.NotAfter, ""))
		}
		for _, serial := range state.Revoked.Serials {
			add("revoked: the certificate with the serial number %s", serial)
		}
		for _, sum := range state.Revoked.PublicKeys {
			add("revoked: every certificate with the public key %s", sum)
		}
		if state.CRL != nil {
			add("publishes revocation lists, which count %d hours longer than they say", state.CRL.GraceHours)
		}
	}
	return lines
}

// fingerprints says which certificates there are in PEM.
func fingerprints(text string) (found []string) {
	for block, rest := pem.Decode([]byte(text)); block != nil; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			found = append(found, "that cannot be read")
			continue
		}
		sum := sha256.Sum256(certificate.Raw)
		found = append(found, fmt.Sprintf("%s of %q until %s", hex.EncodeToString(sum[:]), certificate.Subject, certificate.NotAfter.UTC().Format(time.DateOnly)))
	}
	return found
}
