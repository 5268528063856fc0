package ledger_test

import (
	"errors"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/disclosure/ledger/ledgertest"
)

func options() ledger.Options {
	return ledger.Options{Random: rand.NewChaCha8([32]byte{7})}
}

// admit decides a release on the stacks and records it. It returns false where the release is refused.
func admit(t testing.TB, release ledger.Release, stacks ...ledger.Stack) (*ledger.Verdict, bool) {
	t.Helper()
	verdict, err := ledger.Admit(t.Context(), stacks, release, options())
	if refusal := (*ledger.Refusal)(nil); errors.As(err, &refusal) {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := verdict.Record(t.Context(), stacks); err != nil {
		t.Fatal(err)
	}
	return verdict, true
}

func TestAdmit_reveals_nothing_in_any_sequence_of_releases(t *testing.T) {
	runs := 50
	if os.Getenv("COMITY_LONG") != "" {
		runs = 1000
	}
	var n ledgertest.Tally
	for seed := range runs {
		n.Add(ledgertest.Play(t, ledgertest.InMemory(), uint64(seed)))
	}
	t.Logf("%d released, %d refused, %d of %d cells cut, %d protected, %d exposed", n.Released, n.Refused, n.Cut, n.Cells, n.Protected, n.Exposed)
	if n.Protected == 0 || n.Cut == 0 || n.Released < 5*n.Refused {
		t.Error("the worlds are too dull to show anything")
	}
}

func TestReader_finds_what_tables_give_away_without_a_ledger(t *testing.T) {
	all, alone := 0, 0
	for seed := range 20 {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		w := ledgertest.New(r, 2, 3, 3)
		reader := ledgertest.NewReader(ledgertest.NewArchive())
		for range 4 {
			m := r.IntN(2)
			if verdict, ok := admit(t, w.Table(t, ledgertest.Month(m), true), ledger.NewMemory()); ok { // each alone
				reader.Show(verdict.Release)
			}
			w.Revise(r, m)
		}
		for _, finding := range reader.Findings(t) {
			all++
			if strings.Contains(finding, "alone") {
				alone++
			}
		}
	}
	if alone == 0 || all == alone {
		t.Errorf("the reader finds %d things, %d of them for who is alone in a cell, so that its silence means little", all, alone)
	}
}

func TestAdmit_withholds_again_what_was_withheld(t *testing.T) {
	stack := ledger.NewMemory()
	first := ledger.Release{Revision: 1, Ceiling: 40, Cells: []ledger.Cell{
		{Key: "T", Value: 40, Status: disclosure.Published},
		{Key: "a", Value: 2, Status: disclosure.Primary, Width: 3},
		{Key: "b", Value: 18, Status: disclosure.Secondary},
		{Key: "c", Value: 20, Status: disclosure.Published},
	}, Equations: []ledger.Equation{{Total: "T", Parts: []string{"a", "b", "c"}}}}
	if verdict, ok := admit(t, first, stack); !ok || len(verdict.Cuts) > 0 {
		t.Fatal(verdict, ok)
	}
	verdict, ok := admit(t, ledger.Release{Revision: 2, Ceiling: 40, Cells: []ledger.Cell{
		{Key: "b", Value: 18, Status: disclosure.Published},
	}}, stack)
	if !ok || len(verdict.Cuts) != 1 || !verdict.Cuts[0].Earlier || verdict.Release.Cells[0].Status != disclosure.Secondary {
		t.Errorf("got %+v, %v", verdict, ok)
	}
}

// simple returns a release of total T = a + b + c + d, where a is too small.
func simple(revision int64) ledger.Release {
	return ledger.Release{ID: "simple", Revision: revision, Ceiling: 100, Cells: []ledger.Cell{
		{Key: "T", Value: 100, Status: disclosure.Published},
		{Key: "a", Value: 2, Status: disclosure.Primary, Width: 3},
		{Key: "b", Value: 18, Status: disclosure.Published},
		{Key: "c", Value: 20, Status: disclosure.Published},
		{Key: "d", Value: 60, Status: disclosure.Published},
	}, Equations: []ledger.Equation{{Total: "T", Parts: []string{"a", "b", "c", "d"}}}}
}

func refusal(t *testing.T, release ledger.Release, o ledger.Options, stacks ...ledger.Stack) ledger.Reason {
	t.Helper()
	_, err := ledger.Admit(t.Context(), stacks, release, o)
	var refusal *ledger.Refusal
	if err != nil && !errors.As(err, &refusal) {
		t.Fatal(err)
	}
	if refusal == nil {
		return ""
	}
	return refusal.Reason
}

func statuses(release ledger.Release) string {
	var b strings.Builder
	for _, c := range release.Cells {
		b.WriteByte(c.Status.String()[1]) // pUblished, pRimary, sEcondary, eMpty
	}
	return b.String()
}

func TestAdmit_withholds_what_is_cheapest(t *testing.T) {
	verdict, ok := admit(t, simple(1), ledger.NewMemory())
	if !ok || statuses(verdict.Release) != "UREUU" {
		t.Fatalf("got %+v, %v", verdict, ok)
	}
	if len(verdict.Cuts) != 1 || verdict.Cuts[0].Key != "b" || verdict.Cuts[0].Protected != "a" {
		t.Errorf("got %+v", verdict.Cuts)
	}
}

func TestAdmit_takes_proofs_that_came_with_the_release(t *testing.T) {
	release := simple(1)
	release.Cells[3].Status = disclosure.Secondary
	release.Proofs = []ledger.Proof{{Cells: []int{1, 3}, Moves: []int64{3 * ledger.Scale, -3 * ledger.Scale}}}
	verdict, ok := admit(t, release, ledger.NewMemory())
	if !ok || verdict.Sought != 0 || len(verdict.Cuts) != 0 {
		t.Errorf("got %+v, %v", verdict, ok)
	}
	release.Proofs[0].Moves[0]-- // no longer true
	verdict, ok = admit(t, release, ledger.NewMemory())
	if !ok || verdict.Sought != 1 {
		t.Errorf("a false proof: got %+v, %v", verdict, ok)
	}
}

func TestAdmit_does_not_rely_on_what_the_audience_knows(t *testing.T) {
	release := simple(1)
	release.Cells[2].Known = true // the cheapest that could be withheld
	verdict, ok := admit(t, release, ledger.NewMemory())
	if !ok || statuses(verdict.Release) != "URUEU" {
		t.Errorf("got %+v, %v", verdict, ok)
	}
}

func TestAdmit_refuses_what_says_other_than_before(t *testing.T) {
	stack := ledger.NewMemory()
	if _, ok := admit(t, simple(5), stack); !ok {
		t.Fatal("refused")
	}
	same := simple(5)
	same.Cells[3].Value, same.Cells[4].Value = 21, 59
	if got := refusal(t, same, options(), stack); got != ledger.Infeasible {
		t.Errorf("another figure in the same revision: %q", got)
	}
	wrong := simple(6)
	wrong.Cells[3].Value = 21
	if got := refusal(t, wrong, options(), stack); got != ledger.Infeasible {
		t.Errorf("an equation that does not hold: %q", got)
	}
	unknown := simple(6)
	unknown.Equations[0].Parts[0] = "x"
	if got := refusal(t, unknown, options(), stack); got != ledger.Infeasible {
		t.Errorf("an equation over a cell that nobody has: %q", got)
	}
	if verdict, ok := admit(t, simple(6), stack); !ok || len(verdict.Increments[0].Unknowns) != 0 {
		t.Errorf("the same again: %+v", verdict)
	}
}

func TestAdmit_keeps_who_is_alone_from_computing_others(t *testing.T) {
	pair := func(key string, revision int64, parts map[string]int64) ledger.Release {
		r := ledger.Release{ID: key, Revision: revision, Ceiling: 100}
		e := ledger.Equation{Total: key}
		var sum int64
		for _, part := range slices.Sorted(maps.Keys(parts)) {
			c := ledger.Cell{Key: part, Value: parts[part], Status: disclosure.Published, Single: parts[part] == 1}
			if c.Value < 3 {
				c.Status, c.Width = disclosure.Primary, 1
			}
			r.Cells = append(r.Cells, c)
			e.Parts = append(e.Parts, part)
			sum += c.Value
		}
		r.Cells = append(r.Cells, ledger.Cell{Key: key, Value: sum, Status: disclosure.Published})
		r.Equations = []ledger.Equation{e}
		return r
	}
	t.Run("of one release", func(t *testing.T) {
		verdict, ok := admit(t, pair("T", 1, map[string]int64{"a": 1, "b": 2, "c": 30, "d": 40}), ledger.NewMemory())
		if !ok || statuses(verdict.Release) != "RREUU" {
			t.Errorf("got %+v, %v", verdict, ok)
		}
	})
	t.Run("of two releases", func(t *testing.T) {
		stack := ledger.NewMemory()
		if _, ok := admit(t, pair("T", 1, map[string]int64{"b": 2, "c": 2, "d": 40}), stack); !ok {
			t.Fatal("refused")
		}
		verdict, ok := admit(t, pair("U", 1, map[string]int64{"a": 1, "b": 2, "e": 30}), stack)
		if !ok || statuses(verdict.Release) != "RREU" {
			t.Errorf("got %+v, %v", verdict, ok)
		}
	})
	t.Run("unless it is the same figure", func(t *testing.T) {
		release := pair("year", 1, map[string]int64{"may": 1, "june": 0})
		release.Cells[2].Status, release.Cells[2].Width, release.Cells[2].Single = disclosure.Primary, 1, true
		release.Cells[0].Status = disclosure.Empty
		if verdict, ok := admit(t, release, ledger.NewMemory()); !ok || len(verdict.Cuts) > 0 {
			t.Errorf("got %+v, %v", verdict, ok)
		}
	})
	t.Run("who has it by his contributions", func(t *testing.T) {
		release := pair("T", 1, map[string]int64{"a": 2, "b": 2, "c": 30})
		if verdict, ok := admit(t, release, ledger.NewMemory()); !ok || len(verdict.Cuts) > 0 {
			t.Errorf("got %+v, %v", verdict, ok)
		}
		release.Cells[0].Single = true
		if verdict, ok := admit(t, release, ledger.NewMemory()); !ok || statuses(verdict.Release) != "RREU" {
			t.Errorf("got %+v, %v", verdict, ok)
		}
	})
}

func TestRecall_tells_shown_figures_from_refused_ones(t *testing.T) {
	one, two := ledger.NewMemory(), ledger.NewMemory()
	first := simple(3)
	first.Cells[2].Status = disclosure.Secondary
	if _, ok := admit(t, first, one); !ok {
		t.Fatal("refused")
	}
	if _, ok := admit(t, ledger.Release{Revision: 3, Ceiling: 100, Cells: []ledger.Cell{
		{Key: "b", Value: 18, Status: disclosure.Published}, {Key: "x", Value: 5, Status: disclosure.Published},
	}}, two); !ok {
		t.Fatal("refused")
	}
	for _, c := range []struct {
		revision int64
		want     []ledger.Seen
	}{
		{2, []ledger.Seen{ledger.New, ledger.New, ledger.New, ledger.New, ledger.New}}, // nobody was told of it then
		{3, []ledger.Seen{ledger.Shown, ledger.Refused, ledger.Refused, ledger.New, ledger.Shown}},
		{9, []ledger.Seen{ledger.Shown, ledger.Refused, ledger.Refused, ledger.New, ledger.Shown}},
	} {
		past, err := ledger.Recall(t.Context(), []ledger.Reader{one, two}, c.revision, []ledger.Cell{
			{Key: "T", Value: 100}, {Key: "a", Value: 2}, {Key: "b", Value: 18}, {Key: "c", Value: 21}, {Key: "x", Value: 5},
		})
		var seen []ledger.Seen
		for _, p := range past {
			seen = append(seen, p.Seen)
		}
		if err != nil || !slices.Equal(seen, c.want) || c.revision > 2 && (past[1].Width != 3 || past[2].Width != 0) {
			t.Errorf("in revision %d: got %v, %v", c.revision, past, err)
		}
	}
}

func TestAdmit_refuses_what_nothing_can_protect(t *testing.T) {
	stack := ledger.NewMemory()
	if _, ok := admit(t, simple(1), stack); !ok {
		t.Fatal("refused")
	}
	// Elsewhere b's twin was published: a follows from it, and every cell of this release says so.
	twin := ledger.Release{Revision: 1, Ceiling: 100, Cells: []ledger.Cell{
		{Key: "twin", Value: 18, Status: disclosure.Published, Known: true},
	}, Equations: []ledger.Equation{{Total: "twin", Parts: []string{"b"}}}}
	if got := refusal(t, twin, options(), stack); got != ledger.Unproved {
		t.Errorf("got %q", got)
	}
	twin.Cells[0].Known = false
	verdict, ok := admit(t, twin, stack)
	if !ok || statuses(verdict.Release) != "E" {
		t.Errorf("got %+v, %v", verdict, ok)
	}
}

func TestAdmit_refuses_when_its_budget_is_used_up(t *testing.T) {
	o := options()
	o.Iterations = 1
	r := rand.New(rand.NewPCG(1, 1))
	w := ledgertest.New(r, 1, 5, 9)
	if got := refusal(t, w.Table(t, ledgertest.Month(0), true), o, ledger.NewMemory()); got != ledger.Exhausted {
		t.Errorf("got %q", got)
	}
}

func TestAdmit_finds_what_a_revision_gives_away(t *testing.T) {
	stack := ledger.NewMemory()
	first := simple(1)
	first.Cells[2].Status = disclosure.Secondary
	if _, ok := admit(t, first, stack); !ok {
		t.Fatal("refused")
	}
	// a is large now and shown; b, which did not change, would follow, and with it what a was.
	second := simple(2)
	second.Cells[0].Value, second.Cells[1] = 108, ledger.Cell{Key: "a", Value: 10, Status: disclosure.Published}
	second.Ceiling = 108
	verdict, ok := admit(t, second, stack)
	if !ok || verdict.Release.Cells[2].Status != disclosure.Secondary || statuses(verdict.Release) == "UUEUU" {
		t.Errorf("got %+v, %v", verdict, ok)
	}
}

func TestAdmit_joins_what_partners_of_one_tier_have(t *testing.T) {
	tier := ledger.NewMemory()
	groups := func(name string, value int64, parts ...string) ledger.Release {
		return ledger.Release{ID: name, Revision: 1, Ceiling: 100, Cells: []ledger.Cell{
			{Key: name, Value: value, Status: disclosure.Published},
			{Key: "a", Value: 30, Status: disclosure.Secondary},
			{Key: "b", Value: 2, Status: disclosure.Primary, Width: 3},
			{Key: "c", Value: 40, Status: disclosure.Secondary},
		}, Equations: []ledger.Equation{{Total: name, Parts: parts}}}
	}
	if verdict, ok := admit(t, groups("abc", 72, "a", "b", "c"), tier); !ok || len(verdict.Cuts) > 0 {
		t.Fatal(verdict, ok)
	}
	verdict, ok := admit(t, groups("ac", 70, "a", "c"), tier) // to another partner, who may talk to the first
	if !ok || statuses(verdict.Release)[0] != 'E' {
		t.Errorf("got %+v, %v", verdict, ok)
	}
	if verdict, ok := admit(t, groups("ab", 32, "a", "b"), tier); !ok || len(verdict.Cuts) > 0 {
		t.Errorf("overlapping areas: got %+v, %v", verdict, ok)
	}
}

func TestAdmit_passes_in_every_stack_that_the_public_belongs_to(t *testing.T) {
	high, low := ledger.NewMemory(), ledger.NewMemory()
	secret := simple(1)
	secret.Cells[2].Status = disclosure.Secondary
	if _, ok := admit(t, secret, high); !ok {
		t.Fatal("refused")
	}
	open := ledger.Release{ID: "public", Revision: 1, Ceiling: 100, Cells: []ledger.Cell{
		{Key: "b", Value: 18, Status: disclosure.Published}, {Key: "c", Value: 20, Status: disclosure.Published},
	}}
	verdict, ok := admit(t, open, low, high)
	if !ok || statuses(verdict.Release) != "EU" || len(verdict.Increments) != 2 {
		t.Fatalf("got %+v, %v", verdict, ok)
	}
	for _, u := range verdict.Increments[0].Unknowns {
		if u.Open != (u.Cell == "b") {
			t.Errorf("%s is open to the public: %v", u.Cell, u.Open)
		}
	}
}

func TestLearn_tells_what_is_exposed_and_keeps_the_rest(t *testing.T) {
	stack := ledger.NewMemory()
	release := simple(1)
	release.Cells[2].Status = disclosure.Secondary
	if _, ok := admit(t, release, stack); !ok {
		t.Fatal("refused")
	}
	verdict, exposed, err := ledger.Learn(t.Context(), stack, ledger.Release{
		ID: "mirror", Revision: 1, Ceiling: 100, Cells: []ledger.Cell{{Key: "b", Value: 18}},
	}, options())
	if err != nil || len(exposed) != 1 || exposed[0] != "a" {
		t.Fatalf("got %v, %v, %v", verdict, exposed, err)
	}
	if err := verdict.Record(t.Context(), []ledger.Stack{stack}); err != nil {
		t.Fatal(err)
	}
	if _, ok := admit(t, simple(2), stack); !ok {
		t.Error("what is exposed keeps later releases back")
	}
}

func TestMemory_refuses_a_release_that_was_decided_on_less(t *testing.T) {
	stack := ledger.NewMemory()
	late, err := ledger.Admit(t.Context(), []ledger.Stack{stack}, simple(1), options())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := admit(t, simple(1), stack); !ok {
		t.Fatal("refused")
	}
	if err := late.Record(t.Context(), []ledger.Stack{stack}); err == nil {
		t.Error("it was recorded")
	}
}
