package sharing

import "github.com/comity-federation/comity/proto/filter"

// ExplainRequest asks what would go to a partner.
type ExplainRequest struct {
	Partner   StateCode
	Indicator string
	Filter    filter.Filter // the cells asked for; True: all
	Purpose   string        // "": any that the agreement allows
}

// Explanation says what would go to a partner, and why not more.
type Explanation struct {
	Allowed        bool
	Reasons        []Reason
	Obligations    Obligations
	Detail         map[string]string // by dimension, the detail that goes
	Coarsened      map[string]string // the dimensions that would be rolled up, with the detail that goes
	PolicyRevision string
	Released       int // cells that would go
	Withheld       int // cells that policy's conditions refuse
	Suppressed     int // cells that disclosure control would not publish by themselves
}
