package rpc

import (
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// Query answers with blocks of what the caller sees.
func (s *Server) Query(request *statisticspb.QueryRequest, stream grpc.ServerStreamingServer[statisticspb.QueryResponse]) error {
	ctx := stream.Context()
	q, err := queryFromProto(request)
	if err != nil {
		return err
	}
	if q.Sight, err = s.sight(ctx, "Query"); err != nil {
		return err
	}
	if q.Providers, err = s.providers(ctx, "Query", q.Dataflow, q.Providers, q.At); err != nil {
		return err
	}
	return s.service.Query(ctx, q, func(p *statistics.Page) error {
		response := &statisticspb.QueryResponse{Block: wire.BlockToProto(p.Block), Revision: p.Revision}
		if !p.RevisionTime.IsZero() {
			response.RevisionTime = timestamppb.New(p.RevisionTime)
		}
		return stream.Send(response)
	})
}

func queryFromProto(p *statisticspb.QueryRequest) (statistics.Query, error) {
	q := statistics.Query{
		Providers: slices.Compact(slices.Clone(p.GetProviders())), Start: p.GetStartPeriod(), End: p.GetEndPeriod(),
		At: statistics.Moment{Revision: p.GetRevision()}, Since: statistics.Moment{Revision: p.GetAfterRevision()},
		First: int(p.GetFirstObservations()), Last: int(p.GetLastObservations()),
		Offset: int(p.GetOffset()), Limit: int(p.GetLimit()), OrderBy: p.GetOrderBy(), Attributes: p.GetAttributes(),
		Selections: convert(p.GetSelections(), func(s *statisticspb.Selection) statistics.Selection {
			return statistics.Selection{Dimension: s.GetDimension(), Codes: s.GetCodes(), Level: s.GetLevel()}
		}),
	}
	var err error
	if q.Dataflow, err = statistics.ParseRef(p.GetDataflow()); err != nil {
		return q, err
	}
	if q.Filter, err = wire.FilterFromProto(p.GetFilter()); err != nil {
		return q, fault.InvalidField("filter", "%v", err)
	}
	if q.At.Time, err = moment("asOf", p.GetAsOf()); err != nil {
		return q, err
	}
	q.Since.Time, err = moment("updatedAfter", p.GetUpdatedAfter())
	return q, err
}

// moment returns the time of a field, the zero Time where it is absent.
func moment(field string, at *timestamppb.Timestamp) (time.Time, error) {
	if at == nil {
		return time.Time{}, nil
	}
	if err := at.CheckValid(); err != nil {
		return time.Time{}, fault.InvalidField(field, "%v", err)
	}
	return at.AsTime(), nil
}
