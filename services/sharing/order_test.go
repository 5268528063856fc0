package sharing_test

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/comity-federation/comity/services/fault"
	"github.com/comity-federation/comity/services/sharing"
	"github.com/comity-federation/comity/services/sharing/wire"
)

// corrected is a world in which bb has an original and its correction.
func corrected(t *testing.T) (w *world, original []byte) {
	t.Helper()
	w = newWorld(t)
	w.newFigures()
	w.agree(t, w.terms())
	for _, value := range []float64{500, 700} {
		w.aa.figures.set(watched, value)
		for _, step := range w.aa.Steps() {
			if err := step(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	original = w.next(t)[0].Envelope
	w.run(t)
	return w, original
}

func TestLateOriginal(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	t.Run("changes nothing after its correction, and both are kept", func(t *testing.T) {
		w, original := corrected(t)
		first, err := w.bb.Receive(ctx, "aa", original)
		if err != nil {
			t.Fatal(err)
		}
		second, err := w.bb.Receive(ctx, "aa", original)
		if diff := cmp.Diff(first, second); err != nil || diff != "" {
			t.Errorf("%v, %s", err, diff)
		}
		w.run(t)
		if got := w.bb.figures.received[watched]; got != 700 {
			t.Errorf("the receiver has %v", got)
		}
		deliveries, _, err := w.bb.Deliveries(ctx, sharing.Page{})
		if err != nil || len(deliveries) != 3 {
			t.Fatalf("%+v, %v", deliveries, err)
		}
		for _, d := range deliveries {
			if d.State != sharing.Stored {
				t.Errorf("%+v", d)
			}
		}
	})
	t.Run("is not taken from an epoch that is over, though nobody has seen it there", func(t *testing.T) {
		w := newWorld(t)
		w.newFigures()
		w.agree(t, w.terms())
		w.aa.figures.set(watched, 500)
		if err := w.aa.Steps()[0](ctx); err != nil {
			t.Fatal(err)
		}
		if err := w.aa.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
		original := w.forge(t, w.next(t)[0].Envelope, func(h *sharing.Header) {
			h.Epoch, h.Sequence, h.Previous = "01000000-0000-7000-8000-000000000000", 1, nil
			h.Release = "01000000-0000-7000-8000-000000000001"
		})
		w.pass(time.Minute)
		w.aa.figures.set(watched, 700)
		w.run(t)
		if _, err := w.bb.Receive(ctx, "aa", original); fault.Reason(err) != "WRONG_EPOCH" {
			t.Errorf("%v", err)
		}
		w.run(t)
		if got := w.bb.figures.received[watched]; got != 700 {
			t.Errorf("the receiver has %v", got)
		}
	})
	t.Run("does not overtake its correction where the statistics were away", func(t *testing.T) {
		w := newWorld(t)
		w.newFigures()
		w.agree(t, w.terms())
		for _, value := range []float64{500, 700} {
			w.bb.figures.failing = context.DeadlineExceeded
			w.aa.figures.set(watched, value)
			for _, step := range w.aa.Steps() {
				if err := step(ctx); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.pull(ctx, w.bb, w.aa); err != nil {
				t.Fatal(err)
			}
			if err := w.bb.Steps()[2](ctx); err == nil {
				t.Error("nothing failed")
			}
		}
		w.bb.figures.failing = nil
		w.run(t)
		if got := w.bb.figures.received[watched]; got != 700 {
			t.Errorf("the receiver has %v", got)
		}
	})
}

// A cursor or a receipt that makes no sense moves nothing, and says from where the stream goes on.
func TestGarbageCursors(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w, _ := waiting(t, 2)
	head, err := w.aa.Head(ctx, "bb")
	if err != nil {
		t.Fatal(err)
	}
	for name, cursor := range map[string]sharing.Cursor{
		"from the future":             {Stream: "aa-bb", Epoch: head.Epoch, Sequence: head.Sequence + 1},
		"from the farthest future":    {Stream: "aa-bb", Epoch: head.Epoch, Sequence: math.MaxUint64},
		"of another epoch":            {Stream: "aa-bb", Epoch: "ffffffff-ffff-7fff-bfff-ffffffffffff", Sequence: 1},
		"of no epoch":                 {Stream: "aa-bb", Sequence: 2},
		"of garbage":                  {Stream: "aa-bb", Epoch: "'; DROP TABLE outbox; --\x00\xff", Sequence: 3},
		"of an epoch in upper case":   {Stream: "aa-bb", Epoch: "01A20AA1-E51A-7DF7-A002-4F12D6212C2D", Sequence: 1},
		"of an endless name of epoch": {Stream: "aa-bb", Epoch: string(make([]byte, 1<<20)), Sequence: 1},
	} {
		_, err := w.aa.Outgoing(ctx, "bb", cursor, 1)
		if resync, ok := errors.AsType[*sharing.ResyncError](err); !ok || resync.From.Epoch != head.Epoch {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.aa.Outgoing(ctx, "bb", sharing.Cursor{Stream: "bb-aa", Epoch: head.Epoch}, 1); !fault.Is(err, fault.Invalid) {
		t.Errorf("another stream: %v", err)
	}
	for name, receipt := range map[string]sharing.Receipt{
		"for garbage":              {Epoch: "'; DROP TABLE outbox; --", Sequence: 1},
		"for the farthest place":   {Epoch: head.Epoch, Sequence: math.MaxUint64},
		"for a place before all":   {Epoch: head.Epoch},
		"for a place in no stream": {Epoch: head.Epoch, Sequence: head.Sequence + 1},
	} {
		receipt.Sender, receipt.Receiver, receipt.Stream, receipt.EnvelopeSHA256 = "aa", "bb", "aa-bb", make([]byte, 32)
		payload, err := wire.Codec{}.EncodeReceipt(receipt)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.aa.AcceptReceipt(ctx, "bb", w.bb.Keys.Current().Sign(sharing.ReceiptType, payload)); fault.Reason(err) != "ENVELOPE_INVALID" {
			t.Errorf("a receipt %s: %v", name, err)
		}
	}
	after, err := w.aa.Head(ctx, "bb")
	if diff := cmp.Diff(head, after); err != nil || diff != "" {
		t.Errorf("the stream has moved: %v, %s", err, diff)
	}
	w.run(t)
}
