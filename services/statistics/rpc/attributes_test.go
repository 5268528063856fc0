package rpc_test

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/filter"
	"github.com/comity-federation/comity/proto/wire"
)

// attributeLines returns the rows of an answer as "PLACE PERIOD EMBARGO_TIME COMMENT", with - for what is not there.
func (n *node) attributeLines(t *testing.T, request *statisticspb.QueryRequest) ([]string, error) {
	t.Helper()
	request.Dataflow = places
	stream, err := n.Query(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return lines, nil
		}
		if err != nil {
			return nil, err
		}
		b, err := wire.BlockFromProto(response.GetBlock())
		if err != nil {
			t.Fatal(err)
		}
		for i := range b.Rows {
			line := b.Column("PLACE").Text(i) + " " + b.Column(block.TimePeriod).Text(i)
			for _, id := range []string{"EMBARGO_TIME", block.Comment} {
				text := "-"
				if column := b.Column(id); column != nil && column.Text(i) != "" {
					text = strings.ReplaceAll(column.Text(i), " ", "_")
				}
				line += " " + text
			}
			lines = append(lines, line)
		}
	}
}

func TestQueryOfAttributes(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	tomorrow := time.Now().UTC().Add(24 * time.Hour).Format(time.RFC3339)
	first := n.put(t, false, "N1 2024-01 5 F 2020-01-01", "N2 2024-01 7 F 2020-01-01", "S1 2024-01 1", "S2 2024-01 2 F "+tomorrow, "N1 2024-02 4")
	n.put(t, false, "N1 2024-01 5 F 2021-01-01")
	attributes := []string{"EMBARGO_TIME"}
	later := wire.FilterToProto(filter.Compare(filter.OpGt, "EMBARGO_TIME", "2020-06-01"))
	for name, test := range map[string]struct {
		request *statisticspb.QueryRequest
		sight   string
		want    []string
	}{
		"it answers without those that are not asked for": {&statisticspb.QueryRequest{Limit: 1}, "", []string{"N1 2024-01 - about_5"}},
		"it answers with those that are": {&statisticspb.QueryRequest{Attributes: attributes}, "", []string{
			"N1 2024-01 2021-01-01 about_5", "N1 2024-02 - about_4", "N2 2024-01 2020-01-01 about_7", "S1 2024-01 - about_1", "S2 2024-01 " + tomorrow + " about_2",
		}},
		"it shows none of what is not seen": {&statisticspb.QueryRequest{Attributes: attributes}, ofAnalyst, []string{
			"N1 2024-01 2021-01-01 about_5", "N1 2024-02 - about_4", "N2 2024-01 2020-01-01 about_7", "S1 2024-01 - about_1",
		}},
		"it answers with those of an older state": {&statisticspb.QueryRequest{Attributes: attributes, Revision: first, Limit: 1}, "", []string{"N1 2024-01 2020-01-01 about_5"}},
		"it answers with those of what changed":   {&statisticspb.QueryRequest{Attributes: attributes, AfterRevision: first}, "", []string{"N1 2024-01 2021-01-01 about_5"}},
		"it chooses by them":                      {&statisticspb.QueryRequest{Attributes: attributes, Filter: later}, ofAnalyst, []string{"N1 2024-01 2021-01-01 about_5"}},
		"it sorts by them": {&statisticspb.QueryRequest{Attributes: attributes, OrderBy: []string{"EMBARGO_TIME desc"}, Limit: 2}, ofAnalyst, []string{
			"N1 2024-01 2021-01-01 about_5", "N2 2024-01 2020-01-01 about_7",
		}},
		"it takes those that every answer has": {&statisticspb.QueryRequest{Attributes: []string{"COMMENT", "OBS_STATUS"}, Limit: 1}, "", []string{"N1 2024-01 - about_5"}},
		"it gives a sum those that its parts agree on": {&statisticspb.QueryRequest{Revision: first, Attributes: attributes, StartPeriod: "2024-01", EndPeriod: "2024-01", Selections: []*statisticspb.Selection{pick("PLACE", "N", "_T")}}, "", []string{
			"_T 2024-01 - -", "N 2024-01 2020-01-01 -",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			n.sight = test.sight
			got, err := n.attributeLines(t, test.request)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("rows (-want +got):\n%s", diff)
			}
		})
	}
	t.Run("it refuses those that the structure does not have", func(t *testing.T) {
		if _, err := n.attributeLines(t, &statisticspb.QueryRequest{Attributes: []string{"COLOUR"}}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("it says %v", err)
		}
	})
	t.Run("it refuses a filter by one that is not asked for", func(t *testing.T) {
		if _, err := n.attributeLines(t, &statisticspb.QueryRequest{Filter: later}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("it says %v", err)
		}
	})
}

func TestSubmitRefusesAnEmbargoThatNeverEnds(t *testing.T) {
	t.Parallel()
	n := newPlaces(t)
	submission, err := n.submit(t, &statisticspb.SubmissionHeader{Dataflow: places}, []string{"FREQ", "PLACE", block.TimePeriod, "EMBARGO_TIME"},
		[][]string{{"M", "N1", "2024-01", "2030-01-31"}, {"M", "N2", "2024-01", "2030-01-31T12:00:00Z"}, {"M", "S1", "2024-01", "tomorrow"}}, []float64{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	findings := submission.GetFindings()
	if submission.GetState() != statisticspb.Submission_REJECTED || len(findings) != 1 || findings[0].GetRule() != "INVALID_TIME" || findings[0].GetColumn() != "EMBARGO_TIME" {
		t.Errorf("it says %v", submission)
	}
}
