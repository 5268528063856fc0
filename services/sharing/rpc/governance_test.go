package rpc

import (
	"slices"
	"testing"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
)

func TestRegistry_says_what_later_versions_have_to_have(t *testing.T) {
	t.Parallel()
	structures, err := structuresToJSON(&statisticspb.Structures{
		Codelists: []*statisticspb.Codelist{{Agency: "X", Id: "CL", Version: "1.0.0", Codes: []*statisticspb.Code{{Id: "_T"}, {Id: "A", Parent: "_T"}}}},
		DataStructures: []*statisticspb.DataStructure{{
			Agency: "X", Id: "S", Version: "1.0.0",
			Dimensions: []*statisticspb.Component{{Id: "FREQ"}, {Id: "SEX"}}, Attributes: []*statisticspb.Component{{Id: "COMMENT"}},
		}},
		Dataflows: []*statisticspb.Dataflow{{Agency: "X", Id: "F", Version: "1.0.0", Structure: "X:S(1.0.0)"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	artefacts, err := (&Statistics{}).Read(structures)
	if err != nil {
		t.Fatal(err)
	}
	var parts []string
	for _, a := range artefacts {
		parts = append(parts, a.String())
		parts = append(parts, a.Parts...)
	}
	want := []string{
		"Codelist X:CL(1.0.0)", "the code _T", "the code A of _T",
		"DataStructure X:S(1.0.0)", "2 dimensions", "the dimension FREQ in place 1", "the dimension SEX in place 2", "the attribute COMMENT",
		"Dataflow X:F(1.0.0)", "the data structure X:S",
	}
	if !slices.Equal(parts, want) {
		t.Errorf("%q", parts)
	}
}

func TestRegistry_reads_no_structures_with_fields_that_others_do_not_see(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"unknown": `{"codelists":[],"hidden":1}`,
		"twice":   `{"codelists":[{"id":"A"}],"codelists":[]}`,
		"no JSON": `{`,
	} {
		if _, err := (&Statistics{}).Read([]byte(text)); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
