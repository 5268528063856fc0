package sharing

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"

	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// audience is whoever may put what they were shown together.
type audience struct {
	ledger.Reader             // what it has seen
	members       []StateCode // who belongs to it, and knows what it counted itself; none of the public
}

// audience returns an audience with all partners that ever had an agreement of the tier: what was shown stays known.
func (s *Service) audience(ctx context.Context, tier string) (audience, error) {
	agreements, err := s.agreements(ctx, "")
	return s.audienceUnder(agreements, tier), err
}

// audienceUnder returns an audience with all of the tier who had any of the agreements.
func (s *Service) audienceUnder(agreements []Agreement, tier string) audience {
	a := audience{Reader: s.Store.Seen(tier)}
	for _, one := range agreements {
		if !one.wasActive() || one.Terms.Provider != s.State || one.Terms.Domestic() || string(one.Terms.tier()) != tier {
			continue
		}
		for _, partner := range one.Terms.readers() {
			if !slices.Contains(a.members, partner) {
				a.members = append(a.members, partner)
			}
		}
	}
	return a
}

// everybody returns the audiences in the order of [Tx.Ledgers].
func (s *Service) everybody(ctx context.Context) ([]audience, error) {
	tiers, err := s.Store.Audiences(ctx)
	if err != nil {
		return nil, err
	}
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return nil, err
	}
	audiences := []audience{{Reader: s.Store.Seen(Public)}}
	for _, tier := range tiers {
		if tier != Public {
			audiences = append(audiences, s.audienceUnder(agreements, tier))
		}
	}
	return audiences, nil
}

// amount returns how much audiences were told, as a number that grows with it.
func amount[R ledger.Reader](ctx context.Context, audiences []R) (ledger.ID, error) {
	var sum ledger.ID
	for _, audience := range audiences {
		next, err := audience.Next(ctx)
		if err != nil {
			return 0, fmt.Errorf("reading a ledger: %w", err)
		}
		sum += next
	}
	return sum, nil
}

// recorded returns what each of the audiences has of the cells with the keys.
func recorded(ctx context.Context, audiences []ledger.Reader, keys []string) ([][]ledger.Unknown, error) {
	found := make([][]ledger.Unknown, len(audiences))
	for i, audience := range audiences {
		for some := range slices.Chunk(keys, maxAhead) {
			more, err := audience.Cells(ctx, some)
			if err != nil {
				return nil, fmt.Errorf("reading a ledger: %w", err)
			}
			found[i] = append(found[i], more...)
		}
	}
	return found, nil
}

// marked returns those of the marks that any of the audiences has.
func marked(ctx context.Context, audiences []ledger.Reader, marks []string) (map[string]bool, error) {
	found, err := recorded(ctx, audiences, marks)
	if err != nil {
		return nil, err
	}
	had := map[string]bool{}
	for _, of := range found {
		for _, u := range of {
			had[u.Cell] = true
		}
	}
	return had, nil
}

// noteDown notes in the ledgers what held, of which nothing is told by it.
func noteDown(ctx context.Context, stacks []ledger.Stack, what ledger.Release) error {
	verdict, err := ledger.Remember(ctx, stacks, what, ledger.Options{Random: rand.Reader})
	if err != nil {
		return err
	}
	return verdict.Record(ctx, stacks)
}

// extend adds to a release what another one says.
func extend(release *ledger.Release, other ledger.Release) {
	for _, p := range other.Proofs {
		p.Cells = slices.Clone(p.Cells)
		for k := range p.Cells {
			p.Cells[k] += len(release.Cells)
		}
		release.Proofs = append(release.Proofs, p)
	}
	release.Cells, release.Equations = append(release.Cells, other.Cells...), append(release.Equations, other.Equations...)
	release.Ceiling = max(release.Ceiling, other.Ceiling)
}
