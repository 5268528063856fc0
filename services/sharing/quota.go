package sharing

import (
	"context"
	"sync"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// Quota bounds what goes under an agreement in a period of time. The periods follow each other from the first day of the
// agreement on, at midnight UTC.
type Quota struct {
	Observations int    `json:"observations,omitempty"` // 0: any number
	Bytes        int    `json:"bytes,omitempty"`        // of envelopes; 0: any number
	Period       string `json:"period"`                 // an ISO 8601 duration such as "P1D" or "P1M"
}

// Usage is what went, or came, in the present period of a quota.
type Usage struct {
	Observations int
	Bytes        int
}

// check returns what is wrong with a quota.
func (q Quota) check() error {
	if q.Observations < 0 || q.Bytes < 0 || q.Observations == 0 && q.Bytes == 0 {
		return fault.New(fault.Invalid, "INVALID_REQUEST", "it bounds neither observations nor bytes, or one of them below 0")
	}
	_, err := parseStep(q.Period)
	return err
}

// periods returns the periods of the quota of terms.
func (q Quota) periods(t Terms) (repeating, error) {
	start, err := time.Parse(time.DateOnly, t.ValidFrom)
	if err != nil {
		return repeating{}, err
	}
	step, err := parseStep(q.Period)
	return repeating{start: start, last: -1, step: step}, err
}

// exceeded returns a fault where more goes, or comes, than the quota has room for beside what was used.
func (q Quota) exceeded(t Terms, used, more Usage, next, now time.Time) error {
	over := q.Observations > 0 && used.Observations+more.Observations > q.Observations || q.Bytes > 0 && used.Bytes+more.Bytes > q.Bytes
	if !over {
		return nil
	}
	wrong := fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the quota of agreement %s is used up until %s", t.ID, next.Format(time.RFC3339)).
		With("agreement", string(t.ID)).With("limit", "QUOTA")
	wrong.RetryAfter = next.Sub(now)
	return wrong
}

// withinQuota returns a fault where a release that was made at a time does not fit into what is left of the quota of its agreement.
func (s *Service) withinQuota(ctx context.Context, tx Tx, t Terms, made time.Time, sealed []SentEnvelope) error {
	if t.Quota == nil {
		return nil
	}
	periods, err := t.Quota.periods(t)
	if err != nil {
		return err
	}
	n, _ := periods.number(made)
	used, err := tx.SentSince(ctx, t.ID, periods.occurrence(n))
	if err != nil {
		return err
	}
	var more Usage
	for _, one := range sealed {
		more.Observations += one.Cells
		more.Bytes += len(one.Envelope)
	}
	return t.Quota.exceeded(t, used, more, periods.occurrence(n+1), s.now())
}

// allowance is what may still come of what a partner made from a time on.
type allowance struct {
	terms Terms
	quota Quota // for all periods since then
	used  Usage
	next  time.Time // when there is more
	now   time.Time
}

// allowance returns what may still come under the agreement of what was made since the beginning of the period in which this
// was: the quota for each period until now. So what a sender put out within its quota, and what has waited, comes when it
// can, and what is beyond it no sooner than the next period. It is nil without a quota.
func (s *Service) allowance(ctx context.Context, t Terms, made time.Time) (*allowance, error) {
	if t.Quota == nil {
		return nil, nil
	}
	periods, err := t.Quota.periods(t)
	if err != nil {
		return nil, err
	}
	now := s.now()
	first, _ := periods.number(made)
	last, _ := periods.number(now)
	used, err := s.Store.ReceivedSince(ctx, t.ID, periods.occurrence(first))
	if err != nil {
		return nil, err
	}
	count := max(last-first, 0) + 1 // a sender's clock may be a little ahead
	return &allowance{
		terms: t, quota: Quota{Observations: count * t.Quota.Observations, Bytes: count * t.Quota.Bytes},
		used: used, next: periods.occurrence(last + 1), now: now,
	}, nil
}

// spend takes what an envelope brings, or returns a fault where there is no room for it.
func (a *allowance) spend(cells, bytes int) error {
	if a == nil {
		return nil
	}
	if err := a.quota.exceeded(a.terms, a.used, Usage{cells, bytes}, a.next, a.now); err != nil {
		return err
	}
	a.used.Observations += cells
	a.used.Bytes += bytes
	return nil
}

// Held says that nothing goes under an agreement for now, and why.
type Held struct {
	Agreement AgreementID
	Partner   StateCode
	Reason    string    // "SCHEDULE": it waits for the next occurrence; "QUOTA": for the next period; else why it is not passed on
	Until     time.Time // zero: it is not known
}

// delays are the agreements under which nothing goes for now.
type delays struct {
	mu   sync.Mutex
	held map[AgreementID]Held
}

func (h *delays) set(held Held) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.held == nil {
		h.held = map[AgreementID]Held{}
	}
	h.held[held.Agreement] = held
}

func (h *delays) drop(id AgreementID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.held, id)
}

// get returns why and until when nothing goes under the agreement; false where something may.
func (h *delays) get(id AgreementID) (Held, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	held, ok := h.held[id]
	return held, ok
}

// Held returns the agreements under which something may have changed and nothing goes for now, in no order.
func (s *Service) Held() []Held {
	s.delays.mu.Lock()
	defer s.delays.mu.Unlock()
	all := make([]Held, 0, len(s.delays.held))
	for _, held := range s.delays.held {
		all = append(all, held)
	}
	return all
}
