package statistics_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

func item(text string) statistics.ItemRef {
	made, err := statistics.ParseItemRef(text)
	if err != nil {
		panic(err)
	}
	return made
}

// everything is a set with an artefact of each kind.
func everything() *statistics.Structures {
	names := statistics.Names{"en": "A name", "fr": "Un nom"}
	described := statistics.Names{"en": "What it is for"}
	remarks := []statistics.Annotation{{ID: "1", Title: "Changes", Type: "CHANGELOG", Value: "none", Texts: names, URL: "https://example.org"}}
	return &statistics.Structures{
		Codelists: []statistics.Codelist{
			{
				Ref: ref("X:CL_SEX(1.0.0)"), Names: names, Descriptions: described, Annotations: remarks, Levels: []string{"total", "sex"},
				Codes: []statistics.Code{
					{ID: "_T", Level: "total", Names: names, Descriptions: described, Annotations: remarks},
					{ID: "F", Parent: "_T", Level: "sex"},
					{ID: "M", Parent: "_T", Level: "sex"},
					{ID: "A", Parent: "_T", Level: "sex", Covers: []string{"F", "M"}},
				},
			},
			{Ref: ref("X:CL_FREQ(1.0.0)"), Codes: []statistics.Code{{ID: "A"}, {ID: "M"}}},
		},
		ConceptSchemes: []statistics.ConceptScheme{{
			Ref: ref("X:CS(1.0.0)"), Names: names, Descriptions: described, Annotations: remarks,
			Concepts: []statistics.Concept{
				{ID: "SEX", Names: statistics.Names{"en": "Sex"}, Codelist: ref("X:CL_SEX(1.0.0)"), Descriptions: described, Annotations: remarks},
				{ID: "GENDER", Parent: "SEX"},
				{ID: "AGE"},
			},
		}},
		DataStructures: []statistics.DataStructure{{
			Ref: ref("X:S(1.0.0)"), Names: names, Descriptions: described, Annotations: remarks,
			Dimensions: []statistics.Component{
				{ID: "FREQ", Codelist: ref("X:CL_FREQ(1.0.0)")},
				{ID: "SEX", Concept: item("X:CS(1.0.0).SEX")},
				{ID: "AGE", Names: names},
			},
			Attributes: []statistics.Component{{ID: "UNIT"}},
		}},
		Dataflows: []statistics.Dataflow{
			{Ref: ref("X:A(1.0.0)"), Names: names, Descriptions: described, Annotations: remarks, Structure: ref("X:S(1.0+.0)")},
			{Ref: ref("X:B(1.0.0)"), Structure: ref("X:S(1.0.0)")},
		},
		ContentConstraints: []statistics.ContentConstraint{{
			Ref: ref("X:CC(1.0.0)"), Names: names, Descriptions: described, Annotations: remarks,
			Dataflows: []statistics.Ref{ref("X:A(1.0.0)")},
			Regions: []statistics.CubeRegion{
				{Keys: []statistics.CubeRegionKey{{Component: "SEX", Values: []statistics.CubeRegionValue{{Value: "F"}, {Value: "_T"}}}}},
				{Exclude: true, Keys: []statistics.CubeRegionKey{{Component: "TIME_PERIOD", End: "1999"}}},
			},
			KeySets: []statistics.DataKeySet{{Exclude: true, Keys: []map[string]string{{"SEX": "F", "AGE": "old"}}}},
		}},
		ProvisionAgreements: []statistics.ProvisionAgreement{{
			Ref: ref("X:PA(1.0.0)"), Names: names, Descriptions: described, Annotations: remarks,
			Dataflow: ref("X:A(1.0.0)"), Provider: item("X:DATA_PROVIDERS(1.0).na"),
		}},
		RepresentationMaps: []statistics.RepresentationMap{{
			Ref: ref("X:RM(1.0.0)"), Names: names, Descriptions: described, Annotations: remarks,
			Mappings:  []statistics.Mapping{{Sources: []string{"F"}, Targets: []string{"F"}, ValidFrom: "2020"}, {Sources: []string{"A"}, Targets: []string{"F"}}},
			Otherwise: []string{"_T"}, Identity: true, TargetCodelists: []statistics.Ref{ref("X:CL_SEX(1.0.0)")},
		}},
		StructureMaps: []statistics.StructureMap{{
			Ref: ref("X:SM(1.0.0)"), Names: names, Descriptions: described, Annotations: remarks, Source: ref("X:A(1.0.0)"), Target: ref("X:B(1.0.0)"),
			Components: []statistics.ComponentMap{{Sources: []string{"SEX"}, Targets: []string{"SEX"}, RepresentationMap: ref("X:RM(1.0.0)")}},
		}},
		AgencySchemes: []statistics.OrganisationScheme{{
			Ref: ref("SDMX:AGENCIES(1.0)"), Names: names, Organisations: []statistics.Organisation{{ID: "X", Names: names}, {ID: "SDMX"}},
		}},
		DataProviderSchemes: []statistics.OrganisationScheme{{
			Ref: ref("X:DATA_PROVIDERS(1.0)"), Organisations: []statistics.Organisation{{ID: "na", Names: names, Descriptions: described, Annotations: remarks}},
		}},
	}
}

func TestArtefacts(t *testing.T) {
	t.Parallel()
	t.Run("it reads artefacts of each kind as they were written", func(t *testing.T) {
		t.Parallel()
		want, got := everything(), &statistics.Structures{}
		for a := range want.All() {
			content, err := json.Marshal(a)
			if err != nil {
				t.Fatal(err)
			}
			read, err := statistics.DecodeArtefact(a.Name().Kind, content)
			if err != nil {
				t.Fatal(err)
			}
			got.Add(read)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("artefacts (-want +got):\n%s", diff)
		}
		if _, err := statistics.DecodeArtefact("nothing", nil); err == nil {
			t.Error("no error for a kind that there is not")
		}
	})
	t.Run("it gives components the names and codelists of their concepts", func(t *testing.T) {
		t.Parallel()
		catalogue, err := statistics.NewCatalogue(everything())
		if err != nil {
			t.Fatal(err)
		}
		flow, err := catalogue.Flow(ref("X:A"))
		if err != nil {
			t.Fatal(err)
		}
		if sex := flow.Structure.Dimensions[1]; sex.Names["en"] != "Sex" || sex.Codelist != ref("X:CL_SEX(1.0.0)") || flow.Dimensions[1] == nil {
			t.Errorf("SEX is %+v", sex)
		}
		if age := flow.Structure.Dimensions[2]; age.Names["en"] != "A name" || age.Codelist != (statistics.Ref{}) {
			t.Errorf("AGE is %+v", age)
		}
		told := catalogue.Structures(flow)
		if len(told.ConceptSchemes) != 1 || len(told.Codelists) != 2 || told.Dataflows[0].Structure != ref("X:S(1.0.0)") {
			t.Errorf("the dataflow's artefacts are %+v", told)
		}
	})
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	draft := func(s *statistics.Structures) {
		s.Codelists = append(s.Codelists, statistics.Codelist{Ref: ref("X:CL_SEX(1.1.0-draft)")}, statistics.Codelist{Ref: ref("X:CL_NEW(1.0.0-draft)")})
	}
	for name, test := range map[string]struct {
		change func(*statistics.Structures)
		want   string // "": it is right
	}{
		"it takes a set in which all fits": {func(*statistics.Structures) {}, ""},
		"it refuses a concept that is not there": {func(s *statistics.Structures) {
			s.DataStructures[0].Dimensions[1].Concept = item("X:CS(1.0.0).NONE")
		}, `no "NONE" in X:CS(1.0.0) for SEX of X:S(1.0.0)`},
		"it refuses a concept scheme that is not there": {func(s *statistics.Structures) { s.ConceptSchemes = nil }, "there is no concept scheme X:CS(1.0.0)"},
		"it refuses a concept's codelist that is not there": {func(s *statistics.Structures) {
			s.ConceptSchemes[0].Concepts[2].Codelist = ref("X:CL_AGE(1.0.0)")
		}, "there is no codelist X:CL_AGE(1.0.0) for AGE of X:CS(1.0.0)"},
		"it refuses a provider that is not there": {func(s *statistics.Structures) {
			s.ProvisionAgreements[0].Provider = item("X:DATA_PROVIDERS(1.0).xx")
		}, `no "xx"`},
		"it refuses a constraint of what is not there": {func(s *statistics.Structures) {
			s.ContentConstraints[0].Dataflows[0] = ref("X:NONE(1.0.0)")
		}, "X:NONE(1.0.0)"},
		"it refuses a wildcard that nothing fits":         {func(s *statistics.Structures) { s.Dataflows[0].Structure = ref("X:S(2+.0.0)") }, "X:S(2+.0.0)"},
		"it refuses other wildcards than + in references": {func(s *statistics.Structures) { s.Dataflows[0].Structure = ref("X:S(~)") }, "only +"},
		"it refuses that a stable artefact refers to a draft": {func(s *statistics.Structures) {
			draft(s)
			s.ConceptSchemes[0].Concepts[0].Codelist = ref("X:CL_SEX(1.1.0-draft)")
		}, "must not refer to the draft X:CL_SEX(1.1.0-draft)"},
		"it refuses that a stable artefact refers to what is but a draft": {func(s *statistics.Structures) {
			draft(s)
			s.DataStructures[0].Dimensions[2].Codelist = ref("X:CL_NEW")
		}, "must not refer to the draft X:CL_NEW(1.0.0-draft)"},
		"it lets a draft refer to a draft": {func(s *statistics.Structures) {
			draft(s)
			s.DataStructures = append(s.DataStructures, statistics.DataStructure{
				Ref: ref("X:S(1.1.0-draft)"), Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "SEX", Codelist: ref("X:CL_NEW(1.0.0-draft)")}},
			})
		}, ""},
		"it refuses codes in a circle, and names it": {func(s *statistics.Structures) {
			s.Codelists[1].Codes = []statistics.Code{{ID: "R"}, {ID: "A", Parent: "C"}, {ID: "B", Parent: "A"}, {ID: "C", Parent: "B"}}
		}, "in a circle: A → C → B → A"},
		"it refuses concepts in a circle, and names it": {func(s *statistics.Structures) {
			s.ConceptSchemes[0].Concepts[0].Parent = "GENDER"
		}, "in a circle: SEX → GENDER → SEX"},
		"it refuses a concept that is its own parent":   {func(s *statistics.Structures) { s.ConceptSchemes[0].Concepts[2].Parent = "AGE" }, "AGE → AGE"},
		"it refuses a parent concept that is not there": {func(s *statistics.Structures) { s.ConceptSchemes[0].Concepts[2].Parent = "NONE" }, `"NONE"`},
		"it refuses an artefact that stands twice": {func(s *statistics.Structures) {
			s.Dataflows = append(s.Dataflows, s.Dataflows[0])
		}, "stands twice"},
		"it refuses a version that is none":   {func(s *statistics.Structures) { s.Dataflows[1].Ref.Version = "new" }, `"new" is no version`},
		"it refuses a wildcard for a version": {func(s *statistics.Structures) { s.Dataflows[1].Ref.Version = "1+.0.0" }, "no version"},
		"it refuses a code with a blank":      {func(s *statistics.Structures) { s.Codelists[1].Codes[1].ID = "A B" }, "A B"},
		"it refuses an agency scheme by another name": {func(s *statistics.Structures) {
			s.AgencySchemes[0].Ref = ref("SDMX:PEOPLE(1.0)")
		}, "AGENCIES(1.0)"},
		"it refuses a source that is mapped to two targets": {func(s *statistics.Structures) {
			m := &s.RepresentationMaps[0]
			m.Mappings = append(m.Mappings, statistics.Mapping{Sources: []string{"F"}, Targets: []string{"M"}, ValidTo: "2020-06"})
		}, `"F" is mapped to "M", and by mappings[0] to "F" in the same period`},
		"it takes a source that is mapped to one target after another": {func(s *statistics.Structures) {
			m := &s.RepresentationMaps[0]
			m.Mappings = append(m.Mappings, statistics.Mapping{Sources: []string{"F"}, Targets: []string{"M"}, ValidTo: "2019-12"})
		}, ""},
		"it refuses a target that is no code of the map's codelist": {func(s *statistics.Structures) {
			s.RepresentationMaps[0].Otherwise = []string{"X"}
		}, `"X" is no code of X:CL_SEX(1.0.0)`},
		"it refuses a constraint that is attached to nothing": {func(s *statistics.Structures) { s.ContentConstraints[0].Dataflows = nil }, "attached to nothing"},
		"it refuses a constraint that says nothing": {func(s *statistics.Structures) {
			s.ContentConstraints[0].Regions, s.ContentConstraints[0].KeySets = nil, nil
		}, "says nothing"},
		"it refuses a constraint of a code that there is not": {func(s *statistics.Structures) {
			s.ContentConstraints[0].Regions[0].Keys[0].Values[0].Value = "X"
		}, `"X" is no code of X:CL_SEX(1.0.0)`},
		"it refuses a constraint of a component that there is not": {func(s *statistics.Structures) {
			s.ContentConstraints[0].Regions[0].Keys[0].Component = "COLOUR"
		}, `"COLOUR" is no component of X:S(1.0.0)`},
		"it refuses a constraint of a period that is none": {func(s *statistics.Structures) {
			s.ContentConstraints[0].Regions[1].Keys[0].End = "yesterday"
		}, "yesterday"},
		"it refuses a key of an attribute": {func(s *statistics.Structures) {
			s.ContentConstraints[0].KeySets[0].Keys[0] = map[string]string{"UNIT": "x"}
		}, `"UNIT" is no dimension`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := everything()
			test.change(s)
			_, err := statistics.NewCatalogue(s)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("error %v", err)
			case test.want != "" && (!fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), test.want)):
				t.Errorf("error %v, want one about %s", err, test.want)
			}
		})
	}
}

func TestResolution(t *testing.T) {
	t.Parallel()
	s := &statistics.Structures{}
	for _, version := range []string{"1.0", "1.0.0", "1.1.0", "1.2.0-draft", "2.0.0", "2.1.0", "3.0.0-draft"} {
		s.Codelists = append(s.Codelists, statistics.Codelist{Ref: statistics.Ref{Agency: "X", ID: "CL", Version: version}})
	}
	for _, test := range []struct{ from, reference, want string }{
		{"1.0.0", "", "2.1.0"},
		{"1.0.0-draft", "", "2.1.0"},
		{"1.0.0", "1.0", "1.0"},
		{"1.0.0", "1.1.0", "1.1.0"},
		{"1.0.0", "1.0+.0", "1.1.0"},
		{"1.0.0-draft", "1.0+.0", "1.2.0-draft"},
		{"1.0.0", "1+.0.0", "2.1.0"},
		{"1.0.0-draft", "1+.0.0", "3.0.0-draft"},
		{"1.0.0", "2.0.0+", "2.0.0"},
		{"1.0.0", "+", "2.1.0"},
		{"1.0.0-draft", "1.2.0-draft", "1.2.0-draft"},
	} {
		s.DataStructures = []statistics.DataStructure{{
			Ref: statistics.Ref{Agency: "X", ID: "S", Version: test.from},
			Dimensions: []statistics.Component{
				{ID: "FREQ"}, {ID: "D", Codelist: statistics.Ref{Agency: "X", ID: "CL", Version: test.reference}},
			},
		}}
		s.Dataflows = []statistics.Dataflow{{Ref: ref("X:F(1.0.0-draft)"), Structure: s.DataStructures[0].Ref}}
		catalogue, err := statistics.NewCatalogue(s)
		if err != nil {
			t.Errorf("%s to %s: %v", test.from, test.reference, err)
			continue
		}
		flow, err := catalogue.Flow(ref("X:F"))
		if err != nil {
			t.Fatal(err)
		}
		if got := flow.Structure.Dimensions[1].Codelist.Version; got != test.want {
			t.Errorf("it means %s by %q from %s, want %s", got, test.reference, test.from, test.want)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	s := everything()
	s.Codelists = append(s.Codelists, statistics.Codelist{Ref: ref("X:CL_SEX(1.1.0)")}, statistics.Codelist{Ref: ref("Y:CL_SEX(2.0.0-draft)")})
	catalogue, err := statistics.NewCatalogue(s)
	if err != nil {
		t.Fatal(err)
	}
	flows, lists := []statistics.Kind{statistics.KindDataflow}, []statistics.Kind{statistics.KindCodelist}
	structures := []statistics.Kind{statistics.KindDataStructure}
	for name, test := range map[string]struct {
		query statistics.StructureQuery
		want  string
	}{
		"all of a kind":        {statistics.StructureQuery{Kinds: lists}, "Codelist=X:CL_FREQ(1.0.0) Codelist=X:CL_SEX(1.0.0) Codelist=X:CL_SEX(1.1.0) Codelist=Y:CL_SEX(2.0.0-draft)"},
		"by agency and id":     {statistics.StructureQuery{Agencies: []string{"Y", "Z"}, IDs: []string{"CL_SEX"}}, "Codelist=Y:CL_SEX(2.0.0-draft)"},
		"the latest":           {statistics.StructureQuery{Kinds: lists, IDs: []string{"CL_SEX"}, Versions: []string{"~"}}, "Codelist=X:CL_SEX(1.1.0) Codelist=Y:CL_SEX(2.0.0-draft)"},
		"the latest stable":    {statistics.StructureQuery{Kinds: lists, IDs: []string{"CL_SEX"}, Versions: []string{"+"}}, "Codelist=X:CL_SEX(1.1.0)"},
		"several versions":     {statistics.StructureQuery{Kinds: lists, IDs: []string{"CL_SEX"}, Versions: []string{"1.0.0", "~", "+"}}, "Codelist=X:CL_SEX(1.0.0) Codelist=X:CL_SEX(1.1.0) Codelist=Y:CL_SEX(2.0.0-draft)"},
		"nothing":              {statistics.StructureQuery{IDs: []string{"NONE"}, References: statistics.AllReferences}, ""},
		"children":             {statistics.StructureQuery{Kinds: structures, References: statistics.Children}, "AgencyScheme=SDMX:AGENCIES(1.0) Codelist=X:CL_FREQ(1.0.0) ConceptScheme=X:CS(1.0.0) DataStructure=X:S(1.0.0)"},
		"descendants":          {statistics.StructureQuery{Kinds: structures, References: statistics.AllDescendants}, "AgencyScheme=SDMX:AGENCIES(1.0) Codelist=X:CL_FREQ(1.0.0) Codelist=X:CL_SEX(1.0.0) ConceptScheme=X:CS(1.0.0) DataStructure=X:S(1.0.0)"},
		"parents":              {statistics.StructureQuery{Kinds: structures, References: statistics.Parents}, "DataStructure=X:S(1.0.0) Dataflow=X:A(1.0.0) Dataflow=X:B(1.0.0)"},
		"parents and siblings": {statistics.StructureQuery{IDs: []string{"PA"}, References: statistics.ParentsAndSiblings}, "ProvisionAgreement=X:PA(1.0.0)"},
		"siblings":             {statistics.StructureQuery{IDs: []string{"RM"}, References: statistics.ParentsAndSiblings}, "AgencyScheme=SDMX:AGENCIES(1.0) Dataflow=X:A(1.0.0) Dataflow=X:B(1.0.0) RepresentationMap=X:RM(1.0.0) StructureMap=X:SM(1.0.0)"},
		"ancestors":            {statistics.StructureQuery{Kinds: lists, IDs: []string{"CL_FREQ"}, References: statistics.Ancestors}, "Codelist=X:CL_FREQ(1.0.0) DataConstraint=X:CC(1.0.0) DataStructure=X:S(1.0.0) Dataflow=X:A(1.0.0) Dataflow=X:B(1.0.0) ProvisionAgreement=X:PA(1.0.0) StructureMap=X:SM(1.0.0)"},
		"only codelists":       {statistics.StructureQuery{Kinds: flows, IDs: []string{"A"}, References: statistics.AllDescendants, ReferenceKinds: lists}, "Codelist=X:CL_FREQ(1.0.0) Codelist=X:CL_SEX(1.0.0) Dataflow=X:A(1.0.0)"},
		"all references":       {statistics.StructureQuery{IDs: []string{"DATA_PROVIDERS"}, References: statistics.AllReferences}, "AgencyScheme=SDMX:AGENCIES(1.0) DataProviderScheme=X:DATA_PROVIDERS(1.0) Dataflow=X:A(1.0.0) ProvisionAgreement=X:PA(1.0.0)"},
		"what an agency keeps": {statistics.StructureQuery{IDs: []string{"AGENCIES"}, References: statistics.Parents, ReferenceKinds: flows}, "AgencyScheme=SDMX:AGENCIES(1.0) Dataflow=X:A(1.0.0) Dataflow=X:B(1.0.0)"},
	} {
		t.Run("it lists "+name, func(t *testing.T) {
			t.Parallel()
			got, err := catalogue.List(&test.query)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for a := range got.All() {
				ids = append(ids, a.Name().String())
			}
			slices.Sort(ids)
			if strings.Join(ids, " ") != test.want {
				t.Errorf("it lists\n%s\nwant\n%s", strings.Join(ids, " "), test.want)
			}
		})
	}
	t.Run("it refuses a version query that is none", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{"x", "", "++"} {
			if _, err := catalogue.List(&statistics.StructureQuery{Versions: []string{text}}); !fault.Is(err, fault.Invalid) {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
	t.Run("it tells as much as is asked for", func(t *testing.T) {
		t.Parallel()
		list := func(q statistics.StructureQuery) *statistics.Structures {
			got, err := catalogue.List(&q)
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		children := statistics.StructureQuery{Kinds: structures, References: statistics.AllDescendants}
		children.Detail = statistics.ReferenceStubs
		got := list(children)
		if len(got.DataStructures[0].Dimensions) != 3 || got.ConceptSchemes[0].Concepts != nil || got.ConceptSchemes[0].Descriptions != nil {
			t.Errorf("reference stubs: %+v", got)
		}
		children.Detail = statistics.AllCompleteStubs
		got = list(children)
		if got.DataStructures[0].Dimensions != nil || got.ConceptSchemes[0].Descriptions == nil || got.ConceptSchemes[0].Annotations == nil {
			t.Errorf("complete stubs: %+v", got)
		}
		got = list(statistics.StructureQuery{Kinds: flows, IDs: []string{"A"}, References: statistics.AllDescendants, Detail: statistics.ReferencePartial})
		if codes := got.Codelists[1].Codes; len(codes) != 2 || codes[0].ID != "_T" || codes[1].ID != "F" {
			t.Errorf("the codes that constraints leave: %+v", codes)
		}
		if concepts := got.ConceptSchemes[0].Concepts; len(concepts) != 1 || concepts[0].ID != "SEX" {
			t.Errorf("the concepts that are used: %+v", concepts)
		}
		if agencies := got.AgencySchemes[0].Organisations; len(agencies) != 1 || agencies[0].ID != "X" {
			t.Errorf("the agencies that are used: %+v", agencies)
		}
		got = list(statistics.StructureQuery{Kinds: lists, Items: []string{"F", "A"}})
		if codes := got.Codelists[1].Codes; len(codes) != 2 || codes[0].ID != "F" || codes[1].ID != "A" {
			t.Errorf("the codes that were asked for: %+v", codes)
		}
	})
}

// large is a codelist of n codes in a hierarchy of three levels, with names in two languages.
func large(n int) statistics.Codelist {
	list := statistics.Codelist{Ref: ref("X:CL_LARGE(1.0.0)"), Levels: []string{"country", "region", "place"}}
	for i := range n {
		code := statistics.Code{
			ID: "C" + strconv.Itoa(i), Level: "place", Names: statistics.Names{"en": fmt.Sprintf("Place %d", i), "fr": fmt.Sprintf("Lieu %d", i)},
		}
		switch {
		case i < 100:
			code.Level = "country"
		case i < 2000:
			code.Level, code.Parent = "region", "C"+strconv.Itoa(i%100)
		default:
			code.Parent = "C" + strconv.Itoa(100+i%1900)
		}
		list.Codes = append(list.Codes, code)
	}
	return list
}

// Whether a source is mapped to two targets at once is the same as asked pair by pair.
func TestAmbiguousMaps(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := statistics.RepresentationMap{Ref: ref("X:M(1.0.0)")}
		type mapped struct {
			target      string
			first, last int // months; 0 and 99: open
		}
		var all []mapped
		ambiguous := false
		for range rapid.IntRange(1, 8).Draw(t, "mappings") {
			made := mapped{rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "target"), 0, 99}
			mapping := statistics.Mapping{Sources: []string{"s"}, Targets: []string{made.target}}
			if rapid.Bool().Draw(t, "from") {
				made.first = rapid.IntRange(1, 9).Draw(t, "first")
				mapping.ValidFrom = fmt.Sprintf("2020-%02d", made.first)
			}
			if rapid.IntRange(0, 3).Draw(t, "to") > 0 {
				made.last = rapid.IntRange(max(made.first, 1), 9).Draw(t, "last")
				mapping.ValidTo = fmt.Sprintf("2020-%02d", made.last)
			}
			for _, other := range all {
				ambiguous = ambiguous || other.target != made.target && other.first <= made.last && made.first <= other.last
			}
			all, m.Mappings = append(all, made), append(m.Mappings, mapping)
		}
		_, err := statistics.NewCatalogue(&statistics.Structures{RepresentationMaps: []statistics.RepresentationMap{m}})
		if (err != nil) != ambiguous {
			t.Errorf("%+v: error %v", all, err)
		}
	})
}

// What is wrong throughout is told in part.
func TestManyViolations(t *testing.T) {
	t.Parallel()
	s := &statistics.Structures{}
	for i := range 10_000 {
		s.Dataflows = append(s.Dataflows, statistics.Dataflow{
			Ref: ref(fmt.Sprintf("X:F%d(1.0.0)", i)), Structure: ref("X:" + strings.Repeat("S", 400)),
		})
	}
	_, err := statistics.NewCatalogue(s)
	var wrong *fault.Error
	if !errors.As(err, &wrong) || len(wrong.Violations) > 101 || len(err.Error()) > 1200 {
		t.Errorf("%d violations: %.100s", len(wrong.Violations), err)
	}
}

// Codes may stand in any order, and be as deep as they are many.
func TestDeepCodelist(t *testing.T) {
	t.Parallel()
	const n = 50_000
	chain := func(root string) *statistics.Structures {
		list := statistics.Codelist{Ref: ref("X:CL(1.0.0)")}
		for i := range n {
			code := statistics.Code{ID: "C" + strconv.Itoa(i), Parent: "C" + strconv.Itoa(i+1)}
			if i == n-1 {
				code.Parent = root
			}
			list.Codes = append(list.Codes, code)
		}
		return &statistics.Structures{Codelists: []statistics.Codelist{list}}
	}
	_, err := statistics.NewCatalogue(chain("C0"))
	if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "circle: C0 → C1 → ") || len(err.Error()) > 300 {
		t.Errorf("a circle of all codes: %v", err)
	}
}

// A catalogue with a codelist of 50,000 codes is made anew with every change of any artefact.
func BenchmarkCatalogue(b *testing.B) {
	s := everything()
	s.Codelists = append(s.Codelists, large(50_000))
	s.DataStructures[0].Dimensions[2].Codelist, s.ContentConstraints = ref("X:CL_LARGE(1.0.0)"), nil
	first, err := statistics.NewCatalogue(s)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("first", func(b *testing.B) {
		for b.Loop() {
			if _, err := statistics.NewCatalogue(s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("later", func(b *testing.B) {
		for b.Loop() {
			if _, err := first.Renew(s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
