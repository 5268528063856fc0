package main

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"

	"github.com/comity-federation/comity/services/bench"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
)

// surviveKills runs two nodes of which something is killed thirty times, with COMITY_LONG 300 times. COMITY_SEED repeats a
// run, as far as moments can be repeated.
func surviveKills(t *testing.T, program string) {
	home, err := os.MkdirTemp("", "comity-kills-") //nolint:usetesting // a directory of t.TempDir is closed to the account that PostgreSQL may run as
	if err != nil {
		t.Fatal(err)
	}
	o := bench.KillOptions{
		Program: program, Directory: home, Policies: policytest.Untested(t, "../../../policies"),
		BasePort: freePorts(t), Kills: 30, Every: 10, Seed: rand.Uint64(),
	}
	if os.Getenv("COMITY_LONG") != "" {
		o.Kills, o.Every = 300, 50
	}
	if text := os.Getenv("COMITY_SEED"); text != "" {
		if o.Seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("COMITY_SEED=%d", o.Seed)
	line, err := bench.Kills(t.Context(), o, t.Output())
	if err != nil {
		t.Fatal(err)
	}
	t.Log(line)
}
