package rpc_test

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/mem"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
)

// Sync answers a heartbeat to each word, and ends with what went wrong.
func (exchange) Sync(stream exchangepb.ExchangeService_SyncServer) error {
	for {
		if _, err := stream.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.Send(&exchangepb.SyncResponse{}); err != nil {
			return err
		}
	}
}

// raw is a codec of messages that are bytes already.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

func TestAMessageThatCannotBeReadIsTheCallersFault(t *testing.T) {
	n := start(t)
	const service = "/comity.exchange.v1.ExchangeService/"
	connection := n.dial(t, n.ExchangeAddress(), n.gb.Issue("sharing"))
	good := []byte{0x10, 1} // credit for one
	for name, word := range map[string][]byte{
		"garbage":                     bytes.Repeat([]byte{0xff}, 100),
		"no UTF-8":                    {0x0a, 4, 0x0a, 2, 0xff, 0xfe},
		"cut off in the middle":       {0x0a, 200, 1, 0x0a},
		"a field without a number":    {0x00, 1},
		"a mark that nobody can mean": {0xc0, 0xa3, 0x09, 1},
	} {
		t.Run(name+", on a stream", func(t *testing.T) {
			stream, err := connection.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, service+"Sync", grpc.ForceCodecV2(raw{}))
			if err != nil {
				t.Fatal(err)
			}
			var answer []byte
			for _, said := range [][]byte{good, word} {
				if err = stream.SendMsg(&said); err != nil {
					t.Fatal(err)
				}
				err = stream.RecvMsg(&answer)
			}
			expect(t, err, codes.InvalidArgument, "INVALID_REQUEST")
		})
		t.Run(name+", as a call", func(t *testing.T) {
			var answer []byte
			if name == "no UTF-8" {
				t.Skip("the request has no fields, so this may be one of a later version")
			}
			expect(t, connection.Invoke(t.Context(), service+"Describe", &word, &answer, grpc.ForceCodecV2(raw{})), codes.InvalidArgument, "INVALID_REQUEST")
		})
	}
	if _, err := exchangepb.NewExchangeServiceClient(connection).Describe(t.Context(), &exchangepb.DescribeRequest{}); err != nil {
		t.Errorf("the connection serves no other call: %v", err)
	}
}
