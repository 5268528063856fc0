package tck

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	typespb "github.com/comity-federation/comity/proto/comity/types/v1"
	"github.com/comity-federation/comity/services/sharing"
)

const maxPayload = 1 << 20 // bytes

// line is how far the stream from the kit to the node has come. Each run begins a new epoch.
type line struct {
	epoch    string
	sequence uint64 // of the last envelope that the node has taken, or refused for good
	previous []byte // its SHA-256
}

func newID() string { return uuid.Must(uuid.NewV7()).String() }

func newLine() line { return line{epoch: newID()} }

// moved returns the line behind an envelope.
func (l line) moved(envelope []byte) line {
	sum := sha256.Sum256(envelope)
	return line{epoch: l.epoch, sequence: l.sequence + 1, previous: sum[:]}
}

// draft is an envelope in the making.
type draft struct {
	header      *exchangepb.Header
	block       *typespb.Block
	payload     []byte // in the place of the block
	payloadType string
	key         ed25519.PrivateKey
	keyID       string
}

// draft returns the next envelope of a line, as it should be: a release of one batch with the kit's one figure.
func (k *kit) draft(l line) *draft {
	public, _ := k.own.signing.Public().(ed25519.PublicKey)
	terms := k.received.terms
	return &draft{
		header: &exchangepb.Header{
			Sender: string(k.own.Code), Receiver: string(k.peer.Code),
			Agreement: string(terms.ID), AgreementVersion: int32(terms.Version), //nolint:gosec // a version is small
			Decision: newID(), PolicyRevision: "conformance",
			Stream: k.toNode(), Epoch: l.epoch, Sequence: l.sequence + 1, PreviousSha256: l.previous,
			CreateTime: timestamppb.Now(), ExpireTime: timestamppb.New(time.Now().Add(time.Hour)),
			Release: newID(), BatchCount: 1, Dataflow: terms.Dataflow,
		},
		block:       k.figures(float64(1000 + l.sequence)),
		payloadType: sharing.HeaderType, key: k.own.signing, keyID: sharing.KeyID(public),
	}
}

// figures returns a block of the kit's row, once for each value.
func (k *kit) figures(values ...float64) *typespb.Block {
	row := maps.Clone(k.own.Row)
	row["TIME_PERIOD"] = k.own.Periods[0]
	b := &typespb.Block{Rows: uint32(len(values))} //nolint:gosec // a few
	for _, component := range slices.Sorted(maps.Keys(row)) {
		b.Columns = append(b.Columns, &typespb.Column{
			Component: component, Dictionary: []string{row[component]}, Codes: make([]uint32, len(values)),
		})
	}
	b.Columns = append(b.Columns, &typespb.Column{Component: "OBS_VALUE", Numbers: values})
	return b
}

// column returns the column of a component of the draft's block.
func (d *draft) column(component string) *typespb.Column {
	i := slices.IndexFunc(d.block.Columns, func(c *typespb.Column) bool { return c.Component == component })
	return d.block.Columns[i]
}

// fill puts the payload's hash and, for a release of one batch, the release's into the header.
func (d *draft) fill() *draft {
	if d.payload == nil {
		d.payload = encode(&exchangepb.Payload{Block: d.block})
	}
	sum := sha256.Sum256(d.payload)
	d.header.PayloadSha256 = sum[:]
	if d.header.ReleaseSha256 == nil {
		release := sha256.Sum256(sum[:])
		d.header.ReleaseSha256 = release[:]
	}
	return d
}

// message returns the envelope, signed.
func (d *draft) message() *exchangepb.Envelope {
	d.fill()
	return &exchangepb.Envelope{Header: signAs(d.key, d.keyID, d.payloadType, encode(d.header)), Payload: d.payload}
}

// seal returns the bytes of the envelope, signed.
func (d *draft) seal() []byte { return encode(d.message()) }

// deliver has the node take an envelope, and returns the receipt.
func (k *kit) deliver(ctx context.Context, envelope []byte) (*receipt, error) {
	ctx, cancel := context.WithTimeout(ctx, k.patience)
	defer cancel()
	for {
		s, err := k.session(ctx)
		if err != nil {
			return nil, fmt.Errorf("waiting for a receipt: %w", err)
		}
		if receipts := s.of(envelope); len(receipts) > 0 {
			return receipts[0], receipts[0].err
		}
		if err := s.send(ctx, envelope); err != nil && !s.over() {
			return nil, err
		}
		if s.await(ctx, func() bool { return s.at(envelope) != nil }) {
			r := s.at(envelope)
			if r.err == nil && len(s.of(envelope)) == 0 {
				return nil, errors.New("its receipt is for other bytes than it was sent")
			}
			return r, r.err
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("the node gives no receipt for a good envelope within %s", k.patience)
		}
	}
}

// takes has the node take an envelope, and moves the line.
func (k *kit) takes(ctx context.Context, envelope []byte) (*receipt, error) {
	r, err := k.deliver(ctx, envelope)
	if err == nil {
		k.line = k.line.moved(envelope)
	}
	return r, err
}

// refusesEnvelope returns an error unless the node gives no receipt for a bad envelope, stands where it stood, and takes the good
// one in its place.
func (k *kit) refusesEnvelope(ctx context.Context, bad []byte) error {
	return k.turnsAway(ctx, bad, k.draft(k.line).seal())
}

// refusesContent returns an error unless the node gives no receipt for an envelope whose content is not what was agreed,
// and takes the next one: asked for again, the sender would only send the same.
func (k *kit) refusesContent(ctx context.Context, bad *draft) error {
	envelope := bad.seal()
	k.line = k.line.moved(envelope)
	return k.turnsAway(ctx, envelope, k.draft(k.line).seal())
}

// turnsAway sends a bad envelope and a good one behind it, which the node takes without having taken the bad one.
func (k *kit) turnsAway(ctx context.Context, bad, good []byte) error {
	ctx, cancel := context.WithTimeout(ctx, k.patience)
	defer cancel()
	s, err := k.session(ctx)
	if err != nil {
		return err
	}
	if err := s.send(ctx, bad); err != nil && !s.over() {
		return err
	}
	for {
		_ = s.send(ctx, good) // where the stream has ended, it is said again on the next
		s.await(ctx, func() bool { return len(s.of(good)) > 0 || len(s.of(bad)) > 0 })
		switch {
		case len(s.of(bad)) > 0:
			return errors.New("the node gives a receipt for it")
		case len(s.of(good)) > 0:
			k.line = k.line.moved(good)
			return nil
		case ctx.Err() != nil:
			return fmt.Errorf("after it, the node takes no good envelope within %s", k.patience)
		}
		if s, err = k.session(ctx); err != nil {
			return fmt.Errorf("after it: %w", err)
		}
		if at := s.cursor; at.GetEpoch() == k.line.epoch && at.GetSequence() > k.line.sequence {
			if len(s.of(good)) == 0 && !s.await(ctx, func() bool { return len(s.of(good)) > 0 || s.over() }) {
				return fmt.Errorf("after it, the node stands at %d, not at %d", at.GetSequence(), k.line.sequence)
			}
		}
	}
}
