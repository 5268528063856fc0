package tck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
)

const silence = 30 * time.Second // after which a partner that says nothing is left

// syncCases are about the stream that the node offers.
func syncCases() []Case {
	one := func(id, expected string, faults []string, run func(context.Context, *kit) error) Case {
		return Case{ID: "sync." + id, Expected: expected, Level: Required, Faults: faults, needs: needsProvided, run: run}
	}
	// ended is a stream that the node ends because of what the kit says.
	ended := func(id, expected string, words func(*kit) []*exchangepb.SyncRequest) Case {
		c := one(id, expected, []string{"F11"}, func(ctx context.Context, k *kit) error {
			s, err := k.open(ctx, k.connection, words(k)...)
			if err != nil {
				return err
			}
			defer s.leave()
			said, err := s.next(k.patience)
			if err == nil {
				return fmt.Errorf("it goes on, with %v", said)
			}
			if errors.Is(err, errNothing) {
				return errors.New("it goes on")
			}
			return refuses(err)
		})
		c.needs = 0
		return c
	}
	// misplaced is a cursor that does not fit the stream.
	misplaced := func(id, expected string, spoil func(*exchangepb.Cursor)) Case {
		return one(id, expected, []string{"F11"}, func(ctx context.Context, k *kit) error {
			d, err := k.draw(ctx)
			if err != nil {
				return err
			}
			at := k.cursor(len(d.envelopes) - 1)
			spoil(at)
			s, err := k.open(ctx, k.connection, resume(at), credit(1))
			if err != nil {
				return err
			}
			defer s.leave()
			said, err := s.next(k.patience)
			if errors.Is(err, errNothing) {
				return errors.New("it says nothing, and so leaves its partner waiting for what never comes")
			}
			if err != nil {
				return refuses(err)
			}
			from := said.GetResync()
			switch {
			case from == nil:
				return errors.New("it sends an envelope from somewhere else without saying so")
			case from.GetStream() != k.toKit() || from.GetSequence() > 1<<62:
				return fmt.Errorf("it says to begin again from %v", from)
			case from.GetEpoch() == at.GetEpoch() && from.GetSequence() == at.GetSequence():
				return errors.New("it says to begin again from the same place")
			}
			return nil
		})
	}
	return []Case{
		one("resume", "sends what follows a cursor, and nothing before it", []string{"F15"}, func(ctx context.Context, k *kit) error {
			d, err := k.drawTwo(ctx)
			if err != nil {
				return err
			}
			return k.sends(ctx, k.cursor(0), d.envelopes[1])
		}),
		one("same", "sends the same bytes to the same cursor again", []string{"F15"}, func(ctx context.Context, k *kit) error {
			d, err := k.draw(ctx)
			if err != nil {
				return err
			}
			return k.sends(ctx, k.cursor(-1), d.envelopes...)
		}),
		one("credit", "sends no more envelopes than it has credit for, and more for more credit", []string{"F18"}, func(ctx context.Context, k *kit) error {
			d, err := k.draw(ctx)
			if err != nil {
				return err
			}
			s, err := k.open(ctx, k.connection, resume(k.cursor(-1)), credit(1))
			if err != nil {
				return err
			}
			defer s.leave()
			if _, err := s.envelope(k.patience); err != nil {
				return err
			}
			if _, err := s.next(k.Quiet); !errors.Is(err, errNothing) {
				return errors.Join(errors.New("more than one envelope comes for one credit"), err)
			}
			if len(d.envelopes) < 2 {
				return nil
			}
			if err := s.stream.Send(credit(1)); err != nil {
				return err
			}
			_, err = s.envelope(k.patience)
			return err
		}),
		one("no-credit", "sends nothing without credit, nor for a credit of zero", []string{"F18"}, func(ctx context.Context, k *kit) error {
			if _, err := k.draw(ctx); err != nil {
				return err
			}
			s, err := k.open(ctx, k.connection, resume(k.cursor(-1)), credit(0))
			if err != nil {
				return err
			}
			defer s.leave()
			if said, err := s.next(k.Quiet); !errors.Is(err, errNothing) {
				return errors.Join(fmt.Errorf("it sends %d bytes", len(said.GetEnvelope())), err)
			}
			return nil
		}),
		one("negative-credit", "survives a credit below zero and one that is beyond any number", []string{"F12"}, func(ctx context.Context, k *kit) error {
			// Field 2 as a varint of ten bytes: -1, which no reader can take for credit that was given.
			negative := append([]byte{0x10}, bytes.Repeat([]byte{0xff}, 9)...)
			if err := k.sayRaw(ctx, encode(resume(&exchangepb.Cursor{Stream: k.toKit()})), append(negative, 0x01), encode(credit(1<<32-1)), encode(credit(1<<32-1))); err != nil {
				return err
			}
			return k.lives(ctx)
		}),
		misplaced("future", "says where to begin again to a cursor from the future", func(c *exchangepb.Cursor) { c.Sequence += 1000 }),
		misplaced("largest", "says where to begin again to the largest of all cursors", func(c *exchangepb.Cursor) { c.Sequence = 1<<64 - 1 }),
		misplaced("epoch", "says where to begin again to a cursor of another epoch", func(c *exchangepb.Cursor) { c.Epoch = newID() }),
		misplaced("garbage", "says where to begin again to a cursor that is garbage", func(c *exchangepb.Cursor) { c.Epoch = "\x00'; DROP TABLE envelopes; --" }),
		ended("stream", "ends a stream that asks for another one than the caller's", func(k *kit) []*exchangepb.SyncRequest {
			return []*exchangepb.SyncRequest{resume(&exchangepb.Cursor{Stream: string(k.peer.Code) + "-elsewhere"}), credit(1)}
		}),
		ended("credit-first", "ends a stream that begins with credit", func(*kit) []*exchangepb.SyncRequest {
			return []*exchangepb.SyncRequest{credit(1)}
		}),
		ended("receipt-first", "ends a stream that begins with a receipt", func(*kit) []*exchangepb.SyncRequest {
			return []*exchangepb.SyncRequest{receipted(&exchangepb.Signed{})}
		}),
		ended("cursor-twice", "ends a stream with a second cursor", func(k *kit) []*exchangepb.SyncRequest {
			at := &exchangepb.Cursor{Stream: k.toKit()}
			return []*exchangepb.SyncRequest{resume(at), resume(at)}
		}),
		ended("empty", "ends a stream on which nothing is said in a message", func(k *kit) []*exchangepb.SyncRequest {
			return []*exchangepb.SyncRequest{resume(&exchangepb.Cursor{Stream: k.toKit()}), {}}
		}),
		{
			ID: "sync.utf8", Expected: "ends a stream whose words are no UTF-8, and lives", Level: Required, Faults: []string{"F12"},
			run: func(ctx context.Context, k *kit) error {
				word := encode(resume(&exchangepb.Cursor{Stream: "STREAM"}))
				if err := k.isEnded(ctx, bytes.Replace(word, []byte("STREAM"), []byte("\xff\xfeREAM"), 1), unreadable()...); err != nil {
					return err
				}
				return k.lives(ctx)
			},
		},
		{
			ID: "sync.garbled", Expected: "ends a stream whose words are no messages, and lives", Level: Required, Faults: []string{"F12"},
			run: func(ctx context.Context, k *kit) error {
				if err := k.isEnded(ctx, bytes.Repeat([]byte{0xff}, 100), unreadable()...); err != nil {
					return err
				}
				return k.lives(ctx)
			},
		},
		{
			ID: "sync.blame", Expected: "says of what is no message that it was its caller's fault, with INVALID_ARGUMENT", Level: Recommended, Faults: []string{"F12"},
			run: func(ctx context.Context, k *kit) error {
				return k.isEnded(ctx, bytes.Repeat([]byte{0xff}, 100), codes.InvalidArgument)
			},
		},
		{
			ID: "sync.leave", Expected: "ends a stream that its receiver has left, as one that went well", Level: Recommended, needs: needsProvided, Faults: []string{"F15"},
			run: func(ctx context.Context, k *kit) error {
				s, err := k.open(ctx, k.connection, resume(&exchangepb.Cursor{Stream: k.toKit()}))
				if err != nil {
					return err
				}
				defer s.leave()
				if err := s.stream.CloseSend(); err != nil {
					return err
				}
				if said, err := s.next(k.patience); err == nil || errors.Is(err, errNothing) {
					return fmt.Errorf("it goes on: %v", said)
				}
				return nil
			},
		},
	}
}

// sends returns an error unless the node sends these envelopes to who stands at the cursor.
func (k *kit) sends(ctx context.Context, at *exchangepb.Cursor, want ...[]byte) error {
	s, err := k.open(ctx, k.connection, resume(at), credit(uint32(len(want)))) //nolint:gosec // a few
	if err != nil {
		return err
	}
	defer s.leave()
	for i := range want {
		got, err := s.envelope(k.patience)
		if err != nil {
			return fmt.Errorf("envelope %d: %w", i, err)
		}
		if !bytes.Equal(got, want[i]) {
			return fmt.Errorf("envelope %d, of %d bytes, is not the one of before, of %d", i, len(got), len(want[i]))
		}
	}
	return nil
}

// raw is a codec for messages that are bytes already.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}
func (raw) Name() string { return "proto" }

const syncMethod = "/comity.exchange.v1.ExchangeService/Sync"

func (k *kit) openRaw(ctx context.Context, connection grpc.ClientConnInterface) (grpc.ClientStream, error) {
	return connection.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, syncMethod, grpc.ForceCodec(raw{}))
}

// sayRaw says words of any bytes on a stream of its own, and leaves it.
func (k *kit) sayRaw(ctx context.Context, words ...[]byte) error {
	ctx, cancel := context.WithTimeout(ctx, k.Quiet)
	defer cancel()
	stream, err := k.openRaw(ctx, k.connection)
	if err != nil {
		return err
	}
	for _, word := range words {
		if err := stream.SendMsg(&word); err != nil {
			return nil //nolint:nilerr // that it takes no more is its right
		}
	}
	var answer []byte
	_ = stream.RecvMsg(&answer) // give it the time to read
	return nil
}

// isEnded returns an error unless the node ends a stream on which this is said, with one of the codes.
func (k *kit) isEnded(ctx context.Context, word []byte, want ...codes.Code) error {
	ctx, cancel := context.WithTimeout(ctx, k.patience)
	defer cancel()
	for {
		stream, err := k.openRaw(ctx, k.connection)
		if err != nil {
			return err
		}
		_ = stream.SendMsg(&word)
		var answer []byte
		err = stream.RecvMsg(&answer)
		if ctx.Err() != nil {
			return errors.New("it goes on")
		}
		pause := retryDelay(err)
		if pause == 0 {
			return refuses(err, want...)
		}
		time.Sleep(pause)
	}
}

// fetchCases are about the envelopes that the node answers at once.
func fetchCases() []Case {
	one := func(id, expected string, faults []string, run func(context.Context, *kit) error) Case {
		return Case{ID: "fetch." + id, Expected: expected, Level: Required, Faults: faults, needs: needsProvided, run: run}
	}
	misplaced := func(id, expected string, spoil func(*exchangepb.Cursor)) Case {
		return one(id, expected, []string{"F11"}, func(ctx context.Context, k *kit) error {
			d, err := k.draw(ctx)
			if err != nil {
				return err
			}
			at := k.cursor(len(d.envelopes) - 1)
			spoil(at)
			answer, err := k.client.Fetch(ctx, &exchangepb.FetchRequest{Resume: at})
			if err != nil {
				return refuses(err)
			}
			if len(answer.GetEnvelopes()) > 0 || answer.GetResync() == nil {
				return fmt.Errorf("it answers %d envelopes, and not where to begin again", len(answer.GetEnvelopes()))
			}
			return nil
		})
	}
	return []Case{
		one("same", "answers the same bytes as on a stream, and again the same", []string{"F15"}, func(ctx context.Context, k *kit) error {
			d, err := k.draw(ctx)
			if err != nil {
				return err
			}
			for range 2 {
				answer, err := k.client.Fetch(ctx, &exchangepb.FetchRequest{Resume: k.cursor(-1)})
				if err != nil {
					return err
				}
				if len(answer.GetEnvelopes()) == 0 {
					return errors.New("it answers nothing")
				}
				for i, got := range answer.GetEnvelopes() {
					if i < len(d.envelopes) && !bytes.Equal(got, d.envelopes[i]) {
						return fmt.Errorf("envelope %d is not the one of the stream", i)
					}
				}
			}
			return nil
		}),
		one("resume", "answers what follows a cursor", []string{"F15"}, func(ctx context.Context, k *kit) error {
			d, err := k.drawTwo(ctx)
			if err != nil {
				return err
			}
			answer, err := k.client.Fetch(ctx, &exchangepb.FetchRequest{Resume: k.cursor(0)})
			if err != nil {
				return err
			}
			if len(answer.GetEnvelopes()) == 0 || !bytes.Equal(answer.GetEnvelopes()[0], d.envelopes[1]) {
				return errors.New("it does not answer the second envelope to who has the first")
			}
			return nil
		}),
		one("size", "answers less than 2 MiB", []string{"F12"}, func(ctx context.Context, k *kit) error {
			if _, err := k.draw(ctx); err != nil {
				return err
			}
			answer, err := k.client.Fetch(ctx, &exchangepb.FetchRequest{Resume: k.cursor(-1)})
			if err != nil {
				return err
			}
			if size := len(encode(answer)); size >= 2<<20 {
				return fmt.Errorf("it answers %d bytes", size)
			}
			return nil
		}),
		misplaced("future", "says where to begin again to a cursor from the future", func(c *exchangepb.Cursor) { c.Sequence += 1000 }),
		misplaced("epoch", "says where to begin again to a cursor of another epoch", func(c *exchangepb.Cursor) { c.Epoch = newID() }),
		{
			ID: "fetch.empty", Expected: "refuses to fetch from nowhere", Level: Required, Faults: []string{"F11"},
			run: func(ctx context.Context, k *kit) error {
				_, err := k.client.Fetch(ctx, &exchangepb.FetchRequest{})
				return refuses(err, codes.InvalidArgument, codes.PermissionDenied, codes.NotFound)
			},
		},
	}
}
