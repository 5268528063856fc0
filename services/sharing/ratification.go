package sharing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/comity-federation/comity/services/fault"
)

// ProposeAmendment signs a change of this state for it, and sends it to all others. The same again sends it again to those
// who have rejected it.
func (s *Service) ProposeAmendment(ctx context.Context, change Change) (Amendment, error) {
	change.Proposer = s.State
	document, err := change.Document()
	if err != nil {
		return Amendment{}, fault.InvalidField("structures", "they are no JSON")
	}
	if change, err = ParseChange(document); err != nil {
		return Amendment{}, err
	}
	return s.signChange(ctx, change, document)
}

// RatifyAmendment signs an amendment that is here, and sends the signature to all others. Again it sends it again to those
// who have rejected it.
func (s *Service) RatifyAmendment(ctx context.Context, id AmendmentID) (Amendment, error) {
	a, err := s.Amendment(ctx, id)
	if err != nil {
		return Amendment{}, err
	}
	return s.signChange(ctx, a.Change, a.Document)
}

// signChange keeps this state's signature under a change, and sends it.
func (s *Service) signChange(ctx context.Context, change Change, document []byte) (Amendment, error) {
	if err := s.writable(ctx); err != nil {
		return Amendment{}, err
	}
	if err := s.checkChange(ctx, change); err != nil {
		return Amendment{}, err
	}
	signed, err := s.sign(AmendmentType, document)
	if err != nil {
		return Amendment{}, err
	}
	if err := s.keepChange(ctx, s.State, change, signed, true); err != nil {
		return Amendment{}, err
	}
	wake(s.toDeliver)
	return s.Amendment(ctx, change.ID)
}

// ReceiveAmendment keeps an amendment that another state has signed, and its signature. The same again changes nothing. What
// this state could not put into effect is a fault that names what is missing.
func (s *Service) ReceiveAmendment(ctx context.Context, from StateCode, signed Signed) error {
	signature, err := s.Trust.Verify(from, AmendmentType, signed, s.now())
	if err != nil {
		return err
	}
	if len(signed.Signatures) != 1 || signed.Signatures[0].KeyID != signature.KeyID {
		return fault.InvalidField("amendment", "it has one signature, its sender's")
	}
	change, err := ParseChange(signed.Payload)
	if err != nil {
		return err
	}
	if err := s.checkChange(ctx, change); err != nil {
		return err
	}
	if err := s.keepChange(ctx, from, change, signed, false); err != nil {
		return err
	}
	wake(s.toDeliver)
	return nil
}

// keepChange keeps a state's signature, and the document where it is new. Another one of the same id is a fault of kind
// Exists. Again has rejections forgotten.
func (s *Service) keepChange(ctx context.Context, state StateCode, change Change, signed Signed, again bool) error {
	data, err := s.Codec.EncodeSigned(signed)
	if err != nil {
		return err
	}
	now := s.now()
	return s.Store.Write(ctx, func(tx Tx) error {
		leaf := newLeaf(EntryAmendment, amendmentSubject(change.ID, "document"), now, signed.Payload)
		kept, err := tx.AddAmendment(ctx, change.ID, signed.Payload, leaf)
		if err != nil {
			return err
		}
		if !bytes.Equal(kept, signed.Payload) {
			return fault.New(fault.Exists, "ALREADY_EXISTS", "there is an amendment %s that says something else", change.ID)
		}
		leaf = newLeaf(EntryAmendment, amendmentSubject(change.ID, "signature", string(state)), now, data)
		added, err := tx.AddAmendmentSignature(ctx, change.ID, state, data, leaf)
		if err != nil {
			return err
		}
		if again {
			if err := tx.SendAmendmentAgain(ctx, change.ID); err != nil {
				return err
			}
		}
		if !added {
			return nil
		}
		return tx.Notify(ctx)
	})
}

// amendmentLetter names this state's signature under an amendment on its way to a state.
type amendmentLetter struct {
	id AmendmentID
	to StateCode
}

// keepAmendments hands this state's signatures to the states that lack them, and puts into effect what enough have signed.
func (s *Service) keepAmendments(ctx context.Context, attempts attempts[amendmentLetter]) error {
	kept, err := s.Store.Amendments(ctx)
	if err != nil {
		return err
	}
	var failures []error
	for _, k := range kept {
		a, err := s.readAmendment(k)
		if err != nil {
			return fmt.Errorf("reading amendment %s: %w", k.ID, err)
		}
		if a.signedBy(s.State) {
			s.sendAmendment(ctx, k, attempts)
		}
		if a.State == Ratified {
			if err := s.putIntoEffect(ctx, a); err != nil {
				failures = append(failures, fmt.Errorf("putting amendment %s into effect: %w", a.ID, err))
			}
		}
	}
	return errors.Join(failures...)
}

// putIntoEffect stores the structures of an amendment, and keeps that it did.
func (s *Service) putIntoEffect(ctx context.Context, a Amendment) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	if err := s.Registry.Keep(ctx, a.Structures); err != nil {
		return err
	}
	effect := AmendmentEffect{ID: a.ID, Signers: a.signers(s.Trust.List()), Quorum: a.Quorum, Created: s.now()}
	document, err := json.Marshal(effect)
	if err != nil {
		return err
	}
	err = s.Store.Write(ctx, func(tx Tx) error {
		leaf := newLeaf(EntryAmendment, amendmentSubject(a.ID, "effect"), effect.Created, document)
		return tx.AddAmendmentEffect(ctx, a.ID, document, leaf)
	})
	if err != nil {
		return err
	}
	s.Log.InfoContext(ctx, "shared structures were amended", "amendment", a.ID, "signers", effect.Signers, "artefacts", a.Artefacts)
	return nil
}

// sendAmendment hands this state's signature to every state that may get it now. States do not wait for each other.
func (s *Service) sendAmendment(ctx context.Context, k KeptAmendment, attempts attempts[amendmentLetter]) {
	i := slices.IndexFunc(k.Signatures, func(own KeptSigned) bool { return own.State == s.State })
	signed, err := s.Codec.DecodeSigned(k.Signatures[i].Signed)
	if err != nil {
		s.Log.ErrorContext(ctx, "a signature cannot be read", "amendment", k.ID, "error", err)
		return
	}
	var due []amendmentLetter
	for _, state := range s.Trust.List().States {
		letter := amendmentLetter{k.ID, state.Code}
		done := slices.ContainsFunc(k.Deliveries, func(d AmendmentDelivery) bool {
			return d.State == state.Code && (d.Delivered || d.Rejection != nil)
		})
		if state.Code != s.State && !done && !s.now().Before(attempts[letter].next) {
			due = append(due, letter)
		}
	}
	var group sync.WaitGroup
	var mu sync.Mutex // guards attempts
	for _, letter := range due {
		group.Go(func() {
			err := s.deliverAmendment(ctx, k.ID, letter.to, signed)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				delete(attempts, letter)
				return
			}
			attempts.failed(letter, s.now())
			s.Log.WarnContext(ctx, "an amendment did not reach a state, and is sent again", "partner", letter.to, "amendment", k.ID, "error", err)
		})
	}
	group.Wait()
}

// deliverAmendment hands a signature over, and keeps that it arrived, or that it was rejected.
func (s *Service) deliverAmendment(ctx context.Context, id AmendmentID, to StateCode, signed Signed) error {
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	delivery := AmendmentDelivery{State: to, Delivered: true}
	err := s.Courier.Ratify(ctx, to, signed)
	if rejection, ok := errors.AsType[*Rejection](err); ok {
		kept := Rejection{Code: foreignText(rejection.Code), Text: foreignText(rejection.Text), Created: s.now()}
		delivery = AmendmentDelivery{State: to, Rejection: &kept}
		s.Log.WarnContext(ctx, "a state rejects an amendment: it is not sent again", "partner", to, "amendment", id, "code", kept.Code, "text", kept.Text)
	} else if err != nil {
		return err
	}
	return s.Store.Write(ctx, func(tx Tx) error { return tx.SaveAmendmentDelivery(ctx, id, delivery) })
}

func amendmentSubject(id AmendmentID, what ...string) string {
	return strings.Join(append([]string{string(id)}, what...), "/")
}
