package rpc

import (
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/sharing"
)

// retryAfter returns when the error says that the same may succeed; 0: it does not.
func retryAfter(err error) time.Duration {
	for _, detail := range status.Convert(err).Details() {
		if retry, ok := detail.(*errdetails.RetryInfo); ok {
			return retry.GetRetryDelay().AsDuration()
		}
	}
	return 0
}

func TestLimits(t *testing.T) {
	t.Run("one partner flooding is told when to come again, and others are not", func(t *testing.T) {
		_, client := serve(t, newNode(), time.Minute)
		flooding, quiet := as(t, "bb", "sharing"), as(t, "cc", "sharing")
		request := &exchangepb.FetchRequest{Resume: &exchangepb.Cursor{Stream: "aa-bb"}}
		var refused error
		for range 4 * callsAtOnce {
			if _, err := client.Fetch(flooding, request); err != nil {
				refused = err
				break
			}
		}
		wantCode(t, refused, codes.ResourceExhausted)
		if wait := retryAfter(refused); wait <= 0 || wait > time.Second {
			t.Errorf("it may come again after %s", wait)
		}
		if _, err := client.Fetch(quiet, &exchangepb.FetchRequest{Resume: &exchangepb.Cursor{Stream: "aa-cc"}}); err != nil {
			t.Errorf("another partner is refused: %v", err)
		}
	})
	t.Run("what is fetched counts as what is drawn", func(t *testing.T) {
		exchange, client := serve(t, newNode(envelope(t, 1, sharing.MaxPayload)), time.Minute)
		left := exchange.limits.of("bb").bytes
		left.SetLimit(1) // so that none come back
		if _, err := client.Fetch(as(t, "bb", "sharing"), &exchangepb.FetchRequest{Resume: &exchangepb.Cursor{Stream: "aa-bb"}}); err != nil {
			t.Fatal(err)
		}
		if used := bytesAtOnce - left.Tokens(); used < sharing.MaxPayload {
			t.Errorf("it has used %.0f bytes of what it may", used)
		}
	})
	t.Run("a partner has a few streams at once, and another one when it ends one", func(t *testing.T) {
		_, client := serve(t, newNode(envelope(t, 1, 10)), time.Minute)
		var streams []syncClient
		for range syncsAtOnce {
			stream := open(t, as(t, "bb", "sharing"), client, resume("aa-bb", "", 0), credit(1))
			hear(t, stream)
			streams = append(streams, stream)
		}
		_, err := open(t, as(t, "bb", "sharing"), client).Recv()
		wantCode(t, err, codes.ResourceExhausted)
		if retryAfter(err) <= 0 {
			t.Error("it is not told when to come again")
		}
		hear(t, open(t, as(t, "cc", "sharing"), client, resume("aa-cc", "", 0), credit(1)))
		if err := streams[0].CloseSend(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(10 * time.Second); ; {
			stream, err := client.Sync(as(t, "bb", "sharing"))
			if err != nil {
				t.Fatal(err)
			}
			say(t, stream, resume("aa-bb", "", 0), credit(1))
			if _, err := stream.Recv(); err == nil {
				return
			}
			if time.Now().After(end) {
				t.Fatal("the place of a stream that has ended is not given to another one")
			}
			time.Sleep(50 * time.Millisecond)
		}
	})
}
