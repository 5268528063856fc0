package period_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/period"
)

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"2023": "2023 2023-01-01 2023-12-31", "2023-A1": "2023 2023-01-01 2023-12-31", "2023-S2": "2023-S2 2023-07-01 2023-12-31",
		"2023-T3": "2023-T3 2023-09-01 2023-12-31", "2023-Q4": "2023-Q4 2023-10-01 2023-12-31", "2023-12": "2023-12 2023-12-01 2023-12-31",
		"2023-M02": "2023-02 2023-02-01 2023-02-28", "2020-W53": "2020-W53 2020-12-28 2021-01-03", "2021-W01": "2021-W01 2021-01-04 2021-01-10",
		"2024-D366": "2024-12-31 2024-12-31 2024-12-31", "2024-02-29": "2024-02-29 2024-02-29 2024-02-29",
		"1000": "1000 1000-01-01 1000-12-31", "2999-12-31": "2999-12-31 2999-12-31 2999-12-31",
	} {
		p, err := period.Parse(text)
		if got := fmt.Sprintf("%s %s %s", p, p.Start().Format(time.DateOnly), p.End().Format(time.DateOnly)); err != nil || got != want {
			t.Errorf("Parse(%q) is %s, %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "23", "02023", "9999", "2023-", "2023-Q5", "2023-Q", "2023-13", "2023-00", "2023-1", "2023-W54", "2021-W53", "2023-02-29", "2023-A2", "-2023", "+202", "2023-+1", "2023-Q4 ", "2023-MM1", "0999", "3000", "２０２３", "2023-D366", "2023-D365 ", "2023-S3", "2023-T4", "2023-X1", "2023-M1", "2023-Q04"} {
		if p, err := period.Parse(text); err == nil {
			t.Errorf("Parse(%q) is %v, want an error", text, p)
		}
	}
}

func TestPeriodHoldsItsDaysAndNoOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frequency := rapid.SampledFrom([]period.Frequency{'A', 'S', 'T', 'Q', 'M', 'W', 'D'}).Draw(t, "frequency")
		day := time.Date(1001, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 700_000).Draw(t, "day"))
		p, err := period.At(frequency, day)
		if err != nil {
			t.Fatal(err)
		}
		if day.Before(p.Start()) || day.After(p.End()) {
			t.Fatalf("%v is from %v to %v and should hold %v", p, p.Start(), p.End(), day)
		}
		if next := p.Next(); next.Previous() != p || !next.Start().Equal(p.End().AddDate(0, 0, 1)) {
			t.Fatalf("%v starts on %v, not the day after %v", next, next.Start(), p.End())
		}
		if back, err := period.Parse(p.String()); err != nil || back != p {
			t.Fatalf("%v comes back as %v, %v", p, back, err)
		}
	})
}

func TestPeriodInCoarserFrequency(t *testing.T) {
	for _, test := range []struct{ fine, coarse string }{
		{"2023-12-31", "2023-W52"}, {"2023-12", "2023-Q4"}, {"2023-Q1", "2023"}, {"2020-W53", "2020"}, {"2021-W01", "2021-01"}, {"2024-W01", "2024"},
	} {
		fine, _ := period.Parse(test.fine)
		coarse, err := period.Parse(test.coarse)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := fine.In(coarse.Frequency); err != nil || got != coarse {
			t.Errorf("%v lies in %v, %v; want %v", fine, got, err, coarse)
		}
	}
}
