package ledgertest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/comity-federation/comity/services/disclosure"
	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// Decade is ten years of months, and the years that are their sums, in the ledger of one audience.
type Decade struct {
	Cells    int           // that were released
	Withheld int           // of them
	Spent    time.Duration // for all of it
	Longest  time.Duration // for one release
	ledgers  Ledgers
	counts   Detections
	rules    disclosure.Rules
}

// NewDecade releases ten years of [Synthetic] detections.
func NewDecade(ctx context.Context, ledgers Ledgers) (*Decade, error) {
	d := &Decade{
		ledgers: ledgers, counts: Synthetic(11 * 12),
		rules: disclosure.Rules{MinimumFrequency: 3, RelativeWidth: 0.2},
	}
	for year := 2000; year < 2010; year++ {
		for m := 1; m <= 12; m++ {
			release, err := d.counts.Release(fmt.Sprintf("%d-%02d", year, m), 1, d.rules)
			if err != nil {
				return nil, err
			}
			if err := d.add(ctx, release); err != nil {
				return nil, err
			}
		}
		release, err := d.counts.Year(strconv.Itoa(year), 1, d.rules)
		if err != nil {
			return nil, err
		}
		if err := d.add(ctx, release); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// String says what was released, and how long it took.
func (d *Decade) String() string {
	return fmt.Sprintf("ten years, %d cells, %d of them withheld, in %v; %v for the slowest release", d.Cells, d.Withheld,
		d.Spent.Round(time.Millisecond), d.Longest.Round(time.Millisecond))
}

// add decides and records a release.
func (d *Decade) add(ctx context.Context, release ledger.Release) error {
	start := time.Now()
	err := d.ledgers.Ledger(ctx, first, func(s ledger.Stack) error {
		verdict, err := decide(ctx, s, release)
		if err != nil {
			return err
		}
		d.Cells += len(verdict.Release.Cells)
		for _, c := range verdict.Release.Cells {
			if c.Status.Suppressed() {
				d.Withheld++
			}
		}
		return verdict.Record(ctx, []ledger.Stack{s})
	})
	spent := time.Since(start)
	d.Spent, d.Longest = d.Spent+spent, max(d.Longest, spent)
	if err != nil {
		return fmt.Errorf("releasing %s: %w", release.ID, err)
	}
	return nil
}

func decide(ctx context.Context, s ledger.Stack, release ledger.Release) (*ledger.Verdict, error) {
	return ledger.Admit(ctx, []ledger.Stack{s}, release, ledger.Options{Random: rand.NewChaCha8([32]byte{7})})
}

// Step is a release that is decided on the decade, and forgotten again.
type Step struct {
	Name    string
	Within  time.Duration // it takes no longer
	decade  *Decade
	release func() (ledger.Release, error)
}

// Steps returns what may come next: a month, one that changes nothing, a month's revision, and one with that of its year.
func (d *Decade) Steps() []Step {
	later := maps.Clone(d.counts)
	later["2009-06"] = maps.Clone(d.counts["2009-06"])
	for key, n := range later["2009-06"] {
		if n%5 == 0 {
			later["2009-06"][key] = n + 1
		}
	}
	steps := []Step{
		{Name: "a month", release: func() (ledger.Release, error) { return d.counts.Release("2010-01", 2, d.rules) }},
		{Name: "a month again", release: func() (ledger.Release, error) { return d.counts.Release("2009-06", 2, d.rules) }},
		{Name: "a month's revision", release: func() (ledger.Release, error) { return later.Release("2009-06", 2, d.rules) }},
		{Name: "a month's and its year's revision", release: func() (ledger.Release, error) {
			month, err := later.Release("2009-06", 2, d.rules)
			if err != nil {
				return ledger.Release{}, err
			}
			year, err := later.Year("2009", 2, d.rules)
			year.Cells, year.Equations = append(month.Cells, year.Cells...), append(month.Equations, year.Equations...)
			return year, err
		}},
	}
	for i := range steps {
		steps[i].decade, steps[i].Within = d, 10*time.Second
		if i == len(steps)-1 {
			steps[i].Within = time.Minute // the year's table is joined to twelve others
		}
	}
	return steps
}

// errForgotten ends a transaction without a trace.
var errForgotten = errors.New("forgotten")

// Decide decides the release, writes it to the ledger, and ends the transaction without keeping it, where the ledgers have
// transactions. In memory it is not written.
func (s Step) Decide(ctx context.Context) error {
	release, err := s.release()
	if err != nil {
		return err
	}
	err = s.decade.ledgers.Ledger(ctx, first, func(stack ledger.Stack) error {
		verdict, err := decide(ctx, stack, release)
		if err != nil {
			return err
		}
		if _, inMemory := stack.(*ledger.Memory); !inMemory {
			if err := verdict.Record(ctx, []ledger.Stack{stack}); err != nil {
				return err
			}
		}
		return errForgotten
	})
	if errors.Is(err, errForgotten) {
		return nil
	}
	return err
}
