package rpc_test

import (
	"log/slog"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/internal/policy"
	"github.com/comity-federation/comity/services/internal/policy/policytest"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
)

// published is a figure of January 2024; NaN: it is withheld.
type published struct {
	place string
	value float64
}

// publish stores a publication as sharing does.
func (n *node) publish(t *testing.T, id string, places ...published) {
	t.Helper()
	before := n.caller
	defer func() { n.caller = before }()
	n.caller = internalrpc.Caller{State: "x", Service: "sharing"}
	header := &statisticspb.SubmissionHeader{
		Dataflow: "X:PLACES(1.0.0)", Provider: "PUBLISHED:PUBLIC", Action: statisticspb.SubmissionHeader_REPLACE,
		Scope: wire.FilterToProto(filter.True()), IdempotencyKey: id, Release: id,
	}
	var rows [][]string
	var figures []float64
	for _, p := range places {
		row := []string{"M", p.place, "2024-01", "A", "F"}
		if math.IsNaN(p.value) {
			row = []string{"M", p.place, "2024-01", "Q", "C"}
		}
		rows, figures = append(rows, row), append(figures, p.value)
	}
	components := []string{"FREQ", "PLACE", block.TimePeriod, block.ObsStatus, block.ConfStatus}
	submission, err := n.submit(t, header, components, rows, figures)
	if err != nil || submission.GetState() != statisticspb.Submission_ACCEPTED {
		t.Fatalf("%v, %v", submission, err)
	}
}

func TestPublished(t *testing.T) {
	t.Parallel()
	engine, err := policy.Open(t.Context(), []string{policytest.Untested(t, filepath.Join("..", "..", "..", "policies"))}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	n := newPlaces(t)
	n.put(t, false, "_T 2024-01 72", "N1 2024-01 2", "N2 2024-01 38", "S1 2024-01 1", "S2 2024-01 31", "N1 2024-02 9")
	n.policies = engine
	withheld := math.NaN()
	n.publish(t, "p1", []published{
		{"_T", 72}, {"N", 40}, {"N1", withheld}, {"N2", withheld}, {"S", 32}, {"S1", withheld}, {"S2", withheld},
	}...)
	anybody := internalrpc.Caller{State: "x", Service: "gateway"}
	shown := []string{
		"_T 2024-01 72 A F", "N1 2024-01 - Q C", "N2 2024-01 - Q C", "S1 2024-01 - Q C", "S2 2024-01 - Q C", "N 2024-01 40 A F", "S 2024-01 32 A F",
	}
	t.Run("is what anybody sees, and all that anybody sees", func(t *testing.T) {
		n.caller = anybody
		for _, request := range []*statisticspb.QueryRequest{
			{}, {Providers: []string{"x"}}, {Providers: []string{"PUBLISHED:OTHERS"}}, {Providers: []string{"x", "PUBLISHED:PUBLIC"}},
		} {
			n.wantLines(t, request, shown...)
		}
		n.wantLines(t, &statisticspb.QueryRequest{Filter: wire.FilterToProto(filter.Eq("PLACE", "N1"))}, "N1 2024-01 - Q C")
		n.wantLines(t, &statisticspb.QueryRequest{StartPeriod: "2024-02"})
	})
	t.Run("stands beside a state's own figures, and is none of them", func(t *testing.T) {
		n.caller = internalrpc.Caller{State: "x", Service: "sharing"}
		n.wantLines(t, &statisticspb.QueryRequest{Filter: wire.FilterToProto(filter.Eq("PLACE", "N1"))}, "N1 2024-01 2 A F", "N1 2024-02 9 A F")
	})
	t.Run("is replaced by the publication after it, once", func(t *testing.T) {
		n.caller = anybody
		for range 2 {
			n.publish(t, "p2", published{"_T", 75}, published{"N", withheld}, published{"S", withheld})
			n.wantLines(t, &statisticspb.QueryRequest{}, "_T 2024-01 75 A F", "N 2024-01 - Q C", "S 2024-01 - Q C")
		}
	})
	t.Run("is gone once it is taken back, also as it was", func(t *testing.T) {
		n.caller = anybody
		n.publish(t, "nothing")
		n.wantLines(t, &statisticspb.QueryRequest{})
		for name, request := range map[string]*statisticspb.QueryRequest{
			"an earlier revision": {Revision: 2}, "an earlier moment": {AsOf: timestamppb.Now()},
		} {
			if got, err := n.lines(t, request); err == nil || len(got) > 0 || !strings.Contains(err.Error(), "as it is now") {
				t.Errorf("%s: got %v, %v", name, got, err)
			}
		}
		changed, err := n.lines(t, &statisticspb.QueryRequest{AfterRevision: 1})
		if err != nil || strings.Contains(strings.Join(changed, "\n"), "72") || strings.Contains(strings.Join(changed, "\n"), "75") {
			t.Errorf("got %v, %v", changed, err)
		}
	})
}
