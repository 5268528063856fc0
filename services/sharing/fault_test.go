package sharing_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// waiting returns a world in which envelopes wait for bb.
func waiting(t *testing.T, releases int) (*world, []sharing.Outgoing) {
	t.Helper()
	w := newWorld(t)
	w.newFigures()
	w.agree(t, w.terms())
	for i := range releases {
		w.aa.figures.set(fmt.Sprintf("M,AA,1A,EAST,AFG,_T,2024-%02d", i+1), 500)
		for _, step := range w.aa.Steps() {
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	outgoing := w.next(t)
	if len(outgoing) != releases {
		t.Fatalf("%d envelopes wait", len(outgoing))
	}
	return w, outgoing
}

func TestReceive(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	expect := func(t *testing.T, w *world, envelope []byte, reason string) {
		t.Helper()
		before, err := w.bb.Cursor(ctx, "aa")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.bb.Receive(ctx, "aa", envelope); fault.Reason(err) != reason {
			t.Errorf("%v, want %s", err, reason)
		}
		after, err := w.bb.Cursor(ctx, "aa")
		if err != nil || before != after {
			t.Errorf("the cursor went from %v to %v, %v", before, after, err)
		}
	}
	t.Run("gives the same receipt, byte for byte, for the same envelope", func(t *testing.T) {
		w, out := waiting(t, 1)
		first, err := w.bb.Receive(ctx, "aa", out[0].Envelope)
		if err != nil {
			t.Fatal(err)
		}
		w.pass(time.Hour)
		second, err := w.bb.Receive(ctx, "aa", out[0].Envelope)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(first, second); diff != "" {
			t.Error(diff)
		}
		for range 2 {
			if err := w.aa.AcceptReceipt(ctx, "bb", second); err != nil {
				t.Fatal(err)
			}
		}
		w.run(t)
		for key, n := range w.bb.figures.submitted {
			if n != 1 {
				t.Errorf("release %s was stored %d times", key, n)
			}
		}
	})
	t.Run("does not offer a release again that the statistics can never take", func(t *testing.T) {
		w, out := waiting(t, 1)
		if _, err := w.bb.Receive(ctx, "aa", out[0].Envelope); err != nil {
			t.Fatal(err)
		}
		w.bb.figures.failing = fmt.Errorf("handing over: %w", fault.InvalidField("header.scope", "names no dimension"))
		handOver := w.bb.Steps()[2]
		for range 2 {
			if err := handOver(ctx); err != nil {
				t.Fatal(err)
			}
			w.bb.figures.failing = nil
		}
		deliveries, _, err := w.bb.Deliveries(ctx, sharing.Page{})
		if err != nil || deliveries[0].State != sharing.Refused || !strings.Contains(deliveries[0].Reason, "header.scope") {
			t.Errorf("%+v, %v", deliveries, err)
		}
		if stored := w.bb.figures.submitted[string(deliveries[0].Release)]; stored != 0 {
			t.Errorf("it was stored %d times", stored)
		}
	})
	t.Run("refuses an envelope in which any byte has changed", func(t *testing.T) {
		w, out := waiting(t, 1)
		for i := range out[0].Envelope {
			if i > 1500 && i%97 != 0 {
				continue // all of the header, some of the payload
			}
			bad := bytes.Clone(out[0].Envelope)
			bad[i] ^= 1
			receipt, err := w.bb.Receive(ctx, "aa", bad)
			if err == nil {
				t.Fatalf("byte %d: receipted %v", i, receipt)
			}
			if reason := fault.Reason(err); reason != "ENVELOPE_INVALID" && reason != "UNTRUSTED_SIGNER" {
				t.Fatalf("byte %d: %v", i, err)
			}
		}
		if _, err := w.bb.Receive(ctx, "aa", out[0].Envelope); err != nil {
			t.Errorf("the original: %v", err)
		}
	})
	t.Run("refuses the payload of another envelope", func(t *testing.T) {
		w, out := waiting(t, 2)
		one, err := wire.Codec{}.DecodeEnvelope(out[0].Envelope)
		if err != nil {
			t.Fatal(err)
		}
		two, err := wire.Codec{}.DecodeEnvelope(out[1].Envelope)
		if err != nil {
			t.Fatal(err)
		}
		one.Payload = two.Payload
		swapped, err := wire.Codec{}.EncodeEnvelope(one)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, w, swapped, "ENVELOPE_INVALID")
	})
	t.Run("refuses a gap, and goes on where it was", func(t *testing.T) {
		w, out := waiting(t, 2)
		expect(t, w, out[1].Envelope, "OUT_OF_SEQUENCE")
		w.run(t)
	})
	t.Run("refuses an envelope from another state, or for another one", func(t *testing.T) {
		w, out := waiting(t, 1)
		if _, err := w.bb.Receive(ctx, "zz", out[0].Envelope); !fault.Is(err, fault.NotFound) {
			t.Errorf("%v", err)
		}
		if _, err := w.aa.Receive(ctx, "bb", out[0].Envelope); fault.Reason(err) != "UNTRUSTED_SIGNER" {
			t.Errorf("%v", err)
		}
	})
	t.Run("refuses what is too long, and what is no envelope", func(t *testing.T) {
		w, _ := waiting(t, 0)
		expect(t, w, make([]byte, sharing.MaxEnvelope+1), "LIMIT_EXCEEDED")
		expect(t, w, []byte("hello"), "ENVELOPE_INVALID")
		expect(t, w, nil, "ENVELOPE_INVALID")
	})
	t.Run("refuses an envelope that has expired", func(t *testing.T) {
		w, out := waiting(t, 1)
		w.pass(91 * 24 * time.Hour)
		expect(t, w, out[0].Envelope, "ENVELOPE_INVALID")
	})
	t.Run("refuses what no agreement covers", func(t *testing.T) {
		w, out := waiting(t, 1)
		must(t)(w.bb.Terminate(ctx, "aa-bb-1a", "enough"))
		expect(t, w, out[0].Envelope, "EXPIRED")
	})
	t.Run("changes nothing while policy cannot be evaluated", func(t *testing.T) {
		w, out := waiting(t, 1)
		w.bb.rules.failing = errors.New("broken")
		expect(t, w, out[0].Envelope, "POLICY_ERROR")
		w.bb.rules.failing = nil
		w.run(t)
	})
	t.Run("keeps what policy refuses as evidence, moves on, and stores nothing of it", func(t *testing.T) {
		w, out := waiting(t, 2)
		w.bb.rules.refuse = "too much"
		for range 2 {
			if _, err := w.bb.Receive(ctx, "aa", out[0].Envelope); fault.Reason(err) != "RECEIVE_REFUSED" {
				t.Errorf("%v", err)
			}
		}
		w.bb.rules.refuse = ""
		w.run(t)
		deliveries, _, err := w.bb.Deliveries(ctx, sharing.Page{})
		if err != nil || len(deliveries) != 4 || deliveries[2].State != sharing.Refused ||
			deliveries[2].Reason != "RECEIVE_REFUSED: too much" || deliveries[2].ReceiptVerified {
			t.Errorf("%+v, %v", deliveries, err)
		}
		// What builds upon it is no use either, so that everything comes again.
		if deliveries[1].State != sharing.Refused || deliveries[0].State != sharing.Stored {
			t.Errorf("%+v", deliveries[:2])
		}
		if _, err := w.bb.verify(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("quarantines a stream in which two envelopes claim one place, and keeps both", func(t *testing.T) {
		w, out := waiting(t, 2)
		if _, err := w.bb.Receive(ctx, "aa", out[0].Envelope); err != nil {
			t.Fatal(err)
		}
		other := w.forge(t, out[0].Envelope, func(h *sharing.Header) { h.PolicyRevision = "another" })
		for range 2 {
			if _, err := w.bb.Receive(ctx, "aa", other); fault.Reason(err) != "EQUIVOCATION" {
				t.Errorf("%v", err)
			}
		}
		expect(t, w, out[1].Envelope, "EQUIVOCATION")
		deliveries, _, err := w.bb.Deliveries(ctx, sharing.Page{})
		if err != nil || len(deliveries) != 3 || deliveries[0].State != sharing.Refused {
			t.Errorf("%+v, %v", deliveries, err)
		}
		for _, step := range w.bb.Steps() {
			if err := step(ctx); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.bb.verify(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("gives one receipt to all who bring the same envelope at once", func(t *testing.T) {
		w, out := waiting(t, 1)
		receipts := make([]sharing.Signed, 8)
		var group sync.WaitGroup
		for i := range receipts {
			group.Go(func() {
				var err error
				if receipts[i], err = w.bb.Receive(ctx, "aa", out[0].Envelope); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		for _, receipt := range receipts {
			if diff := cmp.Diff(receipts[0], receipt); diff != "" {
				t.Error(diff)
			}
		}
	})
	t.Run("drops a release that was never whole for a later one, and begins a new epoch", func(t *testing.T) {
		w, out := waiting(t, 1)
		half := w.forge(t, out[0].Envelope, func(h *sharing.Header) { h.BatchCount = 2 })
		if _, err := w.bb.Receive(ctx, "aa", half); err != nil {
			t.Fatal(err)
		}
		whole := w.forge(t, out[0].Envelope, func(h *sharing.Header) {
			h.Epoch, h.Sequence, h.Previous = "00000000-0000-7000-8000-000000000000", 1, nil
			h.Release = "00000000-0000-7000-8000-000000000001"
		})
		if _, err := w.bb.Receive(ctx, "aa", whole); err != nil {
			t.Fatal(err)
		}
		for _, step := range w.bb.Steps() {
			if err := step(ctx); err != nil {
				t.Fatal(err)
			}
		}
		deliveries, _, err := w.bb.Deliveries(ctx, sharing.Page{})
		if err != nil || deliveries[0].State != sharing.Stored || deliveries[1].State != sharing.SupersededDelivery {
			t.Errorf("%+v, %v", deliveries, err)
		}
		if _, err := w.bb.verify(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Run("refuses a later place of an epoch that it does not know", func(t *testing.T) {
		w, out := waiting(t, 1)
		other := w.forge(t, out[0].Envelope, func(h *sharing.Header) { h.Epoch = "00000000-0000-7000-8000-000000000000" })
		expect(t, w, other, "WRONG_EPOCH")
	})
	t.Run("refuses for good what its sender has signed and is not what was agreed", func(t *testing.T) {
		for name, change := range map[string]func(h *sharing.Header){
			"another dataflow":     func(h *sharing.Header) { h.Dataflow = "TEST:OTHER(1.0.0)" },
			"another release hash": func(h *sharing.Header) { h.ReleaseSHA256 = make([]byte, sha256.Size) },
			"a release that begins in the middle": func(h *sharing.Header) {
				h.BatchIndex, h.BatchCount = 1, 2
			},
		} {
			w, out := waiting(t, 1)
			if _, err := w.bb.Receive(ctx, "aa", w.forge(t, out[0].Envelope, change)); fault.Reason(err) != "RECEIVE_REFUSED" {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// forge returns an envelope that aa has signed with another header.
func (w *world) forge(t *testing.T, envelope []byte, change func(*sharing.Header)) []byte {
	t.Helper()
	var codec wire.Codec
	opened, err := codec.DecodeEnvelope(envelope)
	if err != nil {
		t.Fatal(err)
	}
	header, err := codec.DecodeHeader(opened.Header.Payload)
	if err != nil {
		t.Fatal(err)
	}
	change(&header)
	data, err := codec.EncodeHeader(header)
	if err != nil {
		t.Fatal(err)
	}
	opened.Header = w.aa.Keys.Current().Sign(sharing.HeaderType, data)
	forged, err := codec.EncodeEnvelope(opened)
	if err != nil {
		t.Fatal(err)
	}
	return forged
}

func TestOutgoing(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	t.Run("sends nothing before the log has it under a checkpoint", func(t *testing.T) {
		w, _ := waiting(t, 0)
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2024-01", 500)
		if err := w.aa.Steps()[0](ctx); err != nil {
			t.Fatal(err)
		}
		if out := w.next(t); len(out) != 0 {
			t.Errorf("%d envelopes", len(out))
		}
		if err := w.aa.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
		if out := w.next(t); len(out) != 1 {
			t.Errorf("%d envelopes", len(out))
		}
	})
	t.Run("says from where to begin again where the cursor does not fit", func(t *testing.T) {
		w, _ := waiting(t, 1)
		head, err := w.aa.Head(ctx, "bb")
		if err != nil {
			t.Fatal(err)
		}
		for _, cursor := range []sharing.Cursor{
			{Stream: "aa-bb", Epoch: head.Epoch, Sequence: 99},
			{Stream: "aa-bb", Epoch: "00000000-0000-7000-8000-000000000000", Sequence: 1},
		} {
			_, err := w.aa.Outgoing(ctx, "bb", cursor, 1)
			if resync := (*sharing.ResyncError)(nil); !errors.As(err, &resync) || resync.From.Epoch != head.Epoch {
				t.Errorf("%v", err)
			}
		}
	})
	t.Run("stops before the next batch when the agreement ends", func(t *testing.T) {
		w, _ := waiting(t, 2)
		must(t)(w.aa.Terminate(ctx, "aa-bb-1a", "enough"))
		cursor, err := w.bb.Cursor(ctx, "aa")
		if err != nil {
			t.Fatal(err)
		}
		out, err := w.aa.Outgoing(ctx, "bb", cursor, 10)
		if resync := (*sharing.ResyncError)(nil); len(out) != 0 || !errors.As(err, &resync) {
			t.Errorf("%d envelopes, %v", len(out), err)
		}
		w.run(t)
	})
	t.Run("goes on in a new epoch under the next version", func(t *testing.T) {
		w, _ := waiting(t, 2)
		terms := w.terms()
		terms.Version, terms.MinimumFrequency = 2, 20
		must(t)(w.aa.Draft(ctx, terms))
		must(t)(w.aa.Sign(ctx, terms.ID))
		for _, step := range w.aa.Steps() {
			if err := step(ctx); err != nil {
				t.Fatal(err)
			}
		}
		must(t)(w.bb.Sign(ctx, terms.ID))
		if err := w.bb.Steps()[3](ctx); err != nil {
			t.Fatal(err)
		}
		w.run(t)
		w.run(t)
		if !math.IsNaN(w.bb.figures.received["M,AA,1A,_T,AFG,_T,2023-01"]) { // no longer 14
			t.Errorf("%v", w.bb.figures.received)
		}
		deliveries, _, err := w.aa.Deliveries(ctx, sharing.Page{})
		if err != nil || deliveries[0].State != sharing.Receipted || deliveries[len(deliveries)-2].State != sharing.SupersededDelivery {
			t.Errorf("%+v, %v", deliveries, err)
		}
		for _, s := range []*state{w.aa, w.bb} {
			if _, err := s.verify(ctx); err != nil {
				t.Errorf("%s: %v", s.code, err)
			}
		}
	})
	t.Run("takes no receipt that is not for what it sent", func(t *testing.T) {
		w, out := waiting(t, 1)
		receipt, err := w.bb.Receive(ctx, "aa", out[0].Envelope)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.bb.AcceptReceipt(ctx, "aa", receipt); err == nil {
			t.Error("the receiver took its own receipt")
		}
		receipt.Payload = append(bytes.Clone(receipt.Payload), 0)
		if err := w.aa.AcceptReceipt(ctx, "bb", receipt); fault.Reason(err) != "UNTRUSTED_SIGNER" {
			t.Errorf("%v", err)
		}
	})
}

// TestCrash lets the process or the connection die before each query of a whole exchange, in turn.
func TestCrash(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.newFigures()
	w.agree(t, w.terms())
	exchange := func() error {
		for _, s := range []*state{w.aa, w.bb} {
			for _, step := range s.Steps() {
				if err := step(ctx); err != nil {
					return err
				}
			}
		}
		if err := w.pull(ctx, w.bb, w.aa); err != nil {
			return err
		}
		for _, step := range w.bb.Steps() {
			if err := step(ctx); err != nil {
				return err
			}
		}
		return nil
	}
	for _, victim := range []*state{w.aa, w.bb} {
		crashes := 0
		for n := 1; ; n++ {
			value := float64(100 + n + 1000*len(victim.code))
			w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2024-01", value)
			victim.crash.arm(n)
			err := exchange()
			victim.crash.arm(0)
			if err == nil {
				break
			}
			if crashes++; !errors.Is(err, context.Canceled) && !strings.Contains(err.Error(), "conn closed") {
				t.Fatalf("query %d of %s: %v", n, victim.code, err)
			}
			if err := exchange(); err != nil {
				t.Fatalf("after query %d of %s failed: %v", n, victim.code, err)
			}
			if got := w.bb.figures.received["M,AA,1A,EAST,AFG,_T,2024-01"]; got != value {
				t.Fatalf("after query %d of %s failed, the receiver has %v, not %v", n, victim.code, got, value)
			}
		}
		if crashes < 20 {
			t.Errorf("%s crashed only %d times", victim.code, crashes)
		}
		t.Logf("%s crashed %d times", victim.code, crashes)
	}
	releases, _, err := w.aa.Releases(ctx, sharing.Page{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for key, n := range w.bb.figures.submitted {
		if n > 2 {
			t.Errorf("release %s was handed over %d times", key, n)
		}
	}
	if len(w.bb.figures.submitted) != len(releases) {
		t.Errorf("%d releases were made, %d were stored", len(releases), len(w.bb.figures.submitted))
	}
	for _, s := range []*state{w.aa, w.bb} {
		deliveries, _, err := s.Deliveries(ctx, sharing.Page{Limit: 1000})
		if err != nil || len(deliveries) != len(releases) {
			t.Errorf("%s has %d deliveries, %v", s.code, len(deliveries), err)
		}
		for _, d := range deliveries {
			if d.State != sharing.Receipted && d.State != sharing.Stored {
				t.Errorf("%s: %+v", s.code, d)
			}
		}
		if _, err := s.verify(ctx); err != nil {
			t.Errorf("%s: %v", s.code, err)
		}
	}
}

func TestWitness(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w, _ := waiting(t, 1)
	show := func(t *testing.T) {
		t.Helper()
		checkpoint, old, proof, err := w.aa.WitnessOffer(ctx, "bb")
		if err != nil || checkpoint == "" {
			t.Fatalf("%q, %v", checkpoint, err)
		}
		cosigned, seen, err := w.bb.Witness(ctx, "aa", checkpoint, old, proof)
		if err != nil || !strings.Contains(cosigned, "— comity/bb/log ") {
			t.Fatalf("%q, %v", cosigned, err)
		}
		if err := w.aa.Cosigned(ctx, "bb", cosigned, seen); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("co-signs a log that grows", func(t *testing.T) {
		show(t)
		if checkpoint, _, _, err := w.aa.WitnessOffer(ctx, "bb"); err != nil || checkpoint != "" {
			t.Errorf("%q is offered again, %v", checkpoint, err)
		}
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2025-01", 500)
		w.run(t)
		show(t)
	})
	t.Run("says what it has seen where the proof begins elsewhere", func(t *testing.T) {
		checkpoint, _, err := w.aa.Checkpoint(ctx)
		if err != nil {
			t.Fatal(err)
		}
		cosigned, seen, err := w.bb.Witness(ctx, "aa", checkpoint, 1, nil)
		if err != nil || cosigned != "" || seen < 2 {
			t.Errorf("%q, %d, %v", cosigned, seen, err)
		}
	})
	t.Run("finds a log that was rewritten", func(t *testing.T) {
		other := newWorld(t)
		other.newFigures()
		other.aa.Service = sharing.New(other.withKeys(w.aa))
		other.agree(t, other.terms())
		for i := range 9 {
			other.aa.figures.set("M,AA,1A,EAST,AFG,_T,2025-01", float64(500+i))
			other.run(t)
		}
		_, seen, err := w.bb.Witness(ctx, "aa", mustCheckpoint(t, w.aa), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = w.bb.Witness(ctx, "aa", mustCheckpoint(t, other.aa), seen, nil)
		if fault.Reason(err) != "EQUIVOCATION" {
			t.Errorf("%v", err)
		}
	})
	t.Run("co-signs one of two logs that are shown at once", func(t *testing.T) {
		other := newWorld(t)
		other.aa.Service = sharing.New(other.withKeys(w.aa))
		other.agree(t, other.terms())
		logs := []string{mustCheckpoint(t, w.aa), mustCheckpoint(t, other.aa)}
		signed := make([]string, 8)
		var group sync.WaitGroup
		for i := range signed {
			group.Go(func() {
				var err error
				if signed[i], _, err = other.bb.Witness(ctx, "aa", logs[i%2], 0, nil); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		signed = slices.DeleteFunc(signed, func(cosigned string) bool { return cosigned == "" })
		if len(signed) != 1 {
			t.Errorf("%d were co-signed", len(signed))
		}
	})
	t.Run("takes no checkpoint of another log", func(t *testing.T) {
		if _, _, err := w.bb.Witness(ctx, "aa", mustCheckpoint(t, w.bb), 0, nil); fault.Reason(err) != "UNTRUSTED_SIGNER" {
			t.Errorf("%v", err)
		}
	})
}

func mustCheckpoint(t *testing.T, s *state) string {
	t.Helper()
	checkpoint, _, err := s.Checkpoint(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return checkpoint
}
