package sharing

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

// serveAgencies stores what was released to agencies of this state in its statistics, and takes out what no agreement with
// one covers any more.
func (s *Service) serveAgencies(ctx context.Context) error {
	agreements, err := s.agreements(ctx, "")
	if err != nil {
		return err
	}
	agreements = slices.DeleteFunc(agreements, func(a Agreement) bool { return !a.Terms.Domestic() || !a.wasActive() })
	var failures []error
	failed := map[StateCode]bool{}
	for i, a := range agreements {
		agency := a.Terms.Receiver
		if slices.ContainsFunc(agreements[:i], func(b Agreement) bool { return b.Terms.Receiver == agency }) {
			continue
		}
		if err := s.serveAgency(ctx, agency); err != nil && !isStopped(err) {
			failed[agency] = true
			failures = append(failures, fmt.Errorf("storing what goes to %s: %w", agency, err))
		}
	}
	for _, l := range lapsed(agreements, s.now().Format(time.DateOnly), Terms.Domestic) {
		if failed[l.terms.Receiver] {
			continue // its release would bring the figures back
		}
		if err := s.takeFromAgency(ctx, l); err != nil {
			failures = append(failures, fmt.Errorf("taking from %s what agreement %s covers no more: %w", l.terms.Receiver, l.terms.ID, err))
		}
	}
	return errors.Join(failures...)
}

// isStopped reports whether people have stopped what failed.
func isStopped(err error) bool {
	return slices.Contains([]string{"KILL_SWITCH", "READ_ONLY"}, fault.Reason(err))
}

// serveAgency stores each release to an agency that is whole, in the order of its stream, and keeps how far it got.
func (s *Service) serveAgency(ctx context.Context, agency StateCode) error {
	at, err := s.servedUntil(ctx, agency)
	if err != nil {
		return err
	}
	var payloads [][]byte // of the release that is read
	for {
		outgoing, err := s.Outgoing(ctx, agency, at, maxOutgoing)
		if resync, ok := errors.AsType[*ResyncError](err); ok {
			at, payloads = resync.From, nil
			continue
		}
		if err != nil || len(outgoing) == 0 {
			return err
		}
		for _, out := range outgoing {
			envelope, err := s.Codec.DecodeEnvelope(out.Envelope)
			if err != nil {
				return err
			}
			header, err := s.Codec.DecodeHeader(envelope.Header.Payload)
			if err != nil {
				return err
			}
			at = Cursor{Stream: header.Stream, Epoch: header.Epoch, Sequence: header.Sequence}
			if header.BatchIndex == 0 {
				payloads = nil
			}
			payloads = append(payloads, envelope.Payload)
			if header.BatchIndex+1 == header.BatchCount && len(payloads) == header.BatchCount {
				if err := s.storeForAgency(ctx, header, payloads); err != nil {
					return err
				}
			}
			if err := s.receiptForAgency(ctx, header, out.Envelope); err != nil {
				return err
			}
			if header.BatchIndex+1 == header.BatchCount {
				if err := s.Store.SaveProgress(ctx, servedName(agency), at.Epoch+" "+strconv.FormatUint(at.Sequence, 10)); err != nil {
					return err
				}
			}
		}
	}
}

func servedName(agency StateCode) string { return "agency " + string(agency) }

// servedUntil returns the last place of the stream to an agency up to which its releases are stored.
func (s *Service) servedUntil(ctx context.Context, agency StateCode) (Cursor, error) {
	at := Cursor{Stream: StreamName(s.State, agency)}
	text, err := s.Store.Progress(ctx, servedName(agency))
	if err != nil || text == "" {
		return at, err
	}
	epoch, sequence, _ := strings.Cut(text, " ")
	at.Epoch = epoch
	at.Sequence, err = strconv.ParseUint(sequence, 10, 64)
	return at, err
}

// storeForAgency stores a release as figures of the provider that has the agency's code.
func (s *Service) storeForAgency(ctx context.Context, header Header, payloads [][]byte) error {
	a, err := s.version(ctx, header.Agreement, header.AgreementVersion)
	if err != nil {
		return err
	}
	submitted, err := s.submit(ctx, Submission{
		Dataflow: header.Dataflow, Provider: header.Receiver, Scope: header.Scope,
		Release: header.Release, IdempotencyKey: string(header.Release), KeepDays: a.Terms.RetentionDays,
	}, s.contents(len(payloads), func(batch int) ([]byte, error) { return payloads[batch], nil }))
	if err != nil {
		return err
	}
	if !submitted.Accepted {
		return fmt.Errorf("the statistics reject release %s: %s", header.Release, submitted.Reason)
	}
	s.Log.InfoContext(ctx, "stored a release for an agency", "agency", header.Receiver, "release", header.Release)
	return nil
}

// receiptForAgency signs for an agency that it has an envelope.
func (s *Service) receiptForAgency(ctx context.Context, header Header, envelope []byte) error {
	now := s.now()
	sum := sha256.Sum256(envelope)
	payload, err := s.Codec.EncodeReceipt(Receipt{
		Sender: header.Sender, Receiver: header.Receiver, Stream: header.Stream, Epoch: header.Epoch, Sequence: header.Sequence,
		EnvelopeSHA256: sum[:], Received: now,
	})
	if err != nil {
		return err
	}
	signed, err := s.sign(ReceiptType, payload)
	if err != nil {
		return err
	}
	data, err := s.Codec.EncodeSigned(signed)
	if err != nil {
		return err
	}
	at := Cursor{Stream: header.Stream, Epoch: header.Epoch, Sequence: header.Sequence}
	kept := KeptReceipt{Sequence: at.Sequence, Receipt: data, Leaf: newLeaf(EntryReceiptReceived, at.subject(), now, data)}
	return s.Store.Write(ctx, func(tx Tx) error { return tx.AddReceipts(ctx, at.Stream, at.Epoch, []KeptReceipt{kept}) })
}

// takeFromAgency replaces figures by nothing that no agreement covers any more, once.
func (s *Service) takeFromAgency(ctx context.Context, l lapse) error {
	what := fmt.Sprintf("agency %s/%d without %s", l.terms.ID, l.terms.Version, strings.Join(l.indicators, " "))
	if done, err := s.Store.Progress(ctx, what); err != nil || done != "" {
		return err
	}
	own, _ := s.Trust.State(s.State)
	versions, err := s.versionsOf(ctx, l.terms.Dataflow)
	if err != nil {
		return err
	}
	for _, dataflow := range versions {
		key := fmt.Sprintf("agency/%x", sha256.Sum256([]byte(what+" of "+dataflow)))
		if err := s.replaceByNothing(ctx, dataflow, l.terms.Receiver, own.RefAreas, l.indicators, key); err != nil {
			return err
		}
	}
	s.Log.InfoContext(ctx, "took out figures that an agency may see no more", "agency", l.terms.Receiver,
		"agreement", l.terms.ID, "version", l.terms.Version, "indicators", l.indicators)
	return s.Store.SaveProgress(ctx, what, s.now().Format(time.RFC3339))
}
