package main

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/sharing/partner"
)

func TestTrust(t *testing.T) {
	t.Parallel()
	directory := t.TempDir()
	path := func(name string) string { return filepath.Join(directory, name) }
	list := path("trust.json")
	aa, err := authority.Open(path("aa"), "aa")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := aa.Certificate("sharing"); err != nil {
		t.Fatal(err)
	}
	run := func(want string, arguments ...string) {
		t.Helper()
		said, err := comity(t, append([]string{"trust", "--list", list}, arguments...)...)
		if err != nil {
			said = err.Error()
		}
		if !strings.Contains(said, want) {
			t.Fatalf("%s says %q, not %q", arguments, said, want)
		}
	}
	sign := func(version string, officers ...string) {
		t.Helper()
		for _, officer := range officers[:len(officers)-1] {
			run("not in force", "sign", "--key", path(officer))
		}
		run("version "+version+" is in force", "sign", "--key", path(officers[len(officers)-1]))
	}

	run("at least 2 officers", "init", "--officer", "one="+path("one"), "--officer", "two="+path("two"), "--threshold", "1")
	run("wants 2 signatures and has 1 officers", "init", "--officer", "one="+path("one"))
	run("proposed", "init", "--officer", "one="+path("one"), "--officer", "two="+path("two"))
	sign("1", "one", "two")
	run("already", "init", "--officer", "one="+path("one"), "--officer", "two="+path("two"))
	run("there is nothing to sign", "sign", "--key", path("one"))

	run("proposed", "join", "--state", "aa", "--name", "Alpha", "--address", "127.0.0.1:1", "--ref-area", "AA",
		"--roots", aa.RootFile(), "--signing-key", aa.SigningKey(), "--log-key", path("aa/log.pub"))
	if inForce, err := partner.ReadTrustList(list); err != nil || len(inForce.States) != 0 {
		t.Errorf("a state is on the list before the officers signed: %v", err)
	}
	sign("2", "two", "one")

	run("neither a number", "govern", "--quorum", "most")
	run("proposed", "govern", "--quorum", "2/3", "--agency", "TEST")
	sign("3", "one", "two")
	if inForce, err := partner.ReadTrustList(list); err != nil || inForce.Governance.Quorum != "2/3" {
		t.Errorf("the quorum is not on the list: %v", err)
	}

	next, err := authority.Ed25519(path("next.key"))
	if err != nil {
		t.Fatal(err)
	}
	run("proposed", "rotate", "--state", "aa", "--signing-key", path("next.key"), "--overlap", "1h")
	run("proposed", "rotate", "--officer", "two="+path("two again"))
	run("not of 2", "sign", "--key", path("one"))
	run("signatures of 1 of its own", "sign", "--key", path("two")) // the old key brings the new one in
	sign("4", "two again")

	run("is not between 0 and", "rotate", "--state", "aa", "--crl-grace", "100000")
	run("proposed", "rotate", "--state", "aa", "--crl-grace", "48")
	run("comity/aa/log+", "log-key", "--state", "aa", "--out", path("log.next"))
	run("exists", "log-key", "--state", "aa", "--out", path("log.next"))
	text, err := os.ReadFile(path("log.next.pub"))
	if err != nil {
		t.Fatal(err)
	}
	logKey := strings.TrimSpace(string(text))
	run("proposed", "rotate", "--state", "aa", "--log-key", path("log.next.pub"))
	run("that log key already", "rotate", "--state", "aa", "--log-key", path("log.next.pub"))
	run("proposed", "rotate", "--state", "aa", "--address", "127.0.0.1:2")
	run("+ aa: Alpha at 127.0.0.1:2", "show", "--next")
	run("+ aa: log key "+logKey, "show", "--next")
	run("  aa: root ", "show", "--next")
	run("- version 4, until", "show", "--next")
	run("signed by nobody so far", "show", "--next")
	leaf := filepath.Join(aa.Certificates(), "sharing.pem")
	run("proposed", "revoke", "--state", "aa", "--certificate", leaf)
	run("proposed", "revoke", "--state", "aa", "--signing-key", officer("", next.Public().(ed25519.PublicKey)).ID)
	run("is not on the list", "revoke", "--state", "zz", "--whole")
	run("no signing key", "revoke", "--state", "aa", "--signing-key", "ffff")
	run("not of 2", "sign", "--key", path("two")) // who was an officer before
	sign("5", "one", "two again")

	inForce, err := partner.ReadTrustList(list)
	if err != nil {
		t.Fatal(err)
	}
	state, _ := inForce.State("aa")
	if len(state.SigningKeys) != 2 || !state.SigningKeys[0].ValidAt(time.Now()) || state.SigningKeys[0].ValidAt(time.Now().Add(2*time.Hour)) {
		t.Errorf("the signing key before does not end in an hour: %+v", state.SigningKeys)
	}
	if state.SigningKeys[1].ValidAt(time.Now().Add(time.Second)) || len(state.Revoked.Serials) != 1 {
		t.Errorf("what was revoked still counts: %+v", state)
	}
	if state.LogKey != logKey || len(state.FormerLogKeys) != 1 || !state.LogKeyCounts(aa.LogKey, time.Now()) {
		t.Errorf("the log key before does not count beside the next one: %+v", state)
	}
	run("signed by one and two", "show")
	run("aa: revoked: the certificate with the serial number "+state.Revoked.Serials[0], "show")
	run("no proposed list", "show", "--next")
	if state.CRL == nil || state.CRL.Grace() != 48*time.Hour {
		t.Errorf("the grace of revocation lists is not 48 hours: %+v", state.CRL)
	}
	if _, err := os.Stat(list + ".next"); err == nil {
		t.Error("what is in force is still proposed")
	}
}
