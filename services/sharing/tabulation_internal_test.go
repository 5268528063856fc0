package sharing

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/fault"
)

func TestLevelsOfABranchThatLacksOne(t *testing.T) {
	t.Parallel()
	d := Dimension{ID: "CITIZENSHIP", Levels: []string{"total", "region", "country"}, Codes: map[string]Code{
		"_T": {Level: "total"}, "EUR": {Parent: "_T", Level: "region"}, "FRA": {Parent: "EUR", Level: "country"},
		"ATA": {Parent: "_T", Level: "country"}, "MOON": {Parent: "_T"}, "CRATER": {Parent: "MOON"},
	}}
	for level, want := range map[string][]string{
		"total": {"_T"}, "region": {"ATA", "EUR", "MOON"}, "country": {"ATA", "CRATER", "FRA"},
	} {
		t.Run("it is cut below, at "+level, func(t *testing.T) {
			got, err := d.cut(level)
			if diff := cmp.Diff(want, got); err != nil || diff != "" {
				t.Errorf("%v, codes (-want +got):\n%s", err, diff)
			}
		})
	}
	if _, err := d.cut("village"); !fault.Is(err, fault.Invalid) {
		t.Errorf("at a level that there is not: %v", err)
	}
	for name, test := range map[string]struct {
		dimension Dimension
		codes     []string
		given     *Selection
		want      []RequestedCode
	}{
		"codes by the level asked for": {d, []string{"ATA", "EUR"}, &Selection{Level: "region"}, []RequestedCode{{"ATA", "region"}}},
		"codes by their own levels":    {d, []string{"ATA", "EUR", "FRA"}, &Selection{Codes: []string{"x"}}, []RequestedCode{{"ATA", "country"}, {"EUR", "region"}}},
		"a total besides":              {d, []string{"EUR", "_T"}, &Selection{Codes: []string{"x"}}, []RequestedCode{{"EUR", "region"}, {"_T", "total"}}},
		"a total alone":                {d, []string{"_T"}, nil, []RequestedCode{{"_T", "total"}}},
		"every area":                   {Dimension{ID: refArea}, []string{"AA", "BB"}, nil, []RequestedCode{{"AA", ""}, {"BB", ""}}},
	} {
		t.Run("policy is told of "+name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, requestedCodes(test.dimension, test.codes, test.given)); diff != "" {
				t.Errorf("requested (-want +got):\n%s", diff)
			}
		})
	}
}
