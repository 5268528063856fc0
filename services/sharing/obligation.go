package sharing

import (
	"github.com/comity-federation/comity/services/disclosure"
)

// Obligations are what a permission is bound to.
type Obligations struct {
	Tier             Tier       `json:"tier"`             // whose members are taken to pool what they get
	MinimumFrequency int        `json:"minimumFrequency"` // no cell goes that counts fewer
	RelativeWidth    float64    `json:"relativeWidth"`    // the interval of a withheld cell is at least this part of it wide
	MinimumKept      float64    `json:"minimumKept"`      // the least share of the value of a table that has to go, from 0 to 1
	Dominance        *Dominance `json:"dominance"`        // nil: no such rule
	PPercent         *PPercent  `json:"pPercent"`         // nil: no such rule
	Decimals         int        `json:"decimals"`         // how many places the figures have at least, whatever they have now
	Purposes         []string   `json:"purposes"`
	RetentionDays    int        `json:"retentionDays"`
	Onward           bool       `json:"onward"`
}

// Dominance is the (n, k) rule: no cell goes whose n largest contributions are more than k % of it.
type Dominance struct {
	N  int     `json:"n"`
	K  float64 `json:"k"`
	By string  `json:"by"` // the dimension whose finest codes are the contributors
}

// PPercent is the p % rule: no cell goes whose second largest contributor could tell the largest to within p %.
type PPercent struct {
	P  float64 `json:"p"`
	By string  `json:"by"` // the dimension whose finest codes are the contributors
}

// rules returns what the obligations ask of the cells of a table.
func (o Obligations) rules() disclosure.Rules {
	rules := disclosure.Rules{MinimumFrequency: int64(o.MinimumFrequency), RelativeWidth: o.RelativeWidth}
	if o.Dominance != nil {
		rules.Dominance = &disclosure.Dominance{N: o.Dominance.N, K: o.Dominance.K}
	}
	if o.PPercent != nil {
		rules.PPercent = &disclosure.PQ{P: o.PPercent.P, Q: 100}
	}
	return rules
}

// confStatus returns the code of SDMX CL_CONF_STATUS that says inside why a cell is primary. A cell that policy or its own
// status has made primary keeps that status, which is own; "": it had none.
func (o Obligations) confStatus(rule disclosure.Rule, own string) string {
	switch rule {
	case disclosure.ByFrequency:
		return "A"
	case disclosure.ByDominance:
		switch o.Dominance.N {
		case 1:
			return "O"
		case 2:
			return "T"
		}
		return "G"
	case disclosure.ByPPercent:
		return "M"
	}
	if own == "" || own == free {
		return "N"
	}
	return own
}
