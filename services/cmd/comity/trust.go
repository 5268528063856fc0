package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"
	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/sharing"
)

// signingOverlap is how long a signing key still counts after the next one: as long as an envelope may wait.
const signingOverlap = 90 * 24 * time.Hour

// newTrustCommand returns the commands that make trust lists.
func newTrustCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "trust",
		Short: "Make and sign the list of states that are trusted",
		Long: `Make and sign the list of states that are trusted.

A change is proposed in a file beside the list, FILE.next. Each officer signs that file with a key of their own; once
enough officers of the list in force have signed, and enough of the proposed one, it takes the place of FILE. A node
whose COMITY_TRUST_LIST is that file takes it over within a second, without a restart, and ends the connections of
whoever is trusted no more.`,
		Args: cobra.NoArgs,
	}
	list := cmd.PersistentFlags().String("list", "trust.json", "the `FILE` with the trust list")
	cmd.AddCommand(newTrustShowCommand(list), newTrustLogKeyCommand(), newTrustInitCommand(list), newTrustJoinCommand(list), newTrustSignCommand(list), newTrustRotateCommand(list), newTrustRevokeCommand(list), newTrustGovernCommand(list))
	return cmd
}

// lifetime adds the flag that says how long a proposed list counts.
func lifetime(cmd *cobra.Command) func(*sharing.TrustList) {
	days := cmd.Flags().Int("days", 365, "how many days the list counts")
	return func(list *sharing.TrustList) {
		list.Expires = time.Now().AddDate(0, 0, *days).UTC().Truncate(time.Second)
	}
}

func newTrustLogKeyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "log-key --state CODE --out FILE",
		Short: "Make a key for a state's transparency log",
		Long: `Make a key for a state's transparency log: FILE holds the secret one, FILE.pub the one for the trust list. openssl makes
all other keys.`,
		Args: cobra.NoArgs,
	}
	code := cmd.Flags().String("state", "", "the `CODE` of the state")
	out := cmd.Flags().String("out", "", "the `FILE` for the secret key; there must be none")
	for _, name := range []string{"state", "out"} {
		_ = cmd.MarkFlagRequired(name) // it fails for a flag that is not there
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		secret, verifier, err := note.GenerateKey(rand.Reader, sharing.LogName(sharing.StateCode(*code)))
		if err != nil {
			return err
		}
		file, err := os.OpenFile(*out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = file.WriteString(secret + "\n")
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		if err := renameio.WriteFile(*out+".pub", []byte(verifier+"\n"), 0o644); err != nil {
			return err
		}
		return show(cmd, verifier+"\n")
	}
	return cmd
}

// crlFlag adds the flag that says whether a state publishes revocation lists. The result changes a state as it says.
func crlFlag(cmd *cobra.Command) func(*sharing.TrustedState) {
	hours := cmd.Flags().Int("crl-grace", 0, "the authorities of the state publish revocation lists, and one counts for so many `HOURS` after the next was due; -1: they do not")
	return func(state *sharing.TrustedState) {
		switch {
		case !cmd.Flags().Changed("crl-grace"):
		case *hours < 0:
			state.CRL = nil
		default:
			state.CRL = &sharing.CRLPolicy{GraceHours: *hours}
		}
	}
}

func newTrustInitCommand(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "init --officer NAME=KEY --officer NAME=KEY",
		Short: "Propose a first list, with the officers who sign it",
		Long: `Propose a first list, without states, with the officers who sign it and all later ones. KEY is a PEM file with an
officer's Ed25519 key, the public or the private one; a private key is made where there is no file.`,
		Args: cobra.NoArgs,
	}
	names := cmd.Flags().StringArray("officer", nil, "the `NAME=KEY` of an officer; at least twice")
	threshold := cmd.Flags().Int("threshold", 2, "how many officers sign a list")
	expire := lifetime(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		file := trustFile(*file)
		if inForce, err := file.inForce(); err != nil || inForce != nil {
			return errors.Join(err, fmt.Errorf("there is a trust list in %s already", file))
		}
		list := &sharing.TrustList{Version: 1, GraceHours: trustGrace, Threshold: *threshold}
		expire(list)
		for _, name := range *names {
			if err := addOfficer(list, name); err != nil {
				return err
			}
		}
		return proposed(cmd, file, file.write(list))
	}
	return cmd
}

func newTrustJoinCommand(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "join --state CODE --name NAME --address HOST:PORT --ref-area CODE --roots FILE --signing-key FILE --log-key FILE",
		Short: "Propose that a state is trusted",
		Args:  cobra.NoArgs,
	}
	var state sharing.TrustedState
	code := cmd.Flags().String("state", "", "the `CODE` of the state")
	cmd.Flags().StringVar(&state.Name, "name", "", "its `NAME`")
	cmd.Flags().StringVar(&state.Address, "address", "", "where its exchange answers, `HOST:PORT`")
	cmd.Flags().StringSliceVar(&state.RefAreas, "ref-area", nil, "a REF_AREA `CODE` that is its own to report; may be repeated")
	roots := cmd.Flags().String("roots", "", "the PEM `FILE` with the roots of its certificates")
	signing := cmd.Flags().String("signing-key", "", "the PEM `FILE` with the key that it signs with, the public one is enough")
	logKey := cmd.Flags().String("log-key", "", "the `FILE` with the note verifier key of its transparency log")
	crls := crlFlag(cmd)
	for _, name := range []string{"state", "name", "address", "roots", "signing-key", "log-key"} {
		_ = cmd.MarkFlagRequired(name) // it fails for a flag that is not there
	}
	expire := lifetime(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		file := trustFile(*file)
		return proposed(cmd, file, file.propose(func(list *sharing.TrustList) error {
			state.Code = sharing.StateCode(*code)
			if _, ok := list.State(state.Code); ok {
				return fmt.Errorf("state %s is on the list already", state.Code)
			}
			text, err := os.ReadFile(*roots)
			if err != nil {
				return err
			}
			state.Roots = string(text)
			if text, err = os.ReadFile(*logKey); err != nil {
				return err
			}
			state.LogKey = strings.TrimSpace(string(text))
			key, err := readPublicKey(*signing)
			if err != nil {
				return err
			}
			state.SigningKeys = []sharing.SigningKey{{ID: sharing.KeyID(key), PublicKey: key}}
			crls(&state)
			list.States = append(slices.Clone(list.States), state)
			expire(list)
			return nil
		}))
	}
	return cmd
}

func newTrustSignCommand(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sign --key KEY",
		Short: "Sign the proposed list as an officer",
		Long:  "Sign the proposed list as an officer. With enough signatures it takes the place of the one in force.",
		Args:  cobra.NoArgs,
	}
	key := cmd.Flags().String("key", "", "the PEM `FILE` with the officer's private key")
	_ = cmd.MarkFlagRequired("key") // it fails for a flag that is not there
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if _, err := os.Stat(*key); err != nil {
			return err
		}
		private, err := authority.Ed25519(*key)
		if err != nil {
			return err
		}
		list, missing, err := trustFile(*file).sign(private)
		if err != nil {
			return err
		}
		if missing != "" {
			return show(cmd, fmt.Sprintf("signed, but not in force: %s\n", missing))
		}
		return show(cmd, fmt.Sprintf("version %d is in force until %s, signed by %s\n",
			list.Version, list.Expires.Format(time.DateOnly), strings.Join(list.Signers(list.TrustList), " and ")))
	}
	return cmd
}

func newTrustRotateCommand(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "rotate [--state CODE] [--roots FILE] [--signing-key FILE] [--log-key FILE] [--address HOST:PORT] [--crl-grace HOURS] [--officer NAME=KEY]",
		Short: "Propose new keys or another address for a state, or new keys for an officer",
		Long: `Propose new keys or another address for a state, or new keys for an officer.

For a new authority give first the old and the new root in one file, and the new one alone once every certificate hangs
from it. A new signing key or log key counts at once, and those before it for some days more, so that what waits still
arrives. A node signs with the new one as soon as its files have it and the list does.
An officer of a name that is on the list gets another key; a new name is a further officer.`,
		Args: cobra.NoArgs,
	}
	code := cmd.Flags().String("state", "", "the `CODE` of the state")
	roots := cmd.Flags().String("roots", "", "the PEM `FILE` with the roots of its certificates from now on")
	signing := cmd.Flags().String("signing-key", "", "the PEM `FILE` with the next key that it signs with, the public one is enough")
	from := cmd.Flags().Duration("from", 0, "in how long the next signing key begins to count")
	logKey := cmd.Flags().String("log-key", "", "the `FILE` with the next note verifier key of its transparency log")
	overlap := cmd.Flags().Duration("overlap", signingOverlap, "how long the keys before it still count")
	officers := cmd.Flags().StringArray("officer", nil, "the `NAME=KEY` of an officer")
	expire := lifetime(cmd)
	address := cmd.Flags().String("address", "", "where its exchange answers from now on, `HOST:PORT`")
	crls := crlFlag(cmd)
	cmd.MarkFlagsOneRequired("roots", "signing-key", "log-key", "address", "crl-grace", "officer")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		file := trustFile(*file)
		return proposed(cmd, file, file.propose(func(list *sharing.TrustList) error {
			expire(list)
			list.Officers = slices.Clone(list.Officers)
			for _, name := range *officers {
				if err := addOfficer(list, name); err != nil {
					return err
				}
			}
			if *roots == "" && *signing == "" && *logKey == "" && *address == "" && !cmd.Flags().Changed("crl-grace") {
				return nil
			}
			return changeState(list, *code, func(state *sharing.TrustedState) error {
				crls(state)
				if *address != "" {
					state.Address = *address
				}
				if *roots != "" {
					text, err := os.ReadFile(*roots)
					if err != nil {
						return err
					}
					state.Roots = string(text)
				}
				if *logKey != "" {
					text, err := os.ReadFile(*logKey)
					if err != nil {
						return err
					}
					if err := rotateLogKey(state, strings.TrimSpace(string(text)), time.Now().Add(*overlap)); err != nil {
						return err
					}
				}
				if *signing == "" {
					return nil
				}
				key, err := readPublicKey(*signing)
				if err != nil {
					return err
				}
				begin := time.Time{}
				if *from > 0 {
					begin = time.Now().Add(*from).UTC().Truncate(time.Second)
				}
				return rotateKey(state, key, begin, time.Now().Add(*from+*overlap))
			})
		}))
	}
	return cmd
}

func newTrustRevokeCommand(file *string) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "revoke --state CODE [--certificate FILE] [--serial HEX] [--public-key-of FILE] [--signing-key ID] [--whole]",
		Short: "Propose that a certificate, a signing key or a whole state is trusted no more",
		Args:  cobra.NoArgs,
	}
	code := cmd.Flags().String("state", "", "the `CODE` of the state")
	_ = cmd.MarkFlagRequired("state") // it fails for a flag that is not there
	certificate := cmd.Flags().String("certificate", "", "the PEM `FILE` with the certificate")
	serial := cmd.Flags().String("serial", "", "the serial number of the certificate in `HEX`adecimal digits")
	publicKey := cmd.Flags().String("public-key-of", "", "the PEM `FILE` with a certificate: none with its key counts any more")
	signing := cmd.Flags().String("signing-key", "", "the `ID` of the signing key")
	whole := cmd.Flags().Bool("whole", false, "the whole state")
	cmd.MarkFlagsOneRequired("certificate", "serial", "public-key-of", "signing-key", "whole")
	expire := lifetime(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		file := trustFile(*file)
		return proposed(cmd, file, file.propose(func(list *sharing.TrustList) error {
			expire(list)
			if *whole {
				before := len(list.States)
				list.States = slices.DeleteFunc(slices.Clone(list.States), func(s sharing.TrustedState) bool { return string(s.Code) == *code })
				if len(list.States) == before {
					return fmt.Errorf("state %q is not on the list", *code)
				}
				return nil
			}
			return changeState(list, *code, func(state *sharing.TrustedState) error {
				if *serial != "" {
					state.Revoked.Serials = append(slices.Clone(state.Revoked.Serials), strings.ToLower(*serial))
				}
				if *certificate != "" {
					revoked, err := readCertificate(*certificate)
					if err != nil {
						return err
					}
					state.Revoked.Serials = append(slices.Clone(state.Revoked.Serials), revoked.SerialNumber.Text(16))
				}
				if *publicKey != "" {
					revoked, err := readCertificate(*publicKey)
					if err != nil {
						return err
					}
					sum := sha256.Sum256(revoked.RawSubjectPublicKeyInfo)
					state.Revoked.PublicKeys = append(slices.Clone(state.Revoked.PublicKeys), hex.EncodeToString(sum[:]))
				}
				if *signing != "" {
					return endKey(state, *signing, time.Now())
				}
				return nil
			})
		}))
	}
	return cmd
}

// proposed says what is to be done with a list that was proposed.
func proposed(cmd *cobra.Command, file trustFile, err error) error {
	if err != nil {
		return err
	}
	return show(cmd, fmt.Sprintf("proposed in %s: officers sign it with comity trust sign --list %s --key KEY\n", file.next(), file))
}

// changeState changes the entry of a state.
func changeState(list *sharing.TrustList, code string, change func(*sharing.TrustedState) error) error {
	at := slices.IndexFunc(list.States, func(s sharing.TrustedState) bool { return string(s.Code) == code })
	if at < 0 {
		return fmt.Errorf("state %q is not on the list", code)
	}
	list.States = slices.Clone(list.States)
	return change(&list.States[at])
}

// rotateLogKey gives a state's log another key, and the one before it an end.
func rotateLogKey(state *sharing.TrustedState, key string, end time.Time) error {
	if slices.Contains(state.LogKeys(), key) {
		return fmt.Errorf("%s has that log key already", state.Code)
	}
	former := sharing.LogKey{Key: state.LogKey, NotAfter: end.UTC().Truncate(time.Second)}
	state.FormerLogKeys = append([]sharing.LogKey{former}, state.FormerLogKeys...)
	state.LogKey = key
	return nil
}

// rotateKey gives a state another signing key, and those before it an end.
func rotateKey(state *sharing.TrustedState, key ed25519.PublicKey, begin, end time.Time) error {
	id := sharing.KeyID(key)
	keys := slices.Clone(state.SigningKeys)
	for i := range keys {
		if keys[i].ID == id {
			return fmt.Errorf("%s has the signing key %s already", state.Code, id)
		}
		if keys[i].NotAfter.IsZero() || keys[i].NotAfter.After(end) {
			keys[i].NotAfter = end.UTC().Truncate(time.Second)
		}
	}
	state.SigningKeys = append(keys, sharing.SigningKey{ID: id, PublicKey: key, NotBefore: begin})
	return nil
}

// endKey ends a signing key of a state.
func endKey(state *sharing.TrustedState, id string, end time.Time) error {
	keys := slices.Clone(state.SigningKeys)
	at := slices.IndexFunc(keys, func(k sharing.SigningKey) bool { return k.ID == id })
	if at < 0 {
		return fmt.Errorf("%s has no signing key %q", state.Code, id)
	}
	keys[at].NotAfter = end.UTC().Truncate(time.Second)
	state.SigningKeys = keys
	return nil
}

// addOfficer adds the officer of a NAME=KEY, or gives the one of that name the key.
func addOfficer(list *sharing.TrustList, text string) error {
	name, path, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not of the form NAME=KEY", text)
	}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		if _, err := authority.Ed25519(path); err != nil {
			return err
		}
	}
	key, err := readPublicKey(path)
	if err != nil {
		return fmt.Errorf("the key of %s: %w", name, err)
	}
	added := officer(name, key)
	if at := slices.IndexFunc(list.Officers, func(o sharing.Officer) bool { return o.Name == name }); at >= 0 {
		list.Officers[at] = added
		return nil
	}
	list.Officers = append(list.Officers, added)
	return nil
}

// readPublicKey returns the Ed25519 public key in a PEM file that holds it, or the private one (PKIX and PKCS #8).
func readPublicKey(path string) (ed25519.PublicKey, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	var key any
	if block.Type == "PUBLIC KEY" {
		key, err = x509.ParsePKIXPublicKey(block.Bytes)
	} else {
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch key := key.(type) {
	case ed25519.PublicKey:
		return key, nil
	case ed25519.PrivateKey:
		return key.Public().(ed25519.PublicKey), nil
	}
	return nil, fmt.Errorf("%s holds no Ed25519 key", path)
}

func readCertificate(path string) (*x509.Certificate, error) {
	block, err := readPEM(path)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return certificate, nil
}

func readPEM(path string) (*pem.Block, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM", path)
	}
	return block, nil
}
