package sharing

import (
	"testing"
	"time"
)

func TestKeepDays_is_what_both_agreements_allow(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct{ own, source, age, want int }{
		"no limit":                         {0, 0, 5, 0},
		"the limit of who passes it on":    {20, 0, 5, 20},
		"the limit of the source":          {0, 30, 0, 30},
		"from when the source released it": {30, 30, 5, 25},
		"the shorter one":                  {20, 30, 5, 20},
		"a day where it is over":           {30, 30, 40, 1},
	} {
		source := &incomingWarrant{terms: Terms{RetentionDays: test.source}, header: Header{Created: now.AddDate(0, 0, -test.age)}}
		if got := (Terms{RetentionDays: test.own}).keepDays(source, now); got != test.want {
			t.Errorf("%s: %d", name, got)
		}
	}
	if got := (Terms{RetentionDays: 30}).keepDays(nil, now); got != 30 {
		t.Errorf("of its own figures: %d", got)
	}
}
