package sharing_test

import (
	"context"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
	"github.com/comity-federation/comity/services/sharing"
)

// withPolicies gives all states the policies of the project, with a law of aa's own.
func (w *world) withPolicies(t *testing.T, law string) {
	t.Helper()
	w.aa.withPolicies(t, law)
	w.bb.withPolicies(t, "")
	for _, s := range w.others {
		s.withPolicies(t, "")
	}
}

// withPolicies gives a state the policies of the project, with a law of its own; "": none.
func (s *state) withPolicies(t *testing.T, law string) {
	t.Helper()
	directories := []string{policytest.Untested(t, filepath.Join("..", "..", "policies"))}
	if law != "" {
		own := t.TempDir()
		if err := os.MkdirAll(filepath.Join(own, "law"), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(own, "law", "aa.rego"), []byte(law), 0o600); err != nil {
			t.Fatal(err)
		}
		directories = append(directories, own)
	}
	engine, err := policy.Open(t.Context(), directories, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	config := s.Config
	config.Policy = engine
	s.Service = sharing.New(config)
}

func TestWithPolicies(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.withPolicies(t, `package comity.law

excluded contains {"CITIZENSHIP": {"IRQ"}}
`)
	w.newFigures()
	w.agree(t, w.terms())
	t.Run("releases what was agreed, but for what the law excludes", func(t *testing.T) {
		if w.bb.figures.received["M,AA,1A,_T,SYR,_T,2023-01"] != 41 || !math.IsNaN(w.bb.figures.received["M,AA,1A,_T,IRQ,_T,2023-01"]) {
			t.Errorf("%v", w.bb.figures.received)
		}
		releases, _, err := w.aa.Releases(ctx, sharing.Page{})
		if err != nil || len(releases) != 1 || releases[0].Withheld != 3 {
			t.Errorf("%+v, %v", releases, err)
		}
	})
	t.Run("explains what is refused", func(t *testing.T) {
		for reason, request := range map[string]sharing.ExplainRequest{
			"INDICATOR_NOT_COVERED": {Partner: "bb", Indicator: "5"},
			"DETAIL_NOT_COVERED":    {Partner: "bb", Indicator: "1A", Filter: filter.Eq("SEX", "F")},
			"PURPOSE":               {Partner: "bb", Indicator: "1A", Purpose: "MARKETING"},
		} {
			got, err := w.aa.Explain(ctx, request)
			if err != nil || got.Allowed || len(got.Reasons) != 1 || got.Reasons[0].Code != reason || got.Reasons[0].Agreement != "aa-bb-1a" {
				t.Errorf("%s: %+v, %v", reason, got, err)
			}
		}
		got, err := w.bb.Explain(ctx, sharing.ExplainRequest{Partner: "aa", Indicator: "1A"})
		if err != nil || got.Allowed || got.Reasons[0].Code != "NO_AGREEMENT" {
			t.Errorf("%+v, %v", got, err)
		}
		got, err = w.aa.Explain(ctx, sharing.ExplainRequest{Partner: "bb", Indicator: "1A", Filter: filter.Eq("SECTION", "NORTH")})
		if err != nil || !got.Allowed || got.Released != 1 || got.Obligations.MinimumFrequency != 3 {
			t.Errorf("%+v, %v", got, err)
		}
	})
	t.Run("refuses to receive what is finer than agreed", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2024-01", 500)
		for _, step := range w.aa.Steps() {
			if err := step(ctx); err != nil {
				t.Fatal(err)
			}
		}
		out := w.next(t)
		envelope := w.refill(t, out[0].Envelope, "M,AA,1A,EAST,AFG,F,2024-01", 500)
		if _, err := w.bb.Receive(ctx, "aa", envelope); fault.Reason(err) != "RECEIVE_REFUSED" {
			t.Errorf("%v", err)
		}
	})
}

func TestLoops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.newFigures()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 8)
	for _, s := range []*state{w.aa, w.bb} {
		for _, loop := range []func(context.Context) error{s.FollowRevisions, s.HandOver, s.SequenceLog, s.DeliverAgreements} {
			go func() { ended <- loop(ctx) }()
		}
	}
	t.Run("bring what was agreed to the partner, by themselves", func(t *testing.T) {
		must(t)(w.aa.Draft(ctx, w.terms()))
		must(t)(w.aa.Sign(ctx, "aa-bb-1a"))
		deadline := time.Now().Add(30 * time.Second)
		for signed := false; !signed; {
			a, err := w.bb.Sign(ctx, "aa-bb-1a")
			signed = err == nil && a.State == sharing.Active
			if time.Now().After(deadline) {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		for {
			changed := w.aa.OutgoingChanged("bb")
			if err := w.pull(ctx, w.bb, w.aa); err != nil {
				t.Fatal(err)
			}
			if w.bb.figures.count() > 0 {
				return
			}
			select {
			case <-changed:
			case <-time.After(100 * time.Millisecond):
			}
			if time.Now().After(deadline) {
				t.Fatal("nothing arrived")
			}
		}
	})
	t.Run("end with their context", func(t *testing.T) {
		stop()
		for range cap(ended) {
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("a loop goes on")
			}
		}
	})
}
