package rpc

import (
	"context"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// GetAvailability tells for which codes and periods there are figures, and how many.
func (s *Server) GetAvailability(ctx context.Context, request *statisticspb.GetAvailabilityRequest) (*statisticspb.GetAvailabilityResponse, error) {
	q := statistics.AvailabilityQuery{
		Start: request.GetStartPeriod(), End: request.GetEndPeriod(),
		Dimensions: request.GetDimensions(),
	}
	var err error
	if q.Dataflow, err = statistics.ParseRef(request.GetDataflow()); err != nil {
		return nil, err
	}
	if q.Providers, err = s.providers(ctx, "GetAvailability", q.Dataflow, request.GetProviders(), statistics.Moment{}); err != nil {
		return nil, err
	}
	if q.Filter, err = wire.FilterFromProto(request.GetFilter()); err != nil {
		return nil, fault.InvalidField("filter", "%v", err)
	}
	if q.Sight, err = s.sight(ctx, "GetAvailability"); err != nil {
		return nil, err
	}
	found, err := s.service.Availability(ctx, q)
	if err != nil {
		return nil, err
	}
	return &statisticspb.GetAvailabilityResponse{
		Dimensions: convert(found.Dimensions, func(d statistics.AvailableDimension) *statisticspb.AvailableDimension {
			return &statisticspb.AvailableDimension{Id: d.ID, Codes: convert(d.Codes, func(c statistics.AvailableCode) *statisticspb.AvailableCode {
				return &statisticspb.AvailableCode{Code: c.Code, Series: count(c.Series), Observations: float64(c.Observations)}
			})}
		}),
		FirstPeriod: found.First, LastPeriod: found.Last,
		Series: count(found.Series), Observations: float64(found.Observations), Revision: found.Revision,
	}, nil
}
