package sharing

import "time"

// Direction says which way a delivery goes.
type Direction uint8

// The directions.
const (
	Sent Direction = iota + 1
	Received
)

// DeliveryState says how far a delivery got.
type DeliveryState uint8

// The states of a delivery.
const (
	Waiting            DeliveryState = iota + 1 // sent: waits for the partner
	Receipted                                   // sent: the partner's receipt is here and verified
	Staged                                      // received: kept and receipted, its release not yet whole or not yet stored
	Stored                                      // received: its release is stored in the statistics
	Refused                                     // received: kept as evidence, not as data
	SupersededDelivery                          // a later release or epoch took its place before it was delivered or stored
)

// Delivery is a batch on its way to or from a partner.
type Delivery struct {
	Direction       Direction
	State           DeliveryState
	Partner         StateCode
	Release         ReleaseID
	Agreement       AgreementID
	Stream          string
	Epoch           string
	Sequence        uint64
	Cells           int
	EnvelopeSHA256  []byte
	Created         time.Time
	ReceiptTime     time.Time // zero: not yet
	ReceiptVerified bool
	Reason          string // why it was refused
}

// Partner is a state that this node trusts, and how the exchange with it stands.
type Partner struct {
	Code              StateCode
	Name              string
	Address           string
	LastContact       time.Time // zero: never
	LastError         string    // "": nothing since the last contact
	ReceivedSequence  uint64    // of the last batch received from it
	ReceiptedSequence uint64    // of the last batch that it has receipted
	Waiting           int       // batches that wait for it
	Quarantined       bool      // it has signed two envelopes for one place: nothing more is taken from it
	Fork              *Fork     // how its log stands that does not extend what was seen of it; nil: it does
	Objection         string    // why it does not co-sign this state's log; "": it does, or was not asked yet
}

// Page asks for a part of a list. Token is "" for the first page, else the next token of the page before; the store
// alone reads it.
type Page struct {
	Partner StateCode // "": all
	Limit   int
	Token   string
}
