package rpc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/period"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/risk"
)

// total is the code of every total, in each codelist that has one.
const total = "_T"

// Statistics is the risk.Statistics of this state's statistics service.
type Statistics struct {
	client statisticspb.StatisticsServiceClient
}

// NewStatistics returns the statistics behind the client.
func NewStatistics(client statisticspb.StatisticsServiceClient) *Statistics {
	return &Statistics{client: client}
}

// Figures asks twice at one revision: for the series, and for the total that it is a part of, which tells what periods
// were reported at all.
func (s *Statistics) Figures(ctx context.Context, e risk.Evidence) (risk.Figures, error) {
	dimensions, err := s.dimensions(ctx, e.Dataflow)
	if err != nil {
		return risk.Figures{}, err
	}
	codes, err := e.Codes()
	if err != nil {
		return risk.Figures{}, err
	}
	if len(codes) != len(dimensions) {
		return risk.Figures{}, fault.InvalidField("evidence.key", "%q has %d codes, %s has %d dimensions",
			e.Key, len(codes), e.Dataflow, len(dimensions))
	}
	request := &statisticspb.QueryRequest{
		Dataflow: e.Dataflow, StartPeriod: e.Start, EndPeriod: e.End, Selections: series(dimensions, codes),
	}
	if e.Provider != "" {
		request.Providers = []string{e.Provider}
	}
	figures, revision, err := s.query(ctx, request)
	if err != nil {
		return risk.Figures{}, err
	}
	request.Selections, request.Revision = whole(dimensions, codes), revision
	if len(figures) > 0 {
		request.Providers = []string{figures[0].Provider} // others may report too, but not these figures
	}
	reports, revision, err := s.query(ctx, request)
	if err != nil {
		return risk.Figures{}, err
	}
	answer := risk.Figures{Series: figures, Reported: map[period.Period]bool{}, Revision: revision}
	for _, figure := range reports {
		if !math.IsNaN(figure.Value) { // without a value, it tells nothing of the series
			answer.Reported[figure.Period] = true
		}
	}
	return answer, nil
}

// dimension is a dimension of a dataflow.
type dimension struct {
	id       string
	hasTotal bool
}

// dimensions returns the dimensions of a dataflow in key order.
func (s *Statistics) dimensions(ctx context.Context, dataflow string) ([]dimension, error) {
	resp, err := s.client.GetStructures(ctx, &statisticspb.GetStructuresRequest{Dataflow: dataflow})
	if err != nil {
		return nil, visible(err, "reading the structure of %s", dataflow)
	}
	structures := resp.GetStructures().GetDataStructures()
	if len(structures) != 1 {
		return nil, fmt.Errorf("%s has %d data structures, want one", dataflow, len(structures))
	}
	totals := map[string]bool{}
	for _, list := range resp.GetStructures().GetCodelists() {
		ref := fmt.Sprintf("%s:%s(%s)", list.GetAgency(), list.GetId(), list.GetVersion())
		totals[ref] = slices.ContainsFunc(list.GetCodes(), func(c *statisticspb.Code) bool { return c.GetId() == total })
	}
	var dimensions []dimension
	for _, component := range structures[0].GetDimensions() {
		dimensions = append(dimensions, dimension{component.GetId(), totals[component.GetCodelist()]})
	}
	return dimensions, nil
}

// series selects one series.
func series(dimensions []dimension, codes []string) []*statisticspb.Selection {
	var selections []*statisticspb.Selection
	for i, d := range dimensions {
		selections = append(selections, &statisticspb.Selection{Dimension: d.id, Codes: []string{codes[i]}})
	}
	return selections
}

// whole selects what the reporter gave for the indicator, of every breakdown: the total where the dimension has one, else
// all there is.
func whole(dimensions []dimension, codes []string) []*statisticspb.Selection {
	var selections []*statisticspb.Selection
	for i, d := range dimensions {
		switch {
		case slices.Contains([]string{"FREQ", "REF_AREA", "INDICATOR"}, d.id):
			selections = append(selections, &statisticspb.Selection{Dimension: d.id, Codes: []string{codes[i]}})
		case d.hasTotal:
			selections = append(selections, &statisticspb.Selection{Dimension: d.id, Codes: []string{total}})
		}
	}
	return selections
}

// query returns the figures of the answer and its revision.
func (s *Statistics) query(ctx context.Context, req *statisticspb.QueryRequest) (figures []risk.Figure, revision int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := s.client.Query(ctx, req)
	if err != nil {
		return nil, 0, visible(err, "asking for %s", req.GetDataflow())
	}
	revision = req.GetRevision()
	for {
		resp, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return figures, revision, nil
		}
		if err != nil {
			return nil, 0, visible(err, "asking for %s", req.GetDataflow())
		}
		revision = resp.GetRevision()
		if resp.GetBlock() == nil {
			continue
		}
		b, err := wire.BlockFromProto(resp.GetBlock())
		if err != nil {
			return nil, 0, fmt.Errorf("reading the answer for %s: %w", req.GetDataflow(), err)
		}
		if figures, err = appendFigures(figures, b); err != nil {
			return nil, 0, fmt.Errorf("reading the answer for %s: %w", req.GetDataflow(), err)
		}
	}
}

func appendFigures(figures []risk.Figure, b *block.Block) ([]risk.Figure, error) {
	periods, values := b.Column(block.TimePeriod), b.Column(block.ObsValue)
	if b.Rows > 0 && (periods == nil || periods.IsNumber() || values == nil || !values.IsNumber()) {
		return nil, errors.New("a block has no periods or no values")
	}
	text := func(component string, row int) string {
		if c := b.Column(component); c != nil && !c.IsNumber() {
			return c.Text(row)
		}
		return ""
	}
	for i := range b.Rows {
		p, err := period.Parse(periods.Text(i))
		if err != nil {
			return nil, err
		}
		figures = append(figures, risk.Figure{
			Period: p, Value: values.Numbers[i],
			Provider: text(block.Provider, i), Status: text(block.ObsStatus, i),
		})
	}
	return figures, nil
}

// visible turns what the statistics service says of the evidence into a fault that our caller may see. Everything else is
// not the caller's doing.
func visible(err error, format string, args ...any) error {
	switch s := status.Convert(err); s.Code() {
	case codes.InvalidArgument, codes.NotFound:
		return fault.InvalidField("evidence", "%s", s.Message()).Because(err)
	case codes.FailedPrecondition:
		return fault.New(fault.Precondition, reason(s), "%s", s.Message()).Because(err)
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return fault.New(fault.Unavailable, "UNAVAILABLE", "the statistics service does not answer; try again").Because(err)
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// reason returns the machine-readable reason that goes with a status.
func reason(s *status.Status) string {
	for _, detail := range s.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetReason()
		}
	}
	return "WRONG_STATE"
}
