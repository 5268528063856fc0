package sharing

import "time"

// EntryKind says what a log entry is the proof of.
type EntryKind uint8

// The kinds, numbered as in comity.sharing.v1.LogEntry.Kind.
const (
	EntryAgreement        EntryKind = iota + 1 // an agreement was drafted, signed or terminated
	EntryDecision                              // policy decided
	EntryEnvelopeSent                          // an envelope was put out for a partner
	EntryReceiptReceived                       // a partner's receipt came in
	EntryEnvelopeReceived                      // a partner's envelope came in
	EntryReceiptSent                           // a receipt was signed for a partner
	EntryEnvelopeRefused                       // a partner's envelope was refused
	EntryRelease                               // a table was released
)

// LogEntry is an entry of the transparency log.
type LogEntry struct {
	Index         int64 // its place, from 0
	Kind          EntryKind
	Subject       string // what it is about, see [Record]
	Created       time.Time
	Salt          []byte
	ContentSHA256 []byte
	LeafHash      []byte
	Content       []byte // as it is stored where it is used; empty where it is gone
	TreeHashes    []byte // the hashes that the entry added to the tree, 32 bytes each
}
