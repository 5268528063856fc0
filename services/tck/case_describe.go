package tck

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protowire"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
)

// describeCases are about who the node says that it is, and what it offers.
func describeCases() []Case {
	described := func(id, expected string, check func(*kit, *exchangepb.DescribeResponse) error) Case {
		return Case{ID: "describe." + id, Expected: expected, Level: Required, run: func(ctx context.Context, k *kit) error {
			answer, err := describe(ctx, k.connection)
			if err != nil {
				return err
			}
			return check(k, answer)
		}}
	}
	// absent is a method that the exchange port does not have.
	absent := func(id, expected, method string, level Level) Case {
		return Case{ID: "describe." + id, Expected: expected, Level: level, run: func(ctx context.Context, k *kit) error {
			return refuses(k.connection.Invoke(ctx, method, &exchangepb.DescribeRequest{}, &exchangepb.DescribeResponse{}),
				codes.Unimplemented, codes.PermissionDenied)
		}}
	}
	return []Case{
		described("state", "names the state that its certificate names", func(k *kit, answer *exchangepb.DescribeResponse) error {
			if answer.GetState() != string(k.peer.Code) {
				return fmt.Errorf("it says that it is %q", answer.GetState())
			}
			return nil
		}),
		described("versions", "speaks version 1 of the protocol", func(_ *kit, answer *exchangepb.DescribeResponse) error {
			if !slices.Contains(answer.GetProtocolVersions(), 1) {
				return fmt.Errorf("it speaks the versions %v", answer.GetProtocolVersions())
			}
			return nil
		}),
		described("head", "says how its stream to the caller stands, and nobody else's", func(k *kit, answer *exchangepb.DescribeResponse) error {
			if stream := answer.GetHead().GetStream(); stream != k.toKit() {
				return fmt.Errorf("it speaks of the stream %q, not of %q", stream, k.toKit())
			}
			return nil
		}),
		described("checkpoint", "shows a checkpoint of its log that its log key has signed", func(k *kit, answer *exchangepb.DescribeResponse) error {
			if answer.GetCheckpoint() == "" {
				return nil // the log is empty
			}
			_, err := k.openCheckpoint(answer.GetCheckpoint())
			return err
		}),
		{
			ID: "describe.time", Expected: "says what its clock shows, which is within five minutes of the kit's", Level: Recommended,
			run: func(ctx context.Context, k *kit) error {
				answer, err := describe(ctx, k.connection)
				if err != nil {
					return err
				}
				if answer.GetAnswerTime().CheckValid() != nil {
					return errors.New("it does not say")
				}
				if off := time.Since(answer.GetAnswerTime().AsTime()); off.Abs() > 5*time.Minute {
					return fmt.Errorf("the clocks are %s apart", off)
				}
				return nil
			},
		},
		{
			ID: "describe.unknown", Expected: "answers a request with fields that it does not know", Level: Required,
			run: func(ctx context.Context, k *kit) error {
				request := &exchangepb.DescribeRequest{}
				field := protowire.AppendTag(nil, 1000, protowire.BytesType)
				request.ProtoReflect().SetUnknown(protowire.AppendBytes(field, []byte("of a later version")))
				_, err := k.client.Describe(ctx, request)
				return err
			},
		},
		absent("method", "says of a method that there is not, that there is not", "/comity.exchange.v1.ExchangeService/Surrender", Required),
		absent("national", "does not offer the API of its own nation to partners", "/comity.sharing.v1.SharingService/ListPartners", Required),
		{
			ID: "describe.reflection", Expected: "does not tell partners which services it is built of", Level: Recommended,
			run: func(ctx context.Context, k *kit) error {
				stream, err := k.connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true},
					"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
				if err != nil {
					return refuses(err)
				}
				_ = stream.CloseSend()
				err = stream.RecvMsg(&exchangepb.DescribeResponse{})
				if status.Code(err) == codes.OK {
					err = nil
				}
				return refuses(err)
			},
		},
	}
}

// identityCases are about who the node takes its caller for.
func identityCases() []Case {
	claimed := func(k *kit) []string {
		other := string(k.peer.Code)
		uri := "comity://" + other + "/sharing"
		return []string{
			"x-forwarded-client-cert", "By=" + uri + ";URI=" + uri, "grpc-metadata-state", other, "state", other, "service", "gateway",
			"x-comity-state", other, "x-forwarded-for", "127.0.0.1", "forwarded", "for=127.0.0.1",
		}
	}
	return []Case{{
		ID: "identity.headers", Expected: "knows its caller by the certificate, whatever headers claim", Level: Required, Faults: []string{"F07"},
		run: func(ctx context.Context, k *kit) error {
			answer, err := k.client.Describe(outgoing(ctx, claimed(k)...), &exchangepb.DescribeRequest{})
			if refuses(err) == nil {
				return nil // a caller who claims to be somebody else may be refused
			}
			if err != nil {
				return err
			}
			if stream := answer.GetHead().GetStream(); stream != k.toKit() {
				return fmt.Errorf("with headers that claim so, it takes its caller for another, and speaks of the stream %q", stream)
			}
			return nil
		},
	}, {
		ID: "identity.stream", Expected: "gives a caller no stream but its own, whatever headers claim", Level: Required, Faults: []string{"F07"},
		run: func(ctx context.Context, k *kit) error {
			for _, state := range k.list.States {
				if state.Code == k.own.Code || state.Code == k.peer.Code {
					continue
				}
				cursor := &exchangepb.Cursor{Stream: string(k.peer.Code) + "-" + string(state.Code)}
				answer, err := k.client.Fetch(outgoing(ctx, "x-forwarded-client-cert", "URI=comity://"+string(state.Code)+"/sharing", "state", string(state.Code)),
					&exchangepb.FetchRequest{Resume: cursor})
				if len(answer.GetEnvelopes()) > 0 {
					return fmt.Errorf("it gives away the stream to %s", state.Code)
				}
				if err := refuses(err); err != nil {
					return fmt.Errorf("the stream to %s: %w", state.Code, err)
				}
			}
			_, err := k.client.Fetch(ctx, &exchangepb.FetchRequest{Resume: &exchangepb.Cursor{Stream: k.toNode()}})
			if err := refuses(err); err != nil {
				return fmt.Errorf("the stream %s, which is not the node's: %w", k.toNode(), err)
			}
			return nil
		},
	}}
}
