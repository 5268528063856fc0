package sharing

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
)

// Afterwards says what the receiver does with the figures of an indicator once no agreement covers it any more.
type Afterwards string

// What a receiver can do.
const (
	Keep     Afterwards = ""         // they stay until their retention is over
	Withdraw Afterwards = "WITHDRAW" // they are taken out of its statistics at once
)

// Withdrawal is the figures of indicators that the receiver took out of its statistics because the terms that they came
// under want that, and no agreement covers them any more. It signs that it did, and the provider keeps its word.
type Withdrawal struct {
	ID         string // a UUIDv7
	Agreement  AgreementID
	Version    int
	State      StateCode // the receiver
	Indicators []string  // sorted
	Created    time.Time
	Delivered  bool // for this state's own: the provider has it, or has said that it does not take it

	signed Signed // as it is kept
}

// flowIndicator is an indicator of a dataflow on its way from a state to another.
type flowIndicator struct {
	provider, receiver  StateCode
	dataflow, indicator string
}

// due returns the withdrawals that the agreements with partners want on the day, and that are not among those done. The last
// version of an agreement that has an indicator says what becomes of it. Of several agreements, one that wants it withdrawn
// counts, and none does as long as another one covers it.
func (s *Service) due(agreements []Agreement, done []Withdrawal, day string) []Withdrawal {
	var due []Withdrawal
	for _, l := range lapsed(agreements, day, func(t Terms) bool { return t.Receiver == s.State }) {
		w := Withdrawal{Agreement: l.terms.ID, Version: l.terms.Version, State: s.State}
		for _, code := range l.indicators {
			if !w.among(done, code) {
				w.Indicators = append(w.Indicators, code)
			}
		}
		if l.terms.Afterwards == Withdraw && len(w.Indicators) > 0 {
			due = append(due, w)
		}
	}
	return due
}

// lapse is indicators that a version of an agreement was the last to have, and that nothing covers any more.
type lapse struct {
	terms      Terms
	indicators []string // sorted
}

// lapsed returns the lapses on the day among the agreements that are looked at, in their order.
func lapsed(agreements []Agreement, day string, looked func(Terms) bool) []lapse {
	covered := map[flowIndicator]bool{}
	last := map[AgreementID]map[string]Agreement{} // by indicator, of those that were in force
	for _, a := range agreements {
		if !looked(a.Terms) || !a.wasActive() || a.Terms.ValidFrom > day {
			continue
		}
		if last[a.Terms.ID] == nil {
			last[a.Terms.ID] = map[string]Agreement{}
		}
		for _, code := range a.Terms.Indicators {
			last[a.Terms.ID][code] = a
			if a.covers(day) {
				covered[a.flowIndicator(code)] = true
			}
		}
	}
	var lapses []lapse
	for _, a := range agreements {
		l := lapse{terms: a.Terms}
		for code, governing := range last[a.Terms.ID] {
			if governing.Terms.Version == a.Terms.Version && !covered[a.flowIndicator(code)] {
				l.indicators = append(l.indicators, code)
			}
		}
		if len(l.indicators) > 0 {
			slices.Sort(l.indicators)
			lapses = append(lapses, l)
		}
	}
	return lapses
}

func (a Agreement) flowIndicator(code string) flowIndicator {
	return flowIndicator{a.Terms.giver(), a.Terms.Receiver, a.Terms.Dataflow, code}
}

// among reports whether the state has withdrawn the indicator under the version.
func (w Withdrawal) among(done []Withdrawal, code string) bool {
	return slices.ContainsFunc(done, func(d Withdrawal) bool {
		return d.State == w.State && d.Agreement == w.Agreement && d.Version == w.Version && slices.Contains(d.Indicators, code)
	})
}

// dueWithdrawals returns what is due today, by provider.
func (s *Service) dueWithdrawals(ctx context.Context) (map[StateCode][]dueWithdrawal, error) {
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return nil, err
	}
	done, err := s.withdrawals(ctx, "")
	if err != nil {
		return nil, err
	}
	byProvider := map[StateCode][]dueWithdrawal{}
	for _, w := range s.due(agreements, done, s.now().Format(time.DateOnly)) {
		i := slices.IndexFunc(agreements, func(a Agreement) bool { return a.Terms.ID == w.Agreement && a.Terms.Version == w.Version })
		terms := agreements[i].Terms
		byProvider[terms.Provider] = append(byProvider[terms.Provider], dueWithdrawal{w, terms})
	}
	return byProvider, nil
}

// dueWithdrawal is a withdrawal that is due, with the terms that want it.
type dueWithdrawal struct {
	Withdrawal
	terms Terms
}

// withdrawAll takes out what is due. One that fails does not keep the others back.
func (s *Service) withdrawAll(ctx context.Context, due []dueWithdrawal) error {
	var failures []error
	for _, w := range due {
		if err := s.withdraw(ctx, w.terms, w.Withdrawal); err != nil {
			failures = append(failures, fmt.Errorf("withdrawing %s of agreement %s: %w", strings.Join(w.Indicators, ", "), w.Agreement, err))
		}
	}
	return errors.Join(failures...)
}

// withdraw replaces the figures in the statistics by nothing, in every version of the dataflow, and keeps that it did.
func (s *Service) withdraw(ctx context.Context, terms Terms, w Withdrawal) error {
	provider, _ := s.Trust.State(terms.giver())
	versions, err := s.versionsOf(ctx, terms.Dataflow)
	if err != nil {
		return err
	}
	for _, dataflow := range versions {
		what := sha256.Sum256([]byte(strings.Join(slices.Concat(provider.RefAreas, []string{"", dataflow}, w.Indicators), "\x00")))
		key := fmt.Sprintf("withdrawal/%s/%d/%s", w.Agreement, w.Version, hex.EncodeToString(what[:8]))
		if err := s.replaceByNothing(ctx, dataflow, terms.giver(), provider.RefAreas, w.Indicators, key); err != nil {
			return err
		}
	}
	w.Created = s.now()
	w.ID = newID(w.Created)
	if err := s.keepWithdrawal(ctx, w, nil); err != nil {
		return err
	}
	wake(s.toDeliver)
	s.Log.InfoContext(ctx, "took out a partner's figures, as agreed", "provider", terms.giver(),
		"agreement", w.Agreement, "version", w.Version, "indicators", w.Indicators)
	return nil
}

// replaceByNothing replaces a provider's figures of indicators by nothing.
func (s *Service) replaceByNothing(ctx context.Context, dataflow string, provider StateCode, areas, indicators []string, key string) error {
	structures, err := s.structuresOf(ctx, dataflow)
	if err != nil {
		return err
	}
	submitted, err := s.submit(ctx, Submission{
		Dataflow: dataflow, Provider: provider, Scope: scopeOf(structures, areas, indicators), IdempotencyKey: key,
	}, func(yield func(*block.Block, error) bool) { yield(toBlock(structures, nil), nil) })
	if err == nil && !submitted.Accepted {
		err = fmt.Errorf("the statistics reject it: %s", submitted.Reason)
	}
	return err
}
