// Package period holds the time periods of SDMX: years, their halves, thirds and quarters, months, ISO weeks and days.
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
	Annual     Frequency = 'A'
	Semestral  Frequency = 'S' // half a year
	Trimestral Frequency = 'T' // four months
	Quarterly  Frequency = 'Q'
	Monthly    Frequency = 'M'
	Weekly     Frequency = 'W'
	Daily      Frequency = 'D'
)

// Frequencies are the codes, in that order, of those in which figures are kept.
const Frequencies = "AQMWD"

// Period returns the period with the index.
func (f Frequency) Period(index int32) Period { return Period{Frequency: f, Index: index} }

// months returns how many months a period has; 0 where it has days.
func (f Frequency) months() int {
	switch f {
	case Annual:
		return 12
	case Semestral:
		return 6
	case Trimestral:
		return 4
	case Quarterly:
		return 3
	case Monthly:
		return 1
	}
	return 0
}

// numbers returns the largest number that a period has in its year, and how many digits the number is written with.
func (f Frequency) numbers() (most, digits int) {
	switch f {
	case Weekly:
		return 53, 2
	case Daily:
		return 366, 3
	case Monthly:
		return 12, 2
	}
	if months := f.months(); months > 0 {
		return 12 / months, 1
	}
	return 0, 0
}

// Period is a span of time of a frequency. Index counts periods, consecutive ones having consecutive numbers: those that
// are made of months from year 0, ISO weeks and days from Monday 1 January of the year 1.
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

// Parse reads an SDMX time period of whole days: "2023", "2023-A1", "2023-S2", "2023-T3", "2023-Q4", "2023-12",
// "2023-M12", "2023-W52", "2023-D365", "2023-12-31". Years are from 1000 to 2999.
func Parse(text string) (Period, error) {
	yearText, rest, _ := strings.Cut(text, "-")
	year, ok := number(yearText, 4, 0, 9999)
	switch {
	case ok && (year < firstYear || year > lastYear):
		return Period{}, fmt.Errorf("%q is no time period that is known: its year is not from %d to %d", text, firstYear, lastYear)
	case !ok || text != yearText && rest == "":
		return Period{}, errNone(text)
	case text == yearText:
		return of(Annual, year), nil
	case len(rest) == len("12-31"):
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return Period{}, errNone(text)
		}
		return of(Daily, daysSinceOne(day)), nil
	case len(rest) == len("12") && rest[0] <= '9':
		rest = string(Monthly) + rest
	}
	frequency := Frequency(rest[0])
	most, digits := frequency.numbers()
	n, ok := number(rest[1:], digits, 1, most)
	if !ok {
		return Period{}, errNone(text)
	}
	switch frequency {
	case Weekly:
		monday := isoWeek(year, n)
		if y, _ := monday.ISOWeek(); y != year {
			return Period{}, errNone(text)
		}
		return of(Weekly, daysSinceOne(monday)/7), nil
	case Daily:
		day := time.Date(year, 1, n, 0, 0, 0, 0, time.UTC)
		if day.Year() != year {
			return Period{}, errNone(text)
		}
		return of(Daily, daysSinceOne(day)), nil
	}
	return of(frequency, year*most+n-1), nil
}

func errNone(text string) error {
	return fmt.Errorf("%q is no time period such as 2023, 2023-Q4, 2023-12, 2023-W52 or 2023-12-31", text)
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
	case Weekly:
		return of(Weekly, daysSinceOne(day)/7), nil
	case Daily:
		return of(Daily, daysSinceOne(day)), nil
	}
	months := frequency.months()
	if months == 0 {
		return Period{}, fmt.Errorf("frequency %q is not one of %s", string(frequency), strings.Join(strings.Split(Frequencies, ""), ", "))
	}
	return of(frequency, (year*12+month-1)/months), nil
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
	case Weekly:
		return dayOne.AddDate(0, 0, 7*index)
	case Daily:
		return dayOne.AddDate(0, 0, index)
	}
	return time.Date(0, time.Month(index*p.Frequency.months()+1), 1, 0, 0, 0, 0, time.UTC)
}

// Next returns the period that follows.
func (p Period) Next() Period { return p.Frequency.Period(p.Index + 1) }

// Previous returns the period before.
func (p Period) Previous() Period { return p.Frequency.Period(p.Index - 1) }

// End returns the last day of the period, at midnight UTC.
func (p Period) End() time.Time { return p.Next().Start().AddDate(0, 0, -1) }

// String returns the SDMX form: "2023", "2023-S2", "2023-T3", "2023-Q4", "2023-12", "2023-W52", "2023-12-31". Periods of
// one frequency are in the order of their bytes.
func (p Period) String() string {
	start := p.Start()
	switch p.Frequency {
	case Semestral, Trimestral, Quarterly:
		return fmt.Sprintf("%04d-%c%d", start.Year(), p.Frequency, (int(start.Month())-1)/p.Frequency.months()+1)
	case Monthly:
		return start.Format("2006-01")
	case Weekly:
		year, week := start.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	case Daily:
		return start.Format(time.DateOnly)
	}
	return fmt.Sprintf("%04d", start.Year())
}

// In returns the period of a coarser frequency that p falls in; a week counts to where its Thursday is.
func (p Period) In(frequency Frequency) (Period, error) {
	day := p.Start()
	if p.Frequency == Weekly {
		day = day.AddDate(0, 0, 3)
	}
	return At(frequency, day)
}
