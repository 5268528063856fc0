package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestNodeInit(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "gb")
	initialise := func() (said string, files map[string]string) {
		t.Helper()
		said, err := comity(t, "node", "init", "--state", "gb", "--dir", directory, "--policies", "shared,own", "--trust", "trust.json", "--exchange", "0.0.0.0:9005")
		if err != nil {
			t.Fatal(err)
		}
		files = map[string]string{}
		for _, name := range []string{"statistics.env", "risk.env", "sharing.env", "gateway.env", "databases.sql", "signing.pub", "tokens/officer"} {
			files[name] = string(must[[]byte](t)(os.ReadFile(filepath.Join(directory, name))))
		}
		return said, files
	}
	said, files := initialise()
	t.Run("says how the node is put on a trust list", func(t *testing.T) {
		if !strings.Contains(said, "--address HOST:9005") || !strings.Contains(said, "--log-key "+filepath.Join(directory, "log.pub")) {
			t.Error(said)
		}
	})
	t.Run("gives each service what it is told by its environment", func(t *testing.T) {
		for name, want := range map[string][]string{
			"sharing.env":    {"COMITY_EXCHANGE_LISTEN='0.0.0.0:9005'", "COMITY_DATABASE_URL='postgres://comity_gb_sharing:", "COMITY_TRUST_LIST='/"},
			"statistics.env": {"COMITY_CELL_SECRET='" + directory, "COMITY_LISTEN='127.0.0.1:8402'"},
			"gateway.env":    {"COMITY_SHARING='127.0.0.1:8404'", "COMITY_LISTEN='127.0.0.1:8401'"},
			"databases.sql":  {"CREATE DATABASE comity_gb_risk OWNER comity_gb_risk;"},
		} {
			for _, line := range want {
				if !strings.Contains(files[name], line) {
					t.Errorf("%s has no %s:\n%s", name, line, files[name])
				}
			}
		}
		if strings.Contains(files["gateway.env"], "COMITY_DATABASE_URL") {
			t.Error("the gateway has a database")
		}
	})
	t.Run("changes nothing the second time", func(t *testing.T) {
		if _, again := initialise(); cmp.Diff(files, again) != "" {
			t.Error(cmp.Diff(files, again))
		}
	})
}
