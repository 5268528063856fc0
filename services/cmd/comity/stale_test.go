package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestStale(t *testing.T) {
	t.Run("says who holds what, since when, and what was taken out", func(t *testing.T) {
		directory := runningRegion(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.String() != "/v1/holdings?partner=bb&staleOnly=true" {
				t.Errorf("asked for %s", r.URL)
			}
			fmt.Fprint(w, `{"holdings":[{"partner":"bb","agreement":"aa-bb","agreementVersion":2,"inForce":true,"stale":true,"behind":2,
				"newest":{"statisticsRevision":"9"},"held":{"statisticsRevision":"7"},"staleSince":"2026-03-01T09:00:00Z","acknowledgeTime":"2026-02-28T10:00:00Z",
				"retractions":[{"indicators":["1A","5"],"afterwards":"WITHDRAW"},{"indicators":["2"]},
					{"indicators":["3"],"afterwards":"WITHDRAW","acknowledgeTime":"2026-02-28T10:00:00Z"}]}]}`)
		})
		printed, err := comity(t, "stale", "--dir", directory, "--state", "aa", "--partner", "bb")
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{
			"aa-bb version 2", "revision 9", "revision 7", "2026-02-28 10:00Z", "2 behind", "not covered: 1A 5  to be taken out; it has not said so",
			"kept until their retention is over", "taken out, by its word, 2026-02-28 10:00Z",
		} {
			if !strings.Contains(printed, part) {
				t.Errorf("it does not say %q:\n%s", part, printed)
			}
		}
	})
	t.Run("says that nobody does", func(t *testing.T) {
		printed, err := comity(t, "stale", "--state", "aa", "--dir", runningRegion(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{}`) }))
		if err != nil || !strings.Contains(printed, "no partner holds stale figures") {
			t.Errorf("%q, %v", printed, err)
		}
	})
}
