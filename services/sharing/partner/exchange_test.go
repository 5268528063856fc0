package partner_test

import (
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	sharingpb "github.com/comity-federation/comity/proto/comity/sharing/v1"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	"github.com/comity-federation/comity/services/sharing/wire"
)

func TestMain(m *testing.M) {
	const internal = "github.com/comity-federation/comity/services/internal/"
	goleak.VerifyTestMain(m, // the test's PostgreSQL server ends with the process
		goleak.IgnoreAnyFunction(internal+"postgrestest.sweepAfterUs.func1"), goleak.IgnoreAnyFunction(internal+"pgcluster.begin.func1"))
}

// arrived reports whether the receiver has the provider's figures as the provider itself has them, totals aside, and
// the provider a receipt for each batch.
func arrived(from, to *state) bool {
	if !holds(from, to) {
		return false
	}
	waiting := slices.ContainsFunc(from.deliveries(), func(d sharing.Delivery) bool {
		return d.Direction == sharing.Sent && d.Partner == to.code && d.State == sharing.Waiting
	})
	return !waiting
}

// holds reports whether a state has the provider's figures as the provider itself has them, totals aside.
func holds(provider, at *state) bool {
	here := at.figures(provider.code)
	maps.DeleteFunc(here, func(key string, _ float64) bool { return strings.Contains(key, "_T") })
	return maps.Equal(provider.figures(provider.code), here)
}

func (s *state) deliveries() []sharing.Delivery {
	s.t.Helper()
	deliveries, _, err := s.service.Deliveries(s.t.Context(), sharing.Page{Limit: 1000})
	must(s.t, err)
	return deliveries
}

// proven checks the state's whole log, and that no entry stands twice. It returns how many there are of each kind.
func proven(s *state) map[sharing.EntryKind]int {
	s.t.Helper()
	checkpoint, key, err := s.service.Checkpoint(s.t.Context())
	must(s.t, err)
	kinds, seen := map[sharing.EntryKind]int{}, map[string]bool{}
	entries := func(yield func(sharing.LogEntry, error) bool) {
		for from := int64(0); ; {
			page, err := s.service.LogEntries(s.t.Context(), from, 100)
			if err != nil {
				yield(sharing.LogEntry{}, err)
				return
			}
			for _, entry := range page {
				kinds[entry.Kind]++
				id := entry.Kind.String() + " " + entry.Subject
				if seen[id] && entry.Kind != sharing.EntryAgreement {
					s.t.Errorf("%s: %s stands twice in the log", s.code, id)
				}
				seen[id] = true
				if !yield(entry, nil) {
					return
				}
			}
			if len(page) == 0 {
				return
			}
			from += int64(len(page))
		}
	}
	log := sharing.Log{State: s.code, Checkpoint: checkpoint, VerifierKey: key, Entries: entries}
	if _, err := sharing.Verify(s.t.Context(), s.trust.List(), wire.Codec{}, log); err != nil {
		s.t.Errorf("the log of %s: %v", s.code, err)
	}
	return kinds
}

// stored returns how often each release was stored in the state's statistics.
func stored(s *state) map[string]int {
	s.t.Helper()
	submissions, err := s.statistics.Submissions(s.t.Context(), 1000, "")
	must(s.t, err)
	releases := map[string]int{}
	for _, submission := range submissions {
		if submission.Release != "" {
			releases[submission.Release]++
		}
	}
	return releases
}

func TestExchange(t *testing.T) {
	t.Parallel()
	t.Run("carries a release to its receiver, and a receipt back", func(t *testing.T) {
		t.Parallel()
		states := newWorld(t, "aa", "bb")
		aa, bb := states[0], states[1]
		aa.start()
		bb.start()
		aa.submit(40, 100)
		agree(aa, bb)
		eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })

		sent := aa.deliveries()
		if len(sent) < 2 {
			t.Errorf("the release went in %d batches", len(sent))
		}
		for _, d := range sent {
			if d.State != sharing.Receipted || !d.ReceiptVerified {
				t.Errorf("a batch is not receipted: %+v", d)
			}
		}
		for _, d := range bb.deliveries() {
			if d.Direction != sharing.Received || d.State != sharing.Stored {
				t.Errorf("a batch is not stored: %+v", d)
			}
		}
		here, there := proven(aa), proven(bb)
		if here[sharing.EntryEnvelopeSent] != len(sent) || here[sharing.EntryReceiptReceived] != len(sent) ||
			there[sharing.EntryEnvelopeReceived] != len(sent) || there[sharing.EntryReceiptSent] != len(sent) {
			t.Errorf("for %d batches, the logs have %v and %v", len(sent), here, there)
		}
		partners, err := bb.service.Partners(t.Context())
		must(t, err)
		if partners[0].LastContact.IsZero() || partners[0].LastError != "" {
			t.Errorf("the exchange stands at %+v", partners[0])
		}

		aa.submit(2, 120) // a correction
		eventually(t, "the correction arrives", func() bool { return arrived(aa, bb) })
		if _, err := aa.service.Terminate(t.Context(), "aa-bb", "the test ends"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the end arrives", func() bool {
			agreement, err := bb.service.Agreement(t.Context(), "aa-bb")
			return err == nil && agreement.State == sharing.Terminated
		})
		before := len(aa.deliveries())
		aa.submit(1, 130)
		time.Sleep(3 * time.Second) // longer than a release takes
		if after := len(aa.deliveries()); after != before {
			t.Errorf("%d batches went after the end of the agreement", after-before)
		}
		proven(aa)
		proven(bb)
	})

	t.Run("goes on where a connection was cut", func(t *testing.T) {
		t.Parallel()
		states := newWorld(t, "aa", "bb")
		aa, bb := states[0], states[1]
		aa.start()
		bb.start()
		agree(aa, bb)
		cuts := []int{4_000, 6_000, 10_000, 20_000, 30_000, 50_000, 70_000}
		aa.proxy.cutAfter(cuts...)
		aa.submit(60, 100)
		eventually(t, "the figures arrive", func() bool { return arrived(aa, bb) })
		if left := aa.proxy.cutting(); left == len(cuts) {
			t.Error("no connection was cut")
		}
		proven(aa)
		proven(bb)
		for release, times := range stored(bb) {
			if times != 1 {
				t.Errorf("release %s was stored %d times", release, times)
			}
		}
	})

	t.Run("loses nothing and does nothing twice where services end at any moment", func(t *testing.T) {
		t.Parallel()
		states := newWorld(t, "aa", "bb")
		aa, bb := states[0], states[1]
		aa.start()
		bb.start()
		agree(aa, bb)
		for round := range 8 {
			aa.submit(50, float64(100+10*(round+1)))
			time.Sleep(time.Duration(rand.IntN(1500)) * time.Millisecond)
			victim := states[round%2]
			victim.halt()
			time.Sleep(time.Duration(rand.IntN(300)) * time.Millisecond)
			victim.start()
		}
		eventually(t, "the last figures arrive", func() bool { return arrived(aa, bb) })
		proven(aa)
		proven(bb)
		for release, times := range stored(bb) {
			if times != 1 {
				t.Errorf("release %s was stored %d times", release, times)
			}
		}
		for _, d := range aa.deliveries() {
			if d.State != sharing.Receipted && d.State != sharing.SupersededDelivery {
				t.Errorf("a batch hangs: %+v", d)
			}
		}
	})

	t.Run("does not wait for a partner that hangs", func(t *testing.T) {
		t.Parallel()
		states := newWorld(t, "aa", "bb", "cc")
		aa, bb, cc := states[0], states[1], states[2]
		for _, s := range states {
			s.start()
		}
		silent, err := net.Listen("tcp", "127.0.0.1:0") // takes connections, and says nothing
		must(t, err)
		defer silent.Close()
		cc.proxy.lead(silent.Addr().String())
		agree(aa, bb)
		aa.submit(5, 100)
		eventually(t, "the figures arrive", func() bool {
			return arrived(aa, bb)
		})
		partners, err := bb.service.Partners(t.Context())
		must(t, err)
		at := slices.IndexFunc(partners, func(p sharing.Partner) bool { return p.Code == "cc" })
		eventually(t, "the trouble is told", func() bool {
			partners, err = bb.service.Partners(t.Context())
			return err == nil && partners[at].LastError != ""
		})
	})
}

func TestConnections(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb", "cc")
	aa, bb, cc := states[0], states[1], states[2]
	aa.start()
	exchange := aa.proxy.address()
	aaSharing := mtls.Identity{State: "aa", Service: "sharing"}
	// shows returns the way in for who shows the files, and believes aa.
	shows := func(files mtlstest.Files) grpc.DialOption {
		pair, err := mtls.LoadPair(files.Certificate, files.Key)
		must(t, err)
		return grpc.WithTransportCredentials(mtls.NewClient(pair, partner.Roots(aa.trust), aaSharing))
	}
	describe := func(t *testing.T, address string, way grpc.DialOption) error {
		connection, err := grpc.NewClient("passthrough:///"+address, way)
		must(t, err)
		defer connection.Close()
		_, err = exchangepb.NewExchangeServiceClient(connection).Describe(t.Context(), &exchangepb.DescribeRequest{})
		return err
	}

	t.Run("let a partner's sharing service in", func(t *testing.T) {
		must(t, describe(t, exchange, shows(bb.authority.Issue("sharing"))))
	})
	for name, way := range map[string]grpc.DialOption{
		"without a certificate":                                           grpc.WithTransportCredentials(insecure.NewCredentials()),
		"with the certificate of a partner's gateway":                     shows(bb.authority.Issue("gateway")),
		"with a certificate of its own state":                             shows(aa.authority.Issue("sharing")),
		"with a partner's name that another state's authority has issued": shows(cc.authority.Issue("sharing", mtlstest.Named("comity://bb/sharing"))),
		"with its own name that another state's authority has issued":     shows(cc.authority.Issue("sharing", mtlstest.Named("comity://aa/sharing"))),
		"from a state that nobody knows":                                  shows(mtlstest.NewAuthority(t, "zz").Issue("sharing")),
		"with a certificate that has expired":                             shows(bb.authority.Issue("sharing", mtlstest.Valid(time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)))),
	} {
		t.Run("refuse a caller of the exchange "+name, func(t *testing.T) {
			if code := status.Code(describe(t, exchange, way)); code != codes.Unavailable {
				t.Errorf("got %v", code)
			}
		})
	}
	t.Run("refuse a partner's certificate on the national port", func(t *testing.T) {
		connection, err := grpc.NewClient("passthrough:///"+aa.national, shows(bb.authority.Issue("sharing")))
		must(t, err)
		defer connection.Close()
		_, err = sharingpb.NewSharingServiceClient(connection).ListPartners(t.Context(), &sharingpb.ListPartnersRequest{})
		if code := status.Code(err); code != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	})
	t.Run("do not offer the national API on the exchange", func(t *testing.T) {
		connection, err := grpc.NewClient("passthrough:///"+exchange, shows(bb.authority.Issue("sharing")))
		must(t, err)
		defer connection.Close()
		_, err = sharingpb.NewSharingServiceClient(connection).ListPartners(t.Context(), &sharingpb.ListPartnersRequest{})
		if code := status.Code(err); code != codes.Unimplemented {
			t.Errorf("got %v", err)
		}
	})
	t.Run("refuse a server that answers in a partner's place", func(t *testing.T) {
		files := bb.authority.Issue("sharing")
		pair, err := mtls.LoadPair(files.Certificate, files.Key)
		must(t, err)
		way := grpc.WithTransportCredentials(mtls.NewClient(pair, partner.Roots(aa.trust), mtls.Identity{State: "cc", Service: "sharing"}))
		if err := describe(t, exchange, way); status.Code(err) != codes.Unavailable {
			t.Errorf("got %v", err)
		}
	})
}
