package partner_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/internal/authority"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/tck"
)

// tested is a state whose node the conformance kit is let loose on.
type tested struct {
	*state
	kit     *tck.State
	secrets *authority.Authority // the kit's
	inward  *front               // before the node
	outward *front               // before the kit
}

// newTested returns a state that trusts the kit, has figures, and signs the agreements that the kit proposes.
func newTested(t *testing.T) *tested {
	t.Helper()
	s := newWorld(t, "aa", "bb")[0]
	s.spoil = &spoiling{keys: s.keys}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	address := listener.Addr().String()
	must(t, listener.Close())
	outward := newFront(t, address)
	terms := sharing.Terms{
		Version: 1, Dataflow: dataflow, Indicators: []string{"1A"}, Purposes: []string{"conformance"}, MinimumFrequency: 3,
		Detail: map[string]string{"FREQ": "M", "CITIZENSHIP": "country"}, ValidFrom: "2024-01-01",
	}
	provided, received := terms, terms
	provided.ID, provided.Provider, provided.Receiver = "aa-tk", "aa", "tk"
	received.ID, received.Provider, received.Receiver = "tk-aa", "tk", "aa"
	directory := t.TempDir()
	kit, err := tck.Init(directory, tck.Settings{
		Code: "tk", Name: "Kit", Listen: address, Address: outward.address(), RefAreas: []string{"CC"}, Peer: "aa",
		Row:     map[string]string{"FREQ": "M", "REF_AREA": "CC", "INDICATOR": "1A", "CITIZENSHIP": "_T"},
		Periods: []string{"2020-01", "2020-02"},
	}, provided, received)
	must(t, err)
	text, err := os.ReadFile(filepath.Join(directory, "trust-entry.json"))
	must(t, err)
	entry := sharing.TrustedState{}
	must(t, json.Unmarshal(text, &entry))
	s.next(func(list *sharing.TrustList) { list.States = append(list.States, entry) })
	s.start()
	s.submit(40, 100)
	secrets, err := authority.Open(directory, "tk")
	must(t, err)
	return &tested{state: s, kit: kit, secrets: secrets, inward: newFront(t, s.exchange), outward: outward}
}

// sign signs what the kit proposes, until ctx ends.
func (s *tested) sign(ctx context.Context) {
	for ctx.Err() == nil {
		for _, id := range []sharing.AgreementID{"aa-tk", "tk-aa"} {
			if a, err := s.service.Agreement(ctx, id); err == nil && a.State == sharing.Proposed && len(a.Signatures) == 1 {
				_, _ = s.service.Sign(ctx, id)
			}
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// gullible returns what lets everybody in to the node, and what lets the node speak to everybody.
func (s *tested) gullible() (inward, outward *gullible) {
	load := func(certificate, key string) tls.Certificate {
		pair, err := tls.LoadX509KeyPair(certificate, key)
		must(s.t, err)
		return pair
	}
	files := s.authority.Issue("sharing")
	node := load(files.Certificate, files.Key)
	certificate, key, err := s.secrets.Certificate("sharing")
	must(s.t, err)
	kit := load(certificate, key)
	return newGullible(node, kit), newGullible(kit, node)
}

// run runs the cases of the kit.
func (s *tested) run(ids []string, patience time.Duration) *tck.Report {
	s.t.Helper()
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	trust, err := os.ReadFile(s.trustFile)
	must(s.t, err)
	only := make([]string, len(ids))
	for i, id := range ids {
		only[i] = regexp.QuoteMeta(id)
	}
	go s.sign(ctx)
	report, err := tck.Run(ctx, tck.Options{
		State: s.kit, Trust: trust, Peer: s.inward.address(), Only: "^(" + strings.Join(only, "|") + ")$",
		Aftermath: true, Frames: 20_000, Patience: patience, Quiet: 150 * time.Millisecond,
	})
	must(s.t, err)
	return report
}

// TestConformanceKit shows that each case of the kit finds what it is there to find.
func TestConformanceKit(t *testing.T) {
	t.Parallel()
	s := newTested(t)
	broken := defects(s.gullible())
	found := map[string]bool{}
	for _, d := range broken {
		for _, id := range d.fails {
			found[id] = true
		}
	}
	var sound []string
	for _, c := range tck.Cases() {
		if found[c.ID] && c.Category() != "last" && c.Category() != "flood" {
			sound = append(sound, c.ID)
		}
		if !found[c.ID] && !slices.Contains(unbroken(), c.ID) {
			t.Errorf("no defect shows that %s can fail", c.ID)
		}
	}
	passes := func(ids []string) {
		t.Helper()
		for _, r := range s.run(ids, 0).Results {
			if r.Outcome != tck.Passed {
				t.Errorf("a sound node does not pass %s: %s", r.ID, r.Why)
			}
		}
	}
	passes(sound)
	for _, d := range broken {
		t.Run("finds a node that "+d.name, func(t *testing.T) {
			s.spoil.how.Store(&d)
			s.inward.set(d.inward, d.most)
			s.outward.set(d.outward, 0)
			defer func() {
				s.spoil.how.Store(nil)
				s.inward.set(nil, 0)
				s.outward.set(nil, 0)
			}()
			report := s.run(d.fails, d.patience)
			for _, r := range report.Results {
				if r.Outcome != tck.Failed {
					t.Errorf("%s does not find it: %s", r.ID, r.Why)
				}
				t.Logf("%s: %s", r.ID, r.Why)
			}
			if len(report.Results) != len(d.fails) {
				t.Errorf("%d cases of %d were run", len(report.Results), len(d.fails))
			}
		})
	}
	passes([]string{"flood.retry", "flood.limit"}) // after which the kit may not call for a while
}

// unbroken returns the cases that no defect here makes fail: those say what a node takes that others would not, or they
// would need another implementation of gRPC.
func unbroken() []string {
	return []string{
		"describe.reflection", "tls.certificate", "tls.intermediate-good", "sync.heartbeat", "called.certificate", "called.agreement", "deliver.word", "deliver.huge",
		"flood.message", "flood.compressed", "flood.headers", "flood.pings", "flood.pings-cut", "flood.streams-limit",
	}
}
