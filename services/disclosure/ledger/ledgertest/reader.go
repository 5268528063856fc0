package ledgertest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/comity-federation/comity/services/disclosure/ledger"
	"github.com/comity-federation/comity/services/disclosure/linear"
)

// Archive gives cells a name for each value that they had, as everybody can who was told when figures were revised.
type Archive struct {
	values  map[string]int64
	touched map[string]int64
}

// NewArchive returns an archive of nothing.
func NewArchive() *Archive { return &Archive{values: map[string]int64{}, touched: map[string]int64{}} }

// name returns the name of a cell with its value.
func (a *Archive) name(key string, value, revision int64) string {
	if before, ok := a.values[key]; !ok || before != value {
		a.values[key], a.touched[key] = value, revision
	}
	return fmt.Sprintf("%s@%d", key, a.touched[key])
}

// Reader is somebody who puts together everything that an audience was shown, and knows nothing of ledgers.
type Reader struct {
	archive *Archive
	number  map[string]int
	system  linear.System
	values  []int64
	ceiling map[int]int64
	shown   map[int]bool
	width   map[int]int64 // of protected cells
	exposed map[int]bool  // what is known from elsewhere gives them away, so that nothing protects them
}

// NewReader returns a reader who has seen nothing.
func NewReader(archive *Archive) *Reader {
	return &Reader{
		archive: archive, number: map[string]int{}, ceiling: map[int]int64{}, shown: map[int]bool{},
		width: map[int]int64{}, exposed: map[int]bool{},
	}
}

// clone returns another reader who has seen the same.
func (k *Reader) clone() *Reader {
	c := *k
	c.number, c.ceiling, c.shown, c.width = maps.Clone(k.number), maps.Clone(k.ceiling), maps.Clone(k.shown), maps.Clone(k.width)
	c.exposed = maps.Clone(k.exposed)
	c.values, c.system.Equations = slices.Clone(k.values), slices.Clone(k.system.Equations)
	return &c
}

func (k *Reader) unknown(key string, value, revision int64) int {
	name := k.archive.name(key, value, revision)
	n, ok := k.number[name]
	if !ok {
		n = len(k.values)
		k.number[name] = n
		k.values = append(k.values, value)
		k.system.Unknowns++
	}
	return n
}

// Show tells the reader of a release.
func (k *Reader) Show(release ledger.Release) {
	for _, c := range release.Cells {
		n := k.unknown(c.Key, c.Value, release.Revision)
		if before, ok := k.ceiling[n]; !ok || release.Ceiling < before {
			k.ceiling[n] = release.Ceiling
		}
		if !c.Status.Suppressed() || c.Known {
			k.shown[n] = true
		} else if c.Width > 0 && !k.exposed[n] {
			k.width[n] = max(c.Width, k.width[n])
		}
	}
	for _, e := range release.Equations {
		terms := linear.Equation{{Unknown: k.unknown(e.Total, k.archive.values[e.Total], release.Revision), Coefficient: 1}}
		for _, p := range e.Parts {
			terms = append(terms, linear.Term{Unknown: k.unknown(p, k.archive.values[p], release.Revision), Coefficient: -1})
		}
		k.system.Equations = append(k.system.Equations, terms)
	}
}

// Learn tells the reader figures from elsewhere. Unknowns that are exposed by them need no protection any more.
func (k *Reader) Learn(facts ledger.Release, changed []ledger.Unknown) {
	for _, c := range facts.Cells {
		k.shown[k.unknown(c.Key, c.Value, facts.Revision)] = true
	}
	for name, n := range k.number {
		for _, u := range changed {
			if u.Exposed && strings.HasPrefix(name, u.Cell+"@") && k.values[n] == u.Value {
				delete(k.width, n)
				k.exposed[n] = true
			}
		}
	}
}

// Protected returns how many cells the reader must not have.
func (k *Reader) Protected() int { return len(k.width) }

// Findings returns what the reader can compute, or knows too closely, and what one can compute who is alone in a cell.
func (k *Reader) Findings(t testing.TB) []string {
	t.Helper()
	if !k.system.Holds(k.values) {
		t.Fatal("what was shown does not add up")
	}
	names := make([]string, k.system.Unknowns)
	for name, n := range k.number {
		names[n] = name
	}
	var open []int
	for n := range k.system.Unknowns {
		if !k.shown[n] {
			open = append(open, n)
		}
	}
	var findings []string
	computed := k.determined(t, open)
	for n := range computed {
		if k.width[n] > 0 {
			findings = append(findings, names[n]+" follows")
		}
	}
	for _, single := range open {
		if k.values[single] != 1 || strings.Contains(names[single], ", absent of ") {
			continue
		}
		others := slices.DeleteFunc(slices.Clone(open), func(n int) bool { return n == single })
		for n := range k.determined(t, others) {
			if k.width[n] > 0 && !computed[n] && !k.same(single, n) && !k.moved(t, single, n, names, open) {
				findings = append(findings, fmt.Sprintf("%s follows for who is alone in %s", names[n], names[single]))
			}
		}
	}
	slices.Sort(findings)
	return append(findings, k.narrow(t, open, names)...)
}

// determined returns the open unknowns that follow from the others.
func (k *Reader) determined(t testing.TB, open []int) map[int]bool {
	t.Helper()
	found, err := k.system.Determined(open, rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	determined := map[int]bool{}
	for _, n := range found {
		determined[n] = true
	}
	return determined
}

// same reports whether totals of which one part alone is not 0 make two unknowns one figure.
func (k *Reader) same(a, b int) bool {
	reached, grown := map[int]bool{a: true}, true
	for grown {
		grown = false
		for _, e := range k.system.Equations {
			one := []int{e[0].Unknown}
			for _, part := range e[1:] {
				if k.values[part.Unknown] > 0 {
					one = append(one, part.Unknown)
				}
			}
			if len(one) == 2 && reached[one[0]] != reached[one[1]] {
				reached[one[0]], reached[one[1]], grown = true, true, true
			}
		}
	}
	return reached[b]
}

// moved reports whether a revision may have put the one person of a cell under another: both are 1, never at the same time,
// and always equal.
func (k *Reader) moved(t testing.TB, a, b int, names []string, open []int) bool {
	t.Helper()
	split := func(name string) (key string, since int64) {
		key, revision, _ := strings.Cut(name, "@")
		since, err := strconv.ParseInt(revision, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return key, since
	}
	key, since := split(names[a])
	_, until := split(names[b])
	if since > until {
		key, _ = split(names[b])
		since, until = until, since
	}
	replaced := slices.ContainsFunc(names, func(name string) bool {
		other, at := split(name)
		return other == key && since < at && at <= until
	})
	if !replaced || k.values[a] != 1 || k.values[b] != 1 {
		return false
	}
	difference := linear.Equation{{Unknown: a, Coefficient: 1}, {Unknown: b, Coefficient: -1}, {Unknown: len(names), Coefficient: 1}}
	system := linear.System{Unknowns: len(names) + 1, Equations: append(slices.Clone(k.system.Equations), difference)}
	found, err := system.Determined(append(slices.Clone(open), len(names)), rand.NewChaCha8([32]byte{1}))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(found, len(names))
}

// narrow returns the protected unknowns whose intervals are narrower than they have to be.
func (k *Reader) narrow(t testing.TB, open []int, names []string) []string {
	t.Helper()
	p := linear.Program{System: &k.system}
	for n, value := range k.values {
		p.Start, p.Cost = append(p.Start, float64(value)), append(p.Cost, 0)
		if k.shown[n] {
			p.Lower, p.Upper = append(p.Lower, float64(value)), append(p.Upper, float64(value))
		} else {
			p.Lower, p.Upper = append(p.Lower, 0), append(p.Upper, float64(k.ceiling[n]))
		}
	}
	solver, err := linear.NewSolver(&p)
	if err != nil {
		t.Fatal(err)
	}
	var findings []string
	for _, n := range open {
		if k.width[n] == 0 {
			continue
		}
		end := func(cost float64) float64 {
			solver.SetCost(n, cost)
			s, err := solver.Solve(100_000)
			if err != nil || !s.Optimal {
				t.Fatal(err, s.Optimal)
			}
			return s.X[n]
		}
		low, high := end(1), end(-1)
		solver.SetCost(n, 0)
		if high-low < float64(min(k.width[n], k.ceiling[n]))-1e-6 {
			findings = append(findings, fmt.Sprintf("%s = %d is between %.2f and %.2f, closer than %d", names[n], k.values[n], low, high, k.width[n]))
		}
	}
	return findings
}
