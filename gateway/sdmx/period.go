package sdmx

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Period is a span of whole days: a year, semester, trimester, quarter, month, week or day.
type Period struct {
	Frequency byte // a code of SDMX CL_FREQ: A S T Q M W D
	start     time.Time
}

const (
	frequencies = "ASTQMWD" // from the coarsest to the finest
	firstYear   = 1000
	lastYear    = 2999
)

// ParsePeriod reads a time period in any of the forms of SDMX for whole days: "2023", "2023-A1", "2023-S2", "2023-T3",
// "2023-Q4", "2023-12", "2023-M12", "2023-W52", "2023-D365", "2023-12-31". Years are from 1000 to 2999.
func ParsePeriod(text string) (Period, error) {
	bad := fmt.Errorf("%q is no time period such as 2023, 2023-Q4, 2023-12, 2023-W52 or 2023-12-31", text)
	yearText, rest, _ := strings.Cut(text, "-")
	year, err := strconv.Atoi(yearText)
	if err != nil || len(yearText) != 4 || year < firstYear || year > lastYear {
		return Period{}, bad
	}
	switch {
	case text == yearText:
		return Period{'A', date(year, 1, 1)}, nil
	case len(rest) == 2 && rest[0] <= '9':
		rest = "M" + rest
	case len(rest) == 5:
		day, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return Period{}, bad
		}
		return Period{'D', day}, nil
	case rest == "":
		return Period{}, bad
	}
	shape, ok := shapes[rest[0]]
	if !ok || len(rest) != 1+shape.width {
		return Period{}, bad
	}
	n, err := strconv.Atoi(rest[1:])
	if err != nil || n < 1 || n > shape.most {
		return Period{}, bad
	}
	p := Period{Frequency: rest[0]}
	switch rest[0] {
	case 'W':
		p.start = isoWeek(year, n)
		if y, _ := p.start.ISOWeek(); y != year {
			return Period{}, bad
		}
	case 'D':
		p.start = date(year, 1, n)
		if p.start.Year() != year {
			return Period{}, bad
		}
	default:
		p.start = date(year, 1+(n-1)*shape.months, 1)
	}
	return p, nil
}

// shapes says how many digits the number of a period has, how large it gets, and how many months the period has.
var shapes = map[byte]struct{ width, most, months int }{
	'A': {1, 1, 12}, 'S': {1, 2, 6}, 'T': {1, 3, 4}, 'Q': {1, 4, 3}, 'M': {2, 12, 1}, 'W': {2, 53, 0}, 'D': {3, 366, 0},
}

// periodAt returns the period of the frequency that the day falls in.
func periodAt(frequency byte, day time.Time) Period {
	switch frequency {
	case 'W':
		year, week := day.ISOWeek()
		return Period{frequency, isoWeek(year, week)}
	case 'D':
		return Period{frequency, date(day.Year(), int(day.Month()), day.Day())}
	}
	months := shapes[frequency].months
	return Period{frequency, date(day.Year(), (int(day.Month())-1)/months*months+1, 1)}
}

// Start returns the first moment of the period.
func (p Period) Start() time.Time { return p.start }

// End returns the first moment after the period.
func (p Period) End() time.Time {
	switch p.Frequency {
	case 'W':
		return p.start.AddDate(0, 0, 7)
	case 'D':
		return p.start.AddDate(0, 0, 1)
	}
	return p.start.AddDate(0, shapes[p.Frequency].months, 0)
}

// Next returns the period that follows.
func (p Period) Next() Period { return Period{p.Frequency, p.End()} }

// Previous returns the period before.
func (p Period) Previous() Period { return periodAt(p.Frequency, p.start.AddDate(0, 0, -1)) }

// String returns the form in which figures are kept: "2023", "2023-S2", "2023-T3", "2023-Q4", "2023-12", "2023-W52",
// "2023-12-31". Periods of one frequency are in the order of their bytes.
func (p Period) String() string {
	switch p.Frequency {
	case 'A':
		return p.start.Format("2006")
	case 'M':
		return p.start.Format("2006-01")
	case 'W':
		year, week := p.start.ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	case 'D':
		return p.start.Format(time.DateOnly)
	}
	number := (int(p.start.Month())-1)/shapes[p.Frequency].months + 1
	return fmt.Sprintf("%04d-%c%d", p.start.Year(), p.Frequency, number)
}

func date(year, month, day int) time.Time {
	return time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
}

// isoWeek returns the Monday of the ISO week: week 1 is the one with 4 January.
func isoWeek(year, week int) time.Time {
	fourth := date(year, 1, 4)
	monday := fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7)
	return monday.AddDate(0, 0, 7*(week-1))
}
