// Package authority keeps a state's own secrets in files: the root that its certificates hang from, the key that it
// signs envelopes and agreements with, the key of its transparency log, and the key that its people's tokens are signed
// with. The sandbox makes one for each of its states.
//
// A state's directory holds
//
//	certificates/ca.pem, ca.key             its own root
//	certificates/{service}.pem, .key        a certificate for each workload
//	signing.key                             Ed25519, PKCS#8
//	log.key, log.pub                        note signer and verifier key
//	cells.key                               32 bytes in hexadecimal: makes the keys of cells, and may never change
//	issuer.key, jwks.json                   what signs tokens, and what verifies them
//	tokens/{role}                           a token for each role
//
// Files with secrets are 0600, directories 0700. What is there is kept; what is about to expire is renewed.
package authority

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"golang.org/x/mod/sumdb/note"
)

// Authority is a state's secrets.
type Authority struct {
	State     string
	Directory string
	Root      string            // PEM: the root of the state's certificates
	Signing   ed25519.PublicKey // verifies its envelopes and agreements
	LogKey    string            // verifies its transparency log: a note verifier key
}

// Open returns the state's secrets in a directory, and makes those that are missing.
func Open(directory, state string) (*Authority, error) {
	a := &Authority{State: state, Directory: directory}
	for _, dir := range []string{directory, a.Certificates(), a.path("tokens")} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
	}
	for name, make := range map[string]func() error{"root": a.openRoot, "signing key": a.openSigning, "log key": a.openLog, "secret of cells": a.openCells} {
		if err := make(); err != nil {
			return nil, fmt.Errorf("the %s of %s: %w", name, state, err)
		}
	}
	return a, nil
}

// Certificates returns the directory of the certificates.
func (a *Authority) Certificates() string { return a.path("certificates") }

// SigningKey returns the file of the key that signs envelopes and agreements.
func (a *Authority) SigningKey() string { return a.path("signing.key") }

// LogSigner returns the file of the key that signs the transparency log.
func (a *Authority) LogSigner() string { return a.path("log.key") }

// CellSecret returns the file of the secret that the keys of cells are made with.
func (a *Authority) CellSecret() string { return a.path("cells.key") }

func (a *Authority) path(names ...string) string {
	return filepath.Join(append([]string{a.Directory}, names...)...)
}

func (a *Authority) openSigning() error {
	private, err := Ed25519(a.SigningKey())
	if err != nil {
		return err
	}
	a.Signing = private.Public().(ed25519.PublicKey)
	return nil
}

// Ed25519 returns the key in a PKCS#8 PEM file, and makes it where there is none.
func Ed25519(path string) (ed25519.PrivateKey, error) {
	key, err := keep(path, func() (any, error) {
		_, private, err := ed25519.GenerateKey(rand.Reader)
		return private, err
	})
	if err != nil {
		return nil, err
	}
	private, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds no Ed25519 key", path)
	}
	return private, nil
}

func (a *Authority) openLog() error {
	public := a.path("log.pub")
	text, err := os.ReadFile(public) //nolint:gosec // our own file
	if err == nil {
		a.LogKey = string(text)
		return nil
	}
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	secret, verifier, err := note.GenerateKey(rand.Reader, "comity/"+a.State)
	if err != nil {
		return err
	}
	// The public key is written last: where it is, both are.
	if err := write(a.LogSigner(), []byte(secret)); err != nil {
		return err
	}
	a.LogKey = verifier
	return write(public, []byte(verifier))
}

// openCells makes the secret of cells where there is none. One that is there is never made anew.
func (a *Authority) openCells() error {
	_, err := os.Stat(a.CellSecret())
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // it never fails
	return write(a.CellSecret(), []byte(hex.EncodeToString(secret)+"\n"))
}

// newECDSA makes a key for certificates and tokens.
func newECDSA() (any, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }

// keep reads the private key in a PKCS#8 PEM file, and makes it where there is none.
func keep(path string, generate func() (any, error)) (any, error) {
	text, err := os.ReadFile(path) //nolint:gosec // our own file
	if errors.Is(err, os.ErrNotExist) {
		key, err := generate()
		if err != nil {
			return nil, err
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return nil, err
		}
		return key, write(path, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("%s holds no PEM block", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}

// write puts a file in place whole, readable by the owner alone.
func write(path string, content []byte) error { return renameio.WriteFile(path, content, 0o600) }
