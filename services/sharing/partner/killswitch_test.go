package partner_test

import (
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
)

// open opens a stream from the other state as this one's sharing service does, from the beginning, with credit.
func (s *state) open(from *state, credit uint32) exchangepb.ExchangeService_SyncClient {
	s.t.Helper()
	cfg := s.config("sharing")
	pair, err := mtls.LoadPair(cfg.Certificate, cfg.Key)
	must(s.t, err)
	connection, err := grpc.NewClient("passthrough:///"+from.proxy.address(), grpc.WithTransportCredentials(
		mtls.NewClient(pair, partner.Roots(s.trust), mtls.Identity{State: string(from.code), Service: "sharing"})))
	must(s.t, err)
	s.t.Cleanup(func() { _ = connection.Close() })
	stream, err := exchangepb.NewExchangeServiceClient(connection).Sync(s.t.Context())
	must(s.t, err)
	cursor := &exchangepb.Cursor{Stream: sharing.StreamName(from.code, s.code)}
	must(s.t, stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Resume{Resume: cursor}}))
	must(s.t, stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Credit{Credit: credit}}))
	return stream
}

func TestKillSwitchInMidStream(t *testing.T) {
	t.Parallel()
	const limit = time.Second
	reason := sharing.SwitchRequest{Mode: sharing.Kill, By: "ada", Reason: "a test"}
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	aa.start()
	bb.start()
	agree(aa, bb)
	bb.halt() // from here on the test draws in its place
	aa.submit(60, 100)
	eventually(t, "several envelopes wait", func() bool { return len(aa.deliveries()) > 2 })

	t.Run("ends streams that idle, that flow and that stand still, within a second, and says why to who comes again", func(t *testing.T) {
		idle := bb.open(aa, 0)
		flowing := bb.open(aa, 1)
		_, err := flowing.Recv()
		must(t, err)
		slow := bb.open(aa, 1000) // takes nothing: the sender stands still in the middle of an envelope
		time.Sleep(200 * time.Millisecond)

		start := time.Now()
		_, err = aa.service.Throw(t.Context(), reason)
		must(t, err)
		for name, stream := range map[string]exchangepb.ExchangeService_SyncClient{"idle": idle, "flowing": flowing, "slow": slow} {
			for received := 0; ; received++ {
				said, err := stream.Recv()
				if err != nil {
					break
				}
				if name != "slow" && said.GetEnvelope() != nil {
					t.Errorf("the %s stream gets an envelope", name)
				}
			}
			if took := time.Since(start); took > limit {
				t.Errorf("the %s stream ends after %s", name, took)
			}
		}
		for range 2 {
			eventually(t, "who comes again hears why", func() bool {
				said, err := bb.open(aa, 1).Recv()
				if said.GetEnvelope() != nil {
					t.Fatal("who comes again gets an envelope")
				}
				return status.Code(err) == codes.FailedPrecondition
			})
			aa.halt()
			aa.start() // and it stays so
		}
	})
	t.Run("lifted, lets everything arrive that waited", func(t *testing.T) {
		reason.Lift = true
		_, err := aa.service.Throw(t.Context(), reason)
		must(t, err)
		bb.start()
		eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })
		proven(aa)
	})
}
