package tck

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/secure-systems-lab/go-securesystemslib/dsse"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/services/sharing"
)

// deliverCases are about envelopes that the node draws from the kit.
func deliverCases() []Case {
	good := func(id, expected string, faults []string, run func(context.Context, *kit) error) Case {
		return Case{ID: "deliver." + id, Expected: expected, Level: Required, Faults: faults, needs: needsReceived, run: run}
	}
	// spoiled is an envelope that the node turns away, and takes in its right form afterwards.
	spoiled := func(id, expected string, faults []string, spoil func(*kit, *draft) ([]byte, error)) Case {
		return good(id, expected, faults, func(ctx context.Context, k *kit) error {
			bad, err := spoil(k, k.draft(k.line))
			if err != nil {
				return err
			}
			return k.refusesEnvelope(ctx, bad)
		})
	}
	// wrong is an envelope that the kit has signed, with a content that nobody agreed to.
	wrong := func(id, expected string, faults []string, spoil func(*kit, *draft)) Case {
		return good(id, expected, faults, func(ctx context.Context, k *kit) error {
			bad := k.draft(k.line)
			spoil(k, bad)
			return k.refusesContent(ctx, bad)
		})
	}
	flip := func(data []byte) []byte {
		flipped := slices.Clone(data)
		flipped[len(flipped)/2] ^= 1
		return flipped
	}
	return []Case{
		good("receipt", "gives a receipt for an envelope, signed, about the exact bytes that it was sent", nil, receiptCase),
		good("again", "gives the same receipt, byte for byte, for the same envelope again", []string{"F09"}, againCase),
		good("lost", "gives the same receipt, byte for byte, after the connection was lost before the receipt was kept", []string{"F16"}, lostCase),
		good("resume", "resumes behind the last envelope that it has kept", []string{"F15"}, resumeCase),
		good("unknown", "takes an envelope whose signed header has fields that it does not know, and signs for its exact bytes", nil, unknownCase),
		good("word", "passes over a word on the stream that it does not know", nil, wordCase),
		good("batches", "takes a release of two batches", nil, batchesCase),
		good("compressed", "takes a payload that is compressed (Zstandard)", nil, compressedCase),
		good("epoch", "takes the first envelope of a new epoch", []string{"F11"}, epochCase),

		spoiled("payload-bit", "turns away an envelope with a flipped bit in its payload", []string{"F08"}, func(_ *kit, d *draft) ([]byte, error) {
			m := d.message()
			m.Payload = flip(m.Payload)
			return encode(m), nil
		}),
		spoiled("header-bit", "turns away an envelope with a flipped bit in its header", []string{"F08"}, func(_ *kit, d *draft) ([]byte, error) {
			m := d.message()
			m.Header.Payload = flip(m.Header.Payload)
			return encode(m), nil
		}),
		spoiled("signature-bit", "turns away an envelope with a flipped bit in its signature", []string{"F08"}, func(_ *kit, d *draft) ([]byte, error) {
			m := d.message()
			m.Header.Signatures[0].Signature = flip(m.Header.Signatures[0].Signature)
			return encode(m), nil
		}),
		spoiled("swapped", "turns away the header of one good envelope with the payload of another", []string{"F08"}, func(k *kit, d *draft) ([]byte, error) {
			one, other := d.message(), k.draft(k.line)
			other.block = k.figures(4321)
			one.Payload = other.message().Payload
			return encode(one), nil
		}),
		spoiled("unsigned", "turns away an envelope that nobody has signed", []string{"F06"}, func(_ *kit, d *draft) ([]byte, error) {
			m := d.message()
			m.Header.Signatures = nil
			return encode(m), nil
		}),
		spoiled("stranger", "turns away an envelope that a key has signed which is not on the trust list", []string{"F06"}, func(_ *kit, d *draft) (_ []byte, err error) {
			if _, d.key, err = ed25519.GenerateKey(rand.Reader); err != nil {
				return nil, err
			}
			public, _ := d.key.Public().(ed25519.PublicKey)
			d.keyID = sharing.KeyID(public)
			return d.seal(), nil
		}),
		spoiled("claimed", "turns away an envelope that another key has signed under the id of the right one", []string{"F06"}, func(_ *kit, d *draft) (_ []byte, err error) {
			_, d.key, err = ed25519.GenerateKey(rand.Reader)
			return d.seal(), err
		}),
		spoiled("tls-key", "turns away an envelope that the key of the kit's certificate has signed", []string{"F06"}, func(k *kit, d *draft) ([]byte, error) {
			m := d.message()
			digest := sha256.Sum256(dsse.PAE(m.GetHeader().GetPayloadType(), m.GetHeader().GetPayload()))
			key, _ := k.leaf.PrivateKey.(*ecdsa.PrivateKey)
			signature, err := ecdsa.SignASN1(rand.Reader, key, digest[:])
			m.Header.Signatures[0].Signature = signature
			return encode(m), err
		}),
		spoiled("type", "turns away a header that was signed as something else", []string{"F06"}, func(_ *kit, d *draft) ([]byte, error) {
			d.payloadType = sharing.ReceiptType
			return d.seal(), nil
		}),
		spoiled("receiver", "turns away an envelope for another state", []string{"F09"}, func(_ *kit, d *draft) ([]byte, error) {
			d.header.Receiver = "elsewhere"
			return d.seal(), nil
		}),
		spoiled("sender", "turns away an envelope in the name of another state", []string{"F09"}, func(_ *kit, d *draft) ([]byte, error) {
			d.header.Sender = "elsewhere"
			return d.seal(), nil
		}),
		spoiled("stream", "turns away an envelope of another stream", []string{"F11"}, func(k *kit, d *draft) ([]byte, error) {
			d.header.Stream = k.toKit()
			return d.seal(), nil
		}),
		spoiled("gap", "turns away an envelope before which one is missing, and resumes from the last good one", []string{"F11"}, func(_ *kit, d *draft) ([]byte, error) {
			d.header.Sequence++
			return d.seal(), nil
		}),
		spoiled("middle", "turns away an envelope of a new epoch that is not its first", []string{"F11"}, func(_ *kit, d *draft) ([]byte, error) {
			d.header.Epoch, d.header.Sequence = newID(), 5
			return d.seal(), nil
		}),
		spoiled("expired", "turns away an envelope that is deliverable no more", nil, func(_ *kit, d *draft) ([]byte, error) {
			d.header.CreateTime, d.header.ExpireTime = timestamppb.New(time.Now().Add(-48*time.Hour)), timestamppb.New(time.Now().Add(-24*time.Hour))
			return d.seal(), nil
		}),
		spoiled("agreement", "turns away an envelope under an agreement that there is not", nil, func(_ *kit, d *draft) ([]byte, error) {
			d.header.Agreement = "no-such-agreement"
			return d.seal(), nil
		}),
		spoiled("version", "turns away an envelope under a version of the agreement that there is not", nil, func(_ *kit, d *draft) ([]byte, error) {
			d.header.AgreementVersion += 1000
			return d.seal(), nil
		}),
		spoiled("long", "turns away an envelope with a payload of more than 1 MiB", []string{"F12"}, func(_ *kit, d *draft) ([]byte, error) {
			d.payload = make([]byte, maxPayload+1)
			return d.seal(), nil
		}),
		spoiled("huge", "turns away an envelope of 64 MiB, and lives", []string{"F12"}, func(_ *kit, d *draft) ([]byte, error) {
			d.payload = make([]byte, 64<<20)
			return d.seal(), nil
		}),
		spoiled("header-utf8", "turns away a header with text that is no UTF-8", []string{"F12"}, func(_ *kit, d *draft) ([]byte, error) {
			d.fill()
			header := protowire.AppendTag(encode(d.header), 5, protowire.BytesType) // the decision: the last one counts
			header = protowire.AppendBytes(header, []byte("\xff\xfe"))
			return encode(&exchangepb.Envelope{Header: signAs(d.key, d.keyID, d.payloadType, header), Payload: d.payload}), nil
		}),
		spoiled("garbage", "turns away bytes that are no envelope", []string{"F12"}, func(*kit, *draft) ([]byte, error) {
			garbage := make([]byte, 1000)
			_, err := rand.Read(garbage)
			return garbage, err
		}),

		wrong("negative", "refuses a count below zero, and goes on", []string{"F12"}, func(_ *kit, d *draft) {
			d.column("OBS_VALUE").Numbers[0] = -5
		}),
		wrong("nan", "refuses what is no number, and goes on", []string{"F12"}, func(_ *kit, d *draft) {
			d.column("OBS_VALUE").Numbers[0] = math.NaN()
		}),
		wrong("absent", "refuses an absent value that no status explains, and goes on", []string{"F12"}, func(_ *kit, d *draft) {
			d.column("OBS_VALUE").Numbers[0], d.column("OBS_VALUE").Absent = 0, []byte{1}
		}),
		wrong("code", "refuses a code that no codelist has, and goes on", []string{"F12"}, func(k *kit, d *draft) {
			d.column(k.someDimension()).Dictionary[0] = "NO-SUCH-CODE"
		}),
		wrong("duplicate", "refuses two figures for one place, and goes on", []string{"F12"}, func(k *kit, d *draft) {
			d.block = k.figures(100, 200)
		}),
		wrong("utf8", "refuses a code that is no UTF-8, and goes on", []string{"F12"}, func(_ *kit, d *draft) {
			d.payload = bytes.Replace(encode(&exchangepb.Payload{Block: d.block}), []byte("REF_AREA"), []byte("REF_A\xff\xfeA"), 1)
		}),
		wrong("garbled", "refuses a payload that cannot be read, and goes on", []string{"F12"}, func(_ *kit, d *draft) {
			d.payload = []byte(strings.Repeat("\xff", 100))
		}),
		wrong("bomb", "refuses a payload of some kilobytes that is 64 MiB when it is unpacked, and goes on", []string{"F12"}, func(_ *kit, d *draft) {
			d.payload = encode(&exchangepb.Payload{Zstd: compressed(make([]byte, hugeMessage))})
		}),
		wrong("cut", "refuses a compressed payload that breaks off, and goes on", []string{"F12"}, func(_ *kit, d *draft) {
			whole := compressed(encode(&exchangepb.Payload{Block: d.block}))
			d.payload = encode(&exchangepb.Payload{Zstd: whole[:len(whole)-5]})
		}),
		wrong("small", "refuses a count under the agreed minimum, and goes on", []string{"F13"}, func(k *kit, d *draft) {
			d.column("OBS_VALUE").Numbers[0] = float64(k.received.terms.MinimumFrequency) - 1
		}),
		wrong("person", "refuses a component that could say who somebody is, and goes on", []string{"F13"}, func(_ *kit, d *draft) {
			d.block.Columns = append(d.block.Columns, &typespb.Column{
				Component: "PASSPORT_NUMBER", Dictionary: []string{"X1234567"}, Codes: []uint32{0},
			})
		}),
		wrong("area", "refuses figures about an area that the sender does not speak for, and goes on", []string{"F13"}, func(k *kit, d *draft) {
			d.column("REF_AREA").Dictionary[0] = k.peer.RefAreas[0]
		}),
		wrong("release", "refuses a release whose batches are not what its header names, and goes on", []string{"F08"}, func(_ *kit, d *draft) {
			sum := sha256.Sum256([]byte("another release"))
			d.header.ReleaseSha256 = sum[:]
		}),
		wrong("scope", "refuses a figure outside of what its release replaces, and goes on", []string{"F12"}, func(_ *kit, d *draft) {
			d.header.Scope = &typespb.Filter{Operator: typespb.Filter_EQ, Component: "TIME_PERIOD", Values: []string{"1900"}}
		}),
		wrong("dataflow", "refuses figures of another dataflow than the agreed one, and goes on", []string{"F13"}, func(_ *kit, d *draft) {
			d.header.Dataflow = "NOBODY:NOTHING(1.0.0)"
		}),
		{
			ID: "witness.offers", Expected: "has its partners witness its own log, with proofs that hold, in each session", Level: Required,
			Faults: []string{"F24"}, needs: needsReceived, run: offersCase,
		},
	}
}

// someDimension returns a dimension of the kit's row of which the agreement names no code.
func (k *kit) someDimension() string {
	for dimension := range k.own.Row {
		if dimension != "FREQ" && dimension != "REF_AREA" && dimension != "INDICATOR" {
			return dimension
		}
	}
	return "INDICATOR"
}

func receiptCase(ctx context.Context, k *kit) error {
	envelope := k.draft(k.line).seal()
	r, err := k.takes(ctx, envelope)
	if err != nil {
		return err
	}
	said := r.said
	switch received := said.GetReceiveTime().AsTime(); {
	case said.GetEpoch() != k.line.epoch || said.GetSequence() != k.line.sequence:
		return fmt.Errorf("the receipt is for %s/%d, not for %s/%d", said.GetEpoch(), said.GetSequence(), k.line.epoch, k.line.sequence)
	case time.Since(received).Abs() > 10*time.Minute:
		return fmt.Errorf("the receipt says that it came at %s", received)
	}
	return nil
}

func againCase(ctx context.Context, k *kit) error {
	envelope := k.draft(k.line).seal()
	r, err := k.takes(ctx, envelope)
	if err != nil {
		return err
	}
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	before := len(s.of(envelope))
	if err := s.send(ctx, envelope); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, k.patience)
	defer cancel()
	if !s.await(waiting, func() bool { return len(s.of(envelope)) > before }) {
		return errors.New("no receipt comes for the same envelope again")
	}
	return sameReceipts(append(s.of(envelope), r))
}

// sameReceipts returns an error unless all are the same, byte for byte.
func sameReceipts(receipts []*receipt) error {
	for _, r := range receipts {
		if r.err != nil {
			return r.err
		}
		if !proto.Equal(r.signed, receipts[0].signed) {
			return errors.New("the second receipt is not the first one")
		}
	}
	return nil
}

func lostCase(ctx context.Context, k *kit) error {
	envelope := k.draft(k.line).seal()
	r, err := k.takes(ctx, envelope)
	if err != nil {
		return err
	}
	k.cut()
	again, err := k.deliver(ctx, envelope)
	if err != nil {
		return err
	}
	return sameReceipts([]*receipt{r, again})
}

func resumeCase(ctx context.Context, k *kit) error {
	if _, err := k.takes(ctx, k.draft(k.line).seal()); err != nil {
		return err
	}
	k.cut()
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	if at := s.cursor; at.GetEpoch() != k.line.epoch || at.GetSequence() != k.line.sequence {
		return fmt.Errorf("it resumes at %s/%d, not at %s/%d", at.GetEpoch(), at.GetSequence(), k.line.epoch, k.line.sequence)
	}
	return nil
}

func unknownCase(ctx context.Context, k *kit) error {
	d := k.draft(k.line).fill()
	header := protowire.AppendTag(encode(d.header), 1000, protowire.BytesType)
	header = protowire.AppendBytes(header, []byte("of a later version"))
	_, err := k.takes(ctx, encode(&exchangepb.Envelope{Header: signAs(d.key, d.keyID, d.payloadType, header), Payload: d.payload}))
	return err
}

func wordCase(ctx context.Context, k *kit) error {
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	later := &exchangepb.SyncResponse{}
	word := protowire.AppendTag(nil, 1000, protowire.BytesType)
	later.ProtoReflect().SetUnknown(protowire.AppendBytes(word, []byte("of a later version")))
	if err := s.say(later); err != nil {
		return err
	}
	if _, err = k.takes(ctx, k.draft(k.line).seal()); err != nil {
		return err
	}
	if s.over() {
		return errors.New("it ended the stream")
	}
	return nil
}

func batchesCase(ctx context.Context, k *kit) error {
	one := k.draft(k.line)
	other := k.draft(k.line)
	other.column("TIME_PERIOD").Dictionary[0] = k.own.Periods[1]
	total := sha256.New()
	for _, d := range []*draft{one, other} {
		d.fill()
		total.Write(d.header.PayloadSha256)
	}
	for i, d := range []*draft{one, other} {
		d.header.Release, d.header.BatchIndex, d.header.BatchCount = one.header.Release, uint32(i), 2
		d.header.ReleaseSha256 = total.Sum(nil)
		d.header.Sequence, d.header.PreviousSha256 = k.line.sequence+1, k.line.previous
		if _, err := k.takes(ctx, d.seal()); err != nil {
			return fmt.Errorf("batch %d: %w", i, err)
		}
	}
	return nil
}

// compressed returns a Zstandard frame of the data.
func compressed(data []byte) []byte {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err) // the options are good
	}
	return encoder.EncodeAll(data, nil)
}

func compressedCase(ctx context.Context, k *kit) error {
	d := k.draft(k.line)
	d.payload = encode(&exchangepb.Payload{Zstd: compressed(encode(&exchangepb.Payload{Block: d.block}))})
	_, err := k.takes(ctx, d.seal())
	return err
}

func epochCase(ctx context.Context, k *kit) error {
	k.line = newLine()
	_, err := k.takes(ctx, k.draft(k.line).seal())
	return err
}
