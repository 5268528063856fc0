package sharing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/block"
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

// Receive verifies an envelope that came from a partner, keeps it, and returns the receipt. The same envelope again
// gives the same receipt, byte for byte, and has no other effect.
//
// What is wrong is a fault with one of these reasons.
//
//	RECEIVE_REFUSED    its content, which the sender has signed, is not what was agreed or what policy here accepts. It
//	                   is kept as evidence and the cursor moves on, for the sender would only send the same again. There
//	                   is no receipt, and its release is not stored. The next envelope can be received.
//	EQUIVOCATION       the sender has signed two envelopes for one place. Both are kept, and the stream is quarantined.
//	UNTRUSTED_SIGNER, ENVELOPE_INVALID, NO_AGREEMENT, POLICY_ERROR, OUT_OF_SEQUENCE, WRONG_EPOCH
//	                   nothing is kept and nothing has moved: what is meant can be asked for again, from the cursor.
func (s *Service) Receive(ctx context.Context, from StateCode, envelope []byte) (Signed, error) {
	if err := s.writable(ctx); err != nil {
		return Signed{}, err
	}
	in, err := s.open(from, envelope)
	if err != nil {
		return Signed{}, err
	}
	// The place comes first: were it read last, the same envelope kept in between would look out of sequence.
	place, err := s.Store.Inbound(ctx, in.header.Stream)
	if err != nil {
		return Signed{}, err
	}
	if receipt, known, err := s.receivedBefore(ctx, in); known || err != nil {
		return receipt, err
	}
	if err := s.follows(ctx, in, place); err != nil {
		return Signed{}, err
	}
	terms, err := s.termsOf(ctx, in)
	if err != nil {
		return Signed{}, err
	}
	if in.refusal, err = s.judge(ctx, in, terms); err != nil {
		return Signed{}, err
	}
	return s.accept(ctx, in)
}

// incoming is an envelope whose signature and form are good.
type incoming struct {
	from     StateCode
	envelope []byte
	sha256   []byte
	header   Header
	signed   []byte // the header's exact bytes
	payload  []byte
	cells    int
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
	case !uuid.MatchString(string(header.Release)) || header.BatchCount < 1 || header.BatchCount > math.MaxInt32 || header.BatchIndex >= header.BatchCount:
		return nil, invalid("batch %d of %d of release %q is none", header.BatchIndex, header.BatchCount, header.Release)
	}
	return in, nil
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

// follows fails unless the envelope is the next of its stream: the one after the last, or the first of a new epoch.
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
		return nil
	}
	if header.Sequence != place.Sequence+1 {
		return fault.New(fault.Precondition, "OUT_OF_SEQUENCE", "%d is next, not %d", place.Sequence+1, header.Sequence)
	}
	if !bytes.Equal(header.Previous, place.SHA256) {
		return s.equivocation(ctx, in)
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
	RefAreas  []string      `json:"refAreas"` // the sender's own
	Header    receiveHeader `json:"header"`
	Agreement Terms         `json:"agreement"`
	Summary   summary       `json:"summary"`
	Date      string        `json:"date"`
}

type receiveHeader struct {
	Agreement AgreementID `json:"agreement"`
	Version   int         `json:"version"`
	Dataflow  string      `json:"dataflow"`
}

// summary says what is in a batch.
type summary struct {
	RefAreas     []string `json:"refAreas"`
	Indicators   []string `json:"indicators"`
	Minimum      float64  `json:"minimum"` // the smallest count above zero; 0: there is none
	Components   []string `json:"components"`
	UnknownCodes []string `json:"unknownCodes"` // "DIMENSION=code"
	Frequencies  []string `json:"frequencies"`
	// Finest holds for each dimension but FREQ the levels that its codes are of, "_T" for the total.
	Finest map[string][]string `json:"finest"`
}

// judge returns why the envelope's content is refused for good; nil: it is accepted. An error says that this cannot be
// told now.
func (s *Service) judge(ctx context.Context, in *incoming, terms Terms) (*Reason, error) {
	bad := func(format string, args ...any) (*Reason, error) {
		return &Reason{Code: "ENVELOPE_INVALID", Text: fmt.Sprintf(format, args...), Agreement: terms.ID}, nil
	}
	if in.header.Dataflow != terms.Dataflow {
		return bad("it is of dataflow %s, the agreement is of %s", in.header.Dataflow, terms.Dataflow)
	}
	structures, err := s.structuresOf(ctx, in.header.Dataflow)
	if err != nil {
		return nil, err
	}
	content, err := s.Codec.DecodePayload(in.payload)
	if err != nil {
		return bad("the payload cannot be read: %v", err)
	}
	in.cells = content.Rows
	about, err := summarise(structures, content, in.header)
	if err != nil {
		return bad("%v", err)
	}
	if outside := terms.Periods.outside(content); outside != "" {
		return &Reason{
			Code: "PERIOD_NOT_COVERED", Agreement: terms.ID,
			Text: fmt.Sprintf("agreement %s covers %s, not %s", terms.ID, terms.Periods, outside),
		}, nil
	}
	if reason, err := s.fitsRelease(ctx, in, terms); reason != nil || err != nil {
		return reason, err
	}
	sender, _ := s.Trust.State(in.from)
	var verdict struct {
		Allow   bool     `json:"allow"`
		Reasons []Reason `json:"reasons"`
	}
	question := receiveQuestion{
		State: s.State, Sender: in.from, RefAreas: sender.RefAreas,
		Header:    receiveHeader{Agreement: in.header.Agreement, Version: in.header.AgreementVersion, Dataflow: in.header.Dataflow},
		Agreement: terms, Summary: about, Date: s.now().Format(time.DateOnly),
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

// summarise checks the form of a batch and says what is in it.
func summarise(structures *Structures, b *block.Block, header Header) (summary, error) {
	about := summary{
		RefAreas: []string{}, Indicators: []string{}, Components: []string{}, UnknownCodes: []string{}, Frequencies: []string{},
		Finest: map[string][]string{},
	}
	for _, column := range b.Columns {
		about.Components = append(about.Components, column.Component)
	}
	periods, values := b.Column(block.TimePeriod), b.Column(block.ObsValue)
	if periods == nil || periods.IsNumber() || values == nil || !values.IsNumber() {
		return summary{}, errors.New("it has no periods or no values")
	}
	status := b.Column(block.ObsStatus)
	if status != nil && status.IsNumber() {
		return summary{}, errors.New("its statuses are numbers")
	}
	columns := make([]*block.Column, len(structures.Dimensions))
	for i, dimension := range structures.Dimensions {
		column := b.Column(dimension.ID)
		if column == nil || column.IsNumber() {
			return summary{}, fmt.Errorf("it has no codes of %s", dimension.ID)
		}
		columns[i] = column
		used := usedCodes(column)
		switch dimension.ID {
		case refArea:
			about.RefAreas = used
		case indicator:
			about.Indicators = used
		case freq:
			about.Frequencies = used
		}
		for _, code := range used {
			known, ok := dimension.Codes[code]
			level := known.Level
			switch {
			case !ok:
				about.UnknownCodes = append(about.UnknownCodes, dimension.ID+"="+code)
				continue
			case code == Total:
				level = Total
			}
			if dimension.ID != freq && !slices.Contains(about.Finest[dimension.ID], level) {
				about.Finest[dimension.ID] = append(about.Finest[dimension.ID], level)
			}
		}
	}
	seen := make(map[string]bool, b.Rows)
	for i := range b.Rows {
		value := values.Numbers[i]
		switch {
		case value < 0:
			return summary{}, fmt.Errorf("row %d has a value below zero", i)
		case math.IsNaN(value) && (status == nil || !missing(status.Text(i))):
			return summary{}, fmt.Errorf("row %d has no value, and does not say why", i)
		}
		if value > 0 && (about.Minimum == 0 || value < about.Minimum) {
			about.Minimum = value
		}
		key := periods.Text(i)
		for _, column := range columns {
			key += "\x00" + column.Text(i)
		}
		if seen[key] {
			return summary{}, fmt.Errorf("row %d stands twice", i)
		}
		seen[key] = true
		outside := !header.Scope.Match(func(component string) string {
			if column := b.Column(component); column != nil && !column.IsNumber() {
				return column.Text(i)
			}
			return ""
		})
		if outside {
			return summary{}, fmt.Errorf("row %d is outside the scope of its release", i)
		}
	}
	return about, nil
}

// missing reports whether an OBS_STATUS says that there is no value (CL_OBS_STATUS).
func missing(status string) bool { return len(status) == 1 && strings.Contains("KHMLOQ", status) }

// usedCodes returns the codes that rows have, sorted.
func usedCodes(column *block.Column) []string {
	used := make([]bool, len(column.Dictionary))
	for _, code := range column.Codes {
		used[code] = true
	}
	codes := []string{}
	for i, code := range column.Dictionary {
		if used[i] {
			codes = append(codes, code)
		}
	}
	slices.Sort(codes)
	return slices.Compact(codes)
}

// fitsRelease returns why the batch is not the next one of its release; nil: it is.
func (s *Service) fitsRelease(ctx context.Context, in *incoming, terms Terms) (*Reason, error) {
	bad := func(format string, args ...any) (*Reason, error) {
		return &Reason{Code: "ENVELOPE_INVALID", Text: fmt.Sprintf(format, args...), Agreement: terms.ID}, nil
	}
	release, known, err := s.Store.InboundRelease(ctx, in.header.Release)
	if err != nil {
		return nil, err
	}
	if !known {
		if in.header.BatchIndex != 0 {
			return bad("its release begins with batch %d", in.header.BatchIndex)
		}
		release.Batches, release.SHA256 = in.header.BatchCount, in.header.ReleaseSHA256
	} else {
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
	total := sha256.New()
	for batch := range in.header.BatchIndex {
		before, err := s.Store.ReleaseEnvelope(ctx, in.header.Release, batch)
		if err != nil {
			return nil, err
		}
		envelope, err := s.Codec.DecodeEnvelope(before)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(envelope.Payload)
		total.Write(sum[:])
	}
	sum := sha256.Sum256(in.payload)
	total.Write(sum[:])
	if !bytes.Equal(total.Sum(nil), in.header.ReleaseSHA256) {
		return bad("its batches are not the release that the header names")
	}
	return nil, nil
}

// accept keeps the envelope, moves the cursor and signs the receipt in one transaction; for a refused one there is no
// receipt.
func (s *Service) accept(ctx context.Context, in *incoming) (Signed, error) {
	now := s.now()
	payload, err := s.Codec.EncodeReceipt(Receipt{
		Sender: in.from, Receiver: s.State, Stream: in.header.Stream, Epoch: in.header.Epoch, Sequence: in.header.Sequence,
		EnvelopeSHA256: in.sha256, Received: now,
	})
	if err != nil {
		return Signed{}, err
	}
	receipt, err := s.sign(ReceiptType, payload)
	if err != nil {
		return Signed{}, err
	}
	receiptData, err := s.Codec.EncodeSigned(receipt)
	if err != nil {
		return Signed{}, err
	}
	at := in.at()
	newEpoch, moved := false, false
	err = s.Store.Write(ctx, func(tx Tx) error {
		place, err := tx.LockInbound(ctx, at.Stream, in.from)
		if err != nil {
			return err
		}
		newEpoch = place.Epoch != "" && place.Epoch != at.Epoch
		next := place.Sequence + 1
		if place.Epoch != at.Epoch {
			next = 1
		}
		if moved = place.Quarantined || next != at.Sequence; moved {
			return nil // by another connection, in between
		}
		kind := EntryEnvelopeReceived
		if in.refusal != nil {
			kind = EntryEnvelopeRefused
		}
		err = tx.AddReceived(ctx, at, ReceivedEnvelope{
			Release: in.header.Release, Agreement: in.header.Agreement, Batch: in.header.BatchIndex, Cells: in.cells,
			Envelope: in.envelope, Refusal: in.refusal,
		}, newLeaf(kind, at.subject(), now, in.envelope))
		if err != nil {
			return err
		}
		if in.refusal == nil {
			if err := tx.AddReceiptSent(ctx, at, receiptData, newLeaf(EntryReceiptSent, at.subject(), now, receiptData)); err != nil {
				return err
			}
		}
		return s.advance(ctx, tx, in)
	})
	if err != nil {
		return Signed{}, err
	}
	if moved {
		if receipt, known, err := s.receivedBefore(ctx, in); known || err != nil {
			return receipt, err
		}
		return Signed{}, fault.New(fault.Precondition, "OUT_OF_SEQUENCE", "the stream has moved in between")
	}
	if newEpoch {
		s.Log.WarnContext(ctx, "a partner's stream began a new epoch", "partner", in.from, "stream", at.Stream, "epoch", at.Epoch)
	}
	if in.refusal != nil {
		s.Log.WarnContext(ctx, "an envelope was refused", "partner", in.from, "place", at.subject(), "reason", in.refusal.Code, "text", in.refusal.Text)
		return Signed{}, refused(*in.refusal)
	}
	if in.header.BatchIndex+1 == in.header.BatchCount {
		wake(s.toHandOver)
	}
	return receipt, nil
}

// advance keeps how far the release of the envelope got.
func (s *Service) advance(ctx context.Context, tx Tx, in *incoming) error {
	release, known, err := tx.InboundRelease(ctx, in.header.Release)
	if err != nil {
		return err
	}
	switch {
	case known && (release.Sender != in.from || release.State != Staged):
		return nil // refused for exactly that
	case !known:
		release = InboundRelease{
			ID: in.header.Release, Sender: in.from, Agreement: in.header.Agreement, State: Staged,
			Batches: in.header.BatchCount, SHA256: in.header.ReleaseSHA256,
		}
		dropped, err := tx.SupersedeReleases(ctx, in.from, in.header.Agreement, release.ID)
		if err != nil {
			return err
		}
		for _, old := range dropped {
			s.Log.WarnContext(ctx, "an incomplete release is superseded", "partner", in.from, "release", old, "by", release.ID)
		}
	}
	if in.refusal != nil {
		release.State, release.Reason = Refused, in.refusal.Code+": "+in.refusal.Text
	} else {
		release.Received++
	}
	return tx.SaveInboundRelease(ctx, release)
}

const handOverEvery = 5 * time.Second

// HandOver stores partners' releases in this state's statistics once they are whole, each as one revision, until the
// context ends.
func (s *Service) HandOver(ctx context.Context) error {
	s.keep(ctx, "handing over", 0, func(ctx context.Context) error {
		await(ctx, s.toHandOver, handOverEvery)
		_, err := s.Store.Exclusively(ctx, "hand over", s.handOverAll)
		return err
	})
	return nil
}

// handOverAll hands over what is whole, the oldest first. A release that fails keeps back only those of its sender.
func (s *Service) handOverAll(ctx context.Context) error {
	if err := s.writable(ctx); err != nil {
		return err
	}
	releases, err := s.Store.WholeReleases(ctx)
	if err != nil {
		return err
	}
	failed := map[StateCode]bool{}
	var failures []error
	for _, release := range releases {
		if failed[release.Sender] {
			continue
		}
		if err := s.handOverOne(ctx, release); err != nil {
			failed[release.Sender] = true
			failures = append(failures, fmt.Errorf("release %s of %s: %w", release.ID, release.Sender, err))
		}
	}
	return errors.Join(errors.Join(failures...), s.withdrawAll(ctx, failed))
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
	if over && terms.Afterwards == Withdraw {
		release.State, release.Reason = Refused, "EXPIRED: the agreement was over before it could be stored"
		s.Log.WarnContext(ctx, "a partner's release is not stored: the agreement is over", "partner", release.Sender, "release", release.ID)
		return s.Store.Write(ctx, func(tx Tx) error { return tx.SaveInboundRelease(ctx, release) })
	}
	submitted, err := s.submit(ctx, Submission{
		Dataflow: header.Dataflow, Provider: release.Sender, Scope: header.Scope,
		Release: release.ID, IdempotencyKey: string(release.ID), KeepDays: terms.RetentionDays,
	}, s.contents(release.Batches, func(batch int) ([]byte, error) {
		envelope, err := s.kept(ctx, release, batch)
		return envelope.Payload, err
	}))
	if err != nil {
		return err
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
