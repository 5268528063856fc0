package tck

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/klauspost/compress/zstd"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	exchangepb "github.com/comity-federation/comity/proto/comity/exchange/v1"
	"github.com/comity-federation/comity/services/sharing"
)

// envelopeCases are about what the node sends.
func envelopeCases() []Case {
	// each is about every envelope that was drawn.
	each := func(id, expected string, faults []string, check func(k *kit, d *drawn, i int) error) Case {
		return Case{
			ID: "envelope." + id, Expected: expected, Level: Required, Faults: faults, needs: needsProvided,
			run: func(ctx context.Context, k *kit) error {
				d, err := k.draw(ctx)
				if err != nil {
					return err
				}
				for i := range d.envelopes {
					if err := check(k, d, i); err != nil {
						return fmt.Errorf("envelope %d: %w", d.headers[i].GetSequence(), err)
					}
				}
				return nil
			},
		}
	}
	return []Case{
		each("signature", "signs the header of each envelope (DSSE) with a key that the trust list has", []string{"F06"}, func(k *kit, d *drawn, i int) error {
			return k.verify(sharing.HeaderType, d.signed[i].GetHeader())
		}),
		each("parties", "names sender, receiver and stream", []string{"F09"}, func(k *kit, d *drawn, i int) error {
			if h := d.headers[i]; h.GetSender() != string(k.peer.Code) || h.GetReceiver() != string(k.own.Code) || h.GetStream() != k.toKit() {
				return fmt.Errorf("it is from %q to %q on %q", h.GetSender(), h.GetReceiver(), h.GetStream())
			}
			return nil
		}),
		each("payload", "names the payload by its hash", []string{"F08"}, func(_ *kit, d *drawn, i int) error {
			if !bytes.Equal(d.headers[i].GetPayloadSha256(), hash(d.signed[i].GetPayload())) {
				return errors.New("the payload has another hash than the one in the header")
			}
			return nil
		}),
		each("size", "sends no payload of more than 1 MiB, nor a header of more than 64 KiB", []string{"F12"}, func(_ *kit, d *drawn, i int) error {
			if payload, header := len(d.signed[i].GetPayload()), len(d.signed[i].GetHeader().GetPayload()); payload > maxPayload || header > 64<<10 {
				return fmt.Errorf("a payload of %d bytes, a header of %d", payload, header)
			}
			return nil
		}),
		each("sequence", "counts its envelopes from 1, without gaps, in one epoch that is a UUID", []string{"F11"}, func(_ *kit, d *drawn, i int) error {
			h, first := d.headers[i], d.headers[0]
			if !epochID.MatchString(h.GetEpoch()) || h.GetEpoch() != first.GetEpoch() || h.GetSequence() != first.GetSequence()+uint64(i) || h.GetSequence() == 0 { //nolint:gosec // a few
				return fmt.Errorf("%s/%d follows %s/%d after %d", h.GetEpoch(), h.GetSequence(), first.GetEpoch(), first.GetSequence(), i)
			}
			return nil
		}),
		each("chain", "names the envelope before by its hash, and none before the first", []string{"F10", "F24"}, func(_ *kit, d *drawn, i int) error {
			before := []byte(nil)
			switch {
			case i > 0:
				before = hash(d.envelopes[i-1])
			case d.headers[i].GetSequence() > 1:
				return nil // the one before was not drawn
			}
			if !bytes.Equal(d.headers[i].GetPreviousSha256(), before) {
				return errors.New("the hash of the envelope before is another one")
			}
			return nil
		}),
		each("times", "says when it was made and when it stops being deliverable", nil, func(_ *kit, d *drawn, i int) error {
			created, expires := d.headers[i].GetCreateTime(), d.headers[i].GetExpireTime()
			if created.CheckValid() != nil || expires.CheckValid() != nil {
				return errors.New("a time is missing")
			}
			if now := time.Now(); created.AsTime().After(now.Add(10*time.Minute)) || !expires.AsTime().After(now) {
				return fmt.Errorf("it was made at %s and is deliverable until %s", created.AsTime(), expires.AsTime())
			}
			return nil
		}),
		each("agreement", "sends under an agreement that both have signed, and names the decision and the policy", []string{"F21"}, func(k *kit, d *drawn, i int) error {
			h, terms := d.headers[i], k.provided.terms
			switch {
			case h.GetAgreement() != string(terms.ID) || int(h.GetAgreementVersion()) != terms.Version || h.GetDataflow() != terms.Dataflow:
				return fmt.Errorf("it is under %s, version %d, of %s", h.GetAgreement(), h.GetAgreementVersion(), h.GetDataflow())
			case h.GetDecision() == "" || h.GetPolicyRevision() == "":
				return errors.New("it names no decision, or no policy")
			}
			return nil
		}),
		each("release", "says which batch of which release it is, and that its batches are the release", []string{"F08"}, wholeRelease),
		each("content", "sends the agreed indicators and areas of its own, and no count below the agreed minimum", []string{"F13"}, agreedContent),
	}
}

var epochID = regexp.MustCompile(`^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)

// wholeRelease looks at a release where its last batch is.
func wholeRelease(_ *kit, d *drawn, i int) error {
	h := d.headers[i]
	if h.GetRelease() == "" || h.GetBatchCount() == 0 || h.GetBatchIndex() >= h.GetBatchCount() {
		return fmt.Errorf("it is batch %d of %d of release %q", h.GetBatchIndex(), h.GetBatchCount(), h.GetRelease())
	}
	before := int(h.GetBatchCount()) - 1
	if int(h.GetBatchIndex()) != before || before > i {
		return nil // it goes on, or begins before what was drawn
	}
	total := sha256.New()
	for j := i - before; j <= i; j++ {
		if d.headers[j].GetRelease() != h.GetRelease() || int(d.headers[j].GetBatchIndex()) != j-(i-before) {
			return errors.New("its batches do not follow each other")
		}
		total.Write(d.headers[j].GetPayloadSha256())
	}
	if !bytes.Equal(total.Sum(nil), h.GetReleaseSha256()) {
		return errors.New("its batches have another hash together than the release")
	}
	return nil
}

const maxContent = 8 << 20 // bytes of a payload that is unpacked

// openPayload reads a payload that may be compressed.
func openPayload(data []byte) (*exchangepb.Payload, error) {
	payload := &exchangepb.Payload{}
	if err := proto.Unmarshal(data, payload); err != nil || payload.GetZstd() == nil {
		return payload, err
	}
	if payload.GetBlock() != nil {
		return nil, errors.New("it is there twice, compressed and not")
	}
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(maxContent), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer decoder.Close()
	content, err := decoder.DecodeAll(payload.GetZstd(), nil)
	if err != nil {
		return nil, err
	}
	payload.Reset()
	return payload, proto.Unmarshal(content, payload)
}

// agreedContent looks at the figures.
func agreedContent(k *kit, d *drawn, i int) error {
	payload, err := openPayload(d.signed[i].GetPayload())
	if err != nil {
		return fmt.Errorf("the payload cannot be read: %w", err)
	}
	for _, column := range payload.GetBlock().GetColumns() {
		if n := max(len(column.GetCodes()), len(column.GetNumbers())); n != int(payload.GetBlock().GetRows()) {
			return fmt.Errorf("column %s has %d values, and there are %d rows", column.GetComponent(), n, payload.GetBlock().GetRows())
		}
		var agreed []string
		switch column.GetComponent() {
		case "INDICATOR":
			agreed = k.provided.terms.Indicators
		case "REF_AREA":
			agreed = k.peer.RefAreas
		}
		for _, code := range column.GetCodes() {
			if int(code) >= len(column.GetDictionary()) {
				return fmt.Errorf("column %s has a code outside of its dictionary", column.GetComponent())
			}
			if value := column.GetDictionary()[code]; agreed != nil && !slices.Contains(agreed, value) {
				return fmt.Errorf("%s is %s, which was not agreed", column.GetComponent(), value)
			}
		}
		if column.GetComponent() != "OBS_VALUE" {
			continue
		}
		for _, value := range column.GetNumbers() {
			if math.IsNaN(value) || math.IsInf(value, 0) || value < 0 || value > 0 && value < float64(k.provided.terms.MinimumFrequency) {
				return fmt.Errorf("it counts %v", value)
			}
		}
	}
	return nil
}

// receiptCases are about the receipts that the node is given. What it makes of them only its operator sees; what its
// partner sees is that a wrong one leads to nothing.
func receiptCases() []Case {
	// harmless is a receipt after which the node still provides what it did.
	harmless := func(id, expected string, faults []string, receipt func(k *kit, d *drawn) *exchangepb.Signed) Case {
		return Case{
			ID: "receipt." + id, Expected: expected, Level: Required, Faults: faults, needs: needsProvided,
			run: func(ctx context.Context, k *kit) error {
				d, err := k.draw(ctx)
				if err != nil {
					return err
				}
				s, err := k.open(ctx, k.connection, resume(k.cursor(-1)), receipted(receipt(k, d)), credit(1))
				if err != nil {
					return err
				}
				defer s.leave()
				got, err := s.envelope(k.patience)
				if err != nil && refuses(err) != nil {
					return fmt.Errorf("it neither passes over the receipt nor refuses it: %w", err)
				}
				if err == nil && !bytes.Equal(got, d.envelopes[0]) {
					return errors.New("the first envelope comes no more")
				}
				return k.sends(ctx, k.cursor(-1), d.envelopes[0])
			},
		}
	}
	return []Case{
		harmless("unsigned", "passes over a receipt that nobody has signed, or refuses it", []string{"F06"}, func(k *kit, d *drawn) *exchangepb.Signed {
			return &exchangepb.Signed{PayloadType: sharing.ReceiptType, Payload: encode(k.receiptFor(d))}
		}),
		harmless("forged", "passes over a receipt whose signature is wrong, or refuses it", []string{"F06"}, func(k *kit, d *drawn) *exchangepb.Signed {
			signed := sign(k.own.signing, sharing.ReceiptType, encode(k.receiptFor(d)))
			signed.Signatures[0].Signature[5] ^= 1
			return signed
		}),
		harmless("other", "passes over a receipt for other bytes than it sent, or refuses it", []string{"F09"}, func(k *kit, d *drawn) *exchangepb.Signed {
			r := k.receiptFor(d)
			r.EnvelopeSha256 = hash([]byte("something else"))
			return sign(k.own.signing, sharing.ReceiptType, encode(r))
		}),
		harmless("unsent", "passes over a receipt for what it did not send, or refuses it", []string{"F09"}, func(k *kit, d *drawn) *exchangepb.Signed {
			r := k.receiptFor(d)
			r.Sequence = 1 << 40
			return sign(k.own.signing, sharing.ReceiptType, encode(r))
		}),
		harmless("garbled", "passes over a receipt that cannot be read, or refuses it", []string{"F12"}, func(k *kit, _ *drawn) *exchangepb.Signed {
			return sign(k.own.signing, sharing.ReceiptType, bytes.Repeat([]byte{0xff}, 64))
		}),
		{
			ID: "receipt.good", Expected: "takes a receipt for what it sent, and the same again", Level: Required, Faults: []string{"F16"}, needs: needsProvided,
			run: func(ctx context.Context, k *kit) error {
				d, err := k.draw(ctx)
				if err != nil {
					return err
				}
				signed := sign(k.own.signing, sharing.ReceiptType, encode(k.receiptFor(d)))
				for range 2 {
					_, err := k.client.Fetch(ctx, &exchangepb.FetchRequest{Resume: k.cursor(0), Receipts: []*exchangepb.Signed{signed}})
					if err != nil {
						return err
					}
				}
				return nil
			},
		},
	}
}

// receiptFor returns the kit's receipt for the first envelope of the node's.
func (k *kit) receiptFor(d *drawn) *exchangepb.Receipt {
	h := d.headers[0]
	return &exchangepb.Receipt{
		Sender: string(k.peer.Code), Receiver: string(k.own.Code), Stream: h.GetStream(), Epoch: h.GetEpoch(), Sequence: h.GetSequence(),
		EnvelopeSha256: hash(d.envelopes[0]), ReceiveTime: timestamppb.Now(),
	}
}
