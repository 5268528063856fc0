package sharing

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/comity-federation/comity/services/fault"
)

// EntryKind says what a log entry is the proof of.
type EntryKind uint8

// The kinds, numbered as in comity.sharing.v1.LogEntry.Kind.
const (
	EntryAgreement        EntryKind = iota + 1 // an agreement was drafted, signed or terminated, or figures withdrawn under it
	EntryDecision                              // policy decided
	EntryEnvelopeSent                          // an envelope was put out for a partner
	EntryReceiptReceived                       // a partner's receipt came in
	EntryEnvelopeReceived                      // a partner's envelope came in
	EntryReceiptSent                           // a receipt was signed for a partner
	EntryEnvelopeRefused                       // a partner's envelope was refused
	EntryRelease                               // a table was released
	EntryPublication                           // a table was published, or announced, or a notice given about it
	EntryQuarantineLifted                      // a person let a partner's stream go on
	EntrySwitch                                // something was stopped here, or goes on again

	EntryRemoval   EntryKind = 13 // figures of a partner's envelopes were removed, as their time was over
	EntryAmendment EntryKind = 14 // an amendment of shared structures was proposed, signed, or took effect

	EntryAcceptance EntryKind = 17 // officers accepted that a partner's log goes on though it does not extend what was seen of it
)

// The names of the kinds, which are part of each leaf: they never change.
var kindNames = [...]string{
	"", "agreement", "decision", "envelope sent", "receipt received", "envelope received", "receipt sent", "envelope refused", "release",
	"publication", "quarantine lifted", "switch",
	EntryRemoval: "removal", EntryAmendment: "amendment", EntryAcceptance: "acceptance",
}

// String returns the kind in words.
func (k EntryKind) String() string {
	if int(k) < len(kindNames) && kindNames[k] != "" {
		return kindNames[k]
	}
	return "kind " + strconv.Itoa(int(k))
}

// Leaf is what stands in the log of something that happened.
//
// A leaf is the RFC 6962 hash of these six lines, each with its line end:
//
//	comity log entry v1
//	agreement
//	eu-gb-1a/1/document
//	2026-01-31T08:15:00.123456Z
//	<the salt, base64>
//	<the SHA-256 of the content, base64>
//
// The second line is the kind. The third, the subject, is
//
//	<agreement>/<version>/document, …/signature/<state>, …/end/<state>    of an agreement
//	<agreement>/<version>/withdrawal/<state>/<withdrawal>                 of what its receiver took out
//	<amendment>/document, …/signature/<state>, …/effect                   of an amendment
//	<decision>                                                            of a decision
//	<partner>/<agreement>/<version>/<release>                             of a release
//	<publication>                                                         of a publication
//	<announcement>/announcement, <notice>/notice                          of an announcement, and of a notice
//	<removal>                                                             of figures that were removed from envelopes
//	<stream>/<lift>                                                       of a quarantine that was lifted
//	<switch>                                                              of a switch
//	<state>/<acceptance>                                                  of that the log of a state goes on
//	<stream>/<epoch>/<sequence>                                           of an envelope and its receipt
//	<stream>/<epoch>/<sequence>/<the SHA-256 of the envelope>             of an envelope out of its turn
//
// The salt keeps a content that can be guessed from being recognised by its leaf once it is deleted. The content is
// kept where it is used: a document, a Signed, a decision, a release, a publication, an announcement, a notice, an envelope,
// a lift, a switch, an acceptance.
type Leaf struct {
	Kind          EntryKind
	Subject       string
	Created       time.Time // to the microsecond
	Salt          []byte    // 32 bytes
	ContentSHA256 []byte
}

// newLeaf returns the leaf for a content.
func newLeaf(kind EntryKind, subject string, created time.Time, content []byte) Leaf {
	salt := make([]byte, sha256.Size)
	_, _ = rand.Read(salt) // never fails
	sum := sha256.Sum256(content)
	return Leaf{Kind: kind, Subject: subject, Created: created, Salt: salt, ContentSHA256: sum[:]}
}

// Hash returns the hash of the leaf.
func (l Leaf) Hash() Hash {
	text := strings.Join([]string{
		"comity log entry v1", l.Kind.String(), l.Subject, l.Created.UTC().Format("2006-01-02T15:04:05.000000Z"),
		base64.StdEncoding.EncodeToString(l.Salt), base64.StdEncoding.EncodeToString(l.ContentSHA256), "",
	}, "\n")
	return Hash(tlog.RecordHash([]byte(text)))
}

// LogEntry is an entry of the transparency log.
type LogEntry struct {
	Index         int64 // its place, from 0
	Kind          EntryKind
	Subject       string // see [Leaf]
	Created       time.Time
	Salt          []byte
	ContentSHA256 []byte
	LeafHash      []byte
	Content       []byte // as it is kept where it is used; empty where it is gone
	TreeHashes    []byte // the hashes that the entry added to the tree, 32 bytes each
}

// EntryName is what an entry is found by: no two have the same.
type EntryName struct {
	Kind    EntryKind
	Subject string // see [Leaf]
}

// leaf returns what the entry's leaf hash must be the hash of.
func (e LogEntry) leaf() Leaf {
	return Leaf{Kind: e.Kind, Subject: e.Subject, Created: e.Created, Salt: e.Salt, ContentSHA256: e.ContentSHA256}
}

// Arrived is an entry without a place.
type Arrived struct {
	Arrival  int64
	LeafHash []byte
}

// Sequenced is an entry that gets its place.
type Sequenced struct {
	Arrival    int64
	Index      int64
	TreeHashes []byte
}

// LogName returns the name of a state's log: the first line of its checkpoints, and the name of the key that signs
// them.
func LogName(state StateCode) string { return "comity/" + string(state) + "/log" }

// checkpoint is the size and root of a log (C2SP tlog-checkpoint).
type checkpoint struct {
	size int64
	root tlog.Hash
}

func (c checkpoint) text(name string) string {
	return fmt.Sprintf("%s\n%d\n%s\n", name, c.size, c.root)
}

// openCheckpoint reads a signed checkpoint of the named log, and fails unless the verifier's key has signed it.
func openCheckpoint(signedNote, name string, verifier note.Verifier) (checkpoint, *note.Note, error) {
	opened, err := note.Open([]byte(signedNote), note.VerifierList(verifier))
	if err != nil {
		return checkpoint{}, nil, err
	}
	lines := strings.SplitN(opened.Text, "\n", 4)
	if len(lines) < 4 || lines[0] != name {
		return checkpoint{}, nil, fmt.Errorf("it is no checkpoint of %s", name)
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil || size < 1 {
		return checkpoint{}, nil, fmt.Errorf("%q is no size", lines[1])
	}
	root, err := tlog.ParseHash(lines[2])
	if err != nil {
		return checkpoint{}, nil, err
	}
	return checkpoint{size: size, root: root}, opened, nil
}

// openOwn reads a checkpoint of this state's log, also one that a partner has co-signed.
func (s *Service) openOwn(signedNote string) (checkpoint, error) {
	opened, _, _, err := openCheckpointBy(signedNote, LogName(s.State), s.ownLogKeys())
	return opened, err
}

// tree returns the tree of this state's log.
func (s *Service) tree(ctx context.Context) treeReader {
	return treeReader{load: func(indexes []int64) (map[int64][]byte, error) { return s.Store.TreeHashes(ctx, indexes) }}
}

// treeReader reads hashes of the tree from the entries that they were stored with.
type treeReader struct {
	load  func(indexes []int64) (map[int64][]byte, error)
	added map[int64][]byte // by entry: not in the store yet
}

// ReadHashes returns the hashes at places of tlog's storage order. The hash of level l and number n was stored with the
// last entry below it, as the one on place l.
func (r treeReader) ReadHashes(places []int64) ([]tlog.Hash, error) {
	levels, entries := make([]int, len(places)), make([]int64, len(places))
	var missing []int64
	for i, place := range places {
		level, n := tlog.SplitStoredHashIndex(place)
		levels[i], entries[i] = level, (n+1)<<level-1
		if r.added[entries[i]] == nil {
			missing = append(missing, entries[i])
		}
	}
	stored := map[int64][]byte{}
	if len(missing) > 0 {
		var err error
		if stored, err = r.load(missing); err != nil {
			return nil, err
		}
	}
	hashes := make([]tlog.Hash, len(places))
	for i, entry := range entries {
		bundle := r.added[entry]
		if bundle == nil {
			bundle = stored[entry]
		}
		from := levels[i] * tlog.HashSize
		if len(bundle) < from+tlog.HashSize {
			return nil, fmt.Errorf("entry %d has no hash of level %d", entry, levels[i])
		}
		copy(hashes[i][:], bundle[from:])
	}
	return hashes, nil
}

// grow returns the hashes that entry n adds to the tree.
func (r treeReader) grow(n int64, leaf []byte) ([]byte, error) {
	hashes, err := tlog.StoredHashesForRecordHash(n, tlog.Hash(leaf), r)
	if err != nil {
		return nil, err
	}
	var bundle []byte
	for _, hash := range hashes {
		bundle = append(bundle, hash[:]...)
	}
	r.added[n] = bundle
	return bundle, nil
}

const (
	sequenceEvery = 100 * time.Millisecond
	sequenceMost  = 4_096
)

// SequenceLog gives new entries their places every 100 ms and signs a checkpoint over them, until the context ends.
// Several processes may run it; they take turns.
func (s *Service) SequenceLog(ctx context.Context) error {
	var listener sync.WaitGroup
	defer listener.Wait()
	listener.Go(func() {
		s.keep(ctx, "listening for news", time.Second, func(ctx context.Context) error {
			return s.Store.Listen(ctx, s.changes.announce)
		})
	})
	s.keep(ctx, "sequencing the log", sequenceEvery, func(ctx context.Context) error {
		for {
			more, err := s.sequence(ctx)
			if err != nil || !more {
				return err
			}
		}
	})
	return nil
}

// sequence integrates what has arrived, and reports whether there may be more.
func (s *Service) sequence(ctx context.Context) (more bool, err error) {
	integrated := false
	err = s.Store.Write(ctx, func(tx Tx) error {
		signed, size, arrived, err := tx.LockLog(ctx, sequenceMost)
		if err != nil || len(arrived) == 0 {
			return err
		}
		reader := treeReader{
			load:  func(indexes []int64) (map[int64][]byte, error) { return tx.TreeHashes(ctx, indexes) },
			added: map[int64][]byte{},
		}
		if err := s.checkTree(signed, size, reader); err != nil {
			return err
		}
		entries := make([]Sequenced, len(arrived))
		for i, entry := range arrived {
			if len(entry.LeafHash) != tlog.HashSize {
				return fmt.Errorf("an entry that waits for its place has a leaf hash of %d bytes", len(entry.LeafHash))
			}
			hashes, err := reader.grow(size, entry.LeafHash)
			if err != nil {
				return fmt.Errorf("adding entry %d to the tree: %w", size, err)
			}
			entries[i] = Sequenced{Arrival: entry.Arrival, Index: size, TreeHashes: hashes}
			size++
		}
		root, err := tlog.TreeHash(size, reader)
		if err != nil {
			return fmt.Errorf("computing the root: %w", err)
		}
		next, err := note.Sign(&note.Note{Text: checkpoint{size, root}.text(LogName(s.State))}, s.Keys.Current().Log)
		if err != nil {
			return fmt.Errorf("signing the checkpoint: %w", err)
		}
		if err := tx.Sequence(ctx, entries); err != nil {
			return err
		}
		if err := tx.SaveCheckpoint(ctx, string(next)); err != nil {
			return err
		}
		more, integrated = len(arrived) == sequenceMost, true
		return tx.Notify(ctx)
	})
	if err == nil && integrated {
		s.changes.announce()
		wake(s.toServe)
	}
	return more && err == nil, err
}

// checkTree fails unless the tree is the one that the last checkpoint was signed over. A log that somebody has cut off
// or rewritten is thereby never signed again.
func (s *Service) checkTree(signed string, size int64, reader treeReader) error {
	if signed == "" {
		if size != 0 {
			return fmt.Errorf("the log has %d entries and no checkpoint", size)
		}
		return nil
	}
	last, err := s.openOwn(signed)
	if err != nil {
		return fmt.Errorf("the log's last checkpoint is not ours: %w", err)
	}
	if last.size != size {
		return fmt.Errorf("the log's last checkpoint speaks of %d entries, there are %d", last.size, size)
	}
	root, err := tlog.TreeHash(size, reader)
	if err != nil {
		return fmt.Errorf("computing the last root: %w", err)
	}
	if root != last.root {
		return errors.New("the log's tree is not the one that the last checkpoint was signed over")
	}
	return nil
}

// Checkpoint returns the newest signed checkpoint of the log, and the note verifier key that it verifies with. The
// checkpoint is "" while the log is empty.
func (s *Service) Checkpoint(ctx context.Context) (signedNote, verifierKey string, err error) {
	signedNote, err = s.Store.Checkpoint(ctx)
	if err != nil || signedNote == "" {
		return "", s.Keys.Current().LogVerifier, err
	}
	_, _, verifierKey, err = openCheckpointBy(signedNote, LogName(s.State), s.ownLogKeys())
	if err != nil {
		return "", "", fmt.Errorf("opening our own checkpoint: %w", err)
	}
	return signedNote, verifierKey, nil
}

// CosignedCheckpoints returns the checkpoints of this state's log that partners have co-signed last, by partner.
func (s *Service) CosignedCheckpoints(ctx context.Context) (map[StateCode]string, error) {
	cosigned := map[StateCode]string{}
	for _, partner := range s.Trust.List().States {
		seen, err := s.Store.Witnessed(ctx, partner.Code)
		if err != nil {
			return nil, fmt.Errorf("reading what %s has seen of the log: %w", partner.Code, err)
		}
		if seen.Cosigned != "" {
			cosigned[partner.Code] = seen.Cosigned
		}
	}
	return cosigned, nil
}

// LogEntries returns entries in order from an index on, at most limit, and fewer where their content is large. There
// are none from the end of the log on.
func (s *Service) LogEntries(ctx context.Context, from int64, limit int) ([]LogEntry, error) {
	if from < 0 {
		return nil, fault.InvalidField("pageToken", "an entry has no index below 0")
	}
	return s.Store.LogEntries(ctx, from, limit)
}

// Witness keeps a partner's checkpoint and returns it with this state's signature added, where the proof shows that it
// extends the one seen last. Where that one is not of oldSize nothing is kept: cosigned is "", and the partner asks
// again with a proof from the size seen. A log that was rewritten is a fault with the reason EQUIVOCATION.
func (s *Service) Witness(ctx context.Context, from StateCode, signedNote string, oldSize int64, proof [][]byte) (cosigned string, seen int64, err error) {
	partner, ok := s.Trust.State(from)
	if !ok {
		return "", 0, fault.Missing("state %q is not on the trust list", from)
	}
	offered, opened, _, err := openCheckpointBy(signedNote, LogName(from), partner.logKeysAt(s.now()))
	if err != nil {
		return "", 0, fault.New(fault.Invalid, "UNTRUSTED_SIGNER", "the checkpoint is not one of %s", LogName(from)).Because(err)
	}
	err = s.Store.Write(ctx, func(tx Tx) error {
		last, err := tx.LockWitnessed(ctx, from) // or two checkpoints at once could each be the first after it
		if err != nil {
			return err
		}
		if seen = last.Size; oldSize != seen {
			return nil
		}
		if err := extends(offered, last, proof); err != nil {
			s.Log.ErrorContext(ctx, "a partner's log does not extend what was seen of it", "partner", from, "seen", seen, "offered", offered.size)
			return err
		}
		signed, err := note.Sign(opened, s.Keys.Current().Log)
		if err != nil {
			return fmt.Errorf("co-signing: %w", err)
		}
		cosigned, seen = string(signed), offered.size
		last.Refused = ""
		shown := SeenCheckpoint{Log: from, Partner: from, Size: offered.size, Note: signedNote}
		if err := tx.AddSeenCheckpoint(ctx, shown); err != nil {
			return err
		}
		last.Size, last.Root = offered.size, offered.root[:]
		return tx.SaveWitnessed(ctx, from, last)
	})
	if fault.Reason(err) == "EQUIVOCATION" { // the checkpoint proves it, beside those that were kept before
		shown := SeenCheckpoint{Log: from, Partner: from, Size: offered.size, Note: signedNote}
		err = errors.Join(err, s.Store.Write(ctx, func(tx Tx) error {
			last, err := tx.LockWitnessed(ctx, from)
			if err != nil {
				return err
			}
			last.Refused = signedNote
			return errors.Join(tx.AddSeenCheckpoint(ctx, shown), tx.SaveWitnessed(ctx, from, last))
		}))
	}
	if err != nil {
		return "", 0, err
	}
	return cosigned, seen, nil
}

// extends fails unless the offered checkpoint extends the one seen last.
func extends(offered checkpoint, last Witnessed, proof [][]byte) error {
	if last.Size == 0 {
		return nil
	}
	if offered.size < last.Size {
		return fault.New(fault.Precondition, "EQUIVOCATION", "%d entries were seen of this log, which has %d: its end was deleted, or the database was restored from an older backup",
			last.Size, offered.size)
	}
	split := fault.New(fault.Precondition, "EQUIVOCATION", "the checkpoint does not extend the one of size %d that was seen", last.Size)
	if offered.size == last.Size {
		if !bytes.Equal(offered.root[:], last.Root) {
			return split
		}
		return nil
	}
	path, ok := hashes(proof)
	if !ok {
		return fault.InvalidField("proof", "a hash has not %d bytes", tlog.HashSize)
	}
	if err := tlog.CheckTree(path, offered.size, offered.root, last.Size, tlog.Hash(last.Root)); err != nil {
		return split.Because(err)
	}
	return nil
}

// WitnessOffer returns what a partner's Witness is asked with: the newest checkpoint, and a proof from the size that
// the partner is known to have seen. The checkpoint is "" where the partner has seen the newest, or the log is empty. Where
// the partner has seen more than there is, there is nothing to prove, and it says what follows from that.
func (s *Service) WitnessOffer(ctx context.Context, partner StateCode) (signedNote string, oldSize int64, proof [][]byte, err error) {
	known, err := s.Store.Witnessed(ctx, partner) // first: the log only grows
	if err != nil {
		return "", 0, nil, err
	}
	signedNote, err = s.Store.Checkpoint(ctx)
	if err != nil || signedNote == "" {
		return "", 0, nil, err
	}
	newest, err := s.openOwn(signedNote)
	if err != nil {
		return "", 0, nil, fmt.Errorf("opening our own checkpoint: %w", err)
	}
	switch {
	case known.Shown == newest.size:
		return "", 0, nil, nil
	case known.Shown > newest.size, known.Shown == 0:
		return signedNote, known.Shown, nil, nil
	}
	path, err := tlog.ProveTree(newest.size, known.Shown, s.tree(ctx))
	if err != nil {
		return "", 0, nil, fmt.Errorf("proving the log from %d to %d: %w", known.Shown, newest.size, err)
	}
	return signedNote, known.Shown, hashBytes(path), nil
}

// Cosigned keeps a partner's answer to a [Service.WitnessOffer]: our checkpoint with its signature, where it gave one,
// and the size that it has seen last.
func (s *Service) Cosigned(ctx context.Context, partner StateCode, cosigned string, seen int64) error {
	var own checkpoint
	if cosigned != "" {
		state, _ := s.Trust.State(partner)
		if _, _, _, err := openCheckpointBy(cosigned, LogName(s.State), state.logKeysAt(s.now())); err != nil {
			return fault.New(fault.Invalid, "UNTRUSTED_SIGNER", "%s has not signed the checkpoint", partner).Because(err)
		}
		var err error
		if own, err = s.openOwn(cosigned); err != nil {
			return fault.New(fault.Invalid, "UNTRUSTED_SIGNER", "%s has signed a checkpoint that is not ours", partner).Because(err)
		}
	}
	return s.Store.Write(ctx, func(tx Tx) error {
		known, err := tx.LockWitnessed(ctx, partner)
		if err != nil {
			return err
		}
		known.Shown = seen
		if cosigned != "" {
			known.Cosigned, known.Objection = cosigned, ""
			shown := SeenCheckpoint{Log: s.State, Partner: partner, Size: own.size, Note: cosigned}
			if err := tx.AddSeenCheckpoint(ctx, shown); err != nil {
				return err
			}
		}
		return tx.SaveWitnessed(ctx, partner, known)
	})
}

// Objected keeps why a partner does not co-sign this state's log.
func (s *Service) Objected(ctx context.Context, partner StateCode, objection string) error {
	return s.Store.Write(ctx, func(tx Tx) error {
		known, err := tx.LockWitnessed(ctx, partner)
		if err != nil {
			return err
		}
		known.Objection = foreignText(objection)
		return tx.SaveWitnessed(ctx, partner, known)
	})
}
