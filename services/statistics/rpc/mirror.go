package rpc

import (
	"cmp"
	"context"
	"math"

	"google.golang.org/protobuf/types/known/timestamppb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// What holds where a request does not say otherwise.
const (
	mirrorSignificance = 0.05
	mirrorFactor       = 1.1
	mirrorConfidence   = 0.95
	mirrorPairs        = 1000
	maxMirrorPairs     = 10_000
)

// CompareMirror compares own figures with a partner's, as the caller sees both.
func (s *Server) CompareMirror(ctx context.Context, request *statisticspb.CompareMirrorRequest) (*statisticspb.CompareMirrorResponse, error) {
	q := statistics.MirrorQuery{
		Partner: request.GetPartner(), Design: mirrorDesignFromProto(request.GetDesign()), Frequency: request.GetFrequency(),
		Start: request.GetStartPeriod(), End: request.GetEndPeriod(), At: statistics.Moment{Revision: request.GetRevision()},
		Significance: mirrorSignificance, Factor: mirrorFactor, Confidence: mirrorConfidence,
		Offset: int(request.GetOffset()), Limit: int(cmp.Or(request.GetLimit(), mirrorPairs)),
	}
	if q.Limit > maxMirrorPairs {
		return nil, fault.InvalidField("limit", "%d is more than %d", q.Limit, maxMirrorPairs)
	}
	for _, given := range []struct {
		from *float64
		to   *float64
	}{{request.Significance, &q.Significance}, {request.Factor, &q.Factor}, {request.Confidence, &q.Confidence}} {
		if given.from != nil {
			*given.to = *given.from
		}
	}
	var r refs
	q.Dataflow = r.parse(request.GetDataflow())
	if r.err != nil {
		return nil, r.err
	}
	var err error
	if q.At.Time, err = moment("asOf", request.GetAsOf()); err != nil {
		return nil, err
	}
	if q.Sight, err = s.sight(ctx, "CompareMirror"); err != nil {
		return nil, err
	}
	answer, err := s.service.CompareMirror(ctx, q)
	if err != nil {
		return nil, err
	}
	return mirrorToProto(answer), nil
}

func mirrorDesignFromProto(p *statisticspb.MirrorDesign) statistics.MirrorDesign {
	return statistics.MirrorDesign{
		AreaDimension: p.GetAreaDimension(), FlowDimension: p.GetFlowDimension(), CounterpartDimension: p.GetCounterpartDimension(),
		Flows: convert(p.GetFlows(), func(f *statisticspb.MirrorFlow) statistics.MirrorFlow {
			return statistics.MirrorFlow{Exits: f.GetExits(), Entries: f.GetEntries()}
		}),
		Areas: convert(p.GetAreas(), func(a *statisticspb.MirrorArea) statistics.MirrorArea {
			return statistics.MirrorArea{Code: a.GetCode(), Area: a.GetArea()}
		}),
		Selections: convert(p.GetSelections(), func(s *statisticspb.MirrorSelection) statistics.Selection {
			return statistics.Selection{Dimension: s.GetDimension(), Codes: s.GetCodes(), Level: s.GetLevel()}
		}),
	}
}

func mirrorDesignToProto(d statistics.MirrorDesign) *statisticspb.MirrorDesign {
	return &statisticspb.MirrorDesign{
		AreaDimension: d.AreaDimension, FlowDimension: d.FlowDimension, CounterpartDimension: d.CounterpartDimension,
		Flows: convert(d.Flows, mirrorFlowToProto),
		Areas: convert(d.Areas, func(a statistics.MirrorArea) *statisticspb.MirrorArea {
			return &statisticspb.MirrorArea{Code: a.Code, Area: a.Area}
		}),
		Selections: convert(d.Selections, func(s statistics.Selection) *statisticspb.MirrorSelection {
			return &statisticspb.MirrorSelection{Dimension: s.Dimension, Codes: s.Codes, Level: s.Level}
		}),
	}
}

func mirrorFlowToProto(f statistics.MirrorFlow) *statisticspb.MirrorFlow {
	return &statisticspb.MirrorFlow{Exits: f.Exits, Entries: f.Entries}
}

func mirrorToProto(a *statistics.MirrorAnswer) *statisticspb.CompareMirrorResponse {
	p := &statisticspb.CompareMirrorResponse{
		Pairs: convert(a.Pairs, mirrorPairToProto), TotalPairs: count(a.TotalPairs), Findings: convert(a.Findings, findingToProto),
		Coverage: convert(a.Coverage, mirrorCoverageToProto), Unmatched: count(a.Unmatched), Withheld: count(a.Withheld),
		Dataflow: a.Dataflow.String(), Design: mirrorDesignToProto(a.Design), Revision: a.Revision,
	}
	if !a.RevisionTime.IsZero() {
		p.RevisionTime = timestamppb.New(a.RevisionTime)
	}
	return p
}

func mirrorPairToProto(m statistics.MirrorPair) *statisticspb.MirrorPair {
	return &statisticspb.MirrorPair{
		Origin: m.From.Area, Destination: m.To.Area, ExitsProvider: m.From.Provider, EntriesProvider: m.To.Provider,
		Flow: mirrorFlowToProto(m.Flow), Key: m.Key, Period: m.Period, Exits: m.Exits, Entries: m.Entries,
		Difference: m.Difference, RelativeDifference: m.Relative, LogRatio: m.LogRatio, Z: m.Z, PValue: m.P, Differs: m.Differs,
	}
}

func mirrorCoverageToProto(c statistics.MirrorCoverage) *statisticspb.MirrorCoverage {
	return &statisticspb.MirrorCoverage{
		Flow: mirrorFlowToProto(c.Flow), Key: c.Key, Corridors: count(c.Corridors), LeftOut: count(c.LeftOut), Groups: count(c.Groups),
		DegreesOfFreedom: count(c.DegreesOfFreedom), ResidualStandardError: known(c.ResidualStandardErr),
		Factors: convert(c.Factors, func(f statistics.MirrorFactor) *statisticspb.CoverageFactor {
			return &statisticspb.CoverageFactor{
				Provider: f.Provider, Area: f.Area, Entries: f.Entries, Group: count(f.Group), Corridors: count(f.Corridors),
				Factor: f.Factor, Lower: known(f.Lower), Upper: known(f.Upper), Coefficient: f.Coefficient, StandardError: known(f.StandardError),
			}
		}),
	}
}

// known returns a pointer to a number, nil for one that is none.
func known(number float64) *float64 {
	if math.IsNaN(number) || math.IsInf(number, 0) {
		return nil
	}
	return &number
}
