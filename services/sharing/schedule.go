package sharing

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Schedule says when what changed of the figures under an agreement goes: at each change, where it is "", or else at the
// occurrences of a repeating interval (ISO 8601-1:2019, 5.6.1), which is written
//
//	R/2026-01-05T06:00Z/P1W        every week from that Monday on, at six
//	R11/2026-01-31T09:30+01:00/P1M twelve times, on the last day of each month where it has no 31st
//
// The start has whole minutes. The duration has years, months, weeks, days, hours and minutes, whole numbers, and is a minute
// at least. The n-th occurrence is n durations after the start, in the start's offset from UTC.
type Schedule string

var (
	interval = regexp.MustCompile(`^R(\d{0,6})/([^/]+)/(P[^/]+)$`)
	duration = regexp.MustCompile(`^P(?:(\d{1,5})Y)?(?:(\d{1,5})M)?(?:(\d{1,5})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,5})H)?(?:(\d{1,5})M)?)?$`)
)

// repeating is what a schedule says.
type repeating struct {
	start time.Time
	last  int // the number of the last occurrence, from 0; -1: there is none
	step  step
}

// step is a duration of the calendar.
type step struct {
	months, days int
	clock        time.Duration
}

// parse reads a schedule that is not empty.
func (s Schedule) parse() (repeating, error) {
	parts := interval.FindStringSubmatch(string(s))
	if parts == nil {
		return repeating{}, fmt.Errorf("%q is no repeating interval such as R/2026-01-05T06:00Z/P1W", string(s))
	}
	r := repeating{last: -1}
	if parts[1] != "" {
		r.last, _ = strconv.Atoi(parts[1]) // six digits
	}
	var err error
	if r.start, err = time.Parse("2006-01-02T15:04Z07:00", parts[2]); err != nil {
		return repeating{}, fmt.Errorf("%q is no start such as 2026-01-05T06:00Z", parts[2])
	}
	if r.step, err = parseStep(parts[3]); err != nil {
		return repeating{}, err
	}
	return r, nil
}

// parseStep reads an ISO 8601 duration of a minute at least.
func parseStep(text string) (step, error) {
	parts := duration.FindStringSubmatch(text)
	if parts == nil || strings.HasSuffix(text, "T") {
		return step{}, fmt.Errorf("%q is no duration such as P1M, P1W, P1D or PT15M", text)
	}
	n := make([]int, len(parts))
	for i, part := range parts[1:] {
		n[i], _ = strconv.Atoi(part) // five digits, or none
	}
	d := step{months: 12*n[0] + n[1], days: 7*n[2] + n[3], clock: time.Duration(n[4])*time.Hour + time.Duration(n[5])*time.Minute}
	if d.least() < time.Minute {
		return step{}, fmt.Errorf("%q is shorter than a minute", text)
	}
	return d, nil
}

// least returns a time that the duration is never shorter than.
func (d step) least() time.Duration {
	return time.Duration(28*d.months+d.days)*24*time.Hour + d.clock
}

// occurrence returns the n-th occurrence, from 0. On a day that its month does not have it falls on the last one.
func (r repeating) occurrence(n int) time.Time {
	year, month, day := r.start.Date()
	first := time.Date(year, month+time.Month(n*r.step.months), 1, r.start.Hour(), r.start.Minute(), 0, 0, r.start.Location())
	lastDay := first.AddDate(0, 1, -1).Day()
	return first.AddDate(0, 0, min(day, lastDay)-1+n*r.step.days).Add(time.Duration(n) * r.step.clock)
}

// newest returns the newest occurrence that is not after the time; false where there is none.
func (r repeating) newest(at time.Time) (time.Time, bool) {
	n, found := r.number(at)
	if !found {
		return time.Time{}, false
	}
	return r.occurrence(n), true
}

// number returns the number of the newest occurrence that is not after the time; false where there is none.
func (r repeating) number(at time.Time) (int, bool) {
	if at.Before(r.start) {
		return 0, false
	}
	low, high := 0, int(at.Sub(r.start)/r.step.least())+1 // the occurrence low is not after, the one after high is
	if r.last >= 0 {
		high = min(high, r.last)
	}
	for low < high {
		if middle := (low + high + 1) / 2; r.occurrence(middle).After(at) {
			high = middle - 1
		} else {
			low = middle
		}
	}
	return low, true
}

// look is when it was looked for the last time whether anything goes under an agreement.
type look struct {
	version int
	epoch   string
	at      time.Time
}

const lookProgress = "schedule " // and the agreement

// mayGo reports whether what changed may go under the agreement: at once the first time under a version, or in an epoch of the
// stream, and from then on where an occurrence of its schedule has passed since it was looked last.
func (s *Service) mayGo(ctx context.Context, a Agreement, epoch string) (bool, error) {
	if a.Terms.Schedule == "" {
		return true, nil
	}
	repeats, err := a.Terms.Schedule.parse()
	if err != nil {
		return false, err
	}
	kept, err := s.Store.Progress(ctx, lookProgress+string(a.Terms.ID))
	if err != nil {
		return false, err
	}
	var last look
	var at string
	if _, err := fmt.Sscan(kept, &last.version, &last.epoch, &at); err == nil {
		last.at, _ = time.Parse(time.RFC3339Nano, at)
	}
	if last.version != a.Terms.Version || last.epoch != epoch {
		return true, nil
	}
	newest, found := repeats.newest(s.now())
	return found && newest.After(last.at), nil
}

// looked keeps that it was looked at the time what goes under the agreement.
func (s *Service) looked(ctx context.Context, a Agreement, epoch string, at time.Time) error {
	if a.Terms.Schedule == "" {
		return nil
	}
	return s.Store.SaveProgress(ctx, lookProgress+string(a.Terms.ID), fmt.Sprintf("%d %s %s", a.Terms.Version, epoch, at.Format(time.RFC3339Nano)))
}
