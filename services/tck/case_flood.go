package tck

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/status"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
)

const (
	hugeMessage = 64 << 20 // bytes
	connections = 200      // that stand about idle
	streams     = 300      // at once on one connection
	pings       = 20_000
	calls       = 1_000       // one after another, from several callers
	longest     = time.Minute // that a node may ask who calls too often to wait
)

// floodCases are about a partner that sends too much, or nothing. While it does, the node answers another connection.
func floodCases() []Case {
	one := func(id, expected string, faults []string, run func(context.Context, *kit) error) Case {
		return Case{ID: "flood." + id, Expected: expected, Level: Required, Faults: faults, run: run}
	}
	return []Case{
		one("message", "refuses a message of 64 MiB, and lives", []string{"F12"}, func(ctx context.Context, k *kit) error {
			err := k.propose(ctx, k.client, &exchangepb.Signed{Payload: make([]byte, hugeMessage)})
			if err := refuses(err, codes.ResourceExhausted, codes.InvalidArgument, codes.Unavailable); err != nil {
				return err
			}
			return k.lives(ctx)
		}),
		one("compressed", "refuses a message that is small on its way and 64 MiB when it is unpacked, and lives", []string{"F12"}, func(ctx context.Context, k *kit) error {
			ctx, cancel := context.WithTimeout(ctx, callTimeout)
			defer cancel()
			_, err := k.client.Propose(ctx, &exchangepb.ProposeRequest{Agreement: &exchangepb.Signed{Payload: make([]byte, hugeMessage)}}, grpc.UseCompressor(gzip.Name))
			if err := refuses(err, codes.ResourceExhausted, codes.InvalidArgument, codes.Unimplemented, codes.Unavailable, codes.Internal); err != nil {
				return err
			}
			return k.lives(ctx)
		}),
		one("frames", "answers others while a partner sends a million messages of a few bytes", []string{"F12", "F18"}, framesCase),
		one("headers", "refuses a call with a mebibyte of headers, and lives", []string{"F12"}, func(ctx context.Context, k *kit) error {
			connection, err := k.dial(k.leaf, grpc.WithMaxHeaderListSize(1<<30))
			if err != nil {
				return err
			}
			defer connection.Close() //nolint:errcheck // the call is over
			long := strings.Repeat("x", 8_000)
			var pairs []string
			for i := range 128 {
				pairs = append(pairs, fmt.Sprintf("x-long-%d", i), long)
			}
			if _, err = describe(outgoing(ctx, pairs...), connection); err == nil {
				return errors.New("it answers")
			}
			return k.lives(ctx)
		}),
		one("pings", "answers others while a partner pings it all the time", []string{"F18"}, func(ctx context.Context, k *kit) error {
			_, err := k.ping(ctx)
			return err
		}),
		{
			ID: "flood.pings-cut", Expected: "ends the connection of a partner that pings it all the time", Level: Recommended, Faults: []string{"F18"},
			run: func(ctx context.Context, k *kit) error {
				ended, err := k.ping(ctx)
				if err == nil && !ended {
					return fmt.Errorf("after %d pings the connection is still there", pings)
				}
				return err
			},
		},
		one("connections", fmt.Sprintf("answers while a partner holds %d idle connections", connections), []string{"F18"}, idleCase),
		one("streams", fmt.Sprintf("answers others while a partner opens %d streams at once", streams), []string{"F18"}, streamsCase),
		one("retry", "says when to come again, where it refuses a call because there were too many", []string{"F18"}, func(ctx context.Context, k *kit) error {
			_, err := k.callTooOften(ctx)
			return err
		}),
		{
			ID: "flood.limit", Expected: fmt.Sprintf("refuses a partner's calls for a while, where it makes %d at once", calls), Level: Recommended, Faults: []string{"F18"},
			run: func(ctx context.Context, k *kit) error {
				limited, err := k.callTooOften(ctx)
				if err == nil && !limited {
					return errors.New("it answers all of them")
				}
				return nil
			},
		},
		{
			ID: "flood.streams-limit", Expected: "says how many calls it takes at once on a connection: 1,000 at most", Level: Recommended, Faults: []string{"F18"},
			run: func(ctx context.Context, k *kit) error {
				settings, err := k.settings(ctx)
				if err != nil {
					return err
				}
				if limit, ok := settings[http2.SettingMaxConcurrentStreams]; !ok || limit > 1000 {
					return fmt.Errorf("it says %d", limit)
				}
				return nil
			},
		},
		{
			ID: "sync.heartbeat", Expected: "lets its heart beat within 30 seconds on a stream on which nothing else is said", Level: Required, Faults: []string{"F15"}, needs: needsProvided,
			run: func(ctx context.Context, k *kit) error {
				for k.idle.calling.heartbeats() == 0 {
					if time.Since(k.idle.began) > silence {
						return fmt.Errorf("the stream was silent for %s", silence)
					}
					if said, err := k.idle.calling.next(100 * time.Millisecond); err != nil && !errors.Is(err, errNothing) {
						return fmt.Errorf("the stream has ended: %w", err)
					} else if err == nil {
						return fmt.Errorf("without credit there comes %v", said)
					}
				}
				return ctx.Err()
			},
		},
	}
}

// meanwhile returns an error unless the node answers promptly on another connection, again and again, until done is
// closed; at least once.
func (k *kit) meanwhile(ctx context.Context, done <-chan struct{}) error {
	for {
		if err := k.lives(ctx); err != nil {
			return err
		}
		select {
		case <-done:
			return nil
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func framesCase(ctx context.Context, k *kit) error {
	connection, err := k.dial(k.leaf)
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // the stream is over
	flooding, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	time.Sleep(200 * time.Millisecond) // a node that limits how often it is called has room for this stream again
	stream, err := k.openRaw(flooding, connection)
	if err != nil {
		return err
	}
	hello, nothing := encode(resume(&exchangepb.Cursor{Stream: k.toKit()})), encode(credit(0))
	done := make(chan struct{})
	var sent atomic.Int64
	go func() {
		defer close(done)
		if err := stream.SendMsg(&hello); err != nil {
			return
		}
		for range k.Frames {
			if err := stream.SendMsg(&nothing); err != nil {
				return // that it takes no more is its right
			}
			sent.Add(1)
		}
	}()
	if err := k.meanwhile(ctx, done); err != nil {
		return fmt.Errorf("after %d messages: %w", sent.Load(), err)
	}
	return nil
}

// raw2 returns a connection to the node that speaks frames of HTTP/2, with the settings that the node begins with.
func (k *kit) frames(ctx context.Context) (*tls.Conn, *http2.Framer, error) {
	dialer := &tls.Dialer{Config: k.tlsConfig(k.leaf)}
	plain, err := dialer.DialContext(ctx, "tcp", k.address)
	if err != nil {
		return nil, nil, err
	}
	connection, _ := plain.(*tls.Conn)
	framer := http2.NewFramer(connection, connection)
	_, err = connection.Write([]byte(http2.ClientPreface))
	if err == nil {
		err = framer.WriteSettings()
	}
	if err != nil {
		return nil, nil, errors.Join(err, connection.Close())
	}
	return connection, framer, nil
}

// settings returns what the node says about its side of HTTP/2.
func (k *kit) settings(ctx context.Context) (map[http2.SettingID]uint32, error) {
	connection, framer, err := k.frames(ctx)
	if err != nil {
		return nil, err
	}
	defer connection.Close() //nolint:errcheck // all is read
	_ = connection.SetDeadline(time.Now().Add(k.patience))
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return nil, err
		}
		said, ok := frame.(*http2.SettingsFrame)
		if !ok || said.IsAck() {
			continue
		}
		settings := map[http2.SettingID]uint32{}
		err = said.ForeachSetting(func(s http2.Setting) error {
			settings[s.ID] = s.Val
			return nil
		})
		return settings, err
	}
}

// ping pings the node as fast as it takes it, and reports whether it ended the connection.
func (k *kit) ping(ctx context.Context) (ended bool, err error) {
	connection, framer, err := k.frames(ctx)
	if err != nil {
		return false, err
	}
	defer connection.Close() //nolint:errcheck // all is said
	_ = connection.SetDeadline(time.Now().Add(callTimeout))
	done, away := make(chan struct{}), make(chan struct{})
	go func() { // reads, so that the node's answers do not stop it from reading
		defer close(away)
		for {
			frame, err := framer.ReadFrame()
			if _, leaves := frame.(*http2.GoAwayFrame); leaves || err != nil {
				return
			}
		}
	}()
	go func() {
		defer close(done)
		for i := range pings {
			if framer.WritePing(false, [8]byte{byte(i), byte(i >> 8)}) != nil {
				return
			}
		}
	}()
	if err := k.meanwhile(ctx, done); err != nil {
		return false, err
	}
	select {
	case <-away:
		return true, nil
	case <-time.After(k.Quiet):
		return false, nil
	}
}

// callTooOften calls again and again until the node says that it is too often. It reports whether it does, and returns an error
// where it does not say until when, or answers something else. Then it calls as it was asked to.
func (k *kit) callTooOften(ctx context.Context) (limited bool, err error) {
	connection, err := k.dial(k.leaf, grpc.WithUnaryInterceptor(nil)) // which would come again
	if err != nil {
		return false, err
	}
	defer connection.Close() //nolint:errcheck // the calls are over
	var calling errgroup.Group
	var made atomic.Int64
	var told atomic.Pointer[status.Status]
	for range 8 {
		calling.Go(func() error {
			for made.Add(1) <= calls && told.Load() == nil {
				_, err := describe(ctx, connection)
				if status.Code(err) == codes.ResourceExhausted {
					told.Store(status.Convert(err))
					return nil
				}
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := calling.Wait(); err != nil || told.Load() == nil {
		return false, err
	}
	pause := retryDelay(told.Load().Err())
	if pause == 0 || pause > longest {
		return true, fmt.Errorf("it refuses a call (%s), and asks to come again after %s", told.Load().Message(), pause)
	}
	time.Sleep(pause)
	_, err = describe(ctx, k.connection)
	return true, err
}

func idleCase(ctx context.Context, k *kit) error {
	held := make([]net.Conn, connections)
	defer func() {
		for _, connection := range held {
			if connection != nil {
				_ = connection.Close()
			}
		}
	}()
	var dialing sync.WaitGroup
	some := make(chan struct{}, connections/2)
	for i := range held {
		dialing.Go(func() {
			some <- struct{}{}
			defer func() { <-some }()
			ctx, cancel := context.WithTimeout(ctx, promptly)
			defer cancel()
			if i%2 == 0 { // half of them do not even begin TLS
				held[i], _ = new(net.Dialer).DialContext(ctx, "tcp", k.address)
				return
			}
			if connection, err := (&tls.Dialer{Config: k.tlsConfig(k.leaf)}).DialContext(ctx, "tcp", k.address); err == nil {
				held[i] = connection // that it takes no more of them is its right
			}
		})
	}
	dialing.Wait()
	if !slices.ContainsFunc(held, func(c net.Conn) bool { return c != nil }) {
		return errors.New("not one connection came about")
	}
	return k.lives(ctx)
}

func streamsCase(ctx context.Context, k *kit) error {
	connection, err := k.dial(k.leaf)
	if err != nil {
		return err
	}
	defer connection.Close() //nolint:errcheck // the streams are over
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var opening sync.WaitGroup
	for range streams {
		opening.Go(func() { // one beyond the limit waits until it is left
			waiting, cancel := context.WithTimeout(ctx, promptly+k.Quiet) // longer than the node has for others
			defer cancel()
			stream, err := exchangepb.NewExchangeServiceClient(connection).Sync(waiting)
			if err != nil {
				return
			}
			_ = stream.Send(resume(&exchangepb.Cursor{Stream: k.toKit()}))
			_, _ = stream.Recv()
		})
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		opening.Wait()
	}()
	return k.meanwhile(ctx, done)
}

// lastCases are those after which people have work.
func lastCases() []Case {
	return []Case{
		{
			ID: "last.equivocation", Expected: "takes nothing more from a partner that has signed two envelopes for one place", Level: Required,
			Faults: []string{"F10"}, needs: needsReceived | needsAftermath, run: equivocationCase,
		},
		{
			ID: "last.ended", Expected: "sends nothing more under an agreement that its receiver has ended, within a second", Level: Required,
			Faults: []string{"F21"}, needs: needsProvided | needsAftermath, run: endedCase,
		},
	}
}

func equivocationCase(ctx context.Context, k *kit) error {
	one := k.draft(k.line)
	other := k.draft(k.line)
	other.block = k.figures(7777)
	if _, err := k.takes(ctx, one.seal()); err != nil {
		return err
	}
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	second := other.seal()
	if err := s.send(ctx, second); err != nil && !s.over() {
		return err
	}
	next := k.draft(k.line).seal()
	// It may come again, and is then offered what would be the next one.
	trying, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	for trying.Err() == nil {
		if s, err = k.session(trying); err != nil {
			return ctx.Err() // it comes no more
		}
		_ = s.send(trying, next)
		s.await(trying, func() bool { return len(s.of(second)) > 0 || len(s.of(next)) > 0 })
		if len(s.of(second)) > 0 {
			return errors.New("it gives a receipt for the second envelope too")
		}
		if len(s.of(next)) > 0 {
			return errors.New("it goes on with the next envelope")
		}
	}
	return nil
}

func endedCase(ctx context.Context, k *kit) error {
	d, err := k.draw(ctx)
	if err != nil {
		return err
	}
	s, err := k.open(ctx, k.connection, resume(k.cursor(-1)))
	if err != nil {
		return err
	}
	defer s.leave()
	if err := k.answer(ctx, terminates(k.own.signing, k.terminate(k.provided.terms))); err != nil {
		return err
	}
	time.Sleep(time.Second)
	if err := k.renew(k.provided); err != nil {
		return err
	}
	if err := s.stream.Send(credit(most)); err != nil {
		return err
	}
	for {
		said, err := s.next(k.Quiet)
		switch {
		case errors.Is(err, errNothing):
			return nil
		case err != nil:
			if code := status.Code(err); code == codes.Internal || code == codes.Unknown {
				return err
			}
			return nil
		case slices.ContainsFunc(d.envelopes, func(e []byte) bool { return bytes.Equal(e, said.GetEnvelope()) }):
			return errors.New("an envelope goes a second after the end")
		}
	}
}

// renew makes the next version of an agreement that is over, for the next run to propose.
func (k *kit) renew(a *agreement) error {
	next := a.terms
	next.Version++
	k.Say(fmt.Sprintf("agreement %s, version %d, is ended; the next run proposes version %d", a.terms.ID, a.terms.Version, next.Version))
	return writeJSON(strings.TrimSuffix(a.file, ".signed")+".json", next)
}
