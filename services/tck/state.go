package tck

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/sharing"
)

// Settings are what is told about the kit's state. They stand in its directory as state.json:
//
//	{
//	  "code": "tck", "name": "Conformance kit",
//	  "listen": "0.0.0.0:8495", "address": "tck.example.org:8495",
//	  "refAreas": ["NO"], "peer": "gb",
//	  "row": {"FREQ": "A", "REF_AREA": "NO", "INDICATOR": "1A", …}, "periods": ["2019", "2020"]
//	}
type Settings struct {
	Code     sharing.StateCode `json:"code"`
	Name     string            `json:"name"`
	Listen   string            `json:"listen"`  // where the kit listens while it runs, "host:port"
	Address  string            `json:"address"` // where the node calls it
	RefAreas []string          `json:"refAreas"`
	Peer     sharing.StateCode `json:"peer"` // the node's state

	// What the kit provides is one figure, at this place of the dataflow of its agreement: a code for each dimension,
	// among them a REF_AREA of the kit's and the indicator of the agreement, and one of two periods.
	Row     map[string]string `json:"row"`
	Periods []string          `json:"periods"`
}

// State is the kit's state: a partner made up for tests, with the secrets of a node. It lives in a directory:
//
//	state.json                   what is told about it, see [Settings]
//	trust-entry.json             its entry on a trust list
//	agreements/provided.json     the terms under which the node provides figures to the kit
//	agreements/received.json     the terms under which the node receives figures from the kit
//	agreements/*.signed          the node's signatures under them, once they are there
//	seen.json                    how much of the node's log the kit has seen
//	certificates/, signing.key, …  see [authority.Authority]
//
// Its keys are worth something to the node that trusts them. When the tests are over, the state is taken from the list.
type State struct {
	Settings
	directory string
	secrets   *authority.Authority
	signing   ed25519.PrivateKey
	log       note.Signer
	root      *x509.Certificate
	rootKey   *ecdsa.PrivateKey
}

// Init makes the kit's state in a directory that has none yet, with the terms of the two agreements.
func Init(directory string, settings Settings, provided, received sharing.Terms) (*State, error) {
	file := filepath.Join(directory, "state.json")
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, fmt.Errorf("there is a state in %s already", directory))
	}
	if err := settings.check(); err != nil {
		return nil, err
	}
	if err := makeRoot(filepath.Join(directory, "certificates"), settings.Code); err != nil {
		return nil, fmt.Errorf("making the root: %w", err)
	}
	secrets, err := authority.Open(directory, string(settings.Code))
	if err != nil {
		return nil, err
	}
	public, err := x509.MarshalPKIXPublicKey(secrets.Signing)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Join(directory, "agreements"), 0o700); err != nil {
		return nil, err
	}
	entry := sharing.TrustedState{
		Code: settings.Code, Name: settings.Name, Address: settings.Address, RefAreas: settings.RefAreas, Roots: secrets.Root,
		SigningKeys: []sharing.SigningKey{{ID: sharing.KeyID(secrets.Signing), PublicKey: secrets.Signing}}, LogKey: secrets.LogKey,
	}
	for name, content := range map[string]any{
		"trust-entry.json": entry, "agreements/provided.json": provided, "agreements/received.json": received,
	} {
		if err := writeJSON(filepath.Join(directory, name), content); err != nil {
			return nil, err
		}
	}
	if err := writeFile(filepath.Join(directory, "signing.pub"), pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})); err != nil {
		return nil, err
	}
	if err := writeJSON(file, settings); err != nil { // last: where it is, all is
		return nil, err
	}
	return OpenState(directory)
}

// makeRoot makes the root of the state's certificates. It may have intermediates, which the root of a real state need not.
func makeRoot(directory string, code sharing.StateCode) error {
	if err := os.MkdirAll(directory, 0o700); err != nil {
		return err
	}
	root, err := newRoot("Conformance root of "+string(code), rootLifetime)
	if err != nil {
		return err
	}
	key, err := x509.MarshalPKCS8PrivateKey(root.key)
	if err != nil {
		return err
	}
	if err := writeFile(filepath.Join(directory, "ca.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})); err != nil {
		return err
	}
	return writeFile(filepath.Join(directory, "ca.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.certificate.Raw}))
}

// OpenState reads the kit's state from its directory.
func OpenState(directory string) (*State, error) {
	s := &State{directory: directory}
	if err := readJSON(s.path("state.json"), &s.Settings); err != nil {
		return nil, fmt.Errorf("reading the kit's state: %w", err)
	}
	if err := s.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", s.path("state.json"), err)
	}
	var err error
	if s.secrets, err = authority.Open(directory, string(s.Code)); err != nil {
		return nil, err
	}
	if s.signing, err = authority.Ed25519(s.secrets.SigningKey()); err != nil {
		return nil, err
	}
	text, err := os.ReadFile(s.secrets.LogSigner())
	if err != nil {
		return nil, err
	}
	if s.log, err = note.NewSigner(strings.TrimSpace(string(text))); err != nil {
		return nil, err
	}
	return s, s.openRoot()
}

func (s *State) openRoot() error {
	der, err := readPEM([]byte(s.secrets.Root))
	if err != nil {
		return err
	}
	if s.root, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(s.secrets.Certificates(), "ca.key"))
	if err != nil {
		return err
	}
	if der, err = readPEM(text); err != nil {
		return err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return err
	}
	var ok bool
	if s.rootKey, ok = key.(*ecdsa.PrivateKey); !ok {
		return errors.New("the key of the root is no ECDSA key")
	}
	return nil
}

func readPEM(text []byte) ([]byte, error) {
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, errors.New("no PEM block")
	}
	return block.Bytes, nil
}

func (s Settings) check() error {
	for field, address := range map[string]string{"listen": s.Listen, "address": s.Address} {
		if _, _, err := net.SplitHostPort(address); err != nil {
			return fmt.Errorf("%s: %q is not of the form host:port", field, address)
		}
	}
	switch {
	case s.Code == "" || s.Peer == "" || s.Code == s.Peer:
		return errors.New("the codes of the kit's state and of the node's are two")
	case len(s.RefAreas) == 0:
		return errors.New("the kit's state speaks for no reference area")
	case s.Row["REF_AREA"] != s.RefAreas[0]:
		return fmt.Errorf("the row is of the reference area %q, not of %q", s.Row["REF_AREA"], s.RefAreas[0])
	case len(s.Periods) != 2 || s.Periods[0] == s.Periods[1]:
		return errors.New("the row has two periods")
	}
	return nil
}

// JoinArguments returns the arguments of `comity trust join` that put the state on a trust list.
func (s *State) JoinArguments() []string {
	return []string{
		"--state", string(s.Code), "--name", s.Name, "--address", s.Address, "--ref-area", strings.Join(s.RefAreas, ","),
		"--roots", s.secrets.RootFile(), "--signing-key", s.path("signing.pub"), "--log-key", s.path("log.pub"),
	}
}

func (s *State) path(name string) string { return filepath.Join(s.directory, filepath.FromSlash(name)) }

func readJSON(path string, into any) error {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the directory
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func writeJSON(path string, content any) error {
	text, err := json.MarshalIndent(content, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(path, append(text, '\n'))
}

// writeFile puts a file in place whole.
func writeFile(path string, content []byte) error {
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}
