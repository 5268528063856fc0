package sharing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/comity-federation/comity/services/fault"
)

var uuid = regexp.MustCompile(`^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// Cursor returns the last place of the stream from the partner that is kept here: from there it goes on.
func (s *Service) Cursor(ctx context.Context, partner StateCode) (Cursor, error) {
	stream := StreamName(partner, s.State)
	place, err := s.Store.Inbound(ctx, stream)
	if err != nil {
		return Cursor{}, err
	}
	return Cursor{Stream: stream, Epoch: place.Epoch, Sequence: place.Sequence}, nil
}

// Outcome is what became of an envelope.
type Outcome struct {
	Receipt Signed
	Refused error // it is kept as evidence, and there is no receipt; nil: it was accepted
}

// Receive is [Service.ReceiveAll] for one envelope.
func (s *Service) Receive(ctx context.Context, from StateCode, envelope []byte) (Signed, error) {
	received, err := s.ReceiveAll(ctx, from, [][]byte{envelope})
	if err != nil {
		return Signed{}, err
	}
	return received[0].Receipt, received[0].Refused
}

// ReceiveAll verifies envelopes that came from a partner one after another, keeps them, and returns what became of each.
// Those of one release that follow each other are kept together. The same envelope again gives the same receipt, byte for
// byte, and has no other effect. An error is about the first envelope that nothing is returned for.
//
// What is wrong is a fault with one of these reasons.
//
//	RECEIVE_REFUSED    its content, which the sender has signed, is not what was agreed or what policy here accepts. It
//	                   is kept as evidence and the cursor moves on, for the sender would only send the same again. There
//	                   is no receipt, and its release is not stored. The next envelope can be received. It is no error,
//	                   but stands in [Outcome].
//	LIMIT_EXCEEDED     the quota of its agreement has no room for it until the next period, which the fault names. Nothing
//	                   is kept and nothing has moved.
//	EQUIVOCATION       the sender has signed two envelopes for one place. Both are kept, and the stream is quarantined.
//	UNTRUSTED_SIGNER, ENVELOPE_INVALID, NO_AGREEMENT, POLICY_ERROR, OUT_OF_SEQUENCE, WRONG_EPOCH
//	                   nothing is kept and nothing has moved: what is meant can be asked for again, from the cursor.
func (s *Service) ReceiveAll(ctx context.Context, from StateCode, envelopes [][]byte) ([]Outcome, error) {
	if err := s.writable(ctx); err != nil {
		return nil, err
	}
	var received []Outcome
	var opened []*incoming
	var broken error // what the envelope after those is
	for _, envelope := range envelopes {
		in, err := s.open(from, envelope)
		if err != nil {
			broken = err
			break
		}
		opened = append(opened, in)
	}
	for tries := 0; len(opened) > 0; {
		// The place comes first: were it read last, the same envelope kept in between would look out of sequence.
		place, err := s.Store.Inbound(ctx, StreamName(from, s.State))
		if err != nil {
			return received, err
		}
		if !place.next(opened[0].header) {
			receipt, known, err := s.receivedBefore(ctx, opened[0])
			if known && err == nil || fault.Reason(err) == "RECEIVE_REFUSED" {
				received, opened = append(received, Outcome{receipt, err}), opened[1:]
				continue
			}
			if known || err != nil {
				return received, err
			}
			if err := s.follows(ctx, opened[0], place); err != nil {
				return received, err
			}
		}
		run, err := s.judgeRun(ctx, opened, place)
		if len(run) == 0 {
			return received, err
		}
		kept, moved, err := s.accept(ctx, run, place)
		if err != nil {
			return received, err
		}
		if moved {
			if tries++; tries == maxTries {
				return received, fault.New(fault.Precondition, "OUT_OF_SEQUENCE", "the stream has moved in between")
			}
			continue
		}
		received, opened = append(received, kept...), opened[len(run):]
	}
	return received, broken
}

// maxTries is how often envelopes are judged anew because another connection has moved their stream.
const maxTries = 3

// next reports whether the header is of the place after this one.
func (p Place) next(h Header) bool {
	return !p.Quarantined && h.Epoch == p.Epoch && h.Sequence == p.Sequence+1 && bytes.Equal(h.Previous, p.SHA256)
}

// judgeRun judges the envelopes as long as they follow each other and are of one release: those may be kept together. The
// first is the next of its stream. An error is about the first that is not returned.
//
// Policy is asked about all of them at once. What it refuses it is asked about again, one by one.
func (s *Service) judgeRun(ctx context.Context, opened []*incoming, place Place) ([]*incoming, error) {
	first := opened[0].header
	terms, err := s.termsOf(ctx, opened[0])
	if err != nil {
		return nil, err
	}
	staged, err := s.staging(ctx, opened[0])
	if err != nil {
		return nil, err
	}
	left, err := s.allowance(ctx, terms, first.Created)
	if err != nil {
		return nil, err
	}
	before := *staged
	var run []*incoming
	var all summary
	for i, in := range opened {
		h := in.header
		if i > 0 && (!place.next(h) || h.Release != first.Release || h.Dataflow != first.Dataflow ||
			h.Agreement != first.Agreement || h.AgreementVersion != first.AgreementVersion || !h.Created.Equal(first.Created) ||
			!in.sameSource(opened[0])) {
			break
		}
		reason, err := s.fits(ctx, in, terms, staged)
		if err == nil {
			err = s.affords(ctx, in, left)
		}
		if err != nil {
			if i == 0 {
				return nil, err
			}
			break // it is met again as the first
		}
		if reason != nil && i > 0 {
			break
		}
		in.refusal = reason
		run = append(run, in)
		if reason != nil {
			return run, nil
		}
		staged.add(in)
		if i == 0 {
			all = in.about
		} else {
			all = all.with(in.about)
		}
		place = Place{Epoch: h.Epoch, Sequence: h.Sequence, SHA256: in.sha256}
	}
	refusal, err := s.accepts(ctx, run[0], terms, all)
	if err != nil {
		return nil, err
	}
	if refusal == nil {
		return run, nil
	}
	staged = &before
	for i, in := range run {
		if in.refusal, err = s.fits(ctx, in, terms, staged); err == nil && in.refusal == nil {
			in.refusal, err = s.accepts(ctx, in, terms, in.about)
		}
		if err != nil {
			return run[:i], err
		}
		staged.add(in)
	}
	return run, nil
}

// affords fails where an envelope is beyond the quota of its agreement. Nothing of it is kept: it comes again when there is
// room for it.
func (s *Service) affords(ctx context.Context, in *incoming, left *allowance) error {
	err := left.spend(in.cells, len(in.envelope))
	if err != nil {
		s.Log.WarnContext(ctx, "a partner sends more than the quota of its agreement", "partner", in.from, "agreement", in.header.Agreement,
			"release", in.header.Release, "until", left.next)
	}
	return err
}

// staging is how far a release got, with the batches that are judged and not kept yet.
type staging struct {
	release InboundRelease
	known   bool
	hashes  [][]byte // of the payloads that are not kept yet
}

// staging returns how far the release of an envelope got.
func (s *Service) staging(ctx context.Context, in *incoming) (*staging, error) {
	release, known, err := s.Store.InboundRelease(ctx, in.header.Release)
	return &staging{release: release, known: known}, err
}

// add counts a batch that was judged.
func (g *staging) add(in *incoming) {
	if !g.known {
		g.known = true
		g.release = InboundRelease{
			ID: in.header.Release, Sender: in.from, Agreement: in.header.Agreement, State: Staged,
			Batches: in.header.BatchCount, SHA256: in.header.ReleaseSHA256,
		}
	}
	if g.release.Sender != in.from || g.release.State != Staged {
		return // refused for exactly that
	}
	if in.refusal != nil {
		g.release.State, g.release.Reason = Refused, in.refusal.Code+": "+in.refusal.Text
		return
	}
	g.release.Received++
	g.hashes = append(g.hashes, in.header.PayloadSHA256)
}

// incoming is an envelope whose signature and form are good.
type incoming struct {
	from     StateCode
	envelope []byte
	sha256   []byte
	header   Header
	signed   []byte // the header's exact bytes
	payload  []byte
	warrant  *incomingWarrant // nil: the figures are the sender's own
	cells    int
	about    summary // of the payload; once it fits
	refusal  *Reason
}

func (in *incoming) at() Cursor {
	return Cursor{Stream: in.header.Stream, Epoch: in.header.Epoch, Sequence: in.header.Sequence}
}

func invalid(format string, args ...any) error {
	return fault.New(fault.Invalid, "ENVELOPE_INVALID", format, args...)
}

// open reads an envelope, and fails unless the sender has signed it for this state and this time.
func (s *Service) open(from StateCode, data []byte) (*incoming, error) {
	if err := s.checkPartner(from); err != nil {
		return nil, err
	}
	if len(data) > MaxEnvelope {
		return nil, fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the envelope has %d bytes, at most %d are allowed", len(data), MaxEnvelope)
	}
	envelope, err := s.Codec.DecodeEnvelope(data)
	if err != nil {
		return nil, invalid("the envelope cannot be read: %v", err)
	}
	if len(envelope.Payload) > MaxPayload || len(envelope.Header.Payload) > MaxHeader {
		return nil, fault.New(fault.Exhausted, "LIMIT_EXCEEDED", "the payload or the header is too long")
	}
	if _, err := s.Trust.Verify(from, HeaderType, envelope.Header, s.now()); err != nil {
		return nil, err
	}
	header, err := s.Codec.DecodeHeader(envelope.Header.Payload)
	if err != nil {
		return nil, invalid("the header cannot be read: %v", err)
	}
	sum := sha256.Sum256(data)
	payload := sha256.Sum256(envelope.Payload)
	in := &incoming{
		from: from, envelope: data, sha256: sum[:], header: header, signed: envelope.Header.Payload, payload: envelope.Payload,
	}
	switch {
	case header.Sender != from || header.Receiver != s.State:
		return nil, invalid("it is from %s for %s, and came from %s to %s", header.Sender, header.Receiver, from, s.State)
	case header.Stream != StreamName(from, s.State) || !uuid.MatchString(header.Epoch) || header.Sequence < 1 || header.Sequence > math.MaxInt64:
		return nil, invalid("%s is no place of a stream from %s", in.at().subject(), from)
	case !bytes.Equal(payload[:], header.PayloadSHA256):
		return nil, invalid("the payload is not the one that the header names")
	case !s.now().Before(header.Expires):
		return nil, invalid("it was deliverable until %s", header.Expires.Format(time.RFC3339))
	case s.ahead(header.Created):
		return nil, invalid("it was made at %s, and the clock here says %s: one of the two is wrong",
			header.Created.Format(time.RFC3339), s.now().Format(time.RFC3339))
	case !uuid.MatchString(string(header.Release)) || header.BatchCount < 1 || header.BatchCount > math.MaxInt32 || header.BatchIndex >= header.BatchCount:
		return nil, invalid("batch %d of %d of release %q is none", header.BatchIndex, header.BatchCount, header.Release)
	}
	return in, s.openWarrant(in, envelope.Warrant)
}

// receivedBefore returns the receipt that was given for the same envelope. Another one at the same place is kept as
// evidence, and stops the stream.
func (s *Service) receivedBefore(ctx context.Context, in *incoming) (receipt Signed, known bool, err error) {
	kept, found, err := s.Store.ReceivedAt(ctx, in.at())
	if err != nil || !found {
		return Signed{}, false, err
	}
	before, err := s.Codec.DecodeEnvelope(kept.Envelope)
	if err != nil {
		return Signed{}, true, fmt.Errorf("reading the envelope kept at %s: %w", in.at().subject(), err)
	}
	if !bytes.Equal(before.Header.Payload, in.signed) {
		return Signed{}, true, s.equivocation(ctx, in)
	}
	if kept.Refusal != nil {
		return Signed{}, true, refused(*kept.Refusal)
	}
	receipt, err = s.Codec.DecodeSigned(kept.Receipt)
	return receipt, true, err
}

func refused(reason Reason) error {
	return fault.New(fault.Denied, "RECEIVE_REFUSED", "refused: %s", reason.Text).With("code", reason.Code)
}

// equivocation keeps an envelope that contradicts what its sender has signed before, and quarantines the stream.
func (s *Service) equivocation(ctx context.Context, in *incoming) error {
	reason := Reason{Code: "EQUIVOCATION", Text: "another envelope was received at this place, or before it"}
	err := s.Store.Write(ctx, func(tx Tx) error {
		if _, err := tx.LockInbound(ctx, in.header.Stream, in.from); err != nil {
			return err
		}
		if err := tx.Quarantine(ctx, in.header.Stream); err != nil {
			return err
		}
		subject := in.at().subject() + "/" + hex.EncodeToString(in.sha256)
		evidence := Evidence{At: in.at(), Sender: in.from, Envelope: in.envelope, Refusal: reason}
		_, err := tx.AddEvidence(ctx, evidence, newLeaf(EntryEnvelopeRefused, subject, s.now(), in.envelope))
		return err
	})
	if err != nil {
		return err
	}
	s.Log.ErrorContext(ctx, "a partner has signed two envelopes for one place: its stream is quarantined",
		"partner", in.from, "stream", in.header.Stream, "epoch", in.header.Epoch, "sequence", in.header.Sequence)
	return fault.New(fault.Precondition, "EQUIVOCATION", "%s", reason.Text)
}

// follows fails unless the envelope is the next of its stream: the one after the last, or the first of a later epoch.
func (s *Service) follows(ctx context.Context, in *incoming, place Place) error {
	header := in.header
	if place.Quarantined {
		return fault.New(fault.Precondition, "EQUIVOCATION", "stream %s is quarantined", header.Stream)
	}
	if header.Epoch != place.Epoch {
		if header.Sequence != 1 {
			return fault.New(fault.Precondition, "WRONG_EPOCH", "the stream is in epoch %q, and another one begins with 1", place.Epoch)
		}
		if len(header.Previous) > 0 {
			return invalid("the first envelope of an epoch has none before it")
		}
		return s.succeeds(ctx, in, place)
	}
	if header.Sequence != place.Sequence+1 {
		return fault.New(fault.Precondition, "OUT_OF_SEQUENCE", "%d is next, not %d", place.Sequence+1, header.Sequence)
	}
	if !bytes.Equal(header.Previous, place.SHA256) {
		return s.equivocation(ctx, in)
	}
	return nil
}

// succeeds fails where the first envelope of an epoch was made before the last one that was received: it is late, and of an
// epoch that is over. What it says was corrected since.
func (s *Service) succeeds(ctx context.Context, in *incoming, place Place) error {
	if place.Epoch == "" {
		return nil
	}
	last, found, err := s.Store.ReceivedAt(ctx, Cursor{Stream: in.header.Stream, Epoch: place.Epoch, Sequence: place.Sequence})
	if err != nil || !found {
		return err
	}
	envelope, err := s.Codec.DecodeEnvelope(last.Envelope)
	if err != nil {
		return fmt.Errorf("reading the last envelope of stream %s: %w", in.header.Stream, err)
	}
	header, err := s.Codec.DecodeHeader(envelope.Header.Payload)
	if err != nil {
		return fmt.Errorf("reading the last header of stream %s: %w", in.header.Stream, err)
	}
	if in.header.Created.Before(header.Created) {
		return fault.New(fault.Precondition, "WRONG_EPOCH", "it was made before what was received last: its epoch is over")
	}
	return nil
}

// termsOf returns the terms that the envelope was sent under.
func (s *Service) termsOf(ctx context.Context, in *incoming) (Terms, error) {
	versions, err := s.agreements(ctx, in.header.Agreement)
	if err != nil {
		return Terms{}, err
	}
	today := s.now().Format(time.DateOnly)
	for _, a := range versions {
		if a.Terms.Version != in.header.AgreementVersion || a.Terms.Provider != in.from || a.Terms.Receiver != s.State {
			continue
		}
		if !a.covers(today) {
			return Terms{}, fault.New(fault.Precondition, "EXPIRED", "agreement %s, version %d, is not in force", a.Terms.ID, a.Terms.Version).
				With("agreement", string(a.Terms.ID))
		}
		return a.Terms, nil
	}
	return Terms{}, fault.New(fault.Precondition, "NO_AGREEMENT", "there is no agreement %s, version %d, with %s",
		in.header.Agreement, in.header.AgreementVersion, in.from)
}

// receiveQuestion is what policy is asked about an envelope.
type receiveQuestion struct {
	State     StateCode     `json:"state"`
	Sender    StateCode     `json:"sender"`
	RefAreas  []string      `json:"refAreas"` // of the state whose figures they are
	Header    receiveHeader `json:"header"`
	Agreement Terms         `json:"agreement"`
	Summary   summary       `json:"summary"`
	Date      string        `json:"date"`
	// Warrant is nil where the figures are the sender's own.
	Warrant *receiveWarrant `json:"warrant,omitempty"`
}

type receiveHeader struct {
	Agreement AgreementID `json:"agreement"`
	Version   int         `json:"version"`
	Dataflow  string      `json:"dataflow"`
}

// fits returns why the envelope is not what its header, the agreement and its release say, for good; nil: it is. An error
// says that this cannot be told now.
func (s *Service) fits(ctx context.Context, in *incoming, terms Terms, staged *staging) (*Reason, error) {
	bad := func(format string, args ...any) (*Reason, error) {
		return &Reason{Code: "ENVELOPE_INVALID", Text: fmt.Sprintf(format, args...), Agreement: terms.ID}, nil
	}
	if !inRange(in.header.Dataflow, terms.Dataflow) {
		return bad("it is of dataflow %s, the agreement is of %s", in.header.Dataflow, terms.Dataflow)
	}
	structures, err := s.structuresOf(ctx, in.header.Dataflow)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.New(fault.Precondition, "INCOMPATIBLE", "%s is not known here", in.header.Dataflow)
	}
	if err != nil {
		return nil, err
	}
	content, err := s.Codec.DecodePayload(in.payload)
	if err != nil {
		return bad("the payload cannot be read: %v", err)
	}
	in.cells = content.Rows
	if in.about, err = summarise(structures, content, in.header); err != nil {
		return bad("%v", err)
	}
	if outside := terms.Periods.outside(content); outside != "" {
		return &Reason{
			Code: "PERIOD_NOT_COVERED", Agreement: terms.ID,
			Text: fmt.Sprintf("agreement %s covers %s, not %s", terms.ID, terms.Periods, outside),
		}, nil
	}
	if reason, err := s.fitsWarrant(ctx, in, terms, content); reason != nil || err != nil {
		return reason, err
	}
	return s.fitsRelease(ctx, in, terms, staged)
}

// accepts returns why policy refuses what is in batches, for good; nil: it accepts it. The batches are of the envelope's
// sender and agreement. An error says that this cannot be told now.
func (s *Service) accepts(ctx context.Context, in *incoming, terms Terms, about summary) (*Reason, error) {
	giver, _ := s.Trust.State(terms.giver())
	var verdict struct {
		Allow   bool     `json:"allow"`
		Reasons []Reason `json:"reasons"`
	}
	terms.Dataflow = in.header.Dataflow // of those that they name
	question := receiveQuestion{
		State: s.State, Sender: in.from, RefAreas: giver.RefAreas,
		Header:    receiveHeader{Agreement: in.header.Agreement, Version: in.header.AgreementVersion, Dataflow: in.header.Dataflow},
		Agreement: terms, Summary: about, Date: s.now().Format(time.DateOnly),
	}
	if o := in.warrant; o != nil {
		question.Warrant = &receiveWarrant{Provider: o.terms.Provider, Agreement: o.terms, TakenBack: o.takesBack()}
	}
	if _, err := s.refreshPolicy(ctx); err != nil {
		return nil, err
	}
	if _, err := s.Policy.Evaluate(ctx, ruleReceive, question, &verdict); err != nil {
		return nil, fault.New(fault.Unavailable, "POLICY_ERROR", "policy could not be evaluated").Because(err)
	}
	if verdict.Allow {
		return nil, nil
	}
	if len(verdict.Reasons) == 0 {
		return nil, fault.New(fault.Unavailable, "POLICY_ERROR", "policy refuses without a reason")
	}
	return &verdict.Reasons[0], nil
}

// fitsRelease returns why the batch is not the next one of its release; nil: it is.
func (s *Service) fitsRelease(ctx context.Context, in *incoming, terms Terms, staged *staging) (*Reason, error) {
	bad := func(format string, args ...any) (*Reason, error) {
		return &Reason{Code: "ENVELOPE_INVALID", Text: fmt.Sprintf(format, args...), Agreement: terms.ID}, nil
	}
	if !staged.known {
		if in.header.BatchIndex != 0 {
			return bad("its release begins with batch %d", in.header.BatchIndex)
		}
	} else {
		release := staged.release
		switch {
		case release.Sender == in.from && release.State == Refused:
			return bad("a batch of its release was refused: %s", release.Reason)
		case release.Sender != in.from || release.Agreement != in.header.Agreement || release.State != Staged ||
			release.Received != in.header.BatchIndex || release.Batches != in.header.BatchCount ||
			!bytes.Equal(release.SHA256, in.header.ReleaseSHA256):
			return bad("it is not the next batch of its release")
		}
	}
	if in.header.BatchIndex+1 < in.header.BatchCount {
		return nil, nil
	}
	kept, err := s.Store.PayloadHashes(ctx, in.header.Release)
	if err != nil {
		return nil, err
	}
	total := sha256.New()
	for _, sum := range slices.Concat(kept, staged.hashes, [][]byte{in.header.PayloadSHA256}) {
		total.Write(sum)
	}
	if !bytes.Equal(total.Sum(nil), in.header.ReleaseSHA256) {
		return bad("its batches are not the release that the header names")
	}
	return nil, nil
}

// accept keeps envelopes of one release that follow the place, moves the cursor and signs the receipts in one transaction;
// for a refused one there is no receipt. It reports where the stream was moved by another connection in between: then
// nothing is kept.
func (s *Service) accept(ctx context.Context, run []*incoming, after Place) (received []Outcome, moved bool, err error) {
	now := s.now()
	header := run[0].header
	keep := make([]ReceivedEnvelope, len(run))
	for i, in := range run {
		var one Outcome
		if keep[i], one, err = s.receipt(in, now); err != nil {
			return nil, false, err
		}
		received = append(received, one)
	}
	err = s.Store.Write(ctx, func(tx Tx) error {
		place, err := tx.LockInbound(ctx, header.Stream, run[0].from)
		if err != nil {
			return err
		}
		if moved = place.Quarantined || place.Epoch != after.Epoch || place.Sequence != after.Sequence; moved {
			return nil
		}
		if err := tx.AddReceived(ctx, header.Stream, header.Epoch, keep); err != nil {
			return err
		}
		return s.advance(ctx, tx, run)
	})
	if err != nil || moved {
		return nil, moved, err
	}
	if after.Epoch != "" && after.Epoch != header.Epoch {
		s.Log.WarnContext(ctx, "a partner's stream began a new epoch", "partner", run[0].from, "stream", header.Stream, "epoch", header.Epoch)
	}
	for _, in := range run {
		if in.refusal != nil {
			s.Log.WarnContext(ctx, "an envelope was refused", "partner", in.from, "place", in.at().subject(), "reason", in.refusal.Code, "text", in.refusal.Text)
		}
	}
	if last := run[len(run)-1].header; last.BatchIndex+1 == last.BatchCount {
		wake(s.toHandOver)
	}
	return received, false, nil
}

// receipt returns an envelope as it is kept, with the receipt for it; for a refused one there is none.
func (s *Service) receipt(in *incoming, now time.Time) (ReceivedEnvelope, Outcome, error) {
	at := in.at()
	keep := ReceivedEnvelope{
		Sequence: at.Sequence, Release: in.header.Release, Agreement: in.header.Agreement, Batch: in.header.BatchIndex, Cells: in.cells,
		Made: in.header.Created, PayloadSHA256: in.header.PayloadSHA256, Envelope: in.envelope, Refusal: in.refusal,
	}
	if in.refusal != nil {
		keep.Leaf = newLeaf(EntryEnvelopeRefused, at.subject(), now, in.envelope)
		return keep, Outcome{Refused: refused(*in.refusal)}, nil
	}
	payload, err := s.Codec.EncodeReceipt(Receipt{
		Sender: in.from, Receiver: s.State, Stream: at.Stream, Epoch: at.Epoch, Sequence: at.Sequence,
		EnvelopeSHA256: in.sha256, Received: now,
	})
	if err != nil {
		return keep, Outcome{}, err
	}
	receipt, err := s.sign(ReceiptType, payload)
	if err != nil {
		return keep, Outcome{}, err
	}
	if keep.Receipt, err = s.Codec.EncodeSigned(receipt); err != nil {
		return keep, Outcome{}, err
	}
	keep.Leaf = newLeaf(EntryEnvelopeReceived, at.subject(), now, in.envelope)
	keep.ReceiptLeaf = newLeaf(EntryReceiptSent, at.subject(), now, keep.Receipt)
	return keep, Outcome{Receipt: receipt}, nil
}

// advance keeps how far the release of the envelopes got.
func (s *Service) advance(ctx context.Context, tx Tx, run []*incoming) error {
	first := run[0]
	release, known, err := tx.InboundRelease(ctx, first.header.Release)
	if err != nil {
		return err
	}
	staged := &staging{release: release, known: known}
	if !known {
		dropped, err := tx.SupersedeReleases(ctx, first.from, first.header.Agreement, first.header.Release)
		if err != nil {
			return err
		}
		for _, old := range dropped {
			s.Log.WarnContext(ctx, "an incomplete release is superseded", "partner", first.from, "release", old, "by", first.header.Release)
		}
	}
	before := staged.release
	for _, in := range run {
		staged.add(in)
	}
	if known && before.State == staged.release.State && before.Received == staged.release.Received {
		return nil // refused because it is not the release's turn
	}
	if err := tx.SaveInboundRelease(ctx, staged.release); err != nil || known || first.warrant == nil {
		return err
	}
	return tx.AddWarrant(ctx, first.keptWarrant())
}

// handOverOne stores a release, and marks it as stored, or as refused by the statistics.
func (s *Service) handOverOne(ctx context.Context, release InboundRelease) error {
	first, err := s.kept(ctx, release, 0)
	if err != nil {
		return err
	}
	header, err := s.Codec.DecodeHeader(first.Header.Payload)
	if err != nil {
		return err
	}
	terms, over, err := s.sentUnder(ctx, header)
	if err != nil {
		return err
	}
	var warrant *incomingWarrant
	if terms.Source != "" {
		if warrant, err = readWarrant(s.Codec, first.Warrant); err != nil {
			return err
		}
		if header.Scope, err = s.replacedBy(ctx, header, terms, warrant); err != nil {
			return err
		}
	}
	if over && terms.Afterwards == Withdraw {
		release.State, release.Reason = Refused, "EXPIRED: the agreement was over before it could be stored"
		s.Log.WarnContext(ctx, "a partner's release is not stored: the agreement is over", "partner", release.Sender, "release", release.ID)
		return s.Store.Write(ctx, func(tx Tx) error { return tx.SaveInboundRelease(ctx, release) })
	}
	if header.Base != "" {
		base, known, err := s.Store.InboundRelease(ctx, header.Base)
		if err != nil {
			return err
		}
		if !known || base.Sender != release.Sender || base.Agreement != release.Agreement || base.State != Stored {
			return s.refuseForBase(ctx, release, header.Base)
		}
	}
	submitted, err := s.submit(ctx, Submission{
		Dataflow: header.Dataflow, Provider: terms.giver(), Scope: header.Scope,
		Release: release.ID, IdempotencyKey: string(release.ID), KeepDays: terms.keepDays(warrant, s.now()),
	}, s.contents(release.Batches, func(batch int) ([]byte, error) {
		envelope, err := s.kept(ctx, release, batch)
		return envelope.Payload, err
	}))
	if err != nil {
		return err
	}
	if submitted.Accepted {
		if err := s.emptyOthers(ctx, terms, header); err != nil {
			return err
		}
	}
	if release.State = Stored; !submitted.Accepted {
		release.State, release.Reason = Refused, "the statistics reject it: "+submitted.Reason
	}
	if err := s.Store.Write(ctx, func(tx Tx) error { return tx.SaveInboundRelease(ctx, release) }); err != nil {
		return err
	}
	if release.State == Refused {
		s.Log.ErrorContext(ctx, "the statistics reject a release", "partner", release.Sender, "release", release.ID, "reason", submitted.Reason)
		return nil
	}
	s.Log.InfoContext(ctx, "stored a partner's release", "partner", release.Sender, "release", release.ID, "batches", release.Batches)
	wake(s.toRelease) // it may be passed on
	return nil
}

// refuseForBase marks a release as refused because the one that it builds upon is not stored, and has the sender asked for
// everything.
func (s *Service) refuseForBase(ctx context.Context, release InboundRelease, base ReleaseID) error {
	release.State, release.Reason = Refused, baseMissing+": it builds upon "+string(base)+", which is not stored here"
	s.Log.WarnContext(ctx, "a partner's release builds upon one that is not here: everything is asked for again",
		"partner", release.Sender, "agreement", release.Agreement, "release", release.ID, "base", base)
	if err := s.Store.Write(ctx, func(tx Tx) error { return tx.SaveInboundRelease(ctx, release) }); err != nil {
		return err
	}
	s.changes.announce()
	return nil
}

// sentUnder returns the terms that a release was sent under, and whether they are no longer in force.
func (s *Service) sentUnder(ctx context.Context, header Header) (terms Terms, over bool, err error) {
	versions, err := s.agreements(ctx, header.Agreement)
	if err != nil {
		return Terms{}, false, err
	}
	for _, a := range versions {
		if a.Terms.Version == header.AgreementVersion {
			return a.Terms, !a.covers(s.now().Format(time.DateOnly)), nil
		}
	}
	return Terms{}, false, fmt.Errorf("there is no agreement %s, version %d", header.Agreement, header.AgreementVersion)
}

func (s *Service) kept(ctx context.Context, release InboundRelease, batch int) (Envelope, error) {
	data, err := s.Store.ReleaseEnvelope(ctx, release.ID, batch)
	if err != nil {
		return Envelope{}, err
	}
	return s.Codec.DecodeEnvelope(data)
}
