package sharing

import (
	"bytes"
	"context"
	"math"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// Bounds of what is read of a stream at once: envelopes, and their bytes. One larger envelope is read by itself.
const (
	maxOutgoing      = 64
	maxOutgoingBytes = 512 << 10
)

// Head returns the newest place of the stream to the partner.
func (s *Service) Head(ctx context.Context, partner StateCode) (Cursor, error) {
	stream := StreamName(s.State, partner)
	place, err := s.Store.Outbound(ctx, stream)
	if err != nil {
		return Cursor{}, err
	}
	return Cursor{Stream: stream, Epoch: place.Epoch, Sequence: place.Sequence}, nil
}

// Outgoing returns the envelopes for the partner after the cursor, in order, at most limit, and fewer where they are large;
// none where there is nothing to send for now. Each is under a signed checkpoint of the log, and was released under terms that are in force at this
// moment. A cursor that does not fit the stream is a [*ResyncError].
//
// A stream has no gaps. Where the next envelope may no longer go, the stream therefore begins anew with another epoch,
// in which what may still go is released again.
func (s *Service) Outgoing(ctx context.Context, partner StateCode, after Cursor, limit int) ([]Outgoing, error) {
	stopped, err := s.stops(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	if err := stopped.mayLeave(partner); err != nil {
		return nil, err
	}
	head, err := s.Head(ctx, partner)
	if err != nil {
		return nil, err
	}
	if after.Stream != "" && after.Stream != head.Stream {
		return nil, fault.InvalidField("resume.stream", "the stream for %s is %s", partner, head.Stream)
	}
	if after.Epoch != head.Epoch {
		if head.Epoch == "" || after.Epoch == "" && after.Sequence == 0 {
			after = Cursor{Stream: head.Stream, Epoch: head.Epoch}
		} else {
			return nil, &ResyncError{From: Cursor{Stream: head.Stream, Epoch: head.Epoch}}
		}
	}
	if after.Sequence > head.Sequence {
		return nil, &ResyncError{From: head}
	}
	if head.Epoch == "" || after.Sequence == head.Sequence {
		return nil, nil
	}
	after.Stream = head.Stream
	kept, err := s.Store.Envelopes(ctx, after, min(limit, maxOutgoing), maxOutgoingBytes)
	if err != nil || len(kept) == 0 {
		return nil, err
	}
	inForce, err := s.inForce(ctx, partner)
	if err != nil {
		return nil, err
	}
	var outgoing []Outgoing
	for _, k := range kept {
		terms, ok := inForce[RuledAgreement{k.Agreement, k.Version}]
		superseded, err := s.superseded(k.Envelope)
		if err != nil {
			return nil, err
		}
		if ok && terms.Source != "" {
			if ok, err = s.stillGranted(ctx, k, terms, stopped); err != nil {
				return nil, err
			}
		}
		if !ok || superseded || s.now().After(k.Created.Add(s.Lifetime)) || s.ahead(k.Created) || stopped.overtook(partner, terms.Indicators, k.Created) {
			break
		}
		outgoing = append(outgoing, Outgoing{Sequence: k.Sequence, Envelope: k.Envelope})
	}
	if len(outgoing) > 0 {
		return outgoing, nil
	}
	if err := s.beginAnew(ctx, partner, head, "an envelope waited that may no longer go"); err != nil {
		return nil, err
	}
	head, err = s.Head(ctx, partner)
	if err != nil {
		return nil, err
	}
	return nil, &ResyncError{From: Cursor{Stream: head.Stream, Epoch: head.Epoch}}
}

// inForce returns the terms under which figures may go to the partner today.
func (s *Service) inForce(ctx context.Context, partner StateCode) (map[RuledAgreement]Terms, error) {
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return nil, err
	}
	today := s.now().Format(time.DateOnly)
	inForce := map[RuledAgreement]Terms{}
	for _, a := range agreements {
		if s.provides(a.Terms) && a.Terms.Receiver == partner && a.covers(today) {
			inForce[RuledAgreement{a.Terms.ID, a.Terms.Version}] = a.Terms
		}
	}
	return inForce, nil
}

// beginAnew gives the stream another epoch, unless somebody else has done so.
func (s *Service) beginAnew(ctx context.Context, partner StateCode, head Cursor, why string) error {
	epoch := newID(s.now())
	err := s.Store.Write(ctx, func(tx Tx) error {
		place, err := tx.LockOutbound(ctx, head.Stream, partner, epoch)
		if err != nil || place.Epoch != head.Epoch {
			return err
		}
		if err := tx.BeginEpoch(ctx, head.Stream, epoch); err != nil {
			return err
		}
		return tx.Notify(ctx)
	})
	if err != nil {
		return err
	}
	s.Log.WarnContext(ctx, "a stream begins anew", "stream", head.Stream, "epoch", epoch, "reason", why)
	wake(s.toRelease)
	return nil
}

// OutgoingChanged returns a channel that is closed when there may be something new to send, or something may no longer
// be sent. It is asked for before [Service.Outgoing], so that nothing falls between the two.
func (s *Service) OutgoingChanged(StateCode) <-chan struct{} { return s.changes.listen() }

// AcceptReceipt keeps the partner's receipt for an envelope that went to it. The same again changes nothing.
func (s *Service) AcceptReceipt(ctx context.Context, from StateCode, signed Signed) error {
	wrong, err := s.acceptReceipts(ctx, from, []Signed{signed})
	if err != nil {
		return err
	}
	return wrong[0]
}

// AcceptReceipts keeps the partner's receipts for envelopes that went to it, together. What means nothing here is left, and
// told in the log: it may be for what a restored database does not know of any more, and the exchange must go on.
func (s *Service) AcceptReceipts(ctx context.Context, from StateCode, signed []Signed) error {
	wrong, err := s.acceptReceipts(ctx, from, signed)
	if err != nil {
		return err
	}
	for _, w := range wrong {
		if w != nil {
			s.Log.WarnContext(ctx, "a partner's receipt is not kept", "partner", from, "error", w)
		}
	}
	return nil
}

// acceptReceipts keeps those of the receipts that are good, and returns for each of them what is wrong with it; nil: nothing.
func (s *Service) acceptReceipts(ctx context.Context, from StateCode, signed []Signed) (wrong []error, err error) {
	wrong = make([]error, len(signed))
	receipts := make([]Receipt, len(signed))
	byEpoch := map[string][]uint64{}
	stream := StreamName(s.State, from)
	for i := range signed {
		if receipts[i], wrong[i] = s.openReceipt(from, &signed[i]); wrong[i] == nil {
			byEpoch[receipts[i].Epoch] = append(byEpoch[receipts[i].Epoch], receipts[i].Sequence)
		}
	}
	for epoch, sequences := range byEpoch {
		sent, err := s.Store.SentHashes(ctx, stream, epoch, sequences)
		if err != nil {
			return nil, err
		}
		var good []KeptReceipt
		for i := range signed {
			receipt := receipts[i]
			if wrong[i] != nil || receipt.Epoch != epoch {
				continue
			}
			at := Cursor{Stream: stream, Epoch: epoch, Sequence: receipt.Sequence}
			if hash := sent[receipt.Sequence]; hash == nil || !bytes.Equal(hash, receipt.EnvelopeSHA256) {
				if err := s.lost(ctx, from, at); err != nil {
					return nil, err
				}
				wrong[i] = fault.New(fault.Invalid, "ENVELOPE_INVALID", "no envelope of that hash went to %s at %s", from, at.subject())
				continue
			}
			data, err := s.Codec.EncodeSigned(signed[i])
			if err != nil {
				return nil, err
			}
			good = append(good, KeptReceipt{
				Sequence: receipt.Sequence, Receipt: data, Leaf: newLeaf(EntryReceiptReceived, at.subject(), s.now(), data),
			})
		}
		if len(good) == 0 {
			continue
		}
		if err := s.Store.Write(ctx, func(tx Tx) error { return tx.AddReceipts(ctx, stream, epoch, good) }); err != nil {
			return nil, err
		}
	}
	return wrong, nil
}

// openReceipt reads a receipt that the partner has signed, and leaves only that signature with it.
func (s *Service) openReceipt(from StateCode, signed *Signed) (Receipt, error) {
	signature, err := s.Trust.Verify(from, ReceiptType, *signed, s.now())
	if err != nil {
		return Receipt{}, err
	}
	receipt, err := s.Codec.DecodeReceipt(signed.Payload)
	if err != nil {
		return Receipt{}, fault.InvalidField("receipt", "it cannot be read: %v", err)
	}
	if receipt.Sender != s.State || receipt.Receiver != from || receipt.Stream != StreamName(s.State, from) {
		return Receipt{}, fault.New(fault.Invalid, "ENVELOPE_INVALID", "the receipt is not one of %s for %s", from, s.State)
	}
	if !uuid.MatchString(receipt.Epoch) || receipt.Sequence < 1 || receipt.Sequence > math.MaxInt64 {
		return Receipt{}, fault.New(fault.Invalid, "ENVELOPE_INVALID", "the receipt is for no place of a stream")
	}
	signed.Signatures = []Signature{signature}
	return receipt, nil
}

// WaitingSince returns how long the oldest batch has waited for each partner that any waits for.
func (s *Service) WaitingSince(ctx context.Context) (map[StateCode]time.Duration, error) {
	oldest, err := s.Store.Oldest(ctx)
	if err != nil {
		return nil, err
	}
	ages := make(map[StateCode]time.Duration, len(oldest))
	for partner, created := range oldest {
		ages[partner] = max(s.now().Sub(created), 0)
	}
	return ages, nil
}

// Deliveries returns a page of what went to partners and what came from them, the newest first, and the token of the
// next page; "" on the last.
func (s *Service) Deliveries(ctx context.Context, page Page) (deliveries []Delivery, next string, err error) {
	return s.Store.Deliveries(ctx, page)
}
