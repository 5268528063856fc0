package rpc

import (
	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto" // registers what is wrapped here
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	protobuf "google.golang.org/protobuf/proto"

	"github.com/comity-federation/comity/services/fault"
)

// codec is that of protocol buffers, but for a message that cannot be read. gRPC would answer it as a fault of the server's,
// Internal, before any stage hears of it. Here it becomes a message with a mark, which the stages refuse as the caller's fault.
type codec struct{ encoding.CodecV2 }

func newCodec() codec { return codec{encoding.GetCodecV2(proto.Name)} }

// mark is the field that marks a message that could not be read. Numbers from 19,000 to 19,999 are in no message, so whoever
// sends it says that the message means nothing.
const mark protowire.Number = 19_000

// Unmarshal is of encoding.CodecV2.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	err := c.CodecV2.Unmarshal(data, v)
	message, ok := v.(protobuf.Message)
	if err == nil || !ok {
		return err
	}
	protobuf.Reset(message)
	message.ProtoReflect().SetUnknown(protowire.AppendVarint(protowire.AppendTag(nil, mark, protowire.VarintType), 1))
	return nil
}

// readable returns a fault for a message that could not be read.
func readable(v any) error {
	message, ok := v.(protobuf.Message)
	if !ok {
		return nil
	}
	if number, _, n := protowire.ConsumeTag(message.ProtoReflect().GetUnknown()); n > 0 && number == mark {
		return fault.New(fault.Invalid, "INVALID_REQUEST", "a message cannot be read: it is no %s", message.ProtoReflect().Descriptor().FullName())
	}
	return nil
}

// RecvMsg is of grpc.ServerStream.
func (s streamWith) RecvMsg(v any) error {
	if err := s.ServerStream.RecvMsg(v); err != nil {
		return err
	}
	return readable(v)
}

var _ grpc.ServerStream = streamWith{}
