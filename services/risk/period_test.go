package risk

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParsePeriodReadsWhatStringWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frequency := Frequency(rapid.SampledFrom([]byte("AQMWD")).Draw(t, "frequency"))
		day := time.Date(rapid.IntRange(1001, 2998).Draw(t, "year"), 1, rapid.IntRange(1, 366).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
		year, month := day.Year(), int(day.Month())
		p := Period{Frequency: frequency}
		switch frequency {
		case Annual:
			p.Number = year
		case Quarterly:
			p.Number = year*4 + (month-1)/3
		case Monthly:
			p.Number = year*12 + month - 1
		case Weekly:
			p.Number = days(day.AddDate(0, 0, -(int(day.Weekday())+6)%7)) / 7
			isoYear, week := day.ISOWeek()
			if want := fmt.Sprintf("%04d-W%02d", isoYear, week); p.String() != want {
				t.Fatalf("the week of %s was written as %s, want %s", day, p, want)
			}
		case Daily:
			p.Number = days(day)
			if p.String() != day.Format(time.DateOnly) {
				t.Fatalf("%s was written as %s", day, p)
			}
		}
		if back, err := ParsePeriod(p.String()); err != nil || back != p {
			t.Fatalf("%v was written as %s and read as %v: %v", p, p, back, err)
		}
	})
}

func TestParsePeriodReadsEachForm(t *testing.T) {
	for text, want := range map[string]string{
		"2023": "2023", "2023-A1": "2023", "2023-Q4": "2023-Q4", "2023-12": "2023-12", "2023-M12": "2023-12",
		"2020-W53": "2020-W53", "2024-02-29": "2024-02-29",
	} {
		if p, err := ParsePeriod(text); err != nil || p.String() != want {
			t.Errorf("%q was read as %s: %v", text, p, err)
		}
	}
}

func TestParsePeriodRefusesWhatIsNone(t *testing.T) {
	for _, text := range []string{
		"", "23", "0999", "3000", "2023-", "2023-Q0", "2023-Q5", "2023-Q", "2023-13", "2023-00", "2023-1", "2023-M1", "2023-MM1",
		"2021-W53", "2023-W00", "2023-02-29", "2023-12-31T00", "2023-A2", "+202", "2023-+1", "2023-Q4 ", "２０２３",
	} {
		if p, err := ParsePeriod(text); err == nil {
			t.Errorf("%q was read as %s", text, p)
		}
	}
}

func FuzzParsePeriod(f *testing.F) {
	f.Add("2023-W01")
	f.Add("2023-12-31")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePeriod(text)
		if err != nil {
			return
		}
		if back, err := ParsePeriod(p.String()); err != nil || back != p {
			t.Fatalf("%q was read as %v, that was read as %v: %v", text, p, back, err)
		}
	})
}
