package statistics_test

import (
	"testing"
	"time"

	"github.com/comity-federation/comity/services/statistics"
)

func TestRuleForTakesTheMostSpecific(t *testing.T) {
	t.Parallel()
	f, g := statistics.Ref{Agency: "X", ID: "F", Version: "1.0.0"}, statistics.Ref{Agency: "X", ID: "G", Version: "1.0.0"}
	all := []statistics.RetentionRule{
		{AfterReceived: "1"},
		{Dataflow: f, AfterReceived: "2"},
		{Provider: "p", AfterReceived: "3"},
		{Dataflow: f, Provider: "p", AfterReceived: "4"},
		{Dataflow: f, Provider: "own", AfterReceived: "5"},
	}
	service := statistics.NewService(nil, "own", time.Now, nil)
	for _, test := range []struct {
		name     string
		part     statistics.Part
		received string
	}{
		{"names both", statistics.Part{Dataflow: f, Provider: "p"}, "4"},
		{"names the provider", statistics.Part{Dataflow: g, Provider: "p"}, "3"},
		{"names the dataflow", statistics.Part{Dataflow: f, Provider: "q"}, "2"},
		{"names neither", statistics.Part{Dataflow: g, Provider: "q"}, "1"},
		{"own figures, named", statistics.Part{Dataflow: f, Provider: "own"}, "5"},
		{"own figures, not named", statistics.Part{Dataflow: g, Provider: "own"}, ""},
		{"published figures", statistics.Part{Dataflow: f, Provider: statistics.PublishedToAll}, ""},
	} {
		got := ""
		if rule := service.RuleFor(test.part, all); rule != nil {
			got = rule.AfterReceived
		}
		if got != test.received {
			t.Errorf("%s: the rule %q counts, not %q", test.name, got, test.received)
		}
	}
}

func TestSetRetentionRefusesWhatIsNoSpan(t *testing.T) {
	t.Parallel()
	service := statistics.NewService(nil, "own", time.Now, nil)
	for _, span := range []string{"P", "0", "P0D", "-1", "P1H", "PT1H", "1Y", "P1.5Y", "P999999Y", "P9999999D", "soon"} {
		if _, err := service.SetRetention(t.Context(), statistics.RetentionRule{AfterPeriod: span}); err == nil {
			t.Errorf("%q is taken", span)
		}
	}
}
