package sharing

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestScheduleParse(t *testing.T) {
	t.Parallel()
	for _, good := range []Schedule{"R/2026-01-05T06:00Z/P1W", "R0/2026-01-05T06:00+05:30/PT1M", "R11/2026-01-31T09:30-01:00/P1M", "R/2026-01-05T06:00Z/P1Y2M3W4DT5H6M"} {
		if _, err := good.parse(); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []Schedule{
		"daily", "R/2026-01-05/P1D", "R/2026-01-05T06:00:30Z/P1D", "R/2026-01-05T06:00/P1D", "R/2026-13-05T06:00Z/P1D", "R-1/2026-01-05T06:00Z/P1D",
		"R/2026-01-05T06:00Z/P", "R/2026-01-05T06:00Z/PT", "R/2026-01-05T06:00Z/P0D", "R/2026-01-05T06:00Z/PT30S", "R/2026-01-05T06:00Z/P1DT", "R/2026-01-05T06:00Z/P1.5D",
		"R/2026-01-05T06:00Z", "R/P1D/2026-01-05T06:00Z", "R/2026-01-05T06:00Z/P999999D", " R/2026-01-05T06:00Z/P1D", "R/2026-01-05T06:00Z/P1D\n",
	} {
		if r, err := bad.parse(); err == nil {
			t.Errorf("%q was read as %+v", bad, r)
		}
	}
}

func TestScheduleNewest(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		schedule Schedule
		at, want string // "": none
	}{
		"is none before the first":                     {"R/2026-01-05T06:00Z/P1D", "2026-01-05T05:59Z", ""},
		"is the first at its minute":                   {"R/2026-01-05T06:00Z/P1D", "2026-01-05T06:00Z", "2026-01-05T06:00Z"},
		"is that of the day before until the minute":   {"R/2026-01-05T06:00Z/P1D", "2026-03-01T05:59Z", "2026-02-28T06:00Z"},
		"keeps to the offset that it is written in":    {"R/2026-01-05T06:00+02:00/P1D", "2026-01-06T04:30Z", "2026-01-06T04:00Z"},
		"is on the last day where a month is short":    {"R/2026-01-31T09:30Z/P1M", "2026-03-01T00:00Z", "2026-02-28T09:30Z"},
		"is back on the 31st after a short month":      {"R/2026-01-31T09:30Z/P1M", "2026-03-31T10:00Z", "2026-03-31T09:30Z"},
		"is on 28 February where it began on the 29th": {"R/2024-02-29T00:00Z/P1Y", "2025-06-01T00:00Z", "2025-02-28T00:00Z"},
		"is the last one for ever where it ends":       {"R2/2026-01-05T06:00Z/P1D", "2030-01-01T00:00Z", "2026-01-07T06:00Z"},
		"is the only one where it does not repeat":     {"R0/2026-01-05T06:00Z/P1D", "2030-01-01T00:00Z", "2026-01-05T06:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const layout = "2006-01-02T15:04Z07:00"
			r, err := test.schedule.parse()
			if err != nil {
				t.Fatal(err)
			}
			at, err := time.Parse(layout, test.at)
			if err != nil {
				t.Fatal(err)
			}
			newest, found := r.newest(at)
			if got := newest.UTC().Format(layout); found != (test.want != "") || found && got != test.want {
				t.Errorf("%s, %v", got, found)
			}
		})
	}
}

func TestScheduleOccurrences(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := repeating{
			start: time.Date(2000+rapid.IntRange(0, 40).Draw(t, "year"), 1, rapid.IntRange(1, 366).Draw(t, "day"), 6, 30, 0, 0, time.UTC),
			last:  -1,
			step:  step{months: rapid.IntRange(0, 30).Draw(t, "months"), days: rapid.IntRange(0, 40).Draw(t, "days"), clock: time.Duration(rapid.IntRange(1, 3000).Draw(t, "minutes")) * time.Minute},
		}
		n := rapid.IntRange(0, 60).Draw(t, "n")
		this, next := r.occurrence(n), r.occurrence(n+1)
		if !next.After(this) {
			t.Fatalf("occurrence %d is at %s, the next one at %s", n, this, next)
		}
		for _, at := range []time.Time{this, this.Add(next.Sub(this) / 2), next.Add(-time.Nanosecond)} {
			if newest, found := r.newest(at); !found || !newest.Equal(this) {
				t.Fatalf("at %s it is %s, not %s", at, newest, this)
			}
		}
	})
}
