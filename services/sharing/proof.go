package sharing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/comity-federation/comity/services/fault"
)

// Proof is everything that proves one delivery to somebody who trusts the keys of its two states: what was agreed,
// decided, sent and receipted, each with the proof that the log of one of them contains it.
type Proof struct {
	State      StateCode // whose log it is taken from
	At         Cursor
	Entries    []ProvedEntry // see [proofParts]
	Checkpoint string        // that they are under
	Witnesses  []ProofWitness
	TrustList  []byte // JSON: what the trust list of State says of the states in it, for comparison
}

// ProvedEntry is an entry with the proof that it is in the log.
type ProvedEntry struct {
	LogEntry           // without TreeHashes
	Inclusion [][]byte // RFC 6962, section 2.1.1
	Header    []byte   // the header, a Signed, of an envelope whose figures are left out: Content is empty then
}

// ProofWitness is a partner's word that it has seen the log.
type ProofWitness struct {
	State       StateCode
	Cosigned    string   // a checkpoint with its signature
	Consistency [][]byte // RFC 6962, section 2.1.2: the proof's checkpoint extends it
}

// Proven is what a proof says, once it was verified.
type Proven struct {
	Header    Header
	Kind      EntryKind   // of the envelope: sent, received or refused
	Receipt   *Receipt    // nil: there is none in the log
	Figures   bool        // they came with it, and are those that the header names
	Witnesses []StateCode // that have co-signed a log with the envelope in it
}

// ProofError names the first thing of a proof that is not what it must be.
type ProofError struct {
	Part    string // "the checkpoint", "receipt received us-gb/…/4"
	Problem string
	Meaning string // what one can conclude
}

// Error says all three.
func (e *ProofError) Error() string { return e.Part + ": " + e.Problem + "; " + e.Meaning }

// What bad parts mean.
const (
	meansForged   = "nobody who holds the state's key has said this"
	meansChanged  = "it was changed after it was written to the log"
	meansNotInLog = "the log that the state has signed does not contain it"
	meansSplit    = "the state has shown its partner another log than this one"
	meansPartial  = "the proof is not whole, and shows less than it should"
	meansMixed    = "parts of different deliveries were put together"
)

// proofParts returns the names of the entries that prove a delivery, in the order of a proof: the agreement's document
// and its two signatures; where the state has sent it, the decision and the release; the envelope; the receipt.
func proofParts(h Header, envelope EntryKind) []EntryName {
	parts := []EntryName{{EntryAgreement, agreementSubject(h.Agreement, h.AgreementVersion, "document")}}
	for _, state := range []StateCode{h.Sender, h.Receiver} {
		parts = append(parts, EntryName{EntryAgreement, agreementSubject(h.Agreement, h.AgreementVersion, "signature", string(state))})
	}
	at := Cursor{Stream: h.Stream, Epoch: h.Epoch, Sequence: h.Sequence}.subject()
	switch envelope {
	case EntryEnvelopeSent:
		release := Release{Partner: h.Receiver, Agreement: h.Agreement, AgreementVersion: h.AgreementVersion, ID: h.Release}
		return append(parts, EntryName{EntryDecision, string(h.Decision)}, EntryName{EntryRelease, release.subject()},
			EntryName{envelope, at}, EntryName{EntryReceiptReceived, at})
	case EntryEnvelopeReceived:
		return append(parts, EntryName{envelope, at}, EntryName{EntryReceiptSent, at})
	default:
		return append(parts, EntryName{envelope, at})
	}
}

// Proof returns what proves the delivery at a place of a stream to or from this state. The figures are left out unless
// they are asked for. A delivery that the log does not have yet is a fault of kind NotFound.
func (s *Service) Proof(ctx context.Context, at Cursor, figures bool) (Proof, error) {
	sender, receiver, _ := strings.Cut(at.Stream, "-")
	partner := StateCode(sender)
	if partner == s.State {
		partner = StateCode(receiver)
	}
	known := s.checkPartner(partner) == nil && (at.Stream == StreamName(s.State, partner) || at.Stream == StreamName(partner, s.State))
	if !known || !uuid.MatchString(at.Epoch) {
		return Proof{}, fault.Missing("%s has no stream %q with an epoch %q", s.State, at.Stream, at.Epoch)
	}
	found, err := s.Store.NamedEntries(ctx, []EntryName{
		{EntryEnvelopeSent, at.subject()}, {EntryEnvelopeReceived, at.subject()}, {EntryEnvelopeRefused, at.subject()},
	})
	if err != nil {
		return Proof{}, err
	}
	if len(found) == 0 {
		return Proof{}, fault.Missing("the log has no delivery at %s", at.subject())
	}
	envelope, err := s.Codec.DecodeEnvelope(found[0].Content)
	if err != nil {
		return Proof{}, fmt.Errorf("reading the envelope at %s: %w", at.subject(), err)
	}
	header, err := s.Codec.DecodeHeader(envelope.Header.Payload)
	if err != nil {
		return Proof{}, fmt.Errorf("reading the header at %s: %w", at.subject(), err)
	}
	names := proofParts(header, found[0].Kind)
	entries, err := s.Store.NamedEntries(ctx, names)
	if err != nil {
		return Proof{}, err
	}
	place := func(e LogEntry) int { return slices.Index(names, EntryName{e.Kind, e.Subject}) }
	slices.SortFunc(entries, func(a, b LogEntry) int { return place(a) - place(b) })

	proof := Proof{State: s.State, At: at}
	for _, entry := range entries {
		entry.TreeHashes = nil
		proved := ProvedEntry{LogEntry: entry}
		if entry.Kind == found[0].Kind && (!figures || len(envelope.Payload) == 0) { // or they were removed
			if proved.Header, err = s.Codec.EncodeSigned(envelope.Header); err != nil {
				return Proof{}, err
			}
			proved.Content = nil
		}
		proof.Entries = append(proof.Entries, proved)
	}
	if err := s.proveLog(ctx, &proof); err != nil {
		return Proof{}, err
	}
	return proof, s.quoteTrust(&proof, header)
}

// proveLog adds the newest checkpoint, the proofs that the entries are under it, and what partners have seen of it.
func (s *Service) proveLog(ctx context.Context, proof *Proof) error {
	// After the entries: an entry has its place in the transaction of the checkpoint over it.
	signed, err := s.Store.Checkpoint(ctx)
	if err != nil {
		return err
	}
	newest, err := s.openOwn(signed)
	if err != nil {
		return fmt.Errorf("opening our own checkpoint: %w", err)
	}
	proof.Checkpoint = signed
	reader := s.tree(ctx)
	for i, entry := range proof.Entries {
		path, err := tlog.ProveRecord(newest.size, entry.Index, reader)
		if err != nil {
			return fmt.Errorf("proving entry %d of %d: %w", entry.Index, newest.size, err)
		}
		proof.Entries[i].Inclusion = hashBytes(path)
	}
	cosigned, err := s.CosignedCheckpoints(ctx)
	if err != nil {
		return err
	}
	for _, partner := range slices.Sorted(maps.Keys(cosigned)) {
		seen, err := s.openOwn(cosigned[partner])
		if err != nil {
			return fmt.Errorf("opening the checkpoint that %s has co-signed: %w", partner, err)
		}
		if seen.size > newest.size {
			continue // co-signed since
		}
		path, err := tlog.ProveTree(newest.size, seen.size, reader)
		if err != nil {
			return fmt.Errorf("proving the log from %d to %d: %w", seen.size, newest.size, err)
		}
		proof.Witnesses = append(proof.Witnesses, ProofWitness{State: partner, Cosigned: cosigned[partner], Consistency: hashBytes(path)})
	}
	return nil
}

// quoteTrust adds what the trust list says of the states of the proof.
func (s *Service) quoteTrust(proof *Proof, header Header) (err error) {
	list := s.Trust.List()
	part := *list
	part.States = nil
	for _, state := range list.States {
		witness := slices.ContainsFunc(proof.Witnesses, func(w ProofWitness) bool { return w.State == state.Code })
		if witness || state.Code == header.Sender || state.Code == header.Receiver {
			part.States = append(part.States, state)
		}
	}
	proof.TrustList, err = json.Marshal(part)
	return err
}

// Verify checks a proof by the keys of a trust list, which is the verifier's own. What is wrong is a [*ProofError] that
// names the first such thing.
func (p Proof) Verify(trust *TrustList, codec Codec) (Proven, error) {
	v := proofVerifier{Proof: p, trust: trust, codec: codec}
	for _, step := range []func() *ProofError{v.openHead, v.contains, v.readEnvelope, v.complete, v.readEntries, v.witnesses} {
		if problem := step(); problem != nil {
			return Proven{}, problem
		}
	}
	return v.proven, nil
}

// proofVerifier goes through a proof.
type proofVerifier struct {
	Proof
	trust  *TrustList
	codec  Codec
	head   checkpoint
	place  int64 // of the envelope in the log
	proven Proven
}

// openHead checks the signature of the checkpoint.
func (v *proofVerifier) openHead() *ProofError {
	const part = "the checkpoint"
	own, ok := v.trust.State(v.State)
	if !ok {
		return &ProofError{part, fmt.Sprintf("state %q is not on the trust list", v.State), meansForged}
	}
	var err error
	if v.head, _, _, err = openCheckpointBy(v.Checkpoint, LogName(v.State), own.LogKeys()); err != nil {
		return &ProofError{part, err.Error(), meansForged}
	}
	return nil
}

// contains checks that the log of the checkpoint contains the entries.
func (v *proofVerifier) contains() *ProofError {
	for _, entry := range v.Entries {
		part := entry.Kind.String() + " " + entry.Subject
		sum := sha256.Sum256(entry.Content)
		leaf := entry.leaf().Hash()
		switch {
		case len(entry.Content) > 0 && !bytes.Equal(sum[:], entry.ContentSHA256):
			return &ProofError{part, "its content is not the one that was logged", meansChanged}
		case !bytes.Equal(leaf[:], entry.LeafHash):
			return &ProofError{part, "its leaf hash is not that of its record", meansChanged}
		}
		path, ok := hashes(entry.Inclusion)
		if !ok || entry.Index < 0 || entry.Index >= v.head.size {
			return &ProofError{part, "its proof of inclusion cannot be read", meansNotInLog}
		}
		if err := tlog.CheckRecord(path, v.head.size, v.head.root, entry.Index, tlog.Hash(leaf)); err != nil {
			return &ProofError{part, "its proof of inclusion does not lead to the root of the checkpoint", meansNotInLog}
		}
	}
	return nil
}

// readEnvelope finds the envelope and reads its header.
func (v *proofVerifier) readEnvelope() *ProofError {
	i := slices.IndexFunc(v.Entries, func(e ProvedEntry) bool {
		return e.Kind == EntryEnvelopeSent || e.Kind == EntryEnvelopeReceived || e.Kind == EntryEnvelopeRefused
	})
	if i < 0 {
		return &ProofError{"the envelope", "it is missing", meansPartial}
	}
	entry := v.Entries[i]
	part := entry.Kind.String() + " " + entry.Subject
	var signed Signed
	var err error
	if v.proven.Figures = len(entry.Content) > 0; v.proven.Figures {
		var envelope Envelope
		envelope, err = v.codec.DecodeEnvelope(entry.Content)
		signed = envelope.Header
	} else {
		signed, err = v.codec.DecodeSigned(entry.Header)
	}
	if err != nil {
		return &ProofError{part, fmt.Sprintf("it cannot be read: %v", err), meansPartial}
	}
	if v.proven.Header, err = v.codec.DecodeHeader(signed.Payload); err != nil {
		return &ProofError{part, fmt.Sprintf("its header cannot be read: %v", err), meansForged}
	}
	h := v.proven.Header
	if _, err := v.trust.Verify(h.Sender, HeaderType, signed, entry.Created); err != nil {
		return &ProofError{part, err.Error(), meansForged}
	}
	at := Cursor{Stream: h.Stream, Epoch: h.Epoch, Sequence: h.Sequence}
	sent := entry.Kind == EntryEnvelopeSent
	if at != v.At || entry.Subject != at.subject() || h.Stream != StreamName(h.Sender, h.Receiver) ||
		sent != (h.Sender == v.State) || !sent && h.Receiver != v.State {
		return &ProofError{part, "its header is of another place", meansMixed}
	}
	v.proven.Kind, v.place = entry.Kind, entry.Index
	return nil
}

// complete checks that there is each entry that the header asks for, once, and no other. There may be no receipt yet.
func (v *proofVerifier) complete() *ProofError {
	wanted := proofParts(v.proven.Header, v.proven.Kind)
	for i, entry := range v.Entries {
		if i >= len(wanted) || wanted[i] != (EntryName{entry.Kind, entry.Subject}) {
			if i < len(wanted) && !slices.ContainsFunc(v.Entries, func(e ProvedEntry) bool { return wanted[i] == EntryName{e.Kind, e.Subject} }) {
				return &ProofError{wanted[i].Kind.String() + " " + wanted[i].Subject, "it is missing", meansPartial}
			}
			return &ProofError{entry.Kind.String() + " " + entry.Subject, "it has nothing to do with the delivery here", meansMixed}
		}
	}
	if last := wanted[len(v.Entries):]; len(last) > 1 || len(last) == 1 && last[0].Kind != EntryReceiptReceived {
		return &ProofError{last[0].Kind.String() + " " + last[0].Subject, "it is missing", meansPartial}
	}
	return nil
}

// readEntries reads the entries as an auditor of the whole log does, and holds them against the header.
func (v *proofVerifier) readEntries() *ProofError {
	h := v.proven.Header
	a := &auditor{
		state: v.State, trust: v.trust, codec: v.codec, envelopes: map[string][]byte{}, documents: map[string][]byte{},
		streams: map[string]Place{h.Stream + "/" + h.Epoch: {Epoch: h.Epoch, Sequence: h.Sequence - 1, SHA256: h.Previous}},
	}
	for _, entry := range v.Entries {
		part := entry.Kind.String() + " " + entry.Subject
		if len(entry.Content) == 0 {
			if entry.Kind != v.proven.Kind {
				return &ProofError{part, "its content is missing", meansPartial}
			}
			a.envelopes[entry.Subject] = entry.ContentSHA256
			continue
		}
		if err := a.read(entry.LogEntry); err != nil {
			meaning := meansMixed
			if fault.Reason(err) == "UNTRUSTED_SIGNER" {
				meaning = meansForged
			}
			return &ProofError{part, err.Error(), meaning}
		}
		if problem := v.fits(entry.LogEntry); problem != "" {
			return &ProofError{part, problem, meansMixed}
		}
	}
	return nil
}

// fits returns what in an entry's content contradicts the header; "": nothing. The content was read before.
func (v *proofVerifier) fits(entry LogEntry) string {
	h := v.proven.Header
	switch entry.Kind {
	case EntryAgreement:
		if !strings.HasSuffix(entry.Subject, "/document") {
			return ""
		}
		terms, err := ParseDocument(entry.Content)
		if err != nil || terms.Provider != h.Sender || terms.Receiver != h.Receiver || !inRange(h.Dataflow, terms.Dataflow) {
			return "it is an agreement of other states, or about another dataflow"
		}
	case EntryRelease:
		var release Release
		if err := json.Unmarshal(entry.Content, &release); err != nil || !bytes.Equal(release.SHA256, h.ReleaseSHA256) || release.Decision != h.Decision {
			return "its content is not the one that the header names"
		}
	case EntryReceiptReceived, EntryReceiptSent:
		signed, err := v.codec.DecodeSigned(entry.Content)
		if err != nil {
			return "it cannot be read"
		}
		receipt, err := v.codec.DecodeReceipt(signed.Payload)
		if err != nil || receipt.Sender != h.Sender || receipt.Receiver != h.Receiver {
			return "it is a receipt between other states"
		}
		v.proven.Receipt = &receipt
	}
	return ""
}

// witnesses checks what partners have co-signed.
func (v *proofVerifier) witnesses() *ProofError {
	for _, witness := range v.Witnesses {
		part := fmt.Sprintf("the co-signature of %s", witness.State)
		partner, ok := v.trust.State(witness.State)
		if !ok {
			return &ProofError{part, "the state is not on the trust list", meansForged}
		}
		seen, _, _, err := openCheckpointBy(witness.Cosigned, LogName(v.State), partner.LogKeys())
		if err != nil {
			return &ProofError{part, err.Error(), meansForged}
		}
		path, ok := hashes(witness.Consistency)
		if !ok || seen.size > v.head.size || tlog.CheckTree(path, v.head.size, v.head.root, seen.size, seen.root) != nil {
			return &ProofError{part, fmt.Sprintf("the checkpoint does not extend the one of %d entries that it has seen", seen.size), meansSplit}
		}
		if v.place < seen.size && witness.State != v.State {
			v.proven.Witnesses = append(v.proven.Witnesses, witness.State)
		}
	}
	return nil
}

// hashBytes returns the hashes of a path as slices.
func hashBytes(path []tlog.Hash) [][]byte {
	list := make([][]byte, len(path))
	for i, hash := range path {
		list[i] = hash[:]
	}
	return list
}

// hashes returns a path that came as slices; false where one of them is no hash.
func hashes(list [][]byte) ([]tlog.Hash, bool) {
	path := make([]tlog.Hash, len(list))
	for i, hash := range list {
		if len(hash) != tlog.HashSize {
			return nil, false
		}
		path[i] = tlog.Hash(hash)
	}
	return path, true
}
