package rpc

import (
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"

	"github.com/comity-federation/comity/proto/block"
	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
	"github.com/comity-federation/comity/proto/wire"
	"github.com/comity-federation/comity/services/fault"
)

type uploadStream = grpc.ClientStreamingServer[statisticspb.SubmitRequest, statisticspb.SubmitResponse]

// receiveHeader reads the first message of an upload.
func receiveHeader(stream uploadStream) (*statisticspb.SubmissionHeader, error) {
	first, err := stream.Recv()
	if errors.Is(err, io.EOF) || err == nil && first.GetHeader() == nil {
		return nil, fault.InvalidField("header", "the first message of an upload is its header")
	}
	return first.GetHeader(), err
}

// file is the bytes of a national file as they arrive, one message at a time.
type file struct {
	stream uploadStream
	rest   []byte
}

func (f *file) Read(p []byte) (int, error) {
	for len(f.rest) == 0 {
		message, err := f.stream.Recv()
		if err != nil {
			return 0, err // io.EOF is the end of the file
		}
		data, ok := message.GetPart().(*statisticspb.SubmitRequest_Data)
		if !ok {
			return 0, fault.InvalidField("data", "an upload with a layout goes on with bytes, and nothing else")
		}
		f.rest = data.Data
	}
	n := copy(p, f.rest)
	f.rest = f.rest[n:]
	return n, nil
}

// blocks gives the blocks of an upload as they arrive.
func blocks(stream uploadStream) iter.Seq2[*block.Block, error] {
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
			part, ok := message.GetPart().(*statisticspb.SubmitRequest_Block)
			if !ok {
				yield(nil, fault.InvalidField("block", "an upload without a layout goes on with blocks, and nothing else"))
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
