package rpc_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// bounded is a node whose harmonised dataflow has no figures of the south, none before 2020, and none that are estimates of
// AAA.
func bounded(t *testing.T) *node {
	n := newMadeUp(t)
	n.create(t, &statisticspb.Structures{ContentConstraints: []*statisticspb.ContentConstraint{
		constraint("CC_WHO", func(c *statisticspb.ContentConstraint) {
			c.Dataflows = []string{harmonic}
			c.CubeRegions = []*statisticspb.CubeRegion{
				{Keys: []*statisticspb.CubeRegionKey{
					{Component: "WHO", Values: values("AAA", "BBB")},
					{Component: block.TimePeriod, TimeRange: &statisticspb.TimeRange{StartPeriod: "2020"}},
				}},
				{Exclude: true, Keys: []*statisticspb.CubeRegionKey{
					{Component: "WHO", Values: values("AAA")}, {Component: "OBS_STATUS", Values: values("E")},
				}},
			}
		}),
	}})
	return n
}

func (n *node) putNations(t *testing.T, rows ...string) *statisticspb.Submission {
	t.Helper()
	var texts [][]string
	for _, row := range rows {
		texts = append(texts, strings.Fields(row))
	}
	s, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: gates}, []string{"FREQ", "GATE", "NATION", block.TimePeriod, "OBS_STATUS"},
		texts, make([]float64, len(texts)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestConstraintsOfTheTarget(t *testing.T) {
	t.Parallel()
	n := bounded(t)
	if s := n.putNations(t, "M East Aland 2020-01 A", "M East Bland 2024-06 E"); s.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatalf("what is allowed is rejected: %v", s.GetFindings())
	}
	for row, want := range map[string]struct{ column, key, says string }{
		"M East Others 2020-01 A": {"WHO", "M CCC 2020-01", `WHO "CCC"`},
		"M East Aland 2019-12 A":  {block.TimePeriod, "M AAA 2019-12", `TIME_PERIOD "2019-12"`},
		"M East Others 2019-12 A": {"", "M CCC 2019-12", `WHO "CCC" with TIME_PERIOD "2019-12"`},
		"M East Aland 2020-02 E":  {"", "M AAA 2020-02", `WHO "AAA" with OBS_STATUS "E"`},
	} {
		t.Run("it stops what would be derived as "+want.key+", and names it", func(t *testing.T) {
			s := n.putNations(t, "M East Aland 2020-03 A", row)
			f := find(s, "NOT_ALLOWED")
			if s.GetState() != statisticspb.Submission_REJECTED || len(s.GetFindings()) != 1 || f.GetSeverity() != statisticspb.Finding_BLOCKING || f.GetOverridable() {
				t.Fatalf("%v, findings %v", s.GetState(), s.GetFindings())
			}
			key := strings.Fields(want.key)
			message := fmt.Sprintf("the figure %s.%s %s of %s would be derived from %s by X:GATES_HARMONIC(1.0.0), but the constraint X:CC_WHO(1.0.0) does not allow %s",
				key[0], key[1], key[2], harmonic, gates, want.says)
			if diff := cmp.Diff(message, f.GetMessage()); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(append(key, "X:GATES_HARMONIC(1.0.0)", "X:CC_WHO(1.0.0)"), f.GetValues()); diff != "" || f.GetColumn() != want.column {
				t.Errorf("%q %s", f.GetColumn(), diff)
			}
		})
	}
	t.Run("it names a hundred, and counts the rest", func(t *testing.T) {
		var rows []string
		for month := range 150 {
			rows = append(rows, fmt.Sprintf("M East Aland %d-%02d A", 2000+month/12, month%12+1))
		}
		var told []string
		for _, f := range n.putNations(t, rows...).GetFindings() {
			if f.GetRule() == "NOT_ALLOWED" {
				told = append(told, f.GetMessage())
			}
		}
		if len(told) != 101 || told[100] != "the same of 50 further figures" {
			t.Errorf("%d findings, the last is %s", len(told), told[len(told)-1])
		}
	})
	t.Run("it stores nothing of what it stops", func(t *testing.T) {
		want := []row{figure("M.AAA", "2020-01", 0), {Key: "M.BBB", Period: "2024-06", Status: "E", Provider: "x"}}
		wantRows(t, n, &statisticspb.QueryRequest{Dataflow: harmonic}, want...)
	})
	t.Run("it refuses a map that would make of what is stored what is not allowed", func(t *testing.T) {
		bland := nations("1.1.0", "CCC")
		bland.Mappings[1].Targets = []string{"CCC"}
		_, err := n.CreateStructures(t.Context(), &statisticspb.CreateStructuresRequest{Structures: &statisticspb.Structures{
			RepresentationMaps: []*statisticspb.RepresentationMap{bland}, StructureMaps: []*statisticspb.StructureMap{gatesMap("1.1.0")},
		}})
		if status.Code(err) != codes.FailedPrecondition || !strings.Contains(err.Error(), "the figure M.CCC 2024-06") {
			t.Errorf("error %v", err)
		}
	})
}

func TestConstraintsLeaveDerivedFiguresThatStay(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	rows := []string{"M East Others 2020-01 A", "M East Aland 2020-01 A"}
	if s := n.putNations(t, rows...); s.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatal(s.GetFindings())
	}
	n.create(t, &statisticspb.Structures{ContentConstraints: []*statisticspb.ContentConstraint{
		constraint("CC_WHO", func(c *statisticspb.ContentConstraint) {
			c.Dataflows = []string{harmonic}
			c.CubeRegions = []*statisticspb.CubeRegion{{Keys: []*statisticspb.CubeRegionKey{{Component: "WHO", Values: values("AAA")}}}}
		}),
	}})
	if s := n.putNations(t, append(rows, "M East Aland 2020-02 A")...); s.GetState() != statisticspb.Submission_ACCEPTED {
		t.Errorf("what was there before the constraint is rejected: %v", s.GetFindings())
	}
	if s := n.putNations(t, "M East Others 2020-02 A"); s.GetState() != statisticspb.Submission_REJECTED {
		t.Error("what is new is not")
	}
}

func TestGetStructures_tells_the_constraints(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	n.create(t, governed())
	for dataflow, want := range map[string]string{gates: `CC_GATES for "", CC_X for "x"`, harmonic: ""} {
		answer, err := n.GetStructures(t.Context(), &statisticspb.GetStructuresRequest{Dataflow: dataflow})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range answer.GetConstraints() {
			got = append(got, fmt.Sprintf("%s for %q", c.GetConstraint().GetId(), c.GetProvider()))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s has %v, want %s", dataflow, got, want)
		}
	}
}
