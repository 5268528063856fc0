package partner_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/proto/mtls"
	"github.com/comity-federation/comity/proto/mtls/mtlstest"
	"github.com/comity-federation/comity/services/internal/postgrestest"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/partner"
	sharingpostgres "github.com/comity-federation/comity/services/sharing/postgres"
)

// watched returns a keeper that watches the file until the returned function is called.
func watched(t *testing.T, path string, store partner.TrustStore) (*partner.Keeper, func()) {
	t.Helper()
	keeper, err := partner.OpenKeeper(t.Context(), path, "aa", store, slog.New(slog.DiscardHandler))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = keeper.Watch(ctx) })
	stop := sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(stop)
	return keeper, stop
}

func TestKeeper(t *testing.T) {
	t.Parallel()
	three := newOfficers(t, 3)
	state := trusted(t)
	store := sharingpostgres.NewStore(postgrestest.New(t, sharingpostgres.Migrations))
	path := writeTrustList(t, three, state)
	keeper, stop := watched(t, path, store)
	version := func() uint64 { return keeper.Trust().List().Version }
	good := three.sign(t, three.list(t, 2, state))
	put(t, path, good)
	eventually(t, "it takes over a list that the officers signed", func() bool { return version() == 2 && keeper.Err() == nil })

	stranger := with(state, "code", "zz")
	late := three.list(t, 3, state)
	late.Expires = time.Now()
	for _, refused := range []struct {
		name, why string
		data      []byte
	}{
		{"that one officer signed", "signatures of 1", three[:1].sign(t, three.list(t, 3, state))},
		{"that is not signed", "not signed", []byte(`{"states":[]}`)},
		{"that others signed", "version 2's officers", func() []byte { o := newOfficers(t, 2); return o.sign(t, o.list(t, 3, state)) }()},
		{"that is older", "not later", three.sign(t, three.list(t, 1, state))},
		{"of the same version with other content", "not later", three.sign(t, three.list(t, 2, state, stranger))},
		{"that has expired", "expired", three.sign(t, late)},
		{"that this state is not on", "this state, aa", three.sign(t, three.list(t, 3, stranger))},
		{"that is truncated", "trust list", good[:len(good)/2]},
		{"that is empty", "trust list", nil},
	} {
		put(t, path, refused.data)
		eventually(t, "it says that it refuses a list "+refused.name, func() bool {
			err := keeper.Err()
			return err != nil && strings.Contains(err.Error(), refused.why)
		})
		if version() != 2 {
			t.Fatalf("it takes a list %s", refused.name)
		}
	}
	must(t, os.Remove(path))
	eventually(t, "it says that the file is gone", func() bool {
		err := keeper.Err()
		return err != nil && strings.Contains(err.Error(), "no such file")
	})
	put(t, path, three.sign(t, three.list(t, 3, state)))
	eventually(t, "it takes over the next list after that", func() bool { return version() == 3 && keeper.Err() == nil })

	kept := func(version uint64) {
		t.Helper()
		eventually(t, "the list in force is kept", func() bool {
			list, err := store.TrustList(t.Context(), version-1)
			return err == nil && list != nil
		})
	}
	kept(3)

	// A replica, whose file is still the first one.
	replica, _ := watched(t, writeTrustList(t, three, state), store)
	if got := replica.Trust().List().Version; got != 3 {
		t.Errorf("a process with an old file has version %d in force, not the one that was in force before", got)
	}
	put(t, path, three.sign(t, three.list(t, 4, state)))
	eventually(t, "another process takes over what one has", func() bool { return replica.Trust().List().Version == 4 })
	if replica.Err() == nil {
		t.Error("it does not say that its own file is old")
	}

	// After a restart.
	kept(4)
	stop()
	put(t, path, three.sign(t, three.list(t, 2, state)))
	again, err := partner.OpenKeeper(t.Context(), path, "aa", store, slog.New(slog.DiscardHandler))
	must(t, err)
	if again.Trust().List().Version != 4 || again.Err() == nil {
		t.Errorf("an older list came back with a restart, or without a word: %v", again.Err())
	}
}

// with returns a copy of the entry with another value.
func with(entry map[string]any, key string, value any) map[string]any {
	text, err := json.Marshal(entry)
	if err != nil {
		panic(err)
	}
	clone := map[string]any{}
	if err := json.Unmarshal(text, &clone); err != nil {
		panic(err)
	}
	clone[key] = value
	return clone
}

// serialOf returns the serial number of the certificate in the file, as a trust list names it.
func serialOf(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	must(t, err)
	block, _ := pem.Decode(text)
	certificate, err := x509.ParseCertificate(block.Bytes)
	must(t, err)
	return certificate.SerialNumber.Text(16)
}

// next puts the next trust list in force: the last one, changed.
func (s *state) next(change func(*sharing.TrustList)) {
	s.t.Helper()
	before, err := partner.ReadTrustList(s.trustFile)
	must(s.t, err)
	text, err := json.Marshal(before.TrustList)
	must(s.t, err)
	list := &sharing.TrustList{}
	must(s.t, json.Unmarshal(text, list))
	list.Version++
	change(list)
	put(s.t, s.trustFile, s.officers.sign(s.t, list))
}

// hold calls the exchange as the one who shows the files, and holds a stream open. It returns a channel that is closed
// when the stream ends.
func hold(t *testing.T, s *state, files mtlstest.Files) <-chan struct{} {
	t.Helper()
	pair, err := mtls.LoadPair(files.Certificate, files.Key)
	must(t, err)
	credentials := mtls.NewClient(pair, partner.Roots(s.trust), mtls.Identity{State: string(s.code), Service: "sharing"})
	connection, err := grpc.NewClient("passthrough:///"+s.exchange, grpc.WithTransportCredentials(credentials))
	must(t, err)
	t.Cleanup(func() { _ = connection.Close() })
	client := exchangepb.NewExchangeServiceClient(connection)
	if _, err := client.Describe(t.Context(), &exchangepb.DescribeRequest{}); err != nil {
		t.Fatal(err)
	}
	stream, err := client.Sync(t.Context())
	must(t, err)
	must(t, stream.Send(&exchangepb.SyncRequest{Part: &exchangepb.SyncRequest_Resume{Resume: &exchangepb.Cursor{Stream: "aa-bb"}}}))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			if _, err := stream.Recv(); err != nil {
				return
			}
		}
	}()
	return ended
}

// comes reports with which code the exchange answers the one who shows the files.
func comes(t *testing.T, s *state, files mtlstest.Files) codes.Code {
	t.Helper()
	pair, err := mtls.LoadPair(files.Certificate, files.Key)
	must(t, err)
	credentials := mtls.NewClient(pair, partner.Roots(s.trust), mtls.Identity{State: string(s.code), Service: "sharing"})
	connection, err := grpc.NewClient("passthrough:///"+s.exchange, grpc.WithTransportCredentials(credentials))
	must(t, err)
	defer connection.Close()
	_, err = exchangepb.NewExchangeServiceClient(connection).Describe(t.Context(), &exchangepb.DescribeRequest{})
	return status.Code(err)
}

func TestRevocation(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	aa.start()
	revoked, spared := bb.authority.Issue("sharing"), bb.authority.Issue("sharing")
	cut, stays := hold(t, aa, revoked), hold(t, aa, spared)

	aa.next(func(list *sharing.TrustList) {
		list.States[1].Revoked.Serials = []string{serialOf(t, revoked.Certificate)}
	})
	eventually(t, "the stream of a revoked certificate is cut", func() bool { return ended(cut) })
	if code := comes(t, aa, revoked); code != codes.Unavailable {
		t.Errorf("who shows the revoked certificate again gets %v", code)
	}
	select {
	case <-stays:
		t.Error("the stream of another certificate was cut with it")
	default:
	}
	if code := comes(t, aa, spared); code != codes.OK {
		t.Errorf("who shows another certificate gets %v", code)
	}

	aa.next(func(list *sharing.TrustList) { list.States = list.States[:1] })
	eventually(t, "the stream of a state that left the list is cut", func() bool { return ended(stays) })
}

func TestRotation(t *testing.T) {
	t.Parallel()
	states := newWorld(t, "aa", "bb")
	aa, bb := states[0], states[1]
	aa.start()
	before := bb.authority
	after := mtlstest.NewAuthority(t, "bb")
	both := func(authorities ...*mtlstest.Authority) string {
		var roots bytes.Buffer
		for _, authority := range authorities {
			file, err := os.Open(authority.Root)
			must(t, err)
			_, err = io.Copy(&roots, file)
			must(t, err)
			must(t, file.Close())
		}
		return roots.String()
	}
	stream := hold(t, aa, before.Issue("sharing"))
	if code := comes(t, aa, after.Issue("sharing")); code != codes.Unavailable {
		t.Errorf("a new authority counts before it is on the list: %v", code)
	}
	aa.next(func(list *sharing.TrustList) { list.States[1].Roots = both(before, after) })
	eventually(t, "the new authority counts", func() bool { return comes(t, aa, after.Issue("sharing")) == codes.OK })
	if code := comes(t, aa, before.Issue("sharing")); code != codes.OK {
		t.Errorf("the old authority counts no more while both are on the list: %v", code)
	}
	select {
	case <-stream:
		t.Error("a stream was cut while both authorities are on the list")
	default:
	}
	later := hold(t, aa, after.Issue("sharing"))
	aa.next(func(list *sharing.TrustList) { list.States[1].Roots = both(after) })
	eventually(t, "the stream of the old authority is cut", func() bool {
		select {
		case <-stream:
			return true
		default:
			return false
		}
	})
	if code := comes(t, aa, before.Issue("sharing")); code != codes.Unavailable {
		t.Errorf("the old authority counts after it left the list: %v", code)
	}
	select {
	case <-later:
		t.Error("the stream of the new authority was cut")
	default:
	}
}
