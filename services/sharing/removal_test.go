package sharing_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/comity-federation/comity/services/sharing"
)

func TestRemoval(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	w := newWorld(t)
	w.newFigures()
	terms := w.terms()
	terms.RetentionDays = 10
	w.agree(t, terms)
	var sent []byte
	if err := w.aa.pool.QueryRow(ctx, `SELECT envelope FROM outbox`).Scan(&sent); err != nil {
		t.Fatal(err)
	}
	kept := func(t *testing.T) []byte {
		t.Helper()
		var envelope []byte
		if err := w.bb.pool.QueryRow(ctx, `SELECT envelope FROM inbox`).Scan(&envelope); err != nil {
			t.Fatal(err)
		}
		return envelope
	}
	remove := func(t *testing.T) {
		t.Helper()
		if err := w.bb.RemoveAll(ctx); err != nil {
			t.Fatal(err)
		}
	}
	receipt, err := w.bb.Receive(ctx, "aa", sent)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("leaves figures in their envelopes as long as was agreed", func(t *testing.T) {
		w.pass(9 * 24 * time.Hour)
		remove(t)
		if err := w.bb.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
		remove(t)
		if !bytes.Equal(kept(t), sent) {
			t.Error("they went")
		}
	})
	t.Run("takes them out afterwards, once the log says so, also after a restart in between", func(t *testing.T) {
		w.pass(25 * time.Hour)
		remove(t)
		if !bytes.Equal(kept(t), sent) {
			t.Fatal("they went before the log said so")
		}
		if err := w.bb.Steps()[1](ctx); err != nil {
			t.Fatal(err)
		}
		w.bb.Service = sharing.New(w.bb.Config)
		remove(t)
		left, err := w.bb.Codec.DecodeEnvelope(kept(t))
		if err != nil || len(left.Payload) != 0 || len(left.Header.Payload) == 0 {
			t.Errorf("%d bytes of figures are left, %v", len(left.Payload), err)
		}
		entries := len(w.bb.logged(t, sharing.EntryRemoval))
		remove(t)
		if again := len(w.bb.logged(t, sharing.EntryRemoval)); entries != 1 || again != 1 {
			t.Errorf("%d removals are logged, then %d", entries, again)
		}
	})
	t.Run("leaves the hashes of the log, the receipt and the proof as they were", func(t *testing.T) {
		if n, err := w.bb.verify(ctx); err != nil {
			t.Errorf("after %d entries: %v", n, err)
		}
		again, err := w.bb.Receive(ctx, "aa", sent)
		if err != nil || !bytes.Equal(again.Payload, receipt.Payload) {
			t.Errorf("another receipt, %v", err)
		}
		at, err := w.bb.Cursor(ctx, "aa")
		if err != nil {
			t.Fatal(err)
		}
		for _, figures := range []bool{false, true} {
			proof, err := w.bb.Proof(ctx, at, figures)
			if err != nil {
				t.Fatal(err)
			}
			proven, err := proof.Verify(w.aa.Trust.List(), w.aa.Codec)
			if err != nil || proven.Figures || proven.Receipt == nil {
				t.Errorf("%+v, %v", proven, err)
			}
		}
		if n, err := w.aa.verify(ctx); err != nil {
			t.Errorf("the sender, after %d entries: %v", n, err)
		}
	})
	t.Run("is found where its entry of the log was changed", func(t *testing.T) { flipEach(t, w.bb, "removal") })
	t.Run("is found where no entry says why", func(t *testing.T) {
		w.aa.figures.set("M,AA,1A,EAST,AFG,_T,2024-05", 500)
		w.run(t)
		var envelope []byte
		if err := w.bb.pool.QueryRow(ctx, `SELECT envelope FROM inbox WHERE removal IS NULL`).Scan(&envelope); err != nil {
			t.Fatal(err)
		}
		opened, err := w.bb.Codec.DecodeEnvelope(envelope)
		if err != nil {
			t.Fatal(err)
		}
		left, err := w.bb.Codec.EncodeEnvelope(sharing.Envelope{Header: opened.Header})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.bb.pool.Exec(ctx, `UPDATE inbox SET envelope = $1 WHERE removal IS NULL`, left); err != nil {
			t.Fatal(err)
		}
		_, err = w.bb.verify(ctx)
		bad := (*sharing.BadEntryError)(nil)
		if !errors.As(err, &bad) || bad.Kind != sharing.EntryEnvelopeReceived || !strings.Contains(bad.Problem, "no entry says") {
			t.Errorf("%v", err)
		}
	})
}
