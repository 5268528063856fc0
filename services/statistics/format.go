package statistics

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/comity-federation/comity/proto/period"
)

// serialDay is the form that is no date at all.
const serialDay = "SERIAL"

// Days as spreadsheets count them. Before March 1900 some count a 29 February that there was not.
const (
	firstSerial = 61        // 1 March 1900
	lastSerial  = 2_958_465 // 31 December 9999
)

// periodTokens are what a form of period is made of, the longer before those that they begin with.
var periodTokens = []string{"MONTH", "YYYY", "MM", "M", "DD", "D", "QQ", "Q", "FF", "F", "WWW", "WW", "W", "SERIAL", "hh", "mm", "ss", "AM"}

// periodFormat is the form in which a file writes its periods, taken apart.
type periodFormat struct {
	LayoutPeriod
	tokens []string // of periodTokens, and single characters that stand for themselves
}

// newPeriodFormat takes the form apart. The error says what is wrong with it.
func newPeriodFormat(p LayoutPeriod) (*periodFormat, error) {
	if !utf8.ValidString(p.Format) {
		return nil, fmt.Errorf("%q is not UTF-8", p.Format)
	}
	f := &periodFormat{LayoutPeriod: p}
	for rest := p.Format; rest != ""; {
		at := slices.IndexFunc(periodTokens, func(token string) bool { return strings.HasPrefix(rest, token) })
		var token string
		switch first, _ := utf8.DecodeRuneInString(rest); {
		case at >= 0 && f.has(periodTokens[at]):
			return nil, fmt.Errorf("%q has %s twice", p.Format, periodTokens[at])
		case at >= 0:
			token = periodTokens[at]
		case strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", first):
			return nil, fmt.Errorf("%q has a letter %c that does not belong to one of %s", p.Format, first, strings.Join(periodTokens, ", "))
		default:
			token = string(first)
		}
		f.tokens = append(f.tokens, token)
		rest = strings.TrimPrefix(rest, token)
	}
	if f.has(serialDay) {
		if len(f.tokens) > 1 {
			return nil, fmt.Errorf("%q has %s beside something else", p.Format, serialDay)
		}
		return f, nil
	}
	months := 0
	for _, ways := range [][]string{{"MONTH"}, {"MM", "M"}, {"FF", "F"}, {"QQ", "Q"}, {"WWW", "WW", "W"}} {
		if f.has(ways...) {
			months++
		}
	}
	switch {
	case !f.has("YYYY"):
		return nil, fmt.Errorf("%q has no year, YYYY", p.Format)
	case months > 1 || f.has("MM") && f.has("M") || f.several("WWW", "WW", "W") || f.has("DD") && f.has("D") || f.has("QQ") && f.has("Q") || f.has("FF") && f.has("F"):
		return nil, fmt.Errorf("%q says a month, quarter, week or day in two ways", p.Format)
	case f.has("DD", "D") && (months == 0 || f.has("QQ", "Q", "WWW", "WW", "W")):
		return nil, fmt.Errorf("%q has a day without its month", p.Format)
	case f.has("FF", "F") && f.FiscalYear == FiscalYear{}:
		return nil, fmt.Errorf("%q has the number of a month in the fiscal year, but when that begins is not said", p.Format)
	case f.has("AM") && !f.has("hh"):
		return nil, fmt.Errorf("%q has AM without hh", p.Format)
	}
	return f, nil
}

// has reports whether the form has one of the tokens.
func (f *periodFormat) has(tokens ...string) bool {
	return slices.ContainsFunc(tokens, func(token string) bool { return slices.Contains(f.tokens, token) })
}

// several reports whether the form has more than one of the tokens.
func (f *periodFormat) several(tokens ...string) bool {
	n := 0
	for _, token := range tokens {
		if f.has(token) {
			n++
		}
	}
	return n > 1
}

// frequencies returns the codes of those that the form can tell apart: a day falls in a period of any frequency, a year
// only in one that is a year long.
func (f *periodFormat) frequencies() string {
	switch {
	case f.has("DD", "D", serialDay):
		return "AQMWD"
	case f.has("WWW", "WW", "W"):
		return "W"
	case f.has("MONTH", "MM", "M", "FF", "F"):
		return "AQM"
	case f.has("QQ", "Q"):
		return "AQ"
	}
	return "A"
}

// checkMonths returns an error where the names of the months are not what the form needs.
func (f *periodFormat) checkMonths() error {
	if !f.has("MONTH") {
		if len(f.Months) > 0 {
			return fmt.Errorf("names months, but %q has no MONTH", f.Format)
		}
		return nil
	}
	if len(f.Months) != 12 {
		return fmt.Errorf("names %d months; %q needs all twelve, from January", len(f.Months), f.Format)
	}
	for i, name := range f.Months {
		same := func(other string) bool { return strings.EqualFold(name, other) }
		if strings.TrimSpace(name) == "" || slices.ContainsFunc(f.Months[:i], same) {
			return fmt.Errorf("%q is blank or stands twice", name)
		}
	}
	return nil
}

// checkFiscalYear returns an error where the fiscal year is none, or the form has nothing that it matters for.
func (f *periodFormat) checkFiscalYear() error {
	year := f.FiscalYear
	switch {
	case year == FiscalYear{}:
		return nil
	case year.FirstMonth < 1 || year.FirstMonth > 12:
		return fmt.Errorf("month %d is not from 1 to 12", year.FirstMonth)
	case f.has("WWW", "WW", "W", serialDay):
		return errors.New("weeks and days belong to no fiscal year")
	case f.frequencies() == "A":
		return errors.New("a fiscal year alone is no year of the calendar; the form needs a month or a quarter")
	case f.has("QQ", "Q") && year.FirstMonth%3 != 1:
		return fmt.Errorf("quarters of a year that begins in month %d are no quarters of the calendar", year.FirstMonth)
	}
	return nil
}

// parse reads a text of the form as a period of the frequency.
func (f *periodFormat) parse(text string, frequency Frequency) (Period, error) {
	if f.has(serialDay) {
		return f.parseSerial(text, frequency)
	}
	values, rest, ok := map[byte]int{'M': 1, 'D': 1}, text, true
	for _, token := range f.tokens {
		n := 0
		if n, rest, ok = f.cut(token, rest); !ok {
			break
		}
		values[token[0]] = n
	}
	year, month, day := values['Y'], values['M'], values['D']
	if week := values['W']; week > 0 && ok && rest == "" {
		return period.Parse(fmt.Sprintf("%04d-W%02d", year, week))
	}
	if quarter := values['Q']; quarter > 0 {
		month = 3 * quarter
	}
	if fiscal := f.FiscalYear; fiscal.FirstMonth > 1 {
		if !fiscal.NamedByStart {
			year-- // in which it begins
		}
		switch {
		case f.has("FF", "F"):
			month = fiscal.FirstMonth + values['F'] - 1
		case f.has("QQ", "Q"):
			month += fiscal.FirstMonth - 1
		case month < fiscal.FirstMonth:
			year++
		}
	} else if f.has("FF", "F") {
		month = values['F']
	}
	date := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
	if !ok || rest != "" || date.Day() != day {
		return Period{}, fmt.Errorf("%q is no period of the form %s", shown(text), f.Format)
	}
	return period.At(frequency, date)
}

// parseSerial reads the number of a day, after which a time of day may stand as a fraction.
func (f *periodFormat) parseSerial(text string, frequency Frequency) (Period, error) {
	whole, fraction, timed := strings.Cut(text, ".")
	n, rest, ok := cutNumber(whole, 1, 7, firstSerial, lastSerial)
	if !ok || rest != "" || timed && !digits(fraction) {
		return Period{}, fmt.Errorf("%q is no number of a day from %d to %d", shown(text), firstSerial, lastSerial)
	}
	return period.At(frequency, time.Date(1899, time.December, 30, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n))
}

// cut reads the value of a token from the start of the text.
func (f *periodFormat) cut(token, text string) (value int, rest string, ok bool) {
	switch token {
	case "MONTH":
		return f.cutMonth(text)
	case "YYYY":
		return cutNumber(text, 4, 4, 0, 9999)
	case "MM", "FF":
		return cutNumber(text, 2, 2, 1, 12)
	case "M", "F":
		return cutNumber(text, 1, 2, 1, 12)
	case "DD":
		return cutNumber(text, 2, 2, 1, 31)
	case "D":
		return cutNumber(text, 1, 2, 1, 31)
	case "QQ":
		text, ok = strings.CutPrefix(text, "Q")
		if !ok {
			return 0, text, false
		}
		return cutNumber(text, 1, 1, 1, 4)
	case "Q":
		return cutNumber(text, 1, 1, 1, 4)
	case "WWW":
		if text, ok = strings.CutPrefix(text, "W"); !ok {
			return 0, text, false
		}
		return cutNumber(text, 2, 2, 1, 53)
	case "WW":
		return cutNumber(text, 2, 2, 1, 53)
	case "W":
		return cutNumber(text, 1, 2, 1, 53)
	case "hh":
		if f.has("AM") {
			return cutNumber(text, 2, 2, 1, 12)
		}
		return cutNumber(text, 2, 2, 0, 23)
	case "mm", "ss":
		return cutNumber(text, 2, 2, 0, 59)
	case "AM":
		if rest, ok = strings.CutPrefix(text, "PM"); !ok {
			rest, ok = strings.CutPrefix(text, "AM")
		}
		return 0, rest, ok
	}
	rest, ok = strings.CutPrefix(text, token)
	return 0, rest, ok
}

// cutMonth reads the longest name of a month that the text begins with.
func (f *periodFormat) cutMonth(text string) (month int, rest string, ok bool) {
	length := 0
	for i, name := range f.Months {
		if len(name) > length && len(name) <= len(text) && strings.EqualFold(text[:len(name)], name) {
			month, length = i+1, len(name)
		}
	}
	return month, text[length:], month > 0
}

// cutNumber reads a number of as many digits as there are, from shortest to longest.
func cutNumber(text string, shortest, longest, least, most int) (number int, rest string, ok bool) {
	n := 0
	for n < min(longest, len(text)) && text[n] >= '0' && text[n] <= '9' {
		number = 10*number + int(text[n]-'0')
		n++
	}
	return number, text[n:], n >= shortest && number >= least && number <= most
}
