package rpc_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	statisticspb "github.com/comity-federation/comity/proto/comity/statistics/v1"
)

// TestHostileText puts texts that no database can hold, or that are of no use, in the place of each text of each request,
// page tokens, cursors, names and references among them. What follows may be anything but a fault of the service's own.
func TestHostileText(t *testing.T) {
	t.Parallel()
	n := newMadeUp(t)
	submission := n.gate(t, "k", map[string]float64{"East Aland 2024-01": 3})
	usual := map[protoreflect.Name]string{"name": submission.GetName(), "dataflow": gates, "reason": "A reason that is long enough.", "agency": "X", "version": "1.0.0"}
	methods := statisticspb.File_comity_statistics_v1_statistics_proto.Services().ByName("StatisticsService").Methods()
	for i := range methods.Len() {
		method := methods.Get(i)
		for _, hostile := range []string{"\x00", "x\x00y", strings.Repeat("9", 3000), "%';--", "1.99999999999", "submissions/\x00", "0192f0c4-0000-7000-8000-000000000000\x00"} {
			f := &hostileFiller{usual: usual, hostile: hostile}
			for f.at = 0; f.at == 0 || f.texts > f.at; f.at++ {
				f.texts = 0
				request := dynamicpb.NewMessage(method.Input())
				f.fill(request, 0)
				n.caller.Service = "gateway"
				if strings.HasSuffix(string(f.path), "Header.provider") || strings.HasSuffix(string(f.path), "Header.release") {
					n.caller.Service = "sharing" // only which may say so
				}
				if err := n.call(t, method, request); status.Code(err) == codes.Internal || status.Code(err) == codes.Unknown {
					t.Errorf("%s, %s is %q: %v", method.Name(), f.path, hostile, err)
				}
			}
		}
	}
}

// hostileFiller fills a message with what is usual, but for one text.
type hostileFiller struct {
	usual   map[protoreflect.Name]string
	hostile string
	at      int // which text is the hostile one
	texts   int // that there were so far
	path    protoreflect.FullName
}

func (f *hostileFiller) fill(message protoreflect.Message, depth int) {
	fields := message.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case field.Kind() == protoreflect.StringKind && !field.IsMap():
			text := f.usual[field.Name()]
			if f.texts == f.at {
				text, f.path = f.hostile, field.FullName()
			}
			f.texts++
			if text == "" {
				continue
			}
			if field.IsList() {
				message.Mutable(field).List().Append(protoreflect.ValueOfString(text))
			} else {
				message.Set(field, protoreflect.ValueOfString(text))
			}
		case field.Kind() == protoreflect.MessageKind && !field.IsMap() && depth < 4 && !strings.HasPrefix(string(field.Message().FullName()), "google."):
			before := f.texts
			inner := dynamicpb.NewMessage(field.Message())
			f.fill(inner, depth+1)
			if f.at < before || f.at >= f.texts {
				continue // nothing hostile is in there
			}
			if field.IsList() {
				message.Mutable(field).List().Append(protoreflect.ValueOfMessage(inner))
			} else {
				message.Set(field, protoreflect.ValueOfMessage(inner))
			}
		}
	}
}

// call calls a method and returns how it ends.
func (n *node) call(t *testing.T, method protoreflect.MethodDescriptor, request proto.Message) error {
	t.Helper()
	path := fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
	response := dynamicpb.NewMessage(method.Output())
	if !method.IsStreamingClient() && !method.IsStreamingServer() {
		return n.conn.Invoke(t.Context(), path, request, response)
	}
	description := &grpc.StreamDesc{ServerStreams: method.IsStreamingServer(), ClientStreams: method.IsStreamingClient()}
	stream, err := n.conn.NewStream(t.Context(), description, path)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(request); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if err := stream.CloseSend(); err != nil {
		return err
	}
	if method.Name() == "WatchRevisions" { // which has no end of its own
		return stream.RecvMsg(response)
	}
	for {
		if err := stream.RecvMsg(response); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if !method.IsStreamingServer() {
			return nil
		}
	}
}
