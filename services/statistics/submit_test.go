package statistics_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/comity-federation/comity/proto/block"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/statistics"
	"github.com/comity-federation/comity/services/statistics/postgres"
)

// office is a service that two agencies submit gates to, of which figures by nation are derived.
type office struct {
	service *statistics.Service
	store   *postgres.Store
}

const (
	north = "NORTH"
	south = "SOUTH"
	sums  = "SUMS"
)

func newOffice(t testing.TB) *office {
	t.Helper()
	store := postgres.New(postgrestest.New(t, postgres.Migrations))
	return &office{store: store, service: statistics.NewService(store, "us", time.Now, func() string { return uuid.Must(uuid.NewV7()).String() })}
}

func gateRef(id, version string) statistics.Ref {
	return statistics.Ref{Agency: "X", ID: id, Version: version}
}

// gateStructures are the dataflows NORTH and SOUTH of gates, and SUMS, which both are derived to. nations says what a map
// of the version makes of the labels of NORTH, gates what becomes of the gates of SOUTH, "" being left out.
func gateStructures(version string, nations, gates map[string]string) *statistics.Structures {
	mappings := func(of map[string]string) (made []statistics.Mapping) {
		for _, label := range slices.Sorted(maps.Keys(of)) {
			m := statistics.Mapping{Sources: []string{label}}
			if of[label] != "" {
				m.Targets = []string{of[label]}
			}
			made = append(made, m)
		}
		return made
	}
	gate := statistics.DataStructure{Ref: gateRef("GATE", "1.0.0"), Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "GATE"}, {ID: "NATION"}}, Attributes: []statistics.Component{{ID: "OBS_STATUS"}, {ID: "COMMENT"}}}
	sum := statistics.DataStructure{Ref: gateRef("SUM", "1.0.0"), Dimensions: []statistics.Component{{ID: "FREQ"}, {ID: "PLACE"}, {ID: "WHO"}}, Attributes: gate.Attributes}
	from := func(id string, place statistics.ComponentMap) statistics.StructureMap {
		return statistics.StructureMap{Ref: gateRef("FROM_"+id, version), Source: gateRef(id, "1.0.0"), Target: gateRef(sums, "1.0.0"), Components: []statistics.ComponentMap{
			place, {Sources: []string{"NATION"}, Targets: []string{"WHO"}, RepresentationMap: gateRef("NATIONS", version)},
		}}
	}
	return &statistics.Structures{
		DataStructures: []statistics.DataStructure{gate, sum},
		Dataflows: []statistics.Dataflow{
			{Ref: gateRef(north, "1.0.0"), Structure: gate.Ref}, {Ref: gateRef(south, "1.0.0"), Structure: gate.Ref}, {Ref: gateRef(sums, "1.0.0"), Structure: sum.Ref},
		},
		RepresentationMaps: []statistics.RepresentationMap{
			{Ref: gateRef("NATIONS", version), Mappings: mappings(nations)}, {Ref: gateRef("GATES", version), Mappings: mappings(gates), Identity: true},
		},
		StructureMaps: []statistics.StructureMap{
			from(north, statistics.ComponentMap{Targets: []string{"PLACE"}, Constant: "N"}),
			from(south, statistics.ComponentMap{Sources: []string{"GATE"}, Targets: []string{"PLACE"}, RepresentationMap: gateRef("GATES", version)}),
		},
	}
}

func (o *office) create(t rapid.TB, s *statistics.Structures) {
	t.Helper()
	if _, err := o.service.CreateStructures(context.Background(), s); err != nil {
		t.Fatal(err)
	}
	for i := range s.Dataflows { // what is tried here is not plausible
		if _, err := o.service.SetQualityRules(context.Background(), s.Dataflows[i].Ref, nil, "nobody"); err != nil {
			t.Fatal(err)
		}
	}
}

// rowsOf makes a block of rows "M G1 AAA 2024-01" with their figures; "-" is none.
func rowsOf(structure []string, rows map[string]string) iter.Seq2[*block.Block, error] {
	builder := block.NewBuilder(append(slices.Clone(structure), block.TimePeriod), []string{block.ObsValue, block.Line})
	for line, key := range slices.Sorted(maps.Keys(rows)) {
		var value float64
		_, _ = fmt.Sscanf(rows[key], "%g", &value)
		builder.Append(strings.Fields(key), []float64{value, float64(line + 2)})
	}
	return func(yield func(*block.Block, error) bool) { yield(builder.Block(), nil) }
}

func (o *office) submit(t rapid.TB, flow string, header statistics.Header, rows map[string]string) *statistics.Submission {
	t.Helper()
	header.Dataflow = gateRef(flow, "1.0.0")
	dimensions := []string{"FREQ", "GATE", "NATION"}
	if flow == sums {
		dimensions = []string{"FREQ", "PLACE", "WHO"}
	}
	submission, err := o.service.Submit(context.Background(), header, statistics.Content{Blocks: rowsOf(dimensions, rows)})
	if err != nil {
		t.Fatal(err)
	}
	return submission
}

// figures returns all figures of a dataflow.
func (o *office) figures(t rapid.TB, flow string) map[string]string {
	t.Helper()
	ctx := context.Background()
	catalogue, err := o.service.Catalogue(ctx)
	if err != nil {
		t.Fatal(err)
	}
	f, err := catalogue.Flow(gateRef(flow, "1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err = o.store.View(ctx, statistics.Moment{}, func(ctx context.Context, s statistics.Snapshot) error {
		dictionary, err := s.Dictionary(ctx, f)
		if err != nil {
			return err
		}
		for series, err := range s.Read(ctx, f, []string{"us"}, statistics.Selector{}) {
			if err != nil {
				return err
			}
			for i, index := range series.Track.Periods {
				var key []string
				for d, code := range series.Key {
					key = append(key, dictionary.Text(d, code))
				}
				key = append(key, statistics.Frequency(key[0][0]).Period(index).String())
				got[strings.Join(key, " ")] = fmt.Sprint(series.Track.Cells[i].Value)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func rulesOf(s *statistics.Submission) (rules []string) {
	for _, f := range s.Findings {
		rules = append(rules, fmt.Sprintf("%s %d %d", f.Rule, f.Severity, f.Line))
	}
	return rules
}

func TestActions(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	o.create(t, gateStructures("1.0.0", map[string]string{"AAA": "A", "BBB": "B"}, nil))
	type figures = map[string]string
	january := filter.Compare(filter.OpEq, block.TimePeriod, "2024-01")
	for _, step := range []struct {
		name   string
		header statistics.Header
		rows   figures
		state  statistics.State
		counts statistics.ChangeCounts
		rules  []string
		stored figures
	}{
		{
			"MERGE adds",
			statistics.Header{},
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "2", "M G2 BBB 2024-01": "3"},
			statistics.Accepted,
			statistics.ChangeCounts{Added: 3},
			nil,
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "2", "M G2 BBB 2024-01": "3"},
		},
		{
			"MERGE revises, and leaves the rest",
			statistics.Header{},
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "20", "M G3 BBB 2024-01": "4"},
			statistics.Accepted,
			statistics.ChangeCounts{Added: 1, Revised: 1, Unchanged: 1},
			nil,
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "20", "M G2 BBB 2024-01": "3", "M G3 BBB 2024-01": "4"},
		},
		{
			"APPEND adds, and takes what is there the same",
			statistics.Header{Action: statistics.Append},
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-03": "5"},
			statistics.Accepted,
			statistics.ChangeCounts{Added: 1, Unchanged: 1},
			nil,
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "20", "M G1 AAA 2024-03": "5", "M G2 BBB 2024-01": "3", "M G3 BBB 2024-01": "4"},
		},
		{
			"APPEND refuses what is there otherwise, and all with it",
			statistics.Header{Action: statistics.Append},
			figures{"M G1 AAA 2024-01": "9", "M G1 AAA 2024-04": "5"},
			statistics.Rejected,
			statistics.ChangeCounts{},
			[]string{"EXISTING_CELL 1 2"},
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "20", "M G1 AAA 2024-03": "5", "M G2 BBB 2024-01": "3", "M G3 BBB 2024-01": "4"},
		},
		{
			"DELETE takes away what rows name, and notes what is not there",
			statistics.Header{Action: statistics.Delete},
			figures{"M G1 AAA 2024-03": "77", "M G9 AAA 2024-03": "1"},
			statistics.Accepted,
			statistics.ChangeCounts{Deleted: 1},
			[]string{"NOT_STORED 3 3"},
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "20", "M G2 BBB 2024-01": "3", "M G3 BBB 2024-01": "4"},
		},
		{
			"DELETE needs rows or a scope",
			statistics.Header{Action: statistics.Delete},
			nil,
			statistics.Rejected,
			statistics.ChangeCounts{},
			[]string{"NO_ROWS 1 0"},
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "20", "M G2 BBB 2024-01": "3", "M G3 BBB 2024-01": "4"},
		},
		{
			"REPLACE takes away the rest of the scope",
			statistics.Header{Action: statistics.Replace, Scope: january},
			figures{"M G1 AAA 2024-01": "1", "M G2 BBB 2024-01": "33"},
			statistics.Accepted,
			statistics.ChangeCounts{Revised: 1, Deleted: 1, Unchanged: 1},
			nil,
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "20", "M G2 BBB 2024-01": "33"},
		},
		{
			"REPLACE refuses rows outside the scope",
			statistics.Header{Action: statistics.Replace, Scope: january},
			figures{"M G1 AAA 2024-02": "1"},
			statistics.Rejected,
			statistics.ChangeCounts{},
			[]string{"OUTSIDE_SCOPE 1 2"},
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "20", "M G2 BBB 2024-01": "33"},
		},
		{
			"DELETE without rows takes away the scope",
			statistics.Header{Action: statistics.Delete, Scope: filter.And(january, filter.In("GATE", "G2", "G7"))},
			nil,
			statistics.Accepted,
			statistics.ChangeCounts{Deleted: 1},
			nil,
			figures{"M G1 AAA 2024-01": "1", "M G1 AAA 2024-02": "20"},
		},
		{
			"REPLACE by nothing empties the dataflow",
			statistics.Header{Action: statistics.Replace},
			nil,
			statistics.Accepted,
			statistics.ChangeCounts{Deleted: 2},
			nil,
			figures{},
		},
	} {
		before := o.figures(t, sums)
		submission := o.submit(t, north, step.header, step.rows)
		if submission.State != step.state || submission.Changes != step.counts {
			t.Errorf("%s: state %d, counts %+v, findings %v", step.name, submission.State, submission.Changes, submission.Findings)
		}
		if diff := cmp.Diff(step.rules, rulesOf(submission)); diff != "" {
			t.Errorf("%s: findings (-want +got):\n%s", step.name, diff)
		}
		if diff := cmp.Diff(step.stored, o.figures(t, north)); diff != "" {
			t.Errorf("%s: figures (-want +got):\n%s", step.name, diff)
		}
		if after := o.figures(t, sums); step.state == statistics.Rejected && !maps.Equal(before, after) {
			t.Errorf("%s: it is rejected, and derived figures became %v", step.name, after)
		}
		stored, err := o.service.Submission(t.Context(), submission.ID)
		if err != nil || stored.Changes != submission.Changes || stored.Action != step.header.Action {
			t.Errorf("%s: stored as %+v, %v", step.name, stored, err)
		}
	}
}

func TestOccupied(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	nations := map[string]string{"AAA": "A", "BBB": "B"}
	o.create(t, gateStructures("1.0.0", nations, map[string]string{"G1": "N"}))
	accepted := func(s *statistics.Submission) {
		t.Helper()
		if s.State != statistics.Accepted {
			t.Fatalf("rejected: %v", s.Findings)
		}
	}
	refused := func(s *statistics.Submission, names ...string) {
		t.Helper()
		if s.State != statistics.Rejected || len(s.Findings) == 0 || s.Findings[0].Rule != "TARGET_OCCUPIED" {
			t.Fatalf("state %d, findings %v", s.State, s.Findings)
		}
		for _, name := range names {
			if !strings.Contains(s.Findings[0].Message, name) {
				t.Errorf("%q does not name %s", s.Findings[0].Message, name)
			}
		}
	}
	accepted(o.submit(t, north, statistics.Header{}, map[string]string{"M G1 AAA 2024-01": "1", "M G2 AAA 2024-01": "2"}))
	accepted(o.submit(t, south, statistics.Header{}, map[string]string{"M G2 AAA 2024-01": "5"})) // another place
	accepted(o.submit(t, sums, statistics.Header{}, map[string]string{"M DIRECT A 2024-01": "7", "M N B 2024-02": "8"}))
	want := map[string]string{"M N A 2024-01": "3", "M G2 A 2024-01": "5", "M DIRECT A 2024-01": "7", "M N B 2024-02": "8"}

	refused(o.submit(t, south, statistics.Header{}, map[string]string{"M G1 AAA 2024-01": "5"}), "X:FROM_NORTH(1.0.0)", "X:FROM_SOUTH(1.0.0)")
	refused(o.submit(t, north, statistics.Header{}, map[string]string{"M G1 BBB 2024-02": "8"}), "X:FROM_NORTH(1.0.0)", "directly")
	refused(o.submit(t, sums, statistics.Header{}, map[string]string{"M N A 2024-01": "4"}), "X:FROM_NORTH(1.0.0)")
	refused(o.submit(t, sums, statistics.Header{Action: statistics.Delete}, map[string]string{"M N A 2024-01": "0"}), "X:FROM_NORTH(1.0.0)")
	refused(o.submit(t, sums, statistics.Header{Action: statistics.Replace}, nil), "is derived")
	_, err := o.service.CreateStructures(t.Context(), gateStructures("1.1.0", nations, map[string]string{"G1": "N", "G2": "N"}))
	if !fault.Is(err, fault.Precondition) || !strings.Contains(err.Error(), "FROM_NORTH") || !strings.Contains(err.Error(), "FROM_SOUTH") {
		t.Errorf("a map that fills what another does: %v", err)
	}
	if diff := cmp.Diff(want, o.figures(t, sums)); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}

	accepted(o.submit(t, sums, statistics.Header{}, map[string]string{"M DIRECT A 2024-01": "9", "M N A 2024-01": "3"})) // the derived one the same
	accepted(o.submit(t, sums, statistics.Header{Action: statistics.Delete}, map[string]string{"M N B 2024-02": "0"}))
	accepted(o.submit(t, north, statistics.Header{}, map[string]string{"M G1 BBB 2024-02": "8", "M G1 AAA 2024-01": "2"}))
	want = map[string]string{"M N A 2024-01": "4", "M G2 A 2024-01": "5", "M DIRECT A 2024-01": "9", "M N B 2024-02": "8"}
	if diff := cmp.Diff(want, o.figures(t, sums)); diff != "" {
		t.Errorf("figures (-want +got):\n%s", diff)
	}
}

// TestDeriving compares what was derived step by step with what a map makes of all figures.
func TestDeriving(t *testing.T) {
	t.Parallel()
	rows := rapid.MapOfN(
		rapid.Custom(func(t *rapid.T) string {
			return fmt.Sprintf("%s %s %s", rapid.SampledFrom([]string{"M G", "M H"}).Draw(t, "gate"), rapid.SampledFrom([]string{"AAA", "BBB", "CCC", "DDD"}).Draw(t, "nation"),
				rapid.SampledFrom([]string{"2023-12", "2024-01", "2024-02"}).Draw(t, "period"))
		}),
		rapid.SampledFrom([]string{"0", "1", "2", "2.5", "300"}), 1, 8)
	actions := []statistics.Action{statistics.Merge, statistics.Merge, statistics.Merge, statistics.Replace, statistics.Delete}
	drawn := rapid.MapOf(rapid.SampledFrom([]string{"AAA", "BBB", "CCC"}), rapid.SampledFrom([]string{"A", "B", ""}))
	o := newOffice(t)
	version, nations := 0, map[string]string{}
	anotherMap := func(rt *rapid.T) {
		version++
		nations = drawn.Draw(rt, "map")
		o.create(rt, gateStructures(fmt.Sprintf("1.%d.0", version), nations, nil))
	}
	rapid.Check(t, func(rt *rapid.T) {
		if version == 0 {
			anotherMap(rt)
		}
		o.submit(rt, north, statistics.Header{Action: statistics.Replace}, nil)
		for range rapid.IntRange(1, 4).Draw(rt, "submissions") {
			action := rapid.SampledFrom(actions).Draw(rt, "action")
			given := map[string]string{}
			for key, figure := range rows.Draw(rt, "rows") {
				given[key] = figure
			}
			submission := o.submit(rt, north, statistics.Header{Action: action}, given)
			if submission.State != statistics.Accepted {
				rt.Fatalf("rejected: %v", submission.Findings)
			}
			if rapid.IntRange(0, 9).Draw(rt, "another map") == 9 {
				anotherMap(rt)
			}
			want := map[string]float64{}
			for key, figure := range o.figures(rt, north) {
				parts := strings.Fields(key)
				value, err := strconv.ParseFloat(figure, 64)
				if err != nil {
					rt.Fatal(err)
				}
				if nations[parts[2]] != "" {
					want["M N "+nations[parts[2]]+" "+parts[3]] += value
				}
			}
			got := map[string]float64{}
			for key, figure := range o.figures(rt, sums) {
				value, err := strconv.ParseFloat(figure, 64)
				if err != nil {
					rt.Fatal(err)
				}
				got[key] = value
			}
			if diff := cmp.Diff(want, got); diff != "" {
				rt.Fatalf("derived (-want +got):\n%s", diff)
			}
		}
	})
}
