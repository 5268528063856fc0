package rpc_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
)

const moves = "X:MOVES(1.0.0)"

// movesDesign compares OUT with IN; END names the other end.
func movesDesign() *statisticspb.MirrorDesign {
	return &statisticspb.MirrorDesign{
		AreaDimension: "AREA", FlowDimension: "FLOW", CounterpartDimension: "END",
		Flows:      []*statisticspb.MirrorFlow{{Exits: "OUT", Entries: "IN"}},
		Areas:      []*statisticspb.MirrorArea{{Code: "CCC", Area: "C"}},
		Selections: []*statisticspb.MirrorSelection{{Dimension: "SEX", Codes: []string{"_T"}}},
	}
}

// newMoves returns the node of a, with its own figures and those of b and c. Each reports the flows of its area with the
// others: those of testdata/mirror.csv of the measures, in 2020.
func newMoves(t *testing.T) *node {
	t.Helper()
	n := newNode(t, "a")
	n.create(t, &statisticspb.Structures{
		Codelists: []*statisticspb.Codelist{{
			Agency: "X", Id: "CL_SEX", Version: "1.0.0",
			Codes: []*statisticspb.Code{{Id: "_T"}, {Id: "F", Parent: "_T"}, {Id: "M", Parent: "_T"}},
		}},
		DataStructures: []*statisticspb.DataStructure{{
			Agency: "X", Id: "MOVES", Version: "1.0.0",
			Dimensions: []*statisticspb.Component{
				{Id: "FREQ"}, {Id: "AREA"}, {Id: "FLOW"}, {Id: "END"}, {Id: "SEX", Codelist: "X:CL_SEX(1.0.0)"},
			},
			Attributes: []*statisticspb.Component{{Id: "OBS_STATUS"}, {Id: "CONF_STATUS"}},
		}},
		Dataflows: []*statisticspb.Dataflow{{Agency: "X", Id: "MOVES", Version: "1.0.0", Structure: "X:MOVES(1.0.0)"}},
	})
	n.move(t, "a", "A.OUT.B._T 1000", "A.IN.B.F 500", "A.IN.B.M 700", "A.OUT.CCC._T 450", "A.IN.CCC._T 480")
	n.move(t, "b", "B.IN.A._T 950", "B.OUT.A._T 800", "B.OUT.CCC._T 60", "B.IN.CCC._T 12")
	n.move(t, "c", "C.IN.A._T 450", "C.OUT.A._T 500", "C.IN.B._T 9", "C.OUT.B._T 0")
	return n
}

// move submits figures of 2020 "KEY VALUE", or "KEY VALUE CONF_STATUS".
func (n *node) move(t *testing.T, provider string, rows ...string) {
	t.Helper()
	before := n.caller
	n.caller = internalrpc.Caller{State: "a", Service: "sharing"}
	defer func() { n.caller = before }()
	var texts [][]string
	var figures []float64
	for _, row := range rows {
		fields := append(strings.Fields(row), "F")
		var value float64
		if _, err := fmt.Sscan(fields[1], &value); err != nil {
			t.Fatal(err)
		}
		key := strings.Split(fields[0], ".")
		texts, figures = append(texts, append([]string{"A"}, append(key, "2020", fields[2])...)), append(figures, value)
	}
	s, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: moves, Provider: provider},
		[]string{"FREQ", "AREA", "FLOW", "END", "SEX", block.TimePeriod, block.ConfStatus}, texts, figures)
	if err != nil {
		t.Fatal(err)
	}
	if s.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatalf("rejected: %v", s.GetFindings())
	}
}

func (n *node) mirror(t *testing.T, request *statisticspb.CompareMirrorRequest) *statisticspb.CompareMirrorResponse {
	t.Helper()
	if request.Dataflow == "" {
		request.Dataflow, request.Design = moves, movesDesign()
	}
	response, err := n.CompareMirror(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// corridor returns a pair of an answer, as "A>B".
func corridor(t *testing.T, response *statisticspb.CompareMirrorResponse, name string) *statisticspb.MirrorPair {
	t.Helper()
	for _, p := range response.GetPairs() {
		if p.GetOrigin()+">"+p.GetDestination() == name {
			return p
		}
	}
	t.Fatalf("no %s in %v", name, response.GetPairs())
	return nil
}

func TestCompareMirror(t *testing.T) {
	t.Parallel()
	n := newMoves(t)
	t.Run("it compares own figures with a partner's, rolled up to the same detail", func(t *testing.T) {
		answer := n.mirror(t, &statisticspb.CompareMirrorRequest{Partner: "b"})
		if len(answer.GetPairs()) != 2 || answer.GetTotalPairs() != 2 || answer.GetUnmatched() != 0 || answer.GetWithheld() != 0 {
			t.Fatalf("got %v", answer)
		}
		p := corridor(t, answer, "B>A")
		if p.GetExits() != 800 || p.GetEntries() != 1200 || p.GetExitsProvider() != "b" || p.GetEntriesProvider() != "a" || p.GetPeriod() != "2020" {
			t.Errorf("got %v", p)
		}
		if math.Abs(p.GetLogRatio()-0.405256883224539) > 1e-9 || math.Abs(p.GetZ()-8.94427190999916) > 1e-9 || !p.GetDiffers() || p.GetKey()["SEX"] != "_T" {
			t.Errorf("got %v", p)
		}
		if f := answer.GetFindings(); len(f) != 1 || f[0].GetBefore() != 800 || f[0].GetAfter() != 1200 || f[0].GetThreshold() != 1.1 || f[0].GetRule() != "MIRROR_DIFFERENCE" {
			t.Errorf("findings %v", f)
		}
		const message = "of those who left B for A in 2020, B (b) counts 800 as OUT, and A (a) counts 1200 as IN: p = 3.51e-19"
		if got := answer.GetFindings()[0].GetMessage(); got != message {
			t.Errorf("it says %q", got)
		}
		if corridor(t, answer, "A>B").GetDiffers() {
			t.Error("chance is a finding")
		}
	})
	t.Run("it compares with every partner where none is named", func(t *testing.T) {
		if got := n.mirror(t, &statisticspb.CompareMirrorRequest{}).GetTotalPairs(); got != 4 {
			t.Errorf("%d pairs, want those with a on a side", got)
		}
	})
	t.Run("it knows an area by the name that the counterpart has", func(t *testing.T) {
		if p := corridor(t, n.mirror(t, &statisticspb.CompareMirrorRequest{Partner: "c"}), "C>A"); p.GetExits() != 500 || p.GetEntries() != 480 {
			t.Errorf("got %v", p)
		}
	})
	t.Run("it fits coverage over the corridors of all providers", func(t *testing.T) {
		coverage := n.mirror(t, &statisticspb.CompareMirrorRequest{Partner: "b"}).GetCoverage()
		if len(coverage) != 1 || coverage[0].GetCorridors() != 5 || coverage[0].GetLeftOut() != 1 || coverage[0].GetGroups() != 1 || coverage[0].ResidualStandardError != nil {
			t.Fatalf("got %v", coverage)
		}
		want := map[string]float64{ // see testdata/mirror_fit.txt of the measures
			"a A true": 0.889076068861, "b B true": -1.464802318521, "c C true": -1.413509024133, "a A false": 1.413509024133, "b B false": -0.483610960752,
		}
		for _, f := range coverage[0].GetFactors() {
			name := fmt.Sprint(f.GetProvider(), " ", f.GetArea(), " ", f.GetEntries())
			if coefficient, known := want[name]; known && math.Abs(f.GetCoefficient()-coefficient) > 1e-9 || f.Lower != nil {
				t.Errorf("%s: got %v", name, f)
			}
			delete(want, name)
		}
		if len(want) > 0 {
			t.Errorf("no factors for %v", want)
		}
	})
	t.Run("it pages pairs", func(t *testing.T) {
		answer := n.mirror(t, &statisticspb.CompareMirrorRequest{Offset: 1, Limit: 2})
		if len(answer.GetPairs()) != 2 || answer.GetTotalPairs() != 4 || answer.GetPairs()[0].GetDestination() != "C" {
			t.Errorf("got %v", answer.GetPairs())
		}
	})
	t.Run("it has nothing of a partner that sent nothing", func(t *testing.T) {
		if answer := n.mirror(t, &statisticspb.CompareMirrorRequest{Partner: "z"}); answer.GetTotalPairs() != 0 {
			t.Errorf("got %v", answer)
		}
	})
	before := n.mirror(t, &statisticspb.CompareMirrorRequest{}).GetRevision()
	n.move(t, "b", "B.IN.A._T 40 C", "B.IN.D._T 7")
	t.Run("it compares the state as of a revision", func(t *testing.T) {
		if p := corridor(t, n.mirror(t, &statisticspb.CompareMirrorRequest{Partner: "b", Revision: before}), "A>B"); p.GetEntries() != 950 {
			t.Errorf("got %v", p)
		}
		if p := corridor(t, n.mirror(t, &statisticspb.CompareMirrorRequest{Partner: "b"}), "A>B"); p.GetEntries() != 40 {
			t.Errorf("got %v", p)
		}
	})
	t.Run("it compares no figure that the caller may not see", func(t *testing.T) {
		n.sight = `{"confStatus": ["F"], "embargoed": false}`
		defer func() { n.sight = "" }()
		answer := n.mirror(t, &statisticspb.CompareMirrorRequest{Partner: "b"})
		if answer.GetTotalPairs() != 1 || answer.GetWithheld() != 1 || answer.GetUnmatched() != 1 || len(answer.GetCoverage()) != 1 || answer.GetCoverage()[0].GetCorridors() != 4 {
			t.Errorf("got %v", answer)
		}
	})
	t.Run("it refuses what it cannot compare", func(t *testing.T) {
		for name, change := range map[string]func(*statisticspb.CompareMirrorRequest){
			"an unknown dimension":    func(r *statisticspb.CompareMirrorRequest) { r.Design.AreaDimension = "NOWHERE" },
			"a dimension twice":       func(r *statisticspb.CompareMirrorRequest) { r.Design.CounterpartDimension = "AREA" },
			"no flows":                func(r *statisticspb.CompareMirrorRequest) { r.Design.Flows = nil },
			"a flow against itself":   func(r *statisticspb.CompareMirrorRequest) { r.Design.Flows[0].Exits = "IN" },
			"an area without a name":  func(r *statisticspb.CompareMirrorRequest) { r.Design.Areas[0].Code = "" },
			"the flow selected":       func(r *statisticspb.CompareMirrorRequest) { r.Design.Selections[0].Dimension = "FLOW" },
			"an unknown code":         func(r *statisticspb.CompareMirrorRequest) { r.Design.Selections[0].Codes = []string{"?"} },
			"no frequency":            func(r *statisticspb.CompareMirrorRequest) { r.Frequency = "Z" },
			"no period":               func(r *statisticspb.CompareMirrorRequest) { r.StartPeriod = "never" },
			"no significance":         func(r *statisticspb.CompareMirrorRequest) { r.Significance = new(float64) },
			"a factor that is none":   func(r *statisticspb.CompareMirrorRequest) { nan := math.NaN(); r.Factor = &nan },
			"too many pairs at once":  func(r *statisticspb.CompareMirrorRequest) { r.Limit = 10_001 },
			"a negative limit":        func(r *statisticspb.CompareMirrorRequest) { r.Limit = -1 },
			"no design of a dataflow": func(r *statisticspb.CompareMirrorRequest) { r.Design = nil },
		} {
			request := &statisticspb.CompareMirrorRequest{Dataflow: moves, Design: movesDesign()}
			change(request)
			if _, err := n.CompareMirror(t.Context(), request); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
	t.Run("it says that a dataflow is not there", func(t *testing.T) {
		if _, err := n.CompareMirror(t.Context(), &statisticspb.CompareMirrorRequest{}); status.Code(err) != codes.NotFound {
			t.Errorf("the dataflow of the default design: %v", err)
		}
	})
}

// TestMirrorOfEurope compares what 27 states report of migration between them, as one provider holds it, by the default
// design.
func TestMirrorOfEurope(t *testing.T) {
	t.Parallel()
	shared(t)
	n := readers(t, "eu")
	n.national(t, national{dataflow: "EU:MIRROR(1.0.0)", layout: "eu-mirror", file: "mirror_migmod/mig_data_2010_2014.csv", notes: 2})
	answer := n.mirror(t, &statisticspb.CompareMirrorRequest{Dataflow: border, Partner: "eu", Frequency: "A", Limit: 10_000})
	// Of the 3,510 rows of the file, 792 have both sides, and 376 one where the other is an area that reports other flows.
	if len(answer.GetPairs()) != 792 || answer.GetTotalPairs() != 792 || answer.GetUnmatched() != 376 {
		t.Errorf("%d pairs, %d figures alone", len(answer.GetPairs()), answer.GetUnmatched())
	}
	if len(answer.GetCoverage()) != 1 {
		t.Fatalf("%d fits, want that of EMI and IMM", len(answer.GetCoverage()))
	}
	fit := answer.GetCoverage()[0]
	if fit.GetCorridors() != 221 || fit.GetGroups() != 1 || len(fit.GetFactors()) != 32 || fit.GetDegreesOfFreedom() != 221-(32-1) {
		t.Errorf("%d corridors of %d groups give %d factors, with %d degrees of freedom", fit.GetCorridors(), fit.GetGroups(), len(fit.GetFactors()), fit.GetDegreesOfFreedom())
	}
	factors, product := map[string]*statisticspb.CoverageFactor{}, 0.0
	for _, f := range fit.GetFactors() {
		if !(f.GetFactor() > 0.05 && f.GetFactor() < 5 && f.GetLower() < f.GetFactor() && f.GetFactor() < f.GetUpper()) {
			t.Errorf("%s: %v", f.GetArea(), f)
		}
		if f.GetEntries() {
			factors[f.GetArea()] = f
		} else {
			product += f.GetCoefficient()
		}
	}
	if math.Abs(product) > 1e-9 {
		t.Errorf("the geometric mean of the factors of exits is %v", math.Exp(product))
	}
	// Those with population registers that exchange notices of arrival count more fully than those that people must tell of
	// themselves, without much reason to.
	for _, more := range []string{"DK", "SE", "NL", "FI"} {
		for _, less := range []string{"BG", "SK", "HR", "IT"} {
			if factors[more].GetLower() <= factors[less].GetUpper() {
				t.Errorf("%s is not clearly more complete than %s: %v and %v", more, less, factors[more], factors[less])
			}
		}
	}
	if len(answer.GetFindings()) != 609 {
		t.Errorf("%d findings", len(answer.GetFindings()))
	}
}

func TestGetStructures_tells_the_default_design(t *testing.T) {
	t.Parallel()
	n := newMoves(t)
	n.create(t, &statisticspb.Structures{
		Dataflows: []*statisticspb.Dataflow{{Agency: "COMITY", Id: "BORDER", Version: "9.0.0", Structure: "X:MOVES(1.0.0)"}},
	})
	for dataflow, want := range map[string]string{moves: "", "COMITY:BORDER(9.0.0)": "REF_AREA INDICATOR SECTION PAX_OUT PAX_IN EMI IMM"} {
		answer, err := n.GetStructures(t.Context(), &statisticspb.GetStructuresRequest{Dataflow: dataflow})
		if err != nil {
			t.Fatal(err)
		}
		design := answer.GetMirror()
		codes := []string{design.GetAreaDimension(), design.GetFlowDimension(), design.GetCounterpartDimension()}
		for _, f := range design.GetFlows() {
			codes = append(codes, f.GetExits(), f.GetEntries())
		}
		if got := strings.TrimSpace(strings.Join(codes, " ")); got != want {
			t.Errorf("%s has the design %q, want %q", dataflow, got, want)
		}
	}
}
