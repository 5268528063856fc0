package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/sharing/doctor"
)

func TestDoctor(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "sharing.env")
	lines := "# of the service\n\nCOMITY_STATE=aa\nCOMITY_OPS_LISTEN=\"127.0.0.1:1\"\nCOMITY_DATABASE_URL='postgres://nobody@127.0.0.1:1/x?a=b'\n"
	for _, name := range []string{"CERTIFICATE", "KEY", "ROOT", "POLICIES", "SIGNING_KEY", "LOG_KEY", "TRUST_LIST"} {
		lines += "COMITY_" + name + "=/not/there\n"
	}
	if err := os.WriteFile(file, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := comity(t, "doctor", "--env", file)
	if !errors.Is(err, exitErrors) || !strings.Contains(said, "the sharing service does not answer") || !strings.Contains(said, "0 warnings") {
		t.Errorf("it ends with %v and says %s", err, said)
	}
	said, err = comity(t, "doctor", "--env", file, "--json")
	var findings []doctor.Finding
	if !errors.Is(err, exitErrors) || json.Unmarshal([]byte(said), &findings) != nil {
		t.Errorf("it ends with %v and says %s", err, said)
	}
	checks := map[string]bool{}
	for _, f := range findings {
		checks[f.Check] = true
	}
	want := map[string]bool{"node": true, "policy": true, "certificate": true, "trust": true, "keys": true, "database": true}
	if diff := cmp.Diff(want, checks); diff != "" {
		t.Error(diff)
	}
	if _, err := comity(t, "doctor", "--state", "aa", "--dir", t.TempDir()); err == nil || errors.Is(err, exitErrors) {
		t.Errorf("without a region it ends with %v", err)
	}
}

func TestReadEnvironment(t *testing.T) {
	t.Parallel()
	got, err := readEnvironment(strings.NewReader("A=1\n; no\n # no\nB=\"x y\"\nC='z'\nD=a=b\nE=\n"))
	if diff := cmp.Diff(map[string]string{"A": "1", "B": "x y", "C": "z", "D": "a=b", "E": ""}, got); diff != "" || err != nil {
		t.Errorf("%v, %s", err, diff)
	}
	if _, err := readEnvironment(strings.NewReader("A\n")); err == nil {
		t.Error("it reads a line without a value")
	}
}
