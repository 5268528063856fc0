package sharing

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
)

// Limits of what travels.
const (
	MaxPayload  = 1 << 20  // bytes of a payload
	MaxHeader   = 64 << 10 // bytes of a signed header
	MaxWarrant  = MaxHeader + maxDocument + 4<<10
	MaxEnvelope = MaxPayload + MaxHeader + MaxWarrant + 1<<10
	MaxBatch    = 4_096 // rows of a batch that this state sends
)

// Hash is a SHA-256.
type Hash = [sha256.Size]byte

// Header binds an envelope to its sender, receiver, agreement, decision and place in the stream.
type Header struct {
	Sender           StateCode
	Receiver         StateCode
	Agreement        AgreementID
	AgreementVersion int
	Decision         DecisionID
	PolicyRevision   string
	Stream           string // see [StreamName]
	Epoch            string // a UUID
	Sequence         uint64 // from 1, without gaps
	Previous         []byte // SHA-256 of the envelope before in the epoch; empty for the first
	Created          time.Time
	Expires          time.Time
	PayloadSHA256    []byte
	Release          ReleaseID
	BatchIndex       int // from 0
	BatchCount       int
	ReleaseSHA256    []byte // over the SHA-256s of the payloads of all batches, in order
	Dataflow         string
	Scope            filter.Filter // what the release replaces of what the sender sent before
	Codelists        []string
	Base             ReleaseID // that it builds upon, see [Release]; "": none
	WarrantSHA256    []byte    // of the warrant; empty where there is none
	TermsSHA256      []byte    // of the agreement's document where it lets the figures be passed on; else empty
}

// Envelope is a batch on its way.
type Envelope struct {
	Header  Signed // a [Header], of [HeaderType]
	Payload []byte
	Warrant []byte // a [Warrant], encoded, of figures that the sender passes on; else empty
}

// Seal signs a header for a payload with so many cells, and returns the envelope with its leaf of the log. It fills in the
// hash of the payload.
func (s *Service) Seal(header Header, payload []byte, cells int) (SentEnvelope, error) {
	return s.seal(header, payload, nil, cells)
}

// seal is [Service.Seal] with an warrant; nil: there is none.
func (s *Service) seal(header Header, payload, warrant []byte, cells int) (SentEnvelope, error) {
	sum := sha256.Sum256(payload)
	header.PayloadSHA256 = sum[:]
	if len(warrant) > 0 {
		proof := sha256.Sum256(warrant)
		header.WarrantSHA256 = proof[:]
	}
	data, err := s.Codec.EncodeHeader(header)
	if err != nil {
		return SentEnvelope{}, fmt.Errorf("encoding a header: %w", err)
	}
	signed, err := s.sign(HeaderType, data)
	if err != nil {
		return SentEnvelope{}, err
	}
	envelope, err := s.Codec.EncodeEnvelope(Envelope{Header: signed, Payload: payload, Warrant: warrant})
	if err != nil {
		return SentEnvelope{}, fmt.Errorf("encoding an envelope: %w", err)
	}
	at := Cursor{Stream: header.Stream, Epoch: header.Epoch, Sequence: header.Sequence}
	return SentEnvelope{
		Sequence: header.Sequence, Release: header.Release, Cells: cells, Envelope: envelope,
		Leaf: newLeaf(EntryEnvelopeSent, at.subject(), header.Created, envelope),
	}, nil
}

// Receipt is the receiver's word that it has verified and kept an envelope.
type Receipt struct {
	Sender         StateCode // of the envelope
	Receiver       StateCode
	Stream         string
	Epoch          string
	Sequence       uint64
	EnvelopeSHA256 []byte
	Received       time.Time
}

// Termination ends an agreement.
type Termination struct {
	Agreement AgreementID
	Version   int
	State     StateCode // that ends it
	Reason    string
	Created   time.Time
}

// Cursor is a place in a stream: the last envelope that its receiver has kept.
type Cursor struct {
	Stream   string
	Epoch    string // "" where nothing was kept yet
	Sequence uint64 // 0 where nothing was kept yet
}

// Outgoing is an envelope that may go to its receiver.
type Outgoing struct {
	Sequence uint64
	Envelope []byte
}

// ResyncError says that a receiver's cursor does not fit the stream, and where to begin again.
type ResyncError struct{ From Cursor }

// Error says where to begin again.
func (e *ResyncError) Error() string {
	return fmt.Sprintf("the cursor does not fit: begin again after %s/%s/%d", e.From.Stream, e.From.Epoch, e.From.Sequence)
}

// StreamName returns the name of the stream from one state to another: "us-gb".
func StreamName(sender, receiver StateCode) string { return string(sender) + "-" + string(receiver) }

// Codec turns what is signed and sent into its exact bytes and back. What it decodes comes from outside: it returns an
// error, never a half-read value. Encoding the same value twice gives the same bytes.
type Codec interface {
	EncodeSigned(Signed) ([]byte, error)
	DecodeSigned([]byte) (Signed, error)
	EncodeHeader(Header) ([]byte, error)
	DecodeHeader([]byte) (Header, error)
	EncodeEnvelope(Envelope) ([]byte, error)
	DecodeEnvelope([]byte) (Envelope, error)
	EncodeWarrant(Warrant) ([]byte, error)
	DecodeWarrant([]byte) (Warrant, error)
	EncodePayload(*block.Block) ([]byte, error)
	DecodePayload([]byte) (*block.Block, error)
	EncodeReceipt(Receipt) ([]byte, error)
	DecodeReceipt([]byte) (Receipt, error)
	EncodeTermination(Termination) ([]byte, error)
	DecodeTermination([]byte) (Termination, error)
	EncodeWithdrawal(Withdrawal) ([]byte, error)
	DecodeWithdrawal([]byte) (Withdrawal, error)
}
