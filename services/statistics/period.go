package statistics

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

// frequencies are their codes in that order.
const frequencies = "AQMWD"

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

// ParsePeriod reads an SDMX time period: "2023", "2023-A1", "2023-Q4", "2023-12", "2023-M12", "2023-W52",
// "2023-12-31". Years are from 1000 to 2999.
func ParsePeriod(text string) (Period, error) {
	bad := fmt.Errorf("%q is no time period such as 2023, 2023-Q4, 2023-12, 2023-W52 or 2023-12-31", text)
	yearText, rest, _ := strings.Cut(text, "-")
	year, err := strconv.Atoi(yearText)
	if err != nil || len(yearText) != 4 || year < firstYear || year > lastYear {
		return Period{}, bad
	}
	number := func(digits string, width, most int) (int, bool) {
		n, err := strconv.Atoi(digits)
		return n, err == nil && len(digits) == width && n >= 1 && n <= most
	}
	switch {
	case text == yearText || rest == "A1":
		return Period{Annual, int32(year)}, nil //nolint:gosec // a year is at most lastYear
	case strings.HasPrefix(rest, "Q"):
		if q, ok := number(rest[1:], 1, 4); ok {
			return Period{Quarterly, int32(year*4 + q - 1)}, nil //nolint:gosec // as above
		}
	case strings.HasPrefix(rest, "M"):
		if m, ok := number(rest[1:], 2, 12); ok {
			return Period{Monthly, int32(year*12 + m - 1)}, nil //nolint:gosec // as above
		}
	case strings.HasPrefix(rest, "W"):
		if w, ok := number(rest[1:], 2, 53); ok {
			monday := isoWeek(year, w)
			if y, back := monday.ISOWeek(); y == year && back == w {
				return Period{Weekly, daysSinceOne(monday) / 7}, nil
			}
		}
	case len(rest) == 2:
		if m, ok := number(rest, 2, 12); ok {
			return Period{Monthly, int32(year*12 + m - 1)}, nil //nolint:gosec // as above
		}
	default:
		if day, err := time.Parse(time.DateOnly, text); err == nil {
			return Period{Daily, daysSinceOne(day)}, nil
		}
	}
	return Period{}, bad
}

// PeriodAt returns the period of the frequency that the day falls in.
func PeriodAt(frequency Frequency, day time.Time) (Period, error) {
	year, month := day.Year(), int(day.Month())
	if year < firstYear || year > lastYear {
		return Period{}, fmt.Errorf("year %d is not from %d to %d", year, firstYear, lastYear)
	}
	switch frequency {
	case Annual:
		return Period{Annual, int32(year)}, nil
	case Quarterly:
		return Period{Quarterly, int32(year*4 + (month-1)/3)}, nil //nolint:gosec // as above
	case Monthly:
		return Period{Monthly, int32(year*12 + month - 1)}, nil //nolint:gosec // as above
	case Weekly:
		return Period{Weekly, daysSinceOne(day) / 7}, nil
	case Daily:
		return Period{Daily, daysSinceOne(day)}, nil
	}
	return Period{}, fmt.Errorf("frequency %q is not one of A, Q, M, W, D", string(frequency))
}

// isoWeek returns the Monday of the ISO week: week 1 is the one with 4 January.
func isoWeek(year, week int) time.Time {
	fourth := time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC)
	monday := fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7)
	return monday.AddDate(0, 0, 7*(week-1))
}

func daysSinceOne(day time.Time) int32 {
	return int32((day.Unix() - dayOne.Unix()) / daySeconds) //nolint:gosec // about 1.1 million days until lastYear
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
	return Period{p.Frequency, p.Index + 1}.Start().AddDate(0, 0, -1)
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
	return PeriodAt(frequency, day)
}
