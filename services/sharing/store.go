package sharing

import (
	"context"
	"time"

	"github.com/comity-federation/comity/services/disclosure/ledger"
)

// Public is the audience of what is published. Everybody belongs to it: what it has seen every audience has.
const Public = "PUBLIC"

// Store keeps what a [Service] knows. What it reads is committed.
type Store interface {
	Reader
	PolicyKeeper
	// Write runs work in one transaction: all of it is kept, or nothing.
	Write(ctx context.Context, work func(Tx) error) error
	// Exclusively runs work while no other process runs work of that name on the same store. It reports false, and runs
	// nothing, where another one does.
	Exclusively(ctx context.Context, name string, work func(context.Context) error) (bool, error)
	// Listen calls wake after each transaction of any process on the same store that called [Tx.Notify], and once it
	// has begun to listen. It returns when the context ends or the connection is lost.
	Listen(ctx context.Context, wake func()) error
	// SaveContact keeps that a partner answered, or what went wrong.
	SaveContact(ctx context.Context, partner StateCode, at time.Time, problem string) error
	// SaveProgress keeps a cursor under a name.
	SaveProgress(ctx context.Context, name, cursor string) error
}

// Reader reads what is kept. What is not there is said by a false, an empty list or a zero value, as each method says.
type Reader interface {
	// AgreementChanges returns a number that grows with every change of what [Reader.Agreements] returns.
	AgreementChanges(ctx context.Context) (int64, error)
	// Agreements returns every version of the agreement, or of all with the id "", by id and version.
	Agreements(ctx context.Context, id AgreementID) ([]KeptAgreement, error)
	// Withdrawals returns what was withdrawn under the agreement, here and at partners, or all with the id "", in the order of
	// AddWithdrawal.
	Withdrawals(ctx context.Context, id AgreementID) ([]KeptWithdrawal, error)

	// Holdings returns how far each agreement's releases are acknowledged by the partner, or by all with "", by partner and
	// agreement.
	Holdings(ctx context.Context, partner StateCode) ([]KeptHolding, error)

	// Amendments returns the amendments in the order of their arrival.
	Amendments(ctx context.Context) ([]KeptAmendment, error)

	// LastRelease returns the newest release under the agreement as JSON; nil where there is none.
	LastRelease(ctx context.Context, agreement AgreementID) ([]byte, error)
	// LastPassed returns as JSON the newest release under the agreement that passes on what came under each other one.
	LastPassed(ctx context.Context, agreement AgreementID) (documents [][]byte, err error)
	// NewestStored returns the newest of a partner's releases under the agreement that are stored; false where there is none.
	NewestStored(ctx context.Context, agreement AgreementID) (InboundRelease, bool, error)
	// WarrantSeen returns when the newest was released by its source of what came under the agreement, and came to its sender by the
	// source's; zero where nothing did.
	WarrantSeen(ctx context.Context, agreement, source AgreementID) (released time.Time, err error)
	// Releases returns a page of releases as JSON, the newest first, and the token of the next page.
	Releases(ctx context.Context, page Page) (documents [][]byte, next string, err error)
	// Deliveries returns a page of deliveries, the newest first, and the token of the next page.
	Deliveries(ctx context.Context, page Page) (deliveries []Delivery, next string, err error)
	// Standings returns how the streams to and from each partner stand.
	Standings(ctx context.Context) (map[StateCode]Standing, error)

	// Outbound returns the newest place of the stream; the zero Place where there is no such stream.
	Outbound(ctx context.Context, stream string) (Place, error)
	// Envelopes returns the envelopes of the stream's epoch after the cursor, in order: at most limit, no more than fit
	// into so many bytes, but one in any case, and only those whose entries are under the log's checkpoint.
	Envelopes(ctx context.Context, after Cursor, limit, bytes int) ([]KeptEnvelope, error)
	// Content returns the payloads of all that the partner has after the newest release under the agreement, in order; none
	// where they are not kept.
	Content(ctx context.Context, agreement AgreementID) ([][]byte, error)
	// HasContent reports whether Content returns any.
	HasContent(ctx context.Context, agreement AgreementID) (bool, error)
	// Incomplete returns the agreements with the sender whose newest release was refused for a reason that begins so.
	Incomplete(ctx context.Context, sender StateCode, reason string) ([]AgreementID, error)
	// SentSince returns how much was put out under the agreement since the time.
	SentSince(ctx context.Context, agreement AgreementID, since time.Time) (Usage, error)
	// ReceivedSince returns how much came under the agreement, for good or to be evidence, of what was made since the time.
	ReceivedSince(ctx context.Context, agreement AgreementID, since time.Time) (Usage, error)
	// Oldest returns when the oldest envelope that waits for its receipt was made, of the epoch that each stream is in, by partner.
	Oldest(ctx context.Context) (map[StateCode]time.Time, error)
	// SentHashes returns the SHA-256 of the envelopes of the stream's epoch at these places, by place; none where there is
	// no such envelope.
	SentHashes(ctx context.Context, stream, epoch string, sequences []uint64) (map[uint64][]byte, error)

	// Inbound returns the newest place of the stream; the zero Place where nothing was received.
	Inbound(ctx context.Context, stream string) (Place, error)
	// ReceivedAt returns the envelope that was kept at a place; false where there is none.
	ReceivedAt(ctx context.Context, at Cursor) (KeptReceived, bool, error)
	// InboundRelease returns what is known of a partner's release; false where nothing is.
	InboundRelease(ctx context.Context, release ReleaseID) (InboundRelease, bool, error)
	// WholeReleases returns the releases all of whose batches are here and that are not stored yet, the oldest first.
	WholeReleases(ctx context.Context) ([]InboundRelease, error)
	// ReceiptsAfter returns the receipts for the envelopes after a place, in order; what was refused has none.
	ReceiptsAfter(ctx context.Context, after Cursor) ([][]byte, error)
	// PayloadHashes returns the SHA-256 of the payloads of a partner's release, in the order of its batches.
	PayloadHashes(ctx context.Context, release ReleaseID) ([][]byte, error)
	// Expirable returns the envelopes under the agreement after an arrival, at most limit, in the order of their arrivals, that came
	// until then, are not refused, whose release does not wait to be stored, and that no removal names.
	Expirable(ctx context.Context, agreement AgreementID, until time.Time, after int64, limit int) ([]ExpirableEnvelope, error)
	// OpenRemovals returns the removals that are not done, as JSON.
	OpenRemovals(ctx context.Context) ([][]byte, error)
	// ReceivedBatches returns the batches of a partner's release that are here, in order.
	ReceivedBatches(ctx context.Context, release ReleaseID) ([]ReceivedBatch, error)
	// ReleaseEnvelope returns the envelope of a batch of a partner's release.
	ReleaseEnvelope(ctx context.Context, release ReleaseID, batch int) ([]byte, error)

	// Publication returns a publication; false where there is none of that id.
	Publication(ctx context.Context, id PublicationID) (KeptPublication, bool, error)
	// LastPublication returns the newest publication of the dataflow; false where there is none.
	LastPublication(ctx context.Context, dataflow string) (KeptPublication, bool, error)
	// WaitingPublications returns the publications that the statistics do not have yet, the oldest first.
	WaitingPublications(ctx context.Context) ([]KeptPublication, error)
	// Publications returns a page of publications, the newest first, and the token of the next page.
	Publications(ctx context.Context, page Page) (publications []KeptPublication, next string, err error)
	// PublicationPayload returns a batch of a publication's content.
	PublicationPayload(ctx context.Context, id PublicationID, batch int) ([]byte, error)

	// Announcement returns an announcement; false where there is none of that id.
	Announcement(ctx context.Context, id AnnouncementID) (KeptAnnouncement, bool, error)
	// OpenAnnouncements returns the announcements that are to come, the soonest first.
	OpenAnnouncements(ctx context.Context) ([]KeptAnnouncement, error)
	// Announcements returns a page of announcements, what was announced last first, and the token of the next page.
	Announcements(ctx context.Context, page Page) (announcements []KeptAnnouncement, next string, err error)
	// Notices returns a page of notices as JSON, the newest first, and the token of the next page: those about the dataflow, or
	// all with "". A notice of a replacement is among them once the statistics have that.
	Notices(ctx context.Context, dataflow string, page Page) (documents [][]byte, next string, err error)

	// Switches returns as JSON the newest switch of each mode, partner and indicator, in that order.
	Switches(ctx context.Context) ([][]byte, error)

	// Audiences returns the audiences that were shown anything, and [Public], sorted.
	Audiences(ctx context.Context) ([]string, error)
	// Seen reads what an audience has seen. One that was shown nothing yet has seen what is published.
	Seen(audience string) ledger.Reader

	// Progress returns what SaveProgress kept under the name; "" at first.
	Progress(ctx context.Context, name string) (string, error)

	// Checkpoint returns the newest checkpoint; "" where the log is empty.
	Checkpoint(ctx context.Context) (signedNote string, err error)
	// LogEntries returns entries in order from an index on, at most limit, and fewer where their content is large.
	LogEntries(ctx context.Context, from int64, limit int) ([]LogEntry, error)
	// NamedEntries returns the entries of these names that are there and have their place, in the order of the log.
	NamedEntries(ctx context.Context, names []EntryName) ([]LogEntry, error)
	// TreeHashes returns the hashes of the tree that were stored with each of the entries.
	TreeHashes(ctx context.Context, indexes []int64) (map[int64][]byte, error)
	// SeenCheckpoints returns a page of the checkpoints that AddSeenCheckpoint kept, the oldest first, and the token of the next
	// page.
	SeenCheckpoints(ctx context.Context, page Page) (seen []SeenCheckpoint, next string, err error)
	// CheckpointsAt returns the checkpoints of so many entries that a partner has shown of its log.
	CheckpointsAt(ctx context.Context, partner StateCode, size int64) (signedNotes []string, err error)
	// Witnessed returns what was seen of a partner's log, and what it has seen of ours.
	Witnessed(ctx context.Context, partner StateCode) (Witnessed, error)
}

// Tx is a transaction of a [Store]. What it keeps has a leaf in the log, kept with it.
type Tx interface {
	Reader

	// AddAgreement keeps a document; a fault of kind Exists where the version is there already.
	AddAgreement(ctx context.Context, id AgreementID, version int, document []byte, leaf Leaf) error
	// AddSignature keeps a state's signature under a document; false where it is there already.
	AddSignature(ctx context.Context, id AgreementID, version int, state StateCode, signed []byte, leaf Leaf) (bool, error)
	// AddEnd keeps a state's termination; false where the state has ended that version already.
	AddEnd(ctx context.Context, id AgreementID, version int, state StateCode, signed []byte, leaf Leaf) (bool, error)
	// Delivered marks a state's signature, or its termination, as known to the partner.
	Delivered(ctx context.Context, id AgreementID, version int, state StateCode, end bool) error
	// SaveRejection keeps why the partner does not take a state's signature, or its termination; nil: it may do so yet.
	SaveRejection(ctx context.Context, id AgreementID, version int, state StateCode, end bool, rejection *Rejection) error
	// AddWithdrawal keeps what was withdrawn, as its receiver has signed it; false where it is there already.
	AddWithdrawal(ctx context.Context, withdrawal Withdrawal, signed []byte, leaf Leaf) (bool, error)
	// WithdrawalDelivered marks this state's own withdrawal as known to the provider.
	WithdrawalDelivered(ctx context.Context, id string) error

	// AddAmendment keeps a document where there is none of that id, and returns the one that is kept.
	AddAmendment(ctx context.Context, id AmendmentID, document []byte, leaf Leaf) (kept []byte, err error)
	// AddAmendmentSignature keeps a state's signature under a document; false where it is there already.
	AddAmendmentSignature(ctx context.Context, id AmendmentID, state StateCode, signed []byte, leaf Leaf) (bool, error)
	// SaveAmendmentDelivery keeps that a state has this state's signature, or does not take it.
	SaveAmendmentDelivery(ctx context.Context, id AmendmentID, delivery AmendmentDelivery) error
	// SendAmendmentAgain forgets who does not take this state's signature.
	SendAmendmentAgain(ctx context.Context, id AmendmentID) error
	// AddAmendmentEffect keeps that an amendment took effect, with its JSON; nothing where it has already.
	AddAmendmentEffect(ctx context.Context, id AmendmentID, document []byte, leaf Leaf) error

	// AddDecision keeps a decision as JSON.
	AddDecision(ctx context.Context, id DecisionID, document []byte, leaf Leaf) error
	// AddRelease keeps a release, with its JSON.
	AddRelease(ctx context.Context, release Release, document []byte, leaf Leaf) error
	// Ledger returns what an audience has seen, and keeps others from adding to it until the transaction ends. One that
	// was shown nothing yet begins with what is published. Who needs several asks for [Public] first, and for the others
	// in their order.
	Ledger(ctx context.Context, audience string) (ledger.Stack, error)
	// Ledgers returns what each audience has seen, [Public] first: what is published goes to all of them. Nobody adds to
	// any, or begins another, until the transaction ends.
	Ledgers(ctx context.Context) ([]ledger.Stack, error)
	// AddPublication keeps a publication that waits, with its JSON and its content.
	AddPublication(ctx context.Context, publication Publication, document []byte, payloads [][]byte, leaf Leaf) error
	// SavePublication keeps what became of a publication that waits, and why.
	SavePublication(ctx context.Context, id PublicationID, state PublicationState, problem string, at time.Time) error
	// WithdrawPublication marks a publication as taken back. If it waits, it waits no more.
	WithdrawPublication(ctx context.Context, id PublicationID, at time.Time) error
	// AddAnnouncement keeps an announcement that is to come, with its JSON.
	AddAnnouncement(ctx context.Context, announcement Announcement, document []byte, leaf Leaf) error
	// PublishAnnouncement keeps which publication came of an announcement; false where it is not to come any more.
	PublishAnnouncement(ctx context.Context, id AnnouncementID, publication PublicationID) (bool, error)
	// RefuseAnnouncement keeps why nothing came of an announcement that is to come.
	RefuseAnnouncement(ctx context.Context, id AnnouncementID, problem string) error
	// CancelAnnouncement marks an announcement that is to come, or was refused, as cancelled; false where it is neither.
	CancelAnnouncement(ctx context.Context, id AnnouncementID) (bool, error)
	// AddNotice keeps a notice, with its JSON.
	AddNotice(ctx context.Context, notice Notice, document []byte, leaf Leaf) error
	// AddSwitch keeps a switch, with its JSON. LockSwitches comes first.
	AddSwitch(ctx context.Context, thrown Switch, document []byte, leaf Leaf) error
	// LockSwitches keeps others from throwing a switch until the transaction ends, once those who called ShareSwitches are
	// done.
	LockSwitches(ctx context.Context) error
	// ShareSwitches keeps others from throwing a switch until the transaction ends.
	ShareSwitches(ctx context.Context) error
	// LockOutbound returns the stream's newest place, and keeps others from writing to it until the transaction ends.
	// A stream that does not exist begins with the epoch.
	LockOutbound(ctx context.Context, stream string, receiver StateCode, epoch string) (Place, error)
	// BeginEpoch begins the stream anew. LockOutbound comes first.
	BeginEpoch(ctx context.Context, stream, epoch string) error
	// SaveContent replaces what Content returns.
	SaveContent(ctx context.Context, agreement AgreementID, payloads [][]byte) error
	// AddEnvelopes keeps envelopes of a release at the next places of the stream, in order. LockOutbound comes first.
	AddEnvelopes(ctx context.Context, stream, epoch string, envelopes []SentEnvelope) error
	// AddReceipts keeps a partner's receipts for envelopes of the stream's epoch, but those that are there already.
	AddReceipts(ctx context.Context, stream, epoch string, receipts []KeptReceipt) error

	// LockInbound returns the stream's newest place, and keeps others from writing to it until the transaction ends.
	LockInbound(ctx context.Context, stream string, sender StateCode) (Place, error)
	// AddReceived keeps envelopes, and the receipts for them, at the next places of a stream, in order; the first may begin
	// another epoch. LockInbound comes first.
	AddReceived(ctx context.Context, stream, epoch string, received []ReceivedEnvelope) error
	// SaveInboundRelease keeps how far a partner's release got.
	SaveInboundRelease(ctx context.Context, release InboundRelease) error
	// AddWarrant keeps whose figures a partner's release has. SaveInboundRelease comes first.
	AddWarrant(ctx context.Context, warrant KeptWarrant) error
	// SupersedeReleases marks the sender's other releases under the agreement that are not whole as superseded, and
	// returns them.
	SupersedeReleases(ctx context.Context, sender StateCode, agreement AgreementID, except ReleaseID) ([]ReleaseID, error)
	// AddRemoval keeps a removal with its JSON, and names it at its envelopes.
	AddRemoval(ctx context.Context, removal Removal, document []byte, leaf Leaf) error
	// Empty puts what is left of an envelope in its place.
	Empty(ctx context.Context, at Cursor, envelope []byte) error
	// RemovalDone marks a removal as done.
	RemovalDone(ctx context.Context, id string) error
	// Quarantine stops a stream of which two envelopes claim one place.
	Quarantine(ctx context.Context, stream string) error
	// LiftQuarantine lets a stream go on, and keeps the decision with its JSON. LockInbound comes first.
	LiftQuarantine(ctx context.Context, lift Lift, document []byte, leaf Leaf) error
	// AddEvidence keeps an envelope that is refused and has no place in its stream; false where it is kept already.
	AddEvidence(ctx context.Context, evidence Evidence, leaf Leaf) (bool, error)

	// LockWitnessed returns what Witnessed does, and keeps others from saving it until the transaction ends.
	LockWitnessed(ctx context.Context, partner StateCode) (Witnessed, error)
	// SaveWitnessed keeps what was seen of a partner's log, and what it has seen of ours. LockWitnessed comes first.
	SaveWitnessed(ctx context.Context, partner StateCode, seen Witnessed) error

	// AddSeenCheckpoint keeps a checkpoint; the same again changes nothing.
	AddSeenCheckpoint(ctx context.Context, seen SeenCheckpoint) error
	// AddAcceptance keeps an acceptance as officers have signed it, at the checkpoint that the log goes on from, which
	// AddSeenCheckpoint has kept.
	AddAcceptance(ctx context.Context, acceptance Acceptance, document []byte, leaf Leaf) error

	// LockLog keeps other sequencers away until the transaction ends. It returns the newest checkpoint, how many entries
	// are sequenced, and at most limit that are not yet, in the order of their arrival.
	LockLog(ctx context.Context, limit int) (checkpoint string, size int64, arrived []Arrived, err error)
	// Sequence gives entries their places.
	Sequence(ctx context.Context, entries []Sequenced) error
	// SaveCheckpoint replaces the checkpoint.
	SaveCheckpoint(ctx context.Context, signedNote string) error

	// Notify wakes those who listen once the transaction is committed.
	Notify(ctx context.Context) error
}

// KeptAgreement is an agreement's version as it is kept.
type KeptAgreement struct {
	ID         AgreementID
	Version    int
	Document   []byte
	Created    time.Time
	Signatures []KeptSigned
	Ends       []KeptSigned
}

// KeptAmendment is an amendment as it is kept.
type KeptAmendment struct {
	ID         AmendmentID
	Document   []byte
	Created    time.Time
	Effect     time.Time    // zero: it had none
	Signatures []KeptSigned // by arrival
	Deliveries []AmendmentDelivery
}

// KeptSigned is what a state signed about an agreement.
type KeptSigned struct {
	State     StateCode
	Signed    []byte // a Signed, encoded
	Created   time.Time
	Delivered bool
	Rejection *Rejection // nil: the partner has not rejected it
}

// KeptWithdrawal is a withdrawal as it is kept.
type KeptWithdrawal struct {
	Signed    []byte // a Signed, encoded
	Delivered bool
}

// KeptHolding is how far the releases under an agreement are acknowledged.
type KeptHolding struct {
	Partner      StateCode
	Agreement    AgreementID
	Newest       []byte    // the newest release, as JSON
	Held         []byte    // the newest release of which every batch has its receipt, as JSON; nil: there is none
	Acknowledged time.Time // when the last of those receipts came in
	Behind       int       // releases after it
	Since        time.Time // when the first of them was made
}

// Place is the newest place of a stream.
type Place struct {
	Epoch       string
	Sequence    uint64
	SHA256      []byte // of the envelope there; nil before the first
	Quarantined bool
}

// SentEnvelope is an envelope on its way out.
type SentEnvelope struct {
	Sequence uint64
	Release  ReleaseID
	Cells    int
	Envelope []byte
	Leaf     Leaf // of the envelope
}

// KeptReceipt is a receipt with its leaf.
type KeptReceipt struct {
	Sequence uint64
	Receipt  []byte // a Signed, encoded
	Leaf     Leaf
}

// KeptEnvelope is a sent envelope with what it was released under.
type KeptEnvelope struct {
	Sequence  uint64
	Agreement AgreementID
	Version   int
	Created   time.Time
	Envelope  []byte
}

// ReceivedEnvelope is an envelope that came in its turn.
type ReceivedEnvelope struct {
	Sequence      uint64
	Release       ReleaseID
	Agreement     AgreementID
	Batch         int
	Cells         int
	Made          time.Time // as its sender says
	PayloadSHA256 []byte
	Envelope      []byte
	Refusal       *Reason // nil: it is data
	Leaf          Leaf    // of the envelope
	Receipt       []byte  // a Signed, encoded; nil where it is refused
	ReceiptLeaf   Leaf    // zero where it is refused
}

// KeptReceived is a received envelope with its receipt.
type KeptReceived struct {
	Envelope []byte
	Receipt  []byte  // a Signed, encoded; nil where it was refused
	Refusal  *Reason // nil: it is data
}

// Evidence is an envelope that its sender has signed and that has no place in its stream.
type Evidence struct {
	At       Cursor
	Sender   StateCode
	Envelope []byte
	Refusal  Reason
}

// InboundRelease is how far a partner's release got.
type InboundRelease struct {
	ID        ReleaseID
	Sender    StateCode
	Agreement AgreementID
	State     DeliveryState // Staged, Stored, Refused or SupersededDelivery
	Batches   int
	Received  int // batches that are here, the first ones
	SHA256    []byte
	Reason    string
}

// Standing is how the streams to and from a partner stand.
type Standing struct {
	LastContact       time.Time
	LastError         string
	ReceivedSequence  uint64
	ReceiptedSequence uint64
	Waiting           int
	Quarantined       bool
}

// Queue is what waits for a partner.
type Queue struct {
	Partner StateCode
	Waiting int       // envelopes
	Oldest  time.Time // when the first of them was made
}

// Witnessed is what two states have seen of each other's logs.
type Witnessed struct {
	Size     int64  // of the partner's log, as we have seen it last
	Root     []byte // its root there; empty at first
	Shown    int64  // the size of our log that the partner has seen last
	Cosigned string // our checkpoint with the partner's signature; "" at first

	Refused   string // the partner's newest checkpoint, where it does not extend the one seen; "": it does
	Objection string // why the partner does not co-sign our log; "": it does, or has not been asked
}

// KeptPublication is a publication as it is kept.
type KeptPublication struct {
	ID       PublicationID
	Document []byte
	State    PublicationState
	Problem  string    // why it was refused
	Updated  time.Time // when it came to its state; zero: it waits
	// Withdrawn is when it was taken back; zero: it was not.
	Withdrawn time.Time
}

// KeptAnnouncement is an announcement as it is kept.
type KeptAnnouncement struct {
	ID            AnnouncementID
	Document      []byte
	State         AnnouncementState
	Problem       string           // why it was refused
	Publication   PublicationID    // that came of it; "": none
	Became        PublicationState // of the publication; 0 where there is none
	BecameProblem string           // of the publication
}
