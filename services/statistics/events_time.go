package statistics

import (
	"strings"
	"time"

	"github.com/comity-federation/comity/proto/period"
)

// fineness holds the frequencies from the coarsest to the finest.
const fineness = "ASTQMWD"

const maxEventTime = 40 // bytes of the text of a moment

// eventTime is when an event was, as far as a text says: a period, or a moment.
type eventTime struct {
	Period
	wrong string // why it is none; "": nothing is wrong
}

// parseEventTime reads a period of SDMX, a date among them, or a moment of RFC 3339, which is on the day that it was where
// it was written down. What lies in the future has not been counted by anybody.
func parseEventTime(text string, now time.Time) eventTime {
	if len(text) > maxEventTime {
		return eventTime{wrong: notATime}
	}
	var found Period
	var err error
	if strings.ContainsAny(text, "Tt") && strings.Contains(text, ":") {
		var moment time.Time
		if moment, err = time.Parse(time.RFC3339, text); err == nil {
			year, month, day := moment.Date()
			found, err = period.At(period.Daily, time.Date(year, month, day, 0, 0, 0, 0, time.UTC))
		}
	} else {
		found, err = period.Parse(text)
	}
	switch {
	case err != nil:
		return eventTime{wrong: notATime}
	case found.Start().After(now.AddDate(0, 0, 1)): // a day: somewhere it is tomorrow already
		return eventTime{wrong: "is in the future"}
	}
	return eventTime{Period: found}
}

const notATime = "is no period, date or RFC 3339 moment from the year 1000 on, such as 2023-01, 2023-01-31 or 2023-01-31T17:45:00Z"

// in returns the period of the frequency that the event counts to. Where the text says less than that, it says what is
// wrong. A week counts to where its Thursday is.
func (t eventTime) in(frequency Frequency) (at int32, wrong string) {
	if t.wrong != "" {
		return 0, t.wrong
	}
	if t.Frequency == frequency {
		return t.Index, ""
	}
	if strings.IndexByte(fineness, byte(t.Frequency)) < strings.IndexByte(fineness, byte(frequency)) {
		return 0, "is longer than a period of the record's frequency"
	}
	p, err := t.In(frequency)
	if err != nil {
		return 0, notATime
	}
	return p.Index, ""
}
