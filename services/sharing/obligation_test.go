package sharing

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/disclosure"
)

func TestObligations(t *testing.T) {
	t.Parallel()
	t.Run("become the rules of a table", func(t *testing.T) {
		o := Obligations{
			MinimumFrequency: 5, RelativeWidth: 0.2,
			Dominance: &Dominance{N: 1, K: 75, By: "SECTION"}, PPercent: &PPercent{P: 10, By: "SECTION"},
		}
		want := disclosure.Rules{
			MinimumFrequency: 5, RelativeWidth: 0.2,
			Dominance: &disclosure.Dominance{N: 1, K: 75}, PPercent: &disclosure.PQ{P: 10, Q: 100},
		}
		rules := o.rules()
		if diff := cmp.Diff(want, rules); diff != "" {
			t.Error(diff)
		}
		if err := rules.Check(); err != nil {
			t.Error(err)
		}
	})
	t.Run("say by which code a cell is confidential", func(t *testing.T) {
		for _, test := range []struct {
			n    int
			rule disclosure.Rule
			own  string
			want string
		}{
			{0, disclosure.ByFrequency, "F", "A"},
			{1, disclosure.ByDominance, "F", "O"},
			{2, disclosure.ByDominance, "F", "T"},
			{3, disclosure.ByDominance, "F", "G"},
			{0, disclosure.ByPPercent, "F", "M"},
			{0, disclosure.ByCaller, "F", "N"},
			{0, disclosure.ByCaller, "", "N"},
			{0, disclosure.ByCaller, "C", "C"},
		} {
			o := Obligations{Dominance: &Dominance{N: test.n}}
			if got := o.confStatus(test.rule, test.own); got != test.want {
				t.Errorf("%+v: %s", test, got)
			}
		}
	})
}
