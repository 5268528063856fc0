package statistics

import "github.com/comity-federation/comity/proto/period"

// Period is a span of time, such as a month.
type Period = period.Period

// Frequency says how long a period is.
type Frequency = period.Frequency
