package main

import (
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/services/sharing"
)

// readKeys reads what the state signs with. What the trust list does not vouch for no partner would believe, so it
// fails already here.
func readKeys(signingKey, logKey string, state sharing.StateCode, trust *sharing.TrustList) (sharing.Keys, error) {
	own, _ := trust.State(state)
	signing, err := readSigningKey(signingKey)
	if err != nil {
		return sharing.Keys{}, fmt.Errorf("reading the signing key: %w", err)
	}
	public, _ := signing.Public().(ed25519.PublicKey)
	if !slices.ContainsFunc(own.SigningKeys, func(k sharing.SigningKey) bool { return k.PublicKey.Equal(public) }) {
		return sharing.Keys{}, fmt.Errorf("the trust list does not have the signing key %s of %s", sharing.KeyID(public), state)
	}
	text, err := os.ReadFile(logKey) //nolint:gosec // the operator names the file
	if err != nil {
		return sharing.Keys{}, fmt.Errorf("reading the log key: %w", err)
	}
	signer, err := note.NewSigner(strings.TrimSpace(string(text)))
	if err != nil {
		return sharing.Keys{}, fmt.Errorf("reading the log key: %s: %w", logKey, err)
	}
	verifier, err := note.NewVerifier(own.LogKey)
	if err != nil {
		return sharing.Keys{}, fmt.Errorf("reading the log key of %s on the trust list: %w", state, err)
	}
	if verifier.Name() != signer.Name() || verifier.KeyHash() != signer.KeyHash() {
		return sharing.Keys{}, fmt.Errorf("the trust list has another log key of %s than %s", state, logKey)
	}
	return sharing.Keys{Signing: signing, Log: signer, LogVerifier: own.LogKey}, nil
}

func readSigningKey(path string) (ed25519.PrivateKey, error) {
	text, err := os.ReadFile(path) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	encoded, _ := pem.Decode(text)
	if encoded == nil {
		return nil, fmt.Errorf("%s holds no PEM", path)
	}
	key, err := x509.ParsePKCS8PrivateKey(encoded.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	signing, ok := key.(ed25519.PrivateKey)
	if !ok {
		return nil, fmt.Errorf("%s holds a key that is not of Ed25519", path)
	}
	return signing, nil
}
