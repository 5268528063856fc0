package statistics

import "github.com/comity-federation/comity/proto/period"

// Period is a span of time, such as a month; Frequency is how long it is.
type (
	Period    = period.Period
	Frequency = period.Frequency
)
