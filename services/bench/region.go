package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// state is the code of the made-up state.
const state = "nz"

// The dataflows. Those with a number are many of a kind.
const (
	small   = "BENCH:SMALL(1.0.0)"     // a tenth of large, in series of equal length
	large   = "BENCH:LARGE(1.0.0)"     // what all is measured at
	plain   = "BENCH:PLAIN%d(1.0.0)"   // submissions of new figures
	quarter = "BENCH:QUARTER%d(1.0.0)" // one of several submissions at once
	native  = "BENCH:NATIVE%d(1.0.0)"
	shared  = "BENCH:SHARED%d(1.0.0)" // derived from native
	counted = "BENCH:COUNTED(1.0.0)"  // events
)

// quarters is how many dataflows take a quarter of a submission: four at once and four in turn in each round.
const quarters = 2 * 4 * maxRounds

// layout reads the national file.
const layout = "bench-native%d"

// writeRegion describes a region of one state that reports to many dataflows.
func writeRegion(directory, deploy string) error {
	if err := os.MkdirAll(directory, 0o755); err != nil { //nolint:gosec // nothing in it is secret
		return err
	}
	region := fmt.Sprintf(`name: Bench
structures: [%q, %q, structures.yaml]
states:
  - {code: %s, name: Made-up, refAreas: [NZ], layouts: ["layout-*.yaml"]}
`, filepath.Join(deploy, "comity", "areas.yaml"), filepath.Join(deploy, "comity", "codelists.yaml"), state)
	files := map[string][]byte{"region.yaml": []byte(region)}
	var err error
	if files["structures.yaml"], err = protojson.Marshal(structures()); err != nil {
		return err
	}
	for i := range 2 * maxRounds {
		if files[fmt.Sprintf("layout-%d.yaml", i)], err = protojson.Marshal(nativeLayout(i)); err != nil {
			return err
		}
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(directory, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// structures returns the made-up data structures, with their dataflows and maps. JSON is YAML.
func structures() *statisticspb.Structures {
	s := &statisticspb.Structures{
		Codelists: []*statisticspb.Codelist{
			hierarchy("CL_SECTION", sections, section), hierarchy("CL_CITIZENSHIP", citizenships, citizenship),
		},
		DataStructures: []*statisticspb.DataStructure{
			{Agency: "BENCH", Id: "CUBE", Version: "1.0.0", Names: english("Cube"), Attributes: attributes()},
			{Agency: "BENCH", Id: "NATIVE", Version: "1.0.0", Names: english("National"), Attributes: attributes()},
		},
	}
	own := map[string]bool{"SECTION": true, "CITIZENSHIP": true}
	for _, id := range dimensions() {
		agency := "COMITY"
		if own[id] {
			agency = "BENCH"
		}
		s.DataStructures[0].Dimensions = append(s.DataStructures[0].Dimensions,
			&statisticspb.Component{Id: id, Codelist: agency + ":CL_" + id + "(1.0.0)"})
	}
	for i, id := range nativeDimensions() {
		component := &statisticspb.Component{Id: id}
		if i == 0 {
			component.Codelist = "COMITY:CL_FREQ(1.0.0)"
		}
		s.DataStructures[1].Dimensions = append(s.DataStructures[1].Dimensions, component)
	}
	for _, id := range []string{"SMALL", "LARGE", "COUNTED"} {
		s.Dataflows = append(s.Dataflows, dataflow(id, "CUBE"))
	}
	for i := range quarters {
		s.Dataflows = append(s.Dataflows, dataflow("QUARTER"+strconv.Itoa(i), "CUBE"))
	}
	for i := range 2 * maxRounds {
		s.Dataflows = append(s.Dataflows,
			dataflow("PLAIN"+strconv.Itoa(i), "CUBE"), dataflow("SHARED"+strconv.Itoa(i), "CUBE"), dataflow("NATIVE"+strconv.Itoa(i), "NATIVE"))
	}
	s.RepresentationMaps, s.StructureMaps = maps()
	return s
}

func english(name string) map[string]string { return map[string]string{"en": name} }

func dataflow(id, structure string) *statisticspb.Dataflow {
	return &statisticspb.Dataflow{
		Agency: "BENCH", Id: id, Version: "1.0.0", Names: english(id), Structure: "BENCH:" + structure + "(1.0.0)",
	}
}

func attributes() []*statisticspb.Component {
	return []*statisticspb.Component{
		{Id: "OBS_STATUS", Codelist: "SDMX:CL_OBS_STATUS(2.2.0)"},
		{Id: "CONF_STATUS", Codelist: "SDMX:CL_CONF_STATUS(1.2.0)"},
	}
}

// hierarchy returns a codelist with a total and n codes under it.
func hierarchy(id string, n int, code func(int) string) *statisticspb.Codelist {
	list := &statisticspb.Codelist{Agency: "BENCH", Id: id, Version: "1.0.0", Names: english(id), Levels: []string{"total", "item"}}
	list.Codes = append(list.Codes, &statisticspb.Code{Id: "_T", Level: "total", Names: english("All")})
	for i := range n {
		list.Codes = append(list.Codes, &statisticspb.Code{Id: code(i), Parent: "_T", Level: "item", Names: english(code(i))})
	}
	return list
}

// maps returns what leads from the national dataflows to the shared ones.
func maps() (codes []*statisticspb.RepresentationMap, flows []*statisticspb.StructureMap) {
	c := cube{citizenships}
	areas := &statisticspb.RepresentationMap{Agency: "BENCH", Id: "AREA", Version: "1.0.0", Names: english("Areas")}
	for i := range sections {
		areas.Mappings = append(areas.Mappings, mapping(c.nativeKey(i * c.perSection())[1], c.key(i * c.perSection())[3:5]...))
	}
	genders := &statisticspb.RepresentationMap{Agency: "BENCH", Id: "GENDER", Version: "1.0.0", Names: english("Genders")}
	for i := range sexes() {
		genders.Mappings = append(genders.Mappings, mapping(c.nativeKey(6 * i)[3], sexes()[i]))
	}
	groups := &statisticspb.RepresentationMap{Agency: "BENCH", Id: "AGE_GROUP", Version: "1.0.0", Names: english("Age groups")}
	for i := range ages() {
		groups.Mappings = append(groups.Mappings, mapping(c.nativeKey(i)[4], ages()[i]))
	}
	for i := range 2 * maxRounds {
		flows = append(flows, &statisticspb.StructureMap{
			Agency: "BENCH", Id: "MAP" + strconv.Itoa(i), Version: "1.0.0", Names: english("To the cube"),
			Source: fmt.Sprintf(native, i), Target: fmt.Sprintf(shared, i),
			ComponentMaps: []*statisticspb.ComponentMap{
				{Targets: []string{"REF_AREA"}, Constant: "NZ"},
				{Targets: []string{"INDICATOR"}, Constant: "1A"},
				{Sources: []string{"AREA"}, Targets: []string{"SECTION", "BORDER_TYPE"}, RepresentationMap: "BENCH:AREA(1.0.0)"},
				{Sources: []string{"NATIONALITY"}, Targets: []string{"CITIZENSHIP"}},
				{Sources: []string{"GENDER"}, Targets: []string{"SEX"}, RepresentationMap: "BENCH:GENDER(1.0.0)"},
				{Sources: []string{"AGE_GROUP"}, Targets: []string{"AGE"}, RepresentationMap: "BENCH:AGE_GROUP(1.0.0)"},
				{Targets: []string{"DETAIL"}, Constant: "_T"},
			},
		})
	}
	return []*statisticspb.RepresentationMap{areas, genders, groups}, flows
}

func mapping(source string, targets ...string) *statisticspb.Mapping {
	return &statisticspb.Mapping{Sources: []string{source}, Targets: targets}
}

// nativeLayout reads the national file into a national dataflow.
func nativeLayout(i int) *statisticspb.Layout {
	l := &statisticspb.Layout{
		Id: fmt.Sprintf(layout, i), Dataflow: fmt.Sprintf(native, i),
		Period:  &statisticspb.LayoutPeriod{Headers: []string{"TIME_PERIOD"}, Format: "YYYY-MM"},
		Columns: []*statisticspb.LayoutColumn{{Header: "TIME_PERIOD"}, {Header: "OBS_VALUE", Component: "OBS_VALUE"}, {Header: "OBS_STATUS", Component: "OBS_STATUS"}},
	}
	for _, id := range nativeDimensions() {
		l.Columns = append(l.Columns, &statisticspb.LayoutColumn{Header: id, Component: id})
	}
	return l
}
