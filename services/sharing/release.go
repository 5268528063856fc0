package sharing

import (
	"time"

	"github.com/comity-federation/comity/proto/filter"
)

// Release is a table that passed policy and disclosure control. Its JSON is what the log has a leaf of.
type Release struct {
	ID               ReleaseID         `json:"id"`
	Partner          StateCode         `json:"partner"`
	Agreement        AgreementID       `json:"agreement"`
	AgreementVersion int               `json:"agreementVersion"`
	Dataflow         string            `json:"dataflow"`
	Indicators       []string          `json:"indicators"`
	Decision         DecisionID        `json:"decision"`
	PolicyRevision   string            `json:"policyRevision"`
	Revision         int64             `json:"revision"` // of the statistics
	Stream           string            `json:"stream"`
	Epoch            string            `json:"epoch"`
	Scope            filter.Filter     `json:"scope"`
	Candidates       int               `json:"candidates"` // cells with a value before disclosure control, at the agreed detail
	Released         int               `json:"released"`   // cells in it
	Withheld         int               `json:"withheld"`   // cells that policy's conditions refused
	Suppressed       int               `json:"suppressed"` // cells that were merged with others
	ValueKept        float64           `json:"valueKept"`  // of the sum of the finest cells, the share under own codes
	Coarsened        map[string]string `json:"coarsened"`
	Batches          int               `json:"batches"`
	SHA256           []byte            `json:"sha256"` // over the SHA-256s of the payloads
	Created          time.Time         `json:"created"`
}
