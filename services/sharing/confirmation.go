package sharing

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/comity-federation/comity/services/fault"
)

// keepWithdrawal keeps a withdrawal with its receiver's signature; nil: this state signs it, and the provider gets it.
func (s *Service) keepWithdrawal(ctx context.Context, w Withdrawal, signed *Signed) error {
	if signed == nil {
		payload, err := s.Codec.EncodeWithdrawal(w)
		if err != nil {
			return err
		}
		own, err := s.sign(WithdrawalType, payload)
		if err != nil {
			return err
		}
		signed = &own
	}
	data, err := s.Codec.EncodeSigned(*signed)
	if err != nil {
		return err
	}
	return s.Store.Write(ctx, func(tx Tx) error {
		_, err := tx.AddWithdrawal(ctx, w, data, newLeaf(EntryAgreement, w.subject(), s.now(), data))
		return err
	})
}

// subject names the withdrawal in the log.
func (w Withdrawal) subject() string {
	return agreementSubject(w.Agreement, w.Version, "withdrawal", string(w.State), w.ID)
}

// withdrawals returns what was withdrawn under the agreement, here and at partners, or all with the id "", the oldest first.
func (s *Service) withdrawals(ctx context.Context, id AgreementID) ([]Withdrawal, error) {
	kept, err := s.Store.Withdrawals(ctx, id)
	if err != nil {
		return nil, err
	}
	withdrawals := make([]Withdrawal, len(kept))
	for i, k := range kept {
		signed, err := s.Codec.DecodeSigned(k.Signed)
		if err != nil {
			return nil, fmt.Errorf("reading a withdrawal: %w", err)
		}
		if withdrawals[i], err = s.Codec.DecodeWithdrawal(signed.Payload); err != nil {
			return nil, fmt.Errorf("reading a withdrawal: %w", err)
		}
		withdrawals[i].Delivered, withdrawals[i].signed = k.Delivered, signed
	}
	return withdrawals, nil
}

// confirmAll tells the providers what this state took out, unless they know: each once, and again later what did not arrive.
func (s *Service) confirmAll(ctx context.Context, attempts attempts[letterKey]) error {
	withdrawals, err := s.withdrawals(ctx, "")
	if err != nil {
		return err
	}
	for _, w := range withdrawals {
		key := letterKey{id: w.Agreement, version: w.Version, withdrawal: w.ID}
		if w.State != s.State || w.Delivered || s.now().Before(attempts[key].next) {
			continue
		}
		if err := s.confirm(ctx, w); err != nil {
			attempts.failed(key, s.now())
			s.Log.WarnContext(ctx, "a provider was not told that its figures were taken out, and is told again",
				"agreement", w.Agreement, "version", w.Version, "error", err)
			continue
		}
		delete(attempts, key)
	}
	return nil
}

// confirm tells the provider of a withdrawal. One that does not take it is not told again.
func (s *Service) confirm(ctx context.Context, w Withdrawal) error {
	a, err := s.version(ctx, w.Agreement, w.Version)
	if err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	err = s.Courier.Confirm(limited, a.Terms.Provider, w.signed)
	if rejection, ok := errors.AsType[*Rejection](err); ok {
		s.Log.WarnContext(ctx, "a provider does not take that its figures were taken out", "partner", a.Terms.Provider,
			"agreement", w.Agreement, "version", w.Version, "code", rejection.Code, "text", foreignText(rejection.Text))
	} else if err != nil {
		return err
	}
	return s.Store.Write(ctx, func(tx Tx) error { return tx.WithdrawalDelivered(ctx, w.ID) })
}

// ReceiveWithdrawal keeps a receiver's word that it took figures out. The same again changes nothing.
func (s *Service) ReceiveWithdrawal(ctx context.Context, from StateCode, withdrawal Signed) error {
	signature, err := s.Trust.Verify(from, WithdrawalType, withdrawal, s.now())
	if err != nil {
		return err
	}
	w, err := s.Codec.DecodeWithdrawal(withdrawal.Payload)
	if err != nil {
		return fault.InvalidField("withdrawal", "it cannot be read: %v", err)
	}
	if !uuid.MatchString(w.ID) || len(w.Indicators) == 0 {
		return fault.InvalidField("withdrawal", "it has no id, or is about nothing")
	}
	a, err := s.version(ctx, w.Agreement, w.Version)
	if err != nil {
		return err
	}
	if w.State != from || from != a.Terms.Receiver || a.Terms.Provider != s.State {
		return fault.New(fault.Denied, "ACCESS_DENIED", "%s does not receive from %s under agreement %s", from, s.State, w.Agreement)
	}
	for _, code := range w.Indicators {
		if !slices.Contains(a.Terms.Indicators, code) {
			return fault.InvalidField("withdrawal", "agreement %s, version %d, does not have %s", w.Agreement, w.Version, foreignText(code))
		}
	}
	withdrawal.Signatures = []Signature{signature}
	if err := s.keepWithdrawal(ctx, w, &withdrawal); err != nil {
		return fmt.Errorf("keeping what %s withdrew: %w", from, err)
	}
	s.Log.InfoContext(ctx, "a partner took figures out, as agreed", "partner", from,
		"agreement", w.Agreement, "version", w.Version, "indicators", w.Indicators)
	return nil
}
