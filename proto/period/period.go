// Package period holds the time periods of SDMX: years, quarters, months, ISO weeks and days.
//
//	p, _ := period.Parse("2023-Q4")
//	year, _ := p.In(period.Annual) // 2023
package period

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Frequency is a code of SDMX CL_FREQ.
type Frequency byte

// The frequencies, from the coarsest to the finest.
const (
	Annual    Frequency = 'A'
	Quarterly Frequency = 'Q'
	Monthly   Frequency = 'M'
	Weekly    Frequency = 'W'
	Daily     Frequency = 'D'
)

// Frequencies are their codes in that order.
const Frequencies = "AQMWD"

// Period returns the period with the index.
func (f Frequency) Period(index int32) Period { return Period{Frequency: f, Index: index} }

// Period is a span of time of a frequency. Index counts periods, consecutive ones having consecutive numbers: years,
// quarters and months from year 0, ISO weeks and days from Monday 1 January of the year 1.
type Period struct {
	Frequency Frequency
	Index     int32
}

const (
	firstYear  = 1000
	lastYear   = 2999
	daySeconds = 24 * 60 * 60
)

var dayOne = time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC) // a Monday

// Parse reads an SDMX time period: "2023", "2023-A1", "2023-Q4", "2023-12", "2023-M12", "2023-W52",
// "2023-12-31". Years are from 1000 to 2999.
func Parse(text string) (Period, error) {
	bad := fmt.Errorf("%q is no time period such as 2023, 2023-Q4, 2023-12, 2023-W52 or 2023-12-31", text)
	yearText, rest, _ := strings.Cut(text, "-")
	year, ok := number(yearText, 4, firstYear, lastYear)
	if !ok {
		return Period{}, bad
	}
	switch {
	case text == yearText || rest == "A1":
		return of(Annual, year), nil
	case strings.HasPrefix(rest, "Q"):
		if q, ok := number(rest[1:], 1, 1, 4); ok {
			return of(Quarterly, year*4+q-1), nil
		}
	case strings.HasPrefix(rest, "M"):
		if m, ok := number(rest[1:], 2, 1, 12); ok {
			return of(Monthly, year*12+m-1), nil
		}
	case strings.HasPrefix(rest, "W"):
		if w, ok := number(rest[1:], 2, 1, 53); ok {
			monday := isoWeek(year, w)
			if y, back := monday.ISOWeek(); y == year && back == w {
				return of(Weekly, daysSinceOne(monday)/7), nil
			}
		}
	case len(rest) == 2:
		if m, ok := number(rest, 2, 1, 12); ok {
			return of(Monthly, year*12+m-1), nil
		}
	default:
		if day, err := time.Parse(time.DateOnly, text); err == nil {
			return of(Daily, daysSinceOne(day)), nil
		}
	}
	return Period{}, bad
}

// number reads exactly width digits.
func number(digits string, width, least, most int) (int, bool) {
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || len(digits) != width {
		return 0, false
	}
	return int(n), int(n) >= least && int(n) <= most
}

// of returns the period with the index.
func of(f Frequency, index int) Period {
	return f.Period(int32(index)) //nolint:gosec // about a million days until lastYear
}

// At returns the period of the frequency that the day falls in.
func At(frequency Frequency, day time.Time) (Period, error) {
	year, month := day.Year(), int(day.Month())
	if year < firstYear || year > lastYear {
		return Period{}, fmt.Errorf("year %d is not from %d to %d", year, firstYear, lastYear)
	}
	switch frequency {
	case Annual:
		return of(Annual, year), nil
	case Quarterly:
		return of(Quarterly, year*4+(month-1)/3), nil
	case Monthly:
		return of(Monthly, year*12+month-1), nil
	case Weekly:
		return of(Weekly, daysSinceOne(day)/7), nil
	case Daily:
		return of(Daily, daysSinceOne(day)), nil
	}
	return Period{}, fmt.Errorf("frequency %q is not one of A, Q, M, W, D", string(frequency))
}

// isoWeek returns the Monday of the ISO week: week 1 is the one with 4 January.
func isoWeek(year, week int) time.Time {
	fourth := time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC)
	monday := fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7)
	return monday.AddDate(0, 0, 7*(week-1))
}

func daysSinceOne(day time.Time) int {
	return int((day.Unix() - dayOne.Unix()) / daySeconds)
}

// Start returns the first day of the period, at midnight UTC.
func (p Period) Start() time.Time {
	index := int(p.Index)
	switch p.Frequency {
	case Quarterly:
		return time.Date(index/4, time.Month(index%4*3+1), 1, 0, 0, 0, 0, time.UTC)
	case Monthly:
		return time.Date(index/12, time.Month(index%12+1), 1, 0, 0, 0, 0, time.UTC)
	case Weekly:
		return dayOne.AddDate(0, 0, 7*index)
	case Daily:
		return dayOne.AddDate(0, 0, index)
	default:
		return time.Date(index, 1, 1, 0, 0, 0, 0, time.UTC)
	}
}

// End returns the last day of the period, at midnight UTC.
func (p Period) End() time.Time {
	return p.Frequency.Period(p.Index + 1).Start().AddDate(0, 0, -1)
}

// String returns the SDMX form: "2023", "2023-Q4", "2023-12", "2023-W52", "2023-12-31".
func (p Period) String() string {
	start := p.Start()
	switch p.Frequency {
	case Quarterly:
		return fmt.Sprintf("%04d-Q%d", start.Year(), (int(start.Month())+2)/3)
	case Monthly:
		return start.Format("2006-01")
	case Weekly:
		year, week := start.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	case Daily:
		return start.Format(time.DateOnly)
	default:
		return fmt.Sprintf("%04d", start.Year())
	}
}

// In returns the period of a coarser frequency that p falls in; a week counts to where its Thursday is.
func (p Period) In(frequency Frequency) (Period, error) {
	day := p.Start()
	if p.Frequency == Weekly {
		day = day.AddDate(0, 0, 3)
	}
	return At(frequency, day)
}
