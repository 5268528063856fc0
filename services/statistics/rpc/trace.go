package rpc

import (
	"context"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// TraceFigures says what brought figures.
func (s *Server) TraceFigures(ctx context.Context, request *statisticspb.TraceFiguresRequest) (*statisticspb.TraceFiguresResponse, error) {
	q := statistics.TraceQuery{Provider: request.GetProvider(), Start: request.GetStartPeriod(), End: request.GetEndPeriod()}
	var err error
	if q.Dataflow, err = statistics.ParseRef(request.GetDataflow()); err != nil {
		return nil, err
	}
	if q.Filter, err = wire.FilterFromProto(request.GetFilter()); err != nil {
		return nil, fault.InvalidField("filter", "%v", err)
	}
	origins, revision, err := s.service.Trace(ctx, q)
	if err != nil {
		return nil, err
	}
	return &statisticspb.TraceFiguresResponse{Revision: revision, Origins: convert(origins, func(o statistics.Origin) *statisticspb.FigureOrigin {
		p := &statisticspb.FigureOrigin{
			Revision: o.Revision, CommitTime: timestamppb.New(o.CommitTime), Release: o.Release, KeepDays: count(o.KeepDays), Figures: o.Figures,
			FirstDay: o.FirstDay.Format(time.DateOnly), LastDay: o.LastDay.Format(time.DateOnly),
		}
		if o.Submission != "" {
			p.Submission = "submissions/" + o.Submission
		}
		return p
	})}, nil
}
