package rpc_test

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
	"github.com/comity-federation/comity/services/internal/rpc"
)

func TestReadinessSaysOfASignedBundleThatIsNotGood(t *testing.T) {
	n := prepare(t)
	home := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(err)
	encoded, err := policy.EncodeKey(public)
	must(err)
	n.cfg.PolicyKeys, n.cfg.PolicyKept = filepath.Join(home, "key.pem"), filepath.Join(home, "kept", "last.tar.gz")
	must(os.WriteFile(n.cfg.PolicyKeys, encoded, 0o600))
	untested := policytest.Untested(t, n.cfg.Policies)
	n.cfg.Policies = filepath.Join(home, "bundle.tar.gz")
	unsigned := func(revision int64) []byte {
		t.Helper()
		data, err := policy.Build([]string{untested}, revision, time.Now().Add(time.Hour))
		must(err)
		return data
	}
	must(os.WriteFile(n.cfg.Policies, unsigned(1), 0o600))

	log := slog.New(slog.DiscardHandler)
	policies, err := n.cfg.OpenPolicies(t.Context(), log)
	must(err)
	server, err := rpc.NewServer(n.cfg, policies, log, nil)
	must(err)
	server.Background(policies.Watch)
	must(server.Listen(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ctx) }()
	ready := "http://" + server.OpsAddress() + "/readyz"
	wait := func(status int, want string) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
			got := get(t, ready)
			if got.status == status && strings.Contains(got.body, want) {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("readyz says %v, want %d, %q", got, status, want)
			}
		}
	}
	wait(http.StatusServiceUnavailable, "everything is refused")

	signed, err := policy.Sign(unsigned(2), private)
	must(err)
	must(os.WriteFile(n.cfg.Policies, signed, 0o600))
	wait(http.StatusOK, policies.Revision())

	must(os.WriteFile(n.cfg.Policies, signed[:len(signed)/2], 0o600))
	wait(http.StatusServiceUnavailable, "the last good ones stay")
	var allowed bool
	input := rpc.NewAccessInput("us", rpc.Caller{State: "us", Service: "sharing"}, "comity.statistics.v1.StatisticsService", "Query")
	if _, err := policies.Evaluate(t.Context(), "data.comity.access.allow", input, &allowed); err != nil || !allowed {
		t.Errorf("%v, %v", allowed, err)
	}
	cancel()
	must(<-ended)
}
