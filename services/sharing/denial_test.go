package sharing_test

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/sharing"
)

// has returns which of the indicators the receiver has figures of.
func (f *figures) has() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	found := map[string]bool{}
	for key := range f.received {
		found[strings.Split(key, ",")[2]] = true
	}
	return slices.Sorted(maps.Keys(found))
}

// TestPolicyDeniesWhatWent has the law forbid what an agreement in force covers, and what went.
func TestPolicyDeniesWhatWent(t *testing.T) {
	t.Parallel()
	const permits = "package comity.law\n"
	forbids := func(indicator string) string {
		return permits + `
deny contains {"code": "LAW", "text": "It is forbidden."} if input.indicator == "` + indicator + "\"\n"
	}
	w := newWorld(t)
	w.newFigures()
	w.aa.figures.set("M,AA,5A,NORTH,SYR,_T,2023-01", 200)
	w.withPolicies(t, permits)
	terms := w.terms()
	terms.Indicators = []string{"1A", "5A"}
	w.agree(t, terms)
	expect := func(when string, want ...string) {
		t.Helper()
		if got := w.bb.figures.has(); !slices.Equal(got, want) {
			t.Errorf("%s, the partner has %v, not %v", when, got, want)
		}
	}
	newest := func() sharing.Release {
		t.Helper()
		releases, _, err := w.aa.Releases(t.Context(), sharing.Page{})
		if err != nil || len(releases) == 0 {
			t.Fatalf("%d releases, %v", len(releases), err)
		}
		return releases[0]
	}
	expect("at first", "1A", "5A")

	w.aa.withPolicies(t, forbids("5A"))
	w.run(t)
	expect("after one was forbidden", "1A")
	if r := newest(); !slices.Equal(r.Indicators, []string{"1A"}) || r.Base == "" {
		t.Errorf("what is taken back goes as %+v", r)
	}
	before := newest().ID
	w.pass(time.Minute)
	w.run(t)
	if newest().ID != before {
		t.Error("it is taken back again and again")
	}

	w.aa.withPolicies(t, permits+`
deny contains {"code": "LAW", "text": "It is forbidden."} if input.partner == "bb"
`)
	w.run(t)
	expect("after all was forbidden")

	w.aa.withPolicies(t, permits)
	w.run(t)
	expect("when all is allowed again", "1A", "5A")

	must(t)(w.aa.Throw(t.Context(), sharing.SwitchRequest{Mode: sharing.Kill, Indicator: "5A", By: "ada", Reason: "a test"}))
	w.run(t)
	expect("after a switch stopped one", "1A", "5A")
	for _, s := range []*state{w.aa, w.bb} {
		if n, err := s.verify(t.Context()); err != nil {
			t.Errorf("the log of %s, after %d entries: %v", s.code, n, err)
		}
	}
}
