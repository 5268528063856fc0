package risk

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/services/fault"
)

func quarters(t *testing.T) []period.Period {
	t.Helper()
	window, err := boats().Evidence.Window()
	if err != nil {
		t.Fatal(err)
	}
	return window
}

func TestCountTellsNoEventsFromNothingKnown(t *testing.T) {
	w := quarters(t)
	evidence, events, exposure, err := count(w, Figures{
		Series:   []Figure{{w[2], math.NaN(), "gb", "O"}, {w[0], 241, "gb", "A"}},
		Reported: map[period.Period]bool{w[0]: true, w[1]: true, w[2]: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := []Count{
		{Period: w[0], Events: 241, Provider: "gb", Status: "A"},
		{Period: w[1]},
		{Period: w[2], Provider: "gb", Status: "O", LeftOut: true},
		{Period: w[3], LeftOut: true},
	}
	if diff := cmp.Diff(want, evidence); diff != "" {
		t.Error(diff)
	}
	if events != 241 || exposure != 2 {
		t.Errorf("counted %v events in %v periods, want 241 in 2", events, exposure)
	}
}

func TestCountRefusesEvidenceThatAllowsNoJudgement(t *testing.T) {
	w := quarters(t)
	for name, c := range map[string]struct {
		figures Figures
		reason  string
	}{
		"nothing reported": {Figures{}, "WRONG_STATE"},
		"two providers":    {Figures{Series: []Figure{{w[0], 1, "gb", "A"}, {w[0], 2, "eu", "A"}}}, "PROVIDER_AMBIGUOUS"},
		"a negative count": {Figures{Series: []Figure{{w[0], -1, "gb", "A"}}}, "WRONG_STATE"},
	} {
		if _, _, _, err := count(w, c.figures); !fault.Is(err, fault.Precondition) || fault.Reason(err) != c.reason {
			t.Errorf("%s: error is %v, want a precondition with reason %s", name, err, c.reason)
		}
	}
}
