package risk

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Frequency is a code of SDMX CL_FREQ: how long the periods of a series are.
type Frequency byte

// The frequencies, from the coarsest to the finest.
const (
	Annual    Frequency = 'A'
	Quarterly Frequency = 'Q'
	Monthly   Frequency = 'M'
	Weekly    Frequency = 'W'
	Daily     Frequency = 'D'
)

// Years outside of these are taken for mistakes.
const (
	firstYear = 1000
	lastYear  = 2999
)

// Period is a span of time of a frequency. Consecutive periods have consecutive numbers.
type Period struct {
	Frequency Frequency
	Number    int // years, quarters and months from year 0; ISO weeks and days from Monday 5 January 1970
}

// epoch is the Monday that weeks and days are counted from.
func epoch() time.Time { return time.Date(1970, 1, 5, 0, 0, 0, 0, time.UTC) }

// ParsePeriod reads an SDMX time period: "2023", "2023-Q4", "2023-12" or "2023-M12", "2023-W52", "2023-12-31".
func ParsePeriod(text string) (Period, error) {
	yearText, rest, parted := strings.Cut(text, "-")
	year, ok := number(yearText, 4, firstYear, lastYear)
	if !ok {
		return Period{}, noPeriod(text)
	}
	if !parted || rest == "A1" {
		return Period{Annual, year}, nil
	}
	if quarter, ok := strings.CutPrefix(rest, "Q"); ok {
		if q, ok := number(quarter, 1, 1, 4); ok {
			return Period{Quarterly, year*4 + q - 1}, nil
		}
		return Period{}, noPeriod(text)
	}
	if week, ok := strings.CutPrefix(rest, "W"); ok {
		if w, ok := number(week, 2, 1, 53); ok {
			monday := firstMonday(year).AddDate(0, 0, 7*(w-1))
			if isoYear, _ := monday.ISOWeek(); isoYear == year {
				return Period{Weekly, days(monday) / 7}, nil
			}
		}
		return Period{}, noPeriod(text)
	}
	if m, ok := number(strings.TrimPrefix(rest, "M"), 2, 1, 12); ok {
		return Period{Monthly, year*12 + m - 1}, nil
	}
	if day, err := time.Parse(time.DateOnly, text); err == nil {
		return Period{Daily, days(day)}, nil
	}
	return Period{}, noPeriod(text)
}

func noPeriod(text string) error {
	return fmt.Errorf("%q is no time period such as 2023, 2023-Q4, 2023-12, 2023-W52 or 2023-12-31", text)
}

// number reads exactly width digits.
func number(digits string, width, least, most int) (int, bool) {
	n, err := strconv.ParseUint(digits, 10, 31)
	return int(n), err == nil && len(digits) == width && int(n) >= least && int(n) <= most
}

// firstMonday returns the Monday of the ISO week 1, which has 4 January in it.
func firstMonday(year int) time.Time {
	fourth := time.Date(year, 1, 4, 0, 0, 0, 0, time.UTC)
	return fourth.AddDate(0, 0, -(int(fourth.Weekday())+6)%7)
}

// days counts from the epoch; before it, whole weeks still begin on multiples of 7.
func days(day time.Time) int {
	const seconds = 24 * 60 * 60
	return int((day.Unix() - epoch().Unix()) / seconds)
}

// String returns the period as SDMX writes it.
func (p Period) String() string {
	switch p.Frequency {
	case Quarterly:
		return fmt.Sprintf("%04d-Q%d", p.Number/4, p.Number%4+1)
	case Monthly:
		return fmt.Sprintf("%04d-%02d", p.Number/12, p.Number%12+1)
	case Weekly:
		year, week := epoch().AddDate(0, 0, 7*p.Number).ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	case Daily:
		return epoch().AddDate(0, 0, p.Number).Format(time.DateOnly)
	default:
		return fmt.Sprintf("%04d", p.Number)
	}
}
