package partner

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/comity-federation/comity/services/sharing"
)

const (
	keyPoll = time.Second
	// keyMargin is how long a key should be valid already, and valid still, to be preferred: partners' clocks differ.
	keyMargin = 5 * time.Minute
)

// Keyring has the keys in this state's files with which it may sign by the trust list in force. It is a [sharing.Keyring].
//
// The file of signing keys holds one or several Ed25519 keys in PEM (PKCS #8). Signed is with the one that the list lets sign
// for longest, and with the last such in the file. The file of log keys holds one or several note signer keys, a line each;
// signed is with the one that the list names as the state's. So a next key may be put beside the one before: it signs as
// soon as the list in force has it. A key that went from its file signs only until another one there may.
type Keyring struct {
	signingFile, logFile string
	state                sharing.StateCode
	trust                *sharing.Trust
	log                  *slog.Logger
	again                chan struct{} // holds an element while the files are to be read

	mu      sync.Mutex
	texts   [2][]byte // of the files, as they were read last
	signing []ed25519.PrivateKey
	signers []note.Signer
	current sharing.Keys
	unread  error // why the files could not be read
	missing error // why none of their keys may sign
}

var _ sharing.Keyring = (*Keyring)(nil)

// OpenKeyring returns the keys in the files. It fails if the trust list in force lets none of them sign: no partner would
// believe this state.
func OpenKeyring(signingKeys, logKeys string, state sharing.StateCode, trust *sharing.Trust, log *slog.Logger) (*Keyring, error) {
	k := &Keyring{signingFile: signingKeys, logFile: logKeys, state: state, trust: trust, log: log, again: make(chan struct{}, 1)}
	if err := k.read(); err != nil {
		return nil, err
	}
	k.choose(time.Now())
	if k.missing != nil {
		return nil, k.missing
	}
	return k, nil
}

// Current returns the keys to sign with now.
func (k *Keyring) Current() sharing.Keys {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.choose(time.Now())
	return k.current
}

// Err returns what is wrong with the keys; nil: those in the files may sign.
func (k *Keyring) Err() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return errors.Join(k.unread, k.missing)
}

// Reload has [Keyring.Watch] read the files at once.
func (k *Keyring) Reload() {
	select {
	case k.again <- struct{}{}:
	default: // it will
	}
}

// Watch reads the files every second until ctx ends.
func (k *Keyring) Watch(ctx context.Context) error {
	ticker := time.NewTicker(keyPoll)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-k.again:
		case <-ticker.C:
		}
		err := k.read()
		k.mu.Lock()
		if err != nil && (k.unread == nil || k.unread.Error() != err.Error()) {
			k.log.ErrorContext(ctx, "the keys of before stay", "error", err)
		}
		k.unread = err
		missing := k.missing
		k.choose(time.Now())
		if k.missing != nil && missing == nil {
			k.log.ErrorContext(ctx, "nothing can be signed", "error", k.missing)
		}
		k.mu.Unlock()
	}
}

// read takes over what the files have, both or neither.
func (k *Keyring) read() error {
	var texts [2][]byte
	for i, path := range []string{k.signingFile, k.logFile} {
		text, err := os.ReadFile(path) //nolint:gosec // the operator names the files
		if err != nil {
			return fmt.Errorf("reading a key: %w", err)
		}
		texts[i] = text
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if bytes.Equal(texts[0], k.texts[0]) && bytes.Equal(texts[1], k.texts[1]) {
		return nil
	}
	signing, err := ReadSigningKeys(texts[0])
	if err != nil {
		return fmt.Errorf("%s: %w", k.signingFile, err)
	}
	signers, err := ReadLogKeys(texts[1])
	if err != nil {
		return fmt.Errorf("%s: %w", k.logFile, err)
	}
	k.texts, k.signing, k.signers = texts, signing, signers
	return nil
}

// ReadSigningKeys reads Ed25519 keys in PEM (PKCS #8).
func ReadSigningKeys(text []byte) (keys []ed25519.PrivateKey, err error) {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("reading a signing key: %w", err)
		}
		signing, ok := key.(ed25519.PrivateKey)
		if !ok {
			return nil, errors.New("a signing key is not of Ed25519")
		}
		keys = append(keys, signing)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no signing key in PEM")
	}
	return keys, nil
}

// ReadLogKeys reads note signer keys, a line each.
func ReadLogKeys(text []byte) (keys []note.Signer, err error) {
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		signer, err := note.NewSigner(line)
		if err != nil {
			return nil, fmt.Errorf("reading a log key: %w", err)
		}
		keys = append(keys, signer)
	}
	if len(keys) == 0 {
		return nil, errors.New("there is no log key")
	}
	return keys, nil
}

// choose finds the keys to sign with at the time. Those of before stay where the files have none that may sign.
func (k *Keyring) choose(at time.Time) {
	own, _ := k.trust.State(k.state)
	k.missing = nil
	if key, ok := ChooseSigningKey(own, k.signing, at); ok {
		k.current.Signing = key
	} else {
		k.missing = fmt.Errorf("the trust list lets no signing key of %s sign for %s", k.signingFile, k.state)
	}
	if signer, text := ChooseLogKey(own, k.signers, at); signer != nil {
		k.current.Log, k.current.LogVerifier = signer, text
	} else {
		k.missing = errors.Join(k.missing, fmt.Errorf("the trust list has no log key of %s as one of %s", k.logFile, k.state))
	}
}

// ChooseLogKey returns the key that signs the state's log at the time, with its note verifier key; nil: none of them may.
func ChooseLogKey(state sharing.TrustedState, keys []note.Signer, at time.Time) (note.Signer, string) {
	for _, text := range state.LogKeys() {
		verifier, err := note.NewVerifier(text)
		if err != nil {
			continue // the list was checked
		}
		i := slices.IndexFunc(keys, func(s note.Signer) bool { return s.Name() == verifier.Name() && s.KeyHash() == verifier.KeyHash() })
		if i >= 0 && state.LogKeyCounts(text, at) {
			return keys[i], text
		}
	}
	return nil, ""
}

// ChooseSigningKey returns the key that the state signs with at the time; false: none of them may.
func ChooseSigningKey(state sharing.TrustedState, keys []ed25519.PrivateKey, at time.Time) (chosen ed25519.PrivateKey, ok bool) {
	best := sharing.SigningKey{}
	well := false // it is valid for the margin already, and for the margin still
	for _, key := range keys {
		public, _ := key.Public().(ed25519.PublicKey)
		for _, trusted := range state.SigningKeys {
			if !trusted.PublicKey.Equal(public) || !trusted.ValidAt(at) {
				continue
			}
			settled := trusted.ValidAt(at.Add(-keyMargin)) && trusted.ValidAt(at.Add(keyMargin))
			longer := trusted.NotAfter.IsZero() || !best.NotAfter.IsZero() && !trusted.NotAfter.Before(best.NotAfter)
			if !ok || settled && !well || settled == well && longer {
				chosen, best, well, ok = key, trusted, settled, true
			}
		}
	}
	return chosen, ok
}
