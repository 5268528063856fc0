package sharing_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
)

// registry keeps lists of codes in memory: {"TEST:CL(1.1.0)": ["A", "B"]}.
type registry struct {
	mu   sync.Mutex
	kept map[string][]string
	down error // what everything that is to be kept fails with
}

func newRegistry() *registry {
	return &registry{kept: map[string][]string{"TEST:CL(1.0.0)": {"A", "B"}}}
}

func artefacts(lists map[string][]string) []sharing.Artefact {
	var all []sharing.Artefact
	for _, ref := range refsOf(lists) {
		name, version, _ := strings.Cut(strings.TrimSuffix(ref, ")"), "(")
		kind := "Codelist"
		if strings.HasPrefix(name, "TEST:CROSSINGS") {
			kind = "Dataflow"
		}
		all = append(all, sharing.Artefact{Kind: kind, Name: name, Version: version, Parts: lists[ref]})
	}
	return all
}

func refsOf(lists map[string][]string) []string {
	refs := make([]string, 0, len(lists))
	for ref := range lists {
		refs = append(refs, ref)
	}
	slices.Sort(refs)
	return refs
}

func (r *registry) Read(structures []byte) ([]sharing.Artefact, error) {
	var lists map[string][]string
	if err := json.Unmarshal(structures, &lists); err != nil {
		return nil, fault.InvalidField("structures", "%v", err)
	}
	return artefacts(lists), nil
}

func (r *registry) Artefacts(context.Context, []string) ([]sharing.Artefact, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return artefacts(r.kept), nil
}

func (r *registry) Check(context.Context, []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.down
}

func (r *registry) Keep(_ context.Context, structures []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.down != nil {
		return r.down
	}
	return json.Unmarshal(structures, &r.kept)
}

// has reports whether a version is kept.
func (r *registry) has(ref string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.kept[ref] != nil
}

func (r *registry) fall(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.down = err
}

const newList = `{"TEST:CL(1.1.0)":["A","B","C"]}`

func change(structures string) sharing.Change {
	return sharing.Change{ID: "cl-1-1", Text: "One code more.", Structures: json.RawMessage(structures)}
}

// amend lets all states do what they have to do about amendments.
func (w *world) amend(t *testing.T) {
	t.Helper()
	for range 2 {
		for _, s := range append([]*state{w.aa, w.bb}, w.others...) {
			if err := s.KeepAmendments(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// govern sets how many states have to sign.
func (w *world) govern(quorum string) {
	for _, s := range append([]*state{w.aa, w.bb}, w.others...) {
		list := *s.Trust.List()
		list.Governance.Quorum = quorum
		s.Trust.Replace(&list)
	}
}

// stands returns how the amendment stands at a state, with its signers.
func (s *state) stands(t *testing.T) (sharing.AmendmentState, []sharing.StateCode) {
	t.Helper()
	a, err := s.Amendment(t.Context(), "cl-1-1")
	if err != nil {
		t.Fatal(err)
	}
	var signers []sharing.StateCode
	for _, signature := range a.Signatures {
		signers = append(signers, signature.State)
	}
	slices.Sort(signers)
	return a.State, signers
}

func TestAmendment(t *testing.T) {
	t.Parallel()
	t.Run("takes effect everywhere once the quorum has signed, and not before", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "cc")
		w.govern("2/3")
		must(t)(w.aa.ProposeAmendment(t.Context(), change(newList)))
		w.amend(t)
		for _, s := range []*state{w.aa, w.bb, w.others[0]} {
			if state, signers := s.stands(t); state != sharing.Open || !slices.Equal(signers, []sharing.StateCode{"aa"}) || s.registry.has("TEST:CL(1.1.0)") {
				t.Errorf("at %s: %d by %v", s.code, state, signers)
			}
		}
		must(t)(w.others[0].RatifyAmendment(t.Context(), "cl-1-1"))
		w.amend(t)
		for _, s := range []*state{w.aa, w.bb, w.others[0]} {
			if state, signers := s.stands(t); state != sharing.InEffect || !slices.Equal(signers, []sharing.StateCode{"aa", "cc"}) || !s.registry.has("TEST:CL(1.1.0)") {
				t.Errorf("at %s: %d by %v", s.code, state, signers)
			}
			if !s.registry.has("TEST:CL(1.0.0)") {
				t.Errorf("%s does not know the version before any more", s.code)
			}
			for _, step := range s.Steps() {
				must(t)(nil, step(t.Context()))
			}
			must(t)(s.verify(t.Context()))
			entries, err := s.LogEntries(t.Context(), 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			var subjects []string
			for _, e := range entries {
				if e.Kind == sharing.EntryAmendment && len(e.Content) > 0 {
					subjects = append(subjects, e.Subject)
				}
			}
			slices.Sort(subjects)
			want := []string{"cl-1-1/document", "cl-1-1/effect", "cl-1-1/signature/aa", "cl-1-1/signature/cc"}
			if diff := cmp.Diff(want, subjects); diff != "" {
				t.Errorf("the log of %s: %s", s.code, diff)
			}
		}
	})
	t.Run("needs all states where no quorum was agreed", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "cc")
		must(t)(w.aa.ProposeAmendment(t.Context(), change(newList)))
		w.amend(t)
		must(t)(w.bb.RatifyAmendment(t.Context(), "cl-1-1"))
		w.amend(t)
		if state, _ := w.aa.stands(t); state != sharing.Open {
			t.Errorf("it is %d", state)
		}
		must(t)(w.others[0].RatifyAmendment(t.Context(), "cl-1-1"))
		w.amend(t)
		if state, _ := w.bb.stands(t); state != sharing.InEffect {
			t.Errorf("it is %d", state)
		}
	})
	t.Run("needs its proposer, whoever passes it on", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, "cc")
		w.govern("1")
		forged := change(newList)
		forged.Proposer = "aa"
		document, err := forged.Document()
		if err != nil {
			t.Fatal(err)
		}
		must(t)(nil, w.bb.ReceiveAmendment(t.Context(), "cc", w.others[0].Keys.Current().Sign(sharing.AmendmentType, document)))
		w.amend(t)
		if state, signers := w.bb.stands(t); state != sharing.Open || w.bb.registry.has("TEST:CL(1.1.0)") {
			t.Errorf("it is %d by %v", state, signers)
		}
	})
	t.Run("waits for a node that cannot store it, and says why", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		must(t)(w.aa.ProposeAmendment(t.Context(), change(newList)))
		w.amend(t)
		must(t)(w.bb.RatifyAmendment(t.Context(), "cl-1-1"))
		w.bb.registry.fall(errors.New("there is no TEST:OTHER(1.0.0)"))
		if err := w.bb.KeepAmendments(t.Context()); err == nil || !strings.Contains(err.Error(), "there is no TEST:OTHER") {
			t.Errorf("%v", err)
		}
		a, err := w.bb.Amendment(t.Context(), "cl-1-1")
		if err != nil || a.State != sharing.Ratified || !strings.Contains(a.Problem, "there is no TEST:OTHER") {
			t.Errorf("%+v, %v", a, err)
		}
		w.bb.registry.fall(nil)
		w.amend(t)
		if state, _ := w.bb.stands(t); state != sharing.InEffect {
			t.Errorf("it is %d", state)
		}
	})
	t.Run("is not sent again to who rejects it, until it is signed again", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		w.bb.registry.fall(fault.New(fault.Precondition, "WRONG_STATE", "there is no TEST:OTHER(1.0.0)"))
		must(t)(w.aa.ProposeAmendment(t.Context(), change(newList)))
		w.amend(t)
		a, err := w.aa.Amendment(t.Context(), "cl-1-1")
		if err != nil || len(a.Deliveries) != 1 || a.Deliveries[0].Rejection == nil || !strings.Contains(a.Deliveries[0].Rejection.Text, "TEST:OTHER") {
			t.Fatalf("%+v, %v", a.Deliveries, err)
		}
		w.bb.registry.fall(nil)
		w.amend(t)
		if _, err := w.bb.Amendment(t.Context(), "cl-1-1"); !fault.Is(err, fault.NotFound) {
			t.Errorf("it was sent again: %v", err)
		}
		must(t)(w.aa.ProposeAmendment(t.Context(), change(newList)))
		w.amend(t)
		w.bb.stands(t)
	})
	t.Run("is of one text for each id", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		must(t)(w.aa.ProposeAmendment(t.Context(), change(newList)))
		_, err := w.aa.ProposeAmendment(t.Context(), change(`{"TEST:CL(1.2.0)":["A","B","D"]}`))
		if !fault.Is(err, fault.Exists) {
			t.Errorf("%v", err)
		}
	})
	t.Run("of a stranger's key is refused", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		proposed := change(newList)
		proposed.Proposer = "aa"
		document, err := proposed.Document()
		if err != nil {
			t.Fatal(err)
		}
		err = w.bb.ReceiveAmendment(t.Context(), "aa", w.bb.Keys.Current().Sign(sharing.AmendmentType, document))
		if fault.Reason(err) != "UNTRUSTED_SIGNER" {
			t.Errorf("%v", err)
		}
	})
}

func TestAmendment_is_refused_that(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, x := range map[string]struct{ structures, reason, says string }{
		"lacks what the version before it has": {`{"TEST:CL(1.1.0)":["A","C"]}`, "INCOMPATIBLE", "TEST:CL(1.1.0) lacks what 1.0.0 has, and would have to be version 2.0.0: B"},
		"is of an agency that is not shared":   {`{"AA:CL(1.0.0)":["A"]}`, "INVALID_REQUEST", "AA:CL(1.0.0) is not of an agency whose structures are shared: TEST"},
		"is a draft":                           {`{"TEST:CL(1.1.0-draft)":["A","B"]}`, "INVALID_REQUEST", "is a draft"},
		"has nothing":                          {`{}`, "INVALID_REQUEST", "there are none"},
		"cannot be read":                       {`[1]`, "INVALID_REQUEST", "cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := w.aa.ProposeAmendment(t.Context(), change(x.structures))
			if fault.Reason(err) != x.reason || !strings.Contains(err.Error(), x.says) {
				t.Errorf("%v", err)
			}
		})
	}
	t.Run("is another major version it may lack anything", func(t *testing.T) {
		must(t)(w.aa.ProposeAmendment(t.Context(), change(`{"TEST:CL(2.0.0)":["X"]}`)))
	})
}

func TestQuorum(t *testing.T) {
	t.Parallel()
	for quorum, want := range map[string]int{"": 7, "2/3": 5, "1/1": 7, "1/100": 1, "3": 3, "9": 9} {
		if got, err := (sharing.Governance{Quorum: quorum}).Needs(7); err != nil || got != want {
			t.Errorf("%q of 7 is %d, %v, not %d", quorum, got, err, want)
		}
	}
	for _, quorum := range []string{"0", "-1", "3/2", "1/0", "2/", "half", "0/3", "1/2/3"} {
		if got, err := (sharing.Governance{Quorum: quorum}).Needs(7); err == nil {
			t.Errorf("%q is %d", quorum, got)
		}
	}
}
