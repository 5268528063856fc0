package sharing

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/comity-federation/comity/services/fault"
)

// BadEntryError names the first entry of a log that is not what it must be.
type BadEntryError struct {
	Index   int64
	Kind    EntryKind // 0 where the entry is missing
	Subject string
	Problem string
	Meaning string // what one can conclude
}

// Error says which entry is bad, how, and what that means.
func (e *BadEntryError) Error() string {
	if e.Kind == 0 {
		return fmt.Sprintf("entry %d: %s; %s", e.Index, e.Problem, e.Meaning)
	}
	return fmt.Sprintf("entry %d (%s %s): %s; %s", e.Index, e.Kind, e.Subject, e.Problem, e.Meaning)
}

// What bad entries mean.
const (
	meansDeleted  = "rows of the log were deleted, or not all of them were shown"
	meansGone     = "the row that the entry is about was deleted, or its key was changed"
	meansRewrites = "a row of the log was changed after it got its place"
	meansCut      = "the end of the log was deleted, or its database was restored from an older backup"
	meansAnew     = "the log was written anew since then, or its state shows several logs"
	meansBroken   = "what was logged contradicts itself: envelopes or decisions were left out, exchanged or put in"
)

// wrong is what is wrong with an entry.
type wrong struct{ problem, meaning string }

// Log is a state's log as somebody shows it.
type Log struct {
	State       StateCode
	Checkpoint  string               // a signed note; "": there is none
	VerifierKey string               // as the log names it itself
	Cosigned    map[StateCode]string // the checkpoints that partners have co-signed last
	Seen        []SeenCheckpoint     // the checkpoints that anybody has seen of it; those of other logs are left
	Entries     iter.Seq2[LogEntry, error]
}

// Verify checks a whole log, and returns how many entries it has checked. Entries come in order from index 0 on, as
// LogEntries answers them. The checkpoints are as Checkpoint and CosignedCheckpoints answer them, asked for before the
// entries: those that came since are checked but for the root. The trust list is the verifier's own.
//
// Of each entry it computes anew the hash of the content, the leaf and the hashes of the tree; it reads the content and
// holds it against the subject; it checks the signatures of agreements, envelopes and receipts, the order and the
// chain of hashes of each stream, and that each receipt is for an envelope of the log. A signing key counts for the entries
// of the time when it was valid. The first entry that is not as it must be is a [*BadEntryError]; a checkpoint that does not
// fit is another error. A log that is whole, but not the one that a partner has seen, is found by the checkpoints that the
// partner has co-signed: the first entry of those after the last checkpoint that fits is named, for it or one after it is
// another one.
func Verify(ctx context.Context, trust *TrustList, codec Codec, log Log) (int64, error) {
	own, ok := trust.State(log.State)
	if !ok {
		return 0, fmt.Errorf("state %q is not on the trust list", log.State)
	}
	if !slices.Contains(own.LogKeys(), log.VerifierKey) {
		return 0, errors.New("the log's verifier key is none on the trust list")
	}
	a := &auditor{
		state: log.State, trust: trust, codec: codec, streams: map[string]Place{}, envelopes: map[string][]byte{}, documents: map[string][]byte{},
		gone: map[string]gone{}, reader: treeReader{added: map[int64][]byte{}, load: func([]int64) (map[int64][]byte, error) { return nil, nil }},
	}
	if err := a.expect(log.Seen); err != nil {
		return 0, err
	}
	for entry, err := range log.Entries {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return a.next, fmt.Errorf("reading entry %d: %w", a.next, err)
		}
		if bad := a.check(entry); bad != nil {
			if entry.Index != a.next {
				return a.next, &BadEntryError{Index: a.next, Problem: bad.problem, Meaning: bad.meaning}
			}
			return a.next, &BadEntryError{Index: a.next, Kind: entry.Kind, Subject: entry.Subject, Problem: bad.problem, Meaning: bad.meaning}
		}
		a.next++
		if err := a.meet(); err != nil {
			return a.next, err
		}
	}
	if err := a.finish(log.Checkpoint, log.VerifierKey); err != nil {
		return a.next, err
	}
	for _, partner := range slices.Sorted(maps.Keys(log.Cosigned)) {
		if err := a.witnessed(partner, log.Cosigned[partner]); err != nil {
			return a.next, err
		}
	}
	if err := a.met(); err != nil {
		return a.next, err
	}
	return a.next, a.unexplained()
}

// auditor goes through a log.
type auditor struct {
	state     StateCode
	trust     *TrustList
	codec     Codec
	next      int64
	reader    treeReader
	streams   map[string]Place  // by stream and epoch: the last envelope
	envelopes map[string][]byte // by subject: the hashes of accepted envelopes
	documents map[string][]byte // by agreement and version; of amendments by subject
	expected  []expected        // checkpoints that somebody has seen, those to come, by size
	good      int64             // up to there the entries are those that somebody has seen
	gone      map[string]gone   // by subject: envelopes whose figures are gone, until an entry says why
}

// finish checks the checkpoint against the entries.
func (a *auditor) finish(signedNote, verifierKey string) error {
	if signedNote == "" {
		if a.next > 0 {
			return fmt.Errorf("the log has %d entries and no checkpoint", a.next)
		}
		return nil
	}
	verifier, err := note.NewVerifier(verifierKey)
	if err != nil {
		return fmt.Errorf("the log's verifier key: %w", err)
	}
	signed, _, err := openCheckpoint(signedNote, LogName(a.state), verifier)
	if err != nil {
		return fmt.Errorf("the checkpoint: %w", err)
	}
	return a.reach(signed, "the checkpoint")
}

// reach fails unless the entries are those that a checkpoint was signed over.
func (a *auditor) reach(signed checkpoint, what string) error {
	if signed.size > a.next {
		return &BadEntryError{Index: a.next, Problem: fmt.Sprintf("it is missing: %s speaks of %d entries", what, signed.size), Meaning: meansCut}
	}
	root, err := tlog.TreeHash(signed.size, a.reader)
	if err != nil {
		return fmt.Errorf("computing the root: %w", err)
	}
	if root != signed.root {
		return fmt.Errorf("%s has another root than the %d entries; the log was written anew since it was signed", what, signed.size)
	}
	return nil
}

// witnessed checks the entries against the checkpoint that a partner has co-signed.
func (a *auditor) witnessed(partner StateCode, cosigned string) error {
	state, ok := a.trust.State(partner)
	if !ok {
		return fmt.Errorf("a checkpoint is co-signed by %q, which is not on the trust list", partner)
	}
	signed, _, _, err := openCheckpointBy(cosigned, LogName(a.state), state.LogKeys())
	if err != nil {
		return fmt.Errorf("the checkpoint that %s has co-signed: %w", partner, err)
	}
	return a.reach(signed, fmt.Sprintf("the checkpoint that %s has co-signed", partner))
}

// check returns what is wrong with an entry; nil: nothing.
func (a *auditor) check(entry LogEntry) *wrong {
	if entry.Index != a.next {
		return &wrong{fmt.Sprintf("it is missing: entry %d follows", entry.Index), meansDeleted}
	}
	if len(entry.Content) == 0 {
		return &wrong{"its content is missing, or kept under another name", meansGone}
	}
	sum := sha256.Sum256(entry.Content)
	leaf := entry.leaf().Hash()
	switch {
	case !bytes.Equal(sum[:], entry.ContentSHA256) && !a.emptied(entry):
		return &wrong{"its content is not the one that was logged", meansChanged}
	case !bytes.Equal(leaf[:], entry.LeafHash):
		return &wrong{"its leaf hash is not that of its record", meansRewrites}
	}
	bundle, err := a.reader.grow(entry.Index, entry.LeafHash)
	if err != nil {
		return &wrong{fmt.Sprintf("its place in the tree cannot be computed: %v", err), meansRewrites}
	}
	if !bytes.Equal(bundle, entry.TreeHashes) {
		return &wrong{"its tree hashes are not those of the tree", meansRewrites}
	}
	if err := a.read(entry); err != nil {
		if fault.Reason(err) == "UNTRUSTED_SIGNER" {
			return &wrong{err.Error(), meansForged}
		}
		return &wrong{err.Error(), meansBroken}
	}
	return nil
}

// read holds the content of an entry against its subject and what went before.
func (a *auditor) read(entry LogEntry) error {
	switch entry.Kind {
	case EntryAgreement:
		return a.agreement(entry)
	case EntryAmendment:
		return a.amendment(entry)
	case EntryDecision:
		var decision Decision
		if err := json.Unmarshal(entry.Content, &decision); err != nil {
			return fmt.Errorf("its decision cannot be read: %w", err)
		}
		return same(entry.Subject, string(decision.ID))
	case EntryRelease:
		var r Release
		if err := json.Unmarshal(entry.Content, &r); err != nil {
			return fmt.Errorf("its release cannot be read: %w", err)
		}
		return same(entry.Subject, r.subject())
	case EntryPublication:
		var p Publication
		if err := json.Unmarshal(entry.Content, &p); err != nil {
			return fmt.Errorf("its publication cannot be read: %w", err)
		}
		// An announcement and a notice have an id as well, and their kind behind it.
		id, _, _ := strings.Cut(entry.Subject, "/")
		return same(id, string(p.ID))
	case EntryQuarantineLifted:
		var lift Lift
		if err := json.Unmarshal(entry.Content, &lift); err != nil {
			return fmt.Errorf("its decision cannot be read: %w", err)
		}
		return same(entry.Subject, lift.subject())
	case EntrySwitch:
		var w Switch
		if err := json.Unmarshal(entry.Content, &w); err != nil {
			return fmt.Errorf("its switch cannot be read: %w", err)
		}
		return same(entry.Subject, string(w.ID))
	case EntryEnvelopeSent, EntryEnvelopeReceived, EntryEnvelopeRefused:
		return a.envelope(entry)
	case EntryReceiptSent, EntryReceiptReceived:
		return a.receipt(entry)
	case EntryRemoval:
		return a.removal(entry)
	case EntryAcceptance:
		return a.acceptance(entry)
	}
	return errors.New("its kind is unknown")
}

func same(subject, content string) error {
	if subject != content {
		return fmt.Errorf("its content is about %s", content)
	}
	return nil
}

func (a *auditor) agreement(entry LogEntry) error {
	parts := strings.SplitN(entry.Subject, "/", 4)
	if len(parts) == 3 && parts[2] == "document" {
		terms, err := ParseDocument(entry.Content)
		if err != nil {
			return err
		}
		a.documents[parts[0]+"/"+parts[1]] = entry.Content
		return same(entry.Subject, agreementSubject(terms.ID, terms.Version, "document"))
	}
	if len(parts) != 4 {
		return errors.New("its subject is none of an agreement")
	}
	document, state := a.documents[parts[0]+"/"+parts[1]], StateCode(parts[3])
	if document == nil {
		return errors.New("its agreement is not in the log before it")
	}
	signed, err := a.codec.DecodeSigned(entry.Content)
	if err != nil {
		return fmt.Errorf("what was signed cannot be read: %w", err)
	}
	switch parts[2] {
	case "signature":
		if !bytes.Equal(signed.Payload, document) {
			return errors.New("another document was signed")
		}
		_, err = a.trust.Verify(state.state(), agreementType(state), signed, entry.Created)
		return err
	case "withdrawal":
		if _, err := a.trust.Verify(state.state(), WithdrawalType, signed, entry.Created); err != nil {
			return err
		}
		w, err := a.codec.DecodeWithdrawal(signed.Payload)
		if err != nil {
			return fmt.Errorf("the withdrawal cannot be read: %w", err)
		}
		return same(entry.Subject, w.subject())
	case "end":
		if _, err := a.trust.Verify(state.state(), TerminationType, signed, entry.Created); err != nil {
			return err
		}
		end, err := a.codec.DecodeTermination(signed.Payload)
		if err != nil {
			return fmt.Errorf("the termination cannot be read: %w", err)
		}
		return same(entry.Subject, agreementSubject(end.Agreement, end.Version, "end", string(end.State)))
	}
	return errors.New("its subject is none of an agreement")
}

func (a *auditor) amendment(entry LogEntry) error {
	id, what, _ := strings.Cut(entry.Subject, "/")
	if what == "document" {
		change, err := ParseChange(entry.Content)
		if err != nil {
			return err
		}
		a.documents[entry.Subject] = entry.Content
		return same(entry.Subject, amendmentSubject(change.ID, "document"))
	}
	document := a.documents[id+"/document"]
	if document == nil {
		return errors.New("its amendment is not in the log before it")
	}
	if what == "effect" {
		var effect AmendmentEffect
		if err := json.Unmarshal(entry.Content, &effect); err != nil {
			return fmt.Errorf("its effect cannot be read: %w", err)
		}
		return same(entry.Subject, amendmentSubject(effect.ID, "effect"))
	}
	state, ok := strings.CutPrefix(what, "signature/")
	if !ok {
		return errors.New("its subject is none of an amendment")
	}
	signed, err := a.codec.DecodeSigned(entry.Content)
	if err != nil {
		return fmt.Errorf("what was signed cannot be read: %w", err)
	}
	if !bytes.Equal(signed.Payload, document) {
		return errors.New("another document was signed")
	}
	_, err = a.trust.Verify(StateCode(state), AmendmentType, signed, entry.Created)
	return err
}

func (a *auditor) envelope(entry LogEntry) error {
	envelope, err := a.codec.DecodeEnvelope(entry.Content)
	if err != nil {
		return fmt.Errorf("its envelope cannot be read: %w", err)
	}
	header, err := a.codec.DecodeHeader(envelope.Header.Payload)
	if err != nil {
		return fmt.Errorf("its header cannot be read: %w", err)
	}
	at := Cursor{Stream: header.Stream, Epoch: header.Epoch, Sequence: header.Sequence}
	sent := entry.Kind == EntryEnvelopeSent
	if header.Stream != StreamName(header.Sender, header.Receiver) || sent != (header.Sender == a.state) || !sent && header.Receiver != a.state {
		return errors.New("its envelope is of another stream")
	}
	if _, err := a.trust.Verify(header.Sender, HeaderType, envelope.Header, entry.Created); err != nil {
		return err
	}
	whole := sha256.Sum256(entry.Content)
	if a.gone[entry.Subject].entry.Index == entry.Index && len(envelope.Payload) == 0 {
		whole = Hash(entry.ContentSHA256) // of what it was
	} else if payload := sha256.Sum256(envelope.Payload); !bytes.Equal(payload[:], header.PayloadSHA256) {
		return errors.New("its payload is not the one that its header names")
	}
	if entry.Kind != EntryEnvelopeRefused {
		if err := a.warrant(envelope, header, entry.Created); err != nil {
			return err
		}
	}
	if entry.Kind == EntryEnvelopeRefused && entry.Subject != at.subject() {
		// Evidence out of its turn: it has no place in the chain.
		return same(entry.Subject, at.subject()+"/"+hex.EncodeToString(whole[:]))
	}
	if err := same(entry.Subject, at.subject()); err != nil {
		return err
	}
	chain := at.Stream + "/" + at.Epoch
	last := a.streams[chain]
	if at.Sequence != last.Sequence+1 {
		return fmt.Errorf("its stream goes from %d to %d", last.Sequence, at.Sequence)
	}
	if !bytes.Equal(header.Previous, last.SHA256) {
		return errors.New("it does not follow the envelope before it")
	}
	a.streams[chain] = Place{Epoch: at.Epoch, Sequence: at.Sequence, SHA256: whole[:]}
	if entry.Kind != EntryEnvelopeRefused {
		a.envelopes[at.subject()] = whole[:]
	}
	return nil
}

func (a *auditor) receipt(entry LogEntry) error {
	signed, err := a.codec.DecodeSigned(entry.Content)
	if err != nil {
		return fmt.Errorf("its receipt cannot be read: %w", err)
	}
	receipt, err := a.codec.DecodeReceipt(signed.Payload)
	if err != nil {
		return fmt.Errorf("its receipt cannot be read: %w", err)
	}
	ours := receipt.Sender
	if entry.Kind == EntryReceiptSent {
		ours = receipt.Receiver
	}
	if ours != a.state {
		return errors.New("its receipt is another state's")
	}
	if _, err := a.trust.Verify(receipt.Receiver.state(), ReceiptType, signed, entry.Created); err != nil {
		return err
	}
	at := Cursor{Stream: receipt.Stream, Epoch: receipt.Epoch, Sequence: receipt.Sequence}
	if err := same(entry.Subject, at.subject()); err != nil {
		return err
	}
	if envelope := a.envelopes[at.subject()]; envelope == nil || !bytes.Equal(envelope, receipt.EnvelopeSHA256) {
		return errors.New("its receipt is for no envelope of the log")
	}
	return nil
}
