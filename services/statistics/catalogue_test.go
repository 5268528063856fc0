package statistics_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

func ref(text string) statistics.Ref {
	made, err := statistics.ParseRef(text)
	if err != nil {
		panic(err)
	}
	return made
}

func TestHierarchy(t *testing.T) {
	t.Parallel()
	h := hierarchy(t,
		statistics.Code{ID: "_T", Level: "total"},
		statistics.Code{ID: "N", Parent: "_T", Level: "region"}, statistics.Code{ID: "N1", Parent: "N", Level: "country"},
		statistics.Code{ID: "LOOSE", Parent: "_T", Level: "country"},
	)
	t.Run("it gives a code's ancestors", func(t *testing.T) {
		t.Parallel()
		if got := slices.Collect(h.Chain("N1")); !slices.Equal(got, []string{"N1", "N", "_T"}) {
			t.Errorf("Chain(N1) = %v", got)
		}
	})
	t.Run("it cuts a branch without the level at its first code below", func(t *testing.T) {
		t.Parallel()
		got, err := h.AtLevel("region")
		if err != nil || !slices.Equal(got, []string{"N", "LOOSE"}) {
			t.Errorf("AtLevel(region) = %v, %v", got, err)
		}
		for code, want := range map[string]string{"N1": "N", "N": "N", "LOOSE": "LOOSE", "_T": ""} {
			if got, ok := h.AncestorAt(code, "region"); got != want || ok != (want != "") {
				t.Errorf("AncestorAt(%s, region) = %q, %v; want %q", code, got, ok, want)
			}
		}
	})
	for name, codes := range map[string][]statistics.Code{
		"it refuses a code that stands twice":            {{ID: "A"}, {ID: "A"}},
		"it refuses a child before its parent":           {{ID: "A", Parent: "B"}, {ID: "B"}},
		"it refuses a code that is its own parent":       {{ID: "A", Parent: "A"}},
		"it refuses a level that is not there":           {{ID: "A", Level: "planet"}},
		"it refuses to cover a code that is no sibling":  {{ID: "A", Covers: []string{"B"}}, {ID: "B", Parent: "A"}},
		"it refuses to cover a code that does not exist": {{ID: "A", Covers: []string{"B"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := statistics.NewHierarchy(&statistics.Codelist{Levels: []string{"total"}, Codes: codes}); err == nil {
				t.Error("no error")
			}
		})
	}
}

func artefacts() *statistics.Structures {
	dimension := statistics.Component{ID: "FREQ"}
	return &statistics.Structures{
		DataStructures: []statistics.DataStructure{{Ref: ref("X:S(1.0.0)"), Dimensions: []statistics.Component{dimension, {ID: "D"}}}},
		Dataflows: []statistics.Dataflow{
			{Ref: ref("X:A(1.0.0)"), Structure: ref("X:S(1.0.0)")},
			{Ref: ref("X:A(1.10.0)"), Structure: ref("X:S")},
			{Ref: ref("X:A(1.9.0)"), Structure: ref("X:S(1.0.0)")},
			{Ref: ref("X:A(2.0.0-draft)"), Structure: ref("X:S(1.0.0)")},
			{Ref: ref("X:B(1.0.0)"), Structure: ref("X:S(1.0.0)")},
			{Ref: ref("X:C(1.0.0)"), Structure: ref("X:S(1.0.0)")},
		},
		StructureMaps: []statistics.StructureMap{{Ref: ref("X:M(1.0.0)"), Source: ref("X:A(1.0.0)"), Target: ref("X:B(1.0.0)")}},
	}
}

func TestCatalogue(t *testing.T) {
	t.Parallel()
	t.Run("it takes the latest version that is no draft where none is named", func(t *testing.T) {
		t.Parallel()
		catalogue, err := statistics.NewCatalogue(artefacts())
		if err != nil {
			t.Fatal(err)
		}
		for name, want := range map[string]string{
			"X:A": "X:A(1.10.0)", "X:A(1.9.0)": "X:A(1.9.0)", "X:A(1+.0.0)": "X:A(1.10.0)", "X:A(~)": "X:A(2.0.0-draft)", "X:A(1.9.0+)": "X:A(1.9.0)",
		} {
			flow, err := catalogue.Flow(ref(name))
			if err != nil || flow.Ref.String() != want {
				t.Errorf("Flow(%s) = %v, %v", name, flow, err)
			}
		}
		if _, err := catalogue.Flow(ref("X:A(3.0.0)")); !fault.Is(err, fault.NotFound) {
			t.Errorf("Flow of no such version: %v", err)
		}
		var order []string
		for _, d := range catalogue.Dataflows() {
			order = append(order, d.Ref.String())
		}
		want := []string{"X:A(1.0.0)", "X:A(1.9.0)", "X:A(1.10.0)", "X:A(2.0.0-draft)", "X:B(1.0.0)", "X:C(1.0.0)"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Errorf("dataflows (-want +got):\n%s", diff)
		}
	})
	t.Run("it answers with versions where none is named", func(t *testing.T) {
		t.Parallel()
		s := artefacts()
		s.Codelists = []statistics.Codelist{{Ref: ref("X:CL(1.0.0)")}, {Ref: ref("X:CL(1.1.0)")}}
		s.DataStructures[0].Dimensions[1].Codelist = ref("X:CL")
		catalogue, err := statistics.NewCatalogue(s)
		if err != nil {
			t.Fatal(err)
		}
		flow, err := catalogue.Flow(ref("X:A(1.10.0)"))
		if err != nil {
			t.Fatal(err)
		}
		got := catalogue.Structures(flow)
		if structure := got.Dataflows[0].Structure; structure != ref("X:S(1.0.0)") {
			t.Errorf("the dataflow is of %s", structure)
		}
		if list := got.DataStructures[0].Dimensions[1].Codelist; list != ref("X:CL(1.1.0)") || len(got.Codelists) != 1 || got.Codelists[0].Ref != list {
			t.Errorf("the dimension is of %s, of %v", list, got.Codelists)
		}
	})
	for name, test := range map[string]struct {
		change func(*statistics.Structures)
		want   string
	}{
		"it refuses a data structure that does not begin with FREQ": {
			func(s *statistics.Structures) { s.DataStructures[0].Dimensions = s.DataStructures[0].Dimensions[1:] }, "FREQ",
		},
		"it refuses more than 16 dimensions": {
			func(s *statistics.Structures) {
				for _, letter := range "abcdefghijklmnop" {
					s.DataStructures[0].Dimensions = append(s.DataStructures[0].Dimensions, statistics.Component{ID: string(letter)})
				}
			}, "at most 16",
		},
		"it refuses a codelist that is not there": {
			func(s *statistics.Structures) { s.DataStructures[0].Dimensions[1].Codelist = ref("X:CL(1.0.0)") }, "X:CL(1.0.0)",
		},
		"it refuses a dataflow without its data structure": {
			func(s *statistics.Structures) { s.Dataflows[0].Structure = ref("X:NONE(1.0.0)") }, "X:NONE(1.0.0)",
		},
		"it refuses to derive from what is derived": {
			func(s *statistics.Structures) {
				s.StructureMaps = append(s.StructureMaps, statistics.StructureMap{Ref: ref("X:N(1.0.0)"), Source: ref("X:B(1.0.0)"), Target: ref("X:C(1.0.0)")})
			}, "itself derived",
		},
		"it refuses structure maps in a circle": {
			func(s *statistics.Structures) {
				s.StructureMaps = append(s.StructureMaps, statistics.StructureMap{Ref: ref("X:N(1.0.0)"), Source: ref("X:B(1.0.0)"), Target: ref("X:A(1.0.0)")})
			}, "X:A(1.0.0) → X:B(1.0.0) → X:A(1.0.0)",
		},
		"it refuses an artefact without a version": {
			func(s *statistics.Structures) { s.Dataflows[4].Ref.Version = "" }, "X:B",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := artefacts()
			test.change(s)
			_, err := statistics.NewCatalogue(s)
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want one about %s", err, test.want)
			}
		})
	}
}
