package filter_test

import (
	"slices"
	"testing"

	"github.com/comity-federation/comity/proto/filter"
)

func TestMatch(t *testing.T) {
	row := map[string]string{"FREQ": "M", "CITIZENSHIP": "SYR", "OBS_VALUE": "12"}
	value := func(component string) string { return row[component] }
	for _, test := range []struct {
		name   string
		filter filter.Filter
		want   bool
	}{
		{"true", filter.True(), true},
		{"false", filter.False(), false},
		{"the zero filter", filter.Filter{}, true},
		{"eq", filter.Eq("FREQ", "M"), true},
		{"eq another", filter.Eq("FREQ", "Q"), false},
		{"ne an absent component", filter.Compare(filter.OpNe, "SEX", "F"), true},
		{"in", filter.In("CITIZENSHIP", "AFG", "SYR"), true},
		{"in nothing", filter.In("CITIZENSHIP"), false},
		{"numbers as numbers", filter.Compare(filter.OpGt, "OBS_VALUE", "9"), true},
		{"text by bytes", filter.Compare(filter.OpLt, "CITIZENSHIP", "TUR"), true},
		{"le itself", filter.Compare(filter.OpLe, "OBS_VALUE", "12.0"), true},
		{"ge more", filter.Compare(filter.OpGe, "OBS_VALUE", "13"), false},
		{"contains", filter.Compare(filter.OpContains, "CITIZENSHIP", "Y"), true},
		{"not contains", filter.Compare(filter.OpNotContains, "CITIZENSHIP", "Y"), false},
		{"starts with", filter.Compare(filter.OpStartsWith, "CITIZENSHIP", "SY"), true},
		{"ends with", filter.Compare(filter.OpEndsWith, "CITIZENSHIP", "SY"), false},
		{"not", filter.Not(filter.Eq("FREQ", "M")), false},
		{"and", filter.And(filter.Eq("FREQ", "M"), filter.Eq("CITIZENSHIP", "AFG")), false},
		{"or", filter.Or(filter.Eq("FREQ", "Q"), filter.Eq("CITIZENSHIP", "SYR")), true},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := test.filter.Match(value); got != test.want {
				t.Errorf("%v matches: %v, want %v", test.filter, got, test.want)
			}
		})
	}
}

func TestFixed(t *testing.T) {
	f := filter.And(filter.In("REF_AREA", "US", "GB"), filter.Eq("REF_AREA", "US"), filter.Or(filter.Eq("FREQ", "M"), filter.Eq("FREQ", "Q")))
	if got, ok := f.Fixed("REF_AREA"); !ok || !slices.Equal(got, []string{"US"}) {
		t.Errorf("REF_AREA is fixed to %v, %v; want [US], true", got, ok)
	}
	if got, ok := f.Fixed("FREQ"); ok {
		t.Errorf("FREQ is fixed to %v by a disjunction", got)
	}
	if got := f.Components(); !slices.Equal(got, []string{"FREQ", "REF_AREA"}) {
		t.Errorf("components are %v", got)
	}
}
