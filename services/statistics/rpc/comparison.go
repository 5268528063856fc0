package rpc

import (
	"google.golang.org/grpc"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/statistics"
)

// CompareRevisions answers with every figure that differs between two states, then with what it comes to.
func (s *Server) CompareRevisions(request *statisticspb.CompareRevisionsRequest, stream grpc.ServerStreamingServer[statisticspb.CompareRevisionsResponse]) error {
	ctx := stream.Context()
	q := statistics.Comparison{Provider: request.GetProvider(), From: request.GetFromRevision(), To: request.GetToRevision()}
	var err error
	if q.Dataflow, err = statistics.ParseRef(request.GetDataflow()); err != nil {
		return err
	}
	if q.Filter, err = wire.FilterFromProto(request.GetFilter()); err != nil {
		return fault.InvalidField("filter", "%v", err)
	}
	if q.Sight, err = s.sight(ctx, "CompareRevisions"); err != nil {
		return err
	}
	summary, err := s.service.Compare(ctx, q, func(b *block.Block) error {
		return stream.Send(&statisticspb.CompareRevisionsResponse{Block: wire.BlockToProto(b)})
	})
	if err != nil {
		return err
	}
	return stream.Send(&statisticspb.CompareRevisionsResponse{Summary: &statisticspb.RevisionSummary{
		Added: count(summary.Added), Revised: count(summary.Revised), Deleted: count(summary.Deleted),
		SumBefore: summary.SumBefore, SumAfter: summary.SumAfter,
		MeanAbsoluteRevision: summary.MeanAbsolute, LargestAbsoluteRevision: summary.LargestAbsolute,
	}})
}
