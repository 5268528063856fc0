package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/sharing"
)

const (
	trustLifetime = 365 * 24 * time.Hour
	trustRenewal  = 30 * 24 * time.Hour // before the end
	trustGrace    = 7 * 24              // hours
)

// makeTrustList has the region's two officers sign a trust list with the states, where the one that is there has others,
// or expires soon. Nodes that run take it over.
func (s *sandbox) makeTrustList(states []sharing.TrustedState) error {
	if err := os.MkdirAll(s.path("officers"), 0o700); err != nil {
		return err
	}
	list := &sharing.TrustList{
		Version: 1, Expires: time.Now().Add(trustLifetime).UTC().Truncate(time.Second), GraceHours: trustGrace, Threshold: 2, States: states,
	}
	var keys []ed25519.PrivateKey
	for _, name := range []string{"first", "second"} {
		key, err := authority.Ed25519(s.path("officers", name+".key"))
		if err != nil {
			return fmt.Errorf("the key of the %s officer: %w", name, err)
		}
		keys = append(keys, key)
		list.Officers = append(list.Officers, officer(name, key.Public().(ed25519.PublicKey)))
	}
	file := trustFile(s.path("trust.json"))
	before, err := file.inForce()
	if err != nil {
		return err
	}
	if before != nil {
		list.States = keepRotated(before.TrustList, states)
		if time.Until(before.Expires) > trustRenewal && sameStates(before.States, list.States) {
			return nil
		}
		list.Version, list.Governance = before.Version+1, before.Governance
	}
	if err := file.write(list); err != nil {
		return err
	}
	missing := ""
	for _, key := range keys {
		if _, missing, err = file.sign(key); err != nil {
			return err
		}
	}
	if missing != "" {
		return fmt.Errorf("the trust list is not in force: %s", missing)
	}
	return nil
}

func officer(name string, key ed25519.PublicKey) sharing.Officer {
	return sharing.Officer{Name: name, ID: sharing.KeyID(key), PublicKey: key}
}

// keepRotated returns the states with what somebody has rotated, revoked or added since the list before: its entries stay as long
// as they have the keys that the states began with.
func keepRotated(before *sharing.TrustList, states []sharing.TrustedState) []sharing.TrustedState {
	kept := slices.Clone(states)
	for i, state := range states {
		entry, ok := before.State(state.Code)
		same := func(key sharing.SigningKey) bool { return key.ID == state.SigningKeys[0].ID }
		if ok && slices.ContainsFunc(entry.SigningKeys, same) && slices.Contains(entry.LogKeys(), state.LogKey) && strings.Contains(entry.Roots, state.Roots) {
			entry.Name, entry.Address, entry.RefAreas = state.Name, state.Address, state.RefAreas
			kept[i] = entry
		}
	}
	return kept
}

// sameStates reports whether two lists name the same states in the same way.
func sameStates(a, b []sharing.TrustedState) bool {
	one, err := json.Marshal(a)
	if err != nil {
		return false
	}
	other, err := json.Marshal(b)
	return err == nil && bytes.Equal(one, other)
}
