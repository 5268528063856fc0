package ledger_test

import (
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
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
	var released, refused, cells, cut, protected int
	for seed := range runs {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		months := []int{0, 1, 2}
		w := newWorld(r, len(months), 2+r.IntN(3), 2+r.IntN(4))
		stack := ledger.NewMemory()
		give := func(release ledger.Release) {
			verdict, ok := admit(t, release, stack)
			if !ok {
				refused++
				return
			}
			released++
			cells += len(release.Cells)
			cut += len(verdict.Cuts)
			w.show(verdict.Release)
		}
		for range 4 + r.IntN(6) {
			m := r.IntN(len(months))
			switch r.IntN(6) {
			case 0, 1:
				give(w.release(t, month(m), []int{m}))
			case 2:
				for _, m := range months {
					give(w.release(t, month(m), []int{m}))
				}
				release, ok := w.release(t, "2024", months), true
				for _, m := range months {
					found, err := stack.Cells(t.Context(), []string{key(month(m), "T", "T")})
					if err != nil {
						t.Fatal(err)
					}
					ok = ok && len(found) > 0
				}
				if ok && len(release.Cells) > 0 {
					give(w.year(t, "2024", months))
				}
			case 3:
				w.revise(r, m)
				give(w.release(t, month(m), []int{m}))
			case 4:
				groups := map[string][]int{"AB": {0, 1}, "T": nil}
				for p := range w.places {
					groups["T"] = append(groups["T"], p)
				}
				if w.places > 2 {
					groups["BC"] = []int{1, 2}
				}
				give(w.group(month(m), m, groups))
			case 5:
				release := w.release(t, month(m), []int{m})
				release.Cells[r.IntN(len(release.Cells))].Known = true
				give(release)
			}
		}
		protected += len(w.reader.width)
		if findings := w.reader.findings(t); len(findings) > 0 {
			t.Errorf("seed %d:\n%s", seed, strings.Join(findings, "\n"))
		}
	}
	t.Logf("%d released, %d refused, %d of %d cells cut, %d protected", released, refused, cut, cells, protected)
	if protected == 0 || cut == 0 || released < 5*refused {
		t.Error("the worlds are too dull to show anything")
	}
}

func TestReader_finds_what_tables_give_away_without_a_ledger(t *testing.T) {
	found := 0
	for seed := range 20 {
		r := rand.New(rand.NewPCG(uint64(seed), 2))
		w := newWorld(r, 2, 3, 3)
		for range 4 {
			m := r.IntN(2)
			release := w.release(t, month(m), []int{m})
			verdict, ok := admit(t, release, ledger.NewMemory()) // each alone
			if ok {
				w.show(verdict.Release)
			}
			w.revise(r, m)
		}
		found += len(w.reader.findings(t))
	}
	if found == 0 {
		t.Error("the reader finds nothing, so that its silence means nothing")
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
	w := newWorld(r, 1, 5, 9)
	if got := refusal(t, w.release(t, month(0), []int{0}), o, ledger.NewMemory()); got != ledger.Exhausted {
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
