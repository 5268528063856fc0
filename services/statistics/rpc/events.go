package rpc

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
	internalrpc "github.com/comity-federation/comity/services/internal/rpc"
	"github.com/comity-federation/comity/services/statistics"
)

type eventStream = grpc.ClientStreamingServer[statisticspb.RecordEventsRequest, statisticspb.RecordEventsResponse]

// RecordEvents counts a batch of event records.
func (s *Server) RecordEvents(stream eventStream) error {
	header, err := receiveEventHeader(stream)
	if err != nil {
		return err
	}
	receipt, err := s.service.RecordEvents(stream.Context(), header, eventBlocks(stream))
	if err != nil {
		return err
	}
	return stream.SendAndClose(&statisticspb.RecordEventsResponse{
		Batch: receipt.Batch, Records: count(receipt.Records), Cells: count(receipt.Cells), Duplicate: receipt.Duplicate,
	})
}

func receiveEventHeader(stream eventStream) (statistics.EventHeader, error) {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) || err == nil && first.GetHeader() == nil {
		return statistics.EventHeader{}, fault.InvalidField("header", "the first message of a batch is its header")
	}
	if err != nil {
		return statistics.EventHeader{}, err
	}
	message := first.GetHeader()
	dataflow, err := statistics.ParseRef(message.GetDataflow())
	if err != nil {
		return statistics.EventHeader{}, err
	}
	return statistics.EventHeader{
		Dataflow: dataflow, Batch: message.GetBatch(), Retracts: message.GetRetracts(), Frequency: message.GetFrequency(),
		Constants: message.GetConstants(),
	}, nil
}

// eventBlocks gives the blocks of a batch as they arrive.
func eventBlocks(stream eventStream) iter.Seq2[*block.Block, error] {
	return func(yield func(*block.Block, error) bool) {
		for {
			message, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			part, ok := message.GetPart().(*statisticspb.RecordEventsRequest_Block)
			if !ok {
				yield(nil, fault.InvalidField("block", "a batch goes on with blocks, and nothing else"))
				return
			}
			b, err := wire.BlockFromProto(part.Block)
			if err != nil {
				yield(nil, fault.InvalidField("block", "%v", err))
				return
			}
			if !yield(b, nil) {
				return
			}
		}
	}
}

// CloseEvents turns what was counted into a revision.
func (s *Server) CloseEvents(ctx context.Context, request *statisticspb.CloseEventsRequest) (*statisticspb.CloseEventsResponse, error) {
	dataflow, err := statistics.ParseRef(request.GetDataflow())
	if err != nil {
		return nil, err
	}
	closed, err := s.service.CloseEvents(ctx, dataflow, request.GetBefore(), submitter(internalrpc.CallerFrom(ctx)))
	if err != nil {
		return nil, err
	}
	response := &statisticspb.CloseEventsResponse{Cells: count(closed.Cells), Revision: closed.Revision}
	if closed.Submission != "" {
		response.Submission = submissionPrefix + closed.Submission
	}
	return response, nil
}
