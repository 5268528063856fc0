package sharing

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// Rejection is a partner's word that it does not take what this state says about an agreement, and would not if the same
// were said again. It is an error of a [Courier].
type Rejection struct {
	Code    string    // why: a value of comity.types.v1.ErrorReason.Code by name
	Text    string    // why, in the partner's words
	Created time.Time // when it was said; zero before it is kept
}

// Error says why.
func (r *Rejection) Error() string { return "rejected: " + r.Code + ": " + r.Text }

// notFound is the code of a rejection by who does not know the agreement.
const notFound = "NOT_FOUND"

const (
	deliverEvery   = 2 * time.Second
	deliverTimeout = 10 * time.Second
	maxDeliverWait = time.Minute
)

// DeliverAgreements hands signatures and terminations to the partners that lack them until the context ends: again and
// again until one has arrived or is rejected, with pauses that double up to a minute. So it does with amendments, which it
// puts into effect once enough states have signed.
func (s *Service) DeliverAgreements(ctx context.Context) error {
	letters, amendments := attempts[letterKey]{}, attempts[amendmentLetter]{}
	s.keep(ctx, "delivering agreements", 0, func(ctx context.Context) error {
		await(ctx, s.toDeliver, deliverEvery)
		_, err := s.Store.Exclusively(ctx, "agreements", func(ctx context.Context) error {
			return errors.Join(s.deliverAll(ctx, letters), s.confirmAll(ctx, letters), s.keepAmendments(ctx, amendments))
		})
		return err
	})
	return nil
}

// letter is something about an agreement that a partner lacks.
type letter struct {
	kept   KeptAgreement
	signed []byte
	answer bool // the partner has signed already
	end    bool
}

// attempts are the letters that did not arrive so far.
type attempts[K comparable] map[K]attempt

// letterKey names a letter.
type letterKey struct {
	id      AgreementID
	version int
	end     bool

	withdrawal string // its id; "": it is about the agreement itself
}

// attempt is when a letter may be sent again, and how long the pause was before.
type attempt struct {
	next  time.Time
	pause time.Duration
}

// failed notes that a letter did not arrive.
func (a attempts[K]) failed(key K, now time.Time) {
	pause := min(max(2*a[key].pause, deliverEvery), maxDeliverWait)
	a[key] = attempt{next: now.Add(pause), pause: pause}
}

// deliverAll hands everything that may be sent now to everybody once. Partners do not wait for each other.
func (s *Service) deliverAll(ctx context.Context, attempts attempts[letterKey]) error {
	kept, err := s.Store.Agreements(ctx, "")
	if err != nil {
		return err
	}
	letters := map[StateCode][]letter{}
	for _, k := range kept {
		a, err := s.readAgreement(k)
		if err != nil {
			return err
		}
		if a.Terms.Domestic() {
			continue // both parties are here
		}
		partner := a.Terms.other(s.State)
		answer := a.signedBy(partner)
		for _, own := range k.Signatures {
			if own.waits(s.State) {
				letters[partner] = append(letters[partner], letter{kept: k, signed: own.Signed, answer: answer})
			}
		}
		for _, own := range k.Ends {
			if own.waits(s.State) {
				letters[partner] = append(letters[partner], letter{kept: k, signed: own.Signed, end: true})
			}
		}
	}
	var group sync.WaitGroup
	var mu sync.Mutex // guards attempts
	for partner, all := range letters {
		group.Go(func() {
			held := map[AgreementID]bool{} // what concerns one agreement arrives in order
			for _, l := range all {
				key := letterKey{id: l.kept.ID, version: l.kept.Version, end: l.end}
				mu.Lock()
				early := s.now().Before(attempts[key].next)
				mu.Unlock()
				if held[l.kept.ID] = held[l.kept.ID] || early; held[l.kept.ID] {
					continue
				}
				err := s.deliver(ctx, partner, l)
				mu.Lock()
				if err != nil {
					attempts.failed(key, s.now())
				} else {
					delete(attempts, key)
				}
				mu.Unlock()
				if err != nil {
					held[l.kept.ID] = true
					s.Log.WarnContext(ctx, "an agreement did not reach the partner, and is sent again",
						"partner", partner, "agreement", l.kept.ID, "version", l.kept.Version, "error", err)
				}
			}
		})
	}
	group.Wait()
	return nil
}

// waits reports whether it is the state's own, and neither arrived nor was rejected.
func (k KeptSigned) waits(state StateCode) bool {
	return k.State == state && !k.Delivered && k.Rejection == nil
}

// deliver hands a letter over, and keeps that it arrived, or that it was rejected.
func (s *Service) deliver(ctx context.Context, partner StateCode, l letter) error {
	err := s.carry(ctx, partner, l)
	rejection, rejected := errors.AsType[*Rejection](err)
	if rejected && l.end && rejection.Code == notFound {
		rejected, err = false, nil // a draft that the partner never saw
	}
	if err != nil && !rejected {
		return err
	}
	if !rejected {
		return s.Store.Write(ctx, func(tx Tx) error {
			return tx.Delivered(ctx, l.kept.ID, l.kept.Version, s.State, l.end)
		})
	}
	kept := Rejection{Code: foreignText(rejection.Code), Text: foreignText(rejection.Text), Created: s.now()}
	s.Log.WarnContext(ctx, "a partner rejects an agreement: it is not sent again",
		"partner", partner, "agreement", l.kept.ID, "version", l.kept.Version, "end", l.end, "code", kept.Code, "text", kept.Text)
	return s.Store.Write(ctx, func(tx Tx) error {
		return tx.SaveRejection(ctx, l.kept.ID, l.kept.Version, s.State, l.end, &kept)
	})
}

// carry hands a letter over.
func (s *Service) carry(ctx context.Context, partner StateCode, l letter) error {
	signed, err := s.Codec.DecodeSigned(l.signed)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	if l.end {
		return s.Courier.Terminate(ctx, partner, signed)
	}
	if l.answer {
		err := s.Courier.Answer(ctx, partner, signed)
		if rejection, ok := errors.AsType[*Rejection](err); !ok || rejection.Code != notFound {
			return err
		}
		// A partner that has lost what it signed can have it again.
	}
	return s.Courier.Propose(ctx, partner, signed)
}

// sendAgain has what the partner rejected of the newest version sent again.
func (s *Service) sendAgain(ctx context.Context, versions []Agreement) error {
	if len(versions) == 0 {
		return nil
	}
	newest := versions[len(versions)-1]
	for _, signature := range newest.Signatures {
		if signature.Rejection == nil || newest.State != Proposed && newest.State != Active {
			continue
		}
		err := s.Store.Write(ctx, func(tx Tx) error {
			return tx.SaveRejection(ctx, newest.Terms.ID, newest.Terms.Version, s.State, false, nil)
		})
		if err != nil {
			return err
		}
		wake(s.toDeliver)
	}
	return nil
}

// maxForeignText bounds what is kept of a text that a stranger may have worded, in bytes.
const maxForeignText = 500

// foreignText returns the text as it is kept.
func foreignText(text string) string {
	text = strings.ToValidUTF8(text[:min(len(text), maxForeignText)], "?")
	return strings.ReplaceAll(text, "\x00", "?") // PostgreSQL has none
}
