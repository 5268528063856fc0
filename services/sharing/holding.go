package sharing

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Holding is what a partner holds of what went to it under an agreement, as far as its receipts say.
type Holding struct {
	Partner      StateCode
	Agreement    AgreementID
	InForce      bool // today; where it is not, nothing goes under it, not even a correction
	Newest       Release
	Held         *Release  // the newest release that the partner has acknowledged, whole; nil: none
	Acknowledged time.Time // when the last receipt for it came in
	Stale        bool      // the newest release says something else than the one that is held
	Since        time.Time // when the first release that is not acknowledged was made; zero: it is not stale
	Behind       int       // releases after the one that is held
	Retractions  []Retraction
}

// Retraction is what becomes of figures at a partner that no agreement covers any more.
type Retraction struct {
	Version      int // the last one of the agreement that had the indicators
	Indicators   []string
	Afterwards   Afterwards
	Acknowledged time.Time // when the partner took them out, by its own word; zero: it has not said so
}

// open reports whether the partner was to take the figures out and has not said that it did.
func (r Retraction) open() bool { return r.Afterwards == Withdraw && r.Acknowledged.IsZero() }

// Holdings returns what the partner, or every one with "", holds of what went to it, by partner and agreement; those alone
// that are stale or have an open retraction where stale is true.
func (s *Service) Holdings(ctx context.Context, partner StateCode, stale bool) ([]Holding, error) {
	if partner != "" {
		if err := s.checkPartner(partner); err != nil {
			return nil, err
		}
	}
	kept, err := s.Store.Holdings(ctx, partner)
	if err != nil {
		return nil, err
	}
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return nil, err
	}
	withdrawals, err := s.withdrawals(ctx, "")
	if err != nil {
		return nil, err
	}
	day := s.now().Format(time.DateOnly)
	retractions := map[AgreementID][]Retraction{}
	for _, l := range lapsed(agreements, day, func(t Terms) bool { return t.Provider == s.State }) {
		retractions[l.terms.ID] = append(retractions[l.terms.ID], l.retractions(withdrawals)...)
	}
	holdings := make([]Holding, 0, len(kept))
	for _, k := range kept {
		h, err := readHolding(k)
		if err != nil {
			return nil, fmt.Errorf("reading what %s holds under %s: %w", k.Partner, k.Agreement, err)
		}
		h.InForce = slices.ContainsFunc(agreements, func(a Agreement) bool { return a.Terms.ID == k.Agreement && a.covers(day) })
		h.Retractions = retractions[k.Agreement]
		if !stale || h.Stale || slices.ContainsFunc(h.Retractions, Retraction.open) {
			holdings = append(holdings, h)
		}
	}
	return holdings, nil
}

// retractions says what became of the indicators: those that the receiver took out at once are one retraction.
func (l lapse) retractions(withdrawals []Withdrawal) []Retraction {
	byTime := map[time.Time][]string{}
	var times []time.Time
	for _, code := range l.indicators {
		var at time.Time
		for _, w := range withdrawals {
			if w.State == l.terms.Receiver && w.Agreement == l.terms.ID && w.Version == l.terms.Version && slices.Contains(w.Indicators, code) {
				at = w.Created
			}
		}
		if byTime[at] == nil {
			times = append(times, at)
		}
		byTime[at] = append(byTime[at], code)
	}
	slices.SortFunc(times, time.Time.Compare)
	retractions := make([]Retraction, len(times))
	for i, at := range times {
		retractions[i] = Retraction{Version: l.terms.Version, Indicators: byTime[at], Afterwards: l.terms.Afterwards, Acknowledged: at}
	}
	return retractions
}

// readHolding reads what is kept of a holding. A release that says what the held one says, as in a new epoch, makes nothing
// stale.
func readHolding(kept KeptHolding) (Holding, error) {
	h := Holding{Partner: kept.Partner, Agreement: kept.Agreement, Acknowledged: kept.Acknowledged, Behind: kept.Behind}
	if err := json.Unmarshal(kept.Newest, &h.Newest); err != nil {
		return Holding{}, err
	}
	if kept.Held != nil {
		h.Held = &Release{}
		if err := json.Unmarshal(kept.Held, h.Held); err != nil {
			return Holding{}, err
		}
	}
	same := false
	if h.Held != nil {
		var err error
		if same, err = h.Held.Scope.equal(h.Newest.Scope); err != nil {
			return Holding{}, err
		}
		same = same && bytes.Equal(h.Held.SHA256, h.Newest.SHA256)
	}
	if h.Stale = !same; h.Stale {
		h.Since = kept.Since
	}
	return h, nil
}
