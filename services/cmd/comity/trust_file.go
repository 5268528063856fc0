package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/google/renameio/v2"

	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
)

// trustFile is a file with the trust list in force. Beside it, with ".next" behind its name, stands the one that is to
// take its place while officers sign it.
type trustFile string

func (f trustFile) next() string { return string(f) + ".next" }

// inForce returns the list in force; nil: there is none yet.
func (f trustFile) inForce() (*sharing.SignedTrustList, error) {
	list, err := partner.ReadTrustList(string(f))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // nil is "there is none"
	}
	return list, err
}

// proposed returns the list that officers are to sign; nil: there is none.
func (f trustFile) proposed() (*sharing.SignedTrustList, error) {
	data, err := os.ReadFile(f.next())
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, err
	}
	list, err := sharing.ReadSignedTrustList(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.next(), err)
	}
	return list, nil
}

// propose changes the list that is to follow, or a copy of the one in force where none is proposed yet. What was signed
// of it before counts no more.
func (f trustFile) propose(change func(*sharing.TrustList) error) error {
	inForce, err := f.inForce()
	if err != nil {
		return err
	}
	before, err := f.proposed()
	if err != nil {
		return err
	}
	if before == nil {
		before = inForce
	}
	if before == nil {
		return fmt.Errorf("there is no trust list in %s: comity trust init makes one", f)
	}
	list := *before.TrustList
	if inForce != nil {
		list.Version = inForce.Version + 1
	}
	if err := change(&list); err != nil {
		return err
	}
	return f.write(&list)
}

// write proposes a list.
func (f trustFile) write(list *sharing.TrustList) error {
	signed, err := sharing.NewSignedTrustList(list)
	if err != nil {
		return err
	}
	return f.save(signed)
}

func (f trustFile) save(list *sharing.SignedTrustList) error {
	data, err := list.Encode()
	if err != nil {
		return err
	}
	return renameio.WriteFile(f.next(), data, 0o644)
}

// sign adds an officer's signature to the proposed list. Once it has enough, it takes the place of the one in force, and
// missing is ""; else missing says what it lacks.
func (f trustFile) sign(key ed25519.PrivateKey) (list *sharing.SignedTrustList, missing string, err error) {
	inForce, err := f.inForce()
	if err != nil {
		return nil, "", err
	}
	if list, err = f.proposed(); err != nil {
		return nil, "", err
	}
	if list == nil {
		return nil, "", fmt.Errorf("there is nothing to sign: no %s", f.next())
	}
	list.Sign(key)
	if err := f.save(list); err != nil {
		return nil, "", err
	}
	data, err := list.Encode()
	if err != nil {
		return nil, "", err
	}
	opened, err := sharing.OpenTrustList(data)
	if err == nil && inForce != nil {
		err = opened.Succeed(inForce.TrustList, time.Now())
	}
	if err != nil {
		return list, err.Error(), nil
	}
	return list, "", os.Rename(f.next(), string(f))
}
