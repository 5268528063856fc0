package rpc

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/statistics"
)

// read reads JSON of any kind into a message, as the gateway does.
func read(data []byte, into proto.Message) bool { return protojson.Unmarshal(data, into) == nil }

// FuzzLayout reads layouts: what can be read at all can be written, and is the same when it is read again; and checking it
// comes to an end.
func FuzzLayout(f *testing.F) {
	f.Add([]byte(`{"id":"gates","dataflow":"XX:GATES(1.0.0)","delimiter":";","encoding":"windows-1252","quote":"'","skipLines":3,"footers":["x"],
		"columns":[{"header":"a","component":"GATE","case":"UPPER"},{"header":"n","component":"OBS_VALUE","constants":{"SEX":"F"},"total":false}],
		"period":{"headers":["m"],"format":"YYYY-MM","fiscalYear":{"firstMonth":10}},"numbers":{"decimal":",","thousands":"."}}`))
	f.Add([]byte(`{"id":"","columns":[{}],"period":{}}`))
	f.Add([]byte(`{"skipLines":-1,"columns":[{"total":true}],"filters":[{"keep":["a"],"leaveOut":["a"]}]}`))
	structure := &statistics.DataStructure{Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "GATE"}, {ID: "SEX"}}}
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &statisticspb.Layout{}
		if !read(data, p) {
			return
		}
		layout, err := layoutFromProto(p)
		if err != nil {
			return
		}
		_ = layout.Check(structure)
		again, err := layoutFromProto(layoutToProto(layout))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(layoutToProto(layout), layoutToProto(again), protocmp.Transform()); diff != "" {
			t.Error(diff)
		}
	})
}

// FuzzHeader reads headers of submissions: what is taken names a dataflow, an action that there is, and no time below none.
func FuzzHeader(f *testing.F) {
	f.Add([]byte(`{"dataflow":"X:GATES(1.0.0)","layout":"l","idempotencyKey":"k","action":"REPLACE","provider":"y","release":"r","keepDays":3,
		"scope":{"operator":"AND","operands":[{"operator":"EQ","component":"GATE","values":["East"]},{"operator":"NOT","operands":[{"operator":"TRUE"}]}]}}`))
	f.Add([]byte(`{"dataflow":"X:GATES(1.0+.0)","action":99,"keepDays":-1}`))
	f.Add([]byte(`{"dataflow":"","scope":{"operator":"OR"}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		p := &statisticspb.SubmissionHeader{}
		if !read(data, p) {
			return
		}
		header, err := headerFromProto(p)
		if err != nil {
			return
		}
		if header.Dataflow == (statistics.Ref{}) || int(header.Action) >= len(actions) || header.KeepDays < 0 {
			t.Errorf("%s makes %+v", data, header)
		}
		_ = header.Scope.Check()
	})
}

// FuzzArtefacts reads structures, rules and questions of any shape: reading ends in them or in a fault.
func FuzzArtefacts(f *testing.F) {
	f.Add([]byte(`{"codelists":[{"agency":"X","id":"CL","version":"1.0.0","codes":[{"id":"A","parent":"B"},{"id":"B","parent":"A"}]}],
		"dataStructures":[{"agency":"X","id":"D","version":"1.0.0","dimensions":[{"id":"FREQ"},{"id":"A","codelist":"X:CL(1.0+.0)"}]}],
		"dataflows":[{"agency":"X","id":"D","version":"1.0.0","structure":"X:D(1.0.0)"}],
		"contentConstraints":[{"agency":"X","id":"C","version":"1.0.0","role":"ALLOWED","dataflows":["X:D(1.0.0)"],
			"cubeRegions":[{"exclude":true,"keys":[{"component":"TIME_PERIOD","timeRange":{"startPeriod":"2020","endPeriod":"x"}}]}],
			"keySets":[{"keys":[{"values":{"A":"B"}}]}]}]}`))
	f.Add([]byte(`{"structureMaps":[{"agency":"X","id":"M","version":"1","source":"X:D(1.0.0)","target":"X:D(1.0.0)","componentMaps":[{}]}],
		"representationMaps":[{"agency":"X","id":"R","version":"1.0.0","mappings":[{"sources":["a"],"validFrom":"2020-01"}]}],"hierarchies":[{}]}`))
	f.Add([]byte(`{"id":"R","check":"RELATION","severity":"NOTE","filter":{"operator":"NOT"},"relation":{"dataflow":"X"}}`))
	f.Add([]byte(`{"dataflow":"X:D(1.0.0)","kinds":["CODELIST"],"versions":["1.0+.0"],"orderBy":["A desc"],"selections":[{"dimension":"A","level":"x"}],"asOf":"2024-01-01T00:00:00Z"}`))
	f.Fuzz(func(_ *testing.T, data []byte) {
		if p := (&statisticspb.Structures{}); read(data, p) {
			_, _ = structuresFromProto(p)
		}
		if p := (&statisticspb.QualityRule{}); read(data, p) {
			_, _ = ruleFromProto(p)
		}
		if p := (&statisticspb.QueryRequest{}); read(data, p) {
			_, _ = queryFromProto(p)
		}
		if p := (&statisticspb.ListStructuresRequest{}); read(data, p) {
			_, _ = structureQueryFromProto(p)
		}
		if p := (&statisticspb.MirrorDesign{}); read(data, p) {
			_ = mirrorDesignFromProto(p)
		}
	})
}
