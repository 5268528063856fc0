package rpc_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/testing/protocmp"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// governed is what goes with the made-up dataflows: concepts, organisations, an agreement and constraints.
func governed() *statisticspb.Structures {
	names := map[string]string{"en": "A name", "ar": "اسم"}
	remarks := []*statisticspb.Annotation{{Id: "1", Title: "Changes", Type: "CHANGELOG", Value: "none", Texts: names, Url: "https://example.org"}}
	return &statisticspb.Structures{
		ConceptSchemes: []*statisticspb.ConceptScheme{{
			Agency: "X", Id: "CS", Version: "1.0.0", Names: names, Descriptions: names, Annotations: remarks,
			Concepts: []*statisticspb.Concept{
				{Id: "WHO", Names: names, Descriptions: names, Annotations: remarks, Codelist: "X:CL_WHO(1.0+.0)"}, {Id: "WHOSE", Parent: "WHO"},
			},
		}},
		AgencySchemes: []*statisticspb.OrganisationScheme{{
			Agency: "SDMX", Id: "AGENCIES", Version: "1.0", Names: names, Descriptions: names, Annotations: remarks,
			Organisations: []*statisticspb.Organisation{{Id: "X", Names: names, Descriptions: names, Annotations: remarks}},
		}},
		DataProviderSchemes: []*statisticspb.OrganisationScheme{{
			Agency: "X", Id: "DATA_PROVIDERS", Version: "1.0", Organisations: []*statisticspb.Organisation{{Id: "x"}, {Id: "y"}},
		}},
		ProvisionAgreements: []*statisticspb.ProvisionAgreement{
			{Agency: "X", Id: "PA_X", Version: "1.0.0", Names: names, Dataflow: gates, DataProvider: "X:DATA_PROVIDERS(1.0).x", Descriptions: names, Annotations: remarks},
			{Agency: "X", Id: "PA_Y", Version: "1.0.0", Dataflow: gates, DataProvider: "X:DATA_PROVIDERS(1.0).y"},
		},
		ContentConstraints: []*statisticspb.ContentConstraint{
			constraint("CC_ACTUAL", func(c *statisticspb.ContentConstraint) {
				c.Role, c.DataStructures = statisticspb.ContentConstraint_ACTUAL, []string{"X:HARMONIC(1.0.0)"}
				c.CubeRegions = []*statisticspb.CubeRegion{{Keys: []*statisticspb.CubeRegionKey{{
					Component: "WHO", Values: []*statisticspb.CubeRegionValue{
						{Value: "NORTH", Cascade: statisticspb.CubeRegionValue_DESCENDANTS}, {Value: "SOUTH", Cascade: statisticspb.CubeRegionValue_ONLY_DESCENDANTS},
					},
				}}}}
			}),
			constraint("CC_GATES", func(c *statisticspb.ContentConstraint) {
				c.Names, c.Descriptions, c.Annotations, c.Dataflows = names, names, remarks, []string{gates}
				c.CubeRegions = []*statisticspb.CubeRegion{
					{Keys: []*statisticspb.CubeRegionKey{
						{Component: "GATE", Values: values("North", "South")},
						{Component: block.TimePeriod, TimeRange: &statisticspb.TimeRange{StartPeriod: "2020", EndPeriod: "2024-06"}},
					}},
					{Exclude: true, Keys: []*statisticspb.CubeRegionKey{
						{Component: "NATION", Exclude: true, Values: values("Aland", "Bland", "Others")},
						{Component: "OBS_STATUS", Values: values("A")},
					}},
				}
				c.KeySets = []*statisticspb.DataKeySet{{Exclude: true, Keys: []*statisticspb.DataKey{{Values: map[string]string{"GATE": "South", "NATION": "Bland"}}}}}
			}),
			constraint("CC_X", func(c *statisticspb.ContentConstraint) {
				c.ProvisionAgreements = []string{"X:PA_X(1.0.0)"}
				c.CubeRegions = []*statisticspb.CubeRegion{{Keys: []*statisticspb.CubeRegionKey{{Component: "FREQ", Values: values("M")}}}}
			}),
		},
	}
}

func constraint(id string, set func(*statisticspb.ContentConstraint)) *statisticspb.ContentConstraint {
	c := &statisticspb.ContentConstraint{Agency: "X", Id: id, Version: "1.0.0", Role: statisticspb.ContentConstraint_ALLOWED}
	set(c)
	return c
}

func values(texts ...string) []*statisticspb.CubeRegionValue {
	made := make([]*statisticspb.CubeRegionValue, len(texts))
	for i, text := range texts {
		made[i] = &statisticspb.CubeRegionValue{Value: text}
	}
	return made
}

func (n *node) list(t *testing.T, request *statisticspb.ListStructuresRequest) *statisticspb.Structures {
	t.Helper()
	response, err := n.ListStructures(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return response.GetStructures()
}

func (n *node) refuses(t *testing.T, code codes.Code, want string, s *statisticspb.Structures) {
	t.Helper()
	_, err := n.CreateStructures(t.Context(), &statisticspb.CreateStructuresRequest{Structures: s})
	if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), want) {
		t.Errorf("CreateStructures: %v, want %v about %s", err, code, want)
	}
}

func TestStructures(t *testing.T) {
	t.Parallel()
	t.Run("it lists what was stored, as it was stored", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		want := governed()
		response := n.create(t, want)
		if response.GetCreated() != 8 || len(response.GetFindings()) != 0 {
			t.Errorf("stored: %v", response)
		}
		proto.Merge(want, madeUp())
		if diff := cmp.Diff(want, n.list(t, &statisticspb.ListStructuresRequest{}), protocmp.Transform()); diff != "" {
			t.Errorf("structures (-want +got):\n%s", diff)
		}
		if again := n.create(t, want); again.GetCreated() != 0 || again.GetUpdated() != 0 || again.GetUnchanged() != 15 {
			t.Errorf("stored again: %v", again)
		}
	})
	t.Run("it keeps stable versions, and says what differs", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		other := madeUp().GetCodelists()[0]
		other.Names = map[string]string{"en": "Who"}
		other.Codes[1].Id, other.Codes[5].Level = "NORD", "region"
		other.Codes[3].Parent, other.Codes[4].Parent = "NORD", "NORD"
		n.refuses(t, codes.AlreadyExists, `names[en] is new; codes[NORD] is new; codes[AAA].parent is "NORD", was "NORTH"; codes[BBB].parent`,
			&statisticspb.Structures{Codelists: []*statisticspb.Codelist{other}})
		n.refuses(t, codes.AlreadyExists, `codes[NORTH] is missing`, &statisticspb.Structures{Codelists: []*statisticspb.Codelist{other}})
		flow := madeUp().GetDataflows()[0]
		flow.Structure = "X:HARMONIC(1.0.0)"
		n.refuses(t, codes.AlreadyExists, "structure is X:HARMONIC(1.0.0), was X:GATES(1.0.0)", &statisticspb.Structures{Dataflows: []*statisticspb.Dataflow{flow}})
	})
	t.Run("it replaces drafts, but for what figures are of", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		draft := func(codes ...string) *statisticspb.Structures {
			list := &statisticspb.Codelist{Agency: "X", Id: "CL_D", Version: "1.0.0-draft"}
			for _, code := range codes {
				list.Codes = append(list.Codes, &statisticspb.Code{Id: code})
			}
			return &statisticspb.Structures{
				Codelists: []*statisticspb.Codelist{list},
				DataStructures: []*statisticspb.DataStructure{{
					Agency: "X", Id: "D", Version: "0.1.0",
					Dimensions: []*statisticspb.Component{{Id: "FREQ"}, {Id: "D", Codelist: "X:CL_D(1.0.0-draft)"}},
				}},
				Dataflows: []*statisticspb.Dataflow{{Agency: "X", Id: "D", Version: "1.0.0-draft", Structure: "X:D(0.1.0)"}},
			}
		}
		n.create(t, draft("A", "B"))
		if response := n.create(t, draft("A", "C")); response.GetUpdated() != 1 || response.GetUnchanged() != 2 {
			t.Errorf("replaced: %v", response)
		}
		submission, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: "X:D(1.0.0-draft)"},
			[]string{"FREQ", "D", block.TimePeriod}, [][]string{{"M", "C", "2024-01"}}, []float64{1})
		if err != nil || submission.GetState() != statisticspb.Submission_ACCEPTED {
			t.Fatal(submission, err)
		}
		n.refuses(t, codes.FailedPrecondition, `it holds figures, and X:CL_D(1.0.0-draft) would have no code "C"`, draft("A"))
		more := draft("A", "B", "C")
		if response := n.create(t, more); response.GetUpdated() != 1 {
			t.Errorf("with one code more: %v", response)
		}
		more.DataStructures[0].Dimensions = append(more.DataStructures[0].Dimensions, &statisticspb.Component{Id: "E"})
		n.refuses(t, codes.FailedPrecondition, "its dimensions would be others", more)
	})
	t.Run("it refuses a version that a reference would follow to the loss of figures", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		follower := &statisticspb.Structures{
			DataStructures: []*statisticspb.DataStructure{{
				Agency: "X", Id: "FOLLOWS", Version: "1.0.0", Dimensions: []*statisticspb.Component{{Id: "FREQ"}, {Id: "WHO", Codelist: "X:CL_WHO(1.0+.0)"}},
			}},
			Dataflows: []*statisticspb.Dataflow{{Agency: "X", Id: "FOLLOWS", Version: "1.0.0", Structure: "X:FOLLOWS"}},
		}
		n.create(t, follower)
		submission, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: "X:FOLLOWS"},
			[]string{"FREQ", "WHO", block.TimePeriod}, [][]string{{"M", "AAA", "2024-01"}}, []float64{1})
		if err != nil || submission.GetState() != statisticspb.Submission_ACCEPTED {
			t.Fatal(submission, err)
		}
		list := madeUp().GetCodelists()[0]
		list.Version, list.Codes = "1.1.0", list.Codes[:5]
		n.refuses(t, codes.FailedPrecondition, `X:CL_WHO(1.1.0) would have no code "CCC"`, &statisticspb.Structures{Codelists: []*statisticspb.Codelist{list}})
		more := madeUp().GetCodelists()[0]
		more.Version, more.Codes = "1.1.0", append(more.Codes, &statisticspb.Code{Id: "DDD", Parent: "SOUTH"})
		n.create(t, &statisticspb.Structures{Codelists: []*statisticspb.Codelist{more}})
		submission, err = n.submit(t, &statisticspb.SubmissionHeader{Dataflow: "X:FOLLOWS"},
			[]string{"FREQ", "WHO", block.TimePeriod}, [][]string{{"M", "DDD", "2024-01"}}, []float64{1})
		if err != nil || submission.GetState() != statisticspb.Submission_ACCEPTED {
			t.Error(submission, err)
		}
		structure := proto.Clone(follower.GetDataStructures()[0]).(*statisticspb.DataStructure)
		structure.Version, structure.Dimensions = "1.0.1", append(structure.GetDimensions(), &statisticspb.Component{Id: "SEX"})
		n.refuses(t, codes.FailedPrecondition, "its dimensions would be others by X:FOLLOWS(1.0.1)",
			&statisticspb.Structures{DataStructures: []*statisticspb.DataStructure{structure}})
	})
	t.Run("it stores codes with parents before their children", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		n.create(t, &statisticspb.Structures{Codelists: []*statisticspb.Codelist{{
			Agency: "X", Id: "CL_TREE", Version: "1.0.0",
			Codes: []*statisticspb.Code{{Id: "LEAF", Parent: "TWIG"}, {Id: "TWIG", Parent: "ROOT"}, {Id: "OTHER"}, {Id: "ROOT"}},
		}}})
		chain := &statisticspb.Codelist{Agency: "X", Id: "CL_CHAIN", Version: "1.0.0"}
		for i := range 20_000 {
			chain.Codes = append(chain.Codes, &statisticspb.Code{Id: fmt.Sprint(i), Parent: fmt.Sprint(i + 1)})
		}
		chain.Codes = append(chain.Codes, &statisticspb.Code{Id: "20000"})
		n.create(t, &statisticspb.Structures{Codelists: []*statisticspb.Codelist{chain}})
		var got []string
		for _, code := range n.list(t, &statisticspb.ListStructuresRequest{Ids: []string{"CL_TREE"}}).GetCodelists()[0].GetCodes() {
			got = append(got, code.GetId())
		}
		if want := []string{"ROOT", "TWIG", "LEAF", "OTHER"}; !slices.Equal(got, want) {
			t.Errorf("the codes are %v, want %v", got, want)
		}
	})
	t.Run("it notes what is mapped to one", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		many := nations("1.1.0-draft", "BBB")
		findings := n.create(t, &statisticspb.Structures{RepresentationMaps: []*statisticspb.RepresentationMap{many}}).GetFindings()
		if len(findings) != 1 || findings[0].GetRule() != "MANY_TO_ONE" || findings[0].GetSeverity() != statisticspb.Finding_NOTE ||
			!strings.Contains(findings[0].GetMessage(), `"BBB" from "Bland", "Others"`) {
			t.Errorf("findings: %v", findings)
		}
	})
	t.Run("it lets one of two changes at once wait or try again", func(t *testing.T) {
		t.Parallel()
		n := newMadeUp(t)
		var changes sync.WaitGroup
		for i := range 8 {
			changes.Go(func() {
				for {
					_, err := n.CreateStructures(t.Context(), &statisticspb.CreateStructuresRequest{Structures: &statisticspb.Structures{
						Codelists: []*statisticspb.Codelist{{Agency: "X", Id: fmt.Sprintf("CL_%d", i), Version: "1.0.0"}},
					}})
					if status.Code(err) == codes.Unavailable {
						continue
					}
					if err != nil {
						t.Error(err)
					}
					return
				}
			})
		}
		changes.Wait()
		if got := len(n.list(t, &statisticspb.ListStructuresRequest{Kinds: []statisticspb.Artefact_Kind{statisticspb.Artefact_CODELIST}}).GetCodelists()); got != 9 {
			t.Errorf("there are %d codelists, want 9", got)
		}
	})
}

func TestDeleteStructures(t *testing.T) {
	t.Parallel()
	const (
		list, flow, structure   = "Codelist=X:CL_WHO(1.0.0)", "Dataflow=X:HARMONIC(1.0.0)", "DataStructure=X:HARMONIC(1.0.0)"
		structureMap, gatesFlow = "StructureMap=X:GATES_HARMONIC(1.0.0)", "Dataflow=X:GATES(1.0.0)"
	)
	n := newMadeUp(t)
	refuses := func(code codes.Code, want string, artefacts ...string) {
		t.Helper()
		_, err := n.DeleteStructures(t.Context(), &statisticspb.DeleteStructuresRequest{Artefacts: artefacts})
		if status.Code(err) != code || !strings.Contains(status.Convert(err).Message(), want) {
			t.Errorf("DeleteStructures(%v): %v, want %v about %s", artefacts, err, code, want)
		}
	}
	deletes := func(artefacts ...string) {
		t.Helper()
		response, err := n.DeleteStructures(t.Context(), &statisticspb.DeleteStructuresRequest{Artefacts: artefacts})
		if err != nil || int(response.GetDeleted()) != len(artefacts) {
			t.Fatalf("DeleteStructures(%v) = %v, %v", artefacts, response, err)
		}
	}
	refuses(codes.FailedPrecondition, structure+" refer to it", list)
	refuses(codes.FailedPrecondition, structureMap+" refer to it", list, structure, flow)
	refuses(codes.NotFound, "X:NONE(1.0.0)", list, structure, flow, structureMap, "Codelist=X:NONE(1.0.0)")
	refuses(codes.InvalidArgument, "X:CL_WHO", "X:CL_WHO(1.0.0)")

	_, err := n.CreateLayout(t.Context(), &statisticspb.CreateLayoutRequest{Layout: &statisticspb.Layout{
		Id: "harmonic", Dataflow: "X:HARMONIC", Constants: map[string]string{"FREQ": "M"}, Period: &statisticspb.LayoutPeriod{Headers: []string{"month"}, Format: "YYYY-MM"},
		Columns: []*statisticspb.LayoutColumn{{Header: "who", Component: "WHO"}, {Header: "month"}, {Header: "n", Component: block.ObsValue}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	refuses(codes.FailedPrecondition, "the layout harmonic fills it", list, structure, flow, structureMap)

	n.gate(t, "", map[string]float64{"G Aland 2024-01": 3})
	refuses(codes.FailedPrecondition, "it derives figures of X:GATES(1.0.0) for X:HARMONIC(1.0.0)", structureMap)
	refuses(codes.FailedPrecondition, "it holds figures", gatesFlow, structureMap)

	unused := nations("1.0.0", "CCC")
	unused.Id = "OTHER"
	n.create(t, &statisticspb.Structures{
		Dataflows:          []*statisticspb.Dataflow{{Agency: "X", Id: "OTHER", Version: "1.0.0", Structure: "X:HARMONIC(1.0.0)"}},
		RepresentationMaps: []*statisticspb.RepresentationMap{unused},
	})
	deletes("Dataflow=X:OTHER(1.0.0)", "urn:sdmx:org.sdmx.infomodel.structuremapping.RepresentationMap=X:OTHER(1.0.0)")
	if got := n.list(t, &statisticspb.ListStructuresRequest{}); len(got.GetDataflows()) != 2 || len(got.GetRepresentationMaps()) != 1 {
		t.Errorf("after all there is %v", got)
	}
	wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic}, figure("M.AAA", "2024-01", 3))
}

func TestConstraints(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	n.create(t, governed())
	submit := func(rows ...string) *statisticspb.Submission {
		t.Helper()
		var texts [][]string
		for _, row := range rows {
			texts = append(texts, strings.Fields(row))
		}
		submission, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates}, []string{"FREQ", "GATE", "NATION", block.TimePeriod, "OBS_STATUS"},
			texts, make([]float64, len(texts)))
		if err != nil {
			t.Fatal(err)
		}
		return submission
	}
	if s := submit("M North Aland 2020-01 A", "M South Others 2024-06 A", "M North Celand 2021-01 E"); s.GetState() != statisticspb.Submission_ACCEPTED {
		t.Errorf("what is allowed is rejected: %v", s.GetFindings())
	}
	for row, want := range map[string]string{
		"M East Aland 2020-01 A":   `GATE: the constraint X:CC_GATES(1.0.0) does not allow GATE "East" [East]`,
		"M North Aland 2019-12 A":  `TIME_PERIOD: the constraint X:CC_GATES(1.0.0) does not allow TIME_PERIOD "2019-12" [2019-12]`,
		"M North Aland 2024-07 A":  `TIME_PERIOD: the constraint X:CC_GATES(1.0.0) does not allow TIME_PERIOD "2024-07" [2024-07]`,
		"M East Aland 2019-12 A":   `: the constraint X:CC_GATES(1.0.0) does not allow GATE "East" with TIME_PERIOD "2019-12" [East 2019-12]`,
		"M North Celand 2020-01 A": `: the constraint X:CC_GATES(1.0.0) does not allow NATION "Celand" with OBS_STATUS "A" [Celand A]`,
		"M South Bland 2020-01 A":  `: the constraint X:CC_GATES(1.0.0) does not allow GATE "South" with NATION "Bland" [South Bland]`,
		"Q North Aland 2020-Q1 A":  `FREQ: the constraint X:CC_X(1.0.0) does not allow FREQ "Q" [Q]`,
	} {
		s := submit("M North Aland 2020-02 A", row)
		var got string
		for _, f := range s.GetFindings() {
			got += fmt.Sprintf("%s: %s %v", f.GetColumn(), f.GetMessage(), f.GetValues())
		}
		if s.GetState() != statisticspb.Submission_REJECTED || got != want || s.GetFindings()[0].GetRule() != "NOT_ALLOWED" {
			t.Errorf("%s: %v %s\nwant %s", row, s.GetState(), got, want)
		}
	}
	t.Run("it lets a later version of a constraint take the place of the one before", func(t *testing.T) {
		later := governed().GetContentConstraints()[2]
		later.Version, later.CubeRegions[0].Keys[0].Values = "1.1.0", values("M", "Q")
		draft := proto.Clone(later).(*statisticspb.ContentConstraint)
		draft.Version, draft.CubeRegions[0].Keys[0].Values = "2.0.0-draft", values("D")
		n.create(t, &statisticspb.Structures{ContentConstraints: []*statisticspb.ContentConstraint{later, draft}})
		if s := submit("Q North Aland 2020-Q1 A"); s.GetState() != statisticspb.Submission_ACCEPTED {
			t.Errorf("rejected: %v", s.GetFindings())
		}
	})
}
