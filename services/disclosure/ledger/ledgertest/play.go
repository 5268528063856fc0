package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// Ledgers is where the stacks of audiences are kept.
type Ledgers interface {
	// Ledger runs work on the stack of an audience in one transaction. One that was shown nothing begins with what is
	// published.
	Ledger(ctx context.Context, audience string, work func(ledger.Stack) error) error
	// Ledgers runs work on the stacks of all audiences, and of the public, in one transaction.
	Ledgers(ctx context.Context, work func([]ledger.Stack) error) error
}

// memory is ledgers in memory.
type memory struct {
	public *ledger.Memory
	stacks map[string]*ledger.Memory
	order  []string
}

// InMemory returns ledgers in memory. What was done in a transaction that fails stays.
func InMemory() Ledgers {
	return &memory{public: ledger.NewMemory(), stacks: map[string]*ledger.Memory{}}
}

func (m *memory) Ledger(_ context.Context, audience string, work func(ledger.Stack) error) error {
	if m.stacks[audience] == nil {
		m.stacks[audience] = m.public.Clone()
		m.order = append(m.order, audience)
	}
	return work(m.stacks[audience])
}

func (m *memory) Ledgers(_ context.Context, work func([]ledger.Stack) error) error {
	stacks := []ledger.Stack{m.public}
	for _, audience := range slices.Sorted(slices.Values(m.order)) {
		stacks = append(stacks, m.stacks[audience])
	}
	return work(stacks)
}

// Tally is what became of a sequence.
type Tally struct {
	Released, Refused, Cells, Cut, Protected, Exposed int
	Decisions                                         []string // one a release: equal wherever the ledgers are kept
}

// Add adds the numbers of another tally.
func (n *Tally) Add(o Tally) {
	n.Released, n.Refused, n.Cells = n.Released+o.Released, n.Refused+o.Refused, n.Cells+o.Cells
	n.Cut, n.Protected, n.Exposed = n.Cut+o.Cut, n.Protected+o.Protected, n.Exposed+o.Exposed
}

// The audiences of a sequence. The second begins in the midst of it.
const (
	first  = "FIRST"
	second = "SECOND"
)

// game is a sequence of releases.
type game struct {
	*World
	r       *rand.Rand
	ledgers Ledgers
	archive *Archive
	public  *Reader
	readers map[string]*Reader
	tally   Tally
	yearly  bool // a year was released
}

// Play plays the random sequence of a seed: months, years, revisions and overlapping areas for two audiences and the
// public, and mirror figures that an audience has. It fails the test where an audience can have what it must not.
func Play(t testing.TB, ledgers Ledgers, seed uint64) Tally {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1)) //nolint:gosec // nothing is kept secret by it
	g := &game{
		World: New(r, 3, 2+r.IntN(3), 2+r.IntN(4)), r: r, ledgers: ledgers,
		archive: NewArchive(), readers: map[string]*Reader{},
	}
	g.public = NewReader(g.archive)
	for range 6 + r.IntN(7) {
		g.step(t)
	}
	for _, audience := range []string{first, second, ""} {
		reader := g.readers[audience]
		if audience == "" {
			reader = g.public
		}
		if reader == nil {
			continue
		}
		g.tally.Protected += reader.Protected()
		if findings := reader.Findings(t); len(findings) > 0 {
			t.Errorf("seed %d, audience %q:\n%s", seed, audience, strings.Join(findings, "\n"))
		}
	}
	return g.tally
}

func (g *game) step(t testing.TB) {
	t.Helper()
	m := g.r.IntN(g.Months)
	audience := first
	if g.r.IntN(4) == 0 {
		audience = second
	}
	switch g.r.IntN(8) {
	case 0, 1:
		g.give(t, audience, g.table(t, Month(m), true))
	case 2:
		g.yearly = true
		g.give(t, audience, g.table(t, Year, g.r.IntN(2) == 0))
	case 3:
		g.Revise(g.r, m)
		g.give(t, audience, g.table(t, Month(m), true))
	case 4:
		g.give(t, audience, g.Areas(Month(m)))
	case 5:
		release := g.table(t, Month(m), true)
		release.Cells[g.r.IntN(len(release.Cells))].Known = true
		g.give(t, audience, release)
	case 6:
		period := Month(m)
		if g.r.IntN(3) == 0 {
			period, g.yearly = Year, true
		}
		g.publish(t, g.table(t, period, g.r.IntN(3) == 0))
	case 7:
		g.learn(t, audience, m)
	}
}

// table returns a release, with what joins it to the other periods as soon as both kinds are released.
func (g *game) table(t testing.TB, period string, byPeople bool) ledger.Release {
	t.Helper()
	release := g.Table(t, period, byPeople)
	if g.yearly {
		g.Join(&release)
	}
	return release
}

func (g *game) reader(audience string) *Reader {
	if g.readers[audience] == nil {
		g.readers[audience] = g.public.clone()
	}
	return g.readers[audience]
}

func (g *game) options() ledger.Options { return ledger.Options{Random: rand.NewChaCha8([32]byte{7})} }

func (g *game) give(t testing.TB, audience string, release ledger.Release) {
	t.Helper()
	reader := g.reader(audience)
	err := g.ledgers.Ledger(t.Context(), audience, func(s ledger.Stack) error {
		return g.admit(t, []ledger.Stack{s}, release, reader)
	})
	g.decided(t, release, err)
}

func (g *game) publish(t testing.TB, release ledger.Release) {
	t.Helper()
	readers := []*Reader{g.public}
	for _, audience := range []string{first, second} {
		if g.readers[audience] != nil {
			readers = append(readers, g.readers[audience])
		}
	}
	err := g.ledgers.Ledgers(t.Context(), func(stacks []ledger.Stack) error {
		return g.admit(t, stacks, release, readers...)
	})
	g.decided(t, release, err)
}

func (g *game) admit(t testing.TB, stacks []ledger.Stack, release ledger.Release, readers ...*Reader) error {
	t.Helper()
	if len(stacks) != len(readers) {
		t.Fatalf("%d stacks for %d readers", len(stacks), len(readers))
	}
	verdict, err := ledger.Admit(t.Context(), stacks, release, g.options())
	if err != nil {
		return err
	}
	if err := verdict.Record(t.Context(), stacks); err != nil {
		return err
	}
	pattern := []byte(release.ID + " ")
	for _, c := range verdict.Release.Cells {
		pattern = append(pattern, "-+pse"[c.Status])
	}
	g.tally.Decisions = append(g.tally.Decisions, string(pattern))
	g.tally.Released++
	g.tally.Cells += len(release.Cells)
	g.tally.Cut += len(verdict.Cuts)
	for _, reader := range readers {
		reader.Show(verdict.Release)
	}
	return nil
}

// decided notes a refusal, and fails on any other error.
func (g *game) decided(t testing.TB, release ledger.Release, err error) {
	t.Helper()
	var refusal *ledger.Refusal
	switch {
	case errors.As(err, &refusal):
		g.tally.Refused++
		g.tally.Decisions = append(g.tally.Decisions, fmt.Sprintf("%s %s %v", release.ID, refusal.Reason, refusal))
	case err != nil:
		t.Fatal(err)
	}
}

// learn tells an audience some cells of a month, as a partner who counted the same.
func (g *game) learn(t testing.TB, audience string, m int) {
	t.Helper()
	all := g.Table(t, Month(m), true)
	facts := ledger.Release{ID: "mirror", Revision: g.Revision, Ceiling: all.Ceiling}
	for range 1 + g.r.IntN(2) {
		c := all.Cells[g.r.IntN(len(all.Cells))]
		if !slices.ContainsFunc(facts.Cells, func(f ledger.Cell) bool { return f.Key == c.Key }) {
			facts.Cells = append(facts.Cells, ledger.Cell{Key: c.Key, Value: c.Value, Status: disclosure.Published})
		}
	}
	reader := g.reader(audience)
	err := g.ledgers.Ledger(t.Context(), audience, func(s ledger.Stack) error {
		verdict, exposed, err := ledger.Learn(t.Context(), s, facts, g.options())
		if err != nil {
			return err
		}
		g.tally.Exposed += len(exposed)
		reader.Learn(facts, verdict.Increments[0].Changed)
		return verdict.Record(t.Context(), []ledger.Stack{s})
	})
	g.decided(t, facts, err)
}
