package sharing

import "time"

// Terms are what two states agree upon, in one direction. Their JSON, with the fields in this order, is the document
// that both sign.
type Terms struct {
	ID               AgreementID       `json:"id"`
	Version          int               `json:"version"` // from 1; a higher one takes the place of a lower one once both have signed
	Provider         StateCode         `json:"provider"`
	Receiver         StateCode         `json:"receiver"`
	Dataflow         string            `json:"dataflow"` // "AGENCY:ID(VERSION)"
	Indicators       []string          `json:"indicators"`
	Detail           map[string]string `json:"detail"` // by dimension: a level of its codelist, "_T", or for FREQ a frequency; not named: "_T"
	Purposes         []string          `json:"purposes"`
	MinimumFrequency int               `json:"minimumFrequency"` // no cell that counts fewer goes
	ValidFrom        string            `json:"validFrom"`        // the first day, "YYYY-MM-DD"
	ValidTo          string            `json:"validTo"`          // the last day, "YYYY-MM-DD"; "": until terminated
	RetentionDays    int               `json:"retentionDays"`    // 0: no limit
	Onward           bool              `json:"onward"`           // whether the receiver may pass the figures on
	Text             string            `json:"text"`
}

// AgreementState says how an agreement stands.
type AgreementState uint8

// The states of an agreement.
const (
	Proposed   AgreementState = iota + 1 // a signature is missing
	Active                               // both states have signed
	Superseded                           // a later version was signed by both
	Terminated                           // one of the states has ended it
)

// Agreement is a set of terms with the signatures under it.
type Agreement struct {
	State      AgreementState
	Terms      Terms
	Document   []byte // the exact bytes that are signed
	Signatures []AgreementSignature
	Ended      *AgreementEnd // nil: nobody has terminated it
	Created    time.Time     // when this node first saw it
	Updated    time.Time     // when it last changed here
}

// AgreementSignature is a state's signature under an agreement.
type AgreementSignature struct {
	State     StateCode
	Signature Signature
	Created   time.Time // when it reached this node
	Delivered bool      // for this state's own: the partner has it
}

// AgreementEnd is a state's termination of an agreement.
type AgreementEnd struct {
	State   StateCode
	Reason  string
	Created time.Time
}
